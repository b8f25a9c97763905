// Words that all kernels share. Read by nvcc, by NVRTC (which has no header of the host, so none is included) and by a
// plain C++17 compiler, with which tests/kernels/ tries the same functions and kernels on a CPU.
//
// Products and sums that must be rounded one by one are `times` and `plus`, those that must not be are `fused`: no
// flag of a compiler (-fmad, -ffp-contract) changes a digit.

#pragma once

#ifndef __CUDACC__
#define __host__
#define __device__
#define __forceinline__ inline
#endif

#define MPM_BOTH __host__ __device__ __forceinline__

typedef unsigned char uint8;
typedef unsigned short uint16;
typedef unsigned int uint32;
typedef long long int64;
typedef unsigned long long uint64;

static_assert(sizeof(uint16) == 2 && sizeof(uint32) == 4 && sizeof(int64) == 8, "as in NumPy");

#ifdef __CUDA_ARCH__

MPM_BOTH int64 bits_of(double x) { return __double_as_longlong(x); }
MPM_BOTH double double_of(int64 bits) { return __longlong_as_double(bits); }
MPM_BOTH int bits_of(float x) { return __float_as_int(x); }
MPM_BOTH float float_of(int bits) { return __int_as_float(bits); }
MPM_BOTH double fused(double a, double b, double c) { return __fma_rn(a, b, c); }
MPM_BOTH double times(double a, double b) { return __dmul_rn(a, b); }
MPM_BOTH double plus(double a, double b) { return __dadd_rn(a, b); }
MPM_BOTH double root(double x) { return __dsqrt_rn(x); }
MPM_BOTH float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
MPM_BOTH float root(float x) { return __fsqrt_rn(x); }
MPM_BOTH float rounded(double x) { return __double2float_rn(x); }
template <typename T> MPM_BOTH T fetch(const T *at) { return __ldg(at); }

#else

MPM_BOTH int64 bits_of(double x) {
    int64 bits;
    __builtin_memcpy(&bits, &x, 8);
    return bits;
}
MPM_BOTH double double_of(int64 bits) {
    double x;
    __builtin_memcpy(&x, &bits, 8);
    return x;
}
MPM_BOTH int bits_of(float x) {
    int bits;
    __builtin_memcpy(&bits, &x, 4);
    return bits;
}
MPM_BOTH float float_of(int bits) {
    float x;
    __builtin_memcpy(&x, &bits, 4);
    return x;
}
MPM_BOTH double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }
// Volatile, or a compiler that contracts would join them with what comes next.
MPM_BOTH double times(double a, double b) {
    volatile double product = a * b;
    return product;
}
MPM_BOTH double plus(double a, double b) {
    volatile double sum = a + b;
    return sum;
}
MPM_BOTH double root(double x) { return __builtin_sqrt(x); }
MPM_BOTH float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
MPM_BOTH float root(float x) { return __builtin_sqrtf(x); }
MPM_BOTH float rounded(double x) { return (float)x; }
template <typename T> MPM_BOTH T fetch(const T *at) { return *at; }

#endif

// The upper half of a float64 as an integer: sign, exponent and 20 bits of mantissa.
MPM_BOTH int high_of(double x) { return (int)(bits_of(x) >> 32); }

// Whether a float64 is below 0 or is -0.0 (or a NaN with that sign). Integers compare at full rate on every card.
MPM_BOTH bool is_signed(double x) { return high_of(x) < 0; }

// x, or 0.0 where x is below it or is -0.0.
MPM_BOTH double not_below_zero(double x) { return is_signed(x) ? 0.0 : x; }

MPM_BOTH float missing_value() { return float_of(0x7fc00000); }

// The bits of the float16 next to a float32 that is 0..1 and not NaN; ties to even, as NumPy does.
MPM_BOTH uint16 half_of(float x) {
#ifdef __CUDA_ARCH__
    uint16 half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(x));
    return half;
#else
    // Below 2^-14 steps are 2^-24: adding 0.5 leaves whole steps, rounded to even, in the low bits of the sum.
    if (x < 6.103515625e-05f) {
        volatile float raised = x + 0.5f;
        return (uint16)(bits_of(raised) - bits_of(0.5f));
    }
    const int bits = bits_of(x) - (112 << 23);  // the bias of float16 is 15, that of float32 127
    return (uint16)((bits + 0xfff + ((bits >> 13) & 1)) >> 13);
#endif
}
