// What becomes of a cell's sums: ranks, means of members, driver, confidence. One cell a lane, float32.

#pragma once

#include "lstm_warp.cuh"

#define LSTM_Z_CAP 25.0f
#define LSTM_DRIVE_END 1.01f

// Rank by a frozen CDF, as numpy.interp: the last of equal x counts. table: float [3][knots], x ascending, y, slopes.
MPM_BOTH float frozen_rank(float value, const float *table, int knots) {
    int below = 0, above = knots;  // knots before `below` are <= value, those from `above` on are not
    while (below < above) {
        const int middle = (below + above) / 2;
        if (fetch(table + middle) <= value) {
            below = middle + 1;
        } else {
            above = middle;
        }
    }
    const int knot = below > 0 ? below - 1 : 0;
    const float y = fetch(table + knots + knot);
    const bool outside = below == 0 || below == knots;
    return outside ? y : fused(fetch(table + 2 * knots + knot), value - fetch(table + knot), y);
}

// Rank of a membership, 0..1, among those of a layer's sample: ranks at even steps of it.
MPM_BOTH float layer_rank(float mu, const float *ranks, int knots) {
    const float place = mu * (float)(knots - 1);
    int knot = (int)place;
    knot = knot < 0 ? 0 : knot > knots - 2 ? knots - 2 : knot;
    const float low = fetch(ranks + knot);
    return fused(fetch(ranks + knot + 1) - low, place - (float)knot, low);
}

// What drives a cell: its directed layer with the largest part, the first of several; 0 none, 1 the first layer.
struct Driver {
    float most;
    int layer;

    MPM_BOTH void begin() {
        most = 0.0f;
        layer = 0;
    }

    // Layer l, there, of this weight > 0. The logarithm's base does not change which is largest.
    MPM_BOTH void add(int l, float weight, float rank) {
        const float part = -weight * quick_log2(LSTM_DRIVE_END - rank);
        if (layer == 0 || part > most) {
            most = part;
            layer = l + 1;
        }
    }
};

// Mean and variance of numbers that come one by one; of equal numbers exactly that number and 0.
struct Spread {
    float mean, squares;

    MPM_BOTH void begin() { mean = squares = 0.0f; }

    // `share`: 1 / how many there are with this one.
    MPM_BOTH void add(float value, float share) {
        const float away = value - mean;
        mean = fused(away, share, mean);
        squares = fused(away, value - mean, squares);
    }

    MPM_BOTH float deviation(float share) const {
        const float variance = squares * share;
        return root(variance > 0.0f ? variance : 0.0f);
    }
};

// Probability that a cell stays on its side of the cut.
MPM_BOTH float stays(float prospectivity, float spread, float cut, float noise_base, float noise_spread) {
    const float scale = root(fused(noise_spread, spread * spread, noise_base));
    const float away = prospectivity < cut ? cut - prospectivity : prospectivity - cut;
    return 1.0f / (1.0f + quick_exp2(away / scale * -1.4426950408889634f));
}

MPM_BOTH float between_0_and_1(float x) { return x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x; }

// (residual - median) / scale, squared and capped.
MPM_BOTH float capped_square(float off, float inverse_scale) {
    const float z = off * inverse_scale;
    const float squared = z * z;
    return squared < LSTM_Z_CAP ? squared : LSTM_Z_CAP;
}
