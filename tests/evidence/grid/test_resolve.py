"""The grid of a project: like a layer or from numbers, snapped, in metres; and which layers do not belong together."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from districts import write_raster
from rasters import LEFT, TOP, UTM, awkward, make_grid, write_on

from mpmjax.errors import DataError, ProjectError
from mpmjax.evidence.grid.propose import utm_zone
from mpmjax.evidence.grid.resolve import distortion, require_overlap, resolve_grid
from mpmjax.evidence.raster.source import RasterSource, inspect_raster
from mpmjax.project_sections import GridSection
from mpmjax.types import Grid


def section(**keys: Any) -> GridSection:
    return GridSection.model_validate(keys)


def source(path: Path, grid: Grid, name: str = "x") -> RasterSource:
    return inspect_raster(write_on(path, grid, np.ones(grid.shape, np.uint8)), name)


def placed(path: Path, transform: Affine, crs: str, name: str = "x", shape: tuple[int, int] = (20, 20)) -> RasterSource:
    return inspect_raster(write_raster(path, np.ones(shape, np.uint8), transform, crs=crs), name)


# -- like a layer


def test_like_the_first_layer_or_the_one_that_is_named(tmp_path: Path) -> None:
    grids = [make_grid(31, 17, 60.0), make_grid(40, 50, 45.5, LEFT + 0.123, TOP - 0.456)]
    sources = [source(tmp_path / f"{n}.tif", grid, n) for n, grid in zip("ab", grids, strict=True)]
    assert resolve_grid(section(), sources) == grids[0]
    assert resolve_grid(section(like="b"), sources) == grids[1]
    assert resolve_grid(section(like="b"), sources).bounds == pytest.approx(grids[1].bounds, abs=1e-9)


@pytest.mark.parametrize(
    "transform",
    [Affine(60, 0, LEFT, 0, 60, TOP), Affine(-60, 0, LEFT, 0, -60, TOP), Affine(60, 5, LEFT, 5, -60, TOP)],
    ids=["south-up", "mirrored", "rotated"],
)
def test_a_layer_that_is_not_north_up_cannot_give_the_grid(tmp_path: Path, transform: Affine) -> None:
    with pytest.raises(ProjectError, match=r"layer 'x': .*a\.tif: rotated or not north-up.*State crs and resolution"):
        resolve_grid(section(), [placed(tmp_path / "a.tif", transform, UTM)])


@pytest.mark.parametrize(
    ("lon", "lat", "zone"),
    [
        (52.5, 33.4, 32639),
        (48.0, 33.4, 32639),
        (47.99, 33.4, 32638),
        (140.0, -20.7, 32754),
        (-91.0, 37.5, 32615),
        (179.9, -41, 32760),
    ],
)
def test_a_geographic_layer_proposes_its_utm_zone(tmp_path: Path, lon: float, lat: float, zone: int) -> None:
    transform = Affine(1e-4, 0, lon - 1e-3, 0, -1e-4, lat + 1e-3)
    with pytest.raises(ProjectError, match=rf'geographic \(degrees\).*metres.*\n\[grid\]\ncrs = "EPSG:{zone}"'):
        resolve_grid(section(), [placed(tmp_path / "a.tif", transform, "EPSG:4326")])


def test_the_zone_proposed_is_the_one_whose_area_of_use_holds_the_point() -> None:
    for lon in np.arange(-179.5, 180, 7.0):
        for lat in (-79, -33, -0.5, 0.5, 33, 79):
            use = pyproj.CRS(utm_zone(lon, lat)).area_of_use
            assert use is not None
            assert use.west <= lon <= use.east
            assert use.south - 1e-6 <= lat <= use.north + 1e-6
    assert utm_zone(180.0, 1) == utm_zone(-180.0, 1) == "EPSG:32601"
    assert utm_zone(200.0, 1) == utm_zone(-160.0, 1), "longitudes of 0 to 360 are in use"


def test_a_grid_in_feet_is_refused_with_the_utm_zone_of_its_datum(tmp_path: Path) -> None:
    new_york = placed(tmp_path / "a.tif", Affine(100, 0, 980_000, 0, -100, 200_000), "EPSG:2263")
    advice = r"\n\[grid\]\ncrs = \"EPSG:26918\".*\nresolution = 30.0$"
    with pytest.raises(ProjectError, match=r"in US survey foot; .*metres.*" + advice):
        resolve_grid(section(), [new_york])


def test_what_is_proposed_can_be_copied_and_makes_a_grid(tmp_path: Path) -> None:
    """Cells of 0.05 degrees over Missouri: 5.5 km high and 4.4 km wide."""
    layer = placed(tmp_path / "a.tif", Affine(0.05, 0, -95.77, 0, -0.05, 40.65), "EPSG:4326", shape=(93, 134))
    with pytest.raises(ProjectError) as seen:
        resolve_grid(section(), [layer])
    stated = tomllib.loads(str(seen.value).partition("for example:\n")[2])["grid"]
    assert stated == {"crs": "EPSG:5070", "resolution": 4900.0}
    grid = resolve_grid(section(**stated), [layer])
    assert distortion(grid) == ([], [])
    assert 0.9 < grid.width * grid.height / (93 * 134) < 1.3


def test_a_layer_of_the_whole_world_gets_no_proposal(tmp_path: Path) -> None:
    world = placed(tmp_path / "a.tif", Affine(18, 0, -180, 0, -8, 80), "EPSG:4326")
    with pytest.raises(ProjectError, match=r"more of the Earth than one such CRS can show: state crs, res"):
        resolve_grid(section(), [world])


@pytest.mark.parametrize(
    "name",
    [
        "float_raster_with_nodata.tif",
        "goes.tif",
        "test_esri_wkt.tif",
        "image_nodata.tif",
        "image_with_offsets.tif",
        "image_north.tif",
        "alpha.tif",
        "all-nodata.tif",
    ],
)
def test_a_layer_lies_on_the_grid_taken_from_it_whatever_its_crs(name: str) -> None:
    awkward_one = inspect_raster(awkward(name), "x")
    grid = resolve_grid(section(), [awkward_one])
    assert awkward_one.lies_on(grid)
    assert rasterio.CRS.from_user_input(grid.crs) == awkward_one.crs


# -- from numbers


def test_bounds_in_degrees_without_their_crs_are_told() -> None:
    degrees = GridSection(crs="EPSG:3577", resolution=1000.0, bounds=(136.0, -31.5, 137.5, -30.0))
    with pytest.raises(ProjectError, match=r'look like degrees: add bounds_crs = "EPSG:4326"'):
        resolve_grid(degrees, [])


@pytest.mark.parametrize(
    ("bounds", "resolution", "expected"),
    [
        ((600.0, 1200.0, 1800.0, 2400.0), 60.0, (600.0, 1200.0, 1800.0, 2400.0)),
        ((601.0, 1199.0, 1799.0, 2401.0), 60.0, (600.0, 1140.0, 1800.0, 2460.0)),
        ((600.00001, 1200.00001, 1799.99999, 2399.99999), 60.0, (600.0, 1200.0, 1800.0, 2400.0)),
        ((599.99999, 1199.99999, 1800.00001, 2400.00001), 60.0, (600.0, 1200.0, 1800.0, 2400.0)),
        ((-130.0, -50.0, -10.0, 70.0), 60.0, (-180.0, -60.0, 0.0, 120.0)),
        ((0.0, 0.0, 100.0, 100.0), (30.0, 50.0), (0.0, 0.0, 120.0, 100.0)),
        ((610.0, 1210.0, 611.0, 1211.0), 60.0, (600.0, 1200.0, 660.0, 1260.0)),
        ((0.1, 0.2, 0.7, 0.8), 0.1, (0.1, 0.2, 0.7, 0.8)),
    ],
)
def test_snapped_outward_to_whole_multiples(
    bounds: tuple[float, ...], resolution: Any, expected: tuple[float, ...]
) -> None:
    grid = resolve_grid(section(crs=UTM, resolution=resolution, bounds=bounds), [])
    assert grid.bounds == pytest.approx(expected, abs=1e-9)
    width, height = resolution if isinstance(resolution, tuple) else (resolution, resolution)
    assert grid.cell_size == (width, height)
    assert (grid.width, grid.height) == (
        round((expected[2] - expected[0]) / width), round((expected[3] - expected[1]) / height)
    )  # fmt: skip


def test_two_sheets_of_one_project_share_their_cells() -> None:
    west = resolve_grid(section(crs=UTM, resolution=60.0, bounds=[1.0, 2.0, 1000.0, 2000.0]), [])
    east = resolve_grid(section(crs=UTM, resolution=60.0, bounds=[1000.0, 7.0, 2500.0, 1990.0]), [])
    steps = (east.transform.c - west.transform.c) / 60, (east.transform.f - west.transform.f) / 60
    assert all(math.isclose(step, round(step), abs_tol=1e-9) for step in steps)


def test_without_bounds_the_area_common_to_all_raster_layers(tmp_path: Path) -> None:
    sources = [
        source(tmp_path / "a.tif", make_grid(100, 100, 60.0), "a"),
        source(tmp_path / "b.tif", make_grid(50, 200, 60.0, LEFT + 610, TOP + 100), "b"),
    ]
    grid = resolve_grid(section(crs=UTM, resolution=50.0), sources)
    common = (LEFT + 610, TOP - 6000, LEFT + 610 + 3000, TOP)
    assert all(math.isclose(b % 50, 0, abs_tol=1e-6) for b in grid.bounds)
    for side, (found, exact) in enumerate(zip(grid.bounds, common, strict=True)):
        assert 0 <= (exact - found if side < 2 else found - exact) < 50


def test_bounds_from_layers_in_degrees(tmp_path: Path) -> None:
    degrees = placed(tmp_path / "a.tif", Affine(1e-3, 0, 52.5, 0, -1e-3, 33.5), "EPSG:4326", shape=(100, 150))
    grid = resolve_grid(section(crs=UTM, resolution=60.0), [degrees])
    x, y = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True).transform([52.5, 52.65], [33.5, 33.4])
    assert grid.bounds == pytest.approx((min(x), min(y), max(x), max(y)), abs=400)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4979", "EPSG:2263"])
def test_a_stated_crs_must_be_in_metres(crs: str) -> None:
    with pytest.raises(ProjectError, match=r"\[grid\] crs is (geographic|in US survey foot).*metres"):
        resolve_grid(section(crs=crs, resolution=0.01, bounds=[0.0, 0.0, 1.0, 1.0]), [])


def test_a_crs_that_nobody_knows() -> None:
    with pytest.raises(DataError, match=r'\[grid\]: crs = "UTM39N" is no known CRS; write it like "EPSG:32639"'):
        resolve_grid(section(crs="UTM39N", resolution=60.0, bounds=[0.0, 0.0, 1.0, 1.0]), [])


def test_without_bounds_and_raster_layers() -> None:
    with pytest.raises(ProjectError, match=r"\[grid\] bounds: needed when there is no raster layer, and no mask"):
        resolve_grid(section(crs=UTM, resolution=60.0), [])
    with pytest.raises(ProjectError, match=r"\[grid\] crs and resolution: needed when there is no raster layer"):
        resolve_grid(section(), [])


def test_an_extent_that_the_grid_cannot_show_needs_bounds() -> None:
    disk = inspect_raster(awkward("goes.tif"), "clouds")
    with pytest.raises(ProjectError, match=r"\[grid\] bounds: needed, because the extent of layer 'clouds'"):
        resolve_grid(section(crs=UTM, resolution=60.0), [disk])


# -- overlap


def test_layers_apart_are_told_with_their_extents(tmp_path: Path) -> None:
    sources = [
        source(tmp_path / "a.tif", make_grid(10, 10, 60.0, 500_000, 4_000_000), "near"),
        source(tmp_path / "b.tif", make_grid(10, 10, 60.0, 700_000, 4_000_000), "far"),
    ]
    with pytest.raises(DataError, match="do not overlap") as seen:
        resolve_grid(section(crs=UTM, resolution=60.0), sources)
    assert re.search(r"near: x 500000 to 500600, y 3999400 to 4000000", str(seen.value))
    assert re.search(r"far: x 700000 to 700600", str(seen.value))
    assert "EPSG:32639" in str(seen.value)
    assert "crs = ..." in str(seen.value)


def test_a_stray_layer_is_named_against_the_grid(tmp_path: Path) -> None:
    grid = make_grid(10, 10, 60.0, 500_000, 4_000_000)
    sources = [source(tmp_path / "a.tif", grid, "near")]
    require_overlap(sources, grid)
    stray = source(tmp_path / "b.tif", make_grid(10, 10, 60.0, 500_600, 4_000_000), "stray")
    with pytest.raises(
        DataError, match=r"(?s)do not overlap.*the grid: x 500000 to 500600.*layer 'stray' \(.*b\.tif\): x 500600"
    ):
        require_overlap([*sources, stray], grid)
    touching = source(tmp_path / "c.tif", make_grid(10, 10, 60.0, 500_599, 4_000_000), "touching")
    require_overlap([touching], grid)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32638"])
def test_overlap_across_crs(tmp_path: Path, crs: str) -> None:
    grid = make_grid(50, 50)
    way = pyproj.Transformer.from_crs(UTM, crs, always_xy=True)
    x, y = way.transform(LEFT, TOP)
    step = 1e-4 if crs == "EPSG:4326" else 10.0
    require_overlap([placed(tmp_path / "a.tif", Affine(step, 0, x, 0, -step, y), crs)], grid)
    x, y = way.transform(LEFT + 40_000, TOP)
    with pytest.raises(DataError, match="do not overlap"):
        require_overlap([placed(tmp_path / "b.tif", Affine(step, 0, x, 0, -step, y), crs)], grid)


def test_the_whole_world_overlaps_every_grid() -> None:
    world = inspect_raster(awkward("world.byte.tif"), "world")
    for lon, lat in ((52.5, 33.4), (-179.0, 10.0), (140.0, -20.7), (0.1, 0.1)):
        crs = utm_zone(lon, lat)
        x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
        require_overlap([world], Grid(crs, Affine(60, 0, x, 0, -60, y), 100, 100))


def test_a_satellite_s_disk_overlaps_what_it_sees() -> None:
    disk = inspect_raster(awkward("goes.tif"), "clouds")
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32618", always_xy=True).transform(-75.0, 10.0)
    require_overlap([disk], Grid("EPSG:32618", Affine(60, 0, x, 0, -60, y), 100, 100))
    with pytest.raises(DataError, match="do not overlap"):
        require_overlap([disk], make_grid(10, 10))


def test_no_way_from_one_world_to_the_other(tmp_path: Path) -> None:
    moon = placed(tmp_path / "a.tif", Affine(0.01, 0, 50, 0, -0.01, 33), "IAU_2015:30100")
    with pytest.raises(DataError, match="No way is known from the CRS"):
        require_overlap([moon], make_grid(10, 10))


# -- across the 180th meridian

FIJI = (177.0, -19.0, -178.0, -16.0)


@pytest.fixture(params=["EPSG:3832", "EPSG:32760", "EPSG:32701", "+proj=laea +lat_0=-17.5 +lon_0=180 +datum=WGS84"])
def fiji(request: pytest.FixtureRequest) -> Grid:
    """A grid of 540 x 340 km on both sides of the 180th meridian, from bounds in degrees."""
    return resolve_grid(section(crs=request.param, resolution=5000.0, bounds=FIJI, bounds_crs="EPSG:4326"), [])


def test_a_grid_across_the_180th_meridian_is_sound(fiji: Grid) -> None:
    assert 100 < fiji.width < 130
    assert 60 < fiji.height < 90
    lon, lat = pyproj.Transformer.from_crs(fiji.crs, "EPSG:4326", always_xy=True).transform(
        *(fiji.transform @ (fiji.width / 2, fiji.height / 2))
    )
    assert abs(lon % 360 - 179.5) < 0.2
    assert lat == pytest.approx(-17.5, abs=0.1)
    assert all("stretches lengths" in note or "spans" in note for notes in distortion(fiji) for note in notes)


@pytest.mark.parametrize(
    ("left", "columns", "meets"),
    [
        (175.0, 500, True),  # ends at 180
        (-180.0, 100, True),
        (178.0, 300, True),  # goes on beyond 180
        (-182.0, 300, True),  # begins before -180
        (0.0, 36_000, True),
        (-180.0, 36_000, True),
        (170.0, 500, False),
        (-177.0, 500, False),
        (0.0, 17_000, False),
        (185.0, 900, False),
    ],
)
def test_layers_in_degrees_meet_it_on_either_side(
    fiji: Grid, tmp_path: Path, left: float, columns: int, meets: bool
) -> None:
    place = Affine(0.01, 0, left, 0, -1.0, -12.0)
    layer = placed(tmp_path / "a.tif", place, "EPSG:4326", shape=(20, columns))
    if meets:
        require_overlap([layer], fiji)
    else:
        with pytest.raises(DataError, match="do not overlap"):
            require_overlap([layer], fiji)


def test_the_common_area_of_layers_on_both_sides(tmp_path: Path) -> None:
    """One file from 178 to 181 degrees, the other, in metres, around the meridian."""
    east = placed(tmp_path / "a.tif", Affine(0.1, 0, 178, 0, -0.1, -16), "EPSG:4326", shape=(30, 30))
    grid = resolve_grid(section(crs="EPSG:3832", resolution=1000.0), [east])
    metres = placed(tmp_path / "b.tif", Affine(1000, 0, 3_000_000, 0, -1000, -1_800_000), "EPSG:3832", "y", (300, 500))
    both = resolve_grid(section(crs="EPSG:3832", resolution=1000.0), [east, metres])
    way = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3832", always_xy=True)
    assert grid.bounds[0] == pytest.approx(way.transform(178, -17)[0], abs=1000)
    assert grid.bounds[2] == pytest.approx(way.transform(-179, -17)[0], abs=1000)
    assert both.bounds[0] == grid.bounds[0]
    assert both.bounds[2] == grid.bounds[2]
    assert both.height < grid.height
    require_overlap([east, metres], both)


# -- distortion


def placed_grid(crs: str, west: float, south: float, east: float, north: float, cell: float = 1000.0) -> Grid:
    bounds = (west, south, east, north)
    return resolve_grid(section(crs=crs, resolution=cell, bounds=bounds, bounds_crs="EPSG:4326"), [])


@pytest.mark.parametrize(
    ("crs", "extent"),
    [
        ("EPSG:32639", (48, 30, 54, 36)),
        ("EPSG:32639", (53.9, 30, 54.1, 31)),  # over the edge, but areas differ by less than 0.1 %
        ("EPSG:3577", (129, -38, 141, -26)),
        ("EPSG:3395", (10, -1, 20, 1)),
        ("EPSG:3031", (-20, -71.2, -18, -71)),
    ],
)
def test_no_notes_where_a_crs_fits(crs: str, extent: tuple[float, float, float, float]) -> None:
    assert distortion(placed_grid(crs, *extent)) == ([], [])


def test_a_grid_over_several_utm_zones_is_told_of_an_equal_area_crs() -> None:
    notes, (note,) = distortion(placed_grid("EPSG:32615", -95.8, 36.0, -89.0, 40.6))
    assert not notes, "less than one percent: a fact"
    assert re.search(
        r"EPSG:32615: equal cells differ by up to 0\.\d % in true area.*spans \d\.\d degrees.*"
        r'equal-area CRS, for example crs = "EPSG:5070" \(NAD83 / Conus Albers, equal-area\)\.$',
        note.replace("%", " %").replace("  ", " "),
    )


def test_lengths_are_told_from_one_percent_and_refused_from_ten() -> None:
    (note,), _ = distortion(placed_grid("EPSG:3857", 10, 10, 11, 11))
    assert re.search(
        r"stretches lengths by up to \d\.\d%.*distances with them; areas in km2 are those on the ground", note
    )
    with pytest.raises(ProjectError, match=r'by up to 7\d%.*for example crs = "EPSG:32632" \(WGS 84 / UTM zone 32N\)'):
        distortion(placed_grid("EPSG:3857", 10, 54, 11, 55))
    with pytest.raises(ProjectError, match=r"stretches lengths.*more of the Earth than one CRS can show"):
        distortion(Grid("EPSG:3857", Affine(100_000, 0, -1.9e7, 0, -100_000, 1.2e7), 380, 240))


def test_an_equal_area_crs_far_from_its_place_is_no_good_either() -> None:
    """Areas are right and shapes are not: areal scale alone would not see it."""
    with pytest.raises(ProjectError, match=r'stretches lengths by up to \d+%.*crs = "EPSG:'):
        distortion(placed_grid("EPSG:3577", 52, 33, 53, 34))


def test_a_grid_that_is_nowhere() -> None:
    with pytest.raises(ProjectError, match="does not show the place where the grid lies"):
        distortion(Grid("EPSG:3035", Affine(100, 0, 9e7, 0, -100, 9e7), 10, 10))
