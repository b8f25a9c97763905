"""Maps cut into tiles, for tests of what keeps and joins them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mpmjax.products import MAP_NODATA, PRODUCTS, Product
from mpmjax.stream.manifest import TileRow
from mpmjax.stream.mosaic import build_cog, join_tiles, publish_cog
from mpmjax.stream.tilestore import TileStore
from mpmjax.types import Grid, Tile

BY_NAME = {product.name: product for product in PRODUCTS}
FLOAT, OTHER, BYTE, EMPTY = (BY_NAME[name] for name in ("prospectivity", "anomaly", "groups", "driver"))
FOUR = (FLOAT, BYTE, OTHER, EMPTY)
"""Dtypes in turn: a part holds the first and third, or the second and fourth."""

ODD_NAMES = (
    "with space", "a, comma,b", "amp & <lt> &amp;", "quote ' and \" both", "کاجان é", "percent %20 %s", "semi;colon#1",
    "q?x=1", "[brackets] {braces}", "-dash", "plus+minus", "c:d", "back\\slash", "end.", "$HOME `x`", "!bang",
)  # fmt: skip


def maps_on(grid: Grid) -> dict[str, np.ndarray]:
    """Float maps with nodata and 0 in them, a class map with a hole as large as a block, one without a class."""
    rows, cols = np.mgrid[: grid.height, : grid.width].astype(np.float32)
    field = (0.5 + 0.5 * np.sin(rows / 37) * np.cos(cols / 23)).astype(np.float32)
    hole = (rows // 100 + cols // 130) % 4 == 0
    hole[:512, :512] = True
    noise = np.random.default_rng(3).random(grid.shape, np.float32)
    noise[::7, ::5] = np.float32(MAP_NODATA)
    noise[3::11, ::4] = 0.0
    groups = np.where(field > 0.5, 9, 2).astype(np.uint8)  # a mean of classes would be another class
    return {
        FLOAT.name: np.where(hole, np.float32(MAP_NODATA), field),
        OTHER.name: noise,
        BYTE.name: np.where(hole, 0, groups).astype(np.uint8),
        EMPTY.name: np.zeros(grid.shape, np.uint8),
    }


def part_of(maps: dict[str, np.ndarray], tile: Tile) -> dict[str, np.ndarray]:
    return {name: values[tile.slices] for name, values in maps.items()}


def write_tiles(
    folder: Path, maps: dict[str, np.ndarray], tiles: Sequence[Tile], products: Sequence[Product] = FOUR
) -> tuple[TileStore, dict[int, TileRow]]:
    store = TileStore(folder, products)
    store.make()
    return store, {tile.index: store.write(tile, part_of(maps, tile), tile.index, {}) for tile in tiles}


def cog_of_tiles(
    folder: Path, grid: Grid, maps: dict[str, np.ndarray], tiles: Sequence[Tile], product: Product
) -> Path:
    """NAME.tif in `folder`, from tiles that are written there first."""
    store, rows = write_tiles(folder, maps, tiles)
    temporary = build_cog(join_tiles(store, tiles, rows, grid, product), folder / "made.tif", product)
    place = FOUR.index(product)
    crcs = [rows[tile.index].crcs[place] for tile in tiles]
    return publish_cog(temporary, folder / f"{product.name}.tif", tiles, crcs)
