"""Groups of cells: a partition of the sample by its memberships, and how every member of the ensemble tells them apart.

Labels start from the memberships, which know no seed: k-means on their principal components, or a mixture of Gaussians
where they lie in separate clouds (criteria.py says how many). Each member then keeps one Gaussian a label in its own
latent, and a cell belongs to the group that the members find most probable in the mean. Clustering the latents was not
steady: whitened and set side by side, two halves of eight members agreed on three groups of nanling_li with an adjusted
Rand index of 0.24, these do with 0.91.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from mpmjax.reference.lstm import posterior
from mpmjax.scoring.criteria import choose, kmeans

COMPONENTS = 10
"""Principal components of the memberships that are clustered, at most."""
AGREEMENT = 4_000
"""Cells on which two halves of the ensemble are compared."""


@dataclass(frozen=True)
class Groups:
    """Groups of the sample, as the ensemble assigns them.

    Attributes:
        labels: int [n], 0..K-1, 0 the group with the highest mean favourability.
        favourability: float [K], that mean (Pi_k).
        separate: whether the memberships lie in K separate clouds; False where K cuts a continuum, None where K was
            given.
        agreement: adjusted Rand index of the groups by the even and by the odd members; None of a single member.
        criteria: "k" and the criteria's curves over it (criteria.py); empty where K was given.
        arrays: group_mean, group_chol, group_logw of reference/lstm.py.
    """

    labels: np.ndarray
    favourability: np.ndarray
    separate: bool | None
    agreement: float | None
    criteria: Mapping[str, list[float | None]]
    arrays: Mapping[str, np.ndarray]


def find_groups(
    mu: np.ndarray, valid: np.ndarray, latents: np.ndarray, favourability: np.ndarray, k: int | None, seed: int
) -> Groups:
    """Group the sample.

    Args:
        mu: memberships [n, L]; valid: bool [n, L].
        latents: float [E, d, n] of the same cells.
        favourability: float [n], orders the labels.
        k: number of groups, or None to choose it from 1 to 10. There are fewer where that many different cells are
            missing, or where no cell is most probably of a group in the mean of the members.
    """
    # One thread: the arrays are small, and sums in threads would give other bits on another number of cores.
    with threadpool_limits(1):
        points = membership_space(mu, valid)
        some = np.random.default_rng(seed).permutation(points.shape[0])[:AGREEMENT]
        separate: bool | None = None
        criteria: Mapping[str, list[float | None]] = {}
        if k is None:
            choice = choose(points, seed, lambda labels: halves_agree(latents, labels, some))
            raw, separate, criteria = choice.labels, choice.separate, choice.curves
        else:
            raw = kmeans(points, k, seed)
        arrays, labels = _as_the_ensemble_sees(latents, raw)
        means = np.bincount(labels, favourability) / np.bincount(labels)
        order = np.argsort(-means, kind="stable")
        return Groups(
            np.argsort(order)[labels],
            means[order],
            separate,
            halves_agree(latents, labels, some),
            criteria,
            {name: values[:, order] for name, values in arrays.items()},
        )


def membership_space(mu: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Principal components of the memberships, at most ten, float64 [n, c]; a missing one is its layer's mean."""
    filled = np.where(valid, mu, np.nan).astype(np.float64)
    mean = np.where(valid, mu, 0.0).sum(axis=0, dtype=np.float64) / np.maximum(valid.sum(axis=0), 1)
    filled = np.where(valid, filled, mean)
    return PCA(min(COMPONENTS, *filled.shape), svd_solver="full").fit_transform(filled)


def assigned(latents: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The group of each cell that the members find most probable in the mean: int [n] from latents [E, d, n]."""
    mean = np.mean([posterior(z.T.astype(np.float64), arrays, m) for m, z in enumerate(latents)], axis=0)
    return mean.argmax(axis=1)


def halves_agree(latents: np.ndarray, labels: np.ndarray, some: np.ndarray) -> float | None:
    """Adjusted Rand index between what the even and what the odd members make of a partition.

    Args:
        latents: [E, d, n]; labels: int [n].
        some: numbers of the cells that are compared.

    Returns:
        At most 1; None of fewer than two members.
    """
    if len(latents) < 2:
        return None
    halves = (latents[half::2] for half in (0, 1))
    groups = int(labels.max()) + 1
    return float(adjusted_rand_score(*(assigned(half[:, :, some], gaussians(half, labels, groups)) for half in halves)))


def _as_the_ensemble_sees(latents: np.ndarray, labels: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Gaussians of the groups that win some cell, and the cells' groups by them."""
    while True:
        _, labels = np.unique(labels, return_inverse=True)  # k-means may leave a label empty
        arrays = gaussians(latents, labels, int(labels.max()) + 1)
        seen = assigned(latents, arrays)
        won = np.unique(seen)
        if len(won) == arrays["group_logw"].shape[1]:
            return arrays, seen
        # A group that no cell is most probably of is no group; its cells go where the ensemble puts them.
        labels = np.where(np.isin(labels, won), labels, seen)


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
