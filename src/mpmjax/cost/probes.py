"""One small measurement a function. Seconds are CPU seconds of the calling thread: others at work do not lengthen them.

Each does what the run does, by the run's own code, on few cells; what must be compiled first is compiled before.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio.io import MemoryFile

from mpmjax.cost.stand_in import random_arrays
from mpmjax.ops.cpu.lanes import FusedLanes
from mpmjax.ops.plan import plan_memberships
from mpmjax.products import PRODUCTS, Product
from mpmjax.scoring.tally import Tally
from mpmjax.stream.mosaic import build_cog, join_tiles, publish_cog
from mpmjax.stream.reader import StackReader, valid_cells
from mpmjax.stream.ring import Ring
from mpmjax.stream.tilestore import TileStore
from mpmjax.types import Grid, Layer, Membership, Slab, Tile

HASHED = 8 << 20
"""Bytes."""

BLOCK_CELLS = 256 * 256
"""Of a block of the sample."""

GROUPS = 6
"""Groups of the stand-in: what they cost is little, beside the members."""

Maps = dict[str, np.ndarray]


def quickest(work: Callable[[], object], repeats: int = 3) -> float:
    """CPU seconds of the quickest of a few calls."""
    found = np.inf
    for _ in range(repeats):
        start = time.thread_time()
        work()
        found = min(found, time.thread_time() - start)
    return max(float(found), 1e-9)


def digesting() -> float:
    """Seconds a byte of a SHA-256."""
    content = bytes(HASHED)
    return quickest(lambda: hashlib.sha256(content).digest()) / len(content)


def sorting() -> float:
    """Seconds a number of hashing a block of them and sorting by the hash: how fast this machine is in NumPy."""
    numbers = np.random.default_rng(0).integers(0, 1 << 63, BLOCK_CELLS).astype(np.uint64)

    def draw() -> None:
        mixed = numbers
        for shift in (30, 27, 31):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(0xBF58476D1CE4E5B9)
        np.argsort(mixed)

    return quickest(draw) / BLOCK_CELLS


def reading(grid: Grid, layers: Sequence[Layer], tiles: Sequence[Tile], seconds: float) -> tuple[float, list[Slab]]:
    """Seconds a cell of reading all layers of tiles, and the tiles; stops when so many seconds are spent.

    The first tile is read by other handles before: what is slow once in a process is no cost of a tile, and GDAL keeps
    decoded blocks by handle.
    """
    slabs: list[Slab] = []
    spent = cells = 0.0
    most = max(tile.height * tile.width for tile in tiles)
    ring = Ring(len(tiles), layers, most)
    with StackReader(grid, tuple(layers)) as once:
        once.read(tiles[0])
    with StackReader(grid, tuple(layers)) as reader:
        for tile in tiles:
            slot = ring.acquire()
            start = time.thread_time()
            slabs.append(reader.read(tile, slot))
            spent += time.thread_time() - start
            cells += tile.height * tile.width
            if spent > seconds:
                break
    return max(spent, 1e-9) / cells, slabs


def masking(slab: Slab, layers: Sequence[Layer]) -> float:
    """Seconds a cell of telling what is missing in raw values, all layers: the part of reading that is no decoding."""

    def mask() -> None:
        for raw, layer in zip(slab.values, layers, strict=True):
            valid_cells(raw, layer)

    return quickest(mask) / slab.inside.size


def recoded(slab: Slab, codec: Mapping[str, object]) -> float:
    """Seconds a cell of decoding all layers of a slab if they were stored by another codec (GDAL's options)."""
    seconds = 0.0
    height, width = slab.inside.shape
    for raw in slab.values:
        profile = {
            "driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": raw.dtype,
            "transform": rasterio.Affine.translation(1, 1), **codec,
        }  # fmt: skip
        with MemoryFile() as file:
            with file.open(**profile) as dataset:
                dataset.write(raw, 1)

            def decode(file: MemoryFile = file) -> None:
                with file.open(driver="GTiff") as dataset:
                    dataset.read(1)

            seconds += quickest(decode)
    return seconds / slab.inside.size


class Scoring:
    """The fused scorer at a project's sizes, on a part of a slab, with random weights.

    Args:
        slab: of the project; its scored cells are counted.
        memberships: of the layers, in their order.
    """

    def __init__(self, slab: Slab, layers: Sequence[Layer], memberships: Sequence[Membership], coverage: float) -> None:
        self._slab, self._coverage = slab, coverage
        self._plan = plan_memberships(layers, memberships)
        self._layers = len(layers)

    def seconds(self, members: int, hidden: int, latent: int) -> tuple[float, Maps]:
        """Seconds of all cells of the slab with so many members, and the maps [height, width]."""
        lanes = FusedLanes(self._plan, random_arrays(members, self._layers, hidden, latent, GROUPS), self._coverage)
        maps = {p.name: np.full(self._slab.inside.shape, p.nodata, p.dtype) for p in PRODUCTS}
        return quickest(lambda: lanes.compute(self._slab, maps), 2), maps


def writing(maps: Maps, grid: Grid, folder: Path) -> tuple[float, float, dict[str, float], float]:
    """What maps of a tile cost on their way out.

    Args:
        maps: [height, width] of all products of a pass.

    Returns:
        Seconds a cell: of the tile with all its maps, of counting it, of each map's COG, by name, and of reading back
        a COG of floats.
    """
    height, width = maps["prospectivity"].shape
    store = TileStore(folder, PRODUCTS)
    store.make()
    tile = Tile(0, 0, 0, height, width)
    encoding = quickest(lambda: store.write(tile, maps, height * width, {}), 2) / tile_cells(tile)
    tally, facts = Tally(1), {"outside": [0, 0], "unreadable": []}
    counting = quickest(lambda: tally.add(maps, facts, None)) / tile_cells(tile)
    tiles = [Tile(i, row, 0, height, width) for i, row in enumerate(range(0, 2 * height, height))]
    rows = {tile.index: store.write(tile, maps, height * width, {}) for tile in tiles}
    whole = Grid(grid.crs, grid.transform, width, len(tiles) * height)
    cells = whole.width * whole.height

    def build(product: Product) -> None:
        source, place = join_tiles(store, tiles, rows, whole, product), PRODUCTS.index(product)
        cog = build_cog(source, folder / f"{product.name}.tif", product)
        publish_cog(cog, folder / f"{product.name}.cog.tif", tiles, (rows[tile.index].crcs[place] for tile in tiles))

    cogs = {product.name: quickest(lambda p=product: build(p), 1) / cells for product in PRODUCTS}
    with rasterio.open(folder / "prospectivity.cog.tif", driver="GTiff") as dataset:
        back = quickest(lambda: dataset.read(1), 2) / cells
    return encoding, counting, cogs, back


def tile_cells(tile: Tile) -> int:
    return tile.height * tile.width
