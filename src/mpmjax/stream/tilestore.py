"""Finished tiles on the disk: a file a tile, whole or not there, its checksum in the manifest.

A tile file holds one GeoTIFF for all float32 products and one for all uint8 products, end to end, encoded in memory.
Its bytes are written beside its name, synced, and renamed; so GDAL never writes to the disk here, which on a full one
it does not always tell. What joins tiles reads the GeoTIFFs where they stand, by /vsisubfile (stream/mosaic.py).
"""

from __future__ import annotations

import hashlib
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from mpmjax.errors import DiskError
from mpmjax.products import Product
from mpmjax.stream.files import write_file
from mpmjax.stream.manifest import TileRow
from mpmjax.types import Tile

FOLDER = "tiles"
MOST_BLOCK = 512
PARTS = ("float32", "uint8")
"""Dtypes of the parts of a tile file, in their order."""

COMPRESSION: Mapping[str, Any] = {"compress": "zstd", "zstd_level": 1, "num_threads": 1}
"""Of seven float maps of a demo district: 0.93 GB/s a core to encode and 1.4 to decode, to 61 % of their size; with
GDAL's floating point predictor 0.47, 0.62 and 56 %."""


class TileStore:
    """Tiles of all products of a pass.

    Args:
        folder: in which the folder of the files lies; `make` makes it.

    Safe to use from many threads, a tile each.
    """

    def __init__(self, folder: Path, products: Sequence[Product]) -> None:
        self.folder, self.products = folder / FOLDER, tuple(products)
        self.parts = {d: [p for p in products if p.dtype == d] for d in PARTS}

    def make(self) -> None:
        """Make the folder.

        Raises:
            DiskError: it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiskError(f"{self.folder}: cannot be made: {error.strerror}.") from error

    def path(self, index: int) -> Path:
        """The file of a tile."""
        return self.folder / f"{index:07d}.tile"

    def write(self, tile: Tile, maps: Mapping[str, np.ndarray], cells: int, facts: Mapping[str, Any]) -> TileRow:
        """Write one tile of every product, whole or not at all.

        Args:
            maps: arrays [height, width] in the products' dtypes.
            cells: number of cells scored; facts: as in TileRow.

        Returns:
            Its row, to be added to the manifest.

        Raises:
            DiskError: it cannot be written.
        """
        parts = [self._encode(tile, products, maps) for products in self.parts.values()]
        content = b"".join(parts)
        row = TileRow(
            index=tile.index,
            window=(tile.row, tile.col, tile.height, tile.width),
            sizes=tuple(map(len, parts)),
            sha256=hashlib.sha256(content).hexdigest(),
            cells=cells,
            crcs=tuple(crc(maps[p.name]) for p in self.products),
            facts=facts,
        )
        write_file(self.path(tile.index), content)
        return row

    def read(self, row: TileRow) -> dict[str, np.ndarray] | None:
        """All maps of a finished tile, None where its file is not what the manifest says."""
        try:
            content = self.path(row.index).read_bytes()
        except OSError:  # a tile that cannot be read is one to be made again
            return None
        if hashlib.sha256(content).hexdigest() != row.sha256:
            return None
        maps, start = {}, 0
        for products, size in zip(self.parts.values(), row.sizes, strict=True):
            if products:
                with MemoryFile(content[start : start + size]) as file, file.open(driver="GTiff") as dataset:
                    maps |= {p.name: band for p, band in zip(products, dataset.read(), strict=True)}
            start += size
        return maps

    def place(self, product: Product) -> tuple[int, int]:
        """Which part of a tile file holds a product, and in which band."""
        part = PARTS.index(product.dtype)
        return part, self.parts[product.dtype].index(product) + 1

    def remove(self) -> None:
        """Remove all tiles, what an interrupted run left of one, and the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _encode(self, tile: Tile, products: Sequence[Product], maps: Mapping[str, np.ndarray]) -> bytes:
        if not products:
            return b""
        block = [min(MOST_BLOCK, -(-side // 16) * 16) for side in (tile.height, tile.width)]
        profile = {
            "driver": "GTiff", "width": tile.width, "height": tile.height, "count": len(products),
            "dtype": products[0].dtype, "nodata": products[0].nodata, "interleave": "band", "tiled": True,
            "blockysize": block[0], "blockxsize": block[1], "predictor": 2, **COMPRESSION,
            "transform": Affine.translation(1, 1),  # of no use; without any, rasterio warns when it is read
        }  # fmt: skip
        try:
            with MemoryFile() as file:
                with file.open(**profile) as dataset:
                    for band, product in enumerate(products, 1):
                        dataset.write(maps[product.name], band)
                return bytes(file.getbuffer())
        except RasterioError as error:
            raise DiskError(f"tile at row {tile.row}, column {tile.col}: cannot be encoded ({error}).") from error


def crc(values: np.ndarray) -> int:
    """CRC-32 of the pixels of a map, row by row."""
    return zlib.crc32(np.ascontiguousarray(values).data)
