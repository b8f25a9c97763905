"""The study area: cells outside it are neither fitted, nor scored, nor counted as area."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.features import rasterize

from mpmjax.errors import DataError
from mpmjax.evidence.raster import inspect_raster
from mpmjax.evidence.vector import read_features
from mpmjax.evidence.warp import align
from mpmjax.stream.layerfile import STRIP_ROWS, Write, write_layer
from mpmjax.stream.reader import RASTER_DRIVERS, StackReader
from mpmjax.stream.tiles import strips
from mpmjax.types import Grid, Layer, Tile


def prepare_mask(path: Path, grid: Grid, scratch: Path) -> Path:
    """The study area as a uint8 raster on the grid, 1 inside: raster cells that are not 0 or nodata, or polygons.

    Raises:
        DataError: the file cannot be read, has no CRS, or nothing of it lies on the grid.
    """
    if path.suffix.lower() not in RASTER_DRIVERS:
        return _write(_polygons(path, grid), path, grid, scratch)
    source = inspect_raster(path, "mask")
    raw = Layer("mask.warped", "category", path, 1, source.dtype, source.nodata, masked=source.masked, source=str(path))
    layer = align(source, grid, raw, "nearest", scratch)
    with StackReader(grid, (layer,)) as reader:

        def inside(strip: Tile) -> np.ndarray:
            slab = reader.read(strip)
            return slab.valid[0] & (slab.values[0] != 0)

        return _write(inside, path, grid, scratch)


def _polygons(path: Path, grid: Grid) -> Callable[[Tile], np.ndarray]:
    shapes = list(read_features(path, grid, name="mask").geometries)

    def inside(strip: Tile) -> np.ndarray:
        transform = grid.transform @ Affine.translation(0, strip.row)
        shape = (strip.height, strip.width)
        return np.asarray(rasterize(shapes, out_shape=shape, transform=transform, dtype="uint8")) > 0

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
