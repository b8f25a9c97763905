// Running overlays of a cell: begin, add one valid layer after the other, finish. The formulas are those of
// src/mpmjax/reference/overlay.py.
//
// The product is a mantissa with a power of two: it is raised by 2^500 before it can underflow. The sum grows as
// s + mu (1 - s), all terms of one sign, so that it keeps its digits where 1 - prod(1 - mu) would cancel.
// float64 instructions a layer, with the conversion of mu: and, or 0, product 2, sum 3, gamma 4, mean 3.

#pragma once

#include "numerics.cuh"

enum OverlayKind { AND, OR, PRODUCT, SUM, GAMMA, MEAN };  // places in KINDS of reference/overlay.py

// What a cell holds between layers.
struct OverlayState {
    double value;   // sum, gamma: the running sum; mean: of w mu
    double second;  // product, gamma: the mantissa; mean: the sum of w
    int number;     // product, gamma: the mantissa's power of two; and, or: the bits of the extreme
};

MPM_BOTH OverlayState overlay_begin(int kind) { return {0.0, kind == MEAN ? 0.0 : 1.0, kind == AND ? 0x7f800000 : 0}; }

// Take in a membership in [0, 1] that is valid (not NaN, not -0.0).
MPM_BOTH void overlay_add(int kind, OverlayState &state, float mu, double weight) {
    if (kind == AND || kind == OR) {
        const int bits = bits_of(mu);  // of what is not negative: they order as the numbers do
        const bool takes = kind == AND ? bits < state.number : bits > state.number;
        state.number = takes ? bits : state.number;
        return;
    }
    const double wide = (double)mu;
    if (kind == MEAN) {
        state.value = fused(weight, wide, state.value);
        state.second = plus(state.second, weight);
        return;
    }
    if (kind != SUM) {
        const double product = times(state.second, wide);
        const bool low = high_of(product) < 0x20b00000;  // 2^-500
        // 2^500 by its exponent: 0 stays 0, and what is not 0 is at least 2^-649, so normal
        state.second = low && bits_of(product) != 0 ? double_of(bits_of(product) + (500ll << 52)) : product;
        state.number -= low ? 500 : 0;
    }
    if (kind != PRODUCT) {
        state.value = fused(wide, plus(1.0, -state.value), state.value);
    }
}

// The overlay of a cell of which a layer was `seen`; NaN where none was, or for mean none of positive weight.
MPM_BOTH float overlay_finish(int kind, const OverlayState &state, bool seen, double gamma) {
    if (kind == MEAN) {
        return state.second > 0.0 ? rounded(state.value / state.second) : missing_value();
    }
    float result;
    if (kind == AND || kind == OR) {
        result = float_of(state.number);
    } else if (kind == PRODUCT || (kind == GAMMA && gamma == 0.0)) {
        result = state.number == 0 ? rounded(state.second) : 0.0f;  // what was raised is below 2^-500
    } else if (kind == SUM || gamma == 1.0) {
        result = rounded(state.value);
    } else {
        const double product = plus(log2_of(state.second), (double)state.number);
        const double sum = log2_of(state.value);
        result = rounded(exp2_of(plus(times(1.0 - gamma, product), times(gamma, sum))));
    }
    return seen ? result : missing_value();
}
