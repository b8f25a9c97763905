"""The plane through a grid, taken off before a Fourier transform: a trend that goes round would be a step to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

NEGLIGIBLE = 1e-12
"""What is left of a value, as a share of the largest, is rounding below this and becomes 0: else the angle of a plane's
derivatives would be one of noise."""


@dataclass(frozen=True)
class Trend:
    """level + by_row * row' + by_col * col', with row' and col' from -1 to 1 over the grid.

    Attributes:
        shape: (height, width) of the grid.
        largest: absolute value of the grid.
        cells: how many hold data.
    """

    shape: tuple[int, int]
    level: float
    by_row: float
    by_col: float
    largest: float
    cells: int

    def rows(self, row: int, count: int) -> np.ndarray:
        """The plane in some rows, float64 [count, width]."""
        down = _place(row, count, self.shape[0])[:, None]
        return self.level + self.by_row * down + self.by_col * _place(0, self.shape[1], self.shape[1])

    def off(self, row: int, values: np.ndarray) -> np.ndarray:
        """Rows of values without the plane, NaN where they are missing."""
        rest = values - self.rows(row, len(values))
        rest[np.abs(rest) <= NEGLIGIBLE * self.largest] = 0.0
        return rest


def fit_trend(blocks: Iterable[tuple[int, np.ndarray]], shape: tuple[int, int]) -> Trend:
    """The plane of least squares through all cells that hold data.

    Args:
        blocks: first row and float64 [rows, width], NaN missing; all rows of the grid, in order.
    """
    normal, right, largest = np.zeros((3, 3)), np.zeros(3), 0.0
    cols = _place(0, shape[1], shape[1])
    for row, values in blocks:
        there = ~np.isnan(values)
        if not there.any():
            continue
        known = np.where(there, values, 0.0)
        down = _place(row, len(values), shape[0])
        by_row, by_col = there.sum(axis=1), there.sum(axis=0)
        cross = float(down @ (there @ cols))
        normal += np.array(
            [
                [by_row.sum(), by_row @ down, by_col @ cols],
                [by_row @ down, by_row @ down**2, cross],
                [by_col @ cols, cross, by_col @ cols**2],
            ]
        )
        right += (known.sum(), known.sum(axis=1) @ down, known.sum(axis=0) @ cols)
        largest = max(largest, float(np.abs(known).max()))
    # Least norm where the data lie on one line and no plane is told.
    level, by_row, by_col = np.linalg.lstsq(normal, right, rcond=1e-12)[0]
    return Trend(shape, float(level), float(by_row), float(by_col), largest, int(normal[0, 0]))


def _place(start: int, count: int, length: int) -> np.ndarray:
    return (np.arange(start, start + count) - (length - 1) / 2) / max(length / 2, 1.0)
