"""Groups of cells from the latents of the ensemble, and how many there are.

Every member's latents are whitened, set side by side and reduced by PCA; k-means labels the sample. The number of
groups is the one with the best mean rank over five criteria: BIC of a Gaussian mixture, silhouette, Davies-Bouldin,
Calinski-Harabasz, and stability (mean adjusted Rand index between the labels and those of bootstrapped fits).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import (
    adjusted_rand_score,
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_score,
)
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

CANDIDATES = range(2, 11)
SUBSAMPLE = 4_000
"""Cells on which the criteria are computed: silhouette and mixtures grow faster than linearly."""
SILHOUETTE = 2_000
"""Cells on which the silhouette is computed: it takes all pairs."""
COMPONENTS = 10
BOOTSTRAPS = 5
RESTARTS = 4
HIGHER_IS_BETTER = {
    "bic": False,
    "silhouette": True,
    "davies_bouldin": False,
    "calinski_harabasz": True,
    "stability": True,
}

Model = TypeVar("Model", KMeans, GaussianMixture)


@dataclass(frozen=True)
class Groups:
    """Labels of the sample and the criteria that chose their number.

    Attributes:
        labels: int [n], 0..K-1, 0 the group with the highest mean favourability.
        favourability: float [K], that mean (Pi_k).
        criteria: "k" and the five criteria's curves and "mean_rank"; empty where K was given.
    """

    labels: np.ndarray
    favourability: np.ndarray
    criteria: Mapping[str, list[float]]


def find_groups(latents: np.ndarray, favourability: np.ndarray, k: int | None, seed: int) -> Groups:
    """Group the sample.

    Args:
        latents: float [E, d, n]; favourability: float [n], orders the labels.
        k: number of groups, or None to choose it from 2 to 10.
    """
    criteria: dict[str, list[float]] = {}
    # One thread: the arrays are small, and sums in threads would give other bits on another number of cores.
    with threadpool_limits(1):
        points = consensus_space(latents)
        if k is None:
            criteria = judge(points, seed)
            k = int(criteria["k"][int(np.argmin(criteria["mean_rank"]))])
        raw = _kmeans(points, k, seed)
    _, raw = np.unique(raw, return_inverse=True)  # k-means may leave a label empty
    means = np.bincount(raw, favourability) / np.bincount(raw)
    rank = np.argsort(np.argsort(-means, kind="stable"))
    return Groups(rank[raw], np.sort(means)[::-1], criteria)


def consensus_space(latents: np.ndarray) -> np.ndarray:
    """Whitened latents of all members side by side, reduced to at most ten components: float64 [n, c]."""
    whitened = [PCA(whiten=True).fit_transform(member.T.astype(np.float64)) for member in latents]
    joined = np.concatenate(whitened, axis=1)
    components = min(COMPONENTS, *joined.shape)
    return PCA(components, svd_solver="full").fit_transform(joined)


def judge(points: np.ndarray, seed: int) -> dict[str, list[float]]:
    """The criteria's curves over K, and the mean of their ranks (the lowest is the choice; ties go to fewer groups)."""
    rng = np.random.default_rng(seed)
    some = points if len(points) <= SUBSAMPLE else points[rng.choice(len(points), SUBSAMPLE, replace=False)]
    curves: dict[str, list[float]] = {name: [] for name in ("k", *HIGHER_IS_BETTER)}
    for k in (k for k in CANDIDATES if k < len(some)):
        labels = _kmeans(some, k, seed)
        if len(np.unique(labels)) < k:  # no more different cells than that, as where all layers are categories
            break
        curves["k"].append(float(k))
        mixture = GaussianMixture(k, reg_covar=1e-4, random_state=seed, init_params="k-means++", max_iter=200)
        curves["bic"].append(float(_fit_quietly(mixture, some).bic(some)))
        curves["silhouette"].append(_silhouette(some, labels, seed))
        curves["davies_bouldin"].append(float(davies_bouldin_score(some, labels)))
        curves["calinski_harabasz"].append(float(calinski_harabasz_score(some, labels)))
        curves["stability"].append(_stability(some, labels, k, rng))
    ranks = [
        np.argsort(np.argsort([-v if higher else v for v in curves[name]], kind="stable"), kind="stable")
        for name, higher in HIGHER_IS_BETTER.items()
    ]
    curves["mean_rank"] = [float(r) for r in np.mean(ranks, axis=0)]
    return curves


def gaussians(latents: np.ndarray, labels: np.ndarray, groups: int) -> dict[str, np.ndarray]:
    """One Gaussian a group in every member's latent: group_mean, group_chol, group_logw of reference/lstm.py.

    A group's covariance is drawn towards the pooled one with the weight of 5 d cells, so that a small group keeps a
    usable shape.

    Args:
        latents: float [E, d, n]; labels: int [n] in 0..groups-1.
    """
    members, d, _ = latents.shape
    share = np.bincount(labels, minlength=groups) / len(labels)
    mean, chol = np.empty((members, groups, d)), np.empty((members, groups, d, d))
    logw = np.empty((members, groups))
    for m, member in enumerate(latents.astype(np.float64)):
        centred = np.empty_like(member)
        for k in range(groups):
            mean[m, k] = member[:, labels == k].mean(axis=1)
            centred[:, labels == k] = member[:, labels == k] - mean[m, k, :, None]
        pooled = centred @ centred.T / centred.shape[1]
        pooled += np.eye(d) * max(1e-6, 1e-4 * np.trace(pooled) / d)
        for k in range(groups):
            own = centred[:, labels == k]
            covariance = (own @ own.T + 5 * d * pooled) / (own.shape[1] + 5 * d)
            lower = np.linalg.cholesky(covariance)
            chol[m, k] = np.linalg.inv(lower)  # C^T C = inverse covariance
            logw[m, k] = np.log(share[k]) - np.log(np.diag(lower)).sum()
    arrays = {"group_mean": mean, "group_chol": chol, "group_logw": logw}
    return {name: values.astype(np.float32) for name, values in arrays.items()}


def _kmeans(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Labels of the best of RESTARTS fits."""
    fits = (_fit_quietly(KMeans(k, random_state=seed + restart), points) for restart in range(RESTARTS))
    best = min(fits, key=_inertia)
    # With fewer different cells than groups, centres fall together, and which one is nearer is a matter of rounding.
    centres = np.unique(np.round(best.cluster_centers_, 6), axis=0)
    return cdist(points, centres).argmin(axis=1)


def _inertia(fitted: KMeans) -> float:
    return float(fitted.inertia_ or 0.0)


def _silhouette(points: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """Of a part of the cells; of all where that part misses a group, as it may miss one of a few outliers."""
    some = np.random.default_rng(seed).permutation(len(points))[:SILHOUETTE]
    if len(np.unique(labels[some])) < len(np.unique(labels)):
        some = np.arange(len(points))
    return float(silhouette_score(points[some], labels[some]))


def _stability(points: np.ndarray, labels: np.ndarray, k: int, rng: np.random.Generator) -> float:
    scores = []
    for _ in range(BOOTSTRAPS):
        drawn = points[rng.integers(0, len(points), len(points))]
        again = _fit_quietly(KMeans(k, random_state=int(rng.integers(2**31))), drawn)
        scores.append(adjusted_rand_score(labels, again.predict(points)))
    return float(np.mean(scores))


def _fit_quietly(model: Model, points: np.ndarray) -> Model:
    """Fit without two warnings that tell nothing here.

    BIC compares mixtures, and one that has not fully converged after 200 iterations is still comparable; k-means that
    finds fewer different cells than groups leaves labels empty, which its callers look for.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(points)
    return model
