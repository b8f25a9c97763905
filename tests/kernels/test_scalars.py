"""Memberships and overlays of one cell, by the functions of the CUDA headers, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from fuzzy_stacks import KERNEL_DTYPES, expected_of, fitted_memberships, layer_of, layers_drawn, params_of, raw_values
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import (
    MEMBERSHIP,
    MEMBERSHIP_FLOAT64_INSIDE,
    OVERLAY_FLOAT64_INSIDE,
    assert_close,
    assert_same_bits,
    assert_same_order,
)

from mpmjax.ops.plan import Overlay, plan_memberships
from mpmjax.reference.overlay import KINDS as OVERLAYS
from mpmjax.reference.overlay import overlay as reference_overlay
from mpmjax.types import Membership


@settings(deadline=None, max_examples=400)
@given(layer=layers_drawn(KERNEL_DTYPES), fitted=fitted_memberships(), seed=st.integers(0, 2**32 - 1))
def test_agrees_with_the_definition(scalars, layer, fitted, seed):
    raw = raw_values(layer.dtype, seed)
    got = scalars.membership(raw, plan_memberships([layer], [fitted]))
    expected = expected_of(raw, layer, fitted)
    # 1 - mu and a logarithm near lo cancel: what is left of 1e-16 is noise in both forms, and a root makes it 1e-8
    cancels = fitted.complement or fitted.transform == "log"
    assert_close(got, expected, MEMBERSHIP if cancels else MEMBERSHIP_FLOAT64_INSIDE)
    assert_same_order(got, expected, slack=2.0**-24 if cancels else 0.0)
    there = got[~np.isnan(got)]
    assert ((there >= 0.0) & (there <= 1.0) & ~np.signbit(there)).all()


def test_int32_is_exact_near_its_limit(scalars):
    """In float32 the subtraction alone is off by .056 of this range."""
    raw = np.arange(2**31 - 1150, 2**31 - 1, dtype=np.int64).astype(np.int32)
    fitted = Membership("linear", {"lo": 2.0**31 - 1100, "hi": 2.0**31 - 100})
    mu = scalars.membership(raw, plan_memberships([layer_of("int32")], [fitted]))
    assert_same_bits(mu, expected_of(raw, layer_of("int32"), fitted).astype(np.float32))


@pytest.mark.parametrize("kind", ["linear", "ms_large", "ms_small", "shoulder"])
def test_what_only_divides_is_the_definition_bit_for_bit(scalars, kind):
    raw = np.random.default_rng(8).normal(20.0, 15.0, 5000)
    layer, fitted = layer_of("float64"), Membership(kind, params_of(kind, 20.0, 13.0, 1.7))
    mu = scalars.membership(raw, plan_memberships([layer], [fitted]))
    assert_same_bits(mu, expected_of(raw, layer, fitted).astype(np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_ecdf_is_interp_bit_for_bit(scalars, dtype):
    rng = np.random.default_rng(6)
    sample = np.maximum(np.round(rng.gamma(2.0, 500.0, 5000), -1), 150.0)  # ties, most of them at the lowest value
    levels = np.linspace(0.0, 1.0, 1024)
    knots = np.quantile(sample, levels)
    raw = np.concatenate([np.round(rng.gamma(2.0, 500.0, 3000)), knots, [-1.0, 1e9]]).astype(dtype)
    fitted = Membership("ecdf", knots_x=knots, knots_y=levels)
    mu = scalars.membership(raw, plan_memberships([layer_of(dtype)], [fitted]))
    assert_same_bits(mu, np.interp(raw.astype(float), knots, levels).astype(np.float32))


def test_ecdf_after_a_logarithm_takes_the_whole_step_of_a_tie(scalars):
    """A third of the cells lie at a detection limit: an ulp between two logarithms must not send them a step down."""
    limits = np.arange(1, 800) / 16.0 + 0.01
    levels = np.linspace(0.0, 1.0, 64)
    for limit in limits:
        sample = np.concatenate([np.full(30, limit), np.full(20, 2 * limit), np.geomspace(limit, 100 * limit, 50)])
        knots = np.quantile(np.log10(sample), levels)
        fitted = Membership("ecdf", transform="log", floor=1e-4, knots_x=knots, knots_y=levels)
        mu = scalars.membership(sample, plan_memberships([layer_of("float64")], [fitted]))
        assert mu[0] > 0.29
        assert_close(mu, expected_of(sample, layer_of("float64"), fitted), MEMBERSHIP)


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
def test_low_memberships_keep_their_digits(scalars, kind, params):
    raw = np.geomspace(1e-6, 9.0, 2000)
    mu = scalars.membership(raw, plan_memberships([layer_of("float64")], [Membership(kind, params)]))
    expected = expected_of(raw, layer_of("float64"), Membership(kind, params))
    assert 0.0 < expected[0] < 1e-34
    assert_close(mu, expected, MEMBERSHIP_FLOAT64_INSIDE)
    assert_same_order(mu, expected)


@pytest.mark.parametrize("kind", ["linear", "large", "gaussian", "near", "ms_large", "ms_small", "sigmoid", "shoulder"])
def test_the_ends_of_float64_are_not_missing(scalars, kind):
    """Differences, squares and sums of these overflow; the limits are the right answers."""
    raw = np.array([1.7e308, -1.7e308, 1e200, -1e200, 5e-324, -5e-324, 0.0, -0.0])
    layer, fitted = layer_of("float64"), Membership(kind, params_of(kind, -3.0, 2.0, 1.5))
    mu = scalars.membership(raw, plan_memberships([layer], [fitted]))
    assert_close(mu, expected_of(raw, layer, fitted), MEMBERSHIP_FLOAT64_INSIDE)


@pytest.mark.parametrize("width", [1e-310, 1e-200, 1e200])
@pytest.mark.parametrize("kind", ["linear", "ms_large", "ms_small", "shoulder"])
def test_widths_near_the_ends_of_float64(scalars, kind, width):
    """No inverse is prepared for these: they are divided as such."""
    params = {
        "linear": {"lo": 0.0, "hi": width},
        "ms_large": {"mean": 0.0, "sd": width, "a": 1.0, "b": 1.0},
        "ms_small": {"mean": 0.0, "sd": width, "a": 1.0, "b": 1.0},
        "shoulder": {"alpha": -width, "beta": 0.0, "gamma": width},
    }[kind]
    raw = np.concatenate([np.linspace(-1.0, 3.0, 401) * width, [1.0, -1.0, 1e30, -1e30]])
    layer, fitted = layer_of("float64"), Membership(kind, params)
    mu = scalars.membership(raw, plan_memberships([layer], [fitted]))
    expected = expected_of(raw, layer, fitted)
    assert np.unique(expected).size > 100
    assert_close(mu, expected, MEMBERSHIP_FLOAT64_INSIDE)


@pytest.mark.parametrize("limits", [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0), (0.0, 1.0, 1.0)])
def test_a_shoulder_whose_limits_coincide_is_a_step(scalars, limits):
    raw = np.array([-1.0, 0.0, 0.5, np.nextafter(1.0, 0.0), 1.0, np.nextafter(1.0, 2.0), 1.5, 2.0, 3.0])
    fitted = Membership("shoulder", dict(zip(("alpha", "beta", "gamma"), limits, strict=True)))
    mu = scalars.membership(raw, plan_memberships([layer_of("float64")], [fitted]))
    assert_close(mu, expected_of(raw, layer_of("float64"), fitted), MEMBERSHIP_FLOAT64_INSIDE)


def test_scaled_codes_are_found(scalars):
    """raw * 0.1 + 0.3, rounded after each step, is what the codes were written down as; rounded once it is not."""
    raw = np.arange(-500, 500, dtype=np.int32)
    codes = raw * 0.1 + 0.3
    layer = layer_of("int32", scale=0.1, offset=0.3)
    fitted = Membership("category", knots_x=codes, knots_y=np.linspace(0.0, 1.0, codes.size))
    assert not np.isnan(scalars.membership(raw, plan_memberships([layer], [fitted]))).any()


def test_zero_is_zero_whatever_its_sign(scalars):
    raw = np.array([0.0, -0.0], np.float32)
    for code in (0.0, -0.0):
        fitted = Membership("category", knots_x=np.array([-1.0, code]), knots_y=np.array([0.2, 0.7]))
        mu = scalars.membership(raw, plan_memberships([layer_of("float32")], [fitted]))
        assert mu.tolist() == [np.float32(0.7)] * 2
        fitted = Membership("ecdf", knots_x=np.array([code, 1.0]), knots_y=np.array([0.4, 0.7]))
        mu = scalars.membership(raw, plan_memberships([layer_of("float32")], [fitted]))
        assert mu.tolist() == [np.float32(0.4)] * 2
        plan = plan_memberships([layer_of("float32", nodata=code)], [fitted])
        assert np.isnan(scalars.membership(raw, plan)).all()


@pytest.mark.parametrize("kind", ["linear", "power", "ecdf"])
def test_no_membership_is_minus_zero(scalars, kind):
    """A decreasing line gives -0.0 at its end; 0.0 and -0.0 differ in a checksum."""
    params = {} if kind == "ecdf" else {"lo": 4.0, "hi": 0.0, "exponent": 1.0}
    knots = (np.array([0.0, 4.0]), np.array([0.0, 1.0])) if kind == "ecdf" else (None, None)
    fitted = Membership(kind, params, knots_x=knots[0], knots_y=knots[1])
    mu = scalars.membership(np.array([4.0, 9.0, 0.0, -0.0]), plan_memberships([layer_of("float64")], [fitted]))
    assert 0.0 in mu
    assert not np.signbit(mu).any()


@settings(deadline=None, max_examples=200)
@given(
    kind=st.sampled_from(OVERLAYS),
    seed=st.integers(0, 2**32 - 1),
    layers=st.integers(1, 42),
    lowest=st.sampled_from([0.5, 1e-3, 1e-9, 1e-38]),
    share_valid=st.sampled_from([0.05, 0.8, 1.0]),
    gamma=st.sampled_from([0.0, 0.3, 0.9, 0.99, 1.0]) | st.floats(0.0, 1.0),
)
def test_overlays_agree_with_the_definition(scalars, kind, seed, layers, lowest, share_valid, gamma):
    rng = np.random.default_rng(seed)
    mu = (10.0 ** rng.uniform(np.log10(lowest), 0.0, (layers, 60))).astype(np.float32)
    for special in (0.0, 1.0, np.nan, 1e-45):
        mu[rng.random(mu.shape) < 0.3 / layers] = special
    mu[rng.random(mu.shape) >= share_valid] = np.nan
    weights = tuple(rng.choice([0.0, 0.3, 2.0], layers)) if kind == "mean" else None
    got = scalars.overlay(mu, Overlay(kind, gamma, weights))
    shares = None if weights is None else np.array(weights)
    expected = reference_overlay(mu, ~np.isnan(mu), kind, gamma, shares)
    assert ((got >= 0.0) & (got <= 1.0) | np.isnan(got)).all()
    assert_close(got, expected, OVERLAY_FLOAT64_INSIDE)
    assert_same_order(got, expected)


@pytest.mark.parametrize(("lowest", "gamma"), [(1e-5, 0.9), (1e-12, 0.95), (1e-30, 0.99)])
def test_gamma_of_42_low_memberships_does_not_underflow(scalars, lowest, gamma):
    mu = np.repeat(np.geomspace(lowest, 0.08, 500).astype(np.float32)[None], 42, axis=0)
    got = scalars.overlay(mu, Overlay("gamma", gamma))
    assert (got > 0.0).all()
    assert_close(got, reference_overlay(mu, np.ones(mu.shape, bool), "gamma", gamma), OVERLAY_FLOAT64_INSIDE)
