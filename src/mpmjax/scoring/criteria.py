"""How many groups: five criteria over their number K, and one choice.

Points that lie in separate clouds are a mixture of Gaussians, and the message length names their number. Memberships of
a district seldom are: cells pass from one kind of ground into the next, every further Gaussian fits a little better,
and the message shortens without end. Then no number is true, and the question is which one serves: of the numbers whose
groups are found again, the one that the criteria rank best in the mean.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, calinski_harabasz_score, davies_bouldin_score, silhouette_score

from mpmjax.scoring.mixture import merging_path, message_length

MOST = 10
"""Groups that may be chosen."""
BEYOND = 16
"""Components that the longest mixture has: a shortest message at 10 or below has then been passed."""
STRONG = 5.0
"""Nats by which more components must shorten the message: very strong evidence (Kass and Raftery 1995)."""
SUBSAMPLE = 5_000
"""Points on which the criteria are computed: silhouette and mixtures grow faster than linearly."""
SILHOUETTE = 2_000
"""Points on which the silhouette is computed: it takes all pairs."""
BOOTSTRAPS = 5
RESTARTS = 8
FOUND_AGAIN = 0.8
"""Adjusted Rand index from which on groups count as found again."""
CLOUDS_AGAIN = 0.6
"""The same for clouds by mixtures that see half of the points each: on 100 mixtures whose clouds overlap by 5 % true
numbers reached 0.75 to 0.94."""
SAME_RANK = 1.0
"""Mean ranks that differ by less than one place are the same: from seed to seed they change by half a place."""
SAME_AGAIN = 0.05
"""How far below the best a number may be found again where none reaches `FOUND_AGAIN`."""
HIGHER_IS_BETTER = {
    "message_length": False,
    "silhouette": True,
    "davies_bouldin": False,
    "calinski_harabasz": True,
    "stability": True,
}

Curves = Mapping[str, list[float | None]]
Agreement = Callable[[np.ndarray], float | None]
"""Labels int [n] of all points -> how well two halves of an ensemble find them again, an adjusted Rand index."""


@dataclass(frozen=True)
class Choice:
    """A partition of n points.

    Attributes:
        labels: int [n], 0..K-1.
        separate: whether the points lie in K separate clouds; False where K cuts a continuum; None where K was given.
        curves: "k" and every criterion over it, "agreement" and "mean_rank" where they took part, None where undefined;
            empty where K was given.
    """

    labels: np.ndarray
    separate: bool | None
    curves: Curves


def choose(points: np.ndarray, seed: int, agreement: Agreement = lambda labels: None) -> Choice:
    """Choose the number of groups, 1 to 10, and label the points.

    Args:
        points: float64 [n, c].
        agreement: of an ensemble about a partition, asked only where the points lie in no separate clouds.
    """
    rng = np.random.default_rng(seed)
    drawn = np.arange(len(points)) if len(points) <= SUBSAMPLE else rng.choice(len(points), SUBSAMPLE, replace=False)
    some = points[drawn]
    different = len(np.unique(np.round(some, 6), axis=0))
    path = merging_path(some, max(1, min(BEYOND, different // 2)), seed)
    length = [message_length(mixture, some) for mixture in path]
    clouds = 1 + int(np.flatnonzero(np.array(length) <= min(length) + STRONG)[0])
    separate = (
        clouds <= MOST and clouds < len(path) and (clouds == 1 or _cloud_halves(some, clouds, seed) >= CLOUDS_AGAIN)
    )
    partitions = {k: kmeans(points, k, seed) for k in range(2, min(MOST, len(path)) + 1)}
    partitions = {k: labels for k, labels in partitions.items() if len(np.unique(labels)) == k}
    curves = _curves(some, length, {k: labels[drawn] for k, labels in partitions.items()}, rng)
    if separate or not partitions:
        labels = path[clouds - 1].predict(points) if separate else np.zeros(len(points), np.int64)
        return Choice(labels, separate and clouds > 1, curves)
    curves["agreement"] = [agreement(partitions[int(k)]) if k in partitions else None for k in curves["k"]]
    best = consensus(curves)
    return Choice(partitions[best], False, curves)


def consensus(curves: dict[str, list[float | None]]) -> int:
    """The number with the best mean rank over the criteria among those that are found again; adds "mean_rank".

    Found again is a number whose stability and agreement both reach `FOUND_AGAIN`; if none does, those are kept whose
    smaller one of the two is near the largest. Of mean ranks that are the same the most groups are taken: they tell
    more.
    """
    numbers = [i for i, value in enumerate(curves["silhouette"]) if value is not None]
    ranks = []
    for name, higher in HIGHER_IS_BETTER.items():
        values = np.array([curves[name][i] for i in numbers], np.float64)
        ranks.append(np.argsort(np.argsort(-values if higher else values, kind="stable"), kind="stable"))
    mean_rank = np.mean(ranks, axis=0)
    curves["mean_rank"] = [None] * len(curves["k"])
    for i, rank in zip(numbers, mean_rank, strict=True):
        curves["mean_rank"][i] = float(rank)
    again = np.array([_least(curves["stability"][i], curves["agreement"][i]) for i in numbers])
    kept = np.flatnonzero(again >= min(FOUND_AGAIN, again.max() - SAME_AGAIN))
    level = mean_rank[kept] < mean_rank[kept].min() + SAME_RANK
    return int(curves["k"][numbers[kept[level][-1]]])


def kmeans(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Labels of the best of several fits; fewer than k where centres fall together."""
    best = _best_fit(points, k, range(seed, seed + RESTARTS))
    # With fewer different cells than groups, centres fall together, and which one is nearer is a matter of rounding.
    centres = np.unique(np.round(best.cluster_centers_, 6), axis=0)
    return cdist(points, centres).argmin(axis=1)


def _best_fit(points: np.ndarray, k: int, seeds: Iterable[int]) -> KMeans:
    return min((_quietly(KMeans(k, random_state=seed), points) for seed in seeds), key=_inertia)


def _inertia(fitted: KMeans) -> float:
    return float(fitted.inertia_ or 0.0)


def _curves(
    points: np.ndarray, length: list[float], partitions: Mapping[int, np.ndarray], rng: np.random.Generator
) -> dict[str, list[float | None]]:
    """The criteria of the partitions of these points, by name over K = 1, 2, ...; None where one is not defined."""
    curves: dict[str, list[float | None]] = {"k": [float(k) for k in range(1, min(MOST, len(length)) + 1)]}
    curves["message_length"] = list(length[:MOST])
    some = rng.permutation(len(points))[:SILHOUETTE]
    for name in ("silhouette", "davies_bouldin", "calinski_harabasz", "stability"):
        curves[name] = [None] * len(curves["k"])
    for k, labels in partitions.items():
        if len(np.unique(labels)) < 2:  # what was drawn misses all groups but one
            continue
        part = some if len(np.unique(labels[some])) > 1 else np.arange(len(points))
        curves["silhouette"][k - 1] = float(silhouette_score(points[part], labels[part]))
        curves["davies_bouldin"][k - 1] = float(davies_bouldin_score(points, labels))
        curves["calinski_harabasz"][k - 1] = float(calinski_harabasz_score(points, labels))
        curves["stability"][k - 1] = _stability(points, labels, k, rng)
    return curves


def _stability(points: np.ndarray, labels: np.ndarray, k: int, rng: np.random.Generator) -> float:
    """Mean adjusted Rand index between the labels and those of k-means on bootstrap draws of the points."""
    scores = []
    for _ in range(BOOTSTRAPS):
        drawn = points[rng.integers(0, len(points), len(points))]
        # A single start may end in a poor optimum, and would say of it what is meant of the number.
        again = _best_fit(drawn, k, rng.integers(2**31, size=RESTARTS // 2).tolist())
        scores.append(adjusted_rand_score(labels, again.predict(points)))
    return float(np.mean(scores))


def _cloud_halves(points: np.ndarray, clouds: int, seed: int) -> float:
    """Adjusted Rand index, on all points, of two mixtures that were fitted to one half of them each."""
    order = np.random.default_rng(seed).permutation(len(points))
    halves = (merging_path(points[order[half::2]], BEYOND, seed)[clouds - 1].predict(points) for half in (0, 1))
    return float(adjusted_rand_score(*halves))


def _least(*values: float | None) -> float:
    return min(value for value in values if value is not None)


def _quietly(model: KMeans, points: np.ndarray) -> KMeans:
    """Fit without a warning that tells nothing here: fewer different cells than groups leave labels empty, which the
    callers look for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(points)
