"""Vector sources: faults, intrusions, contacts -> features in the grid's CRS."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely
from pyproj import CRS

from mpmjax.errors import DataError
from mpmjax.evidence.crs import Bounds, bounds_between
from mpmjax.evidence.vector import lines
from mpmjax.evidence.vector.file import VectorFile, open_vector, read_rows, total_bounds
from mpmjax.evidence.vector.geometry import are_finite, homogeneous, repaired
from mpmjax.evidence.vector.reach import (
    cut,
    in_units,
    longest_edge,
    project,
    reaches_beyond,
    search_boxes,
    widened,
)
from mpmjax.types import Grid

TOUCH = 0.01
"""Share of a cell by which the end of a line may miss another line and still meet it."""

ONE_PLACE = 0.1
"""Share of a cell within which intersections are one."""


@dataclass(frozen=True)
class Features:
    """The features of a vector source near a grid.

    Attributes:
        geometries: shapely geometries in the grid's CRS, object [n], n >= 1: points, lines or polygons, single or
            multi, no collections.
        notes: what was repaired or left out, as sentences.
        complete: whether the file holds nothing beyond the area that was searched.
        labels: the class of each feature, str [n], "" where the file has none; None where no field was asked for.
        collapsed: bool [n]: lines without length and polygons without area, kept as the point or line that they are;
            None where there are none.
    """

    geometries: np.ndarray
    notes: tuple[str, ...]
    complete: bool
    labels: np.ndarray | None = None
    collapsed: np.ndarray | None = None

    @property
    def measurable(self) -> np.ndarray:
        """The geometries without those that have no length or area to measure, for densities."""
        return self.geometries if self.collapsed is None else self.geometries[~self.collapsed]


@dataclass(frozen=True)
class _Near:
    """Features on their way: in the grid's CRS, the same vertices in the file's, and what belongs to each."""

    geometries: np.ndarray
    originals: np.ndarray
    labels: np.ndarray | None
    collapsed: np.ndarray

    def take(self, index: np.ndarray) -> _Near:
        labels = None if self.labels is None else self.labels[index]
        return _Near(self.geometries[index], self.originals[index], labels, self.collapsed[index])


def read_features(
    path: Path,
    grid: Grid,
    *,
    where: str | None = None,
    pad: float = 0.0,
    crs: str | None = None,
    name: str,
    layer: str | None = None,
    field: str | None = None,
    intersections: bool = False,
    azimuth: tuple[float, float] | None = None,
) -> Features:
    """Features that meet the grid or the margin around it, in the grid's CRS.

    What lies far outside may be cut off. Long edges are divided before they are projected, so that they bend as they
    should, to about a hundredth of a cell. How awkward geometries are dealt with: geometry.py; strikes and
    intersections: lines.py.

    Args:
        where: attribute filter, the part of an OGR SQL statement after WHERE.
        pad: width of the margin in metres, >= 0.
        crs: overrides a missing or wrong CRS of the file.
        name: the layer's, for messages.
        layer: which one of a file with several.
        field: the attribute whose values become the labels.
        intersections: take the points where the lines cross, touch or branch, once each, instead of the lines.
        azimuth: (from, to) in degrees clockwise from grid north: take only the segments of lines that strike so.

    Raises:
        DataError: the file cannot be used (missing, unknown format, damaged, no CRS, no such layer or field), `where`
            is wrong or selects nothing, no feature is near the grid, or features are no lines, or lines of other
            strikes or without intersections, where such are asked for.
    """
    file = open_vector(path, f"layer {name!r}", crs=crs, layer=layer)
    if intersections and field is not None:
        raise DataError(
            f"{file.label}: field = {field!r} names the class of a line, and an intersection belongs to several lines. "
            'Remove field, or features = "intersections".'
        )
    target = CRS.from_user_input(grid.crs)
    area = widened(grid.bounds, pad)
    found, notes, complete = _read(file, grid, target, pad, where, field)
    near = _on(area, found)
    if not near.geometries.size:
        raise DataError(_none_near(file, grid, target, where, pad))
    if azimuth is not None or intersections:
        wish = f"azimuth = {list(azimuth)}" if azimuth is not None else 'features = "intersections"'
        near, dropped = _lines_only(near, wish, file.label)
        notes += dropped
    chosen = near if azimuth is None else _striking(near, azimuth, file.label)
    if intersections:
        chosen = _meeting(chosen, file, grid, target)
    last = _on(area, chosen)
    if not last.geometries.size:
        raise DataError(_none_near(file, grid, target, where, pad, "such line" if azimuth else "intersection of lines"))
    complete &= len(near.geometries) == len(found.geometries) and len(last.geometries) == len(chosen.geometries)
    collapsed = last.collapsed if last.collapsed.any() else None
    return Features(last.geometries, tuple(notes), complete, last.labels, collapsed)


def box_text(bounds: Bounds) -> str:
    """A box in words, for messages."""
    return f"x {bounds[0]:.0f} to {bounds[2]:.0f}, y {bounds[1]:.0f} to {bounds[3]:.0f}"


def _read(
    file: VectorFile, grid: Grid, target: CRS, pad: float, where: str | None, field: str | None
) -> tuple[_Near, list[str], bool]:
    """Features of a box around the grid and its margin, notes, and whether the file holds nothing beyond the box."""
    boxes = search_boxes(file.crs, target, grid.bounds, pad)
    asked = None if boxes is None else boxes[:1] + [b for b in boxes[1:] if not _apart(b, total_bounds(file))]
    rows = read_rows(file, where=where, boxes=asked, field=field)
    flat, index = homogeneous(rows.geometries)
    dimension = shapely.get_dimensions(flat)
    sound, repairs = repaired(flat, file.label)
    shapes, piece = homogeneous(sound)
    notes = [*rows.notes, *repairs]
    labels = None if rows.labels is None else rows.labels[index[piece]]
    found = _Near(shapes, shapes, labels, shapely.get_dimensions(shapes) < dimension[piece])
    if file.crs == target:
        return found, notes, rows.complete
    complete = rows.complete and (boxes is None or not reaches_beyond(shapes, boxes))
    found = _projected(found, file, grid, target, boxes)
    usable = are_finite(found.geometries)
    if not usable.all():
        notes.append(
            f"{file.label}: {int((~usable).sum())} of {usable.size} features near the grid cannot be projected to "
            "its CRS and were left out."
        )
    return found.take(usable), notes, complete


def _projected(found: _Near, file: VectorFile, grid: Grid, target: CRS, boxes: list[Bounds] | None) -> _Near:
    """Features cut to the boxes, their long edges divided, in the grid's CRS."""
    shapes = found.originals
    if boxes is not None:
        # Where an edge is cut, a box may touch a polygon along a line, which makes a collection again.
        inside, kept = cut(shapes, boxes)
        shapes, piece = homogeneous(inside)
        found = found.take(kept[piece])
    originals = shapely.segmentize(shapes, in_units(file.crs, longest_edge(min(grid.cell_size))))
    return replace(found, geometries=project(originals, file.crs, target), originals=originals)


def _on(area: Bounds, found: _Near) -> _Near:
    return found.take(shapely.intersects(shapely.box(*area), found.geometries))


def _apart(a: Bounds, b: Bounds) -> bool:
    """Whether two boxes surely do not meet; one of NaN may be anywhere."""
    return a[0] > b[2] or b[0] > a[2] or a[1] > b[3] or b[1] > a[3]


def _lines_only(near: _Near, wish: str, label: str) -> tuple[_Near, list[str]]:
    """Lines that have a length, and a note on those that have none."""
    dimension = shapely.get_dimensions(near.geometries)
    points = int(((dimension == 0) & ~near.collapsed).sum())
    polygons = int(((dimension == 2) | (near.collapsed & (dimension == 1))).sum())
    if points or polygons:
        raise DataError(
            f"{label}: {wish} is for lines, and near the grid the source holds {points} points and {polygons} "
            "polygons. Choose the lines by where = ... or in a layer of their own, or remove the key."
        )
    if near.collapsed.all():
        raise DataError(f"{label}: {wish}, but all lines near the grid have length 0. Check how they were exported.")
    notes = []
    if near.collapsed.any():
        notes.append(f"{label}: {int(near.collapsed.sum())} lines have no length and were left out.")
    return near.take(~near.collapsed), notes


def _striking(near: _Near, azimuth: tuple[float, float], label: str) -> _Near:
    keep = lines.strikes_within(lines.segment_strikes(near.geometries), azimuth)
    chosen, index = lines.keep_segments(near.geometries, keep)
    if not index.size:
        first, last = lines.commonest_strikes(near.geometries)
        raise DataError(
            f"{label}: no segment of the {len(near.geometries)} lines near the grid strikes between {azimuth[0]:g} and "
            f"{azimuth[1]:g} degrees from grid north; most of their length strikes between {first} and {last}. Widen "
            "azimuth."
        )
    originals, _ = lines.keep_segments(near.originals, keep)
    return replace(near.take(index), geometries=chosen, originals=originals)


def _meeting(near: _Near, file: VectorFile, grid: Grid, target: CRS) -> _Near:
    """The points where lines meet: found where the file has them, so that ends lie on the lines they were drawn to."""
    cell = min(grid.cell_size)
    places = lines.intersections(near.originals, in_units(file.crs, TOUCH * cell))
    points = project(np.asarray(shapely.points(places)), file.crs, target)
    points = points[are_finite(points)]
    if not points.size:
        raise DataError(
            f"{file.label}: none of the {len(near.geometries)} lines near the grid crosses or meets another one. "
            'Check them, or remove features = "intersections".'
        )
    points = np.asarray(shapely.points(lines.merged(shapely.get_coordinates(points), ONE_PLACE * cell)))
    return _Near(points, points, None, np.zeros(points.size, bool))


def _none_near(file: VectorFile, grid: Grid, target: CRS, where: str | None, pad: float, what: str = "feature") -> str:
    chosen = f"no {what}" if where is None else f"no {what} with {where}"
    margin = f"within {pad:g} m of the grid" if pad else "on the grid"
    return (
        f"{file.label}: {chosen} lies {margin}. In the grid's CRS the file spans "
        f"{box_text(bounds_between(file.crs, target, total_bounds(file)))}, the grid {box_text(grid.bounds)}. "
        "Check the CRS of both; crs = ... overrides the file's (mask_crs that of a mask). A layer's search_distance, "
        "radius or max_distance says how far beyond the grid is looked."
    )
