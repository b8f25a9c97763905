"""COGs of tiles: the bytes of a COG of the whole map, whatever the tiles and whatever the folder is called."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasters import make_grid
from stream.tiled import BYTE, EMPTY, FLOAT, FOUR, ODD_NAMES, OTHER, cog_of_tiles, maps_on, part_of, write_tiles
from tolerances import assert_same_bits

from mpmjax.errors import DiskError
from mpmjax.products import CLASSES, MAP_NODATA, PRODUCTS, Product
from mpmjax.stream.mosaic import build_cog, damaged_tiles, join_tiles, lost, publish_cog
from mpmjax.stream.store import MapStore
from mpmjax.stream.tiles import cut, plan_tiles
from mpmjax.stream.tilestore import crc
from mpmjax.types import Grid, Tile

GRID = make_grid(1300, 1100)
SMALL = make_grid(90, 70)
WHOLE = Tile(0, 0, 0, 1100, 1300)


@pytest.fixture(scope="module")
def maps() -> dict[str, np.ndarray]:
    return maps_on(GRID)


@pytest.fixture(scope="module")
def built(maps: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> dict[Product, Path]:
    """From one array each, by rasterio."""
    folder, made = tmp_path_factory.mktemp("whole"), {}
    for product in FOUR:
        with MapStore(folder, GRID, [product]) as store:
            store.write(WHOLE, {product.name: maps[product.name]})
        made[product] = build_cog(store.path(product), folder / f"{product.name}.tif", product)
    return made


def cuts() -> dict[str, list[Tile]]:
    return {
        "128": cut(GRID.shape, 128), "256": cut(GRID.shape, 256), "300": cut(GRID.shape, 300),
        "one": cut(GRID.shape, 2048), "strips of one block": plan_tiles(GRID.shape, 512, [(1, 1300)]),
        "columns": plan_tiles(GRID.shape, 300, [(1100, 16)]), "odd": plan_tiles(GRID.shape, 333, [(77, 91)]),
    }  # fmt: skip


@pytest.mark.parametrize("name", cuts())
@pytest.mark.parametrize("product", [FLOAT, BYTE], ids=["float", "byte"])
def test_the_bytes_do_not_depend_on_the_tiles(
    maps: dict, built: dict, tmp_path: Path, name: str, product: Product
) -> None:
    made = cog_of_tiles(tmp_path, GRID, maps, cuts()[name], product)
    assert made.read_bytes() == built[product].read_bytes()


@pytest.mark.parametrize("product", [OTHER, EMPTY], ids=["second float", "nothing but nodata"])
def test_the_other_band_of_a_part(maps: dict, built: dict, tmp_path: Path, product: Product) -> None:
    made = cog_of_tiles(tmp_path, GRID, maps, cut(GRID.shape, 600), product)
    assert made.read_bytes() == built[product].read_bytes()


@pytest.mark.parametrize("product", FOUR, ids=lambda product: product.name)
def test_what_was_written_comes_back(maps: dict, built: dict, product: Product) -> None:
    with rasterio.open(built[product]) as dataset:
        assert_same_bits(dataset.read(1), maps[product.name])
        assert dataset.crs.to_epsg() == 32639
        assert dataset.transform == GRID.transform
        assert dataset.nodata == product.nodata == (0 if product.dtype == "uint8" else -9999)
        assert dataset.dtypes == (product.dtype,)
        assert dataset.descriptions == (product.description,)
        assert dataset.units == ("1",)
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.overviews(1) == [2, 4], "down to one block"
        assert dataset.compression.value == "DEFLATE", "read by every GIS"
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


@pytest.mark.parametrize("product", [FLOAT, OTHER, BYTE], ids=lambda product: product.name)
def test_statistics_are_those_of_the_map(maps: dict, built: dict, product: Product) -> None:
    with rasterio.open(built[product]) as dataset:
        found = {key: float(value) for key, value in dataset.tags(1).items() if key.startswith("STATISTICS")}
    there = maps[product.name][maps[product.name] != product.nodata].astype(np.float64)
    assert found["STATISTICS_MINIMUM"] == pytest.approx(there.min(), abs=1e-9)
    assert found["STATISTICS_MAXIMUM"] == pytest.approx(there.max(), abs=1e-9)
    assert found["STATISTICS_MEAN"] == pytest.approx(there.mean(), abs=1e-6)
    assert found["STATISTICS_STDDEV"] == pytest.approx(there.std(), abs=1e-6)


def test_overviews_leave_nodata_out_and_invent_no_class(maps: dict, built: dict) -> None:
    with rasterio.open(built[FLOAT], overview_level=0) as dataset:
        half = dataset.read(1)
    values = np.where(maps[FLOAT.name] == MAP_NODATA, np.nan, maps[FLOAT.name]).astype(np.float64)
    blocks = values.reshape(GRID.height // 2, 2, GRID.width // 2, 2)
    with np.errstate(invalid="ignore"):
        mean = np.nansum(blocks, (1, 3)) / np.isfinite(blocks).sum((1, 3))
    assert np.array_equal(half == MAP_NODATA, np.isnan(mean))
    assert np.nanmax(np.abs(np.where(half == MAP_NODATA, np.nan, half) - mean)) < 1e-6
    with rasterio.open(built[BYTE], overview_level=1) as dataset:
        shown = dataset.read(1)
    assert set(np.unique(shown)) == {0, 2, 9}, "the most frequent class of a block"


def test_overviews_of_classes_are_the_most_frequent_one(tmp_path: Path) -> None:
    grid = make_grid(1024, 1024)
    values = np.full(grid.shape, 3, np.uint8)
    values[::2, ::2] = 200  # one in four, which the nearest cell would show
    made = cog_of_tiles(tmp_path, grid, {**maps_on(grid), BYTE.name: values}, cut(grid.shape, 512), BYTE)
    with rasterio.open(made, overview_level=0) as dataset:
        assert (dataset.read(1) == 3).all()


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


@pytest.mark.parametrize("product", [FLOAT, BYTE], ids=["float", "byte"])
def test_the_layout_is_that_of_a_cog_by_its_bytes(built: dict, product: Product) -> None:
    content = built[product].read_bytes()
    assert b"LAYOUT=IFDS_BEFORE_DATA" in content[:400]
    directories = tiff_directories(content)
    assert [tags[256][1] for tags in directories] == [1300, 650, 325], "full size and two overviews"
    firsts = []
    for tags in directories:
        assert 322 in tags, "tiled"
        count, where = tags[324]
        offsets = [where] if count == 1 else np.frombuffer(content, "<u4", count, where).tolist()
        firsts.append(min(offset for offset in offsets if offset))
    assert firsts == sorted(firsts, reverse=True), "smallest overview first, full size last"


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (1, 600), (600, 1), (512, 512), (513, 512)])
def test_maps_of_any_size(tmp_path: Path, shape: tuple[int, int]) -> None:
    grid = make_grid(shape[1], shape[0])
    maps = {p.name: np.random.default_rng(1).integers(0, 9, shape).astype(p.dtype) for p in FOUR}
    for product in (FLOAT, BYTE):
        folder = tmp_path / product.name
        with rasterio.open(cog_of_tiles(folder, grid, maps, cut(shape, 500), product)) as dataset:
            assert_same_bits(dataset.read(1), maps[product.name])
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


# -- where it lies


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    """Paths go through XML and through GDAL's own syntax."""
    maps, tiles = maps_on(SMALL), cut(SMALL.shape, 40)
    made = cog_of_tiles(tmp_path / name, SMALL, maps, tiles, BYTE)
    assert made.read_bytes() == cog_of_tiles(tmp_path / "plain", SMALL, maps, tiles, BYTE).read_bytes()


def test_a_folder_that_is_named_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    maps = maps_on(SMALL)
    made = cog_of_tiles(Path("out put"), SMALL, maps, cut(SMALL.shape, 40), FLOAT)
    with rasterio.open(made) as dataset:
        assert_same_bits(dataset.read(1), maps[FLOAT.name])


@pytest.mark.parametrize("corner", [0.1, 1 / 3, 639_999.999_999_9, 6.5e6 + 1e-9])
def test_the_place_is_exact(tmp_path: Path, corner: float) -> None:
    """To the last bit of the corner and of cells that are no round number."""
    grid = make_grid(90, 70, cell=1000 / 7, left=corner, top=corner)
    with rasterio.open(cog_of_tiles(tmp_path, grid, maps_on(grid), cut(grid.shape, 40), FLOAT)) as dataset:
        assert dataset.transform == grid.transform


def test_a_crs_without_a_code_survives(tmp_path: Path) -> None:
    wkt = rasterio.CRS.from_string("+proj=laea +lat_0=33 +lon_0=52 +datum=WGS84 +units=m").to_wkt()
    wkt = wkt.replace('"unknown"', '"here & <there>"', 1)
    grid = Grid(wkt, SMALL.transform, 90, 70)
    with rasterio.open(cog_of_tiles(tmp_path, grid, maps_on(grid), cut(grid.shape, 40), FLOAT)) as dataset:
        assert dataset.crs == rasterio.CRS.from_wkt(wkt)


def test_descriptions_of_all_products_survive(tmp_path: Path) -> None:
    odd = Product("odd", "float32", "a < b & \"c\" > 'd' – é")
    grid, products = make_grid(30, 20), (*PRODUCTS, CLASSES, odd)
    maps = {product.name: np.ones((20, 30), product.dtype) for product in products}
    tiles = cut(grid.shape, 16)
    store, rows = write_tiles(tmp_path, maps, tiles, products)
    for product in products:
        path = build_cog(join_tiles(store, tiles, rows, grid, product), tmp_path / f"{product.name}.tif", product)
        with rasterio.open(path) as dataset:
            assert dataset.descriptions == (product.description,)
            assert_same_bits(dataset.read(1), maps[product.name])


# -- what goes wrong


def flipped(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)


def test_damaged_tiles_finds_the_window_that_changed(maps: dict, built: dict, tmp_path: Path) -> None:
    tiles = cut(GRID.shape, 300)
    crcs = [crc(maps[FLOAT.name][tile.slices]) for tile in tiles]
    assert damaged_tiles(built[FLOAT], tiles, crcs) == []
    for bad in (0, 7, len(tiles) - 1):
        other = [value ^ (place == bad) for place, value in enumerate(crcs)]
        assert damaged_tiles(built[FLOAT], tiles, other) == [tiles[bad]]
    copy = tmp_path / "map.tif"
    copy.write_bytes(built[FLOAT].read_bytes())
    with rasterio.open(copy) as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", 1))
    flipped(copy, start + 50)
    # Block (1, 1) has rows and columns 512 to 1023.
    touched = [t for t in tiles if t.row + t.height > 512 and t.row < 1024 and t.col + t.width > 512 and t.col < 1024]
    found = damaged_tiles(copy, tiles, crcs)
    assert found
    assert set(found) <= set(touched) < set(tiles)


def test_a_map_that_cannot_be_opened_is_all_damaged(built: dict, tmp_path: Path) -> None:
    tiles, copy = cut(GRID.shape, 600), tmp_path / "map.tif"
    for content in (b"", b"nothing", built[FLOAT].read_bytes()[:5000]):
        copy.write_bytes(content)
        assert damaged_tiles(copy, tiles, [0] * len(tiles)) == tiles
    assert damaged_tiles(tmp_path / "none.tif", tiles, [0] * len(tiles)) == tiles


def test_as_many_checksums_as_tiles(built: dict) -> None:
    """One too few, and the last tile would go unlooked at."""
    with pytest.raises(ValueError, match="shorter"):
        damaged_tiles(built[FLOAT], cut(GRID.shape, 600), [0])


def test_what_does_not_read_back_gets_no_name(maps: dict, built: dict, tmp_path: Path) -> None:
    temporary, final = tmp_path / "made.tif", tmp_path / "prospectivity.tif"
    temporary.write_bytes(built[FLOAT].read_bytes())
    final.write_bytes(b"an earlier map")
    good = crc(maps[FLOAT.name])
    with pytest.raises(DiskError, match=r"made\.tif: what was written does not come back"):
        publish_cog(temporary, final, [WHOLE], [good ^ 1])
    assert final.read_bytes() == b"an earlier map"
    assert publish_cog(temporary, final, [WHOLE], [good]) == final
    assert final.read_bytes() == built[FLOAT].read_bytes()
    assert not temporary.exists()


@pytest.mark.parametrize("harm", ["gone", "empty", "cut short", "another tile's"])
def test_a_tile_that_was_damaged_after_it_was_looked_at(tmp_path: Path, harm: str) -> None:
    """GDAL may take it for missing data; the checksums of what it made do not."""
    noise = np.random.default_rng(0).random(SMALL.shape, np.float32)
    tiles, maps = cut(SMALL.shape, 40), {**maps_on(SMALL), FLOAT.name: noise}
    store, rows = write_tiles(tmp_path, maps, tiles)
    path = store.path(3)
    if harm == "gone":
        path.unlink()
    elif harm == "another tile's":
        path.write_bytes(store.path(1).read_bytes())
    else:
        path.write_bytes(b"" if harm == "empty" else path.read_bytes()[:300])

    def attempt() -> None:
        made = build_cog(join_tiles(store, tiles, rows, SMALL, FLOAT), tmp_path / "made.tif", FLOAT)
        publish_cog(made, tmp_path / "prospectivity.tif", tiles, [rows[tile.index].crcs[0] for tile in tiles])

    with pytest.raises(DiskError):
        attempt()
    assert not (tmp_path / "prospectivity.tif").exists()


def test_a_source_that_is_no_raster(tmp_path: Path) -> None:
    (tmp_path / "x.vrt").write_text("<nothing/>")
    with pytest.raises(DiskError, match=r"made\.tif: cannot be written") as seen:
        build_cog(tmp_path / "x.vrt", tmp_path / "made.tif", FLOAT)
    assert seen.value.exit_status == 4 == lost(tmp_path).exit_status


def test_a_full_disk_is_never_silent(tmp_path: Path) -> None:
    """Files of the process are cut at sizes up to the last byte: GDAL may close such a file without an error."""
    code = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from mpmjax.errors import DiskError
        from mpmjax.products import PRODUCTS
        from mpmjax.stream.mosaic import build_cog, publish_cog
        from mpmjax.types import Tile

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        folder, whole, crc = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
        for size in (0, 1000, whole // 2, whole - 3000, whole - 300, whole - 1, whole):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            try:
                made = build_cog(folder / "source.tif", folder / "made.tif", PRODUCTS[0])
                publish_cog(made, folder / "prospectivity.tif", [Tile(0, 0, 0, 600, 700)], [crc])
                said = "done"
            except DiskError as error:
                said = f"DiskError {error}"
            print((folder / "prospectivity.tif").exists(), said.replace(chr(10), " "))
        """
    )
    grid = make_grid(700, 600)
    noise = np.random.default_rng(0).random(grid.shape, np.float32)
    with MapStore(tmp_path, grid, [FLOAT]) as store:
        store.write(Tile(0, 0, 0, 600, 700), {FLOAT.name: noise})
    source = store.path(FLOAT).rename(tmp_path / "source.tif")
    whole = build_cog(source, tmp_path / "whole.tif", FLOAT).stat().st_size
    command = [sys.executable, "-c", code, str(tmp_path), str(whole), str(crc(noise))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 7, done.stdout + done.stderr
    for line in lines[:-1]:
        assert line.startswith("False DiskError "), line
        assert "made.tif: " in line
    assert (tmp_path / "prospectivity.tif").exists() == lines[-1].startswith("True done")


def test_windows_of_the_maps_are_what_tiles_hold(maps: dict) -> None:
    """What the other tests rest on: the cuts cover the grid, and their parts differ."""
    for tiles in cuts().values():
        covered = np.zeros(GRID.shape, int)
        for tile in tiles:
            covered[tile.slices] += 1
        assert (covered == 1).all()
    assert len({crc(part_of(maps, tile)[OTHER.name]) for tile in cut(GRID.shape, 300)}) == 20
