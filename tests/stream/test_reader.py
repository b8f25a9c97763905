"""Slabs: values and masks together, by any tiles and threads; handles closed; a bad block named in full."""

from __future__ import annotations

import gc
import re
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasters import UTM, awkward, make_grid, write_on
from tolerances import assert_same_bits

from mpmjax.errors import DataError
from mpmjax.stream.prefetch import ordered_map
from mpmjax.stream.reader import StackReader, block_shapes, gdal_environment, open_raster, undecodable, valid_cells
from mpmjax.stream.ring import Ring
from mpmjax.stream.tiles import cut, plan_tiles
from mpmjax.types import Grid, Layer, Slab, Tile

GRID = make_grid(230, 170)


def layer_of(path: Path, dtype: str, **keys: object) -> Layer:
    return Layer(path.stem, "index", path, 1, dtype, **{"source": str(path)} | keys)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def stack(tmp_path: Path) -> tuple[tuple[Layer, ...], Path, list[np.ndarray], np.ndarray, np.ndarray]:
    """Three layers, a study area, and what a reader must find: values, validity, inside."""
    rng = np.random.default_rng(1)
    floats = rng.normal(size=GRID.shape).astype(np.float32)
    floats[rng.random(GRID.shape) < 0.1] = np.nan
    floats[3, 3] = np.inf
    ints = rng.integers(-500, 500, GRID.shape).astype(np.int16)
    bytes_ = rng.integers(0, 255, GRID.shape).astype(np.uint8)
    shown = rng.random(GRID.shape) < 0.8
    inside = rng.random(GRID.shape) < 0.7
    tiled = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    masked = write_on(tmp_path / "masked.tif", GRID, bytes_, **tiled)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(masked, "r+") as file:
        file.write_mask(shown)
    layers = (
        layer_of(write_on(tmp_path / "floats.tif", GRID, floats, **tiled), "float32"),
        layer_of(
            write_on(tmp_path / "ints.tif", GRID, ints), "int16", nodata=0.0, scale=0.1, offset=5.0, valid_range=(0, 40)
        ),
        layer_of(masked, "uint8", masked=True),
    )
    scaled = ints * 0.1 + 5.0
    valid = np.stack([np.isfinite(floats), (ints != 0) & (scaled >= 0) & (scaled <= 40), shown])
    mask = write_on(tmp_path / "mask.tif", GRID, inside.astype(np.uint8))
    return layers, mask, [floats, ints, bytes_], valid, inside


def assert_slab(slab: Slab, values: list[np.ndarray], valid: np.ndarray, inside: np.ndarray) -> None:
    rows, cols = slab.tile.slices
    for found, expected in zip(slab.values, values, strict=True):
        assert_same_bits(found, expected[rows, cols])
    assert_same_bits(slab.valid, valid[:, rows, cols])
    assert_same_bits(slab.inside, inside[rows, cols])


@pytest.mark.parametrize("size", [16, 64, 100, 512])
@pytest.mark.parametrize("workers", [1, 4])
def test_the_same_slabs_by_any_tiles_and_threads(stack: tuple, size: int, workers: int) -> None:
    layers, mask, *expected = stack
    tiles = cut(GRID.shape, size)
    with StackReader(GRID, layers, mask) as reader:
        for tile, slab in zip(tiles, ordered_map(reader.read, tiles, workers), strict=True):
            assert slab.tile is tile
            assert_slab(slab, *expected)


@pytest.mark.parametrize("shape", [(64, 64), (100, 37), (170, 230)])
def test_the_same_slabs_in_the_memory_of_a_slot(stack: tuple, shape: tuple[int, int]) -> None:
    layers, mask, *expected = stack
    ring = Ring(2, layers, shape[0] * shape[1])
    tiles = plan_tiles(GRID.shape, shape[0], [shape], shape[0] * shape[1])
    with StackReader(GRID, layers, mask) as reader:
        for tile in tiles:
            slot = ring.acquire()
            for array in (*slot.arrays(tile)[0], *slot.arrays(tile)[1:]):
                array.view(np.uint8)[...] = 1  # what another tile left
            slab = reader.read(tile, slot)
            assert_slab(slab, *expected)
            own = slot.arrays(tile)
            for found, memory in zip((*slab.values, slab.valid, slab.inside), (*own[0], *own[1:]), strict=True):
                assert found.ctypes.data == memory.ctypes.data
            ring.release(slot)


def test_without_a_mask_all_of_a_slot_is_inside(stack: tuple) -> None:
    layers = stack[0]
    slot, tile = Ring(1, layers, 64).acquire(), Tile(0, 0, 0, 8, 8)
    slot.arrays(tile)[2][...] = False
    with StackReader(GRID, layers) as reader:
        assert reader.read(tile, slot).inside.all()


def test_blocks_of_every_band_and_of_the_study_area(stack: tuple, tmp_path: Path) -> None:
    layers, mask, *_ = stack
    zeros = np.zeros(GRID.shape, np.uint8)
    two = write_on(tmp_path / "two.tif", GRID, zeros, count=2, tiled=True, blockxsize=32, blockysize=16)
    both = (layer_of(two, "uint8"), replace(layer_of(two, "uint8"), band=2))
    assert block_shapes((*layers, *both), mask)[0] == (64, 64)
    assert block_shapes((*layers, *both), mask)[2:5] == ((64, 64), (16, 32), (16, 32))
    assert len(block_shapes((*layers, *both), mask)) == 6
    assert len(block_shapes((*layers, *both))) == 5
    assert block_shapes(layers[1:2])[0][1] == GRID.width, "strips"
    with pytest.raises(DataError, match="no such file"):
        block_shapes((layer_of(tmp_path / "gone.tif", "uint8"),))


def test_without_a_mask_all_is_inside(stack: tuple) -> None:
    layers = stack[0]
    with StackReader(GRID, layers) as reader:
        assert reader.read(Tile(0, 0, 0, 17, 23)).inside.all()


def open_files(folder: Path) -> list[str]:
    """What this process holds open below a folder."""
    held = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        held += [target] if target.startswith(str(folder)) else []
    return held


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted by /proc")
def test_one_handle_a_thread_and_layer_and_all_closed_at_the_end(stack: tuple, tmp_path: Path) -> None:
    layers, mask, *_ = stack
    meet = threading.Barrier(3, timeout=20)
    gc.collect()
    assert not open_files(tmp_path)
    with StackReader(GRID, layers, mask) as reader, ThreadPoolExecutor(3) as pool:

        def read(number: int) -> int:
            meet.wait()  # so that each of the three threads takes one
            for tile in cut(GRID.shape, 64):
                reader.read(tile)
            return number

        assert sorted(pool.map(read, range(3))) == [0, 1, 2]
        reader.read(Tile(0, 0, 0, 9, 9))
        assert len(open_files(tmp_path)) == 4 * 4, "kept open from tile to tile, shared by no two threads"
    assert not open_files(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted by /proc")
def test_closed_after_an_exception_too(stack: tuple, tmp_path: Path) -> None:
    layers, mask, *_ = stack
    gone = layer_of(tmp_path / "gone.tif", "uint8")

    def read_all() -> None:
        with StackReader(GRID, (*layers, gone), mask) as reader:
            list(ordered_map(reader.read, cut(GRID.shape, 64), 2))

    with pytest.raises(DataError, match=r"gone\.tif: no such file"):
        read_all()
    gc.collect()
    assert not open_files(tmp_path)


def damage(path: Path, key: str) -> Path:
    with rasterio.open(path) as dataset:
        start = int(dataset.get_tag_item(f"BLOCK_OFFSET_{key}", "TIFF", 1))
    content = bytearray(path.read_bytes())
    content[start : start + 64] = bytes(64)
    path.write_bytes(content)
    return path


def test_a_bad_block_is_named_by_layer_file_band_and_window(stack: tuple, tmp_path: Path) -> None:
    layers, mask, *expected = stack
    damage(tmp_path / "floats.tif", "1_2")
    with StackReader(GRID, layers, mask) as reader:
        assert_slab(reader.read(Tile(0, 0, 0, 64, 64)), *expected)
        tile = Tile(5, 100, 50, 30, 40)
        words = r"layer 'floats': .*floats\.tif, band 1, rows 100-129, columns 50-89: cannot be decoded \(.+\)"
        with pytest.raises(DataError, match=words):
            reader.read(tile)
        assert_slab(reader.read(Tile(0, 0, 0, 64, 64)), *expected)


def test_what_the_user_named_is_named_not_the_prepared_file(stack: tuple, tmp_path: Path) -> None:
    path = damage(tmp_path / "floats.tif", "0_0")
    layer = layer_of(path, "float32", source="/survey/alteration.img")
    with (
        StackReader(GRID, (layer,)) as reader,
        pytest.raises(DataError, match=r"layer 'floats': /survey/alteration\.img, band 1, rows 0-9, columns 0-9"),
    ):
        reader.read(Tile(0, 0, 0, 10, 10))


def test_a_bad_block_of_the_study_area_is_named(stack: tuple, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2, GRID.shape).astype(np.uint8)
    mask = write_on(tmp_path / "area.tif", GRID, noise, tiled=True, blockxsize=64, blockysize=64, compress="zstd")
    damage(mask, "0_0")
    with (
        StackReader(GRID, stack[0], mask) as reader,
        pytest.raises(DataError, match=r"'mask': .*area\.tif, band 1, rows 0-9, columns 0-9: cannot be decoded"),
    ):
        reader.read(Tile(0, 0, 0, 10, 10))


def test_a_bad_block_of_a_file_s_own_mask_is_named(stack: tuple, tmp_path: Path) -> None:
    layer, path = stack[0][2], tmp_path / "masked.tif"
    path.unlink()
    write_on(path, GRID, np.ones(GRID.shape, np.uint8))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
        file.write_mask(np.random.default_rng(0).random(GRID.shape) < 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the mask is not, and need not be
        damage(tmp_path / "masked.tif.msk", "0_0")
    with (
        StackReader(GRID, (layer,)) as reader,
        pytest.raises(DataError, match=r"layer 'masked': .*masked\.tif, band 1, rows 0-169, columns 0-229: cannot"),
    ):
        reader.read(Tile(0, 0, 0, *GRID.shape))


def test_awkward_corrupt() -> None:
    path = awkward("corrupt.tif")
    with rasterio.open(path) as dataset:
        grid = Grid(UTM, dataset.transform, dataset.width, dataset.height)
    layer = Layer("alteration", "index", path, 2, "uint8", source=str(path))
    with StackReader(grid, (layer,)) as reader:
        assert reader.read(Tile(0, 0, 0, 512, 512)).valid.all()
        with pytest.raises(
            DataError, match=r"layer 'alteration': .*corrupt\.tif, band 2, rows 512-1023, columns 600-999"
        ):
            reader.read(Tile(3, 512, 600, 512, 400))


def test_the_sentence_of_an_undecodable_window() -> None:
    error = undecodable("cu", "cu.tif", 3, Tile(0, 10, 20, 5, 6), RasterioIOError("bad tile"))
    assert re.fullmatch(
        r"layer 'cu': cu\.tif, band 3, rows 10-14, columns 20-25: cannot be decoded \(bad tile\)\. "
        r"The file is damaged or cut short: fetch it again, or make a new copy with gdal_translate\.",
        str(error),
    )


# -- what is valid


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("dtype", "values", "keys", "expected"),
    [
        ("float32", [1, NAN, INF, -INF, -9999], {}, "10001"),
        ("float32", [1, NAN, INF, -INF, -9999], {"nodata": -9999.0}, "10000"),
        ("float32", [0, 1, -0.0], {"nodata": 0.0}, "010"),
        ("float32", [1, NAN], {"nodata": NAN}, "10"),
        ("float32", [np.float32(0.1), 1], {"nodata": 0.1}, "01"),
        ("float64", [np.float32(0.1), 0.1], {"nodata": 0.1}, "10"),
        ("float32", [-3.4028234663852886e38, 1], {"nodata": -3.4028235e38}, "01"),
        ("float32", [-3.4028234663852886e38, 1], {"nodata": -1.7976931348623157e308}, "11"),
        ("uint8", [0, 255, 7], {"nodata": 255.0}, "101"),
        ("uint8", [0, 241, 7], {"nodata": -9999.0}, "111"),
        ("uint8", [0, 1, 2], {"nodata": 1.5}, "111"),
        ("int16", [-32768, 0, 5], {"nodata": -32768.0}, "011"),
        ("int32", [2**31 - 1, -(2**31), 5], {"nodata": 2147483647.0}, "011"),
        ("uint32", [2**32 - 1, 5], {"nodata": 4294967295.0}, "01"),
        ("int64", [-(2**63), 5], {"nodata": -9.223372036854775808e18}, "01"),
        ("float32", [0, 1, 2, 3, NAN], {"valid_range": (1.0, 2.0)}, "01100"),
        ("int16", [0, 100, 200, 300], {"valid_range": (1.0, 2.0), "scale": 0.01}, "0110"),
        ("int16", [32767, 0], {"valid_range": (0.0, 1e6), "scale": 10.0, "offset": 5.0}, "11"),
        ("float32", [INF, -INF, NAN, 1], {"valid_range": (0.0, 2.0), "scale": 2.0}, "0001"),
    ],
)  # fmt: skip
def test_valid_cells(dtype: str, values: list[float], keys: dict, expected: str) -> None:
    found = valid_cells(np.array(values, dtype), layer_of(Path("x.tif"), dtype, **keys))
    assert "".join(str(int(cell)) for cell in found) == expected


# -- opening


def test_nothing_is_written_beside_a_file_that_is_read(stack: tuple, tmp_path: Path) -> None:
    layers, mask, *_ = stack
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with gdal_environment(), StackReader(GRID, layers, mask) as reader:
        list(map(reader.read, cut(GRID.shape, 100)))
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.nc", "a.png", "a.jp2", "a.h5", "a.gml", "a.mbtiles", "tif"])
def test_formats_that_are_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x" * 100)
    with pytest.raises(DataError, match=r"not a raster format that is read \(\.tif, .*\)\. Convert it to GeoTIFF"):
        open_raster(tmp_path / name)
