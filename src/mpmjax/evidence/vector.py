"""Vector sources: faults, intrusions, contacts -> features in the grid's CRS -> exact distance on the grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from pyproj import CRS, Transformer
from rasterio.features import rasterize

from mpmjax.errors import DataError
from mpmjax.evidence.vectorfile import VectorFile, are_finite, open_vector, read_geometries, total_bounds
from mpmjax.ops.distance import distance
from mpmjax.stream.layerfile import STRIP_ROWS, write_layer
from mpmjax.types import Grid

_EARTH_RADIUS = 6.37e6

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Features:
    """The features of a vector source near a grid.

    Attributes:
        geometries: shapely geometries in the grid's CRS, object [n], n >= 1.
        notes: what was repaired or left out, as sentences.
        complete: whether the file holds nothing beyond the area that was searched.
    """

    geometries: np.ndarray
    notes: tuple[str, ...]
    complete: bool


def read_features(
    path: Path, grid: Grid, *, where: str | None = None, pad: float = 0.0, crs: str | None = None, name: str
) -> Features:
    """Features that meet the grid or the margin around it, in the grid's CRS.

    What lies far outside may be cut off. Long edges are divided before they are projected, so that they bend as they
    should, to about a hundredth of a cell.

    Args:
        where: attribute filter, the part of an OGR SQL statement after WHERE.
        pad: width of the margin in metres, >= 0.
        crs: overrides a missing or wrong CRS of the file.
        name: the layer's, for messages.

    Raises:
        DataError: the file cannot be used (missing, unknown format, damaged, no CRS), `where` is wrong or selects
            nothing, or no feature is near the grid.
    """
    file = open_vector(path, f"layer {name!r}", crs=crs)
    xmin, ymin, xmax, ymax = grid.bounds
    area = (xmin - pad, ymin - pad, xmax + pad, ymax + pad)
    target = CRS.from_user_input(grid.crs)
    bbox = area if file.crs == target else _area_in(file.crs, target, area)
    geometries, notes = read_geometries(file, where=where, bbox=bbox)
    if file.crs != target:
        if bbox is not None:
            units = max(bbox[2] - bbox[0], bbox[3] - bbox[1]) / max(area[2] - area[0], area[3] - area[1])
            geometries = shapely.segmentize(_cut(geometries, bbox), units * _longest_edge(grid))
        projected = _project(geometries, Transformer.from_crs(file.crs, target, always_xy=True))
        usable = are_finite(projected)
        if not usable.all():
            notes.append(
                f"{file.label}: {int((~usable).sum())} of {usable.size} features near the grid cannot be projected to "
                "its CRS and were left out."
            )
        geometries = projected[usable]
    geometries = geometries[shapely.intersects(shapely.box(*area), geometries)]
    if not geometries.size:
        raise DataError(_none_near(file, grid, target, where, pad))
    return Features(geometries, tuple(notes), bbox is None or _inside(total_bounds(file), bbox))


def vector_distance(
    path: Path,
    grid: Grid,
    out: Path,
    *,
    where: str | None = None,
    search_distance: float | None = None,
    crs: str | None = None,
    name: str,
    scratch: Path,
) -> list[str]:
    """Distance from every cell of the grid to the nearest feature, as a GeoTIFF on the grid.

    The features are burnt onto cells (every cell that they touch), on a frame that reaches `search_distance` beyond
    the grid, so that a fault just outside counts; the distance between cell centres is exact (ops/distance.py). It is
    not cut off at `search_distance`. The bytes of the file depend on the features, the grid and `search_distance` only.

    Args:
        out: the file to write: float32, metres, >= 0, no nodata.
        search_distance: how far beyond the grid features are looked for, in metres, >= 0; None: as far as matters. What
            a first pass over the grid's own features gives as the largest distance bounds that, so a second is exact.
        where, crs, name: as in `read_features`.
        scratch: folder for an intermediate file.

    Returns:
        Notes, as sentences: what `read_features` noticed, and how many cells may have a nearer feature further out.

    Raises:
        DataError: as `read_features`.
        DiskError: a file cannot be written.
    """
    near = partial(read_features, path, grid, where=where, crs=crs, name=name)
    features = near(pad=search_distance or 0.0)
    uncertain, farthest = _write_distance(features, grid, out, search_distance or 0.0, scratch)
    if search_distance is None and uncertain and not features.complete:
        search_distance = farthest
        features = near(pad=search_distance)
        _write_distance(features, grid, out, search_distance, scratch)
        uncertain = 0
    notes = list(features.notes)
    if uncertain and not features.complete:
        notes.append(
            f"layer {name!r}: {path}: {uncertain} of {grid.height * grid.width} cells may have a nearer feature more "
            f"than {search_distance:g} m outside the grid, where none is looked for; raise search_distance if needed."
        )
    return notes


def _write_distance(features: Features, grid: Grid, out: Path, search: float, scratch: Path) -> tuple[int, float]:
    """Write the distance; count the cells that may have a nearer feature beyond `search`; and the largest distance."""
    left, above, right, below = _margins(features.geometries, grid, search)
    shape = (above + grid.height + below, left + grid.width + right)
    burn = _burner(features.geometries, grid.transform @ Affine.translation(-left, -above), shape[1])
    window = (above, left, grid.height, grid.width)
    uncertain, farthest = 0, 0.0

    def make(write: Callable[[int, np.ndarray], None]) -> None:
        def count_and_write(row: int, block: np.ndarray) -> None:
            nonlocal uncertain, farthest
            uncertain += int((block > search + _to_edge(grid, row, len(block))).sum())
            farthest = max(farthest, float(block.max()))
            write(row, block)

        distance(burn, shape, grid.cell_size, count_and_write, strip_rows=STRIP_ROWS, scratch=scratch, window=window)

    write_layer(out, grid, "float32", make, nodata=None)
    return uncertain, farthest


def project_bounds(bounds: Bounds, source: CRS, target: CRS) -> Bounds:
    """The box in `target` around a box in `source`; infinite where the projection does not reach."""
    xmin, ymin, xmax, ymax = Transformer.from_crs(source, target, always_xy=True).transform_bounds(*bounds)
    return xmin, ymin, xmax, ymax


def box_text(bounds: Bounds) -> str:
    """A box in words, for messages."""
    return f"x {bounds[0]:.0f} to {bounds[2]:.0f}, y {bounds[1]:.0f} to {bounds[3]:.0f}"


def _area_in(crs: CRS, target: CRS, area: Bounds) -> Bounds | None:
    """The box in the file's CRS that holds all of `area`, a little wider; None where that CRS does not reach."""
    xmin, ymin, xmax, ymax = project_bounds(area, target, crs)
    if not np.isfinite([xmin, ymin, xmax, ymax]).all():
        return None
    if xmin > xmax:  # across the 180th meridian
        xmin, xmax = -180.0, 180.0
    margin = 0.01 * max(xmax - xmin, ymax - ymin)
    return xmin - margin, ymin - margin, xmax + margin, ymax + margin


def _cut(geometries: np.ndarray, bbox: Bounds) -> np.ndarray:
    """Cut off what lies outside the box, where projections may fail."""
    lows, highs = np.hsplit(shapely.bounds(geometries), 2)
    beyond = ((lows < bbox[:2]) | (highs > bbox[2:])).any(axis=1)
    geometries = geometries.copy()
    geometries[beyond] = shapely.intersection(geometries[beyond], shapely.box(*bbox))
    return geometries[~shapely.is_empty(geometries)]


def _inside(inner: Bounds, outer: Bounds) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def _longest_edge(grid: Grid) -> float:
    """An edge of length s strays about s^2 / (8 R) from its true course, R the Earth's radius; in metres."""
    return math.sqrt(8 * _EARTH_RADIUS * 0.01 * min(grid.cell_size))


def _project(geometries: np.ndarray, transformer: Transformer) -> np.ndarray:
    return shapely.transform(geometries, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))


def _none_near(file: VectorFile, grid: Grid, target: CRS, where: str | None, pad: float) -> str:
    chosen = "no feature" if where is None else f"no feature with {where}"
    margin = f"within {pad:g} m of the grid" if pad else "on the grid"
    return (
        f"{file.label}: {chosen} lies {margin}. In the grid's CRS the file spans "
        f"{box_text(project_bounds(total_bounds(file), file.crs, target))}, the grid {box_text(grid.bounds)}. "
        "Check the CRS of both (crs = ... overrides the file's), or raise search_distance."
    )


def _margins(geometries: np.ndarray, grid: Grid, search_distance: float) -> tuple[int, int, int, int]:
    """Cells to the left, above, right and below the grid: as far as is searched, but no further than features reach.

    Always one cell more than fits, so that a feature exactly at the far edge of the margin still meets a cell.
    """
    xmin, ymin, xmax, ymax = shapely.total_bounds(geometries)
    left, bottom, right, top = grid.bounds
    dx, dy = grid.cell_size

    def cells(beyond: float, size: float) -> int:
        return int(max(0.0, min(beyond, search_distance)) // size) + 1

    return cells(left - xmin, dx), cells(ymax - top, dy), cells(xmax - right, dx), cells(bottom - ymin, dy)


def _burner(geometries: np.ndarray, transform: Affine, width: int) -> Callable[[int, int], np.ndarray]:
    """(row, rows) -> bool [rows, width]: cells of a strip that a feature touches."""
    parts = shapely.get_parts(geometries)
    tree = shapely.STRtree(parts)

    def burn(row: int, rows: int) -> np.ndarray:
        xmin, ymax = transform @ (0, row - 1)
        xmax, ymin = transform @ (width, row + rows + 1)
        near = np.sort(tree.query(shapely.box(xmin, ymin, xmax, ymax)))
        if not near.size:
            return np.zeros((rows, width), bool)
        strip = transform @ Affine.translation(0, row)
        burnt = rasterize(parts[near], out_shape=(rows, width), transform=strip, all_touched=True, dtype="uint8")
        return np.asarray(burnt, bool)

    return burn


def _to_edge(grid: Grid, row: int, rows: int) -> np.ndarray:
    """Distance in metres [rows, width] from cell centres to the nearest edge of the grid."""
    dx, dy = grid.cell_size
    down, across = np.arange(row, row + rows) + 0.5, np.arange(grid.width) + 0.5
    return np.minimum(
        np.minimum(down, grid.height - down)[:, None] * dy, np.minimum(across, grid.width - across)[None] * dx
    )
