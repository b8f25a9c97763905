"""How a grid is cut into tiles. Tiles change the time and the memory of a run, never its answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

from mpmjax.types import Grid, Tile

GROWTH = 4
"""By so much a tile may have more cells than were asked for, where that spares decoding."""

Shape = tuple[int, int]
"""(height, width) in cells."""


def cut(shape: Shape, size: int) -> list[Tile]:
    """Tiles of `size` x `size` cells that cover `shape` (height, width), row by row; smaller at the far edges."""
    return _cut(shape, (size, size))


def strips(grid: Grid, rows: int = 256) -> list[Tile]:
    """Full-width strips, top to bottom."""
    return _cut(grid.shape, (rows, grid.width))


def plan_tiles(shape: Shape, size: int, blocks: Sequence[Shape], most_cells: int | None = None) -> list[Tile]:
    """Tiles that cover `shape`, row by row, cut so that the blocks of the sources are decoded as seldom as can be.

    A tile has about `size` x `size` cells: between half of that and all of it, fewer only on a small grid, for small
    `most_cells`, or where that alone keeps blocks whole; more only where that spares decoding, and then as few more
    as do, up to `most_cells`. Among shapes that decode equally much the squarest is taken. Blocks of 1,024 read by
    tiles of 512 are decoded four times (twice the time, measured); strips of one row as often as tiles lie side by
    side.

    Args:
        size: side of a tile in cells, as [stream] tile states it.
        blocks: (height, width) of the blocks of each source; none for sources without.
        most_cells: what no tile may exceed; default 4 x `size` x `size`.

    Raises:
        ValueError: most_cells, size or a side of a block is below 1.
    """
    most = GROWTH * size * size if most_cells is None else most_cells
    if min(most, size, *(side for block in blocks for side in block)) < 1:
        raise ValueError(f"tiles of {size} and at most {most} cells for blocks of {blocks}: all must be 1 or more")
    wanted = min(size * size, most)
    own = Counter((min(height, shape[0]), min(width, shape[1])) for height, width in blocks)

    def rank(tile: Shape) -> tuple[float, ...]:
        height, width = tile
        cells = height * width
        uneven = max(height, width) / min(height, width)
        return (_decoded(shape, tile, own), max(cells - wanted, 0), max(wanted // 2 - cells, 0), uneven, -cells, height)

    return _cut(shape, min(_candidates(shape, size, wanted, most, own), key=rank))


def amplification(shape: Shape, tile: Shape, blocks: Sequence[Shape]) -> float:
    """Cells decoded for each cell read, in the mean over the sources: 1 where every block is decoded once.

    Nothing is counted as kept from tile to tile: GDAL's cache of blocks is bounded, and shared by all threads.
    """
    decoded = _decoded(shape, tile, Counter(blocks))
    return decoded / (len(blocks) * shape[0] * shape[1]) if blocks else 1.0


def _cut(shape: Shape, tile: Shape) -> list[Tile]:
    corners = [(row, col) for row in range(0, shape[0], tile[0]) for col in range(0, shape[1], tile[1])]
    return [
        Tile(index, row, col, min(tile[0], shape[0] - row), min(tile[1], shape[1] - col))
        for index, (row, col) in enumerate(corners)
    ]


def _decoded(shape: Shape, tile: Shape, blocks: Counter[Shape]) -> int:
    """Cells of all blocks that the tiles touch, each as often as it is touched; blocks end where the grid does."""
    return sum(
        count * _touched(shape[0], tile[0], height) * _touched(shape[1], tile[1], width)
        for (height, width), count in blocks.items()
    )


@cache
def _touched(length: int, tile: int, block: int) -> int:
    """As _decoded, along one axis."""
    if tile % block == 0 or tile >= length:
        return length
    starts = np.arange(0, length, tile)
    ends = np.minimum(starts + tile, length)
    return int((np.minimum(-(-ends // block) * block, length) - starts // block * block).sum())


def _candidates(shape: Shape, size: int, wanted: int, most: int, blocks: Iterable[Shape]) -> set[Shape]:
    """Shapes to choose from: squares, multiples of the blocks, full width; each within `most` cells."""
    heights, widths = (_steps(shape[axis], {block[axis] for block in blocks}) for axis in (0, 1))
    limits = {wanted, most}
    across = {size // step * step for step in widths}
    across |= {step << power for step in widths for power in range((shape[1] // step).bit_length())}
    across |= {limit // high // step * step for limit in limits for high in heights for step in widths}
    across |= {math.isqrt(limit) for limit in limits} | {shape[1]}
    found = set()
    for width in {min(width, shape[1], most) for width in across} - {0}:
        down = {limit // width // step * step for limit in limits for step in heights}
        down |= {*heights, size, shape[0]}
        down = {min(height, shape[0]) for height in down} - {0}
        found |= {(height, width) for height in down if height * width <= most}
    return found


def _steps(length: int, sides: set[int]) -> set[int]:
    """Lengths whose multiples keep some, or all, of the blocks whole along an axis; and 1."""
    whole = math.lcm(*sides) if sides else 1
    return {min(side, length) for side in sides} | {1} | ({whole} if whole < length else set())
