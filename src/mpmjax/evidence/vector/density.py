"""Vector sources -> density: length of lines, number of points, or share of area of polygons around every cell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize

from mpmjax.errors import DataError
from mpmjax.evidence.vector.features import Features
from mpmjax.ops.density import density, line_lengths, margins
from mpmjax.stream.layerfile import STRIP_ROWS, Write, write_layer
from mpmjax.types import Grid

_KINDS = ("points", "lines", "polygons")
"""By dimension."""


class _Frame(NamedTuple):
    """The grid and the cells around it that its densities take: `down` rows and `across` columns to each side."""

    grid: Grid
    down: int
    across: int

    @property
    def width(self) -> int:
        return self.grid.width + 2 * self.across

    @property
    def height(self) -> int:
        return self.grid.height + 2 * self.down


class _Amounts(NamedTuple):
    """What the cells of a frame hold: (row, rows) -> [rows, width]; their sum, or more; and what makes it a density."""

    read: Callable[[int, int], np.ndarray]
    total: float
    scale: float


def write_density(features: Features, grid: Grid, out: Path, *, radius: float, kernel: str, name: str) -> list[str]:
    """Density of the features around every cell of the grid, as a GeoTIFF on the grid.

    Lines: km per km2; points: number per km2; polygons: share of the area, 0 to 1, where overlaps count once. What a
    cell holds (the exact length of lines, the points, whether its centre is covered) counts as if it lay in the cell's
    centre, so it is moved by at most half a cell's diagonal. Definition: reference/density.py. The bytes of the file
    depend on the features, the grid, the radius and the kernel only.

    Args:
        features: all lines, all points, or all polygons, within `radius` of the grid; parts of multi-parts count
            one by one.
        out: the file to write: float32, >= 0, no nodata; exactly 0 where nothing is within the radius.
        radius: of the kernel in metres, at least a cell.
        kernel: "uniform" (all within the radius counts alike) or "quartic" (less with the distance, 0 at the radius).
        name: the layer's, for messages.

    Returns:
        What was left out here, as sentences; `features.notes` are not repeated.

    Raises:
        DataError: features of several kinds, nothing to measure, or a radius smaller than a cell.
        DiskError: the file cannot be written.
    """
    parts, kind, notes = measured(features, grid, radius=radius, name=name)
    frame = _Frame(grid, *margins(radius, grid.cell_size))
    amounts = (_points, _lines, _polygons)[kind](parts, frame)

    def make(write: Write) -> None:
        density(
            amounts.read,
            grid.shape,
            grid.cell_size,
            write,
            radius=radius,
            kernel=kernel,
            total=amounts.total,
            scale=amounts.scale,
            strip_rows=STRIP_ROWS,
        )

    write_layer(out, grid, "float32", make, nodata=None)
    return notes


def measured(features: Features, grid: Grid, *, radius: float, name: str) -> tuple[np.ndarray, int, list[str]]:
    """What a density is taken of: points, lines or polygons, their dimension, and what was left out.

    Raises:
        DataError: as write_density.
    """
    if radius < max(grid.cell_size):
        raise DataError(
            f"layer {name!r}: radius = {radius:g} m is smaller than a cell ({max(grid.cell_size):g} m). "
            "Use a finer grid or a larger radius."
        )
    if not features.measurable.size:
        raise DataError(
            f"layer {name!r}: none of the {len(features.geometries)} features near the grid has a length or an area: "
            "there is no density. Check how they were exported."
        )
    return _single_parts(features.measurable, name)


def _single_parts(geometries: np.ndarray, name: str) -> tuple[np.ndarray, int, list[str]]:
    """Points, lines or polygons without collections, their dimension, and what was left out."""
    kinds, counts = np.unique(shapely.get_dimensions(geometries), return_counts=True)
    if len(kinds) > 1:
        found = " and ".join(f"{_KINDS[kind]} ({count})" for kind, count in zip(kinds, counts, strict=True))
        raise DataError(
            f"layer {name!r}: a density is of points, of lines or of polygons, and the source holds {found}. "
            "Choose one kind by where = ..., or save each as a file of its own."
        )
    kind, parts = int(kinds[0]), shapely.get_parts(geometries)
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():  # collections may hold collections
        parts = shapely.get_parts(parts)
    notes: list[str] = []
    same = shapely.get_dimensions(parts) == kind
    if not same.all():
        notes.append(
            f"layer {name!r}: {int((~same).sum())} pieces that are no {_KINDS[kind]}, as repairs leave them in "
            "collections, were left out."
        )
    parts = parts[same]
    extended = shapely.length(parts) > 0 if kind else np.ones(parts.size, bool)
    if not extended.any():
        raise DataError(f"layer {name!r}: all {parts.size} lines near the grid have length 0: no density. Check them.")
    if not extended.all():
        notes.append(f"layer {name!r}: {int((~extended).sum())} of {parts.size} lines have length 0 and were left out.")
    return parts[extended], kind, notes


def _lines(parts: np.ndarray, frame: _Frame) -> _Amounts:
    """Metres of line in every cell; the density in km per km2."""
    xy, part = shapely.get_coordinates(parts, return_index=True)
    (dx, dy), left, top = frame.grid.cell_size, frame.grid.transform.c, frame.grid.transform.f
    xy = np.column_stack(((xy[:, 0] - left) / dx, (top - xy[:, 1]) / dy))
    segments = np.hstack((xy[:-1], xy[1:]))[part[:-1] == part[1:]]
    first, last = np.minimum(segments[:, 1], segments[:, 3]), np.maximum(segments[:, 1], segments[:, 3])
    lengths = np.hypot((segments[:, 2] - segments[:, 0]) * dx, (segments[:, 3] - segments[:, 1]) * dy)

    def read(row: int, rows: int) -> np.ndarray:
        row -= frame.down
        near = segments[(first < row + rows) & (last >= row)]
        return line_lengths(near, (dx, dy), row, -frame.across, (rows, frame.width))

    return _Amounts(read, float(lengths.sum()), 1e3)


def _points(parts: np.ndarray, frame: _Frame) -> _Amounts:
    """Number of points in every cell; the density in points per km2."""
    rows, cols = frame.grid.rows_cols(*shapely.get_coordinates(parts).T)
    rows, cols = rows + frame.down, cols + frame.across
    inside = (rows >= 0) & (rows < frame.height) & (cols >= 0) & (cols < frame.width)
    cells = np.sort(rows[inside] * frame.width + cols[inside])

    def read(row: int, rows: int) -> np.ndarray:
        start = row * frame.width
        near = cells[slice(*np.searchsorted(cells, (start, start + rows * frame.width)))]
        return np.bincount(near - start, minlength=rows * frame.width).reshape(rows, frame.width)

    return _Amounts(read, float(cells.size), 1e6)


def _polygons(parts: np.ndarray, frame: _Frame) -> _Amounts:
    """1 in every cell whose centre is covered; the density as a share of the area."""
    dx, dy = frame.grid.cell_size
    transform = frame.grid.transform @ Affine.translation(-frame.across, -frame.down)
    tree = shapely.STRtree(parts)

    def read(row: int, rows: int) -> np.ndarray:
        xmin, ymax = transform @ (0, row)
        xmax, ymin = transform @ (frame.width, row + rows)
        near = np.sort(tree.query(shapely.box(xmin, ymin, xmax, ymax)))
        if not near.size:
            return np.zeros((rows, frame.width), np.uint8)
        strip = transform @ Affine.translation(0, row)
        return rasterize(parts[near], out_shape=(rows, frame.width), transform=strip, dtype="uint8")

    return _Amounts(read, float(frame.height * frame.width), dx * dy)
