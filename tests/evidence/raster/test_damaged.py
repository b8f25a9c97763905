"""Damaged blocks where on_error = "nodata": looked at and warped as if they held nothing, and told."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from districts import write_raster
from rasters import LEFT, TOP, UTM, make_grid, open_layer, values_of
from tolerances import assert_same_bits

from mpmjax.errors import DataError
from mpmjax.evidence.checks.twins import choose_places, see
from mpmjax.evidence.raster.scan import judge, scan
from mpmjax.evidence.raster.source import unreadable_blocks
from mpmjax.evidence.raster.warp import align
from mpmjax.stream.unreadable import Bad, windows

SHAPE = (600, 700)
BLOCKS = [[0, 256, 256, 256], [512, 512, 88, 188]]
"""Row, column, height and width of those that are damaged, of 256 x 256 cells."""

KEYS = ("1_0", "2_2")
GRID = make_grid(500, 420)


def make(folder: Path, dtype: str, *, damaged: bool) -> Path:
    """A file with two damaged blocks; or its twin, in which they hold nodata (-99)."""
    rng = np.random.default_rng(5)
    values = rng.integers(0, 9, SHAPE).astype(dtype) if dtype == "uint8" else rng.normal(50, 9, SHAPE).astype(dtype)
    nodata = 99 if dtype == "uint8" else -99
    values[rng.random(SHAPE) < 0.02] = nodata
    for row, col, height, width in [] if damaged else BLOCKS:
        values[row : row + height, col : col + width] = nodata
    path = folder / f"{'bad' if damaged else 'twin'}.tif"
    blocks = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    write_raster(path, values, Affine(55, 0, LEFT, 0, -55, TOP), crs=UTM, nodata=nodata, **blocks)
    if damaged:
        with rasterio.open(path) as dataset:
            starts = [int(dataset.get_tag_item(f"BLOCK_OFFSET_{key}", "TIFF", 1)) for key in KEYS]
        content = bytearray(path.read_bytes())
        for start in starts:
            content[start : start + 24] = bytes(24)
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8"])
def test_the_look_sees_what_it_would_see_of_nodata(tmp_path: Path, dtype: str) -> None:
    source, layer = open_layer(make(tmp_path, dtype, damaged=True))
    facts = scan(source, layer, "nodata")
    twin = scan(*open_layer(make(tmp_path, dtype, damaged=False)))
    assert facts.unreadable == BLOCKS
    assert not twin.unreadable
    facts.unreadable = []
    assert facts == twin
    assert judge(source, facts) == []
    with pytest.raises(DataError, match=r"bad\.tif, band 1, rows 0-599, columns 0-699: cannot be decoded"):
        scan(source, layer)
    assert [str(b.path) for b in unreadable_blocks(source, BLOCKS)] == [str(source.path)] * 2


@pytest.mark.parametrize(
    ("how", "dtype"),
    [*itertools.product(["nearest", "bilinear", "average"], ["float32", "int16", "uint8"]), ("mode", "uint8")],
)
@pytest.mark.parametrize("stated", [{}, {"valid_range": (0.0, 60.0)}])
def test_warped_as_if_the_blocks_held_nodata(tmp_path: Path, how: str, dtype: str, stated: dict) -> None:
    found = []
    for damaged in (True, False):
        source, layer = open_layer(make(tmp_path, dtype, damaged=damaged), **stated)
        scratch, bad = tmp_path / str(damaged), Bad()
        scratch.mkdir()
        if damaged:
            with pytest.raises(DataError, match="cannot be decoded"):
                align(source, GRID, layer, how, scratch)
            assert not [path for path in scratch.rglob("*") if path.is_file()]
        found.append(values_of(align(source, GRID, layer, how, scratch, bad), GRID))
        assert [path.name for path in scratch.rglob("*") if path.is_file()] == ["x.tif"]
        assert windows(bad) == (BLOCKS if damaged else [])
    assert np.isnan(found[0]).mean() > 0.15
    assert_same_bits(*found)


def test_the_same_where_a_float_file_holds_infinities(tmp_path: Path) -> None:
    path = make(tmp_path, "float32", damaged=True)
    source, layer = open_layer(path, nodata=-1.0)  # the cells of -99 are values now
    bad, scratch = Bad(), tmp_path / "s"
    scratch.mkdir()
    values = values_of(align(source, GRID, layer, "bilinear", scratch, bad), GRID)
    assert windows(bad) == BLOCKS
    assert np.isnan(values[5, 300])
    assert np.isfinite(values[5, 5])


def test_twins_are_looked_for_elsewhere(tmp_path: Path) -> None:
    source, layer = open_layer(make(tmp_path, "float32", damaged=True))
    twin, _ = open_layer(make(tmp_path, "float32", damaged=False))
    places = choose_places(GRID)
    assert_same_bits(see(places, GRID, source, layer, "nodata").values, see(places, GRID, twin, layer).values)
    with pytest.raises(DataError, match="cannot be decoded"):
        see(places, GRID, source, layer)
