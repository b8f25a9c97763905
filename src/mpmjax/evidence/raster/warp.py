"""Laying a raster source on the grid, cell for cell: as it is where it lies there, else warped once.

Warping goes in strips of fixed height, so that its cells do not depend on tiles or threads, and every strip in pieces
that cover a bounded number of the source's cells. The source is read at full resolution: overviews, which any program
may have made in any way, are for looking at (a test holds GDAL to that).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from scipy import ndimage

from mpmjax.errors import DataError
from mpmjax.evidence.raster.footprint import Footprint, turns
from mpmjax.evidence.raster.source import RasterSource, cells_of_source, decode, open_source, read_valid
from mpmjax.reference.presence import stored
from mpmjax.stream.layerfile import STRIP_ROWS, Write, window_of, write_layer
from mpmjax.stream.reader import open_raster, undecodable
from mpmjax.stream.tiles import strips
from mpmjax.stream.unreadable import Bad, Undecodable
from mpmjax.types import Grid, Layer, Tile

COARSENING = 1.5
"""From this ratio of cell sizes on, cells are averaged; below it, interpolated."""


TOLERANCE = 1e-3
"""Cells by which GDAL may approximate coordinates (its default: 0.125; with 0 rasterio 1.4 has no transformer)."""

BESIDE_A_CUT = {"average": 0, "mode": 0, "nearest": 1}
"""How many cells beside those that the cut of the source's map goes through get the value at their middle: over a cut
GDAL averages the whole world, and beside it finds nothing by nearest (seen with GDAL 3.10)."""

MOST_CLASSES = np.iinfo(np.uint16).max


def choose_resampling(source: RasterSource, grid: Grid, role: str, stated: str | None) -> str:
    """What the project states; else nearest for classes, average from COARSENING on, bilinear below.

    nearest takes the class at the middle of a cell, mode the one of most cells in it: it is there to be stated where
    cells become much larger.
    """
    if stated is not None:
        return stated
    if role == "category":
        return "nearest"
    return "average" if math.sqrt(Footprint(source, grid).cells_under()) >= COARSENING else "bilinear"


def align(
    source: RasterSource, grid: Grid, layer: Layer, resampling: str, scratch: Path, bad: Bad | None = None
) -> Layer:
    """The layer on the grid: the file itself where it already lies there, else a warped copy in `scratch`.

    Args:
        layer: the layer as the source holds it (its nodata, scale, offset, valid_range).
        resampling: nearest, bilinear, average or mode. What is missing is never mixed in, averaged or counted.
        bad: where blocks of the source that cannot be decoded are collected, to count as missing; None to stop at one.

    Returns:
        The layer with path, band, dtype and nodata of the file to read from now on.

    Raises:
        DataError: a block of the source cannot be decoded and there is no `bad`, one cell of the grid covers too many
            of its cells, or mode is asked for with more than 65,535 classes.
    """
    if source.lies_on(grid):
        return layer
    target, dtype, codes = scratch / f"{layer.name}.tif", exact(source.dtype), None
    hidden = source.masked or layer.valid_range is not None
    if resampling == "mode":
        source, codes = _numbered(source, layer, scratch, bad)
    elif hidden or (resampling != "nearest" and _more_is_missing(source, layer, bad)):
        # What is missing must be gone before neighbours are mixed, or it bleeds into them.
        source = _without_invalid(source, layer, scratch, bad)
    try:
        try:
            _warp(source, grid, resampling, target, dtype, codes)
        except Undecodable:
            if bad is None or source.path != layer.path:
                raise
            source = _without_invalid(source, layer, scratch, bad)  # nor can GDAL warp around a damaged block
            _warp(source, grid, resampling, target, dtype, codes)
    finally:
        if source.path != layer.path:
            source.path.unlink()  # as large as the source, and of no more use
    # NaN is missing in the copy. The range was looked at above: a mean may leave it by a rounding.
    return replace(layer, path=target, band=1, dtype=dtype, nodata=None, masked=False, valid_range=None)


def exact(dtype: str) -> str:
    """The type of a warped copy, which holds every value: float32 for 8- and 16-bit integers and float32 itself, else
    float64."""
    return "float32" if np.dtype(dtype).itemsize <= 2 or dtype == "float32" else "float64"


def _warp(
    source: RasterSource, grid: Grid, resampling: str, target: Path, dtype: str, codes: np.ndarray | None
) -> None:
    """Write the warped source, in `dtype`; where `codes` is given, its cells are numbers of codes."""
    footprints = [Footprint(turned, grid) for turned in turns(source)]
    with open_raster(source.path) as dataset:

        def make(write: Write) -> None:
            for strip in strips(grid, STRIP_ROWS):
                values = np.full((strip.height, strip.width), np.nan, dtype)
                cut = _beside_a_cut(footprints, strip, BESIDE_A_CUT.get(resampling))
                for footprint in footprints:
                    missing = np.isnan(values)
                    if missing.any():
                        found = _strip(dataset, footprint, strip, resampling, dtype)
                        found[cut] = _at_middles(dataset, footprint, strip, cut)
                        values[missing] = (found if codes is None else _decoded(found, codes))[missing]
                write(strip.row, values)

        write_layer(target, grid, dtype, make)


def _strip(
    dataset: rasterio.DatasetReader, footprint: Footprint, strip: Tile, resampling: str, dtype: str
) -> np.ndarray:
    """A strip of the warped source, floats [height, width], NaN where it is missing."""
    source, grid = footprint.source, footprint.grid
    nodata = stored(source.nodata, np.dtype(source.dtype))
    if nodata is None and np.dtype(source.dtype).kind == "f":
        nodata = math.nan
    # GDAL counts the classes of whole numbers only in a table.
    working, missing = (source.dtype, 0) if resampling == "mode" else (dtype, math.nan)
    # How many cells are mixed. Else GDAL estimates it anew for each chunk: seams, worst where rotated. A kernel is not
    # widened; a mean needs the true number, or cells that hang over the source's edge are lost.
    columns, rows = footprint.span() if resampling in ("average", "mode") else (1.0, 1.0)
    values = np.empty((strip.height, strip.width), dtype)
    for piece in footprint.pieces(strip):
        # GDAL leaves the array as it was where no cell of the piece has a place in the source's CRS.
        found = np.full((piece.height, piece.width), missing, working)
        try:
            with WarpedVRT(
                dataset,
                src_crs=source.crs,
                src_transform=source.transform,
                src_nodata=nodata,
                crs=grid.crs,
                transform=grid.transform @ Affine.translation(piece.col, piece.row),
                width=piece.width,
                height=piece.height,
                resampling=Resampling[resampling],
                tolerance=TOLERANCE,
                nodata=missing,
                dtype=working,
                XSCALE=1 / columns if columns >= 1 else 1,
                YSCALE=1 / rows if rows >= 1 else 1,
                # Which part of the source is needed is told by places all over the piece: along its edge is not enough
                # where the map is cut.
                SAMPLE_GRID="YES",
                # A cell of one band is missing whatever the file's other bands hold there.
                UNIFIED_SRC_NODATA="NO",
            ) as warped:
                warped.read(source.band, window=window_of(replace(piece, row=0, col=0)), out=found)
        except RasterioError as error:
            raise undecodable(source.name, source.path, source.band, piece, error) from error
        top, left = piece.row - strip.row, piece.col - strip.col
        values[top : top + piece.height, left : left + piece.width] = found
    return values


def _decoded(numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Codes of numbered classes; NaN for 0 and for NaN."""
    return codes[np.nan_to_num(numbers, nan=0.0).astype(np.intp)]


def _beside_a_cut(footprints: list[Footprint], strip: Tile, beside: int | None) -> np.ndarray:
    """Cells of a strip that the cut of the source's map goes through, and so many beside them; no cell for None."""
    if beside is None:
        return np.zeros((strip.height, strip.width), bool)
    wide = Tile(strip.index, strip.row - 1, strip.col - 1, strip.height + 2, strip.width + 2)
    torn = np.logical_or.reduce([footprint.torn(wide) for footprint in footprints])
    if beside and torn.any():
        torn = ndimage.binary_dilation(torn, np.ones((3, 3), bool), iterations=beside)
    return torn[1:-1, 1:-1]


def _at_middles(dataset: rasterio.DatasetReader, footprint: Footprint, strip: Tile, cells: np.ndarray) -> np.ndarray:
    """Values of the source at the middles of some cells of a strip, float64 [n], NaN where it is missing."""
    source, (rows, cols) = footprint.source, np.nonzero(cells)
    x, y = footprint.places(cols + strip.col + 0.5, rows + strip.row + 0.5)
    values = np.full(len(rows), np.nan)
    nodata = stored(source.nodata, np.dtype(source.dtype))
    for i in np.flatnonzero((x >= 0) & (x < source.width) & (y >= 0) & (y < source.height)):
        raw = decode(dataset, source.band, Tile(0, int(y[i]), int(x[i]), 1, 1), source)[0, 0]
        if np.isfinite(raw) and (nodata is None or raw != nodata):
            values[i] = raw
    return values


def _more_is_missing(source: RasterSource, layer: Layer, bad: Bad | None) -> bool:
    """Whether a float file holds missing cells that its nodata does not name: GDAL would mix NaN and Inf in."""
    if np.dtype(source.dtype).kind != "f":
        return False
    nodata = stored(source.nodata, np.dtype(source.dtype))
    with open_source(source) as file:
        for strip in strips(cells_of_source(source), STRIP_ROWS):
            raw, _ = read_valid(file, strip, source, layer, bad)
            if bad or np.isinf(raw).any() or (nodata is not None and np.isnan(raw).any()):
                return True
    return False


def _valid_strips(source: RasterSource, layer: Layer, bad: Bad | None) -> Iterable[tuple[int, np.ndarray, np.ndarray]]:
    """First row, raw values and where they hold data, strip by strip."""
    with open_source(source) as file:
        for strip in strips(cells_of_source(source), STRIP_ROWS):
            yield strip.row, *read_valid(file, strip, source, layer, bad)


def _without_invalid(source: RasterSource, layer: Layer, scratch: Path, bad: Bad | None) -> RasterSource:
    """A copy of the source on its own cells, in floats, NaN where the layer is missing."""
    target, dtype = scratch / "valid" / f"{layer.name}.tif", exact(source.dtype)
    target.parent.mkdir(exist_ok=True)

    def make(write: Write) -> None:
        for row, raw, valid in _valid_strips(source, layer, bad):
            write(row, np.where(valid, raw.astype(dtype), np.nan))

    write_layer(target, cells_of_source(source), dtype, make)
    return replace(source, path=target, band=1, dtype=dtype, nodata=None, masked=False)


def _numbered(source: RasterSource, layer: Layer, scratch: Path, bad: Bad | None) -> tuple[RasterSource, np.ndarray]:
    """A copy of the source that holds numbers of classes, 0 where the layer is missing, and the code of each number.

    GDAL counts whole numbers of 8 and 16 bits in a table; the time it takes for floats grows with the square of the
    cells to count (at 100 cells a side: 600 times as long).

    Raises:
        DataError: more than 65,535 different values.
    """
    found = np.empty(0, source.dtype)
    for _, raw, valid in _valid_strips(source, layer, bad):
        found = np.union1d(found, raw[valid])
        if len(found) > MOST_CLASSES:
            raise DataError(
                f'layer {layer.name!r}: {source.path}: resampling = "mode" counts classes, and there are more than '
                f"{MOST_CLASSES} different values: these are measurements. Give the layer another role, or leave "
                "resampling out."
            )
    dtype = "uint8" if len(found) <= np.iinfo(np.uint8).max else "uint16"
    target = scratch / "valid" / f"{layer.name}.tif"
    target.parent.mkdir(exist_ok=True)

    def make(write: Write) -> None:
        for row, raw, valid in _valid_strips(source, layer, bad):
            write(row, np.where(valid, np.searchsorted(found, raw) + 1, 0).astype(dtype))

    write_layer(target, cells_of_source(source), dtype, make, nodata=0)
    numbered = replace(source, path=target, band=1, dtype=dtype, nodata=0.0, masked=False)
    return numbered, np.concatenate(([np.nan], found.astype(np.float64)))
