"""The same bytes by any workers and tiles, with and without decoded copies, from any layout of the sources."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from districts import PRODUCTS, read
from layouts import BLOCKS, CODECS, NODATA, SHAPE, screener, values, write_district

from mpmjax.pipeline_steps import prepared
from mpmjax.pipeline_work import Run
from mpmjax.products import CLASS_MAPS
from mpmjax.scoring.suited import require_layers
from mpmjax.stages.deliver import deliver
from mpmjax.stages.screen import screen as screen_tiles
from mpmjax.stages.targets import targets

Digests = dict[str, str]


def screened(project: Path, output: Path) -> Digests:
    """Checksums of all maps and of the table of targets, and what the pass counted, by the steps of `screen`."""
    fitted, this = screener(), Run(project, output, lambda line: None, "test")
    with this.workspace() as work:
        this.claim(work, "a Screener")
        evidence = prepared(this, work)
        require_layers(fitted, evidence, [section.transform for section in this.project.layers])
        screening = screen_tiles(fitted, evidence, this.project.stream, work, this.progress)
        found, _ = targets(this.project.targets, screening, evidence.grid, fitted.layer_names, output, work.scratch)
        deliver(fitted, found, evidence.grid, output)
    digests = {
        name: hashlib.sha256((output / name).read_bytes()).hexdigest()
        for name in (*(f"{product}.tif" for product in PRODUCTS), "targets.gpkg")
    }
    counted = [screening.histogram, screening.group_areas, screening.outside]
    digests["counted"] = hashlib.sha256(b"".join(array.tobytes() for array in counted)).hexdigest()
    return digests | {"numbers": f"{screening.valid_cells} {screening.cells_outside} {screening.unusual}"}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Digests:
    """Float32, in rows without compression, by one worker with tiles of 512."""
    folder = tmp_path_factory.mktemp("plain")
    project = write_district(folder / "district", stream={"tile": 512, "workers": 1})
    found = screened(project, folder / "out")
    maps = {name: read(folder / "out" / f"{name}.tif") for name in PRODUCTS}
    scored = maps["groups"] > 0
    assert 0.5 < scored.mean() < 0.9, "some cells are outside, some have too few layers"
    for name, count in {name: len(np.unique(shown[scored])) for name, shown in maps.items()}.items():
        least = 3 if name in (*CLASS_MAPS, "coverage", "classes") else 1000
        assert count >= least, f"{name}: nothing to tell runs apart by"
    assert (values()[3][scored] == 4).any(), "a class without a score"
    return found


def ways_to_cut() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for tile in (128, 200, 512, 1024, 2048):
        for workers in (1, 2, 4):
            yield f"tile {tile}, {workers} workers", {"tile": tile, "workers": workers}
    yield "tile 64, 2 workers", {"tile": 64, "workers": 2}
    for tile in (128, 512, 2048):
        for workers in (1, 2, 4):
            yield f"copies, tile {tile}, {workers} workers", {"tile": tile, "workers": workers, "tile_cache": True}
    yield "little memory", {"tile": 2048, "workers": 4, "max_memory": "1040MiB"}


def ways_to_write() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for dtype in NODATA:
        for codec, stated in CODECS.items():
            if stated.get("predictor") == 3 and dtype != "float32":
                continue
            if dtype == "float32":
                yield f"{dtype}, {codec}, strips", {"dtype": dtype, **stated}
            yield f"{dtype}, {codec}, tiles", {"dtype": dtype, **BLOCKS["tiles of 128"], **stated}
        for blocks, stated in BLOCKS.items():
            kept = {"compress": "zstd"} if dtype != "float32" else {}
            yield f"{dtype}, {blocks}{', zstd' * bool(kept)}", {"dtype": dtype, **kept, **stated}
        yield f"{dtype}, BigTIFF", {"dtype": dtype, "bigtiff": "yes"}
        yield f"{dtype}, big-endian", {"dtype": dtype, "endianness": "big"}
        yield f"{dtype}, internal mask", {"dtype": dtype, "masked": True, "compress": "deflate"}
        yield f"{dtype}, bands of a file", {"dtype": dtype, "one_file": True, "interleave": "band"}
        yield f"{dtype}, bands by pixel", {"dtype": dtype, "one_file": True, "interleave": "pixel", "compress": "lzw"}
        for suffix in (".img", ".bil", ".asc"):
            yield f"{dtype}, {suffix}", {"dtype": dtype, "suffix": suffix}


WAYS: dict[str, dict[str, Any]] = {
    **{name: {"stream": stream} for name, stream in ways_to_cut()},
    **{name: {"stream": {"tile": 300, "workers": 2}, **stated} for name, stated in ways_to_write()},
    **{
        f"copies, {name}": {"stream": {"tile": 300, "workers": 2, "tile_cache": True}, **stated}
        for name, stated in ways_to_write()
        if "one-row" in name or "lzw" in name or "mask" in name or name.endswith((".img", ".asc", "pixel"))
    },
}
QUICK = (
    "tile 128, 4 workers", "tile 2048, 1 workers", "int16, deflate p2, tiles", "uint8, one-row strips, zstd",
    "copies, int16, .asc",
)  # fmt: skip


def assert_same_bytes(way: str, expected: Digests, folder: Path) -> None:
    try:
        project = write_district(folder / "district", **WAYS[way])
    except rasterio.errors.RasterioError as error:
        if "missing codec" in str(error):
            pytest.skip(str(error))
        raise
    found = screened(project, folder / "out")
    assert {name for name in expected if found[name] != expected[name]} == set()


@pytest.mark.parametrize("way", QUICK)
def test_the_same_bytes(way: str, expected: Digests, tmp_path: Path) -> None:
    assert_same_bytes(way, expected, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("way", [way for way in WAYS if way not in QUICK])
def test_the_same_bytes_in_every_way(way: str, expected: Digests, tmp_path: Path) -> None:
    assert_same_bytes(way, expected, tmp_path)


def test_the_layouts_are_what_they_are_called(tmp_path: Path) -> None:
    """Or the same file was read again and again."""
    for way, blocks, more in (
        ("uint8, one-row strips, zstd", (1, 900), {}),
        ("int16, one strip, zstd", (700, 900), {"compress": "zstd"}),
        ("float32, tiles of 1024", (1024, 1024), {}),
        ("int16, deflate p2, tiles", (128, 128), {"compress": "deflate"}),
        ("float32, lerc, strips", None, {"compress": "lerc"}),
        ("uint8, .img", None, {"driver": "HFA"}),
        ("uint8, .bil", None, {"driver": "EHdr"}),
        ("float32, .asc", None, {"driver": "AAIGrid"}),
    ):
        stated = WAYS[way]
        folder = tmp_path / way
        write_district(folder, **stated)
        path = folder / f"copper{stated.get('suffix', '.tif')}"
        with rasterio.open(path) as file:
            assert file.shape == SHAPE
            assert file.dtypes[0] == stated["dtype"]
            assert blocks is None or file.block_shapes[0] == blocks
            assert more.items() <= dict(file.profile).items()
            assert np.array_equal(np.where(file.read_masks(1) > 0, file.read(1), 0), values()[1])
    big = write_district(tmp_path / "big", **WAYS["float32, BigTIFF"]).parent / "copper.tif"
    assert big.read_bytes()[:4] == b"II+\0"
    motorola = write_district(tmp_path / "motorola", **WAYS["int16, big-endian"]).parent / "copper.tif"
    assert motorola.read_bytes()[:4] == b"MM\0*"
