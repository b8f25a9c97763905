"""Laying a raster source on the grid, cell for cell: as it is where it lies there, else warped once.

Warping goes in strips of fixed height, so that its cells do not depend on tiles or threads.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from mpmjax.evidence.raster import RasterSource, decode, decode_mask, way_between
from mpmjax.stream.layerfile import STRIP_ROWS, Write, write_layer
from mpmjax.stream.reader import open_raster, storable, valid_cells
from mpmjax.stream.tiles import strips
from mpmjax.types import Grid, Layer

COARSENING = 1.5
"""From this ratio of cell sizes on, cells are averaged; below it, interpolated."""


TOLERANCE = 1e-3
"""Cells by which GDAL may approximate coordinates (its default: 0.125; with 0 rasterio 1.4 has no transformer)."""


def choose_resampling(source: RasterSource, grid: Grid, role: str, stated: str | None) -> str:
    """nearest for classes, average when coarsening, bilinear else, unless the project states one."""
    if stated is not None:
        return stated
    if role == "category":
        return "nearest"
    ratio = math.sqrt(_cells_under(source, grid))
    return "average" if ratio >= COARSENING else "bilinear"


def _cells_under(source: RasterSource, grid: Grid) -> float:
    """How many cells of the source one cell of the grid covers, at the middle of the grid; NaN where that is nowhere.

    Taken there and not from the extents: a whole continent stretches in a UTM zone, a rotated file fills half its box.
    """
    col, row = grid.width / 2, grid.height / 2
    corners = [grid.transform @ place for place in ((col, row), (col + 1, row), (col, row + 1))]
    xs, ys = way_between(grid.crs, source.crs.to_wkt()).transform([x for x, _ in corners], [y for _, y in corners])
    to_cells = ~source.transform
    (x0, y0), (x1, y1), (x2, y2) = (to_cells @ place for place in zip(xs, ys, strict=True))
    return abs((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0))


def align(source: RasterSource, grid: Grid, layer: Layer, resampling: str, scratch: Path) -> Layer:
    """The layer on the grid: the file itself where it already lies there, else a warped copy in `scratch`.

    Args:
        layer: the layer as the source holds it (its nodata, scale, offset, valid_range).
        resampling: nearest, bilinear or average.

    Returns:
        The layer with path, band, dtype and nodata of the file to read from now on.

    Raises:
        DataError: a block of the source cannot be decoded.
    """
    if source.lies_on(grid):
        return layer
    hidden = source.masked or layer.valid_range is not None
    if hidden or (resampling != "nearest" and _more_is_missing(source)):
        # What is missing must be gone before neighbours are mixed, or it bleeds into them.
        source = _without_invalid(source, layer, scratch)
    target = scratch / f"{layer.name}.tif"
    _warp(source, grid, Resampling[resampling], target)
    # NaN is missing in the copy. The range was looked at above: a mean may leave it by a rounding.
    return replace(layer, path=target, band=1, dtype=_exact(source.dtype), nodata=None, masked=False, valid_range=None)


def _exact(dtype: str) -> str:
    """The float that holds every value: float32 for 8- and 16-bit integers and float32 itself, else float64."""
    return "float32" if np.dtype(dtype).itemsize <= 2 or dtype == "float32" else "float64"


def _warp(source: RasterSource, grid: Grid, resampling: Resampling, target: Path) -> None:
    dtype = _exact(source.dtype)
    nodata = storable(source.nodata, np.dtype(source.dtype))
    if nodata is None and np.dtype(source.dtype).kind == "f":
        nodata = math.nan
    with (
        open_raster(source.path) as dataset,
        WarpedVRT(
            dataset,
            src_crs=source.crs,
            src_nodata=nodata,
            crs=grid.crs,
            transform=grid.transform,
            width=grid.width,
            height=grid.height,
            resampling=resampling,
            tolerance=TOLERANCE,
            nodata=math.nan,
            dtype=dtype,
            # Else GDAL widens the kernel by a ratio that it estimates anew for each chunk: seams, worst where rotated.
            XSCALE=1,
            YSCALE=1,
        ) as warped,
    ):

        def make(write: Write) -> None:
            for strip in strips(grid, STRIP_ROWS):
                # GDAL leaves the array as it was where no cell of the strip has a place in the source's CRS.
                blank = np.full((strip.height, strip.width), np.nan, dtype)
                write(strip.row, decode(warped, source.band, strip, source, blank))

        write_layer(target, grid, dtype, make)


def _more_is_missing(source: RasterSource) -> bool:
    """Whether a float file holds missing cells that its nodata does not name: GDAL would mix NaN and Inf in."""
    if np.dtype(source.dtype).kind != "f":
        return False
    nodata = storable(source.nodata, np.dtype(source.dtype))
    with open_raster(source.path) as dataset:
        for strip in strips(Grid("", source.transform, source.width, source.height), STRIP_ROWS):
            raw = decode(dataset, source.band, strip, source)
            if np.isinf(raw).any() or (nodata is not None and np.isnan(raw).any()):
                return True
    return False


def _without_invalid(source: RasterSource, layer: Layer, scratch: Path) -> RasterSource:
    """A copy of the source on its own cells, in floats, NaN where the layer is missing."""
    target, dtype = scratch / "valid" / f"{layer.name}.tif", _exact(source.dtype)
    target.parent.mkdir(exist_ok=True)
    own = Grid(source.crs.to_wkt(), source.transform, source.width, source.height)
    with open_raster(source.path) as dataset:

        def make(write: Write) -> None:
            for strip in strips(own, STRIP_ROWS):
                raw = decode(dataset, source.band, strip, source)
                valid = valid_cells(raw, layer) & decode_mask(dataset, strip, source)
                write(strip.row, np.where(valid, raw.astype(dtype), np.nan))

        write_layer(target, own, dtype, make)
    return replace(source, path=target, band=1, dtype=dtype, nodata=None, masked=False)
