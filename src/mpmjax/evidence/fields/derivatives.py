"""Derivatives of a magnetic or gravity grid in memory.

All take `values`, float64 [height, width] with row 0 in the north and NaN where the field is missing, and `cells`, the
(width, height) of a cell in metres; the width may be given by row, float64 [height], as a grid in degrees needs it.
All return float64 [height, width], NaN where the field is missing; the units are those of the field per metre (nT/m of
nT, mGal/m of mGal) unless said otherwise. They raise ValueError for a grid that is no such array, holds no data, or
cells of no size.
"""

from __future__ import annotations

import numpy as np

from mpmjax.evidence.fields.filters import Response, filtered, upward, vertical
from mpmjax.evidence.fields.gradient import horizontal_gradient

Cells = tuple[np.ndarray | float, float]

STEEPEST = float(np.nextafter(np.float32(np.pi / 2), np.float32(0.0)))
"""The largest tilt in float32 that is less than pi / 2."""


def total_horizontal_derivative(values: np.ndarray, cells: Cells) -> np.ndarray:
    """Length of the horizontal gradient, sqrt(fx^2 + fy^2): largest over steep edges (Cordell and Grauch 1985)."""
    values, across, down = _checked(values, cells)
    return np.hypot(*horizontal_gradient(values, across, down))


def vertical_derivative(values: np.ndarray, cells: Cells) -> np.ndarray:
    """First vertical derivative fz, z downwards: positive over what draws or magnetises more than its surroundings."""
    return _filtered(values, cells, vertical, keep_trend=False)


def analytic_signal(values: np.ndarray, cells: Cells) -> np.ndarray:
    """Amplitude sqrt(fx^2 + fy^2 + fz^2) of the analytic signal (Roest, Verhoef and Pilkington 1992)."""
    values, across, down = _checked(values, cells)
    east, north = horizontal_gradient(values, across, down)
    return amplitude(east, north, vertical_derivative(values, cells))


def tilt_angle(values: np.ndarray, cells: Cells) -> np.ndarray:
    """Angle atan(fz / sqrt(fx^2 + fy^2)) in radians, between -pi/2 and pi/2 (Miller and Singh 1994).

    Positive over a source, 0 about over its edge, however deep or weak it is.
    """
    values, across, down = _checked(values, cells)
    east, north = horizontal_gradient(values, across, down)
    return tilt(east, north, vertical_derivative(values, cells))


def upward_continuation(values: np.ndarray, cells: Cells, height: float) -> np.ndarray:
    """The field `height` metres above the grid, in its own units; 0 gives the grid itself.

    Raises:
        ValueError: also for a height that is negative or no number.
    """
    if not (np.isfinite(height) and height >= 0.0):
        raise ValueError(f"height = {height}: a field is continued upwards, by 0 metres or more")
    return _filtered(values, cells, upward(height), keep_trend=True)


def amplitude(east: np.ndarray, north: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Amplitude of the analytic signal from the three derivatives of the field."""
    return np.sqrt(east * east + north * north + down * down)


def tilt(east: np.ndarray, north: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Tilt angle in radians from the three derivatives of the field; 0 where all are 0."""
    return np.clip(np.arctan2(down, np.hypot(east, north)), -STEEPEST, STEEPEST)


def _filtered(values: np.ndarray, cells: Cells, response: Response, *, keep_trend: bool) -> np.ndarray:
    values, across, down = _checked(values, cells)

    def read(row: int, count: int) -> np.ndarray:
        return values[row : row + count]

    found = np.empty_like(values)
    for row, block in filtered(read, values.shape, across, down, response, keep_trend=keep_trend):
        found[row : row + len(block)] = block
    found[np.isnan(values)] = np.nan
    return found


def _checked(values: np.ndarray, cells: Cells) -> tuple[np.ndarray, np.ndarray, float]:
    """The grid in float64 with infinite values missing, width of the cells by row, and their height."""
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not np.isfinite(values).any():
        raise ValueError(f"a grid [height, width] with data in it is needed, this is {values.shape} or holds none")
    across = np.broadcast_to(np.asarray(cells[0], np.float64), values.shape[:1])
    down = float(cells[1])
    if not (np.isfinite(across).all() and (across > 0.0).all() and np.isfinite(down) and down > 0.0):
        raise ValueError(f"cells of {cells} metres: both sides must be positive")
    return np.where(np.isfinite(values), values, np.nan), across, down
