"""The fast memberships against their definition: every kind and dtype, and what hides in real rasters."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import (
    MEMBERSHIP,
    MEMBERSHIP_FLOAT64_INSIDE,
    assert_close,
    assert_same_bits,
    assert_same_order,
)

from mpmjax.errors import DataError
from mpmjax.ops.membership import membership, plan_memberships
from mpmjax.reference.membership import membership as reference
from mpmjax.types import Layer, Membership

TABLE_DTYPES = ("uint8", "int8", "uint16", "int16")
KERNEL_DTYPES = ("int32", "uint32", "int64", "float32", "float64")
KINDS = ("linear", "power", "large", "small", "gaussian", "near")
KINDS += ("ms_large", "ms_small", "sigmoid", "shoulder", "category", "ecdf")


def layer_of(dtype: str, name: str = "copper", scale: float = 1.0, offset: float = 0.0) -> Layer:
    return Layer(name, "geochemistry", Path("cu.tif"), 1, dtype, scale=scale, offset=offset)


def expected_of(raw: np.ndarray, layer: Layer, fitted: Membership) -> np.ndarray:
    options = {field.name: getattr(fitted, field.name) for field in dataclasses.fields(fitted)}
    return reference(raw.astype(np.float64) * layer.scale + layer.offset, **options)


def params_of(kind: str, centre: float, width: float, shape: float) -> dict[str, float]:
    """Parameters of a kind that does its rising and falling within about `width` of `centre`."""
    positive = abs(centre) + width
    return {
        "linear": {"lo": centre, "hi": centre + width},
        "power": {"lo": centre + width, "hi": centre, "exponent": shape},
        "large": {"midpoint": positive, "spread": shape},
        "small": {"midpoint": positive, "spread": shape},
        "gaussian": {"midpoint": centre, "spread": shape / width**2},
        "near": {"midpoint": centre, "spread": shape / width**2},
        "ms_large": {"mean": centre, "sd": width, "a": 0.9, "b": shape},
        "ms_small": {"mean": centre, "sd": width, "a": 0.9, "b": shape},
        "sigmoid": {"midpoint": centre, "slope": shape / width},
        "shoulder": {"alpha": centre - width, "beta": centre, "gamma": centre + shape * width},
        "category": {},
        "ecdf": {},
    }[kind]


@st.composite
def fitted_memberships(draw) -> Membership:
    kind = draw(st.sampled_from(KINDS))
    transform = "none" if kind == "category" else draw(st.sampled_from(["none", "none", "log", "sqrt"]))
    furthest = {"none": 4, "log": 0, "sqrt": 2}[transform]
    centre = draw(st.floats(-5.0, 5.0)) * 10.0 ** draw(st.integers(-2, furthest))
    width = draw(st.floats(0.1, 3.0)) * 10.0 ** draw(st.integers(-2, furthest))
    params = params_of(kind, centre, width, draw(st.floats(0.3, 12.0)))
    if kind == "ms_small":
        params["esri_compat"] = draw(st.sampled_from([0.0, 1.0]))
    knots_x = knots_y = None
    if kind == "category":
        codes = draw(st.lists(st.integers(-40, 200), min_size=1, max_size=40, unique=True))
        knots_x, knots_y = np.array(codes, float), np.linspace(0.0, 1.0, len(codes))
        params = draw(st.sampled_from([{}, {"default": 0.3}]))
    if kind == "ecdf":
        size = draw(st.sampled_from([1, 2, 3, 100, 1024]))
        # Rounded, so that quantiles tie, as they do on layers with a detection limit.
        knots_x = np.sort(np.round(np.random.default_rng(size).normal(centre, width, size), 2))
        knots_y = np.linspace(0.0, 1.0, size)
    return Membership(
        kind=kind,
        params=params,
        transform=transform,
        floor=draw(st.sampled_from([1e-3, 0.5])),
        complement=draw(st.booleans()),
        hedge=draw(st.sampled_from(["none", "none", "very", "somewhat"])),
        knots_x=knots_x,
        knots_y=knots_y,
    )


def raw_values(dtype: str, seed: int, cells: int = 90) -> np.ndarray:
    """Values of every size, small integers, and the ends of the dtype; NaN and infinities if it has them."""
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0.0, 10.0 ** rng.integers(-3, 6), cells // 2), rng.integers(-40, 200, cells)])
    if dtype.startswith("float"):
        ends = [0.0, -0.0, 1e-45, 1e-38, -1e38, 1e38, 3.4e38, np.nan, np.inf, -np.inf]
        # float64 layers hold the same values: two that differ by less than a float32 can tell need not keep their order
        return np.concatenate([values, ends]).astype(np.float32).astype(dtype)
    limits = np.iinfo(dtype)
    inside = np.clip(values, max(limits.min, -(2**53)), min(limits.max, 2**53)).astype(dtype)
    return np.concatenate([inside, np.array([limits.min, limits.min + 1, 0, limits.max - 1, limits.max], dtype)])


@st.composite
def stacks(draw) -> tuple[list[Layer], list[Membership], int]:
    """Up to 42 layers, drawn as a few kinds of layer in turn."""
    dtypes = draw(st.lists(st.sampled_from(TABLE_DTYPES + KERNEL_DTYPES), min_size=1, max_size=4))
    units = draw(st.sampled_from([(1.0, 0.0), (0.01, 0.0), (10.0, -3.0), (-1.0, 0.5)]))
    layers = [layer_of(dtype, f"layer {index}", *units) for index, dtype in enumerate(dtypes)]
    fitted = [draw(fitted_memberships()) for _ in dtypes]
    times = draw(st.integers(1, 42 // len(dtypes)))
    return layers * times, fitted * times, draw(st.integers(0, 2**32 - 1))


@settings(deadline=None, max_examples=150)
@given(stacks())
def test_agrees_with_the_definition(stack):
    layers, fitted, seed = stack
    raw = [raw_values(layer.dtype, seed) for layer in layers]
    shape = min(array.size for array in raw) // 5, 5
    values = [array[-shape[0] * 5 :].reshape(shape) for array in raw]
    valid = np.random.default_rng(seed).random((len(layers), *shape)) < 0.9
    mu, ok = membership(values, valid, plan_memberships(layers, fitted))
    assert mu.dtype == np.float32
    assert ok.dtype == np.bool_
    assert mu.shape == ok.shape == valid.shape
    for index, (layer, one) in enumerate(zip(layers, fitted, strict=True)):
        expected = np.where(valid[index], expected_of(values[index], layer, one), np.nan)
        assert np.array_equal(ok[index], ~np.isnan(expected))
        assert not mu[index][~ok[index]].any()
        got = np.where(ok[index], mu[index], np.nan)
        # 1 - mu and a logarithm near lo cancel: what is left of 1e-16 is noise in both forms, and a root makes it 1e-8
        cancels = one.complement or one.transform == "log"
        assert_close(got, expected, MEMBERSHIP if cancels else MEMBERSHIP_FLOAT64_INSIDE)
        assert_same_order(got, expected, slack=2.0**-24 if cancels else 0.0)


@pytest.mark.parametrize("dtype", TABLE_DTYPES)
@settings(deadline=None, max_examples=12)
@given(fitted=fitted_memberships())
def test_tables_are_exact_for_every_code(dtype, fitted):
    limits = np.iinfo(dtype)
    raw = np.arange(limits.min, limits.max + 1).astype(dtype)
    layer = layer_of(dtype, scale=0.5, offset=3.0)
    mu, ok = membership([raw], np.ones((1, raw.size), bool), plan_memberships([layer], [fitted]))
    expected = expected_of(raw, layer, fitted)
    assert np.array_equal(ok[0], ~np.isnan(expected))
    assert_same_bits(mu[0], np.where(ok[0], expected, 0.0).astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_bits_depend_on_the_value_alone(kind):
    rng = np.random.default_rng(5)
    raw = np.abs(rng.normal(20.0, 15.0, 3000)).astype(np.float32)
    raw[::7] = np.round(raw[::7])
    knots = np.sort(rng.normal(1.2, 0.4, 64)) if kind == "ecdf" else np.arange(64.0)
    transform = "none" if kind == "category" else "log"
    params = params_of(kind, 1.2, 0.3, 3.3) | ({"default": 0.1} if kind == "category" else {})
    fitted = Membership(kind, params, transform, 0.01, True, "somewhat", knots, np.linspace(0.0, 1.0, 64))
    plan = plan_memberships([layer_of("float32")], [fitted])
    whole, _ = membership([raw], np.ones((1, raw.size), bool), plan)
    assert np.unique(whole).size > (2 if kind == "category" else 20)
    for start, stop in [(0, 1), (1, 2), (0, 511), (3, 515), (511, 1030), (2047, 3000), *rng.integers(0, 3000, (30, 2))]:
        start, stop = sorted((start, stop))
        part, _ = membership([raw[start:stop]], np.ones((1, stop - start), bool), plan)
        assert_same_bits(part[0], whole[0, start:stop])
    turned = np.ascontiguousarray(raw[::-1]).reshape(60, 50)
    part, _ = membership([turned], np.ones((1, 60, 50), bool), plan)
    assert_same_bits(part.reshape(-1)[::-1], whole[0])


def test_int32_is_exact_near_its_limit():
    """In float32 the subtraction alone is off by .056 of this range."""
    raw = np.arange(2**31 - 1150, 2**31 - 1, dtype=np.int64).astype(np.int32)
    fitted = Membership("linear", {"lo": 2.0**31 - 1100, "hi": 2.0**31 - 100})
    mu, _ = membership([raw], np.ones((1, raw.size), bool), plan_memberships([layer_of("int32")], [fitted]))
    assert_same_bits(mu[0], expected_of(raw, layer_of("int32"), fitted).astype(np.float32))
    assert mu[0, 550] == np.float32(0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_ecdf_is_interp_bit_for_bit(dtype):
    rng = np.random.default_rng(6)
    sample = np.maximum(np.round(rng.gamma(2.0, 500.0, 5000), -1), 150.0)  # ties, most of them at the lowest value
    levels = np.linspace(0.0, 1.0, 1024)
    fitted = Membership("ecdf", knots_x=np.quantile(sample, levels), knots_y=levels)
    raw = np.concatenate([np.round(rng.gamma(2.0, 500.0, 3000)), fitted.knots_x, [-1.0, 1e9]]).astype(dtype)
    mu, _ = membership([raw], np.ones((1, raw.size), bool), plan_memberships([layer_of(dtype)], [fitted]))
    assert_same_bits(mu[0], np.interp(raw.astype(float), fitted.knots_x, levels).astype(np.float32))


@pytest.mark.parametrize("limit", [0.1, 0.3, 2.0, 7.0, 50.0])
def test_ecdf_after_a_logarithm_takes_the_whole_step_of_a_tie(limit):
    """A third of the cells lie at the detection limit, some more at twice it: an ulp must not send them a step down."""
    sample = np.concatenate([np.full(300, limit), np.full(200, 2 * limit), np.geomspace(limit, 100 * limit, 500)])
    levels = np.linspace(0.0, 1.0, 1024)
    knots = np.quantile(np.log10(sample), levels)
    fitted = Membership("ecdf", transform="log", floor=1e-4, knots_x=knots, knots_y=levels)
    mu, _ = membership([sample], np.ones((1, sample.size), bool), plan_memberships([layer_of("float64")], [fitted]))
    assert mu[0, 0] > 0.29
    assert_close(mu[0], expected_of(sample, layer_of("float64"), fitted), MEMBERSHIP)


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
    fitted = Membership(kind, params)
    mu, _ = membership([raw], np.ones((1, raw.size), bool), plan_memberships([layer_of("float64")], [fitted]))
    expected = expected_of(raw, layer_of("float64"), fitted)
    assert 0.0 < expected[0] < 1e-34
    assert_close(mu[0], expected, MEMBERSHIP_FLOAT64_INSIDE)
    assert_same_order(mu[0], expected)


def test_subnormal_values_have_a_logarithm():
    raw = np.array([0.0, 5e-324, 1e-310, 2.3e-308, 1e-30, 1.0])
    fitted = Membership("large", {"midpoint": 1.0, "spread": 0.01})
    mu, _ = membership([raw], np.ones((1, raw.size), bool), plan_memberships([layer_of("float64")], [fitted]))
    assert_close(mu[0], expected_of(raw, layer_of("float64"), fitted), MEMBERSHIP_FLOAT64_INSIDE)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_takes_read_only_strided_and_empty_arrays(dtype):
    fitted = Membership("linear", {"lo": 0.0, "hi": 100.0})
    plan = plan_memberships([layer_of(dtype)], [fitted])
    raw = np.arange(100).astype(dtype).reshape(10, 10)
    expected = (np.arange(100).reshape(10, 10) / 100).astype(np.float32)
    raw.flags.writeable = False
    mu, ok = membership([raw.T], np.ones((1, 10, 10), bool).transpose(0, 2, 1), plan)
    assert_same_bits(mu[0], np.ascontiguousarray(expected.T))
    assert ok.all()
    mu, ok = membership([raw[:0]], np.ones((1, 0, 10), bool), plan)
    assert mu.shape == ok.shape == (1, 0, 10)


@pytest.mark.parametrize("dtype", ["float16", "uint64", "complex64", "bool"])
def test_refuses_other_dtypes_naming_the_layer(dtype):
    with pytest.raises(DataError, match=rf"'copper' .*cu.tif, band 1.* holds {dtype}"):
        plan_memberships([layer_of(dtype)], [Membership("linear", {"lo": 0.0, "hi": 1.0})])


def test_refuses_parameters_naming_the_layer():
    with pytest.raises(DataError, match=r"'copper'.*lo and hi"):
        plan_memberships([layer_of("int16")], [Membership("linear", {"lo": 1.0, "hi": 1.0})])


def test_refuses_what_was_not_planned():
    plan = plan_memberships([layer_of("float32")], [Membership("linear", {"lo": 0.0, "hi": 1.0})])
    raw, valid = np.zeros((2, 3), np.float32), np.ones((1, 2, 3), bool)
    with pytest.raises(DataError, match="'copper' holds int32 where float32"):
        membership([raw.astype(np.int32)], valid, plan)
    with pytest.raises(ValueError, match="has shape"):
        membership([raw[:1]], valid, plan)
    with pytest.raises(ValueError, match="planned 1 layers"):
        membership([raw, raw], valid, plan)
    with pytest.raises(ValueError, match="valid must be bool"):
        membership([raw], valid.astype(np.uint8), plan)
    with pytest.raises(ValueError, match="argument"):
        plan_memberships([layer_of("float32")], [])
