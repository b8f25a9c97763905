"""Settings of a gridding speak when they are made."""

from __future__ import annotations

import dataclasses

import pytest

from mpmjax.evidence.gridding.methods import FEWEST, METHODS, Gridding, Variogram


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_defaults_and_a_least_number_of_samples(method: str) -> None:
    gridding = Gridding(method)
    assert (gridding.neighbours, gridding.power, gridding.what) == (12, 2.0, "value")
    assert FEWEST[method] >= 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        gridding.power = 3.0  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "spline"}, "method = 'spline'; allowed are idw, linear, natural, rbf, kriging"),
        ({"method": "kriging", "what": "sd"}, "what = 'sd'; allowed are value, variance"),
        ({"method": "idw", "neighbours": 0}, "neighbours = 0; 1 to 256"),
        ({"method": "idw", "neighbours": 257}, "neighbours = 257"),
        ({"method": "rbf", "neighbours": 2}, "neighbours = 2; 3 to 256"),
        ({"method": "idw", "power": 0.0}, "power = 0.0"),
        ({"method": "idw", "radius": float("nan")}, "radius = nan"),
        ({"method": "idw", "support": float("inf")}, "support = inf"),
        ({"method": "natural", "radius": 5.0}, "radius is for idw, rbf, kriging"),
        ({"method": "idw", "what": "variance"}, 'what = "variance" is for method = "kriging" only'),
        ({"method": "rbf", "variogram": Variogram()}, "variogram is for"),
    ],
)
def test_settings_that_are_none(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Gridding(**settings)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (("cubic", None, None, None), "model = 'cubic'"),
        (("spherical", 0.1, None, None), "leave out all numbers"),
        ((None, 0.1, 1.0, 100.0), "leave out all numbers"),
        (("spherical", 2.0, 1.0, 100.0), "the sill includes the nugget"),
        (("spherical", -0.1, 1.0, 100.0), "0 <= nugget"),
        (("spherical", 0.0, 0.0, 100.0), "sill > 0"),
        (("spherical", 0.0, 1.0, 0.0), "range > 0"),
        (("spherical", 0.0, 1.0, float("nan")), "range > 0"),
    ],
)
def test_variograms_that_are_none(numbers: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Variogram(*numbers)


def test_what_is_stated_is_not_fitted() -> None:
    assert Variogram().fitted
    assert Variogram("gaussian").fitted
    assert not Variogram("gaussian", 0.0, 1.0, 5.0).fitted
