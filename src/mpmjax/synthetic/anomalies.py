"""What deposits, barren ground and gaps in a survey add to the layers of the synthetic district, as tables of bumps.

A bump is a row x, y, half axis along, half axis across (metres), angle (radians), amplitude (shapes.blobs).
Deposits carry an alteration halo and a geochemical plume. Barren ground carries what is rarer and stronger, but not
favourable, because the other layers do not agree with it: that is what an anomaly detector without geology falls for.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from math import cos, pi, sin

import numpy as np

from mpmjax.synthetic.geology import (
    SQUARE,
    STRIKE,
    Bounds,
    contact_segments,
    fault_segments,
    intrusions_of,
    sites_of,
    squares,
)
from mpmjax.synthetic.noise import uniforms
from mpmjax.synthetic.shapes import distance_at

Bump = tuple[float, float, float, float, float, float]
Bumps = dict[str, list[Bump]]

BUMP_REACH = 8_600.0
"""Metres from the middle of a bump to its furthest edge, at most: that of the largest intrusion."""
_BARREN = 24
_DRAINAGE = STRIKE + 0.5 * pi  # streams run off the ranges, across the grain

BODY_SIGNALS = {
    "granodiorite": {"magnetics": 260.0, "gravity": -5.0},
    "diorite": {"magnetics": 330.0, "gravity": 2.0},
    "monzogranite": {"magnetics": -60.0, "gravity": -7.0},
    "gabbro": {"magnetics": 480.0, "gravity": 6.0, "copper": 0.9, "alteration": -0.25},
}
"""What an intrusion adds by rock: nT, mGal, ln ppm, index."""


def deposits(seed: int, threshold: float, bounds: Bounds, reach: float = 0.0) -> np.ndarray:
    """Deposits within `reach` metres of the bounds: [n, 11] of x, y (metres), score, eight uniform numbers."""
    x0, y0, x1, y1 = bounds
    parts = [np.empty((0, 11))]
    for i, j in squares(bounds, reach):
        sites = sites_of(seed, i, j)
        kept = (sites.score >= threshold) & (sites.x >= x0 - reach) & (sites.x < x1 + reach)
        kept &= (sites.y >= y0 - reach) & (sites.y < y1 + reach)
        parts.append(np.column_stack([sites.x, sites.y, sites.score, sites.luck])[kept])
    return np.concatenate(parts)


def deposit_bumps(found: np.ndarray) -> Bumps:
    """Haloes and plumes of deposits [n, 11]. One in eight is blind (hardly altered), one in eight hardly smells."""
    bumps: Bumps = {"alteration": [], "plume": []}
    for x, y, _, *luck in found.tolist():
        halo = 500.0 + 900.0 * luck[0]
        strength = (0.05 + 0.25 * luck[1]) * (0.2 if luck[2] < 0.125 else 1.0)
        bumps["alteration"].append((x, y, halo, 0.7 * halo, STRIKE + pi * (luck[3] - 0.5), strength))
        plume, drift = 700.0 + 1300.0 * luck[4], 100.0 + 500.0 * luck[5]
        strength = (0.25 + 0.75 * luck[6]) * (0.25 if luck[7] < 0.125 else 1.0)
        way = _DRAINAGE + 1.2 * (luck[3] - 0.5)
        bumps["plume"].append((x + drift * cos(way), y + drift * sin(way), plume, 0.55 * plume, way, strength))
    return bumps


@lru_cache(maxsize=4096)
def barren_of(seed: int, i: int, j: int) -> Bumps:
    """The barren anomalies of square (i, j), and the gaps of its surveys.

    False copper: very high copper, no alteration, far from faults and contacts. Clay: extreme alteration far from
    intrusions. Leached caps: altered, without any copper. Basalt: coppery and fresh. Occurrences: weak plumes anywhere.
    """
    luck = uniforms(seed, _BARREN, i, j, 31 * 6).reshape(31, 6)
    x, y = (i + luck[:, 0]) * SQUARE, (j + luck[:, 1]) * SQUARE
    bounds = (i * SQUARE, j * SQUARE, (i + 1) * SQUARE, (j + 1) * SQUARE)
    contact = distance_at(x, y, contact_segments(seed, bounds, 6000.0), 6000.0)
    fault = distance_at(x, y, fault_segments(seed, bounds, 3000.0), 3000.0)
    bumps: Bumps = {name: [] for name in ("alteration", "copper", "plume", "alteration gap", "geochemistry gap")}
    for k in range(31):
        _, _, size, strength, turn, chance = luck[k].tolist()
        oval = partial(_oval, float(x[k]), float(y[k]), STRIKE + 1.6 * (turn - 0.5))
        if k < 8 and fault[k] > 1500.0 and contact[k] > 1500.0:
            bumps["copper"].append(oval(900.0 + 1700.0 * size, 1.5 + 1.3 * strength))
        elif 8 <= k < 14 and contact[k] > 4500.0:
            bumps["alteration"].append(oval(1100.0 + 1900.0 * size, 0.8 + 0.8 * strength))
        elif 14 <= k < 17 and contact[k] > 2500.0:
            bumps["alteration"].append(oval(900.0 + 1200.0 * size, 0.7 + 0.5 * strength))
            bumps["copper"].append(oval(1000.0 + 1200.0 * size, -1.4 - 0.9 * strength))
        elif 17 <= k < 19 and chance < 0.7:
            bumps["copper"].append(oval(1400.0 + 2200.0 * size, 0.7 + 0.5 * strength))
            bumps["alteration"].append(oval(1400.0 + 2200.0 * size, -0.25 - 0.2 * strength))
        elif 19 <= k < 29:
            bumps["plume"].append(oval(500.0 + 800.0 * size, 0.25 + 0.55 * strength))
        elif k == 29 and chance < 0.6:
            bumps["alteration gap"].append(oval(500.0 + 700.0 * size, 1.0))
        elif k == 30 and chance < 0.6:
            bumps["geochemistry gap"].append(oval(500.0 + 900.0 * size, 1.0))
    return bumps


def _oval(x: float, y: float, angle: float, half_axis: float, amplitude: float) -> Bump:
    return x, y, half_axis, 0.6 * half_axis, angle, amplitude


def body_bumps(seed: int, i: int, j: int) -> Bumps:
    """What the intrusions of square (i, j) add, a little wider than they are at the surface."""
    bumps: Bumps = {}
    for body in intrusions_of(seed, i, j):
        for field, amplitude in BODY_SIGNALS[body.rock].items():
            row = (body.x, body.y, 2.1 * body.radius, 1.3 * body.radius, body.angle, amplitude)
            bumps.setdefault(field, []).append(row)
    return bumps


def bump_tables(seed: int, threshold: float, bounds: Bounds) -> dict[str, np.ndarray]:
    """All bumps that can reach into the bounds, by field: alteration, copper, plume, magnetics, ...; float64 [n, 6]."""
    parts: list[Bumps] = []
    for i, j in squares(bounds, BUMP_REACH):
        parts += [barren_of(seed, i, j), body_bumps(seed, i, j)]
    parts.append(deposit_bumps(deposits(seed, threshold, bounds, BUMP_REACH)))
    fields = sorted({field for part in parts for field in part})
    return {field: _table(part.get(field, ()) for part in parts) for field in fields}


def _table(parts: Iterable[Iterable[Bump]]) -> np.ndarray:
    rows = [row for part in parts for row in part]
    return np.array(rows, dtype=np.float64).reshape(-1, 6)
