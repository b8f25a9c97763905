"""The empirical variogram of samples, and the model fitted to it.

Half the mean squared difference of pairs of samples (Matheron 1963) in LAGS classes of distance up to a third of the
samples' diagonal; models by least squares, weighted by the pairs of a class over the square of the model there (Cressie
1985, Mathematical Geology 17, equation 3.3).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from mpmjax.errors import DataError
from mpmjax.evidence.gridding.methods import MODELS, Variogram
from mpmjax.evidence.remarks import Fact
from mpmjax.reference.gridding import variogram as gamma

LAGS = 15
REACH = 1.0 / 3.0
"""Share of the diagonal: farther pairs are few and all from the rims."""
FEWEST = 10
"""Samples for a fit: fewer give 45 pairs or less, for 15 classes."""
FEWEST_PAIRS = 10
"""In a class; one with fewer is left out."""
MOST = 4_000
"""Samples whose pairs are taken: 8 million; of more every n-th by their order, which is by place."""
CHUNK = 256
MOSTLY = 0.75
"""Share of the nugget in the sill from which on a note is made: values without any order fit to 0.7 and more."""
SMALLEST_NUGGET = 1e-4
"""Of the sill, of a fitted gaussian: without one its matrices are singular as soon as samples are close together."""


class Lags(NamedTuple):
    """The empirical variogram: distance (m), gamma and pairs of each class, float64 [n]."""

    distance: np.ndarray
    gamma: np.ndarray
    pairs: np.ndarray


class Fit(NamedTuple):
    """A variogram whose numbers are all stated, and the weighted sum of squares that it leaves."""

    variogram: Variogram
    cost: float


def empirical(x: np.ndarray, y: np.ndarray, values: np.ndarray) -> Lags:
    """The empirical variogram of samples, x, y, values float64 [n], n >= 2, at more than one place.

    Classes are equally wide; the distance of one is the mean of its pairs. Those of few pairs are left out.
    """
    if x.size > MOST:
        taken = np.linspace(0, x.size - 1, MOST).astype(np.int64)
        x, y, values = x[taken], y[taken], values[taken]
    longest = REACH * float(np.hypot(np.ptp(x), np.ptp(y)))
    pairs, distance, squares = np.zeros(LAGS), np.zeros(LAGS), np.zeros(LAGS)
    for start in range(0, x.size, CHUNK):
        rows = np.arange(start, min(start + CHUNK, x.size))
        away = np.hypot(x[rows, None] - x[start:], y[rows, None] - y[start:])
        near = (away < longest) & (np.arange(start, x.size) > rows[:, None])
        which = (away[near] * (LAGS / longest)).astype(np.int64).clip(max=LAGS - 1)
        pairs += np.bincount(which, minlength=LAGS)
        distance += np.bincount(which, away[near], LAGS)
        squares += np.bincount(which, ((values[rows, None] - values[start:]) ** 2)[near], LAGS)
    kept = pairs >= FEWEST_PAIRS
    return Lags(distance[kept] / pairs[kept], squares[kept] / (2.0 * pairs[kept]), pairs[kept])


def fit_variogram(
    x: np.ndarray, y: np.ndarray, values: np.ndarray, label: str, model: str | None = None
) -> tuple[Variogram, list[str]]:
    """A variogram fitted to samples, with a note of what was found.

    Args:
        x, y: float64 [n] in metres; values: float64 [n].
        label: the layer and its file, for messages.
        model: None: the one of MODELS that leaves the smallest weighted sum of squares.

    Raises:
        DataError: too few samples or pairs, or all values are the same.
    """
    if x.size < FEWEST:
        raise DataError(
            f"{label}: a variogram cannot be fitted to {x.size} samples, {FEWEST} are needed. State it "
            '(variogram = { model = "spherical", nugget = ..., sill = ..., range = ... }), or choose method = "idw".'
        )
    if np.ptp(values) == 0.0:
        raise DataError(
            f"{label}: all {x.size} samples have the value {values[0]:g}: there is no variogram to fit, and nothing to "
            "see in the layer. Check the field, or leave the layer out."
        )
    lags = empirical(x, y, values)
    if lags.pairs.size < 3 or not (lags.gamma > 0.0).any():
        raise DataError(
            f"{label}: no variogram can be fitted: {lags.pairs.size} classes of distance hold {FEWEST_PAIRS} pairs of "
            "samples or more, and 3 that differ are needed. State the variogram, or choose another method."
        )
    fits = [_fit(lags, name) for name in (MODELS if model is None else (model,))]
    best = min(fits, key=lambda fit: fit.cost).variogram
    note = (
        f"{label}: {best.model} variogram fitted to {lags.pairs.sum():.0f} pairs of samples up to "
        f"{lags.distance[-1]:.0f} m apart: nugget {best.nugget:.4g}, sill {best.sill:.4g} (with the nugget), range "
        f"{best.range:.0f} m."
    )
    return best, [Fact(note), *_doubts(best, lags, label)]


def _fit(lags: Lags, model: str) -> Fit:
    """The best of several starts: the sum of squares has more than one valley in the range."""
    high, far = float(lags.gamma.max()), float(lags.distance[-1])
    smallest = SMALLEST_NUGGET if model == "gaussian" else 0.0

    def wrong(shape: np.ndarray) -> np.ndarray:
        """Of (nugget / sill, sill / the largest gamma, range / the largest distance)."""
        share, sill, reach = shape * (1.0, high, far)
        modelled = gamma(lags.distance, model, share * sill, sill, reach)
        # A gamma of 0 divides by nothing: that a model is far from it counts as much as it can.
        return np.sqrt(lags.pairs / lags.pairs.sum()) * (lags.gamma / np.maximum(modelled, 1e-12 * high) - 1.0)

    bounds = ([smallest, 1e-3, 1e-2], [1.0, 10.0, 10.0])
    starts = [(share, 0.9, reach) for share in (0.05, 0.5) for reach in (0.1, 0.3, 0.8)]
    found = [least_squares(wrong, start, bounds=bounds, xtol=1e-12, ftol=1e-12, gtol=1e-12) for start in starts]
    best = min(found, key=lambda result: result.cost)
    share, sill, reach = (best.x * (1.0, high, far)).tolist()
    return Fit(Variogram(model, share * sill, sill, reach), float(best.cost))


def _doubts(variogram: Variogram, lags: Lags, label: str) -> list[str]:
    """What should be known before such a fit is trusted."""
    nugget, sill, reach = variogram.nugget or 0.0, variogram.sill or 0.0, variogram.range or 0.0
    if nugget > MOSTLY * sill or reach < lags.distance[0]:
        doubt = (
            "the fitted variogram is mostly nugget: neighbouring samples are hardly more alike than distant ones, "
            "and the layer shows local means. Check the field and its units."
        )
        return [f"{label}: {doubt}"]
    if reach > lags.distance[-1]:
        doubt = (
            f"the range of the fitted variogram lies beyond the pairs it was fitted to ({lags.distance[-1]:.0f} m): "
            "the values have a trend, and variances are uncertain."
        )
        return [f"{label}: {doubt}"]
    return []
