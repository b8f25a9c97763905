"""The case of the mixture that tells separate clouds apart: how many there are, and which point is of which.

Clouds lie so far apart that everybody who finds them all agrees on every point: what is compared is the time it takes.
How often the number is right where clouds overlap is asked by method/mixtures.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from mpmjax.scoring.criteria import BEYOND, STRONG, choose
from mpmjax.scoring.mixture import merging_path, message_length

from . import group_baselines
from .gate import Case, Verdict

POINTS = 5_000
"""As many as the package draws from its sample (SUBSAMPLE of scoring/criteria.py)."""
FEWEST = 3_000
"""With a thousand, seven clouds are not always told apart."""
DIMENSIONS = 8
APART = 16.0
"""Least distance of two clouds' means in standard deviations: fewer than one point in 10^12 is nearer to another's."""
STARTS = 3
SEED = 0


def groups(rng: np.random.Generator, side: int) -> Iterator[Case]:
    """Three clouds and seven; as many points as a quarter of the cells, 3,000 to 5,000."""
    for clouds in (3, 7):
        points, truth = separate_clouds(rng, clouds, min(POINTS, max(FEWEST, side * side // 4)))
        bic = partial(group_baselines.mixtures_by_bic, points, BEYOND, seed=SEED)
        rivals = {
            "ours, all criteria": lambda points=points: choose(points, SEED).labels,
            "GaussianMixture by BIC, one start": bic(1),
            f"GaussianMixture by BIC, best of {STARTS}": bic(STARTS),
            "BayesianGaussianMixture": group_baselines.bayesian_mixture(points, BEYOND, SEED),
            "KMeans by silhouette": group_baselines.kmeans_by_silhouette(points, BEYOND, STARTS, SEED),
        }
        yield Case(
            variant=f"{clouds} clouds, {len(points)} points, d = {DIMENSIONS}, up to {BEYOND} components",
            unit="points",
            work=len(points),
            bytes_moved=points.nbytes + 8 * len(points),
            operations=0,
            op=numbered(lambda points=points: by_message_length(points), points),
            reference=numbered(lambda truth=truth: truth, points),
            judge=_judge_groups,
            why="a share of the points: clouds so far apart have no point in common",
            rivals={name: numbered(call, points) for name, call in rivals.items()},
            rival_tolerance=0.0,
        )


def by_message_length(points: np.ndarray) -> np.ndarray:
    """The package's mixture alone: merged down from `BEYOND` components, the shortest message names their number."""
    path = merging_path(points, BEYOND, SEED)
    length = np.array([message_length(mixture, points) for mixture in path])
    return path[int(np.flatnonzero(length <= length.min() + STRONG)[0])].predict(points)


def separate_clouds(rng: np.random.Generator, clouds: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points float64 [count, DIMENSIONS] of round clouds of unit deviation, and the cloud int [count] of each."""
    means = np.zeros((0, DIMENSIONS))
    while len(means) < clouds:
        drawn = rng.uniform(-2 * APART, 2 * APART, DIMENSIONS)
        if (np.linalg.norm(means - drawn, axis=1) >= APART).all():
            means = np.vstack([means, drawn])
    truth = rng.permutation(np.arange(count) % clouds)
    return means[truth] + rng.standard_normal((count, DIMENSIONS)), truth


def numbered(call: Callable[[], np.ndarray], points: np.ndarray) -> Callable[[], np.ndarray]:
    """A call whose groups are numbered by their mean in the first dimension: equal partitions get equal labels."""

    def numbers() -> np.ndarray:
        _, labels = np.unique(call(), return_inverse=True)
        means = np.bincount(labels, points[:, 0]) / np.bincount(labels)
        return np.argsort(np.argsort(means))[labels]

    return numbers


def _judge_groups(got: np.ndarray, wanted: np.ndarray) -> Verdict:
    """Error is the share of points in another group than theirs."""
    if np.shape(got) != wanted.shape:
        return Verdict(np.inf, 0.0, f"shape {np.shape(got)}, the reference has {wanted.shape}")
    found, there = np.unique(got).size, np.unique(wanted).size
    complaint = "" if found == there else f"{found} groups where there are {there}"
    return Verdict(float(np.mean(np.asarray(got) != wanted)), 0.0, complaint)
