"""How a grid is cut into tiles. Tiles change the time and the memory of a run, never its answer."""

from __future__ import annotations

from mpmjax.types import Grid, Tile


def cut(shape: tuple[int, int], size: int) -> list[Tile]:
    """Tiles of `size` x `size` cells that cover `shape` (height, width), row by row; smaller at the far edges."""
    height, width = shape
    corners = [(row, col) for row in range(0, height, size) for col in range(0, width, size)]
    return [
        Tile(index, row, col, min(size, height - row), min(size, width - col))
        for index, (row, col) in enumerate(corners)
    ]


def strips(grid: Grid, rows: int = 256) -> list[Tile]:
    """Full-width strips, top to bottom."""
    return [
        Tile(index, row, 0, min(rows, grid.height - row), grid.width)
        for index, row in enumerate(range(0, grid.height, rows))
    ]
