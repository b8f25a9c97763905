"""The number of groups: known mixtures, one cloud, a continuum, and the rule of the consensus."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, calinski_harabasz_score, davies_bouldin_score, silhouette_score
from threadpoolctl import threadpool_limits
from tolerances import FLOAT64_SUMS, assert_close

from mpmjax.scoring.criteria import HIGHER_IS_BETTER, MOST, SILHOUETTE, SUBSAMPLE, choose, consensus, kmeans


def clouds(k: int, seed: int, n: int = 2500, d: int = 4, apart: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, d] of k Gaussians of unequal weights and shapes, no two centres nearer than `apart`, and labels."""
    rng = np.random.default_rng([k, seed])
    labels = rng.choice(k, n, p=np.linspace(1.0, 3.0, k) / np.linspace(1.0, 3.0, k).sum())
    centres = np.zeros((1, d))
    while len(centres) < k:
        centre = centres[rng.integers(len(centres))] + rng.normal(0, apart, d)
        if np.linalg.norm(centres - centre, axis=1).min() > apart:
            centres = np.concatenate([centres, centre[None]])
    shapes = np.linalg.qr(rng.normal(size=(k, d, d)))[0] * rng.uniform(0.6, 1.2, (k, 1, d))
    return centres[labels] + np.einsum("nij,nj->ni", shapes[labels], rng.normal(size=(n, d))), labels


@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_separate_clouds_are_counted_and_named(k: int) -> None:
    points, truth = clouds(k, 1)
    found = choose(points, 0)
    assert len(np.unique(found.labels)) == k
    assert found.separate is True
    assert adjusted_rand_score(truth, found.labels) > 0.9
    assert np.argmin(found.curves["message_length"]) + 1 == k


@pytest.mark.parametrize("seed", range(5))
def test_one_cloud_is_no_groups(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(3000, 4)) * [3.0, 1.0, 0.5, 0.2]
    found = choose(points, seed)
    assert found.separate is False
    assert not found.labels.any()


def test_a_continuum_is_cut_and_said_to_be_one() -> None:
    """Points along a bent band: every further Gaussian fits better, and no number is true."""
    rng = np.random.default_rng(0)
    way = rng.uniform(0, 1, 6000)
    points = np.stack([10 * way, 6 * np.sin(6 * way), 3 * way**2], axis=1) + rng.uniform(-0.05, 0.05, (6000, 3))
    found = choose(points, 0)
    assert found.separate is False
    assert 2 <= len(np.unique(found.labels)) <= MOST


def test_the_criteria_are_those_of_scikit_learn() -> None:
    points, _ = clouds(3, 2, n=SILHOUETTE)
    found = choose(points, 0)
    assert found.curves["k"] == [float(k) for k in range(1, MOST + 1)]
    assert {"k", "message_length", *HIGHER_IS_BETTER} <= found.curves.keys()
    for k in (2, 3, 7):
        with threadpool_limits(1):
            labels = kmeans(points, k, 0)
        for name, score in (
            ("silhouette", silhouette_score),
            ("davies_bouldin", davies_bouldin_score),
            ("calinski_harabasz", calinski_harabasz_score),
        ):
            value = found.curves[name][k - 1]
            assert value is not None
            assert_close(np.array(value), np.array(score(points, labels)), FLOAT64_SUMS)
    assert found.curves["silhouette"][0] is None


def test_many_points_are_judged_on_some_of_them() -> None:
    points, truth = clouds(3, 3, n=SUBSAMPLE + 2000)
    found = choose(points, 0)
    assert found.labels.shape == truth.shape
    assert adjusted_rand_score(truth, found.labels) > 0.9


def curves_of(ranks: dict[int, float], again: dict[int, float]) -> dict[str, list[float | None]]:
    """Curves over K = 1 to 5 whose five criteria all rank as given, the lowest the best."""
    numbers = list(range(1, 6))
    values = [None if k == 1 else ranks[k] for k in numbers]
    falling = [None if v is None else -v for v in values]
    rows: dict[str, list[float | None]] = {"k": [float(k) for k in numbers]}
    rows |= {name: list(falling if higher else values) for name, higher in HIGHER_IS_BETTER.items()}
    rows["stability"] = [None if k == 1 else 0.9 - 0.01 * ranks[k] for k in numbers]
    rows["agreement"] = [None if k == 1 else again[k] for k in numbers]
    return rows


def test_the_consensus_takes_what_is_found_again() -> None:
    best_first = {2: 0.0, 3: 1.0, 4: 2.0, 5: 3.0}
    assert consensus(curves_of(best_first, dict.fromkeys(range(2, 6), 0.9))) == 2
    assert consensus(curves_of(best_first, {2: 0.5, 3: 0.7, 4: 0.9, 5: 0.85})) == 4
    assert consensus(curves_of(best_first, {2: 0.2, 3: 0.6, 4: 0.58, 5: 0.1})) == 3
    assert consensus(curves_of(best_first, {2: 0.2, 3: 0.5, 4: 0.6, 5: 0.1})) == 4


def test_of_equal_ranks_the_most_groups_are_taken() -> None:
    rows = curves_of({2: 0.0, 3: 1.0, 4: 2.0, 5: 3.0}, dict.fromkeys(range(2, 6), 0.9))
    rows["davies_bouldin"] = [None, 3.0, 1.0, 2.0, 4.0]
    rows["silhouette"] = [None, 1.0, 2.0, 0.5, 0.1]
    assert consensus(rows) == 3
    assert rows["mean_rank"][0] is None
    assert rows["mean_rank"][1] == pytest.approx((0 + 1 + 2 + 0 + 0) / 5)


@pytest.mark.parametrize("n", [3, 4, 8, 30])
def test_few_points(n: int) -> None:
    found = choose(np.random.default_rng(n).normal(size=(n, 3)), 0)
    assert found.labels.shape == (n,)
    assert 1 <= len(np.unique(found.labels)) < n


def test_points_that_are_all_alike() -> None:
    found = choose(np.full((100, 3), 0.25), 0)
    assert not found.labels.any()
    assert found.separate is False
