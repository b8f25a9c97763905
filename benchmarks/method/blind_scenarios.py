"""What the five scenarios of the blind districts mean: where ore is rich, and which layers are surveyed.

A plan reads the hidden ground and decides both. The intensity is a function of themes, not of layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from .blind_geology import Field, Ground, Mask, gaussian_field, normal_scores
from .blind_surveys import KINDS, Kind, blurred

ORE = ("conduit", "heat", "host", "alteration", "metal", "pathfinder", "magnetite", "veins")
NUISANCES = ("late", "rock", "weathering", "basement")
PAIRS = (
    ("conduit", "host"),
    ("heat", "host"),
    ("conduit", "heat"),
    ("host", "metal"),
    ("conduit", "magnetite"),
    ("heat", "veins"),
    ("host", "alteration"),
    ("heat", "metal"),
)

SLOPES = {"co-favourable layers": 2.0, "redundant layers": 2.2, "barren anomalies": 2.5, "missing layers": 2.3}
"""How closely deposits follow the themes: the log intensity rises by so much with one standard deviation."""

LIFTED = {
    "shale": ("geochemistry", "geophysics", "index", "density"),
    "smelter": ("geochemistry", "index"),
    "laterite": ("geochemistry", "geophysics", "index"),
}
"""Cause of a barren anomaly -> roles of the layers it can show in. Shale is sheared and veined, hence the densities."""

WITHOUT_PAIR = 0.004
"""Intensity where only one of a pair is given, or none, relative to where both are."""


@dataclass(frozen=True)
class Part:
    """A layer before its survey: kind, theme, signal [h, w], stated direction, and the cells [h, w] it covers."""

    kind: Kind
    theme: str
    signal: Field
    direction: int
    known: Mask


@dataclass(frozen=True)
class Plan:
    """What a scenario decides: the intensity [h, w] of deposits, up to a factor, and the layers to survey."""

    intensity: Field
    parts: list[Part]


def shown(
    rng: np.random.Generator, ground: Ground, themes: tuple[str, ...], qualities: tuple[float, float], sure: bool
) -> list[Part]:
    """One part for each theme, a kind not used before where a theme comes twice.

    Args:
        qualities: range of the share of signal; sure: the geologist has an opinion on each of them.
    """
    parts: list[Part] = []
    for theme in themes:
        free = [kind for kind in KINDS[theme] if kind not in [part.kind for part in parts]]
        kind = free[int(rng.integers(len(free)))]
        opinion = 1.0 if sure else 0.5 if theme in NUISANCES or kind.role == "geophysics" else 0.85
        direction = kind.sign if rng.random() < opinion else 0
        signal = blurred(rng, ground.themes[theme], rng.uniform(*qualities))
        parts.append(Part(kind, theme, signal, direction, np.ones(ground.inside.shape, bool)))
    return parts


def some(rng: np.random.Generator, themes: tuple[str, ...], fewest: int, most: int) -> tuple[str, ...]:
    """Some of the themes, in random order."""
    return tuple(str(theme) for theme in rng.permutation(themes)[: int(rng.integers(fewest, most + 1))])


def together(ground: Ground, themes: tuple[str, ...]) -> Field:
    """Normal scores of the sum of the themes: each makes up for the others."""
    return normal_scores(np.sum([ground.themes[theme] for theme in themes], axis=0), ground.inside)


def co_favourable(rng: np.random.Generator, ground: Ground) -> Plan:
    """Many themes, none of which counts for more than being moderately favourable."""
    themes = some(rng, ORE, 5, 7)
    count = np.sum([special.expit((ground.themes[theme] - 0.3) / 0.3) for theme in themes], axis=0)
    parts = shown(rng, ground, themes[:2], (0.6, 0.9), sure=True)
    parts += shown(rng, ground, themes[2:] + some(rng, themes[2:], 0, 3), (0.5, 0.9), sure=False)
    parts += shown(rng, ground, some(rng, NUISANCES, 0, 4), (0.6, 0.9), sure=False)
    return Plan(np.exp(SLOPES["co-favourable layers"] * normal_scores(count, ground.inside)), parts)


def specific_pair(rng: np.random.Generator, ground: Ground) -> Plan:
    """Two themes that must both be high, and others that share little with them."""
    pair = PAIRS[int(rng.integers(len(PAIRS)))]
    needed = np.prod([special.expit((ground.themes[theme] - 0.9) / 0.15) for theme in pair], axis=0)
    parts = shown(rng, ground, pair, (0.85, 0.95), sure=True)
    others = tuple(theme for theme in ORE if theme not in pair)
    parts += shown(rng, ground, some(rng, others, 1, 5), (0.1, 0.4), sure=False)
    parts += shown(rng, ground, some(rng, NUISANCES, 1, 4), (0.6, 0.9), sure=False)
    return Plan(WITHOUT_PAIR + needed, parts)


def redundant(rng: np.random.Generator, ground: Ground) -> Plan:
    """Few informative themes, and one nuisance surveyed again and again."""
    themes = some(rng, ORE, 3, 4)
    theme = str(rng.choice(NUISANCES[:3]))
    weight = rng.choice([0.0, 0.25])
    ore = together(ground, themes) + weight * ground.themes[theme]
    parts = shown(rng, ground, themes, (0.65, 0.95), sure=True)
    parts += shown(rng, ground, (theme,) * int(rng.integers(4, 7)), (0.96, 0.99), sure=False)
    return Plan(np.exp(SLOPES["redundant layers"] * normal_scores(ore, ground.inside)), parts)


def barren(rng: np.random.Generator, ground: Ground) -> Plan:
    """Informative themes under anomalies of other origin, which lift most layers and hold no ore."""
    themes = some(rng, ORE, 4, 7)
    parts = shown(rng, ground, themes[:2], (0.6, 0.9), sure=True)
    parts += shown(rng, ground, themes[2:], (0.6, 0.9), sure=False)
    parts += shown(rng, ground, some(rng, NUISANCES, 1, 3), (0.6, 0.9), sure=False)
    anomalies = {"shale": black_shale(rng, ground), "smelter": plume(rng, ground), "laterite": laterite(rng, ground)}
    intensity = np.exp(SLOPES["barren anomalies"] * together(ground, themes))
    for cause in some(rng, tuple(anomalies), 2, 3):
        anomaly = anomalies[cause]
        intensity = intensity * (1 - 0.97 * anomaly)
        lifted = [part.kind.role in LIFTED[cause] and rng.random() < 0.85 for part in parts]
        parts = [
            replace(part, signal=part.signal + rng.uniform(2.0, 3.5) * anomaly) if hit else part
            for part, hit in zip(parts, lifted, strict=True)
        ]
    return Plan(intensity, parts)


def black_shale(rng: np.random.Generator, ground: Ground) -> Field:
    """0 to 1: parts of one rock unit, with soft rims."""
    carbon = normal_scores(gaussian_field(rng, _shape(ground), 20.0), ground.inside)
    return (ground.units == int(rng.integers(6))) * special.expit((carbon - 0.2) / 0.2)


def plume(rng: np.random.Generator, ground: Ground) -> Field:
    """0 to 1: fallout downwind of a smelter."""
    rows, columns = np.indices(_shape(ground))
    wind = rng.uniform(0, 2 * np.pi)
    down, across = rows - rng.uniform(30, rows.max() - 30), columns - rng.uniform(30, columns.max() - 30)
    along, aside = np.cos(wind) * down + np.sin(wind) * across, np.cos(wind) * across - np.sin(wind) * down
    fall = np.exp(-np.where(along > 0, along / 25, -along / 4)) * np.exp(-((aside / (4 + 0.2 * abs(along))) ** 2))
    return np.clip(1.5 * fall, 0, 1)


def laterite(rng: np.random.Generator, ground: Ground) -> Field:
    """0 to 1: plateaus of an old surface."""
    surface = normal_scores(gaussian_field(rng, _shape(ground), 12.0), ground.inside)
    return special.expit((surface - 1.5) / 0.1)


def missing(rng: np.random.Generator, ground: Ground) -> Plan:
    """Informative themes of very different quality, most of them known in a part of the district only."""
    themes = some(rng, ORE, 5, 8)
    parts = shown(rng, ground, themes[:2], (0.75, 0.95), sure=True)
    # The two that lead are complete, so that no cell of the study area is left without evidence.
    for part in shown(rng, ground, themes[2:], (1.0, 1.0), sure=False):
        quality = float(np.exp(rng.uniform(np.log(0.1), np.log(0.95))))
        parts.append(replace(part, signal=blurred(rng, part.signal, quality), known=coverage(rng, ground)))
    for part in shown(rng, ground, some(rng, NUISANCES, 0, 3), (0.2, 0.9), sure=False):
        parts.append(replace(part, known=coverage(rng, ground)))
    return Plan(np.exp(SLOPES["missing layers"] * together(ground, themes)), parts)


def coverage(rng: np.random.Generator, ground: Ground) -> Mask:
    """Where a survey was done: one side of a line, some map sheets, between clouds, or, one in five, everywhere."""
    rows, columns = np.indices(_shape(ground))
    choice = rng.choice(["side", "sheets", "clouds", "all"], p=[0.3, 0.25, 0.25, 0.2])
    if choice == "side":
        turn = rng.uniform(0, 2 * np.pi)
        across = np.sin(turn) * rows + np.cos(turn) * columns
        return across < np.quantile(across, rng.uniform(0.4, 0.7))
    if choice == "sheets":
        sheet = (3 * rows // (rows.max() + 1)) * 3 + 3 * columns // (columns.max() + 1)
        return ~np.isin(sheet, rng.choice(9, int(rng.integers(2, 5)), replace=False))
    if choice == "clouds":
        cloud = gaussian_field(rng, _shape(ground), rng.uniform(5, 12))
        return cloud < np.quantile(cloud, rng.uniform(0.65, 0.9))
    return np.ones(_shape(ground), bool)


def _shape(ground: Ground) -> tuple[int, int]:
    return ground.inside.shape[0], ground.inside.shape[1]


PLANS: dict[str, Callable[[np.random.Generator, Ground], Plan]] = {
    "co-favourable layers": co_favourable,
    "a specific pair": specific_pair,
    "redundant layers": redundant,
    "barren anomalies": barren,
    "missing layers": missing,
}
