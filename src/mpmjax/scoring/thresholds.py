"""Thresholds, exactly enough for a map, from one histogram that adds up over tiles: area shares, median + 2 MAD.

Median + 2 MAD is the robust form of mean + 2 standard deviations (Reimann, Filzmoser and Garrett 2005, doi
10.1016/j.scitotenv.2004.11.023). MAD is taken 1.4826 times, which is the standard deviation of a normal distribution.
"""

from __future__ import annotations

import math

import numpy as np

BINS = 65_536
SHARES = (0.01, 0.02, 0.05)
NORMAL_MAD = 1.4826
"""Standard deviations of a normal distribution in its MAD."""


def bin_of(scores: np.ndarray) -> np.ndarray:
    """Bin number (int64) of scores in 0..1."""
    return np.clip((scores.astype(np.float64) * BINS).astype(np.int64), 0, BINS - 1)


def threshold_of_share(histogram: np.ndarray, share: float) -> float:
    """The lowest score of the best `share` of the area.

    It is the lower edge of the highest bin from which on at least that share lies, so the share is met from above by
    less than one bin's area. All cells tie at the top where one bin holds more than the share.

    Args:
        histogram: int64 [65,536], area (or cells, where all are alike) by score in equal bins of 0..1, whole units.
        share: of the valid area, 0..1.

    Raises:
        ValueError: the histogram is empty.
    """
    total = int(histogram.sum())
    if not total:
        raise ValueError("no valid cells, no threshold")
    from_top = np.cumsum(histogram[::-1])
    # 0.56 of 25 cells is 14.000000000000002 in floating point, and must not ask for a fifteenth.
    reached = int(np.searchsorted(from_top, share * total * (1.0 - 1e-12)))
    return (BINS - 1 - min(reached, BINS - 1)) / BINS


def median_mad_threshold(values: np.ndarray, times: float = 2.0) -> float:
    """Median + `times` 1.4826 MAD of values.

    Args:
        values: float [n], finite, in any unit, which the threshold has as well.

    Raises:
        ValueError: there are none.
    """
    if not values.size:
        raise ValueError("no values, no threshold")
    median = np.median(values)
    return float(median + times * NORMAL_MAD * np.median(np.abs(values - median)))


def median_mad_of_histogram(histogram: np.ndarray, times: float = 2.0) -> float:
    """The same of a map's scores, each taken for the middle of its bin: within 4 bins (6e-5) of that of the scores.

    On a score that is spread like a rank it lies near 1 or above it, where no cell is: such scores have no outliers.

    Args:
        histogram: int64 [65,536], as in `threshold_of_share`.

    Returns:
        The threshold, 0 or more; above 1 where no score reaches it.

    Raises:
        ValueError: the histogram is empty.
    """
    middles = (np.arange(BINS) + 0.5) / BINS
    median = _weighted_median(middles, histogram)
    return float(median + times * NORMAL_MAD * _weighted_median(np.abs(middles - median), histogram))


def outlier_cut(histogram: np.ndarray) -> dict[str, float]:
    """ "median_2mad" of a map's histogram, and "median_2mad_share", the share of the area at or above it, 0..1."""
    cut = median_mad_of_histogram(histogram)
    return {"median_2mad": cut, "median_2mad_share": share_above(histogram, cut)}


def _weighted_median(values: np.ndarray, counts: np.ndarray) -> float:
    """The median of `values`, each repeated `counts` times."""
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(counts[order])
    total = int(upto[-1])
    if not total:
        raise ValueError("no valid cells, no threshold")
    lower, upper = np.searchsorted(upto, [(total - 1) // 2, total // 2], side="right")
    return float(values[order[lower]] + values[order[upper]]) / 2.0


def share_above(histogram: np.ndarray, threshold: float) -> float:
    """Share of the area at or above a threshold, 0..1, a bin that holds the threshold left out.

    Args:
        histogram: int64 [65,536], not empty, as in `threshold_of_share`.
    """
    return float(histogram[max(0, math.ceil(threshold * BINS)) :].sum() / histogram.sum())
