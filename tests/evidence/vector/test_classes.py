"""Presence and classes of polygons, against shapely, and what is said of those that are not as expected."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import GRIDS, centres, move, moved, near, place, random_shapes, read_layer, squares

from mpmjax.errors import DataError
from mpmjax.evidence.vector.classes import class_codes, code_type, write_classes, write_presence
from mpmjax.types import Grid

GRID = GRIDS["not square"]


def presence(shapes: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "p.tif"
        write_presence(near(shapes, grid)(0.0), grid, out, label="dykes")
        return read_layer(out, grid)


def classes(shapes: np.ndarray, labels: list[str], names: list[str], grid: Grid = GRID) -> tuple[np.ndarray, list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "c.tif"
        notes = write_classes(near(shapes, grid, labels)(0.0), grid, out, names=names, label="geology")
        with rasterio.open(out) as dataset:
            assert dataset.nodata == 0
        return read_layer(out, grid), notes


def polygons(grid: Grid, seed: int, count: int) -> np.ndarray:
    return random_shapes(grid, np.random.default_rng(seed), 4 * count)[2::4]


def box(left: float, top: float, right: float, bottom: float, grid: Grid = GRID) -> shapely.Polygon:
    """By columns and rows."""
    (x0, y0), (x1, y1) = place(grid, np.array([[left, top], [right, bottom]]))
    return shapely.box(x0, y1, x1, y0)


def test_presence_is_what_a_feature_touches() -> None:
    shapes = random_shapes(GRID, np.random.default_rng(4), 9)
    found = presence(shapes)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, shapely.intersects(squares(GRID), shapely.union_all(shapes)))


def test_presence_that_would_be_0_everywhere_is_refused() -> None:
    with pytest.raises(DataError, match="dykes: no feature touches a cell of the grid"):
        presence(np.array([shapely.Point(GRID.bounds[2], GRID.bounds[1])]))  # its corner, which no cell holds


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from(sorted(GRIDS)))
def test_the_smallest_polygon_at_the_centre_counts(seed: int, count: int, name: str) -> None:
    grid = GRIDS[name]
    shapes, table = polygons(grid, seed, count), ["basalt", "granite", "gneiss"]
    labels = [["granite", "gneiss", "basalt", "shale", ""][i % 5] for i in range(count)]
    inside = shapely.contains(shapes[:, None, None], centres(grid))
    if not inside.any():
        return
    found, notes = classes(shapes, labels, table, grid)
    codes = np.array([1 + sorted(table).index(label) if label in table else 4 for label in labels])
    area = np.where(inside, shapely.area(shapes)[:, None, None], np.inf)
    expected = np.where(inside.any(axis=0), codes[area.argmin(axis=0)], 0)
    np.testing.assert_array_equal(found, expected)
    held = np.where(inside, codes[:, None, None], -1)
    several = inside.any(axis=0) & (np.where(inside, codes[:, None, None], 99).min(axis=0) < held.max(axis=0))
    said = [note for note in notes if "overlapping" in note]
    assert said == [] if not several.any() else f"centres of {int(several.sum())} of {several.size} cells" in said[0]


def mirrored(shapes: np.ndarray, grid: Grid) -> np.ndarray:
    """Left becomes right, about the middle of the grid."""
    xmin, _, xmax, _ = grid.bounds
    return shapely.transform(shapes, lambda xy: np.column_stack((xmin + xmax - xy[:, 0], xy[:, 1])))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-9, 9), st.integers(-9, 9))
def test_presence_and_classes_move_by_cells_and_turn_in_a_mirror(seed: int, right: int, down: int) -> None:
    grid = GRIDS["square"]  # its coordinates are whole numbers, so a move by cells rounds nothing
    (dx, dy), shapes = grid.cell_size, polygons(grid, seed, 6)
    labels = ["a", "b", "c"] * 2
    wide = moved(Grid(grid.crs, grid.transform, grid.width + 18, grid.height + 18), -9 * dx, 9 * dy)
    inside = (slice(9, 9 + grid.height), slice(9, 9 + grid.width))
    shifted = (slice(9 + down, 9 + down + grid.height), slice(9 + right, 9 + right + grid.width))
    there = move(shapes, right * dx, -down * dy)
    for layer in (lambda found: presence(found, wide), lambda found: classes(found, labels, ["a", "b"], wide)[0]):
        here = layer(shapes)
        np.testing.assert_array_equal(layer(there)[shifted], here[inside])
        np.testing.assert_array_equal(layer(mirrored(shapes, wide)), here[:, ::-1])


def test_of_equal_polygons_the_first_in_the_file_counts() -> None:
    shapes = np.array([box(2.0, 2.0, 6.0, 6.0), box(4.0, 4.0, 8.0, 8.0), box(2.0, 2.0, 6.0, 6.0)])
    found, _ = classes(shapes, ["b", "a", "a"], ["a", "b"])
    assert (found[2:6, 2:6] == 2).all()
    assert found[7, 7] == 1
    turned, _ = classes(shapes[::-1], ["a", "a", "b"], ["a", "b"])
    assert (turned[2:8, 2:8] != 2).all()


def test_codes_come_from_the_table_not_from_the_file() -> None:
    assert class_codes(["shale", "basalt", "gneiss"]) == {"basalt": 1, "gneiss": 2, "shale": 3}
    first, _ = classes(np.array([box(0, 0, 9, 9)]), ["shale"], ["shale", "basalt", "gneiss"])
    assert set(np.unique(first)) == {0, 3}
    again, notes = classes(
        np.array([box(0, 0, 9, 9), box(9, 0, 12, 9)]), ["shale", "talus"], ["gneiss", "shale", "basalt"]
    )
    assert set(np.unique(again)) == {0, 3, 4}
    (note,) = notes
    assert note.startswith("geology: 1 of 2 features on the grid are of classes without a score ('talus'): their cells")


@pytest.mark.parametrize(("count", "dtype"), [(1, "uint8"), (254, "uint8"), (255, "uint16"), (300, "uint16")])
def test_many_classes_take_more_bytes(count: int, dtype: str) -> None:
    names = [f"unit {i:03}" for i in range(count)]
    shapes = np.array([box(0, 0, 5, 5), box(5, 0, 9, 5)])
    found, _ = classes(shapes, [names[-1], "other"], names)
    assert code_type(count) == found.dtype == dtype
    assert (found[0, 0], found[0, 8]) == (count, count + 1)


def test_lines_and_points_have_no_class() -> None:
    line = shapely.LineString([box(1, 1, 2, 2).centroid, box(9, 9, 12, 12).centroid])
    with pytest.raises(DataError, match=r'geology: derive = "class" needs polygons, and none of the 2 features'):
        classes(np.array([line, line.centroid]), ["a", "a"], ["a"])
    mixed = shapely.GeometryCollection([line, box(1, 1, 4, 4)])  # as a repair leaves it
    found, notes = classes(np.array([mixed, line]), ["a", "a"], ["a"])
    assert found.sum() == 9
    assert notes == ["geology: 1 of 2 features on the grid are no polygons and were left out."]


def test_polygons_between_the_centres_are_refused() -> None:
    with pytest.raises(DataError, match="geology: no polygon covers the centre of a cell"):
        classes(np.array([box(3.6, 3.0, 4.4, 9.0)]), ["a"], ["a"])


def test_multipolygons_and_holes() -> None:
    host = shapely.Polygon(box(0, 0, 20, 20).exterior, [box(5, 5, 9, 9).exterior])
    lenses = shapely.MultiPolygon([box(6, 6, 8, 8), box(15, 15, 30, 18)])
    found, _ = classes(np.array([lenses, host]), ["lens", "host"], ["host", "lens"])
    assert (found[6:8, 6:8] == 2).all()
    assert (found[15:18, 15:30] == 2).all(), "each part by its own area"
    assert (found[5, 5:9] == 0).all()
    assert found[19, 19] == 1


def test_strips_and_places_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    tall = Grid("EPSG:32639", Affine(20.0, 0.0, 400_000.0, 0.0, -20.0, 3_800_000.0), 30, 600)
    shapes = polygons(tall, 3, 40)
    labels = [f"{i % 7}" for i in range(len(shapes))]
    names = [str(i) for i in range(6)]
    expected, notes = classes(shapes, labels, names, tall)
    touched = presence(shapes, tall)
    there = moved(tall, 1_234.5, -9_876.5)
    np.testing.assert_array_equal(classes(move(shapes, 1_234.5, -9_876.5), labels, names, there)[0], expected)
    monkeypatch.setattr("mpmjax.evidence.vector.classes.STRIP_ROWS", 77)
    found, said = classes(shapes, labels, names, tall)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(presence(shapes, tall), touched)
    assert said == notes
