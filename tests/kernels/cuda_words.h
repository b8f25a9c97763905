// What a C++17 compiler needs to take a .cu verbatim: the words of CUDA, and blocks whose threads are real threads.
//
// Blocks of a grid run one after another; the threads of a block all at once, and meet at __syncthreads(), which is a
// barrier that ThreadSanitizer knows. So __shared__ memory is static memory, and a missing barrier is a data race.
// Two barriers take turns: to ThreadSanitizer, a thread that wakes up late from a barrier comes after whatever others
// did until they reached that barrier again, and with one barrier hardly a race between two rounds would be seen.

#pragma once

#include <pthread.h>

#include <thread>
#include <vector>

#include "vector_words.h"

static thread_local Place threadIdx, blockIdx;
static Place blockDim, gridDim;
static pthread_barrier_t barriers[2];
static thread_local unsigned int rounds;

inline void __syncthreads() { pthread_barrier_wait(&barriers[rounds++ % 2]); }

// Run a kernel over a grid; returns when all of it is done.
template <typename... Parameters, typename... Arguments>
void launch(unsigned int grid, unsigned int block, void (*kernel)(Parameters...), Arguments... arguments) {
    gridDim = {grid, 1, 1};
    blockDim = {block, 1, 1};
    for (pthread_barrier_t &barrier : barriers) {
        pthread_barrier_init(&barrier, nullptr, block);
    }
    std::vector<std::thread> threads;
    for (unsigned int thread = 0; thread < block; thread++) {
        threads.emplace_back([=] {
            threadIdx.x = thread;
            for (unsigned int b = 0; b < grid; b++) {
                blockIdx.x = b;
                kernel(static_cast<Parameters>(arguments)...);
                __syncthreads();
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    for (pthread_barrier_t &barrier : barriers) {
        pthread_barrier_destroy(&barrier);
    }
}
