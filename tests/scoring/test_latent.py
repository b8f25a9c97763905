"""Regression of favourability on latents, and the agreement of halves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression

from mpmjax.scoring.latent import predicted, regress, split_half


def test_regression_against_another_library() -> None:
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(3, 4, 2000)) * np.array([0.1, 1.0, 10.0, 3.0])[:, None]
    fav = 0.5 + 0.2 * np.tanh(latents[0, 1]) + 0.01 * rng.normal(size=2000)
    weights, constants = regress(latents, fav)
    assert weights.dtype == constants.dtype == np.float32
    for member, z in enumerate(latents):
        other = LinearRegression().fit(z.T, fav)
        got = z.T @ weights[member] + constants[member]
        assert np.abs(got - other.predict(z.T)).max() < 2e-3  # the ridge takes a thousandth of each weight


def test_dimensions_that_repeat_or_rest_do_no_harm() -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(size=500)
    latents = np.stack([z, z, np.zeros(500)])[None]
    weights, constants = regress(latents, 0.3 + 0.1 * z)
    assert weights[0, 0] == pytest.approx(weights[0, 1], rel=1e-3)
    assert weights[0, 2] == 0.0
    assert weights[0].sum() == pytest.approx(0.1, rel=2e-3)
    assert constants[0] == pytest.approx(0.3, abs=1e-4)


def test_a_constant_favourability_is_the_constant() -> None:
    weights, constants = regress(np.random.default_rng(2).normal(size=(2, 3, 100)), np.full(100, 0.4))
    assert np.abs(weights).max() < 1e-12
    assert constants == pytest.approx([0.4, 0.4])


def test_predictions_are_held_to_the_unit_interval() -> None:
    latents = np.linspace(-10.0, 10.0, 41)[None, None]
    got = predicted(latents, np.array([[0.2]]), np.array([0.5]))
    assert got.shape == (1, 41)
    assert got.min() == 0.0
    assert got.max() == 1.0
    assert got[0, 20] == 0.5


def test_split_half_is_the_rank_correlation_of_the_halves() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(5, 300)) + 2.0 * rng.normal(size=300)
    expected = spearmanr(values[[0, 2, 4]].mean(axis=0), values[[1, 3]].mean(axis=0)).statistic
    assert split_half(values) == pytest.approx(expected, abs=1e-12)
    assert split_half(np.stack([values[0], np.exp(values[0])])) == pytest.approx(1.0)
    assert split_half(np.ones((4, 10))) == 1.0
    assert split_half(np.stack([np.ones(10), np.arange(10.0)])) == 0.0
    with pytest.raises(ValueError, match="got 1"):
        split_half(values[:1])
