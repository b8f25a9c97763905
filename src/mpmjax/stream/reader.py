"""Reads all layers of a tile: raw values and their masks, together, and nodata never again after this.

Every thread has dataset handles of its own (a GDAL handle must not be shared), kept open from tile to tile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from mpmjax.errors import DataError
from mpmjax.stream.layerfile import window_of
from mpmjax.types import Grid, Layer, Slab, Tile

RASTER_DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".img": "HFA", ".asc": "AAIGrid", ".bil": "EHdr", ".flt": "EHdr"}
"""Formats that hold their own pixels, by suffix. Without a stated driver GDAL goes by content, and a VRT or a WMS
description that is named .tif would read other files and hosts, which opening data must never do."""

GDAL_CACHE_MB = 128
"""GDAL's block cache for the whole process; its default, 5 % of the machine's memory, grows with the machine."""


@contextmanager
def gdal_environment() -> Iterator[None]:
    """GDAL with a bounded cache, no side files looked up over directories, no side files written."""
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_MB, GDAL_DISABLE_READDIR_ON_OPEN="FALSE", GDAL_PAM_ENABLED="YES"):
        yield


def open_raster(path: Path) -> rasterio.DatasetReader:
    """Open a local raster file, running no code and reaching no network.

    Raises:
        DataError: the path is a URL or a GDAL virtual path, is missing, or is no raster of a known format.
    """
    text = str(path)
    if "://" in text or "/vsi" in text:
        raise DataError(f"{text}: only local files are read; copy the file here and name its path.")
    if not path.is_file():
        raise DataError(f"{text}: no such file.")
    driver = RASTER_DRIVERS.get(path.suffix.lower())
    if driver is None:
        raise DataError(
            f"{text}: not a raster format that is read ({', '.join(RASTER_DRIVERS)}). Convert it to GeoTIFF."
        )
    try:
        return rasterio.open(path, driver=driver)
    except (RasterioError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{text}: not a readable {driver} raster: {error}") from error


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
            raw = self._decode(dataset, layer, tile)
            values.append(raw)
            valid[index] = valid_cells(raw, layer)
            if layer.masked:
                valid[index] &= dataset.read_masks(layer.band, window=window) > 0
        if self._mask is None:
            inside = np.ones((tile.height, tile.width), bool)
        else:
            inside = self._dataset(self._mask).read(1, window=window) > 0
        return Slab(tile, tuple(values), valid, inside)

    def _dataset(self, path: Path) -> rasterio.DatasetReader:
        handles: dict[Path, rasterio.DatasetReader] | None = getattr(self._local, "handles", None)
        if handles is None:
            handles = self._local.handles = {}
        if path not in handles:
            handles[path] = open_raster(path)
            with self._lock:
                self._opened.append(handles[path])
        return handles[path]

    def _decode(self, dataset: rasterio.DatasetReader, layer: Layer, tile: Tile) -> np.ndarray:
        try:
            return dataset.read(layer.band, window=window_of(tile))
        except RasterioError as error:
            raise undecodable(layer.name, layer.source or layer.path, layer.band, tile, error) from error


def undecodable(name: str, path: Path | str, band: int, tile: Tile, error: RasterioError) -> DataError:
    """The error for a window that GDAL could not decode: layer, file, band, window, cause, what to do."""
    return DataError(
        f"layer {name!r}: {path}, band {band}, rows {tile.row}-{tile.row + tile.height - 1}, columns "
        f"{tile.col}-{tile.col + tile.width - 1}: cannot be decoded ({error.__cause__ or error}). The file is damaged "
        "or cut short: fetch it again, or make a new copy with gdal_translate."
    )


def valid_cells(raw: np.ndarray, layer: Layer) -> np.ndarray:
    """Where a raw array holds data: not nodata, not NaN or infinite, and inside the layer's valid range."""
    valid = np.isfinite(raw) if raw.dtype.kind == "f" else np.ones(raw.shape, bool)
    if layer.nodata is not None:
        # In the dtype of the file: a float32 file may declare -3.4028234663852886e+38 with digits of its own, and a
        # comparison in float64 would copy every integer tile. An integer file cannot hold a nodata outside its range.
        if raw.dtype.kind == "f":
            valid &= raw != raw.dtype.type(layer.nodata)
        elif float(layer.nodata).is_integer() and in_range(layer.nodata, raw.dtype):
            valid &= raw != raw.dtype.type(int(layer.nodata))
    if layer.valid_range is not None:
        scaled = raw * np.float64(layer.scale) + layer.offset
        low, high = layer.valid_range
        valid &= (scaled >= low) & (scaled <= high)
    return valid


def in_range(value: float, dtype: np.dtype) -> bool:
    """Whether an integer dtype can hold the value."""
    info = np.iinfo(dtype)
    return info.min <= value <= info.max
