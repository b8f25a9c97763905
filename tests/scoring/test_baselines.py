"""The rivals against closed forms, SciPy and scikit-learn, and what must not change their scores."""

from __future__ import annotations

import dataclasses
import inspect
import math

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from scipy.stats import combine_pvalues, spearmanr
from tolerances import OVERLAY, OVERLAY_FLOAT64_INSIDE, assert_close, assert_same_bits

from mpmjax.scoring import baselines
from mpmjax.scoring.baselines import NAMES, Baseline, Missing, fit_baselines

OVERLAYS = ("typed mean", "gamma", "Fisher", "TOPSIS-M")
ANOMALIES = ("isolation forest", "Mahalanobis", "PCA", "k-means distance", "GMM", "SOM", "dense autoencoder")
RESIDUALS = ("PCA", "dense autoencoder")
ALL = (*OVERLAYS, *ANOMALIES)


def fitted(
    name: str, mu: np.ndarray, valid: np.ndarray | None = None, weights: np.ndarray | None = None, seed: int = 0
) -> Baseline:
    valid = np.ones(mu.shape, bool) if valid is None else valid
    found = fit_baselines(mu, valid, np.ones(mu.shape[1]) if weights is None else weights, seed, [name])[name]
    assert isinstance(found, Baseline)
    return found


def drawn(seed: int, cells: int = 400, layers: int = 6) -> np.ndarray:
    """Memberships float32 of layers that go together by threes."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(cells, 2)) @ np.repeat(np.eye(2), layers // 2, axis=1) + 0.5 * rng.normal(size=(cells, layers))
    return (1 / (1 + np.exp(-z))).astype(np.float32)


def gaps(seed: int, mu: np.ndarray, share: float = 0.2) -> np.ndarray:
    valid = np.random.default_rng([seed, 1]).uniform(size=mu.shape) > share
    valid[:, 0] = True
    return valid


def everywhere(mu: np.ndarray) -> np.ndarray:
    return np.ones(mu.shape, bool)


def test_names_and_no_place_for_a_label() -> None:
    assert ALL == NAMES
    assert list(inspect.signature(fit_baselines).parameters) == ["mu", "valid", "weights", "seed", "names"]
    assert list(inspect.signature(Baseline.score).parameters) == ["self", "mu", "valid"]
    mu = drawn(0)
    found = fit_baselines(mu, everywhere(mu), np.ones(6), 0)
    assert tuple(found) == NAMES
    assert all(found[name].name == name for name in ALL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found["gamma"].note = "better"  # pyright: ignore[reportAttributeAccessIssue]


def test_typed_mean_is_the_weighted_mean_of_directed_valid_layers() -> None:
    mu = drawn(1)
    valid, weights = gaps(1, mu), np.array([1.0, 2.0, 0.0, 0.5, 0.0, 1.0])
    got = fitted("typed mean", mu, valid, weights).score(mu, valid)
    shares = valid * weights
    assert_close(got, (shares * mu.astype(float)).sum(axis=1) / shares.sum(axis=1), OVERLAY_FLOAT64_INSIDE)


def test_gamma_by_hand() -> None:
    mu = np.array([[0.5, 0.5], [1.0, 0.2], [0.9, 0.0], [0.4, 0.7]], np.float32)
    got = fitted("gamma", mu).score(mu, np.array([[True, True]] * 3 + [[False, True]]))
    expected = [0.25**0.1 * 0.75**0.9, 0.2**0.1 * 1.0, 0.0, 0.7]
    assert_close(got, np.array(expected), OVERLAY)
    weighted = fitted("gamma", mu, weights=np.array([1.0, 9.0])).score(mu, everywhere(mu))
    assert_same_bits(weighted, fitted("gamma", mu).score(mu, everywhere(mu)))


def test_fisher_is_that_of_scipy() -> None:
    """On 1,024 different values the frozen ranks are (i - 1) / 1023, and the statistic is -2 sum log p."""
    rng = np.random.default_rng(2)
    mu = np.stack([rng.permutation(np.linspace(0.01, 0.99, 1024)) ** power for power in (1, 2, 0.5)], axis=1)
    got = fitted("Fisher", mu).score(mu, everywhere(mu))
    p = 1.0 - np.minimum(mu.argsort(axis=0).argsort(axis=0) / 1023, 1 - 0.5 / 1024)
    expected = [combine_pvalues(row, method="fisher").statistic / 6 for row in p]
    assert_close(got, np.array(expected), OVERLAY)


def test_fisher_does_not_see_a_monotone_transform_of_a_layer() -> None:
    rng = np.random.default_rng(3)
    mu = rng.permuted(np.tile(np.linspace(0.01, 0.99, 1024), (4, 1)), axis=1).T
    bent = mu ** np.array([1.0, 3.0, 0.2, 1.5])
    bent[:, 3] = bent[:, 3] / 2
    plain = fitted("Fisher", mu).score(mu, everywhere(mu))
    assert_close(fitted("Fisher", bent).score(bent, everywhere(bent)), plain, OVERLAY)


def test_fisher_of_the_best_cell_and_beyond_it_is_finite() -> None:
    mu = drawn(4, 200)
    got = fitted("Fisher", mu).score(np.ones((1, 6), np.float32), np.ones((1, 6), bool))
    assert got[0] == pytest.approx(math.log(2 * 200))


def by_hand_topsis(
    cell: np.ndarray, mu: np.ndarray, there: np.ndarray, weights: np.ndarray, share: float = 0.3
) -> float:
    covariance = np.cov(mu.T.astype(float), bias=True)
    covariance = (1 - share) * covariance + share * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    precision = np.linalg.inv(covariance[np.ix_(there, there)])
    root = np.sqrt(weights[there])
    to_best, to_worst = (
        mahalanobis(root * cell[there], root * end[there], precision) for end in (mu.max(axis=0), mu.min(axis=0))
    )
    return to_worst / (to_worst + to_best)


def test_topsis_from_its_definition() -> None:
    mu, weights = drawn(5), np.array([1.0, 2.0, 0.5, 1.0, 1.0, 3.0])
    cells, valid = mu[:60], gaps(5, mu[:60])
    got = fitted("TOPSIS-M", mu, weights=weights).score(cells, valid)
    expected = [by_hand_topsis(cell, mu, there, weights) for cell, there in zip(cells, valid, strict=True)]
    assert_close(got, np.array(expected), OVERLAY)


def test_topsis_of_its_two_ends() -> None:
    mu = drawn(6)
    ends = np.stack([mu.max(axis=0), mu.min(axis=0)])
    assert fitted("TOPSIS-M", mu).score(ends, everywhere(ends)) == pytest.approx([1.0, 0.0], abs=1e-6)
    flat = np.full((50, 3), 0.4, np.float32)
    flat[:, 2] = np.linspace(0, 1, 50)  # the two directed layers are constant: neither end is nearer
    got = fitted("TOPSIS-M", flat, weights=np.array([1.0, 1.0, 0.0])).score(flat, everywhere(flat))
    assert (got == 0.5).all()


@pytest.mark.parametrize("name", OVERLAYS[:3])
def test_more_of_anything_favourable_is_never_worse(name: str) -> None:
    mu = drawn(16)
    valid, model = gaps(16, mu), fitted(name, mu)
    before = model.score(mu, valid)
    for layer in range(6):
        more = mu.copy()
        more[:, layer] += (1 - more[:, layer]) * 0.3
        after = model.score(more, valid)
        assert (after >= before - 1e-7).all()
        assert (after[valid[:, layer]] > before[valid[:, layer]]).mean() > 0.95


@pytest.mark.parametrize("name", ALL)
def test_undirected_layers_reach_the_anomaly_methods_only(name: str) -> None:
    mu, weights = drawn(17), np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    model = fitted(name, mu, weights=weights)
    other = mu.copy()
    other[:, 5] = 1 - other[:, 5]
    same = model.score(mu, everywhere(mu)) == model.score(other, everywhere(mu))
    assert same.all() if name in OVERLAYS else same.mean() < 0.5
    weighted = fitted(name, mu, weights=np.array([9.0, 1.0, 1.0, 1.0, 1.0, 1.0])).score(mu, everywhere(mu))
    differ = not np.array_equal(weighted, fitted(name, mu).score(mu, everywhere(mu)))
    assert differ == (name in ("typed mean", "Fisher", "TOPSIS-M"))


@pytest.mark.parametrize("name", ANOMALIES)
def test_a_missing_layer_is_seen_as_the_median(name: str) -> None:
    mu = drawn(18)
    valid, there = gaps(18, mu), everywhere(mu)
    model = fitted(name, mu, valid)
    there[:, 2] = False
    complete = np.where(valid, mu, [np.median(mu[valid[:, layer], layer]) for layer in range(6)]).astype(np.float32)
    assert_same_bits(fitted(name, complete).score(mu, everywhere(mu)), model.score(mu, everywhere(mu)))
    filled = mu.copy()
    filled[:, 2] = np.median(mu[valid[:, 2], 2])
    got, seen = model.score(mu, there), model.score(filled, everywhere(mu))
    if name in RESIDUALS:  # there is a residual in five layers, where the filled cell has one in six
        assert (got * 5 <= seen.astype(float) * 6 * (1 + 1e-6)).all()
        assert not np.array_equal(got, seen)
    else:
        assert_same_bits(got, seen)
    assert "median" in model.note


@pytest.mark.parametrize("name", ALL)
def test_what_is_missing_is_not_looked_at(name: str) -> None:
    mu = drawn(19)
    valid = gaps(19, mu)
    junk = np.where(valid, mu, np.float32(np.nan))
    wild = np.where(valid, mu, np.float32(-9999.0))
    before = junk.copy(), valid.copy()
    expected = fitted(name, mu, valid).score(mu, valid)
    for sample, mask in ((wild, valid), (junk, valid), (junk, everywhere(mu))):
        assert_same_bits(fitted(name, sample, mask).score(sample, mask), expected)
    assert np.array_equal(junk, before[0], equal_nan=True)
    assert np.array_equal(valid, before[1])


def test_cells_without_layers() -> None:
    mu = drawn(20)
    weights, there = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]), np.zeros((2, 6), bool)
    there[1, 3] = True  # a layer, but none with a direction
    for name in ALL:
        got = fitted(name, mu, weights=weights).score(mu[:2], there)
        assert got.dtype == np.float32
        assert np.isnan(got[0])
        assert np.isfinite(got[1])
        if name in OVERLAYS:
            assert got[1] == pytest.approx(math.log(2) if name == "Fisher" else 0.5)


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    mu = drawn(21)
    valid = gaps(21, mu)
    scores = [fitted(name, mu, valid, seed=seed).score(mu, valid) for seed in (3, 3, 4)]
    assert_same_bits(scores[0], scores[1])
    if name in ("isolation forest", "SOM", "dense autoencoder"):
        assert not np.array_equal(scores[0], scores[2])
    elif name not in ("GMM", "k-means distance"):
        assert_same_bits(scores[0], scores[2])


@pytest.mark.parametrize("name", ALL)
def test_parts_score_as_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mu = drawn(22)
    valid, model = gaps(22, mu), fitted(name, mu)
    valid[150:190] = False
    whole = model.score(mu, valid)
    monkeypatch.setattr(baselines, "CHUNK", 37)
    assert_close(model.score(mu, valid), whole, OVERLAY_FLOAT64_INSIDE)
    assert model.score(mu[:0], valid[:0]).shape == (0,)


@pytest.mark.parametrize("name", ALL)
def test_order_of_cells_and_layers(name: str) -> None:
    mu, weights = drawn(23), np.array([1.0, 2.0, 1.0, 0.0, 1.0, 0.5])
    valid, rng = gaps(23, mu), np.random.default_rng(24)
    layers, cells = rng.permutation(6), rng.permutation(len(mu))
    base = fitted(name, mu, valid, weights).score(mu, valid)
    turned = fitted(name, mu[:, layers], valid[:, layers], weights[layers]).score(mu[:, layers], valid[:, layers])
    moved = fitted(name, mu[cells], valid[cells], weights).score(mu, valid)
    if name in (*OVERLAYS, "Mahalanobis", "PCA"):
        assert_close(turned, base, OVERLAY)
        assert_close(moved, base, OVERLAY)
    else:  # other random numbers meet other cells: the ranking is much the same
        assert min(spearmanr(turned, base).statistic, spearmanr(moved, base).statistic) > 0.5


@pytest.mark.parametrize("name", ALL)
def test_twins_constants_and_two_layers(name: str) -> None:
    rng = np.random.default_rng(25)
    one = rng.uniform(size=(300, 1)).astype(np.float32)
    awkward = np.concatenate([one, one, np.full_like(one, 0.3), np.round(one), np.zeros_like(one)], axis=1)
    for mu in (awkward, awkward[:, :2], rng.uniform(size=(300, 2)).astype(np.float32)):
        got = fitted(name, mu).score(mu, everywhere(mu))
        assert np.isfinite(got).all()
    assert np.unique(got).size > 250


def test_what_cannot_be_had_says_why() -> None:
    mu = drawn(27)
    missing = fit_baselines(mu, everywhere(mu), np.zeros(6), 0, [*OVERLAYS, "PCA"])
    assert all(isinstance(missing[name], Missing) and "direction" in missing[name].reason for name in OVERLAYS)
    assert isinstance(missing["PCA"], Baseline)
    single = fit_baselines(mu[:, :1], everywhere(mu[:, :1]), np.ones(1), 0, ["PCA", "dense autoencoder", "Mahalanobis"])
    assert [type(model) for model in single.values()] == [Missing, Missing, Baseline]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": np.ones(5)}, "6 finite numbers >= 0"),
        ({"weights": np.array([1, 1, 1, 1, 1, -1.0])}, "6 finite numbers >= 0"),
        ({"weights": np.array([1, 1, 1, 1, 1, np.nan])}, "6 finite numbers >= 0"),
        ({"valid": np.ones((400, 6), np.uint8)}, "valid bool"),
        ({"valid": np.ones((400, 5), bool)}, "must both be"),
        ({"mu": drawn(0)[0], "valid": np.ones(6, bool)}, "must both be"),
        ({"mu": drawn(0) * 2}, r"lie in 0\.\.1, these go from"),
        ({"mu": np.where(drawn(0) > 0.9, np.inf, drawn(0))}, r"lie in 0\.\.1, these go from .* to inf"),
        ({"mu": np.full((400, 6), 0.5)}, "nothing to tell apart"),
        ({"valid": np.arange(6) != np.full((400, 1), 3)}, "layer 4 of 6 has no valid cell"),
        ({"mu": np.zeros((0, 6)), "valid": np.zeros((0, 6), bool)}, "no valid cell"),
        ({"names": ["gamma", "random forest"]}, "unknown baselines 'random forest'"),
    ],
)
def test_samples_that_are_refused(change: dict, said: str) -> None:
    given = {"mu": drawn(0), "valid": np.ones((400, 6), bool), "weights": np.ones(6), "seed": 0, "names": ["gamma"]}
    with pytest.raises(ValueError, match=said):
        fit_baselines(**(given | change))


@pytest.mark.parametrize("name", ["typed mean", "PCA"])
def test_cells_that_are_refused(name: str) -> None:
    mu = drawn(30)
    model = fitted(name, mu)
    with pytest.raises(ValueError, match=f"{name} was fitted on 6 layers, these cells have 5"):
        model.score(mu[:, :5], everywhere(mu[:, :5]))
    with pytest.raises(ValueError, match="these go from"):
        model.score(mu + 1, everywhere(mu))
    with pytest.raises(ValueError, match="valid bool"):
        model.score(mu, np.ones(mu.shape))
