"""Blocks that cannot be decoded: tried again, an error, or missing as whole blocks whatever the tiles."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasters import make_grid, write_on
from tolerances import assert_same_bits

from mpmjax.errors import DataError
from mpmjax.stream import reader as reading
from mpmjax.stream.prefetch import ordered_map
from mpmjax.stream.reader import StackReader, open_raster
from mpmjax.stream.reopen import RETRIES, Reopening
from mpmjax.stream.ring import Ring
from mpmjax.stream.tiles import cut
from mpmjax.stream.unreadable import Undecodable, Unreadable, forgiving, read_band, told, windows
from mpmjax.types import Layer, Slab, Tile

GRID = make_grid(530, 470)
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 128}
LAYOUTS: dict[str, tuple[dict[str, Any], list[tuple[int, int]]]] = {
    "deflate": ({**TILED, "compress": "deflate"}, [(0, 0), (3, 2), (8, 3), (4, 2)]),
    "zstd": ({**TILED, "compress": "zstd"}, [(2, 1), (8, 0)]),
    "strips": ({"blockysize": 7, "compress": "deflate"}, [(0, 3), (0, 4), (0, 67)]),
}
"""Profiles, and the (column, row) of the blocks that are damaged. The grid ends inside the last of them."""


def damage(path: Path, keys: list[tuple[int, int]]) -> Path:
    """Overwrite the beginnings of blocks with what no codec can read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a mask beside a file is not, and need not be
        with rasterio.open(path) as dataset:
            starts = [int(dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", 1)) for col, row in keys]
    content = bytearray(path.read_bytes())
    for start in starts:
        content[start : start + 24] = bytes(24)
    path.write_bytes(content)
    return path


def block_of(key: tuple[int, int], shape: tuple[int, int]) -> Tile:
    """The whole block, up to the edge of the grid."""
    row, col = key[1] * shape[0], key[0] * shape[1]
    return Tile(0, row, col, min(shape[0], GRID.height - row), min(shape[1], GRID.width - col))


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(3).normal(size=GRID.shape).astype(np.float32)


@pytest.fixture(params=LAYOUTS)
def damaged(request: pytest.FixtureRequest, tmp_path: Path, values: np.ndarray) -> tuple[Layer, list[Tile]]:
    """A layer, and the windows of its damaged blocks."""
    profile, keys = LAYOUTS[request.param]
    path = write_on(tmp_path / "cu.tif", GRID, values, **profile)
    layer = Layer("cu", "index", path, 1, "float32", source="/survey/cu.tif")
    with rasterio.open(path) as dataset:
        shape = dataset.block_shapes[0]
    return Layer(**{**vars(layer), "path": damage(path, keys)}), [block_of(key, shape) for key in keys]


def mosaic(slabs: Iterator[Slab]) -> tuple[np.ndarray, np.ndarray, set[Unreadable]]:
    """Values and validity of the first layer on the whole grid, and what was told."""
    values, valid, lost = np.full(GRID.shape, np.nan, np.float32), np.zeros(GRID.shape, bool), set()
    for slab in slabs:
        values[slab.tile.slices], valid[slab.tile.slices] = slab.values[0], slab.valid[0]
        lost.update(slab.unreadable)
    return values, valid, lost


@pytest.mark.parametrize("size", [64, 100, 256, 512])
@pytest.mark.parametrize("workers", [1, 3])
def test_whole_blocks_are_missing_whatever_the_tiles(
    damaged: tuple[Layer, list[Tile]], values: np.ndarray, size: int, workers: int
) -> None:
    layer, blocks = damaged
    with StackReader(GRID, (layer,), on_error="nodata") as reader:
        found, valid, lost = mosaic(ordered_map(reader.read, cut(GRID.shape, size), workers))
    expected, there = values.copy(), np.ones(GRID.shape, bool)
    for block in blocks:
        expected[block.slices], there[block.slices] = 0.0, False
    assert_same_bits(found, expected)
    assert_same_bits(valid, there)
    assert lost == {Unreadable("cu", "/survey/cu.tif", 1, b.row, b.col, b.height, b.width) for b in blocks}


def test_a_tile_tells_the_blocks_that_it_touches_and_no_others(damaged: tuple[Layer, list[Tile]]) -> None:
    layer, blocks = damaged
    with StackReader(GRID, (layer,), on_error="nodata") as reader:
        for tile in cut(GRID.shape, 100):
            told_of = [(b.row, b.col) for b in reader.read(tile).unreadable]
            rows, cols = tile.slices
            touched = [
                (b.row, b.col)
                for b in blocks
                if b.row < rows.stop and rows.start < b.row + b.height
                if b.col < cols.stop and cols.start < b.col + b.width
            ]
            assert told_of == sorted(touched)


def test_the_memory_of_a_slot_holds_the_same(damaged: tuple[Layer, list[Tile]]) -> None:
    layer, _ = damaged
    slot = Ring(1, (layer,), GRID.height * GRID.width).acquire()
    whole = Tile(0, 0, 0, GRID.height, GRID.width)
    slot.arrays(whole)[0][0][...] = np.nan
    with StackReader(GRID, (layer,), on_error="nodata") as reader:
        fresh, held = reader.read(whole), reader.read(whole, slot)
    assert held.values[0].ctypes.data == slot.arrays(whole)[0][0].ctypes.data
    assert_same_bits(held.values[0], fresh.values[0])
    assert_same_bits(held.valid, fresh.valid)
    assert held.unreadable == fresh.unreadable


@pytest.mark.parametrize("keys", [{}, {"on_error": "stop"}])
def test_stop_is_an_error_and_the_default(damaged: tuple[Layer, list[Tile]], keys: dict) -> None:
    layer, blocks = damaged
    tile = Tile(0, blocks[0].row, blocks[0].col, 1, 1)
    with StackReader(GRID, (layer,), **keys) as reader, pytest.raises(Undecodable, match="'cu': /survey/cu"):
        reader.read(tile)


def test_other_words_are_refused() -> None:
    with pytest.raises(ValueError, match='"stop" or "nodata"'):
        StackReader(GRID, (Layer("cu", "index", Path("cu.tif"), 1, "float32"),), on_error="skip")


def test_a_map_of_ours_always_stops(damaged: tuple[Layer, list[Tile]]) -> None:
    layer = Layer(**{**vars(damaged[0]), "source": ""})
    with StackReader(GRID, (layer,), on_error="nodata") as reader, pytest.raises(DataError, match="cannot be decoded"):
        reader.read(Tile(0, 0, 0, *GRID.shape))


def test_the_study_area_always_stops(tmp_path: Path, damaged: tuple[Layer, list[Tile]]) -> None:
    noise = np.random.default_rng(0).integers(0, 2, GRID.shape).astype(np.uint8)
    mask = damage(write_on(tmp_path / "area.tif", GRID, noise, **TILED, compress="zstd"), [(0, 0)])
    with StackReader(GRID, (damaged[0],), mask, "nodata") as reader, pytest.raises(DataError, match="layer 'mask'"):
        reader.read(Tile(0, 0, 0, 10, 10))


def test_every_layer_loses_its_own_blocks(tmp_path: Path, values: np.ndarray) -> None:
    layers = []
    for name, key in (("a", (0, 0)), ("b", (1, 1))):
        path = damage(write_on(tmp_path / f"{name}.tif", GRID, values, **TILED, compress="deflate"), [key])
        layers.append(Layer(name, "index", path, 1, "float32", source=name))
    with StackReader(GRID, tuple(layers), on_error="nodata") as reader:
        slab = reader.read(Tile(0, 0, 0, 256, 128))
    assert [(b.layer, b.row, b.col) for b in slab.unreadable] == [("a", 0, 0), ("b", 128, 64)]
    assert not slab.valid[0, :128, :64].any()
    assert not slab.valid[1, 128:, 64:].any()
    assert slab.valid.sum() == 2 * 3 * 64 * 128


# -- masks


def masked_layer(path: Path, values: np.ndarray, shown: np.ndarray, side: int | None) -> tuple[Layer, Path | str]:
    """A layer with a mask of its own, in the file or beside it in blocks of `side` cells; and what to open it by."""
    write_on(path, GRID, values, **TILED, compress="deflate")
    layer = Layer("cu", "index", path, 1, "float32", masked=True, source="cu")
    if side is None:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
            file.write_mask(shown)
        return layer, f"GTIFF_DIR:2:{path}"
    beside = path.with_name(f"{path.name}.msk")
    write_on(
        beside, GRID, shown.astype(np.uint8) * 255, tiled=True, blockxsize=side, blockysize=side, compress="deflate"
    )
    with rasterio.open(beside, "r+") as file:
        file.update_tags(INTERNAL_MASK_FLAGS_1="2")
    return layer, beside


@pytest.mark.parametrize("size", [16, 100, 512])
@pytest.mark.parametrize(
    ("side", "lost"),
    [
        (None, [(128, 64)]),
        (32, [(0, 64)]),
        (256, [(row, col) for row in (0, 128) for col in (0, 64, 128, 192)]),
    ],
)
def test_where_its_mask_cannot_be_decoded_a_layer_is_missing_in_whole_blocks(
    tmp_path: Path, values: np.ndarray, size: int, side: int | None, lost: list[tuple[int, int]]
) -> None:
    shown = np.random.default_rng(4).random(GRID.shape) < 0.5
    layer, mask = masked_layer(tmp_path / "cu.tif", values, shown, side)
    key = {None: "1_1", 32: "3_2", 256: "0_0"}[side]  # in blocks of the mask
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(mask) as dataset:
            start = int(dataset.get_tag_item(f"BLOCK_OFFSET_{key}", "TIFF", 1))
    file = layer.path if side is None else Path(mask)
    content = bytearray(file.read_bytes())
    content[start : start + 24] = bytes(24)
    file.write_bytes(content)
    with StackReader(GRID, (layer,), on_error="nodata") as reader:
        found, valid, told_of = mosaic(map(reader.read, cut(GRID.shape, size)))
    expected, there = values.copy(), shown.copy()
    for row, col in lost:
        expected[row : row + 128, col : col + 64], there[row : row + 128, col : col + 64] = 0.0, False
    assert sorted((b.row, b.col) for b in told_of) == lost
    assert_same_bits(found, expected)
    assert_same_bits(valid, there)


# -- errors that pass


class Flaky:
    """A dataset whose reads fail while `failures` lasts."""

    failures: ClassVar[int] = 0
    opened: ClassVar[list[Flaky]] = []

    def __init__(self, path: Path) -> None:
        self._dataset = open_raster(path)
        self.closed = False
        Flaky.opened.append(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def read(self, *args: Any, **keys: Any) -> np.ndarray:
        if Flaky.failures > 0:
            Flaky.failures -= 1
            raise RasterioIOError("Input/output error")
        return self._dataset.read(*args, **keys)

    def close(self) -> None:
        self.closed = True
        self._dataset.close()


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> type[Flaky]:
    Flaky.failures, Flaky.opened = 0, []
    monkeypatch.setattr(reading, "open_raster", Flaky)
    return Flaky


@pytest.mark.parametrize("on_error", ["stop", "nodata"])
def test_an_error_that_passes_changes_nothing_and_is_counted(
    tmp_path: Path, values: np.ndarray, flaky: type[Flaky], on_error: str
) -> None:
    layer = Layer("cu", "index", write_on(tmp_path / "cu.tif", GRID, values), 1, "float32", source="cu")
    tile = Tile(0, 10, 20, 30, 40)
    with StackReader(GRID, (layer,), on_error=on_error) as reader:
        assert reader.retries == 0
        flaky.failures = 2
        slab = reader.read(tile)
        assert_same_bits(slab.values[0], values[tile.slices])
        assert slab.valid.all()
        assert not slab.unreadable
        assert reader.retries == 2
        assert [one.closed for one in flaky.opened] == [True, True, False]
        flaky.failures = 1
        reader.read(tile)
        assert reader.retries == 3
    assert all(one.closed for one in flaky.opened)


def test_an_error_that_stays_is_tried_three_times(tmp_path: Path, values: np.ndarray, flaky: type[Flaky]) -> None:
    layer = Layer("cu", "index", write_on(tmp_path / "cu.tif", GRID, values), 1, "float32", source="cu")
    with StackReader(GRID, (layer,)) as reader:
        flaky.failures = 100
        with pytest.raises(DataError, match=r"rows 0-4, columns 0-5: cannot be decoded \(Input/output error\)"):
            reader.read(Tile(0, 0, 0, 5, 6))
        assert flaky.failures == 100 - 1 - RETRIES
        assert reader.retries == RETRIES


def test_the_study_area_is_tried_again_too(tmp_path: Path, values: np.ndarray, flaky: type[Flaky]) -> None:
    area = np.ones(GRID.shape, np.uint8)
    with StackReader(GRID, (), write_on(tmp_path / "area.tif", GRID, area)) as reader:
        flaky.failures = 2
        assert reader.read(Tile(0, 0, 0, 5, 6)).inside.all()
        assert reader.retries == 2


def test_retries_of_all_threads_are_counted(tmp_path: Path, values: np.ndarray) -> None:
    path = damage(write_on(tmp_path / "cu.tif", GRID, values, **TILED, compress="deflate"), [(0, 0)])
    layer = Layer("cu", "index", path, 1, "float32", source="cu")

    def read(_: int) -> bool:
        with pytest.raises(Undecodable):
            reader.read(Tile(0, 0, 0, 9, 9))
        return True

    with StackReader(GRID, (layer,)) as reader, ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(40)))
        assert reader.retries == 40 * RETRIES


def test_a_block_that_is_known_to_fail_is_not_tried_again(tmp_path: Path, values: np.ndarray) -> None:
    path = damage(write_on(tmp_path / "cu.tif", GRID, values, **TILED, compress="deflate"), [(0, 0)])
    layer = Layer("cu", "index", path, 1, "float32", source="cu")
    with StackReader(GRID, (layer,), on_error="nodata") as reader:
        first = reader.read(Tile(0, 0, 0, 9, 9))
        tried = reader.retries
        assert tried == 2 * RETRIES, "the window, then its block"
        assert reader.read(Tile(1, 9, 9, 100, 100)).unreadable == first.unreadable
        assert reader.retries == tried


# -- one band


def test_one_band_without_an_array_to_read_into(damaged: tuple[Layer, list[Tile]], values: np.ndarray) -> None:
    layer, blocks = damaged
    bad = forgiving("nodata")
    with Reopening(layer.path, open_raster) as file:
        assert file.shape == GRID.shape
        raw, shown, lost = read_band(file, 1, blocks[0], masked=False, bad=bad)
        assert_same_bits(raw, np.zeros((blocks[0].height, blocks[0].width), np.float32))
        assert shown is not True
        assert not np.any(shown)
        assert lost == [blocks[0]]
        assert bad == {blocks[0]}
        with pytest.raises(RasterioIOError):
            read_band(file, 1, blocks[0], masked=False)
    assert windows(bad) == [[blocks[0].row, blocks[0].col, blocks[0].height, blocks[0].width]]
    assert windows(None) == []
    assert forgiving("stop") is None


def test_what_is_told() -> None:
    one = Unreadable("cu", "cu.tif", 2, 0, 64, 128, 64)
    assert told([]) == []
    (line,) = told([one, one])
    assert line == (
        "layer 'cu': cu.tif, band 2: 1 block cannot be decoded and counts as missing (rows 0-127, columns 64-127); "
        '[stream] on_error = "nodata"'
    )
    many = [Unreadable("au", "au.tif", 1, row, 0, 1, 9) for row in (5, 3, 1, 4, 2, 0)]
    assert told([one, *many])[0] == (
        "layer 'au': au.tif, band 1: 6 blocks cannot be decoded and count as missing (rows 0-0, columns 0-8; "
        "rows 1-1, columns 0-8; rows 2-2, columns 0-8; rows 3-3, columns 0-8; and 2 more); "
        '[stream] on_error = "nodata"'
    )
    assert len(told([one, *many])) == 2
