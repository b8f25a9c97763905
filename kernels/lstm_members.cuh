// What a warp knows of its cells beside the recurrence: which they are, their layers and inputs, what members say.

#pragma once

#include "lstm_ranks.cuh"
#include "lstm_recurrence.cuh"

// What a launch is given.
struct LstmLaunch {
    const float *mu;
    const uint8 *valid;
    int64 stride;  // cells of mu and valid
    const int *cells;
    int count;

    __device__ __forceinline__ float input(int row, int cell) const { return __ldg(mu + row * stride + cell); }

    // The column of the cell at a place, or of the last cell.
    __device__ __forceinline__ int cell(int place) const {
        return __ldg(cells + (place < count ? place : count - 1));
    }
};

template <typename T> __device__ __forceinline__ const T *part_of(const uint4 *from, int at) {
    return (const T *)(from + at);
}

// The cells of a warp, M tiles of 16, in shared memory: a step reads little of it, and registers are scarce.
//
// Row `row` of tile m is, to lane 4 g + t, cell 16 m + 8 row + g. Numbers that one lane a cell keeps belong to the lane
// with t = 2 m + row: its own cell. With one tile, lanes with t of 2 and 3 do what those with 0 and 1 do.
template <int M> struct LstmCells {
    uint64 present[16 * M];  // bit l: whether layer l is there
    int index[16 * M];       // columns of mu and valid
    int first;               // place of the first of them among those of the launch

    // Those from place `from` on. Beyond the end of the launch the last cell stands in.
    __device__ __forceinline__ void choose(const LstmLaunch &launch, int layers, int from, int lane) {
        warp_meet();  // until the cells before have been read
        if (lane < 16 * M) {
            index[lane] = launch.cell(from + lane);
            const uint8 *valid = launch.valid + index[lane];
            uint64 bits = 0;
            for (int l = 0; l < layers; l++) {
                bits |= (uint64)(__ldg(valid + l * launch.stride) != 0) << l;
            }
            present[lane] = bits;
            first = from;
        }
        warp_meet();
    }

    __device__ __forceinline__ static int row_of(int m, int row, int lane) { return 16 * m + 8 * row + lane / 4; }

    __device__ __forceinline__ static bool is_own(int m, int row, int lane) {
        return lane % (2 * M) == 2 * m + row;
    }
    __device__ __forceinline__ static int own_cell(int lane) { return 8 * (lane % (2 * M)) + lane / 4; }

    // Of numbers that all lanes of a row have, that of the own cell.
    __device__ __forceinline__ static float own(const float (&all)[M][2], int lane) {
        float value = all[0][0];
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int row = 0; row < 2; row++) {
                if (is_own(m, row, lane)) {
                    value = all[m][row];
                }
            }
        }
        return value;
    }

    __device__ __forceinline__ void kept(int layer, int lane, bool (&keep)[M][2]) const {
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int row = 0; row < 2; row++) {
                keep[m][row] = present[row_of(m, row, lane)] >> layer & 1u;
            }
        }
    }
};

// What needs no network: favourability and driver of one cell.
struct LstmEvidence {
    float favourability;
    Driver driver;

    __device__ __forceinline__ void gather(const LstmLaunch &launch, const uint4 *pack, int index) {
        const LstmHeader &head = *(const LstmHeader *)pack;
        const float *weights = part_of<float>(pack, head.at_weight);
        const float *ranks = part_of<float>(pack, head.at_layer_rank);
        float sum = 0.0f, total = 0.0f;
        driver.begin();
        for (int l = 0; l < head.layers; l++) {
            const float weight = __ldg(weights + l);
            if (weight > 0.0f && __ldg(launch.valid + l * launch.stride + index)) {
                const float mu = launch.input(l * head.features, index);
                sum = fused(weight, mu, sum);
                total += weight;
                driver.add(l, weight, layer_rank(mu, ranks + l * head.rank_knots, head.rank_knots));
            }
        }
        favourability = total > 0.0f ? sum / total : 0.5f;
    }
};

// Features of a layer: of tile `tile` features 8 tile + 2t and the next, row 0 and row 1; 0 where there is none.
template <int M, int TILES>
__device__ __forceinline__ void lstm_load(
    const LstmLaunch &launch, const LstmCells<M> &cells, int layer, int features, int lane, float (&x)[M][TILES][4]) {
    bool keep[M][2];
    cells.kept(layer, lane, keep);
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int feature = 8 * tile + lane % 4 * 2 + e % 2;
#pragma unroll
            for (int m = 0; m < M; m++) {
                x[m][tile][e] = 0.0f;
                if (feature < features && keep[m][e / 2]) {
                    x[m][tile][e] = launch.input(layer * features + feature, cells.index[cells.row_of(m, e / 2, lane)]);
                }
            }
        }
    }
}

// Fragments of inputs that have 22 bits.
template <int M, int TILES>
__device__ __forceinline__ void lstm_split(const float (&x)[M][TILES][4], uint32 (&fragments)[M][TILES][4]) {
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
            const float first[2] = {x[m][tile][0], x[m][tile][1]}, second[2] = {x[m][tile][2], x[m][tile][3]};
            split(first, second, fragments[m][tile]);
        }
    }
}
