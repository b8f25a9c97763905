"""Which changes of a project, its files and the code an output folder refuses, and which it lets pass."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from changes import KNOWN, SAME, STREAM, add_to_stream, other_text
from districts import edit, make_district

from mpmjax.errors import FolderError
from mpmjax.pipeline_work import Run
from mpmjax.stream.files import write_file

SMALL = (60, 80)


@pytest.fixture
def district(tmp_path: Path) -> Path:
    """A project that nothing is fitted on."""
    return make_district(tmp_path / "district", shape=SMALL, validate=KNOWN, stream=STREAM)


def claim(project: Path, output: Path, made_with: str | None = None, fresh: bool = False) -> list[str]:
    """Names of the files that are known as finished once the folder is claimed; one more is finished each time."""
    this = Run(project, output, lambda line: None, "test", fresh)
    with this.workspace() as work:
        this.claim(work, made_with)
        known = sorted(work.manifest.files())
        work.add_files(write_file(output / f"{len(known)}.bin", b"x"))
        return known


def rewrite(project: Path, name: str, change: Callable[[np.ndarray], np.ndarray] = lambda values: values) -> None:
    with rasterio.open(project.parent / name, "r+") as file:
        file.write(change(file.read(1)), 1)


def one_cell(values: np.ndarray) -> np.ndarray:
    values[5, 5] += 1
    return values


def swap_layers(project: Path) -> None:
    head, *sections = project.read_text(encoding="utf-8").split("[[layers]]")
    sections[0], sections[1] = sections[1].rstrip("\n") + "\n\n", sections[0]
    project.write_text("[[layers]]".join([head, *sections]), encoding="utf-8")


OTHER: dict[str, tuple[Callable[[Path], Any], str]] = {
    "seed": (other_text("seed = 7", "seed = 8"), r"project: model\.seed was 7 and is 8"),
    "steps": (other_text("steps = 50", "steps = 51"), r"project: model\.steps was 50 and is 51"),
    "a cell": (lambda project: rewrite(project, "copper.tif", one_cell), r"input: \S*copper\.tif changed"),
    "the mask": (
        lambda project: shutil.copy(project.parent / "deposits.gpkg", project.parent / "sheet.gpkg"),
        r"input: \S*sheet\.gpkg changed",
    ),
    "renamed": (other_text('name = "copper"', 'name = "Cu"'), r"layer 'Cu' is new; project: layer 'copper' is gone"),
    "order": (swap_layers, r"project: layers (was|changed)"),
    "direction": (other_text('direction = "low"', 'direction = "high"'), r"project: layer 'faults' changed"),
    "on_error": (add_to_stream('on_error = "nodata"'), r"stream\.on_error was stop and is nodata"),
    "backend": (add_to_stream('backend = "numpy"'), r"stream\.backend was auto and is numpy"),
    "grid": (
        other_text('like = "alteration"', 'crs = "EPSG:32639"\nresolution = 60.0'),
        r"project: grid\.(crs|like|resolution) ",
    ),
    "no mask": (other_text('mask = "sheet.gpkg"\n', ""), r"input: \S*sheet\.gpkg is gone"),
    "targets": (
        lambda project: edit(project, "[stream]", "[targets]\narea_share = 0.05\n\n[stream]"),
        r"project: targets\.area_share was 0\.02 and is 0\.05",
    ),
}


@pytest.mark.parametrize("what", SAME)
def test_what_may_change(district: Path, tmp_path: Path, what: str) -> None:
    """How the work is cut and what judges it: the next run goes on."""
    assert claim(district, tmp_path / "out") == []
    SAME[what](district)
    assert claim(district, tmp_path / "out") == ["0.bin"]


@pytest.mark.parametrize("what", OTHER)
def test_what_may_not_change(district: Path, tmp_path: Path, what: str) -> None:
    """Everything that a byte of the maps follows from: said, and what was begun stays for who began it."""
    change, words = OTHER[what]
    kept = shutil.copytree(district.parent, tmp_path / "kept")
    assert claim(district, tmp_path / "out") == []
    change(district)
    with pytest.raises(FolderError, match=words) as seen:
        claim(district, tmp_path / "out")
    assert "Start over with --fresh" in str(seen.value)
    shutil.rmtree(district.parent)
    shutil.copytree(kept, district.parent)
    assert claim(district, tmp_path / "out") == ["0.bin"]


@pytest.mark.parametrize("what", ["seed", "a cell", "grid"])
def test_fresh_takes_the_folder(district: Path, tmp_path: Path, what: str) -> None:
    claim(district, tmp_path / "out")
    OTHER[what][0](district)
    assert claim(district, tmp_path / "out", fresh=True) == []
    assert claim(district, tmp_path / "out") == ["0.bin"]


def test_another_version_of_the_code_or_of_a_library(
    district: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mpmjax import pipeline_work

    versions = pipeline_work.code()
    assert {"mpmjax", "mpmjax's source", "Python", "numpy", "jaxlib", "rasterio"} <= versions.keys()
    claim(district, tmp_path / "out")
    for name in ("mpmjax's source", "numpy"):
        monkeypatch.setattr(pipeline_work, "code", lambda name=name: {**versions, name: "0"})
        with pytest.raises(FolderError, match=f"code: {name} "):
            claim(district, tmp_path / "out")


def test_labels_that_a_layer_is_made_of_are_no_mere_labels(tmp_path: Path) -> None:
    project = make_district(tmp_path / "district", shape=SMALL, validate=KNOWN)
    section = ["[[layers]]", 'name = "near"', 'source = "deposits.gpkg"', 'derive = "distance"', 'role = "distance"']
    text = "\n".join([project.read_text(encoding="utf-8"), *section, 'direction = "low"', ""])
    project.write_text(text, encoding="utf-8")
    claim(project, tmp_path / "out")
    shutil.copy(project.parent / "sheet.gpkg", project.parent / "deposits.gpkg")
    with pytest.raises(FolderError, match=r"input: \S*deposits\.gpkg changed"):
        claim(project, tmp_path / "out")


def test_the_place_of_the_project_is_nothing(district: Path, tmp_path: Path) -> None:
    """A district that was moved, with what stands beside it, is the same."""
    claim(district, tmp_path / "out")
    moved = shutil.move(district.parent, tmp_path / "elsewhere")
    assert claim(Path(moved) / district.name, tmp_path / "out") == ["0.bin"]


def test_which_screener(district: Path, tmp_path: Path) -> None:
    claim(district, tmp_path / "out", "one")
    assert claim(district, tmp_path / "out", "one") == ["0.bin"]
    for other in ("another", None):
        with pytest.raises(FolderError, match="Screener: sha256 "):
            claim(district, tmp_path / "out", other)
    assert claim(district, tmp_path / "out", "another", fresh=True) == []
