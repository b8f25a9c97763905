"""Density around cells, by spreading the amount of every cell over all others.

The density of a cell is the amount (metres of line, number of points, cells of polygon) in the cells around it,
weighted by a kernel k of radius r, per square metre. What a cell holds counts as if it lay in its centre; d is the
distance between two centres:

    D(c) = sum over cells s of a(s) k(d(c, s)) / (dx dy sum over all offsets of k)

    uniform: k = 1 where d <= r, else 0
    quartic: k = (1 - (d / r)^2)^2 where d < r, else 0 (Silverman 1986, Density Estimation, equation 4.5)

The divisor is the kernel's own sum over the cells of an endless grid. It tends to pi r^2 (uniform) and pi r^2 / 3
(quartic) as cells get small, and makes two things exact at any radius: amounts are spread, none is made or lost, and
what covers every cell within the radius has a share of 1. Example, dx = dy = 1, r = 1, uniform, five cells a kernel:

    0 0 0 0       0.0 0.2 0.0 0.0
    0 1 0 0  ->   0.2 0.2 0.2 0.0
    0 0 0 0       0.0 0.2 0.0 0.0
"""

from __future__ import annotations

import math

import numpy as np

RIM = 1e-9
"""A centre on the circle, d^2 = r^2 to this relative difference, is inside; the quartic kernel is 0 there."""


def density(amounts: np.ndarray, cell_size: tuple[float, float], radius: float, kernel: str) -> np.ndarray:
    """Amount around every cell per square metre, by brute force; nothing lies outside the array.

    Args:
        amounts: [h, w], >= 0, what each cell holds.
        cell_size: (dx, dy), width and height of a cell in metres, both positive.
        radius: of the kernel in metres, at least max(dx, dy).
        kernel: "uniform" or "quartic".

    Returns:
        float64 [h, w], amount per m2, >= 0.

    Raises:
        ValueError: an argument is out of range.
    """
    amounts = np.asarray(amounts, np.float64)
    dx, dy = (float(size) for size in cell_size)
    if not (dx > 0 and dy > 0 and max(dx, dy) <= radius < np.inf) or kernel not in ("uniform", "quartic"):
        raise ValueError(f"got cell_size {cell_size}, radius {radius}, kernel {kernel!r}")
    if not (np.isfinite(amounts) & (amounts >= 0)).all():
        raise ValueError("amounts must be finite and not negative")
    rows, cols = np.indices(amounts.shape)
    out = np.zeros(amounts.shape)
    for row, col in np.argwhere(amounts):
        out += amounts[row, col] * _kernel((rows - row) * dy, (cols - col) * dx, radius, kernel)
    down, across = math.ceil(radius / dy) + 1, math.ceil(radius / dx) + 1
    rows, cols = np.mgrid[-down : down + 1, -across : across + 1]
    return out / (dx * dy * _kernel(rows * dy, cols * dx, radius, kernel).sum())


def _kernel(down: np.ndarray, across: np.ndarray, radius: float, kernel: str) -> np.ndarray:
    rest = 1.0 - (across**2 + down**2) / radius**2
    return np.where(rest >= -RIM, 1.0, 0.0) if kernel == "uniform" else np.where(rest > RIM, rest, 0.0) ** 2
