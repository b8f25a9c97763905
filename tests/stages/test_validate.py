"""validate: the figures of a small district against scikit-learn on whole arrays, however it is cut."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
from districts import Finished, digests, finished_run
from sklearn.metrics import roc_auc_score
from stages.judged import CELL, GRID, MAPS, District, make

from mpmjax import pipeline
from mpmjax.errors import DataError
from mpmjax.scoring.intervals import districts_of, intervals, standing
from mpmjax.scoring.metrics import count_ranks, judge
from mpmjax.scoring.spatial import block_figures, parts_of, toroidal_null
from mpmjax.stages import validate as stage
from mpmjax.types import Occurrences


@pytest.fixture
def district(tmp_path: Path) -> District:
    return make(tmp_path)


def test_auc_is_that_of_scikit_learn_on_whole_arrays(district: District) -> None:
    got = district.validate()
    assert set(got["methods"]) == {*MAPS, "gamma"}
    scored = district.maps["prospectivity"] >= 0
    for name in MAPS:
        expected = roc_auc_score(district.known[scored], district.maps[name][scored])
        assert got["methods"][name]["auc"] == pytest.approx(expected, abs=1e-12), name


def test_gamma_is_the_overlay_of_the_definition(district: District) -> None:
    """Ranked in float32: two overlays of the definition may tie there, which moves the AUC by single pairs."""
    gamma, scored = district.gamma(), district.maps["prospectivity"] >= 0
    expected = roc_auc_score(district.known[scored], gamma[scored].astype(np.float32))
    pairs = district.known[scored].sum() * (~district.known[scored]).sum()
    got = district.validate()["methods"]["gamma"]
    assert got["auc"] == pytest.approx(expected, abs=5 / pairs)
    assert 0.3 < expected < 0.7
    assert expected != pytest.approx(0.5, abs=1e-3)


def test_every_figure_is_that_of_the_whole_map(district: District) -> None:
    got = district.validate(draws=50)["methods"]
    for name in MAPS:
        values = district.maps[name]
        figures = {key: value for key, value in got[name].items() if key not in ("auc_low", "auc_high", "limits")}
        assert figures == judge(count_ranks(values[district.known], [values[values >= 0]]))


def test_intervals_are_over_districts(district: District) -> None:
    got = district.validate(draws=50)
    rows, cols = np.nonzero(district.known)
    own = districts_of(CELL * cols, CELL * rows)
    assert got["districts"] == own.max() + 1
    assert 10 < got["districts"] < 40
    assert got["notes"][0].startswith(f"40 occurrences in {got['districts']} districts")
    assert "the standard error of an AUC is about 0.0" in got["notes"][0]
    for name in MAPS:
        values = district.maps[name]
        scores = values[district.known]
        of = standing(scores, count_ranks(scores, [values[values >= 0]]))
        expected = intervals(of, own, 50)["figures"]
        figures = got["methods"][name]
        assert figures["limits"] == {key: [value["low"], value["high"]] for key, value in expected.items()}
        assert [figures["auc_low"], figures["auc_high"]] == figures["limits"]["auc"]
        assert figures["auc_low"] < figures["auc"] < figures["auc_high"]


def test_the_null_and_the_blocks_are_those_of_the_whole_map(district: District) -> None:
    got, values = district.validate(), district.maps["prospectivity"]
    parts = parts_of(np.where(values >= 0, values, np.nan))
    rows, cols = np.nonzero(district.known)
    assert got["null"] == toroidal_null(parts, GRID.shape, rows, cols)
    assert got["null"]["auc"] == pytest.approx(got["methods"]["prospectivity"]["auc"], abs=1e-12)
    assert got["null"]["p"] < 0.5
    assert got["blocks"] == block_figures(parts, GRID.shape, rows, cols)
    assert sum(block["deposits"] for block in got["blocks"]) == 40


def test_a_study_area_too_small_for_shifts_is_told(district: District) -> None:
    """A few cells are scored: wherever the occurrences are moved, they leave them."""
    kept = np.zeros(GRID.shape, bool)
    kept[5:9, 5:9] = True
    district.rewrite(kept)
    rows, cols = np.array([5, 6, 8]), np.array([5, 8, 7])
    few = dataclasses.replace(district.evidence, occurrences=Occurrences(rows, cols, 3, "deposits.csv"))
    got = dataclasses.replace(district, evidence=few).validate()
    assert "study area fills too little" in got["null"]["missing"]
    assert got["methods"]["prospectivity"]["auc"] == got["blocks"][0]["auc"]


def test_many_occurrences_thin_the_draws_not_the_figures(district: District, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = district.validate(draws=20)
    monkeypatch.setattr(stage, "some_of", lambda count: np.arange(0, count, 3))
    monkeypatch.setattr(stage, "LANDINGS", 14 * 200)
    got = district.validate(draws=20)
    for name in MAPS:
        assert got["methods"][name]["auc"] == whole["methods"][name]["auc"]
        assert got["methods"][name]["capture"] == whole["methods"][name]["capture"]
    assert got["districts"] == whole["districts"], "of all of them"
    assert got["null"]["shifts"] == 200
    assert got["blocks"] == whole["blocks"]


@pytest.mark.parametrize(("tile", "workers"), [(16, 1), (16, 3), (37, 2), (1, 2)])
def test_tiles_and_workers_change_nothing(
    district: District, monkeypatch: pytest.MonkeyPatch, tile: int, workers: int
) -> None:
    """gamma too: an occurrence's own value must be, to the bit, the one that its cell has in the count."""
    whole = district.validate(draws=20, workers=1)
    monkeypatch.setattr(stage, "TILE", tile)
    got = district.validate(draws=20, workers=workers)
    assert got == whole


def test_occurrences_on_cells_that_were_not_scored_are_left_out(tmp_path: Path) -> None:
    district = make(tmp_path, "both")
    got = district.validate()
    assert got["occurrences"] == 40
    assert len(got["xy"]) == 40
    assert got["points"] == 48
    scored = district.maps["prospectivity"] >= 0
    expected = roc_auc_score(district.known[scored], district.maps["prospectivity"][scored])
    assert got["methods"]["prospectivity"]["auc"] == pytest.approx(expected, abs=1e-12)


def test_places_are_the_centres_of_the_cells(district: District) -> None:
    got = district.validate()
    rows, cols = np.nonzero(district.known)
    expected = {(500_000 + CELL * (c + 0.5), 4_000_000 - CELL * (r + 0.5)) for r, c in zip(rows, cols, strict=True)}
    assert {tuple(place) for place in got["xy"]} == expected
    assert got["source"] == "deposits.csv"


def test_the_record_is_plain(district: District) -> None:
    got = district.validate(draws=20)
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    bare = district.validate()
    assert bare["methods"]["gamma"]["auc_low"] is None


def test_no_occurrence_was_scored(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"deposits.csv: none of the 5 occurrence cells was scored"):
        make(tmp_path, "unscored").validate()


def test_no_occurrences_at_all(district: District) -> None:
    bare = dataclasses.replace(district, evidence=dataclasses.replace(district.evidence, occurrences=None))
    with pytest.raises(DataError, match=r"\[validate\]"):
        bare.validate()


def test_every_scored_cell_is_an_occurrence(district: District) -> None:
    """Nothing to tell the occurrences from: said in a sentence."""
    rows, cols = np.nonzero(district.maps["prospectivity"] >= 0)
    everywhere = dataclasses.replace(district.evidence, occurrences=Occurrences(rows, cols, rows.size, "deposits.csv"))
    with pytest.raises(DataError, match=r"deposits.csv"):
        dataclasses.replace(district, evidence=everywhere).validate()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finished_run(tmp_path_factory)


def test_labels_never_reach_what_is_fitted_or_drawn(done: Finished, tmp_path: Path) -> None:
    """The same project with other occurrences: Screener, maps and targets have the same bytes, the figures have not."""
    district = tmp_path / "district"
    district.mkdir()
    for path in done.project.parent.iterdir():
        (district / path.name).write_bytes(path.read_bytes())
    points = geopandas.read_file(district / "deposits.gpkg")[:7]
    points.geometry = points.geometry.translate(-1800.0, 2400.0)
    points.to_file(district / "deposits.gpkg")
    record = pipeline.run(district / "project.toml", tmp_path / "out")
    assert record["validation"]["methods"] != done.record["validation"]["methods"]
    first, second = digests(done.output), digests(tmp_path / "out")
    drawn = {name for name in first if name.endswith((".tif", ".qml", ".safetensors", ".gpkg"))}
    assert len(drawn) >= 20
    assert {name: second[name] for name in drawn} == {name: first[name] for name in drawn}
    # The rest of the Screener, which names its sources by their folders, and a checksum over these.
    here, there = (
        json.loads((folder / "screener.json").read_text("utf-8")) for folder in (tmp_path / "out", done.output)
    )
    assert here.pop("checksum") != there.pop("checksum")
    assert json.dumps(here).replace(str(district), "") == json.dumps(there).replace(str(done.project.parent), "")
