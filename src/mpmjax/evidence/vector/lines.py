"""Lines: the segments of some strikes, and the places where lines meet.

**Strike** is the direction of a straight segment on the grid, in degrees clockwise from grid north, modulo 180: a line
has no forward and no backward. It is measured after projection, on the pieces into which long edges are divided so
that they bend as they should: a long straight edge of a file in degrees turns on the grid, and each piece strikes as
it does where it lies. How far beyond the grid the edge goes on, or where it was cut off, makes no difference.

**Intersections** are the nodes of degree three or more of the lines taken as one network, in which stretches that lie
on one another are one: crossings, junctions, branching points, and ends of three or more lines at one place. Two ends
at one place are a continuation, as where a fault was digitised in pieces, and no intersection, nor are the ends of a
stretch that was digitised twice. Lines are compared in the CRS of the file, where an end that was drawn onto another
line lies on it.
"""

from __future__ import annotations

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

_SLACK = 1e-6
"""Degrees by which a strike may miss a limit: a line drawn along the grid is within limits that name its strike."""


def segment_strikes(lines: np.ndarray) -> np.ndarray:
    """Strikes in [0, 180) of all straight segments of lines, in order; NaN for one without length."""
    starts, ends, _, _ = _segments(lines)
    dx, dy = (ends - starts).T
    strikes = np.degrees(np.arctan2(dx, dy)) % 180.0
    return np.where((dx == 0) & (dy == 0), np.nan, np.where(strikes == 180.0, 0.0, strikes))


def strikes_within(strikes: np.ndarray, azimuth: tuple[float, float]) -> np.ndarray:
    """bool: whether strikes lie between two directions, going clockwise from the first; both limits are included.

    (300, 330) is the same as (120, 150), (350, 10) is within 10 degrees of north, and half a turn or more is all.
    """
    first, last = azimuth
    width = last - first if last >= first else last - first + 360.0
    return (strikes - first + _SLACK) % 180.0 <= width + 2 * _SLACK


def keep_segments(lines: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lines that some of their segments make, neighbours joined, and the index of each's source, ascending.

    Args:
        lines: LineStrings or MultiLineStrings, object [n].
        keep: bool, for every segment in order, as those of `segment_strikes`.
    """
    starts, ends, vertex, part = _segments(lines)
    _, owner = shapely.get_parts(lines, return_index=True)
    chosen = np.flatnonzero(keep)
    if not chosen.size:
        return np.empty(0, object), np.empty(0, np.int64)
    follows = np.append(False, (np.diff(vertex[chosen]) == 1) & (np.diff(part[chosen]) == 0))
    run = np.cumsum(~follows) - 1
    first = chosen[~follows]
    # A run of m segments has m + 1 vertices: the start of its first segment, and the ends of all.
    xy = np.concatenate((starts[first], ends[chosen]))
    of_run = np.concatenate((np.arange(first.size), run))
    order = np.argsort(of_run, kind="stable")
    runs = np.asarray(shapely.linestrings(xy[order], indices=of_run[order]))
    source, group = np.unique(owner[part[first]], return_inverse=True)
    return np.asarray(shapely.multilinestrings(runs, indices=group)), source


def intersections(lines: np.ndarray, tolerance: float) -> np.ndarray:
    """Places [n, 2] where lines meet, sorted.

    Args:
        lines: LineStrings or MultiLineStrings, object [n].
        tolerance: in units of their CRS: lines whose vertices or crossings come as near as this to another are taken
            to touch it (snap rounding to a lattice of this width), so a place may be off by as much.
    """
    edges = shapely.get_parts(shapely.union_all(lines, grid_size=tolerance))
    edges = edges[shapely.length(edges) > 0]
    ends = np.concatenate([shapely.get_coordinates(shapely.get_point(edges, which)) for which in (0, -1)])
    places, degree = np.unique(ends, axis=0, return_counts=True)
    return places[degree >= 3]


def merged(places: np.ndarray, radius: float) -> np.ndarray:
    """Places [m, 2] with those nearer than `radius` to one another replaced by their mean, sorted."""
    pairs = KDTree(places).query_pairs(radius, output_type="ndarray")
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(places), len(places)))
    count, group = connected_components(links, directed=False)
    sums = np.column_stack([np.bincount(group, axis, count) for axis in places.T])
    means = sums / np.bincount(group, minlength=count)[:, None]
    return means[np.lexsort((means[:, 1], means[:, 0]))]


def commonest_strikes(lines: np.ndarray, width: int = 30) -> tuple[int, int]:
    """The range of strikes, `width` degrees wide, in which the greatest length of lines lies."""
    starts, ends, _, _ = _segments(lines)
    strikes, length = segment_strikes(lines), np.hypot(*(ends - starts).T)
    measured = np.isfinite(strikes)
    bins = np.bincount((strikes[measured] // width).astype(int), length[measured])
    return int(bins.argmax()) * width, int(bins.argmax() + 1) * width


def _segments(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Starts and ends [m, 2] of all segments, the number of the vertex each starts at, and of its part."""
    xy, part = shapely.get_coordinates(shapely.get_parts(lines), return_index=True)
    vertex = np.flatnonzero(part[:-1] == part[1:])
    return xy[vertex], xy[vertex + 1], vertex, part[vertex]
