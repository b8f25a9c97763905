"""The simple scores that any label-free method has to beat, fitted to the sample and ready for any cell.

Overlays look at the directed layers (weight > 0); with w the weights and sums over a cell's valid directed layers:

| name       | score |
|------------|---|
| typed mean | sum(w mu) / sum(w) |
| gamma      | product^0.1 * (1 - prod(1 - mu))^0.9, without weights, as it always is |
| Fisher     | sum(w (-log(1 - r))) / sum(w), r the rank of mu in the sample |
| TOPSIS-M   | D- / (D+ + D-), D+ and D- the Mahalanobis distances to the ideal and the anti-ideal point |

TOPSIS-M: D^2 = (mu - a)' W S^-1 W (mu - a), W = diag(sqrt w), a the highest (D+) or lowest (D-) membership of each
layer in the sample. S is the sample's covariance drawn by 0.3 to a multiple of the identity: bare, it makes layers that
go together pull against each other, so that more of one lowers the score. A missing layer is left out of a and S: the
distance is that among the layers that a cell has.

Sources: Zimmermann and Zysno (1980), Fuzzy Sets and Systems 4 (gamma); Fisher (1925), Statistical methods for research
workers, and Good (1955), J. Royal Statistical Society B 17, for the weights; Hwang and Yoon (1981), Multiple attribute
decision making, with the distances of Vega, Aguarón, García-Alcaraz and Moreno-Jiménez (2014), Notes on dependent
attributes in TOPSIS, Procedia Computer Science 31.

A cell without any directed layer gets what a single membership, or rank, of one half gives: 0.5, and log 2 for Fisher.

The anomaly methods (formulas: mpmjax.scoring.baseline_models) look at all layers and see the sample's median in place
of a missing one. They find the rare, which is not the favourable: on some districts they score below one half.

Every score is high where a prospect is better, and no label can reach one: there is no argument for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from mpmjax.reference.overlay import overlay
from mpmjax.scoring import baseline_models as models
from mpmjax.scoring.baseline_models import Missing, Unusual
from mpmjax.scoring.favourability import ecdf_knots

GAMMA = 0.9
SHRINKAGE = 0.3
CHUNK = 65_536
"""Cells scored at a time: 42 layers of them take 22 MB in float64."""

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(mu float64 [n, L], 0 where missing; valid bool [n, L]) -> float64 [n]."""


@dataclass(frozen=True)
class Baseline:
    """One fitted score.

    Attributes:
        name: as in NAMES.
        note: what a reader of its figures must know: layers seen, what missing ones become, cells fitted on.
        layers: L, how many layers it was fitted on.
        formula: the score of checked cells.
    """

    name: str
    note: str
    layers: int
    formula: Score

    def score(self, mu: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Score any cells, in chunks and on one thread.

        Args:
            mu: memberships [n, L] in 0..1, layers as in the sample; any value where not valid, NaN is missing.
            valid: bool [n, L].

        Returns:
            float32 [n], higher is the better prospect; NaN where a cell has no layer at all.

        Raises:
            ValueError: shapes that do not fit the sample's, or memberships outside 0..1.
        """
        _refuse_shapes(mu, valid)
        if mu.shape[1] != self.layers:
            raise ValueError(f"{self.name} was fitted on {self.layers} layers, these cells have {mu.shape[1]}")
        out = np.full(len(mu), np.nan, np.float32)
        with threadpool_limits(1):
            for start in range(0, len(mu), CHUNK):
                cells = slice(start, start + CHUNK)
                x, there = _plain(mu[cells], valid[cells])
                some = there.any(axis=1)
                if some.any():
                    out[cells][some] = self.formula(x[some], there[some])
        return out


def fit_baselines(
    mu: np.ndarray, valid: np.ndarray, weights: np.ndarray, seed: int, names: Sequence[str] | None = None
) -> dict[str, Baseline | Missing]:
    """Fit the baselines to the sample; the same seed gives the same bits.

    Args:
        mu: memberships float32 [n, L] in 0..1, high favourable where a layer has a direction.
        valid: bool [n, L]; what stands in mu where it is False is not looked at, and NaN is missing.
        weights: [L], finite, >= 0; 0 for a layer without a direction.
        seed: of all that is random.
        names: which of NAMES, all by default.

    Returns:
        By name, in the order asked for: the fitted score, or Missing with the reason.

    Raises:
        ValueError: shapes or weights that cannot be, memberships outside 0..1, an unknown name, a layer without valid
            cells, or cells that are all the same.
    """
    names = NAMES if names is None else names
    strange = [name for name in names if name not in NAMES]
    if strange:
        raise ValueError(f"unknown baselines {', '.join(map(repr, strange))}; allowed: {', '.join(NAMES)}")
    _refuse_shapes(mu, valid)
    mu, valid = _plain(mu, valid)
    weights = np.asarray(weights, np.float64)
    if weights.shape != mu.shape[1:] or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(f"weights must be {mu.shape[1]} finite numbers >= 0, one a layer")
    median = _medians(mu, valid)
    x = np.where(valid, mu, median)
    if (x == x[0]).all():
        raise ValueError("all sampled cells have the same memberships: there is nothing to tell apart")
    with threadpool_limits(1):
        return {
            name: _overlay(name, mu, valid, x, weights) if name in _OVERLAYS else _anomaly(name, x, median, seed)
            for name in names
        }


def _refuse_shapes(mu: np.ndarray, valid: np.ndarray) -> None:
    if mu.ndim != 2 or mu.shape != valid.shape or valid.dtype != np.bool_ or not mu.shape[1]:
        got = f"{mu.shape} and {valid.shape} of {valid.dtype}"
        raise ValueError(f"mu and valid must both be [cells, layers] and valid bool, got {got}")


def _plain(mu: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """mu in float64 with 0 where missing, and valid without what is NaN."""
    valid = valid & ~np.isnan(mu)
    mu = np.where(valid, mu, 0.0).astype(np.float64)
    if mu.size and not (mu.min() >= 0.0 and mu.max() <= 1.0):
        raise ValueError(f"memberships lie in 0..1, these go from {mu.min():g} to {mu.max():g}")
    return mu, valid


def _medians(mu: np.ndarray, valid: np.ndarray) -> np.ndarray:
    empty = np.flatnonzero(~valid.any(axis=0))
    if empty.size:
        raise ValueError(f"layer {empty[0] + 1} of {mu.shape[1]} has no valid cell in the sample: leave it out")
    return np.array([np.median(column[present]) for column, present in zip(mu.T, valid.T, strict=True)])


def _overlay(name: str, mu: np.ndarray, valid: np.ndarray, x: np.ndarray, weights: np.ndarray) -> Baseline | Missing:
    directed = np.flatnonzero(weights > 0)
    if not directed.size:
        return Missing("no layer has a direction: an overlay does not know what is favourable")
    inner = _OVERLAYS[name](mu[:, directed], valid[:, directed], x[:, directed], weights[directed])
    nothing = np.log(2.0) if name == "Fisher" else 0.5

    def score(cells: np.ndarray, present: np.ndarray) -> np.ndarray:
        cells, present = cells[:, directed], present[:, directed]
        return np.where(present.any(axis=1), inner(cells, present), nothing)

    note = f"the {directed.size} directed of {len(weights)} layers; a missing one is left out"
    return Baseline(name, note, len(weights), score)


def _typed_mean(_mu: np.ndarray, _valid: np.ndarray, _x: np.ndarray, weights: np.ndarray) -> Score:
    return lambda cells, present: overlay(cells.T, present.T, "mean", weights=weights)


def _gamma(_mu: np.ndarray, _valid: np.ndarray, _x: np.ndarray, _weights: np.ndarray) -> Score:
    return lambda cells, present: overlay(cells.T, present.T, "gamma", GAMMA)


def _fisher(mu: np.ndarray, valid: np.ndarray, _x: np.ndarray, weights: np.ndarray) -> Score:
    knots = [ecdf_knots(column[there]) for column, there in zip(mu.T, valid.T, strict=True)]
    # The sample's highest has rank 1 and no finite logarithm: it counts as half a cell below the end.
    most = 1.0 - 0.5 / valid.sum(axis=0)

    def score(cells: np.ndarray, present: np.ndarray) -> np.ndarray:
        ranks = np.stack([np.interp(column, *table) for column, table in zip(cells.T, knots, strict=True)], axis=1)
        shares = np.where(present, weights, 0.0)
        total = shares.sum(axis=1)
        return -(shares * np.log1p(-np.minimum(ranks, most))).sum(axis=1) / np.where(total > 0, total, 1.0)

    return score


def _topsis(mu: np.ndarray, valid: np.ndarray, x: np.ndarray, weights: np.ndarray) -> Score:
    best = np.where(valid, mu, -np.inf).max(axis=0)
    worst = np.where(valid, mu, np.inf).min(axis=0)
    covariance, root = models.shrunk_covariance(x, SHRINKAGE), np.sqrt(weights / weights.mean())

    def distance(step: np.ndarray, precision: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", step, precision, step, optimize=True), 0.0))

    def score(cells: np.ndarray, present: np.ndarray) -> np.ndarray:
        out = np.empty(len(cells))
        for there, here in _patterns(present):
            precision = np.linalg.inv(covariance[np.ix_(there, there)])
            near, far = (
                distance((cells[here][:, there] - end[there]) * root[there], precision) for end in (worst, best)
            )
            out[here] = np.where(near + far > 0, near / np.where(near + far > 0, near + far, 1.0), 0.5)
        return out

    return score


def _patterns(present: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each set of layers that some cell has (bool [L]), and the cells that have it."""
    patterns, pattern, counts = np.unique(present, axis=0, return_inverse=True, return_counts=True)
    # One sort gives the cells of all patterns: with scattered gaps there may be as many patterns as cells.
    cells = np.split(np.argsort(pattern.reshape(-1), kind="stable"), np.cumsum(counts)[:-1])
    yield from zip(patterns, cells, strict=True)


def _anomaly(name: str, x: np.ndarray, median: np.ndarray, seed: int) -> Baseline | Missing:
    fit, most = _ANOMALIES[name]
    some = x if most is None else models.drawn(x, most, seed)
    model = fit(some, seed)
    if isinstance(model, Missing):
        return model
    note = f"all {x.shape[1]} layers, a missing one seen as the sample's median"
    if len(some) < len(x):
        note += f"; fitted on {len(some):,} of {len(x):,} cells"
    return Baseline(name, note, x.shape[1], lambda cells, there: model(np.where(there, cells, median), there))


_OVERLAYS: Mapping[str, Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Score]] = {
    "typed mean": _typed_mean,
    "gamma": _gamma,
    "Fisher": _fisher,
    "TOPSIS-M": _topsis,
}
_ANOMALIES: Mapping[str, tuple[Callable[[np.ndarray, int], Unusual | Missing], int | None]] = {
    "isolation forest": (models.isolation_forest, None),
    "Mahalanobis": (models.mahalanobis, None),
    "PCA": (models.pca, None),
    "k-means distance": (models.kmeans_distance, None),
    "GMM": (models.gmm, models.SLOW_CELLS),
    "SOM": (models.som, None),
    "dense autoencoder": (models.autoencoder, models.SLOW_CELLS),
}
NAMES = (*_OVERLAYS, *_ANOMALIES)
"""All baselines, overlays first, in the order of the report."""
