"""Density of lines, points and polygons on a grid: against shapely, by its laws, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import GeometryCollection, LineString, MultiLineString, MultiPoint, Point, Polygon
from tolerances import DENSITY, assert_close, assert_same_bits

from mpmjax.errors import DataError
from mpmjax.evidence.vector.density import write_density
from mpmjax.evidence.vector.features import Features, read_features
from mpmjax.ops.density import density_in_memory
from mpmjax.types import Grid

GRID = Grid("EPSG:32639", Affine(50.0, 0.0, 400_000.0, 0.0, -40.0, 3_800_000.0), 120, 90)
"""6,000 m x 3,600 m, cells not square."""

HALF_DIAGONAL = np.hypot(50.0, 40.0) / 2
FIXTURE = [HealthCheck.function_scoped_fixture]


def at(col: float, row: float) -> Point:
    """A point in cells of the grid; at(0.5, 0.5) is the centre of the first cell."""
    return Point(GRID.transform @ (col, row))


def some_lines(seed: int, count: int = 40) -> list[LineString]:
    """Bent lines in and around the grid."""
    rng = np.random.default_rng(seed)
    starts = rng.uniform((399_000, 3_795_400), (407_000, 3_801_000), (count, 1, 2))
    return list(shapely.linestrings(starts + rng.normal(0, 400, (count, 5, 2)).cumsum(axis=1)))


def density_of(
    folder: Path, geometries: list, grid: Grid = GRID, radius: float = 300.0, kernel: str = "uniform"
) -> np.ndarray:
    """The layer as it is read back; no note may be made."""
    features = Features(np.array(geometries, object), (), True)
    assert write_density(features, grid, folder / "x.tif", radius=radius, kernel=kernel, name="x") == []
    with rasterio.open(folder / "x.tif") as file:
        assert file.nodata is None
        assert file.dtypes == ("float32",)
        return file.read(1)


def notes_of(folder: Path, geometries: list) -> list[str]:
    features = Features(np.array(geometries, object), ("said when it was read",), True)
    return write_density(features, GRID, folder / "x.tif", radius=300.0, kernel="uniform", name="x")


def disc_km2(grid: Grid, radius: float) -> float:
    """Area of the cells whose centres lie within the radius of a centre, km2."""
    dx, dy = grid.cell_size
    rows, cols = np.mgrid[-99:100, -99:100]
    return float(((cols * dx) ** 2 + (rows * dy) ** 2 <= radius**2 * (1 + 1e-9)).sum()) * grid.cell_area_km2


def assert_between_discs(result: np.ndarray, lines: np.ndarray, grid: Grid, radius: float, cells: np.ndarray) -> None:
    """The length at a cell lies between the exact lengths within half a diagonal less and half a diagonal more."""
    tree, area, slack = shapely.STRtree(lines), disc_km2(grid, radius), np.hypot(*grid.cell_size) / 2
    for row, col in cells:
        centre = Point(grid.transform @ (col + 0.5, row + 0.5))
        near = lines[np.sort(tree.query(centre.buffer(radius + slack)))]
        # The circles are polygons: the inner one inside the true one, the outer one around it.
        discs = [centre.buffer((radius + step) * grow, quad_segs=256) for step, grow in ((-slack, 1), (slack, 1.00001))]
        least, most = (shapely.length(shapely.intersection(near, disc)).sum() / 1e3 for disc in discs)
        assert least * (1 - 1e-6) <= result[row, col] * area <= most * (1 + 1e-6), (row, col)
        assert most > 0 or result[row, col] == 0


@pytest.mark.parametrize("radius", [50.0, 131.0, 300.0, 2000.0])
def test_lines_against_shapely(tmp_path: Path, radius: float) -> None:
    lines = some_lines(1)
    cells = np.random.default_rng(2).integers(0, GRID.shape, (150, 2))
    assert_between_discs(density_of(tmp_path, lines, radius=radius), np.array(lines, object), GRID, radius, cells)


def test_the_quartic_kernel_along_a_line(tmp_path: Path) -> None:
    """A straight line without end, x metres away: (16 / (5 pi r)) (1 - (x / r)^2)^(5/2), by integration along it."""
    radius = 1000.0
    line = LineString([(402_975, 3_790_000), (402_975, 3_810_000)])  # through the centres of column 59
    result = density_of(tmp_path, [line], radius=radius, kernel="quartic")
    across = np.abs(np.arange(120) - 59) * 50.0
    expected = 1e3 * 16 / (5 * np.pi * radius) * np.clip(1 - (across / radius) ** 2, 0, None) ** 2.5
    assert np.abs(result[45] - expected).max() < 1e-3 * expected.max()
    assert not result[:, across >= radius].any()


def test_points_are_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    xy = np.column_stack((rng.uniform(-8, 128, 300), rng.uniform(-8, 98, 300)))
    xy[:40] = np.floor(xy[:40])  # on the corners of cells: they lie in the cell to the right and below
    result = density_of(tmp_path, [at(*point) for point in xy] + [MultiPoint([at(5, 5), at(5, 5)])])
    xy = np.vstack((xy, [(5, 5), (5, 5)]))
    cols, rows = (np.floor(xy) + 0.5).T
    for row, col in rng.integers(0, GRID.shape, (100, 2)):
        near = np.hypot((cols - col - 0.5) * 50.0, (rows - row - 0.5) * 40.0) <= 300.0 + 1e-6
        assert result[row, col] == pytest.approx(near.sum() / disc_km2(GRID, 300.0), rel=1e-6)


def test_polygons_are_a_share_of_the_area(tmp_path: Path) -> None:
    sea = Polygon(shapely.box(399_000, 3_795_000, 403_000, 3_801_000).exterior, [at(40, 45).buffer(800).exterior])
    twice = shapely.box(400_000, 3_797_000, 401_100, 3_799_950)
    for kernel in ("uniform", "quartic"):
        result = density_of(tmp_path, [sea, twice], kernel=kernel)
        assert result[5, 5] == 1.0, "covered, also where two polygons overlap and where the grid ends"
        assert result[45, 40] == 0.0, "the hole is wider than the circle"
        assert result.max() == 1.0
        assert result[10, 59:61].mean() == pytest.approx(0.5, abs=1e-6), "half of it, at a straight edge"
    alone = density_of(tmp_path, [sea])
    hole = at(40, 45).buffer(800)
    for row, col in np.random.default_rng(5).integers(0, GRID.shape, (50, 2)):
        disc = at(col + 0.5, row + 0.5).buffer(300.0, quad_segs=64)
        exact = disc.intersection(sea).area / disc.area
        border = disc.intersection(sea.boundary.union(hole.boundary)).length
        assert abs(alone[row, col] - exact) < 0.002 + border * HALF_DIAGONAL / disc.area


def test_a_hole_and_an_overlap_count_once(tmp_path: Path) -> None:
    left, right = (
        shapely.box(400_500, 3_797_500, 402_000, 3_799_500),
        shapely.box(401_000, 3_797_000, 403_000, 3_799_000),
    )
    both = density_of(tmp_path, [left, right])
    assert_same_bits(density_of(tmp_path, [left.union(right)]), both)
    assert_same_bits(density_of(tmp_path, [shapely.MultiPolygon([left]), right, left]), both)


@pytest.mark.parametrize("kernel", ["uniform", "quartic"])
def test_parts_and_collections_are_taken_apart(tmp_path: Path, kernel: str) -> None:
    lines = some_lines(8)
    whole = density_of(tmp_path, lines, kernel=kernel)
    nested = GeometryCollection([GeometryCollection([MultiLineString(lines[3:30])]), *lines[30:]])
    assert_same_bits(density_of(tmp_path, [*lines[:3], nested], kernel=kernel), whole)


@pytest.mark.parametrize("kernel", ["uniform", "quartic"])
def test_a_tall_grid_is_the_same_as_one_piece(tmp_path: Path, kernel: str) -> None:
    """Three strips of the file, and a radius of more than a strip."""
    grid = Grid("EPSG:32639", Affine(10.0, 0.0, 400_000.0, 0.0, -10.0, 3_800_000.0), 90, 700)
    points = [
        Point(xy) for xy in np.random.default_rng(6).uniform((399_000, 3_792_000), (402_000, 3_801_000), (900, 2))
    ]
    result = density_of(tmp_path, points, grid, 2600.0, kernel)
    pad = 300
    rows, cols = grid.rows_cols(*shapely.get_coordinates(points).T)
    counts = np.zeros((700 + 2 * pad, 90 + 2 * pad))
    inside = (rows >= -pad) & (rows < 700 + pad) & (cols >= -pad) & (cols < 90 + pad)
    np.add.at(counts, (rows[inside] + pad, cols[inside] + pad), 1.0)
    whole = density_in_memory(counts, (10.0, 10.0), radius=2600.0, kernel=kernel)[pad:-pad, pad:-pad]
    assert_close(result, np.float64(whole) * 1e6, DENSITY)


def moved(geometries: list, matrix: Affine) -> list:
    return list(shapely.transform(geometries, lambda xy: np.column_stack(matrix @ (xy[:, 0], xy[:, 1]))))


def on(grid: Grid, matrix: Affine) -> Grid:
    """The grid moved or stretched along with its features."""
    return Grid(grid.crs, matrix @ grid.transform, grid.width, grid.height)


@given(st.integers(0, 10**6), st.sampled_from([55.0, 300.0, 777.0]), st.sampled_from(["uniform", "quartic"]))
@settings(max_examples=15, deadline=None, suppress_health_check=FIXTURE)
def test_laws_of_lines(tmp_path: Path, seed: int, radius: float, kernel: str) -> None:
    """Whole cells aside, mirrored, scaled and summed. A vertex near an edge may change sides: by 1e-8 of a cell."""
    lines = some_lines(seed, 20)
    few = list(lines[:7])

    def of(chosen: list, matrix: Affine | None = None, size: float = 1.0) -> np.ndarray:
        matrix = Affine.identity() if matrix is None else matrix
        return np.float64(density_of(tmp_path, moved(chosen, matrix), on(GRID, matrix), radius * size, kernel))

    result = of(lines)
    top = result.max()
    assert np.abs(of(lines, Affine.translation(50.0 * 37, -40.0 * 1001)) - result).max() < 1e-6 * top
    assert np.abs(of(lines, Affine.scale(3.7), 3.7) * 3.7 - result).max() < 1e-6 * top
    assert np.abs(of(few) + of(lines[7:]) - result).max() < 1e-6 * top
    mirror = Affine.translation(GRID.bounds[0] + GRID.bounds[2], 0.0) @ Affine.scale(-1.0, 1.0)
    other = np.float64(density_of(tmp_path, moved(lines, mirror), GRID, radius, kernel))
    assert np.abs(other[:, ::-1] - result).max() < 1e-6 * top


@pytest.mark.parametrize("kernel", ["uniform", "quartic"])
@pytest.mark.parametrize("radius", [50.0, 75.0, 640.0])
def test_the_total_length_is_kept(tmp_path: Path, kernel: str, radius: float) -> None:
    lines = some_lines(12)
    xmin, ymin, xmax, ymax = shapely.total_bounds(lines)
    corner = Affine(50.0, 0.0, np.floor(xmin - radius - 50), 0.0, -40.0, np.ceil(ymax + radius + 50))
    across, down = int((xmax - xmin + 2 * radius + 150) / 50), int((ymax - ymin + 2 * radius + 150) / 40)
    wide = Grid(GRID.crs, corner, across, down)
    spread = density_of(tmp_path, lines, wide, radius, kernel)
    assert spread.sum(dtype=np.float64) * wide.cell_area_km2 == pytest.approx(
        shapely.length(lines).sum() / 1e3, rel=1e-6
    )


def test_points_and_shares_scale(tmp_path: Path) -> None:
    points, stretched = [at(30, 30), at(61.3, 40.2)], on(GRID, Affine.scale(2.0))
    near = density_of(tmp_path, points)
    assert_close(density_of(tmp_path, moved(points, Affine.scale(2.0)), stretched, 600.0) * 4.0, near, DENSITY)
    discs = [point.buffer(700) for point in points]
    share = density_of(tmp_path, discs)
    assert_same_bits(density_of(tmp_path, moved(discs, Affine.scale(2.0)), stretched, 600.0), share)


@pytest.mark.parametrize("kind", ["point", "line", "polygon"])
def test_features_beyond_the_grid_count_within_the_radius(tmp_path: Path, kind: str) -> None:
    def feature(col: float, row: float) -> list:
        place = at(col, row)
        line = LineString([place, (place.x + 1, place.y)])
        return [
            {"point": place, "line": line, "polygon": shapely.box(place.x - 26, place.y - 21, place.x, place.y + 21)}[
                kind
            ]
        ]

    assert density_of(tmp_path, feature(-5.5, 10.5))[10, 0] > 0
    assert density_of(tmp_path, feature(-5.5, 10.5))[:, 1:].max() == 0
    assert not density_of(tmp_path, feature(-6.5, 10.5)).any()
    assert density_of(tmp_path, feature(60.5, -6.5))[0, 60] > 0
    assert density_of(tmp_path, feature(125.5, 96.5))[-1, -1] == 0, "in the corner of the frame, not in the circle"


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    lines = some_lines(3)
    (note,) = notes_of(tmp_path, [*lines, LineString([at(3, 3), at(3, 3)])])
    assert note == "layer 'x': 1 of 41 lines have length 0 and were left out."
    sliver = GeometryCollection([at(9, 9).buffer(90), LineString([at(1, 1), at(9, 1)]), at(4, 4)])
    (note,) = notes_of(tmp_path, [sliver])
    assert note.startswith("layer 'x': 2 pieces that are no polygons")


def test_what_is_refused(tmp_path: Path) -> None:
    lines = some_lines(3)
    with pytest.raises(
        DataError, match=r"layer 'x'.* holds points \(1\) and lines \(40\) and polygons \(1\)\. Choose one kind"
    ):
        density_of(tmp_path, [*lines, at(1, 1), at(1, 1).buffer(9)])
    with pytest.raises(DataError, match=r"radius = 49\.9 m is smaller than a cell \(50 m\)\. Use a finer grid"):
        density_of(tmp_path, lines, radius=49.9)
    with pytest.raises(DataError, match="all 2 lines near the grid have length 0"):
        density_of(tmp_path, [LineString([at(3, 3), at(3, 3)])] * 2)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def gawler() -> Path:
    if "MPMJAX_DATA" not in os.environ:
        pytest.skip("MPMJAX_DATA does not name the folder of the real districts")
    folder = Path(os.environ["MPMJAX_DATA"]) / "gawler_vectors"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


def test_real_faults(gawler: Path, tmp_path: Path) -> None:
    """South Australia, EPSG:4283 -> EPSG:3577: faults of all ages within 5 km."""
    grid, radius = Grid("EPSG:3577", Affine(250.0, 0.0, 200_000.0, 0.0, -250.0, -3_300_000.0), 900, 600), 5000.0
    ages = ("archaean_mesoproterozoic", "neoproterozoic_ordovician")
    read = [read_features(gawler / f"faults_{age}.shp", grid, pad=radius, name="faults") for age in ages]
    lines = np.concatenate([features.geometries for features in read])
    result = density_of(tmp_path, list(lines), grid, radius)
    assert_between_discs(result, lines, grid, radius, np.random.default_rng(1).integers(0, grid.shape, (200, 2)))
    apart = [np.float64(density_of(tmp_path, list(features.geometries), grid, radius)) for features in read]
    assert_close(result, sum(apart, np.zeros(grid.shape)), DENSITY)
    smooth = density_of(tmp_path, list(lines), grid, radius, "quartic")
    assert smooth.mean(dtype=np.float64) == pytest.approx(result.mean(dtype=np.float64), rel=0.01)
