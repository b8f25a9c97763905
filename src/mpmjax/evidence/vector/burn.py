"""Features -> cells, strip by strip: those that they touch, or those whose centres they cover.

The cells are found here, not by GDAL, whose ALL_TOUCHED leaves out cells that a line cuts near a corner (seen with
GDAL 3.10). A cell is [column, column + 1) x [row, row + 1), as in Grid.rows_cols: it holds its left and its upper edge,
so every point lies in one cell, and polygons that share an edge share no centre.

Coordinates are taken to columns and rows of the whole grid once. Rows and columns outside the grid are as good as those
inside, and neither a strip's height nor a margin's width can change which cells are burnt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numba import njit

from mpmjax.types import Grid

_POLYGON = 3  # shapely's number of the type


@dataclass(frozen=True)
class Parts:
    """Points, lines and polygons in columns and rows of a grid, for compiled code.

    Attributes:
        vertices: float64 [v, 2], (column, row) of all vertices, path after path.
        paths: int64 [p + 1], the first vertex of each path: a point, a line, or a ring of a polygon.
        parts: int64 [q + 1], the first path of each part: a point, a line, or a polygon with its holes.
        filled: bool [q], whether a part is a polygon.
        owner: int64 [q], the place of the part's geometry among those that were taken apart.
        bounds: float64 [q, 4], (first column, first row, last column, last row) of each part.
        area: float64 [q], in cells; 0 for points and lines.
    """

    vertices: np.ndarray
    paths: np.ndarray
    parts: np.ndarray
    filled: np.ndarray
    owner: np.ndarray
    bounds: np.ndarray
    area: np.ndarray

    def near(self, row: int, col: int, shape: tuple[int, int]) -> np.ndarray:
        """int64: the parts whose bounds meet a window, in the order of the file."""
        first_col, first_row, last_col, last_row = self.bounds.T
        rows = (first_row < row + shape[0]) & (last_row >= row)
        return np.flatnonzero(rows & (first_col < col + shape[1]) & (last_col >= col))


def take_apart(geometries: np.ndarray, grid: Grid) -> Parts:
    """Shapely geometries [n] in the grid's CRS, of any type, as parts in cells of the grid."""
    single, owner = np.asarray(geometries, object), np.arange(len(geometries))
    while (shapely.get_type_id(single) > _POLYGON).any():  # collections may hold collections
        single, index = shapely.get_parts(single, return_index=True)
        owner = owner[index]
    filled = shapely.get_type_id(single) == _POLYGON
    polygons, others = np.flatnonzero(filled), np.flatnonzero(~filled)
    rings, of_ring = shapely.get_rings(single[polygons], return_index=True)
    part = np.concatenate((polygons[of_ring], others))
    order = np.argsort(part, kind="stable")
    paths, part = np.concatenate((rings, single[others]))[order], part[order]
    coordinates, path = shapely.get_coordinates(paths, return_index=True)
    (dx, dy), left, top = grid.cell_size, grid.transform.c, grid.transform.f
    bounds = shapely.bounds(single)
    return Parts(
        vertices=np.column_stack(((coordinates[:, 0] - left) / dx, (top - coordinates[:, 1]) / dy)),
        paths=np.searchsorted(path, np.arange(len(paths) + 1)),
        parts=np.searchsorted(part, np.arange(len(single) + 1)),
        filled=filled,
        owner=owner,
        bounds=np.column_stack(((bounds[:, ::2] - left) / dx, (top - bounds[:, ::-2]) / dy))[:, [0, 2, 1, 3]],
        area=shapely.area(single) / (dx * dy),
    )


def touched(parts: Parts, row: int, col: int, shape: tuple[int, int]) -> np.ndarray:
    """bool [rows, columns]: the cells of a window of the grid, or beyond it, that a part touches."""
    cells = np.zeros(shape, np.uint8)
    near = parts.near(row, col, shape)
    _trace(parts.vertices, parts.paths, parts.parts, near, row, col, cells)
    codes = np.ones(len(parts.filled), np.uint8)
    _cover(parts.vertices, parts.paths, parts.parts, near[parts.filled[near]], codes, row, col, cells, cells.copy())
    return cells.view(bool)


def covered(
    parts: Parts, order: np.ndarray, codes: np.ndarray, row: int, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The codes of the polygons at the centres of the cells of a strip that begins at the grid's left edge.

    Args:
        order: int64 [k], the polygons among the parts, the uppermost last.
        codes: unsigned [q], > 0, the code of each part.

    Returns:
        Codes [rows, columns], 0 where no polygon is, and bool of the same shape: polygons of several codes lie there.
    """
    cells, contested = np.zeros(shape, codes.dtype), np.zeros(shape, np.uint8)
    near = np.zeros(len(parts.filled), bool)
    near[parts.near(row, 0, shape)] = True
    _cover(parts.vertices, parts.paths, parts.parts, order[near[order]], codes, row, 0, cells, contested)
    return cells, contested.view(bool)


@njit(nogil=True, cache=True)
def _trace(vertices, paths, parts, near, row, col, cells):
    """Mark the cells of the window at (row, col) that points, lines and rings pass through."""
    for k in range(near.size):
        for path in range(parts[near[k]], parts[near[k] + 1]):
            first, last = paths[path], paths[path + 1] - 1
            for i in range(first, max(last, first + 1)):
                j = min(i + 1, last)
                _trace_edge(vertices[i, 0], vertices[i, 1], vertices[j, 0], vertices[j, 1], row, col, cells)


@njit(nogil=True, cache=True)
def _trace_edge(x0, y0, x1, y1, row, col, cells):
    """Row by row: the part of the edge inside a row of cells reaches from one column to another."""
    height, width = cells.shape
    if y0 > y1:  # an edge is the same cells in both directions, to the last bit
        x0, y0, x1, y1 = x1, y1, x0, y0
    low, high = min(x0, x1), max(x0, x1)
    top, bottom = max(np.floor(y0), row), min(np.floor(y1), row + height - 1)
    if top > bottom or high < col or low >= col + width:
        return
    for r in range(int(top), int(bottom) + 1):
        enters = x0 if y0 >= r else x0 + (r - y0) / (y1 - y0) * (x1 - x0)
        leaves = x1 if y1 <= r + 1 else x0 + (r + 1 - y0) / (y1 - y0) * (x1 - x0)
        a = max(np.floor(max(min(enters, leaves), low)), col)
        b = min(np.floor(min(max(enters, leaves), high)), col + width - 1)
        if a <= b:
            for c in range(int(a) - col, int(b) - col + 1):
                cells[r - row, c] = 1


@njit(nogil=True, cache=True)
def _cover(vertices, paths, parts, order, codes, row, col, cells, contested):
    """Give the cells of the window whose centres lie in a polygon its code, one polygon over another.

    Edges leave a mark at the first centre on their right; between an odd and an even mark of a row is the inside.
    """
    height, width = cells.shape
    marks = np.zeros((height, width + 1), np.uint8)
    for k in range(order.size):
        top, bottom, left, right = height, -1, width, -1
        for path in range(parts[order[k]], parts[order[k] + 1]):
            for i in range(paths[path], paths[path + 1] - 1):
                x0, y0, x1, y1 = vertices[i, 0], vertices[i, 1], vertices[i + 1, 0], vertices[i + 1, 1]
                if y0 > y1:  # neighbours walk their common edge in opposite directions
                    x0, y0, x1, y1 = x1, y1, x0, y0
                first, last = max(np.ceil(y0 - 0.5), row), min(np.ceil(y1 - 0.5), row + height)
                if first >= last:
                    continue
                top, bottom = min(top, int(first) - row), max(bottom, int(last) - 1 - row)
                for r in range(int(first), int(last)):
                    x = x0 + (r + 0.5 - y0) / (y1 - y0) * (x1 - x0)
                    c = int(min(max(np.ceil(x - 0.5) - col, 0), width))
                    marks[r - row, c] ^= 1
                    left, right = min(left, c), max(right, c)
        for r in range(top, bottom + 1):
            inside = 0
            for c in range(left, right + 1):
                inside ^= marks[r, c]
                marks[r, c] = 0
                if inside and c < width:
                    contested[r, c] |= (cells[r, c] != 0) & (cells[r, c] != codes[order[k]])
                    cells[r, c] = codes[order[k]]
