"""How far two maps of one grid agree: correlations, groups, best areas; all from tallies that add up over tiles.

A tally is of the cells of one tile; tallies of all tiles, added in any order, are that of the map. So memory does not
grow with the map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

BINS = 1 << 18
FARTHEST = 17.0
"""Log-odds of the float32 next to 1, 16.6, and a little more."""

CODES = 256
"""Values of a uint8 map."""


@dataclass(frozen=True)
class Moments:
    """Means and centred sums of pairs (x, y), added without loss (Chan, Golub and LeVeque 1983, Am. Statistician 37).

    Attributes:
        count: number of pairs.
        mean_x, mean_y: means.
        xx, yy, xy: sums of squares and products of what is left of x and y when their means are taken off.
    """

    count: int = 0
    mean_x: float = 0.0
    mean_y: float = 0.0
    xx: float = 0.0
    yy: float = 0.0
    xy: float = 0.0

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> Moments:
        """Of pairs: float [n] each, finite."""
        if not x.size:
            return cls()
        # Taken from the first value, what is constant has squares of exactly 0, and no correlation of rounding errors.
        from_x, from_y = np.subtract(x, x[0], dtype=np.float64), np.subtract(y, y[0], dtype=np.float64)
        shift_x, shift_y = from_x.mean(), from_y.mean()
        from_x -= shift_x
        from_y -= shift_y
        # No dot product: BLAS sums in an order that depends on its threads, and these get in the way of the workers.
        sums = (float((u * v).sum()) for u, v in ((from_x, from_x), (from_y, from_y), (from_x, from_y)))
        return cls(x.size, float(x[0] + shift_x), float(y[0] + shift_y), *sums)

    def __add__(self, other: Moments) -> Moments:
        if not (self.count and other.count):
            return self if self.count else other
        count = self.count + other.count
        step_x, step_y, part = other.mean_x - self.mean_x, other.mean_y - self.mean_y, other.count / count
        between = self.count * part
        return Moments(
            count,
            self.mean_x + step_x * part,
            self.mean_y + step_y * part,
            self.xx + other.xx + step_x * step_x * between,
            self.yy + other.yy + step_y * step_y * between,
            self.xy + other.xy + step_x * step_y * between,
        )

    @property
    def correlation(self) -> float | None:
        """Pearson's, -1..1; None where x or y does not vary."""
        if self.xx <= 0.0 or self.yy <= 0.0:
            return None
        return min(1.0, max(-1.0, self.xy / math.sqrt(self.xx * self.yy)))


@dataclass(frozen=True)
class Pairs:
    """One map of two runs, cell by cell.

    Attributes:
        moments: of the values in cells that are valid in both.
        distance: sum of |a - b| over these.
        only_a, only_b: number of cells that are valid in one alone.
        bins_a, bins_b: int64 [65,536], the values of these cells in equal bins of 0..1.
    """

    moments: Moments
    distance: float
    only_a: int
    only_b: int
    bins_a: np.ndarray
    bins_b: np.ndarray

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray, valid_a: np.ndarray, valid_b: np.ndarray) -> Pairs:
        """Of a tile: values float [height, width] in 0..1, and where they are valid, bool [height, width]."""
        both = valid_a & valid_b
        x, y = a[both], b[both]
        return cls(
            Moments.of(x, y),
            float(np.abs(np.subtract(x, y, dtype=np.float64)).sum()),
            int(np.count_nonzero(valid_a & ~both)),
            int(np.count_nonzero(valid_b & ~both)),
            np.bincount(rank_bin(x), minlength=BINS),
            np.bincount(rank_bin(y), minlength=BINS),
        )

    def __add__(self, other: Pairs) -> Pairs:
        return Pairs(
            self.moments + other.moments,
            self.distance + other.distance,
            self.only_a + other.only_a,
            self.only_b + other.only_b,
            self.bins_a + other.bins_a,
            self.bins_b + other.bins_b,
        )

    def ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """The ranks of the bins in either run, as of `midranks`."""
        return midranks(self.bins_a), midranks(self.bins_b)


def rank_bin(values: np.ndarray) -> np.ndarray:
    """Bin number (int64) of values in 0..1, in equal bins of their log-odds.

    Most of a confidence lies within a thousandth of 1, most of a risk near 0, and equal bins of 0..1 would tie them.
    """
    x = values.astype(np.float64)
    with np.errstate(divide="ignore"):
        odds = np.log(x) - np.log1p(-x)
    return np.clip((odds / (2 * FARTHEST) + 0.5) * BINS, 0, BINS - 1).astype(np.int64)


def midranks(histogram: np.ndarray) -> np.ndarray:
    """Mean rank of the values in each bin as a share of all, float64 [bins] in 0..1; int64 [bins] in."""
    upto = np.cumsum(histogram)
    return (upto - 0.5 * histogram) / max(int(upto[-1]), 1)


def rank_moments(a: np.ndarray, b: np.ndarray, ranks: tuple[np.ndarray, np.ndarray]) -> Moments:
    """Moments of the ranks of values valid in both, whose correlation is Spearman's.

    Values in one of the 262,144 bins of `rank_bin` tie, and ties have their mean rank. That is off by far less than
    1e-3, unless nearly all values lie in a few bins.

    Args:
        a, b: float [n] in 0..1.
        ranks: of `Pairs.ranks` over the whole map.
    """
    return Moments.of(ranks[0][rank_bin(a)], ranks[1][rank_bin(b)])


def contingency(a: np.ndarray, b: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """How many cells, or what area, have which pair of codes: [256, 256], int64 or, with weights, float64.

    Args:
        a, b: uint8 of one shape.
        weights: float64 of that shape, whole numbers, so that sums are exact in any order.
    """
    pair = a.astype(np.int64).ravel() * CODES + b.ravel()
    counts = np.bincount(pair, None if weights is None else weights.ravel(), minlength=CODES * CODES)
    return counts.reshape(CODES, CODES)


def adjusted_rand(table: np.ndarray) -> float | None:
    """The adjusted Rand index (Hubert and Arabie 1985, J. Classification 2): 1 the same groups, 0 as by chance.

    Args:
        table: int64 [K, K'], cells by group in either run.

    Returns:
        The index, at most 1; None where there are fewer than two cells.
    """

    def pairs(counts: np.ndarray) -> int:
        # 10^10 cells make more pairs than int64 holds.
        return sum(n * (n - 1) // 2 for n in map(int, counts.ravel()))

    together, of_a, of_b = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    total = pairs(table.sum(keepdims=True))
    if not total:
        return None
    if together == of_a == of_b:  # the same groups, also where there is but one
        return 1.0
    chance = of_a * of_b / total
    return (together - chance) / ((of_a + of_b) / 2 - chance)


def same_code(table: np.ndarray) -> float | None:
    """Share of the cells with one code in both runs; None where there is no cell."""
    total = int(table.sum())
    return int(np.trace(table)) / total if total else None


def overlap_of_best(table: np.ndarray, number: int) -> dict[str, float | None]:
    """How far the best areas of two runs are the same.

    Args:
        table: [256, 256], area by area class in either run; class 0 is no data.
        number: classes 1 to `number` are the best.

    Returns:
        a, b, both: area in units of the table; a_in_b, b_in_a: shares of one's best area that is the other's too;
        jaccard: area in both as a share of that in either (Jaccard 1912, New Phytologist 11). None where there is no
        such area.
    """
    best = slice(1, number + 1)
    a, b, both = float(table[best].sum()), float(table[:, best].sum()), float(table[best, best].sum())
    return {
        "a": a,
        "b": b,
        "both": both,
        "a_in_b": both / a if a else None,
        "b_in_a": both / b if b else None,
        "jaccard": both / (a + b - both) if a + b else None,
    }
