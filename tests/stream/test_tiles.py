"""Tiles and strips: every cell once, in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasters import make_grid

from mpmjax.stream.tiles import amplification, cut, plan_tiles, strips
from mpmjax.types import Tile

SIDES = st.integers(1, 90)


def assert_every_cell_once(tiles: list[Tile], shape: tuple[int, int]) -> None:
    seen = np.zeros(shape, np.int64)
    for number, tile in enumerate(tiles):
        assert tile.index == number
        assert seen[tile.slices].shape == (tile.height, tile.width), "within the grid"
        seen[tile.slices] += 1
    assert (seen == 1).all()


@given(height=SIDES, width=SIDES, size=SIDES)
def test_tiles_cover_every_cell_once_row_by_row(height: int, width: int, size: int) -> None:
    tiles = cut((height, width), size)
    assert_every_cell_once(tiles, (height, width))
    assert [(tile.row, tile.col) for tile in tiles] == sorted((tile.row, tile.col) for tile in tiles)
    assert all(tile.row % size == 0 and tile.col % size == 0 for tile in tiles)
    assert max(tile.height for tile in tiles) == min(size, height)
    assert max(tile.width for tile in tiles) == min(size, width)


@given(height=SIDES, width=SIDES, rows=SIDES)
def test_strips_cover_every_cell_once(height: int, width: int, rows: int) -> None:
    found = strips(make_grid(width, height), rows)
    assert_every_cell_once(found, (height, width))
    assert all(tile.col == 0 and tile.width == width for tile in found)
    assert all(tile.height == rows for tile in found[:-1])


@pytest.mark.parametrize(("shape", "size", "count"), [((512, 512), 512, 1), ((513, 512), 512, 2), ((1, 1), 16, 1)])
def test_edges(shape: tuple[int, int], size: int, count: int) -> None:
    assert len(cut(shape, size)) == count


# -- tiles cut along blocks

BLOCKS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 90)), max_size=4)
WIDE = (20_000, 20_000)
STRIPS = (1, 20_000)


def counted(tiles: list[Tile], shape: tuple[int, int], blocks: list[tuple[int, int]]) -> int:
    """Cells of the blocks that each tile touches, block by block."""
    row_of, col_of = np.arange(shape[0])[:, None], np.arange(shape[1])
    cells = 0
    for height, width in blocks:
        number = row_of // height * shape[1] + col_of // width
        sizes = np.bincount(number.ravel())
        cells += sum(int(sizes[np.unique(number[tile.slices])].sum()) for tile in tiles)
    return cells


@settings(deadline=None)
@given(shape=st.tuples(SIDES, SIDES), size=st.integers(1, 40), blocks=BLOCKS, most=st.none() | st.integers(1, 3000))
def test_planned_tiles_cover_every_cell_once_within_their_cells(
    shape: tuple[int, int], size: int, blocks: list[tuple[int, int]], most: int | None
) -> None:
    tiles = plan_tiles(shape, size, blocks, most)
    assert_every_cell_once(tiles, shape)
    assert [(tile.row, tile.col) for tile in tiles] == sorted((tile.row, tile.col) for tile in tiles)
    assert max(tile.height * tile.width for tile in tiles) <= (4 * size * size if most is None else most)
    assert len({(tile.height, tile.width) for tile in tiles}) <= 4, "one shape, and what is left at the far edges"
    assert tiles == plan_tiles(shape, size, blocks[::-1], most)


@settings(deadline=None)
@given(shape=st.tuples(SIDES, SIDES), size=st.integers(1, 40), block=st.tuples(SIDES, SIDES))
def test_the_blocks_of_one_layout_are_decoded_once_wherever_a_tile_can_hold_one(
    shape: tuple[int, int], size: int, block: tuple[int, int]
) -> None:
    tiles, whole = plan_tiles(shape, size, [block]), min(block[0], shape[0]) * min(block[1], shape[1])
    again = counted(tiles, shape, [block]) / (shape[0] * shape[1])
    assert amplification(shape, (tiles[0].height, tiles[0].width), [block]) == again
    assert (again == 1.0) == (whole <= 4 * size * size)


@settings(deadline=None)
@given(shape=st.tuples(SIDES, SIDES), size=st.integers(2, 40), blocks=BLOCKS)
def test_no_worse_than_squares(shape: tuple[int, int], size: int, blocks: list[tuple[int, int]]) -> None:
    planned = counted(plan_tiles(shape, size, blocks), shape, blocks)
    assert planned <= counted(cut(shape, size), shape, blocks)
    assert planned <= counted(cut(shape, 2 * size), shape, blocks)


@pytest.mark.parametrize(
    ("blocks", "tile"),
    [
        ([], (512, 512)),
        ([(256, 256), (128, 128), (512, 512)], (512, 512)),
        ([(1024, 1024), (256, 256)], (1024, 1024)),
        ([(2048, 2048)], (1024, 1024)),
        ([(100, 100)], (500, 500)),
        ([(200, 300)], (400, 600)),  # 400 x 300 is squarer, and less than half of what was asked for
        ([STRIPS], (13, 20_000)),
        ([(16, 20_000)], (16, 20_000)),
        ([(16, 20_000), (24, 20_000)], (48, 20_000)),
        ([STRIPS, (512, 512)], (128, 8192)),
    ],
)
def test_shapes_that_are_chosen(blocks: list[tuple[int, int]], tile: tuple[int, int]) -> None:
    first = plan_tiles(WIDE, 512, blocks)[0]
    assert (first.height, first.width) == tile


def test_what_blocks_cost() -> None:
    assert amplification(WIDE, (512, 512), [(1024, 1024)]) == 4.0
    assert amplification(WIDE, (512, 512), [STRIPS]) == 40.0
    assert amplification(WIDE, (512, 512), [STRIPS, (512, 512)]) == 20.5
    assert amplification(WIDE, (512, 512), []) == 1.0


def test_a_stated_number_of_cells_is_kept() -> None:
    tiles = plan_tiles(WIDE, 512, [(1024, 1024)], most_cells=1024 * 512)
    assert tiles[0].height * tiles[0].width == 1024 * 512
    assert amplification(WIDE, (tiles[0].height, tiles[0].width), [(1024, 1024)]) == 2.0
    assert len(plan_tiles((3, 4), 512, [(3, 4)], most_cells=1)) == 12


@pytest.mark.parametrize(("size", "blocks", "most"), [(0, [], None), (16, [(0, 5)], None), (16, [], 0)])
def test_tiles_without_cells_are_refused(size: int, blocks: list[tuple[int, int]], most: int | None) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        plan_tiles((30, 40), size, blocks, most)
