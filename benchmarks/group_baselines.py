"""The rivals of the mixture: the ways in which scikit-learn's users find clouds and their number.

All see the same points and the same numbers of components, on one thread, with full covariances. Restarts stop at
scikit-learn's own tolerance.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

Call = Callable[[], np.ndarray]
Mixture = TypeVar("Mixture", GaussianMixture, BayesianGaussianMixture)

SILHOUETTE = 2_000
"""Points on which the silhouette is computed: it takes all pairs."""


def mixtures_by_bic(points: np.ndarray, most: int, starts: int, seed: int) -> Call:
    """A GaussianMixture of 1 to `most` components, the best of some starts each; the one of the lowest BIC."""

    def call() -> np.ndarray:
        fits = [_fitted(GaussianMixture(k, n_init=starts, random_state=seed), points) for k in range(1, most + 1)]
        return min(fits, key=lambda fit: fit.bic(points)).predict(points)

    return call


def bayesian_mixture(points: np.ndarray, most: int, seed: int) -> Call:
    """One BayesianGaussianMixture of `most` components, which empties those that it does not need."""

    def call() -> np.ndarray:
        return _fitted(BayesianGaussianMixture(n_components=most, max_iter=500, random_state=seed), points).predict(
            points
        )

    return call


def kmeans_by_silhouette(points: np.ndarray, most: int, starts: int, seed: int) -> Call:
    """KMeans of 2 to `most` centres; the one of the highest silhouette, on a sample of the points."""

    def call() -> np.ndarray:
        # Its annotation says str where it takes a number, too.
        settings: dict[str, Any] = {"n_init": starts, "random_state": seed}
        found = [KMeans(k, **settings).fit_predict(points) for k in range(2, most + 1)]
        some = min(SILHOUETTE, len(points))
        return max(found, key=lambda labels: silhouette_score(points, labels, sample_size=some, random_state=seed))

    return call


def _fitted(mixture: Mixture, points: np.ndarray) -> Mixture:
    """Fitted, without the warning of one that has not fully converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(points)
