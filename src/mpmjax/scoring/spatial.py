"""Whether a figure owes itself to where things are: a null of shifted deposits, and the AUC block by block.

Scores are smooth and deposits clustered, so that a few lucky clusters can make a fine AUC by chance, and a test that
takes deposits as independent calls that significant. The null here keeps both patterns and breaks only their tie: all
deposits move together by a random number of rows and columns, out at one edge of the grid and in at the other (toroidal
shift).

    p = (1 + number of shifts with AUC >= the observed one) / (1 + number of shifts)

A deposit that lands where the map has no score takes no part in that shift, which widens the null; a shift that leaves
fewer than half of the deposits is not used, so that in a ragged study area the null is that of shifts which mostly stay
inside. Where the seam of opposite edges parts a cluster the null narrows a little. Of 400 simulated smooth maps with
clustered deposits that had nothing to do with them, 6 % had p <= 0.05 (2.5 % in an elliptic study area), and 25 % by a
Mann-Whitney test.

Maps come in parts and are passed over twice: once for the scores where deposits land, once to count the valid cells
below each of these. So every AUC is exact, by midranks over all valid cells, and memory is that of one part and about
100 bytes for each deposit of each shift: 60 MB for 600 deposits and 999 shifts, on a map of any size. 10^8 cells take
about as long as reading them twice.

Sources: Lotwick and Silverman (1982), Methods for analysing spatial processes of several types of points, J. Royal
Statistical Society B 44; Harms, Condit, Hubbell and Foster (2001), Habitat associations of trees and shrubs in a 50-ha
neotropical forest plot, J. Ecology 89 (the shift against a mapped field); Davison and Hinkley (1997), Bootstrap methods
and their application, section 4.2 (p).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mpmjax.scoring.metrics import RankCounter, RankCounts, auc
from mpmjax.types import Tile

Parts = Callable[[], Iterable[tuple[Tile, np.ndarray]]]
"""Called for each pass: tiles that cover the grid once, and their scores, float [height, width], NaN where invalid."""

BAND = 4_000_000
"""Cells of an array looked at together."""
LEAST_LANDED = 0.5
LEAST_SHIFTS = 19
"""Shifts that must be left: with fewer, p cannot come down to 0.05."""
MOST_LANDINGS = 20_000_000
QUANTILES = (0.025, 0.05, 0.5, 0.95, 0.975)
EQUAL = 1e-12
"""AUCs closer than this are the same: their sums run in another order."""


def parts_of(scores: np.ndarray) -> Parts:
    """A map that is in memory, float [height, width], in bands of whole rows."""
    height, width = scores.shape
    step = max(1, BAND // max(width, 1))

    def parts() -> Iterable[tuple[Tile, np.ndarray]]:
        for index, row in enumerate(range(0, height, step)):
            band = scores[row : row + step]
            yield Tile(index, row, 0, len(band), width), band

    return parts


def scores_at(parts: Parts, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Scores at cells, in their order and in the dtype of the map; NaN where not valid.

    Args:
        rows, cols: int [n], inside the grid.
    """
    order = np.argsort(rows, kind="stable")
    r, c = rows[order], cols[order]
    found: np.ndarray | None = None
    for tile, scores in parts():
        if found is None:
            found = np.full(len(r), np.nan, scores.dtype)
        first, last = np.searchsorted(r, (tile.row, tile.row + tile.height))
        here = first + np.flatnonzero((c[first:last] >= tile.col) & (c[first:last] < tile.col + tile.width))
        found[order[here]] = scores[r[here] - tile.row, c[here] - tile.col]
    return np.full(len(r), np.nan) if found is None else found


def toroidal_null(
    parts: Parts, shape: tuple[int, int], rows: np.ndarray, cols: np.ndarray, shifts: int = 999, seed: int = 0
) -> dict[str, Any]:
    """The AUC of deposits against that of the same deposits shifted over the map.

    Args:
        parts: the map; parts_of(array), or a reader's tiles.
        shape: height and width of the grid in cells.
        rows, cols: int [m], cells of the deposits, one a cell.
        shifts: how many to draw, all different; where the grid has fewer, all of them.

    Returns:
        Plain values for JSON: auc, p, shifts (asked for), used, landed (mean share of deposits on valid cells in the
        shifts used), and the null's quantiles by level.

    Raises:
        ValueError: deposits that share a cell or lie outside the grid or where there is no score, too many landings to
            hold, or fewer than 19 shifts that keep half of the deposits.
    """
    rows, cols = _cells(shape, rows, cols)
    if shifts < LEAST_SHIFTS:
        raise ValueError(f"p needs at least {LEAST_SHIFTS} shifts, got {shifts}")
    if rows.size * (shifts + 1) > MOST_LANDINGS:
        most = MOST_LANDINGS // rows.size - 1
        raise ValueError(
            f"{rows.size} deposits and {shifts} shifts are more than {MOST_LANDINGS:,} landings; {most} shifts fit"
        )
    height, width = shape
    if height * width - 1 < LEAST_SHIFTS:
        raise ValueError(f"a grid of {height} x {width} cells has fewer than the {LEAST_SHIFTS} shifts that p needs")
    down, right = _offsets(shape, shifts, seed)
    there = (rows + down[:, None]) % height, (cols + right[:, None]) % width
    values = scores_at(parts, there[0].ravel(), there[1].ravel()).reshape(there[0].shape)
    landed = np.isfinite(values)
    _refuse_unscored(landed[0])
    share = landed.mean(axis=1)
    values, landed, share = (array[share >= LEAST_LANDED] for array in (values, landed, share))
    if len(values) - 1 < LEAST_SHIFTS:
        raise ValueError(
            f"only {len(values) - 1} of {len(down) - 1} shifts leave half of the {rows.size} deposits on valid cells, "
            f"{LEAST_SHIFTS} are needed: the study area fills too little of the grid. Crop the grid to it."
        )
    figures = _aucs(parts, values, landed)
    null = figures[1:]
    return {
        "auc": float(figures[0]),
        "p": float((1 + (null >= figures[0] - EQUAL).sum()) / (1 + null.size)),
        "shifts": shifts,
        "used": null.size,
        "landed": float(share[1:].mean()),
        "quantiles": {f"{level:g}": float(q) for level, q in zip(QUANTILES, np.quantile(null, QUANTILES), strict=True)},
    }


def block_figures(
    parts: Parts, shape: tuple[int, int], rows: np.ndarray, cols: np.ndarray, blocks: tuple[int, int] = (4, 4)
) -> list[dict[str, Any]]:
    """The AUC inside each block of a coarse grid: its deposits against the other valid cells of the same block.

    A score that only tells one end of a district from the other does well on the whole and no better than chance here.

    Args:
        parts, shape, rows, cols: as in `toroidal_null`.
        blocks: number of blocks down and across, as equal as whole cells allow.

    Returns:
        One record a block, row by row: row and column of the block, rows and cols (first cell, and the one after the
        last), cells (valid), deposits, and auc; None where a block has no deposit or no other valid cell.

    Raises:
        ValueError: deposits as in `toroidal_null`, or more blocks than rows or columns.
    """
    rows, cols = _cells(shape, rows, cols)
    if not all(1 <= count <= cells for count, cells in zip(blocks, shape, strict=True)):
        raise ValueError(f"blocks must be 1 to {shape[0]} down and 1 to {shape[1]} across, got {blocks}")
    own = scores_at(parts, rows, cols)
    _refuse_unscored(np.isfinite(own))
    tops, lefts = (np.arange(count + 1) * cells // count for count, cells in zip(blocks, shape, strict=True))
    block = (np.searchsorted(tops, rows, "right") - 1) * blocks[1] + np.searchsorted(lefts, cols, "right") - 1
    counters = [RankCounter(own[block == number]) for number in range(blocks[0] * blocks[1])]
    for tile, scores in parts():
        for number, counter in enumerate(counters):
            i, j = divmod(number, blocks[1])
            inside = scores[
                max(tops[i] - tile.row, 0) : max(tops[i + 1] - tile.row, 0),
                max(lefts[j] - tile.col, 0) : max(lefts[j + 1] - tile.col, 0),
            ]
            counter.add(inside[np.isfinite(inside)])
    return [
        _block(counter.counts, number // blocks[1], number % blocks[1], tops, lefts)
        for number, counter in enumerate(counters)
    ]


def _block(counts: RankCounts, row: int, col: int, tops: np.ndarray, lefts: np.ndarray) -> dict[str, Any]:
    deposits = len(counts.scores)
    return {
        "row": row,
        "col": col,
        "rows": [int(tops[row]), int(tops[row + 1])],
        "cols": [int(lefts[col]), int(lefts[col + 1])],
        "cells": counts.cells,
        "deposits": deposits,
        "auc": auc(counts) if 0 < deposits < counts.cells else None,
    }


def _aucs(parts: Parts, values: np.ndarray, landed: np.ndarray) -> np.ndarray:
    """AUC of each row of values [S, m] where landed, all counted in one pass over the map: float64 [S]."""
    counter = RankCounter(values[landed])
    for _, scores in parts():
        counter.add(scores[np.isfinite(scores)])
    counts = counter.counts
    lower, equal = np.zeros(values.shape, np.int64), np.zeros(values.shape, np.int64)
    at = np.flatnonzero(landed)[np.argsort(values[landed], kind="stable")]
    lower.flat[at], equal.flat[at] = counts.lower, counts.equal
    figures = np.empty(len(values))
    for number, here in enumerate(landed):
        order = np.flatnonzero(here)[np.argsort(values[number, here], kind="stable")]
        scores = values[number, order].astype(np.float64)
        figures[number] = auc(RankCounts(scores, lower[number, order], equal[number, order], counts.cells))
    return figures


def _offsets(shape: tuple[int, int], shifts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns to move by, int64: first none, then different ones drawn from all others."""
    others = shape[0] * shape[1] - 1
    drawn = np.random.default_rng(seed).choice(others, min(shifts, others), replace=False)
    return np.divmod(np.concatenate([[0], 1 + drawn]), shape[1])


def _cells(shape: tuple[int, int], rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.asarray(rows, np.int64), np.asarray(cols, np.int64)
    if not rows.size or rows.shape != cols.shape or rows.ndim != 1:
        raise ValueError(f"deposits need a row and a column each, got {rows.shape} rows and {cols.shape} columns")
    if (rows < 0).any() or (cols < 0).any() or (rows >= shape[0]).any() or (cols >= shape[1]).any():
        raise ValueError(f"a deposit lies outside the grid of {shape[0]} x {shape[1]} cells")
    if np.unique(rows * shape[1] + cols).size < rows.size:
        raise ValueError("two deposits share a cell; one a cell is counted")
    return rows, cols


def _refuse_unscored(scored: np.ndarray) -> None:
    if not scored.all():
        raise ValueError(f"{(~scored).sum()} of {scored.size} deposits lie on cells without a score; leave them out")
