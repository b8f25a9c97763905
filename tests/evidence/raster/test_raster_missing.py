"""What is missing in a raster source: however it is told, it never bleeds into neighbours on the grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from districts import write_raster
from rasterio.enums import ColorInterp
from rasters import LEFT, TOP, UTM, aligned, make_grid, write_on
from tolerances import assert_same_bits

from mpmjax.types import Grid

GRID = make_grid(90, 300)
"""Two strips of 256 rows, so that a seam between them would show."""


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


# -- what is missing


def missing_as(way: str, path: Path, grid: Grid, missing: np.ndarray) -> dict[str, Any]:
    """A file that is 5 everywhere but where it is missing, which is told in one of many ways."""
    values = np.full(grid.shape, 5.0, np.float32)
    stated: dict[str, Any] = {}
    profile: dict[str, Any] = {}
    every_other = np.arange(missing.sum()) % 2 == 0
    if way in NUMBERS:
        dtype, number = NUMBERS[way]
        values = values.astype(dtype)
        values[missing] = number
        (stated if way == "stated nodata" else profile)["nodata"] = number
    elif way == "NaN beside nodata":
        values[missing], profile["nodata"] = np.where(every_other, np.nan, -1.0), -1.0
    elif way in ("NaN", "Inf"):
        values[missing] = np.nan if way == "NaN" else np.where(every_other, np.inf, -np.inf)
    else:
        values = values.astype("uint8" if way == "alpha" else "float32")  # GDAL knows alpha bands of 8 and 16 bits
        values[missing] = np.where(every_other, 200, 100)
        stated = {"valid_range": (0.0, 10.0)} if way == "valid_range" else {}
    bands = [values, np.where(missing, 0, 255).astype(np.uint8)] if way == "alpha" else [values]
    size = {"width": grid.width, "height": grid.height, "count": len(bands), "dtype": values.dtype.name}
    place = {"crs": grid.crs, "transform": grid.transform, "tiled": True, "blockxsize": 64, "blockysize": 64}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=way == "internal mask"),
        rasterio.open(path, "w", driver="GTiff", **size | place | profile) as file,
    ):
        if way == "alpha":
            file.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
        for number, band in enumerate(bands, 1):
            file.write(band, number)
        if way in ("internal mask", "mask beside"):
            file.write_mask(~missing)
    return stated


NUMBERS: dict[str, tuple[str, float]] = {
    "declared nodata": ("float32", -9999.0),
    "stated nodata": ("float32", -9999.0),
    "nodata 0": ("float32", 0.0),
    "float32 limit": ("float32", -3.4028234663852886e38),
    "NaN declared": ("float32", np.nan),
    "int16 nodata": ("int16", -32768),
    "uint8 nodata 255": ("uint8", 255),
}
WAYS = (*NUMBERS, "NaN", "NaN beside nodata", "Inf", "valid_range", "internal mask", "mask beside", "alpha")


@pytest.mark.parametrize("way", WAYS)
def test_what_is_missing_never_bleeds_however_it_is_told(tmp_path: Path, way: str) -> None:
    own = make_grid(100, 110, 60.0, LEFT + 17, TOP - 23)
    missing = np.random.default_rng(3).random(own.shape) < 0.08
    missing[30:50, 20:60] = True
    finer, coarser = make_grid(120, 130, 45.0), make_grid(32, 35, 190.0)
    stated = missing_as("declared nodata", tmp_path / "judge.tif", own, missing)
    judge = {
        (grid, how): aligned(tmp_path / "judge.tif", grid, tmp_path / "s", how, **stated)
        for grid, how in ((finer, "bilinear"), (finer, "nearest"), (coarser, "average"))
    }
    stated = missing_as(way, tmp_path / "a.tif", own, missing)
    assert (tmp_path / "a.tif.msk").exists() == (way == "mask beside")
    on_own = aligned(tmp_path / "a.tif", own, tmp_path / "s", **stated)
    assert np.array_equal(np.isnan(on_own), missing)
    assert (on_own[~missing] == 5.0).all()
    for (grid, how), expected in judge.items():
        found = aligned(tmp_path / "a.tif", grid, tmp_path / "s", how, **stated)
        there = np.isfinite(found)
        assert 0.5 < there.mean() < 1
        assert np.abs(found[there] - 5.0).max() < 1e-5, f"{how}: something missing was mixed in"
        assert np.array_equal(there, np.isfinite(expected)), f"{how}: not missing at the same cells"


@pytest.mark.parametrize("resampling", ["average", "bilinear", "nearest"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_cell_of_one_band_is_missing_whatever_other_bands_hold(
    tmp_path: Path, resampling: str, declared: bool
) -> None:
    fine = make_grid(180, 600, cell=30.0)
    values = rng().integers(1, 50, (2, *fine.shape)).astype(np.uint16)
    missing = np.kron(rng().random(GRID.shape) < 0.1, np.ones((2, 2), bool))
    values[0][missing] = 999
    with rasterio.open(
        tmp_path / "two.tif", "w", driver="GTiff", width=180, height=600, count=2, dtype="uint16", crs=UTM,
        transform=fine.transform, nodata=999 if declared else None,
    ) as file:  # fmt: skip
        file.write(values)
    stated = {} if declared else {"nodata": 999.0}
    found = aligned(tmp_path / "two.tif", GRID, tmp_path / "s", resampling, **stated)
    if resampling != "bilinear":
        np.testing.assert_array_equal(np.isnan(found), missing[::2, ::2])
    assert np.nanmax(found) < 50
    assert not np.isnan(aligned(tmp_path / "two.tif", GRID, tmp_path / "s", resampling, band=2, **stated)).any()


def test_valid_range_is_in_scaled_units_and_comes_before_mixing(tmp_path: Path) -> None:
    raw = np.full((60, 60), 400, np.int16)  # 400 * 0.1 + 2 = 42
    raw[10:14, 10:40] = 32000
    path = write_raster(tmp_path / "a.tif", raw, crs=UTM)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.1,), (2.0,)
    grid = make_grid(70, 70, 45.0)
    found = aligned(path, grid, tmp_path / "s", valid_range=(0.0, 100.0))
    assert np.nanmax(np.abs(found - 42.0)) < 1e-9
    assert np.isnan(found).any()


def test_a_mean_of_values_at_the_end_of_the_range_stays(tmp_path: Path) -> None:
    values = np.full((80, 80), 0.7, np.float64)
    path = write_raster(tmp_path / "a.tif", values, Affine(37, 0, LEFT, 0, -41, TOP), crs=UTM)
    for how, grid in (("bilinear", make_grid(90, 90, 29.0)), ("average", make_grid(17, 17, 123.0))):
        found = aligned(path, grid, tmp_path / "s", how, valid_range=(0.0, 0.7))
        assert np.isfinite(found).all(), f"{how}: a rounding is no reason to lose a cell"


def test_outside_the_source_is_missing_and_not_zero(tmp_path: Path) -> None:
    path = write_on(tmp_path / "a.tif", make_grid(40, 40, 60.0), rng().integers(1, 200, (40, 40)).astype(np.uint8))
    grid = make_grid(80, 700, 60.0, LEFT - 1230, TOP + 1230)
    for how in ("nearest", "bilinear", "average"):
        found = aligned(path, grid, tmp_path / "s", how)
        there = np.isfinite(found)
        assert 1400 < there.sum() < 1700
        assert found[there].min() >= 1


def test_a_grid_that_the_source_cannot_show_is_missing_and_no_garbage(tmp_path: Path) -> None:
    # A satellite's disk over America, a grid in Iran: GDAL finds no place for any cell and writes none.
    crs = "+proj=geos +lon_0=-75 +h=35786023 +ellps=GRS80 +sweep=x"
    values = rng().random((300, 300), np.float32)
    path = write_raster(tmp_path / "a.tif", values, Affine(3e3, 0, -4e5, 0, -3e3, 4e5), crs=crs)
    grid = make_grid(1000, 600, 60.0, 400_000.0, 3_800_000.0)
    for how in ("nearest", "bilinear", "average"):
        junk = [rng().random((600, 1000)) for _ in range(4)]  # what uninitialised memory is then likely to hold
        del junk
        assert np.isnan(aligned(path, grid, tmp_path / "s", how)).all()


@pytest.mark.parametrize("nodata", [-9999.0, 1.5, 256.0, 1e30])
def test_a_nodata_that_the_file_cannot_hold_marks_no_cell(tmp_path: Path, nodata: float) -> None:
    values = rng().choice(np.array([0, 1, 2, 255], np.uint8), (60, 60))
    path = write_raster(tmp_path / "a.tif", values, crs=UTM)
    assert_same_bits(aligned(path, make_grid(60, 60), tmp_path / "s", nodata=nodata), values.astype(np.float64))
    shifted = make_grid(50, 50, 60.0, LEFT + 300, TOP - 300)
    found = aligned(path, shifted, tmp_path / "s", "nearest", nodata=nodata)
    assert_same_bits(found, values[5:55, 5:55].astype(np.float64))


@pytest.mark.parametrize("nodata", [-1.7976931348623157e308, 1e300, -3.4028235e38])
def test_float_limits_as_nodata_of_a_float32_file(tmp_path: Path, nodata: float) -> None:
    values = rng().normal(size=(60, 60)).astype(np.float32)
    values[5:9] = np.finfo(np.float32).min
    path = write_raster(tmp_path / "a.tif", values, crs=UTM)
    found = aligned(path, make_grid(60, 60), tmp_path / "s", nodata=nodata)
    assert np.isnan(found[5:9]).all() == (nodata == -3.4028235e38), "the limit as it is commonly printed"
    assert np.isfinite(found[9:]).all()


def test_a_stated_nodata_replaces_the_mask(tmp_path: Path) -> None:
    missing = np.zeros((50, 50), bool)
    missing[10:20] = True
    missing_as("internal mask", tmp_path / "a.tif", make_grid(50, 50), missing)
    assert np.isfinite(aligned(tmp_path / "a.tif", make_grid(50, 50), tmp_path / "s", nodata=-1.0)).all()
