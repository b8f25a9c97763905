"""The field of buried prisms in closed form, for tests of derivatives: nothing of it comes from a Fourier transform.

The magnetic field is the vertical component of prisms magnetised vertically (Blakely 1995, Potential Theory in Gravity
and Magnetic Applications, section 9.3), the gravity field their vertical attraction (Nagy, Papp and Benedek 2000,
Journal of Geodesy 74, 552-560); without constants, which scale all derivatives alike. x east, y north, z down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Prism(NamedTuple):
    """A box in metres, depths positive downwards, and its density or magnetisation."""

    west: float
    east: float
    south: float
    north: float
    top: float
    bottom: float
    strength: float = 1.0


class Field(NamedTuple):
    """A field and its derivatives to the east, the north and downwards, float64 [height, width]."""

    value: np.ndarray
    east: np.ndarray
    north: np.ndarray
    down: np.ndarray

    def __add__(self, other: Field) -> Field:  # type: ignore[override]
        return Field(*(a + b for a, b in zip(self, other, strict=True)))


def cell_places(shape: tuple[int, int], cells: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the cells of a grid whose upper left corner is at 0, 0, float64 [height, width]."""
    x, y = np.meshgrid((np.arange(shape[1]) + 0.5) * cells[0], -(np.arange(shape[0]) + 0.5) * cells[1])
    return x, y


def magnetic(x: np.ndarray, y: np.ndarray, prisms: Sequence[Prism], height: float = 0.0) -> Field:
    """Vertical magnetic field of prisms magnetised vertically, seen from a height above z = 0."""
    found = [np.zeros_like(x) for _ in range(4)]
    for sign, a, b, c in _corners(x, y, prisms, height):
        r = np.sqrt(a * a + b * b + c * c)
        ac, bc = a * a + c * c, b * b + c * c
        found[0] -= sign * np.arctan2(a * b, c * r)
        found[1] += sign * b * c / (r * ac)
        found[2] += sign * a * c / (r * bc)
        found[3] -= sign * a * b * (r * r + c * c) / (r * ac * bc)
    return Field(*found)


def gravity(x: np.ndarray, y: np.ndarray, prisms: Sequence[Prism], height: float = 0.0) -> Field:
    """Vertical attraction of prisms, seen from a height above z = 0."""
    found = [np.zeros_like(x) for _ in range(4)]
    for sign, a, b, c in _corners(x, y, prisms, height):
        r = np.sqrt(a * a + b * b + c * c)
        found[0] -= sign * (a * np.log(b + r) + b * np.log(a + r) - c * np.arctan2(a * b, c * r))
        found[1] += sign * np.log(b + r)
        found[2] += sign * np.log(a + r)
        found[3] -= sign * np.arctan2(a * b, c * r)
    return Field(*found)


def _corners(
    x: np.ndarray, y: np.ndarray, prisms: Sequence[Prism], height: float
) -> Iterator[tuple[float, np.ndarray, np.ndarray, float]]:
    """Sign of a corner in the sum, and the way to it from each place."""
    for prism in prisms:
        for i, east in enumerate((prism.west, prism.east)):
            for j, north in enumerate((prism.south, prism.north)):
                for k, depth in enumerate((prism.top, prism.bottom)):
                    yield prism.strength * (-1) ** (i + j + k + 1), east - x, north - y, depth + height
