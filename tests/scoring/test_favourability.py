"""Memberships fitted to a sample: typed defaults, numbers left open, numbers stated, and what is refused."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.stats import rankdata
from tolerances import FLOAT64_SUMS, assert_close

from mpmjax.errors import DataError
from mpmjax.project_membership import MembershipSpec
from mpmjax.reference.membership import membership
from mpmjax.scoring.favourability import QUANTILES, ecdf_knots, fit_membership, transformed
from mpmjax.types import Layer, Membership

SPEC = TypeAdapter(MembershipSpec)
LEVEL = 1.0 / (QUANTILES - 1)
"""Distance of two levels of a frozen ecdf."""


def layer_of(role: str = "index", direction: int = 1) -> Layer:
    return Layer("copper", role, Path("cu.tif"), 1, "float32", direction=direction, source="cu_ppm.tif")


def apply(fitted: Membership, values: Any) -> np.ndarray:
    return membership(np.asarray(values, np.float64), **fitted.arguments())


def fit(values: Any, spec: dict[str, Any] | None = None, *, transform: str = "none", **layer: Any) -> Membership:
    stated = None if spec is None else SPEC.validate_python(spec)
    return fit_membership(np.asarray(values, np.float64), layer_of(**layer), stated, transform)


def refused(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(DataError) as caught:
        fit(*args, **kwargs)
    message = str(caught.value)
    assert "'copper'" in message
    assert "cu_ppm.tif" in message
    return message


def skewed(n: int = 5000, seed: int = 0) -> np.ndarray:
    """Concentrations: positive, over three decades."""
    return np.exp(np.random.default_rng(seed).normal(3.0, 1.2, n))


# Typed defaults


@pytest.mark.parametrize("role", ["geochemistry", "geophysics", "index", "density"])
@pytest.mark.parametrize("transform", ["none", "log", "sqrt"])
def test_typed_sigmoid_is_001_at_p1_and_099_at_p99(role: str, transform: str) -> None:
    values = skewed()
    # P1 and P99 of the transformed values: no quantile lies on a cell, and a logarithm does not commute with that.
    p1, p99 = np.percentile(transformed(values, transform, values.min() / 2), (1, 99))
    undo = {"none": lambda x: x, "log": lambda x: 10**x, "sqrt": np.square}[transform]
    up, unstated = (fit(values, role=role, transform=transform, direction=d) for d in (1, 0))
    assert apply(up, undo(np.array([p1, (p1 + p99) / 2, p99]))) == pytest.approx([0.00995, 0.5, 0.99005], abs=1e-5)
    assert (np.diff(apply(up, np.sort(values))) >= 0).all()
    down = fit(values, role=role, transform=transform, direction=-1)
    assert_close(apply(down, values), 1 - apply(up, values), FLOAT64_SUMS)
    assert_close(apply(unstated, values), apply(up, values), FLOAT64_SUMS)


@pytest.mark.parametrize("direction", [1, -1])
def test_typed_distance_is_the_midrank(direction: int) -> None:
    values = np.random.default_rng(1).gamma(1.5, 900.0, 20_000)
    got = apply(fit(values, role="distance", direction=direction), values)
    ranks = (rankdata(values) - 0.5) / values.size
    assert np.abs(got - (ranks if direction > 0 else 1 - ranks)).max() < 1.5 * LEVEL


@pytest.mark.parametrize("step", [1.0, 50.0, 400.0, 3000.0])
def test_ties_share_the_middle_of_their_ranks(step: float) -> None:
    """Distances on a coarse grid, cells on a fault all 0: SciPy's midranks, to the width of the frozen levels."""
    values = np.floor(np.random.default_rng(2).gamma(1.0, 900.0, 20_000) / step) * step
    values[:6000] = 0.0
    ranks = (rankdata(values) - 0.5) / values.size
    got = np.interp(values, *ecdf_knots(values))
    _, which, cells = np.unique(values, return_inverse=True, return_counts=True)
    common = cells[which] > (2 * LEVEL * values.size if step == 3000.0 else 0)
    assert np.abs(got - ranks)[common].max() < 1.5 * LEVEL
    # A value rarer than a level may fall between two ties without a quantile of its own: in order all the same.
    assert (np.diff(got[np.argsort(values)]) >= 0).all()


FLOATS = st.floats(-1e6, 1e6).filter(lambda value: value == 0.0 or abs(value) > 1e-290)
"""Neighbours lie at least 1e-306 apart: the slope over less overflows, in NumPy's interpolation as anywhere."""


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, 1e-300, 1e300, -5.5]) | FLOATS, min_size=1, max_size=60),
    st.sampled_from([2, 7, QUANTILES]),
)
def test_ecdf_knots_can_be_interpolated(values: list[float], quantiles: int) -> None:
    array = np.array(values)
    x, y = ecdf_knots(array, quantiles)
    assert len(x) == len(y) >= 2
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) >= 0).all()
    assert (y >= 0).all()
    assert (y <= 1).all()
    ranks = np.interp(np.sort(array), x, y)
    assert (np.diff(ranks) >= 0).all()
    turned_x, turned_y = ecdf_knots(-array, quantiles)
    # The rank of -x is 1 - the rank of x, as far as the quantiles' own rounding goes.
    if len(x) == len(turned_x) and np.array_equal(x, -turned_x[::-1]):
        assert_close(y, 1 - turned_y[::-1], FLOAT64_SUMS)


def test_ecdf_of_a_constant_is_the_middle() -> None:
    for value in (0.0, 3.0, -1e6):
        x, y = ecdf_knots(np.full(100, value))
        assert np.interp([value - 1, value, value + 1], x, y).tolist() == [0.5, 0.5, 0.5]


def test_ecdf_of_distinct_values_runs_from_0_to_1() -> None:
    values = np.random.default_rng(3).normal(size=QUANTILES)
    x, y = ecdf_knots(values)
    assert_close(x, np.sort(values), FLOAT64_SUMS)
    assert_close(np.interp(values, x, y), (rankdata(values) - 1) * LEVEL, FLOAT64_SUMS)


@pytest.mark.parametrize("direction", [1, -1, 0])
def test_typed_membership_is_itself(direction: int) -> None:
    values = np.linspace(0, 1, 101)
    got = apply(fit(values, role="membership", direction=direction), values)
    assert_close(got, 1 - values if direction < 0 else values, FLOAT64_SUMS)


def test_a_membership_outside_0_to_1_is_refused() -> None:
    message = refused([0.1, 0.5, 87.0], role="membership")
    assert "0.1 to 87" in message
    refused([-0.01, 0.5], role="membership")
    fit([-1e-7, 1 + 1e-7], role="membership")  # rounding of whoever made it


# The logarithm's floor


def test_log_floor_is_half_the_smallest_positive_value() -> None:
    values = np.concatenate([skewed(), [0.0, -3.0, 0.02, np.nan]])
    fitted = fit(values, transform="log")
    assert fitted.floor == 0.01
    assert len(set(apply(fitted, [0.0, -3.0, 1e-9, 0.01]).tolist())) == 1
    assert apply(fitted, [0.02]) > apply(fitted, [0.01])
    assert np.isfinite(apply(fitted, values[:-1])).all()


def test_log_of_nothing_positive_is_refused() -> None:
    assert "positive" in refused([0.0, -1.0, -5.0], transform="log")


def test_sqrt_of_negative_values_is_0() -> None:
    fitted = fit([-9.0, -1.0, 0.0, 4.0, 16.0, 100.0], {"kind": "linear", "lo": 0, "hi": 16}, transform="sqrt")
    assert apply(fitted, [-9.0, 0.0, 4.0, 16.0]).tolist() == [0.0, 0.0, 0.5, 1.0]


# What a sample cannot give


def test_nothing_at_all_is_refused() -> None:
    for transform, spec in itertools.product(("none", "log"), (None, {"kind": "ecdf"}, {"kind": "linear"})):
        assert "no data" in refused([np.nan, np.inf], spec, transform=transform)


def test_p1_equal_to_p99_is_refused() -> None:
    """A layer that is 99 % one value: no slope, whatever the rest; the value and what to do are said."""
    values = np.concatenate([np.full(990, 7.0), skewed(10)])
    message = refused(values)
    assert "99% of the sample is the one value 7" in message
    assert "linear" in message
    refused(values, {"kind": "sigmoid"})
    refused(values, {"kind": "sigmoid", "midpoint": 8.0})
    refused(values, {"kind": "sigmoid", "slope": 1.0})
    assert fit(values, {"kind": "sigmoid", "midpoint": 8.0, "slope": 1.0}).params == {"midpoint": 8.0, "slope": 1.0}
    assert "lo and hi come out equal (7)" in refused(values, {"kind": "linear"})
    assert "come out equal" in refused(values, {"kind": "power", "lo": 7.0})
    assert apply(fit(values, {"kind": "linear", "lo": 0.0}), [3.5]) == [0.5]
    fit(values, role="distance")  # ranks need no slope


@pytest.mark.parametrize("kind", ["ms_large", "ms_small"])
@pytest.mark.parametrize("transform", ["none", "sqrt"])
def test_ms_needs_values_that_differ(kind: str, transform: str) -> None:
    """With sqrt they may all be 0 though the layer is not constant."""
    values = [-4.0, -2.0, -1.0] if transform == "sqrt" else [3.0] * 5
    assert "differ" in refused(values, {"kind": kind}, transform=transform)


def test_large_needs_a_positive_midpoint() -> None:
    assert "median is -1" in refused([-3.0, -1.0, 2.0], {"kind": "large"})
    assert "median is 0" in refused([0.0, 0.0, 2.0], {"kind": "small"})
    assert fit([0.0, 0.0, 2.0], {"kind": "small", "midpoint": 1.5}).params["midpoint"] == 1.5


@pytest.mark.parametrize(
    ("spec", "direction"),
    [
        ({"lo": 150.0}, 1),
        ({"hi": -20.0}, 1),
        ({"lo": -20.0}, -1),
        ({"hi": 150.0}, -1),
    ],
)
def test_half_a_ramp_against_the_direction_is_refused(spec: dict[str, float], direction: int) -> None:
    """lo = 150 with P99 = 99 would fall where the layer is said to rise: a wrong map, not a preference."""
    values = np.linspace(0, 100, 1001)
    for kind in ("linear", "power"):
        assert "direction" in refused(values, {"kind": kind, **spec}, direction=direction)


# Explicit kinds


def test_open_ends_of_a_ramp_follow_the_direction() -> None:
    values = np.linspace(0, 100, 1001)
    assert apply(fit(values, {"kind": "linear"}), [1.0, 50.0, 99.0]) == pytest.approx([0.0, 0.5, 1.0])
    assert apply(fit(values, {"kind": "linear"}, direction=-1), [1.0, 50.0, 99.0]) == pytest.approx([1.0, 0.5, 0.0])
    assert apply(fit(values, {"kind": "linear", "lo": 49.0}), [49.0, 74.0, 99.0]) == pytest.approx([0.0, 0.5, 1.0])
    half = fit(values, {"kind": "power", "hi": 51.0, "exponent": 3.0}, direction=-1)
    assert apply(half, [99.0, 75.0, 51.0]) == pytest.approx([0.0, 0.125, 1.0])
    both = fit(values, {"kind": "linear", "lo": 80.0, "hi": 20.0}, direction=1)  # both stated: the user's word
    assert apply(both, [80.0, 20.0]).tolist() == [0.0, 1.0]


BREAKPOINTS: list[tuple[dict[str, Any], dict[float, float]]] = [
    ({"kind": "linear", "lo": 4.0, "hi": 100.0}, {4.0: 0.0, 100.0: 1.0}),
    ({"kind": "power", "lo": 4.0, "hi": 100.0, "exponent": 2.0}, {4.0: 0.0, 100.0: 1.0}),
    ({"kind": "large", "midpoint": 25.0}, {25.0: 0.5}),
    ({"kind": "small", "midpoint": 25.0, "spread": 2.0}, {25.0: 0.5}),
    ({"kind": "gaussian", "midpoint": 25.0, "half_width": 11.0}, {25.0: 1.0, 36.0: 0.5}),
    ({"kind": "near", "midpoint": 25.0, "half_width": 11.0}, {25.0: 1.0, 36.0: 0.5}),
    ({"kind": "gaussian", "midpoint": 25.0, "spread": 0.3}, {25.0: 1.0}),
    ({"kind": "sigmoid", "midpoint": 25.0, "slope": 0.7}, {25.0: 0.5}),
    ({"kind": "shoulder", "alpha": 4.0, "beta": 25.0, "gamma": 100.0}, {4.0: 1.0, 25.0: 0.5, 100.0: 0.0}),
]


@pytest.mark.parametrize("transform", ["none", "log", "sqrt"])
@pytest.mark.parametrize(("spec", "expected"), BREAKPOINTS, ids=[spec["kind"] for spec, _ in BREAKPOINTS])
def test_breakpoints_are_in_the_units_of_the_source(
    transform: str, spec: dict[str, Any], expected: dict[float, float]
) -> None:
    fitted = fit(skewed(), spec, transform=transform)
    assert apply(fitted, list(expected)) == pytest.approx(list(expected.values()), abs=1e-12)
    if spec["kind"] in ("large", "small"):  # functions of a ratio: they take the values as they are
        assert fitted.transform == "none"


@pytest.mark.parametrize("kind", ["gaussian", "near"])
@pytest.mark.parametrize("transform", ["none", "log", "sqrt"])
def test_half_width_below_the_midpoint(kind: str, transform: str) -> None:
    """Half at the same distance in the units in which the bell is symmetric."""
    fitted = fit(skewed(), {"kind": kind, "midpoint": 25.0, "half_width": 11.0}, transform=transform)
    below = {"none": 14.0, "log": 25.0**2 / 36.0, "sqrt": 16.0}[transform]
    assert apply(fitted, [below]) == pytest.approx([0.5], abs=1e-12)


def test_half_width_that_the_transform_swallows_is_refused() -> None:
    assert "half_width" in refused(skewed(), {"kind": "near", "midpoint": -9.0, "half_width": 2.0}, transform="sqrt")


@pytest.mark.parametrize("transform", ["none", "log", "sqrt"])
def test_ms_takes_mean_and_deviation_of_transformed_values(transform: str) -> None:
    values = skewed()
    shaped = transformed(values, transform, values.min() / 2)
    fitted = fit(values, {"kind": "ms_large", "a": 1.1, "b": 0.7}, transform=transform)
    assert fitted.params["mean"] == pytest.approx(shaped.mean())
    assert fitted.params["sd"] == pytest.approx(shaped.std())
    assert (fitted.params["a"], fitted.params["b"]) == (1.1, 0.7)
    small = fit(values, {"kind": "ms_small", "esri_compat": True}, transform=transform)
    assert apply(small, [values.min()]) == [0.0]
    assert apply(fit(values, {"kind": "ms_small"}, transform=transform), [values.min()]) == [1.0]


def test_large_by_default_is_half_at_the_median() -> None:
    values = skewed()
    assert apply(fit(values, {"kind": "large"}), [np.median(values)]) == pytest.approx([0.5])


@pytest.mark.parametrize("kind", ["sigmoid", "ecdf"])
def test_decreasing_goes_before_the_direction(kind: str) -> None:
    values = skewed()
    up = apply(fit(values, {"kind": kind}), values)
    for direction, decreasing, falls in ((-1, None, True), (1, True, True), (-1, False, False), (-1, True, True)):
        got = apply(fit(values, {"kind": kind, "decreasing": decreasing}, direction=direction), values)
        assert_close(got, 1 - up if falls else up, FLOAT64_SUMS)


def test_category_table() -> None:
    scores = {"7": 0.9, "1": 0.2, "3.0": 0.5}
    fitted = fit([1.0, 3.0, 7.0, 9.0], {"kind": "category", "scores": scores}, role="category")
    assert apply(fitted, [7.0, 1.0, 3.0]).tolist() == [0.9, 0.2, 0.5]
    assert np.isnan(apply(fitted, [9.0, 2.0])).all()  # unlisted: missing, never guessed
    spare = fit([1.0], {"kind": "category", "scores": scores, "default": 0.1}, role="category")
    assert apply(spare, [9.0, 7.0]).tolist() == [0.1, 0.9]


def fit_classes(scores: dict[str, float], codes: dict[str, tuple[float, ...]], **layer: Any) -> Membership:
    named = dataclasses.replace(layer_of(role="category"), codes=codes, **layer)
    return fit_membership(np.array([1.0, 2.0]), named, SPEC.validate_python({"kind": "category", "scores": scores}))


LITHOLOGY = {"Granite": (1.0, 7.0), "Shale": (2.0,), "3": (4.0,)}


def test_named_classes_give_their_score_to_all_their_codes() -> None:
    fitted = fit_classes({"Granite": 0.9, "Shale": 0.1, "5": 0.4, "3": 0.6}, LITHOLOGY)
    assert apply(fitted, [1.0, 7.0, 2.0, 5.0]).tolist() == [0.9, 0.9, 0.1, 0.4]
    assert apply(fitted, [4.0]).tolist() == [0.6], "a name that looks like a number is a name where the table has it"
    assert np.isnan(apply(fitted, [3.0, 9.0])).all()
    assert np.isnan(apply(fit_classes({"Shale": 0.1}, LITHOLOGY), [1.0, 7.0])).all(), "unlisted names are missing"


def test_codes_of_a_table_are_raw_and_the_sample_is_scaled() -> None:
    fitted = fit_classes({"Granite": 0.9}, LITHOLOGY, scale=0.1, offset=2.0)
    assert apply(fitted, [1.0 * np.float64(0.1) + 2.0, 7.0 * np.float64(0.1) + 2.0]).tolist() == [0.9, 0.9]
    assert np.isnan(apply(fitted, [1.0, 7.0])).all()


def test_a_name_that_no_class_has() -> None:
    with pytest.raises(DataError) as seen:
        fit_classes({"Granit": 0.9, "Shale": 0.1, "Gneiss": 0.3}, LITHOLOGY)
    assert "layer 'copper' (cu_ppm.tif): scores name 'Granit', 'Gneiss', which is no class" in str(seen.value)
    assert "Its classes are 'Granite', 'Shale', '3'." in str(seen.value)
    with pytest.raises(DataError, match=r"'c0', 'c1'.*'c19' and 5 more"):
        fit_classes({"Granite": 0.9}, {f"c{i}": (float(i),) for i in range(25)})
    with pytest.raises(DataError, match="classes are none: its classes are numbers"):
        fit_classes({"Granite": 0.9}, {})


def test_a_code_and_its_name_must_agree() -> None:
    with pytest.raises(DataError, match=r"scores give 'Granite' 0.9 and '7' 0.2, and both mean the class of code 7"):
        fit_classes({"Granite": 0.9, "7": 0.2}, LITHOLOGY)
    assert apply(fit_classes({"Granite": 0.9, "7": 0.9}, LITHOLOGY), [1.0, 7.0]).tolist() == [0.9, 0.9]


@pytest.mark.parametrize("hedge", ["none", "very", "somewhat"])
def test_hedge_is_handed_on(hedge: str) -> None:
    fitted = fit(skewed(), {"kind": "shoulder", "alpha": 1, "beta": 20, "gamma": 50, "hedge": hedge})
    assert apply(fitted, [20.0]) == pytest.approx([{"none": 0.5, "very": 0.25, "somewhat": 0.5**0.5}[hedge]])


@pytest.mark.parametrize(
    "spec",
    [None, {"kind": "linear"}, {"kind": "ms_large"}, {"kind": "large"}, {"kind": "ecdf"}, {"kind": "sigmoid"}],
    ids=lambda spec: "typed" if spec is None else spec["kind"],
)
def test_missing_values_do_not_count(spec: dict[str, Any] | None) -> None:
    values = skewed()
    with_gaps = np.full(3 * values.size, np.nan)
    with_gaps[::3] = values
    with_gaps[1::300] = np.inf
    clean, dirty = fit(values, spec, transform="log"), fit(with_gaps, spec, transform="log")
    assert_close(apply(dirty, values), apply(clean, values), FLOAT64_SUMS)
    assert np.isnan(apply(dirty, [np.nan, np.inf, -np.inf])).all()
