"""Groups: planted ones are found again and told apart by every member, their Gaussians are those of SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score
from tolerances import FLOAT64_SUMS, SCORER, assert_close, assert_same_bits

from mpmjax.reference.lstm import posterior
from mpmjax.scoring.groups import COMPONENTS, Groups, assigned, find_groups, gaussians, halves_agree, membership_space


def found_in(latents: np.ndarray, favourability: np.ndarray, k: int | None, seed: int) -> Groups:
    """Groups of cells whose memberships are the first member's latent, turned and squeezed into 0..1."""
    z = latents[0].T.astype(float)
    mu = (z - z.min()) / max(float(np.ptp(z)), 1e-9)
    return find_groups(mu, np.ones(mu.shape, bool), latents, favourability, k, seed)


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
        found = found_in(latents, np.random.default_rng(seed).uniform(size=truth.size), None, seed)
        if len(found.favourability) == k:
            right += 1
            assert adjusted_rand_score(truth, found.labels) > 0.98
    assert right >= len(cases) - 1


def test_labels_are_ordered_by_favourability() -> None:
    latents, truth = planted(4, 7)
    rng = np.random.default_rng(7)
    favourability = np.array([0.2, 0.8, 0.5, 0.6])[truth] + 0.02 * rng.normal(size=truth.size)
    found = found_in(latents, favourability, 4, 7)
    assert (np.array([3, 0, 2, 1])[truth] == found.labels).mean() > 0.99
    means = [favourability[found.labels == k].mean() for k in range(4)]
    assert found.favourability == pytest.approx(means, rel=1e-12)
    assert (np.diff(found.favourability) < 0).all()
    assert found.criteria == {}
    turned = found_in(latents, -favourability, 4, 7)
    assert np.array_equal(turned.labels, 3 - found.labels)


def test_equal_favourabilities_still_make_distinct_labels() -> None:
    latents, truth = planted(3, 8)
    found = found_in(latents, np.full(truth.size, 0.5), 3, 8)
    assert adjusted_rand_score(truth, found.labels) > 0.98
    assert found.favourability.tolist() == [0.5, 0.5, 0.5]


def test_the_same_seed_gives_the_same_groups() -> None:
    latents, truth = planted(3, 9, cells=300)
    favourability = np.random.default_rng(9).uniform(size=truth.size)
    first, second = (found_in(latents, favourability, None, 4) for _ in range(2))
    assert_same_bits(first.labels, second.labels)
    assert_same_bits(first.favourability, second.favourability)
    assert first.criteria == second.criteria


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


@pytest.mark.parametrize("k", [None, 2, 5])
def test_few_different_cells(k: int | None) -> None:
    """Layers of categories only: three kinds of cell are three groups at most, however many are asked for."""
    kind = np.random.default_rng(3).integers(0, 3, 500)
    latents = np.random.default_rng(4).normal(size=(2, 2, 3))[:, :, kind]
    found = found_in(latents, kind / 2.0, k, 0)
    assert len(found.favourability) <= (2 if k == 2 else 3)
    assert np.array_equal(np.unique(found.labels), np.arange(len(found.favourability)))
    if k == 5:
        assert np.array_equal(found.labels, 2 - kind)
        assert found.favourability == pytest.approx([1.0, 0.5, 0.0])


@pytest.mark.parametrize("cells", [3, 8, 50])
def test_small_samples(cells: int) -> None:
    rng = np.random.default_rng(4)
    found = found_in(rng.normal(size=(3, 4, cells)), rng.uniform(size=cells), None, 0)
    assert 1 <= len(found.favourability) < cells
    assert found.labels.shape == (cells,)


def test_what_is_kept_is_what_the_ensemble_assigns() -> None:
    latents, truth = planted(4, 3)
    found = found_in(latents, truth / 4.0, None, 0)
    assert_same_bits(assigned(latents, found.arrays), found.labels)
    by_hand = np.mean([posterior(z.T.astype(float), found.arrays, m) for m, z in enumerate(latents)], axis=0)
    assert np.array_equal(by_hand.argmax(axis=1), found.labels)
    assert found.agreement is not None
    assert found.agreement > 0.98


def test_a_group_that_wins_no_cell_is_no_group() -> None:
    """Five groups of memberships that a one-dimensional latent cannot tell apart."""
    rng = np.random.default_rng(5)
    mu = rng.uniform(size=(900, 3))
    latents = np.stack([(mu.sum(axis=1) + 0.01 * rng.normal(size=900))[None] for _ in range(3)])
    found = find_groups(mu, np.ones(mu.shape, bool), latents, mu.mean(axis=1), 9, 0)
    assert np.bincount(found.labels, minlength=len(found.favourability)).min() > 0
    assert found.arrays["group_logw"].shape == (3, len(found.favourability))


def test_halves_of_members_that_see_nothing_in_common_do_not_agree() -> None:
    latents, truth = planted(3, 2, members=4)
    every = np.arange(truth.size)
    assert halves_agree(latents, truth, every) == pytest.approx(1.0, abs=0.02)
    blind = latents.copy()
    blind[1::2] = np.random.default_rng(0).normal(size=blind[1::2].shape)
    disagreed = halves_agree(blind, truth, every)
    assert disagreed is not None
    assert disagreed < 0.2
    assert halves_agree(latents[:1], truth, every) is None


def test_a_missing_membership_counts_as_its_layer_s_mean() -> None:
    rng = np.random.default_rng(6)
    mu, valid = rng.uniform(size=(400, 14)), rng.uniform(size=(400, 14)) < 0.8
    filled = np.array([np.where(v, x, x[v].mean()) for x, v in zip(mu.T, valid.T, strict=True)]).T
    points = membership_space(np.where(valid, mu, 99.0), valid)
    assert points.shape == (400, COMPONENTS)
    assert_close(np.abs(points), np.abs(membership_space(filled, np.ones_like(valid))), FLOAT64_SUMS)
    nothing = np.where(np.arange(14) == 3, False, valid)
    assert np.isfinite(membership_space(mu, nothing)).all()
