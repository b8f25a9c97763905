"""Distance, buffer and proximity: exact against scipy and shapely, and what must hold whatever the features are."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from districts import write_vector
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from scipy import ndimage
from shapely.geometry import LineString, Point, Polygon
from shapes import GRIDS, centres, move, moved, near, place, random_shapes, read_layer
from tolerances import DISTANCE, DISTANCE_FROM_CELLS, PROXIMITY, assert_close, assert_same_bits

from mpmjax.errors import DataError, DiskError
from mpmjax.evidence.vector.burn import take_apart, touched
from mpmjax.evidence.vector.features import read_features
from mpmjax.evidence.vector.proximity import write_buffer, write_distance, write_proximity
from mpmjax.types import Grid

GRID = Grid("EPSG:32639", Affine(50.0, 0.0, 400_000.0, 0.0, -40.0, 3_800_000.0), 120, 90)
"""6,000 m x 3,600 m, cells not square."""

BOWTIE = Polygon([(401_000, 3_797_000), (402_000, 3_798_000), (402_000, 3_797_000), (401_000, 3_798_000)])


def at(col: float, row: float) -> Point:
    """A point in cells of the grid; at(0.5, 0.5) is the centre of the first cell."""
    return Point(GRID.transform @ (col, row))


def distance(shapes: Any, grid: Grid = GRID, search: float | None = None, notes: int = 0) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "d.tif"
        keys = {"search_distance": search, "label": "faults", "scratch": Path(folder)}
        count, found = write_distance(near(shapes, grid), grid, out, **keys)
        assert count > 0
        assert len(found) == notes, found
        return read_layer(out, grid)


def buffer(shapes: Any, radius: float, grid: Grid = GRID) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "b.tif"
        write_buffer(near(shapes, grid), grid, out, radius=radius, label="faults", scratch=Path(folder))
        return read_layer(out, grid)


def proximity(scored: list[tuple[float, Any]], max_distance: float, grid: Grid = GRID) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "p.tif"
        given = [(score, near(shapes, grid)(max_distance).geometries) for score, shapes in scored]
        write_proximity(given, grid, out, max_distance=max_distance, label="faults", scratch=Path(folder))
        return read_layer(out, grid)


def distance_to(path: Path, out: Path, search_distance: float | None = 0.0, grid: Grid = GRID) -> np.ndarray:
    def read(margin: float) -> Any:
        return read_features(path, grid, pad=margin, name="faults")

    write_distance(read, grid, out, search_distance=search_distance, label=str(path), scratch=path.parent)
    return read_layer(out, grid)


def test_distance_is_exact_and_the_file_as_promised(tmp_path: Path) -> None:
    lines = [LineString([at(10.5, 20.5), at(90.5, 70.5)]), at(115.2, 3.7), BOWTIE]
    path, out = write_vector(tmp_path / "faults.gpkg", lines, GRID.crs), tmp_path / "faults.tif"
    result = distance_to(path, out, 300.0)
    burnt = touched(take_apart(shapely.make_valid(np.array(lines, object)), GRID), 0, 0, GRID.shape)
    assert_close(result, ndimage.distance_transform_edt(~burnt, sampling=(40.0, 50.0)), DISTANCE)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["faults.gpkg", "faults.tif"]
    with rasterio.open(out) as dataset:
        assert dataset.dtypes == ("float32",)
        assert dataset.nodata is None
        assert dataset.block_shapes == [(256, 256)]
        assert dataset.compression is rasterio.enums.Compression.zstd
        assert dataset.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "3"
    first = out.read_bytes()
    distance_to(path, out, 300.0)
    assert out.read_bytes() == first


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(GRIDS)), st.integers(1, 12), st.booleans())
def test_within_half_a_diagonal_of_the_distance_to_the_features(seed: int, name: str, count: int, snap: bool) -> None:
    """Everywhere on the grid, also where the nearest feature lies beyond its edge."""
    grid = GRIDS[name]
    shapes = random_shapes(grid, np.random.default_rng(seed), count + 3, snapped=snap)
    if not shapely.intersects(shapely.box(*grid.bounds), shapes).any():
        return
    exact = shapely.STRtree(shapes).query_nearest(centres(grid).ravel(), return_distance=True, all_matches=False)[1]
    deviation = np.abs(distance(shapes, grid) - exact.reshape(grid.shape))
    half = math.hypot(*grid.cell_size) / 2
    assert deviation.max() <= half * (1 + DISTANCE_FROM_CELLS.relative) + DISTANCE_FROM_CELLS.absolute


@pytest.mark.parametrize("gap", [1, 700, 1000])
def test_a_feature_beyond_the_edge_counts(gap: int) -> None:
    xmin, ymin, xmax, ymax = GRID.bounds
    middle = ((xmin + xmax) / 2, (ymin + ymax) / 2)
    beyond = [
        *(Point(xmin - gap, middle[1]), Point(xmax + gap, middle[1])),
        *(Point(middle[0], ymax + gap), Point(middle[0], ymin - gap)),
    ]
    cols, rows = np.meshgrid(np.arange(GRID.width), np.arange(GRID.height))
    for point in beyond:
        row, col = GRID.rows_cols(np.array([point.x]), np.array([point.y]))
        expected = np.hypot((cols - col) * 50.0, (rows - row) * 40.0)
        assert_close(distance([point], search=1000.0), expected, DISTANCE)
        if gap < 1000:  # at 1,000 m the centre of the nearest cell is farther
            np.testing.assert_array_equal(buffer([point], 1000.0), expected.astype(np.float32) <= 1000.0)
            linear = np.maximum(0.0, 1.0 - expected / 1000.0)
            assert_close(proximity([(1.0, [point])], 1000.0), linear, PROXIMITY)


def test_a_margin_without_features_costs_nothing() -> None:
    """A search distance of a million kilometres: the frame ends where the features do, the values stay the same."""
    shapes = [at(-30.5, 40.2), LineString([at(100, 95), at(140, 60)]), at(60, 45)]
    assert_same_bits(distance(shapes, search=1e9), distance(shapes, search=5_000.0))


def test_cells_that_may_be_nearer_to_something_unseen_are_counted(tmp_path: Path) -> None:
    dot = at(60, 45)
    both = [dot, Point(dot.x + 4_000.0, dot.y)]
    distance(both, search=0.0, notes=1)
    distance(both, search=4000.0)
    distance([dot], search=0.0)  # the file holds nothing farther out
    keys = {"search_distance": 0.0, "label": "layer 'dots'", "scratch": tmp_path}
    _, (note,) = write_distance(near(both, GRID), GRID, tmp_path / "d.tif", **keys)
    assert note.startswith("layer 'dots': ")
    assert "of 10800 cells may have a nearer feature more than 0 m outside the grid" in note


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 900.0))
def test_no_more_cells_are_wrong_than_the_note_says(seed: int, search: float) -> None:
    grid, rng = GRIDS["not square"], np.random.default_rng(seed)
    shapes = shapely.points(place(grid, rng.uniform(-40.0, 80.0, (12, 2))))
    if not shapely.intersects(shapely.box(*grid.bounds), shapes).any():
        return
    everything = distance(shapes, grid, 1e6)
    with tempfile.TemporaryDirectory() as folder:
        keys = {"search_distance": search, "label": "dots", "scratch": Path(folder)}
        _, notes = write_distance(near(shapes, grid), grid, Path(folder) / "d.tif", **keys)
        found = read_layer(Path(folder) / "d.tif", grid)
    wrong = int((found != everything).sum())
    assert wrong <= (int(notes[0].split()[1]) if notes else 0)
    assert (found >= everything).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_by_default_the_search_goes_as_far_as_matters(seed: int) -> None:
    grid, rng = GRIDS["not square"], np.random.default_rng(seed)
    beyond = shapely.points(place(grid, rng.uniform(-60.0, 100.0, (40, 2))))
    shapes = np.append(beyond, centres(grid)[3, 4])
    assert_same_bits(distance(shapes, grid), distance(shapes, grid, 1e6))


def test_a_fault_beside_an_empty_grid_is_found_within_its_diagonal(tmp_path: Path) -> None:
    beside, beyond = LineString([at(125, 95), at(400, 95)]), at(400, 45)
    path = write_vector(tmp_path / "beside.gpkg", [beside, beyond], GRID.crs)
    found = distance_to(path, tmp_path / "d.tif", None)
    expected = distance_to(path, tmp_path / "e.tif", 1e5)
    assert_same_bits(found, expected)
    path = write_vector(tmp_path / "beyond.gpkg", [beyond], GRID.crs)
    with pytest.raises(DataError, match=r"within 6997\.\d+ m of the grid"):
        distance_to(path, tmp_path / "f.tif", None)


def test_strips_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one strip, and features across seams: the same values as in one."""
    tall = Grid(GRID.crs, Affine(10.0, 0.0, 400_000.0, 0.0, -10.0, 3_800_000.0), 90, 700)
    shapes = [
        LineString([(400_051.3, 3_800_102.7), (400_803.9, 3_792_904.1)]),
        Point(400_401.7, 3_795_003.1).buffer(333.3),
    ]
    classes = [(0.4, shapes[:1]), (1.0, shapes[1:])]
    results = []
    for rows in (256, 10_000):
        monkeypatch.setattr("mpmjax.evidence.vector.proximity.STRIP_ROWS", rows)
        results.append((distance(shapes, tall), buffer(shapes, 123.4, tall), proximity(classes, 700.0, tall)))
    for strips, whole in zip(*results, strict=True):
        assert_same_bits(strips, whole)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(50.0, 900.0), st.floats(1.0, 3.0))
def test_buffers_and_proximity_say_what_the_distance_says(seed: int, radius: float, wider: float) -> None:
    grid = GRIDS["negative coordinates"]
    shapes = np.append(random_shapes(grid, np.random.default_rng(seed), 6), centres(grid)[20, 20])
    metres = distance(shapes, grid)
    inner, outer = buffer(shapes, radius, grid), buffer(shapes, radius * wider, grid)
    assert inner.dtype == np.uint8
    assert (inner <= outer).all()
    np.testing.assert_array_equal(inner, metres <= np.float32(radius))
    linear = np.maximum(0.0, 1.0 - metres.astype(np.float64) / radius)
    assert_close(proximity([(1.0, shapes)], radius, grid), linear, PROXIMITY)


def test_a_cell_exactly_at_the_radius_is_inside() -> None:
    """33.3 m cells: three of them are 99.9 m, in float32 a little more."""
    grid = GRIDS["not square"]
    cells = buffer([centres(grid)[10, 10]], 3 * 33.3, grid)
    assert np.flatnonzero(cells[10]).tolist() == list(range(7, 14))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_a_feature_more_brings_nothing_farther_away(seed: int, count: int) -> None:
    grid, rng = GRIDS["square"], np.random.default_rng(seed)
    shapes = np.append(centres(grid)[18, 20], random_shapes(grid, rng, count + 1))
    fewer, all_of_them = shapes[:-1], shapes
    assert (distance(all_of_them, grid) <= distance(fewer, grid)).all()
    assert (buffer(all_of_them, 150.0, grid) >= buffer(fewer, 150.0, grid)).all()
    more = proximity([(1.0, all_of_them)], 300.0, grid)
    assert (more >= proximity([(1.0, fewer)], 300.0, grid)).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from([0.0, 0.25, 0.6, 1.0]), min_size=1, max_size=5))
def test_proximity_of_classes_is_the_highest_of_their_own(seed: int, scores: list[float]) -> None:
    grid, rng = GRIDS["square"], np.random.default_rng(seed)
    classes = [(score, random_shapes(grid, rng, int(rng.integers(0, 4)))) for score in scores]
    classes.append((0.5, np.array([centres(grid)[5, 5]])))
    together = proximity(classes, 420.0, grid)
    highest, far = np.zeros(grid.shape), Point(grid.bounds[2] + 2_000.0, grid.bounds[3])
    for score, shapes in classes:
        if len(shapes):
            exact = distance(np.append(shapes, far), grid, 1e4).astype(np.float64)
            highest = np.maximum(highest, score * np.maximum(0.0, 1.0 - exact / 420.0))
    assert together.dtype == np.float32
    assert_close(together, highest, PROXIMITY)
    assert_same_bits(proximity(classes[::-1], 420.0, grid), together)
    assert together.min() >= 0.0
    assert together.max() <= max([*scores, 0.5])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from([0.01, 0.3, 7.0]))
def test_moved_and_stretched_and_mirrored_together(seed: int, x: float, y: float, scale: float) -> None:
    grid, rng = GRIDS["square"], np.random.default_rng(seed)
    shapes = np.append(random_shapes(grid, rng, 5), centres(grid)[9, 30])
    metres, linear = distance(shapes, grid), proximity([(0.7, shapes)], 500.0, grid)
    there = moved(grid, x, y)
    assert_close(distance(move(shapes, x, y), there), metres, DISTANCE_FROM_CELLS)
    assert_close(proximity([(0.7, move(shapes, x, y))], 500.0, there), linear, PROXIMITY)
    larger, large = moved(grid, scale=scale), move(shapes, scale=scale)
    assert_close(distance(large, larger) / scale, metres, DISTANCE_FROM_CELLS)
    assert_close(proximity([(0.7, large)], 500.0 * scale, larger), linear, PROXIMITY)
    xmin, _, xmax, _ = grid.bounds
    across = shapely.transform(shapes, lambda xy: np.column_stack((xmin + xmax - xy[:, 0], xy[:, 1])))
    assert_same_bits(distance(across, grid), metres[:, ::-1])


def test_layers_that_would_be_0_everywhere_are_refused(tmp_path: Path) -> None:
    xmin, _, _, ymax = GRID.bounds
    corner = [Point(xmin - 490.0, ymax + 490.0)]  # within 500 m of either edge, not of any cell
    with pytest.raises(DataError, match=r"faults: no cell of the grid lies within 500 m of a feature.*Raise radius"):
        buffer(corner, 500.0)
    for scored in ([(1.0, corner)], [(0.0, [at(5, 5)])], [(1.0, [])], []):
        with pytest.raises(DataError, match=r"within 500 m of a feature that has a score above 0.*Raise max_distance"):
            proximity(scored, 500.0)
    keys = {"label": "faults", "scratch": tmp_path}
    with pytest.raises(DataError):
        write_buffer(near(corner, GRID), GRID, tmp_path / "b.tif", radius=500.0, **keys)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    keys = {"label": "faults", "scratch": tmp_path}
    with pytest.raises(DiskError, match="cannot be written"):
        write_distance(near([at(1, 1)], GRID), GRID, tmp_path / "missing" / "d.tif", search_distance=None, **keys)
    keys["scratch"] = tmp_path / "missing"
    with pytest.raises(DiskError, match=r"intermediate file of a proximity could not be kept in .*missing"):
        write_proximity([(1.0, np.array([at(1, 1)]))], GRID, tmp_path / "p.tif", max_distance=100.0, **keys)
    assert list(tmp_path.iterdir()) == []


def test_a_file_cut_short_when_it_was_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As GDAL leaves it, without an error, where the disk fills up in the last kilobytes."""
    rasterio_open = rasterio.open

    def open_cut_short(file: Path, *mode: str, **options: object) -> object:
        if not mode:
            os.truncate(file, file.stat().st_size - 100)
        return rasterio_open(file, *mode, **options)

    monkeypatch.setattr(rasterio, "open", open_cut_short)
    keys = {"search_distance": None, "label": "faults", "scratch": tmp_path}
    with pytest.raises(DiskError, match="cannot be written"):
        write_distance(near([at(1, 1)], GRID), GRID, tmp_path / "d.tif", **keys)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def faults() -> Path:
    folder = os.environ.get("MPMJAX_DATA")
    if not folder:
        pytest.skip("MPMJAX_DATA does not name the folder of the real districts")
    path = Path(folder) / "gawler_vectors" / "faults_archaean_mesoproterozoic.shp"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


@pytest.mark.parametrize("cell", [1000.0, pytest.param(250.0, marks=pytest.mark.slow)])
def test_real_faults_in_degrees_to_a_metric_grid(faults: Path, tmp_path: Path, cell: float) -> None:
    """South Australia, EPSG:4283 -> EPSG:3577, all of it, against shapely and pyproj.

    The edges are bent as the layer's are, by dividing them before they are projected.
    """
    to_grid = Transformer.from_crs("EPSG:4283", "EPSG:3577", always_xy=True)
    lines = shapely.segmentize(gpd.read_file(faults).geometry.to_numpy(), 0.002)
    lines = shapely.transform(lines, lambda xy: np.column_stack(to_grid.transform(*xy.T)))
    xmin, ymin, xmax, ymax = (cell * round(edge / cell) for edge in shapely.total_bounds(lines))
    width, height = round((xmax - xmin) / cell), round((ymax - ymin) / cell)
    grid = Grid("EPSG:3577", Affine(cell, 0.0, xmin, 0.0, -cell, ymax), width, height)
    result = distance_to(faults, tmp_path / "faults.tif", None, grid)
    rng = np.random.default_rng(3)
    rows, cols = rng.integers(0, height, 10_000), rng.integers(0, width, 10_000)
    points = shapely.points(place(grid, np.column_stack((cols, rows)) + 0.5))
    exact = shapely.STRtree(shapely.get_parts(lines)).query_nearest(points, return_distance=True, all_matches=False)[1]
    bent = 0.02 * cell  # both curves stray by a hundredth of a cell at most
    assert np.abs(result[rows, cols] - exact).max() <= cell / math.sqrt(2.0) + bent
    assert result.min() == 0.0
    assert result.max() > 300_000.0
