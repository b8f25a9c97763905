// kernels/membership.cu, verbatim, on the CPU: `emulate` is a launch. Built as a library, and into run_case.cpp.

#include <cstring>

#include "cuda_words.h"

#include "membership.cu"

#define TRY(NAME, OUT) \
    if (!std::strcmp(name, #NAME)) { \
        launch(grid, block, NAME, raw, given, layers, tables, knots, layer_count, cells, static_cast<OUT *>(mu), \
               valid, weights, overlay_kind, gamma, overlay); \
        return 0; \
    }

// 0, or 1 where there is no kernel of that name. The parameters after `block` are those of the kernels.
extern "C" int emulate(
    const char *name, unsigned int grid, unsigned int block, const void *const *raw, const uint8 *const *given,
    const MembershipLayer *layers, const float *tables, const double *knots, int layer_count, int64 cells, void *mu,
    uint8 *valid, const double *weights, int overlay_kind, double gamma, float *overlay) {
    TRY(membership_layer_f32, float)
    TRY(membership_cell_f32, float)
    TRY(membership_layer_f32_overlay, float)
    TRY(membership_cell_f32_overlay, float)
    TRY(membership_layer_f16, uint16)
    TRY(membership_cell_f16, uint16)
    TRY(membership_layer_f16_overlay, uint16)
    TRY(membership_cell_f16_overlay, uint16)
    TRY(membership_overlay, void)
    return 1;
}
