"""explain: a cell and a target of a finished run against the definition of the scores, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from districts import CELL, LEFT, TOP, Finished, command_line, edit, finished_run, read
from pyproj import Transformer
from rasterio.features import rasterize
from tolerances import SCORER, assert_close

from mpmjax import load_screener, pipeline
from mpmjax.errors import DataError
from mpmjax.evidence import cells
from mpmjax.reference.lstm import score
from mpmjax.reference.membership import membership
from mpmjax.reporting.explanation import MOST_LAYERS, explanation_png, in_a_sentence
from mpmjax.stages import explain as stage
from mpmjax.types import Screener

NAMES = ("alteration", "copper", "faults", "magnetics")
SCORES = ("prospectivity", "favourability", "anomaly", "confidence", "risk", "spread", "coverage", "R", "V", "M")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A copy: figures are written into it."""
    run = finished_run(tmp_path_factory)
    folder = tmp_path_factory.mktemp("explained") / "output"
    shutil.copytree(run.output, folder)
    return Finished(run.project, folder)


@pytest.fixture(scope="module")
def screener(done: Finished) -> Screener:
    return load_screener(done.output)


def memberships(done: Finished, screener: Screener, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Memberships [n, L] and validity of chosen cells, from the files by the definition."""
    columns = []
    for name, fitted in zip(NAMES, screener.memberships, strict=True):
        raw = read(done.project.parent / f"{name}.tif")[where].astype(np.float64)
        columns.append(membership(np.where(raw == -9999, np.nan, raw), **fitted.arguments()))
    mu = np.stack(columns, axis=1)
    return np.where(np.isfinite(mu), mu, 0.0).astype(np.float32), np.isfinite(mu)


def centre(row: int, col: int) -> tuple[float, float]:
    return LEFT + CELL * (col + 0.5), TOP - CELL * (row + 0.5)


@pytest.fixture(scope="module")
def gappy(done: Finished) -> tuple[int, int]:
    """A cell that was scored although copper has no data there."""
    rows, cols = np.nonzero((read(done.project.parent / "copper.tif") == -9999) & (done.map("groups") > 0))
    return int(rows[0]), int(cols[0])


def assert_explained(found: dict[str, Any], mu: np.ndarray, valid: np.ndarray, screener: Screener) -> None:
    expected = score(mu, valid, screener.arrays)
    for name in SCORES:
        assert_close(np.array(found["scores"][name]), expected[name].mean(), SCORER)
    assert found["scores"]["R_min"] <= found["scores"]["R"] <= found["scores"]["R_max"]
    for i, row in enumerate(found["layers"]):
        assert row["name"] == NAMES[i]
        here = valid[:, i]
        assert row["missing"] == pytest.approx(1 - here.mean())
        if here.any():
            assert row["membership"] == pytest.approx(mu[here, i].mean(), abs=1e-6)
        changed, present = mu.copy(), valid.copy()
        changed[:, i], present[:, i] = row["median"], True
        again = score(changed, present, screener.arrays)["prospectivity"].mean()
        assert_close(np.array(row["at_median"]), again, SCORER)
        present[:, i] = False
        again = score(mu, present, screener.arrays)["prospectivity"].mean()
        assert_close(np.array(row["if_missing"]), again, SCORER)


def test_a_cell(done: Finished, screener: Screener) -> None:
    at = np.unravel_index(done.map("prospectivity").argmax(), done.map("prospectivity").shape)
    x, y = centre(int(at[0]), int(at[1]))
    found = pipeline.explain(done.project, done.output, (x + 20.0, y - 20.0))
    where = np.zeros(done.map("groups").shape, bool)
    where[at] = True
    mu, valid = memberships(done, screener, where)
    assert_explained(found, mu, valid, screener)
    for name in ("prospectivity", "confidence", "spread"):
        assert found["scores"][name] == pytest.approx(float(done.map(name)[at]), abs=1e-6)
    for name in ("groups", "driver"):
        assert found["scores"][name] == done.map(name)[at]
    assert found["scores"]["class"] == done.map("classes")[at] == 1
    group = screener.diagnostics["groups"]["profile"][found["scores"]["groups"] - 1]
    assert [row["group"] for row in found["layers"]] == group
    values = [row["value"] for row in found["layers"]]
    assert values == pytest.approx([float(read(done.project.parent / f"{name}.tif")[at]) for name in NAMES])
    assert (found["place"]["row"], found["place"]["col"]) == at
    assert (found["place"]["x"], found["place"]["y"]) == (x, y)
    assert sum(row["share"] for row in found["layers"]) == pytest.approx(1.0)
    assert found["sentence"].startswith(f"Cell at {x:.0f}, {y:.0f} stands out (prospectivity ")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    figure = Path(found["figure"])
    assert figure == done.output / f"explain_{x:.0f}_{y:.0f}.png"
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_medians_are_those_of_the_district(done: Finished, screener: Screener) -> None:
    """The sample is of 2,000 of some 60,000 cells: a median's rank among all is off by 4 / (2 sqrt(2000)) at most."""
    found = pipeline.explain(done.project, done.output, target=1)
    scored = done.map("groups") > 0
    mu, valid = memberships(done, screener, scored)
    for i, row in enumerate(found["layers"]):
        known = mu[valid[:, i], i]
        assert (known < row["median"]).mean() == pytest.approx(0.5, abs=0.045)
        assert row["above"] == pytest.approx((known < row["membership"]).mean(), abs=0.045)


def test_a_missing_layer_is_told(done: Finished, screener: Screener, gappy: tuple[int, int]) -> None:
    found = pipeline.explain(done.project, done.output, centre(*gappy))
    where = np.zeros(done.map("groups").shape, bool)
    where[gappy] = True
    assert_explained(found, *memberships(done, screener, where), screener)
    copper = found["layers"][1]
    assert copper["missing"] == 1.0
    assert {copper[name] for name in ("value", "membership", "above", "residual", "residual_sd")} == {None}
    assert copper["if_missing"] == pytest.approx(found["scores"]["prospectivity"])
    assert "no data of copper" in found["sentence"]


@pytest.mark.parametrize("number", [1, 3])
def test_a_target_is_the_mean_over_its_cells(done: Finished, screener: Screener, number: int) -> None:
    found = pipeline.explain(done.project, done.output, target=number)
    table = geopandas.read_file(done.output / "targets.gpkg").set_index("rank")
    where = rasterize(
        [table.geometry[number]], done.map("groups").shape, transform=rasterio.Affine(CELL, 0, LEFT, 0, -CELL, TOP)
    ).astype(bool)
    assert found["place"]["cells"] == found["place"]["cells_used"] == where.sum() >= 9
    assert_explained(found, *memberships(done, screener, where), screener)
    for name in ("prospectivity", "confidence", "risk"):
        assert found["scores"][name] == pytest.approx(table[name][number], abs=2e-6)
        assert found["scores"][name] == pytest.approx(done.map(name)[where].mean(dtype=np.float64), abs=1e-6)
    assert found["scores"]["groups"] == table["group"][number]
    copper = read(done.project.parent / "copper.tif")[where]
    assert found["layers"][1]["value"] == pytest.approx(np.median(copper[copper != -9999]))
    assert Path(found["figure"]) == done.output / f"explain_target_{number}.png"


def test_a_large_target_is_read_in_strips_and_thinned(
    done: Finished, screener: Screener, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pipeline.explain(done.project, done.output, target=1)
    monkeypatch.setattr(cells, "ROWS", 3)
    assert pipeline.explain(done.project, done.output, target=1) == whole
    monkeypatch.setattr(stage, "MOST_CELLS", 11)
    some = pipeline.explain(done.project, done.output, target=1)
    assert some["place"]["cells"] == whole["place"]["cells"] > 11
    assert some["place"]["cells_used"] == 11
    assert abs(some["scores"]["prospectivity"] - whole["scores"]["prospectivity"]) < 0.02


def test_lonlat(done: Finished, gappy: tuple[int, int]) -> None:
    x, y = centre(*gappy)
    lon, lat = Transformer.from_crs("EPSG:32639", "EPSG:4326", always_xy=True).transform(x, y)
    found = pipeline.explain(done.project, done.output, (lon, lat), lonlat=True)
    assert found == pipeline.explain(done.project, done.output, (x, y))
    assert (found["place"]["lon"], found["place"]["lat"]) == pytest.approx((lon, lat), abs=1e-9)
    with pytest.raises(DataError, match=r"x 52\.\d+, y 33\.\d+: outside the grid, .* add --lonlat"):
        pipeline.explain(done.project, done.output, (lon, lat))


def test_places_that_have_no_score(done: Finished) -> None:
    with pytest.raises(DataError, match=r"x 639999, y 3699970: outside the grid, which spans x 640000 to 658000"):
        pipeline.explain(done.project, done.output, (LEFT - 1, TOP - 30))
    with pytest.raises(DataError, match="outside the grid"):
        pipeline.explain(done.project, done.output, (170.0, 89.9), lonlat=True)
    with pytest.raises(DataError, match="outside the study area"):
        pipeline.explain(done.project, done.output, centre(2, 2))
    gone = (done.map("groups") == 0) & (read(done.project.parent / "copper.tif") == -9999)
    gone[:60], gone[200:], gone[:, :100], gone[:, 250:] = False, False, False, False
    rows, cols = np.nonzero(gone)
    with pytest.raises(DataError, match=r"has no score: fewer than 50% of the 4 layers have data there"):
        pipeline.explain(done.project, done.output, centre(int(rows[0]), int(cols[0])))


def test_questions_that_cannot_be_answered(done: Finished, tmp_path: Path) -> None:
    count = done.record["target_count"]
    with pytest.raises(DataError, match=rf"has no target {count + 1}; the run found targets 1 to {count}"):
        pipeline.explain(done.project, done.output, target=count + 1)
    with pytest.raises(DataError, match="name one of them"):
        pipeline.explain(done.project, done.output, (0.0, 0.0), 1)
    with pytest.raises(DataError, match="Nothing to explain"):
        pipeline.explain(done.project, done.output)
    with pytest.raises(DataError, match="holds no finished run"):
        pipeline.explain(done.project, tmp_path, target=1)
    shutil.copytree(done.project.parent, tmp_path / "district")
    other = tmp_path / "district" / "copper.tif"
    with rasterio.open(other, "r+") as file:
        file.write(file.read(1) * 2, 1)
    with pytest.raises(DataError, match=r"copper\.tif: changed since the maps were made"):
        pipeline.explain(tmp_path / "district" / "project.toml", done.output, target=1)


def test_other_occurrences_change_nothing(done: Finished, tmp_path: Path) -> None:
    """They are not even read."""
    shutil.copytree(done.project.parent, tmp_path / "district")
    project = edit(tmp_path / "district" / "project.toml", "deposits.gpkg", "nowhere.gpkg")
    found = pipeline.explain(project, done.output, target=1)
    assert found == pipeline.explain(done.project, done.output, target=1)


def test_sensitivity(done: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pipeline.explain(done.project, done.output, sensitivity=True)
    assert list(found) == ["sensitivity"]
    assert [row["name"] for row in found["sensitivity"]] == list(NAMES)
    assert all(0.01 < row["prospectivity"] < 1.3 and 0.01 < row["anomaly"] < 1.3 for row in found["sensitivity"])
    assert found == pipeline.explain(done.project, done.output, sensitivity=True)


def test_the_figure_changes_with_its_numbers(done: Finished) -> None:
    found = pipeline.explain(done.project, done.output, target=1)
    first = explanation_png(found)
    assert first == Path(found["figure"]).read_bytes()
    for key, value in (("membership", 0.1), ("median", 0.9), ("group", 0.2), ("residual", -2.0), ("residual_sd", 1.5)):
        layers = [found["layers"][0] | {key: value}, *found["layers"][1:]]
        assert explanation_png(found | {"layers": layers}) != first, key
    layers = [found["layers"][0] | {"at_median": 0.1}, *found["layers"][1:]]
    assert explanation_png(found | {"layers": layers}) != first
    many = [found["layers"][i % 4] | {"name": f"layer {i}", "drive": 100.0 - i} for i in range(MOST_LAYERS + 3)]
    drawn = explanation_png(found | {"layers": many})
    assert drawn == explanation_png(found | {"layers": [*many[:-1], many[-1] | {"residual": -3.0}]}), "not drawn"
    assert drawn != explanation_png(found | {"layers": many[:-1]}), "but counted"


def test_the_sentence_says_what_speaks_against_it(done: Finished) -> None:
    found = pipeline.explain(done.project, done.output, target=1)
    told = {"weight": 1.0, "median": 0.5, "missing": 0.0}
    layers = [
        {**told, "name": "copper", "membership": 0.98},
        {**told, "name": "faults", "membership": 0.95},
        {**told, "name": "gold", "membership": 0.2},
        {**told, "name": "silver", "membership": 0.55},
        {**told, "name": "gravity", "membership": None, "missing": 1.0},
        {**told, "name": "dem", "membership": 1.0, "weight": 0.0},
    ]
    scores = found["scores"] | {"class": 2, "prospectivity": 0.985, "anomaly": 0.97, "confidence": 0.61}
    assert in_a_sentence(found | {"layers": layers, "scores": scores}) == (
        "Target 1 stands out (prospectivity 0.985, in the best 2% of the area) because copper (0.98) and faults (0.95) "
        "are more favourable than usual, and because such a combination is rare. Against it: gold (0.20, median 0.50) "
        "is less favourable than usual; no data of gravity; fitted again it may fall out of the best area "
        "(confidence 0.61)."
    )
    low = in_a_sentence(found | {"layers": layers, "scores": scores | {"class": 4, "prospectivity": 0.3}})
    assert low.startswith("Target 1 does not stand out (prospectivity 0.300), although copper (0.98) and faults (0.95)")
    assert "The reason: gold (0.20, median 0.50) is less favourable than usual; no data of gravity." in low


def test_another_run_takes_the_figures_away(done: Finished, tmp_path: Path) -> None:
    for name in ("explain_target_3.png", "explain_640030_-3699970.png", "explain_this.png", "map.png"):
        (tmp_path / name).write_bytes(b"")
    stage.forget(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"explain_this.png", "map.png"}


def test_command(done: Finished, gappy: tuple[int, int]) -> None:
    x, y = centre(*gappy)
    said = command_line("explain", done.project, x, y, "-o", done.output)
    assert said.status == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith(f"Cell at {x:.0f}, {y:.0f} ")
    found = pipeline.explain(done.project, done.output, (x, y))
    for row in found["layers"]:
        (line,) = [line for line in lines if line.startswith(f"  {row['name']} ")]
        assert f"{row['at_median']:.3f}" in line
        assert ("100%" in line.split()) == (row["missing"] == 1.0)
        assert len(line) <= 120
    assert lines[-1] == f"Figure: {done.output / f'explain_{x:.0f}_{y:.0f}.png'}"
    said = command_line("explain", done.project, "--target", 1, "--sensitivity", "--json", "-o", done.output)
    assert json.loads(said.out) == pipeline.explain(done.project, done.output, target=1, sensitivity=True)
    said = command_line("explain", done.project, "--target", 1, "--sensitivity", "-o", done.output)
    assert "How much the whole ensemble depends on each layer" in said.out


def test_command_refuses(done: Finished) -> None:
    """Numbers below 0 are places, not options; words are neither."""
    for arguments, words in (
        ((-45, -7_600_000), "x -45, y -7600000: outside the grid"),
        ((640_030,), "X without Y"),
        ((640_030, 3_699_970, "--target", 1), "name one of them"),
        ((), "Nothing to explain"),
        (("--taget", 3), "'--taget' is not a valid float"),
        (("--target", 0), "0 is not in the range"),
    ):
        said = command_line("explain", done.project, *arguments, "-o", done.output)
        assert (said.status, said.out) == (2, ""), arguments
        assert words in said.err, said.err
