"""Raster sources: looked at before anything else, then laid on the grid, cell for cell.

A source that already lies on the grid is used as it is. Any other is warped once, in strips of fixed height, so that
its cells do not depend on tiles or threads.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError

from mpmjax.errors import DataError
from mpmjax.evidence.crs import bounds_between
from mpmjax.ops.plan import DTYPES
from mpmjax.stream.claims import refuse_cut_short
from mpmjax.stream.layerfile import window_of
from mpmjax.stream.reader import open_raster, undecodable, valid_cells
from mpmjax.stream.reopen import Reopening
from mpmjax.stream.unreadable import Bad, Unreadable, read_band
from mpmjax.types import Grid, Layer, Tile


@dataclass(frozen=True)
class RasterSource:
    """What a raster file says of itself, with the project's corrections (crs, nodata) applied."""

    name: str
    path: Path
    band: int
    crs: CRS
    transform: Affine
    width: int
    height: int
    dtype: str
    nodata: float | None
    scale: float
    offset: float
    masked: bool

    def bounds_in(self, crs: str) -> tuple[float, float, float, float]:
        """(xmin, ymin, xmax, ymax) of the whole file in another CRS."""
        corners = [self.transform @ xy for xy in _corners(self.width, self.height)]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        return bounds_between(self.crs.to_wkt(), crs, (min(xs), min(ys), max(xs), max(ys)))

    def lies_on(self, grid: Grid) -> bool:
        """Whether every cell of the file is the grid's cell of the same row and column (to 1/1000 cell)."""
        if (self.height, self.width) != grid.shape or self.crs != CRS.from_user_input(grid.crs):
            return False
        pairs = zip(_corners(self.width, self.height), _corners(self.width, self.height), strict=True)
        tolerance = 1e-3 * min(grid.cell_size)
        return all(math.dist(self.transform @ a, grid.transform @ b) < tolerance for a, b in pairs)


def _corners(width: int, height: int) -> tuple[tuple[int, int], ...]:
    return (0, 0), (width, 0), (0, height), (width, height)


def inspect_raster(
    path: Path, name: str, *, band: int = 1, crs: str | None = None, nodata: float | None = None
) -> RasterSource:
    """Open a raster source and refuse what cannot become a layer.

    Args:
        name: the layer's, for messages.
        crs, nodata: override what the file says.

    Raises:
        DataError: missing or unreadable file, no such band, complex values, no CRS, no place on the map, or a file
            cut short.
    """
    where = f"layer {name!r}: {path}"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", NotGeoreferencedWarning)
        dataset = open_raster(path)
    with dataset:
        if band > dataset.count:
            raise DataError(f"{where}: band {band} asked for, the file has {dataset.count}.")
        dtype = dataset.dtypes[band - 1]
        if dtype.startswith("complex"):
            raise DataError(
                f"{where}, band {band}: complex values ({dtype}) have no order and cannot be evidence. "
                "Write the amplitude or the phase to a file and name that."
            )
        if dtype not in DTYPES:
            raise DataError(
                f"{where}, band {band}: values of type {dtype} cannot be evidence ({', '.join(DTYPES)} can). Convert "
                "the file, for example with gdal_translate -ot Float64."
            )
        declared = dataset.nodatavals[band - 1]
        flags = dataset.mask_flag_enums[band - 1]
        refuse_cut_short(dataset, band, where)
        stated = _crs(dataset.crs, crs, where)
        nowhere = any(issubclass(warning.category, NotGeoreferencedWarning) for warning in said)
        if nowhere or dataset.transform.is_identity or not _is_a_place(dataset.transform):
            raise DataError(
                f"{where}: the file does not say where its cells lie (no geotransform). Georeference it first: in QGIS "
                "by Raster > Georeferencer, or with gdalwarp where it has ground control points."
            )
        return RasterSource(
            name=name,
            path=path,
            band=band,
            crs=stated,
            transform=dataset.transform,
            width=dataset.width,
            height=dataset.height,
            dtype=dtype,
            nodata=nodata if nodata is not None else declared,
            scale=dataset.scales[band - 1],
            offset=dataset.offsets[band - 1],
            masked=nodata is None and MaskFlags.per_dataset in flags,
        )


def _is_a_place(transform: Affine) -> bool:
    """Whether cells have a size; one that is no number is no size, and makes a transform neither."""
    return all(map(math.isfinite, transform)) and not transform.is_degenerate


def _crs(found: CRS | None, stated: str | None, where: str) -> CRS:
    crs = found if stated is None else parse_crs(stated, where)
    if not crs:
        raise DataError(
            f'{where}: the file states no CRS. If you know it, add crs = "EPSG:..." to this layer in the project file '
            "(mask_crs for the mask)."
        )
    if not (crs.is_projected or crs.is_geographic):
        raise DataError(
            f"{where}: its CRS is a local or geocentric one ({crs.to_string()[:60]}), from which no way to a map is "
            'known. Add the right crs = "EPSG:..." to this layer in the project file.'
        )
    return crs


def parse_crs(text: str, where: str) -> CRS:
    """A CRS from 'EPSG:...', WKT or PROJ text.

    Raises:
        DataError: it is none that PROJ knows, or an address, which GDAL would call.
    """
    addressed = re.search(r"(?i)https?://|/vsi", text) and not re.match(r"\s*\w+\s*\[", text)
    if addressed:
        raise DataError(f'{where}: crs = "{text}" is an address, and none is called; write it like "EPSG:32639".')
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise DataError(f'{where}: crs = "{text}" is no known CRS; write it like "EPSG:32639".') from error


def decode(dataset: Any, band: int, tile: Tile, source: RasterSource, out: np.ndarray | None = None) -> np.ndarray:
    """Read a window of a source, or of its warped form, into `out` if given.

    Raises:
        DataError: it cannot be decoded; names layer, file, band and window.
    """
    try:
        return dataset.read(band, window=window_of(tile), out=out)
    except RasterioError as error:
        raise undecodable(source.name, source.path, source.band, tile, error) from error


def cells_of_source(source: RasterSource) -> Grid:
    """The cells of a source as a grid of their own."""
    return Grid(source.crs.to_wkt(), source.transform, source.width, source.height)


def open_source(source: RasterSource) -> Reopening:
    """The file of a source, to read windows of it."""
    return Reopening(source.path, open_raster)


def unreadable_blocks(source: RasterSource, blocks: Iterable[Sequence[int]]) -> list[Unreadable]:
    """Records of blocks of a source, each given as row, column, height and width."""
    return [Unreadable(source.name, str(source.path), source.band, *block) for block in blocks]


def read_valid(
    file: Reopening, tile: Tile, source: RasterSource, layer: Layer, bad: Bad | None
) -> tuple[np.ndarray, np.ndarray]:
    """Raw values of a window, and where its layer holds data: bool, False in what its own mask hides.

    Args:
        bad: where blocks that cannot be decoded are collected, to count as missing; None to stop at one.

    Raises:
        DataError: it cannot be decoded; names layer, file, band and window.
    """
    try:
        raw, shown, _ = read_band(file, source.band, tile, masked=source.masked, bad=bad)
    except RasterioError as error:
        raise undecodable(source.name, source.path, source.band, tile, error) from error
    return raw, valid_cells(raw, layer) & shown
