"""The definition of the memberships, against numbers worked by hand and against other people's functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import make_interp_spline
from scipy.special import expit
from scipy.stats import norm

from mpmjax.reference.membership import membership

QUANTILES, LEVELS = np.array([0.0, 1.0, 1.0, 4.0, 10.0]), np.linspace(0.0, 1.0, 5)

KINDS = {
    "linear": ({"lo": 2.0, "hi": 6.0}, "rising"),
    "linear, lo > hi": ({"lo": 6.0, "hi": 2.0}, "falling"),
    "power": ({"lo": 2.0, "hi": 6.0, "exponent": 2.5}, "rising"),
    "large": ({"midpoint": 3.0, "spread": 5.0}, "rising"),
    "small": ({"midpoint": 3.0, "spread": 5.0}, "falling"),
    "gaussian": ({"midpoint": 3.0, "spread": 0.5}, "neither"),
    "near": ({"midpoint": 3.0, "spread": 0.5}, "neither"),
    "ms_large": ({"mean": 3.0, "sd": 1.5, "a": 0.8, "b": 1.2}, "rising"),
    "ms_small": ({"mean": 3.0, "sd": 1.5, "a": 0.8, "b": 1.2}, "falling"),
    "ms_small, ESRI": ({"mean": 3.0, "sd": 1.5, "a": 0.8, "b": 1.2, "esri_compat": 1.0}, "neither"),
    "sigmoid": ({"midpoint": 3.0, "slope": 1.5}, "rising"),
    "sigmoid, slope < 0": ({"midpoint": 3.0, "slope": -1.5}, "falling"),
    "shoulder": ({"alpha": 1.0, "beta": 3.0, "gamma": 7.0}, "falling"),
    "ecdf": ({}, "rising"),
    "category": ({"default": 0.25}, "neither"),
}
EXTREMES = np.array([-1.7e308, -1e38, -(2.0**31), -1.0, -5e-324, 0.0, 5e-324, 1e-38, 3.0, 2.0**31 - 1, 1e38, 1.7e308])


def of(name: str, x: object, **options: object) -> np.ndarray:
    kind, params = name.partition(",")[0], KINDS[name][0]
    knots_x = np.arange(5.0) if kind == "category" else QUANTILES
    return membership(np.asarray(x, float), kind, params, knots_x=knots_x, knots_y=LEVELS, **options)


def one(x: float, kind: str, **params: float) -> float:
    return float(membership(np.array(x), kind, params))


@pytest.mark.parametrize(
    ("kind", "params", "x", "expected"),
    [
        ("linear", {"lo": 2.0, "hi": 6.0}, [1.0, 2.0, 3.0, 6.0, 9.0], [0.0, 0.0, 0.25, 1.0, 1.0]),
        ("linear", {"lo": 6.0, "hi": 2.0}, [1.0, 2.0, 3.0, 6.0, 9.0], [1.0, 1.0, 0.75, 0.0, 0.0]),
        ("power", {"lo": 0.0, "hi": 4.0, "exponent": 2.0}, [-1.0, 1.0, 2.0, 5.0], [0.0, 0.0625, 0.25, 1.0]),
        ("large", {"midpoint": 10.0, "spread": 2.0}, [-5.0, 0.0, 5.0, 10.0, 20.0], [0.0, 0.0, 0.2, 0.5, 0.8]),
        ("small", {"midpoint": 10.0, "spread": 2.0}, [-5.0, 0.0, 5.0, 10.0, 20.0], [1.0, 1.0, 0.8, 0.5, 0.2]),
        ("gaussian", {"midpoint": 1.0, "spread": np.log(2.0)}, [0.0, 1.0, 3.0], [0.5, 1.0, 0.0625]),
        ("near", {"midpoint": 1.0, "spread": 0.25}, [1.0, 3.0, 5.0], [1.0, 0.5, 0.2]),
        ("ms_large", {"mean": 2.0, "sd": 1.0, "a": 1.5, "b": 2.0}, [1.0, 3.0, 5.0, 9.0], [0.0, 0.0, 0.5, 0.75]),
        ("ms_small", {"mean": 2.0, "sd": 1.0, "a": 1.5, "b": 2.0}, [1.0, 3.0, 5.0, 9.0], [1.0, 1.0, 0.5, 0.25]),
        (
            "ms_small",
            {"mean": 2.0, "sd": 1.0, "a": 1.5, "b": 2.0, "esri_compat": 1.0},
            [1.0, 3.0, 5.0, 9.0],
            [0.0, 0.0, 0.5, 0.25],
        ),
        ("sigmoid", {"midpoint": 4.0, "slope": np.log(3.0)}, [3.0, 4.0, 5.0, 6.0], [0.25, 0.5, 0.75, 0.9]),
        (
            "shoulder",
            {"alpha": 1.0, "beta": 3.0, "gamma": 7.0},
            [0.0, 1.0, 2.0, 3.0, 5.0, 8.0],
            [1, 1, 0.75, 0.5, 0.25, 0],
        ),
        ("shoulder", {"alpha": 3.0, "beta": 3.0, "gamma": 7.0}, [2.9, 3.0, 5.0], [1.0, 0.5, 0.25]),
        ("shoulder", {"alpha": 3.0, "beta": 3.0, "gamma": 3.0}, [2.9, 3.0, 3.1], [1.0, 0.5, 0.0]),
    ],
)
def test_numbers_worked_by_hand(kind, params, x, expected):
    np.testing.assert_allclose(membership(np.array(x), kind, params), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("hedge", ["none", "very", "somewhat"])
@pytest.mark.parametrize("complement", [False, True])
def test_stays_in_the_unit_interval_whatever_comes(name, hedge, complement):
    x = np.concatenate([EXTREMES, np.linspace(-20.0, 20.0, 401)])
    mu = of(name, x, hedge=hedge, complement=complement)
    assert mu.dtype == np.float64
    assert mu.shape == x.shape
    assert ((mu >= 0.0) & (mu <= 1.0)).all()
    assert not np.signbit(mu).any()


@pytest.mark.parametrize("name", [name for name, (_, course) in KINDS.items() if course != "neither"])
def test_rises_or_falls_throughout(name):
    mu = of(name, np.sort(np.concatenate([EXTREMES, np.linspace(-20.0, 20.0, 4001)])))
    sign = 1.0 if KINDS[name][1] == "rising" else -1.0
    assert (sign * np.diff(mu) >= -1e-15).all()
    assert abs(mu[0] - mu[-1]) > 0.999


@pytest.mark.parametrize("name", KINDS)
def test_missing_stays_missing_and_shape_is_kept(name):
    x = np.array([[np.nan, 3.0], [np.inf, -np.inf]])
    mu = of(name, x, complement=True, hedge="somewhat")
    assert np.array_equal(np.isnan(mu), ~np.isfinite(x))
    assert of(name, 3.0).shape == ()
    assert of(name, np.empty((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("half_width", [0.1, 2.0, 450.0])
def test_half_width_gives_one_half(half_width):
    for x in (7.0 - half_width, 7.0 + half_width):
        assert one(x, "gaussian", midpoint=7.0, spread=np.log(2.0) / half_width**2) == pytest.approx(0.5, rel=1e-13)
        assert one(x, "near", midpoint=7.0, spread=1.0 / half_width**2) == pytest.approx(0.5, rel=1e-13)


def test_half_at_the_midpoint_exactly():
    for midpoint in (0.3, 7.0, 1e6):
        for kind in ("large", "small"):
            assert one(midpoint, kind, midpoint=midpoint, spread=5.0) == 0.5
        assert one(midpoint, "sigmoid", midpoint=midpoint, slope=3.0) == 0.5
        assert one(midpoint, "shoulder", alpha=midpoint / 2, beta=midpoint, gamma=midpoint * 3) == 0.5


def test_sigmoid_between_percentiles_spans_one_to_ninety_nine_percent():
    sample = np.random.default_rng(1).lognormal(3.0, 1.0, 5000)
    low, high = np.percentile(sample, [1.0, 99.0])
    mu = membership(np.array([low, high]), "sigmoid", {"midpoint": (low + high) / 2, "slope": 9.2 / (high - low)})
    np.testing.assert_allclose(mu, [0.01, 0.99], atol=1e-4)


def test_against_functions_of_scipy():
    x = np.random.default_rng(2).uniform(0.0, 20.0, 1000)
    close = {"rtol": 1e-12, "atol": 0.0}
    sigmoid = membership(x, "sigmoid", {"midpoint": 6.0, "slope": 1.7})
    np.testing.assert_allclose(sigmoid, expit(1.7 * (x - 6.0)), **close)
    large = membership(x, "large", {"midpoint": 6.0, "spread": 3.0})
    np.testing.assert_allclose(large, expit(3.0 * np.log(x / 6.0)), **close)
    small = membership(x, "small", {"midpoint": 6.0, "spread": 3.0})
    np.testing.assert_allclose(small, expit(-3.0 * np.log(x / 6.0)), **close)
    gaussian = membership(x, "gaussian", {"midpoint": 6.0, "spread": 0.08})
    np.testing.assert_allclose(gaussian, norm.pdf(x, 6.0, 2.5) / norm.pdf(6.0, 6.0, 2.5), **close)
    shoulder = membership(x, "shoulder", {"alpha": 2.0, "beta": 5.0, "gamma": 18.0})
    lines = make_interp_spline([2.0, 5.0, 18.0], [1.0, 0.5, 0.0], k=1)
    np.testing.assert_allclose(shoulder, lines(np.clip(x, 2.0, 18.0)), rtol=0, atol=1e-14)


def test_ecdf_is_the_share_of_the_sample_below():
    rng = np.random.default_rng(3)
    sample = np.sort(rng.gamma(2.0, 500.0, 20_000))
    levels = np.linspace(0.0, 1.0, 1024)
    x = rng.gamma(2.0, 500.0, 3000)
    mu = membership(x, "ecdf", {}, knots_x=np.quantile(sample, levels), knots_y=levels)
    share = np.searchsorted(sample, x, side="right") / sample.size
    assert np.abs(mu - share).max() < 1.5 / 1023
    outside = membership(np.array([-1.0, 9.0]), "ecdf", {}, knots_x=np.array([0.0, 5.0]), knots_y=np.array([0.2, 0.7]))
    np.testing.assert_array_equal(outside, [0.2, 0.7])


def test_ecdf_on_a_tie_takes_the_upper_level():
    np.testing.assert_array_equal(of("ecdf", [-1.0, 0.0, 0.5, 1.0, 2.5, 10.0, 11.0]), [0, 0, 0.125, 0.5, 0.625, 1, 1])


def test_ms_small_is_what_ms_large_leaves():
    x = np.linspace(-3.0, 40.0, 500)
    np.testing.assert_allclose(of("ms_small", x), 1.0 - of("ms_large", x), rtol=0, atol=1e-15)


def test_category_takes_listed_codes_exactly_and_leaves_others_missing():
    codes, scores = np.array([30.0, 7.0, -2.0]), np.array([0.2, 1.0, 0.0])
    x = np.array([7.0, 30.0, -2.0, 7.000001, 8.0, np.nan])
    mu = membership(x, "category", {}, knots_x=codes, knots_y=scores)
    np.testing.assert_array_equal(mu, [1.0, 0.2, 0.0, np.nan, np.nan, np.nan])
    mu = membership(x, "category", {"default": 0.5}, knots_x=codes, knots_y=scores, complement=True)
    np.testing.assert_array_equal(mu, [0.0, 0.8, 1.0, 0.5, 0.5, np.nan])


def test_transforms_come_first():
    params = {"lo": -1.0, "hi": 3.0}
    x = np.array([-5.0, 0.0, 0.01, 1.0, 100.0, 1e9])
    mu = membership(x, "linear", params, transform="log", floor=0.1)
    np.testing.assert_allclose(mu, [0.0, 0.0, 0.0, 0.25, 0.75, 1.0], atol=1e-15)
    mu = membership(np.array([-4.0, 0.0, 4.0, 16.0]), "linear", {"lo": 0.0, "hi": 4.0}, transform="sqrt")
    np.testing.assert_array_equal(mu, [0.0, 0.0, 0.5, 1.0])


def test_complement_comes_before_the_hedge():
    x, params = np.array([1.0]), {"lo": 0.0, "hi": 4.0}
    assert membership(x, "linear", params, hedge="very") == 0.0625
    assert membership(x, "linear", params, hedge="somewhat") == 0.5
    assert membership(x, "linear", params, complement=True, hedge="very") == 0.5625


@pytest.mark.parametrize(
    ("kind", "params", "options", "message"),
    [
        ("lineer", {}, {}, "unknown membership 'lineer'"),
        ("linear", {"lo": 1.0}, {}, "linear needs lo, hi; absent: hi"),
        ("linear", {"lo": 1.0, "hi": 1.0}, {}, "apart"),
        ("linear", {"lo": 1.0, "hi": np.nan}, {}, "hi = nan"),
        ("power", {"lo": 1.0, "hi": 2.0, "exponent": 0.0}, {}, "exponent > 0"),
        ("large", {"midpoint": 0.0, "spread": 5.0}, {}, "midpoint and spread > 0"),
        ("small", {"midpoint": 1.0, "spread": -5.0}, {}, "midpoint and spread > 0"),
        ("gaussian", {"midpoint": 1.0, "spread": 0.0}, {}, "spread > 0"),
        ("near", {"midpoint": 1.0, "spread": 0.0}, {}, "spread > 0"),
        ("ms_large", {"mean": 1.0, "sd": 0.0, "a": 1.0, "b": 1.0}, {}, r"b \* sd > 0"),
        ("ms_small", {"mean": 1.0, "sd": 1.0, "a": 1.0, "b": 1.0, "esri_compat": 2.0}, {}, "esri_compat is 0 or 1"),
        ("sigmoid", {"midpoint": 1.0, "slope": 0.0}, {}, "slope"),
        ("shoulder", {"alpha": 2.0, "beta": 1.0, "gamma": 3.0}, {}, "alpha <= beta <= gamma"),
        ("category", {}, {}, "knots_x"),
        ("category", {}, {"knots_x": [1.0, 1.0], "knots_y": [0.1, 0.2]}, "twice"),
        ("category", {}, {"knots_x": [1.0, 2.0], "knots_y": [0.1, 1.2]}, "outside"),
        ("category", {"default": 7.0}, {"knots_x": [1.0], "knots_y": [0.1]}, "default 7"),
        ("category", {}, {"knots_x": [1.0], "knots_y": [0.1], "transform": "sqrt"}, "no transform"),
        ("ecdf", {}, {"knots_x": [2.0, 1.0], "knots_y": [0.0, 1.0]}, "ascending"),
        ("ecdf", {}, {"knots_x": [1.0, np.nan], "knots_y": [0.0, 1.0]}, "not finite"),
        ("ecdf", {}, {"knots_x": [1.0, 2.0], "knots_y": [0.0, 0.5, 1.0]}, "equal length"),
        ("linear", {"lo": 0.0, "hi": 1.0}, {"transform": "ln"}, "unknown transform 'ln'"),
        ("linear", {"lo": 0.0, "hi": 1.0}, {"transform": "log"}, "floor > 0"),
        ("linear", {"lo": 0.0, "hi": 1.0}, {"hedge": "quite"}, "unknown hedge 'quite'"),
    ],
)
def test_refuses_what_means_nothing(kind, params, options, message):
    with pytest.raises(ValueError, match=message):
        membership(np.array([1.0]), kind, params, **options)
