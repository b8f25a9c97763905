"""The definition of the overlays, against numbers worked by hand, exact fractions and the laws they obey."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from mpmjax.reference.overlay import KINDS, overlay


def drawn(seed: int, layers: int = 5, cells: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((layers, cells)), rng.random((layers, cells)) < 0.8


def one(kind: str, *mu: float, **options: object) -> float:
    return float(overlay(np.array(mu).reshape(-1, 1), np.ones((len(mu), 1), bool), kind, **options)[0])


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("and", {}, 0.2),
        ("or", {}, 0.5),
        ("product", {}, 0.1),
        ("sum", {}, 0.6),
        ("gamma", {"gamma": 0.0}, 0.1),
        ("gamma", {"gamma": 0.5}, 0.06**0.5),
        ("gamma", {}, 0.1**0.1 * 0.6**0.9),
        ("gamma", {"gamma": 1.0}, 0.6),
        ("mean", {}, 0.35),
        ("mean", {"weights": np.array([3.0, 1.0])}, 0.275),
    ],
)
def test_numbers_worked_by_hand(kind, options, expected):
    assert one(kind, 0.2, 0.5, **options) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.9, 1.0])
def test_limits_zero_and_one(kind, gamma):
    assert one(kind, 0.0, 0.0, gamma=gamma) == 0.0
    assert one(kind, 1.0, 1.0, gamma=gamma) == 1.0
    unfavourable = one("gamma", 0.0, 0.7, gamma=gamma)
    assert unfavourable == pytest.approx(0.7 if gamma == 1.0 else 0.0)


def test_order_of_the_overlays():
    mu, valid = drawn(1)
    by_kind = {kind: overlay(mu, valid, kind) for kind in KINDS}
    seen = valid.any(axis=0)
    rising = ("product", "and", "mean", "or", "sum")
    for low, high in pairwise(rising):
        assert (by_kind[low][seen] <= by_kind[high][seen] + 1e-15).all(), (low, high)
    assert (by_kind["product"][seen] <= by_kind["gamma"][seen] + 1e-15).all()
    assert (by_kind["gamma"][seen] <= by_kind["sum"][seen] + 1e-15).all()


def test_sum_and_product_are_dual():
    mu, valid = drawn(2)
    np.testing.assert_allclose(overlay(mu, valid, "sum"), 1.0 - overlay(1.0 - mu, valid, "product"), atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_the_layers_does_not_matter(kind):
    mu, valid = drawn(3)
    order = [3, 0, 4, 2, 1]
    np.testing.assert_allclose(overlay(mu[order], valid[order], kind), overlay(mu, valid, kind), rtol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_rises_with_every_membership(kind):
    mu, valid = drawn(4)
    raised = mu.copy()
    raised[2] += 0.5 * (1.0 - mu[2])
    before, after = overlay(mu, valid, kind), overlay(raised, valid, kind)
    assert (after >= before - 1e-15)[valid.any(axis=0)].all()


@pytest.mark.parametrize("kind", KINDS)
def test_missing_is_left_out(kind):
    mu = np.array([[0.3, 0.3, 0.9], [0.6, np.nan, 0.0], [0.0, 0.6, np.nan]])
    valid = np.array([[True, True, False], [True, True, False], [False, True, True]])
    expected = one(kind, 0.3, 0.6)
    np.testing.assert_allclose(overlay(mu, valid, kind), [expected, expected, np.nan], rtol=1e-15)


def test_mean_without_weight_is_missing():
    mu, valid = np.array([[0.3, 0.3], [0.6, 0.6]]), np.array([[True, True], [False, True]])
    np.testing.assert_allclose(overlay(mu, valid, "mean", weights=np.array([0.0, 2.0])), [np.nan, 0.6])


def test_tiny_memberships_by_exact_fractions():
    for mu in ([1e-20, 3e-18], [1e-9] * 42, [1e-3] * 42, [0.999, 0.25, 1e-12]):
        product, rest = Fraction(1), Fraction(1)
        for value in mu:
            product *= Fraction(value)
            rest *= 1 - Fraction(value)
        assert one("sum", *mu) == pytest.approx(float(1 - rest), rel=1e-13)
        assert one("product", *mu) == pytest.approx(float(product), rel=1e-12)


def test_gamma_of_42_low_memberships_does_not_underflow():
    assert one("product", *[1e-8] * 42) == 0.0  # 1e-336 cannot be told from 0 in float64
    low, high = one("gamma", *[1e-8] * 42), one("gamma", *[2e-8] * 42)
    assert low == pytest.approx(10.0**-33.6 * (42e-8) ** 0.9, rel=1e-6)
    assert high > low


def test_keeps_any_shape():
    mu, valid = drawn(5, layers=3, cells=24)
    flat = overlay(mu, valid, "gamma")
    assert np.array_equal(overlay(mu.reshape(3, 4, 6), valid.reshape(3, 4, 6), "gamma"), flat.reshape(4, 6))
    assert overlay(mu[:, :0], valid[:, :0], "and").shape == (0,)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("median", {}, "unknown overlay 'median'"),
        ("gamma", {"gamma": 1.5}, r"gamma must lie in \[0, 1\]"),
        ("gamma", {"gamma": np.nan}, r"gamma must lie in \[0, 1\]"),
        ("mean", {"weights": [1.0, -1.0]}, "2 finite numbers >= 0"),
        ("mean", {"weights": [1.0]}, "2 finite numbers >= 0"),
        ("or", {"weights": [1.0, 1.0]}, "mean only"),
    ],
)
def test_refuses_what_means_nothing(kind, options, message):
    with pytest.raises(ValueError, match=message):
        overlay(np.full((2, 3), 0.5), np.ones((2, 3), bool), kind, **options)


def test_refuses_shapes_that_differ():
    with pytest.raises(ValueError, match="the same"):
        overlay(np.full((2, 3), 0.5), np.ones((2, 4), bool), "and")
    with pytest.raises(ValueError, match="at least one layer"):
        overlay(np.empty((0, 3)), np.empty((0, 3), bool), "and")
