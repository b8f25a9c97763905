"""Known occurrences -> grid cells. For validation only: nothing here ever reaches the fitting.

Three kinds of files are read: vector files (points; lines and polygons by a point on them), CSV tables with
coordinates (csvfile.py), and rasters of labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from pyproj import CRS
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from mpmjax.errors import DataError
from mpmjax.evidence.crs import way_between
from mpmjax.evidence.csvfile import CSV_SUFFIXES, read_coordinates
from mpmjax.evidence.raster.source import RasterSource, inspect_raster
from mpmjax.evidence.vector.features import box_text
from mpmjax.evidence.vector.file import open_vector, read_geometries
from mpmjax.stream.reader import RASTER_DRIVERS, open_raster
from mpmjax.types import Grid, Occurrences

_POINT_TYPES = (0, 4)  # shapely's numbers of Point and MultiPoint
_STRIP_ROWS = 256


@dataclass
class _Tally:
    """Cells hit so far and what was seen on the way, so that a raster of labels is never held as points."""

    grid: Grid
    points: int = 0
    inside: int = 0
    bounds: tuple[float, float, float, float] = (np.inf, np.inf, -np.inf, -np.inf)
    cells: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    notes: list[str] = field(default_factory=list)

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Points in grid coordinates; those that could not be projected are infinite and lie outside."""
        self.points += x.size
        reached = np.isfinite(x) & np.isfinite(y)
        x, y = x[reached], y[reached]
        if not x.size:
            return
        xmin, ymin, xmax, ymax = self.bounds
        self.bounds = (min(xmin, x.min()), min(ymin, y.min()), max(xmax, x.max()), max(ymax, y.max()))
        rows, cols = self.grid.rows_cols(x, y)
        on_grid = (rows >= 0) & (rows < self.grid.height) & (cols >= 0) & (cols < self.grid.width)
        self.inside += int(on_grid.sum())
        self.cells = np.union1d(self.cells, rows[on_grid] * self.grid.width + cols[on_grid])


def read_occurrences(
    path: Path,
    grid: Grid,
    *,
    mask: Path | None = None,
    crs: str | None = None,
    where: str | None = None,
    layer: str | None = None,
) -> Occurrences:
    """Known occurrences as cells of the grid.

    A CSV holds lon,lat (EPSG:4326) or x,y (in `crs`; in the grid's CRS if none is given), see csvfile.py. The labels of
    a raster are the cells of band 1 that are neither 0 nor missing, each placed by its centre.

    Args:
        mask: raster of the study area, not 0 inside; in any CRS, looked up at the centres of the grid's cells.
        crs: overrides a missing or wrong CRS of the file.
        where: attribute filter for vector files, the part of an OGR SQL statement after WHERE.
        layer: which one of a vector file with several.

    Returns:
        One row and column a distinct cell, row-major; `points` counts all points of the file;
        `notes` tell of what has no usable place and was left out, or was repaired.

    Raises:
        DataError: the file cannot be used, none of its points lies on the grid or inside the mask, or most cells of a
            raster are labels.
    """
    label, suffix = f"occurrences: {path}", path.suffix.lower()
    for key, value in (("where", where), ("layer", layer)):
        if value is not None and (suffix in CSV_SUFFIXES or suffix in RASTER_DRIVERS):
            raise DataError(
                f"{label}: {key} = {value!r} is for vector files. Remove it, or save the points as GeoPackage."
            )
    tally = _Tally(grid)
    if suffix in RASTER_DRIVERS:
        source = inspect_raster(path, "occurrences", crs=crs)
        _add_raster(tally, source)
        if tally.points > source.width * source.height // 2:
            raise DataError(
                f"{label}: {tally.points} of {source.width * source.height} cells are neither 0 nor missing. "
                "Mark known occurrences with 1 and every other cell with 0."
            )
    elif suffix in CSV_SUFFIXES:
        x, y, own, notes = read_coordinates(path, label, crs=crs, planar_crs=grid.crs)
        tally.notes += notes
        _add(tally, x, y, own)
    else:
        _add_vector(tally, path, crs, where, layer)
    if not tally.cells.size:
        raise DataError(_none_inside(label, tally))
    cells = tally.cells if mask is None else tally.cells[_inside(mask, grid, tally.cells)]
    if not cells.size:
        raise DataError(
            f"{label}: {tally.inside} of {tally.points} points lie on the grid, but none inside the mask. "
            "Check the study area, mask of [grid]."
        )
    return Occurrences(cells // grid.width, cells % grid.width, tally.points, str(path), tuple(tally.notes))


def _none_inside(label: str, tally: _Tally) -> str:
    if not tally.points:
        return f"{label}: the file holds no points. Name one that does."
    where = "cannot be projected to the grid's CRS"
    if tally.bounds[0] <= tally.bounds[2]:
        where = f"lie at {box_text(tally.bounds)} in the grid's CRS"
    return (
        f"{label}: none of its {tally.points} points lies on the grid: they {where}, the grid spans "
        f"{box_text(tally.grid.bounds)}. Check the CRS of both (crs = ... overrides the file's)."
    )


def _add(tally: _Tally, x: np.ndarray, y: np.ndarray, crs: CRS) -> None:
    tally.add(*_projected(x, y, crs, CRS.from_user_input(tally.grid.crs)))


def _projected(x: np.ndarray, y: np.ndarray, source: CRS, target: CRS) -> tuple[np.ndarray, np.ndarray]:
    """Points in another CRS, infinite where it does not reach."""
    if source == target or not x.size:
        return x, y
    return way_between(source, target).transform(x, y)


def _add_vector(tally: _Tally, path: Path, crs: str | None, where: str | None, layer: str | None) -> None:
    file = open_vector(path, "occurrences", crs=crs, layer=layer)
    geometries, notes = read_geometries(file, where=where)
    tally.notes += notes
    points = np.isin(shapely.get_type_id(geometries), _POINT_TYPES)
    places = np.concatenate((shapely.get_parts(geometries[points]), shapely.point_on_surface(geometries[~points])))
    _add(tally, shapely.get_x(places), shapely.get_y(places), file.crs)


def _add_raster(tally: _Tally, source: RasterSource) -> None:
    with open_raster(source.path) as dataset:
        for row in range(0, source.height, _STRIP_ROWS):
            window = _strip(source, row)
            labelled = _read(dataset, window, f"occurrences: {source.path}")
            rows, cols = np.nonzero(labelled)
            _add(tally, *_at(source.transform, cols + 0.5, rows + row + 0.5), CRS.from_wkt(source.crs.to_wkt()))


def _at(transform: Affine, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An affine transform of many points."""
    return transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f


def _strip(source: RasterSource, row: int) -> Window:
    height = min(_STRIP_ROWS, source.height - row)
    return Window(0, row, source.width, height)  # pyright: ignore[reportCallIssue]


def _read(dataset: DatasetReader, window: Window, label: str) -> np.ndarray:
    """bool [rows, cols]: cells of band 1 that are neither 0 nor missing."""
    try:
        values = dataset.read(1, window=window)
        return (values != 0) & np.isfinite(values) & (dataset.read_masks(1, window=window) > 0)
    except RasterioError as error:
        raise DataError(
            f"{label}: cannot be decoded ({error.__cause__ or error}). The file is damaged: fetch it again."
        ) from error


def _inside(mask: Path, grid: Grid, cells: np.ndarray) -> np.ndarray:
    """bool [n]: whether the centres of grid cells (row-major numbers) lie on cells of the mask that are not 0."""
    source = inspect_raster(mask, "mask")
    x, y = _at(grid.transform, cells % grid.width + 0.5, cells // grid.width + 0.5)
    x, y = _projected(x, y, CRS.from_user_input(grid.crs), CRS.from_wkt(source.crs.to_wkt()))
    reached = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    cols, rows = (np.floor(axis).astype(np.int64) for axis in _at(~source.transform, x[reached], y[reached]))
    there = (rows >= 0) & (rows < source.height) & (cols >= 0) & (cols < source.width)
    reached, rows, cols = reached[there], rows[there], cols[there]
    inside = np.zeros(cells.size, bool)
    with open_raster(mask) as dataset:
        for start in np.unique(rows // _STRIP_ROWS).tolist():
            first = start * _STRIP_ROWS
            study_area = _read(dataset, _strip(source, first), f"mask: {mask}")
            here = rows // _STRIP_ROWS == start
            inside[reached[here]] = study_area[rows[here] - first, cols[here]]
    return inside
