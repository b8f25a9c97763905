"""The study area: cells outside it are neither fitted, nor scored, nor counted as area."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.features import rasterize
from rasterio.windows import Window

from mpmjax.errors import DataError
from mpmjax.evidence.raster import align, inspect_raster, working_profile
from mpmjax.evidence.vector import read_features
from mpmjax.stream.files import publish
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
        return rasterize(shapes, out_shape=(strip.height, strip.width), transform=transform, dtype="uint8") > 0

    return inside


def _write(inside: Callable[[Tile], np.ndarray], path: Path, grid: Grid, scratch: Path) -> Path:
    cells, target = 0, scratch / "mask.tif"
    temporary = target.with_name(".mask.tif.part")
    with rasterio.open(temporary, "w", **working_profile(grid, "uint8") | {"nodata": None}) as out:
        for strip in strips(grid, 256):
            values = inside(strip)
            cells += int(values.sum())
            window = Window(0, strip.row, strip.width, strip.height)  # pyright: ignore[reportCallIssue]
            out.write(values.astype("uint8"), 1, window=window)
    if not cells:
        raise DataError(f"[grid] mask = {path}: no cell of the grid lies inside. Check its CRS and the grid's bounds.")
    return publish(temporary, target)
