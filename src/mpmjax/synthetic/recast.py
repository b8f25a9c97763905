"""The layers as a scenario wants them: their values taken to scores, changed there, and taken back.

A score counts standard deviations of a layer over ordinary ground in the favourable direction, after its logarithm
where it has one (scenario.py). A layer that the scenario leaves alone keeps its values, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from mpmjax.synthetic.layers import DISTANCE_CAP, Patch, Theme, positive, themes
from mpmjax.synthetic.noise import Noise
from mpmjax.synthetic.planted import absent
from mpmjax.synthetic.scenario import Scenario

_ORDINARY = {
    "alteration": (1.06, 0.3), "copper": (3.4, 0.6), "faults": (7.3, 0.95), "intrusions": (8.6, 1.2),
    "magnetics": (11.0, 105.0), "gravity": (-0.1, 2.5), "gold": (0.7, 0.53), "fault_density": (0.19, 0.16),
    "molybdenum": (0.06, 0.4), "arsenic": (2.35, 0.48), "silver": (4.2, 0.48), "lead": (2.8, 0.42),
    "zinc": (4.2, 0.46), "bismuth": (-1.25, 0.43), "antimony": (-0.16, 0.46), "tungsten": (0.42, 0.43),
}  # fmt: skip
"""Median and standard deviation of the plain layers, after the logarithm where they have one; channels: _CHANNEL."""

_CHANNEL = (0.11, 0.75)
_NEAR = 100.0
"""Metres added to a distance before its logarithm."""

_NUMBER = {theme.name: number for number, theme in enumerate(themes(64))}
_COARSE, _GRAIN, _APART = 200, 300, 400
"""First streams of the noise that is added to a layer, in two parts, and of that which sets a copy apart."""

COPY_NOISE = 0.15


def recast(chosen: Sequence[Theme], scenario: Scenario) -> tuple[Theme, ...]:
    """The themes of a district, changed as the scenario says."""
    by_name = {theme.name: theme for theme in chosen}
    return tuple(_recast(theme, scenario, by_name[scenario.redundant.get(theme.name, theme.name)]) for theme in chosen)


def original(chosen: Sequence[Theme], scenario: Scenario) -> list[str]:
    """Names of the layers that repeat no other."""
    return [theme.name for theme in chosen if theme.name not in scenario.redundant]


def score_of(theme: Theme, values: np.ndarray) -> np.ndarray:
    """Values of a theme -> scores."""
    middle, spread = _ORDINARY.get(theme.name, _CHANNEL)
    if theme.role == "distance":
        values = np.log(values + _NEAR)
    elif theme.transform == "log":
        values = np.log(values)
    return (values - middle) / (-spread if theme.direction == "low" else spread)


def values_of(theme: Theme, score: np.ndarray) -> np.ndarray:
    """Scores -> values that the theme can have."""
    middle, spread = _ORDINARY.get(theme.name, _CHANNEL)
    values = middle + (-spread if theme.direction == "low" else spread) * score
    if theme.role == "distance":
        return (np.exp(values) - _NEAR).clip(0.0, DISTANCE_CAP)
    if theme.transform == "log":
        return np.exp(values)
    if theme.role == "density":
        return values.clip(0.0)
    return positive(values) if theme.role == "index" else values


def _recast(theme: Theme, scenario: Scenario, source: Theme) -> Theme:
    shows = bool(scenario.barren) or source.name in scenario.shown
    if shows or source is not theme or {theme.name, source.name} & scenario.noise.keys():
        theme = replace(theme, values=partial(_values, theme=theme, scenario=scenario, source=source))
    if theme.name in scenario.missing:
        theme = replace(theme, absent=partial(_absent, number=_NUMBER[theme.name], share=scenario.missing[theme.name]))
    return theme


def _values(patch: Patch, theme: Theme, scenario: Scenario, source: Theme) -> np.ndarray:
    score = score_of(source, source.values(patch)) + patch.bumps(f"planted {source.name}")
    score = score + _noise(patch, source.name, scenario.noise.get(source.name, 0.0))
    if source is not theme:
        score = score + COPY_NOISE * patch.noise(Noise(_APART + _NUMBER[theme.name], 1_200.0, octaves=3))
        score = score + _noise(patch, theme.name, scenario.noise.get(theme.name, 0.0))
    return values_of(theme, score)


def _noise(patch: Patch, name: str, deviation: float) -> np.ndarray | float:
    """Half of the variance over a kilometre or two, half from cell to cell."""
    if not deviation:
        return 0.0
    coarse = patch.noise(Noise(_COARSE + _NUMBER[name], 2_500.0, octaves=3))
    return deviation * np.sqrt(0.5) * (coarse + patch.speckle(_GRAIN + _NUMBER[name]))


def _absent(patch: Patch, number: int, share: float) -> np.ndarray:
    return absent(patch.window, patch.seed, number, share)
