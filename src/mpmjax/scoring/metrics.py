"""How well a score finds known occurrences: ROC, success rate, capture, prediction-area. Labels are used only here.

Everything follows from two kinds of counts, which add up over tiles: for each occurrence cell, how many valid cells
score lower and how many the same. So a map of any size is judged exactly, in memory for its occurrences only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

CAPTURE_SHARES = (0.01, 0.02, 0.05, 0.10, 0.20)
EVIDENCE_SHARE = 0.1
"""Share of the area whose weights of evidence are given: one that is stated beforehand, not the one that looks best."""
CURVE_POINTS = 201


@dataclass(frozen=True)
class RankCounts:
    """Where the occurrence cells stand among all valid cells.

    Attributes:
        scores: float64 [m], scores of the occurrence cells, ascending.
        lower, equal: [m], valid cells (the occurrences among them) that score lower, and the same: int64, or float64
            where a sampled cell stands for several.
        cells: number of valid cells.
    """

    scores: np.ndarray
    lower: np.ndarray
    equal: np.ndarray
    cells: float


class RankCounter:
    """Counts, over the valid cells of a map that comes in parts, how many lie below and at each occurrence's score.

    Args:
        scores: float [m], the occurrence cells' scores, all finite.
    """

    def __init__(self, scores: np.ndarray) -> None:
        self._scores = np.sort(np.asarray(scores))
        self._levels, self._level = np.unique(self._scores, return_inverse=True)
        self._lower = np.zeros(len(self._levels), np.int64)
        self._upto = np.zeros(len(self._levels), np.int64)
        self._cells = 0

    def add(self, part: np.ndarray) -> None:
        """Count a part: scores of valid cells, any shape; all parts together are all valid cells, occurrences too."""
        # Sorting a part and looking the few levels up in it is several times quicker than looking up every cell.
        values = np.sort(part, axis=None)
        self._cells += values.size
        self._lower += np.searchsorted(values, self._levels, side="left")
        self._upto += np.searchsorted(values, self._levels, side="right")

    @property
    def counts(self) -> RankCounts:
        """What was counted so far."""
        equal = self._upto - self._lower
        return RankCounts(self._scores.astype(np.float64), self._lower[self._level], equal[self._level], self._cells)


def count_ranks(scores: np.ndarray, parts: Iterable[np.ndarray]) -> RankCounts:
    """RankCounter over all parts of a map at once."""
    counter = RankCounter(scores)
    for part in parts:
        counter.add(np.asarray(part))
    return counter.counts


def auc(counts: RankCounts) -> float:
    """Area under the ROC curve by midranks: occurrence cells against all other valid cells (Mann-Whitney).

    Raises:
        ValueError: there is no occurrence, or no other cell.
    """
    m = len(counts.scores)
    if m == 0 or counts.cells <= m:
        raise ValueError(f"AUC needs occurrences and other cells, got {m} occurrences in {counts.cells} cells")
    return float(pair_scores(counts).mean())


def pair_scores(counts: RankCounts) -> np.ndarray:
    """The share of background cells that each occurrence beats, ties half: float64 [m]; the mean is the AUC."""
    own_lower = np.searchsorted(counts.scores, counts.scores, side="left")
    own_equal = np.searchsorted(counts.scores, counts.scores, side="right") - own_lower
    background = counts.cells - len(counts.scores)
    return (counts.lower - own_lower + 0.5 * (counts.equal - own_equal)) / background


def capture(counts: RankCounts, shares: Iterable[float] = CAPTURE_SHARES) -> dict[str, float]:
    """Share of occurrences inside the best so many per cent of the valid area, by area share ("0.05": ...).

    A tie that straddles the border is cut in proportion: an occurrence tied with many cells counts in part.
    """
    better = counts.cells - counts.lower - counts.equal
    inside = {s: np.clip((s * counts.cells - better) / np.maximum(counts.equal, 1), 0.0, 1.0) for s in shares}
    return {f"{share:g}": float(part.mean()) for share, part in inside.items()}


def success_rate(counts: RankCounts, points: int = CURVE_POINTS) -> dict[str, list[float]]:
    """The success-rate curve: share of area (denser near 0) and share of occurrences captured in it."""
    area = np.linspace(0.0, 1.0, points) ** 2
    return {"area": [float(a) for a in area], "capture": [capture(counts, [a])[f"{a:g}"] for a in area]}


def prediction_area(counts: RankCounts) -> dict[str, float]:
    """The crossing of the prediction-area plot, where Pr + Oa = 1 (Yousefi and Carranza 2015).

    It is the one point where the success-rate curve, ties cut as in `capture`, meets the falling line of the area
    left. With few occurrences that is seldom at one of their scores, and the nearest of those would flatter: at a
    score of an occurrence the area is the smallest that captures as many.

    Returns:
        threshold (the lowest score among the occurrences captured), pr (occurrences captured), oa (area occupied),
        nd = pr / oa, and ln_nd.
    """
    better = counts.cells - counts.lower - counts.equal
    start, first, tied = np.unique(better, return_index=True, return_counts=True)
    after = np.cumsum(tied) / len(counts.scores)
    before = np.concatenate([[0.0], after[:-1]])
    area = np.concatenate([[0], np.column_stack([start, start + counts.equal[first]]).ravel(), [counts.cells]])
    captured = np.concatenate([[0.0], np.column_stack([before, after]).ravel(), [1.0]])
    oa = float(np.interp(1.0, captured + area / counts.cells, area / counts.cells))
    pr = 1.0 - oa
    return {
        "threshold": float(counts.scores[better < oa * counts.cells].min()),
        "pr": pr,
        "oa": oa,
        "nd": pr / oa,
        "ln_nd": float(np.log(pr / oa)),
    }


def weights_of_evidence(counts: RankCounts, share: float) -> dict[str, float | None]:
    """Weights of the best so large a share of the area as one binary layer of evidence (Bonham-Carter 1994, chapter 9).

    B are the cells inside, D those with an occurrence:

        W+ = ln(P(B | D) / P(B | not D)), W- = ln(P(not B | D) / P(not B | not D)), C = W+ - W-
        s(C)^2 = 1/n(B, D) + 1/n(B, not D) + 1/n(not B, D) + 1/n(not B, not D)

    Ties at the border are cut in proportion, as in `capture`.

    Returns:
        share, w_plus, w_minus, contrast, and studentized = C / s(C), above 2 where it is hardly chance. None where one
        of the four kinds of cells does not exist: all occurrences inside, or none.
    """
    m, cells = len(counts.scores), counts.cells
    inside = capture(counts, [share])[f"{share:g}"]
    hit, area = inside * m, share * cells
    kinds = np.array([hit, area - hit, m - hit, cells - area - (m - hit)])
    if (kinds <= 0.0).any():
        return {"share": share, "w_plus": None, "w_minus": None, "contrast": None, "studentized": None}
    others = cells - m
    plus, minus = np.log(kinds[0] / m / (kinds[1] / others)), np.log(kinds[2] / m / (kinds[3] / others))
    contrast = float(plus - minus)
    error = float(np.sqrt((1.0 / kinds).sum()))
    return {
        "share": share,
        "w_plus": float(plus),
        "w_minus": float(minus),
        "contrast": contrast,
        "studentized": contrast / error,
    }


def judge(counts: RankCounts) -> dict[str, object]:
    """All figures of one score, as they stand in run.json; how sure they are is said by mpmjax.scoring.intervals."""
    return {
        "auc": auc(counts),
        "capture": capture(counts),
        "success": success_rate(counts),
        "pa": prediction_area(counts),
        "weights_of_evidence": weights_of_evidence(counts, EVIDENCE_SHARE),
    }
