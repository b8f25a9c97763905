"""From a file's CRS to the grid's: which part of the file an area needs, cut out, and projected as it bends.

The same place has many longitudes, a full turn apart: data near the 180th meridian is written from -180 to 180, from 0
to 360, or beyond. An area is therefore looked for one turn to the west and one to the east as well, and what lies
there is moved to where the area is.
"""

from __future__ import annotations

import math

import numpy as np
import shapely
from pyproj import CRS

from mpmjax.evidence.crs import Bounds, bounds_between, way_between

_EARTH_RADIUS = 6.37e6
_FARTHEST = 5e6


def full_turn(crs: CRS) -> float | None:
    """A turn of longitude in units of the CRS, 360 for degrees; None for one that is not geographic."""
    return round(2 * math.pi / crs.axis_info[0].unit_conversion_factor, 6) if crs.is_geographic else None


def in_units(crs: CRS, metres: float) -> float:
    """A length in units of a CRS; of degrees of longitude that is so at the equator, elsewhere they are shorter."""
    unit = crs.axis_info[0].unit_conversion_factor
    return metres / (unit * _EARTH_RADIUS if crs.is_geographic else unit)


def search_boxes(crs: CRS, target: CRS, bounds: Bounds, pad: float) -> list[Bounds] | None:
    """Boxes in a file's CRS that hold an area of the grid's and the margin around it, a little wider.

    A margin wider than 5,000 km is cut off there: farther out projections fold back, and a box would miss the area.

    Returns:
        Boxes that do not overlap: one; three for longitudes, the area's own first, then a turn to the west and to the
        east; or None where the file's CRS does not reach the area.
    """
    if crs == target:
        return [widened(bounds, pad)]
    inner, outer = (bounds_between(target, crs, widened(bounds, w)) for w in (0.0, min(pad, _FARTHEST)))
    if not np.isfinite([*inner, *outer]).all():
        return None
    turn = full_turn(crs)
    ymin, ymax = min(inner[1], outer[1]), max(inner[3], outer[3])
    if turn is None:
        xmin, xmax = min(inner[0], outer[0]), max(inner[2], outer[2])
    else:
        # Longitudes that fall from west to east pass the 180th meridian.
        widths = [(box[2] - box[0]) % turn if box[0] > box[2] else box[2] - box[0] for box in (inner, outer)]
        # A margin that is all round the Earth and overlaps itself looks narrower than what it surrounds.
        xmin, xmax = (outer[0], outer[0] + widths[1]) if widths[1] >= widths[0] else (-turn / 2, turn / 2)
    margin = 0.01 * max(xmax - xmin, ymax - ymin)
    xmin, ymin, xmax, ymax = xmin - margin, ymin - margin, xmax + margin, ymax + margin
    if turn is None:
        return [(xmin, ymin, xmax, ymax)]
    if xmax - xmin >= turn:
        return [(-1.5 * turn, ymin, 1.5 * turn, ymax)]
    return [(xmin + step, ymin, xmax + step, ymax) for step in (0.0, -turn, turn)]


def widened(bounds: Bounds, pad: float) -> Bounds:
    return bounds[0] - pad, bounds[1] - pad, bounds[2] + pad, bounds[3] + pad


def cut(geometries: np.ndarray, boxes: list[Bounds]) -> tuple[np.ndarray, np.ndarray]:
    """Cut off what lies outside the boxes, where projections may fail, and move the rest into the first box.

    Returns:
        Geometries, none empty, and the index of each's source, ascending; a geometry in two boxes becomes one.
    """
    pieces, index = [], []
    for box in boxes:
        inside, which = _clipped(geometries, box)
        shift = boxes[0][0] - box[0]
        pieces.append(shapely.transform(inside, lambda xy, by=shift: xy + np.array((by, 0.0))) if shift else inside)
        index.append(which)
    found, source = np.concatenate(pieces), np.concatenate(index)
    whole, count = np.unique(source, return_counts=True)
    joined = np.empty(whole.size, object)
    alone = count[np.searchsorted(whole, source)] == 1
    joined[np.searchsorted(whole, source[alone])] = found[alone]
    for place in np.flatnonzero(count > 1):
        joined[place] = shapely.union_all(found[source == whole[place]])
    return joined, whole


def reaches_beyond(geometries: np.ndarray, boxes: list[Bounds]) -> bool:
    """Whether any geometry is not wholly inside one of the boxes."""
    within = np.zeros(geometries.size, bool)
    lows, highs = np.hsplit(shapely.bounds(geometries), 2)
    for box in boxes:
        within |= ((lows >= box[:2]) & (highs <= box[2:])).all(axis=1)
    return not within.all()


def longest_edge(cell: float) -> float:
    """An edge of length s strays about s^2 / (8 R) from its true course, R the Earth's radius; in metres.

    This one strays by a hundredth of a cell of size `cell`.
    """
    return math.sqrt(8 * _EARTH_RADIUS * 0.01 * cell)


def project(geometries: np.ndarray, source: CRS, target: CRS) -> np.ndarray:
    """Geometries with every vertex projected, infinite where the projection does not reach."""
    if source == target:
        return geometries
    transformer = way_between(source, target)
    return shapely.transform(geometries, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))


def _clipped(geometries: np.ndarray, box: Bounds) -> tuple[np.ndarray, np.ndarray]:
    lows, highs = np.hsplit(shapely.bounds(geometries), 2)
    near = np.flatnonzero(((highs >= box[:2]) & (lows <= box[2:])).all(axis=1))
    beyond = ((lows[near] < box[:2]) | (highs[near] > box[2:])).any(axis=1)
    inside = geometries[near].copy()
    inside[beyond] = shapely.intersection(inside[beyond], shapely.box(*box))
    full = ~shapely.is_empty(inside)
    return inside[full], near[full]
