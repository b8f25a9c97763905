"""Reads all layers of a tile: raw values and their masks, together, and nodata never again after this.

Every thread has dataset handles of its own (a GDAL handle must not be shared), kept open from tile to tile.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from mpmjax.errors import DataError
from mpmjax.reference.presence import present
from mpmjax.stream.claims import refuse_files_elsewhere, refuse_large_blocks
from mpmjax.stream.reopen import Reopening
from mpmjax.stream.ring import Arrays, Slot
from mpmjax.stream.unreadable import Undecodable, Unreadable, forgiving, read_band, unreadable
from mpmjax.types import Grid, Layer, Slab, Tile

RASTER_DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".img": "HFA", ".asc": "AAIGrid", ".bil": "EHdr", ".flt": "EHdr"}
"""Formats that hold their own pixels, by suffix. Without a stated driver GDAL goes by content, and a VRT or a WMS
description that is named .tif would read other files and hosts, which opening data must never do."""

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

GDAL_CACHE = 128 << 20
"""Bytes of GDAL's block cache, for the whole process; its default, 5 % of the memory, grows with the machine."""


GDAL_POOL = 64
"""Files that GDAL holds open at a time where it joins many."""


@contextmanager
def gdal_environment() -> Iterator[None]:
    """GDAL with a bounded block cache and few open files."""
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE, GDAL_MAX_DATASET_POOL_SIZE=GDAL_POOL):
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


def block_shapes(layers: Sequence[Layer], mask: Path | None = None) -> tuple[tuple[int, int], ...]:
    """(height, width) of the blocks of each layer's band and, where there is one, of the study area's: for plan_tiles.

    Raises:
        DataError: a file cannot be opened.
    """
    bands = [(layer.path, layer.band) for layer in layers] + ([] if mask is None else [(mask, 1)])
    found: dict[Path, Sequence[tuple[int, int]]] = {}
    for path in {path for path, _ in bands}:
        with open_raster(path) as dataset:
            found[path] = [(height, width) for height, width in dataset.block_shapes]
    return tuple(found[path][band - 1] for path, band in bands)


class StackReader:
    """Reads slabs of an evidence stack. Use as a context manager; `read` may be called from many threads.

    Args:
        mask: the study area, of our own making; if it cannot be decoded, that is an error always.
        on_error: "stop", or "nodata": blocks of layers that cannot be decoded are missing and told by the slabs. Layers
            without a `source`, maps that a run of ours wrote, are no such layers.

    Attributes:
        retries: how often a file was opened again because reading failed.
    """

    def __init__(self, grid: Grid, layers: tuple[Layer, ...], mask: Path | None = None, on_error: str = "stop") -> None:
        self._grid, self._layers, self._mask = grid, layers, mask
        # Shared by the threads: what one of them could not decode is missing for all.
        bands = {(layer.path, layer.band): forgiving(on_error) for layer in layers}
        self._bad = [bands[layer.path, layer.band] if layer.source else None for layer in layers]
        self._local = threading.local()
        self._opened: list[Reopening] = []
        self._lock = threading.Lock()
        self.retries = 0

    def __enter__(self) -> StackReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            for file in self._opened:
                file.close()
            self._opened.clear()

    def read(self, tile: Tile, slot: Slot | None = None) -> Slab:
        """All layers of a tile, in fresh arrays or in those of a slot of a Ring made for these layers.

        Raises:
            DataError: a block cannot be decoded; names the layer, file, band and window.
        """
        values, valid, inside = fresh_arrays(self._layers, tile) if slot is None else slot.arrays(tile)
        lost: list[Unreadable] = []
        for layer, bad, raw, there in zip(self._layers, self._bad, values, valid, strict=True):
            path = str(layer.source or layer.path)
            try:
                _, shown, blocks = read_band(
                    self._file(layer.path), layer.band, tile, masked=layer.masked, bad=bad, out=raw
                )
            except RasterioError as error:
                raise undecodable(layer.name, path, layer.band, tile, error) from error
            np.logical_and(valid_cells(raw, layer), shown, out=there)
            lost += [unreadable(layer.name, path, layer.band, block) for block in blocks]
        self._read_inside(tile, inside)
        return Slab(tile, values, valid, inside, tuple(lost))

    def _read_inside(self, tile: Tile, inside: np.ndarray) -> None:
        if self._mask is None:
            inside[...] = True
            return
        try:
            np.greater(self._file(self._mask).read(1, tile), 0, out=inside)
        except RasterioError as error:
            raise undecodable("mask", self._mask, 1, tile, error) from error

    def _file(self, path: Path) -> Reopening:
        files: dict[Path, Reopening] | None = getattr(self._local, "files", None)
        if files is None:
            files = self._local.files = {}
        if path not in files:
            files[path] = Reopening(path, open_raster, self._count_retry)
            with self._lock:
                self._opened.append(files[path])
        return files[path]

    def _count_retry(self) -> None:
        with self._lock:
            self.retries += 1


def fresh_arrays(layers: Sequence[Layer], tile: Tile) -> Arrays:
    """Arrays for a tile in memory of their own, as Slot.arrays gives them."""
    shape = (tile.height, tile.width)
    values = tuple(np.empty(shape, layer.dtype) for layer in layers)
    return values, np.empty((len(values), *shape), bool), np.empty(shape, bool)


def undecodable(name: str, path: Path | str, band: int, tile: Tile, error: RasterioError) -> Undecodable:
    """The error for a window that GDAL could not decode: layer, file, band, window, cause, what to do."""
    return Undecodable(
        f"layer {name!r}: {path}, band {band}, rows {tile.row}-{tile.row + tile.height - 1}, columns "
        f"{tile.col}-{tile.col + tile.width - 1}: cannot be decoded ({error.__cause__ or error}). The file is damaged "
        "or cut short: fetch it again, or make a new copy with gdal_translate."
    )


def valid_cells(raw: np.ndarray, layer: Layer) -> np.ndarray:
    """Where a raw array of a layer holds data, by reference/presence.py."""
    return present(raw, nodata=layer.nodata, scale=layer.scale, offset=layer.offset, valid_range=layer.valid_range)
