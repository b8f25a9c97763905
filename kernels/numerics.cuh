// exp2, log2 and quotients of float64, in as few float64 instructions as they need: an H100 or A100 has one unit for
// two of float32, cards of sm_86 and sm_89 one for 64. So clamps, signs and exponents are integer arithmetic.
//
// Operations and coefficients are those of src/mpmjax/ops/cpu/numerics.py, but for the quotients: the card has no
// division instruction. float64 instructions: exp2_of 11, log2_of 15, reciprocal 3 and one MUFU, quotient 6, ratio 3.

#pragma once

#include "common.cuh"

// 1 / x to 20 bits, from the upper halves of x and of the answer, 0 where that is subnormal: an instruction of cards.
MPM_BOTH double guessed_reciprocal(double x) {
    double guess;
#ifdef __CUDA_ARCH__
    asm("rcp.approx.ftz.f64 %0, %1;" : "=d"(guess) : "d"(x));
#else
    // As PTX specifies it, so that what a CPU tries is what the card does with its guess.
    const int64 upper = ~0xffffffffll;
    guess = double_of(bits_of(1.0 / double_of(bits_of(x) & upper)) & upper);
    guess = (high_of(guess) & 0x7ff00000) == 0 ? 0.0 : guess;
#endif
    return guess;
}

// From a guess of 1 / x with a relative error e below 2^-18: 1 / x with e^3 and a rounding or two of 2^-53.
MPM_BOTH double refined_reciprocal(double x, double guess) {
    double error = fused(-x, guess, 1.0);
    error = fused(error, error, error);
    return fused(guess, error, guess);
}

// 1 / x, relative error 5e-16, for x in [2^-1021, 2^1022]; up to 2^-1022 for a larger finite x, NaN for infinity.
MPM_BOTH double reciprocal(double x) { return refined_reciprocal(x, guessed_reciprocal(x)); }

// Whether quotients by a width keep far from the ends of float64: |width| in [2^-400, 2^400).
MPM_BOTH bool is_moderate(double width) {
    const int exponent = (high_of(width) >> 20 & 0x7ff) - 1023;
    return exponent >= -400 && exponent < 400;
}

// a / b, rounded as IEEE division does or, rarely, to the neighbour; 0 where b >= 2^1022. a moderate, b >= a > 0.
MPM_BOTH double quotient(double a, double b) {
    const double inverse = reciprocal(b);
    const double q = times(a, inverse);
    const double better = fused(fused(-q, b, a), inverse, q);
    return high_of(b) >= 0x7fd00000 ? 0.0 : better;
}

// What `ratio` needs of a width: 1 / width rounded as IEEE does, or 0 where the width is not moderate.
MPM_BOTH double inverse_of(double width) { return is_moderate(width) ? 1.0 / width : 0.0; }

// d / width, rounded as IEEE division does where that lies in (-2, 2); elsewhere something on the same side of it.
MPM_BOTH double ratio(double d, double width, double inverse) {
    if (bits_of(inverse) == 0) {
        return d / width;
    }
    const double q = times(d, inverse);
    // Markstein: with an inverse that is correctly rounded, one correction by the exact remainder is too.
    const double better = fused(fused(-q, width, d), inverse, q);
    return (high_of(q) & 0x7fffffff) < 0x40000000 ? better : q;  // an infinite q would make NaN of the correction
}

// 2^t, relative error 2.2e-12; t is held to about [-1022, 1023]. At the lower end what is below 2^-1021 is something as
// small. Not for NaN.
MPM_BOTH double exp2_of(double t) {
    const int high = high_of(t);
    t = high > 0x408ff800 ? 1023.0 : t;            // as signed integers, positive numbers stand in their order
    t = (uint32)high > 0xc08ff000u ? -1022.0 : t;  // and as unsigned ones, negative numbers in the reverse order
    const double shifted = plus(t, 6755399441055744.0);  // 1.5 * 2^52 rounds t to an integer, left in the low bits
    const double f = plus(t, -plus(shifted, -6755399441055744.0));
    double series = fused(1.3255228231257278e-06, f, 1.530370254969942e-05);
    series = fused(series, f, 0.0001540345583910365);
    series = fused(series, f, 0.001333347846686674);
    series = fused(series, f, 0.00961812915941748);
    series = fused(series, f, 0.05550410906332183);
    series = fused(series, f, 0.24022650695812942);
    series = fused(series, f, 0.6931471805568319);
    series = fused(series, f, 1.0);
    return double_of((int64)((unsigned long long)bits_of(series) + ((unsigned long long)bits_of(shifted) << 52)));
}

// log2 x, absolute or relative error 1e-15, whichever is more; -inf for x <= 0; 1024 for infinity. Not for NaN.
MPM_BOTH double log2_of(double x) {
    double bias = 4503599627370496.0 + 1023.0;
    if (high_of(x) < 0x00100000) {  // subnormal, 0 or negative: rare, and so worth a branch
        if (!(x > 0.0)) {
            return double_of((int64)0xfff0000000000000ull);
        }
        x = x * 18014398509481984.0;  // 2^54
        bias = 4503599627370496.0 + 1077.0;
    }
    // Counting the exponent from sqrt(1/2) leaves a mantissa in [sqrt(1/2), sqrt(2)).
    const int64 bits = (int64)((unsigned long long)bits_of(x) + (0x3ff0000000000000ull - 0x3fe6a09e667f3bcdull));
    const double mantissa = double_of((bits & 0x000fffffffffffffll) + 0x3fe6a09e667f3bcdll);
    // The exponent in the low bits of 2^52, less 2^52: an integer as a float64 without a conversion.
    const double exponent = plus(double_of((bits >> 52) | 0x4330000000000000ll), -bias);
    const double s = times(plus(mantissa, -1.0), reciprocal(plus(mantissa, 1.0)));
    const double q = times(s, s);
    double series = fused(0.243255611206945, q, 0.2614162599966982);
    series = fused(series, q, 0.32061725306917566);
    series = fused(series, q, 0.4121983897062847);
    series = fused(series, q, 0.5770780173262539);
    series = fused(series, q, 0.9617966939241475);
    series = fused(series, q, 2.885390081777928);
    return fused(s, series, exponent);
}

// An integer that orders as the float64 does, with -0.0 just below 0.0.
MPM_BOTH int64 ordered(double x) {
    const int64 bits = bits_of(x);
    return bits ^ ((bits >> 63) & 0x7fffffffffffffffll);
}
