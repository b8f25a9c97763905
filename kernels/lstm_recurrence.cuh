// The LSTM of 16 or 32 cells in the registers of one warp: steps, inputs, latent. Layout of everything: lstm_layout.cuh.
//
// A unit of a cell takes five tanh and five other float32 instructions: with gates tI, tF, tG, tO after tanh,
//
//     c' = (tF c + c + tI tG + tG) / 2 = sigmoid(f) c + sigmoid(i) tanh(g)
//     H' = tO tanh(c') + tanh(c')      = 2 sigmoid(o) tanh(c')
//
// H is twice the hidden state; the weights it meets are halved, which is exact.

#pragma once

#include "lstm_layout.cuh"
#include "lstm_warp.cuh"

// M tiles of 16 cells. Of tile m a lane 4 g + t has cell g (row 0) and cell g + 8 (row 1); of each 8 units 2t, 2t + 1.
template <int H, int M> struct LstmState {
    uint32 h[M][H / 16][4];
    float c[M][H / 8][4];  // row 0 units 2t, 2t + 1, then row 1

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int k = 0; k < H / 16; k++) {
                h[m][k][0] = h[m][k][1] = h[m][k][2] = h[m][k][3] = 0u;
            }
#pragma unroll
            for (int j = 0; j < H / 8; j++) {
                c[m][j][0] = c[m][j][1] = c[m][j][2] = c[m][j][3] = 0.0f;
            }
        }
    }
};

// New c of a unit and twice its new hidden state, from its gates before tanh.
MPM_BOTH void lstm_unit(float i, float f, float g, float o, float &c, float &doubled) {
    const float cell = quick_tanh(g);
    c = 0.5f * (fused(quick_tanh(f), c, c) + fused(quick_tanh(i), cell, cell));
    const float squashed = quick_tanh(c);
    doubled = fused(quick_tanh(o), squashed, squashed);
}

// One step of all cells; those whose `keep` is false stay as they are.
//
// stage: in shared memory. bias: this lane's of the step's layer, float4 [H / 8][4][2] from its t on. input: fragments
// of what enters besides the state.
template <int H, int M, int TILES>
__device__ __forceinline__ void lstm_step(
    LstmState<H, M> &state, const LstmStage<H, TILES> &stage, const float4 *bias, const uint32 (&input)[M][TILES][4],
    const bool (&keep)[M][2], int lane) {
    uint32 next[M][H / 16][4];
#pragma unroll
    for (int j = 0; j < H / 8; j++) {
        const float4 first = __ldg(bias + 8 * j), second = __ldg(bias + 8 * j + 1);
        float gates[M][4][4];
#pragma unroll
        for (int m = 0; m < M; m++) {
            gates[m][0][0] = gates[m][0][2] = first.x;
            gates[m][0][1] = gates[m][0][3] = first.y;
            gates[m][1][0] = gates[m][1][2] = first.z;
            gates[m][1][1] = gates[m][1][3] = first.w;
            gates[m][2][0] = gates[m][2][2] = second.x;
            gates[m][2][1] = gates[m][2][3] = second.y;
            gates[m][3][0] = gates[m][3][2] = second.z;
            gates[m][3][1] = gates[m][3][3] = second.w;
        }
#pragma unroll
        for (int k = 0; k < H / 16; k++) {
#pragma unroll
            for (int pair = 0; pair < 2; pair++) {
                const uint4 b = stage.recurrent[j][k][pair][lane];
#pragma unroll
                for (int m = 0; m < M; m++) {
                    warp_multiply(gates[m][2 * pair], state.h[m][k], b.x, b.y);
                    warp_multiply(gates[m][2 * pair + 1], state.h[m][k], b.z, b.w);
                }
            }
        }
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
            const uint4 b = stage.input[j][tile][lane];
#pragma unroll
            for (int m = 0; m < M; m++) {
                warp_multiply(gates[m][0], input[m][tile], b.x, b.x);
                warp_multiply(gates[m][1], input[m][tile], b.y, b.y);
                warp_multiply(gates[m][2], input[m][tile], b.z, b.z);
                warp_multiply(gates[m][3], input[m][tile], b.w, b.w);
            }
        }
#pragma unroll
        for (int m = 0; m < M; m++) {
            float doubled[4];
#pragma unroll
            for (int e = 0; e < 4; e++) {
                float c = state.c[m][j][e];
                lstm_unit(gates[m][0][e], gates[m][1][e], gates[m][2][e], gates[m][3][e], c, doubled[e]);
                state.c[m][j][e] = keep[m][e / 2] ? c : state.c[m][j][e];
            }
            next[m][j / 2][j % 2 * 2] = halves_of(doubled[0], doubled[1]);
            next[m][j / 2][j % 2 * 2 + 1] = halves_of(doubled[2], doubled[3]);
        }
    }
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int k = 0; k < H / 16; k++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                state.h[m][k][e] = keep[m][e % 2] ? next[m][k][e] : state.h[m][k][e];
            }
        }
    }
}

// The decoder's output of both rows of each tile; right in lanes whose t is 0.
template <int H, int M, int TILES>
__device__ __forceinline__ void lstm_output(
    const LstmState<H, M> &state, const LstmStage<H, TILES> &stage, int lane, float (&x_hat)[M][2]) {
#pragma unroll
    for (int m = 0; m < M; m++) {
        float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
        for (int k = 0; k < H / 16; k++) {
            uint2 b = {0u, 0u};
            if (lane < LSTM_OUT_LANES) {
                b = stage.out[k][lane];
            }
            warp_multiply(sum, state.h[m][k], b.x, b.y);
        }
        x_hat[m][0] = sum[0] + sum[1];
        x_hat[m][1] = sum[2] + sum[3];
    }
}

// The latent: of tile `tile` latents 8 tile + 2t and the next, row 0 and row 1, from weights of 22 bits.
template <int H, int M, int TILES>
__device__ __forceinline__ void lstm_latent(
    const LstmState<H, M> &state, const uint4 *weights, const float2 *bias, int lane, float (&z)[M][TILES][4]) {
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
        const float2 constant = __ldg(bias + 4 * tile + lane % 4);
#pragma unroll
        for (int m = 0; m < M; m++) {
            z[m][tile][0] = z[m][tile][2] = constant.x;
            z[m][tile][1] = z[m][tile][3] = constant.y;
        }
#pragma unroll
        for (int k = 0; k < H / 16; k++) {
            const uint4 b = __ldg(weights + (tile * (H / 16) + k) * LSTM_LANES + lane);
#pragma unroll
            for (int m = 0; m < M; m++) {
                warp_multiply(z[m][tile], state.h[m][k], b.x, b.y);
                warp_multiply(z[m][tile], state.h[m][k], b.z, b.w);
            }
        }
    }
}
