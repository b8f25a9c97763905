"""The definition of the log-ratios, against numbers worked by hand and the laws they obey."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import LOGRATIO, assert_close

from mpmjax.reference.logratio import KINDS, logratio


def drawn(seed: int, rows: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(1.0, 2.0, (rows, count))


def test_numbers_worked_by_hand():
    row = np.array([[1.0, 2.0, 4.0]])
    assert_close(logratio(row, "clr"), np.log([[0.5, 1.0, 2.0]]), LOGRATIO)
    assert_close(logratio(row, "alr"), np.log([[0.25, 0.5]]), LOGRATIO)
    assert_close(logratio(row, "alr", denominator=0), np.log([[2.0, 4.0]]), LOGRATIO)
    first = math.sqrt(2 / 3) * math.log(1 / math.sqrt(8))
    assert_close(logratio(row, "ilr"), np.array([[first, math.sqrt(1 / 2) * math.log(0.5)]]), LOGRATIO)


def test_a_zero_worked_by_hand():
    """Sum 10; the zero becomes 1, the rest is scaled by 0.9: 1.8, 1, 7.2."""
    got = logratio(np.array([[2.0, 0.0, 8.0]]), "alr", deltas=np.array([5.0, 1.0, 5.0]))
    assert_close(got, np.log([[1.8 / 7.2, 1.0 / 7.2]]), LOGRATIO)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 30), scale=st.floats(1e-6, 1e6))
def test_laws(seed, count, scale):
    parts = drawn(seed, 8, count)
    clr, ilr = logratio(parts, "clr"), logratio(parts, "ilr")
    assert_close(clr.sum(axis=1), np.zeros(8), LOGRATIO)
    assert_close(np.linalg.norm(ilr, axis=1), np.linalg.norm(clr, axis=1), LOGRATIO)
    for kind in KINDS:
        assert_close(logratio(parts * scale, kind), logratio(parts, kind), LOGRATIO)
    other = drawn(seed + 1, 8, count)
    assert_close(logratio(parts * other, "ilr"), ilr + logratio(other, "ilr"), LOGRATIO)


def test_replacement_keeps_the_sum_and_the_ratios_of_what_was_measured():
    parts = np.array([[5.0, 0.0, 3.0, 0.0, 2.0]])
    clr = logratio(parts, "clr", deltas=np.full(5, 0.5))
    assert_close(clr[:, [0, 2, 4]] - clr[:, [4]], np.log(parts[:, [0, 2, 4]] / 2.0), LOGRATIO)
    shares = np.exp(clr)
    assert_close(10.0 * shares / shares.sum(axis=1), np.array([[4.5, 0.5, 2.7, 0.5, 1.8]]), LOGRATIO)


@pytest.mark.parametrize("awkward", [np.nan, np.inf, -1.0, -np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_missing_rows_are_missing_whole_and_alone(kind, awkward):
    parts = drawn(3, 5, 4)
    parts[2, 1] = awkward
    got = logratio(parts, kind, deltas=np.ones(4))
    assert np.isnan(got[2]).all()
    assert np.isfinite(got[[0, 1, 3, 4]]).all()


def test_zeros_without_deltas_and_zeros_that_take_everything():
    parts = np.array([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.3], [0.0, 1.0, 1.0]])
    assert np.isnan(logratio(parts[:1], "clr")).all()
    assert np.isnan(logratio(parts, "clr", deltas=np.full(3, 0.2)).sum(axis=1)).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("shape", "kind", "options", "message"),
    [
        ((3, 4), "plr", {}, "unknown log-ratio 'plr'; allowed: clr, alr, ilr"),
        ((3, 1), "clr", {}, "D >= 2"),
        ((4,), "clr", {}, "D >= 2"),
        ((3, 4), "alr", {"denominator": 4}, "none of 4 parts"),
        ((3, 4), "clr", {"deltas": np.ones(3)}, "4 finite numbers > 0"),
        ((3, 4), "clr", {"deltas": np.array([1.0, 0.0, 1.0, 1.0])}, "4 finite numbers > 0"),
    ],
)
def test_refusals(shape, kind, options, message):
    with pytest.raises(ValueError, match=message):
        logratio(np.ones(shape), kind, **options)
