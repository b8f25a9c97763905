"""[stream] tile_cache: the same bytes of every output from decoded copies; kept, and checked before they are used."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio
from districts import PRODUCTS, digests, edit, finished_run, make_district, no_report
from tolerances import assert_same_bits

import mpmjax
from mpmjax import pipeline, pipeline_steps
from mpmjax.errors import DataError
from mpmjax.stream.reader import StackReader
from mpmjax.stream.tiles import cut
from mpmjax.types import Evidence

SMALL = (150, 130)
SAME = [*(f"{name}.tif" for name in PRODUCTS), "targets.gpkg", "screener.safetensors"]
CACHED = {"tile_cache": True}


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_steps, "draw_report", no_report)


def prepare(project: Path, name: str = "out") -> tuple[Evidence, list[str]]:
    said: list[str] = []
    evidence = mpmjax.prepare(project, project.parent / name, say=said.append)
    return evidence, [line.strip() for line in said if "decoded copy" in line]


def methods(evidence: Evidence) -> list[str]:
    return [record["method"] for record in evidence.provenance]


def assert_same_cells(one: Evidence, two: Evidence) -> None:
    with StackReader(one.grid, one.layers, one.mask) as first, StackReader(two.grid, two.layers, two.mask) as second:
        for tile in cut(one.grid.shape, 100):
            a, b = first.read(tile), second.read(tile)
            assert_same_bits(a.valid, b.valid)
            for left, right in zip(a.values, b.values, strict=True):
                assert_same_bits(left, right)


def test_the_same_bytes_of_all_maps(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    done = finished_run(tmp_path_factory)
    project = make_district(tmp_path / "district", model={"groups": "auto"}, stream=CACHED)
    record = pipeline.run(project, tmp_path / "out")
    assert [layer["provenance"]["method"] for layer in record["layers"]] == ["decoded copy"] * 4
    one, two = digests(done.output), digests(tmp_path / "out")
    assert {name for name in SAME if one[name] != two[name]} == set()


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8"])
def test_every_layer_means_the_same(tmp_path: Path, dtype: str) -> None:
    project = make_district(tmp_path, shape=SMALL, dtype=dtype)
    plain, _ = prepare(project, "plain")
    project.write_text(project.read_text() + "\n[stream]\ntile_cache = true\n")
    copied, _ = prepare(project, "copied")
    assert methods(plain) == ["as it is"] * 4
    assert methods(copied) == ["decoded copy"] * 4
    assert_same_cells(plain, copied)
    for a, b in zip(plain.layers, copied.layers, strict=True):
        meant = ("name", "role", "dtype", "scale", "offset", "valid_range", "masked", "direction", "weight", "source")
        assert [getattr(a, key) for key in meant] == [getattr(b, key) for key in meant]
        assert repr(a.nodata) == repr(b.nodata)
        assert b.path.parent == tmp_path / "copied" / "evidence"


def test_a_copy_is_made_once_and_looked_at_before_it_is_used(tmp_path: Path) -> None:
    project = make_district(tmp_path, shape=SMALL, stream=CACHED)
    evidence, made = prepare(project)
    assert len(made) == 4
    assert prepare(project)[1] == []
    kept = evidence.layers[1].path
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    again, made = prepare(project)
    assert [line.split(":")[0] for line in made] == [evidence.layers[1].name], "one bit of it had changed"
    assert kept.read_bytes() != content
    assert_same_cells(evidence, again)


def test_without_it_there_are_no_copies_and_those_of_before_go(tmp_path: Path) -> None:
    project = make_district(tmp_path, shape=SMALL, stream=CACHED)
    paths = [layer.path for layer in prepare(project)[0].layers]
    evidence, _ = prepare(edit(project, "tile_cache = true", "tile_cache = false"))
    assert methods(evidence) == ["as it is"] * 4
    assert not any(path.exists() for path in paths)


def test_a_layer_with_a_mask_of_its_own_is_read_directly(tmp_path: Path) -> None:
    project = make_district(tmp_path, shape=SMALL, stream=CACHED)
    first = prepare(project)[0].layers[0]
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(first.source, "r+") as file:
        shown = file.read(1) != file.nodata
        file.nodata = None
        file.write_mask(shown)
    evidence, _ = prepare(project)
    assert methods(evidence) == ["as it is", *["decoded copy"] * 3]
    (note,) = [note for note in evidence.notes if "mask of its own" in note]
    assert note == f"layer {first.name!r}: {first.source} has a mask of its own and is read directly, not from a copy."


@pytest.mark.parametrize("on_error", ["stop", "nodata"])
def test_damaged_blocks(tmp_path: Path, on_error: str) -> None:
    project = make_district(tmp_path, shape=SMALL, stream=CACHED | {"on_error": on_error})
    first = prepare(project)[0].layers[0]
    damage(Path(first.source))
    if on_error == "stop":
        with pytest.raises(DataError, match="cannot be decoded"):
            prepare(project)
        return
    evidence, _ = prepare(project)
    assert methods(evidence) == ["as it is", *["decoded copy"] * 3]
    assert evidence.provenance[0]["unreadable"] == [{"row": 64, "col": 0, "height": 64, "width": 64}]


def damage(path: Path) -> None:
    """The same values in blocks of 64, one of them damaged."""
    with rasterio.open(path) as file:
        values, profile = file.read(1), file.profile
    profile |= {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    path.unlink()
    with rasterio.open(path, "w", **profile) as file:
        file.write(values, 1)
    with rasterio.open(path) as file:
        start = int(file.get_tag_item("BLOCK_OFFSET_0_1", "TIFF", 1))
    content = bytearray(path.read_bytes())
    content[start : start + 24] = bytes(24)
    path.write_bytes(content)
