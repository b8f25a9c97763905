"""The fast log-ratios against their definition, other authors' libraries, and their own bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import LOGRATIO, LOGRATIO_BY_ANOTHER, assert_close, assert_same_bits

from mpmjax.ops.cpu.numerics import log2, log2_normal
from mpmjax.ops.logratio import logratio
from mpmjax.reference.logratio import KINDS
from mpmjax.reference.logratio import logratio as reference


def drawn(seed: int, rows: int, count: int, awkward: float = 0.0, spread: float = 2.0) -> np.ndarray:
    """Parts over many magnitudes, some of them zero, missing, infinite, negative or subnormal."""
    rng = np.random.default_rng(seed)
    parts = rng.lognormal(1.0, spread, (rows, count))
    for special in (0.0, np.nan, np.inf, -1.0, 5e-324):
        parts[rng.random(parts.shape) < awkward / count] = special
    return parts


@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(2, 60),
    awkward=st.sampled_from([0.0, 0.01, 0.3]),
    spread=st.sampled_from([0.1, 2.0, 100.0]),
    replaced=st.booleans(),
    data=st.data(),
)
def test_agrees_with_the_definition(kind, seed, count, awkward, spread, replaced, data):
    parts = drawn(seed, 150, count, awkward, spread)
    options = {"denominator": data.draw(st.integers(-count, count - 1))}
    if replaced:
        options["deltas"] = np.random.default_rng(seed).uniform(1e-3, 1.0, count)
    assert_close(logratio(parts, kind, **options), reference(parts, kind, **options), LOGRATIO)


@pytest.mark.parametrize("count", [2, 3, 17, 40])
def test_agrees_with_composition_stats(count):
    other = pytest.importorskip("composition_stats", reason="composition_stats is not installed")
    parts = drawn(5, 300, count)
    closed = other.closure(parts)
    assert_close(logratio(parts, "clr"), np.atleast_2d(other.clr(closed)), LOGRATIO_BY_ANOTHER)
    for denominator in (0, count - 1):
        got = logratio(parts, "alr", denominator=denominator)
        assert_close(got, other.alr(closed, denominator).reshape(got.shape), LOGRATIO_BY_ANOTHER)
    pivots = np.zeros((count - 1, count))
    for j in range(count - 1):
        left = count - j
        pivots[j, j:] = -np.sqrt(1 / (left * (left - 1)))
        pivots[j, j] = np.sqrt((left - 1) / left)
    got = logratio(parts, "ilr")
    assert_close(got, other.ilr(closed, np.atleast_2d(other.clr_inv(pivots))).reshape(got.shape), LOGRATIO_BY_ANOTHER)


def test_zeros_agree_with_composition_stats():
    """Its replacement takes shares of a closed composition, one for all parts."""
    other = pytest.importorskip("composition_stats", reason="composition_stats is not installed")
    parts = drawn(6, 200, 12)
    parts[np.random.default_rng(6).random(parts.shape) < 0.1] = 0.0
    closed = other.closure(parts)
    expected = other.clr(other.multiplicative_replacement(closed, delta=1e-3))
    assert_close(logratio(closed, "clr", deltas=np.full(12, 1e-3)), expected, LOGRATIO_BY_ANOTHER)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [3, 40, 3000])
def test_bits_depend_on_the_row_alone(kind, count):
    parts = drawn(7, 500, count, awkward=0.1)
    deltas = np.full(count, 0.01)
    whole = logratio(parts, kind, deltas=deltas)
    rng = np.random.default_rng(8)
    for start, stop in [(0, 1), (499, 500), (3, 77), *np.sort(rng.integers(0, 501, (10, 2)), axis=1)]:
        assert_same_bits(logratio(parts[start:stop], kind, deltas=deltas), whole[start:stop])


def test_threads_layout_and_out_do_not_change_bits():
    parts = drawn(9, 40_000, 5, awkward=0.01)
    whole = logratio(parts, "ilr")
    assert_same_bits(logratio(parts, "ilr", workers=3), whole)
    assert_same_bits(logratio(np.asfortranarray(parts), "ilr"), whole)
    out = np.empty(whole.shape)
    assert logratio(parts, "ilr", out=out) is out
    assert_same_bits(out, whole)


def test_the_input_is_left_as_it_is():
    parts = drawn(10, 100, 6, awkward=0.5)
    before = parts.copy()
    logratio(parts, "clr", deltas=np.ones(6))
    assert_same_bits(parts, before)


def test_no_rows():
    assert logratio(np.empty((0, 4)), "alr").shape == (0, 3)


def test_refusals():
    with pytest.raises(ValueError, match="must be float64, got float32"):
        logratio(np.ones((3, 4), np.float32), "clr")
    with pytest.raises(ValueError, match=r"out must be C-contiguous float64 of shape \(3, 3\)"):
        logratio(np.ones((3, 4)), "ilr", out=np.empty((3, 4)))
    with pytest.raises(ValueError, match="unknown log-ratio"):
        logratio(np.ones((3, 4)), "plr")


def test_normal_numbers_have_the_same_logarithm_in_both_forms():
    """Whole blocks of plain parts take the shorter form; a row must not see which block it is in."""
    rng = np.random.default_rng(11)
    exponents = rng.integers(-1022, 1024, 20_000)
    normal = np.ldexp(rng.uniform(1.0, 2.0, exponents.size), exponents)
    normal = np.concatenate((normal, [np.finfo(float).tiny, np.finfo(float).max, 1.0, np.nextafter(1.0, 0.0)]))
    assert_same_bits(np.array([log2_normal(x) for x in normal]), np.array([log2(x) for x in normal]))
