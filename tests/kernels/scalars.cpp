// The functions of the headers in kernels/, by themselves, for Python: no word of CUDA is defined here.

#include <cstddef>

#include "membership.cuh"
#include "overlay.cuh"

template <typename T>
static void memberships(const MembershipLayer &layer, const double *knots, const void *raw, int64 cells, float *mu) {
    for (int64 i = 0; i < cells; i++) {
        const T one[1] = {static_cast<const T *>(raw)[i]};
        double x[1];
        float result[1];
        const uint32 missing = to_units(one, layer, x);
        units_to_memberships(missing, layer, inverses_of(layer), knots, x, result);
        mu[i] = result[0];
    }
}

extern "C" {

void exp2_many(const double *t, int64 count, double *out) {
    for (int64 i = 0; i < count; i++) {
        out[i] = exp2_of(t[i]);
    }
}

void log2_many(const double *x, int64 count, double *out) {
    for (int64 i = 0; i < count; i++) {
        out[i] = log2_of(x[i]);
    }
}

void reciprocal_many(const double *x, int64 count, double *out) {
    for (int64 i = 0; i < count; i++) {
        out[i] = reciprocal(x[i]);
    }
}

void refined_many(const double *x, const double *guess, int64 count, double *out) {
    for (int64 i = 0; i < count; i++) {
        out[i] = refined_reciprocal(x[i], guess[i]);
    }
}

void quotient_many(const double *a, const double *b, int64 count, double *out) {
    for (int64 i = 0; i < count; i++) {
        out[i] = quotient(a[i], b[i]);
    }
}

void ratio_many(const double *d, const double *width, int64 count, double *out) {
    for (int64 i = 0; i < count; i++) {
        out[i] = ratio(d[i], width[i], inverse_of(width[i]));
    }
}

void ordered_many(const double *x, int64 count, int64 *out) {
    for (int64 i = 0; i < count; i++) {
        out[i] = ordered(x[i]);
    }
}

void half_many(const float *x, int64 count, uint16 *out) {
    for (int64 i = 0; i < count; i++) {
        out[i] = half_of(x[i]);
    }
}

// Memberships of a layer without a table; 1 where its dtype has one.
int membership_many(const MembershipLayer *layer, const double *knots, const void *raw, int64 cells, float *mu) {
    switch (layer->dtype) {
    case INT32: memberships<int>(*layer, knots, raw, cells, mu); return 0;
    case UINT32: memberships<uint32>(*layer, knots, raw, cells, mu); return 0;
    case INT64: memberships<int64>(*layer, knots, raw, cells, mu); return 0;
    case FLOAT32: memberships<float>(*layer, knots, raw, cells, mu); return 0;
    case FLOAT64: memberships<double>(*layer, knots, raw, cells, mu); return 0;
    }
    return 1;
}

// Overlays of mu [layers, cells], NaN where missing.
void overlay_many(
    const float *mu, const double *weights, int kind, double gamma, int64 layers, int64 cells, float *out) {
    for (int64 i = 0; i < cells; i++) {
        OverlayState state = overlay_begin(kind);
        bool seen = false;
        for (int64 l = 0; l < layers; l++) {
            const float one = mu[l * cells + i];
            if (one == one) {
                overlay_add(kind, state, one, weights[l]);
                seen = true;
            }
        }
        out[i] = overlay_finish(kind, state, seen, gamma);
    }
}

// Size of the struct, then the offset of each field in its order.
int layout(int64 *out) {
#define AT(FIELD) offsetof(MembershipLayer, FIELD)
    const int64 all[] = {
        sizeof(MembershipLayer), AT(scale), AT(offset), AT(low), AT(high), AT(floor), AT(p0), AT(p1), AT(p2),
        AT(nodata_float), AT(nodata_int), AT(table), AT(knots), AT(knot_count), AT(dtype), AT(kind), AT(transform),
        AT(hedge), AT(complement), AT(has_nodata), AT(scaled), AT(has_range), AT(pad)};
    const int count = sizeof(all) / sizeof(all[0]);
    for (int i = 0; i < count; i++) {
        out[i] = all[i];
    }
    return count;
}
}
