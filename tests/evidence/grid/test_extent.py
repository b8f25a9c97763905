"""How far a grid reaches: bounds in another CRS, and the extent of a mask, against shapely and dense sampling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from districts import write_raster, write_vector
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmjax.errors import DataError, ProjectError
from mpmjax.evidence.grid.extent import bounds_from, mask_extent
from mpmjax.evidence.grid.resolve import resolve_grid
from mpmjax.evidence.mask import prepare_mask
from mpmjax.project_sections import GridSection
from mpmjax.stream.reader import open_raster
from mpmjax.types import Grid

UTM = "EPSG:32639"


def section(**keys: Any) -> GridSection:
    return GridSection.model_validate(keys)


def project(crs: str, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)


# -- bounds in another CRS


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from([UTM, "EPSG:3577", "EPSG:3035", "EPSG:3031", "EPSG:3832", "EPSG:5070"]),
    st.floats(0.05, 8), st.floats(0.05, 8), st.floats(0, 1), st.floats(0, 1),
)  # fmt: skip
def test_every_place_in_the_box_lies_in_the_bounds(
    crs: str, width: float, height: float, right: float, up: float
) -> None:
    use = pyproj.CRS(crs).area_of_use
    assert use is not None
    across = (use.east - use.west) % 360 or 360
    west, south = use.west + right * max(across - width, 0), use.south + up * max(use.north - use.south - height, 0)
    width = min(width, across)
    north = min(south + height, use.north)
    box = bounds_from((west, south, west + width, north), "EPSG:4326", crs)
    lon, lat = np.meshgrid(np.linspace(west, west + width, 60), np.linspace(south, north, 60))
    x, y = project(crs, lon, lat)
    size = max(box[2] - box[0], box[3] - box[1])
    assert box == pytest.approx((x.min(), y.min(), x.max(), y.max()), abs=2e-3 * size)
    slack = 1e-6 * size
    assert box[0] <= x.min() + slack
    assert box[1] <= y.min() + slack
    assert box[2] >= x.max() - slack
    assert box[3] >= y.max() - slack


def test_edges_that_bend_are_met() -> None:
    """A parallel bulges in an Albers map: its ends alone would cut 3 km off."""
    _, ends = project("EPSG:3577", np.array([129.0, 141.0]), np.array([-26.0, -26.0]))
    _, middle = project("EPSG:3577", np.array([132.0]), np.array([-26.0]))
    box = bounds_from((129.0, -38.0, 141.0, -26.0), "EPSG:4326", "EPSG:3577")
    assert box[3] == pytest.approx(middle[0], abs=1)
    assert box[3] - max(ends) > 3000


@pytest.mark.parametrize("crs", ["EPSG:3832", "EPSG:32760", "EPSG:32701"])
def test_across_the_180th_meridian(crs: str) -> None:
    wrapped = bounds_from((177.0, -19.0, -178.0, -16.0), "EPSG:4326", crs)
    assert wrapped == bounds_from((177.0, -19.0, 182.0, -16.0), "EPSG:4326", crs)
    assert 450_000 < wrapped[2] - wrapped[0] < 600_000


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:8857", "EPSG:3395"])
def test_a_map_that_is_cut_there_is_refused(crs: str) -> None:
    with pytest.raises(ProjectError, match=r"cross the line along which the map of EPSG:\d+ is cut"):
        bounds_from((177.0, -19.0, -178.0, -16.0), "EPSG:4326", crs)


def test_from_one_projection_to_another() -> None:
    box = bounds_from((640_000.0, 3_690_000.0, 650_000.0, 3_700_000.0), UTM, "EPSG:32640")
    x, y = pyproj.Transformer.from_crs(UTM, "EPSG:32640", always_xy=True).transform(
        [640_000, 640_000, 650_000, 650_000], [3_690_000, 3_700_000, 3_690_000, 3_700_000]
    )
    assert box == pytest.approx((min(x), min(y), max(x), max(y)), abs=1)
    assert bounds_from((1.0, 2.0, 300.0, 400.0), UTM, UTM) == pytest.approx((1, 2, 300, 400), abs=1e-6)


def test_grads_are_degrees_of_another_size() -> None:
    box = bounds_from((0.0, 52.0, 2.0, 54.0), "EPSG:4807", "EPSG:2154")
    degrees = bounds_from((2.337229, 46.8, 2.337229 + 1.8, 48.6), "EPSG:4275", "EPSG:2154")
    assert box == pytest.approx(degrees, abs=5)


@pytest.mark.parametrize(
    ("bounds", "stated", "message"),
    [
        ((44.0, 33.0, 48.0, 91.0), "EPSG:4326", r"no longitudes and latitudes of.*\[west, south, east, n"),
        ((640_000.0, 3e6, 650_000.0, 3.1e6), "EPSG:4326", "no longitudes and latitudes"),
        ((-200.0, 0.0, 170.0, 1.0), "EPSG:4326", "no longitudes and latitudes"),
        ((650_000.0, 3e6, 640_000.0, 3.1e6), "EPSG:32640", "xmin must be below xmax.*EPSG:32640 is projected"),
    ],
)  # fmt: skip
def test_bounds_that_are_none(bounds: tuple[float, float, float, float], stated: str, message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        bounds_from(bounds, stated, UTM)


def test_bounds_beyond_the_map() -> None:
    with pytest.raises(ProjectError, match="lies beyond what EPSG:32639 can show"):
        bounds_from((-50.0, -10.0, -30.0, 10.0), "EPSG:4326", UTM)
    with pytest.raises(DataError, match=r'\[grid\] bounds_crs: crs = "degrees" is no known CRS'):
        bounds_from((1.0, 2.0, 3.0, 4.0), "degrees", UTM)


def test_the_grid_is_snapped_around_them() -> None:
    stated = {"crs": UTM, "resolution": 60.0, "bounds": [52.0, 33.0, 52.5, 33.5], "bounds_crs": "EPSG:4326"}
    grid = resolve_grid(section(**stated), [])
    box = bounds_from((52.0, 33.0, 52.5, 33.5), "EPSG:4326", UTM)
    for side, (found, exact) in enumerate(zip(grid.bounds, box, strict=True)):
        assert found % 60 == 0
        assert 0 <= (exact - found if side < 2 else found - exact) < 60


# -- the extent of a mask


def district(folder: Path, crs: str, geometries: list[shapely.Geometry]) -> Path:
    return write_vector(folder / "mask.gpkg", geometries, crs)


def test_the_extent_of_polygons(tmp_path: Path) -> None:
    shapes = [shapely.box(640_010, 3_600_010, 650_000, 3_610_000), shapely.Point(660_000, 3_620_000).buffer(995)]
    path = district(tmp_path, UTM, shapes)
    grid = resolve_grid(section(crs=UTM, resolution=60.0), [], path)
    assert mask_extent(path, UTM, 60.0) == shapely.union_all(shapes).bounds
    expected = np.array(shapely.union_all(shapes).bounds) / 60
    assert np.array(grid.bounds) / 60 == pytest.approx([*np.floor(expected[:2]), *np.ceil(expected[2:])])
    with open_raster(prepare_mask(path, grid, tmp_path)) as dataset:
        inside = dataset.read(1)
    assert inside.sum() * 0.0036 == pytest.approx(shapely.union_all(shapes).area / 1e6, rel=1e-2)
    wide = Grid(UTM, grid.transform @ Affine.translation(-50, -50), grid.width + 100, grid.height + 100)
    with open_raster(prepare_mask(path, wide, tmp_path)) as dataset:
        assert dataset.read(1).sum() == inside.sum(), "nothing is cut off"


def test_polygons_in_degrees_by_their_own_outline_and_not_by_their_box(tmp_path: Path) -> None:
    """A lozenge: the corners of its box in degrees lie far outside the grid that holds it."""
    lozenge = shapely.Polygon([(135, -36), (141, -31), (135, -26), (129, -31)])
    box = mask_extent(district(tmp_path, "EPSG:4283", [lozenge]), "EPSG:3577", 1000.0)
    outline = shapely.get_coordinates(shapely.segmentize(lozenge, 0.001))
    x, y = pyproj.Transformer.from_crs("EPSG:4283", "EPSG:3577", always_xy=True).transform(*outline.T)
    assert box == pytest.approx((x.min(), y.min(), x.max(), y.max()), abs=10)
    around = bounds_from((129.0, -36.0, 141.0, -26.0), "EPSG:4283", "EPSG:3577")
    assert around[2] - box[2] > 10_000


def test_long_edges_bend(tmp_path: Path) -> None:
    wide = shapely.box(129, -38, 141, -26)
    box = mask_extent(district(tmp_path, "EPSG:4283", [wide]), "EPSG:3577", 1000.0)
    assert box == pytest.approx(bounds_from((129.0, -38.0, 141.0, -26.0), "EPSG:4283", "EPSG:3577"), abs=10)


def test_polygons_cut_at_the_180th_meridian(tmp_path: Path) -> None:
    halves = [shapely.box(177, -19, 180, -16), shapely.box(-180, -19, -178, -16)]
    box = mask_extent(district(tmp_path, "EPSG:4326", halves), "EPSG:3832", 100.0)
    assert box == pytest.approx(bounds_from((177.0, -19.0, -178.0, -16.0), "EPSG:4326", "EPSG:3832"), abs=1)


@pytest.mark.parametrize("crs", ["EPSG:4087", "EPSG:3857", "EPSG:6933"])
def test_polygons_on_both_sides_of_the_cut_of_a_map_are_no_world(tmp_path: Path, crs: str) -> None:
    halves = [shapely.box(179.5, -18, 180, -17.5), shapely.box(-180, -18, -179.5, -17.5)]
    with pytest.raises(ProjectError, match="mask: it crosses the line along which the map of"):
        mask_extent(district(tmp_path, "EPSG:4326", halves), crs, 100.0)


def test_bounds_come_before_the_mask_and_the_mask_before_the_layers(tmp_path: Path) -> None:
    path = district(tmp_path, UTM, [shapely.box(640_020, 3_600_000, 643_020, 3_603_000)])
    assert resolve_grid(section(crs=UTM, resolution=60.0), [], path).shape == (50, 50)
    stated = section(crs=UTM, resolution=60.0, bounds=[0.0, 0.0, 600.0, 1200.0])
    assert resolve_grid(stated, [], path).shape == (20, 10)


def test_a_raster_mask_counts_whole(tmp_path: Path) -> None:
    values = np.zeros((30, 40), np.uint8)
    values[10:12, 10:12] = 1
    path = write_raster(tmp_path / "mask.tif", values, Affine(100, 0, 640_000, 0, -100, 3_600_000), crs=UTM)
    assert mask_extent(path, UTM, 60.0) == (640_000, 3_597_000, 644_000, 3_600_000)


def test_a_mask_that_is_one_point_makes_one_cell(tmp_path: Path) -> None:
    path = district(tmp_path, UTM, [shapely.Point(640_020, 3_600_000)])
    assert resolve_grid(section(crs=UTM, resolution=60.0), [], path).shape == (1, 1)


def test_a_mask_beyond_the_map(tmp_path: Path) -> None:
    path = district(tmp_path, "EPSG:4326", [shapely.box(-50, -10, -30, 10)])
    with pytest.raises(ProjectError, match=r"\[grid\] bounds: needed, because the extent of the mask .*cannot be told"):
        mask_extent(path, UTM, 60.0)


def test_a_mask_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mask: .*none\.gpkg: no such file"):
        mask_extent(tmp_path / "none.gpkg", UTM, 60.0)


def test_a_real_survey_area(tmp_path: Path) -> None:
    """Faults of South Australia in degrees: their hull as a mask, against GeoPandas."""
    from rasters import awkward

    source = awkward("..").resolve() / "gawler_vectors" / "faults_neoproterozoic_ordovician.shp"
    faults = geopandas.read_file(source)
    hull = faults.union_all().convex_hull
    box = mask_extent(district(tmp_path, "EPSG:4283", [hull]), "EPSG:3577", 500.0)
    straight = geopandas.GeoSeries([shapely.segmentize(hull, 0.01)], crs=4283).to_crs(3577).total_bounds
    assert box == pytest.approx(straight, abs=5)
