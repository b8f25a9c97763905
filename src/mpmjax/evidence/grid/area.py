"""How a CRS stretches the ground, and the true area of a grid's cells.

Both are taken from places on the ellipsoid in space (x, y, z), so nothing breaks at a pole or the 180th meridian, and
a CRS that treats an ellipsoid as a sphere (Web Mercator) is judged by the ellipsoid all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyproj

from mpmjax.types import Grid, Tile

_STEP = 500.0
"""Half the step in metres over which derivatives are taken: off by (500 m / Earth's radius)^2 = 6e-9 and rounding."""
_NODE_METRES = 20_000.0
"""Nodes at most so far apart: bilinear between them is off by less than 1e-5 where a CRS is fit for the area."""
_MOST_NODES = 257
_ALIKE = 1e-6


@dataclass(frozen=True)
class CellArea:
    """The true area of a grid's cells on the ground, exact at the nodes of a coarse lattice and bilinear between them.

    Lattice and arithmetic are those of the grid, not of a tile: a cell has the same bits in whatever tile it is read.

    Attributes:
        shape: (height, width) of the grid in cells.
        nodes: float64 [m, n], km2: of cells evenly spaced from the first row and column to the last, m and n >= 2; or
            [1, 1] where all cells are alike.
    """

    shape: tuple[int, int]
    nodes: np.ndarray

    @property
    def constant(self) -> float | None:
        """The area of every cell in km2 where all are alike (an equal-area CRS), else None."""
        return float(self.nodes[0, 0]) if self.nodes.size == 1 else None

    @property
    def unit_km2(self) -> float:
        """What `weights` count: a cell where all are alike, else 2^-16 of the largest cell."""
        return self.constant or float(self.nodes.max()) / 65_536

    def of(self, tile: Tile) -> np.ndarray:
        """Areas in km2, float64 [height, width]."""
        if self.constant is not None:
            return np.full((tile.height, tile.width), self.constant)
        return self._bilinear(self.nodes, tile)

    def weights(self, tile: Tile) -> np.ndarray | None:
        """Areas in whole units, float64 [height, width]; None where all cells are alike and count 1 each.

        At most 65,536 each: their sums are exact, in whatever order, up to 10^11 cells. Rounding to a unit is off by
        less than 1e-5 of a cell.
        """
        if self.constant is not None:
            return None
        units = self._bilinear(self.nodes / self.unit_km2, tile)
        return np.rint(units, out=units)

    def _bilinear(self, nodes: np.ndarray, tile: Tile) -> np.ndarray:
        """Along the rows of nodes, which are few; then from each down to the next, all rows of cells between in one."""
        row, down = self._between(0, tile.row, tile.height)
        col, across = self._between(1, tile.col, tile.width)
        nodes = nodes[row[0] : row[-1] + 2]
        rows = nodes[:, col] + (nodes[:, col + 1] - nodes[:, col]) * across
        cells = np.empty((tile.height, tile.width))
        ends = np.searchsorted(row, np.arange(row[0], row[-1] + 2))
        for upper, lower, start, end in zip(rows, rows[1:], ends, ends[1:], strict=False):
            np.multiply(lower - upper, down[start:end, None], out=cells[start:end])
            cells[start:end] += upper
        return cells

    def _between(self, axis: int, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The node before each cell of a row or column, and how far on to the next it lies, 0..1."""
        last = self.nodes.shape[axis] - 1
        place = np.arange(start, start + count) * (last / max(self.shape[axis] - 1, 1))
        before = np.minimum(place.astype(np.int64), last - 1)
        return before, place - before


class Stretch(NamedTuple):
    """What a metre of a map is on the ground, at n places: float64 [n], NaN where the map shows no place.

    Attributes:
        shortest, longest: metres of ground in a metre of the map, over all directions.
        area: square metres of ground in a square metre of the map.
    """

    shortest: np.ndarray
    longest: np.ndarray
    area: np.ndarray


def stretch(crs: str, x: np.ndarray, y: np.ndarray) -> Stretch:
    """How a projected CRS in metres stretches the ground at places (x, y), float64 [n].

    The first fundamental form of the inverse projection (Snyder 1987, Map Projections - A Working Manual, section 4),
    by central differences.
    """
    projected = pyproj.CRS.from_user_input(crs)
    geodetic = projected.geodetic_crs
    if geodetic is None or geodetic.ellipsoid is None:
        raise ValueError(f"{crs[:60]} lies on no ellipsoid")
    way = pyproj.Transformer.from_crs(projected, geodetic, always_xy=True)
    radians = geodetic.axis_info[0].unit_conversion_factor  # degrees, or grads as in France
    major, minor = geodetic.ellipsoid.semi_major_metre, geodetic.ellipsoid.semi_minor_metre

    def in_space(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        lon, lat = (np.asarray(angle, np.float64) * radians for angle in way.transform(x, y))
        lon, lat = np.where(np.isfinite(lon), lon, np.nan), np.where(np.isfinite(lat), lat, np.nan)
        normal = major**2 / np.hypot(major * np.cos(lat), minor * np.sin(lat))
        across = normal * np.cos(lat)
        return np.stack([across * np.cos(lon), across * np.sin(lon), normal * (minor / major) ** 2 * np.sin(lat)])

    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    east = (in_space(x + _STEP, y) - in_space(x - _STEP, y)) / (2 * _STEP)
    north = (in_space(x, y + _STEP) - in_space(x, y - _STEP)) / (2 * _STEP)
    e, f, g = (east * east).sum(axis=0), (east * north).sum(axis=0), (north * north).sum(axis=0)
    half, spread = (e + g) / 2, np.hypot((e - g) / 2, f)
    return Stretch(np.sqrt(np.maximum(half - spread, 0)), np.sqrt(half + spread), np.sqrt(np.maximum(e * g - f * f, 0)))


def cell_area(grid: Grid) -> CellArea:
    """The true area of the grid's cells: exact at nodes at most 20 km apart, bilinear between them.

    At most 257 nodes along a side, at most one a cell. Off by less than 1e-5 for a CRS that is fit for the area. Cells
    that are no place on Earth count as large as on the map; they hold no data.
    """
    (height, width), (dx, dy) = grid.shape, grid.cell_size
    rows, cols = _nodes(height, dy), _nodes(width, dx)
    x = grid.transform.c + (cols + 0.5) * dx
    y = grid.transform.f - (rows + 0.5) * dy
    across, down = np.meshgrid(x, y)
    areas = stretch(grid.crs, across.ravel(), down.ravel()).area.reshape(across.shape)
    areas = np.where(np.isfinite(areas), areas, 1.0) * grid.cell_area_km2
    if np.ptp(areas) < _ALIKE * areas.max():
        areas = areas.mean(keepdims=True)
    return CellArea(grid.shape, areas)


def _nodes(cells: int, size: float) -> np.ndarray:
    """Rows or columns of the nodes, evenly spaced from the first cell to the last; two at least."""
    wanted = int(np.ceil(cells * size / _NODE_METRES)) + 1
    return np.linspace(0.0, max(cells - 1, 1), max(2, min(wanted, _MOST_NODES, cells)))
