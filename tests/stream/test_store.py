"""Maps of a pass and their COGs: same bytes by any tiles, a layout that every GIS reads, a full disk never silent."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from rasters import make_grid
from tolerances import assert_same_bits

from mpmjax.errors import DiskError
from mpmjax.products import CLASSES, MAP_NODATA, PRODUCTS, Product
from mpmjax.stream.store import MapStore, build_cogs
from mpmjax.stream.tiles import cut, strips
from mpmjax.types import Grid

GRID = make_grid(1300, 1100)
FLOAT, BYTE = (next(product for product in PRODUCTS if product.name == name) for name in ("prospectivity", "groups"))
EMPTY = Product("empty", "uint8", "nothing in it")
THREE = (FLOAT, BYTE, EMPTY)


def maps_on(grid: Grid) -> dict[str, np.ndarray]:
    """A float map, a class map and one of nodata alone; the first two with holes, one as large as a block."""
    rows, cols = np.mgrid[: grid.height, : grid.width].astype(np.float32)
    field = (0.5 + 0.5 * np.sin(rows / 37) * np.cos(cols / 23)).astype(np.float32)
    groups = np.where(field > 0.5, 9, 2).astype(np.uint8)  # a mean of classes would be another class
    hole = (rows // 100 + cols // 130) % 4 == 0
    hole[:512, :512] = True
    return {
        FLOAT.name: np.where(hole, np.float32(MAP_NODATA), field),
        BYTE.name: np.where(hole, 0, groups).astype(np.uint8),
        EMPTY.name: np.zeros(grid.shape, np.uint8),
    }


def write_all(folder: Path, grid: Grid, maps: dict[str, np.ndarray], size: int, products: tuple = THREE) -> MapStore:
    with MapStore(folder, grid, products) as store:
        for tile in cut(grid.shape, size):
            store.write(tile, {name: values[tile.slices] for name, values in maps.items()})
    return store


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    output, maps = tmp_path_factory.mktemp("maps"), maps_on(GRID)
    build_cogs(write_all(output / "scratch", GRID, maps, 512), output, THREE, 2)
    return output, maps


@pytest.mark.parametrize("size", [128, 256, 1000, 4096])
def test_the_same_bytes_whatever_the_tiles_and_workers(built: tuple, tmp_path: Path, size: int) -> None:
    output, maps = built
    paths = build_cogs(write_all(tmp_path / "scratch", GRID, maps, size), tmp_path, THREE, size % 3 + 1)
    assert paths == [tmp_path / f"{product.name}.tif" for product in THREE]
    for product in THREE:
        assert (tmp_path / f"{product.name}.tif").read_bytes() == (output / f"{product.name}.tif").read_bytes()


def test_by_strips_as_targets_writes_its_classes(built: tuple, tmp_path: Path) -> None:
    output, maps = built
    with MapStore(tmp_path / "scratch", GRID, [BYTE]) as store:
        for strip in strips(GRID):
            store.write(strip, {BYTE.name: maps[BYTE.name][strip.slices]})
    build_cogs(MapStore(tmp_path / "scratch", GRID, [BYTE]), tmp_path, [BYTE], 1)
    assert (tmp_path / "groups.tif").read_bytes() == (output / "groups.tif").read_bytes()


def test_what_was_written_comes_back_and_nothing_else_lies_there(built: tuple) -> None:
    output, maps = built
    for product in THREE:
        with rasterio.open(output / f"{product.name}.tif") as dataset:
            assert_same_bits(dataset.read(1), maps[product.name])
            assert dataset.crs.to_epsg() == 32639
            assert dataset.transform == GRID.transform
            assert dataset.nodata == product.nodata == (0 if product.dtype == "uint8" else -9999)
            assert dataset.dtypes == (product.dtype,)
    assert sorted(path.name for path in output.iterdir()) == ["empty.tif", "groups.tif", "prospectivity.tif", "scratch"]
    assert not list((output / "scratch").iterdir()), "no working file, no .aux.xml"


def test_what_a_gis_needs_is_in_the_file(built: tuple) -> None:
    output, maps = built
    for product in (FLOAT, BYTE):
        with rasterio.open(output / f"{product.name}.tif") as dataset:
            assert dataset.descriptions == (product.description,)
            assert dataset.units == ("1",)
            assert dataset.block_shapes == [(512, 512)]
            assert dataset.overviews(1) == [2, 4], "down to one block"
            assert dataset.compression.value == "DEFLATE", "read by every GIS"
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            statistics = {key: float(value) for key, value in dataset.tags(1).items() if key.startswith("STATISTICS")}
        there = maps[product.name][maps[product.name] != product.nodata].astype(np.float64)
        assert statistics["STATISTICS_MINIMUM"] == pytest.approx(there.min(), abs=1e-9)
        assert statistics["STATISTICS_MAXIMUM"] == pytest.approx(there.max(), abs=1e-9)
        assert statistics["STATISTICS_MEAN"] == pytest.approx(there.mean(), abs=1e-6)
        assert statistics["STATISTICS_STDDEV"] == pytest.approx(there.std(), abs=1e-6)


def test_overviews_leave_nodata_out_and_invent_no_class(built: tuple) -> None:
    output, maps = built
    with rasterio.open(output / "prospectivity.tif", overview_level=0) as dataset:
        half = dataset.read(1)
    values = np.where(maps[FLOAT.name] == MAP_NODATA, np.nan, maps[FLOAT.name]).astype(np.float64)
    blocks = values.reshape(GRID.height // 2, 2, GRID.width // 2, 2)
    with np.errstate(invalid="ignore"):
        mean = np.nansum(blocks, (1, 3)) / np.isfinite(blocks).sum((1, 3))
    assert np.array_equal(half == MAP_NODATA, np.isnan(mean))
    assert np.nanmax(np.abs(np.where(half == MAP_NODATA, np.nan, half) - mean)) < 1e-6
    with rasterio.open(output / "groups.tif", overview_level=1) as dataset:
        assert set(np.unique(dataset.read(1))) <= set(np.unique(maps[BYTE.name]))


def tiff_directories(content: bytes) -> list[dict[int, tuple[int, int]]]:
    """Tags of a little-endian classic TIFF: number -> (count, value or offset), one dict a directory."""
    assert content[:4] == b"II*\0"
    found, at = [], int.from_bytes(content[4:8], "little")
    while at:
        count = int.from_bytes(content[at : at + 2], "little")
        tags = {}
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            number, size = (int.from_bytes(content[entry + i : entry + j], "little") for i, j in ((0, 2), (4, 8)))
            tags[number] = (size, int.from_bytes(content[entry + 8 : entry + 12], "little"))
        found.append(tags)
        at = int.from_bytes(content[at + 2 + 12 * count : at + 6 + 12 * count], "little")
    return found


def test_the_layout_is_that_of_a_cog_by_its_bytes(built: tuple) -> None:
    output, _ = built
    for product in (FLOAT, BYTE):
        content = (output / f"{product.name}.tif").read_bytes()
        assert b"LAYOUT=IFDS_BEFORE_DATA" in content[:400]
        directories = tiff_directories(content)
        assert len(directories) == 3, "full size and two overviews"
        widths = [tags[256][1] for tags in directories]
        assert widths == [1300, 650, 325]
        firsts = []
        for tags in directories:
            assert 322 in tags, "tiled"
            count, where = tags[324]
            offsets = [where] if count == 1 else np.frombuffer(content, "<u4", count, where).tolist()
            firsts.append(min(offset for offset in offsets if offset))
        assert firsts == sorted(firsts, reverse=True), "smallest overview first, full size last"


def test_a_map_smaller_than_a_block(tmp_path: Path) -> None:
    grid = make_grid(7, 3)
    maps = {FLOAT.name: np.linspace(0, 1, 21, dtype=np.float32).reshape(3, 7)}
    (path,) = build_cogs(write_all(tmp_path / "scratch", grid, maps, 512, (FLOAT,)), tmp_path, [FLOAT], 1)
    with rasterio.open(path) as dataset:
        assert_same_bits(dataset.read(1), maps[FLOAT.name])
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_a_crs_without_a_code_survives(tmp_path: Path) -> None:
    wkt = rasterio.CRS.from_string("+proj=laea +lat_0=33 +lon_0=52 +datum=WGS84 +units=m").to_wkt()
    grid = Grid(wkt, GRID.transform, 40, 30)
    maps = {FLOAT.name: np.ones((30, 40), np.float32)}
    (path,) = build_cogs(write_all(tmp_path / "scratch", grid, maps, 512, (FLOAT,)), tmp_path, [FLOAT], 1)
    with rasterio.open(path) as dataset:
        assert dataset.crs == rasterio.CRS.from_wkt(wkt)


def test_every_product_of_a_run_can_be_built(tmp_path: Path) -> None:
    grid, products = make_grid(30, 20), (*PRODUCTS, CLASSES)
    maps = {product.name: np.ones((20, 30), product.dtype) for product in products}
    build_cogs(write_all(tmp_path / "scratch", grid, maps, 16, products), tmp_path, products, 2)
    assert {path.stem for path in tmp_path.glob("*.tif")} == {product.name for product in products}


# -- what goes wrong


def test_an_exception_in_the_pass_closes_all_and_builds_nothing(tmp_path: Path) -> None:
    store = MapStore(tmp_path / "scratch", make_grid(300, 300), THREE)
    with pytest.raises(ValueError, match="score"), store:
        raise ValueError("score")
    assert not list(tmp_path.glob("*.tif"))
    for product in THREE:  # closed: another writer may have it
        with rasterio.open(store.path(product), "r+") as dataset:
            dataset.write(np.ones((5, 5), product.dtype), 1, window=Window(0, 0, 5, 5))


def test_a_working_file_that_lost_a_tile_is_found_on_leaving(tmp_path: Path) -> None:
    grid = make_grid(1100, 1100)
    store = MapStore(tmp_path / "scratch", grid, [FLOAT])

    def pass_over() -> None:
        with store:
            for tile in cut(grid.shape, 512):
                store.write(tile, {FLOAT.name: np.full((tile.height, tile.width), tile.index, np.float32)})
            writer = store._open[FLOAT.name]
            writer.write(
                np.zeros((9, 9), np.float32), 1, window=Window(700, 700, 9, 9)
            )  # as a lost write would leave it

    with pytest.raises(DiskError, match=r"prospectivity\.work\.tif: what was written does not come back"):
        pass_over()


@pytest.mark.parametrize("harm", ["header", "block", "gone"])
def test_a_damaged_working_file_gives_no_cog(tmp_path: Path, harm: str) -> None:
    grid = make_grid(1100, 1100)
    noise = np.random.default_rng(0).random(grid.shape, np.float32)
    store = write_all(tmp_path / "scratch", grid, {FLOAT.name: noise}, 512, (FLOAT,))
    work = store.path(FLOAT)
    content = bytearray(work.read_bytes())
    with rasterio.open(work) as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", 1))
    where = 0 if harm == "header" else start
    content[where : where + 64] = bytes(64)
    work.write_bytes(content)
    if harm == "gone":
        work.unlink()
    with pytest.raises(DiskError, match=r"prospectivity\.(work\.)?tif: ") as seen:
        build_cogs(store, tmp_path, [FLOAT], 1)
    assert seen.value.exit_status == 4
    assert not (tmp_path / "prospectivity.tif").exists()


def test_no_folder_to_put_it(tmp_path: Path) -> None:
    maps = {FLOAT.name: np.ones((30, 40), np.float32)}
    store = write_all(tmp_path / "scratch", make_grid(40, 30), maps, 512, (FLOAT,))
    with pytest.raises(DiskError, match=r"none/prospectivity\.tif: cannot be written"):
        build_cogs(store, tmp_path / "none", [FLOAT], 1)


def test_a_full_disk_is_never_silent(tmp_path: Path) -> None:
    # Files of a process may be cut at a size by the system, as by a full disk: writes then fail, or fail at closing.
    code = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        import numpy as np
        from mpmjax.errors import DiskError
        from mpmjax.products import PRODUCTS
        from mpmjax.stream.store import MapStore, build_cogs
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
                build_cogs(store, output, PRODUCTS[:1], 1)
                said = "done"
            except DiskError as error:
                said = f"DiskError {error}"
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            print(size, (output / "prospectivity.tif").exists(), said.replace(chr(10), " "))
        """
    )
    grid = make_grid(700, 600)
    maps = {FLOAT.name: np.random.default_rng(0).random(grid.shape, np.float32)}
    store = write_all(tmp_path / "scratch", grid, maps, 256, (FLOAT,))
    whole = store.path(FLOAT).stat().st_size
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(whole)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 5, done.stdout + done.stderr
    for line in lines:
        assert re.match(r"\d+ False DiskError .*prospectivity\.(work\.)?tif", line), line
