"""prepare, kept by content: nothing is made twice, what changed is made alone, and each layer says where it is from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from districts import CELL, LEFT, TOP, corner, digests, edit, make_district, write_project, write_raster, write_vector

import mpmjax
from mpmjax.errors import DataError, ProjectError
from mpmjax.evidence.sources import require_unchanged, source_files
from mpmjax.project import load_project
from mpmjax.stream.files import sha256
from mpmjax.types import Evidence

GRID = {"crs": "EPSG:32639", "resolution": 100.0, "bounds": [LEFT, TOP - 3000, LEFT + 4000, TOP], "mask": "sheet.gpkg"}
FAULTS = [
    shapely.LineString([(LEFT + 300, TOP - 2500), (LEFT + 3500, TOP - 200)]),
    shapely.LineString([(LEFT + 300, TOP - 400), (LEFT + 3500, TOP - 2900)]),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A warped raster, four layers of one vector file, a mask and deposits."""
    rng = np.random.default_rng(4)
    values = rng.normal(10, 2, (60, 80)).astype(np.float32)
    write_raster(tmp_path / "copper.tif", values, corner(), nodata=-9999.0)
    write_vector(tmp_path / "faults.gpkg", FAULTS, age=["old", "young"])
    write_vector(tmp_path / "sheet.gpkg", [shapely.box(LEFT + 210, TOP - 2700, LEFT + 3900, TOP - 180)])
    write_vector(tmp_path / "deposits.gpkg", [shapely.Point(LEFT + 1000, TOP - 1000)], name=["P"])
    faults = {"source": "faults.gpkg", "direction": "high"}
    found: list[dict[str, Any]] = [
        {"name": "copper", "source": "copper.tif", "role": "geochemistry", "direction": "high"},
        {"name": "near", "source": "faults.gpkg", "derive": "distance", "role": "distance", "direction": "low"},
        {"name": "dense", "derive": "density", "radius": 500.0, "role": "density", **faults},
        {"name": "close", "derive": "buffer", "radius": 300.0, "role": "membership", **faults},
        {"name": "old", "derive": "distance", "role": "distance", "where": "age = 'old'", **faults},
    ]
    return write_project(tmp_path, found, grid=GRID, validate={"occurrences": "deposits.gpkg"})


Prepare = Callable[[], tuple[Evidence, list[str]]]


@pytest.fixture
def prepare(project: Path) -> Prepare:
    def once() -> tuple[Evidence, list[str]]:
        said: list[str] = []
        evidence = mpmjax.prepare(project, project.parent / "out", say=said.append)
        return evidence, [line.split(":")[0].strip() for line in said if line.startswith("  ")]

    return once


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every file that rasterio or pyogrio opens, by name."""
    names: list[str] = []
    plain_open, plain_read, plain_info = rasterio.open, pyogrio.raw.read, pyogrio.read_info

    def watch(plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **keys: Any) -> Any:
            names.append(Path(str(path)).name)
            return plain(path, *args, **keys)

        return call

    monkeypatch.setattr(rasterio, "open", watch(plain_open))
    monkeypatch.setattr(pyogrio.raw, "read", watch(plain_read))
    monkeypatch.setattr(pyogrio, "read_info", watch(plain_info))
    return names


def test_a_second_prepare_does_no_work_and_opens_no_source(project: Path, prepare: Prepare, opened: list[str]) -> None:
    first, made = prepare()
    assert made == ["copper", "near", "dense", "close", "old"]
    assert {"copper.tif", "faults.gpkg", "sheet.gpkg", "deposits.gpkg"} <= set(opened), "the watch works"
    before = digests(project.parent / "out")
    opened.clear()
    again, made = prepare()
    assert made == []
    assert not opened, "not one file was opened by GDAL, the kept ones only by their checksums"
    assert digests(project.parent / "out") == before
    assert again.grid == first.grid
    assert again.layers == first.layers
    assert again.notes == first.notes
    assert again.provenance == first.provenance
    assert again.occurrences is not None
    assert first.occurrences is not None
    assert np.array_equal(again.occurrences.rows, first.occurrences.rows)


def test_a_changed_source_is_made_again_alone(project: Path, prepare: Prepare) -> None:
    prepare()
    with rasterio.open(project.parent / "copper.tif", "r+") as file:
        file.write(file.read(1) + 1, 1)
    assert prepare()[1] == ["copper"]
    write_vector(project.parent / "faults.gpkg", FAULTS[:1], age=["old"])
    assert prepare()[1] == ["near", "dense", "close", "old"]


@pytest.mark.parametrize(
    ("old", "new", "made"),
    [
        ("radius = 500.0", "radius = 600.0", ["dense"]),
        ("age = 'old'", "age = 'young'", ["old"]),
        ('direction = "low"', 'direction = "high"', []),
        ("resolution = 100.0", "resolution = 50.0", ["copper", "near", "dense", "close", "old"]),
        ('name = "dense"', 'name = "thick"', ["thick"]),
    ],
)
def test_a_changed_parameter_makes_its_layer_again(
    project: Path, prepare: Prepare, old: str, new: str, made: list[str]
) -> None:
    prepare()
    edit(project, old, new)
    assert prepare()[1] == made
    kept = [path.name for path in (project.parent / "out" / "evidence").glob("*.tif")]
    assert len(kept) == 6, "five layers and the study area; what is out of date is gone"


def test_a_damaged_layer_is_made_again(project: Path, prepare: Prepare) -> None:
    before = prepare()[0].layers[1].path.read_bytes()
    path = prepare()[0].layers[1].path
    path.write_bytes(before[:-7] + b"damaged")
    evidence, made = prepare()
    assert made == ["near"]
    assert evidence.layers[1].path.read_bytes() == before


@pytest.mark.parametrize("beside", ["copper.tif.aux.xml", "COPPER.TFW", "copper.tif.msk"])
def test_what_lies_beside_a_source_counts_as_it(project: Path, prepare: Prepare, beside: str) -> None:
    """GDAL reads it too. These change nothing here, but they might."""
    prepare()
    if beside.endswith(".msk"):
        shape, transform = (60, 80), corner()
        write_raster(project.parent / "m.tif", np.full(shape, 255, np.uint8), transform).rename(project.parent / beside)
    else:
        (project.parent / beside).write_text("<PAMDataset></PAMDataset>" if beside.endswith("xml") else "")
    evidence, made = prepare()
    assert made == ["copper"]
    assert beside in evidence.inputs
    (project.parent / "copper.qgz").write_text("a stranger")
    (project.parent / "copper.tiff").write_text("a stranger")
    assert prepare()[1] == []


def test_a_folder_that_moved_is_still_known(project: Path, prepare: Prepare, tmp_path: Path) -> None:
    prepare()
    moved = tmp_path.parent / f"{tmp_path.name} moved"
    tmp_path.rename(moved)
    said: list[str] = []
    evidence = mpmjax.prepare(moved / project.name, moved / "out", say=said.append)
    assert not [line for line in said if line.startswith("  ")]
    assert all(layer.path.is_file() for layer in evidence.layers)


def test_a_shared_cache_serves_every_output_and_keeps_what_others_made(project: Path) -> None:
    project.write_text(project.read_text() + '\n[stream]\ncache = "kept"\n')
    folder = project.parent
    for name in ("one", "two"):
        mpmjax.prepare(project, folder / name)
        assert not (folder / name / "evidence").exists()
    first = digests(folder / "kept")
    edit(project, "radius = 500.0", "radius = 600.0")
    mpmjax.prepare(project, folder / "one")
    assert first.items() < digests(folder / "kept").items()


def test_provenance_of_every_layer(project: Path, prepare: Prepare) -> None:
    evidence, _ = prepare()
    copper, near, dense, _, old = evidence.provenance
    assert copper["method"] == "average"
    assert copper["source"]["crs"] == "EPSG:32639"
    assert copper["source"]["cell_size"] == [CELL, CELL]
    assert copper["source"]["nodata"] == -9999.0
    assert copper["files"] == {"copper.tif": sha256(project.parent / "copper.tif")}
    assert near["method"] == "distance"
    assert near["source"] == {"features": 2}
    assert dense["parameters"] == {"derive": "density", "radius": 500.0}
    assert old["source"] == {"features": 1}
    for layer, record in zip(evidence.layers, evidence.provenance, strict=True):
        assert record["prepared"] == {"file": layer.path.name, "sha256": sha256(layer.path)}
        assert layer.path.parent == project.parent / "out" / "evidence"
    assert set(evidence.inputs) == {"copper.tif", "faults.gpkg", "sheet.gpkg", "deposits.gpkg"}


def test_rasters_on_the_grid_are_read_where_they_are(tmp_path: Path) -> None:
    project = make_district(tmp_path, shape=(60, 80))
    evidence = mpmjax.prepare(project)
    assert {record["method"] for record in evidence.provenance} == {"as it is"}
    assert {layer.path.parent for layer in evidence.layers} == {tmp_path}
    kept = sorted(path.name for path in (tmp_path / "project-output" / "evidence").glob("*.tif"))
    assert len(kept) == 1, kept


def test_a_source_that_changes_while_it_is_read_is_refused(
    project: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mpmjax.evidence.prepared import raster as prepared

    plain = prepared.align

    def meddle(*args: Any, **keys: Any) -> Any:
        found = plain(*args, **keys)
        os.utime(project.parent / "copper.tif", ns=(1, 1))
        return found

    path = project.parent / "copper.tif"
    right = path.read_bytes()

    def swap(*args: Any, **keys: Any) -> Any:
        write_raster(path, np.full((60, 80), 99, np.float32), corner(), nodata=-9999.0)
        return meddle(*args, **keys)

    monkeypatch.setattr(prepared, "align", swap)
    with pytest.raises(DataError, match=r"copper\.tif: was changed while it was read"):
        prepare()
    monkeypatch.setattr(prepared, "align", plain)
    path.write_bytes(right)
    evidence, made = prepare()
    assert "copper" in made, "what was made of the other file is not kept under this one's name"
    with rasterio.open(evidence.layers[0].path) as file:
        assert file.read(1).max() < 50


def test_changes_that_are_not_saved_yet_are_refused_and_left_alone(project: Path, prepare: Prepare) -> None:
    """A program that edits a GeoPackage was stopped: its changes lie beside the file, and we write no inputs."""
    path = project.parent / "faults.gpkg"
    before, beside = path.read_bytes(), path.with_name("faults.gpkg-wal")
    beside.write_bytes(b"x" * 100)
    with pytest.raises(DataError, match=r"has unsaved changes in faults\.gpkg-wal"):
        prepare()
    assert path.read_bytes() == before
    assert beside.read_bytes() == b"x" * 100


def test_evidence_from_the_known_occurrences_is_told(project: Path, prepare: Prepare) -> None:
    shutil.copy(project.parent / "deposits.gpkg", project.parent / "copy.gpkg")
    edit(project, "where = \"age = 'old'\"\n", "")
    text = project.read_text().rsplit("faults.gpkg", 1)
    project.write_text("copy.gpkg".join(text))
    notes = [note for note in prepare()[0].notes if "judged by themselves" in note]
    assert len(notes) == 1
    assert "layer 'old'" in notes[0]


def test_many_occurrences_are_kept_in_little_room(project: Path, prepare: Prepare) -> None:
    labels = (np.random.default_rng(3).random((60, 80)) < 0.4).astype(np.uint8)
    write_raster(project.parent / "labels.tif", labels, corner())
    edit(project, 'occurrences = "deposits.gpkg"', 'occurrences = "labels.tif"')
    first, again = prepare()[0].occurrences, prepare()[0].occurrences
    assert first is not None
    assert again is not None
    assert len(first.rows) > 100
    assert np.array_equal(first.rows, again.rows)
    assert np.array_equal(first.cols, again.cols)
    assert first.points == again.points


def test_a_lock_of_a_geodatabase_is_no_change(tmp_path: Path) -> None:
    folder = tmp_path / "map.gdb"
    folder.mkdir()
    (folder / "a00000001.gdbtable").write_bytes(b"cells")
    layers = [
        {"name": n, "source": "map.gdb", "derive": "distance", "role": "distance", "direction": "low"} for n in "ab"
    ]
    project = load_project(write_project(tmp_path, layers, grid=GRID | {"mask": "map.gdb"}))
    before = source_files(project, project.files)
    (folder / "_gdb.machine.1.2.sr.lock").write_bytes(b"")
    require_unchanged(before.all_stamps)
    assert source_files(project, project.files) == before
    (folder / "a00000001.gdbtable").unlink()
    with pytest.raises(DataError, match="was changed while it was read"):
        require_unchanged(before.all_stamps)


def test_a_source_inside_the_folder_of_prepared_layers_is_refused(project: Path, prepare: Prepare) -> None:
    path = prepare()[0].layers[1].path
    edit(project, 'source = "copper.tif"', f'source = "{path}"')
    with pytest.raises(ProjectError, match="lies in the folder of its prepared layers"):
        prepare()


def test_a_raster_with_nan_nodata_and_one_without(project: Path, prepare: Prepare) -> None:
    """Numbers that JSON has no word for come back as they were."""
    with rasterio.open(project.parent / "copper.tif", "r+") as file:
        file.nodata = np.nan
    first = prepare()[0]
    assert prepare()[0].layers == first.layers
    assert first.provenance[0]["source"]["nodata"] == "nan"


def test_prepared_layers_open_as_they_are_described(prepare: Prepare) -> None:
    for layer in prepare()[0].layers:
        with rasterio.open(layer.path) as file:
            assert (file.width, file.height, file.crs.to_string()) == (40, 30, "EPSG:32639")
            assert file.dtypes == (layer.dtype,)
