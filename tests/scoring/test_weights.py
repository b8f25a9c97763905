"""Weights by distinctness, and how far unusual is trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from mpmjax.scoring.weights import APART, LEAST, distinctness, layer_weights, trust
from mpmjax.types import FuzzySample, Layer


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 8))
def test_distinctness_counts_pairs(seed: int, cells: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    # Steps of 0.03: none of their multiples is at the limit itself.
    mu = (rng.integers(0, steps + 1, cells) * 0.03).astype(np.float32)
    valid = rng.random(cells) < 0.8
    x = mu[valid].astype(float)
    pairs = [abs(x[i] - x[j]) > APART for i in range(len(x)) for j in range(i)]
    expected = max(np.mean(pairs), LEAST) if pairs else LEAST
    assert distinctness(mu[:, None], valid[:, None])[0] == pytest.approx(expected, abs=1e-12)


def test_a_layer_that_is_alike_nearly_everywhere_hardly_counts() -> None:
    rng = np.random.default_rng(0)
    spikes = np.where(rng.random(20_000) < 0.05, 0.99, 0.01)
    speaks = rng.random(20_000)
    apart = distinctness(np.stack([spikes, speaks, np.full(20_000, 0.4)], axis=1), np.ones((20_000, 3), bool))
    assert apart[0] == pytest.approx(2 * 0.05 * 0.95, abs=0.01)
    assert apart[1] == pytest.approx((1 - APART) ** 2, abs=0.01)
    assert apart[2] == LEAST


def test_a_stated_weight_stands_and_no_direction_is_no_weight() -> None:
    rng = np.random.default_rng(1)
    mu = rng.random((500, 3)).astype(np.float32)
    layers = [
        Layer(str(i), "index", Path("x.tif"), 1, "float32", direction=direction, weight=weight)
        for i, (direction, weight) in enumerate([(1, None), (-1, 3.0), (0, None)])
    ]
    sample = FuzzySample((), mu, np.ones(mu.shape, bool), np.arange(500), np.arange(500), ())
    weights = layer_weights(layers, sample)
    assert weights.dtype == np.float32
    assert weights[0] == np.float32(distinctness(mu, np.ones(mu.shape, bool))[0])
    assert weights[1:].tolist() == [3.0, 0.0]


def test_trust_is_the_square_of_a_positive_rank_correlation() -> None:
    rng = np.random.default_rng(2)
    fav = rng.random(3000)
    with_it = np.exp(fav + 0.5 * rng.random(3000))
    assert trust(with_it, fav) == pytest.approx(spearmanr(with_it, fav).statistic ** 2, abs=1e-12)
    assert trust(with_it, fav) > 0.5
    assert trust(-with_it, fav) == 0.0
    assert trust(np.ones(10), np.arange(10.0)) == 0.0
    assert trust(with_it**3, np.log(fav)) == pytest.approx(trust(with_it, fav), abs=1e-12)
