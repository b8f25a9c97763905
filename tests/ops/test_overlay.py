"""The fast overlays against their definition, up to 42 layers and down to memberships that float32 products lose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import OVERLAY_FLOAT64_INSIDE, assert_close, assert_same_bits, assert_same_order

from mpmjax.ops.overlay import overlay
from mpmjax.reference.overlay import KINDS
from mpmjax.reference.overlay import overlay as reference


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


@pytest.mark.parametrize("kind", KINDS)
def test_bits_depend_on_the_cell_alone(kind):
    mu, valid = drawn(7, 6, 3000, 1e-6, 0.8)
    whole = overlay(mu, valid, kind)
    rng = np.random.default_rng(8)
    for start, stop in [(0, 1), (5, 6), (0, 511), (3, 515), (511, 1030), (2047, 3000), *rng.integers(0, 3000, (30, 2))]:
        start, stop = sorted((start, stop))
        assert_same_bits(overlay(mu[:, start:stop], valid[:, start:stop], kind), whole[start:stop])
    turned = overlay(mu[:, ::-1].reshape(6, 50, 60), valid[:, ::-1].reshape(6, 50, 60), kind)
    assert_same_bits(np.ascontiguousarray(turned.reshape(-1)[::-1]), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_no_valid_layer_is_missing(kind):
    mu = np.full((3, 2), 0.5, np.float32)
    valid = np.array([[False, False], [False, True], [False, False]])
    got = overlay(mu, valid, kind)
    assert np.isnan(got[0])
    assert got[1] == 0.5
    assert overlay(mu[:, :0], valid[:, :0], kind).shape == (0,)


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
