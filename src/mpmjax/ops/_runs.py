"""Rows of cells as runs of equal amounts: what ops/density.py keeps of the rows within a radius of a strip."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mpmjax.ops._compile import compiled


class Runs(NamedTuple):
    """Runs of equal amounts, row after row: offsets int64 [rows + 1], starts and ends int32 [n], amounts [n]."""

    offsets: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    amounts: np.ndarray

    def after(self, rows: int) -> Runs:
        at = self.offsets[rows]
        return Runs(self.offsets[rows:] - at, self.starts[at:], self.ends[at:], self.amounts[at:])

    def and_then(self, more: Runs) -> Runs:
        offsets = np.concatenate((self.offsets, self.offsets[-1] + more.offsets[1:]))
        return Runs(offsets, *(np.concatenate(pair) for pair in zip(self[1:], more[1:], strict=True)))


@compiled
def find_runs(cells):
    """Runs of equal numbers that are not 0 in the rows of `cells` [rows, w], field by field as in Runs."""
    height, width = cells.shape
    offsets = np.zeros(height + 1, np.int64)
    for i in range(height):
        n = 0
        for j in range(width):
            n += (cells[i, j] != 0) & ((j == 0) | (cells[i, j] != cells[i, max(j - 1, 0)]))
        offsets[i + 1] = offsets[i] + n
    starts, ends = np.empty(offsets[height], np.int32), np.empty(offsets[height], np.int32)
    amounts = np.empty(offsets[height], cells.dtype)
    k = -1
    for i in range(height):
        for j in range(width):
            if cells[i, j] == 0:
                continue
            if j == 0 or cells[i, j] != cells[i, j - 1]:
                k += 1
                starts[k], amounts[k] = j, cells[i, j]
            ends[k] = j + 1
    return offsets, starts, ends, amounts


class Window:
    """Runs of the frame's rows that the strip at hand needs; earlier rows are let go, later ones not yet read.

    With a `unit`, amounts are whole multiples of it, int64; without, float64 as they were read.
    """

    def __init__(
        self,
        read_amounts: Callable[[int, int], np.ndarray],
        width: int,
        unit: float | None,
        total: float,
        strip_rows: int,
    ) -> None:
        self._read, self._width, self._strip_rows = read_amounts, width, strip_rows
        self._unit, self._left = unit, total * (1.0 + 1e-9)
        nothing, dtype = np.empty(0, np.int32), np.float64 if unit is None else np.int64
        self._first, self._runs = 0, Runs(np.zeros(1, np.int64), nothing, nothing, np.empty(0, dtype))

    def runs(self, first: int, end: int) -> Runs:
        """Of the rows first..end - 1; neither may be less than in the call before."""
        self._runs, self._first = self._runs.after(first - self._first), first
        known = first + len(self._runs.offsets) - 1
        for row in range(known, end, self._strip_rows):
            self._runs = self._runs.and_then(self._more(row, min(self._strip_rows, end - row)))
        return self._runs

    def _more(self, row: int, rows: int) -> Runs:
        cells = np.asarray(self._read(row, rows), np.float64)
        if cells.shape != (rows, self._width):
            raise ValueError(f"read_amounts({row}, {rows}) returned {cells.shape}, not {(rows, self._width)}")
        self._left -= float(cells.sum())
        if not (cells.min() >= 0 and self._left >= 0):
            raise ValueError(f"amounts must be finite, not negative and at most `total`; not so in row {row} or below")
        runs = Runs(*find_runs(np.ascontiguousarray(cells)))
        if self._unit is None:
            return runs
        return runs._replace(amounts=np.rint(runs.amounts / self._unit).astype(np.int64))
