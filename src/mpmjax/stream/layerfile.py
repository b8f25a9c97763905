"""A prepared layer as a file on the grid: written strip by strip, read back, and named only then."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from mpmjax.errors import DiskError
from mpmjax.stream.files import publish
from mpmjax.stream.tiles import strips
from mpmjax.types import Grid, Tile

STRIP_ROWS = 256
"""Rows handled at a time: one row of blocks of the file. Fixed, so that no setting can change a byte."""

Write = Callable[[int, np.ndarray], None]


def window_of(tile: Tile) -> Window:
    """A tile as rasterio's window."""
    return Window(tile.col, tile.row, tile.width, tile.height)  # pyright: ignore[reportCallIssue]


def write_layer(
    out: Path,
    grid: Grid,
    dtype: str,
    make: Callable[[Write], None],
    nodata: float | None = math.nan,
    compressed: bool = True,
) -> None:
    """Write the strips that `make` hands over as a GeoTIFF, read it back, and give it its name only then.

    Reading back is needed: where the disk fills up in the last kilobytes, GDAL closes the file without an error (seen
    with GDAL 3.10).

    Args:
        make: called with `write(row, block)`; hands over full-width strips of STRIP_ROWS rows, or of a
            multiple, top to bottom.
        compressed: losslessly; what is not is twice to four times as quick to read.

    Raises:
        DiskError: the file cannot be written, or does not come back as it was written.
    """
    temporary = out.with_name(f".{out.name}.part")
    written = found = 0
    try:
        with _create(temporary, grid, dtype, nodata, compressed) as dataset:

            def write(row: int, block: np.ndarray) -> None:
                nonlocal written
                written = zlib.crc32(np.ascontiguousarray(block, dtype).data, written)
                try:
                    dataset.write(block, 1, window=window_of(Tile(0, row, 0, len(block), grid.width)))
                except RasterioError as error:
                    raise _refused(out, error) from error

            make(write)
        try:
            with rasterio.open(temporary, driver="GTiff") as dataset:
                for strip in strips(grid, STRIP_ROWS):
                    found = zlib.crc32(dataset.read(1, window=window_of(strip)).data, found)
        except RasterioError as error:
            raise _refused(out, error) from error
        if found != written:
            raise DiskError(f"{out}: what was written does not come back. Check the disk, or choose another folder.")
        publish(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def _create(path: Path, grid: Grid, dtype: str, nodata: float | None, compressed: bool) -> DatasetWriter:
    """Lossless, quick to decode, written by one thread."""
    predictor = 3 if np.dtype(dtype).kind == "f" else 1
    codec = {"compress": "zstd", "zstd_level": 1, "predictor": predictor} if compressed else {}
    try:
        return rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=grid.width,
            height=grid.height,
            count=1,
            dtype=dtype,
            crs=grid.crs,
            transform=grid.transform,
            nodata=nodata,
            tiled=True,
            blockxsize=256,
            blockysize=256,
            num_threads=1,
            bigtiff="if_safer",
            **codec,
        )
    except RasterioError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: RasterioError) -> DiskError:
    return DiskError(
        f"{path}: cannot be written ({error.__cause__ or error}). Free some disk or choose another folder."
    )
