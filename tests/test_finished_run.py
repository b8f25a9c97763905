"""A finished run, worked on again: validate and report renew what is theirs, and what spoils a run takes its record."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from districts import (
    CELL,
    FILES,
    LEFT,
    SHAPE,
    Finished,
    assert_whole,
    digests,
    edit,
    finished_run,
    make_district,
    outputs,
    read,
)
from tolerances import MEDIAN_MAD_OF_BINS, assert_close

from mpmjax import load_screener, pipeline, pipeline_steps
from mpmjax.errors import DataError
from mpmjax.scoring.drift import UNUSUAL


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finished_run(tmp_path_factory)


@pytest.fixture
def copy(done: Finished, tmp_path: Path) -> Finished:
    """The finished run, to be changed."""
    shutil.copytree(done.project.parents[1], tmp_path / "copy")
    return Finished(tmp_path / "copy" / "district" / "project.toml", tmp_path / "copy" / "output")


def test_fit_over_a_finished_run_takes_its_record_away(copy: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its checksums would say of another Screener that it made these maps. Not where the Screener is already there."""
    screener = load_screener(copy.output)
    monkeypatch.setattr(pipeline_steps, "fit", lambda *_: screener)
    pipeline.fit(copy.project, copy.output)
    assert pipeline.report(copy.output).exists()
    pipeline.fit(copy.project, copy.output, fresh=True)
    with pytest.raises(DataError, match="no finished run"):
        pipeline.report(copy.output)


def test_validate_again(copy: Finished) -> None:
    before, bytes_before = copy.record, digests(copy.output)
    record = pipeline.validate(copy.project, copy.output)
    assert record["validation"]["methods"] == before["validation"]["methods"]
    assert record["times"].keys() == before["times"].keys()
    assert record["times"]["train"] == before["times"]["train"], "the run's own times stay"
    assert_whole(copy.output, copy.project)
    after = digests(copy.output)
    assert {name for name in FILES if after[name] != bytes_before[name]} <= {"run.json", "report.html"}


def test_cuts_and_breaks_are_recorded(copy: Finished) -> None:
    """Of the prospectivity that was written; the cut that labels made is flagged, and renewed with them."""
    cuts, fractal = copy.record["cuts"], copy.record["fractal"]
    p = read(copy.output / "prospectivity.tif")
    p = p[p >= 0].astype(np.float64)
    expected = np.median(p) + 2 * 1.4826 * np.median(np.abs(p - np.median(p)))
    assert_close(np.array(cuts["median_2mad"]), expected, MEDIAN_MAD_OF_BINS)
    assert cuts["median_2mad_share"] == pytest.approx((p >= cuts["median_2mad"]).mean(), abs=1e-3)
    known = copy.record["validation"]["methods"]["prospectivity"]["pa"]
    assert cuts["pa"] == {**known, "from_labels": True}
    geochemistry = {layer["name"] for layer in copy.record["layers"] if layer["role"] == "geochemistry"}
    assert fractal["layers"].keys() == geochemistry
    assert fractal["anomaly"]["cells"] == copy.record["model"]["sample"]
    assert fractal == load_screener(copy.output).diagnostics["fractal"]
    points = geopandas.read_file(copy.project.parent / "deposits.gpkg")[:5]
    points.to_file(copy.project.parent / "five.gpkg")
    edit(copy.project, 'occurrences = "deposits.gpkg"', 'occurrences = "five.gpkg"')
    record = pipeline.validate(copy.project, copy.output)
    renewed = record["validation"]["methods"]["prospectivity"]["pa"]
    assert record["cuts"] == {**cuts, "pa": {**renewed, "from_labels": True}}
    assert renewed != known


def test_validate_by_other_occurrences(copy: Finished) -> None:
    """In a run that knew none: the record then names the file and its checksum."""
    points = geopandas.read_file(copy.project.parent / "deposits.gpkg")[:5]
    points.to_file(copy.project.parent / "five.gpkg")
    edit(copy.project, 'occurrences = "deposits.gpkg"', 'occurrences = "five.gpkg"')
    record = pipeline.validate(copy.project, copy.output)
    assert record["validation"]["occurrences"] == 5
    assert record["settings"]["validate"]["occurrences"] == "five.gpkg"
    assert record["inputs"]["five.gpkg"] == digests(copy.project.parent)["five.gpkg"]


def test_validate_without_the_simple_methods(copy: Finished) -> None:
    assert copy.record["validation"]["baselines"].keys()
    assert copy.record["times"]["baselines"] > 0.0
    edit(copy.project, "bootstrap = 50\n", "bootstrap = 50\nbaselines = false\n")
    record = pipeline.validate(copy.project, copy.output)
    assert not {"ours", "baselines", "compared"} & record["validation"].keys()
    assert "baselines" not in record["times"]
    assert "Beside simple methods" not in (copy.output / "report.html").read_text(encoding="utf-8")


def test_validate_on_other_evidence(copy: Finished) -> None:
    """Simple methods would be fitted to what the maps were not made from, also where its name is like the labels'."""
    folder = copy.project.parent
    named = re.findall(r'source = "(\w+\.tif)"', copy.project.read_text(encoding="utf-8"))
    like = folder / "deposits_density.tif"
    (folder / named[0]).rename(like)
    edit(copy.project, f'source = "{named[0]}"', f'source = "{like.name}"')
    pipeline.run(copy.project, copy.output, fresh=True)
    with rasterio.open(like, "r+") as file:
        file.write(file.read(1) + 1, 1)
    with pytest.raises(DataError, match=rf"{like.name}: changed since the maps were made"):
        pipeline.validate(copy.project, copy.output)


def test_a_district_of_another_kind_is_warned_of(copy: Finished, tmp_path: Path) -> None:
    """One layer lies beyond all that the Screener was fitted on: counted by layer, and said."""
    assert max(copy.record["drift"]["outside"].values()) < 0.01
    name = copy.record["layers"][1]["name"]
    path = copy.project.parent / re.findall(r'source = "(\w+\.tif)"', copy.project.read_text(encoding="utf-8"))[1]
    with rasterio.open(path, "r+") as file:
        raw = file.read(1)
        file.write(np.where(raw == file.nodata, raw, raw + 10_000), 1)
    record = pipeline.screen(copy.project, copy.output, tmp_path / "elsewhere")
    drift = record["drift"]
    assert drift["outside"][name] > 0.9
    assert all(share < 0.01 for other, share in drift["outside"].items() if other != name)
    assert drift["outside"][name] <= drift["cells_outside"] <= sum(drift["outside"].values())
    assert any(f"({name} " in warning and "beyond all" in warning for warning in record["warnings"])
    anomaly = read(tmp_path / "elsewhere" / "anomaly.tif")
    scored = anomaly >= 0
    assert drift["unusual"] == pytest.approx((anomaly[scored] > UNUSUAL).mean(), abs=1e-12)
    saved = json.loads((tmp_path / "elsewhere" / "run.json").read_text(encoding="utf-8"))
    assert saved["drift"] == drift


def test_validate_blesses_no_damaged_map(copy: Finished) -> None:
    """A map that was changed after the run keeps the checksum that it had."""
    said = copy.record["outputs"]["risk.tif"]
    (copy.output / "risk.tif").write_bytes((copy.output / "coverage.tif").read_bytes())
    assert pipeline.validate(copy.project, copy.output)["outputs"]["risk.tif"] == said


def test_validate_on_another_grid(copy: Finished, tmp_path: Path) -> None:
    """As many cells, 18 km farther east."""
    project = make_district(tmp_path / "east", left=LEFT + SHAPE[1] * CELL)
    before = digests(copy.output)
    with pytest.raises(DataError, match="grid"):
        pipeline.validate(project, copy.output)
    assert before.items() <= digests(copy.output).items(), "what the finished run tells of is still there"
    assert outputs(copy.output).keys() <= before.keys()


def test_validate_without_occurrences(copy: Finished, tmp_path: Path) -> None:
    edit(copy.project, '[validate]\noccurrences = "deposits.gpkg"\nbootstrap = 50\n', "")
    with pytest.raises(DataError, match=r"\[validate\]"):
        pipeline.validate(copy.project, copy.output)
    with pytest.raises(DataError, match="no finished run"):
        pipeline.validate(copy.project, tmp_path / "nowhere")


def test_report_again(copy: Finished) -> None:
    first = (copy.output / "report.html").read_bytes()
    (copy.output / "report.html").unlink()
    assert pipeline.report(copy.output) == copy.output / "report.html"
    assert (copy.output / "report.html").read_bytes() == first
    assert_whole(copy.output, copy.project)


@pytest.mark.parametrize("content", ["", "[]", '{"grid": ', "\x00\x01"])
def test_a_damaged_record(copy: Finished, content: str) -> None:
    (copy.output / "run.json").write_text(content)
    with pytest.raises(DataError, match=r"run\.json"):
        pipeline.report(copy.output)
