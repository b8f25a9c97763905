"""Tile files: every value comes back, the file is what its row says, and a changed byte is never taken for a map."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasters import make_grid
from stream.tiled import BYTE, EMPTY, FLOAT, FOUR, ODD_NAMES, OTHER, maps_on, part_of
from tolerances import assert_same_bits

from mpmjax.errors import DiskError
from mpmjax.products import MAP_NODATA, PRODUCTS, Product
from mpmjax.stream.tiles import cut
from mpmjax.stream.tilestore import PARTS, TileStore, crc
from mpmjax.types import Tile

SHAPES = ((1, 1), (1, 700), (700, 1), (16, 16), (17, 15), (512, 512), (513, 511), (100, 1300), (1025, 3))
ODD_FLOATS = (0.0, -0.0, MAP_NODATA, 1.0, np.nan, np.inf, -np.inf, 1e-45, 3.4e38, np.nextafter(np.float32(1), 0))


def odd_maps(height: int, width: int, seed: int, products: tuple[Product, ...] = FOUR) -> dict[str, np.ndarray]:
    """Any bits at all: NaN with a payload and denormals among the floats, all bytes."""
    rng = np.random.default_rng([seed, height, width])
    maps = {}
    for product in products:
        if product.dtype == "uint8":
            maps[product.name] = rng.integers(0, 256, (height, width), np.uint8)
        else:
            values = rng.integers(0, 2**32, (height, width), np.uint32).view(np.float32)
            plain = rng.random((height, width)) < 0.7
            values[plain] = rng.choice(np.array(ODD_FLOATS, np.float32), int(plain.sum()))
            maps[product.name] = values
    return maps


def written(folder: Path, height: int, width: int, products: tuple[Product, ...] = FOUR) -> tuple:
    store, maps = TileStore(folder, products), odd_maps(height, width, 0, products)
    store.make()
    return store, maps, store.write(Tile(7, 30, 40, height, width), maps, 5, {"outside": [1]})


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_every_bit_comes_back(tmp_path: Path, height: int, width: int) -> None:
    store, maps, row = written(tmp_path, height, width)
    found = store.read(row)
    assert found is not None
    assert found.keys() == maps.keys()
    for name, values in maps.items():
        assert_same_bits(found[name], values)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**31))
@settings(deadline=None, max_examples=20)
def test_every_bit_of_any_tile(tmp_path_factory: pytest.TempPathFactory, height: int, width: int, seed: int) -> None:
    store, maps = TileStore(tmp_path_factory.mktemp("tiles"), FOUR), odd_maps(height, width, seed)
    store.make()
    found = store.read(store.write(Tile(0, 0, 0, height, width), maps, 0, {}))
    assert found is not None
    for name, values in maps.items():
        assert_same_bits(found[name], values)


@pytest.mark.parametrize("products", [(FLOAT,), (BYTE,), (FLOAT, OTHER), (BYTE, EMPTY), tuple(PRODUCTS), FOUR[::-1]])
def test_products_of_one_dtype_only_and_in_any_order(tmp_path: Path, products: tuple[Product, ...]) -> None:
    store, maps, row = written(tmp_path, 20, 30, products)
    found = store.read(row)
    assert found is not None
    for name, values in maps.items():
        assert_same_bits(found[name], values)
    assert [size > 0 for size in row.sizes] == [any(p.dtype == d for p in products) for d in PARTS]
    assert row.crcs == tuple(zlib.crc32(maps[product.name].tobytes()) for product in products)


def test_the_file_is_what_the_row_says(tmp_path: Path) -> None:
    store, _, row = written(tmp_path, 33, 47)
    content = store.path(7).read_bytes()
    assert [path.name for path in store.folder.iterdir()] == ["0000007.tile"]
    assert row.sha256 == hashlib.sha256(content).hexdigest()
    assert sum(row.sizes) == len(content)
    assert (row.index, row.window, row.cells, row.facts) == (7, (30, 40, 33, 47), 5, {"outside": [1]})


def test_the_same_maps_are_the_same_bytes(tmp_path: Path) -> None:
    rows = [written(tmp_path / name, 70, 90)[2] for name in ("a", "b")]
    assert rows[0] == rows[1]


def test_maps_that_are_no_whole_arrays(tmp_path: Path) -> None:
    """Windows of larger maps and other memory orders: values and checksums are those of a copy."""
    store, grid = TileStore(tmp_path, FOUR), make_grid(90, 60)
    store.make()
    maps = maps_on(grid)
    for tile in cut(grid.shape, 37):
        views = {name: np.asfortranarray(values)[tile.slices] for name, values in maps.items()}
        row = store.write(tile, views, 0, {})
        assert row.crcs == tuple(zlib.crc32(part_of(maps, tile)[p.name].tobytes()) for p in FOUR)
        found = store.read(row)
        assert found is not None
        for name, values in part_of(maps, tile).items():
            assert_same_bits(found[name], np.ascontiguousarray(values))


def test_crc_is_of_the_values_row_by_row() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert crc(values) == crc(np.asfortranarray(values)) == zlib.crc32(values.tobytes())
    assert crc(values.T) != crc(values)
    assert crc(np.array([0.0], np.float32)) != crc(np.array([-0.0], np.float32))


# -- read where they stand


@pytest.mark.parametrize("name", ["plain", *ODD_NAMES])
def test_parts_are_read_by_gdal_where_they_stand(tmp_path: Path, name: str) -> None:
    store, maps, row = written(tmp_path / name, 40, 50)
    for product in FOUR:
        part, band = store.place(product)
        inside = f"/vsisubfile/{sum(row.sizes[:part])}_{row.sizes[part]},{store.path(7)}"
        with rasterio.open(inside, driver="GTiff") as dataset:
            assert_same_bits(dataset.read(band), maps[product.name])
            assert dataset.nodata == product.nodata
            assert dataset.dtypes == (product.dtype,) * 2


def test_one_band_can_be_read_without_the_others(tmp_path: Path) -> None:
    """Bands are not interleaved: joining one map decodes that map."""
    store, _, row = written(tmp_path, 40, 50)
    with rasterio.open(f"/vsisubfile/0_{row.sizes[0]},{store.path(7)}", driver="GTiff") as dataset:
        assert dataset.interleaving.name == "band"
        assert dataset.compression.name == "zstd"
        assert dataset.block_shapes == [(48, 64)] * 2


# -- what is not as it was


def test_any_changed_byte_is_seen(tmp_path: Path) -> None:
    store, _, row = written(tmp_path, 20, 30)
    path = store.path(7)
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert store.read(row) is None, f"byte {place}"
    for changed in (b"", content[:-1], content + b"\0", content[::-1], bytes(len(content))):
        path.write_bytes(changed)
        assert store.read(row) is None
    path.write_bytes(content)
    assert store.read(row) is not None
    path.unlink()
    assert store.read(row) is None
    path.mkdir()
    assert store.read(row) is None, "an error of the system is a tile that is not there"


def test_written_again_it_is_the_new_one(tmp_path: Path) -> None:
    store, _, old = written(tmp_path, 20, 30)
    maps = odd_maps(20, 30, 1)
    new = store.write(Tile(7, 30, 40, 20, 30), maps, 5, {})
    assert store.read(old) is None
    found = store.read(new)
    assert found is not None
    assert_same_bits(found[FLOAT.name], maps[FLOAT.name])


def test_remove_takes_unfinished_files_too(tmp_path: Path) -> None:
    store, _, _ = written(tmp_path, 20, 30)
    (store.folder / ".0000009.tile.part").write_bytes(b"half")
    store.remove()
    assert not store.folder.exists()
    store.remove()
    store.make()
    store.make()
    assert list(tmp_path.iterdir()) == [store.folder]


def test_no_place_for_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DiskError, match="file/tiles: cannot be made: Not a directory"):
        TileStore(tmp_path / "file", FOUR).make()
    store = TileStore(tmp_path / "gone", FOUR)
    with pytest.raises(DiskError, match=r"0000003\.tile: cannot be written: No such file"):
        store.write(Tile(3, 0, 0, 20, 30), odd_maps(20, 30, 0), 0, {})


def test_a_full_disk_leaves_no_tile(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        import numpy as np
        from mpmjax.errors import DiskError
        from mpmjax.products import PRODUCTS
        from mpmjax.stream.tilestore import TileStore
        from mpmjax.types import Tile

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store, whole = TileStore(Path(sys.argv[1]), PRODUCTS[:1]), int(sys.argv[2])
        store.make()
        maps = {PRODUCTS[0].name: np.random.default_rng(0).random((300, 300), np.float32)}
        for size in (0, 1000, whole // 2, whole - 1, whole):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            try:
                store.write(Tile(0, 0, 0, 300, 300), maps, 0, {})
                print("written")
            except DiskError as error:
                print(error)
            print([path.name for path in store.folder.iterdir()])
        """
    )
    store = TileStore(tmp_path / "here", (FLOAT,))
    store.make()
    noise = {FLOAT.name: np.random.default_rng(0).random((300, 300), np.float32)}
    row = store.write(Tile(0, 0, 0, 300, 300), noise, 0, {})
    command = [sys.executable, "-c", code, str(tmp_path / "there"), str(row.sizes[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    lines = done.stdout.splitlines()
    assert len(lines) == 10, done.stdout + done.stderr
    for said, left in zip(lines[:8:2], lines[1:8:2], strict=True):
        assert "0000000.tile: cannot be written: File too large" in said
        assert left == "[]"
    assert lines[8:] == ["written", "['0000000.tile']"]
