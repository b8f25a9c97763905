"""Raster sources laid on a grid, against interpolation by hand and GDAL on the whole array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from districts import write_raster
from rasterio.enums import Resampling
from rasters import LEFT, TOP, UTM, aligned, awkward, cell_centres, make_grid, open_layer, values_of, write_on
from scipy.ndimage import map_coordinates
from tolerances import RESAMPLING, assert_close, assert_same_bits

from mpmjax.errors import DataError
from mpmjax.evidence.raster.source import inspect_raster
from mpmjax.evidence.raster.warp import align, choose_resampling
from mpmjax.types import Grid

GRID = make_grid(90, 300)
"""Two strips of 256 rows, so that a seam between them would show."""


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def smooth(height: int, width: int) -> np.ndarray:
    rows, cols = np.mgrid[:height, :width]
    return 100.0 + 40.0 * np.sin(rows / 9.0) + 25.0 * np.cos(cols / 7.0 + rows / 31.0)


def source_rows_cols(grid: Grid, transform: Affine, crs: str) -> tuple[np.ndarray, np.ndarray]:
    """Where the centres of a grid's cells lie in a source, in its cells (0.5 is the middle of the first)."""
    x, y = cell_centres(grid)
    x, y = pyproj.Transformer.from_crs(grid.crs, crs, always_xy=True).transform(x, y)
    inverse = ~transform
    return inverse.d * x + inverse.e * y + inverse.f, inverse.a * x + inverse.b * y + inverse.c


def bilinear_by_hand(values: np.ndarray, grid: Grid, transform: Affine, crs: str = UTM) -> np.ndarray:
    """Bilinear interpolation between the neighbours that are no NaN; NaN where the cell itself is, and at the edge."""
    rows, cols = source_rows_cols(grid, transform, crs)
    height, width = values.shape
    inner = (rows >= 0.51) & (cols >= 0.51) & (rows <= height - 0.51) & (cols <= width - 0.51)
    at = np.clip(rows.astype(int), 0, height - 1), np.clip(cols.astype(int), 0, width - 1)

    def weighted(array: np.ndarray) -> np.ndarray:
        return map_coordinates(array.astype(np.float64), [rows - 0.5, cols - 0.5], order=1, mode="nearest")

    weights = weighted(np.isfinite(values))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(inner & np.isfinite(values[at]), weighted(np.nan_to_num(values)) / weights, np.nan)


def assert_agree(found: np.ndarray, expected: np.ndarray) -> None:
    """Same values wherever `expected` has one; at least half of the grid must."""
    there = np.isfinite(expected)
    assert there.mean() > 0.5
    assert np.isfinite(found[there]).all()
    assert_close(found[there], expected[there], RESAMPLING)


# -- on its own grid


def test_a_source_on_the_grid_is_the_file_itself(tmp_path: Path) -> None:
    values = rng().normal(size=GRID.shape).astype(np.float32)
    source, layer = open_layer(write_on(tmp_path / "a.tif", GRID, values))
    assert source.lies_on(GRID)
    assert align(source, GRID, layer, "bilinear", tmp_path / "no such folder") is layer
    assert_same_bits(values_of(layer, GRID), values.astype(np.float64))


@pytest.mark.parametrize(
    ("shift", "same"), [(0.0, True), (0.02, True), (0.5, False), (30.0, False)], ids=["0 m", "2 cm", "50 cm", "30 m"]
)
def test_a_thousandth_of_a_cell_is_no_difference(tmp_path: Path, shift: float, same: bool) -> None:
    values = np.ones(GRID.shape, np.float32)
    path = write_raster(tmp_path / "a.tif", values, Affine(60, 0, LEFT + shift, 0, -60, TOP), crs=UTM)
    assert inspect_raster(path, "x").lies_on(GRID) is same


@pytest.mark.parametrize(
    ("transform", "crs", "shape"),
    [
        (Affine(60, 0, LEFT, 0, 60, TOP - 60 * 300), UTM, (300, 90)),
        (Affine(60, 0, LEFT, 0, -60, TOP), "EPSG:32640", (300, 90)),
        (Affine(60, 0, LEFT, 0, -60, TOP), UTM, (301, 90)),
        (Affine(60.01, 0, LEFT, 0, -60, TOP), UTM, (300, 90)),
    ],
    ids=["south-up", "other zone", "one row more", "wider cells"],
)
def test_what_lies_elsewhere_is_seen(tmp_path: Path, transform: Affine, crs: str, shape: tuple[int, int]) -> None:
    path = write_raster(tmp_path / "a.tif", np.ones(shape, np.float32), transform, crs=crs)
    assert not inspect_raster(path, "x").lies_on(GRID)


# -- interpolation against a judge


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8", "int32"])
def test_bilinear_by_hand_on_a_shifted_source(tmp_path: Path, dtype: str) -> None:
    values = smooth(210, 80).astype(dtype)
    transform = Affine(90.0, 0, LEFT - 700, 0, -90.0, TOP + 333)
    path = write_raster(tmp_path / "a.tif", values, transform, crs=UTM)
    assert_agree(aligned(path, GRID, tmp_path / "s"), bilinear_by_hand(values, GRID, transform))


def test_bilinear_by_hand_from_degrees(tmp_path: Path) -> None:
    values = smooth(260, 90).astype(np.float32)
    transform = Affine(0.0008, 0, 52.5082, 0, -0.0007, 33.4320)
    path = write_raster(tmp_path / "a.tif", values, transform, crs="EPSG:4326")
    expected = bilinear_by_hand(values, GRID, transform, "EPSG:4326")
    assert_agree(aligned(path, GRID, tmp_path / "s"), expected)


def test_nearest_by_hand_from_degrees(tmp_path: Path) -> None:
    values = rng().integers(1, 2_000_000_011, (260, 90)).astype(np.int32)
    values[0, 0] = 2_000_000_011
    transform = Affine(0.0008, 0, 52.5082, 0, -0.0007, 33.4320)
    path = write_raster(tmp_path / "a.tif", values, transform, crs="EPSG:4326", nodata=0)
    rows, cols = source_rows_cols(GRID, transform, "EPSG:4326")
    # GDAL may stray by 1/1000 cell, so where the border of two cells runs through a centre either is right.
    clear = (np.abs(rows - np.rint(rows)) > 0.002) & (np.abs(cols - np.rint(cols)) > 0.002)
    inside = (rows > 0) & (cols > 0) & (rows < 260) & (cols < 90)
    found = aligned(path, GRID, tmp_path / "s", "nearest")
    assert (inside & clear).mean() > 0.8
    expected = values[rows[inside & clear].astype(int), cols[inside & clear].astype(int)]
    assert np.array_equal(found[inside & clear], expected), "codes are names: the very numbers, up to 32 bits"
    assert np.isnan(found[~inside & clear]).all()


def test_average_by_hand_of_whole_cells(tmp_path: Path) -> None:
    values = rng().normal(50, 9, (GRID.height * 4, GRID.width * 4)).astype(np.float32)
    values[rng().random(values.shape) < 0.3] = -9999.0
    values[40:80, 40:80] = -9999.0
    path = write_on(tmp_path / "a.tif", make_grid(GRID.width * 4, GRID.height * 4, 15.0), values, nodata=-9999.0)
    blocks = np.where(values == -9999.0, np.nan, values).reshape(GRID.height, 4, GRID.width, 4)
    count = np.isfinite(blocks).sum((1, 3))
    with np.errstate(invalid="ignore"):
        expected = np.nansum(blocks, (1, 3), dtype=np.float64) / count
    found = aligned(path, GRID, tmp_path / "s", "average")
    assert np.array_equal(np.isfinite(found), count > 0)
    assert_close(found, np.where(count > 0, expected, np.nan), RESAMPLING)


def test_bilinear_by_hand_around_holes(tmp_path: Path) -> None:
    values = smooth(700, 260)
    values[100:160, 30:90] = np.nan
    values[np.random.default_rng(5).random(values.shape) < 0.05] = np.nan
    transform = Affine(0.00029, 0, 52.5082, 0, -0.00027, 33.4320)
    path = write_raster(
        tmp_path / "a.tif", np.nan_to_num(values, nan=-9999.0), transform, crs="EPSG:4326", nodata=-9999.0
    )
    rows, cols = source_rows_cols(GRID, transform, "EPSG:4326")
    clear = (np.abs(rows - np.rint(rows)) > 0.002) & (np.abs(cols - np.rint(cols)) > 0.002)
    expected = np.where(clear, bilinear_by_hand(values, GRID, transform, "EPSG:4326"), np.nan)
    found = aligned(path, GRID, tmp_path / "s")
    assert_agree(found, expected)
    inner = (rows > 1) & (cols > 1) & (rows < 699) & (cols < 259) & clear
    assert np.array_equal(np.isnan(found[inner]), np.isnan(expected[inner]))


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "average"])
def test_strips_give_what_gdal_gives_on_the_whole_array(tmp_path: Path, resampling: str) -> None:
    values = smooth(700, 260).astype(np.float32)
    values[100:160, 30:90] = -9999.0
    values[np.random.default_rng(6).random(values.shape) < 0.01] = -9999.0
    transform = Affine(27, 0, LEFT - 100, 0, -27, TOP + 100)
    path = write_raster(tmp_path / "a.tif", values, transform, crs=UTM, nodata=-9999.0, tiled=True, compress="zstd")
    judge = np.full(GRID.shape, np.nan, np.float32)
    rasterio.warp.reproject(
        values, judge, src_transform=transform, src_crs=UTM, src_nodata=-9999.0, dst_transform=GRID.transform,
        dst_crs=GRID.crs, dst_nodata=np.nan, resampling=Resampling[resampling], XSCALE=1, YSCALE=1,
    )  # fmt: skip
    found = aligned(path, GRID, tmp_path / "s", resampling)
    assert np.isfinite(judge).mean() > 0.7
    assert_close(found, judge, RESAMPLING)


def test_no_seam_between_strips(tmp_path: Path) -> None:
    values = smooth(700, 260).astype(np.float32)
    transform = Affine(0.00029, 0, 52.5082, 0, -0.00027, 33.4320)
    path = write_raster(tmp_path / "a.tif", values, transform, crs="EPSG:4326")
    grid = Grid(UTM, Affine(40, 0, LEFT, 0, -40, TOP), 100, 420)
    part = Grid(UTM, Affine(40, 0, LEFT, 0, -40, TOP - 40 * 200), 100, 220)
    whole, below = aligned(path, grid, tmp_path / "s"), aligned(path, part, tmp_path / "s")
    assert_close(whole[200:], below, RESAMPLING)


# -- sources that are not north-up


def test_south_up_is_the_same_map(tmp_path: Path) -> None:
    values = smooth(220, 80).astype(np.float32)
    north = Affine(90.0, 0, LEFT - 700, 0, -90.0, TOP + 333)
    south = Affine(90.0, 0, LEFT - 700, 0, 90.0, TOP + 333 - 90 * 220)
    up = write_raster(tmp_path / "up.tif", values[::-1].copy(), south, crs=UTM)
    down = write_raster(tmp_path / "down.tif", values, north, crs=UTM)
    for resampling in ("bilinear", "nearest", "average"):
        assert_close(
            aligned(up, GRID, tmp_path / "s", resampling), aligned(down, GRID, tmp_path / "s", resampling), RESAMPLING
        )
    assert_agree(aligned(up, GRID, tmp_path / "s"), bilinear_by_hand(values, GRID, north))


@pytest.mark.parametrize("angle", [30.0, -100.0])
def test_rotated_source_by_hand(tmp_path: Path, angle: float) -> None:
    values = smooth(300, 300).astype(np.float32)
    middle = Affine.translation(LEFT + 60 * 45, TOP - 60 * 150)
    transform = middle @ Affine.rotation(angle) @ Affine.scale(90, -90) @ Affine.translation(-150, -150)
    path = write_raster(tmp_path / "a.tif", values, transform, crs=UTM)
    assert_agree(aligned(path, GRID, tmp_path / "s"), bilinear_by_hand(values, GRID, transform))


# -- which resampling


def test_classes_by_the_nearest_and_a_stated_choice_wins(tmp_path: Path) -> None:
    source = inspect_raster(write_on(tmp_path / "a.tif", make_grid(300, 300, 10.0), np.ones((300, 300), np.uint8)), "x")
    assert choose_resampling(source, GRID, "category", None) == "nearest"
    assert choose_resampling(source, GRID, "index", "nearest") == "nearest"
    assert choose_resampling(source, GRID, "index", None) == "average"


@pytest.mark.parametrize(("cell", "expected"), [(14.0, "bilinear"), (16.0, "average"), (5.0, "bilinear")])
@pytest.mark.parametrize("turn", ["north-up", "south-up", "45 degrees"])
def test_averaged_from_one_and_a_half_cells_on(tmp_path: Path, cell: float, expected: str, turn: str) -> None:
    transform = Affine(10, 0, LEFT, 0, -10, TOP)
    if turn == "south-up":
        transform = Affine(10, 0, LEFT, 0, 10, TOP - 1000)
    elif turn == "45 degrees":
        transform = Affine.translation(LEFT, TOP) @ Affine.rotation(45) @ Affine.scale(10, -10)
    path = write_raster(tmp_path / "a.tif", np.ones((100, 100), np.float32), transform, crs=UTM)
    grid = make_grid(30, 30, cell, LEFT + 100, TOP - 100)
    assert choose_resampling(inspect_raster(path, "x"), grid, "index", None) == expected


def test_cells_in_degrees_are_compared_on_the_ground(tmp_path: Path) -> None:
    # 0.0005 degrees are 47 m by 55 m at 33 degrees north.
    transform = Affine(0.0005, 0, 52.5082, 0, -0.0005, 33.4320)
    path = write_raster(tmp_path / "a.tif", np.ones((100, 100), np.float32), transform, crs="EPSG:4326")
    source = inspect_raster(path, "x")
    assert choose_resampling(source, make_grid(20, 20, 70.0), "index", None) == "bilinear"
    assert choose_resampling(source, make_grid(20, 20, 82.0), "index", None) == "average"


def test_the_whole_world_onto_a_small_grid(tmp_path: Path) -> None:
    path = awkward("world.byte.tif")
    source, layer = open_layer(path)
    assert choose_resampling(source, GRID, "index", None) == "bilinear"
    assert choose_resampling(source, make_grid(20, 20, 50_000.0), "index", None) == "average"
    found = values_of(align(source, GRID, layer, "nearest", tmp_path), GRID)
    with rasterio.open(path) as dataset:
        rows, cols = source_rows_cols(GRID, dataset.transform, "EPSG:4326")
        assert np.mean(found == dataset.read(1)[rows.astype(int), cols.astype(int)]) > 0.999


# -- the prepared file


def test_twice_the_same_bytes_and_nothing_left_beside(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = write_raster(
        folder / "a.tif", smooth(200, 200).astype(np.float32), Affine(55, 0, LEFT, 0, -55, TOP), crs=UTM
    )
    written = []
    for name in ("s1", "s2"):
        (tmp_path / name).mkdir()
        source, layer = open_layer(path)
        result = align(source, GRID, layer, "bilinear", tmp_path / name)
        written.append(result.path.read_bytes())
        assert [p.name for p in (tmp_path / name).iterdir()] == ["x.tif"], "no temporary file stays"
    assert written[0] == written[1]
    assert [p.name for p in folder.iterdir()] == ["a.tif"], "nothing is written beside the user's data"


def test_an_undecodable_block_is_named_and_leaves_no_file(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "a.tif", smooth(600, 600).astype(np.float32), Affine(55, 0, LEFT, 0, -55, TOP), crs=UTM,
        tiled=True, blockxsize=256, blockysize=256, compress="deflate",
    )  # fmt: skip
    damage_block(path, "1_1")
    scratch = tmp_path / "s"
    scratch.mkdir()
    for how in ("nearest", "bilinear", "average"):
        for stated in ({}, {"valid_range": (0.0, 300.0)}):
            source, layer = open_layer(path, name="copper", **stated)
            with pytest.raises(
                DataError, match=r"layer 'copper': .*a\.tif, band 1, rows \d+-\d+, columns \d+-\d+: cann"
            ):
                align(source, make_grid(400, 400), layer, how, scratch)
            assert not [p for p in scratch.rglob("*") if p.is_file()]


def damage_block(path: Path, key: str) -> None:
    """Zero the first bytes of a compressed block: they are its header."""
    with rasterio.open(path) as dataset:
        start = int(dataset.get_tag_item(f"BLOCK_OFFSET_{key}", "TIFF", 1))
    content = bytearray(path.read_bytes())
    content[start : start + 64] = bytes(64)
    path.write_bytes(content)


def test_formats_besides_geotiff_and_names_of_all_kinds(tmp_path: Path) -> None:
    values = smooth(30, 40).astype(np.float32)
    grid = make_grid(40, 30)
    for driver, suffix in (("HFA", ".img"), ("EHdr", ".bil"), ("EHdr", ".flt"), ("GTiff", ".TIF")):
        path = write_on(tmp_path / f"مس و طلا 铜{suffix}", grid, values, driver=driver)
        assert_same_bits(aligned(path, grid, tmp_path / "s"), values.astype(np.float64))
    rows = "\n".join(" ".join(f"{value:.4f}" for value in row) for row in values)
    header = f"ncols 40\nnrows 30\nxllcorner {LEFT}\nyllcorner {TOP - 1800}\ncellsize 60\nNODATA_value -9999\n"
    (tmp_path / "a.asc").write_text(header + rows)
    found = aligned(tmp_path / "a.asc", grid, tmp_path / "s", crs=UTM)
    assert np.abs(found - values).max() < 1e-3
