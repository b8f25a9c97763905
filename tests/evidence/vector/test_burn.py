"""Which cells features touch and which centres they cover, against shapely, and what must not change it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import GRIDS, centres, move, moved, place, random_shapes, squares

from mpmjax.evidence.vector.burn import covered, take_apart, touched
from mpmjax.types import Grid

SLIVER = 1e-6
"""Share of a cell: what a feature cuts by less is a touch of the boundary, which rounding may decide."""


def burn(shapes: list | np.ndarray, grid: Grid) -> np.ndarray:
    return touched(take_apart(np.asarray(shapes, object), grid), 0, 0, grid.shape)


def codes_at(shapes: list | np.ndarray, grid: Grid) -> np.ndarray:
    """1, 2, ... of the polygons at the centres, later over earlier."""
    parts = take_apart(np.asarray(shapes, object), grid)
    codes = (parts.owner + 1).astype(np.uint16)
    return covered(parts, np.flatnonzero(parts.filled), codes, 0, grid.shape)[0]


@pytest.mark.parametrize("snapped", [False, True], ids=["anywhere", "on half cells"])
@pytest.mark.parametrize("name", GRIDS)
def test_every_cell_that_is_touched_and_no_other(name: str, snapped: bool) -> None:
    grid, rng = GRIDS[name], np.random.default_rng(11)
    whole, cores, middles = squares(grid), squares(grid, SLIVER), centres(grid)
    for shape in random_shapes(grid, rng, 240, snapped=snapped):
        shapely.prepare(shape)
        cells = burn([shape], grid)
        missed = shapely.intersects(cores, shape) & ~cells
        strange = ~shapely.dwithin(whole[cells], shape, SLIVER * grid.cell_size[0])
        assert not missed.any(), f"{np.argwhere(missed)[:3]} missed of {shape.wkt}"
        assert not strange.any(), f"{int(strange.sum())} cells are burnt that {shape.wkt} does not meet"
        far = shapely.distance(middles[cells], shape)
        assert far.max(initial=0.0) <= math.hypot(*grid.cell_size) / 2 * (1 + SLIVER)


@pytest.mark.parametrize("name", GRIDS)
def test_centres_inside_polygons(name: str) -> None:
    grid = GRIDS[name]
    shapes = random_shapes(grid, np.random.default_rng(5), 120)
    polygons = shapes[shapely.area(shapes) > 0.0]
    expected = np.zeros(grid.shape, int)
    for code, polygon in enumerate(polygons, start=1):
        expected[shapely.contains(polygon, centres(grid))] = code
    np.testing.assert_array_equal(codes_at(polygons, grid), expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.integers(1, 50), st.integers(0, 3), st.integers(0, 3))
def test_windows_do_not_show(seed: int, snapped: bool, rows: int, left: int, above: int) -> None:
    """Strips of any height, with any margin: the same bits."""
    grid = GRIDS["not square"]
    shapes = random_shapes(grid, np.random.default_rng(seed), 12, snapped=snapped)
    parts, polygons = take_apart(shapes, grid), take_apart(shapes[2::4], grid)
    order, codes = np.arange(3), np.arange(1, 4, dtype=np.uint8)
    whole, (classes, several) = touched(parts, 0, 0, grid.shape), covered(polygons, order, codes, 0, grid.shape)
    for row in range(-above, grid.height, rows):
        first = max(row, 0)
        last = max(first, min(row + rows, grid.height))
        strip = touched(parts, row, -left, (rows, grid.width + left + 2))
        np.testing.assert_array_equal(strip[first - row : last - row, left:-2], whole[first:last])
        part, contested = covered(polygons, order, codes, first, (last - first, grid.width))
        np.testing.assert_array_equal(part, classes[first:last])
        np.testing.assert_array_equal(contested, several[first:last])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from([0.001, 0.3, 7.0, 1e3]))
def test_only_the_place_among_the_cells_counts(seed: int, x: float, y: float, scale: float) -> None:
    """Grid and features moved and stretched together: the same cells."""
    grid = GRIDS["square"]
    shapes = random_shapes(grid, np.random.default_rng(seed), 8)
    cells, classes = burn(shapes, grid), codes_at(shapes, grid)
    for change in ({"x": x, "y": y}, {"scale": scale}):
        there = moved(grid, **change)
        np.testing.assert_array_equal(burn(move(shapes, **change), there), cells)
        np.testing.assert_array_equal(codes_at(move(shapes, **change), there), classes)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-50, 50), st.integers(-50, 50))
def test_features_moved_by_whole_cells(seed: int, right: int, down: int) -> None:
    grid = GRIDS["square"]
    shapes = random_shapes(grid, np.random.default_rng(seed), 8, snapped=True)
    there = move(shapes, right * 50.0, -down * 50.0)
    cells = touched(take_apart(there, grid), down, right, grid.shape)
    np.testing.assert_array_equal(cells, burn(shapes, grid))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_mirrors(seed: int) -> None:
    grid = GRIDS["negative coordinates"]
    cells = np.random.default_rng(seed)
    shapes = random_shapes(grid, cells, 8)
    xmin, ymin, xmax, ymax = grid.bounds
    across = shapely.transform(shapes, lambda xy: np.column_stack((xmin + xmax - xy[:, 0], xy[:, 1])))
    down = shapely.transform(shapes, lambda xy: np.column_stack((xy[:, 0], ymin + ymax - xy[:, 1])))
    for make in (burn, codes_at):
        expected = make(shapes, grid)
        np.testing.assert_array_equal(make(across, grid), expected[:, ::-1])
        np.testing.assert_array_equal(make(down, grid), expected[::-1])


def test_a_line_is_the_same_backwards_and_in_pieces() -> None:
    grid, rng = GRIDS["not square"], np.random.default_rng(2)
    for line in random_shapes(grid, rng, 200)[1::4]:
        cells, xy = burn([line], grid), shapely.get_coordinates(line)
        np.testing.assert_array_equal(burn([shapely.reverse(line)], grid), cells)
        pieces = [shapely.linestrings(xy[i : i + 2]) for i in range(len(xy) - 1)]
        np.testing.assert_array_equal(burn([shapely.multilinestrings(pieces)], grid), cells)


def test_every_centre_lies_in_one_polygon_of_a_partition() -> None:
    """Triangles with corners and edges on centres and on corners of cells: no gap, no overlap."""
    grid = GRIDS["square"]
    corners = np.random.default_rng(8).integers(0, 2 * np.array([grid.width, grid.height]) + 1, (60, 2)) / 2.0
    frame = np.array([[0.0, 0.0], [grid.width, 0.0], [grid.width, grid.height], [0.0, grid.height]])
    points = shapely.multipoints(place(grid, np.concatenate((frame, corners))))
    triangles = shapely.get_parts(shapely.delaunay_triangles(points))
    times = np.zeros(grid.shape, int)
    for triangle in triangles:
        times += codes_at([triangle], grid) > 0
    assert (times == 1).all()


def test_a_point_lies_in_the_cell_that_rows_cols_names() -> None:
    grid = GRIDS["square"]
    for col, row in ((0, 0), (3.0, 4.0), (7.5, 9.0), (44.999, 36.999)):
        ((x, y),) = place(grid, np.array([[col, row]]))
        cells = burn([shapely.Point(x, y)], grid)
        rows, cols = grid.rows_cols(np.array([x]), np.array([y]))
        assert np.argwhere(cells).tolist() == [[rows[0], cols[0]]]


def test_collections_holes_and_what_has_no_width() -> None:
    grid = replace(GRIDS["square"], width=12, height=12)

    def ring(*corners: tuple[float, float]) -> np.ndarray:
        return place(grid, np.array([*corners, corners[0]], float))

    holed = shapely.Polygon(
        ring((1.5, 1.5), (10.5, 1.5), (10.5, 10.5), (1.5, 10.5)), [ring((3.5, 3.5), (8.5, 3.5), (8.5, 8.5), (3.5, 8.5))]
    )
    cells = burn([holed], grid)
    assert cells.sum() == 10 * 10 - 4 * 4
    assert not cells[4:8, 4:8].any()
    island = shapely.Point(place(grid, np.array([[6.0, 6.0]]))[0])
    nested = shapely.GeometryCollection([shapely.GeometryCollection([holed]), shapely.MultiPoint([island])])
    assert burn([nested], grid).sum() == cells.sum() + 1
    flat = shapely.Polygon(ring((1.2, 5.3), (9.7, 5.3), (1.2, 5.3)))
    assert np.argwhere(burn([flat], grid)).tolist() == [[5, col] for col in range(1, 10)]
    assert not codes_at([flat], grid).any()
    still = shapely.LineString(place(grid, np.array([[2.5, 2.5], [2.5, 2.5]])))
    assert np.argwhere(burn([still], grid)).tolist() == [[2, 2]]
    assert not burn([shapely.Point(), shapely.LineString(), shapely.Polygon()], grid).any()


def test_features_that_reach_to_the_ends_of_the_earth() -> None:
    grid = GRIDS["square"]
    x, y = place(grid, np.array([[10.5, 10.5]]))[0]
    cells = burn([shapely.LineString([(x - 1e12, y), (x + 1e12, y)])], grid)
    assert np.argwhere(cells.any(axis=1)).tolist() == [[10]]
    assert cells[10].all()
    assert burn([shapely.box(-1e30, -1e30, 1e30, 1e30)], grid).all()
    assert codes_at([shapely.box(-1e30, -1e30, x, 1e30)], grid).any(axis=0).sum() == 10
