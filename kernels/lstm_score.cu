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
// Grid and block: any grid (x); a block (x) of whole warps, at most 128 threads, which are meant. A warp takes 16 cells
// through all members, layer by layer, with states in registers; then the next ones, a whole grid on. Lanes and what
// they hold: lstm_layout.cuh.
//
// Bits of a cell depend on its memberships and the ensemble alone: rows of a product know nothing of each other, and
// all sums over a row's four lanes are taken in one order.
//
// Shared memory: weights of the encoder or the decoder of one member, copied while the block computes with the ones
// before (h16, h32), or between barriers (h64, where two would not fit into the 48 KB that every block may have); and
// what is touched once a member, for which registers are too few: cells, sums, means. Four blocks of h16, three of h32
// and two of h64 fit on a multiprocessor (sm_86 and sm_89: two of h32_wide), so that some compute while others meet.
// Registers by architecture, and what they and the instructions of a step allow: README.md beside this file.

// budget lstm_score_h16: registers 128, stack 0, spills 0, shared 14240
// budget lstm_score_h32: registers 168, stack 0, spills 0, shared 28704
// budget lstm_score_h64: registers 255, stack 0, spills 0, shared 44832
// budget lstm_score_h16_wide: registers 128, stack 0, spills 0, shared 16288
// budget lstm_score_h32_wide: registers 168, stack 0, spills 0, shared 32800
// budget lstm_score_h64_wide: registers 255, stack 0, spills 0, shared 48928
// steps lstm_score_h16: issued 560, mufu 80, hmma 33, local 0
// steps lstm_score_h32: issued 950, mufu 160, hmma 98, local 0
// steps lstm_score_h64: issued 1850, mufu 320, hmma 324, local 0
// steps lstm_score_h16_wide: issued 660, mufu 80, hmma 49, local 0
// steps lstm_score_h32_wide: issued 1100, mufu 160, hmma 130, local 0
// steps lstm_score_h64_wide: issued 2100, mufu 320, hmma 388, local 0

#include "lstm_groups.cuh"
#include "lstm_passes.cuh"

#define LSTM_THREADS 128

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
