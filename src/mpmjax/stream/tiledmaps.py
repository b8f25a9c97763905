"""The maps of a pass while it goes on: which tiles are finished, which are to be made, and the COGs when all are.

A tile counts as finished if its row is in the manifest and its file is what the row says. Where the COGs stand already
and the tile files are gone, tiles are taken back from the pixels of the COGs, which are held against the same rows: so
a damaged map costs the tiles that it shows the damage in, and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from mpmjax.products import Product
from mpmjax.stream.layerfile import window_of
from mpmjax.stream.manifest import TileRow
from mpmjax.stream.mosaic import build_cog, join_tiles, lost, publish_cog
from mpmjax.stream.prefetch import ordered_map, unordered_map
from mpmjax.stream.tilestore import TileStore, crc
from mpmjax.stream.workfolder import WorkFolder, whole
from mpmjax.types import Grid, Tile

CUT = "tiles"
"""Name of the fact in the manifest that says how the grid was cut."""

Maps = dict[str, np.ndarray]


class TiledMaps:
    """Maps of `products` on a grid that is cut into `tiles`.

    Attributes:
        store: for the tiles that are made.
        rows: of the finished tiles, by index; `add` them as they are finished.
    """

    def __init__(self, work: WorkFolder, grid: Grid, products: Sequence[Product], tiles: Sequence[Tile]) -> None:
        self._work, self._grid, self._products, self._tiles = work, grid, tuple(products), tiles
        self.store = TileStore(work.scratch, products)
        shapes = sorted({(tile.height, tile.width) for tile in tiles})
        cut = [[p.name for p in products], grid.width, grid.height, list(map(list, shapes))]
        if work.manifest.fact(CUT) != cut:
            self.store.remove()
            work.manifest.forget_tiles()
            work.manifest.keep(CUT, cut)
        self.store.make()
        self.rows = work.manifest.tiles()

    @property
    def missing(self) -> list[Tile]:
        """Tiles to be made, in their order."""
        return [tile for tile in self._tiles if tile.index not in self.rows]

    def unfinished(self) -> list[Product]:
        """Products whose COG does not stand in the output folder as it was finished."""
        return [product for product in self._products if not self._work.finished(f"{product.name}.tif")]

    def kept(self, workers: int) -> Iterator[tuple[Tile, TileRow, Maps]]:
        """Tiles that an earlier run finished, with their maps; those that are damaged are missing from then on."""
        have = [tile for tile in self._tiles if tile.index in self.rows]
        with ExitStack() as opened:
            cogs = self._cogs(opened) if any(not self.store.path(tile.index).exists() for tile in have) else {}

            def look(tile: Tile) -> Maps | None:
                return self.store.read(self.rows[tile.index])

            for tile, found in zip(have, ordered_map(look, have, workers), strict=True):
                row = self.rows.pop(tile.index)
                if found is None and len(cogs) == len(self._products):
                    found = self._from_cogs(cogs, tile, row)
                    if found is not None:
                        row = self.store.write(tile, found, row.cells, row.facts)
                if found is not None:
                    self.rows[tile.index] = row
                    yield tile, row, found

    def add(self, row: TileRow) -> None:
        """A tile was written."""
        self._work.manifest.add_tile(row)
        self.rows[row.index] = row

    def publish(self, products: Sequence[Product], workers: int) -> None:
        """Build the COGs of these products from the finished tiles, which go when all are there.

        Raises:
            DiskError: a tile is not what was written any more, or a COG cannot be written or does not read back.
        """
        self._require_whole(workers)

        def build(product: Product) -> Path:
            temporary = self._work.scratch / f"{product.name}.tif"
            place = self._products.index(product)
            build_cog(join_tiles(self.store, self._tiles, self.rows, self._grid, product), temporary, product)
            crcs = (self.rows[tile.index].crcs[place] for tile in self._tiles)
            return publish_cog(temporary, self._work.output / temporary.name, self._tiles, crcs)

        for path in unordered_map(build, products, workers):
            self._work.add_files(path)
        self.store.remove()

    def _require_whole(self, workers: int) -> None:
        def check(tile: Tile) -> bool:
            return whole(self.store.path(tile.index), self.rows[tile.index].sha256)

        for tile, good in zip(self._tiles, ordered_map(check, self._tiles, workers), strict=True):
            if not good:
                raise lost(self.store.path(tile.index))

    def _cogs(self, opened: ExitStack) -> dict[str, rasterio.DatasetReader]:
        """The maps in the output folder, damaged ones too, as far as they can be opened."""
        found = {}
        for product in self._products:
            path = self._work.output / f"{product.name}.tif"
            try:
                dataset = opened.enter_context(rasterio.open(path, driver="GTiff"))
            except RasterioError:  # not there, or its header is damaged: every tile is made again
                continue
            if dataset.shape == self._grid.shape and dataset.dtypes == (product.dtype,):
                found[product.name] = dataset
        return found

    def _from_cogs(self, cogs: dict[str, rasterio.DatasetReader], tile: Tile, row: TileRow) -> Maps | None:
        maps = {}
        for product, expected in zip(self._products, row.crcs, strict=True):
            try:
                maps[product.name] = cogs[product.name].read(1, window=window_of(tile))
            except RasterioError:  # a block that cannot be decoded is damaged
                return None
            if crc(maps[product.name]) != expected:
                return None
        return maps
