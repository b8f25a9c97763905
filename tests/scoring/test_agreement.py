"""Tallies of agreement, cut in any way, against NumPy, SciPy and scikit-learn on the whole."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.metrics import adjusted_rand_score
from tolerances import CORRELATION, SPEARMAN_BY_BINS, Tolerance, assert_close

from mpmjax.scoring.agreement import (
    CODES,
    Moments,
    Pairs,
    adjusted_rand,
    contingency,
    midranks,
    overlap_of_best,
    rank_bin,
    rank_moments,
    same_code,
)


def assert_value(actual: float | None, expected: float, tolerance: Tolerance) -> None:
    assert actual is not None
    assert_close(np.array(actual), np.array(expected), tolerance)


def related(seed: int, n: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Two scores of the same cells, float32 in a part of 0..1 as wide as `spread`."""
    rng = np.random.default_rng(seed)
    x = rng.beta(2, 3, n)
    y = np.clip(0.7 * x**2 + 0.3 * rng.uniform(size=n), 0, 1)
    return (0.5 + spread * (x - 0.5)).astype(np.float32), (0.02 + spread * 0.9 * y).astype(np.float32)


def pairs_of(x: np.ndarray, y: np.ndarray, parts: int) -> Pairs:
    cells = np.ones(len(x), bool)
    cut = [np.array_split(array, parts) for array in (x, y, cells, cells)]
    return reduce(add, (Pairs.of(*part) for part in zip(*cut, strict=True)))


@pytest.mark.parametrize("parts", [1, 3, 500])
@pytest.mark.parametrize("spread", [1.0, 0.2, 0.02])
def test_correlations(spread: float, parts: int) -> None:
    x, y = related(parts, 5000, spread)
    pairs = pairs_of(x, y, parts)
    assert_value(pairs.moments.correlation, pearsonr(x.astype(float), y.astype(float)).statistic, CORRELATION)
    ranks = pairs.ranks()
    split = zip(np.array_split(x, parts), np.array_split(y, parts), strict=True)
    moments = reduce(add, (rank_moments(a, b, ranks) for a, b in split))
    assert_value(moments.correlation, spearmanr(x, y).statistic, SPEARMAN_BY_BINS)
    assert pairs.distance / len(x) == pytest.approx(np.abs(x.astype(float) - y).mean(), rel=1e-12)


def test_ranks_are_exact_where_bins_part_the_values() -> None:
    rng = np.random.default_rng(3)
    x, y = np.sort(rng.integers(1, 300, 4000)) / 1000, rng.integers(0, 1001, 4000) / 1000
    y[1000:3000] = x[1000:3000]
    pairs = pairs_of(x, y, 7)
    assert_value(rank_moments(x, y, pairs.ranks()).correlation, spearmanr(x, y).statistic, CORRELATION)
    assert np.allclose(midranks(pairs.bins_a)[rank_bin(x)] * len(x) + 0.5, rankdata(x), rtol=0, atol=1e-9)


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=60), st.integers(1, 9))
@settings(deadline=None)
def test_moments_add_up(values: list[tuple[int, int]], parts: int) -> None:
    x, y = np.array(values, np.float64).T + 1000.0
    split = zip(np.array_split(x, parts), np.array_split(y, parts), strict=True)
    moments = reduce(add, (Moments.of(a, b) for a, b in split))
    assert moments.count == len(x)
    assert (moments.mean_x, moments.mean_y) == (pytest.approx(x.mean()), pytest.approx(y.mean()))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert moments.correlation is None
    else:
        assert moments.correlation == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)


@pytest.mark.parametrize("value", [0.1, 0.30000001, 1.0])
def test_what_does_not_vary_correlates_with_nothing(value: float) -> None:
    """Whatever its bits are, and however it is cut: rounding errors are no variation."""
    x, y = np.full(1000, value, np.float32), related(1, 1000, 1.0)[0]
    for parts in (1, 7):
        pairs = pairs_of(x, y, parts)
        assert pairs.moments.correlation is None
        assert rank_moments(x, y, pairs.ranks()).correlation is None
    assert pairs_of(y, y, 7).moments.correlation == 1.0
    assert Moments().correlation is None


def test_cells_valid_in_one_alone() -> None:
    a, b = np.array([[0.1, 0.9, -9999.0]]), np.array([[0.3, -9999.0, 0.2]])
    pairs = Pairs.of(a, b, a >= 0, b >= 0)
    assert (pairs.moments.count, pairs.only_a, pairs.only_b) == (1, 1, 1)
    assert pairs.distance == pytest.approx(0.2)
    assert pairs.bins_a.sum() == pairs.bins_b.sum() == 1


@pytest.mark.parametrize(("groups_a", "groups_b"), [(4, 6), (1, 5), (5, 1), (1, 1), (20, 2)])
def test_adjusted_rand(groups_a: int, groups_b: int) -> None:
    rng = np.random.default_rng(groups_a)
    a = rng.integers(1, groups_a + 1, 3000).astype(np.uint8)
    b = np.where(rng.uniform(size=3000) < 0.6, (a * 3) % groups_b + 1, rng.integers(1, groups_b + 1, 3000))
    table = contingency(a, b.astype(np.uint8))
    assert_value(adjusted_rand(table), adjusted_rand_score(a, b), CORRELATION)
    assert same_code(table) == (a == b).mean()


def test_adjusted_rand_of_renumbered_groups_and_of_many_cells() -> None:
    assert adjusted_rand(np.array([[0, 5], [7, 0]])) == 1.0
    few = np.array([[30, 10], [5, 55]])
    many = adjusted_rand(few * 10**9)  # 10^22 pairs, more than int64 holds
    assert many == pytest.approx(adjusted_rand_of_shares(few / few.sum()), abs=1e-8)
    assert adjusted_rand(np.zeros((3, 3), np.int64)) is None
    assert same_code(np.zeros((3, 3), np.int64)) is None


def adjusted_rand_of_shares(share: np.ndarray) -> float:
    """Its limit for ever more cells."""
    both, a, b = (share**2).sum(), (share.sum(axis=1) ** 2).sum(), (share.sum(axis=0) ** 2).sum()
    return float((both - a * b) / ((a + b) / 2 - a * b))


def test_best_areas() -> None:
    a, b = np.array([1, 1, 2, 3, 4, 0], np.uint8), np.array([1, 4, 1, 2, 4, 1], np.uint8)
    weights = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    table = contingency(a, b, weights)
    assert table.shape == (CODES, CODES)
    assert table.sum() == 63.0
    found = overlap_of_best(table, 2)
    assert (found["a"], found["b"], found["both"]) == (7.0, 45.0, 5.0)
    assert (found["a_in_b"], found["b_in_a"], found["jaccard"]) == (5 / 7, 5 / 45, 5 / 47)
    nothing = overlap_of_best(np.zeros((CODES, CODES)), 1)
    assert (nothing["a_in_b"], nothing["jaccard"]) == (None, None)
