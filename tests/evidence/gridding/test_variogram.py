"""Variograms: the empirical one pair by pair, and models found again in fields that were made by them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.distance import pdist
from tolerances import FLOAT64_SUMS, VARIOGRAM_FIT, Tolerance, assert_close

from mpmjax.errors import DataError
from mpmjax.evidence.gridding import variogram as module
from mpmjax.evidence.gridding.variogram import LAGS, REACH, empirical, fit_variogram
from mpmjax.reference.gridding import variogram as gamma

COUNT = 1_000
SIDE = 20_000.0


def field(model: str, seed: int, nugget: float = 0.3, sill: float = 2.0, reach: float = 4_000.0) -> tuple:
    """A Gaussian field of a variogram at COUNT random places."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, SIDE, (2, COUNT))
    covariance = sill - gamma(np.hypot(x[:, None] - x, y[:, None] - y), model, nugget, sill, reach)
    return x, y, np.linalg.cholesky(covariance + 1e-9 * np.eye(COUNT)) @ rng.standard_normal(COUNT)


def test_the_empirical_variogram_is_that_of_all_pairs() -> None:
    x, y, values = field("spherical", 1)
    lags = empirical(x, y, values)
    away = pdist(np.stack((x, y), axis=1))
    half = pdist(values[:, None]) ** 2 / 2
    edges = np.linspace(0, REACH * np.hypot(np.ptp(x), np.ptp(y)), LAGS + 1)
    which = np.digitize(away, edges) - 1
    inside = which < LAGS
    pairs = np.bincount(which[inside], minlength=LAGS)
    assert lags.pairs.tolist() == pairs.tolist()
    assert_close(lags.distance, np.bincount(which[inside], away[inside]) / pairs, FLOAT64_SUMS)
    assert_close(lags.gamma, np.bincount(which[inside], half[inside]) / pairs, FLOAT64_SUMS)


@pytest.mark.parametrize("model", ["spherical", "exponential", "gaussian"])
def test_a_fit_finds_what_was_put_in(model: str) -> None:
    """In the mean of 20 fields; one by one they scatter."""
    found = [fit_variogram(*field(model, seed), "layer 'x'", model)[0] for seed in range(20)]
    numbers = np.array([(fit.sill, fit.range) for fit in found])
    assert all(fit.model == model for fit in found)
    assert_close(np.median(numbers, axis=0), np.array((2.0, 4_000.0)), VARIOGRAM_FIT)
    assert 0.1 < np.median([fit.nugget for fit in found]) < 0.5


def test_no_other_numbers_fit_better() -> None:
    """Cressie's sum of squares written out, and another optimiser from many starts."""
    x, y, values = field("spherical", 7)
    lags = empirical(x, y, values)
    fit, _ = fit_variogram(x, y, values, "layer 'x'", "spherical")

    def cost(numbers: np.ndarray) -> float:
        modelled = gamma(lags.distance, "spherical", numbers[0], numbers[0] + numbers[1], numbers[2])
        return float((lags.pairs * (lags.gamma / modelled - 1.0) ** 2).sum())

    ours = cost(np.array((fit.nugget, fit.sill - fit.nugget, fit.range)))
    bounds = [(0.0, 5.0), (1e-3, 5.0), (100.0, SIDE)]
    starts = [(nugget, 1.0, reach) for nugget in (0.1, 1.0) for reach in (1e3, 5e3, 9e3)]
    others = [minimize(cost, start, method="L-BFGS-B", bounds=bounds).fun for start in starts]
    assert ours <= min(others) * (1 + 1e-6)


def test_the_best_model_is_taken_and_told() -> None:
    x, y, values = field("gaussian", 3, nugget=0.01)
    best, notes = fit_variogram(x, y, values, "layer 'x'")
    assert best.model == "gaussian"
    assert notes[0].startswith("layer 'x': gaussian variogram fitted to ")
    assert f"nugget {best.nugget:.4g}, sill {best.sill:.4g} (with the nugget), range {best.range:.0f} m" in notes[0]
    assert len(notes) == 1


def test_scale_and_units_do_not_matter() -> None:
    x, y, values = field("exponential", 4)
    one, _ = fit_variogram(x, y, values, "x", "exponential")
    other, _ = fit_variogram(x * 1e-3 + 7e6, y * 1e-3, values * 1e4 + 5e5, "x", "exponential")
    numbers = [(fit.nugget, fit.sill, fit.range) for fit in (one, other)]
    scaled = np.array(numbers[1]) / (1e8, 1e8, 1e-3)
    assert_close(scaled, np.array(numbers[0]), Tolerance(1e-4, 1e-3, "where an optimiser stops; sums of 1e11"))


def test_doubts_are_told() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, SIDE, (2, 500))
    _, notes = fit_variogram(x, y, rng.standard_normal(500), "layer 'x'", "spherical")
    assert any("mostly nugget" in note for note in notes)
    _, notes = fit_variogram(x, y, 1e-3 * x + 0.01 * rng.standard_normal(500), "layer 'x'", "gaussian")
    assert any("have a trend" in note for note in notes)


def test_many_samples_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, values = field("spherical", 5)
    monkeypatch.setattr(module, "MOST", 300)
    lags = empirical(x, y, values)
    taken = np.linspace(0, COUNT - 1, 300).astype(int)
    assert (
        lags.pairs.sum()
        == (pdist(np.stack((x, y), axis=1)[taken]) < REACH * np.hypot(np.ptp(x[taken]), np.ptp(y[taken]))).sum()
    )


def test_refused() -> None:
    x, y, values = field("spherical", 6)
    with pytest.raises(DataError, match="layer 'x': a variogram cannot be fitted to 9 samples"):
        fit_variogram(x[:9], y[:9], values[:9], "layer 'x'")
    with pytest.raises(DataError, match="all 1000 samples have the value 3"):
        fit_variogram(x, y, np.full(COUNT, 3.0), "layer 'x'")
    clusters = np.repeat([0.0, 1e5], 6), np.zeros(12) + np.arange(12) * 1e-3
    with pytest.raises(DataError, match="classes of distance hold"):
        fit_variogram(*clusters, np.arange(12.0), "layer 'x'")
