"""Where the tiles of a screening pass go, and how they become cloud-optimised GeoTIFFs (COGs).

Tiles are written in order by one thread into one working GeoTIFF a product; COGs are then built from those, so that
their bytes depend on the cells alone and not on tile size or workers. Writing is single-threaded per file on
purpose: GDAL's multi-threaded GeoTIFF writer reports no error on a full disk.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError  # what rasterio.shutil raises; rasterio.errors has no name for it
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter

from mpmjax.errors import DiskError
from mpmjax.products import Product
from mpmjax.stream.files import publish
from mpmjax.stream.layerfile import window_of
from mpmjax.stream.prefetch import ordered_map
from mpmjax.stream.tiles import cut
from mpmjax.types import Grid, Tile

BLOCK = 512


class MapStore:
    """Working files of the maps of one pass, in square blocks or, not `tiled`, in rows for what reads line by line.

    Use as a context manager, then `build_cogs`.

    Leaving the context reads every tile back: GDAL closes a file on a full disk without an error (seen with 3.10).
    """

    def __init__(self, folder: Path, grid: Grid, products: Sequence[Product], tiled: bool = True) -> None:
        self.folder, self.grid, self.products, self._tiled = folder, grid, tuple(products), tiled
        self._open: dict[str, DatasetWriter] = {}
        self._written: dict[str, dict[Tile, int]] = {product.name: {} for product in products}

    def __enter__(self) -> MapStore:
        self.folder.mkdir(parents=True, exist_ok=True)
        for product in self.products:
            self._open[product.name] = create_map(self.path(product), self.grid, product, self._tiled)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for dataset in self._open.values():
            dataset.close()
        self._open.clear()
        if kind is None:
            for product in self.products:
                sums = self._written[product.name]
                if list(sums.values()) != _checksums(self.path(product), sums):
                    raise _lost(self.path(product))

    def path(self, product: Product) -> Path:
        """The working file of a product."""
        return self.folder / f"{product.name}.work.tif"

    def write(self, tile: Tile, maps: Mapping[str, np.ndarray]) -> None:
        """Write one tile of every product, arrays [height, width] in the product's dtype.

        Raises:
            DiskError: the working file cannot be written.
        """
        window = window_of(tile)
        for name, dataset in self._open.items():
            self._written[name][tile] = _checksum(np.asarray(maps[name], dataset.dtypes[0]))
            try:
                dataset.write(maps[name], 1, window=window)
            except RasterioError as error:
                raise DiskError(f"{dataset.name}: writing row {tile.row}, column {tile.col} failed: {error}") from error


def create_map(path: Path, grid: Grid, product: Product, tiled: bool = True) -> DatasetWriter:
    """A new working GeoTIFF for one product, open for writing."""
    blocks = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK} if tiled else {"tiled": False}
    dataset = rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=grid.width,
        height=grid.height,
        count=1,
        dtype=product.dtype,
        crs=grid.crs,
        transform=grid.transform,
        nodata=product.nodata,
        compress="zstd",
        zstd_level=1,
        bigtiff="if_safer",
        **blocks,
    )
    dataset.set_band_description(1, product.description)
    dataset.units = ("1",)
    return dataset


def build_cogs(store: MapStore, output: Path, products: Sequence[Product], workers: int) -> list[Path]:
    """One COG a product in `output`, with overviews and statistics; each appears under its name when it is whole.

    Raises:
        DiskError: a COG cannot be written, or does not read back as it was written.
    """

    def build(product: Product) -> Path:
        work, temporary = store.path(product), store.folder / f"{product.name}.tif"
        floating = product.dtype == "float32"
        try:
            rasterio.shutil.copy(
                work,
                temporary,
                driver="COG",
                BLOCKSIZE=str(BLOCK),
                COMPRESS="DEFLATE",  # the one compression that every GIS reads
                LEVEL="4",
                PREDICTOR="YES",
                OVERVIEW_RESAMPLING="AVERAGE" if floating else "MODE",
                STATISTICS="YES",
                BIGTIFF="IF_SAFER",
            )
        except (RasterioError, CPLE_BaseError) as error:
            raise DiskError(f"{temporary}: cannot be written ({error}). Free some disk.") from error
        # In squares of whole blocks, so that a wide grid takes no more memory than a narrow one.
        squares = cut(store.grid.shape, 8 * BLOCK)
        if _checksums(work, squares) != _checksums(temporary, squares):
            raise _lost(temporary)
        work.unlink()
        return publish(temporary, output / f"{product.name}.tif")

    return list(ordered_map(build, products, workers, ahead=0))


def _checksum(values: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(values).data)


def _checksums(path: Path, tiles: Iterable[Tile]) -> list[int]:
    """A checksum a tile of a map as it stands on the disk."""
    try:
        with rasterio.open(path, driver="GTiff") as dataset:
            return [_checksum(dataset.read(1, window=window_of(tile))) for tile in tiles]
    except RasterioError as error:
        raise _lost(path) from error


def _lost(path: Path) -> DiskError:
    return DiskError(f"{path}: what was written does not come back. Check the disk, or choose another folder.")
