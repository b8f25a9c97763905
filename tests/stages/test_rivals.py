"""rivals: all scores on the same cells, fitted without labels; against the definitions and scikit-learn."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from stages.judged import CELL, GRID, WEIGHT, District, fuzzy, make

from mpmjax.errors import DataError
from mpmjax.reference.lstm import score
from mpmjax.scoring.baselines import NAMES
from mpmjax.scoring.intervals import districts_of
from mpmjax.stages import rivals as stage
from mpmjax.stages.rivals import OURS, rivals
from mpmjax.types import Sample

DRAWS = 30


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> District:
    return make(tmp_path_factory.mktemp("district"))


def scored(district: District) -> np.ndarray:
    return district.maps["prospectivity"] >= 0


def sampled(district: District, cells: int | None = None) -> Callable[[int], Sample]:
    """Draws that many of the scored cells, all by default."""

    def draw(most: int) -> Sample:
        assert most == stage.CELLS
        at = np.flatnonzero(scored(district))
        some = np.sort(np.random.default_rng(3).choice(at, cells or at.size, replace=False))
        rows, cols = np.divmod(some, GRID.width)
        return Sample(district.layers[:, rows, cols].T, rows, cols, at.size)

    return draw


def places(district: District) -> list[list[float]]:
    rows, cols = np.nonzero(district.known)
    return [[500_000 + CELL * (c + 0.5), 4_000_000 - CELL * (r + 0.5)] for r, c in zip(rows, cols, strict=True)]


def compared(district: District, cells: int | None = None, draws: int = 0) -> dict[str, Any]:
    count = int(scored(district).sum())
    return rivals(district.evidence, district.screener, places(district), count, draws, sampled(district, cells))


@pytest.fixture(scope="module")
def whole(district: District) -> dict[str, Any]:
    """With a sample of all scored cells."""
    return compared(district, draws=DRAWS)


def assert_auc(figures: dict[str, Any], district: District, values: np.ndarray, cells: np.ndarray) -> None:
    """As scikit-learn has it; float32 may tie, or part, single pairs."""
    expected = roc_auc_score(district.known[cells], values[cells].astype(np.float32))
    assert figures["auc"] == pytest.approx(expected, abs=20 / (district.known.sum() * cells.sum()))


def test_ours_are_those_of_the_definition(district: District, whole: dict[str, Any]) -> None:
    cells = scored(district)
    mu = fuzzy(district.layers)[:, cells].T
    maps = score(np.nan_to_num(mu), ~np.isnan(mu), district.screener.arrays)
    assert list(whole["ours"]) == list(OURS)
    for name in OURS:
        values = np.full(GRID.shape, np.nan)
        values[cells] = maps[name]
        assert_auc(whole["ours"][name], district, values, cells)


def test_simple_methods_by_the_definitions(district: District, whole: dict[str, Any]) -> None:
    assert list(whole["baselines"]) == list(NAMES)
    cells, mu = scored(district), fuzzy(district.layers)
    assert_auc(whole["baselines"]["gamma"], district, district.gamma(), cells)
    weight = np.where(np.isnan(mu), 0.0, WEIGHT[:, None, None])
    total = weight.sum(axis=0)
    mean = np.where(total > 0, (weight * np.nan_to_num(mu)).sum(axis=0) / np.where(total > 0, total, 1.0), 0.5)
    assert_auc(whole["baselines"]["typed mean"], district, mean, cells)
    assert "directed" in whole["baselines"]["typed mean"]["note"]


def test_figures_are_whole_and_plain(district: District, whole: dict[str, Any]) -> None:
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole
    assert whole["compared"] == {"cells": int(scored(district).sum()) - 40, "occurrences": 40}
    for name, figures in {**whole["baselines"], **whole["ours"]}.items():
        assert figures["auc_low"] <= figures["auc"] <= figures["auc_high"], name
        assert set(figures["capture"]) == {"0.01", "0.02", "0.05", "0.1", "0.2"}
        if name != "prospectivity":
            lead = figures["difference"]
            assert lead["auc"] == pytest.approx(whole["ours"]["prospectivity"]["auc"] - figures["auc"], abs=1e-12)
            assert lead["low"] <= lead["auc"] <= lead["high"], name


def test_a_sample_stands_for_the_map(district: District, whole: dict[str, Any]) -> None:
    """Half of the cells: every AUC is near that of all; occurrences that were not drawn are judged as well."""
    got = compared(district, int(scored(district).sum()) // 2)
    assert got["compared"]["occurrences"] == 40
    assert got["compared"]["cells"] < whole["compared"]["cells"] * 0.52
    for name in OURS:
        assert got["ours"][name]["auc"] == pytest.approx(whole["ours"][name]["auc"], abs=0.03)
        assert got["ours"][name]["auc_low"] is None


def test_sampled_cells_count_for_all_of_the_map(district: District, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of the area are of the map's cells, not of the sample and 40 occurrences."""
    seen: list[tuple[float, float]] = []
    real = stage.stand

    def keep(own: np.ndarray, background: np.ndarray, shares: tuple[float, float]) -> Any:
        seen.append(shares)
        return real(own, background, shares)

    monkeypatch.setattr(stage, "stand", keep)
    got = rivals(district.evidence, district.screener, places(district), 1_000_000, 0, sampled(district, 1000))
    assert set(seen) == {(1.0, (1_000_000 - 40) / got["compared"]["cells"])}
    assert len(seen) == len(OURS) + 11


def test_occurrences_change_no_fit(district: District, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the methods are fitted to is the same whichever cells are known."""
    seen: list[tuple[np.ndarray, ...]] = []
    real = stage.fit_baselines

    def keep(mu: np.ndarray, valid: np.ndarray, weights: np.ndarray, seed: int) -> Any:
        seen.append((mu, valid, weights))
        return real(mu, valid, weights, seed, ["typed mean"])

    monkeypatch.setattr(stage, "fit_baselines", keep)
    first = compared(district)
    known = np.roll(district.known, 3, axis=0) & scored(district)
    second = compared(dataclasses.replace(district, known=known))
    assert first["baselines"]["typed mean"]["auc"] != second["baselines"]["typed mean"]["auc"]
    for one, other in zip(*seen, strict=True):
        assert np.array_equal(one, other)
    assert len(seen[0][0]) == scored(district).sum()
    assert np.array_equal(seen[0][2], WEIGHT)


def test_cells_that_no_map_scores_are_no_background(district: District) -> None:
    """A cell that has data in enough layers, but of a class that the table does not know."""
    screener = dataclasses.replace(district.screener, settings={"min_coverage": 0.75, "seed": 7})
    got = rivals(district.evidence, screener, places(district), 900, 0, sampled(district))
    covered = (~np.isnan(fuzzy(district.layers))).mean(axis=0) >= 0.75
    assert got["compared"]["cells"] == (scored(district) & covered & ~district.known).sum()


def test_many_occurrences_are_thinned(district: District, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "some_of", lambda count: np.arange(0, count, 2))
    got = compared(district, draws=DRAWS)
    assert got["compared"]["occurrences"] == 20
    assert got["compared"]["cells"] == scored(district).sum() - 40, "the others are no background"
    x, y = np.array(places(district))[::2].T
    assert districts_of(x, y).max() > 5
    assert got["ours"]["R"]["auc_low"] < got["ours"]["R"]["auc_high"]


def test_thinned_occurrences_stand_for_all_of_their_area(district: District, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the map is known and every 10th of it is drawn: shares of the area stay those of the map."""
    mu = fuzzy(district.layers)
    weight = np.where(np.isnan(mu), 0.0, WEIGHT[:, None, None])
    mean = (weight * np.nan_to_num(mu)).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-9)
    best = scored(district) & (mean > np.quantile(mean[scored(district)], 0.6))
    many = dataclasses.replace(district, known=best & (np.random.default_rng(5).random(best.shape) < 0.8))
    truth = compared(many)["baselines"]["typed mean"]["capture"]
    monkeypatch.setattr(stage, "some_of", lambda count: np.arange(0, count, 10))
    got = compared(many)["baselines"]["typed mean"]["capture"]
    assert 0.2 < truth["0.1"] < 0.35
    for share in ("0.05", "0.1", "0.2"):
        assert got[share] == pytest.approx(truth[share], abs=0.1)


def test_a_sample_of_nothing_but_occurrences_is_told(district: District) -> None:
    everywhere = dataclasses.replace(district, known=scored(district))
    got = compared(everywhere)
    assert (got["ours"], got["baselines"]) == ({}, {})
    assert "sampled cells hold an occurrence" in got["compared"]["missing"]


def test_a_sample_that_cannot_be_drawn_is_told(district: District) -> None:
    def refuse(_: int) -> Sample:
        raise DataError("layer 'x': constant")

    got = rivals(district.evidence, district.screener, places(district), 900, 0, refuse)
    assert got == {"ours": {}, "baselines": {}, "compared": {"missing": "layer 'x': constant"}}


def test_a_layer_without_data_in_the_sample_is_told(tmp_path: Path) -> None:
    district = make(tmp_path)
    district.layers[3] = np.nan
    got = compared(district)
    assert "layer 4 of 4 has no valid cell" in got["compared"]["missing"]
