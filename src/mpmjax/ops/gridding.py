"""Values between samples on a window of the grid's cells: definitions in reference/gridding.py, hot loops in ops/cpu/.

All of it is float64, rounded once to float32. A cell's value depends on the samples and the cell only, bit for bit: not
on the window, nor on what else was computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import Delaunay

from mpmjax.ops.cpu.idw import idw_window
from mpmjax.ops.cpu.local_solve import EXPONENTIAL, GAUSSIAN, PLATE, SPHERICAL, solve_window
from mpmjax.ops.cpu.natural import triangles_window
from mpmjax.ops.cpu.neighbours import distance_window

MODELS = {"spherical": SPHERICAL, "exponential": EXPONENTIAL, "gaussian": GAUSSIAN}
TILE = 256
"""Every so many columns of the grid the walk through the triangles begins anew: on the edge of two of them it depends
on where it came from, and no window may show."""

LARGEST_BLOCK = 64
"""Cells that share a search for neighbours; 16 to 256 are within a fifth of it in time."""

Cells = tuple[int, int, int, int]
"""(row, col, rows, cols) of a window, in cells of the grid."""


class SingularSamples(ValueError):
    """The samples nearest to a cell leave its value open: two at one place, all on a line, or a matrix near to that.

    Attributes:
        row, col: the cell.
    """

    def __init__(self, row: int, col: int) -> None:
        super().__init__(f"the samples nearest to row {row}, column {col} give a singular matrix")
        self.row, self.col = row, col


@dataclass(frozen=True)
class Scattered:
    """Samples in metres right of and below the upper left corner of the grid, whose cells measure `cell_size`.

    Attributes:
        x, y, values: float64 [n], n >= 1, finite.
        cell_size: (dx, dy) in metres, positive.
    """

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    cell_size: tuple[float, float]

    def __post_init__(self) -> None:
        for name in ("x", "y", "values"):
            array = np.ascontiguousarray(getattr(self, name), np.float64)
            object.__setattr__(self, name, array)
            if array.ndim != 1 or not array.size or array.size != self.x.size or not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite and of one length, not empty; got shape {array.shape}")
        dx, dy = self.cell_size
        if not (0.0 < dx < math.inf and 0.0 < dy < math.inf):
            raise ValueError(f"cells must be of positive size, got {self.cell_size}")


@dataclass(frozen=True)
class Triangles:
    """Delaunay triangles of samples: corners int32 [t, 3], who lies across from them, and circumcentres."""

    corners: np.ndarray
    beside: np.ndarray
    centres: np.ndarray


def idw(
    samples: Scattered,
    cells: Cells,
    *,
    neighbours: int,
    power: float,
    radius: float = math.inf,
    support: float = math.inf,
) -> np.ndarray:
    """Inverse distances: float32 [rows, cols], NaN where no sample is within the radius and the support (metres).

    Raises:
        ValueError: an argument is out of range.
    """
    k, near = _checked(samples, cells, neighbours, radius, support)
    if not 0.0 < power < math.inf:
        raise ValueError(f"power must be positive, got {power}")
    out = np.empty(cells[2:], np.float32)
    size, few = samples.cell_size, _few(k)
    idw_window(samples.x, samples.y, samples.values, size, cells, k, float(power), *near, few, LARGEST_BLOCK, out)
    return out


def kriging(
    samples: Scattered,
    cells: Cells,
    *,
    neighbours: int,
    model: str,
    nugget: float,
    sill: float,
    reach: float,
    radius: float = math.inf,
    support: float = math.inf,
    variance: bool = False,
) -> np.ndarray:
    """Ordinary kriging, or its variance: float32 [rows, cols], NaN as for `idw`.

    Args:
        model: "spherical", "exponential" or "gaussian".
        nugget, sill: of the variogram, in squared units of the values; the sill includes the nugget.
        reach: the variogram's range in metres.

    Raises:
        SingularSamples: a cell has no solution.
        ValueError: an argument is out of range.
    """
    k, near = _checked(samples, cells, neighbours, radius, support)
    if model not in MODELS or not (0.0 <= nugget <= sill < math.inf and sill > 0.0 and 0.0 < reach < math.inf):
        raise ValueError(f"got model {model!r}, nugget {nugget}, sill {sill}, range {reach}")
    shape = MODELS[model], nugget / sill, float(sill), float(reach), variance
    return _solved(samples, cells, k, near, shape)


def thin_plate(
    samples: Scattered, cells: Cells, *, neighbours: int, radius: float = math.inf, support: float = math.inf
) -> np.ndarray:
    """Thin plates through the nearest samples: float32 [rows, cols], NaN as for `idw` or with less than three near.

    Raises:
        SingularSamples: the samples of a cell lie on a line, or two of them at one place.
        ValueError: an argument is out of range.
    """
    k, near = _checked(samples, cells, neighbours, radius, support)
    return _solved(samples, cells, k, near, (PLATE, 0.0, 1.0, 1.0, False))


def triangulate(samples: Scattered) -> Triangles:
    """Delaunay triangles of samples at distinct places.

    Raises:
        scipy.spatial.QhullError: fewer than three samples, or all on a line.
    """
    # From their middle and in one unit: Qhull takes what is small beside the largest coordinate for nothing.
    middle = np.array((samples.x.mean(), samples.y.mean()))
    places = np.stack((samples.x, samples.y), axis=1)
    found = Delaunay(places - middle)
    a, b, c = (places[found.simplices[:, corner]] for corner in range(3))
    b, c = b - a, c - a
    b2, c2 = (b * b).sum(axis=1), (c * c).sum(axis=1)
    twice = 2.0 * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
    away = np.stack((c[:, 1] * b2 - b[:, 1] * c2, b[:, 0] * c2 - c[:, 0] * b2), axis=1) / twice[:, None]
    corners, beside = (np.ascontiguousarray(array, np.int32) for array in (found.simplices, found.neighbors))
    return Triangles(corners, beside, a + away)


def linear(samples: Scattered, triangles: Triangles, cells: Cells, *, support: float = math.inf) -> np.ndarray:
    """Linear in triangles: float32 [rows, cols], NaN outside the hull and beyond the support.

    Raises:
        ValueError: an argument is out of range.
    """
    return _triangular(samples, triangles, cells, support, natural=False)


def natural(samples: Scattered, triangles: Triangles, cells: Cells, *, support: float = math.inf) -> np.ndarray:
    """Natural neighbours (Sibson): float32 [rows, cols], NaN outside the hull and beyond the support.

    Raises:
        ValueError: an argument is out of range.
    """
    return _triangular(samples, triangles, cells, support, natural=True)


def _triangular(samples: Scattered, triangles: Triangles, cells: Cells, support: float, natural: bool) -> np.ndarray:
    _, (_, support2) = _checked(samples, cells, 1, math.inf, support)
    places = samples.x, samples.y
    mesh = triangles.corners, triangles.beside, triangles.centres
    row, col, rows, cols = cells
    out, away = np.empty((2, rows, cols), np.float32)
    for start in range(col - col % TILE, col + cols, TILE):
        first, end = max(start, col), min(start + TILE, col + cols)
        piece = np.empty((rows, end - start), np.float32)
        part = row, start, rows, end - start
        triangles_window(*places, samples.values, *mesh, samples.cell_size, part, natural, piece)
        out[:, first - col : end - col] = piece[:, first - start :]
    if support < math.inf:
        distance_window(*places, samples.cell_size, cells, support2, _few(1), LARGEST_BLOCK, away)
        out[np.isinf(away)] = np.nan
    return out


def _checked(
    samples: Scattered, cells: Cells, neighbours: int, radius: float, support: float
) -> tuple[int, tuple[float, float]]:
    """Neighbours, no more than there are, and the squares of radius and support."""
    if neighbours < 1 or not (radius > 0.0 and support > 0.0):
        raise ValueError(f"got neighbours {neighbours}, radius {radius}, support {support}: all must be positive")
    if min(cells[:2]) < 0 or min(cells[2:]) < 1:
        raise ValueError(f"got a window of {cells} (row, col, rows, cols)")
    return min(neighbours, samples.x.size), (float(radius) ** 2, float(support) ** 2)


def _few(neighbours: int) -> int:
    """Candidates from which on a block is not worth being cut further: measured flat from 2 to 4 k."""
    return 2 * neighbours + 16


def _solved(
    samples: Scattered,
    cells: Cells,
    k: int,
    near: tuple[float, float],
    shape: tuple[int, float, float, float, bool],
) -> np.ndarray:
    out = np.empty(cells[2:], np.float32)
    places = samples.x, samples.y, samples.values, samples.cell_size
    bad = solve_window(*places, cells, k, *near, *shape, _few(k), LARGEST_BLOCK, out)
    if bad >= 0:
        raise SingularSamples(cells[0] + bad // cells[3], cells[1] + bad % cells[3])
    return out
