"""Derivatives of raster files: what is missing, in units, on the ground, within memory, and what is refused."""

from __future__ import annotations

import math
import os
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from districts import write_raster
from rasters import LEFT, TOP, UTM
from scipy import ndimage, stats
from tolerances import FLOAT32_OF_FLOAT64, METRES_OF_DEGREES, assert_close, assert_same_bits

from mpmjax.errors import DataError, MemoryLimitError
from mpmjax.evidence.fields import derivatives
from mpmjax.evidence.fields.cellsize import cell_size
from mpmjax.evidence.fields.derive import KINDS, write_derivative
from mpmjax.evidence.fields.filters import memory_needed
from mpmjax.evidence.raster.source import inspect_raster

CELLS = (55.0, 40.0)
TRANSFORM = Affine(CELLS[0], 0, LEFT, 0, -CELLS[1], TOP)
ENOUGH = 1 << 30
HEIGHT = 120.0
WHAT = {
    "horizontal": derivatives.total_horizontal_derivative,
    "vertical": derivatives.vertical_derivative,
    "analytic_signal": derivatives.analytic_signal,
    "tilt": derivatives.tilt_angle,
    "upward": lambda v, c: derivatives.upward_continuation(v, c, HEIGHT),
}


def field(shape: tuple[int, int], seed: int = 4) -> np.ndarray:
    """float32 [height, width], smooth, from about -100 to 100."""
    noise = np.random.default_rng(seed).normal(size=shape)
    return (np.asarray(ndimage.gaussian_filter(noise, 3.0)) * 400).astype(np.float32)


ALONE = 1
"""Cells beside `gaps` in 300 x 220 that have no neighbour along their row."""


def gaps(shape: tuple[int, int]) -> np.ndarray:
    rows, cols = np.indices(shape)
    return ((rows - 30) ** 2 + (cols - 40) ** 2 < 60) | (cols < 4 + 3 * np.sin(rows / 20))


def derived(
    path: Path, out: Path, kind: str, *, max_memory: int = ENOUGH, on_error: str = "stop", **stated: Any
) -> tuple[np.ndarray, list[str]]:
    """The file as it is read back, and the notes."""
    source = inspect_raster(path, "mag", **stated)
    height = HEIGHT if kind == "upward" else None
    label = f"layer 'mag': {path}"
    notes = write_derivative(source, out, kind, height=height, label=label, max_memory=max_memory, on_error=on_error)
    with rasterio.open(out) as made:
        assert made.dtypes == ("float32",)
        assert math.isnan(made.nodata)
        assert (made.crs, made.transform, made.shape) == (
            source.crs,
            source.transform,
            (source.height, source.width),
        )
        return made.read(1), notes


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_what_its_array_is(tmp_path: Path, kind: str) -> None:
    values = field((300, 220))
    missing = gaps(values.shape)
    path = write_raster(tmp_path / "mag.tif", np.where(missing, -9999, values), TRANSFORM, crs=UTM, nodata=-9999)
    found, notes = derived(path, tmp_path / "out.tif", kind)
    expected = WHAT[kind](np.where(missing, np.nan, values.astype(np.float64)), CELLS)
    assert not np.isfinite(found[missing]).any()
    assert np.isnan(found[~missing]).sum() == (0 if kind in ("vertical", "upward") else ALONE)
    span = np.nanmax(np.abs(expected))
    assert_close(found / span, expected / span, FLOAT32_OF_FLOAT64)
    assert len(notes) == 1
    assert KINDS[kind] in notes[0]
    assert ("120 m above" in notes[0]) == (kind == "upward")


@pytest.mark.parametrize("kind", ["horizontal", "tilt"])
def test_nodata_zero_scale_offset_and_integers(tmp_path: Path, kind: str) -> None:
    raw = np.rint(field((90, 80)) * 50 + 10_000).astype(np.int16)
    missing = gaps(raw.shape)
    raw[missing] = 0
    path = write_raster(tmp_path / "mag.tif", raw, TRANSFORM, crs=UTM, nodata=0)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.02,), (-200.0,)
    found, _ = derived(path, tmp_path / "out.tif", kind)
    expected = WHAT[kind](np.where(missing, np.nan, raw * 0.02 - 200.0), CELLS)
    span = np.nanmax(np.abs(expected))
    assert_close(found / span, expected / span, FLOAT32_OF_FLOAT64)


def test_a_mask_of_the_file_and_infinite_cells_are_missing(tmp_path: Path) -> None:
    values, missing = field((90, 80)), gaps((90, 80))
    values[50, 50] = np.inf
    path = write_raster(tmp_path / "mag.tif", values, TRANSFORM, crs=UTM)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(~missing)
    found, _ = derived(path, tmp_path / "out.tif", "vertical")
    missing[50, 50] = True
    assert np.array_equal(np.isnan(found), missing)
    expected = derivatives.vertical_derivative(np.where(missing, np.nan, values.astype(np.float64)), CELLS)
    span = np.nanmax(np.abs(expected))
    assert_close(found / span, expected / span, FLOAT32_OF_FLOAT64)


def test_blocks_that_cannot_be_decoded(tmp_path: Path) -> None:
    values = field((300, 300))
    blocks = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    path = write_raster(tmp_path / "mag.tif", values, TRANSFORM, crs=UTM, **blocks)
    with rasterio.open(path) as file:
        start = int(file.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", 1))
    content = bytearray(path.read_bytes())
    content[start : start + 24] = bytes(24)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"mag\.tif, band 1, .*cannot be decoded"):
        derived(path, tmp_path / "out.tif", "tilt")
    assert not (tmp_path / "out.tif").exists()
    found, notes = derived(path, tmp_path / "out.tif", "tilt", on_error="nodata")
    assert "1 block cannot be decoded and counts as missing (rows 256-299, columns 256-299)" in notes[-1]
    values[256:, 256:] = np.nan
    twin = write_raster(tmp_path / "twin.tif", values, TRANSFORM, crs=UTM, **blocks)
    assert_same_bits(found, derived(twin, tmp_path / "twin-out.tif", "tilt")[0])


@pytest.mark.parametrize("kind", ["analytic_signal", "upward"])
def test_memory_changes_no_byte_and_is_kept_to(tmp_path: Path, kind: str) -> None:
    values = field((1400, 700))
    values[gaps(values.shape)] = np.nan
    values[600:900, 300:450] = np.nan
    path = write_raster(tmp_path / "mag.tif", values, TRANSFORM, crs=UTM)
    derived(path, tmp_path / "much.tif", kind)
    in_file = memory_needed(values.shape, in_file=True) + 700 * 260 * 8 * 16
    assert in_file < memory_needed(values.shape, in_file=False) + 700 * 260 * 8 * 16
    (tmp_path / "scratch").mkdir()
    tracemalloc.start()
    derived(path, tmp_path / "scratch" / "little.tif", kind, max_memory=in_file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert in_file / 4 < peak < in_file
    assert (tmp_path / "scratch" / "little.tif").read_bytes() == (tmp_path / "much.tif").read_bytes()
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["little.tif"]
    with pytest.raises(MemoryLimitError, match=r"700 x 1400 cells needs \d+ MiB; \[stream\] max_memory allows 9\."):
        derived(path, tmp_path / "none.tif", kind, max_memory=9 << 20)


def test_degrees_become_metres_by_latitude(tmp_path: Path) -> None:
    to_map = Affine(0.05, 0, -95.77, 0, -0.05, 40.65)
    path = write_raster(tmp_path / "mag.tif", field((93, 134)), to_map, crs="EPSG:4326")
    cells = cell_size(inspect_raster(path, "mag"), "layer 'mag'")
    earth = pyproj.Geod(ellps="WGS84")
    for row in (0, 50, 92):
        latitude = 40.65 - 0.05 * (row + 0.5)
        assert_close(cells.across[row], earth.inv(-90.05, latitude, -90.0, latitude)[2], METRES_OF_DEGREES)
    middle = 40.65 - 0.05 * 93 / 2
    assert_close(np.array(cells.down), earth.inv(-90, middle - 0.025, -90, middle + 0.025)[2], METRES_OF_DEGREES)
    found, notes = derived(path, tmp_path / "out.tif", "tilt")
    assert np.isfinite(found).all()
    assert re.search(r"in degrees; its cells were taken as 5,5\d\d m high .* 4,2\d\d to 4,5\d\d m wide", notes[1])


def test_feet_are_made_metres(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "mag.tif", field((40, 50)), Affine(100, 0, 1e6, 0, -200, 5e5), crs="EPSG:2263")
    cells = cell_size(inspect_raster(path, "mag"), "layer 'mag'")
    assert_close(cells.across, np.full(40, 100 * 1200 / 3937), METRES_OF_DEGREES)
    assert_close(np.array(cells.down), np.array(200 * 1200 / 3937), METRES_OF_DEGREES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_raster_with_its_south_on_top(tmp_path: Path, kind: str) -> None:
    values = field((120, 90))
    upright = write_raster(tmp_path / "up.tif", values, TRANSFORM, crs=UTM)
    flipped = Affine(CELLS[0], 0, LEFT, 0, CELLS[1], TOP - 120 * CELLS[1])
    turned = write_raster(tmp_path / "down.tif", values[::-1], flipped, crs=UTM)
    found, _ = derived(turned, tmp_path / "down-out.tif", kind)
    expected, _ = derived(upright, tmp_path / "up-out.tif", kind)
    span = np.abs(expected).max()
    assert np.abs(found[::-1] - expected)[15:-15, 15:-15].max() < 0.02 * span


@pytest.mark.parametrize(
    ("transform", "crs", "words"),
    [
        (Affine.translation(LEFT, TOP) @ Affine.rotation(20) @ Affine.scale(50, -50), UTM, "rotated"),
        (Affine(0, 50, LEFT, 50, 0, TOP), UTM, "rotated"),
        (Affine(0.5, 0, 10, 0, -1.4, 84), "EPSG:4326", r"latitude 28 to 84, .* more than 1\.5 times"),
    ],
)
def test_grids_that_are_refused(tmp_path: Path, transform: Affine, crs: str, words: str) -> None:
    path = write_raster(tmp_path / "mag.tif", field((40, 50)), transform, crs=crs)
    with pytest.raises(DataError, match=rf"layer 'mag': .*{words}.*gdalwarp"):
        derived(path, tmp_path / "out.tif", "vertical")


def test_too_few_cells_and_none_at_all(tmp_path: Path) -> None:
    thin = write_raster(tmp_path / "thin.tif", field((3, 50)), TRANSFORM, crs=UTM)
    with pytest.raises(DataError, match="50 x 3 cells are too few"):
        derived(thin, tmp_path / "out.tif", "horizontal")
    empty = write_raster(tmp_path / "empty.tif", np.full((20, 20), np.nan, np.float32), TRANSFORM, crs=UTM)
    for kind in KINDS:
        with pytest.raises(DataError, match="no cell holds data"):
            derived(empty, tmp_path / "out.tif", kind)
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize(
    ("kind", "height"),
    [("slope", None), ("upward", None), ("upward", 0.0), ("upward", math.nan), ("tilt", 50.0)],
)
def test_what_is_no_derivative(tmp_path: Path, kind: str, height: float | None) -> None:
    path = write_raster(tmp_path / "mag.tif", field((20, 20)), TRANSFORM, crs=UTM)
    with pytest.raises(ValueError, match=r"derivative = 'slope'|height"):
        write_derivative(
            inspect_raster(path, "mag"), tmp_path / "o.tif", kind, height=height, label="x", max_memory=ENOUGH
        )


def missouri(name: str) -> Path:
    folder = os.environ.get("MPMJAX_DATA")
    if not folder:
        pytest.skip("MPMJAX_DATA is not set: the real districts are not at hand")
    return Path(folder) / "missouri_ni" / f"{name}.tif"


@pytest.mark.parametrize(
    ("source", "gradient", "least"), [("gravity", "gravity_grad", 0.9), ("mag_val", "mag_hgm", 0.7)]
)
def test_missouri_beside_the_gradients_of_its_data_set(
    tmp_path: Path, source: str, gradient: str, least: float
) -> None:
    """Those were taken on grids of 1 and 4 km before these cells were picked from them, so they agree only about."""
    found, _ = derived(missouri(source), tmp_path / "out.tif", "horizontal")
    with rasterio.open(missouri(gradient)) as file:
        theirs = file.read(1, masked=True).filled(np.nan)
    both = np.isfinite(found) & np.isfinite(theirs)
    assert both.sum() > 0.998 * np.isfinite(theirs).sum()
    assert stats.spearmanr(found[both], theirs[both]).statistic > least


@pytest.mark.parametrize("kind", KINDS)
def test_missouri_is_missing_where_its_field_is(tmp_path: Path, kind: str) -> None:
    found, _ = derived(missouri("mag_val"), tmp_path / "out.tif", kind)
    with rasterio.open(missouri("mag_val")) as file:
        there = file.read_masks(1) > 0
    assert not np.isfinite(found)[~there].any()
    assert there.sum() - np.isfinite(found).sum() < 10
