"""How far a cell's prospectivity moves against the cut if all is fitted again: the scale of the confidence index.

Another fit would draw another sample and train other members. Both are imitated on the sample at hand, which costs no
training: its cells are drawn again with replacement and the memberships, weights and ranks fitted to them anew; and the
members are drawn again. What the difference between prospectivity and the cut varies by, in the mean over the cells
near the cut, is the district's noise. A cell on which the members disagree moves further; that is `spread`.

How much each of the three counts was fitted once, by logistic regression on synthetic districts that were fitted
several times over (benchmarks/method/calibration.py). R, risk, V, M, coverage and the rank of the surprise were tried
beside them and foretold nothing more of other districts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mpmjax.errors import DataError
from mpmjax.project_membership import MembershipSpec
from mpmjax.scoring.favourability import ecdf_knots, fit_membership, memberships_of
from mpmjax.scoring.weights import favourability, layer_weights, trust
from mpmjax.types import FuzzySample, Layer

FROM_SAMPLE, FROM_MEMBERS, FROM_SPREAD = 0.161, 0.735, 0.145
"""What a variance by another sample, by other members, and among the members of a cell adds to the squared logistic
scale."""
DRAWS = 16
NEAR = 0.05
"""Share of the cells, those nearest to the cut, whose movements count."""
LEAST = 1e-8
"""Smallest squared scale: one hundredth of a percent of rank."""

Form = tuple[MembershipSpec | None, str]
"""How a layer's membership is fitted: what the project states, None for the typed default, and its transform."""


def cut_of(prospectivity: np.ndarray, area_share: float) -> float:
    """Prospectivity from which on a cell is of the best area share of a sample: [n] -> a value of it."""
    return float(np.quantile(prospectivity, 1.0 - area_share))


def noise(
    layers: Sequence[Layer],
    forms: Sequence[Form],
    sample: FuzzySample,
    surprise: np.ndarray,
    area_share: float,
    seed: int,
) -> np.ndarray:
    """Squared scale of the confidence index: its constant part, and what a squared spread is multiplied by.

    Args:
        forms: L, a layer each.
        sample: with its values.
        surprise: each member's of the sample's cells, [E, n].
        area_share: of the best cells, 0..1.

    Returns:
        float64 [2], `noise` of reference/lstm.py.
    """
    by_sample, by_members = moved(layers, forms, sample, surprise, area_share, seed)
    constant = FROM_SAMPLE * by_sample + FROM_MEMBERS * by_members
    return np.array([max(LEAST, constant), FROM_SPREAD / len(surprise)])


def moved(
    layers: Sequence[Layer],
    forms: Sequence[Form],
    sample: FuzzySample,
    surprise: np.ndarray,
    area_share: float,
    seed: int,
) -> tuple[float, float]:
    """Variance of prospectivity less the cut, by another sample and by other members; arguments as in `noise`."""
    rng = np.random.default_rng(seed)
    members, n = surprise.shape
    mean = surprise.mean(axis=0)
    fav = favourability(sample, layer_weights(layers, sample))
    every = np.arange(n)
    here = _margin(fav, mean, every, area_share)
    near = np.argsort(np.abs(here), kind="stable")[: max(2, round(NEAR * n))]
    # A sample of all cells is the same whenever it is drawn.
    drawn_again = max(0.0, 1.0 - n / max(sample.cells_seen, n))
    by_sample = by_members = 0.0
    if drawn_again:
        by_sample = _variance(
            _margin(again, mean, rows, area_share)[near] for again, rows in _refitted(layers, forms, sample, rng)
        )
    if members > 1:
        by_members = _variance(
            _margin(fav, surprise[rng.integers(0, members, members)].mean(axis=0), every, area_share)[near]
            for _ in range(DRAWS)
        )
    return drawn_again * by_sample, by_members


def _margin(fav: np.ndarray, surprise: np.ndarray, rows: np.ndarray, area_share: float) -> np.ndarray:
    """Prospectivity less the cut, of all cells, ranks and cut by those of `rows`."""
    t = trust(surprise[rows], fav[rows])
    rank, unusual = (np.interp(values, *ecdf_knots(values[rows])) for values in (fav, surprise))
    prospectivity = rank * (1.0 + t * unusual) / (1.0 + t)
    return prospectivity - cut_of(prospectivity[rows], area_share)


def _refitted(
    layers: Sequence[Layer], forms: Sequence[Form], sample: FuzzySample, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Favourability of the sample's cells by memberships and weights fitted to a draw of them; and the draw's rows."""
    values = sample.values
    if values is None:
        raise ValueError("the sample has no values: memberships cannot be fitted again")
    for _ in range(DRAWS):
        rows = rng.integers(0, len(values), len(values))
        fitted = []
        for column, layer, (spec, transform), known in zip(values.T, layers, forms, sample.memberships, strict=True):
            try:
                fitted.append(fit_membership(column[rows], layer, spec, transform))
            except DataError:  # a layer that hardly varies may not do so at all in a draw: then it tells nothing new
                fitted.append(known)
        mu, valid = memberships_of(values, fitted)
        drawn = FuzzySample((), mu[rows], valid[rows], rows, rows, ())
        whole = FuzzySample((), mu, valid, rows, rows, ())
        yield favourability(whole, layer_weights(layers, drawn)), rows


def _variance(margins: Iterator[np.ndarray]) -> float:
    """Mean over cells of the variance over draws, each [cells]."""
    return float(np.var(np.stack(list(margins)), axis=0, ddof=1).mean())
