"""Concentration-area breaks of samples whose breaks are known.

Samples are drawn by inverse CDF from piecewise power laws: S(v) = P(value >= v) falls from 1 at v = 1 with the slope
-D_1 on log-log axes up to the first break, with -D_2 up to the second, and so on. -ln S is exponentially distributed,
and piecewise linear in ln v, so each drawn value is the v at which -ln S(v) reaches an exponential number.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation, norm
from tolerances import FRACTAL_BREAK, FRACTAL_SLOPE, assert_close

from mpmjax.scoring.fractal import CURVE_POINTS, ConcentrationArea, concentration_area, fractal_breaks
from mpmjax.types import Layer

CELLS = 20_000
UNIT = 7.3
"""Values are in some unit: nothing may hang on their being above 1."""

THREE_DIMENSIONS = [
    ([5, 20], [0.4, 1.2, 3.0]),
    ([3, 10], [0.5, 1.5, 0.7]),
    ([4, 30], [1.0, 0.5, 1.5]),
    ([10, 60], [0.3, 0.8, 2.0]),
    ([2, 8], [0.3, 1.0, 2.0]),
]
TWO_DIMENSIONS = [([6], [0.5, 1.5]), ([6], [1.5, 0.6]), ([8], [0.8, 1.6])]


def corners_of(breaks: list[float], dimensions: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """ln v of the smallest value and the breaks, and -ln S there."""
    x = np.log([1.0, *breaks])
    return x, np.concatenate([[0.0], np.cumsum(np.diff(x) * dimensions[:-1])])


def power_law(seed: int, breaks: list[float], dimensions: list[float], cells: int = CELLS) -> np.ndarray:
    fallen = np.random.default_rng(seed).exponential(size=cells)
    x, corners = corners_of(breaks, dimensions)
    piece = np.searchsorted(corners, fallen, side="right") - 1
    return UNIT * np.exp(x[piece] + (fallen - corners[piece]) / np.asarray(dimensions)[piece])


def lognormal(spread: float) -> np.ndarray:
    """Without noise: the quantiles themselves."""
    return np.exp(1.0 + spread * norm.ppf((np.arange(CELLS) + 0.5) / CELLS))


def assert_consistent(found: ConcentrationArea) -> None:
    k = len(found.breaks)
    assert (len(found.slopes), len(found.shares), found.line.shape) == (k + 1, k, (2, k + 2))
    assert (found.slopes < 0).all()
    assert (np.diff(found.breaks) > 0).all()
    assert np.array_equal(found.line[0, 1:-1], found.breaks)
    assert np.diff(np.log(found.line[1])) / np.diff(np.log(found.line[0])) == pytest.approx(found.slopes, rel=1e-9)
    assert 10 < found.curve.shape[1] <= CURVE_POINTS
    assert (np.diff(found.curve[0]) > 0).all()
    assert (np.diff(found.curve[1]) < 0).all()
    assert found.curve[1, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("breaks", "dimensions"), THREE_DIMENSIONS + TWO_DIMENSIONS)
def test_known_breaks_are_found(breaks: list[float], dimensions: list[float], seed: int) -> None:
    values = power_law(seed, breaks, dimensions)
    found = concentration_area(values)
    assert_close(found.breaks, UNIT * np.array(breaks), FRACTAL_BREAK)
    assert_close(found.slopes, -np.array(dimensions), FRACTAL_SLOPE)
    assert found.shares == pytest.approx([(values >= at).mean() for at in found.breaks], abs=1e-12)
    assert found.r2 > 0.99
    assert found.over_lognormal < 0.0
    assert (found.cells, found.left_out) == (CELLS, 0)
    assert_consistent(found)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dimension", [0.5, 1.0, 4.0])
def test_a_power_law_has_no_break(dimension: float, seed: int) -> None:
    found = concentration_area(power_law(seed, [], [dimension]))
    assert found.breaks.size == 0
    assert_close(found.slopes, np.array([-dimension]), FRACTAL_SLOPE)
    assert found.r2 > 0.99
    assert found.over_lognormal < 0.0
    assert_consistent(found)


@pytest.mark.parametrize("spread", [0.3, 1.0, 2.0])
def test_a_lognormal_is_cut_up_and_said_to_be_one(spread: float) -> None:
    """Its curve bends everywhere, ever more steeply; the breaks are where the bend is, and scale with the spread."""
    found = concentration_area(lognormal(spread))
    assert found.breaks.size == 3
    assert (np.diff(found.slopes) < 0).all()
    assert found.over_lognormal > 0.0
    wide = concentration_area(lognormal(2.0 * spread))
    assert np.log(wide.breaks) - 1.0 == pytest.approx(2.0 * (np.log(found.breaks) - 1.0), rel=1e-6)
    assert_consistent(found)


def test_a_lognormal_with_a_detection_limit_is_still_one() -> None:
    values = lognormal(1.0)
    found = concentration_area(np.maximum(values, np.quantile(values, 0.3)))
    assert found.over_lognormal > 0.0
    assert found.line[1, 0] == pytest.approx(0.7, abs=1e-3)
    assert found.curve[1, 0] == 1.0


def test_a_second_population_above_a_lognormal_background() -> None:
    """The tail of a fiftieth of the cells is not lost for the bends of the many ordinary ones."""
    rng = np.random.default_rng(0)
    background, tail = rng.lognormal(0.0, 0.4, CELLS), np.exp(0.9) * (1.0 - rng.uniform(size=CELLS // 50)) ** -1.0
    found = concentration_area(np.concatenate([background, tail]))
    assert found.over_lognormal < 0.0
    assert found.slopes[-1] == pytest.approx(-1.0, rel=0.2)
    assert found.slopes[-2] < -2.0
    assert 0.01 < found.shares[-1] < 0.04


def test_what_is_not_positive_is_left_out_and_counted() -> None:
    values = power_law(3, [5, 20], [0.4, 1.2, 3.0])
    more = np.concatenate([np.zeros(1000), -values[:2000], values])
    found, alone = concentration_area(more), concentration_area(values)
    assert (found.cells, found.left_out) == (CELLS, 3000)
    assert np.array_equal(found.breaks, alone.breaks)
    assert found.r2 == alone.r2


def test_equal_weights_are_no_weights_and_a_weight_of_two_is_two_cells() -> None:
    values = power_law(4, [5, 20], [0.4, 1.2, 3.0])
    plain = concentration_area(values)
    assert concentration_area(values, np.full(CELLS, 0.36)).breaks == pytest.approx(plain.breaks, rel=1e-9)
    twice = np.where(np.arange(CELLS) < CELLS // 2, 2.0, 1.0)
    weighted = concentration_area(values, twice)
    repeated = concentration_area(np.repeat(values, twice.astype(int)))
    assert weighted.breaks == pytest.approx(repeated.breaks, rel=0.01)
    assert weighted.slopes == pytest.approx(repeated.slopes, rel=0.02)
    assert weighted.shares == pytest.approx(repeated.shares, abs=0.01)


def test_units_do_not_matter() -> None:
    values = power_law(5, [3, 10], [0.5, 1.5, 0.7])
    ppm, percent = concentration_area(values), concentration_area(values / 10_000)
    assert percent.breaks * 10_000 == pytest.approx(ppm.breaks, rel=1e-9)
    assert percent.slopes == pytest.approx(ppm.slopes, rel=1e-9)


def test_at_most_so_many_breaks() -> None:
    values = power_law(6, [5, 20], [0.4, 1.2, 3.0])
    assert [concentration_area(values, most=most).breaks.size for most in (0, 1, 2, 3)] == [0, 1, 2, 2]


def test_few_cells_have_few_breaks() -> None:
    """Two pieces of 50 cells have no room in 90."""
    assert concentration_area(power_law(7, [5, 20], [0.4, 1.2, 3.0], 90)).breaks.size == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.linspace(1, 2, 50), "49 values above"),
        (np.repeat([1.0, 2.0, 3.0], 1000), "3 different"),
        (np.linspace(-3, 2, 1000), "600 of 1000 values are 0 or below"),
        (np.zeros(0), "0 values"),
        (np.concatenate([np.full(5000, 0.5), np.linspace(1, 2, 30)]), "30 values above"),
    ],
)
def test_what_has_no_curve(values: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        concentration_area(values)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(0, 0.99), st.floats(1e-9, 30), st.integers(51, 3000))
def test_any_values_have_finite_figures_or_a_reason(
    seed: int, digits: int, limit: float, spread: float, cells: int
) -> None:
    """Rounded, cut off below, hardly different or over hundreds of decades."""
    rng = np.random.default_rng(seed)
    exact = np.exp(spread * rng.standard_normal(cells))
    values = np.array([float(f"{value:.{digits}g}") for value in np.maximum(exact, np.quantile(exact, limit))])
    values[: rng.integers(0, 40)] *= 1e6
    areas = rng.uniform(0.5, 1.0, cells)
    different, counts = np.unique(np.log(values), return_counts=True)
    if len(different) <= 10 or counts[1:].sum() < 50:
        with pytest.raises(ValueError, match="too few"):
            concentration_area(values, areas)
        return
    found = concentration_area(values, areas)
    numbers = [np.ravel(number) for number in vars(found).values()]
    assert np.isfinite(np.concatenate(numbers)).all()
    assert (found.slopes < 0).all()
    assert found.r2 <= 1.0


def test_breaks_of_the_sample_are_plain_numbers() -> None:
    """Anomaly and geochemistry only; missing cells do not count, and a layer without a curve says why."""
    layers = [
        Layer(name, role, Path("x.tif"), 1, "float32")
        for name, role in (("Cu", "geochemistry"), ("faults", "distance"), ("clr", "geochemistry"))
    ]
    copper, surprise = power_law(8, [5, 20], [0.4, 1.2, 3.0]), power_law(9, [6], [0.5, 1.5])
    values = np.stack([copper, copper, np.linspace(-9, 1, CELLS)], axis=1)
    values[:100, 0] = np.nan
    found = fractal_breaks(layers, values, surprise.astype(np.float32))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found["layers"]) == ["Cu", "clr"]
    assert "0 or below" in found["layers"]["clr"]["missing"]
    told = found["layers"]["Cu"]
    assert told["cells"] == CELLS - 100
    assert told["breaks"] == pytest.approx(concentration_area(copper[100:]).breaks, rel=1e-5)
    mad = median_abs_deviation(copper[100:], scale="normal")
    assert told["median_2mad"] == pytest.approx(np.median(copper[100:]) + 2.0 * mad, rel=1e-4)
    assert_close(np.array(found["anomaly"]["breaks"]), UNIT * np.array([6.0]), FRACTAL_BREAK)
