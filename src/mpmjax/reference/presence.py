"""Presence: where a raw value is data, and where its layer is missing.

A cell of a layer is missing where its raw value

1. is the file's nodata value, compared in the raw dtype (a float32 file that declares 0.1 means float32(0.1); a nodata
   value that the dtype cannot hold, -9999 in uint8, is the value of no cell),
2. is NaN or infinite,
3. or lies outside the range stated as valid: raw * scale + offset < low or > high.

A mask of the file's own, where there is one, is applied besides.
"""

from __future__ import annotations

import math

import numpy as np


def present(
    raw: np.ndarray,
    *,
    nodata: float | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    valid_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """Where raw values are data, by the rules of this module's docstring.

    Args:
        raw: values of any shape and numeric dtype, as they stand in a file.
        nodata: the value declared as missing; None and NaN declare nothing, NaN is always missing.
        scale, offset: to the units of `valid_range`.
        valid_range: (low, high), both ends valid.

    Returns:
        bool of the shape of raw.
    """
    good = np.isfinite(raw) if raw.dtype.kind == "f" else np.ones(raw.shape, bool)
    held = stored(nodata, raw.dtype)
    if held is not None:
        # In the dtype of the file: a comparison in float64 would copy every integer tile.
        good &= raw != raw.dtype.type(held)
    if valid_range is not None:
        scaled = raw * np.float64(scale) + offset
        low, high = valid_range
        good &= (scaled >= low) & (scaled <= high)
    return good


def stored(nodata: float | None, dtype: np.dtype) -> float | int | None:
    """The nodata value as cells of a dtype hold it, None where they cannot: then no cell is that value."""
    if nodata is None or math.isnan(nodata):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            held = float(dtype.type(nodata))
        return held if math.isfinite(held) else None
    info = np.iinfo(dtype)
    return int(nodata) if float(nodata).is_integer() and info.min <= int(nodata) <= info.max else None
