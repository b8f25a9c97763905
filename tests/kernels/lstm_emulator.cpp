// kernels/lstm_score.cu, verbatim, on the CPU: `score_cells` is a launch. Layout and scalar functions besides.

#include "warp_words.h"

#include "lstm_score.cu"

#include <cstddef>

#define TRY(NAME) \
    if (!std::strcmp(name, #NAME)) { \
        return launch(grid, block, seed, NAME, mu, valid, stride, cells, count, pack, maps, classes, there); \
    }

extern "C" {

// What went wrong, or null. The parameters after `seed` are those of the kernels.
const char *score_cells(
    const char *name, unsigned int grid, unsigned int block, unsigned int seed, const float *mu, const uint8 *valid,
    long long stride, const int *cells, int count, const void *pack, float *maps, uint8 *classes, int *there) {
    TRY(lstm_score_h16)
    TRY(lstm_score_h32)
    TRY(lstm_score_h64)
    TRY(lstm_score_h16_wide)
    TRY(lstm_score_h32_wide)
    TRY(lstm_score_h64_wide)
    return "there is no kernel of that name";
}

// sizeof LstmHeader, offsets of its first and last number; sizeof LstmStage by hidden units and tiles.
void lstm_layout(long long *out) {
    const long long numbers[] = {
        sizeof(LstmHeader),          offsetof(LstmHeader, members),   offsetof(LstmHeader, trust),
        offsetof(LstmHeader, at_weight), offsetof(LstmHeader, at_group),  sizeof(LstmStage<16, 1>),
        sizeof(LstmStage<16, 2>),    sizeof(LstmStage<32, 1>),        sizeof(LstmStage<32, 2>),
        sizeof(LstmStage<64, 1>),    sizeof(LstmStage<64, 2>),
    };
    std::memcpy(out, numbers, sizeof(numbers));
}

void frozen_rank_many(const float *values, const float *table, int knots, long long count, float *out) {
    for (long long i = 0; i < count; i++) {
        out[i] = frozen_rank(values[i], table, knots);
    }
}

void layer_rank_many(const float *values, const float *ranks, int knots, long long count, float *out) {
    for (long long i = 0; i < count; i++) {
        out[i] = layer_rank(values[i], ranks, knots);
    }
}

// numbers float [6]: prospectivity, spread, cut, noise_base, noise_spread of each; out: stays.
void stays_many(const float *numbers, long long count, float *out) {
    for (long long i = 0; i < count; i++) {
        const float *n = numbers + 5 * i;
        out[i] = stays(n[0], n[1], n[2], n[3], n[4]);
    }
}

// The driver of layers with these weights (0: not there) and ranks.
int driver_of(const float *weights, const float *ranks, int layers) {
    Driver driver;
    driver.begin();
    for (int l = 0; l < layers; l++) {
        if (weights[l] > 0.0f) {
            driver.add(l, weights[l], ranks[l]);
        }
    }
    return driver.layer;
}

// Mean and standard deviation of numbers that come one by one.
void spread_of(const float *values, int count, float *out) {
    Spread spread;
    spread.begin();
    for (int i = 0; i < count; i++) {
        spread.add(values[i], 1.0f / static_cast<float>(i + 1));
    }
    out[0] = spread.mean;
    out[1] = spread.deviation(1.0f / static_cast<float>(count));
}

void halves_of_many(const float *values, long long count, uint32 *out) {
    for (long long i = 0; i < count; i++) {
        out[i] = halves_of(values[2 * i], values[2 * i + 1]);
    }
}

void float_of_half_many(const uint16 *halves, long long count, float *out) {
    for (long long i = 0; i < count; i++) {
        out[i] = float_of_half(halves[i]);
    }
}

void quick_tanh_many(const float *values, long long count, float *out) {
    for (long long i = 0; i < count; i++) {
        out[i] = quick_tanh(values[i]);
    }
}

void lstm_unit_many(const float *gates, long long count, float *c, float *doubled) {
    for (long long i = 0; i < count; i++) {
        lstm_unit(gates[4 * i], gates[4 * i + 1], gates[4 * i + 2], gates[4 * i + 3], c[i], doubled[i]);
    }
}

}  // extern "C"
