"""The path of mixtures: its merges keep the moments, and its message lengths are those of the formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from tolerances import FLOAT64_SUMS, assert_close

from mpmjax.scoring.mixture import merged, merging_path, message_length


def blobs(seed: int, n: int = 1500) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 1.0], [0.0, 5.0, 0.0], [5.0, 6.0, 0.0]])
    return centres[rng.integers(0, 4, n)] + rng.normal(size=(n, 3))


def test_a_merge_keeps_mean_and_covariance_of_the_whole() -> None:
    mixture = GaussianMixture(6, random_state=0).fit(blobs(0))
    weights, means, covariances = merged(mixture)
    assert weights.shape == (5,)

    def moments(w: np.ndarray, m: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = w @ m
        return mean, np.einsum("k,kij->ij", w, c) + np.einsum("k,ki,kj->ij", w, m - mean, m - mean)

    for got, expected in zip(
        moments(weights, means, covariances),
        moments(mixture.weights_, mixture.means_, mixture.covariances_),
        strict=True,
    ):
        assert_close(got, expected, FLOAT64_SUMS)


def test_the_pair_that_costs_least_is_merged() -> None:
    """Two components on one blob go together before any two blobs do."""
    points = blobs(1)
    path = merging_path(points, 8, 0)
    means = path[3].means_[np.lexsort(path[3].means_.T)]
    expected = np.array([[0.0, 0.0, 0.0], [0.0, 5.0, 0.0], [5.0, 0.0, 1.0], [5.0, 6.0, 0.0]])
    assert all(np.linalg.norm(means - centre, axis=1).min() < 0.2 for centre in expected)


def test_lengths_are_shortest_at_the_true_number_and_as_the_formula_says() -> None:
    points = blobs(2)
    path = merging_path(points, 9, 0)
    assert [len(mixture.weights_) for mixture in path] == list(range(1, 10))
    lengths = [message_length(mixture, points) for mixture in path]
    assert np.argmin(lengths) + 1 == 4
    mixture, n, parameters = path[3], len(points), 3 + 6
    density = sum(
        w * multivariate_normal(m, c).pdf(points)
        for w, m, c in zip(mixture.weights_, mixture.means_, mixture.covariances_, strict=True)
    )
    expected = (
        parameters / 2 * np.log(n * mixture.weights_ / 12).sum()
        + 4 / 2 * np.log(n / 12)
        + 4 * (parameters + 1) / 2
        - np.log(density).sum()
    )
    assert lengths[3] == pytest.approx(expected, rel=1e-9)


def test_equal_and_flat_points_make_no_infinite_density() -> None:
    rng = np.random.default_rng(3)
    points = np.repeat(rng.normal(size=(40, 4)), 30, axis=0) * [1.0, 1.0, 1e-9, 0.0]
    for mixture in merging_path(points, 16, 0):
        assert np.isfinite(mixture.covariances_).all()
        assert np.isfinite(message_length(mixture, points))
