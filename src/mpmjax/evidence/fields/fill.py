"""Gaps, and the margin around a grid, filled with the smoothest surface that goes through the data.

A Fourier transform needs a value in every cell and meets the far edge again beside the near one. What is filled in is
the surface of least curvature (biharmonic; Briggs 1974, Geophysics 39, 39-48), which meets the data in value and slope:
on fields of random prisms the vertical derivative in the cells at an edge is then off by 11 to 24 % of its range, where
the nearest value tapered to the trend leaves 37 to 50 % and a harmonic surface, which has a kink there, 24 to 50 %.

The surface is found on ever finer grids (a cascade: Bornemann and Deuflhard 1996, Numer. Math. 75, 135-152): solved
on one of about 20 x 20 cells, then doubled and smoothed near the data. On a level, a cell depends on those within HALO
rows of it only, so the rows can be taken in strips of any height and come out the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

MARGIN = 1.25
"""The padded grid is at least so many times as long as the grid, along each side."""

SWEEPS = 40
SLOWEST = 1e-3
"""Steps of the Chebyshev iteration, and the smallest eigenvalue, as a share of the largest (64), that it aims at."""

NEAR = 16
"""Cells from the data within which a level is smoothed; farther out the coarser one is smooth enough."""

HALO = 2 * SWEEPS + NEAR + 4
"""Rows that a row depends on, up and down."""

KNOWN_SHARE = 0.5
"""A coarse cell counts as known from this share of cells with data on."""

STRIP = 256

_BIHARMONIC = {
    (0, 0): 20.0,
    **dict.fromkeys([(0, 1), (0, -1), (1, 0), (-1, 0)], -8.0),
    **dict.fromkeys([(1, 1), (1, -1), (-1, 1), (-1, -1)], 2.0),
    **dict.fromkeys([(0, 2), (0, -2), (2, 0), (-2, 0)], 1.0),
}
_LARGEST = 64.0
"""Eigenvalue of these weights."""

_DOUBLED = np.array([-0.0546875, 0.2734375, 0.8203125, -0.0390625])
"""Cubic through the cells at -2, -1, 0 and 1, a quarter of a cell before 0."""


_QUICK = (*range(1, 7), 8, 9, 10, 12, 15, 16, 18, 20)
"""Lengths with factors of 2, 3 and 5 only, up to MARGIN x 16."""


def padded_length(length: int) -> tuple[int, int]:
    """Cells along a side with its margin, quick to transform, and how often they can be halved."""
    halvings = max(length.bit_length() - 4, 0)
    units = int(np.ceil(length * MARGIN / 2**halvings))
    return 2**halvings * next(quick for quick in _QUICK if quick >= units), halvings


@dataclass
class Level:
    """A grid of the cascade: mean of the data in each cell, and where there is enough of it to count as known."""

    values: np.ndarray
    known: np.ndarray


class Surface:
    """The filled grid, given out row by row. `rows` gives those of the padded grid.

    Args:
        rest: (row, count) -> float64 [count, width] of the grid itself, NaN missing.
        shape: (height, width) of the grid.
    """

    def __init__(self, rest: Callable[[int, int], np.ndarray], shape: tuple[int, int]) -> None:
        self._rest, self._own = rest, shape
        (height, rows), (width, cols) = (padded_length(side) for side in shape)
        self.shape = height, width
        levels = self._levels(rows, cols)
        self._coarse = _solve(levels.pop()) if levels else None
        while self._coarse is not None and levels:
            level = levels.pop()
            _refine_level(level, self._coarse)
            self._coarse = level.values

    def rows(self, row: int, count: int) -> np.ndarray:
        """Rows of the filled, padded grid, float64 [count, padded width]."""
        if self._coarse is None:
            return _solve(Level(*self._data(0, self.shape[0])))[row : row + count]
        return _refined(self._data, self._coarse, self.shape, row, count)

    def _data(self, row: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Data and where there are any, in rows of the padded grid, which go round."""
        values = np.zeros((count, self.shape[1]))
        known = np.zeros((count, self.shape[1]), bool)
        at = 0
        while at < count:
            first = (row + at) % self.shape[0]
            step = min(self.shape[0] - first, count - at)
            own = min(self._own[0] - first, step)
            if own > 0:
                rest = self._rest(first, own)
                there = ~np.isnan(rest)
                values[at : at + own, : self._own[1]] = np.where(there, rest, 0.0)
                known[at : at + own, : self._own[1]] = there
            at += step
        return values, known

    def _levels(self, rows: int, cols: int) -> list[Level]:
        """Means over 2 x 2 cells, of those again, and so on until a side of about 20 cells is left."""
        if max(rows, cols) == 0:
            return []
        by = 2 if rows else 1, 2 if cols else 1
        height, width = self.shape[0] // by[0], self.shape[1] // by[1]
        mean, share = np.zeros((height, width)), np.zeros((height, width), np.float32)
        for row in range(0, self._own[0], STRIP):
            count = min(STRIP, self.shape[0] - row)
            part = slice(row // by[0], (row + count) // by[0])
            values, known = self._data(row, count)
            mean[part], share[part] = _halved(values, known.astype(np.float32), by)
        levels = [_level(mean, share)]
        for done in range(1, max(rows, cols)):
            by = 2 if done < rows else 1, 2 if done < cols else 1
            mean, share = _halved(mean, share, by)
            levels.append(_level(mean, share))
        return levels


def _halved(mean: np.ndarray, share: np.ndarray, by: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means and mean weights of groups of cells."""
    height, width = mean.shape[0] // by[0], mean.shape[1] // by[1]
    weight = share.reshape(height, by[0], width, by[1])
    total = weight.sum(axis=(1, 3), dtype=np.float64)
    sums = (mean.reshape(weight.shape) * weight).sum(axis=(1, 3))
    means = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0.0)
    return means, (total / (by[0] * by[1])).astype(np.float32)


def _level(mean: np.ndarray, share: np.ndarray) -> Level:
    known = share >= KNOWN_SHARE
    return Level(mean, known if known.any() else share > 0.0)


def _solve(level: Level) -> np.ndarray:
    """The coarsest grid, by elimination; it has at most some hundred cells."""
    known = level.known.ravel()
    place = np.arange(known.size).reshape(level.known.shape)
    matrix = np.zeros((known.size, known.size))
    for (down, across), weight in _BIHARMONIC.items():
        np.add.at(matrix, (place.ravel(), np.roll(place, (-down, -across), (0, 1)).ravel()), weight)
    values = np.where(known, level.values.ravel(), 0.0)
    if known.any() and not known.all():
        right = -matrix[np.ix_(~known, known)] @ values[known]
        values[~known] = np.linalg.lstsq(matrix[np.ix_(~known, ~known)], right, rcond=1e-12)[0]
    return values.reshape(level.known.shape)


def _refine_level(level: Level, coarse: np.ndarray) -> None:
    """Fill a level from the coarser one, strip by strip, in place: what is known stays as it is."""

    def data(row: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        at = np.arange(row, row + count) % len(level.values)
        return level.values[at], level.known[at]

    for row in range(0, len(level.values), STRIP):
        count = min(STRIP, len(level.values) - row)
        level.values[row : row + count] = _refined(data, coarse, level.values.shape, row, count)


def _refined(
    data: Callable[[int, int], tuple[np.ndarray, np.ndarray]],
    coarse: np.ndarray,
    shape: tuple[int, int],
    row: int,
    count: int,
) -> np.ndarray:
    """Rows of a level: the data, and between them the coarser level, smoothed near the data."""
    first, tall = row - HALO, count + 2 * HALO
    values, known = data(first, tall)
    np.copyto(values, _doubled(coarse, shape, first, tall), where=~known)
    near = ~known & _within(known, NEAR)
    near[: HALO - 2 * SWEEPS] = near[len(near) - HALO + 2 * SWEEPS :] = False
    if near.any():
        values = _smoothed(values, near)
    return values[HALO : HALO + count]


def _within(known: np.ndarray, cells: int) -> np.ndarray:
    """Cells at most so many rows and columns from a known one; the columns go round."""
    reach = ndimage.maximum_filter1d(known.view(np.uint8), 2 * cells + 1, axis=0, mode="constant")
    return ndimage.maximum_filter1d(reach, 2 * cells + 1, axis=1, mode="wrap").view(bool)


def _doubled(coarse: np.ndarray, shape: tuple[int, int], first: int, tall: int) -> np.ndarray:
    """Rows of the finer grid by cubic interpolation of the coarser one along each axis that it halves."""
    if shape[0] == len(coarse):
        rows = coarse[np.arange(first, first + tall) % len(coarse)]
    else:
        start = first // 2
        wide = coarse[np.arange(start - 2, start + tall // 2 + 3) % len(coarse)]
        rows = _interleaved(wide)[first - 2 * start :][:tall]
    if shape[1] == coarse.shape[1]:
        return rows
    at = np.arange(-2, coarse.shape[1] + 2) % coarse.shape[1]
    return _interleaved(rows[:, at].T).T


def _interleaved(wide: np.ndarray) -> np.ndarray:
    """Two rows for each but the first and last two: a quarter of a row before it, and one behind."""
    count = len(wide) - 4
    rows = [wide[step : step + count] for step in range(5)]
    fine = np.empty((count, 2, *wide.shape[1:]))
    fine[:, 0] = sum((weight * rows[step] for step, weight in enumerate(_DOUBLED)), 0.0)
    fine[:, 1] = sum((weight * rows[4 - step] for step, weight in enumerate(_DOUBLED)), 0.0)
    return fine.reshape(2 * count, *wide.shape[1:])


def _smoothed(values: np.ndarray, near: np.ndarray) -> np.ndarray:
    """The curvature of some cells made small by Chebyshev's semi-iteration (Saad 2003, section 12.3), which needs no
    sums over the grid."""
    width = values.shape[1]
    wide = np.concatenate((values[:, -2:], values, values[:, :2]), axis=1)
    cells = np.flatnonzero(np.pad(near, ((0, 0), (2, 2))))
    flat, stride = wide.reshape(-1), wide.shape[1]
    steps = [(down * stride + across, weight) for (down, across), weight in _BIHARMONIC.items()]

    def rest() -> np.ndarray:
        wide[:, :2], wide[:, -2:] = wide[:, width : width + 2], wide[:, 2:4]
        found = np.zeros(len(cells))
        for step, weight in steps:
            found -= weight * flat[cells + step]
        return found

    centre, reach = _LARGEST * (1 + SLOWEST) / 2, _LARGEST * (1 - SLOWEST) / 2
    sigma = centre / reach
    rho, change = 1 / sigma, rest() / centre
    for _ in range(SWEEPS):
        flat[cells] += change
        following = 1 / (2 * sigma - rho)
        change = following * rho * change + 2 * following / reach * rest()
        rho = following
    return wide[:, 2:-2]
