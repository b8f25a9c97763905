"""validate: the figures of a small district against scikit-learn on whole arrays, however it is cut."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from sklearn.metrics import roc_auc_score

from mpmjax.errors import DataError
from mpmjax.reference.membership import membership
from mpmjax.reference.overlay import overlay
from mpmjax.scoring.metrics import count_ranks, judge
from mpmjax.stages import validate as stage
from mpmjax.stages.validate import validate
from mpmjax.types import Evidence, Grid, Layer, Membership, Occurrences, Screener

HEIGHT, WIDTH, CELL = 37, 53, 60.0
GRID = Grid("EPSG:32639", Affine(CELL, 0, 500_000, 0, -CELL, 4_000_000), WIDTH, HEIGHT)
MAPS = ("prospectivity", "anomaly", "favourability")
MEMBERSHIPS = (
    Membership("sigmoid", {"midpoint": 50.0, "slope": 0.1}),
    Membership("linear", {"lo": 200.0, "hi": 0.0}, hedge="somewhat"),
    Membership("category", {}, knots_x=np.array([1.0, 2.0, 3.0]), knots_y=np.array([0.9, 0.3, 0.6])),
    Membership("sigmoid", {"midpoint": 0.0, "slope": 1.0}),
)
WEIGHT = np.array([1.0, 2.0, 1.0, 0.0], np.float32)
"""The last layer has no direction: no part of gamma."""


def write(path: Path, values: np.ndarray, nodata: float) -> Path:
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 1, "dtype": values.dtype, "nodata": nodata}
    with rasterio.open(path, "w", crs=GRID.crs, transform=GRID.transform, **profile) as dataset:
        dataset.write(values, 1)
    return path


@dataclasses.dataclass(frozen=True)
class District:
    """Layers and maps as files, and as whole arrays: values float64 with NaN where missing, [height, width]."""

    folder: Path
    evidence: Evidence
    layers: np.ndarray
    maps: dict[str, np.ndarray]
    known: np.ndarray

    def validate(self, draws: int = 0, **options: Any) -> dict[str, Any]:
        return validate(self.evidence, Screener((), MEMBERSHIPS, {"weight": WEIGHT}, {}), self.folder, draws, **options)

    def gamma(self) -> np.ndarray:
        """By the definitions; 0.5 where no directed layer has data."""
        mu = np.stack([
            membership(values, **{field.name: getattr(m, field.name) for field in dataclasses.fields(m)})
            for values, m in zip(self.layers, MEMBERSHIPS, strict=True)
        ])[WEIGHT > 0]  # fmt: skip
        with np.errstate(invalid="ignore"):
            found = overlay(np.nan_to_num(mu), ~np.isnan(mu), "gamma", 0.9)
        return np.where(np.isnan(found), 0.5, found)


@pytest.fixture
def district(tmp_path: Path) -> District:
    return make(tmp_path)


def make(folder: Path, known_on: str = "scored") -> District:
    rng = np.random.default_rng(0)
    shape = (HEIGHT, WIDTH)
    raw = (
        rng.integers(1, 100, shape).astype(np.uint8),
        rng.integers(0, 40, shape).astype(np.int16),  # with a scale of 7.5
        rng.integers(1, 5, shape).astype(np.uint8),  # class 4 is in no table
        rng.normal(size=shape).astype(np.float32),
    )
    nodata, scale = (0, -999, 0, -9999.0), (1.0, 7.5, 1.0, 1.0)
    layers, values = [], np.empty((4, *shape))
    for index, array in enumerate(raw):
        missing = rng.uniform(size=shape) < 0.15
        array[missing] = nodata[index]
        path = write(folder / f"layer{index}.tif", array, nodata[index])
        layers.append(
            Layer(f"layer{index}", "index", path, 1, array.dtype.name, float(nodata[index]), scale=scale[index])
        )
        values[index] = np.where(missing, np.nan, array * scale[index])
    scored = (~np.isnan(values)).mean(axis=0) >= 0.5
    scored[:, -4:] = False  # outside the study area
    known = np.zeros(shape, bool)
    known.flat[rng.choice(np.flatnonzero(scored), 40, replace=False)] = True
    maps = {}
    for name, levels in zip(MAPS, (None, 7, 1000), strict=True):
        score = 1 / (1 + np.exp(-rng.normal(known * 0.8, 1.0)))
        score = score if levels is None else np.floor(score * levels) / levels
        maps[name] = np.where(scored, score, -9999.0).astype(np.float32)
        write(folder / f"{name}.tif", maps[name], -9999.0)
    stray = {"scored": np.zeros(shape, bool), "both": np.zeros(shape, bool), "unscored": np.zeros(shape, bool)}
    stray["both"].flat[np.flatnonzero(~scored)[:5]] = True
    stray["unscored"] = stray["both"]
    on = known | stray[known_on] if known_on != "unscored" else stray["unscored"]
    rows, cols = np.nonzero(on)
    order = rng.permutation(rows.size)
    occurrences = Occurrences(rows[order], cols[order], rows.size + 3, "deposits.csv")
    return District(folder, Evidence(GRID, tuple(layers), None, occurrences), values, maps, known)


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
        assert got[name] == judge(count_ranks(values[district.known], [values[values >= 0]]), 50)
        assert got[name]["auc_low"] < got[name]["auc"] < got[name]["auc_high"]


@pytest.mark.parametrize(("tile", "workers"), [(16, 1), (16, 3), (37, 2), (1, 2)])
def test_tiles_and_workers_change_nothing(
    district: District, monkeypatch: pytest.MonkeyPatch, tile: int, workers: int
) -> None:
    """gamma too: an occurrence's own value must be, to the bit, the one that its cell has in the count."""
    whole = district.validate(draws=20, workers=1)
    monkeypatch.setattr(stage, "TILE", tile)
    got = district.validate(draws=20, workers=workers)
    assert got["methods"] == whole["methods"]
    assert sorted(got["xy"]) == sorted(whole["xy"])


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
