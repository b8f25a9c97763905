"""The maker of overlapping mixtures and the table of who finds their number."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from mpmjax.benchmarks.method import mixtures
from mpmjax.benchmarks.method.mixtures import AXES, METHODS, MISCLASSIFIED, OURS, Answer, Mixture, mixture


def pair_error(made: Mixture, own: int, other: int, rng: np.random.Generator) -> float:
    """Share of 60,000 points of two clusters that are likelier the other's, by SciPy's densities."""
    weights = made.weights[[own, other]] / made.weights[[own, other]].sum()
    normals = [multivariate_normal(made.means[k], made.lower[k] @ made.lower[k].T) for k in (own, other)]
    counts = rng.multinomial(60_000, weights)
    wrong = 0
    for at, normal in enumerate(normals):
        points = normal.rvs(counts[at], random_state=rng)
        likelier = [np.log(weight) + each.logpdf(points) for weight, each in zip(weights, normals, strict=True)]
        wrong += int((likelier[at] < likelier[1 - at]).sum())
    return wrong / 60_000


@pytest.mark.parametrize(("d", "clusters"), [(4, 2), (4, 6), (8, 4)])
def test_every_placed_cluster_has_a_neighbour_at_five_percent(d: int, clusters: int) -> None:
    made = mixture(np.random.default_rng([d, clusters]), d, clusters)
    rng = np.random.default_rng(99)
    for placed in range(1, clusters):
        errors = [pair_error(made, placed, stood, rng) for stood in range(placed)]
        assert max(errors) == pytest.approx(MISCLASSIFIED, abs=0.01), (placed, errors)


def test_weights_and_shapes_stay_in_their_limits() -> None:
    longest = []
    for seed in range(30):
        made = mixture(np.random.default_rng(seed), 4, 2 + seed % 3)
        assert made.weights.sum() == pytest.approx(1.0)
        assert made.weights.min() >= 0.05
        assert made.weights.max() <= 0.55
        axes = np.sqrt(np.linalg.eigvalsh(made.lower @ np.swapaxes(made.lower, 1, 2)))
        longest.append((axes[:, -1] / axes[:, 0]).max())
    assert max(longest) <= AXES * (1 + 1e-9)
    assert max(longest) > 0.8 * AXES


def test_points_are_drawn_of_the_mixture() -> None:
    made = mixture(np.random.default_rng(3), 4, 3)
    points, labels = made.draw(60_000, np.random.default_rng(4))
    assert np.bincount(labels) / len(labels) == pytest.approx(made.weights, abs=0.01)
    for k in range(3):
        assert points[labels == k].mean(axis=0) == pytest.approx(made.means[k], abs=0.06)
        assert np.cov(points[labels == k].T) == pytest.approx(made.lower[k] @ made.lower[k].T, abs=0.12)


def test_all_methods_see_two_far_clouds() -> None:
    far = Mixture(np.array([0.4, 0.6]), np.array([[0.0, 0.0], [30.0, 30.0]]), np.stack([np.eye(2)] * 2))
    found = mixtures.answer(far, 0, points=1_500)
    assert (found.clusters, found.dimensions) == (2, 2)
    assert found.found == dict.fromkeys(METHODS, 2)


def test_the_shares_by_hand() -> None:
    said = dict.fromkeys(METHODS, 3)
    answers = [Answer(3, 4, said), Answer(5, 8, said), Answer(2, 8, said | {OURS: 2}), Answer(1, 4, said | {OURS: 1})]
    lines = mixtures.table(answers).splitlines()
    rows = {line.split(" | ")[0].strip("| "): line for line in lines[2:]}
    assert set(rows) == set(METHODS)
    assert lines[0].startswith("| method | right K (3) | d = 4 | d = 8 |")
    assert rows[OURS] == f"| {OURS} | 0.67 | 1.00 | 0.50 | 1.00 | 0.00 | 0.33 | 0.00 | 1.00 |"
    assert rows["BIC, restarts"] == "| BIC, restarts | 0.33 | 1.00 | 0.00 | 0.50 | 0.00 | 0.33 | 0.33 | 0.00 |"
    assert rows["silhouette, k-means"].endswith("| 0.33 | 0.33 | – |")
