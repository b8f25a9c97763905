"""confidence: the finished Screener ranks every score among the sample, and those ranks are frozen in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ops.screener_arrays import random_arrays
from tolerances import SCORER, assert_close, assert_same_bits

from mpmjax.autoencoder.checkpoint import load_screener, save_screener
from mpmjax.ops.lstm import Scorer
from mpmjax.project_sections import ModelSection
from mpmjax.reference.lstm import ecdf, reconstruct, score
from mpmjax.scoring.anomaly import surprise
from mpmjax.scoring.favourability import QUANTILES
from mpmjax.stages.confidence import confidence
from mpmjax.types import Ensemble, Evidence, FuzzySample, Grid, Grouping, Layer, Membership, Screener

NAMES = ("copper", "faults", "rocks")
CELLS = 3000
LATER = ("ecdf", "group", "weight", "fav", "trust", "cut", "noise", "quadrant", "layer")
"""Beginnings of the names of arrays that training does not make."""
RANKED = {"fav": "favourability", "anomaly": "surprise"}


def sample_of(seed: int = 0, levels: int | None = None) -> FuzzySample:
    rng = np.random.default_rng(seed)
    mu = rng.uniform(size=(CELLS, 3)).astype(np.float32)
    if levels is not None:
        mu = np.floor(mu * levels) / np.float32(levels)
    valid = rng.uniform(size=mu.shape) < 0.9
    valid[:, 0] |= ~valid.any(axis=1)
    cells = np.arange(CELLS)
    statistics = tuple({"missing_share": 0.1, "p1": 0.0, "median": 0.5, "p99": 1.0} for _ in NAMES)
    memberships = tuple(Membership("linear", {"lo": 0.0, "hi": 1.0}) for _ in NAMES)
    values = np.where(valid, mu.astype(np.float64), np.nan)
    mu = np.where(valid, mu, 0.0)
    return FuzzySample(memberships, mu, valid, cells, cells, statistics, ("a note",), values, 4 * CELLS)


def made_up() -> dict[str, np.ndarray]:
    """Random arrays, but as training leaves them: cells told apart, residuals of few scales."""
    arrays = random_arrays(2, 3, 6, 1, 3, seed=4)
    for name in ("enc_wx", "lat_w", "res_scale"):
        arrays[name] *= 4
    return arrays


def surprise_of(sample: FuzzySample, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Each member's surprise of the sample's cells, [E, n], by the definition."""
    seen = [reconstruct(sample.mu, sample.valid, arrays, m)[1] for m in range(len(arrays["order"]))]
    residual = np.stack([(sample.mu - x_hat).T for x_hat in seen])
    return surprise(residual, sample.valid.T, arrays["res_median"], arrays["res_scale"])


def finish(sample: FuzzySample, **changes: np.ndarray) -> Screener:
    """A Screener of made-up members; `changes` are arrays to put in place of the made-up ones."""
    arrays = made_up() | changes
    network = {name: values for name, values in arrays.items() if not name.startswith(LATER)}
    groups = {name: values for name, values in arrays.items() if name.startswith(LATER[1:4])}
    diagnostics: dict[str, Any] = {"members": 2, "excluded_members": []}
    before = {name: values.copy() for name, values in (network | groups).items()}
    made = confidence(
        ModelSection(min_coverage=0.25, seed=11),
        Evidence(
            Grid("EPSG:32639", None, 10, 10),
            tuple(Layer(n, "index", Path(f"{n}.tif"), 1, "float32", direction=1, weight=2.0, source=n) for n in NAMES),
        ),
        [(None, "none")] * 3,
        0.02,
        sample,
        Ensemble(network, np.zeros((2, 1, CELLS), np.float32), surprise_of(sample, arrays), diagnostics),
        Grouping(groups, {"k": 3, "criteria": {}}),
    )
    for name, values in (network | groups).items():
        assert_same_bits(values, before[name])
    return made


@pytest.fixture(scope="module")
def sample() -> FuzzySample:
    return sample_of()


@pytest.fixture(scope="module")
def screener(sample: FuzzySample) -> Screener:
    return finish(sample)


def own_ranks(screener: Screener, sample: FuzzySample) -> dict[str, np.ndarray]:
    """Ranks of the sample among itself, by the definition and the Screener's own knots."""
    scores = score(sample.mu, sample.valid, screener.arrays)
    return {name: ecdf(scores[what], screener.arrays, name) for name, what in RANKED.items()}


def test_ranks_of_the_sample_itself_are_uniform(screener: Screener, sample: FuzzySample) -> None:
    for name, ranks in own_ranks(screener, sample).items():
        # Where few cells tie, sorted ranks are evenly spread: no further from the diagonal than a frozen level.
        away = np.abs(np.sort(ranks) - (np.arange(CELLS) + 0.5) / CELLS).max()
        assert away < 1.5 / QUANTILES, name
        assert ranks.mean() == pytest.approx(0.5, abs=1e-3)


def test_the_scorer_ranks_with_the_frozen_knots(screener: Screener, sample: FuzzySample) -> None:
    got = Scorer(screener.arrays).score(np.ascontiguousarray(sample.mu.T), np.ascontiguousarray(sample.valid.T))
    ranks = own_ranks(screener, sample)
    assert_close(got["anomaly"], ranks["anomaly"], SCORER)
    t = float(screener.arrays["trust"][0])
    assert_close(got["prospectivity"], ranks["fav"] * (1 + t * ranks["anomaly"]) / (1 + t), SCORER)
    assert got["prospectivity"].min() >= 0
    assert got["prospectivity"].max() <= 1


def test_knots_can_be_interpolated(screener: Screener) -> None:
    for name in RANKED:
        x, y = screener.arrays[f"ecdf_{name}_x"], screener.arrays[f"ecdf_{name}_y"]
        assert x.dtype == y.dtype == np.float32
        assert x.shape == y.shape
        assert 100 < x.size <= QUANTILES
        assert (np.diff(x) > 0).all()
        assert (np.diff(y) >= 0).all()
        assert (y[0], y[-1]) == (0.0, 1.0)


def test_ranks_of_new_cells_depend_on_the_sample_only(screener: Screener, sample: FuzzySample) -> None:
    """Half of the cells, scored alone, keep the ranks that they have among all."""
    whole, half = (
        Scorer(screener.arrays).score(np.ascontiguousarray(sample.mu[cut].T), np.ascontiguousarray(sample.valid[cut].T))
        for cut in (slice(None), slice(0, CELLS, 2))
    )
    for name, values in half.items():
        assert_same_bits(values, whole[name][::2])


def test_ties_have_midranks() -> None:
    """Memberships of two values only: favourability has few values, each with the middle of its ranks."""
    sample = sample_of(1, levels=2)
    made = finish(sample, weight=np.ones(3, np.float32))
    scores = score(sample.mu, sample.valid, made.arrays)
    fav = scores["favourability"].astype(np.float32)
    ranks = ecdf(fav, made.arrays, "fav")
    values, counts = np.unique(fav, return_counts=True)
    assert values.size < 12
    middle = (np.cumsum(counts) - counts / 2) / CELLS
    for value, expected in zip(values, middle, strict=True):
        assert np.unique(ranks[fav == value]).size == 1
        assert ranks[fav == value][0] == pytest.approx(expected, abs=1.5 / QUANTILES)


def test_a_constant_score_ranks_in_the_middle() -> None:
    """Without a directed layer favourability is 0.5 everywhere: its rank is one half, and no NaN comes of it."""
    sample = sample_of()
    made = finish(sample, weight=np.zeros(3, np.float32))
    assert made.arrays["trust"] == 0.0
    ranks = own_ranks(made, sample)
    assert (ranks["fav"] == 0.5).all()
    assert all(np.isfinite(values).all() for values in made.arrays.values())
    assert np.isfinite(score(sample.mu, sample.valid, made.arrays)["prospectivity"]).all()


def test_the_screener_is_whole(screener: Screener, sample: FuzzySample, tmp_path: Path) -> None:
    assert screener.layer_names == NAMES
    assert screener.members == 2
    assert screener.settings == {"min_coverage": 0.25, "seed": 11}
    assert screener.memberships == sample.memberships
    assert {"name", "role", "direction", "weight", "distinctness", "source", *sample.statistics[0]} <= set(
        screener.layers[0]
    )
    assert screener.diagnostics["notes"] == ["a note"]
    assert screener.diagnostics["groups"]["k"] == 3
    expected = random_arrays(2, 3, 6, 1, 3)
    assert screener.arrays.keys() == expected.keys()
    assert all(np.isfinite(values).all() for values in screener.arrays.values())
    json.dumps([screener.layers, screener.settings, screener.diagnostics], allow_nan=False)
    save_screener(screener, tmp_path)
    again = load_screener(tmp_path)
    for name, values in screener.arrays.items():
        assert_same_bits(again.arrays[name], values)


def test_a_layer_without_spread_in_its_residuals_is_noted(sample: FuzzySample) -> None:
    scale = made_up()["res_scale"]
    scale[0, 1] = 1e-3
    (note, other) = finish(sample, res_scale=scale).diagnostics["notes"]
    assert note == "a note"
    assert "'faults'" in other
    assert "1 of 2 members" in other
