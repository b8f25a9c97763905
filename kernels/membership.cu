// Memberships of a stack of layers, and an overlay over them, in one launch.
//
// Definition: src/mpmjax/reference/presence.py, membership.py and overlay.py. What the layers are computed by is a plan
// (src/mpmjax/ops/plan.py). Nine kernels with one list of parameters:
//
//     membership_{layer,cell}_{f32,f16}[_overlay] and membership_overlay
//
// raw      [layer_count] pointers, each to [cells] values in the dtype of layers[l].dtype, aligned to that dtype
// given    [layer_count] pointers, each to uint8 [cells], 0 where the file's mask leaves a cell out; or null: none is
// layers   MembershipLayer [layer_count]
// tables   float32, the pool of tables of the layers of 8 and 16 bits; not looked at where there are none
// knots    float64, the pool of knots of categories and ecdfs; not looked at where there are none
// mu       in [0, 1], 0 where missing: [layer_count, cells] in order layer, [cells, layer_count] in order cell;
//          float32, or float16 that is the rounded float32. Not touched by membership_overlay
// valid    uint8 in the shape of mu, 1 or 0. Not touched by membership_overlay
// weights  float64 [layer_count], >= 0. Looked at by overlays of kind mean only
// overlay  float32 [cells], of the float32 memberships, NaN where no layer is valid (mean: none of positive weight).
//          Written by the kernels that have it in their name, not touched by the others
//
// All pointers are to the card's memory and belong to the caller, those in raw and given too. What is written (mu,
// valid, overlay) must overlap nothing else; what is read may overlap. There is no scratch. Every element of what is
// written is written, once, so it may be poisoned before.
//
// Grid and block: any grid (x), any block (x) of at most 256 threads; 256 are meant. A thread takes 4 consecutive
// cells, all layers of them, then the next 4 a whole grid on: grids of a few blocks a multiprocessor are enough. Raw
// values, masks and results go as vectors of 4 cells where their addresses allow: in all layers where the number of
// cells is a multiple of 4, and slices of raw values and masks start at one.
//
// Bits of a cell depend on its raw values and the plan alone: not on grid, block, order, place or number of cells.
//
// Shared memory: the inverses of the first 64 layers; in order cell besides, 8 layers of 1024 cells on their way from
// the order they are computed in to the order they are written in. Registers by architecture: README.md beside this
// file, by gate.py, which holds the budgets below.

// budget membership_layer_f32: registers 64, stack 0, spills 0, shared 1024
// budget membership_layer_f16: registers 64, stack 0, spills 0, shared 1024
// budget membership_cell_f32: registers 64, stack 0, spills 0, shared 33920
// budget membership_cell_f16: registers 64, stack 0, spills 0, shared 33920
// budget membership_layer_f32_overlay: registers 80, stack 0, spills 0, shared 1024
// budget membership_layer_f16_overlay: registers 80, stack 0, spills 0, shared 1024
// budget membership_cell_f32_overlay: registers 80, stack 0, spills 0, shared 33920
// budget membership_cell_f16_overlay: registers 80, stack 0, spills 0, shared 33920
// budget membership_overlay: registers 80, stack 0, spills 0, shared 1024

#include "membership.cuh"
#include "overlay.cuh"

#define THREADS 256
#define CELLS 4        // of a thread, side by side
#define PREPARED 64    // layers whose inverses are computed once a block; of those beyond, once a thread and 4 cells
#define STAGED 8       // layers that order cell writes together
#define STAGE_ROW (THREADS * CELLS + 4)

// What a kernel is given, but for where it writes memberships.
struct Stack {
    const void *const *raw;
    const uint8 *const *given;
    const MembershipLayer *layers;
    const float *tables;
    const double *knots;
    int layer_count;
    int64 cells;
};

template <typename V> __device__ __forceinline__ bool is_aligned(const void *at) {
    return (unsigned long long)at % sizeof(V) == 0;
}

// Vectors of 4 cells, for __ldg; those of 8 bytes a cell come in two halves.
template <int BYTES> struct Four;
template <> struct Four<1> { typedef uint32 Part; };
template <> struct Four<2> { typedef uint2 Part; };
template <> struct Four<4> { typedef uint4 Part; };
template <> struct Four<8> { typedef uint4 Part; };

// Cells first .. first + 3 of an array, 0 beyond `count` of them.
template <typename T>
__device__ __forceinline__ void load(const T *array, int64 first, int count, T (&cells)[CELLS]) {
    typedef typename Four<sizeof(T)>::Part Part;
    const T *from = array + first;
    if (count == CELLS && is_aligned<Part>(from)) {
        union {
            Part parts[sizeof(T) * CELLS / sizeof(Part)];
            T cells[CELLS];
        } four;
#pragma unroll
        for (int i = 0; i < (int)(sizeof(T) * CELLS / sizeof(Part)); i++) {
            four.parts[i] = __ldg((const Part *)from + i);
        }
#pragma unroll
        for (int i = 0; i < CELLS; i++) {
            cells[i] = four.cells[i];
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < CELLS; i++) {
        cells[i] = i < count ? __ldg(from + i) : (T)0;
    }
}

// The first `count` of 4 cells to `to`.
template <typename T> __device__ __forceinline__ void store(T *to, int count, const T (&cells)[CELLS]) {
    typedef typename Four<sizeof(T)>::Part Part;
    if (count == CELLS && is_aligned<Part>(to)) {
        union {
            Part part;
            T cells[CELLS];
        } four;
#pragma unroll
        for (int i = 0; i < CELLS; i++) {
            four.cells[i] = cells[i];
        }
        *(Part *)to = four.part;
        return;
    }
#pragma unroll
    for (int i = 0; i < CELLS; i++) {
        if (i < count) {
            to[i] = cells[i];
        }
    }
}

// Memberships of a layer by its table.
template <typename T>
__device__ __forceinline__ void by_table(
    const Stack &stack, const MembershipLayer &layer, int l, int64 first, int count, float (&mu)[CELLS]) {
    T raw[CELLS];
    load((const T *)stack.raw[l], first, count, raw);
    const float *table = stack.tables + layer.table;
#pragma unroll
    for (int i = 0; i < CELLS; i++) {
        mu[i] = __ldg(table + raw[i]);
    }
}

// Memberships of a layer by its formula: raw values to x here, by dtype; the rest is the same for all dtypes.
template <typename T>
__device__ __forceinline__ uint32 units_of(
    const Stack &stack, const MembershipLayer &layer, int l, int64 first, int count, double (&x)[CELLS]) {
    T raw[CELLS];
    load((const T *)stack.raw[l], first, count, raw);
    return to_units(raw, layer, x);
}

__device__ __forceinline__ void by_formula(
    const Stack &stack, const Inverses *prepared, int l, int64 first, int count, float (&mu)[CELLS]) {
    const MembershipLayer &layer = stack.layers[l];
    double x[CELLS];
    uint32 missing;
    switch (layer.dtype) {
    case INT32: missing = units_of<int>(stack, layer, l, first, count, x); break;
    case UINT32: missing = units_of<uint32>(stack, layer, l, first, count, x); break;
    case INT64: missing = units_of<int64>(stack, layer, l, first, count, x); break;
    case FLOAT32: missing = units_of<float>(stack, layer, l, first, count, x); break;
    default: missing = units_of<double>(stack, layer, l, first, count, x);
    }
    const Inverses inverses = l < PREPARED ? prepared[l] : inverses_of(layer);
    units_to_memberships(missing, layer, inverses, stack.knots, x, mu);
}

// Memberships of 4 cells in layer l, of which `count` exist: NaN where missing.
__device__ __forceinline__ void evaluate(
    const Stack &stack, const Inverses *prepared, int l, int64 first, int count, float (&mu)[CELLS]) {
    const MembershipLayer &layer = stack.layers[l];
    switch (layer.dtype) {
    case UINT8:
    case INT8: by_table<uint8>(stack, layer, l, first, count, mu); break;
    case UINT16:
    case INT16: by_table<uint16>(stack, layer, l, first, count, mu); break;
    default: by_formula(stack, prepared, l, first, count, mu);
    }
    if (stack.given[l]) {
        uint8 given[CELLS];
        load(stack.given[l], first, count, given);
#pragma unroll
        for (int i = 0; i < CELLS; i++) {
            mu[i] = given[i] ? mu[i] : missing_value();
        }
    }
}

// The running overlays of a thread's cells; without an overlay, nothing.
template <bool OVERLAY> struct Overlays {
    OverlayState states[OVERLAY ? CELLS : 1];
    uint32 seen;

    __device__ __forceinline__ void begin(int kind) {
        seen = 0;
        if constexpr (OVERLAY) {
#pragma unroll
            for (int i = 0; i < CELLS; i++) {
                states[i] = overlay_begin(kind);
            }
        }
    }

    __device__ __forceinline__ void add(int kind, const float (&mu)[CELLS], const double *weights, int l) {
        if constexpr (OVERLAY) {
            const double weight = kind == MEAN ? weights[l] : 1.0;
#pragma unroll
            for (int i = 0; i < CELLS; i++) {
                if (mu[i] == mu[i]) {
                    overlay_add(kind, states[i], mu[i], weight);
                    seen |= 1u << i;
                }
            }
        }
    }

    __device__ __forceinline__ void finish(int kind, double gamma, float *overlay, int64 first, int count) {
        if (OVERLAY && count > 0) {
            float result[CELLS];
#pragma unroll
            for (int i = 0; i < CELLS; i++) {
                result[i] = overlay_finish(kind, states[i], seen >> i & 1u, gamma);
            }
            store(overlay + first, count, result);
        }
    }
};

__device__ __forceinline__ void convert(float mu, float &out) { out = mu; }
__device__ __forceinline__ void convert(float mu, uint16 &out) { out = half_of(mu); }

// Inverses of the first layers, a thread each; the block may read them when this returns.
__device__ __forceinline__ void prepare(const Stack &stack, Inverses *prepared) {
    for (int l = threadIdx.x; l < stack.layer_count && l < PREPARED; l += blockDim.x) {
        prepared[l] = inverses_of(stack.layers[l]);
    }
    __syncthreads();
}

__device__ __forceinline__ int existing(int64 first, int64 cells) {
    return first >= cells ? 0 : cells - first < CELLS ? (int)(cells - first) : CELLS;
}

// Order layer, or the overlay alone (MEMBERSHIPS false).
template <typename OUT, bool MEMBERSHIPS, bool OVERLAY>
__device__ __forceinline__ void by_layer(
    const Stack &stack, OUT *mu, uint8 *valid, const double *weights, int kind, double gamma, float *overlay) {
    __shared__ Inverses prepared[PREPARED];
    prepare(stack, prepared);
    const int64 stride = (int64)gridDim.x * blockDim.x * CELLS;
    for (int64 first = ((int64)blockIdx.x * blockDim.x + threadIdx.x) * CELLS; first < stack.cells; first += stride) {
        const int count = existing(first, stack.cells);
        Overlays<OVERLAY> overlays;
        overlays.begin(kind);
        for (int l = 0; l < stack.layer_count; l++) {
            float values[CELLS];
            evaluate(stack, prepared, l, first, count, values);
            overlays.add(kind, values, weights, l);
            if constexpr (MEMBERSHIPS) {
                OUT out[CELLS];
                uint8 good[CELLS];
#pragma unroll
                for (int i = 0; i < CELLS; i++) {
                    good[i] = values[i] == values[i];
                    convert(good[i] ? values[i] : 0.0f, out[i]);
                }
                store(mu + l * stack.cells + first, count, out);
                store(valid + l * stack.cells + first, count, good);
            }
        }
        overlays.finish(kind, gamma, overlay, first, count);
    }
}

// Order cell. A thread has a layer of 4 cells, but neighbours in memory are the layers of a cell: 8 layers of the
// block's cells go through shared memory, one row a layer, and threads take them out cell by cell.
//
// Sectors of 32 bytes a warp stores at a time, float32: up to 8 layers in all, what the block holds is one piece of
// memory and a warp's 32 values are 4 sectors (5 where it starts inside one), as few as can be. With more layers they
// are pieces of 8 layers, 32 bytes each: 4 pieces of 1 sector where the layers are a multiple of 8, else of up to 2;
// the other part of those comes with the next 8 layers and meets it in L2. Direct stores would touch 32 sectors.
//
// Rows are 4 floats longer than the block's cells: the 4 cells x 8 layers that a warp takes out lie in 32 banks, and
// what it puts in (4 floats a thread, aligned to 16 bytes) goes at full width.
template <typename OUT, bool OVERLAY>
__device__ __forceinline__ void by_cell(
    const Stack &stack, OUT *mu, uint8 *valid, const double *weights, int kind, double gamma, float *overlay) {
    __shared__ Inverses prepared[PREPARED];
    __shared__ float stage[STAGED * STAGE_ROW];
    prepare(stack, prepared);
    const int layers = stack.layer_count;
    const int64 stride = (int64)gridDim.x * blockDim.x * CELLS;
    // All threads of a block go round together, also those whose own cells do not exist: they meet at the barriers.
    for (int64 base = (int64)blockIdx.x * blockDim.x * CELLS; base < stack.cells; base += stride) {
        const int64 first = base + threadIdx.x * CELLS;
        const int count = existing(first, stack.cells);
        const int64 left = stack.cells - base;
        const int there = left < blockDim.x * CELLS ? (int)left : blockDim.x * CELLS;
        Overlays<OVERLAY> overlays;
        overlays.begin(kind);
        for (int start = 0; start < layers; start += STAGED) {
            const int width = layers - start < STAGED ? layers - start : STAGED;
            for (int l = 0; l < width; l++) {
                float values[CELLS];
                evaluate(stack, prepared, start + l, first, count, values);
                overlays.add(kind, values, weights, start + l);
                store(stage + l * STAGE_ROW + threadIdx.x * CELLS, CELLS, values);
            }
            __syncthreads();
            // Value k of the piece is layer k % width of cell k / width; both go on without a division.
            int cell = threadIdx.x / width, layer = threadIdx.x % width;
            const int cells_on = blockDim.x / width, layers_on = blockDim.x % width;
            while (cell < there) {
                const float value = stage[layer * STAGE_ROW + cell];
                const int64 at = (base + cell) * layers + start + layer;
                convert(value == value ? value : 0.0f, mu[at]);
                valid[at] = value == value;
                cell += cells_on;
                layer += layers_on;
                if (layer >= width) {
                    layer -= width;
                    cell++;
                }
            }
            __syncthreads();
        }
        overlays.finish(kind, gamma, overlay, first, count);
    }
}

#define PARAMETERS(OUT)                                                                                                \
    const void *const *__restrict__ raw, const uint8 *const *__restrict__ given,                                       \
        const MembershipLayer *__restrict__ layers, const float *__restrict__ tables,                                  \
        const double *__restrict__ knots, int layer_count, long long cells, OUT *__restrict__ mu,                      \
        uint8 *__restrict__ valid, const double *__restrict__ weights, int overlay_kind, double gamma,                 \
        float *__restrict__ overlay

#define KERNEL(NAME, BLOCKS, OUT, CALL)                                                                                \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) NAME(PARAMETERS(OUT)) {                              \
        CALL({raw, given, layers, tables, knots, layer_count, cells}, mu, valid, weights, overlay_kind, gamma,         \
             overlay);                                                                                                 \
    }

KERNEL(membership_layer_f32, 4, float, (by_layer<float, true, false>))
KERNEL(membership_layer_f16, 4, uint16, (by_layer<uint16, true, false>))
KERNEL(membership_cell_f32, 4, float, (by_cell<float, false>))
KERNEL(membership_cell_f16, 4, uint16, (by_cell<uint16, false>))
KERNEL(membership_layer_f32_overlay, 3, float, (by_layer<float, true, true>))
KERNEL(membership_layer_f16_overlay, 3, uint16, (by_layer<uint16, true, true>))
KERNEL(membership_cell_f32_overlay, 3, float, (by_cell<float, true>))
KERNEL(membership_cell_f16_overlay, 3, uint16, (by_cell<uint16, true>))
KERNEL(membership_overlay, 3, void, (by_layer<void, false, true>))
