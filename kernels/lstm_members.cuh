// What a warp knows of its cells beside the recurrence: which they are, their layers and inputs, what members say.

#pragma once

#include "lstm_ranks.cuh"
#include "lstm_recurrence.cuh"

#define LSTM_GROUP_SETS 4  // of four groups, one a lane of a row

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

// Sums of posteriors over members: lane t has groups t, 4 + t, 8 + t, 12 + t of both rows of each tile.
template <int M> struct LstmGroups {
    float sums[M][2][LSTM_GROUP_SETS];

    __device__ __forceinline__ void begin() {
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int set = 0; set < LSTM_GROUP_SETS; set++) {
                sums[m][0][set] = sums[m][1][set] = 0.0f;
            }
        }
    }

    // A member's, given its latent as fragments: softmax of log weight - |C (z - mean)|^2 / 2, in base 2.
    template <int TILES>
    __device__ __forceinline__ void add(
        const LstmHeader &head, const uint4 *member, const uint32 (&z)[M][TILES][4], int lane) {
#pragma unroll
        for (int m = 0; m < M; m++) {
            float logs[2][LSTM_GROUP_SETS];
#pragma unroll
            for (int set = 0; set < LSTM_GROUP_SETS; set++) {
                logs[0][set] = logs[1][set] = -1e30f;
#pragma unroll 1
                for (int group = 4 * set; group < 4 * set + 4 && group < head.groups; group++) {
                    float own[2];
                    log_weights(head, member, group, z[m], lane, own);
                    logs[0][set] = lane % 4 == group % 4 ? own[0] : logs[0][set];
                    logs[1][set] = lane % 4 == group % 4 ? own[1] : logs[1][set];
                }
            }
            add_softmax(logs[0], sums[m][0]);
            add_softmax(logs[1], sums[m][1]);
        }
    }

    // Of one group, for both rows of a tile, to all lanes of a row.
    template <int TILES>
    __device__ __forceinline__ static void log_weights(
        const LstmHeader &head, const uint4 *member, int group, const uint32 (&z)[TILES][4], int lane,
        float (&logs)[2]) {
        const uint2 *whiten = part_of<uint2>(member, head.at_whiten) + lane;
        const float2 *bias = part_of<float2>(member, head.at_whiten_bias) + lane % 4;
        float distances[2] = {0.0f, 0.0f};
#pragma unroll
        for (int rows = 0; rows < TILES; rows++) {
            const int at = group * TILES + rows;
            const float2 start = __ldg(bias + 4 * at);
            float whitened[4] = {start.x, start.y, start.x, start.y};
#pragma unroll
            for (int tile = 0; tile < TILES; tile++) {
                const uint2 b = __ldg(whiten + (at * TILES + tile) * LSTM_LANES);
                warp_multiply(whitened, z[tile], b.x, b.x);
                warp_multiply(whitened, z[tile], b.y, b.y);
            }
#pragma unroll
            for (int e = 0; e < 4; e++) {
                distances[e / 2] = fused(whitened[e], whitened[e], distances[e / 2]);
            }
        }
        const float2 own = __ldg(part_of<float2>(member, head.at_group) + group);
#pragma unroll
        for (int row = 0; row < 2; row++) {
            distances[row] += warp_across(distances[row], 1);
            distances[row] += warp_across(distances[row], 2);
            logs[row] = fused(distances[row], -own.y, own.x);
        }
    }

    __device__ __forceinline__ static void add_softmax(
        float (&logs)[LSTM_GROUP_SETS], float (&into)[LSTM_GROUP_SETS]) {
        float most = fmaxf(fmaxf(logs[0], logs[1]), fmaxf(logs[2], logs[3]));
        most = fmaxf(most, warp_across(most, 1));
        most = fmaxf(most, warp_across(most, 2));
        float total = 0.0f;
#pragma unroll
        for (int set = 0; set < LSTM_GROUP_SETS; set++) {
            logs[set] = quick_exp2(logs[set] - most);
            total += logs[set];
        }
        total += warp_across(total, 1);
        total += warp_across(total, 2);
        const float share = 1.0f / total;
#pragma unroll
        for (int set = 0; set < LSTM_GROUP_SETS; set++) {
            into[set] = fused(logs[set], share, into[set]);
        }
    }

    // The group with the largest sum, the first of several; 1 the first group. To all lanes of a row.
    __device__ __forceinline__ int chosen(int m, int row, int lane) const {
        float most = sums[m][row][0];
        int group = lane % 4;
#pragma unroll
        for (int set = 1; set < LSTM_GROUP_SETS; set++) {
            if (sums[m][row][set] > most) {
                most = sums[m][row][set];
                group = 4 * set + lane % 4;
            }
        }
#pragma unroll
        for (int mask = 1; mask <= 2; mask *= 2) {
            const float other = warp_across(most, mask);
            const int other_group = warp_across(group, mask);
            if (other > most || (other == most && other_group < group)) {
                most = other;
                group = other_group;
            }
        }
        return group + 1;
    }
};
