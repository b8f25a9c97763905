"""How sure the figures of a score are: intervals over districts of deposits, and the difference of two scores.

Deposits come in clusters: 23 cells may be 13 finds, and resampling cells would promise too much. So what is drawn with
replacement is districts: deposits that a chain of steps of at most REACH joins, which is single linkage cut at that
distance. Each draw takes as many districts as there are, with all their deposits; the background, every other cell of
the map, is not a sample and stays. Intervals are percentiles of the draws.

| figure       | of one draw |
|--------------|---|
| auc          | mean share of background cells that its deposits beat, ties half (Mann-Whitney) |
| capture 0.05 | share of its deposits in the best 5 % of the area; also 0.01, 0.02, 0.1 and 0.2 |
| pr           | share of its deposits at the crossing of the prediction-area plot, where Pr + Oa = 1 |
| nd, ln_nd    | Pr / Oa there, and its logarithm |

With few districts percentile intervals are too narrow, so their number stands beside every interval. On 1,000 simulated
maps each with 8, 15 and 40 districts of one to five deposits, 95 % intervals of the AUC held the true one in 88, 91
and 93 %; intervals that drew single deposits held it in 73 to 75 %.

Sources: Efron (1979), Bootstrap methods: another look at the jackknife, Annals of Statistics 7, and Efron and
Tibshirani (1993), An introduction to the bootstrap, chapter 13 (percentile intervals); Davison and Hinkley (1997),
Bootstrap methods and their application, section 3.8 (clusters drawn whole); Chung and Fabbri (2003), Validation of
spatial prediction models for landslide hazard mapping, Natural Hazards 30 (success and prediction rates, of which
capture is a point); Yousefi and Carranza (2015), Prediction-area (P-A) plot and C-A fractal analysis to classify and
evaluate evidential maps for mineral prospectivity modeling, Computers & Geosciences 79 (crossing, Nd).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpmjax.scoring.metrics import CAPTURE_SHARES, RankCounts, auc, capture, pair_scores, prediction_area

REACH = 10_000.0
"""Metres: the longest step between deposits of one district."""

FIGURES = ("auc", *(f"capture {share:g}" for share in CAPTURE_SHARES), "pr", "nd", "ln_nd")


@dataclass(frozen=True)
class Standing:
    """Where every deposit stands among the valid cells of one map.

    Attributes:
        counts: the deposits' RankCounts.
        place: int64 [m], index in `counts` of each deposit, in the order in which the deposits were given.
        beaten: float64 [m], in the order of `counts`: share of background cells that each beats; the mean is the AUC.
    """

    counts: RankCounts
    place: np.ndarray
    beaten: np.ndarray

    def figures(self, drawn: np.ndarray) -> np.ndarray:
        """FIGURES of some of the deposits, float64; drawn: int [any length], numbers of deposits, repeated or not."""
        at, c = np.sort(self.place[drawn]), self.counts  # ascending, as the scores of RankCounts are
        again = RankCounts(c.scores[at], c.lower[at], c.equal[at], c.cells)
        crossing = prediction_area(again)
        # The background holds no more deposits for being drawn twice: what a deposit beats stays as it is.
        found = (self.beaten[at].mean(), *capture(again).values(), *(crossing[name] for name in ("pr", "nd", "ln_nd")))
        return np.array(found)


def standing(scores: np.ndarray, counts: RankCounts) -> Standing:
    """Where deposits stand in a map.

    Args:
        scores: float [m], the map's values at the deposits, in their own order.
        counts: of the same scores among all valid cells (count_ranks, or a RankCounter fed tile by tile).

    Raises:
        ValueError: the scores are not those that were counted, there is no deposit, or no other cell.
    """
    scores = np.asarray(scores, np.float64)
    auc(counts)  # says what is wrong where there is nothing to judge
    order = np.argsort(scores, kind="stable")
    if scores.shape != counts.scores.shape or not np.array_equal(scores[order], counts.scores):
        raise ValueError(f"the {scores.size} scores are not the {counts.scores.size} that were counted")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return Standing(counts, place, pair_scores(counts))


def districts_of(x: np.ndarray, y: np.ndarray, reach: float = REACH) -> np.ndarray:
    """Number of the district of each deposit: single linkage, cut where a step is longer than `reach`.

    Grown from one deposit after another, each looking at those near in x that no district has yet: memory for the
    deposits, not for their pairs, of which a label raster has billions.

    Args:
        x, y: float [m], places in metres, in any projected CRS.
        reach: metres, >= 0; at 0 only deposits at the same place share a district.

    Returns:
        int64 [m], 0 to D - 1, numbered as they first appear.

    Raises:
        ValueError: no deposit, places that are not finite, or a reach that cannot be.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if not x.size or x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("districts need deposits, each with an x and a y that are finite numbers")
    if not reach >= 0:
        raise ValueError(f"reach must be a distance >= 0 in metres, got {reach:g}")
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    margin = 1.001 * reach + 1.0  # rounding must not shut out a deposit that is just within reach
    first, last = np.searchsorted(x, x - margin), np.searchsorted(x, x + margin)
    district, free, count = np.full(x.size, -1, np.int64), np.arange(x.size), 0
    for start in np.argsort(order):  # in the order given
        reached = [int(start)] if district[start] < 0 else []
        count += len(reached)
        while reached:
            at = reached.pop()
            begin, end = np.searchsorted(free, (first[at], last[at]))
            window = free[begin:end]
            near = np.hypot(x[window] - x[at], y[window] - y[at]) <= reach
            if near.any():
                district[window[near]] = count - 1
                reached += window[near].tolist()
                free = np.concatenate([free[:begin], window[~near], free[end:]])
    return district[np.argsort(order)]


def draw_districts(districts: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Numbers of the deposits in each draw, int64 [deposits drawn]; the same for the same districts and seed.

    Raises:
        ValueError: fewer than two districts, which leave nothing to vary, or no draw.
    """
    _, district = np.unique(districts, return_inverse=True)
    count = int(district.max(initial=-1)) + 1
    if count < 2:
        raise ValueError(
            f"an interval over districts needs at least 2 of them, all {district.size} deposits are in one"
        )
    if draws < 1:
        raise ValueError(f"an interval needs at least one draw, got {draws}")
    rng, deposits = np.random.default_rng(seed), np.arange(district.size)
    for _ in range(draws):
        times = np.bincount(rng.integers(0, count, count), minlength=count)
        yield np.repeat(deposits, times[district])


def intervals(
    of: Standing, districts: np.ndarray, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> dict[str, Any]:
    """Every figure of one score with its interval.

    Args:
        of: from `standing`; districts: int [m], of the deposits in the same order.
        draws: bootstrap draws; level: share of them that the interval holds, in (0, 1).

    Returns:
        Plain values for JSON: deposits, districts, draws, level, and by figure its value, low and high.

    Raises:
        ValueError: lengths that differ, fewer than two districts, no draw, or a level outside (0, 1).
    """
    drawn = np.array([of.figures(which) for which in _draws([of], districts, draws, seed, level)])
    record = _record(districts, draws, level)
    return record | {"figures": _summary(of.figures(np.arange(len(of.place))), drawn, level)}


def difference(
    first: Standing, second: Standing, districts: np.ndarray, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> dict[str, Any]:
    """First minus second, figure by figure, over the same draws: what both find hard or easy cancels.

    Args:
        first, second: two scores at the same deposits, in the same order.
        districts, draws, seed, level: as in `intervals`; the draws are the same as there.

    Returns:
        As `intervals`, and by figure below_zero, the share of draws in which the second is ahead; a draw in which they
        are equal is not among them.

    Raises:
        ValueError: as `intervals`.
    """
    drawn = np.array(
        [
            first.figures(which) - second.figures(which)
            for which in _draws([first, second], districts, draws, seed, level)
        ]
    )
    every = np.arange(len(first.place))
    table = _summary(first.figures(every) - second.figures(every), drawn, level)
    for name, share in zip(FIGURES, (drawn < 0.0).mean(axis=0), strict=True):
        table[name]["below_zero"] = float(share)
    return _record(districts, draws, level) | {"figures": table}


def _draws(scores: list[Standing], districts: np.ndarray, draws: int, seed: int, level: float) -> Iterator[np.ndarray]:
    lengths = [len(districts), *(len(score.place) for score in scores)]
    if len(set(lengths)) > 1:
        raise ValueError(f"{lengths[0]} districts are given for {lengths[1:]} deposits; each deposit has one")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level:g}")
    return draw_districts(districts, draws, seed)


def _record(districts: np.ndarray, draws: int, level: float) -> dict[str, Any]:
    return {"deposits": len(districts), "districts": len(np.unique(districts)), "draws": draws, "level": level}


def _summary(value: np.ndarray, drawn: np.ndarray, level: float) -> dict[str, dict[str, float]]:
    low, high = np.quantile(drawn, ((1 - level) / 2, (1 + level) / 2), axis=0)
    return {
        name: {"value": float(v), "low": float(a), "high": float(b)}
        for name, v, a, b in zip(FIGURES, value, low, high, strict=True)
    }
