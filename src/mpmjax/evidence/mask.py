"""The study area: cells outside it are neither fitted, nor scored, nor counted as area."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mpmjax.errors import DataError
from mpmjax.evidence.raster.source import inspect_raster
from mpmjax.evidence.raster.warp import align
from mpmjax.evidence.vector.burn import covered, take_apart
from mpmjax.evidence.vector.features import read_features
from mpmjax.stream.layerfile import STRIP_ROWS, Write, write_layer
from mpmjax.stream.reader import RASTER_DRIVERS, StackReader
from mpmjax.stream.tiles import strips
from mpmjax.types import Grid, Layer, Tile


def prepare_mask(path: Path, grid: Grid, scratch: Path, *, layer: str | None = None, crs: str | None = None) -> Path:
    """The study area as a uint8 raster on the grid, 1 inside: raster cells that are not 0 or nodata, or polygons.

    Args:
        layer: which one of a vector file with several.
        crs: overrides a missing or wrong CRS of the file.

    Raises:
        DataError: the file cannot be read, has no CRS, or nothing of it lies on the grid.
    """
    if path.suffix.lower() not in RASTER_DRIVERS:
        return _write(_polygons(path, grid, layer, crs), path, grid, scratch)
    source = inspect_raster(path, "mask", crs=crs)
    raw = Layer("mask.warped", "category", path, 1, source.dtype, source.nodata, masked=source.masked, source=str(path))
    laid = align(source, grid, raw, "nearest", scratch)
    with StackReader(grid, (laid,)) as reader:

        def inside(strip: Tile) -> np.ndarray:
            slab = reader.read(strip)
            return slab.valid[0] & (slab.values[0] != 0)

        return _write(inside, path, grid, scratch)


def _polygons(path: Path, grid: Grid, layer: str | None, crs: str | None) -> Callable[[Tile], np.ndarray]:
    parts = take_apart(read_features(path, grid, name="mask", layer=layer, crs=crs).geometries, grid)
    if not parts.filled.any():
        raise DataError(
            f"[grid] mask = {path}: holds no polygons on the grid, only points or lines: no cell lies inside of these."
        )
    polygons, ones = np.flatnonzero(parts.filled), np.ones(len(parts.filled), np.uint8)

    def inside(strip: Tile) -> np.ndarray:
        return covered(parts, polygons, ones, strip.row, (strip.height, grid.width))[0] > 0

    return inside


def _write(inside: Callable[[Tile], np.ndarray], path: Path, grid: Grid, scratch: Path) -> Path:
    cells, target = 0, scratch / "mask.tif"

    def make(write: Write) -> None:
        nonlocal cells
        for strip in strips(grid, STRIP_ROWS):
            values = inside(strip)
            cells += int(values.sum())
            write(strip.row, values.astype(np.uint8))

    write_layer(target, grid, "uint8", make, nodata=None)
    if not cells:
        raise DataError(f"[grid] mask = {path}: no cell of the grid lies inside. Check its CRS and the grid's bounds.")
    return target
