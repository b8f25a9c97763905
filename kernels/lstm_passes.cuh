// One member over the cells of a warp: its weights come, the encoder runs over the layers, then the decoder back.

#pragma once

#include "lstm_members.cuh"

// Weights on their way into shared memory, in the order in which a block needs them.
template <typename STAGE, int BUFFERS> struct Stages {
    STAGE *buffers;
    int current;

    __device__ __forceinline__ void copy(STAGE *to, const uint4 *from) {
        for (int i = threadIdx.x; i < (int)(sizeof(STAGE) / sizeof(uint4)); i += blockDim.x) {
            copy_begin((uint4 *)to + i, from + i);
        }
    }

    __device__ __forceinline__ void begin(STAGE *shared, const uint4 *first) {
        buffers = shared;
        current = 0;
        if constexpr (BUFFERS == 2) {
            copy(buffers, first);
        }
    }

    // The weights at `now`, and on their way those at `next`. All threads of the block call it together.
    __device__ __forceinline__ const STAGE &take(const uint4 *now, const uint4 *next) {
        if constexpr (BUFFERS == 2) {
            copies_wait();
            __syncthreads();  // what has come is there for all, and nobody reads the other buffer any more
            const STAGE &stage = buffers[current];
            current ^= 1;
            copy(buffers + current, next);
            return stage;
        } else {
            __syncthreads();
            copy(buffers, now);
            copies_wait();
            __syncthreads();
            return buffers[0];
        }
    }
};

// All layers in the member's order, from an empty state.
template <int H, int M, int TILES>
__device__ __forceinline__ void encode(
    const LstmLaunch &launch, const LstmCells<M> &cells, const LstmHeader &head, const uint4 *member,
    const LstmStage<H, TILES> &stage, LstmState<H, M> &state, int lane) {
    const float4 *bias = part_of<float4>(member, head.at_encoder_bias) + lane % 4 * 2;
    state.clear();
    int layer = stage.order[0];
    float x[M][TILES][4];
    lstm_load(launch, cells, layer, head.features, lane, x);
#pragma unroll 1
    for (int step = 0; step < head.layers; step++) {
        uint32 input[M][TILES][4];
        bool keep[M][2];
        lstm_split(x, input);
        cells.kept(layer, lane, keep);
        const float4 *now = bias + layer * H;
        if (step + 1 < head.layers) {  // on its way while this step is computed
            layer = stage.order[step + 1];
            lstm_load(launch, cells, layer, head.features, lane, x);
        }
        lstm_step(state, stage, now, input, keep, lane);
    }
}

// Squared residuals of the decoder, summed over the layers that a cell has; right in lanes whose t is 0.
template <int H, int M, int TILES>
__device__ __forceinline__ void decode(
    const LstmLaunch &launch, const LstmCells<M> &cells, const LstmHeader &head, const uint4 *member,
    const LstmStage<H, TILES> &stage, const uint32 (&z)[M][TILES][4], LstmState<H, M> &state, int lane,
    float (&surprise)[M][2]) {
    const float4 *bias = part_of<float4>(member, head.at_decoder_bias) + lane % 4 * 2;
    const float2 *residuals = part_of<float2>(member, head.at_residual);
    state.clear();
#pragma unroll
    for (int m = 0; m < M; m++) {
        surprise[m][0] = surprise[m][1] = 0.0f;
    }
#pragma unroll 1
    for (int step = head.layers - 1; step >= 0; step--) {
        const int layer = stage.order[step];
        bool keep[M][2];
        float x[M][2], x_hat[M][2];
        cells.kept(layer, lane, keep);
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int row = 0; row < 2; row++) {
                x[m][row] = 0.0f;
                if (keep[m][row]) {
                    x[m][row] = launch.input(layer * head.features, cells.index[cells.row_of(m, row, lane)]);
                }
            }
        }
        const float2 residual = __ldg(residuals + layer);
        lstm_step(state, stage, bias + layer * H, z, keep, lane);
        lstm_output(state, stage, lane, x_hat);
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int row = 0; row < 2; row++) {
                const float squared = capped_square(x[m][row] - x_hat[m][row] - residual.x, residual.y);
                surprise[m][row] += keep[m][row] ? squared : 0.0f;
            }
        }
    }
}

// A member's favourability of both rows of each tile, to all lanes of a row.
template <int M, int TILES>
__device__ __forceinline__ void opinion(
    const LstmHeader &head, const uint4 *member, const float (&z)[M][TILES][4], int lane, float (&said)[M][2]) {
    const float2 *weights = part_of<float2>(member, head.at_opinion);
    const float constant = __ldg((const float *)(weights + 4 * TILES));
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int row = 0; row < 2; row++) {
            float sum = 0.0f;
#pragma unroll
            for (int tile = 0; tile < TILES; tile++) {
                const float2 weight = __ldg(weights + 4 * tile + lane % 4);
                sum = fused(weight.x, z[m][tile][2 * row], fused(weight.y, z[m][tile][2 * row + 1], sum));
            }
            sum += warp_across(sum, 1);
            sum += warp_across(sum, 2);
            said[m][row] = between_0_and_1(sum + constant);
        }
    }
}
