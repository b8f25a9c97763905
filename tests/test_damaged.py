"""[stream] on_error = "nodata" in a project: what is told, kept and told again; and what is not forgiven."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from districts import corner, edit, write_project, write_raster
from tolerances import assert_same_bits

import mpmjax
from mpmjax.errors import DataError
from mpmjax.project import load_project
from mpmjax.stages.check import check
from mpmjax.stages.sample import sample
from mpmjax.types import Evidence

SHAPE = (300, 340)
BLOCK = {"row": 128, "col": 256, "height": 128, "width": 84}
BLOCKS = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "zstd"}
TOLD = "1 block cannot be decoded and counts as missing (rows 128-255, columns 256-339)"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A whole layer, one that is read as it is and one that is warped, each with one damaged block."""
    rng = np.random.default_rng(4)
    for name, place in (("whole", corner()), ("straight", corner()), ("warped", corner(cell=50.0))):
        write_raster(tmp_path / f"{name}.tif", rng.normal(10, 2, SHAPE).astype(np.float32), place, **BLOCKS)
    for name in ("straight", "warped"):
        damage(tmp_path / f"{name}.tif")
    layers: list[dict[str, Any]] = [
        {"name": name, "source": f"{name}.tif", "role": "index", "direction": "high"}
        for name in ("whole", "straight", "warped")
    ]
    return write_project(tmp_path, layers, grid={"like": "whole"}, stream={"on_error": "nodata"})


def damage(path: Path) -> None:
    with rasterio.open(path) as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_2_1", "TIFF", 1))
    content = bytearray(path.read_bytes())
    content[start : start + 24] = bytes(24)
    path.write_bytes(content)


def prepare(project: Path) -> tuple[Evidence, list[str]]:
    said: list[str] = []
    evidence = mpmjax.prepare(project, project.parent / "out", say=said.append)
    return evidence, said


def test_what_is_missing_is_told_and_told_again_where_nothing_is_made_anew(project: Path) -> None:
    first, said = prepare(project)
    again, said_again = prepare(project)
    assert any(line.startswith("  warped: ") for line in said)
    assert not any(line.startswith("  warped: ") for line in said_again)
    for evidence, lines in ((first, said), (again, said_again)):
        assert [dict(record).get("unreadable") for record in evidence.provenance] == [None, [BLOCK], [BLOCK]]
        notes = [note for note in evidence.notes if TOLD in note]
        assert [note.split(":")[0] for note in notes] == ["layer 'straight'", "layer 'warped'"]
        assert all(note.endswith('[stream] on_error = "nodata"') for note in notes)
        assert sum(TOLD in line for line in lines) == 2
        assert [record["method"] for record in evidence.provenance] == ["as it is", "as it is", "bilinear"]
        assert evidence.on_error == "nodata"


def test_stop_is_the_default_and_takes_nothing_that_was_kept(project: Path) -> None:
    prepare(project)
    edit(project, 'on_error = "nodata"', 'on_error = "stop"')
    with pytest.raises(DataError, match=r"straight\.tif, band 1, rows .*: cannot be decoded"):
        prepare(project)
    edit(project, 'on_error = "stop"', "tile = 64")
    with pytest.raises(DataError, match=r"straight\.tif, band 1, rows .*: cannot be decoded"):
        prepare(project)


def test_a_whole_file_is_kept_under_the_name_of_always_unless_blocks_may_be_missing(project: Path) -> None:
    folder = project.parent
    rng = np.random.default_rng(4)
    for name, place in (("straight", corner()), ("warped", corner(cell=50.0))):
        write_raster(folder / f"{name}.tif", rng.normal(10, 2, SHAPE).astype(np.float32), place, **BLOCKS)
    names = {}
    for how in ("nodata", "stop"):
        edit(project, 'on_error = "nodata"', f'on_error = "{how}"')
        evidence, _ = prepare(project)
        names[how] = evidence.provenance[2]["prepared"]
        assert not any("unreadable" in record for record in evidence.provenance)
        (folder / "out").rename(folder / how)
    edit(project, '[stream]\non_error = "stop"', "")
    assert prepare(project)[0].provenance[2]["prepared"] == names["stop"]
    assert names["nodata"]["file"] != names["stop"]["file"]
    assert names["nodata"]["sha256"] == names["stop"]["sha256"]


def test_the_sample_leaves_the_block_out_and_tells_it(project: Path) -> None:
    evidence, _ = prepare(project)
    drawn = sample(evidence, 500_000, 0.3, 0)
    straight = [block for block in drawn.unreadable if block.layer == "straight"]
    assert [(b.path, b.band, b.row, b.col, b.height, b.width) for b in straight] == [
        (str(project.parent / "straight.tif"), 1, *BLOCK.values())
    ]
    assert [block.layer for block in drawn.unreadable] == ["straight"], "the prepared file is whole"
    inside = (drawn.rows >= 128) & (drawn.rows < 256) & (drawn.cols >= 256)
    assert_same_bits(np.isnan(drawn.values[:, 1]), inside)
    assert sample(evidence, 500_000, 0.3, 0, workers=1).unreadable == drawn.unreadable


def test_check_says_the_same(project: Path) -> None:
    assert sum(TOLD in line for line in check(load_project(project)).warnings) == 2
    edit(project, 'on_error = "nodata"', 'on_error = "stop"')
    found = check(load_project(project))
    assert sum("cannot be decoded" in line for line in found.errors) == 2


def test_a_file_cut_short_is_not_forgiven(project: Path) -> None:
    whole = project.parent / "whole.tif"
    whole.write_bytes(whole.read_bytes()[:-1000])
    with pytest.raises(DataError, match="cut short"):
        prepare(project)
