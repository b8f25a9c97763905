// Words of a warp: products of fragments, tanh, pairs of halves, values of other lanes, copies into shared memory.
//
// A plain C++17 compiler gets them from tests/kernels/warp_words.h, which emulates warps; the scalar ones are here for
// both.

#pragma once

#include "common.cuh"

#ifdef __CUDACC__

// c += a b with a 16 x 16 and b 16 x 8 of halves, c 16 x 8 of floats; who has which elements: lstm_layout.cuh.
__device__ __forceinline__ void warp_multiply(float (&c)[4], const uint32 (&a)[4], uint32 b0, uint32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The value of the lane whose number differs from this one's by the bits of `mask`, or that of lane `from`.
template <typename T> __device__ __forceinline__ T warp_across(T value, int mask) {
    return __shfl_xor_sync(0xffffffffu, value, mask);
}
template <typename T> __device__ __forceinline__ T warp_take(T value, int from) {
    return __shfl_sync(0xffffffffu, value, from);
}

// What lanes wrote to shared memory before it, all lanes of the warp can read after it.
__device__ __forceinline__ void warp_meet() { __syncwarp(); }

// Begin to copy 16 bytes; done when this thread has called `copies_wait`, and for all threads after a barrier.
__device__ __forceinline__ void copy_begin(uint4 *shared, const uint4 *global) {
    asm volatile("{ .reg .u64 wide; .reg .u32 place; cvta.to.shared.u64 wide, %0; cvt.u32.u64 place, wide; "
                 "cp.async.cg.shared.global [place], [%1], 16; }" ::"l"(shared), "l"(global)
                 : "memory");
}
__device__ __forceinline__ void copies_wait() { asm volatile("cp.async.wait_all;" ::: "memory"); }

#endif

// The upper half of a word gets `high`, the lower `low`, each rounded to the next float16.
MPM_BOTH uint32 halves_of(float low, float high) {
#ifdef __CUDA_ARCH__
    uint32 both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
#else
    const uint32 first = half_of(__builtin_fabsf(low)) | (__builtin_signbit(low) ? 0x8000u : 0u);
    const uint32 second = half_of(__builtin_fabsf(high)) | (__builtin_signbit(high) ? 0x8000u : 0u);
    return first | second << 16;
#endif
}

// A finite float16, given by its bits.
MPM_BOTH float float_of_half(uint16 half) {
#ifdef __CUDA_ARCH__
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
    return value;
#else
    // In the place of a float32's bits a half is 2^112 times too small, subnormal or not.
    const float magnitude = float_of((half & 0x7fff) << 13) * 5192296858534827628530496329220096.0f;
    return half & 0x8000 ? -magnitude : magnitude;
#endif
}

// tanh with a relative error below 2^-11, one instruction on a card. On a CPU as rough as that: rounded to 11 bits.
MPM_BOTH float quick_tanh(float x) {
#ifdef __CUDA_ARCH__
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return float_of((bits_of(__builtin_tanhf(x)) + (1 << 12)) & ~((1 << 13) - 1));
#endif
}

// 2^x and log2(x), relative and (near 1) absolute errors below 2^-21.
MPM_BOTH float quick_exp2(float x) {
#ifdef __CUDA_ARCH__
    float y;
    asm("ex2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return __builtin_exp2f(x);
#endif
}
MPM_BOTH float quick_log2(float x) {
#ifdef __CUDA_ARCH__
    float y;
    asm("lg2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return __builtin_log2f(x);
#endif
}

// Two numbers of two rows as a fragment of A whose columns 0..7 are rounded and whose columns 8..15 are what that left:
// times a B with equal halves the product has the numbers to 22 bits.
MPM_BOTH void split(const float (&row)[2], const float (&lower_row)[2], uint32 (&fragment)[4]) {
    fragment[0] = halves_of(row[0], row[1]);
    fragment[1] = halves_of(lower_row[0], lower_row[1]);
    fragment[2] = halves_of(row[0] - float_of_half((uint16)fragment[0]),
                            row[1] - float_of_half((uint16)(fragment[0] >> 16)));
    fragment[3] = halves_of(lower_row[0] - float_of_half((uint16)fragment[1]),
                            lower_row[1] - float_of_half((uint16)(fragment[1] >> 16)));
}
