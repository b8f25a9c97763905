"""The command line: what each command prints, how it ends, and how little it loads to say so."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import rasterio
from districts import (
    FILES,
    SMALL,
    Finished,
    Said,
    assert_whole,
    command_line,
    digests,
    edit,
    finished_run,
    make_district,
    make_mixed_district,
    outputs,
    read,
    write_raster,
)

import mpmjax
from mpmjax import load_screener, pipeline, pipeline_steps
from mpmjax.cli import cli
from mpmjax.errors import DataError
from mpmjax.stream.reader import StackReader
from mpmjax.stream.ring import Slot
from mpmjax.types import Slab, Tile

COMMANDS = {
    "demo": ("--output", "--seed"),
    "bench": ("--quick", "--full", "--device", "--output", "--json"),
    "check": ("PROJECT", "--strict"),
    "prepare": ("PROJECT", "--output"),
    "run": ("PROJECT", "--output", "--fresh", "--strict"),
    "fit": ("PROJECT", "--output", "--fresh"),
    "screen": ("PROJECT", "--screener", "--output", "--fresh", "--strict"),
    "verify": ("OUTPUT",),
    "validate": ("PROJECT", "--output"),
    "report": ("OUTPUT",),
    "compare": ("A B", "--json"),
    "explain": ("PROJECT [X] [Y]", "--target", "--lonlat", "--sensitivity", "--output", "--json"),
}
HEAVY = ("jax", "numba", "rasterio", "numpy", "geopandas", "pydantic")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finished_run(tmp_path_factory)


@pytest.fixture
def ready(done: Finished, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The project of the finished run, somewhere else, whose fit has been done before."""
    screener = load_screener(done.output)
    monkeypatch.setattr(pipeline_steps, "fit", lambda *_: screener)
    shutil.copytree(done.project.parent, tmp_path / "district")
    return tmp_path / "district" / "project.toml"


def with_infinite_cells(project: Path) -> Path:
    """A source to be warned of: usable, but to be looked at."""
    path = project.parent / "copper.tif"
    values = read(path)
    values[100, 100:103] = np.inf
    write_raster(path, values, nodata=-9999)
    return project


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    said = command_line(command, "--help")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(f"Usage: mpmjax {command} ")
    for word in COMMANDS[command]:
        assert word in said.out
    assert command_line(command, "-h") == said


def test_every_command_is_known_here() -> None:
    assert set(cli.commands) == set(COMMANDS)


def test_help_of_all(tmp_path: Path) -> None:
    said = command_line("--help")
    assert said.status == 0
    for command in COMMANDS:
        assert f"\n  {command} " in said.out
    for status in ("0 ok", "1 warnings", "2 usage", "3 some tiles", "4 disk", "5 memory", "130 stopped"):
        assert status in " ".join(said.out.split())
    assert command_line().err or command_line().out, "without arguments it helps too"


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    """A second or more of waiting, for a page of text: not even by the commands' own help."""
    code = f"""
import contextlib, io, json, sys
from mpmjax.cli import main
for arguments in {[["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)]}:
    sys.argv = ["mpmjax", *arguments]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            main()
    except SystemExit as end:
        assert not end.code, end.code
print(json.dumps(sorted(set({HEAVY}) & set(sys.modules))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_version() -> None:
    assert command_line("--version") == Said(0, f"mpmjax, version {mpmjax.__version__}\n", "")


def test_run_says_what_it_found(ready: Path, done: Finished) -> None:
    said = command_line("run", ready)
    assert said.status == 0, said.err
    output = ready.parent / f"{ready.stem}-output"
    record = assert_whole(output, ready)
    lines = said.out.splitlines()
    assert lines[0].startswith(f"{record['project']['name']}: {record['grid']['valid_cells']:,} cells, ")
    assert f"{record['target_count']} targets" in lines[0]
    assert [line.split()[0] for line in lines[1:6]] == ["1", "2", "3", "4", "5"]
    assert any(line.split()[:1] == ["prospectivity"] for line in lines)
    assert str(output / "report.html") in lines[-1]
    for stage in ("prepare", "screen", "targets", "validate", "report"):
        assert stage in said.err
    assert record["command"] == f"mpmjax run {ready}"
    assert digests(output)["prospectivity.tif"] == digests(done.output)["prospectivity.tif"]


def test_strict(ready: Path, tmp_path: Path) -> None:
    """The work is done and whole either way; only the status tells of the warnings."""
    assert command_line("run", ready, "--strict", "-o", tmp_path / "clean").status == 0
    with_infinite_cells(ready)
    for arguments, status in (([], 0), (["--strict"], 1)):
        output = tmp_path / f"status{status}"
        said = command_line("run", ready, "--output", output, *arguments)
        assert said.status == status
        assert "3 infinite cells are treated as missing" in said.err
        (warning,) = assert_whole(output, ready)["warnings"]
        assert "copper" in warning


def test_check_describes(done: Finished, tmp_path: Path) -> None:
    said = command_line("check", done.project)
    assert (said.status, said.err) == (0, "")
    for words in (
        "300 x 260 float32",
        "60 x 60 m",
        "-9999",
        "as it is",
        "grid: 300 x 260 cells of 60 x 60 m, EPSG:32639, 281 km2",
        "occurrences: 12 points, 12 cells",
    ):
        assert words in said.out, words
    assert not (done.project.parent / f"{done.project.stem}-output").exists()
    mixed = command_line("check", make_mixed_district(tmp_path / "mixed"))
    assert mixed.status == 0, mixed.err
    assert re.search(r"faults +distance +2 lines", mixed.out)
    assert re.search(r"intrusions +distance +2 polygons", mixed.out)


def test_check_warns(tmp_path: Path) -> None:
    project = make_district(tmp_path / "district", layers=2, shape=SMALL)
    path = project.parent / "copper.tif"
    values = read(path)
    values[2, 3] = -np.inf
    write_raster(path, values, nodata=-9999)
    said = command_line("check", project)
    assert said.status == 0
    assert said.err.startswith("Warning: layer 'copper'")
    assert command_line("check", project, "--strict").status == 1
    write_raster(path, values, nodata=-9999, crs="EPSG:32640", transform=rasterio.Affine.translation(9e6, 9e6))
    edit(project, 'role = "index"', 'role = "index"\nband = 2')
    both = command_line("check", project, "--strict")
    assert both.status == 2
    assert "band 2 asked for" in both.err


def test_prepare_says_what_it_made_and_does_it_once(tmp_path: Path) -> None:
    project = make_mixed_district(tmp_path / "mixed")
    said = command_line("prepare", project, "--output", tmp_path / "out")
    assert said.status == 0, said.err
    assert re.search(r"^  faults: distance, \d+\.\d s$", said.err, re.MULTILINE)
    assert re.search(rf"^faults: distance: {tmp_path}/out/evidence/faults\.\w+\.tif$", said.out, re.MULTILINE)
    again = command_line("prepare", project, "--output", tmp_path / "out")
    assert again.out == said.out
    assert "faults" not in again.err
    assert not outputs(tmp_path / "out")


def test_check_without_a_project(tmp_path: Path) -> None:
    said = command_line("check", tmp_path / "project.toml")
    assert (said.status, said.out) == (2, "")
    assert "no such project file" in said.err
    assert command_line("check", tmp_path).status == 2


def test_fit_then_screen(ready: Path, done: Finished, tmp_path: Path) -> None:
    said = command_line("fit", ready, "-o", tmp_path / "fitted")
    assert said == Said(0, f"Screener in {tmp_path / 'fitted'}\n", said.err)
    for screener in (tmp_path / "fitted", tmp_path / "fitted" / "screener.json"):
        said = command_line("screen", ready, "--screener", screener, "-o", tmp_path / "out")
        assert said.status == 0, said.err
    assert_whole(tmp_path / "out", ready)
    assert digests(tmp_path / "out")["classes.tif"] == digests(done.output)["classes.tif"]


def test_screeners_that_cannot_be_used(done: Finished, tmp_path: Path) -> None:
    def screen(folder: Path) -> Said:
        said = command_line("screen", done.project, "-s", folder, "-o", tmp_path / "out")
        assert said.status == 2
        assert "Traceback" not in said.err
        assert not (tmp_path / "out").exists()
        return said

    assert "Name the folder" in screen(tmp_path / "nowhere").err
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("screener.safetensors", "screener.json"):
        shutil.copy(done.output / name, broken)
    flipped = bytearray((broken / "screener.safetensors").read_bytes())
    flipped[-100] ^= 1
    (broken / "screener.safetensors").write_bytes(flipped)
    assert "checksum" in screen(broken).err
    (broken / "screener.json").write_text('{"format": "mpmjax-screener-0"}')
    assert "Fit again" in screen(broken).err
    (broken / "screener.json").write_text("[1, 2")
    assert "not valid JSON" in screen(broken).err


def test_validate_and_report(done: Finished, tmp_path: Path) -> None:
    shutil.copytree(done.output, tmp_path / "out")
    said = command_line("validate", done.project, "-o", tmp_path / "out")
    assert said.status == 0, said.err
    assert "AUC on 12 known occurrences" in said.out
    assert re.search(r"the best of 11 simple methods: [\w -]+ 0\.\d{3}, [\w -]+ 0\.\d{3}, ", said.out)
    assert command_line("report", tmp_path / "out") == Said(0, f"{tmp_path / 'out' / 'report.html'}\n", "")
    assert set(outputs(tmp_path / "out")) == FILES
    (tmp_path / "out" / "run.json").unlink()
    for arguments in (("validate", done.project, "-o", tmp_path / "out"), ("report", tmp_path / "out")):
        said = command_line(*arguments)
        assert said.status == 2
        assert "no finished run" in said.err


def test_compare(done: Finished, tmp_path: Path) -> None:
    said = command_line("compare", done.output, done.output)
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert [line[:1] for line in lines[:2]] == ["A", "B"]
    assert all(str(done.output) in line for line in lines[:2])
    for name in ("prospectivity", "favourability", "anomaly", "confidence", "risk"):
        assert re.search(rf"^  {name} +1\.000 +1\.000 +0\.0000 ", said.out, re.MULTILINE), name
    assert "adjusted Rand index 1.000" in said.out
    assert "entered: 0 cells, 0.0 km2" in said.out
    assert lines[-1] == "Fitted and set alike."
    told = command_line("compare", done.output, done.output, "--json")
    assert json.loads(told.out) == mpmjax.compare(done.output, done.output)
    nowhere = command_line("compare", done.output, tmp_path)
    assert (nowhere.status, nowhere.out) == (2, "")
    assert f"{tmp_path} holds no finished run" in nowhere.err


def test_a_tile_that_cannot_be_read(done: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of the pass: status 3, and no map."""
    project = make_district(tmp_path / "district", stream={"tile": 128})
    real = StackReader.read

    def fail(self: StackReader, tile: Tile, slot: Slot | None = None) -> Slab:
        if tile.index == 1 and slot is not None:
            raise DataError("layer 'copper': band 1: cannot be decoded. Fetch it again.")
        return real(self, tile, slot)

    monkeypatch.setattr(StackReader, "read", fail)
    said = command_line("screen", project, "-s", done.output, "-o", tmp_path / "out")
    assert said.status == 3
    assert "copper" in said.err
    assert "Traceback" not in said.err
    assert "goes on from there" in said.err
    assert set(outputs(tmp_path / "out")) == {"screener.json", "screener.safetensors"}, "no map"


def test_interrupted(done: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is no warning: 130, as shells have it, and nothing unfinished is left."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline_steps, "targets", interrupt)
    said = command_line("screen", done.project, "-s", done.output, "-o", tmp_path / "out")
    assert said.status == 130
    assert "Stopped" in said.err
    left = set(outputs(tmp_path / "out"))
    assert left < FILES
    assert "run.json" not in left


def test_a_bug_shows_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is not ours to explain is not dressed up as a sentence."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(pipeline, "report", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        command_line("report", tmp_path)
    assert issubclass(click.UsageError, click.ClickException)


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    said = command_line("demo", "--output", tmp_path / "demo")
    assert said.status == 0, said.err
    assert set(digests(tmp_path / "demo")) >= FILES
    record = json.loads((tmp_path / "demo" / "run.json").read_text(encoding="utf-8"))
    assert record["validation"]["methods"]["prospectivity"]["auc"] > 0.9
    assert record["target_count"] > 10
    assert read(tmp_path / "demo" / "prospectivity.tif").shape == (938, 793)
