"""The hidden geology of the blind districts: random fields, faults, intrusions, contacts, and the themes they make.

A theme is what an ore system needs or leaves behind (a conduit, heat, a host, alteration, ...), as normal scores: mean
0, standard deviation 1 inside the study area. Themes share faults, intrusions and one hidden fluid field, so they are
correlated as in nature. No theme is a layer: blind_surveys.py makes layers of them, with all that a survey does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special, stats

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]
Shape = tuple[int, int]

SMALLEST, LARGEST = 160, 220
"""Sides of a district, in cells of 100 m."""


@dataclass(frozen=True)
class Ground:
    """What is true of a district, most of it seen by nobody.

    Attributes:
        inside: [h, w], the study area; a coast or a border may cut a corner off.
        themes: theme -> [h, w] normal scores, high where it favours ore or, for a nuisance, where there is much.
        objects: theme -> [h, w], cells of the objects that a mapper can draw; not every theme has any.
        fluid: [h, w] normal scores of the fluid's fertility, which no survey measures.
        units: [h, w], the rock unit, 0 to 5.
    """

    inside: Mask
    themes: dict[str, Field]
    objects: dict[str, Mask]
    fluid: Field
    units: NDArray[np.int64]


def gaussian_field(rng: np.random.Generator, shape: Shape, reach: float, smoothness: float = 1.5) -> Field:
    """Stationary Gaussian field [h, w] of mean 0 and variance 1 with a Matérn covariance (Matérn 1960).

    Args:
        reach: length scale in cells, above 0; the correlation has faded at about three of them.
        smoothness: Matérn's nu, above 0: 0.5 is rough as an exponential covariance, 2 smooth as gravity.
    """
    # The transform wraps around, so a margin is made and cut off; else opposite borders would be alike.
    margin = int(min(3 * reach, 0.5 * max(shape)))
    # Sides that are multiples of 32 keep the transform fast.
    height, width = (-(-(side + margin) // 32) * 32 for side in shape)
    squared = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width)[None, :] ** 2
    amplitude = (2 * smoothness / reach**2 + 4 * np.pi**2 * squared) ** (-(smoothness + 1) / 2)
    amplitude[0, 0] = 0.0
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) * amplitude, s=(height, width))
    return field[: shape[0], : shape[1]] / field.std()


def normal_scores(field: Field, inside: Mask) -> Field:
    """Standard normal quantiles of the ranks among the cells inside; cells outside get 0."""
    scores = np.zeros(field.shape)
    ranks = stats.rankdata(field[inside])
    scores[inside] = special.ndtri((ranks - 0.5) / ranks.size)
    return scores


def cells_to(mask: Mask) -> Field:
    """Euclidean distance in cells to the nearest cell of the mask, which must have one."""
    if not mask.any():
        raise ValueError("no object to measure the distance to")
    return np.asarray(ndimage.distance_transform_edt(~mask), np.float64)


def study_area(rng: np.random.Generator, shape: Shape) -> Mask:
    """All cells, or, in one district of three, all but a corner cut by a ragged line (about a tenth of the cells)."""
    if rng.random() > 1 / 3:
        return np.ones(shape, bool)
    rows, columns = np.indices(shape)
    down = rng.choice([-1.0, 1.0]) * (rows / shape[0] - 0.5)
    across = rng.choice([-1.0, 1.0]) * (columns / shape[1] - 0.5)
    ragged = down + across + 0.06 * gaussian_field(rng, shape, 12.0)
    return ragged < np.quantile(ragged, rng.uniform(0.86, 0.94))


def fault_traces(rng: np.random.Generator, shape: Shape, count: int, strike: float, scatter: float) -> Mask:
    """Cells of wandering lines.

    Args:
        count: number of faults, at least 1.
        strike: mean heading in radians; scatter: its standard deviation from fault to fault.
    """
    mask = np.zeros(shape, bool)
    for _ in range(count):
        length = int(rng.lognormal(np.log(55.0), 0.5)) * 2
        heading = strike + scatter * rng.standard_normal() + np.cumsum(0.03 * rng.standard_normal(length))
        rows = rng.uniform(0, shape[0]) + np.cumsum(0.5 * np.sin(heading)) - 0.25 * length * np.sin(strike)
        columns = rng.uniform(0, shape[1]) + np.cumsum(0.5 * np.cos(heading)) - 0.25 * length * np.cos(strike)
        seen = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        mask[rows[seen].astype(int), columns[seen].astype(int)] = True
    return mask


def intrusions(rng: np.random.Generator, shape: Shape, count: int, radius: float) -> Mask:
    """Cells of `count` ellipses with uneven rims; `radius` is their median radius in cells."""
    rows, columns = np.indices(shape)
    uneven = gaussian_field(rng, shape, 8.0)
    mask = np.zeros(shape, bool)
    for _ in range(count):
        size, flat, turn = rng.lognormal(np.log(radius), 0.35), rng.uniform(0.5, 1.0), rng.uniform(0, np.pi)
        down, across = rows - rng.uniform(0, shape[0]), columns - rng.uniform(0, shape[1])
        along = np.cos(turn) * down + np.sin(turn) * across
        aside = (np.cos(turn) * across - np.sin(turn) * down) / flat
        mask |= np.hypot(along, aside) < size * (1 + 0.25 * uneven)
    return mask


def rock_units(rng: np.random.Generator, shape: Shape) -> NDArray[np.int64]:
    """A folded sequence of six units, 0 to 5, that repeats across the district."""
    rows, columns = np.indices(shape)
    turn = rng.uniform(0, np.pi)
    level = (rows * np.sin(turn) + columns * np.cos(turn)) / rng.uniform(18, 30) + 1.2 * gaussian_field(
        rng, shape, 30.0
    )
    return np.mod(np.floor(level), 6).astype(np.int64)


def make_ground(rng: np.random.Generator) -> Ground:
    """The geology of one district.

    Faults of two ages: the first carried fluid, where it was open; the second is too young. Fertile intrusions, a few
    of them concealed, and barren ones. One unit of six is reactive, and ore likes its contacts.
    """
    shape = (int(rng.integers(SMALLEST, LARGEST + 1)), int(rng.integers(SMALLEST, LARGEST + 1)))
    inside = study_area(rng, shape)
    strike, units = rng.uniform(0, np.pi), rock_units(rng, shape)
    fluid = normal_scores(gaussian_field(rng, shape, rng.uniform(20, 40)), inside)
    faults = fault_traces(rng, shape, int(rng.integers(12, 26)), strike, 0.25)
    late = fault_traces(rng, shape, int(rng.integers(8, 20)), strike + rng.uniform(0.6, 1.2), 0.3)
    exposed = intrusions(rng, shape, int(rng.integers(4, 9)), 7.0)
    concealed = intrusions(rng, shape, int(rng.integers(1, 4)), 6.0)
    barren = intrusions(rng, shape, int(rng.integers(2, 6)), 11.0)
    reactive = units == np.argsort(np.bincount(units[inside], minlength=6))[3]
    contact = reactive ^ ndimage.binary_erosion(reactive)

    def rough(reach: float) -> Field:
        return gaussian_field(rng, shape, reach, smoothness=0.7)

    def scores(field: Field) -> Field:
        return normal_scores(field, inside)

    open_parts = special.ndtr(gaussian_field(rng, shape, 12.0))
    conduit = scores(np.exp(-cells_to(faults) / 6) * (0.35 + open_parts) + 0.1 * rough(8.0))
    heat = scores(np.exp(-cells_to(exposed | concealed) / 14) + 0.12 * rough(10.0))
    host = scores(np.exp(-cells_to(contact) / 5) + 0.4 * reactive + 0.15 * rough(8.0))
    alteration = scores(0.35 * conduit + 0.3 * heat + 0.2 * fluid + 0.85 * rough(5.0))
    metal = scores(0.35 * conduit + 0.3 * fluid + 0.2 * host + 0.85 * rough(7.0))
    themes = {
        "conduit": conduit,
        "heat": heat,
        "host": host,
        "alteration": alteration,
        "metal": metal,
        "pathfinder": scores(0.35 * metal + 0.3 * heat + 0.85 * rough(9.0)),
        "magnetite": scores(0.35 * heat + 0.2 * alteration + 0.85 * rough(9.0)),
        "veins": scores(0.3 * conduit + 0.2 * fluid + 0.9 * rough(6.0)),
        "late": scores(np.exp(-cells_to(late) / 8) + 0.1 * rough(8.0)),
        "rock": scores(np.exp(-cells_to(barren) / 10) + 0.25 * (units == 4) + 0.3 * rough(10.0)),
        "weathering": scores(gaussian_field(rng, shape, 14.0) + 0.4 * rough(6.0)),
        "basement": scores(gaussian_field(rng, shape, 30.0, smoothness=2.0)),
    }
    return Ground(inside, themes, {"conduit": faults, "heat": exposed, "host": contact, "late": late}, fluid, units)
