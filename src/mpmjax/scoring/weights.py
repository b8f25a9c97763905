"""How much each layer counts in favourability, and how far "unusual" may raise a score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from mpmjax.types import FuzzySample, Layer

APART = 0.05
"""Memberships that differ by more tell two cells apart. From 0.01 to 0.2 no district's AUC moved by more than 0.005."""

LEAST = 1e-3
"""Distinctness of a layer that is the same almost everywhere: it counts next to nothing, but it has its direction."""


def layer_weights(layers: Sequence[Layer], sample: FuzzySample) -> np.ndarray:
    """Weight of each layer in favourability, float32 [L]: as stated, else its distinctness; 0 without a direction."""
    return np.array(
        [
            0.0 if layer.direction == 0 else apart if layer.weight is None else layer.weight
            for layer, apart in zip(layers, distinctness(sample.mu, sample.valid), strict=True)
        ],
        np.float32,
    )


def stated_weights(layers: Sequence[Layer]) -> np.ndarray:
    """Weights of a plain overlay, float64 [L]: as stated, else 1; 0 without a direction."""
    return np.array([abs(layer.direction) * (1.0 if layer.weight is None else layer.weight) for layer in layers])


def favourability(sample: FuzzySample, weights: np.ndarray) -> np.ndarray:
    """Weighted mean membership of the sample's cells, float64 [n]; the middle, 0.5, where no directed layer is valid.

    Args:
        weights: [L], of layer_weights.
    """
    share = sample.valid * np.asarray(weights, np.float64)
    total = share.sum(axis=1)
    return np.where(total > 0, (share * sample.mu).sum(axis=1) / np.where(total > 0, total, 1.0), 0.5)


def distinctness(mu: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Share of the pairs of cells that a layer tells apart: whose memberships differ by more than `APART`.

    A layer that is 0.01 in 95 % of the area says nothing about 90 % of all pairs of cells. Counted in full, a few dozen
    such layers drown the few that speak everywhere: they add noise where they differ and nothing where they do not.

    Args:
        mu: memberships [n, L]; valid: bool [n, L].

    Returns:
        float64 [L] in [LEAST, 1]; LEAST for a layer with fewer than two valid cells.
    """
    shares = np.full(mu.shape[1], LEAST)
    for layer in range(mu.shape[1]):
        x = np.sort(mu[valid[:, layer], layer].astype(np.float64))
        if len(x) > 1:
            near = np.searchsorted(x, x + APART, side="right") - np.searchsorted(x, x - APART, side="left")
            pairs = len(x) * (len(x) - 1.0)
            shares[layer] = max(1.0 - float(near.sum() - len(x)) / pairs, LEAST)
    return shares


def trust(surprise: np.ndarray, favourability: np.ndarray) -> float:
    """How far unusual cells are favourable ones here: max(0, Spearman's correlation)^2 on the sample, 0..1.

    Args:
        surprise, favourability: [n] of the sample's cells; 0 where one of them does not vary.
    """
    ranks = rankdata(surprise), rankdata(favourability)
    if min(rank.std() for rank in ranks) == 0.0:
        return 0.0
    return max(0.0, float(np.corrcoef(*ranks)[0, 1])) ** 2
