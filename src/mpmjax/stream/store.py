"""Working maps that are written in order, strip by strip, by one thread: classes, and the ranks of targets.

What the screening pass writes goes to stream/tilestore.py. Writing is single-threaded per file on purpose: GDAL's
multi-threaded GeoTIFF writer reports no error on a full disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter

from mpmjax.errors import DiskError
from mpmjax.products import Product
from mpmjax.stream.layerfile import window_of
from mpmjax.stream.mosaic import BLOCK, build_cog, damaged_tiles, lost, publish_cog
from mpmjax.stream.tilestore import crc
from mpmjax.types import Grid, Tile


class MapStore:
    """Working files of maps, in square blocks or, not `tiled`, in rows for what reads line by line.

    Use as a context manager, then `publish`. Leaving the context reads every tile back: GDAL closes a file on a full
    disk without an error (seen with 3.10).
    """

    def __init__(self, folder: Path, grid: Grid, products: Sequence[Product], tiled: bool = True) -> None:
        self.folder, self.grid, self.products, self._tiled = folder, grid, tuple(products), tiled
        self._open: dict[str, DatasetWriter] = {}
        self._written: dict[str, dict[Tile, int]] = {product.name: {} for product in products}

    def __enter__(self) -> MapStore:
        self.folder.mkdir(parents=True, exist_ok=True)
        for product in self.products:
            self._open[product.name] = _create(self.path(product), self.grid, product, self._tiled)
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
                if damaged_tiles(self.path(product), sums.keys(), sums.values()):
                    raise lost(self.path(product))

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
            self._written[name][tile] = crc(np.asarray(maps[name], dataset.dtypes[0]))
            try:
                dataset.write(maps[name], 1, window=window)
            except RasterioError as error:
                raise DiskError(f"{dataset.name}: writing row {tile.row}, column {tile.col} failed: {error}") from error

    def publish(self, product: Product, output: Path) -> Path:
        """The COG of a finished working map under its name in `output`; the working file goes.

        Raises:
            DiskError: it cannot be written, or does not read back as it was written.
        """
        cog = build_cog(self.path(product), self.folder / f"{product.name}.tif", product)
        sums = self._written[product.name]
        final = publish_cog(cog, output / cog.name, sums.keys(), sums.values())
        self.path(product).unlink()
        return final


def _create(path: Path, grid: Grid, product: Product, tiled: bool) -> DatasetWriter:
    """A new working GeoTIFF for one product, open for writing."""
    blocks = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK} if tiled else {"tiled": False}
    try:
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
    except RasterioError as error:
        raise DiskError(f"{path}: cannot be written ({error}). Free some disk or choose another folder.") from error
    dataset.set_band_description(1, product.description)
    dataset.units = ("1",)
    return dataset
