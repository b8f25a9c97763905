"""Presence: nodata in the dtype of the file, what is never data, and the valid range."""

from __future__ import annotations

import numpy as np
import pytest

from mpmjax.reference.presence import present, stored


@pytest.mark.parametrize(
    ("nodata", "dtype", "held"),
    [
        (None, "uint8", None),
        (-1.0, "uint8", None),
        (7.0, "uint8", 7),
        (7.5, "int32", None),
        (0.1, "float32", float(np.float32(0.1))),
        (0.1, "float64", 0.1),
        (1e39, "float32", None),
    ],
)
def test_stored(nodata: float | None, dtype: str, held: float | None) -> None:
    assert stored(nodata, np.dtype(dtype)) == held


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_a_number_is_missing_whatever_is_declared(dtype: str) -> None:
    raw = np.array([0.0, -0.0, 1e-45, np.nan, np.inf, -np.inf, -9999.0], dtype)
    assert present(raw).tolist() == [True, True, True, False, False, False, True]
    assert present(raw, nodata=np.nan).tolist() == [True, True, True, False, False, False, True]
    assert present(raw, nodata=0.0).tolist() == [False, False, True, False, False, False, True]


def test_nodata_is_compared_in_the_dtype_of_the_file() -> None:
    raw = np.array([0.1, 0.2], np.float32)
    assert float(raw[0]) != 0.1
    assert present(raw, nodata=0.1).tolist() == [False, True]
    codes = np.array([241, 255], np.uint8)  # -9999 modulo 256 is 241
    assert present(codes, nodata=-9999.0).all()


def test_int64_is_not_compared_as_float64() -> None:
    raw = np.array([2**62, 2**62 + 1], np.int64)
    assert present(raw, nodata=float(2**62)).tolist() == [False, True]


def test_the_valid_range_is_in_scaled_units_and_closed() -> None:
    raw = np.array([-1, 0, 1, 2, 3], np.int16)
    assert present(raw, scale=0.5, offset=1.0, valid_range=(1.0, 2.0)).tolist() == [False, True, True, True, False]
    assert present(raw, scale=-1.0, valid_range=(-2.0, -1.0)).tolist() == [False, False, True, True, False]


def test_a_nodata_value_just_beyond_int64_is_no_cell() -> None:
    assert stored(np.float64(2**63), np.dtype("int64")) is None
    assert stored(2.0**63, np.dtype("int64")) is None
    assert stored(np.float64(-(2**63)), np.dtype("int64")) == -(2**63)
