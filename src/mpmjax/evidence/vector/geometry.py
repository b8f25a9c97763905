"""Geometries as files hold them -> geometries that every later step can rely on.

What is done with awkward ones is decided here, and nowhere else:

- no geometry, an empty one, coordinates that are no finite numbers, surfaces and curves in collections that cannot be
  read: the feature is left out and counted;
- curves otherwise: straight edges, 4 degrees of arc each, as GDAL draws them; heights and measures: dropped;
- invalid rings: repaired by `make_valid`; what a repaired polygon has beside its area (spikes) is dropped;
- a line without length is kept as the point that it is, and a polygon without area as the line or point that it is:
  for a distance it is a place. It has no strike, no crossing and no density: see `Features.measurable`;
- collections: one feature for their points, one for their lines and one for their polygons, all of the same class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from shapely import GeometryCollection, LineString, MultiLineString, MultiPoint, MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

_COLLECTION = int(shapely.GeometryType.GEOMETRYCOLLECTION)
_MULTI: tuple[Any, ...] = (MultiPoint, MultiLineString, MultiPolygon)
_FULL_TURN = 1e-9
"""An edge shorter than a full turn by this share of it, or less, goes all the way round."""


def usable(geometries: np.ndarray) -> np.ndarray:
    """bool [n]: whether there is a geometry, of finite coordinates and of types that can be computed with."""
    there = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    for place in np.flatnonzero(shapely.get_type_id(geometries) == _COLLECTION):
        there[place] &= _has_straight_parts(geometries[place])
    there[there] = are_finite(geometries[there])
    return there


def are_finite(geometries: np.ndarray) -> np.ndarray:
    """bool [n]: whether all coordinates of a geometry are finite numbers."""
    coordinates, index = shapely.get_coordinates(geometries, return_index=True)
    finite = np.ones(geometries.size, bool)
    finite[index[~np.isfinite(coordinates).all(axis=1)]] = False
    return finite


def homogeneous(geometries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take collections apart: points, lines or polygons, single or multi, none empty; and the index of each's source.

    The order stays; of one collection points come first, then lines, then polygons.
    """
    mixed = shapely.get_type_id(geometries) == _COLLECTION
    found, index = [geometries[~mixed]], [np.flatnonzero(~mixed)]
    for place in np.flatnonzero(mixed):
        pieces = _by_dimension(geometries[place])
        found.append(np.array(pieces, object))
        index.append(np.full(len(pieces), place))
    flat, source = np.concatenate(found), np.concatenate(index)
    full = ~shapely.is_empty(flat)
    order = np.flatnonzero(full)[np.argsort(source[full], kind="stable")]
    return flat[order], source[order]


def repaired(geometries: np.ndarray, label: str) -> tuple[np.ndarray, list[str]]:
    """Valid geometries, one for each, and how many were repaired or have lost a dimension."""
    invalid = np.flatnonzero(~shapely.is_valid(geometries))
    if not invalid.size:
        return geometries, []
    before = shapely.get_dimensions(geometries[invalid])
    after = shapely.make_valid(geometries[invalid])
    spiked = (before == 2) & (shapely.get_type_id(after) == _COLLECTION)
    after[spiked] = [_by_dimension(geometry)[-1] for geometry in after[spiked]]
    geometries = geometries.copy()
    geometries[invalid] = after
    collapsed = int((shapely.get_dimensions(after) < before).sum())
    notes = []
    if collapsed < invalid.size:
        notes.append(f"{label}: {invalid.size - collapsed} of {geometries.size} geometries were invalid: repaired.")
    if collapsed:
        notes.append(
            f"{label}: {collapsed} of {geometries.size} geometries are lines without length or polygons without area: "
            "each is kept as the point or line that it is."
        )
    return geometries, notes


def short_way(geometries: np.ndarray, turn: float, label: str) -> tuple[np.ndarray, list[str]]:
    """Let edges that jump from one end of the longitudes to the other cross the 180th meridian.

    A line from 179.9 to -179.9 drawn as it stands runs once round the Earth the wrong way. Edges longer than half a
    turn are taken the short way, so that longitudes go on beyond 180; edges of exactly a full turn, as those of a
    polygon of the whole Earth, and rings round a pole stay as they are.

    Args:
        turn: of longitude, in units of the CRS: 360 for degrees.
    """
    bounds = shapely.bounds(geometries)
    wide = np.flatnonzero(bounds[:, 2] - bounds[:, 0] > turn / 2)
    taken = np.array([_unrolled(geometry, turn) for geometry in geometries[wide]], object)
    changed = wide[[new is not old for new, old in zip(taken, geometries[wide], strict=True)]] if wide.size else wide
    if not changed.size:
        return geometries, []
    geometries = geometries.copy()
    geometries[wide] = taken
    note = (
        f"{label}: {changed.size} of {geometries.size} features have edges from one side of the 180th meridian to the "
        "other: they are taken to cross it."
    )
    return geometries, [note]


def _has_straight_parts(collection: BaseGeometry) -> bool:
    """Whether a collection holds no curves, which shapely refuses to take out; GDAL straightens those outside only."""
    try:
        _by_dimension(collection)
    except NotImplementedError:
        return False
    return True


def _by_dimension(geometry: BaseGeometry) -> list[BaseGeometry]:
    """The points, the lines and the polygons of a collection: up to three geometries."""
    parts = shapely.get_parts(geometry)
    while (shapely.get_type_id(parts) >= shapely.GeometryType.MULTIPOINT).any():
        parts = shapely.get_parts(parts)
    dimension = shapely.get_dimensions(parts[~shapely.is_empty(parts)])
    parts = parts[~shapely.is_empty(parts)]
    groups = [parts[dimension == d] for d in range(3)]
    return [group[0] if group.size == 1 else _MULTI[d](list(group)) for d, group in enumerate(groups) if group.size]


def _unrolled(geometry: BaseGeometry, turn: float) -> BaseGeometry:
    """The same geometry where no edge needs the short way."""
    parts = shapely.get_parts(geometry)
    new = [_unrolled_part(part, turn) for part in parts]
    if all(a is b for a, b in zip(new, parts, strict=True)):
        return geometry
    if shapely.get_type_id(geometry) == _COLLECTION:
        return GeometryCollection(new)
    return new[0] if len(new) == 1 else _MULTI[shapely.get_dimensions(geometry)](new)


def _unrolled_part(part: BaseGeometry, turn: float) -> BaseGeometry:
    if shapely.get_type_id(part) >= shapely.GeometryType.MULTIPOINT:
        return _unrolled(part, turn)
    dimension = shapely.get_dimensions(part)
    if dimension == 1:
        xy = shapely.get_coordinates(part)
        steps = _steps(xy[:, 0], turn)
        return part if not steps.any() else LineString(np.column_stack((xy[:, 0] + steps, xy[:, 1])))
    if dimension == 2:
        return _unrolled_polygon(part, turn)
    return part


def _unrolled_polygon(polygon: BaseGeometry, turn: float) -> BaseGeometry:
    rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(polygon)]
    steps = [_steps(ring[:, 0], turn) for ring in rings]
    if not steps[0].any() or any(step[-1] for step in steps):
        return polygon
    moved = [np.column_stack((ring[:, 0] + step, ring[:, 1])) for ring, step in zip(rings, steps, strict=True)]
    middle = moved[0][:, 0].min() / 2 + moved[0][:, 0].max() / 2
    for hole in moved[1:]:
        hole[:, 0] += turn * np.round((middle - hole[:, 0].mean()) / turn)
    return Polygon(moved[0], moved[1:])


def _steps(x: np.ndarray, turn: float) -> np.ndarray:
    """What to add to each longitude so that no edge is longer than half a turn."""
    edges = np.diff(x)
    jump = (np.abs(edges) > turn / 2) & (np.abs(edges) < turn * (1 - _FULL_TURN))
    return np.concatenate(([0.0], np.cumsum(np.where(jump, -np.sign(edges) * turn, 0.0))))
