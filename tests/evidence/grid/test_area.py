"""True cell areas against PROJ's own factors and against the geodesic area of single cells."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import CELL_AREA, CELL_AREA_OF_POLYGON, assert_close, assert_same_bits

from mpmjax.evidence.grid.area import CellArea, cell_area, stretch
from mpmjax.types import Grid, Tile

UTM_ZONE = Grid("EPSG:32639", Affine(1000, 0, 166_000, 0, -1000, 9_300_000), 668, 9200)
LAMBERT = Grid("EPSG:2154", Affine(500, 0, 100_000, 0, -500, 7_110_000), 2200, 2040)
POLAR = Grid("EPSG:3031", Affine(2000, 0, -2_000_000, 0, -2000, 1_500_000), 1900, 1700)
ALBERS = Grid("EPSG:3577", Affine(5000, 0, -1_900_000, 0, -5000, -1_100_000), 800, 760)
PACIFIC = Grid("EPSG:3832", Affine(1000, 0, 2_900_000, 0, -1000, -1_500_000), 900, 700)
DISTRICT = Grid("EPSG:32639", Affine(60, 0, 640_000, 0, -60, 3_700_000), 300, 260)
PARIS = Grid("EPSG:27572", Affine(100, 0, 600_000, 0, -100, 2_400_000), 900, 700)
"""Longitudes in grads from Paris."""
GRIDS = {
    "utm": UTM_ZONE, "lambert": LAMBERT, "polar": POLAR, "albers": ALBERS, "pacific": PACIFIC,
    "district": DISTRICT, "paris": PARIS,
}  # fmt: skip


def whole(grid: Grid) -> Tile:
    return Tile(0, 0, 0, grid.height, grid.width)


def random_cells(grid: Grid, count: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(grid.width)
    rows, cols = rng.integers(0, grid.height, count), rng.integers(0, grid.width, count)
    return np.r_[rows, 0, grid.height - 1, 0], np.r_[cols, 0, grid.width - 1, grid.width - 1]


def areas_at(area: CellArea, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    return np.array([area.of(Tile(0, int(r), int(c), 1, 1))[0, 0] for r, c in zip(rows, cols, strict=True)])


@pytest.mark.parametrize("name", [name for name in GRIDS if name != "paris"])
def test_by_the_factors_of_the_projection(name: str) -> None:
    grid = GRIDS[name]
    rows, cols = random_cells(grid)
    projection = pyproj.Proj(grid.crs)
    lon, lat = projection(*(grid.transform @ (cols + 0.5, rows + 0.5)), inverse=True)
    true = grid.cell_area_km2 / np.asarray(projection.get_factors(lon, lat).areal_scale)
    assert_close(areas_at(cell_area(grid), rows, cols), true, CELL_AREA)


@pytest.mark.parametrize("name", GRIDS)
def test_by_the_geodesic_polygons_of_single_cells(name: str) -> None:
    grid = GRIDS[name]
    rows, cols = (places[-40:] for places in random_cells(grid))
    crs = pyproj.CRS(grid.crs)
    way = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    assert crs.geodetic_crs is not None
    degrees = np.degrees(crs.geodetic_crs.axis_info[0].unit_conversion_factor)
    true = []
    for row, col in zip(rows, cols, strict=True):
        lon, lat = way.transform(
            *(grid.transform @ (col + np.array([0.0, 0.0, 1.0, 1.0]), row + np.array([0.0, 1.0, 1.0, 0.0])))
        )
        area, _ = crs.get_geod().polygon_area_perimeter(np.asarray(lon) * degrees, np.asarray(lat) * degrees)  # pyright: ignore[reportOptionalMemberAccess]
        true.append(abs(area) / 1e6)
    assert_close(areas_at(cell_area(grid), rows, cols), np.array(true), CELL_AREA_OF_POLYGON)


def test_the_whole_of_a_country_sized_grid_by_one_polygon() -> None:
    """The sum over all cells is the geodesic area of the outline, its edges densified."""
    for grid in (LAMBERT, ALBERS, PACIFIC):
        xmin, ymin, xmax, ymax = grid.bounds
        along = np.linspace(0, 1, 2000, endpoint=False)
        x = np.r_[xmin + along * (xmax - xmin), 0 * along + xmax, xmax - along * (xmax - xmin), 0 * along + xmin]
        y = np.r_[0 * along + ymin, ymin + along * (ymax - ymin), 0 * along + ymax, ymax - along * (ymax - ymin)]
        projection = pyproj.Proj(grid.crs)
        true, _ = pyproj.CRS(grid.crs).get_geod().polygon_area_perimeter(*projection(x, y, inverse=True))  # pyright: ignore[reportOptionalMemberAccess]
        assert cell_area(grid).of(whole(grid)).sum() == pytest.approx(abs(true) / 1e6, rel=5e-6)


def test_equal_area_is_constant() -> None:
    area = cell_area(ALBERS)
    assert area.constant == pytest.approx(25.0, rel=1e-8)
    assert area.unit_km2 == area.constant
    assert area.weights(Tile(0, 5, 5, 3, 4)) is None
    assert_same_bits(area.of(Tile(0, 5, 5, 3, 4)), np.full((3, 4), area.constant))
    for grid in (UTM_ZONE, LAMBERT, POLAR, DISTRICT):
        assert cell_area(grid).constant is None


def test_web_mercator_is_judged_by_the_ellipsoid() -> None:
    """PROJ's own factors take the sphere of Web Mercator for the Earth, and are off by 0.7 % at the equator."""
    grid = Grid("EPSG:3857", Affine(1000, 0, 0, 0, -1000, 500), 1, 1)
    lon, lat = pyproj.Proj(grid.crs)([0, 0, 1000, 1000], [-500, 500, 500, -500], inverse=True)
    true, _ = pyproj.Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)
    assert cell_area(grid).of(whole(grid))[0, 0] == pytest.approx(abs(true) / 1e6, rel=1e-7)


def test_the_pole_and_the_180th_meridian_are_places_like_others() -> None:
    pole = cell_area(Grid("EPSG:3031", Affine(1000, 0, -50_000, 0, -1000, 50_000), 100, 100))
    areas = pole.of(Tile(0, 0, 0, 100, 100))
    assert np.ptp(areas) / areas.mean() < 1e-4
    # The scale at the pole where that at 71 degrees south is 1 (Snyder 1987, formulas 21-33 and following).
    assert areas[50, 50] == pytest.approx(1 / 0.97276901289**2, rel=1e-5)
    zone_1 = Grid("EPSG:32601", Affine(60, 0, 150_000, 0, -60, 8_000_000), 500, 10)
    across = cell_area(zone_1).of(whole(zone_1))
    assert (np.diff(across, axis=1) > 0).all(), "true areas grow evenly towards the central meridian"


def test_cells_that_are_nowhere_do_not_spoil_the_rest() -> None:
    """A grid that reaches beyond the disk of an azimuthal map."""
    grid = Grid("+proj=ortho +lat_0=0 +lon_0=0 +datum=WGS84", Affine(20_000, 0, -7e6, 0, -20_000, 7e6), 700, 700)
    area = cell_area(grid)
    assert np.isfinite(area.of(whole(grid))).all()
    assert area.of(Tile(0, 350, 350, 1, 1))[0, 0] == pytest.approx(400.0, rel=1e-3)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(GRIDS)), st.data())
def test_a_cell_has_the_same_bits_in_every_tile(name: str, data: st.DataObject) -> None:
    grid = GRIDS[name]
    area = cell_area(grid)
    row, col = data.draw(st.integers(0, grid.height - 1)), data.draw(st.integers(0, grid.width - 1))
    tops, lefts = data.draw(st.integers(0, min(row, 70))), data.draw(st.integers(0, min(col, 70)))
    height = tops + data.draw(st.integers(1, min(grid.height - row, 70)))
    width = lefts + data.draw(st.integers(1, min(grid.width - col, 70)))
    tile = Tile(0, row - tops, col - lefts, height, width)
    one = Tile(0, row, col, 1, 1)
    assert_same_bits(area.of(tile)[tops : tops + 1, lefts : lefts + 1], area.of(one))
    assert area.of(tile).shape == (height, width)
    weights, weight = area.weights(tile), area.weights(one)
    if weights is None or weight is None:
        assert weights is weight is None
        return
    assert_same_bits(weights[tops : tops + 1, lefts : lefts + 1], weight)


def test_weights_are_whole_numbers_and_the_areas_all_the_same() -> None:
    for grid in (UTM_ZONE, POLAR, PACIFIC, DISTRICT):
        area, tile = cell_area(grid), Tile(0, grid.height - 100, 17, 100, 200)
        weights, areas = area.weights(tile), area.of(tile)
        assert weights is not None
        assert np.array_equal(weights, np.rint(weights))
        assert weights.min() > 0
        assert weights.max() <= 65_536
        assert_close(weights * area.unit_km2, areas, CELL_AREA)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2), (3, 700)])
def test_grids_of_few_cells(shape: tuple[int, int]) -> None:
    grid = Grid("EPSG:32639", Affine(30_000, 0, 300_000, 0, -30_000, 4e6), shape[1], shape[0])
    if shape[1] == 700:
        grid = Grid("EPSG:32639", Affine(500, 0, 300_000, 0, -500, 4e6), shape[1], shape[0])
    rows, cols = np.indices(shape).reshape(2, -1)
    projection = pyproj.Proj(grid.crs)
    lon, lat = projection(*(grid.transform @ (cols + 0.5, rows + 0.5)), inverse=True)
    near = np.abs(np.asarray(lon) - 51) < 5
    true = grid.cell_area_km2 / np.asarray(projection.get_factors(lon, lat).areal_scale)
    assert_close(cell_area(grid).of(whole(grid)).ravel()[near], true[near], CELL_AREA)


def test_lengths_by_the_factors_of_the_projection() -> None:
    """Tissot's indicatrix: its axes are the most and the least that lengths are stretched."""
    for crs in ("EPSG:3577", "EPSG:3035", "EPSG:2154", "EPSG:5070", "EPSG:8857"):
        use = pyproj.CRS(crs).area_of_use
        assert use is not None
        rng = np.random.default_rng(1)
        south, north = max(use.south, -80), min(use.north, 80)
        lon, lat = rng.uniform(use.west, use.east, 200), rng.uniform(south, north, 200)
        projection = pyproj.Proj(crs)
        factors = projection.get_factors(lon, lat)
        found = stretch(crs, *projection(lon, lat))
        assert 1 / found.shortest == pytest.approx(np.asarray(factors.tissot_semimajor), rel=1e-6)
        assert 1 / found.longest == pytest.approx(np.asarray(factors.tissot_semiminor), rel=1e-6)
        assert 1 / found.area == pytest.approx(np.asarray(factors.areal_scale), rel=1e-6)
