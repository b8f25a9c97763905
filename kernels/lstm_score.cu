// Scores of cells from their memberships by an ensemble of LSTM autoencoders, in one launch.
//
// Definition: src/mpmjax/reference/lstm.py. Six kernels with one list of parameters, by hidden units and width:
//
//     lstm_score_h{16,32,64}[_wide]     up to 8 features a step and 8 latents; wide: up to 16 of either
//
// mu       float32 [layers, features, stride], feature 0 the membership; what stands where valid is 0 is not looked at
// valid    uint8 [layers, stride], 1 or 0
// stride   cells of mu and valid
// cells    int32 [count]: which of them are scored, each in 0 .. stride - 1, in any order, any of them several times
// count    1 .. 2^30
// pack     the ensemble, aligned to 16 bytes, as src/mpmjax/ops/gpu/fragments.py writes it: LstmHeader, then the rest
// maps     float32 [7, count]: prospectivity, favourability, anomaly, confidence, risk, spread, coverage
// classes  uint8 [3, count]: groups, quadrants, driver
// there    int32 [count]: layers that the cell has. A cell without any gets numbers that mean nothing
//
// All pointers are to the card's memory and belong to the caller. maps, classes and there must overlap nothing else.
// There is no scratch. Every element of these three is written once, so they may be poisoned before.
//
// Grid and block: any grid (x); a block (x) of whole warps, at most 256 threads. A warp takes 16 cells (M tiles of 16)
// through all members, layer by layer, with states in registers; then the next ones, a whole grid on. Lanes and what
// they hold: lstm_layout.cuh.
//
// Bits of a cell depend on its memberships and the ensemble alone: rows of a product know nothing of each other, and
// all sums over a row's four lanes are taken in one order.
//
// Shared memory: weights of the encoder or the decoder of one member, copied while the block computes with the ones
// before (h16, h32), or between barriers (h64, where two would not fit into the 48 KB that every block may have).
// Registers by architecture, and what they and the instructions of a step allow: README.md beside this file.

// budget lstm_score_h16: registers 128, stack 0, spills 0, shared 7680
// budget lstm_score_h32: registers 128, stack 0, spills 0, shared 21504
// budget lstm_score_h64: registers 255, stack 0, spills 0, shared 38144
// budget lstm_score_h16_wide: registers 128, stack 0, spills 0, shared 9728
// budget lstm_score_h32_wide: registers 128, stack 0, spills 0, shared 25600
// budget lstm_score_h64_wide: registers 255, stack 0, spills 0, shared 42240

#include "lstm_members.cuh"

#define LSTM_THREADS 128

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

// What members say of the own cell, in shared memory: it is touched once a member, and registers are scarce.
struct Tally {
    Spread ranks, opinions;
    float surprise;
};

template <int M>
__device__ __forceinline__ void write(
    const LstmLaunch &launch, const LstmHeader &head, const uint4 *pack, const LstmCells<M> &cells,
    const LstmGroups<M> &groups, const Tally &tally, int lane, float *maps, uint8 *classes, int *there) {
    int group = 0;
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int row = 0; row < 2; row++) {
            const int chosen = groups.chosen(m, row, lane);
            group = cells.is_own(m, row, lane) ? chosen : group;
        }
    }
    const int place = cells.first + cells.own_cell(lane);
    if (lane % 4 >= 2 * M || place >= launch.count) {
        return;
    }
    LstmEvidence evidence;
    evidence.gather(launch, pack, cells.index[cells.own_cell(lane)]);
    const int count = __popcll(cells.present[cells.own_cell(lane)]);
    const float share = 1.0f / (float)head.members, trust = head.trust;
    const float anomaly = frozen_rank(
        tally.surprise * share, part_of<float>(pack, head.at_anomaly), head.anomaly_knots);
    const float rank = frozen_rank(evidence.favourability, part_of<float>(pack, head.at_fav), head.fav_knots);
    const float prospectivity = rank * fused(trust, anomaly, 1.0f) / (1.0f + trust);
    const float spread = rank * trust * tally.ranks.deviation(share) / (1.0f + trust);
    const float risk = tally.opinions.deviation(share);
    const int64 stride = launch.count;
    float *map = maps + place;
    map[0] = prospectivity;
    map[stride] = evidence.favourability;
    map[2 * stride] = anomaly;
    map[3 * stride] = stays(prospectivity, spread, head.cut, head.noise_base, head.noise_spread);
    map[4 * stride] = risk;
    map[5 * stride] = spread;
    map[6 * stride] = (float)count / (float)head.layers;
    uint8 *kind = classes + place;
    kind[0] = (uint8)group;
    kind[stride] = (uint8)(1 + (risk > head.high_risk) + 2 * (tally.opinions.mean < head.high_r));
    kind[2 * stride] = (uint8)evidence.driver.layer;
    there[place] = count;
}

template <int H, int M, int TILES, int BUFFERS>
__device__ __forceinline__ void score(
    const LstmLaunch &launch, const uint4 *pack, float *maps, uint8 *classes, int *there) {
    typedef LstmStage<H, TILES> Stage;
    __shared__ Stage shared[BUFFERS];
    __shared__ Tally tallies[LSTM_THREADS];
    __shared__ LstmCells<M> cells_of_warps[LSTM_THREADS / 32];
    __shared__ LstmGroups<M> groups_of_lanes[LSTM_THREADS];
    const LstmHeader &head = *(const LstmHeader *)pack;
    const uint4 *members = pack + head.at_members;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    Tally &tally = tallies[threadIdx.x];
    LstmGroups<M> &groups = groups_of_lanes[threadIdx.x];
    LstmCells<M> &cells = cells_of_warps[warp];
    const int round = gridDim.x * warps * 16 * M;
    Stages<Stage, BUFFERS> stages;
    stages.begin(shared, members + head.at_encoder);
    // All warps of a block go round together, also those whose cells do not exist: they meet at the barriers.
    for (int base = blockIdx.x * warps * 16 * M; base < launch.count;) {
        cells.choose(launch, head.layers, base + warp * 16 * M, lane);
        groups.begin();
        tally.ranks.begin();
        tally.opinions.begin();
        tally.surprise = 0.0f;
#pragma unroll 1
        for (int member = 0; member < head.members; member++) {
            const uint4 *at = members + (int64)member * head.member_size;
            const uint4 *next = member + 1 < head.members ? at + head.member_size : members;
            LstmState<H, M> state;
            float z[M][TILES][4], surprise[M][2], said[M][2];
            uint32 latent[M][TILES][4];
            const Stage &encoder = stages.take(at + head.at_encoder, at + head.at_decoder);
            encode(launch, cells, head, at, encoder, state, lane);
            lstm_latent(
                state, part_of<uint4>(at, head.at_latent), part_of<float2>(at, head.at_latent_bias), lane, z);
            lstm_split(z, latent);
            opinion(head, at, z, lane, said);
            groups.add(head, at, latent, lane);
            const Stage &decoder = stages.take(at + head.at_decoder, next + head.at_encoder);
            decode(launch, cells, head, at, decoder, latent, state, lane, surprise);
#pragma unroll
            for (int m = 0; m < M; m++) {
                surprise[m][0] = warp_take(surprise[m][0], lane / 4 * 4);
                surprise[m][1] = warp_take(surprise[m][1], lane / 4 * 4);
            }
            const int count = __popcll(cells.present[cells.own_cell(lane)]);
            const float own = cells.own(surprise, lane) / (float)(count > 0 ? count : 1);
            const float share = 1.0f / (float)(member + 1);
            tally.surprise += own;
            tally.ranks.add(frozen_rank(own, part_of<float>(pack, head.at_anomaly), head.anomaly_knots), share);
            tally.opinions.add(cells.own(said, lane), share);
        }
        write(launch, head, pack, cells, groups, tally, lane, maps, classes, there);
        base = cells.first - warp * 16 * M + round;
    }
    copies_wait();  // the last, which nobody reads
}

#define KERNEL(NAME, BLOCKS, H, M, TILES, BUFFERS)                                                                     \
    extern "C" __global__ void __launch_bounds__(LSTM_THREADS, BLOCKS) NAME(                                           \
        const float *__restrict__ mu, const uint8 *__restrict__ valid, long long stride,                               \
        const int *__restrict__ cells, int count, const void *__restrict__ pack, float *__restrict__ maps,       \
        uint8 *__restrict__ classes, int *__restrict__ there) {                                                        \
        score<H, M, TILES, BUFFERS>({mu, valid, stride, cells, count}, (const uint4 *)pack, maps, classes, there);     \
    }

KERNEL(lstm_score_h16, 4, 16, 1, 1, 2)
KERNEL(lstm_score_h32, 3, 32, 1, 1, 2)
KERNEL(lstm_score_h64, 2, 64, 1, 1, 1)
KERNEL(lstm_score_h16_wide, 4, 16, 1, 2, 2)
KERNEL(lstm_score_h32_wide, 3, 32, 1, 2, 2)
KERNEL(lstm_score_h64_wide, 2, 64, 1, 2, 1)
