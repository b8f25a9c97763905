"""The rules for limits, negatives and words, and units."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mpmjax.errors import DataError
from mpmjax.evidence.samples.cells import parse_cells
from mpmjax.evidence.samples.rules import Rules
from mpmjax.evidence.samples.units import FACTORS, factor_of
from mpmjax.evidence.samples.values import Settled, settle

NAN = math.nan


def settled(texts: list[str], **rules: object) -> Settled:
    cells = parse_cells(texts, list(range(2, len(texts) + 2)), "Au", "till.csv")
    return settle(cells, "Au", Rules(**rules), "till.csv")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("half", 2.5), ("sqrt2", 5 / math.sqrt(2)), ("limit", 5.0), ("zero", 0.0), ("missing", NAN)],
)
def test_below_the_detection_limit(rule, expected):
    got = settled(["<5", "7"], censored=rule)
    assert got.values == pytest.approx([expected, 7.0], nan_ok=True)
    assert got.censored.tolist() == [rule != "missing", False]
    assert got.limit == 5.0
    assert "1 of 2 values lie below their detection limit (5)" in got.notes[0]


def test_above_the_upper_limit_is_the_limit():
    got = settled([">1000", "7"])
    assert got.values.tolist() == [1000.0, 7.0]
    assert got.censored.tolist() == [True, False]
    assert got.limit is None
    assert "above the upper limit" in got.notes[0]


@pytest.mark.parametrize(
    ("rule", "expected", "censored"),
    [
        ("limit", [2.5, 20.0], [True, False]),
        ("missing", [NAN, 20.0], [False, False]),
        ("keep", [-5.0, 20.0], [False] * 2),
    ],
)
def test_negatives(rule, expected, censored):
    got = settled(["-5", "20"], negative=rule)
    assert got.values == pytest.approx(expected, nan_ok=True)
    assert got.censored.tolist() == censored


def test_a_negative_above_all_that_was_measured_is_no_limit():
    got = settled(["-5", "-88", "20", "<1"], negative="limit")
    assert got.values == pytest.approx([2.5, NAN, 20.0, 0.5], nan_ok=True)
    assert any("-88 to -88" in note and "no detection limit" in note for note in got.notes)


def test_not_detected_takes_the_smallest_limit_or_value():
    assert settled(["BDL", "<5", "<2", "9"]).values.tolist() == [1.0, 2.5, 1.0, 9.0]
    got = settled(["BDL", "3", "0", "9"])
    assert got.values.tolist() == [1.5, 3.0, 0.0, 9.0]
    assert any("taken as below 3, the smallest value measured" in note for note in got.notes)
    assert got.limit is None
    assert settled(["BDL", "0"]).values == pytest.approx([NAN, 0.0], nan_ok=True)


def test_a_missing_value_never_becomes_0():
    for rule in ("half", "zero"):
        assert math.isnan(settled(["", "4"], censored=rule).values[0])


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("ppm", 1), ("PPB", 1e-3), ("%", 1e4), ("mg/kg", 1), ("g/t", 1), ("wt%", 1e4), ("µg/g", 1), (" wt. % ", 1e4)],
)
def test_units(unit, factor):
    got = settled(["<4", "8"], units={"Au": unit})
    assert got.values == pytest.approx([2 * factor, 8 * factor])
    assert got.limit == pytest.approx(4 * factor)


def test_units_agree_with_each_other():
    assert factor_of("ppm", "Au") == 1000 * factor_of("ppb", "Au") == 1e6 * factor_of("ppt", "Au")
    assert factor_of("%", "Au") == 10 * factor_of("g/kg", "Au")
    assert max(FACTORS.values()) == 1e4


def test_what_is_refused():
    with pytest.raises(DataError, match=r"column 'Au': 150 % is more than the whole sample \(1 such values\)"):
        settled(["150", "3"], units={"Au": "%"})
    with pytest.raises(DataError, match="column 'Au' holds no value"):
        settled(["", "n.a."])
    with pytest.raises(ValueError, match="the unit of 'Au' is 'oz'; allowed: mg/kg"):
        Rules(units={"Au": "oz"})
    with pytest.raises(ValueError, match="censored = 'third'; allowed: half, sqrt2, limit, zero, missing"):
        Rules(censored="third")
    with pytest.raises(ValueError, match="duplicates = 'sum'; allowed"):
        Rules(duplicates="sum")


def test_the_cells_are_not_changed():
    cells = parse_cells(["<5", "-3", "BDL"], [2, 3, 4], "Au", "till.csv")
    before = cells.numbers.copy()
    settle(cells, "Au", Rules(negative="limit"), "till.csv")
    assert np.array_equal(cells.numbers, before, equal_nan=True)
