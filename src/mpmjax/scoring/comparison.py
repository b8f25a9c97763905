"""Scores side by side on the same cells: a sample of the area as background, and the cells of known occurrences.

A method that has no map is judged on these cells. Each sampled cell stands for as many cells of the map as there are
for one, and so does each occurrence where these are thinned, so that shares of the area are those of the map: counted
once each, 200 occurrence cells beside 2,000 sampled ones would fill the best 5 % by themselves. The AUC does not depend
on it.

Where there are districts enough, every AUC has the interval of bootstrap draws over them (mpmjax.scoring.intervals),
and every score its difference to the first one, from the same draws: what is hard for both cancels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mpmjax.scoring.intervals import FIGURES, Standing, difference, intervals, standing
from mpmjax.scoring.metrics import CAPTURE_SHARES, RankCounts, count_ranks

MOST_OCCURRENCES = 2_000
"""Occurrence cells that are drawn from for intervals and shifts. A raster of labels may have hundreds of thousands, and
all in the same few districts: more cells cost minutes and make no interval narrower."""

LEAST_DISTRICTS, FEW_DISTRICTS = 5, 15
"""Below the first there is no interval: three districts make ten different draws, and limits of these mean nothing.
Below the second limits are too narrow (mpmjax.scoring.intervals), and that is said."""


def some_of(count: int, most: int = MOST_OCCURRENCES) -> np.ndarray:
    """Numbers of at most so many of `count` occurrence cells, ascending int64, drawn at random and always the same."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def stand(own: np.ndarray, background: np.ndarray, shares: tuple[float, float] = (1.0, 1.0)) -> Standing:
    """Where occurrences stand among cells that are not theirs.

    Args:
        own: finite [m], scores of the occurrence cells; background: finite [n], of sampled cells without one.
        shares: cells of the map that each occurrence cell, and each sampled cell, stands for; > 0.

    Raises:
        ValueError: there is no occurrence, or no background.
    """
    among, known = count_ranks(own, [own, background]), count_ranks(own, [own])
    each, times = shares
    lower, equal = (
        each * of_known + times * (of_all - of_known)
        for of_known, of_all in ((known.lower, among.lower), (known.equal, among.equal))
    )
    weighted = RankCounts(known.scores, lower, equal, each * known.cells + times * (among.cells - known.cells))
    # Pairs of an occurrence and a sampled cell are what they are, whatever each stands for.
    return replace(standing(own, among), counts=weighted)


def with_interval(of: Standing, districts: np.ndarray, draws: int) -> dict[str, dict[str, float | None]]:
    """value, low and high of every one of FIGURES; without limits where there are no draws or too few districts."""
    if draws and len(np.unique(districts)) >= LEAST_DISTRICTS:
        return intervals(of, districts, draws)["figures"]
    values = of.figures(np.arange(len(of.place)))
    return {name: {"value": float(v), "low": None, "high": None} for name, v in zip(FIGURES, values, strict=True)}


def limits(found: Mapping[str, Mapping[str, float | None]]) -> dict[str, list[float]]:
    """Low and high by figure, those that there are, of what with_interval found."""
    ends = {name: [value for key in ("low", "high") if (value := f[key]) is not None] for name, f in found.items()}
    return {name: pair for name, pair in ends.items() if pair}


def side_by_side(
    scores: Mapping[str, Standing], first: str, districts: np.ndarray, draws: int
) -> dict[str, dict[str, Any]]:
    """The figures of several scores of the same occurrences, as run.json has them.

    Args:
        scores: by name; first: the one that the others are compared with.
        districts: int [m], of the occurrences in the order in which they stand in `scores`.
        draws: bootstrap draws, 0 for none.

    Returns:
        By name: auc, auc_low, auc_high; capture, by share of the area; pr; nd; limits, of every figure; and, but for
        the first, difference: auc of the first less that of this score, low, high, and behind, the share of draws in
        which the first is behind.
    """
    return {name: _figures(scores, name, first, districts, draws) for name in scores}


def _figures(
    scores: Mapping[str, Standing], name: str, first: str, districts: np.ndarray, draws: int
) -> dict[str, Any]:
    found = with_interval(scores[name], districts, draws)
    record: dict[str, Any] = {
        "auc": found["auc"]["value"],
        "auc_low": found["auc"]["low"],
        "auc_high": found["auc"]["high"],
        "capture": {f"{share:g}": found[f"capture {share:g}"]["value"] for share in CAPTURE_SHARES},
        "pr": found["pr"]["value"],
        "nd": found["nd"]["value"],
        "limits": limits(found),
    }
    if name == first:
        return record
    ahead = with_interval(scores[first], districts, 0)["auc"]["value"] or 0.0
    gap: dict[str, Any] = {"auc": ahead - record["auc"], "low": None, "high": None, "behind": None}
    if found["auc"]["low"] is not None:
        both = difference(scores[first], scores[name], districts, draws)["figures"]["auc"]
        gap |= {"low": both["low"], "high": both["high"], "behind": both["below_zero"]}
    return record | {"difference": gap}


def remarks(occurrences: int, districts: int, low: float | None, high: float | None) -> list[str]:
    """What a reader of the figures must know of their exactness, as sentences.

    Args:
        occurrences: cells that hold one; districts: number of these.
        low, high: 95 % interval of the AUC, None where there is none.
    """
    there = f"{districts} district{'s' if districts > 1 else ''}"
    said = f"{occurrences} occurrences in {there} (those within 10 km are one)"
    if districts < LEAST_DISTRICTS:
        notes = [f"{said}: too few for intervals, which need {LEAST_DISTRICTS} at least."]
    elif low is None or high is None:
        notes = [f"{said}."]
    else:
        # A normal law's 95 % interval is 3.92 standard errors wide.
        notes = [f"{said}: the standard error of an AUC is about {(high - low) / 3.92:.2f}."]
        if districts < FEW_DISTRICTS:
            notes.append("With so few districts the intervals are somewhat too narrow.")
    if occurrences > MOST_OCCURRENCES:
        notes.append(f"Intervals and shifts are those of {MOST_OCCURRENCES} occurrences drawn at random.")
    return notes
