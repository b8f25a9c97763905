"""run() end to end on a small district: what is promised of its outputs; and fit and screen beside it."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.features
import shapely
from districts import (
    CELL,
    CRS,
    FILES,
    LEFT,
    PRODUCTS,
    SHAPE,
    Finished,
    assert_whole,
    centres,
    corner,
    digests,
    edit,
    finished_run,
    make_district,
    outputs,
    study_area,
)
from scipy import ndimage

import mpmjax
from mpmjax import pipeline, pipeline_steps
from mpmjax.errors import MpmError, ScreenerError
from mpmjax.scoring.baselines import NAMES

COLUMNS = [
    "rank", "area_km2", "prospectivity", "confidence", "risk", "group", "quadrant", "driver_1", "driver_2", "driver_3",
    "lon", "lat", "geometry",
]  # fmt: skip
KM2 = CELL**2 / 1e6


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finished_run(tmp_path_factory)


@pytest.fixture(scope="module")
def table(done: Finished) -> geopandas.GeoDataFrame:
    return geopandas.read_file(done.output / "targets.gpkg", layer="targets")


@pytest.fixture
def copy(done: Finished, tmp_path: Path) -> Finished:
    """The finished run, to be changed."""
    shutil.copytree(done.project.parents[1], tmp_path / "copy")
    return Finished(tmp_path / "copy" / "district" / "project.toml", tmp_path / "copy" / "output")


def layer_coverage(project: Path) -> np.ndarray:
    """Share of layers with data, 0 outside the study area, found without the package."""
    sections = tomllib.loads(project.read_text(encoding="utf-8"))["layers"]
    present = []
    for section in sections:
        with rasterio.open(project.parent / section["source"]) as file:
            present.append(file.read_masks(1) > 0)
    inside = shapely.contains_xy(study_area(SHAPE, corner()), *centres(SHAPE, corner()))
    return np.where(inside, np.mean(present, axis=0), 0.0)


def maps_of(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in outputs(folder).items() if name.endswith(".tif")}


def test_outputs_are_all_there_and_as_the_record_says(done: Finished) -> None:
    record = assert_whole(done.output, done.project)
    assert (done.output / "project.toml").read_bytes() == done.project.read_bytes()
    assert record["version"] == mpmjax.__version__
    assert record["target_count"] == len(record["targets"]) > 3
    assert record["warnings"] == []
    assert list(record["times"]) == [
        "prepare", "sample", "fuzzify", "train", "group", "confidence", "screen", "targets", "validate",
        "baselines", "report",
    ]  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_map_format(done: Finished, name: str) -> None:
    with rasterio.open(done.output / f"{name}.tif") as file:
        assert (file.count, file.dtypes, file.shape) == (1, (PRODUCTS[name],), SHAPE)
        assert file.nodata == (-9999.0 if PRODUCTS[name] == "float32" else 0.0)
        assert file.crs == rasterio.CRS.from_user_input(CRS)
        assert file.transform == corner()
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.descriptions[0]
        assert file.units == ("1",)
        values = file.read(1, masked=True)
        stated = file.tags(1)
        assert float(stated["STATISTICS_MINIMUM"]) == pytest.approx(float(values.min()), abs=1e-6)
        assert float(stated["STATISTICS_MAXIMUM"]) == pytest.approx(float(values.max()), abs=1e-6)
        assert float(stated["STATISTICS_MEAN"]) == pytest.approx(float(values.mean(dtype=float)), abs=1e-5)


def test_values_lie_in_the_study_area_and_in_range(done: Finished) -> None:
    coverage = layer_coverage(done.project)
    scored = coverage >= 0.5
    assert (coverage[coverage > 0] < 0.5).any(), "the district has cells that too few layers cover"
    for name, dtype in PRODUCTS.items():
        values = done.map(name)
        assert np.array_equal(values != (-9999 if dtype == "float32" else 0), scored), name
        if dtype == "float32":
            assert np.isfinite(values).all(), name
            assert values[scored].min() >= 0, name
            assert values[scored].max() <= 1, name
    assert np.array_equal(done.map("coverage")[scored], coverage[scored].astype(np.float32))
    record = done.record
    assert record["grid"]["valid_cells"] == scored.sum()
    assert record["grid"]["area_km2"] == pytest.approx(scored.sum() * KM2, rel=1e-3), "the scale of UTM"


def test_groups_and_drivers(done: Finished) -> None:
    record, groups, scored = done.record, done.map("groups"), done.map("groups") > 0
    k = record["groups"]["k"]
    assert set(np.unique(groups[scored])) <= set(range(1, k + 1))
    shares = np.bincount(groups[scored], minlength=k + 1)[1:] / scored.sum()
    assert record["groups"]["share"] == pytest.approx(list(shares), rel=1e-4), "by area, which UTM changes a little"
    assert record["groups"]["favourability"] == sorted(record["groups"]["favourability"], reverse=True)
    means = [done.map("favourability")[groups == g].mean(dtype=float) for g in range(1, k + 1) if shares[g - 1] > 0.02]
    assert means == sorted(means, reverse=True), "group 1 is the most favourable"
    assert set(np.unique(done.map("driver")[scored])) <= {1, 2, 3, 4}
    for index, section in enumerate(tomllib.loads(done.project.read_text(encoding="utf-8"))["layers"], 1):
        with rasterio.open(done.project.parent / section["source"]) as file:
            missing = file.read_masks(1) == 0
        assert not (done.map("driver")[missing] == index).any(), "a missing layer drives nothing"


def test_classes_have_their_shares_of_area(done: Finished) -> None:
    classes, p = done.map("classes"), done.map("prospectivity")
    valid = classes > 0
    for number, share in enumerate((0.01, 0.02, 0.05), 1):
        best = valid & (classes <= number)
        assert best.sum() / valid.sum() == pytest.approx(share, abs=0.0015)
        assert p[best].min() >= done.record["thresholds"][f"{share:g}"] > p[valid & ~best].max()


def test_prospectivity_finds_what_was_planted(done: Finished) -> None:
    methods = done.record["validation"]["methods"]
    assert set(methods) == {"prospectivity", "anomaly", "favourability", "gamma"}
    assert done.record["validation"]["occurrences"] == 12
    found = methods["prospectivity"]
    assert found["auc"] > 0.9
    assert (found["auc_low"], done.record["validation"]["districts"]) == (None, 1), "all within 10 km of each other"
    assert "too few for intervals" in done.record["validation"]["notes"][0]
    assert set(done.record["validation"]["baselines"]) == set(NAMES)


def test_targets_table(done: Finished, table: geopandas.GeoDataFrame) -> None:
    assert list(table.columns) == COLUMNS
    assert table.crs == CRS
    assert list(table["rank"]) == list(range(1, len(table) + 1))
    merit = (table["prospectivity"] * table["confidence"]).to_numpy()
    assert (np.diff(merit) <= 1e-6).all(), "best first"
    ground = pyproj.Geod(ellps="WGS84")
    areas = [abs(ground.geometry_area_perimeter(outline)[0]) / 1e6 for outline in table.to_crs("EPSG:4326").geometry]
    assert table["area_km2"].to_numpy() == pytest.approx(areas, rel=1e-4), "on the ground, by geodesics"
    assert table["area_km2"].min() >= 9 * KM2 * 0.999, "by default nine cells"
    for name in ("prospectivity", "confidence", "risk"):
        assert table[name].between(0, 1).all()
    names = {layer["name"] for layer in done.record["layers"]} | {""}
    for column in ("driver_1", "driver_2", "driver_3"):
        assert set(table[column]) <= names
    assert (table["driver_1"] != "").all()
    points = geopandas.GeoSeries.from_xy(table["lon"], table["lat"], crs="EPSG:4326").to_crs(CRS)
    assert points.distance(table.geometry).max() < 1.0, "the point lies in its target"
    for row, said in zip(table.itertuples(), done.record["targets"], strict=True):
        assert (row.rank, row.group, row.driver_1) == (said["rank"], said["group"], said["drivers"][0])
        assert row.area_km2 == pytest.approx(said["area_km2"], abs=1e-6)


def test_targets_are_the_best_2_percent(done: Finished, table: geopandas.GeoDataFrame) -> None:
    best = np.isin(done.map("classes"), (1, 2))
    burnt = rasterio.features.rasterize(
        zip(table.geometry, table["rank"], strict=True), SHAPE, transform=corner(), dtype="int32"
    )
    assert best[burnt > 0].all()
    labels, count = ndimage.label(best, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    large = [label for label in range(1, count + 1) if sizes[label] >= 9]
    assert len(large) == len(table)
    for label in large:
        assert len(np.unique(burnt[labels == label])) == 1, "one target a patch of touching cells"
    p, confidence = done.map("prospectivity"), done.map("confidence")
    for row in table.itertuples():
        cells = burnt == row.rank
        assert row.prospectivity == pytest.approx(p[cells].mean(dtype=float), abs=1e-6)
        assert row.confidence == pytest.approx(confidence[cells].mean(dtype=float), abs=1e-6)


def test_the_record_is_written_last(done: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every output appears whole, by a rename on one file system, and run.json after all others."""
    appeared: list[str] = []
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        if Path(target).parent == tmp_path:
            assert Path(source).stat().st_dev == tmp_path.stat().st_dev
            appeared.append(Path(target).name)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    pipeline.screen(done.project, done.output, tmp_path)
    assert sorted(appeared) == sorted(FILES), "each once"
    assert appeared[-1] == "run.json"
    assert appeared[-2] == "report.html"


def test_a_second_run_gives_the_same_bytes(done: Finished, tmp_path: Path) -> None:
    """In a folder where a killed run left its scratch and where strangers' files stand."""
    scratch = tmp_path / ".mpmjax"
    (scratch / "layers").mkdir(parents=True)
    for name in ("mask.tif", "prospectivity.work.tif", "layers/copper.tif"):
        (scratch / name).write_bytes(b"half a file")
    (tmp_path / ".run.json.part").write_bytes(b"{")
    (tmp_path / "anomaly.tif").write_bytes(b"old")
    (tmp_path / "notes.txt").write_text("mine")
    record = pipeline.run(done.project, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / "notes.txt").unlink()
    assert assert_whole(tmp_path, done.project) == record
    first, second = digests(done.output), digests(tmp_path)
    for name in ("run.json", "report.html"):
        del first[name], second[name]
    assert first == second
    clocks = {"date", "times", "outputs"}
    assert {k: v for k, v in record.items() if k not in clocks} == {
        k: v for k, v in done.record.items() if k not in clocks
    }


def test_fit_elsewhere_and_screen_is_run(done: Finished, tmp_path: Path) -> None:
    pipeline.fit(done.project, tmp_path / "fitted")
    assert set(outputs(tmp_path / "fitted")) == {"screener.safetensors", "screener.json"}
    record = pipeline.screen(done.project, tmp_path / "fitted", tmp_path / "screened")
    assert_whole(tmp_path / "screened", done.project)
    wanted = {name: digest for name, digest in outputs(done.output).items() if not name.endswith((".html", "run.json"))}
    assert {name: record["outputs"][name] for name in wanted} == wanted
    assert "train" not in record["times"]


def test_screen_of_the_next_district(done: Finished, tmp_path: Path) -> None:
    project = make_district(tmp_path / "east", left=LEFT + SHAPE[1] * CELL, seed=11, stream={"tile": 100})
    record = pipeline.screen(project, done.output / "screener.safetensors", tmp_path / "out")
    assert_whole(tmp_path / "out", project)
    assert record["validation"]["methods"]["prospectivity"]["auc"] > 0.85
    folders = {Path(layer["source"]).parent for layer in record["layers"]}
    assert folders == {tmp_path / "east"}, "not where it was fitted"
    with rasterio.open(tmp_path / "out" / "prospectivity.tif") as file:
        assert file.bounds.left == LEFT + SHAPE[1] * CELL
        scored = file.read_masks(1) > 0
    assert np.array_equal(scored, layer_coverage(project) >= 0.5), "its gaps and sheet are those of the west, moved"
    assert digests(tmp_path / "out")["screener.safetensors"] == digests(done.output)["screener.safetensors"]


def test_no_target_is_large_enough(done: Finished, tmp_path: Path) -> None:
    project = make_district(tmp_path / "district", targets={"min_area": 1000.0})
    record = pipeline.screen(project, mpmjax.load_screener(done.output / "screener.json"), tmp_path / "out")
    assert record["target_count"] == 0
    assert_whole(tmp_path / "out", project)
    table = geopandas.read_file(tmp_path / "out" / "targets.gpkg")
    assert (len(table), list(table.columns)) == (0, COLUMNS)
    assert maps_of(tmp_path / "out") == maps_of(done.output)


@pytest.mark.parametrize(
    ("old", "new"),
    [('name = "faults"', 'name = "Faults"'), ('name = "copper"', 'name = "faults "')],
    ids=["renamed", "twice"],
)
def test_layers_that_do_not_fit_the_screener(copy: Finished, old: str, new: str) -> None:
    """Refused, and the finished run in the same folder stays one."""
    before = digests(copy.output)
    edit(copy.project, old, new)
    with pytest.raises(MpmError, match="faults") as caught:
        pipeline.screen(copy.project, copy.output, copy.output, fresh=True)
    assert "Names and order must be the same" in str(caught.value) or "must differ" in str(caught.value)
    assert before.items() <= digests(copy.output).items()
    assert outputs(copy.output).keys() <= before.keys()


def test_layers_in_another_order_do_not_fit(done: Finished, tmp_path: Path) -> None:
    project = make_district(tmp_path / "two", layers=2)
    with pytest.raises(ScreenerError, match="copper, faults, magnetics; the project has alteration, copper"):
        pipeline.screen(project, done.output, tmp_path / "out")
    text = project.read_text(encoding="utf-8")
    head, first, second = text.partition("[[layers]]")[0], *text.split("[[layers]]")[1:]
    project.write_text(head + "[[layers]]" + second + "\n[[layers]]" + first, encoding="utf-8")
    with pytest.raises(ScreenerError, match="order"):
        pipeline.screen(project, done.output, tmp_path / "out")
    assert not outputs(tmp_path / "out")


def test_too_little_memory_is_said_before_the_fit(
    copy: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the fit began")

    before = digests(copy.output)
    monkeypatch.setattr(pipeline_steps, "sample", never)
    with copy.project.open("a", encoding="utf-8") as file:
        file.write('[stream]\nmax_memory = "200MiB"\n')
    with pytest.raises(MpmError, match="max_memory") as caught:
        pipeline.run(copy.project, copy.output, fresh=True)
    assert caught.value.exit_status == 5
    assert digests(copy.output) == before
