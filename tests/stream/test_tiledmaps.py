"""Maps while a pass goes on: what is finished is kept, what is damaged is made again, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from districts import digests
from rasters import make_grid
from stream.tiled import BYTE, FLOAT, FOUR, OTHER, maps_on, part_of
from tolerances import assert_same_bits

from mpmjax.errors import DiskError
from mpmjax.stream.manifest import Manifest
from mpmjax.stream.tiledmaps import TiledMaps
from mpmjax.stream.tiles import cut
from mpmjax.stream.workfolder import WorkFolder
from mpmjax.types import Grid, Tile

GRID = make_grid(1100, 700)
TILES = cut(GRID.shape, 300)
"""Three rows of four."""


@pytest.fixture(scope="module")
def maps() -> dict[str, np.ndarray]:
    return maps_on(GRID)


@contextmanager
def working(output: Path) -> Iterator[WorkFolder]:
    """As stream/workfolder.py gives it, but nothing is swept: what is left is looked at."""
    scratch = output / ".mpmjax"
    scratch.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(scratch)
    yield WorkFolder(output, scratch, manifest)
    manifest.close()


def tiled(work: WorkFolder, **other: Any) -> TiledMaps:
    return TiledMaps(work, **{"grid": GRID, "products": FOUR, "tiles": TILES} | other)


def make(work: WorkFolder, maps: dict[str, np.ndarray], only: int | None = None, **other: Any) -> TiledMaps:
    """Make what is missing, or the first few of it."""
    made = tiled(work, **other)
    list(made.kept(2))
    for tile in made.missing[:only]:
        made.add(made.store.write(tile, part_of(maps, tile), tile.index, {"n": tile.index}))
    return made


def finish(output: Path, maps: dict[str, np.ndarray]) -> dict[str, str]:
    """A finished pass; checksums of its files."""
    with working(output) as work:
        make(work, maps).publish(FOUR, 2)
    return {name: digest for name, digest in digests(output).items() if "/" not in name}


def again(output: Path, **other: Any) -> tuple[list[int], list[int]]:
    """Indices of tiles that are kept when the pass is begun again, and of those that are missing after that."""
    with working(output) as work:
        made = tiled(work, **other)
        kept = [tile.index for tile, _, _ in made.kept(2)]
        return kept, [tile.index for tile in made.missing]


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)


# -- a pass from its start to its end


def test_from_nothing_to_maps(tmp_path: Path, maps: dict) -> None:
    with working(tmp_path) as work:
        made = TiledMaps(work, GRID, FOUR, TILES)
        assert list(made.kept(2)) == []
        assert made.missing == TILES
        assert made.unfinished() == list(FOUR)
        make(work, maps)
        made = TiledMaps(work, GRID, FOUR, TILES)
        assert made.missing == []
        made.publish(FOUR, 2)
        assert made.unfinished() == []
        assert not made.store.folder.exists(), "tiles go when the maps stand"
        assert set(work.manifest.files()) == {f"{product.name}.tif" for product in FOUR}
        assert list(work.manifest.tiles()) == list(range(12)), "but not what is known of them"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [".mpmjax", *(f"{product.name}.tif" for product in FOUR)]
    )
    for product in FOUR:
        with rasterio.open(tmp_path / f"{product.name}.tif") as dataset:
            assert_same_bits(dataset.read(1), maps[product.name])


@pytest.mark.parametrize("first", [1, 5, 11])
def test_an_interrupted_pass_goes_on(tmp_path: Path, maps: dict, first: int) -> None:
    whole = finish(tmp_path / "whole", maps)
    with working(tmp_path / "parts") as work:
        make(work, maps, first)
    with working(tmp_path / "parts") as work:
        made = TiledMaps(work, GRID, FOUR, TILES)
        kept = list(made.kept(2))
        assert [tile for tile, _, _ in kept] == TILES[:first]
        for tile, row, found in kept:
            assert (row.cells, row.facts) == (tile.index, {"n": tile.index})
            for name, values in part_of(maps, tile).items():
                assert_same_bits(found[name], np.ascontiguousarray(values))
        assert made.missing == TILES[first:]
    assert finish(tmp_path / "parts", maps) == whole


def test_tiles_in_any_order(tmp_path: Path, maps: dict) -> None:
    whole = finish(tmp_path / "whole", maps)
    with working(tmp_path / "shuffled") as work:
        made = TiledMaps(work, GRID, FOUR, TILES)
        for tile in [TILES[place] for place in np.random.default_rng(0).permutation(12)]:
            made.add(made.store.write(tile, part_of(maps, tile), 0, {}))
        made.publish(FOUR, 3)
    assert {name: whole[name] for name in whole} == {
        name: digest for name, digest in digests(tmp_path / "shuffled").items() if "/" not in name
    }


@pytest.mark.parametrize("harm", ["byte", "gone", "empty", "another"])
def test_a_damaged_tile_is_made_again_and_no_other(tmp_path: Path, maps: dict, harm: str) -> None:
    with working(tmp_path) as work:
        made = make(work, maps)
        path = made.store.path(5)
        if harm == "byte":
            flip(path, 900)
        elif harm == "gone":
            path.unlink()
        else:
            path.write_bytes(b"" if harm == "empty" else made.store.path(4).read_bytes())
    kept, missing = again(tmp_path)
    assert missing == [5]
    assert kept == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]


def test_a_tile_without_a_row_is_not_there(tmp_path: Path, maps: dict) -> None:
    """Its file was written and the process killed before it was noted."""
    with working(tmp_path) as work:
        made = make(work, maps, 3)
        made.store.write(TILES[3], part_of(maps, TILES[3]), 0, {})
    assert again(tmp_path) == ([0, 1, 2], list(range(3, 12)))


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("tiles", {"tiles": cut(GRID.shape, 256)}),
        ("products", {"products": FOUR[:3]}),
        ("order of products", {"products": FOUR[::-1]}),
        ("grid", {"grid": Grid(GRID.crs, GRID.transform, 1100, 701), "tiles": cut((701, 1100), 300)}),
    ],
)
def test_cut_otherwise_it_begins_anew(tmp_path: Path, maps: dict, what: str, other: dict) -> None:
    with working(tmp_path) as work:
        make(work, maps, 7)
    kept, missing = again(tmp_path, **other)
    assert kept == []
    assert missing == [tile.index for tile in other.get("tiles", TILES)]
    with working(tmp_path) as work:
        assert work.manifest.tiles() == {}, "rows of another cut tell of other windows"
    assert again(tmp_path) == ([], list(range(12))), "and what was begun first is gone"


def test_the_same_cut_found_by_another_way_goes_on(tmp_path: Path, maps: dict) -> None:
    with working(tmp_path) as work:
        make(work, maps, 7)
    assert again(tmp_path, tiles=cut(GRID.shape, 300))[0] == list(range(7))


# -- maps that stand already


def test_finished_maps_are_looked_at_and_not_built_again(tmp_path: Path, maps: dict) -> None:
    whole = finish(tmp_path, maps)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in whole}
    with working(tmp_path) as work:
        made = TiledMaps(work, GRID, FOUR, TILES)
        assert made.unfinished() == []
        flip(tmp_path / "groups.tif", 5000)
        assert made.unfinished() == [BYTE]
        (tmp_path / "anomaly.tif").unlink()
        assert made.unfinished() == [BYTE, OTHER]
    assert (tmp_path / "prospectivity.tif").stat().st_mtime_ns == before["prospectivity.tif"]


def damaged_block(path: Path, product_block: str = "BLOCK_OFFSET_1_1") -> None:
    """Change a byte inside a block: by default that of columns and rows 512 to 1023."""
    with rasterio.open(path) as dataset:
        flip_at = int(dataset.get_tag_item(product_block, "TIFF", 1)) + 40
    flip(path, flip_at)


def test_of_a_damaged_map_only_what_it_shows_is_made_again(tmp_path: Path, maps: dict) -> None:
    """All tiles are taken back from the COGs, but those whose cells are not what they were."""
    whole = finish(tmp_path, maps)
    damaged_block(tmp_path / "anomaly.tif")
    kept, missing = again(tmp_path)
    touched = [t.index for t in TILES if t.row + t.height > 512 and t.col + t.width > 512 and t.col < 1024]
    assert missing
    assert set(missing) <= set(touched) < set(range(12))
    assert kept == [index for index in range(12) if index not in missing]
    with working(tmp_path) as work:
        made = make(work, maps)
        assert made.unfinished() == [OTHER]
        made.publish(made.unfinished(), 1)
    assert {name: digest for name, digest in digests(tmp_path).items() if "/" not in name} == whole


def test_cells_that_changed_in_a_map_that_decodes_are_found(tmp_path: Path, maps: dict) -> None:
    """Nothing of GDAL complains of such a map; its cells are held against the manifest."""
    finish(tmp_path, maps)
    profile_of = tmp_path / "groups.tif"
    with rasterio.open(profile_of) as dataset:
        profile, values = dataset.profile, dataset.read(1)
    values[650, 20] ^= 1
    with rasterio.open(profile_of, "w", **profile) as dataset:
        dataset.write(values, 1)
    wrong = [tile.index for tile in TILES if tile.row == 600 and tile.col == 0]
    assert again(tmp_path)[1] == wrong


def test_a_map_that_is_gone_or_another_takes_all_tiles(tmp_path: Path, maps: dict) -> None:
    for number, harm in enumerate(("gone", "no tiff", "another shape", "another dtype")):
        output = tmp_path / str(number)
        finish(output, maps)
        path = output / "groups.tif"
        if harm == "gone":
            path.unlink()
        elif harm == "no tiff":
            path.write_bytes(b"nothing")
        else:
            shape = (700, 1100) if harm == "another dtype" else (10, 10)
            dtype = "float32" if harm == "another dtype" else "uint8"
            with rasterio.open(
                path, "w", driver="GTiff", height=shape[0], width=shape[1], count=1, dtype=dtype, crs=GRID.crs,
                transform=GRID.transform,
            ) as dataset:  # fmt: skip
                dataset.write(np.ones(shape, dtype), 1)
        assert again(output) == ([], list(range(12))), harm


def test_tiles_taken_back_are_tiles_again(tmp_path: Path, maps: dict) -> None:
    """Killed while the lost ones are made, the next run finds the others as files."""
    finish(tmp_path, maps)
    again(tmp_path)
    for product in FOUR:
        (tmp_path / f"{product.name}.tif").unlink()
    assert again(tmp_path) == (list(range(12)), [])


def test_facts_survive_being_taken_back(tmp_path: Path, maps: dict) -> None:
    finish(tmp_path, maps)
    with working(tmp_path) as work:
        rows = [row for _, row, _ in TiledMaps(work, GRID, FOUR, TILES).kept(1)]
    assert [(row.cells, row.facts) for row in rows] == [(index, {"n": index}) for index in range(12)]


# -- building


def test_only_what_is_asked_for_is_built(tmp_path: Path, maps: dict) -> None:
    with working(tmp_path) as work:
        make(work, maps).publish([BYTE], 1)
    assert [path.name for path in tmp_path.glob("*.tif")] == ["groups.tif"]


def test_a_tile_that_was_lost_meanwhile_stops_the_build(tmp_path: Path, maps: dict) -> None:
    with working(tmp_path) as work:
        made = make(work, maps)
        flip(made.store.path(11), 300)
        with pytest.raises(DiskError, match=r"0000011\.tile: what was written does not come back"):
            made.publish(FOUR, 2)
        assert not list(tmp_path.glob("*.tif"))
        assert work.manifest.files() == {}
        assert made.store.path(0).exists(), "the good ones stay for the next run"
    assert again(tmp_path)[1] == [11]


def test_a_map_that_cannot_be_built_keeps_the_tiles(tmp_path: Path, maps: dict) -> None:
    with working(tmp_path) as work:
        made = make(work, maps)
        (tmp_path / "anomaly.tif").mkdir()  # no file can take its place
        (tmp_path / "anomaly.tif" / "x").write_bytes(b"")
        with pytest.raises(DiskError, match=r"anomaly\.tif: cannot be written"):
            made.publish(FOUR, 1)
        assert made.store.path(0).exists()
        assert set(work.manifest.files()) == {"prospectivity.tif", "groups.tif"}, "those that stand are noted"


def test_one_tile_a_row_and_one_of_all(tmp_path: Path, maps: dict) -> None:
    outputs = []
    for number, tiles in enumerate((TILES, [Tile(0, 0, 0, 700, 1100)], cut(GRID.shape, 150))):
        with working(tmp_path / str(number)) as work:
            make(work, maps, tiles=tiles).publish([FLOAT, BYTE], 1)
        outputs.append([(tmp_path / str(number) / f"{p.name}.tif").read_bytes() for p in (FLOAT, BYTE)])
    assert outputs[0] == outputs[1] == outputs[2]
