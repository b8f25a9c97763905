// From raw values of a layer to memberships: the steps of src/mpmjax/reference/membership.py in float64, rounded once.
//
// Every function works on N cells, side by side in arrays: branches are on what the layer says, so that all cells of a
// block take the same ones, and the chains of N cells fill each other's waits. A missing cell goes through the
// arithmetic as well, and what comes out of it is dropped.
//
// Clamping to [0, 1] is done once, in float32, after rounding: 0 and 1 are float32, rounding keeps order, and so do
// 1 - mu, mu^2 and sqrt(mu) above 0. Before a hedge, what is below 0 is raised to it.

#pragma once

#include "numerics.cuh"

// One layer: RECORD of src/mpmjax/ops/plan.py, which fills it and says what each number is.
struct MembershipLayer {
    double scale, offset;
    double low, high;
    double floor;
    double p0, p1, p2;
    double nodata_float;
    int64 nodata_int;
    int64 table;
    int64 knots;
    int knot_count;
    uint8 dtype, kind, transform, hedge;
    uint8 complement, has_nodata, scaled, has_range;
    uint32 pad;
};
static_assert(sizeof(MembershipLayer) == 112, "RECORD of ops/plan.py has 112 bytes");

enum Dtype { UINT8, INT8, UINT16, INT16, INT32, UINT32, INT64, FLOAT32, FLOAT64 };
enum Transform { PLAIN, LOG, SQRT };
enum Hedge { UNHEDGED, VERY, SOMEWHAT };
enum Kind { LINEAR, POWER, LARGE, GAUSSIAN, NEAR, MS_LARGE, MS_SMALL, SIGMOID, SHOULDER, CATEGORY, ECDF };

// Inverses of the widths that a layer divides by, 0 where they are not moderate: divisions done once for all cells.
struct Inverses {
    double first, second;
};

MPM_BOTH Inverses inverses_of(const MembershipLayer &layer) {
    const bool is_ms = layer.kind == MS_LARGE || layer.kind == MS_SMALL;
    const double first = is_ms ? layer.p1 : layer.p1 - layer.p0;
    return {inverse_of(first), inverse_of(layer.p2 - layer.p1)};
}

// Raw values to x in the layer's units. Returns the missing cells as bits, cell 0 the lowest.
template <typename T, int N> MPM_BOTH uint32 to_units(const T (&raw)[N], const MembershipLayer &layer, double (&x)[N]) {
    const bool is_float = (T)0.5 != (T)0;
    uint32 missing = 0;
    if (layer.has_nodata) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            const bool equal = is_float ? raw[i] == (T)layer.nodata_float : (int64)raw[i] == layer.nodata_int;
            missing |= (uint32)equal << i;
        }
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
        x[i] = (double)raw[i];
    }
    if (layer.scaled) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            x[i] = plus(times(x[i], layer.scale), layer.offset);
        }
    }
    if (is_float || layer.scaled) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            missing |= (uint32)((high_of(x[i]) & 0x7ff00000) == 0x7ff00000) << i;  // NaN or infinite
        }
    }
    if (layer.has_range) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            missing |= (uint32)(x[i] < layer.low || x[i] > layer.high) << i;
        }
    }
    return missing;
}

template <int N> MPM_BOTH void transform(const MembershipLayer &layer, double (&x)[N]) {
    if (layer.transform == LOG) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            // floor > 0, and positive numbers order as their bits; negative x have negative bits
            const double raised = bits_of(x[i]) > bits_of(layer.floor) ? x[i] : layer.floor;
            x[i] = times(log2_of(raised), 0.3010299956639812);
        }
    } else if (layer.transform == SQRT) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            x[i] = root(not_below_zero(x[i]));
        }
    }
}

// at: for every key (as `ordered` gives it) the last of the ascending knots that is not above it; 0 where all are.
template <int N> MPM_BOTH void search(const double *knots, int count, const int64 (&key)[N], int (&at)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        at[i] = 0;
    }
    for (int left = count; left > 1;) {
        const int half = left >> 1;
#pragma unroll
        for (int i = 0; i < N; i++) {
            at[i] = ordered(fetch(knots + at[i] + half)) <= key[i] ? at[i] + half : at[i];
        }
        left -= half;
    }
}

template <int N> MPM_BOTH void look_up(const MembershipLayer &layer, const double *knots, double (&x)[N]) {
    const int count = layer.knot_count;
    knots += layer.knots;
    const bool has_slack = layer.kind == ECDF && bits_of(layer.p0) != 0;
    int64 key[N];
    int at[N];
#pragma unroll
    for (int i = 0; i < N; i++) {
        key[i] = ordered(has_slack ? plus(x[i], times(layer.p0, is_signed(x[i]) ? -x[i] : x[i])) : x[i]);
        key[i] = key[i] == -1 ? 0 : key[i];  // -0.0 is 0.0
    }
    search(knots, count, key, at);
    if (layer.kind == CATEGORY) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            x[i] = fetch(knots + at[i]) == x[i] ? fetch(knots + count + at[i]) : layer.p0;
        }
        return;
    }
    const int64 first = ordered(fetch(knots));
#pragma unroll
    for (int i = 0; i < N; i++) {
        const double level = fetch(knots + count + at[i]);
        const double rise = times(fetch(knots + 2 * count + at[i]), plus(x[i], -fetch(knots + at[i])));
        x[i] = key[i] < first ? level : plus(rise, level);
    }
}

// 1 up to p0, 0.5 at p1, 0 from p2 on: beyond p0 and p2 the same lines leave [0, 1] and are clamped later.
template <int N> MPM_BOTH void shoulder(const MembershipLayer &layer, const Inverses &inverses, double (&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        const bool is_near = x[i] < layer.p1;
        const double run = is_near ? plus(x[i], -layer.p0) : plus(layer.p2, -x[i]);
        const double width = is_near ? layer.p1 - layer.p0 : layer.p2 - layer.p1;
        const double share = ratio(times(0.5, run), width, is_near ? inverses.first : inverses.second);
        x[i] = x[i] == layer.p1 ? 0.5 : is_near ? plus(1.0, -share) : share;
    }
}

// ms_large and ms_small: q = p1 / (x - p0 + p1) right of p0.
template <int N>
MPM_BOTH void mean_and_deviation(const MembershipLayer &layer, const Inverses &inverses, double (&x)[N]) {
    const bool is_large = layer.kind == MS_LARGE;
    const double left = is_large ? 0.0 : layer.p2;
#pragma unroll
    for (int i = 0; i < N; i++) {
        const double beyond = plus(x[i], -layer.p0);
        const double all = plus(beyond, layer.p1);
        const double q = bits_of(inverses.first) == 0 ? layer.p1 / all : quotient(layer.p1, all);
        x[i] = bits_of(beyond) > 0 ? (is_large ? plus(1.0, -q) : q) : left;
    }
}

// Transformed values to memberships, in place, before complement, hedge and clamp; NaN where a class is not listed.
template <int N>
MPM_BOTH void formula(const MembershipLayer &layer, const Inverses &inverses, const double *knots, double (&x)[N]) {
    const double p0 = layer.p0, p1 = layer.p1;
    switch (layer.kind) {
    case LINEAR:
    case POWER:
#pragma unroll
        for (int i = 0; i < N; i++) {
            x[i] = ratio(plus(x[i], -p0), p1 - p0, inverses.first);
        }
        if (layer.kind == POWER) {
#pragma unroll
            for (int i = 0; i < N; i++) {
                x[i] = exp2_of(times(layer.p2, log2_of(x[i])));
            }
        }
        break;
    case LARGE:
#pragma unroll
        for (int i = 0; i < N; i++) {
            x[i] = reciprocal(plus(1.0, exp2_of(times(p1, plus(log2_of(x[i]), -p0)))));
        }
        break;
    case GAUSSIAN:
#pragma unroll
        for (int i = 0; i < N; i++) {
            const double d = plus(x[i], -p0);
            x[i] = exp2_of(times(p1, times(d, d)));
        }
        break;
    case NEAR:
#pragma unroll
        for (int i = 0; i < N; i++) {
            const double d = plus(x[i], -p0);
            const double sum = fused(p1, times(d, d), 1.0);
            x[i] = high_of(sum) >= 0x7fd00000 ? 0.0 : reciprocal(sum);
        }
        break;
    case MS_LARGE:
    case MS_SMALL:
        mean_and_deviation(layer, inverses, x);
        break;
    case SIGMOID:
#pragma unroll
        for (int i = 0; i < N; i++) {
            x[i] = reciprocal(plus(1.0, exp2_of(times(p1, plus(x[i], -p0)))));
        }
        break;
    case SHOULDER:
        shoulder(layer, inverses, x);
        break;
    default:
        look_up(layer, knots, x);
    }
}

// Complement, hedge, rounding and clamp. NaN stays NaN.
template <int N> MPM_BOTH void finish(const MembershipLayer &layer, double (&x)[N], float (&mu)[N]) {
    if (layer.complement) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            x[i] = plus(1.0, -x[i]);
        }
    }
    if (layer.hedge != UNHEDGED) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            x[i] = x[i] <= 0.0 ? 0.0 : x[i];
            x[i] = layer.hedge == VERY ? times(x[i], x[i]) : root(x[i]);
        }
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
        const float m = rounded(x[i]);
        mu[i] = m <= 0.0f ? 0.0f : m > 1.0f ? 1.0f : m;
    }
}

// x of N cells to memberships: float32, NaN where missing.
template <int N>
MPM_BOTH void units_to_memberships(
    uint32 missing, const MembershipLayer &layer, const Inverses &inverses, const double *knots, double (&x)[N],
    float (&mu)[N]) {
    transform(layer, x);
    formula(layer, inverses, knots, x);
    finish(layer, x, mu);
#pragma unroll
    for (int i = 0; i < N; i++) {
        mu[i] = missing >> i & 1u ? missing_value() : mu[i];
    }
}
