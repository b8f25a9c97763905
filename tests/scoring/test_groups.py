"""Groups: planted ones are found again, their Gaussians are those of SciPy, and odd samples do not stop a run."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score, silhouette_score
from tolerances import SCORER, assert_close, assert_same_bits

from mpmjax.reference.lstm import posterior
from mpmjax.scoring.groups import (
    CANDIDATES,
    COMPONENTS,
    HIGHER_IS_BETTER,
    SILHOUETTE,
    SUBSAMPLE,
    _silhouette,
    consensus_space,
    find_groups,
    gaussians,
)


def planted(k: int, seed: int, cells: int = 600, members: int = 4, d: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Latents float32 [E, d, n] of k blobs, and their labels [n].

    Every member has them turned and stretched in its own way, and spreads the cells of a blob in its own way.
    """
    rng = np.random.default_rng([k, seed])
    labels = rng.choice(k, cells, p=rng.dirichlet(np.full(k, 20.0)))
    centres = rng.normal(size=(1, d))
    while len(centres) < k:  # far enough apart to be groups at all
        centre = rng.normal(0, 6, (1, d))
        if np.linalg.norm(centres - centre, axis=1).min() > 6:
            centres = np.concatenate([centres, centre])
    latents = []
    for _ in range(members):
        turn = np.linalg.qr(rng.normal(size=(d, d)))[0] * rng.uniform(0.5, 2.0)
        latents.append(((centres[labels] + 0.7 * rng.normal(size=(cells, d))) @ turn).T)
    return np.array(latents, np.float32), labels


def test_the_number_of_planted_groups_is_found() -> None:
    cases = [(2, 0), (3, 1), (3, 2), (4, 3), (5, 4), (6, 5)]
    right = 0
    for k, seed in cases:
        latents, truth = planted(k, seed)
        found = find_groups(latents, np.random.default_rng(seed).uniform(size=truth.size), None, seed)
        if len(found.favourability) == k:
            right += 1
            assert adjusted_rand_score(truth, found.labels) > 0.98
    assert right >= len(cases) - 1


def test_labels_are_ordered_by_favourability() -> None:
    latents, truth = planted(4, 7)
    rng = np.random.default_rng(7)
    favourability = np.array([0.2, 0.8, 0.5, 0.6])[truth] + 0.02 * rng.normal(size=truth.size)
    found = find_groups(latents, favourability, 4, 7)
    assert (np.array([3, 0, 2, 1])[truth] == found.labels).mean() > 0.99
    means = [favourability[found.labels == k].mean() for k in range(4)]
    assert found.favourability == pytest.approx(means, rel=1e-12)
    assert (np.diff(found.favourability) < 0).all()
    assert found.criteria == {}
    turned = find_groups(latents, -favourability, 4, 7)
    assert np.array_equal(turned.labels, 3 - found.labels)


def test_equal_favourabilities_still_make_distinct_labels() -> None:
    latents, truth = planted(3, 8)
    found = find_groups(latents, np.full(truth.size, 0.5), 3, 8)
    assert adjusted_rand_score(truth, found.labels) > 0.98
    assert found.favourability.tolist() == [0.5, 0.5, 0.5]


def test_the_same_seed_gives_the_same_groups() -> None:
    latents, truth = planted(3, 9, cells=300)
    favourability = np.random.default_rng(9).uniform(size=truth.size)
    first, second = (find_groups(latents, favourability, None, 4) for _ in range(2))
    assert_same_bits(first.labels, second.labels)
    assert_same_bits(first.favourability, second.favourability)
    assert first.criteria == second.criteria


def test_criteria_are_whole_and_the_best_mean_rank_is_taken() -> None:
    latents, truth = planted(3, 1)
    found = find_groups(latents, np.random.default_rng(0).uniform(size=truth.size), None, 0)
    curves = {name: np.array(values) for name, values in found.criteria.items()}
    assert curves.keys() == {"k", "mean_rank", *HIGHER_IS_BETTER}
    assert curves["k"].tolist() == list(CANDIDATES)
    assert all(values.shape == (len(CANDIDATES),) and np.isfinite(values).all() for values in curves.values())
    assert len(found.favourability) == curves["k"][np.argmin(curves["mean_rank"])] == 3
    assert curves["silhouette"].argmax() == curves["stability"].argmax() == curves["calinski_harabasz"].argmax() == 1
    assert curves["davies_bouldin"].argmin() == curves["bic"].argmin() == 1


def test_many_cells_are_judged_on_some_of_them() -> None:
    latents, truth = planted(3, 2, cells=SUBSAMPLE + 1000)
    found = find_groups(latents, np.linspace(0, 1, truth.size), None, 2)
    assert len(found.favourability) == 3
    assert found.labels.shape == truth.shape
    assert adjusted_rand_score(truth, found.labels) > 0.98


@pytest.mark.parametrize("seed", [1, 2])
def test_a_few_outliers_do_not_stop_the_silhouette(seed: int) -> None:
    """Two cells far away are a group of two, which the silhouette's part of the sample may not hold at all."""
    rng = np.random.default_rng(seed)
    latents = rng.normal(0, 1, (1, 2, 4000))
    latents[:, :, :2] += 500
    labels = (np.arange(4000) < 2).astype(int)
    points = latents[0].T
    values = [_silhouette(points, labels, s) for s in range(6)]
    assert all(0.9 < value <= 1.0 for value in values)
    assert _silhouette(points[:500], labels[:500], 0) == pytest.approx(silhouette_score(points[:500], labels[:500]))
    assert SILHOUETTE < 4000
    found = find_groups(latents, rng.uniform(size=4000), None, seed)
    assert 2 <= len(found.favourability) <= 10


@pytest.mark.parametrize("k", [None, 2, 5])
def test_few_different_cells(k: int | None) -> None:
    """Layers of categories only: three kinds of cell are three groups at most, however many are asked for."""
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 3, 500)
    latents = rng.normal(size=(2, 2, 3))[:, :, kind]
    found = find_groups(latents, kind / 2.0, k, 0)
    assert len(found.favourability) == (2 if k == 2 else 3)
    assert np.array_equal(np.unique(found.labels), np.arange(len(found.favourability)))
    if k != 2:
        assert np.array_equal(found.labels, 2 - kind)
        assert found.favourability == pytest.approx([1.0, 0.5, 0.0])
        arrays = gaussians(latents, found.labels, 3)
        assert all(np.isfinite(values).all() for values in arrays.values())


@pytest.mark.parametrize("cells", [3, 8, 50])
def test_small_samples(cells: int) -> None:
    rng = np.random.default_rng(4)
    found = find_groups(rng.normal(size=(3, 4, cells)), rng.uniform(size=cells), None, 0)
    assert 2 <= len(found.favourability) < cells
    assert found.labels.shape == (cells,)


def test_consensus_space_gives_members_the_same_say() -> None:
    """A member whose latent is a thousand times as large, or has a dead direction, does not rule the others."""
    latents, _ = planted(3, 5, members=3)
    points = consensus_space(latents)
    scaled = latents * np.array([1.0, 1000.0, 1e-3], np.float32)[:, None, None]
    plain, other = (np.linalg.norm(p[:50, None] - p[None, :50], axis=2) for p in (points, consensus_space(scaled)))
    assert np.abs(plain - other).max() < 1e-2
    assert points.shape == (600, 9)
    assert consensus_space(planted(3, 5, members=4)[0]).shape == (600, COMPONENTS)
    dead = latents.copy()
    dead[1, 2] = 0.25
    assert np.isfinite(consensus_space(dead)).all()


def expected_posterior(member: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """By SciPy, from the definition: each group's covariance drawn to the pooled one with the weight of 5 d cells."""
    points, d = member.T.astype(float), member.shape[0]
    means = [points[labels == g].mean(axis=0) for g in range(k)]
    scatter = [(points[labels == g] - means[g]).T @ (points[labels == g] - means[g]) for g in range(k)]
    pooled = sum(scatter) / len(points)
    pooled += np.eye(d) * max(1e-6, 1e-4 * np.trace(pooled) / d)
    logs = []
    for g in range(k):
        cells = (labels == g).sum()
        covariance = (scatter[g] + 5 * d * pooled) / (cells + 5 * d)
        logs.append(np.log(cells / len(labels)) + multivariate_normal(means[g], covariance).logpdf(points))
    return np.exp(np.array(logs) - logsumexp(logs, axis=0)).T


@pytest.mark.parametrize(("k", "d"), [(2, 1), (3, 2), (5, 4)])
def test_posteriors_of_the_gaussians_are_those_of_scipy(k: int, d: int) -> None:
    rng = np.random.default_rng([k, d])
    labels = rng.integers(0, k, 800)
    labels[:k] = np.arange(k)
    # Overlapping groups of other shapes: posteriors far from 0 and 1.
    shapes = rng.normal(0, 0.6, (k, d, d))
    latents = np.array([
        (rng.normal(0, 0.8, (k, d))[labels] + np.einsum("nij,nj->ni", shapes[labels], rng.normal(size=(800, d)))).T
        for _ in range(2)
    ], np.float32)  # fmt: skip
    arrays = gaussians(latents, labels, k)
    assert {name: values.shape for name, values in arrays.items()} == {
        "group_mean": (2, k, d),
        "group_chol": (2, k, d, d),
        "group_logw": (2, k),
    }
    assert {values.dtype.name for values in arrays.values()} == {"float32"}
    for m in range(2):
        got = posterior(latents[m].T.astype(float), arrays, m)
        assert_close(got, expected_posterior(latents[m], labels, k), SCORER)
        assert ((got > 0.1) & (got < 0.9)).any()


def test_a_group_of_one_cell_keeps_a_usable_shape() -> None:
    latents, labels = planted(3, 6, d=4)
    labels[0] = 3
    arrays = gaussians(latents, labels, 4)
    for m in range(len(latents)):
        p = posterior(latents[m].T.astype(float), arrays, m)
        assert np.isfinite(p).all()
        assert_close(p.sum(axis=1), np.ones(600), SCORER)
        assert (p.argmax(axis=1)[1:] == labels[1:]).mean() > 0.9


def test_a_dead_direction_of_the_latent_keeps_a_usable_shape() -> None:
    latents, labels = planted(3, 6)
    latents[:, 2] = 0.25
    arrays = gaussians(latents, labels, 3)
    assert all(np.isfinite(values).all() for values in arrays.values())
    p = posterior(latents[0].T.astype(float), arrays, 0)
    assert (p.argmax(axis=1) == labels).mean() > 0.95
