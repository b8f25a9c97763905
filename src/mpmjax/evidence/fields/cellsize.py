"""How large the cells of a raster are on the ground, in metres, row by row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyproj

from mpmjax.errors import DataError
from mpmjax.evidence.raster.source import RasterSource

MOST_STRETCH = 1.5
"""Beyond this ratio of the widest cell to the narrowest, a grid in degrees is no map of an area any more."""

ROTATED = 1e-6
"""Shear of a cell, as a share of its size, from which on a grid counts as rotated."""


@dataclass(frozen=True)
class CellSize:
    """Size of a grid's cells on the ground.

    Attributes:
        across: width in metres by row, float64 [height].
        down: height in metres, of all rows.
        notes: what was approximated, as sentences.
    """

    across: np.ndarray
    down: float
    notes: tuple[str, ...] = ()


def cell_size(source: RasterSource, label: str) -> CellSize:
    """Size of a raster's cells on the ground.

    Projected: by the unit of the CRS, as the map has it. In degrees: by the ellipsoid, the width at the latitude of
    each row (radius of the parallel), the height at the middle latitude (radius of the meridian).

    Raises:
        DataError: a rotated grid; or one in degrees that reaches so far north or south that the widest row is more than
            1.5 times as wide as the narrowest.
    """
    to_map = source.transform
    if max(abs(to_map.b), abs(to_map.d)) > ROTATED * min(abs(to_map.a), abs(to_map.e)):
        raise DataError(
            f"{label}: its grid is rotated, and derivatives are taken along rows and columns that run east and south. "
            "Lay it on a grid of the map first: gdalwarp -t_srs EPSG:... -r cubic."
        )
    crs = pyproj.CRS.from_wkt(source.crs.to_wkt())
    unit = crs.axis_info[0].unit_conversion_factor
    if not source.crs.is_geographic:
        return CellSize(np.full(source.height, abs(to_map.a) * unit), abs(to_map.e) * unit)
    return _in_degrees(source, crs, unit, label)


def _in_degrees(source: RasterSource, crs: pyproj.CRS, unit: float, label: str) -> CellSize:
    ellipsoid = crs.ellipsoid
    if ellipsoid is None:
        raise DataError(f"{label}: its CRS is in degrees of no ellipsoid. Warp the grid to a projected CRS first.")
    to_map = source.transform
    edges = np.array([to_map.f, to_map.f + source.height * to_map.e]) * unit
    axes = ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre
    across = abs(to_map.a) * unit * _parallel(axes, _latitudes(source) * unit)
    if np.abs(edges).max() >= np.pi / 2 or across.max() > MOST_STRETCH * across.min():
        south, north = np.degrees(np.sort(edges))
        raise DataError(
            f"{label}: in degrees from latitude {south:g} to {north:g}, so that its rows differ in width by more than "
            f"{MOST_STRETCH:g} times and are no plane. Warp it to a projected CRS first (gdalwarp -t_srs EPSG:... -r "
            "cubic), or cut it to the area."
        )
    down = abs(to_map.e) * unit * (_meridian(axes, float(edges.mean())))
    note = (
        f"{label}: the grid is in degrees; its cells were taken as {down:,.0f} m high and, by latitude, "
        f"{across.min():,.0f} to {across.max():,.0f} m wide, and the Earth as flat under each row: good for bodies "
        "that are small beside the area. Warp the grid to a projected CRS for more."
    )
    return CellSize(across, down, (note,))


def _latitudes(source: RasterSource) -> np.ndarray:
    return source.transform.f + (np.arange(source.height) + 0.5) * source.transform.e


def _parallel(axes: tuple[float, float], latitude: np.ndarray) -> np.ndarray:
    """Radius of the parallel in metres at latitudes in radians (Snyder 1987, equation 4-21)."""
    a, b = axes
    return a * a * np.cos(latitude) / np.hypot(a * np.cos(latitude), b * np.sin(latitude))


def _meridian(axes: tuple[float, float], latitude: float) -> float:
    """Radius of curvature of the meridian in metres at a latitude in radians (Snyder 1987, equation 4-19)."""
    a, b = axes
    return (a * b) ** 2 / math.hypot(a * math.cos(latitude), b * math.sin(latitude)) ** 3
