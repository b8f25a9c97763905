"""compare: two finished runs against SciPy, scikit-learn and shapely on their whole maps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from districts import CELL, CRS, LEFT, TOP, Finished, edit, finished_run, make_district
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import adjusted_rand_score
from tolerances import CORRELATION, MEAN_OF_FLOAT32, SPEARMAN_BY_BINS, Tolerance, assert_close

from mpmjax import pipeline
from mpmjax.errors import DataError
from mpmjax.evidence.grid.area import cell_area
from mpmjax.reporting.vectors import write_targets
from mpmjax.scoring.thresholds import SHARES
from mpmjax.stages import compare as stage
from mpmjax.stages.compare import SCORES
from mpmjax.stream.files import sha256
from mpmjax.types import Grid, Tile


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finished_run(tmp_path_factory)


def run_again(folder: Path, change: Callable[[Path], object] = lambda project: None, **model: Any) -> Finished:
    """The same district, another run."""
    project = make_district(folder / "district", model={"groups": "auto", **model}, occurrences=False)
    change(project)
    pipeline.run(project, folder / "output")
    return Finished(project, folder / "output")


@pytest.fixture(scope="module")
def other_seed(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return run_again(tmp_path_factory.mktemp("seed"), seed=8)


@pytest.fixture(scope="module")
def other_weight(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    def change(project: Path) -> None:
        edit(project, 'name = "copper"', 'name = "copper"\nweight = 3.0')

    return run_again(tmp_path_factory.mktemp("weight"), change)


@pytest.fixture(scope="module")
def by_seed(done: Finished, other_seed: Finished) -> dict[str, Any]:
    return pipeline.compare(done.output, other_seed.output)


def copied(run: Finished, folder: Path, **maps: np.ndarray) -> Finished:
    """A copy of a run, with other maps of the same names, as if it had made them."""
    shutil.copytree(run.output, folder, ignore=shutil.ignore_patterns("evidence"))
    record = run.record
    for name, values in maps.items():
        path = folder / f"{name}.tif"
        with rasterio.open(path) as file:
            profile = {"crs": file.crs, "transform": file.transform, "nodata": file.nodata, "dtype": file.dtypes[0]}
        height, width = values.shape
        with rasterio.open(path, "w", driver="GTiff", count=1, height=height, width=width, **profile) as file:
            file.write(values, 1)
        record["outputs"][path.name] = sha256(path)
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return Finished(run.project, folder)


def restate(run: Finished, **grid: Any) -> Finished:
    record = run.record
    record["grid"] |= grid
    (run.output / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return run


def assert_value(actual: float, expected: float, tolerance: Tolerance) -> None:
    assert_close(np.array(actual), np.array(expected), tolerance)


def assert_maps(found: Mapping[str, Any], a: Finished, b: Finished) -> None:
    for name in SCORES:
        x, y = a.map(name).astype(np.float64), b.map(name).astype(np.float64)
        both, got = (x >= 0) & (y >= 0), found["maps"][name]
        assert got["cells"] == both.sum()
        assert (got["only_a"], got["only_b"]) == ((x >= 0).sum() - both.sum(), (y >= 0).sum() - both.sum())
        x, y = x[both], y[both]
        assert_value(got["pearson"], pearsonr(x, y).statistic, CORRELATION)
        assert_value(got["spearman"], spearmanr(x, y).statistic, SPEARMAN_BY_BINS)
        assert_value(got["mean_difference"], np.abs(x - y).mean(), MEAN_OF_FLOAT32)


def assert_groups_and_areas(found: Mapping[str, Any], a: Finished, b: Finished) -> None:
    x, y = a.map("groups"), b.map("groups")
    both = (x > 0) & (y > 0)
    assert_value(found["groups"]["adjusted_rand"], adjusted_rand_score(x[both], y[both]), CORRELATION)
    assert found["groups"]["same_number"] == (x == y)[both].mean()
    height, width = x.shape
    area = cell_area(Grid(CRS, rasterio.Affine(CELL, 0, LEFT, 0, -CELL, TOP), width, height))
    km2 = area.of(Tile(0, 0, 0, height, width))
    for number, share in enumerate(SHARES, 1):
        got = found["best"][f"{share:g}"]
        p, q = ((m > 0) & (m <= number) for m in (a.map("classes"), b.map("classes")))
        assert got["a_in_b"] == pytest.approx(km2[p & q].sum() / km2[p].sum(), rel=1e-5)
        assert got["b_in_a"] == pytest.approx(km2[p & q].sum() / km2[q].sum(), rel=1e-5)
        assert got["jaccard"] == pytest.approx(km2[p & q].sum() / km2[p | q].sum(), rel=1e-5)
        assert got["both_km2"] == pytest.approx(km2[p & q].sum(), rel=1e-5)
    p, q = ((m > 0) & (m <= 2) for m in (a.map("classes"), b.map("classes")))
    for way, cells in (("entered", q & ~p), ("left", p & ~q)):
        got = found["moved"][way]
        assert got["cells"] == cells.sum()
        assert got["km2"] == pytest.approx(km2[cells].sum(), rel=1e-5)
        for run, side in ((a, "a"), (b, "b")):
            names = [layer["name"] for layer in run.record["layers"]]
            numbers, counts = np.unique(run.map("driver")[cells], return_counts=True)
            wanted = {names[n - 1] if n else "none": c for n, c in zip(numbers, counts, strict=True)}
            assert got[f"drivers_{side}"] == wanted
            assert list(got[f"drivers_{side}"].values()) == sorted(wanted.values(), reverse=True)
            values = run.map("anomaly")[cells & both].astype(np.float64)
            assert_value(got[f"mean_{side}"]["anomaly"], values.mean(), MEAN_OF_FLOAT32)


def test_another_seed_as_on_the_whole_maps(by_seed: dict[str, Any], done: Finished, other_seed: Finished) -> None:
    assert_maps(by_seed, done, other_seed)
    assert_groups_and_areas(by_seed, done, other_seed)
    assert 0.1 < by_seed["maps"]["confidence"]["spearman"] < 0.99, "there is something to tell"
    assert by_seed["moved"]["entered"]["cells"] > 0
    assert json.loads(json.dumps(by_seed, allow_nan=False)) == by_seed


def test_targets_by_their_polygons(by_seed: dict[str, Any], done: Finished, other_seed: Finished) -> None:
    a, b = (geopandas.read_file(run.output / "targets.gpkg").sort_values("rank") for run in (done, other_seed))
    got, rest = by_seed["targets"], shapely.union_all(b.geometry.values)
    common = a.geometry.intersection(rest).area
    assert (got["a"], got["b"]) == (len(a), len(b))
    assert got["a_met"] == (common > 1).sum() > 0
    assert got["gone"] == a["rank"][common <= 1].tolist()
    assert got["a_share"] == pytest.approx(common.sum() / a.area.sum())
    for target in got["best"]:
        own = a.geometry[a["rank"] == target["rank"]].iloc[0]
        shared = b.geometry.intersection(own).area
        expected = int(b["rank"][shared.idxmax()]) if shared.max() > 1 else None
        assert target["rank_b"] == expected
        assert target["share"] == pytest.approx(shared.sum() / own.area)
    assert len(got["best"]) == min(10, len(a))


def test_another_seed_is_told_and_nothing_else_is_large(by_seed: dict[str, Any]) -> None:
    assert "[model] seed: 7 in A, 8 in B." in by_seed["differences"]
    assert all(row["effect"] < 0.05 for row in by_seed["layers"])
    assert not any("source" in sentence or "direction" in sentence for sentence in by_seed["differences"])


def test_a_run_and_itself(done: Finished) -> None:
    found = pipeline.compare(done.output, done.output)
    assert all((m["spearman"], m["pearson"], m["mean_difference"]) == (1.0, 1.0, 0.0) for m in found["maps"].values())
    assert all(m["only_a"] == m["only_b"] == 0 for m in found["maps"].values())
    assert (found["groups"]["adjusted_rand"], found["groups"]["same_number"]) == (1.0, 1.0)
    for best in found["best"].values():
        assert (best["a_in_b"], best["b_in_a"], best["jaccard"]) == (1.0, 1.0, 1.0)
    targets = found["targets"]
    assert targets["a"] == targets["a_met"] == targets["b_met"] > 0
    assert (targets["gone"], targets["new"]) == ([], [])
    assert [(t["rank"], t["rank_b"]) for t in targets["best"]] == [(i + 1, i + 1) for i in range(len(targets["best"]))]
    assert found["moved"]["entered"]["cells"] == found["moved"]["left"]["cells"] == 0
    assert found["differences"] == []
    assert all((row["apart"], row["effect"]) == (0.0, 0.0) for row in found["layers"])


@pytest.mark.parametrize("size", [97, 4096])
def test_however_it_is_read(
    by_seed: dict[str, Any], done: Finished, other_seed: Finished, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(stage, "TILE", size)
    found = pipeline.compare(done.output, other_seed.output)
    for name in SCORES:
        for key in ("pearson", "spearman", "mean_difference"):
            assert_value(found["maps"][name].pop(key), by_seed["maps"][name][key], CORRELATION)
    for way in ("entered", "left"):
        for side in ("mean_a", "mean_b"):
            for name, mean in found["moved"][way].pop(side).items():
                assert_value(mean, by_seed["moved"][way][side][name], MEAN_OF_FLOAT32)
    for name, part in found.items():
        if name == "moved":
            part = {way: {**by_seed["moved"][way], **part[way]} for way in ("entered", "left")} | {"share": 0.02}
        if name == "maps":
            part = {score: {**by_seed["maps"][score], **figures} for score, figures in part.items()}
        assert part == by_seed[name], name


def test_the_layer_whose_weight_changed_is_named_first(done: Finished, other_weight: Finished) -> None:
    found = pipeline.compare(done.output, other_weight.output)
    assert found["layers"][0]["name"] == "copper"
    assert found["layers"][0]["share_b"] > found["layers"][0]["share_a"] + 0.1
    assert found["differences"][0].startswith("copper: weight not stated in A, 3 in B; counts ")
    assert not any(name in sentence for name in ("faults", "magnetics") for sentence in found["differences"])
    assert found["maps"]["favourability"]["spearman"] < 0.999


def test_cells_of_one_run_alone(done: Finished, tmp_path: Path) -> None:
    """Other cells are scored, and one map does not vary."""
    maps = {name: done.map(name) for name in (*SCORES, "groups", "classes", "driver")}
    for name in SCORES:
        maps[name][40:90, 30:200] = -9999
        maps[name][(maps["groups"] == 0) & (np.arange(300) < 20)] = 0.25
    for name in ("groups", "classes", "driver"):
        maps[name][40:90, 30:200] = 0
    maps["risk"][maps["risk"] >= 0] = 0.125
    other = copied(done, tmp_path / "other", **maps)
    found = pipeline.compare(done.output, other.output)
    risk = found["maps"].pop("risk")
    assert (risk["pearson"], risk["spearman"]) == (None, None)
    for name in ("prospectivity", "confidence"):
        a, b = done.map(name) >= 0, other.map(name) >= 0
        got = found["maps"][name]
        assert (got["cells"], got["only_a"], got["only_b"]) == ((a & b).sum(), (a & ~b).sum(), (b & ~a).sum())
        assert min(got["only_a"], got["only_b"]) > 100
        assert (got["pearson"], got["mean_difference"]) == (pytest.approx(1.0, abs=1e-12), 0.0)
    gone = (done.map("classes") > 0) & (done.map("classes") <= 2)
    gone[:40], gone[90:], gone[:, :30], gone[:, 200:] = False, False, False, False
    left = found["moved"]["left"]
    assert left["cells"] == gone.sum() > 0
    assert left["drivers_b"] == {"none": left["cells"]}
    assert set(left["mean_b"].values()) == {None}
    assert found["groups"]["adjusted_rand"] == 1.0


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({"crs": "EPSG:32640"}, r"CRS EPSG:32639 against EPSG:32640"),
        ({"width": 299}, r"300 x 260 cells against 299 x 260"),
        ({"transform": [CELL, 0, LEFT + 30, 0, -CELL, TOP]}, r"upper left corner 640000\.000"),
        ({"transform": [30.0, 0, LEFT, 0, -30.0, TOP]}, r"cells of 60 x 60 m against 30 x 30 m"),
    ],
)
def test_other_grids_are_refused(done: Finished, tmp_path: Path, grid: dict[str, Any], said: str) -> None:
    other = restate(copied(done, tmp_path / "other"), **grid)
    with pytest.raises(DataError, match=said) as refused:
        pipeline.compare(done.output, other.output)
    assert "give both projects the same [grid]" in str(refused.value)
    assert str(other.output) in str(refused.value)


def test_one_grid_in_other_words(done: Finished, tmp_path: Path) -> None:
    """The same CRS as WKT, and a corner off by rounding."""
    words = {"crs": rasterio.CRS.from_user_input(CRS).to_wkt(), "transform": [CELL, 0, LEFT + 1e-6, 0, -CELL, TOP]}
    other = restate(copied(done, tmp_path / "other"), **words)
    assert pipeline.compare(done.output, other.output)["maps"]["prospectivity"]["pearson"] == 1.0


def test_what_is_no_finished_run(done: Finished, tmp_path: Path) -> None:
    for pair in ((tmp_path, done.output), (done.output, tmp_path)):
        with pytest.raises(DataError, match=r"run\.json: not there, so .* holds no finished run"):
            pipeline.compare(*pair)


@pytest.mark.parametrize("name", ["prospectivity.tif", "driver.tif", "targets.gpkg", "screener.safetensors"])
def test_damaged_files_are_named(done: Finished, tmp_path: Path, name: str) -> None:
    other = copied(done, tmp_path / "other")
    path = other.output / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: its checksum is not the one in run\.json"):
        pipeline.compare(done.output, other.output)
    path.unlink()
    with pytest.raises(DataError, match=rf"{name}: cannot be read: No such file"):
        pipeline.compare(done.output, other.output)


def test_files_that_never_were_whole(done: Finished, tmp_path: Path) -> None:
    """Their checksums are as stated, and still they cannot be read."""
    for name in ("risk.tif", "targets.gpkg"):
        other = copied(done, tmp_path / name)
        path = other.output / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3] if name == "risk.tif" else b"no table")
        record = other.record
        record["outputs"][name] = sha256(path)
        (other.output / "run.json").write_text(json.dumps(record), encoding="utf-8")
        with pytest.raises(DataError, match=name):
            pipeline.compare(done.output, other.output)


def test_a_run_without_targets(done: Finished, tmp_path: Path) -> None:
    other = copied(done, tmp_path / "other")
    record = other.record
    path = write_targets([], Grid(CRS, rasterio.Affine(CELL, 0, LEFT, 0, -CELL, TOP), 300, 260), tmp_path / "none.gpkg")
    shutil.move(path, other.output / "targets.gpkg")
    record["outputs"]["targets.gpkg"] = sha256(other.output / "targets.gpkg")
    (other.output / "run.json").write_text(json.dumps(record), encoding="utf-8")
    count = record["target_count"]
    targets = pipeline.compare(done.output, other.output)["targets"]
    assert (targets["a"], targets["b"], targets["a_met"]) == (count, 0, 0)
    assert targets["gone"] == list(range(1, count + 1))
    targets = pipeline.compare(other.output, done.output)["targets"]
    assert (targets["new"], targets["best"], targets["a_share"]) == (list(range(1, count + 1)), [], None)


def test_nothing_is_written(done: Finished, tmp_path: Path) -> None:
    other = copied(done, tmp_path / "other")
    before = {path: path.stat().st_mtime_ns for path in other.output.iterdir()}
    pipeline.compare(done.output, other.output)
    assert {path: path.stat().st_mtime_ns for path in other.output.iterdir()} == before
