"""What each model calls unusual: against SciPy, scikit-learn and NumPy, on planted structure, and on odd samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import cdist, mahalanobis
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score
from tolerances import FLOAT64_SUMS, OVERLAY, assert_close, assert_same_bits

from mpmjax.scoring import baseline_models as models
from mpmjax.scoring import baselines
from mpmjax.scoring.baseline_models import Missing, Unusual, bottleneck, shrunk_covariance

FITS = (
    models.isolation_forest,
    models.mahalanobis,
    models.pca,
    models.kmeans_distance,
    models.gmm,
    models.autoencoder,
)
each = pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.__name__)


def together(seed: int, cells: int, layers: int = 6) -> np.ndarray:
    """Memberships float64 of layers that go together by threes."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(cells, 2)) @ np.repeat(np.eye(2), layers // 2, axis=1) + 0.5 * rng.normal(size=(cells, layers))
    return 1 / (1 + np.exp(-z))


def scores(model: Unusual | Missing, cells: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    assert not isinstance(model, Missing)
    return model(cells, np.ones(cells.shape, bool) if valid is None else valid)


@pytest.mark.parametrize(("layers", "d"), [(1, 1), (2, 1), (3, 1), (4, 2), (11, 5), (16, 8), (42, 8)])
def test_the_bottleneck_is_that_of_the_network(layers: int, d: int) -> None:
    assert bottleneck(layers) == d


def test_mahalanobis_by_ledoit_and_wolf() -> None:
    x = together(1, 60)
    precision = np.linalg.inv(ledoit_wolf(x)[0])
    expected = [mahalanobis(cell, x.mean(axis=0), precision) ** 2 for cell in x]
    assert scores(models.mahalanobis(x, 0), x) == pytest.approx(expected, rel=1e-4)  # 1e-6 more on the diagonal
    assert ledoit_wolf(x)[1] > 0.005  # and the shrinkage is felt


def test_covariance_of_a_stated_share() -> None:
    x = together(2, 300)
    plain = np.cov(x.T, bias=True)
    target = np.eye(6) * np.trace(plain) / 6
    for share in (0.0, 0.3, 1.0):
        assert shrunk_covariance(x, share) == pytest.approx((1 - share) * plain + share * target, rel=1e-4)
    assert shrunk_covariance(x[:, :1], 0.3) == pytest.approx(np.array([[x[:, 0].var()]]), rel=1e-4)
    twins = np.concatenate([x, x], axis=1)
    assert np.isfinite(np.linalg.cholesky(shrunk_covariance(twins, 0.0))).all()


def test_pca_is_what_the_first_components_leave() -> None:
    x, rng = together(3, 400), np.random.default_rng(3)
    cells, valid = x[:50], rng.uniform(size=(50, 6)) > 0.3
    valid[:, 0] = True
    axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:3]
    centred = cells - x.mean(axis=0)
    residual = np.where(valid, centred - centred @ axes.T @ axes, 0.0)
    assert_close(scores(models.pca(x, 0), cells, valid), (residual**2).sum(axis=1) / valid.sum(axis=1), FLOAT64_SUMS)


def test_pca_has_nothing_to_say_of_cells_in_its_plane() -> None:
    rng = np.random.default_rng(4)
    plane = 0.5 + rng.uniform(-0.1, 0.1, (200, 2)) @ rng.normal(size=(2, 5))
    model = models.pca(plane, 0)
    assert scores(model, plane).max() < 1e-25
    assert scores(model, plane + rng.normal(0, 0.1, plane.shape)).min() > 1e-6


def test_kmeans_with_fewer_different_cells_than_centres() -> None:
    kinds = np.array([[0.1, 0.1], [0.9, 0.1], [0.5, 0.8]])
    rng = np.random.default_rng(5)
    model = models.kmeans_distance(kinds[rng.integers(0, 3, 100)], 0)
    cells = rng.uniform(size=(40, 2))
    assert_close(scores(model, cells), cdist(cells, kinds).min(axis=1), OVERLAY)


def test_kmeans_finds_eight_planted_centres() -> None:
    centres = np.array([[x, y, z] for x in (0.1, 0.9) for y in (0.1, 0.9) for z in (0.1, 0.9)])
    rng = np.random.default_rng(6)
    x = centres[rng.integers(0, 8, 2000)] + rng.normal(0, 0.02, (2000, 3))
    assert scores(models.kmeans_distance(x, 0), centres).max() < 0.01
    assert scores(models.kmeans_distance(x, 0), np.full((1, 3), 0.5)) == pytest.approx(np.sqrt(3) * 0.4, abs=0.02)


def test_gmm_is_a_density() -> None:
    """exp(-score) over the whole square adds up to one, as far as the sample stays off its edges."""
    rng = np.random.default_rng(7)
    x = np.clip(rng.normal([[0.4, 0.6]], 0.06, (2000, 2)), 0, 1)
    axis = (np.arange(400) + 0.5) / 400
    cells = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = np.exp(-scores(models.gmm(x, 0), cells))
    assert density.sum() / 400**2 == pytest.approx(1.0, abs=0.01)
    share = np.exp(-scores(models.gmm(x, 0), np.array([[0.4, 0.6]])))[0] * 2 * np.pi * 0.06**2
    assert share == pytest.approx(1.0, abs=0.3)  # a Gaussian's highest density


def test_the_autoencoder_learns_a_curve() -> None:
    t = np.random.default_rng(8).uniform(0, 1, (3000, 1))
    x = np.concatenate([t, 1 - t, t**2, 0.5 + 0.4 * np.sin(3 * t)], axis=1)
    model = models.autoencoder(x, 0)
    error, spread = scores(model, x).mean(), x.var(axis=0).mean()
    assert error < 0.05 * spread
    off = np.random.default_rng(9).permuted(x, axis=0)
    assert scores(model, off).mean() > 0.5 * spread


def test_residuals_are_means_over_the_valid_layers() -> None:
    x = together(10, 500)
    for fit in (models.pca, models.autoencoder):
        model = fit(x, 0)
        singly = np.stack([scores(model, x, np.arange(6) == np.full((500, 1), layer)) for layer in range(6)], axis=1)
        valid = np.random.default_rng(11).uniform(size=x.shape) > 0.4
        valid[:, 2] = True
        expected = np.where(valid, singly, 0).sum(axis=1) / valid.sum(axis=1)
        assert_close(scores(model, x, valid), expected, OVERLAY)


@each
def test_cells_off_the_ordinary_score_higher(fit: Callable[[np.ndarray, int], Unusual | Missing]) -> None:
    """Layers that go together, and cells in which they do not: each value is ordinary, their company is not."""
    x = together(12, 3000)
    odd = np.random.default_rng(13).permuted(x[:150], axis=0)
    odd[:, 1] = 1 - odd[:, 0]
    cells = np.concatenate([together(14, 600), odd])
    assert roc_auc_score(np.arange(len(cells)) >= 600, scores(fit(x, 0), cells)) > 0.7


@each
def test_a_handful_of_cells_is_enough(fit: Callable[[np.ndarray, int], Unusual | Missing]) -> None:
    x = np.random.default_rng(15).uniform(size=(12, 3))
    assert np.isfinite(scores(fit(x, 0), x)).all()


def test_only_the_slow_models_leave_cells_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name for name, (_, most) in baselines._ANOMALIES.items() if most} == {"GMM", "dense autoencoder"}
    mu, seen = together(16, 900).astype(np.float32), list[np.ndarray]()

    def fit(x: np.ndarray, seed: int) -> Unusual:
        seen.append(x)
        return lambda cells, _: np.zeros(len(cells))

    monkeypatch.setattr(baselines, "_ANOMALIES", {"GMM": (fit, 300), "PCA": (fit, None)})
    found = baselines.fit_baselines(mu, np.ones(mu.shape, bool), np.ones(6), 5, ["GMM", "PCA"])
    assert [len(x) for x in seen] == [300, 900]
    assert "fitted on 300 of 900 cells" in getattr(found["GMM"], "note", "")
    assert "900" not in getattr(found["PCA"], "note", "900")
    places = [int(np.flatnonzero((mu == row).all(axis=1))[0]) for row in seen[0]]
    assert places == sorted(set(places))
    assert not np.array_equal(models.drawn(mu, 300, 6), models.drawn(mu, 300, 5))


def test_som_is_the_distance_to_the_nearest_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever map the library makes of the sample, by the seed, in one training."""
    calls: list[tuple] = []
    nodes = np.random.default_rng(17).uniform(size=(10, 10, 6))

    class Map:
        def __init__(self, *sides: int, **rest: object) -> None:
            calls.append((*sides, rest["random_seed"]))

        def random_weights_init(self, x: np.ndarray) -> None:
            calls.append(("weights", x.shape))

        def train(self, x: np.ndarray, steps: int, random_order: bool) -> None:
            calls.append(("train", x.shape, steps > 1000, random_order))

        def get_weights(self) -> np.ndarray:
            return nodes

    monkeypatch.setattr(models, "MiniSom", Map)
    x = together(18, 200)
    assert_close(scores(models.som(x, 11), x), cdist(x, nodes.reshape(-1, 6)).min(axis=1), FLOAT64_SUMS)
    assert calls == [(10, 10, 6, 11), ("weights", x.shape), ("train", x.shape, True, True)]


def test_som_of_the_real_library() -> None:
    x = together(19, 2000)
    first, again = (scores(models.som(x, 2), x) for _ in range(2))
    assert_same_bits(first, again)
    assert not np.array_equal(first, scores(models.som(x, 3), x))
    odd = np.array([[1.0, 0.0, 1.0, 0.0, 1.0, 0.0]])
    assert scores(models.som(x, 2), odd)[0] > np.quantile(first, 0.99)
