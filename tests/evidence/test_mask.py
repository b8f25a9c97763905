"""The study area: from rasters and from polygons, the same cells, and what is said when none is left."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import shapely.ops
from affine import Affine
from districts import write_raster, write_vector
from rasters import LEFT, TOP, UTM, awkward, cell_centres, make_grid, write_on

from mpmjax.errors import DataError
from mpmjax.evidence.mask import prepare_mask
from mpmjax.types import Grid

GRID = make_grid(70, 300)
"""Two strips of 256 rows."""

RING = [(300.7, 500.3), (3900.9, 200.1), (3500.2, 17_000.7), (900.4, 17_100.9)]
HOLE = [(1500.3, 14_000.2), (2500.7, 14_000.9), (2000.1, 16_500.3)]
AREA = shapely.Polygon([(LEFT + x, TOP - y) for x, y in RING], [[(LEFT + x, TOP - y) for x, y in HOLE]])
"""With a hole that lies across the seam of the strips."""


def inside_area(grid: Grid) -> np.ndarray:
    return shapely.contains_xy(AREA, *cell_centres(grid))


def read_mask(path: Path, grid: Grid) -> np.ndarray:
    with rasterio.open(path) as dataset:
        values = dataset.read(1)
        assert dataset.dtypes == ("uint8",)
        assert dataset.nodata is None
        assert rasterio.CRS.from_user_input(grid.crs) == dataset.crs
        assert dataset.transform.almost_equals(grid.transform, 1e-9)
    assert values.shape == grid.shape
    assert set(np.unique(values)) <= {0, 1}
    return values == 1


def test_polygons_by_the_centres_of_cells(tmp_path: Path) -> None:
    path = write_vector(tmp_path / "area.gpkg", [AREA])
    found = read_mask(prepare_mask(path, GRID, tmp_path), GRID)
    assert 0.3 < found.mean() < 0.9
    assert np.array_equal(found, inside_area(GRID))
    assert not list(tmp_path.glob(".*")), "no temporary file stays"


def test_polygons_of_another_crs_and_in_parts(tmp_path: Path) -> None:
    halves = shapely.ops.split(AREA, shapely.LineString([(LEFT - 9, TOP - 9000.3), (LEFT + 9000, TOP - 9000.3)])).geoms
    path = tmp_path / "area.geojson"
    geopandas.GeoSeries(list(halves), crs=UTM).to_crs("EPSG:4326").to_file(path, driver="GeoJSON")
    found = read_mask(prepare_mask(path, GRID, tmp_path), GRID)
    assert (found != inside_area(GRID)).sum() < 10, "a centre on an edge may go either side"


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_a_raster_on_the_grid(tmp_path: Path, dtype: str) -> None:
    expected = inside_area(GRID)
    path = write_on(tmp_path / "area.tif", GRID, np.where(expected, 7, 0).astype(dtype))
    assert np.array_equal(read_mask(prepare_mask(path, GRID, tmp_path), GRID), expected)


def test_nodata_and_nan_and_masked_cells_of_a_raster_are_outside(tmp_path: Path) -> None:
    values = np.where(inside_area(GRID), 1, 0).astype(np.float32)
    expected = values == 1
    values[5:40], values[60:90] = -1.0, np.nan
    expected[5:40] = expected[60:90] = False
    path = write_on(tmp_path / "area.tif", GRID, values, nodata=-1.0)
    assert np.array_equal(read_mask(prepare_mask(path, GRID, tmp_path), GRID), expected)
    path = write_on(tmp_path / "masked.tif", GRID, np.ones(GRID.shape, np.uint8))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(expected)
    assert np.array_equal(read_mask(prepare_mask(path, GRID, tmp_path), GRID), expected)


def test_nodata_0_means_outside_and_a_mask_of_ones_means_all(tmp_path: Path) -> None:
    expected = inside_area(GRID)
    path = write_on(tmp_path / "area.tif", GRID, expected.astype(np.uint8), nodata=0)
    assert np.array_equal(read_mask(prepare_mask(path, GRID, tmp_path), GRID), expected)
    path = write_on(tmp_path / "ones.tif", GRID, np.ones(GRID.shape, np.uint8))
    assert read_mask(prepare_mask(path, GRID, tmp_path), GRID).all()


def test_a_raster_elsewhere_goes_by_the_nearest_cell(tmp_path: Path) -> None:
    fine = make_grid(70 * 5 + 30, 300 * 5 + 50, 12.0, LEFT - 96, TOP + 120)
    path = write_on(tmp_path / "area.tif", fine, inside_area(fine).astype(np.int16))
    found = read_mask(prepare_mask(path, GRID, tmp_path), GRID)
    # The centre of a grid's cell is that of a fine cell, so the same question is asked.
    assert np.array_equal(found, inside_area(GRID))
    small = make_grid(30, 40, 60.0, LEFT + 600, TOP - 600)
    path = write_on(tmp_path / "small.tif", small, np.ones(small.shape, np.uint8))
    expected = np.zeros(GRID.shape, bool)
    expected[10:50, 10:40] = True
    assert np.array_equal(read_mask(prepare_mask(path, GRID, tmp_path), GRID), expected), "beyond the file is outside"


def test_a_rotated_raster_as_study_area(tmp_path: Path) -> None:
    transform = Affine.translation(LEFT + 2000, TOP - 3000) @ Affine.rotation(40) @ Affine.scale(50, -50)
    path = write_raster(tmp_path / "area.tif", np.ones((90, 60), np.uint8), transform, crs=UTM)
    found = read_mask(prepare_mask(path, GRID, tmp_path), GRID)
    corners = [transform @ corner for corner in ((0, 0), (60, 0), (60, 90), (0, 90))]
    expected = shapely.contains_xy(shapely.Polygon(corners), *cell_centres(GRID))
    assert expected.sum() > 1000
    assert (found != expected).sum() < 10


def test_no_cell_inside(tmp_path: Path) -> None:
    far = write_on(tmp_path / "far.tif", make_grid(20, 20, 60.0, LEFT + 90_000), np.ones((20, 20), np.uint8))
    zeros = write_on(tmp_path / "zeros.tif", GRID, np.zeros(GRID.shape, np.uint8))
    sliver = write_vector(tmp_path / "sliver.gpkg", [shapely.box(LEFT + 61, TOP - 100, LEFT + 62, TOP - 61)])
    for path in (far, zeros, sliver):
        with pytest.raises(DataError, match=rf"\[grid\] mask = .*{path.name}: no cell of the grid lies inside"):
            prepare_mask(path, GRID, tmp_path)
    elsewhere = write_vector(tmp_path / "elsewhere.gpkg", [shapely.box(LEFT + 90_000, TOP - 99, LEFT + 91_000, TOP)])
    with pytest.raises(DataError, match=r"mask.*elsewhere\.gpkg"):
        prepare_mask(elsewhere, GRID, tmp_path)


def test_what_is_wrong_with_the_file_is_told(tmp_path: Path) -> None:
    plain = write_raster(tmp_path / "plain.tif", np.ones((9, 9), np.uint8), crs=None)
    with pytest.raises(DataError, match=r"mask.*plain\.tif: the file states no CRS"):
        prepare_mask(plain, GRID, tmp_path)
    for name in ("none.tif", "none.gpkg"):
        with pytest.raises(DataError, match=rf"{name}: no such file"):
            prepare_mask(tmp_path / name, GRID, tmp_path)
    cut = write_on(tmp_path / "cut.tif", GRID, np.ones(GRID.shape, np.uint8))
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"mask.*cut\.tif, band 1: the file is cut short"):
        prepare_mask(cut, GRID, tmp_path)


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (300, 300)).astype(np.uint8)
    grid = make_grid(300, 300)
    path = write_on(tmp_path / "area.tif", grid, noise, tiled=True, compress="deflate")
    with rasterio.open(path) as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", 1))
    content = bytearray(path.read_bytes())
    content[start : start + 64] = bytes(64)
    path.write_bytes(content)
    for on in (grid, make_grid(290, 290, 60.0, LEFT + 60, TOP - 60)):
        with pytest.raises(DataError, match=r"area\.tif, band 1, rows \d+-\d+, columns .*cannot be decoded"):
            prepare_mask(path, on, tmp_path)
    assert not (tmp_path / "mask.tif").exists()


def test_awkward_image_with_a_mask(tmp_path: Path) -> None:
    path = awkward("image_rgb_mask.tif")
    with rasterio.open(path) as dataset:
        grid = Grid(dataset.crs.to_string(), dataset.transform, dataset.width, dataset.height)
        expected = (dataset.read_masks(1) > 0) & (dataset.read(1) != 0)
    assert 0.5 < expected.mean() < 1
    assert np.array_equal(read_mask(prepare_mask(path, grid, tmp_path), grid), expected)
