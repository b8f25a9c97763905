"""Bad input gets a sentence that names it and says what to do, an exit status, and no file that looks like a result."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from districts import (
    CELL,
    SMALL,
    Said,
    command_line,
    corner,
    edit,
    make_district,
    outputs,
    read,
    write_raster,
    write_vector,
)
from rasterio.errors import NotGeoreferencedWarning
from shapely.geometry import Point

from mpmjax.project import load_project
from mpmjax.stages.prepare import prepare
from mpmjax.stream.cache import Cache

COLUMNS, ROWS = 80, 24
"""A screen: a message must fit on it."""


def spoil_missing(folder: Path) -> None:
    (folder / "copper.tif").unlink()


def spoil_truncated(folder: Path) -> None:
    whole = (folder / "copper.tif").read_bytes()
    (folder / "copper.tif").write_bytes(whole[: len(whole) // 2])


def spoil_truncated_tail(folder: Path) -> None:
    """The header stands in front, the last tile lies beyond the end of the file: it opens well."""
    values = np.random.default_rng(0).normal(size=SMALL).astype(np.float32)
    tiled = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate", "nodata": -9999}
    path = write_raster(folder / "copper.tif", values, **tiled)
    path.write_bytes(path.read_bytes()[:-300])


def spoil_crs(folder: Path) -> None:
    write_raster(folder / "copper.tif", read(folder / "copper.tif"), crs=None, nodata=-9999)


def spoil_place(folder: Path) -> None:
    far = corner(left=300_000.0)
    write_raster(folder / "copper.tif", read(folder / "copper.tif"), far, nodata=-9999)


def spoil_all_nodata(folder: Path) -> None:
    write_raster(folder / "copper.tif", np.full(SMALL, -9999, np.float32), nodata=-9999)


def spoil_constant(folder: Path) -> None:
    write_raster(folder / "copper.tif", np.full(SMALL, 5, np.float32), nodata=-9999)


def spoil_constant_in_the_sheet(folder: Path) -> None:
    """It varies, but only outside the study area."""
    values = np.full(SMALL, 5, np.float32)
    values[-1, 0] = 9.0
    write_raster(folder / "copper.tif", values, nodata=-9999)


def spoil_complex(folder: Path) -> None:
    write_raster(folder / "copper.tif", (read(folder / "copper.tif") * (1 + 1j)).astype(np.complex64))


def spoil_sentinel(folder: Path) -> None:
    write_raster(folder / "copper.tif", read(folder / "copper.tif"), nodata=None)


def spoil_sentinel_everywhere(folder: Path) -> None:
    write_raster(folder / "copper.tif", np.full(SMALL, -9999, np.float32), nodata=None)


def spoil_membership(folder: Path) -> None:
    edit(folder / "project.toml", 'transform = "log"', 'membership = { kind = "trapezoid", lo = 1.0, hi = 2.0 }')


def spoil_lo_hi(folder: Path) -> None:
    edit(folder / "project.toml", 'transform = "log"', 'membership = { kind = "linear", lo = 3.0, hi = 3.0 }')


def spoil_degrees(folder: Path) -> None:
    """All layers in degrees, and no grid stated: metres cannot be had."""
    for name in ("alteration", "copper"):
        values = read(folder / f"{name}.tif")
        place = rasterio.Affine(0.001, 0, 52.5, 0, -0.001, 33.4)
        write_raster(folder / f"{name}.tif", values, place, crs="EPSG:4326", nodata=-9999)


def spoil_degrees_stated(folder: Path) -> None:
    edit(folder / "project.toml", 'like = "alteration"', 'crs = "EPSG:4326"\nresolution = 60.0')


def spoil_occurrences(folder: Path) -> None:
    write_vector(folder / "deposits.gpkg", [Point(100_000, 100_000), Point(120_000, 90_000)], name=["a", "b"])


def spoil_occurrences_outside_sheet(folder: Path) -> None:
    """On the grid, but in the corner that the sheet leaves out."""
    x, y = corner() @ (1.5, 1.5)
    write_vector(folder / "deposits.gpkg", [Point(x, y)], name=["a"])


def spoil_reference(folder: Path) -> None:
    """Neither CRS nor place: a picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        write_raster(folder / "copper.tif", read(folder / "copper.tif"), rasterio.Affine.identity(), crs=None)


def spoil_toml(folder: Path) -> None:
    edit(folder / "project.toml", "[grid]", "[grid")


def spoil_field(folder: Path) -> None:
    edit(folder / "project.toml", "members = 2", "menbers = 2")


def spoil_variable(folder: Path) -> None:
    edit(folder / "project.toml", '"copper.tif"', '"${NO_SUCH_FOLDER_OF_DATA}/copper.tif"')


def spoil_network(folder: Path) -> None:
    """A file that would make GDAL read a host."""
    (folder / "copper.tif").write_text(
        '<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/</ServerUrl></Service></GDAL_WMS>'
    )


@dataclass(frozen=True)
class Bad:
    """What is done to a good district, what the message must name, and a word of its advice."""

    spoil: Callable[[Path], None]
    names: tuple[str, ...]
    advice: str


BAD = [
    Bad(spoil_missing, ("copper.tif", "no such file"), "Check the path"),
    Bad(spoil_truncated, ("copper.tif",), "again"),
    Bad(spoil_truncated_tail, ("copper.tif", "cut short"), "again"),
    Bad(spoil_crs, ("copper.tif", "CRS"), "add crs ="),
    Bad(spoil_place, ("copper", "overlap"), "Check their CRS"),
    Bad(spoil_all_nodata, ("copper.tif", "nodata"), "Leave the layer out"),
    Bad(spoil_constant, ("copper.tif", "constant"), "Leave the layer out"),
    Bad(spoil_constant_in_the_sheet, ("copper.tif", "constant"), "Leave the layer out"),
    Bad(spoil_complex, ("copper.tif", "complex"), "Write the amplitude"),
    Bad(spoil_sentinel, ("copper.tif", "-9999"), "nodata = -9999"),
    Bad(spoil_sentinel_everywhere, ("copper.tif", "-9999"), "nodata"),
    Bad(spoil_membership, ("'copper'.membership.kind", "'trapezoid'"), "allowed: linear"),
    Bad(spoil_lo_hi, ("'copper'.membership", "lo and hi"), "must differ"),
    Bad(spoil_degrees, ("alteration", "degrees"), 'crs = "EPSG:32639"'),
    Bad(spoil_degrees_stated, ("[grid] crs", "degrees"), "State crs"),
    Bad(spoil_occurrences, ("deposits.gpkg",), "Check the CRS"),
    Bad(spoil_occurrences_outside_sheet, ("deposits.gpkg",), "Check the study area, mask of [grid]"),
    Bad(spoil_reference, ("copper.tif",), "add crs ="),
    Bad(spoil_toml, ("project.toml", "line"), "not valid TOML"),
    Bad(spoil_field, ("model.menbers",), "did you mean 'members'"),
    Bad(spoil_variable, ("NO_SUCH_FOLDER_OF_DATA",), "set it"),
    Bad(spoil_network, ("copper.tif", "not a readable"), "convert it to GeoTIFF"),
]


@pytest.fixture
def district(tmp_path: Path) -> Path:
    return make_district(tmp_path / "district", layers=2, shape=SMALL)


def rows_on_screen(message: str) -> int:
    return sum(max(1, -(-len(line) // COLUMNS)) for line in message.strip().splitlines())


def assert_a_sentence(said: Said, status: int) -> str:
    """The status, and a message without a traceback that fits on a screen; returns it on one line."""
    assert said.status == status, said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    message = said.err[said.err.index("Error: ") :]
    assert rows_on_screen(message) <= ROWS
    assert max(map(len, message.splitlines())) <= 600, "no line without an end"
    assert message.strip()[-1] in ".?)" or re.search(r"for example:\n\[grid\](\n.* = .*)+\n$", message), (
        "a whole sentence"
    )
    return " ".join(message.split())


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.spoil.__name__.removeprefix("spoil_"))
def test_run_refuses(district: Path, tmp_path: Path, bad: Bad) -> None:
    bad.spoil(district.parent)
    output = tmp_path / "out"
    message = assert_a_sentence(command_line("run", district, "--output", output), 2)
    for name in (*bad.names, bad.advice):
        assert name in message
    assert not outputs(output), "nothing that looks like a result"
    assert output.exists() == bool(list(output.glob("evidence/*.tif"))), (
        "not even a folder, unless layers were prepared"
    )


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.spoil.__name__.removeprefix("spoil_"))
def test_check_says_the_same(district: Path, bad: Bad) -> None:
    """Before the long run: what `run` would refuse, `check` says, with the same names. It writes nothing."""
    if bad.spoil is spoil_constant_in_the_sheet:
        pytest.skip("seen on the sampled cells only, and check draws no sample")
    bad.spoil(district.parent)
    before = sorted(district.parent.iterdir())
    said = command_line("check", district)
    assert said.status == 2
    assert "Traceback" not in said.err
    for name in bad.names:
        assert name in said.err
    assert sorted(district.parent.iterdir()) == before


def test_a_nodata_that_the_dtype_cannot_hold(district: Path, tmp_path: Path) -> None:
    """-9999 stated of bytes is idle, not wrong: whether the layer lies on the grid or must be warped."""
    values = np.random.default_rng(0).integers(0, 9, SMALL).astype(np.uint8)
    write_raster(district.parent / "copper.tif", values, corner(left=640_020.0))
    edit(district, 'transform = "log"', "nodata = -9999.0")
    assert prepare(load_project(district), tmp_path, Cache(tmp_path / "evidence")).layers[1].dtype == "float32"


def test_all_mistakes_of_a_project_file_at_once(district: Path, tmp_path: Path) -> None:
    spoil_field(district.parent)
    spoil_lo_hi(district.parent)
    edit(district, 'role = "index"', 'role = "indx"')
    message = assert_a_sentence(command_line("run", district, "-o", tmp_path / "out"), 2)
    assert "3 mistakes" in message
    for field in ("menbers", "'copper'.membership", "'alteration'.role"):
        assert field in message


def test_a_finished_run_outlives_bad_input(district: Path, tmp_path: Path) -> None:
    """What stands in the output folder stays as it is."""
    output = tmp_path / "out"
    output.mkdir()
    (output / "run.json").write_text("{}")
    (output / "prospectivity.tif").write_bytes(b"of an earlier run")
    spoil_constant(district.parent)
    assert_a_sentence(command_line("run", district, "-o", output), 2)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == {
        "run.json": b"{}",
        "prospectivity.tif": b"of an earlier run",
    }


SUBPROCESS = {spoil_truncated: "copper.tif", spoil_lo_hi: "lo and hi", spoil_reference: "CRS"}


@pytest.mark.parametrize("spoil", SUBPROCESS, ids=lambda spoil: spoil.__name__.removeprefix("spoil_"))
def test_as_a_process(district: Path, tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """As a shell sees it: status, standard error, and the libraries' own chatter."""
    spoil(district.parent)
    arguments = [sys.executable, "-m", "mpmjax", "run", str(district), "--output", str(tmp_path / "out")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=tmp_path)
    message = assert_a_sentence(Said(done.returncode, done.stdout, done.stderr), 2)
    assert SUBPROCESS[spoil] in message
    assert "Warning" not in done.stderr
    assert rows_on_screen(done.stderr) <= ROWS
    assert not (tmp_path / "out").exists()


def test_output_is_a_file(district: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    message = assert_a_sentence(command_line("run", district, "-o", tmp_path / "out"), 4)
    assert "out" in message
    assert (tmp_path / "out").read_text() == "mine"
    assert_a_sentence(command_line("run", district, "-o", tmp_path / "out" / "below"), 4)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_is_not_writable(district: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    for output in (locked, locked / "out"):
        assert str(output) in assert_a_sentence(command_line("run", district, "-o", output), 4)
    assert list(locked.iterdir()) == []


def test_too_little_memory(district: Path, tmp_path: Path) -> None:
    with district.open("a", encoding="utf-8") as file:
        file.write('[stream]\nmax_memory = "300MiB"\ntile = 64\n')
    message = assert_a_sentence(command_line("run", district, "-o", tmp_path / "out"), 5)
    assert "max_memory = 300MiB" in message
    assert "needs about 1.01 GiB" in message
    assert not outputs(tmp_path / "out")


def test_too_little_disk(district: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mpmjax.stream import files

    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    message = assert_a_sentence(command_line("run", district, "-o", tmp_path / "out"), 4)
    assert "Free some" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [["run", "{project}", "--no-such-option"], ["run"], ["squeeze"], ["screen", "{project}"], ["demo"]],
    ids=["option", "argument", "command", "screener", "output"],
)
def test_usage(district: Path, arguments: list[str]) -> None:
    said = command_line(*(argument.format(project=district) for argument in arguments))
    assert said.status == 2
    assert said.err.startswith("Usage: ")
    assert "Traceback" not in said.err
    assert rows_on_screen(said.err) <= ROWS


def test_cells_are_metres(district: Path) -> None:
    """The guard of this file: the district that is spoilt above is a good one."""
    said = command_line("check", district, "--strict")
    assert said.status == 0, said.err
    assert f"{CELL:g} x {CELL:g} m" in said.out
