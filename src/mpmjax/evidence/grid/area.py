"""How a CRS stretches the ground, and the true area of a grid's cells.

Both are taken from places on the ellipsoid in space (x, y, z), so nothing breaks at a pole or the 180th meridian, and
a CRS that treats an ellipsoid as a sphere (Web Mercator) is judged by the ellipsoid all the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyproj

from mpmjax.types import CellArea, Grid

_STEP = 500.0
"""Half the step in metres over which derivatives are taken: off by (500 m / Earth's radius)^2 = 6e-9 and rounding."""
_NODE_METRES = 20_000.0
"""Nodes at most so far apart: bilinear between them is off by less than 1e-5 where a CRS is fit for the area."""
_MOST_NODES = 257
_ALIKE = 1e-6


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
