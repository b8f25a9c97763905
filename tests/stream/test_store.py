"""Working maps written in order: whole when they are left, COGs of the same bytes, a full disk never silent."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasters import make_grid
from stream.tiled import BYTE, EMPTY, FLOAT, cog_of_tiles, maps_on
from tolerances import assert_same_bits

from mpmjax.errors import DiskError
from mpmjax.products import CLASSES, PRODUCTS, Product
from mpmjax.stream.layerfile import window_of
from mpmjax.stream.store import MapStore
from mpmjax.stream.tiles import cut, strips
from mpmjax.types import Grid, Tile

GRID = make_grid(1300, 1100)
THREE = (FLOAT, BYTE, EMPTY)


def write_all(
    folder: Path, grid: Grid, maps: dict[str, np.ndarray], tiles: list[Tile], products: tuple[Product, ...] = THREE,
    tiled: bool = True,
) -> MapStore:  # fmt: skip
    with MapStore(folder, grid, products, tiled) as store:
        for tile in tiles:
            store.write(tile, {product.name: maps[product.name][tile.slices] for product in products})
    return store


@pytest.fixture(scope="module")
def maps() -> dict[str, np.ndarray]:
    return maps_on(GRID)


@pytest.mark.parametrize("size", [256, 1000, 4096, "strips"])
def test_the_cog_of_a_working_map_is_that_of_tiles(
    maps: dict, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, size: int | str
) -> None:
    shared = tmp_path_factory.getbasetemp() / "cogs-of-tiles"
    tiles = strips(GRID) if isinstance(size, str) else cut(GRID.shape, size)
    store = write_all(tmp_path / "scratch", GRID, maps, tiles)
    for product in THREE:
        made = store.publish(product, tmp_path)
        assert made == tmp_path / f"{product.name}.tif"
        wanted = shared / f"{product.name}.tif"
        if not wanted.exists():
            cog_of_tiles(shared, GRID, maps, cut(GRID.shape, 512), product)
        assert made.read_bytes() == wanted.read_bytes()
    assert not list((tmp_path / "scratch").iterdir()), "no working file, no .aux.xml"


def test_what_was_written_can_be_read_before_it_is_published(maps: dict, tmp_path: Path) -> None:
    for tiled in (True, False):
        store = write_all(tmp_path, GRID, maps, strips(GRID), tiled=tiled)
        for product in THREE:
            with rasterio.open(store.path(product)) as dataset:
                assert_same_bits(dataset.read(1), maps[product.name])
                assert dataset.block_shapes == [(512, 512)] if tiled else dataset.block_shapes[0][1] == GRID.width
                assert dataset.nodata == product.nodata
                assert dataset.transform == GRID.transform


def test_every_product_of_a_run_can_be_published(tmp_path: Path) -> None:
    grid, products = make_grid(30, 20), (*PRODUCTS, CLASSES)
    maps = {product.name: np.ones((20, 30), product.dtype) for product in products}
    store = write_all(tmp_path / "scratch", grid, maps, cut(grid.shape, 16), products)
    for product in products:
        store.publish(product, tmp_path)
    assert {path.stem for path in tmp_path.glob("*.tif")} == {product.name for product in products}


def test_values_in_another_dtype_are_those_that_are_read_back(tmp_path: Path) -> None:
    """A float64 array for a float32 map: what is checked is what was stored."""
    grid = make_grid(7, 3)
    values = np.random.default_rng(0).random((3, 7))
    with MapStore(tmp_path, grid, [FLOAT]) as store:
        store.write(Tile(0, 0, 0, 3, 7), {FLOAT.name: values})
    with rasterio.open(store.publish(FLOAT, tmp_path)) as dataset:
        assert_same_bits(dataset.read(1), values.astype(np.float32))


# -- what goes wrong


def test_an_exception_in_the_pass_closes_all_and_builds_nothing(tmp_path: Path) -> None:
    store = MapStore(tmp_path / "scratch", make_grid(300, 300), THREE)
    with pytest.raises(ValueError, match="score"), store:
        raise ValueError("score")
    assert not list(tmp_path.glob("*.tif"))
    for product in THREE:  # closed: another writer may have it
        with rasterio.open(store.path(product), "r+") as dataset:
            dataset.write(np.ones((5, 5), product.dtype), 1, window=window_of(Tile(0, 0, 0, 5, 5)))


def test_a_working_file_that_lost_a_tile_is_found_on_leaving(tmp_path: Path) -> None:
    grid = make_grid(1100, 1100)
    store = MapStore(tmp_path / "scratch", grid, [FLOAT])

    def pass_over() -> None:
        with store:
            for tile in cut(grid.shape, 512):
                store.write(tile, {FLOAT.name: np.full((tile.height, tile.width), tile.index, np.float32)})
            # As a lost write would leave it.
            window = window_of(Tile(0, 700, 700, 9, 9))
            store._open[FLOAT.name].write(np.zeros((9, 9), np.float32), 1, window=window)

    with pytest.raises(DiskError, match=r"prospectivity\.work\.tif: what was written does not come back"):
        pass_over()


@pytest.mark.parametrize("harm", ["header", "block", "gone", "another map"])
def test_a_damaged_working_file_gives_no_cog(tmp_path: Path, harm: str) -> None:
    grid = make_grid(1100, 1100)
    noise = np.random.default_rng(0).random(grid.shape, np.float32)
    store = write_all(tmp_path / "scratch", grid, {FLOAT.name: noise}, cut(grid.shape, 512), (FLOAT,))
    work = store.path(FLOAT)
    content = bytearray(work.read_bytes())
    if harm == "another map":  # that GDAL decodes without a word
        write_all(tmp_path / "scratch", grid, {FLOAT.name: noise[::-1]}, cut(grid.shape, 512), (FLOAT,))
    elif harm == "gone":
        work.unlink()
    else:
        with rasterio.open(work) as dataset:
            start = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", 1))
        where = 0 if harm == "header" else start
        content[where : where + 64] = bytes(64)
        work.write_bytes(content)
    with pytest.raises(DiskError, match=r"prospectivity\.(work\.)?tif: ") as seen:
        store.publish(FLOAT, tmp_path)
    assert seen.value.exit_status == 4
    assert not (tmp_path / "prospectivity.tif").exists()


def test_no_folder_to_put_it(tmp_path: Path) -> None:
    maps, grid = {FLOAT.name: np.ones((30, 40), np.float32)}, make_grid(40, 30)
    store = write_all(tmp_path / "scratch", grid, maps, cut(grid.shape, 512), (FLOAT,))
    with pytest.raises(DiskError, match=r"none/prospectivity\.tif: cannot be written"):
        store.publish(FLOAT, tmp_path / "none")


def test_a_full_disk_is_never_silent(tmp_path: Path) -> None:
    # Files of a process may be cut at a size by the system, as by a full disk: writes then fail, or fail at closing.
    code = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        import numpy as np
        from mpmjax.errors import DiskError
        from mpmjax.products import PRODUCTS
        from mpmjax.stream.store import MapStore
        from mpmjax.stream.tiles import cut
        from mpmjax.types import Grid
        from affine import Affine

        folder, whole = Path(sys.argv[1]), int(sys.argv[2])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        grid = Grid("EPSG:32639", Affine(60, 0, 0, 0, -60, 0), 700, 600)
        noise = np.random.default_rng(0).random(grid.shape, np.float32)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        for number, size in enumerate((1000, whole // 2, whole - 3000, whole - 300, whole - 1)):
            output = folder / str(number)
            output.mkdir()
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
            try:
                with MapStore(output / "scratch", grid, PRODUCTS[:1]) as store:
                    for tile in cut(grid.shape, 256):
                        store.write(tile, {"prospectivity": noise[tile.slices]})
                store.publish(PRODUCTS[0], output)
                said = "done"
            except DiskError as error:
                said = f"DiskError {error}"
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            print(size, (output / "prospectivity.tif").exists(), said.replace(chr(10), " "))
        """
    )
    grid = make_grid(700, 600)
    maps = {FLOAT.name: np.random.default_rng(0).random(grid.shape, np.float32)}
    store = write_all(tmp_path / "scratch", grid, maps, cut(grid.shape, 256), (FLOAT,))
    whole = store.path(FLOAT).stat().st_size
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(whole)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 5, done.stdout + done.stderr
    for line in lines:
        assert re.match(r"\d+ False DiskError .*prospectivity\.(work\.)?tif", line), line
