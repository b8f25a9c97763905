"""Reads all layers of a tile: raw values and their masks, together, and nodata never again after this.

Every thread has dataset handles of its own (a GDAL handle must not be shared), kept open from tile to tile.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from mpmjax.errors import DataError
from mpmjax.reference.presence import present
from mpmjax.stream.claims import refuse_files_elsewhere, refuse_large_blocks
from mpmjax.stream.layerfile import window_of
from mpmjax.types import Grid, Layer, Slab, Tile

RASTER_DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".img": "HFA", ".asc": "AAIGrid", ".bil": "EHdr", ".flt": "EHdr"}
"""Formats that hold their own pixels, by suffix. Without a stated driver GDAL goes by content, and a VRT or a WMS
description that is named .tif would read other files and hosts, which opening data must never do."""

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

GDAL_CACHE = 128 << 20
"""Bytes of GDAL's block cache, for the whole process; its default, 5 % of the memory, grows with the machine."""


@contextmanager
def gdal_environment() -> Iterator[None]:
    """GDAL with a bounded block cache."""
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE):
        yield


def open_raster(path: Path) -> rasterio.DatasetReader:
    """Open a local raster file, running no code and reaching no network.

    Raises:
        DataError: the path is a URL or a GDAL virtual path, is missing, is no raster of a known format, claims blocks
            that would fill the memory, or takes cells from a file outside its folder.
    """
    text = str(path)
    # A Path has only one slash left of "https://", and one that exists is a file, whatever it is called.
    if re.match(r"/vsi\w+/", text) or (not path.is_file() and re.search(r"(^|/)[\w+.-]{2,}:/", text)):
        raise DataError(f"{text}: only local files are read; copy the file here and name its path.")
    if not path.is_file():
        raise DataError(f"{text}: no such file. Check the path; relative ones start at the project file.")
    driver = RASTER_DRIVERS.get(path.suffix.lower())
    if driver is None:
        raise DataError(
            f"{text}: not a raster format that is read ({', '.join(RASTER_DRIVERS)}). Convert it to GeoTIFF."
        )
    _refuse_strange_mask(path)
    try:
        # From the root on: a folder may be called "http:", and GDAL takes a relative name for what it begins with.
        dataset = rasterio.open(path.absolute(), driver=driver)
    except (RasterioError, UnicodeDecodeError, ValueError) as error:
        raise DataError(
            f"{text}: not a readable {driver} raster: {error}. Fetch it again, or convert it to GeoTIFF."
        ) from error
    try:
        refuse_large_blocks(dataset, path)
        refuse_files_elsewhere(dataset, path)
    except DataError:
        dataset.close()
        raise
    return dataset


def _refuse_strange_mask(path: Path) -> None:
    """A mask beside the raster (`name.tif.msk`) is opened by content: as a VRT it reads other files and hosts."""
    wanted = f"{path.name}.msk".lower()
    try:
        for beside in [other for other in path.parent.iterdir() if other.name.lower() == wanted]:
            with beside.open("rb") as file:
                if file.read(4) not in TIFF_STARTS:
                    raise DataError(f"{beside}: a mask beside a raster must be a TIFF file, this is none. Remove it.")
    except OSError as error:
        raise DataError(f"{path}: what lies beside it cannot be read: {error.strerror}.") from error


class StackReader:
    """Reads slabs of an evidence stack. Use as a context manager; `read` may be called from many threads."""

    def __init__(self, grid: Grid, layers: tuple[Layer, ...], mask: Path | None = None) -> None:
        self._grid, self._layers, self._mask = grid, layers, mask
        self._local = threading.local()
        self._opened: list[rasterio.DatasetReader] = []
        self._lock = threading.Lock()

    def __enter__(self) -> StackReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            for dataset in self._opened:
                dataset.close()
            self._opened.clear()

    def read(self, tile: Tile) -> Slab:
        """All layers of a tile.

        Raises:
            DataError: a block cannot be decoded; names the layer, file, band and window.
        """
        window = window_of(tile)
        values, valid = [], np.empty((len(self._layers), tile.height, tile.width), bool)
        for index, layer in enumerate(self._layers):
            dataset = self._dataset(layer.path)
            try:
                raw = dataset.read(layer.band, window=window)
                shown = dataset.read_masks(layer.band, window=window) > 0 if layer.masked else True
            except RasterioError as error:
                raise undecodable(layer.name, layer.source or layer.path, layer.band, tile, error) from error
            values.append(raw)
            valid[index] = valid_cells(raw, layer) & shown
        return Slab(tile, tuple(values), valid, self._inside(tile))

    def _inside(self, tile: Tile) -> np.ndarray:
        if self._mask is None:
            return np.ones((tile.height, tile.width), bool)
        try:
            return self._dataset(self._mask).read(1, window=window_of(tile)) > 0
        except RasterioError as error:
            raise undecodable("mask", self._mask, 1, tile, error) from error

    def _dataset(self, path: Path) -> rasterio.DatasetReader:
        handles: dict[Path, rasterio.DatasetReader] | None = getattr(self._local, "handles", None)
        if handles is None:
            handles = self._local.handles = {}
        if path not in handles:
            handles[path] = open_raster(path)
            with self._lock:
                self._opened.append(handles[path])
        return handles[path]


def undecodable(name: str, path: Path | str, band: int, tile: Tile, error: RasterioError) -> DataError:
    """The error for a window that GDAL could not decode: layer, file, band, window, cause, what to do."""
    return DataError(
        f"layer {name!r}: {path}, band {band}, rows {tile.row}-{tile.row + tile.height - 1}, columns "
        f"{tile.col}-{tile.col + tile.width - 1}: cannot be decoded ({error.__cause__ or error}). The file is damaged "
        "or cut short: fetch it again, or make a new copy with gdal_translate."
    )


def valid_cells(raw: np.ndarray, layer: Layer) -> np.ndarray:
    """Where a raw array of a layer holds data, by reference/presence.py."""
    return present(raw, nodata=layer.nodata, scale=layer.scale, offset=layer.offset, valid_range=layer.valid_range)
