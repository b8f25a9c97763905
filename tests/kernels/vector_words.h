// Words of CUDA that need no threads: vectors, places, qualifiers. For cuda_words.h and warp_words.h.

#pragma once

#define __global__
#define __shared__ static
#define __launch_bounds__(...)

struct alignas(8) uint2 {
    unsigned int x, y;
};
struct alignas(16) uint4 {
    unsigned int x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct Place {
    unsigned int x = 0, y = 0, z = 0;
};

template <typename T> T __ldg(const T *at) { return *at; }
