"""What a scenario plants: deposits that know nothing of the geology, places that only look like them, barren anomalies.

As in geology.py, what a square of 16 km holds depends on the seed and the square, so any tile can be computed alone.
There is one place in each 2 km x 2 km, in its middle quarter, so that bumps of two places seldom lie on each other.
A bump is a row of anomalies.py, its amplitude in scores (scenario.py); the tables are by field, "planted NAME".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import pi

import numpy as np

from mpmjax.synthetic import anomalies
from mpmjax.synthetic.anomalies import BUMP_REACH, Bump
from mpmjax.synthetic.geology import COMMON_DEPOSITS, SQUARE, Bounds, Sites, sites_of, squares
from mpmjax.synthetic.noise import Window, uniforms
from mpmjax.synthetic.scenario import Scenario

COMMON_PLANTED = 0.96
"""Score of a place, uniform in 0..1, from which on it holds a deposit unless a number is asked for: one in 100 km2."""

SHEET = 4_000.0
_PLACES, _BARREN_PLACES, _SHEETS = 25, 26, 500
_STEP, _SIDE = 2_000.0, 8
_DECOYS = 0.2
"""Share of the places that show in one layer of a pair, for each of the two: five in 100 km2."""
_APART = 2_000.0


@lru_cache(maxsize=4096)
def places_of(seed: int, stream: int, i: int, j: int) -> Sites:
    """The 64 places of square (i, j): score and luck are uniform numbers that no layer knows of."""
    luck = uniforms(seed, stream, i, j, _SIDE * _SIDE * 11).reshape(-1, 11)
    k = np.arange(_SIDE * _SIDE)
    x = i * SQUARE + (k % _SIDE + 0.25 + 0.5 * luck[:, 0]) * _STEP
    y = j * SQUARE + (k // _SIDE + 0.25 + 0.5 * luck[:, 1]) * _STEP
    return Sites(x, y, luck[:, 2], luck[:, 3:])


def common_threshold(scenario: Scenario) -> float:
    """The score above which a site holds a deposit, if no number is asked for."""
    return COMMON_PLANTED if scenario.shown else COMMON_DEPOSITS


def deposit_sites(seed: int, scenario: Scenario, i: int, j: int) -> Sites:
    """The places of square (i, j) where a deposit may be."""
    return places_of(seed, _PLACES, i, j) if scenario.shown else sites_of(seed, i, j)


def deposits(seed: int, scenario: Scenario, threshold: float, bounds: Bounds, reach: float = 0.0) -> np.ndarray:
    """Deposits within `reach` metres of the bounds: [n, 11] as in anomalies.py."""
    if not scenario.shown:
        return anomalies.deposits(seed, threshold, bounds, reach)
    sites = _places(seed, _PLACES, bounds, reach)
    return np.column_stack([sites.x, sites.y, sites.score, sites.luck])[sites.score >= threshold]


def planted_tables(
    bounds: Bounds, *, seed: int, scenario: Scenario, threshold: float, names: Sequence[str]
) -> Mapping[str, np.ndarray]:
    """All bumps of a scenario that can reach into the bounds, float64 [n, 6] by "planted NAME".

    Args:
        threshold: score from which on a site holds a deposit.
        names: the layers that can show something of their own.
    """
    bumps: dict[str, list[Bump]] = {f"planted {name}": [] for name in names}
    if scenario.shown:
        _add_deposits(bumps, seed, scenario, threshold, bounds)
    if scenario.barren:
        for name, bump in barren(seed, scenario, threshold, names, bounds, BUMP_REACH):
            bumps[f"planted {name}"].append(bump)
    return {field: np.array(rows, np.float64).reshape(-1, 6) for field, rows in bumps.items()}


def barren(
    seed: int, scenario: Scenario, threshold: float, names: Sequence[str], bounds: Bounds, reach: float
) -> list[tuple[str, Bump]]:
    """The scenario's barren anomalies within `reach` metres of the bounds: layer and bump."""
    sites = _places(seed, _BARREN_PLACES, bounds, reach)
    kept = np.flatnonzero(sites.score < scenario.barren * (_STEP / 1e4) ** 2)
    known = deposits(seed, scenario, threshold, bounds, reach + _APART)
    found = []
    for k in kept.tolist():
        x, y = float(sites.x[k]), float(sites.y[k])
        near = np.hypot(known[:, 0] - x, known[:, 1] - y)
        if not near.size or near.min() >= _APART:
            which, *luck = sites.luck[k].tolist()
            found.append((names[int(which * len(names))], _bump(x, y, luck, 3.0, 5.0)))
    return found


def absent(window: Window, seed: int, number: int, share: float) -> np.ndarray:
    """Cells of the map sheets that a layer's survey left out, bool [rows, cols]; `number` is the layer's."""
    rows, cols = (
        ((first + np.arange(count) + 0.5) * (window.resolution / SHEET)).astype(np.int64)
        for first, count in ((window.row0, window.rows), (window.col0, window.cols))
    )
    sheets = np.array(
        [
            [uniforms(seed, _SHEETS + number, i, j, 1)[0] < share for i in range(cols[0], cols[-1] + 1)]
            for j in range(rows[0], rows[-1] + 1)
        ]
    )
    return sheets[np.ix_(rows - rows[0], cols - cols[0])]


def _add_deposits(
    bumps: dict[str, list[Bump]], seed: int, scenario: Scenario, threshold: float, bounds: Bounds
) -> None:
    sites = _places(seed, _PLACES, bounds, BUMP_REACH)
    least, most = (1.0, 2.2) if scenario.together else (2.0, 3.2)
    for x, y, score, (chance, *luck) in zip(
        sites.x.tolist(), sites.y.tolist(), sites.score.tolist(), sites.luck.tolist(), strict=True
    ):
        # Without a deposit, a place of a pair shows in the first, in the second, or in none of its layers.
        alone = scenario.pair[int(chance / _DECOYS) :][:1]
        shows = scenario.shown if score >= threshold else alone
        for number, name in enumerate(shows):
            # Each layer has its own strength of the same place, and its own extent.
            own = luck[number % len(luck) :] + luck[: number % len(luck)]
            bumps[f"planted {name}"].append(_bump(x, y, own, least, most))


def _bump(x: float, y: float, luck: Sequence[float], least: float, most: float) -> Bump:
    half_axis = 800.0 + 700.0 * luck[1]
    return x, y, half_axis, 0.75 * half_axis, pi * luck[2], least + (most - least) * luck[0]


def _places(seed: int, stream: int, bounds: Bounds, reach: float) -> Sites:
    """Places within `reach` metres of the bounds, always in the same order."""
    x0, y0, x1, y1 = bounds
    found = [places_of(seed, stream, i, j) for i, j in squares(bounds, reach)]
    x, y, score = (np.concatenate([getattr(part, name) for part in found]) for name in ("x", "y", "score"))
    luck = np.concatenate([part.luck for part in found])
    near = (x >= x0 - reach) & (x < x1 + reach) & (y >= y0 - reach) & (y < y1 + reach)
    return Sites(x[near], y[near], score[near], luck[near])
