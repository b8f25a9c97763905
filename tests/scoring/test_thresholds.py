"""Thresholds from the histogram against quantiles of the scores themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation
from tolerances import MEDIAN_MAD, MEDIAN_MAD_OF_BINS, assert_close

from mpmjax.scoring.thresholds import (
    BINS,
    SHARES,
    bin_of,
    median_mad_of_histogram,
    median_mad_threshold,
    outlier_cut,
    share_above,
    threshold_of_share,
)


def histogram_of(scores: np.ndarray) -> np.ndarray:
    return np.bincount(bin_of(scores), minlength=BINS)


def scores_of(kind: str, n: int = 200_000) -> np.ndarray:
    rng = np.random.default_rng(len(kind))
    made = {
        "uniform": rng.uniform(size=n),
        "crowded at the top": rng.beta(8, 1, n),
        "crowded below": rng.beta(1, 20, n),
        "few cells": rng.uniform(size=130),
    }[kind]
    return made.astype(np.float32)


@pytest.mark.parametrize("kind", ["uniform", "crowded at the top", "crowded below", "few cells"])
@pytest.mark.parametrize("share", [*SHARES, 0.2, 0.5])
def test_threshold_is_the_quantile_within_a_bin(kind: str, share: float) -> None:
    scores = scores_of(kind)
    got = threshold_of_share(histogram_of(scores), share)
    rank = int(np.ceil(share * scores.size - 1e-9))
    exact = np.sort(scores)[scores.size - rank]  # the lowest of the best cells
    assert got <= exact < got + 1 / BINS
    if scores.size > 1000:
        assert got == pytest.approx(np.quantile(scores, 1 - share), abs=2e-4)
    area = (scores >= got).mean()
    assert area >= share - 1e-12
    assert (scores >= got + 1 / BINS).mean() < share  # less than one bin's cells too many


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, BINS - 1), st.integers(1, 10**9), min_size=1, max_size=20), st.floats(1e-6, 1.0))
def test_share_is_met_from_above_by_less_than_one_bin(filled: dict[int, int], share: float) -> None:
    histogram = np.zeros(BINS, np.int64)
    for place, cells in filled.items():
        histogram[place] = cells
    got = threshold_of_share(histogram, share)
    at = round(got * BINS)
    assert got == at / BINS
    total = histogram.sum()
    assert histogram[at:].sum() >= share * total * (1 - 1e-11)
    assert histogram[at + 1 :].sum() < share * total
    assert histogram[at] > 0


@settings(deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=50), st.integers(0, BINS - 1))
def test_a_cell_is_above_a_threshold_as_its_bin_is(scores: list[float], at: int) -> None:
    """Edges of bins are exact in float32: maps and histogram agree about every cell, to the last."""
    values = np.array([*scores, at / BINS, np.nextafter(np.float32(at / BINS), np.float32(0))], np.float32)
    assert np.array_equal(values >= at / BINS, bin_of(values) >= at)


def test_bins_of_the_ends() -> None:
    just_below = np.nextafter(np.float32(1), np.float32(0))
    assert bin_of(np.array([0.0, 1 / BINS, just_below, 1.0])).tolist() == [0, 1, BINS - 1, BINS - 1]
    assert bin_of(np.array([-1e-7, 1.0 + 1e-7])).tolist() == [0, BINS - 1]
    assert bin_of(np.zeros((3, 4), np.float32)).shape == (3, 4)


def test_histograms_add_up_over_tiles() -> None:
    scores = scores_of("uniform")
    parts = sum(histogram_of(part) for part in np.array_split(scores, 7))
    assert np.array_equal(parts, histogram_of(scores))
    assert parts.sum() == scores.size


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("share", [0.01, 1.0])
def test_all_cells_tie(value: float, share: float) -> None:
    """Then all are at the top: the threshold is the lower edge of their bin, wherever it is."""
    scores = np.full(1000, value, np.float32)
    got = threshold_of_share(histogram_of(scores), share)
    assert got == min(value, (BINS - 1) / BINS)
    assert (scores >= got).all()


def test_a_tie_larger_than_the_share_is_taken_whole() -> None:
    scores = np.concatenate([np.full(300, 0.75), np.linspace(0, 0.7, 700)]).astype(np.float32)
    assert threshold_of_share(histogram_of(scores), 0.02) == 0.75
    below = np.concatenate([np.full(10, 0.75), np.full(300, 0.5), np.linspace(0, 0.4, 690)]).astype(np.float32)
    assert threshold_of_share(histogram_of(below), 0.01) == 0.75
    assert threshold_of_share(histogram_of(below), 0.0101) == 0.5


@pytest.mark.parametrize(("share", "cells", "best"), [(0.56, 25, 14), (0.07, 100, 7), (0.01, 700, 7), (0.05, 60, 3)])
def test_a_share_that_is_a_whole_number_of_cells(share: float, cells: int, best: int) -> None:
    """0.56 of 25 is 14.000000000000002 in floating point: still fourteen cells."""
    scores = (np.arange(cells) + 0.5) / cells
    assert (scores >= threshold_of_share(histogram_of(scores), share)).sum() == best


def test_no_cells() -> None:
    with pytest.raises(ValueError, match="no valid cells"):
        threshold_of_share(np.zeros(BINS, np.int64), 0.02)


def test_country_sized_counts_do_not_overflow() -> None:
    histogram = np.full(BINS, 2**40, np.int64)
    assert threshold_of_share(histogram, 0.25) == pytest.approx(0.75, abs=1 / BINS)


def by_scipy(scores: np.ndarray, times: float = 2.0) -> np.ndarray:
    scores = scores.astype(np.float64)
    return np.median(scores) + times * median_abs_deviation(scores, scale="normal")


@pytest.mark.parametrize("times", [0.0, 2.0, 3.0])
@pytest.mark.parametrize("size", [1, 2, 9, 1000])
def test_median_and_mad_of_values(size: int, times: float) -> None:
    values = np.random.default_rng(size).lognormal(3.0, 1.0, size)
    assert_close(np.array(median_mad_threshold(values, times)), by_scipy(values, times), MEDIAN_MAD)


@pytest.mark.parametrize("kind", ["uniform", "crowded at the top", "crowded below", "few cells"])
def test_median_and_mad_of_a_map(kind: str) -> None:
    scores = scores_of(kind)
    histogram = histogram_of(scores)
    got = median_mad_of_histogram(histogram)
    assert_close(np.array(got), by_scipy(scores), MEDIAN_MAD_OF_BINS)
    above = share_above(histogram, got)
    assert (scores >= got + 1 / BINS).mean() <= above <= (scores >= got).mean()


def test_a_score_spread_like_a_rank_has_no_outliers() -> None:
    histogram = np.full(BINS, 3, np.int64)
    got = median_mad_of_histogram(histogram)
    assert got == pytest.approx(0.5 + 2 * 1.4826 * 0.25, abs=1e-4)
    assert share_above(histogram, got) == 0.0
    assert outlier_cut(histogram) == {"median_2mad": got, "median_2mad_share": 0.0}
    assert share_above(histogram, 0.0) == 1.0
    assert share_above(histogram, 0.25) == 0.75


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, BINS - 1), st.integers(1, 50), min_size=1, max_size=20))
def test_median_and_mad_count_every_unit_of_area(filled: dict[int, int]) -> None:
    histogram = np.zeros(BINS, np.int64)
    for place, cells in filled.items():
        histogram[place] = cells
    repeated = np.repeat((np.arange(BINS) + 0.5) / BINS, histogram)
    assert median_mad_of_histogram(histogram) == pytest.approx(median_mad_threshold(repeated), abs=1e-12)


def test_no_values_no_median() -> None:
    with pytest.raises(ValueError, match="no values"):
        median_mad_threshold(np.zeros(0))
    with pytest.raises(ValueError, match="no valid cells"):
        median_mad_of_histogram(np.zeros(BINS, np.int64))
