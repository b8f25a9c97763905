"""The fast overlays against their definition, up to 42 layers and down to memberships that float32 products lose.

Those of memberships that are there, and those joined in the pass that makes them: the same bits.
"""

from __future__ import annotations

import numpy as np
import pytest
from fuzzy_stacks import layer_of, raw_values, stacks
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import OVERLAY_FLOAT64_INSIDE, assert_close, assert_same_bits, assert_same_order

from mpmjax.ops.membership import membership
from mpmjax.ops.overlay import overlay
from mpmjax.ops.plan import Overlay, plan_memberships
from mpmjax.reference.overlay import KINDS
from mpmjax.reference.overlay import overlay as reference
from mpmjax.types import Membership

EVERY = [("and", 0.9), ("or", 0.9), ("product", 0.9), ("sum", 0.9), ("mean", 0.9)]
EVERY += [("gamma", gamma) for gamma in (0.0, 0.5, 0.9, 1.0)]
"""All kinds, and the ends of gamma."""

LINE = {"lo": 0.0, "hi": 1.0}


def drawn(seed: int, layers: int, cells: int, lowest: float, share_valid: float) -> tuple[np.ndarray, np.ndarray]:
    """Memberships spread over all magnitudes from `lowest` to 1, some exactly 0 or 1, some NaN."""
    rng = np.random.default_rng(seed)
    mu = (10.0 ** rng.uniform(np.log10(lowest), 0.0, (layers, cells))).astype(np.float32)
    for special in (0.0, 1.0, np.nan, 1e-45):
        mu[rng.random(mu.shape) < 0.3 / layers] = special
    return mu, rng.random(mu.shape) < share_valid


@settings(deadline=None, max_examples=200)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32 - 1),
    layers=st.integers(1, 42),
    lowest=st.sampled_from([0.5, 1e-3, 1e-9, 1e-38]),
    share_valid=st.sampled_from([0.05, 0.8, 1.0]),
    gamma=st.sampled_from([0.0, 0.3, 0.9, 0.99, 1.0]) | st.floats(0.0, 1.0),
    weighted=st.booleans(),
)
def test_agrees_with_the_definition(kind, seed, layers, lowest, share_valid, gamma, weighted):
    mu, valid = drawn(seed, layers, 150, lowest, share_valid)
    weights = None
    if kind == "mean" and weighted:
        weights = np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 3.0], layers)
    got = overlay(mu, valid, kind, gamma, weights)
    expected = reference(mu, valid, kind, gamma, weights)
    assert got.dtype == np.float32
    assert ((got >= 0.0) & (got <= 1.0) | np.isnan(got)).all()
    assert_close(got, expected, OVERLAY_FLOAT64_INSIDE)
    assert_same_order(got, expected)


@pytest.mark.parametrize(("lowest", "gamma"), [(1e-5, 0.9), (1e-12, 0.95)])
def test_gamma_of_42_low_memberships_does_not_underflow(lowest, gamma):
    """In float32 every one of these products is 0, and so would be gamma, in all cells alike; the second in float64."""
    low = np.geomspace(lowest, 0.08, 500).astype(np.float32)
    mu = np.repeat(low[None], 42, axis=0)
    valid = np.ones(mu.shape, bool)
    assert not np.prod(mu, axis=0).any()
    got = overlay(mu, valid, "gamma", gamma)
    assert (got > 0.0).all()
    assert (np.diff(got) > 0.0).all()
    assert_close(got, reference(mu, valid, "gamma", gamma), OVERLAY_FLOAT64_INSIDE)


@pytest.mark.parametrize(("kind", "gamma"), EVERY)
def test_bits_depend_on_the_cell_alone(kind, gamma):
    mu, valid = drawn(7, 6, 3000, 1e-6, 0.8)
    whole = overlay(mu, valid, kind, gamma)
    rng = np.random.default_rng(8)
    for start, stop in [(0, 1), (5, 6), (0, 511), (3, 515), (511, 1030), (2047, 3000), *rng.integers(0, 3000, (30, 2))]:
        start, stop = sorted((start, stop))
        assert_same_bits(overlay(mu[:, start:stop], valid[:, start:stop], kind, gamma), whole[start:stop])
    turned = overlay(mu[:, ::-1].reshape(6, 50, 60), valid[:, ::-1].reshape(6, 50, 60), kind, gamma)
    assert_same_bits(np.ascontiguousarray(turned.reshape(-1)[::-1]), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_no_valid_layer_is_missing(kind):
    mu = np.full((3, 2), 0.5, np.float32)
    valid = np.array([[False, False], [False, True], [False, False]])
    got = overlay(mu, valid, kind)
    assert np.isnan(got[0])
    assert got[1] == 0.5
    assert overlay(mu[:, :0], valid[:, :0], kind).shape == (0,)


def test_the_ends_of_gamma_are_the_pure_overlays():
    mu, valid = drawn(13, 6, 4000, 1e-38, 0.7)
    assert_same_bits(overlay(mu, valid, "gamma", 0.0), overlay(mu, valid, "product"))
    assert_same_bits(overlay(mu, valid, "gamma", 1.0), overlay(mu, valid, "sum"))


@pytest.mark.parametrize(("kind", "gamma"), EVERY)
def test_what_is_not_valid_is_not_looked_at(kind, gamma):
    """Not a NaN, an infinity, or a number that would win; and a NaN that is called valid is missing all the same."""
    mu, valid = drawn(11, 5, 400, 1e-3, 0.6)
    expected = overlay(mu, valid, kind, gamma)
    for other in (np.nan, np.inf, -np.inf, 0.0, 1.0, -5.0):
        assert_same_bits(overlay(np.where(valid, mu, np.float32(other)), valid, kind, gamma), expected)
    assert_same_bits(overlay(np.where(valid, mu, np.float32(np.nan)), np.ones_like(valid), kind, gamma), expected)


@pytest.mark.parametrize("kind", ["product", "gamma"])
def test_products_pass_the_point_where_they_are_raised(kind):
    """The running product is raised by 2^500 below 2^-500: at that very power, just above it and just below."""
    powers = np.array([-100, -124, -125, -126])
    mu = np.full((5, 4 * 3), 2.0**-100, np.float32)
    mu[4] = (2.0 ** powers.repeat(3) * np.tile([1.0, 1.5, 0.75], 4)).astype(np.float32)
    valid = np.ones(mu.shape, bool)
    for gamma in (0.0, 0.95, 0.999):
        got = overlay(mu, valid, kind, gamma)
        assert_close(got, reference(mu, valid, kind, gamma), OVERLAY_FLOAT64_INSIDE)
    low = np.full((42, 3), 1e-45, np.float32)
    assert_close(overlay(low, low > 0, "gamma", 0.99), reference(low, low > 0, "gamma", 0.99), OVERLAY_FLOAT64_INSIDE)


# Joined in the pass that makes the memberships


@settings(deadline=None, max_examples=120)
@given(
    stack=stacks(),
    which=st.sampled_from(EVERY),
    order=st.sampled_from(["layer", "cell"]),
    dtype=st.sampled_from(["float32", "float16"]),
    weighted=st.booleans(),
)
def test_joined_has_the_bits_of_the_overlay_of_the_memberships(stack, which, order, dtype, weighted):
    layers, fitted, seed = stack
    rng = np.random.default_rng(seed)
    values = [raw_values(layer.dtype, seed, 1500)[-2200:] for layer in layers]
    valid = rng.random((len(layers), values[0].size)) < rng.choice([0.05, 0.7, 1.0])
    weights = tuple(rng.choice([0.0, 0.25, 3.0], len(layers)).tolist()) if weighted and which[0] == "mean" else None
    (kind, gamma), plan = which, plan_memberships(layers, fitted)
    how = Overlay(kind, gamma, weights)
    mu, ok, _ = membership(values, plan, valid, backend="cpu")
    expected = overlay(mu, ok, kind, gamma, None if weights is None else np.array(weights))
    both = membership(values, plan, valid, order=order, dtype=dtype, overlay=how, backend="cpu")
    alone = membership(values, plan, valid, order=order, dtype=dtype, overlay=how, memberships=False, backend="cpu")
    assert_same_bits(both.overlay, expected)
    assert_same_bits(alone.overlay, expected)
    assert alone.mu is None
    assert alone.valid is None
    mu, ok = (mu.astype(dtype), ok) if order == "layer" else (mu.T.astype(dtype), ok.T)
    assert_same_bits(both.mu, np.ascontiguousarray(mu))
    assert_same_bits(both.valid, np.ascontiguousarray(ok))


@pytest.mark.parametrize("backend", ["cpu", "numpy"])
def test_joined_42_low_memberships_keep_their_rank(backend):
    """Memberships of 1e-12 to 0.08 in each of 42 layers: their product is down to 1e-504, in no float there is."""
    x = np.geomspace(1e-3, 20.0, 3000)
    fitted = Membership("large", {"midpoint": 40.0, "spread": 2.6})
    plan = plan_memberships([layer_of("float64")] * 42, [fitted] * 42)
    mu, ok, joined = membership([x] * 42, plan, overlay=Overlay("gamma", 0.97), backend=backend)
    assert mu.min() < 1.2e-12
    assert not np.prod(mu[:, :500].astype(np.float64), axis=0).any()
    assert (np.diff(joined) > 0.0).all()
    assert_close(joined, reference(mu, ok, "gamma", 0.97), OVERLAY_FLOAT64_INSIDE)


@pytest.mark.parametrize(("kind", "gamma"), EVERY)
def test_joined_cells_without_a_layer_are_nan(kind, gamma):
    plan = plan_memberships([layer_of("float32"), layer_of("uint8", nodata=0.0)], [Membership("linear", LINE)] * 2)
    values = [np.array([np.nan, 0.5, np.nan, 0.5], np.float32), np.array([0, 0, 1, 1], np.uint8)]
    mu, ok, joined = membership(values, plan, overlay=Overlay(kind, gamma), backend="cpu")
    assert np.isnan(joined).tolist() == [True, False, False, False]
    assert joined[1:3].tolist() == [0.5, 1.0]
    assert ok.tolist() == [[False, True, False, True], [False, False, True, True]]
    assert mu.tolist() == [[0.0, 0.5, 0.0, 0.5], [0.0, 0.0, 1.0, 1.0]]


def test_joined_layers_without_weight_are_missing():
    plan = plan_memberships([layer_of("float32"), layer_of("uint8", nodata=0.0)], [Membership("linear", LINE)] * 2)
    values = [np.array([0.25, 0.5], np.float32), np.array([0, 1], np.uint8)]
    joined = membership(values, plan, overlay=Overlay("mean", weights=(0.0, 2.0)), backend="cpu").overlay
    assert np.isnan(joined[0])
    assert joined[1] == 1.0


def test_refuses_what_means_nothing():
    mu, valid = np.full((2, 3), 0.5, np.float32), np.ones((2, 3), bool)
    with pytest.raises(ValueError, match="must be float32"):
        overlay(mu.astype(np.float64), valid, "and")
    with pytest.raises(ValueError, match="the same"):
        overlay(mu, valid[:, :2], "and")
    with pytest.raises(ValueError, match="unknown overlay 'median'"):
        overlay(mu, valid, "median")
    with pytest.raises(ValueError, match="gamma must lie"):
        overlay(mu, valid, "gamma", 1.5)
    with pytest.raises(ValueError, match="2 finite numbers"):
        overlay(mu, valid, "mean", weights=np.array([1.0, -1.0]))
