"""Every kind of evidence from its files to the layers on the grid: values, provenance, what is kept, what is remade."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from districts import digests, edit, promise
from kinds import FILES, LAYERS, SHAPE, make_kinds, write_samples, write_scene
from rasters import values_of

import mpmjax
from mpmjax.errors import DataError, ProjectError
from mpmjax.project import load_project
from mpmjax.stages.check import check
from mpmjax.stream.files import sha256
from mpmjax.types import Evidence

Prepare = Callable[[], tuple[Evidence, list[str]]]
BANDS = ["s2 B02", "s2 B04", "s2 B11", "s2 B12", "s2 B08", "s2 SCL"]
"""As the layers and the masks of the scene need them."""

MADE = ["lithium", "beryllium", "tilt", "upward", "red", "thorium", *BANDS, "iron", "clay", "ratio", "both"]
"""In the order of the work: what has a source, what is computed from, what is computed."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_kinds(tmp_path)


@pytest.fixture
def prepare(project: Path) -> Prepare:
    def once() -> tuple[Evidence, list[str]]:
        said: list[str] = []
        evidence = mpmjax.prepare(project, project.parent / "out", say=said.append)
        return evidence, [line.split(":")[0].strip() for line in said if line.startswith("  ") and line.endswith(" s")]

    return once


def by_name(evidence: Evidence) -> dict[str, np.ndarray]:
    return {layer.name: values_of(layer, evidence.grid) for layer in evidence.layers}


def on_grid(path: Path, band: int = 1) -> np.ndarray:
    """Means of 2 x 2 cells of a file that is twice as fine as the grid."""
    with rasterio.open(path) as file:
        raw = file.read(band).astype(np.float64)
    return raw.reshape(SHAPE[0], 2, SHAPE[1], 2).mean(axis=(1, 3))


def test_all_is_made_once_in_its_order(project: Path, prepare: Prepare) -> None:
    first, made = prepare()
    assert sorted(made) == sorted(MADE)
    assert made[:4] == MADE[:4]
    assert made[-4:] == MADE[-4:]
    assert [layer.name for layer in first.layers] == [layer["name"] for layer in LAYERS]
    before = digests(project.parent / "out")
    again, made = prepare()
    assert made == []
    assert digests(project.parent / "out") == before
    assert again.layers == first.layers
    assert again.notes == first.notes
    assert again.provenance == first.provenance
    assert set(first.inputs) == FILES


def test_computed_cells_are_those_of_the_formula(project: Path, prepare: Prepare) -> None:
    found = by_name(prepare()[0])
    folder = project.parent
    red, near = on_grid(folder / "scene.tif", 3), on_grid(folder / "scene.tif", 4)
    hidden = np.isnan(found["clay"])
    with rasterio.open(folder / "scene.tif") as file:
        cloud = file.read(7)[::2, ::2] == 9
    wood = (near - red) / (near + red) > 0.6
    np.testing.assert_array_equal(hidden, cloud | wood)
    clay = on_grid(folder / "scene.tif", 5) / on_grid(folder / "scene.tif", 6)
    np.testing.assert_allclose(found["clay"][~hidden], clay[~hidden], rtol=2e-6)
    missing = np.isnan(found["alteration"])
    np.testing.assert_array_equal(np.isnan(found["ratio"]), missing)
    np.testing.assert_allclose(
        found["both"], np.where(missing, np.nan, np.minimum(found["ratio"], found["lithium"])), rtol=2e-7
    )
    assert 0 < found["ratio"][~missing].mean() < 5, "alteration near 50, thorium near 9, red near 900"


def test_samples_and_derivatives_are_the_sources_own(project: Path, prepare: Prepare) -> None:
    found = by_name(prepare()[0])
    field = promise(SHAPE, 3)
    there = np.isfinite(found["lithium"])
    assert there.mean() > 0.95
    assert np.corrcoef(np.log(found["lithium"][there]), field[there])[0, 1] > 0.6, "gridded lithium follows its field"
    assert found["lithium"][there].min() == pytest.approx(2.5, abs=1.5), "half of the detection limit"
    assert np.nanmax(np.abs(found["tilt"])) <= np.pi / 2 + 1e-6
    assert np.nanstd(found["upward"]) < 300, "upward is smoother than the field, whose deviation is 300"


def test_provenance_tells_what_each_is_made_from(project: Path, prepare: Prepare) -> None:
    evidence, _ = prepare()
    about = {layer.name: record for layer, record in zip(evidence.layers, evidence.provenance, strict=True)}
    folder = project.parent
    assert about["lithium"]["method"] == "idw"
    assert about["lithium"]["source"]["samples"] == 150
    assert about["lithium"]["files"] == {"till.csv": sha256(folder / "till.csv")}
    assert about["lithium"]["parameters"]["censored"] == "half"
    assert about["lithium"]["parameters"]["units"] == {"Li": "ppm", "Be": "ppb", "Sn": "ppm"}
    assert about["beryllium"]["parameters"]["field"] == "clr(Be)"
    assert about["tilt"]["method"] == "tilt"
    assert about["tilt"]["parameters"]["then"] == "bilinear"
    assert about["upward"]["parameters"]["height"] == 200.0
    assert about["iron"]["parameters"]["index"] == "iron_oxide"
    assert about["iron"]["parameters"]["vegetation"] == 0.6
    assert set(about["iron"]["source"]["of"]) == {"B02", "B04", "B08", "SCL"}
    assert about["iron"]["source"]["of"]["B04"]["source"]["band"] == 3
    assert about["both"]["source"]["of"]["ratio"] == about["ratio"]
    assert about["both"]["files"] == {name: sha256(folder / name) for name in FILES & {
        "alteration.tif", "scene.tif", "th.tif", "till.csv"
    }}  # fmt: skip
    for layer, record in zip(evidence.layers[1:], evidence.provenance[1:], strict=True):
        assert record["prepared"] == {"file": layer.path.name, "sha256": sha256(layer.path)}
    assert json.loads(json.dumps(evidence.provenance)) == list(evidence.provenance), "plain values"


LI = {"lithium", "both"}
CHANGES: dict[str, tuple[Callable[[Path], Any], set[str]]] = {
    "samples": (lambda p: write_samples(p.parent / "till.csv", promise(SHAPE, 3), shift=0.5), LI | {"beryllium"}),
    "scene": (
        lambda p: write_scene(p.parent / "scene.tif", promise(SHAPE, 4)),
        {"red", *BANDS, "iron", "clay", "ratio", "both"},
    ),
    "rules": (lambda p: edit(p, 'censored = "half"', 'censored = "zero"'), LI | {"beryllium"}),
    "gridding": (lambda p: edit(p, '"power" = 2.0', '"power" = 3.0'), LI),
    "expression": (lambda p: edit(p, "min(ratio, lithium)", "max(ratio, lithium)"), {"both"}),
    "spaces": (lambda p: edit(p, "B11 / B12", "B11/B12"), set()),
    "mask": (lambda p: edit(p, "vegetation = 0.6", "vegetation = 0.5"), {"iron", "clay"}),
    "offset": (lambda p: edit(p, "vegetation = 0.6", "vegetation = 0.6\noffset = -0.01"), {"iron", "clay"}),
    "height": (lambda p: edit(p, "height = 200.0", "height = 300.0"), {"upward"}),
    "input": (lambda p: edit(p, "band = 3", "band = 4"), {"red", "ratio", "both"}),
    "direction": (lambda p: edit(p, '"min(ratio, lithium)"', '"min(ratio, lithium)"\ndirection = "low"'), set()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_is_made_again_with_all_that_follows_from_it_and_nothing_else(
    project: Path, prepare: Prepare, name: str
) -> None:
    prepare()
    change, remade = CHANGES[name]
    change(project)
    evidence, made = prepare()
    assert set(made) == remade
    fresh = mpmjax.prepare(project, project.parent / "fresh")
    for one, other in zip(evidence.layers, fresh.layers, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes(), one.name


def test_a_decoded_copy_changes_no_computed_layer(project: Path, prepare: Prepare) -> None:
    prepare()
    project.write_text(project.read_text() + "\n[stream]\ntile_cache = true\n")
    assert prepare()[1] == ["alteration"]


def test_memory_and_tiles_change_no_byte(project: Path, prepare: Prepare) -> None:
    expected = digests(project.parent / "out") if prepare() else {}
    project.write_text(project.read_text() + '\n[stream]\nmax_memory = "1GiB"\nworkers = 1\ntile = 64\n')
    mpmjax.prepare(project, project.parent / "other")
    tifs = {name: digest for name, digest in digests(project.parent / "other").items() if name.endswith(".tif")}
    assert tifs == {name: digest for name, digest in expected.items() if name.endswith(".tif")}


def test_a_run_ends_with_all_kinds_told(project: Path) -> None:
    record = mpmjax.run(project, project.parent / "run")
    layers = {layer["name"]: layer for layer in record["layers"]}
    assert layers["both"]["provenance"]["source"]["of"]["lithium"]["method"] == "idw"
    assert set(record["inputs"]) == FILES
    report = (project.parent / "run" / "report.html").read_text(encoding="utf-8")
    for words in (
        "idw of 150 samples",
        "computed from B11, B12",
        "tilt angle, from cells of",
        "clr(Be), kriging of",
    ):
        assert words in report.replace("\u00a0", " "), words
    before = digests(project.parent / "run")
    assert mpmjax.run(project, project.parent / "run")["outputs"] == record["outputs"]
    assert digests(project.parent / "run") == before


def test_check_tells_of_every_kind(project: Path) -> None:
    found = check(load_project(project))
    assert not found.errors
    told = "\n".join(found.lines)
    assert "scene 's2', sentinel2: B04 = band 3 of scene.tif" in told or "B04 = band 3 of scene.tif" in told
    assert "layer 'lithium': 150 samples with a value of Li" in told
    assert "% of Li" in told
    rows = {line.split()[0]: line for line in found.lines}
    for name in ("lithium", "iron", "clay", "ratio", "both", "tilt", "upward", "red", "thorium", "s2"):
        assert name in rows, name
    assert any(line.startswith("plan: about") for line in found.lines)


REFUSED = {
    ("alteration * thorium / red", "alteration * thorum / red"): r"'thorum'.*did you mean 'thorium'\?",
    ("min(ratio, lithium)", "min(both, lithium)"): r"needs itself \(both -> both\)",
    ("alteration * thorium / red", "thorium / both"): r"needs itself \(ratio -> both -> ratio\)",
    ("alteration * thorium / red", "alteration / red"): r"inputs\[2\] 'thorium': no expression names it",
    ("iron_oxide", "iron_oxid"): r"layers\[4\] 'iron'\.index: .*'iron_oxide'",
    ("B11 / B12", "B11 / B99"): r"layers\[5\] 'clay'\.expression: .*B99",
    ("clr(Be)", "clr(Cs)"): r"layers\[3\] 'beryllium'\.field: .*'Cs' is no part",
    ('"Be" = "ppb"', '"Be" = "pints"'): r"samples\[1\] 'till\.csv'\.units: .*'pints'",
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_words_that_mean_nothing_are_refused_before_anything_is_opened(project: Path, words: tuple[str, str]) -> None:
    edit(project, *words)
    for name in FILES:
        (project.parent / name).unlink()
    for attempt in (lambda: mpmjax.run(project, project.parent / "run"), lambda: mpmjax.prepare(project)):
        with pytest.raises(ProjectError, match=REFUSED[words]):
            attempt()
    assert not (project.parent / "run").exists()


def test_a_logarithm_needs_values_above_0(project: Path) -> None:
    edit(project, 'field = "clr(Be)"', 'field = "clr(Be)"\ntransform = "log"')
    with pytest.raises(ProjectError, match=r"clr\(Be\) has values below 0, and transform = \"log\" takes none"):
        mpmjax.prepare(project)


def test_masks_that_hide_all_are_refused(project: Path) -> None:
    edit(project, "vegetation = 0.6", "vegetation = -1.0")
    with pytest.raises(DataError, match=r"'iron': .*no cell of the grid gets a value: the masks of its scene hide"):
        mpmjax.prepare(project)


def test_a_band_that_is_not_there_is_refused(project: Path) -> None:
    with rasterio.open(project.parent / "scene.tif", "r+") as file:
        file.descriptions = ("B02", "B03", "B04", "B08", "B11", None, "SCL")
    with pytest.raises(DataError, match=r"scene 's2'.*B12"):
        mpmjax.prepare(project)
    assert any("B12" in error for error in check(load_project(project)).errors)


def test_a_scene_of_files_is_the_same_as_one_file(project: Path, prepare: Prepare) -> None:
    expected = by_name(prepare()[0])
    folder = project.parent
    with rasterio.open(folder / "scene.tif") as file:
        for number, name in ((3, "red.tif"), (6, "b12.tif")):
            profile = {**file.profile, "count": 1}
            with rasterio.open(folder / name, "w", **profile) as one:
                one.write(file.read(number), 1)
    edit(project, "nodata = 0.0\nscale", 'bands = { B04 = "red.tif", B12 = "b12.tif" }\nnodata = 0.0\nscale')
    found = by_name(prepare()[0])
    for name in ("iron", "clay"):
        np.testing.assert_array_equal(found[name], expected[name])


def test_the_grid_may_be_that_of_a_scene(project: Path) -> None:
    edit(project, 'like = "alteration"', 'like = "s2"')
    assert mpmjax.prepare(project, project.parent / "fine").grid.cell_size == (30.0, 30.0)


def test_samples_that_judge_are_no_evidence_unnoticed(project: Path) -> None:
    edit(project, 'occurrences = "deposits.gpkg"', 'occurrences = "till.csv"\ncrs = "EPSG:32639"')
    notes = mpmjax.prepare(project, project.parent / "out").notes
    assert any(note.startswith("layer 'lithium': is made from till.csv, the known occurrences") for note in notes)
