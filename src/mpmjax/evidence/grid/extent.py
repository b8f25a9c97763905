"""How far a grid is to reach, in its own CRS: bounds stated in another CRS, and the extent of a mask."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyproj
import shapely

from mpmjax.errors import ProjectError
from mpmjax.evidence.crs import Bounds, way_between
from mpmjax.evidence.raster.source import inspect_raster, parse_crs
from mpmjax.evidence.vector.file import open_vector, read_geometries
from mpmjax.evidence.vector.reach import in_units, longest_edge, project
from mpmjax.stream.reader import RASTER_DRIVERS

_STEPS = 1_000
"""Points along an edge of a box: its bends are met to a millionth of its length."""
_TORN = 5.0
"""A box this many times as large as on a map made for the place is not stretched, it is torn."""
_CUT = 0.05
"""A step between neighbours among them this long, as a share of the whole box, goes over the cut of a map."""


def bounds_from(bounds: Bounds, stated: str, crs: str) -> Bounds:
    """The box in `crs` around a box in the CRS `stated`, whose edges bend on the way.

    Args:
        bounds: xmin, ymin, xmax, ymax; in degrees xmin > xmax means across the 180th meridian.

    Raises:
        DataError: `stated` is no known CRS, or no way is known between the two.
        ProjectError: the box is empty, not on Earth, beyond what `crs` can show, or torn apart by the cut of its map.
    """
    xmin, ymin, xmax, ymax = bounds
    known = parse_crs(stated, "[grid] bounds_crs")
    if known.is_geographic:
        turn = 2 * math.pi / known.units_factor[1]
        xmax += turn if xmin > xmax else 0.0
        if not (
            -turn / 4 <= ymin and ymax <= turn / 4 and -turn <= xmin and xmax <= 1.5 * turn and xmax - xmin <= turn
        ):
            raise ProjectError(
                f"[grid] bounds = {list(bounds)}: no longitudes and latitudes of {stated[:60]}. They are written "
                "[west, south, east, north]; west > east only across the 180th meridian."
            )
    elif xmin >= xmax:
        raise ProjectError(
            f"[grid] bounds = {list(bounds)}: xmin must be below xmax. Only degrees may wrap around, and "
            f"bounds_crs = {stated[:60]} is projected."
        )
    along = np.linspace(0.0, 1.0, _STEPS + 1)
    edge = np.concatenate([along, np.ones(_STEPS + 1), along[::-1], np.zeros(_STEPS + 1)])
    x, y = xmin + edge * (xmax - xmin), ymin + np.roll(edge, _STEPS + 1) * (ymax - ymin)
    x, y = way_between(known.to_wkt(), crs).transform(x, y)
    return _box(np.asarray(x), np.asarray(y), crs)


def mask_extent(path: Path, crs: str, cell: float, *, layer: str | None = None, stated: str | None = None) -> Bounds:
    """The box in `crs` around the polygons of a mask, or around the whole file where it is a raster.

    Args:
        cell: size of the grid's cells in metres; edges are divided so that they bend to a hundredth of it.
        layer: which one of a vector file with several.
        stated: overrides a missing or wrong CRS of the file.

    Raises:
        DataError: the file cannot be used.
        ProjectError: `crs` does not show all of it.
    """
    if path.suffix.lower() in RASTER_DRIVERS:
        box = inspect_raster(path, "mask", crs=stated).bounds_in(crs)
    else:
        box = _polygon_extent(path, crs, cell, layer, stated)
    if not np.isfinite(box).all():
        raise ProjectError(
            f"[grid] bounds: needed, because the extent of the mask {path} cannot be told in {crs[:60]}: parts of it "
            "lie beyond what that CRS can show."
        )
    return box


def _polygon_extent(path: Path, crs: str, cell: float, layer: str | None, stated: str | None) -> Bounds:
    file = open_vector(path, "mask", layer=layer, crs=stated)
    polygons, _ = read_geometries(file)
    target = pyproj.CRS.from_user_input(crs)
    if file.crs == target:
        return _bounds_of(*shapely.get_coordinates(polygons).T)
    divided = shapely.segmentize(polygons, in_units(file.crs, longest_edge(cell)))
    box = _bounds_of(*shapely.get_coordinates(project(divided, file.crs, target)).T)
    if np.isfinite(box).all():
        _refuse_torn(box, divided, file.crs, crs)
    return box


def _refuse_torn(box: Bounds, polygons: np.ndarray, own: pyproj.CRS, crs: str) -> None:
    """Polygons on both sides of the line along which a map is cut lie at its opposite ends: their box is the world.

    Raises:
        ProjectError: the box is several times as large as on a map that is centred on the polygons.
    """
    x, y = shapely.get_coordinates(polygons).T
    lon, lat = (np.radians(angle) for angle in way_between(own, "EPSG:4326").transform(x, y))
    middle = np.degrees([np.angle((np.exp(1j * lon) * np.cos(lat)).sum()), lat.mean()])
    centred = f"+proj=laea +lon_0={middle[0]:.6f} +lat_0={middle[1]:.6f} +datum=WGS84 +units=m"
    xmin, ymin, xmax, ymax = _bounds_of(*way_between(own, centred).transform(x, y))
    if max(box[2] - box[0], box[3] - box[1]) > _TORN * max(xmax - xmin, ymax - ymin, 1.0):
        raise ProjectError(
            f"[grid] mask: it crosses the line along which the map of {crs[:60]} is cut, so no one grid holds it. "
            "Choose a CRS made for the area."
        )


def _bounds_of(x: np.ndarray, y: np.ndarray) -> Bounds:
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _box(x: np.ndarray, y: np.ndarray, crs: str) -> Bounds:
    """The box around the edge of a region, in order.

    Raises:
        ProjectError: a part of it is not on the map, or neighbours lie at opposite ends of it.
    """
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ProjectError(f"[grid] bounds: a part of them lies beyond what {crs[:60]} can show. Check bounds_crs.")
    box = _bounds_of(x, y)
    size = max(box[2] - box[0], box[3] - box[1])
    if np.hypot(np.diff(x), np.diff(y)).max() > _CUT * size:
        raise ProjectError(
            f"[grid] bounds: they cross the line along which the map of {crs[:60]} is cut, so no one grid holds them. "
            "Choose a CRS made for the area, or bounds on one side of the line."
        )
    return box
