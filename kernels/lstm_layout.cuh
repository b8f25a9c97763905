// What the scorer's kernel reads of an ensemble: one piece of memory, written by src/mpmjax/ops/gpu/fragments.py.
//
// Weights lie in it as fragments, in the order in which the lanes of a warp hand them to mma.sync. Lane 4 g + t has of
// matrix B (16 x 8) the elements (2t, g), (2t + 1, g), (2t + 8, g), (2t + 9, g), as two words of two halves.
//
// Gate columns are ordered so that four tiles of 8 columns are input, forget, cell and output gate of the same 8 units.
// Of the product a lane then has all four gates of units 2t, 2t + 1 of these 8, for cells g and g + 8, and what it
// makes of them, two hidden units of two cells, is half of a fragment of matrix A (16 x 16) of the next step: lane
// 4 g + t has there (g, 2t..), (g + 8, 2t..), (g, 2t + 8..), (g + 8, 2t + 8..). So a hidden state never leaves its
// registers.
//
// Numbers are scaled so that a unit takes few instructions (lstm_recurrence.cuh): input, forget and output columns are
// halved, because sigmoid(x) = tanh(x / 2) / 2 + 1 / 2; hidden states are kept twice as large, so what multiplies them
// is halved.

#pragma once

#include "common.cuh"

#define LSTM_MOST_LAYERS 64
#define LSTM_LANES 32
#define LSTM_OUT_LANES 8  // those that have the first two columns; the others' weights are 0

// The beginning of that memory. What begins with `at_` is in units of 16 bytes: from the beginning of the memory, or,
// below `at_encoder`, from the beginning of a member.
struct alignas(16) LstmHeader {
    int members, layers, features;
    int groups;           // at most 16
    int rank_knots;       // of a layer
    int fav_knots, anomaly_knots;
    float trust, cut, noise_base, noise_spread, high_r, high_risk;
    int at_weight;        // float [layers], of a layer in favourability
    int at_layer_rank;    // float [layers][rank_knots]
    int at_fav, at_anomaly;  // float [3][knots]: x ascending, y, and slope of the line from a knot to the next
    int at_members, member_size;
    int at_encoder, at_decoder;            // LstmStage
    int at_encoder_bias, at_decoder_bias;  // float4 [layers][H / 8][4 lanes of a row][2], gates of two units
    int at_latent;        // uint4 [TILES][H / 16][32]: fragments of the weights, then of what rounding left of them
    int at_latent_bias;   // float2 [TILES][4]
    int at_opinion;       // float2 [TILES][4], then the constant: favourability by latent
    int at_residual;      // float2 [layers]: what is taken off, and 1 / scale
    int at_whiten;        // uint2 [groups][TILES of rows][TILES of latents][32]: rounded weights, and what was left
    int at_whiten_bias;   // float2 [groups][TILES][4]
    int at_group;         // float2 [groups]: log weight, and what a squared distance is multiplied by; both base 2
};

// What a step reads again and again, in shared memory: of the encoder or of the decoder of one member.
template <int H, int TILES> struct alignas(16) LstmStage {
    int order[LSTM_MOST_LAYERS];                        // the layer of a step
    uint4 recurrent[H / 8][H / 16][2][LSTM_LANES];      // by 8 units and 16 states: (input, forget), (cell, output)
    uint4 input[H / 8][TILES][LSTM_LANES];              // by 8 units and 8 inputs: the four gates
    uint2 out[H / 16][LSTM_OUT_LANES];                  // column 0 the output's weights, 1 what rounding left of them
};
