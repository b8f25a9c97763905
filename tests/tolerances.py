"""How far two forms of one number may lie apart, each with its reason. The only file of tolerances.

A value is within a tolerance if it is within `absolute` or within `relative` of what is expected, whichever is more.
What must agree bit for bit has no tolerance and is compared with `assert_same_bits`: tiles against the whole raster,
any number of workers, a killed run against one that was not, one backend against itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tolerance:
    """Largest allowed difference: `absolute`, or `relative` times the expected value."""

    absolute: float
    relative: float
    reason: str


MEMBERSHIP = Tolerance(
    1e-6,
    1e-5,
    "float32 results in [0, 1] hold 6e-8; ten times that and more for forms that take exp and log in float32",
)
MEMBERSHIP_FLOAT64_INSIDE = Tolerance(
    1e-44,
    1e-7,
    "rounding a float64 of relative error 1e-12 to float32 costs 6e-8; below 1e-38 float32 has steps of 1.4e-45",
)
MEMBERSHIP_FLOAT16 = Tolerance(
    1e-6, 5e-4, "rounding to the 11 bits of float16 costs 4.9e-4, and MEMBERSHIP before; subnormal halves hold 3e-8"
)
OVERLAY = Tolerance(1e-6, 1e-5, "as MEMBERSHIP: a sum of L float32 terms or logarithms, taken in float32 at worst")
OVERLAY_FLOAT64_INSIDE = Tolerance(
    1e-44,
    1e-6,
    "accumulated in float64: what is left is the float32 rounding; relative, or an underflow to 0 would pass unseen",
)
RESAMPLING = Tolerance(
    0.02, 1e-5, "coordinates may stray by 1/1000 cell (TOLERANCE in warp.py), the test fields change by up to 8 a cell"
)
DISTANCE = Tolerance(0.0, 1e-6, "exact squared distances in float64, one root, one rounding to float32 (6e-8)")
SCORER = Tolerance(2e-4, 0.0, "tanh and exp by polynomial in float32 through 2 L recurrent steps; ranks in [0, 1]")
SCORER_HALVES = Tolerance(
    8e-3,
    0.0,
    "weights and states of 11 bits, tanh to 2^-11, 2 L recurrent steps, then ranks by ECDFs ten times as steep as 1; "
    "the worst cell of random ensembles is 4e-3 off (64 layers of 64 units), prospectivity of trained ones 1e-4",
)
SCORER_HALVES_RMS = Tolerance(
    1.5e-3, 0.0, "of all cells of a map, for the reasons of SCORER_HALVES; the worst seen is 1e-3"
)
SCORER_HALVES_CALM = Tolerance(
    3e-4, 0.0, "as SCORER_HALVES with a tenth of the weights: a wrong weight, bias or mask is ten times as far off"
)
FUSED_SCALARS = Tolerance(2e-6, 2e-6, "a few roundings of float32 (6e-8) of numbers in [0, 1], exp2 and log2 to 2^-21")
TANH_11_BITS = Tolerance(0.0, 2.0**-11 + 1e-7, "as PTX promises of tanh.approx.f32: a relative error of 2^-11")
HALVES = Tolerance(2.0**-25, 2.0**-11, "rounded to the 11 bits of float16; half a step of its subnormals")
TWO_HALVES = Tolerance(1e-6, 2e-6, "float16 and what rounding left: 22 bits, or float32; subnormal rests hold 3e-8")
VMAPPED_WEIGHTS = Tolerance(
    1e-4, 1e-4, "XLA sums batched products in another order than single ones, and training carries that on"
)
FLOAT64_SUMS = Tolerance(
    1e-12, 1e-9, "the same float64 formula with its sums in another order, through 2 L recurrent steps and a softmax"
)
FLOAT32_OF_FLOAT64 = Tolerance(
    1e-7, 2e-7, "the same float64 formula with its sums in another order, both rounded to float32 (6e-8)"
)
RESIDUAL_SCALE = Tolerance(
    1e-7, 1e-6, "medians of float32 residuals, the centre rounded to float32 (6e-8) before distances from it are taken"
)
FLAX_CELL = Tolerance(2e-6, 1e-5, "float32 LSTM steps against float64 ones: a few roundings of 6e-8 a step")
DENSITY = Tolerance(
    0.0, 2e-7, "int64 sums, or positive numbers in float64, and a rounding to float32 (6e-8) of one or both sides"
)
DISTANCE_FROM_CELLS = Tolerance(
    1e-3, 1e-6, "coordinates of 1e7 m hold 2e-9 m: edges fall into the same cells; then float32 metres, 6e-8"
)
PROXIMITY = Tolerance(1e-6, 0.0, "1 - distance / max_distance from float32 metres (6e-8), rounded to float32 once more")
CELL_AREA = Tolerance(0.0, 1e-5, "bilinear between nodes 20 km apart, and whole units of 2^-16 of the largest cell")
CELL_AREA_OF_POLYGON = Tolerance(
    0.0, 2e-5, "as CELL_AREA, and a polygon has geodesics for edges where those of cells bend"
)
TARGET_AREA = Tolerance(
    0.0, 1e-9, "sums of whole units in float64; on the map, coordinates of 5e6 m hold 1e-9 m, two a side of 33 m"
)
TARGET_MEANS = Tolerance(0.0, 1e-12, "float64 sums of at most 1e6 float32 numbers, each rounding 1e-16 of the sum")
FRACTAL_BREAK = Tolerance(0.0, 0.05, "breaks of 20,000 drawn cells: the worst of 320 draws is 2.0 % off")
FRACTAL_SLOPE = Tolerance(0.0, 0.15, "1 / sqrt(cells of the piece): four of them for the smallest, of 1,250 cells")
MEDIAN_MAD = Tolerance(0.0, 2e-6, "1.4826 stands for 1.482602...; MAD is less than the threshold")
MEDIAN_MAD_OF_BINS = Tolerance(4 / 65_536, 0.0, "half a bin of the median, and 2 x 1.4826 times up to a bin of the MAD")
ANOTHER_GDAL = Tolerance(
    0.0, 1e-6, "the same weighted mean by another GDAL: sums of float64 rounded to float32 (6e-8), some in float32"
)
CORRELATION = Tolerance(1e-10, 1e-10, "the same float64 sums in another order, of at most 1e5 pairs that vary")
SPEARMAN_BY_BINS = Tolerance(
    1e-4,
    0.0,
    "values in one of 262,144 bins of log-odds tie; a spread of 0.01 still has 300 bins, whose ties cost 300^-2 = 1e-5",
)
LOGRATIO = Tolerance(
    1e-12, 1e-12, "logarithms to 1e-15 of parts from 1e-300 to 1e300, up to 690, and float64 sums of at most 60 of them"
)
LOGRATIO_BY_ANOTHER = Tolerance(
    1e-9, 1e-9, "libraries close parts first, and their bases come from matrix products: 60 roundings and more of 1e-16"
)
ROBUST_COVARIANCE = Tolerance(
    1e-8, 1e-6, "the same subset of samples by other coordinates: its covariance and axes by float64 eigenvectors"
)
MEAN_OF_FLOAT32 = Tolerance(1e-12, 1e-10, "a mean of float32 values summed in float64, in another order")

IDW = Tolerance(1e-12, 2e-7, "a mean with positive weights in float64, rounded to float32 (6e-8)")
EXPRESSION_POWER = Tolerance(
    1e-9,
    1e-9,
    "NumPy's powers of whole vectors and of single numbers differ by an ulp, which exp and differences enlarge",
)
KRIGING = Tolerance(
    1e-6,
    1e-6,
    "systems of 2 to 150 equations by two ways: at a condition of 1e8 eight of sixteen digits are left; then float32",
)
NATURAL = Tolerance(
    1e-6,
    1e-6,
    "areas as differences of circumcentres, those of slivers 1e4 times as far away as the samples; the definition cuts "
    "a square 1e4 times as wide, which loses as many digits",
)
LINEAR_IN_TRIANGLES = Tolerance(1e-6, 1e-6, "slivers of 1e-9 of their edges lose nine of sixteen digits; then float32")
VARIOGRAM_FIT = Tolerance(0.0, 0.2, "20 realisations of 1,000 samples scatter by a tenth in sill and range")


FIELD_INSIDE = Tolerance(
    0.02, 0.0, "share of the range: the field goes on beyond the edge, and what is filled in there is a guess"
)
FIELD_GRADIENT = Tolerance(
    0.02, 0.0, "share of the range: differences of second order beside gaps; bodies are four cells deep and deeper"
)
FIELD_UPWARD = Tolerance(0.02, 0.0, "share of the range: as FIELD_INSIDE, from as far away as the height and more")
FIELD_LINEAR = Tolerance(1e-9, 0.0, "share of the range: float64 sums of the same filter, in another order")
FIELD_CONTINUED_TWICE = Tolerance(
    0.01, 0.0, "share of the range: the second time the margin is filled anew, from the smoothed field"
)
FIELD_OTHER_FFT = Tolerance(
    0.02, 0.0, "share of the range: another library's filter, which has the same margin but fills it by its own rule"
)
FIELD_SLOPE_NUMERICALLY = Tolerance(1e-6, 1e-5, "central differences over a metre: 1e-6 of the derivative and rounding")
METRES_OF_DEGREES = Tolerance(0.0, 2e-6, "chords of an arc for the arc, and the widest and narrowest of a row of cells")


def assert_close(actual: np.ndarray, expected: np.ndarray, tolerance: Tolerance) -> None:
    """NaN at the same cells, everything else within the tolerance; says where it is worst."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, f"shapes {actual.shape} and {expected.shape}"
    assert np.array_equal(np.isnan(actual), np.isnan(expected)), "missing cells differ"
    # Only where they differ: equal infinities agree, but their difference is NaN.
    differ = (actual != expected) & ~np.isnan(expected)
    excess = np.zeros(actual.shape)
    allowed = np.maximum(tolerance.absolute, tolerance.relative * np.abs(expected[differ]))
    excess[differ] = np.abs(actual[differ] - expected[differ]) - allowed
    outside = ~(excess <= 0.0)
    if outside.any():
        worst = np.unravel_index(np.argmax(np.nan_to_num(excess, nan=np.inf)), excess.shape)
        raise AssertionError(
            f"{outside.sum()} of {excess.size} values differ; worst at {tuple(map(int, worst))}: "
            f"{actual[worst]!r} where {expected[worst]!r} is expected ({tolerance.reason})"
        )


def assert_same_order(actual: np.ndarray, expected: np.ndarray, slack: float = 0.0) -> None:
    """Where `expected` rises or stays, float32 `actual` falls by no more than its last bit, or `slack` if given."""
    keep = ~np.isnan(expected)
    ranked = np.asarray(actual, np.float32)[keep][np.argsort(expected[keep], kind="stable")]
    assert not np.isnan(ranked).any(), "missing where a value is expected"  # NaN is never above anything
    highest = np.maximum.accumulate(ranked)
    fallen = highest > np.maximum(np.nextafter(ranked, np.float32(np.inf)), ranked + np.float32(slack))
    assert not fallen.any(), f"{fallen.sum()} of {ranked.size} values fall below one that should not lie above them"


def assert_ranks_kept(actual: np.ndarray, expected: np.ndarray, slack: float = 0.0) -> None:
    """`assert_same_order`, and `actual` rises where `expected` >= 0 rises by more than `slack` and 4 ulp of float32."""
    assert_same_order(actual, expected, slack)
    keep = ~np.isnan(expected)
    order = np.argsort(expected[keep], kind="stable")
    ranked = np.asarray(actual, np.float32)[keep][order]
    level = np.maximum(expected[keep][order], 0.0).astype(np.float32)  # numbers >= 0 are ordered as their bits
    below = np.searchsorted(level.view(np.int32), level.view(np.int32) - 4)
    below = np.minimum(below, np.searchsorted(level.astype(np.float64), level - np.float64(slack)))
    highest = np.maximum.accumulate(ranked) if ranked.size else ranked
    equal = (below > 0) & (highest[below - 1] >= ranked) if ranked.size else np.zeros(0, bool)
    assert not equal.any(), f"{equal.sum()} of {ranked.size} values do not lie above some that they should lie above"


def assert_same_bits(actual: np.ndarray, expected: np.ndarray) -> None:
    """Same dtype, same shape, same bytes: 0.0 is not -0.0 here."""
    assert actual.dtype == expected.dtype, f"dtypes {actual.dtype} and {expected.dtype}"
    assert actual.shape == expected.shape, f"shapes {actual.shape} and {expected.shape}"
    differ = np.frombuffer(actual.tobytes(), np.uint8) != np.frombuffer(expected.tobytes(), np.uint8)
    assert not differ.any(), f"{differ.sum()} of {differ.size} bytes differ"
