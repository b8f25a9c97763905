// Which group a cell belongs to: posteriors of members from their latents, their sums, and the largest.

#pragma once

#include "lstm_members.cuh"

#define LSTM_GROUP_SETS 4  // of four groups, one a lane of a row

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
