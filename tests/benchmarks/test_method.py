"""The judges of the method: the same formula as the package's, ranks and tables by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tolerances import SCORER, assert_close

from mpmjax.benchmarks.method import blind, network, runs
from mpmjax.benchmarks.method.blind_districts import SCENARIOS, SEEDS, district
from mpmjax.benchmarks.method.case import Case, of_made
from mpmjax.benchmarks.method.scores import ABLATED, OURS, fitted, raised, scores
from mpmjax.ops.lstm import Scorer
from mpmjax.scoring.weights import favourability
from mpmjax.types import Ensemble, Screener

SCENARIO = SCENARIOS[0]


@pytest.fixture(scope="module")
def case() -> Case:
    """A fifth of a district, to be fitted in a second."""
    made = district(SCENARIO, SEEDS[SCENARIO][0])
    whole = of_made(made, members=2)
    assert whole.sample.values is not None
    few = np.arange(0, len(whole.sample.mu), 5)
    sample = dataclasses.replace(
        whole.sample,
        mu=whole.sample.mu[few],
        valid=whole.sample.valid[few],
        rows=whole.sample.rows[few],
        cols=whole.sample.cols[few],
        values=None if whole.sample.values is None else whole.sample.values[few],
    )
    model = whole.model.model_copy(update={"hidden": 8, "steps": 50, "groups": 3})
    return dataclasses.replace(whole, sample=sample, model=model)


@pytest.fixture(scope="module")
def found(case: Case) -> tuple[Ensemble, Screener]:
    return fitted(case, workers=1)


def test_a_case_is_its_district(case: Case) -> None:
    made = district(SCENARIO, SEEDS[SCENARIO][0])
    assert case.known.sum() == len(made.deposits)
    assert np.array_equal(case.valid, np.isfinite(made.layers[:, case.rows, case.cols]).T)
    assert case.valid.mean(axis=1).min() >= 0.5
    assert np.array_equal(case.stated, np.abs(made.directions))
    assert ((case.mu >= 0) & (case.mu <= 1)).all()
    assert not case.mu[~case.valid].any()


def test_raised_is_the_formula_of_the_package(case: Case, found: tuple[Ensemble, Screener]) -> None:
    """So that an ablated score differs from ours in its anomaly alone."""
    scorer = Scorer(found[1].arrays)
    whole = scorer.score(np.ascontiguousarray(case.mu.T), np.ascontiguousarray(case.valid.T))
    part = scorer.score(np.ascontiguousarray(case.sample.mu.T), np.ascontiguousarray(case.sample.valid.T))
    fav = favourability(case.sample, case.weights)
    got = raised(whole["favourability"], fav, whole["surprise"], part["surprise"])
    assert_close(got.astype(np.float32), whole[OURS], dataclasses.replace(SCORER, absolute=2e-3))
    assert float(found[1].arrays["trust"][0]) > 0.0


def test_scores_are_all_there(case: Case, found: tuple[Ensemble, Screener]) -> None:
    got = scores(case, found[1], names=blind.RIVALS)
    assert set(got) == {*ABLATED, *blind.RIVALS}
    for name, values in got.items():
        assert values.shape == case.known.shape, name
        assert np.isfinite(values).all(), name
        expected = roc_auc_score(case.known, values)
        assert blind.auc_of(values, case.known) == pytest.approx(expected, abs=1e-12), name


def test_steadiness_is_a_correlation(case: Case, found: tuple[Ensemble, Screener]) -> None:
    got = network.steadiness(case, found[0])
    assert set(got) == set(network.STEADY)
    assert all(-1.0 <= value < 1.0 for value in got.values())
    assert got["prospectivity"] > max(got["anomaly"], 0.8), "favourability knows no seed"


def record(scenario: str, seed: int, **auc: float) -> blind.Record:
    names = [blind.OURS, *blind.RIVALS, *blind.ABLATED]
    return blind.Record(scenario, seed, 5, 20, dict.fromkeys(names, 0.5) | auc)


def test_ranks_and_differences_by_hand() -> None:
    """Ours first once and tied second once; gamma the best rival on the whole of its scenario."""
    first = record(SCENARIOS[0], 1, prospectivity=0.95, gamma=0.8)
    second = record(SCENARIOS[0], 2, prospectivity=0.7, gamma=0.8, Fisher=0.7)
    lines = blind.tables([first, second]).splitlines()
    by_name = {line.split(" | ")[0].strip("| "): line for line in lines[2:11]}
    assert by_name["prospectivity"].endswith("| 0.825 | 1.75 |")
    assert by_name["gamma"].endswith("| 0.800 | 1.50 |")
    assert f"| {SCENARIOS[0]} | gamma | +0.025 (0.125) | -0.100 | 1.75 |" in lines
    assert sum(line.startswith("| no anomaly term") for line in lines) == 1


def test_a_run_is_told_score_by_score() -> None:
    figures = {"auc": 0.81234, "capture": {"0.05": 0.4, "0.1": 0.5, "0.2": 0.6}, "pr": 0.7, "nd": 2.333}
    limits = {"auc": [0.7, 0.9], "nd": [1.5, 3.0]}
    other = figures | {"auc": 0.9, "limits": {}, "difference": {"auc": -0.08766, "low": -0.1, "high": 0.01}}
    told = runs.table(
        {
            "ours": {"prospectivity": figures | {"limits": limits}},
            "baselines": {"gamma": other, "PCA": {"missing": "one layer"}},
            "compared": {"occurrences": 12, "cells": 900},
            "districts": 7,
        }
    ).splitlines()
    assert told[0] == "12 deposits in 7 districts, 900 cells."
    assert told[4] == "| gamma | 0.900 | 0.40 | 0.50 | 0.60 | 0.70 | 2.33 | -0.088 [-0.100, +0.010] |"
    assert told[5] == ("| prospectivity | 0.812 [0.700, 0.900] | 0.40 | 0.50 | 0.60 | 0.70 | 2.33 [1.50, 3.00] | – |")
    assert told[6] == "| PCA | one layer |"
