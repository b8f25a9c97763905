"""Robust factors: the planted axis is found among outliers, and does not depend on coordinates or order of parts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import MinCovDet
from tolerances import LOGRATIO, LOGRATIO_BY_ANOTHER, ROBUST_COVARIANCE, assert_close

from mpmjax.errors import DataError
from mpmjax.evidence.geochemistry.compositions import compose
from mpmjax.evidence.geochemistry.factors import Factors, fit_factors, gmpi

PARTS = ("Li", "Be", "Sn", "W", "Ti")
AXIS = np.array([2.0, 1.0, 0.0, -1.0, -2.0]) / np.sqrt(10.0)


def planted(seed: int = 0, rows: int = 400, outliers: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """clr [n, 5]: a strong factor along AXIS, noise, and outliers far off along another axis; and the strength [n]."""
    rng = np.random.default_rng(seed)
    strength = rng.normal(size=rows)
    clr = 3.0 * strength[:, None] * AXIS + 0.2 * rng.normal(size=(rows, 5))
    clr[:outliers] += 40.0 * np.array([1.0, -2.0, 2.0, -2.0, 1.0])
    return clr, strength


def fitted(clr: np.ndarray, parts: tuple[str, ...] = PARTS) -> Factors:
    values = {part: np.exp(clr[:, k]) for k, part in enumerate(parts)}
    return fit_factors(compose(values, parts, "layer 'x'"), "layer 'x'")


def test_the_planted_axis_is_found_among_outliers():
    clr, strength = planted()
    factors = fitted(clr)
    assert abs(factors.loadings[:, 0] @ AXIS) > 0.999
    scores = factors.scores(1, "Li")
    assert np.corrcoef(scores[60:], strength[60:])[0, 1] > 0.99
    assert scores[60:].std() == pytest.approx(1.0, abs=0.1)
    plain = np.linalg.eigh(np.cov(clr.T))[1][:, -1]
    assert abs(plain @ AXIS) < 0.5  # the outliers do turn a plain one


def test_agrees_with_the_covariance_of_the_same_samples():
    """Against scikit-learn in another orthonormal basis, its covariance taken to clr by hand."""
    clr, _ = planted(1, outliers=0)
    clr -= clr.mean(axis=1, keepdims=True)
    factors = fitted(clr)
    pivots = np.array([[0.0] * j + [1.0] + [-1.0 / (4 - j)] * (4 - j) for j in range(4)])
    pivots /= np.linalg.norm(pivots, axis=1, keepdims=True)
    found = MinCovDet(random_state=0).fit(clr @ pivots.T)
    variances, axes = np.linalg.eigh(pivots.T @ found.covariance_ @ pivots)
    assert_close(factors.variances, variances[:0:-1], ROBUST_COVARIANCE)
    expected = (clr - found.location_ @ pivots) @ axes[:, -1] / np.sqrt(variances[-1])
    expected *= np.sign(axes[np.abs(axes[:, -1]).argmax(), -1])
    assert_close(factors.scores(1), expected, ROBUST_COVARIANCE)


def test_loadings_are_orthonormal_clr():
    factors = fitted(planted(2)[0])
    assert_close(factors.loadings.T @ factors.loadings, np.eye(4), LOGRATIO_BY_ANOTHER)
    assert_close(factors.loadings.sum(axis=0), np.zeros(4), LOGRATIO_BY_ANOTHER)
    assert (np.diff(factors.variances) <= 0.0).all()


def test_the_sign_is_that_of_the_part_named():
    factors = fitted(planted(3)[0])
    assert_close(factors.scores(1, "Li"), -factors.scores(1, "Ti"), LOGRATIO)
    lead = PARTS[int(np.abs(factors.loadings[:, 1]).argmax())]
    assert_close(factors.scores(2), factors.scores(2, lead), LOGRATIO)


def test_missing_rows_have_no_score_and_the_same_samples_give_the_same_factors():
    clr, _ = planted(4)
    clr[7, 2] = np.nan
    scores = fitted(clr).scores(1)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [7]
    assert_close(fitted(clr).scores(1), scores, LOGRATIO)


def test_the_index():
    assert_close(
        gmpi(np.array([0.0, np.log(3.0), -800.0, 800.0, np.nan])), np.array([0.5, 0.75, 0, 1, np.nan]), LOGRATIO
    )


def test_refusals():
    clr, _ = planted(5)
    with pytest.raises(DataError, match=r"8 complete samples are too few for factors of 5 parts; more than 8"):
        fitted(clr[:8])
    with pytest.raises(ValueError, match="factor 5 does not exist: 5 parts have 4"):
        fitted(clr).scores(5)
    assert any("samples are few for 5 parts" in note for note in fitted(clr[100:118]).notes)


def test_parts_that_depend_on_each_other_are_told_and_their_last_factor_is_refused():
    clr, _ = planted(6, outliers=0)
    clr[:, 4] = clr[:, 0] + 1.0
    factors = fitted(clr)
    assert any("doubtful" in note for note in factors.notes)
    with pytest.raises(ValueError, match="factor 4 does not vary"):
        factors.scores(4)
