"""The seeded rocks of the synthetic district: faults, intrusions, and the sites where deposits may be.

The plane is cut into squares of 16 km. What a square holds depends on the seed and the square alone (a site also
on the faults and intrusions of the squares around), so a district needs no list of everything: a tile asks for the
shapes near it, and districts of different size agree where they overlap. Places are metres, x east, y south of the
district's upper left corner. The grain is that of the Urumieh-Dokhtar arc: north-west to south-east.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import atan2, cos, pi, radians, sin

import numpy as np

from mpmjax.synthetic.noise import Noise, noise_at, uniforms
from mpmjax.synthetic.shapes import distance_at

SQUARE = 16_000.0
STRIKE = radians(45.0)
CROSS_STRIKE = atan2(-cos(radians(20.0)), sin(radians(20.0)))  # azimuth 20 degrees
# How far a shape goes from its middle, at most: a square that far from a window can still matter to it.
FAULT_REACH = 12_500.0
INTRUSION_REACH = 12_000.0
VERTICES = 72
PRODUCTIVE = "granodiorite"
ROCKS = ((PRODUCTIVE, 0.62), ("diorite", 0.76), ("monzogranite", 0.9), ("gabbro", 1.0))
"""Intrusive rocks with their cumulative shares; deposits come with the first only."""

FERTILITY = Noise(1, 13_000.0, octaves=2, angle=STRIKE, stretch=1.6)
LITHOLOGY = Noise(3, 6_000.0, octaves=3, angle=STRIKE, stretch=3.0)
"""Bands of rock along the arc, from limestone (low) to andesite (high)."""
BELT = Noise(2, 34_000.0, octaves=2, angle=STRIKE, stretch=2.5)
_FAULTS, _INTRUSIONS, _SITES = 21, 22, 23

COMMON_DEPOSITS = 2.6
"""Score above which a site holds a deposit unless a number is asked for: about one in 100 km2."""

Bounds = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in metres, x0 < x1, y0 < y1."""


@dataclass(frozen=True, eq=False)
class Fault:
    """`trace` float64 [n, 2]; `family` is "longitudinal" (along the arc) or "transverse"."""

    trace: np.ndarray
    family: str

    @property
    def segments(self) -> np.ndarray:
        return np.hstack([self.trace[:-1], self.trace[1:]])


@dataclass(frozen=True, eq=False)
class Intrusion:
    """`ring` float64 [VERTICES, 2], not closed; `radius` in metres, that of a circle before it was made irregular."""

    ring: np.ndarray
    rock: str
    x: float
    y: float
    radius: float
    angle: float

    @property
    def segments(self) -> np.ndarray:
        return np.hstack([self.ring, np.roll(self.ring, -1, axis=0)])


@dataclass(frozen=True, eq=False)
class Sites:
    """Places where a deposit may be: x, y in metres, score (higher: more favourable), luck [n, 8] uniform numbers."""

    x: np.ndarray
    y: np.ndarray
    score: np.ndarray
    luck: np.ndarray


def fertile(noise: np.ndarray) -> np.ndarray:
    """The FERTILITY field as a share 0..1 of what hydrothermal alteration would be at a good intrusion."""
    return 1.0 / (1.0 + np.exp(-2.2 * noise + 0.2))


def pure(lithology: np.ndarray) -> np.ndarray:
    """Pure limestone, 0..1, from the LITHOLOGY field: about a twelfth of the ground, with hardly a metal in it."""
    return 1.0 / (1.0 + np.exp(7.0 * (lithology + 1.5)))


def squares(bounds: Bounds, reach: float) -> Iterator[tuple[int, int]]:
    """(i, j), column and row of all squares within `reach` metres of the bounds, always in the same order."""
    i0, j0 = int((bounds[0] - reach) // SQUARE), int((bounds[1] - reach) // SQUARE)
    i1, j1 = int((bounds[2] + reach) // SQUARE), int((bounds[3] + reach) // SQUARE)
    yield from ((i, j) for j in range(j0, j1 + 1) for i in range(i0, i1 + 1))


@lru_cache(maxsize=4096)
def faults_of(seed: int, i: int, j: int) -> tuple[Fault, ...]:
    """The faults whose middle lies in square (i, j): up to 16, more of them in the belt."""
    luck = uniforms(seed, _FAULTS, i, j, 16 * 40).reshape(16, 40)
    x, y = (i + luck[:, 0]) * SQUARE, (j + luck[:, 1]) * SQUARE
    share = 0.40 + 0.16 * noise_at(x, y, seed, BELT)
    found = []
    for k in np.flatnonzero(luck[:, 2] < share):
        along = luck[k, 3] < 0.64
        mean = STRIKE if along else CROSS_STRIKE
        start = mean + 0.30 * (luck[k, 4] + luck[k, 5] - 1.0)
        steps = int(2 + 23 * luck[k, 6] ** 2.4)  # km
        # The strike wanders a little from kilometre to kilometre and is pulled back to its mean.
        bends = np.cumsum(0.34 * (luck[k, 8 : 8 + steps] - 0.5))
        strike = start + bends - bends.mean()
        moves = np.column_stack([np.cos(strike), np.sin(strike)]) * 1000.0
        trace = np.vstack([np.zeros(2), np.cumsum(moves, axis=0)])
        trace += np.array([x[k], y[k]]) - 0.5 * (trace[0] + trace[-1])
        found.append(Fault(trace, "longitudinal" if along else "transverse"))
    return tuple(found)


@lru_cache(maxsize=4096)
def intrusions_of(seed: int, i: int, j: int) -> tuple[Intrusion, ...]:
    """The intrusions whose centre lies in square (i, j): up to 5, more of them in the belt."""
    luck = uniforms(seed, _INTRUSIONS, i, j, 5 * 21).reshape(5, 21)
    x, y = (i + luck[:, 0]) * SQUARE, (j + luck[:, 1]) * SQUARE
    share = 0.34 + 0.22 * noise_at(x, y, seed, BELT)
    theta = np.linspace(0.0, 2.0 * pi, VERTICES, endpoint=False)
    found = []
    for k in np.flatnonzero(luck[:, 2] < share):
        rock = next(name for name, cumulative in ROCKS if luck[k, 3] <= cumulative)
        radius = 700.0 + 3000.0 * luck[k, 4] ** 2.4
        angle = STRIKE + 1.1 * (luck[k, 5] - 0.5)
        shape = np.ones(VERTICES)
        for wave in range(2, 9):
            shape += 0.75 / wave * luck[k, 4 + wave] * np.cos(wave * theta + 2.0 * pi * luck[k, 11 + wave])
        shape = shape.clip(0.45, 1.7)  # no crossing of itself, and no further than INTRUSION_REACH
        stretch = 1.0 + 0.9 * luck[k, 20]
        along, across = radius * shape * np.cos(theta) * stretch, radius * shape * np.sin(theta) / stretch**0.5
        ring = np.column_stack([x[k] + along * cos(angle) - across * sin(angle),
                                y[k] + along * sin(angle) + across * cos(angle)])  # fmt: skip
        found.append(Intrusion(ring, rock, float(x[k]), float(y[k]), radius, angle))
    return tuple(found)


def _near(seed: int, of: Callable[..., tuple], bounds: Bounds, reach: float, extent: float) -> list:
    return [shape for i, j in squares(bounds, reach + extent) for shape in of(seed, i, j)]


def _joined(parts: list[np.ndarray], bounds: Bounds, reach: float) -> np.ndarray:
    """Segments [s, 4] of which some point can lie within `reach` of the bounds."""
    every = np.concatenate(parts) if parts else np.empty((0, 4))
    low = np.minimum(every[:, :2], every[:, 2:]) <= np.array(bounds[2:]) + reach
    high = np.maximum(every[:, :2], every[:, 2:]) >= np.array(bounds[:2]) - reach
    return np.ascontiguousarray(every[(low & high).all(axis=1)])


def faults(seed: int, bounds: Bounds, reach: float = 0.0) -> list[Fault]:
    return _near(seed, faults_of, bounds, reach, FAULT_REACH)


def intrusions(seed: int, bounds: Bounds, reach: float = 0.0) -> list[Intrusion]:
    return _near(seed, intrusions_of, bounds, reach, INTRUSION_REACH)


def fault_segments(seed: int, bounds: Bounds, reach: float) -> np.ndarray:
    """Segments [s, 4] of all faults within `reach` metres of the bounds."""
    return _joined([fault.segments for fault in faults(seed, bounds, reach)], bounds, reach)


def contact_segments(seed: int, bounds: Bounds, reach: float) -> np.ndarray:
    """Segments [s, 4] of the contacts of the productive intrusions within `reach` metres of the bounds."""
    parts = [body.segments for body in intrusions(seed, bounds, reach) if body.rock == PRODUCTIVE]
    return _joined(parts, bounds, reach)


@lru_cache(maxsize=4096)
def sites_of(seed: int, i: int, j: int) -> Sites:
    """The best of 16 places in each 2 km x 2 km of square (i, j): 64 sites.

    The score is high where a contact AND a fault are near AND the ground is fertile; one of them missing costs more
    than the others can give. A part of it is luck, as in the field.
    """
    luck = uniforms(seed, _SITES, i, j, 64 * 16 * 3 + 64 * 10)
    u, v, w = luck[: 64 * 16 * 3].reshape(3, 64, 16)
    k = np.arange(64)[:, None]
    x, y = i * SQUARE + (k % 8 + u) * 2000.0, j * SQUARE + (k // 8 + v) * 2000.0
    bounds = (i * SQUARE, j * SQUARE, (i + 1) * SQUARE, (j + 1) * SQUARE)
    contact = distance_at(x.ravel(), y.ravel(), contact_segments(seed, bounds, 3000.0), 3000.0)
    fault = distance_at(x.ravel(), y.ravel(), fault_segments(seed, bounds, 3000.0), 3000.0)
    ground = 1.2 * np.log(fertile(noise_at(x.ravel(), y.ravel(), seed, FERTILITY)))
    ground -= 5.0 * pure(noise_at(x.ravel(), y.ravel(), seed, LITHOLOGY))
    score = (ground - (contact / 1300.0) ** 2 - (fault / 1000.0) ** 2).reshape(64, 16) + 3.0 * w
    best, rows = score.argmax(axis=1), np.arange(64)
    own = luck[64 * 16 * 3 :].reshape(64, 10)
    # One site in 100 needs no reason that the layers could show: a blind intrusion, a fault under gravel.
    score = score[rows, best] + 2.0 * own[:, 8] + 6.0 * (own[:, 9] < 0.01)
    return Sites(x[rows, best], y[rows, best], score, own[:, :8])
