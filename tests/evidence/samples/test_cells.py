"""Cells as laboratories write them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpmjax.errors import DataError
from mpmjax.evidence.samples.cells import (
    ABOVE,
    BELOW,
    MEASURED,
    MISSING,
    UNDETECTED,
    has_decimal_commas,
    numeric_cells,
    parse_cells,
)


def one(text: str, **options: bool) -> tuple[float, int]:
    cells = parse_cells([text], [7], "Au", "till.csv", **options)
    return float(cells.numbers[0]), int(cells.kinds[0])


@pytest.mark.parametrize(
    ("text", "number", "kind"),
    [
        ("12.5", 12.5, MEASURED),
        (" 1e-3 ", 1e-3, MEASURED),
        ("0", 0.0, MEASURED),
        ("-5", -5.0, MEASURED),
        ("<5", 5.0, BELOW),
        ("< 0.5", 0.5, BELOW),
        ("<=1", 1.0, BELOW),
        ("≤ .5", 0.5, BELOW),
        (">1000", 1000.0, ABOVE),
        ("> 1e4", 1e4, ABOVE),
        ("≥10", 10.0, ABOVE),
    ],
)
def test_numbers_and_limits(text, number, kind):
    assert one(text) == (number, kind)


@pytest.mark.parametrize(
    "text", ["", "  ", "n.a.", "NA", "N/A", "NaN", "nan", "-", "null", "#N/A", "I.S.", "LNR", "inf"]
)
def test_words_for_missing(text):
    number, kind = one(text)
    assert math.isnan(number)
    assert kind == MISSING


@pytest.mark.parametrize("text", ["BDL", "b.d.l.", "<LOD", "< DL", "n.d.", "ND", "Not Detected", "tr", "trace", "<"])
def test_words_for_not_detected(text):
    number, kind = one(text)
    assert math.isnan(number)
    assert kind == UNDETECTED


@pytest.mark.parametrize("text", ["-9999", "-999", "-99999.0", "-32768", "-1e30", "-3.4028235e38", "1e308"])
def test_numbers_that_stand_for_missing(text):
    assert one(text)[1] == MISSING
    assert numeric_cells(np.array([float(text)])).kinds.tolist() == [MISSING]


@pytest.mark.parametrize("text", ["granite", "5 ppm", "3%", "<<5", "<-5", "1.2.3", "5<", "1,5", "1_000", "<five"])
def test_what_is_no_number_is_refused_with_its_line(text):
    with pytest.raises(DataError, match=r"^till\.csv, line 7: the column 'Au' holds '"):
        one(text)


def test_decimal_commas():
    assert has_decimal_commas({"Au": ["3,5", "12", "<0,25", "n.a."]}, "till.csv")
    assert not has_decimal_commas({"Au": ["3.5", "a, b"]}, "till.csv")
    assert one("<0,25", decimal_comma=True) == (0.25, BELOW)
    assert one("1,5e2", decimal_comma=True) == (150.0, MEASURED)
    with pytest.raises(DataError, match="'1,234': a decimal comma, or thousands"):
        has_decimal_commas({"Au": ["1,234", "12,000"]}, "till.csv")
    with pytest.raises(DataError, match=r"'3,5': a decimal comma, while other cells hold points, like '2\.5'"):
        has_decimal_commas({"Au": ["3,5"], "Li": ["2.5"]}, "till.csv")


@given(st.floats(-1e20, 1e20))
def test_every_number_that_python_writes_is_read(value):
    number, kind = one(repr(value))
    assert kind == MEASURED or value in (-999.0, -9999.0, -99999.0, -999999.0, -9999999.0, -99999999.0, -32768.0)
    assert kind == MISSING or number == value


def test_columns_of_numbers():
    cells = numeric_cells(np.array([1, 2, -9999]))
    assert cells.kinds.tolist() == [MEASURED, MEASURED, MISSING]
    assert numeric_cells(np.array([np.nan, np.inf, 3.0], np.float32)).kinds.tolist() == [MISSING, MISSING, MEASURED]
