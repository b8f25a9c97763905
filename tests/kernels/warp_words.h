// What a C++17 compiler needs to take a .cu of warps verbatim: lanes that meet at products, shuffles and barriers.
//
// A block's threads are fibres on one thread of the system. A warp runs until all of its lanes wait: for a product or a
// shuffle, which is then done for all of them at once, or for the block. Lanes of a warp that wait for different things
// are an error, as are threads that end while others wait for them. Between two barriers whole warps run one after
// another, in an order that the launch chooses, each as far ahead as it gets: what needs a barrier and has none reads
// what is not there yet, or not any more. Copies that were begun happen as early or as late as they may.

#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "vector_words.h"

static Place threadIdx, blockIdx, blockDim, gridDim;

namespace warps {

enum Wait { RUNS, MULTIPLIES, TAKES, MEETS, SYNCHRONIZES, ENDED };

struct Lane {
    Wait wait = RUNS;
    bool started = false;
    jmp_buf place;
    ucontext_t first;
    std::unique_ptr<char[]> stack;
    std::vector<std::pair<uint4 *, const uint4 *>> copies;
    float *c;
    const unsigned int *a;
    unsigned int b[2];
    unsigned long long value;
    int from;
};

static const std::size_t STACK = 1 << 18;
static std::vector<Lane> lanes;
static jmp_buf scheduler;
static std::function<void()> body;
static bool copies_are_early;

struct Fault {
    const char *what;
};

inline Lane &current() { return lanes[threadIdx.x]; }

inline void wait_for(Wait what) {
    current().wait = what;
    if (!_setjmp(current().place)) {
        _longjmp(scheduler, 1);
    }
}

inline void run_body() {
    body();
    current().wait = ENDED;
    _longjmp(scheduler, 1);
}

inline void resume(unsigned int thread) {
    threadIdx.x = thread;
    if (_setjmp(scheduler)) {
        return;
    }
    Lane &lane = lanes[thread];
    if (lane.started) {
        _longjmp(lane.place, 1);
    }
    lane.started = true;
    getcontext(&lane.first);
    lane.first.uc_stack.ss_sp = lane.stack.get();
    lane.first.uc_stack.ss_size = STACK;
    lane.first.uc_link = nullptr;
    makecontext(&lane.first, run_body, 0);
    setcontext(&lane.first);
}

inline float half_value(unsigned int half) {
    const int exponent = half >> 10 & 31, mantissa = half & 1023;
    const float magnitude = exponent ? std::ldexp(1024.0f + mantissa, exponent - 25) : std::ldexp(float(mantissa), -24);
    return half & 0x8000 ? -magnitude : magnitude;
}

inline const std::vector<float> &halves() {
    static const std::vector<float> table = [] {
        std::vector<float> values(1 << 16, NAN);
        for (unsigned int half = 0; half < 1 << 16; half++) {
            if ((half >> 10 & 31) != 31) {
                values[half] = half_value(half);
            }
        }
        return values;
    }();
    return table;
}

// m16n8k16 as the PTX ISA has it: who holds which elements of A, B and C.
inline void multiply(Lane *warp) {
    const std::vector<float> &value = halves();
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; lane++) {
        const int group = lane >> 2, in_group = lane & 3;
        for (int i = 0; i < 8; i++) {
            const int row = (i >> 1) % 2 ? group + 8 : group, column = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
            a[row][column] = value[warp[lane].a[i / 2] >> 16 * (i % 2) & 0xffff];
        }
        for (int i = 0; i < 4; i++) {
            b[in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0)][group] = value[warp[lane].b[i / 2] >> 16 * (i % 2) & 0xffff];
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        for (int i = 0; i < 4; i++) {
            const int row = (lane >> 2) + (i >= 2 ? 8 : 0), column = (lane & 3) * 2 + (i & 1);
            float sum = warp[lane].c[i];
            for (int k = 0; k < 16; k++) {
                sum = std::fma(a[row][k], b[k][column], sum);
            }
            warp[lane].c[i] = sum;
        }
    }
}

inline void take(Lane *warp) {
    unsigned long long values[32];
    for (int lane = 0; lane < 32; lane++) {
        values[lane] = warp[warp[lane].from & 31].value;
    }
    for (int lane = 0; lane < 32; lane++) {
        warp[lane].value = values[lane];
    }
}

// Until all lanes wait for the block or have ended.
inline void run_warp(Lane *warp, unsigned int first, std::mt19937 &random) {
    unsigned int order[32];
    for (unsigned int i = 0; i < 32; i++) {
        order[i] = i;
    }
    for (;;) {
        std::shuffle(order, order + 32, random);
        for (unsigned int lane : order) {
            if (warp[lane].wait == RUNS) {
                resume(first + lane);
            }
        }
        const Wait wait = warp[0].wait;
        for (int lane = 0; lane < 32; lane++) {
            if (warp[lane].wait != wait) {
                throw Fault{"lanes of a warp wait for different things"};
            }
        }
        if (wait == SYNCHRONIZES || wait == ENDED) {
            return;
        }
        if (wait == MULTIPLIES) {
            multiply(warp);
        } else if (wait == TAKES) {
            take(warp);
        }
        for (int lane = 0; lane < 32; lane++) {
            warp[lane].wait = RUNS;
        }
    }
}

inline void run_block(std::mt19937 &random) {
    std::vector<unsigned int> order(blockDim.x / 32);
    for (unsigned int i = 0; i < order.size(); i++) {
        order[i] = i;
    }
    for (Lane &lane : lanes) {
        lane.started = false;
        lane.wait = RUNS;
    }
    for (;;) {
        std::shuffle(order.begin(), order.end(), random);
        for (unsigned int warp : order) {
            run_warp(&lanes[warp * 32], warp * 32, random);
        }
        const Wait wait = lanes[0].wait;
        for (Lane &lane : lanes) {
            if (lane.wait != wait) {
                throw Fault{"threads wait for some that have ended"};
            }
            lane.wait = RUNS;
        }
        if (wait == ENDED) {
            return;
        }
    }
}

}  // namespace warps

inline void __syncthreads() { warps::wait_for(warps::SYNCHRONIZES); }
inline void warp_meet() { warps::wait_for(warps::MEETS); }
inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }

inline void warp_multiply(float (&c)[4], const unsigned int (&a)[4], unsigned int b0, unsigned int b1) {
    warps::Lane &lane = warps::current();
    lane.c = c;
    lane.a = a;
    lane.b[0] = b0;
    lane.b[1] = b1;
    warps::wait_for(warps::MULTIPLIES);
}

template <typename T> T warp_take(T value, int from) {
    static_assert(sizeof(T) <= 8, "a register or two");
    warps::Lane &lane = warps::current();
    lane.value = 0;
    std::memcpy(&lane.value, &value, sizeof(T));
    lane.from = from;
    warps::wait_for(warps::TAKES);
    std::memcpy(&value, &warps::current().value, sizeof(T));
    return value;
}

template <typename T> T warp_across(T value, int mask) { return warp_take(value, int(threadIdx.x % 32) ^ mask); }

inline void copy_begin(uint4 *to, const uint4 *from) {
    if (warps::copies_are_early) {
        *to = *from;
    } else {
        warps::current().copies.emplace_back(to, from);
    }
}

inline void copies_wait() {
    for (auto &copy : warps::current().copies) {
        *copy.first = *copy.second;
    }
    warps::current().copies.clear();
}

// Run a kernel over a grid, warps and lanes in an order that `seed` chooses; copies are early where it is odd. Returns
// what went wrong, or null.
template <typename... Parameters, typename... Arguments>
const char *launch(
    unsigned int grid, unsigned int block, unsigned int seed, void (*kernel)(Parameters...), Arguments... arguments) {
    std::mt19937 random(seed);
    gridDim = {grid, 1, 1};
    blockDim = {block, 1, 1};
    warps::copies_are_early = seed % 2;
    warps::lanes = std::vector<warps::Lane>(block);
    for (warps::Lane &lane : warps::lanes) {
        lane.stack.reset(new char[warps::STACK]);
    }
    warps::body = [=] { kernel(static_cast<Parameters>(arguments)...); };
    const char *fault = nullptr;
    try {
        for (unsigned int b = 0; b < grid; b++) {
            blockIdx.x = b;
            warps::run_block(random);
        }
    } catch (const warps::Fault &found) {
        fault = found.what;
    }
    warps::lanes.clear();
    return fault;
}
