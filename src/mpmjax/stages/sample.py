"""sample: the cells on which everything is fitted, the same whatever the tiles and workers."""

from __future__ import annotations

import numpy as np

from mpmjax.errors import DataError
from mpmjax.stream.layerfile import window_of
from mpmjax.stream.prefetch import ordered_map, worker_count
from mpmjax.stream.reader import StackReader, open_raster
from mpmjax.stream.tiles import cut
from mpmjax.stream.unreadable import Unreadable
from mpmjax.types import Evidence, Sample, Slab, Tile

BLOCK = 256
BLOCKS = 1024
"""At most so many blocks are read, spread over the grid: on a country the sample must not cost a whole pass."""


Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Priority uint64 [n], cell number int64 [n], values float64 [n, L]."""


def sample(evidence: Evidence, size: int, min_coverage: float, seed: int, workers: int | None = None) -> Sample:
    """Draw up to `size` valid cells without replacement, uniform over the valid area.

    Each cell's priority is a hash of its place and the seed, and the smallest priorities win: no pass for counting,
    and no dependence on the order of reading. On more than 1,024 blocks of 256 x 256 cells, one block of each of
    1,024 equal runs of those that hold some of the study area is read.

    Args:
        size: n, number of cells wanted.
        min_coverage: share of layers that a cell must have to be valid.

    Raises:
        DataError: no valid cell, a block that cannot be decoded (but with the evidence's on_error = "nodata" it is
            missing, and told in `unreadable`), or a layer that is empty or constant where the study area is.
    """
    blocks = _spread(_inside(cut(evidence.grid.shape, BLOCK), evidence), seed)
    kept: list[Drawn] = []
    lost: set[Unreadable] = set()
    seen, pending = 0, 0
    with StackReader(evidence.grid, evidence.layers, evidence.mask, evidence.on_error) as reader:

        def draw(tile: Tile) -> tuple[int, Drawn, tuple[Unreadable, ...]]:
            slab = reader.read(tile)
            return *_draw(slab, evidence, size, min_coverage, seed), slab.unreadable

        for count, cells, unreadable in ordered_map(draw, blocks, worker_count(workers)):
            lost.update(unreadable)
            seen += count
            pending += len(cells[0])
            kept.append(cells)
            if pending > 8 * size:  # keeps the memory flat
                kept = [_smallest(kept, size)]
                pending = len(kept[0][0])
    if not seen:
        raise DataError(_nothing_valid(evidence, min_coverage))
    _, cells, values = _smallest(kept, size)
    order = np.argsort(cells)
    rows, cols = np.divmod(cells[order], evidence.grid.width)
    _refuse_empty(values, evidence)
    return Sample(values[order], rows, cols, seen, tuple(sorted(lost)))


def _inside(blocks: list[Tile], evidence: Evidence) -> list[Tile]:
    """Blocks that hold some of the study area; where all blocks are read anyway, all of them."""
    if evidence.mask is None or len(blocks) <= BLOCKS:
        return blocks
    with open_raster(evidence.mask) as mask:
        return [block for block in blocks if mask.read(1, window=window_of(block)).any()]


def _spread(blocks: list[Tile], seed: int) -> list[Tile]:
    if len(blocks) <= BLOCKS:
        return blocks
    edges = np.linspace(0, len(blocks), BLOCKS + 1).astype(int)
    picks = np.random.default_rng(seed).integers(edges[:-1], edges[1:])
    return [blocks[i] for i in picks]


def _draw(
    slab: Slab, evidence: Evidence, size: int, min_coverage: float, seed: int
) -> tuple[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Number of valid cells of a block, and those with the smallest priorities: priority, cell number, values."""
    valid = slab.inside & (slab.valid.mean(axis=0) >= min_coverage)
    rows, cols = np.nonzero(valid)
    cells = (rows + slab.tile.row).astype(np.int64) * evidence.grid.width + cols + slab.tile.col
    priority = splitmix64(cells.astype(np.uint64), seed)
    best = np.argsort(priority)[:size]
    rows, cols = rows[best], cols[best]
    values = np.empty((len(best), len(evidence.layers)))
    for index, layer in enumerate(evidence.layers):
        scaled = layer.in_units(slab.values[index][rows, cols])
        values[:, index] = np.where(slab.valid[index][rows, cols], scaled, np.nan)
    return len(cells), (priority[best], cells[best], values)


def _smallest(kept: list[Drawn], size: int) -> Drawn:
    priority, cells, values = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    best = np.argsort(priority)[:size]
    return priority[best], cells[best], values[best]


def splitmix64(numbers: np.ndarray, seed: int) -> np.ndarray:
    """A well-mixed uint64 for each uint64 and seed (Steele, Lea, Flood 2014, doi 10.1145/2660193.2660195)."""
    z = numbers + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _refuse_empty(values: np.ndarray, evidence: Evidence) -> None:
    for index, layer in enumerate(evidence.layers):
        column = values[:, index]
        column = column[np.isfinite(column)]
        where = f"layer {layer.name!r} ({layer.source})"
        if not column.size:
            raise DataError(
                f"{where}: no data in any of the {len(values)} cells sampled from the study area. "
                "Leave the layer out, or check its extent, CRS and nodata."
            )
        if column.min() == column.max() and layer.role != "category":
            raise DataError(
                f"{where}: constant, {column[0]:g} in all {column.size} cells sampled from the study area: "
                "it tells nothing. Leave the layer out."
            )


def _nothing_valid(evidence: Evidence, min_coverage: float) -> str:
    return (
        f"No cell of the grid ({evidence.grid.width} x {evidence.grid.height}) has data in at least "
        f"{min_coverage:.0%} of the {len(evidence.layers)} layers inside the study area. Check the layers' extents and "
        "nodata, the mask, or lower [model] min_coverage."
    )
