"""Tiles and strips: every cell once, in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasters import make_grid

from mpmjax.stream.tiles import cut, strips
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
