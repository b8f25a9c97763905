"""The fast memberships against their definition: every kind and dtype, and what hides in real rasters and arrays.

Everything here asks the form that installs anywhere (cpu). How the others agree: test_membership_agreement.py; arrays
in and out: test_membership_arrays.py.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fuzzy_stacks import (
    KERNEL_DTYPES,
    KINDS,
    TABLE_DTYPES,
    expected_of,
    fitted_memberships,
    layer_of,
    layers_drawn,
    params_of,
    raw_values,
    stacks,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import (
    MEMBERSHIP,
    MEMBERSHIP_FLOAT16,
    MEMBERSHIP_FLOAT64_INSIDE,
    assert_close,
    assert_same_bits,
    assert_same_order,
)

from mpmjax.ops.cpu.numerics import exp2, log2
from mpmjax.ops.membership import membership
from mpmjax.ops.plan import MembershipPlan, Overlay, plan_memberships
from mpmjax.types import Layer, Membership

IDENTITY = Membership("linear", {"lo": 0.0, "hi": 1.0})
"""mu = x, exactly, for x in [0, 1]."""


def computed(raw: np.ndarray, layer: Layer, fitted: Membership, backend: str = "cpu") -> tuple[np.ndarray, np.ndarray]:
    """Memberships and validity of one layer."""
    mu, ok, _ = membership([raw], plan_memberships([layer], [fitted]), backend=backend)
    return mu[0], ok[0]


def steep_plan(kind: str) -> MembershipPlan:
    """Three layers of float32 in 0 to 70, the last of them all but a category after a logarithm."""
    knots = np.sort(np.random.default_rng(5).normal(1.2, 0.4, 64)) if kind == "ecdf" else np.arange(64.0)
    transform = "none" if kind == "category" else "log"
    params = params_of(kind, 1.2, 0.3, 3.3) | ({"default": 0.1} if kind == "category" else {})
    fitted = Membership(kind, params, transform, 0.01, True, "somewhat", knots, np.linspace(0.0, 1.0, 64))
    other = Membership("sigmoid", {"midpoint": 20.0, "slope": 0.2})
    layers = [layer_of("float32", name) for name in ("first", "second", "third")]
    return plan_memberships(layers, [other, other, fitted])


# Agreement with the definition


@settings(deadline=None, max_examples=150)
@given(stacks(), st.sampled_from(["float32", "float16"]), st.sampled_from(["layer", "cell"]), st.integers(0, 2))
def test_agrees_with_the_definition(stack, dtype, order, masks):
    layers, fitted, seed = stack
    raw = [raw_values(layer.dtype, seed) for layer in layers]
    shape = min(array.size for array in raw) // 5, 5
    values = [array[-shape[0] * 5 :].reshape(shape) for array in raw]
    valid = np.random.default_rng(seed).random((len(layers), *shape)) < 0.9
    # No masks, an array of them, or a list in which every other layer has none.
    valid[:: {0: 1, 1: len(layers) + 1, 2: 2}[masks]] = True
    given_masks = [None, valid, [None if all_there.all() else all_there for all_there in valid]][masks]
    plan = plan_memberships(layers, fitted)
    mu, ok, joined = membership(values, plan, given_masks, dtype=dtype, order=order, backend="cpu")
    assert joined is None
    assert mu.dtype == dtype
    assert ok.dtype == np.bool_
    assert mu.shape == ok.shape == ((len(layers), *shape) if order == "layer" else (*shape, len(layers)))
    if order == "cell":
        mu, ok = np.moveaxis(mu, -1, 0), np.moveaxis(ok, -1, 0)
    for index, (layer, one) in enumerate(zip(layers, fitted, strict=True)):
        expected = np.where(valid[index], expected_of(values[index], layer, one), np.nan)
        assert np.array_equal(ok[index], ~np.isnan(expected))
        assert not mu[index][~ok[index]].any()
        got = np.where(ok[index], mu[index], np.nan)
        if dtype == "float16":
            assert_close(got, expected, MEMBERSHIP_FLOAT16)
            continue
        # 1 - mu and a logarithm near lo cancel: what is left of 1e-16 is noise in both forms, and a root makes it 1e-8
        cancels = one.complement or one.transform == "log"
        assert_close(got, expected, MEMBERSHIP if cancels else MEMBERSHIP_FLOAT64_INSIDE)
        assert_same_order(got, expected, slack=2.0**-24 if cancels else 0.0)


@pytest.mark.parametrize("dtype", TABLE_DTYPES)
@settings(deadline=None, max_examples=12)
@given(fitted=fitted_memberships(), data=st.data())
def test_tables_are_exact_for_every_code(dtype, fitted, data):
    layer = data.draw(layers_drawn((dtype,)))
    limits = np.iinfo(dtype)
    raw = np.arange(limits.min, limits.max + 1).astype(dtype)
    mu, ok = computed(raw, layer, fitted)
    expected = expected_of(raw, layer, fitted)
    assert np.array_equal(ok, ~np.isnan(expected))
    assert_same_bits(mu, np.where(ok, expected, 0.0).astype(np.float32))


def test_int32_is_exact_near_its_limit():
    """In float32 the subtraction alone is off by .056 of this range."""
    raw = np.arange(2**31 - 1150, 2**31 - 1, dtype=np.int64).astype(np.int32)
    fitted = Membership("linear", {"lo": 2.0**31 - 1100, "hi": 2.0**31 - 100})
    mu, _ = computed(raw, layer_of("int32"), fitted)
    assert_same_bits(mu, expected_of(raw, layer_of("int32"), fitted).astype(np.float32))
    assert mu[550] == np.float32(0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_ecdf_is_interp_bit_for_bit(dtype):
    rng = np.random.default_rng(6)
    sample = np.maximum(np.round(rng.gamma(2.0, 500.0, 5000), -1), 150.0)  # ties, most of them at the lowest value
    levels = np.linspace(0.0, 1.0, 1024)
    quantiles = np.quantile(sample, levels)
    raw = np.concatenate([np.round(rng.gamma(2.0, 500.0, 3000)), quantiles, np.nextafter(quantiles, 0.0), [-1.0, 1e9]])
    raw = raw.astype(dtype)
    mu, _ = computed(raw, layer_of(dtype), Membership("ecdf", knots_x=quantiles, knots_y=levels))
    assert_same_bits(mu, np.interp(raw.astype(float), quantiles, levels).astype(np.float32))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 1023, 1024, 4097])
@pytest.mark.parametrize("power", [1, 2, 4])
@pytest.mark.parametrize("kind", ["ecdf", "category"])
def test_every_knot_is_found(kind, power, size):
    """Of any number of knots, even or crowded: an odd half, or a full bin, is where one is missed. No level is 0."""
    knots, levels = 4.0 * np.arange(float(size)) ** power - 5.0, np.linspace(0.25, 0.75, size)
    fitted = Membership(kind, {"default": 0.125} if kind == "category" else {}, knots_x=knots, knots_y=levels)
    raw = np.concatenate([knots - 1.0, knots, knots + 1.0, np.nextafter(knots, -1e9), np.nextafter(knots, 1e15)])
    mu, ok = computed(raw, layer_of("float64"), fitted)
    assert ok.all()
    assert_same_bits(mu, expected_of(raw, layer_of("float64"), fitted).astype(np.float32))


@pytest.mark.parametrize("limit", [0.1, 0.3, 2.0, 7.0, 50.0])
def test_ecdf_after_a_logarithm_takes_the_whole_step_of_a_tie(limit):
    """A third of the cells lie at the detection limit, some more at twice it: an ulp must not send them a step down."""
    sample = np.concatenate([np.full(300, limit), np.full(200, 2 * limit), np.geomspace(limit, 100 * limit, 500)])
    levels = np.linspace(0.0, 1.0, 1024)
    knots = np.quantile(np.log10(sample), levels)
    fitted = Membership("ecdf", transform="log", floor=1e-4, knots_x=knots, knots_y=levels)
    mu, _ = computed(sample, layer_of("float64"), fitted)
    assert mu[0] > 0.29
    assert_close(mu, expected_of(sample, layer_of("float64"), fitted), MEMBERSHIP)


def test_ecdf_after_a_logarithm_finds_ties_that_begin_a_bin():
    """A logarithm an ulp low lies below the first knot, or in the bin before that of its ties (ops/_guides.py)."""
    low = 0
    for value in np.geomspace(2.0, 1e4, 200):
        place = np.log10(value)
        low += log2(value) * np.log10(2.0) < place
        for before in ([], [0.0, place * (1.0 - 2.0**-13)]):
            knots = np.concatenate([before, np.full(50, place), [2.0 * place]])
            levels = np.linspace(0.0, 1.0, knots.size)
            fitted = Membership("ecdf", transform="log", floor=1e-4, knots_x=knots, knots_y=levels)
            mu, _ = computed(np.array([value]), layer_of("float64"), fitted)
            assert_close(mu, levels[-2:-1], MEMBERSHIP)
    assert low > 5


def test_exp2_and_log2_are_as_accurate_as_stated():
    """The memberships round to float32 and would hide a thousand times as much, but slopes can be steep."""
    rng = np.random.default_rng(2)
    t = np.concatenate([rng.uniform(-1022.0, 1023.0, 3000), rng.uniform(-1.0, 1.0, 3000), [-1022.0, 0.0, 0.5, 1023.0]])
    assert np.abs(np.array([exp2(one) for one in t]) / np.exp2(t) - 1.0).max() < 2.3e-12
    x = np.concatenate(
        [2.0 ** rng.uniform(-1074.0, 1023.0, 3000), rng.uniform(0.7, 1.5, 3000), 1.0 + rng.normal(0, 1e-9, 99)]
    )
    off = np.abs(np.array([log2(one) for one in x]) - np.log2(x))
    assert (off <= 1e-15 * np.maximum(1.0, np.abs(np.log2(x)))).all()
    assert log2(1.0) == 0.0
    assert log2(0.0) == log2(-0.0) == log2(-1.0) == -np.inf


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("large", {"midpoint": 20.0, "spread": 5.0}),
        ("power", {"lo": 0.0, "hi": 20.0, "exponent": 5.0}),
        ("gaussian", {"midpoint": 10.0, "spread": 0.86}),
        ("near", {"midpoint": 10.0, "spread": 1e33}),
        ("sigmoid", {"midpoint": 10.0, "slope": 8.6}),
    ],
)
def test_low_memberships_keep_their_digits(kind, params):
    raw = np.geomspace(1e-6, 9.0, 2000)
    mu, _ = computed(raw, layer_of("float64"), Membership(kind, params))
    expected = expected_of(raw, layer_of("float64"), Membership(kind, params))
    assert 0.0 < expected[0] < 1e-34
    assert_close(mu, expected, MEMBERSHIP_FLOAT64_INSIDE)
    assert_same_order(mu, expected)


@pytest.mark.parametrize("kind", ["large", "small"])
def test_subnormal_values_have_a_logarithm(kind):
    raw = np.array(
        [0.0, 5e-324, 1e-310, 2.21e-308, 2.2250738585072009e-308, 2.2250738585072014e-308, 2.3e-308, 1e-30, 1.0]
    )
    fitted = Membership(kind, {"midpoint": 1.0, "spread": 0.01})
    mu, _ = computed(raw, layer_of("float64"), fitted)
    assert_close(mu, expected_of(raw, layer_of("float64"), fitted), MEMBERSHIP_FLOAT64_INSIDE)


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_of_both_signs_are_one_value(kind):
    """-0.0 has the bits of no other number: the first code, the lowest quantile and every limit are met by it too."""
    knots = np.array([0.0, 1.0, 2.0])
    params = params_of(kind, 0.0, 1.0, 2.0)
    cases = itertools.product(("none",) if kind == "category" else ("none", "log", "sqrt"), ("float32", "float64"))
    for transform, dtype in cases:
        fitted = Membership(kind, params, transform, 1.0, knots_x=knots, knots_y=np.array([0.0, 0.5, 1.0]))
        mu, ok = computed(np.array([-0.0, 0.0], dtype), layer_of(dtype), fitted)
        assert ok.all()
        expected = expected_of(np.array([0.0, 0.0], dtype), layer_of(dtype), fitted)
        assert_close(mu, expected, MEMBERSHIP_FLOAT64_INSIDE)
        assert_same_bits(mu[:1], mu[1:])
        assert not np.signbit(mu).any()


# What is missing


@pytest.mark.parametrize(
    ("dtype", "nodata", "raw", "good"),
    [
        ("float32", 0.1, [0.1, 0.2], [False, True]),  # float32(0.1) is not 0.1
        ("float32", 1e39, [3.4e38, 1.0], [True, True]),
        ("float32", 0.0, [-0.0, 0.0, 1e-45], [False, False, True]),
        ("float64", 0.1, [0.1, 0.10000000000000002], [False, True]),
        ("float64", float("nan"), [float("nan"), 0.0], [False, True]),
        ("uint8", -9999.0, [241, 255], [True, True]),  # -9999 modulo 256 is 241
        ("int16", -9999.0, [-9999, 9999], [False, True]),
        ("uint16", 65535.0, [65535, 65534], [False, True]),
        ("int32", 7.5, [7, 8], [True, True]),
        ("int32", -(2.0**31), [-(2**31), 2**31 - 1], [False, True]),
        ("uint32", 2.0**32 - 1, [2**32 - 1, 2**32 - 2], [False, True]),
        ("uint32", -1.0, [2**32 - 1, 0], [True, True]),
        ("int64", 2.0**62, [2**62, 2**62 + 1], [False, True]),  # one float64, two raw values
        ("int64", -(2.0**63), [-(2**63), -(2**63) + 1], [False, True]),
        ("int64", 2.0**63, [2**63 - 1, -(2**63)], [True, True]),
        ("int64", 2**53 + 1, [2**53, 2**53 + 1, 2**53 + 2], [True, False, True]),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_nodata_is_compared_in_the_dtype_of_the_file(dtype, nodata, raw, good, masked):
    """With a mask besides, that leaves the first cell out."""
    plan = plan_memberships([layer_of(dtype, nodata=nodata)], [Membership("linear", {"lo": -1e-3, "hi": 1e-3})])
    mask = np.arange(len(raw)) > 0
    _, ok, _ = membership([np.array(raw, dtype)], plan, mask[None] if masked else None, backend="cpu")
    assert ok[0].tolist() == (good & mask if masked else np.array(good)).tolist()


@pytest.mark.parametrize("backend", ["cpu", "numpy"])
@pytest.mark.parametrize(("dtype", "digits", "bits"), [("float32", 23, 32), ("float64", 52, 64)])
def test_no_payload_makes_a_nan_a_value(dtype, digits, bits, backend):
    """Quiet and signalling NaN of both signs, with every bit of the payload set in turn."""
    infinite = (1 << (bits - 1)) - (1 << digits)
    positive = np.array([infinite | 1 << bit for bit in range(digits)] + [(1 << (bits - 1)) - 1], f"u{bits // 8}")
    raw = np.concatenate([positive, positive | positive.dtype.type(1 << (bits - 1))]).view(dtype)
    assert np.isnan(raw).all()
    layer = layer_of(dtype, scale=2.0, offset=-1.0, nodata=0.0, valid_range=(-1.0, 1.0))
    mu, ok = computed(raw, layer, IDENTITY, backend)
    assert not ok.any()
    assert_same_bits(mu, np.zeros(raw.size, np.float32))


@pytest.mark.parametrize("dtype", TABLE_DTYPES + KERNEL_DTYPES)
def test_the_valid_range_is_closed_and_in_scaled_units(dtype):
    raw = np.array([0, 1, 2, 3, 4], dtype)
    layer = layer_of(dtype, scale=-0.5, offset=1.0, valid_range=(-0.5, 0.5))
    mu, ok = computed(raw, layer, Membership("linear", {"lo": 0.5, "hi": -0.5}))
    assert ok.tolist() == [False, True, True, True, False]
    assert mu.tolist() == [0.0, 0.0, 0.5, 1.0, 0.0]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_each_step_of_scaling_is_rounded(dtype):
    """Fused, x * scale + offset would be another number than the file's class codes."""
    raw = np.arange(1, 2000).astype(dtype)
    codes = raw.astype(np.float64) * 0.1 + 0.3
    fused = (raw.astype(np.longdouble) * np.longdouble(0.1) + np.longdouble(0.3)).astype(np.float64)
    assert (codes != fused).mean() > 0.05
    scores = np.linspace(0.0, 1.0, codes.size)
    fitted = Membership("category", knots_x=codes, knots_y=scores)
    mu, ok = computed(raw, layer_of(dtype, scale=0.1, offset=0.3), fitted)
    assert ok.all()
    assert_same_bits(mu, scores.astype(np.float32))


def test_what_overflows_in_scaling_is_missing():
    raw = np.array([1e300, -1e300, 1e290, 1.0])
    mu, ok = computed(raw, layer_of("float64", scale=1e10), IDENTITY)
    assert ok.tolist() == [False, False, True, True]
    assert mu.tolist() == [0.0, 0.0, 1.0, 1.0]
    assert computed(raw, layer_of("float64", scale=0.0, offset=0.25), IDENTITY)[0].tolist() == [0.25] * 4


# Where a value stands changes nothing


@pytest.mark.parametrize("kind", KINDS)
def test_bits_depend_on_the_value_alone(kind):
    """Place, size, block of 2048, order, shape, mask, and the layers around it."""
    rng = np.random.default_rng(5)
    raw = np.abs(rng.normal(20.0, 15.0, 5000)).astype(np.float32)
    raw[::7] = np.round(raw[::7])
    plan = steep_plan(kind)
    whole = membership([raw[::-1], raw, raw], plan, backend="cpu").mu
    assert np.unique(whole[2]).size > (2 if kind == "category" else 20)
    assert_same_bits(np.ascontiguousarray(whole[0, ::-1]), whole[1])
    spans = [(0, 1), (1, 2), (0, 511), (3, 515), (511, 1030), (2047, 3000), (2047, 2050), (100, 2148), (1, 4098)]
    for start, stop in [*spans, *np.sort(rng.integers(0, 5000, (20, 2)))]:
        part = [raw[start:stop]] * 3
        mask = rng.random((3, stop - start)) < 0.5
        cell = membership(part, plan, mask, order="cell", backend="cpu")
        assert_same_bits(membership(part, plan, backend="cpu").mu[1:], np.ascontiguousarray(whole[1:, start:stop]))
        assert_same_bits(cell.mu.T[1:].copy(), np.where(mask, whole[:, start:stop], np.float32(0.0))[1:])
        assert np.array_equal(cell.valid.T, mask)
    alone = plan_memberships(plan.layers[2:], plan.memberships[2:])
    turned = np.ascontiguousarray(raw[::-1]).reshape(100, 50)
    assert_same_bits(membership([turned], alone, backend="cpu").mu.reshape(-1)[::-1].copy(), whole[2])


def test_threads_get_the_bits_of_one():
    rng = np.random.default_rng(9)
    plan = steep_plan("gaussian")
    stacks_of_values = [[rng.gamma(2.0, 10.0, 60_000).astype(np.float32) for _ in range(3)] for _ in range(4)]

    def one(values):
        return membership(values, plan, order="cell", overlay=Overlay("gamma"), backend="cpu")

    alone = [one(values) for values in stacks_of_values]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for got, expected in zip(pool.map(one, stacks_of_values), alone, strict=True):
                for ours, theirs in zip(got, expected, strict=True):
                    assert_same_bits(ours, theirs)
