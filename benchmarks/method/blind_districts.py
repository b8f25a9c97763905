"""Forty synthetic districts to judge a label-free prospectivity score on, written without knowledge of its formulas.

Each district has a hidden geology (blind_geology.py), layers that surveys make of it (blind_surveys.py), and deposits
drawn from an inhomogeneous point process. Its intensity depends on the hidden themes and on a fluid that no survey
measures, never on the layers. What the five scenarios mean here:

- co-favourable layers: an ore system of many needs. A cell is rich where five to seven themes are moderately
  favourable together; an extreme in one of them adds nothing.
- a specific pair: two processes must coincide, as a fluid conduit and a reactive host. One without the other is nearly
  barren; the other layers are only weakly related to the pair.
- redundant layers: one nuisance, surveyed four to six times under other names, besides three or four informative
  layers. In about half of the districts it is weakly related to ore, in the others not at all.
- barren anomalies: black shale, a smelter's plume and laterite lift several layers together, higher than ore does, and
  carry next to no deposits.
- missing layers: surveys end inside the district, map sheets and clouded cells are missing, and the share of signal in
  a layer ranges from a tenth to nearly all.

A geologist states a direction for each layer he has an opinion on, from his deposit model. Some of the layers he
believes in tell little, and in one district of five he is wrong about one layer (`wrong_direction`).

The slopes of the intensity were set by one figure only: a random forest that knows the deposits of 20 blocks and is
asked about the other 5 (five folds, two shufflings) should reach an area under the ROC curve of about 0.75 to 0.95 in
each district. It reaches 0.75 to 0.93, median 0.84. Six seeds that fell short of it were passed over. Before that the
themes were made less alike, because some single layers told as much as the forest. No score that joins layers without
labels was computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .blind_geology import Field, Ground, Mask, cells_to, make_ground
from .blind_scenarios import ORE, PLANS, Part
from .blind_surveys import observe

SCENARIOS = ("co-favourable layers", "a specific pair", "redundant layers", "barren anomalies", "missing layers")
SEEDS: dict[str, tuple[int, ...]] = {
    "co-favourable layers": (1, 2, 3, 4, 5, 6, 7, 8),
    "a specific pair": (9, 10, 11, 12, 13, 14, 15, 16),
    "redundant layers": (57, 18, 19, 20, 21, 22, 23, 64),
    "barren anomalies": (25, 26, 27, 68, 29, 30, 71, 32),
    "missing layers": (33, 34, 35, 36, 117, 38, 39, 40),
}
"""Eight a scenario; no two districts share one."""

STREAM = 20
"""Keeps the random numbers apart from those of other makers that count their seeds from one, too."""

FEWEST, MOST = 12, 60
"""Deposits of a district."""

FOOTPRINT = ("alteration", "metal", "pathfinder", "veins")
"""Themes in which a mineralised system, known or not, leaves a small halo of its own."""


@dataclass(frozen=True)
class District:
    """One district as a screening would receive it.

    Attributes:
        scenario: one of SCENARIOS; seed: what it was made from.
        layers: float32 [L, h, w], 4 to 14 layers in the units of their surveys, NaN where missing. Geochemistry is in
            ppm and log-normal, distances are in metres, densities per square kilometre.
        roles: "distance", "geochemistry", "geophysics", "index" or "density", one a layer.
        directions: what the geologist states: +1 high is favourable, -1 low is, 0 no opinion.
        names: one a layer, unique in the district.
        deposits: int [m, 2], row and column, 12 to 60 different cells of the study area.
    """

    scenario: str
    seed: int
    layers: NDArray[np.float32]
    roles: tuple[str, ...]
    directions: tuple[int, ...]
    names: tuple[str, ...]
    deposits: NDArray[np.int64]

    @property
    def valid(self) -> Mask:
        """Cells [h, w] of the study area: two layers or more are known there."""
        return np.isfinite(self.layers).sum(axis=0) >= 2


def districts() -> Iterator[District]:
    """The forty districts, eight a scenario, always the same."""
    for scenario in SCENARIOS:
        for seed in SEEDS[scenario]:
            yield district(scenario, seed)


def wrong_direction(seed: int) -> bool:
    """True for the districts in which one stated direction is the opposite of what holds: eight of the forty."""
    return seed % 5 == 0


def district(scenario: str, seed: int) -> District:
    """One district.

    Raises:
        KeyError: the scenario is none of SCENARIOS.
    """
    ground_rng, plan_rng, point_rng, survey_rng = np.random.default_rng([STREAM, seed]).spawn(4)
    ground = make_ground(ground_rng)
    plan = PLANS[scenario](plan_rng, ground)
    deposits, halo = mineralise(point_rng, ground, plan.intensity)
    parts = with_mistake(plan_rng, plan.parts) if wrong_direction(seed) else plan.parts
    parts = [parts[number] for number in plan_rng.permutation(len(parts))]
    layers: list[Field] = []
    for part in parts:
        signal = part.signal + (halo if part.theme in FOOTPRINT else 0.0)
        surveyed = observe(survey_rng, part.kind, signal, ground.objects.get(part.theme))
        layers.append(np.where(ground.inside & part.known, surveyed, np.nan))
    return District(
        scenario=scenario,
        seed=seed,
        layers=np.stack(layers).astype(np.float32),
        roles=tuple(part.kind.role for part in parts),
        directions=tuple(part.direction for part in parts),
        names=tuple(part.kind.name for part in parts),
        deposits=deposits,
    )


def mineralise(rng: np.random.Generator, ground: Ground, intensity: Field) -> tuple[NDArray[np.int64], Field]:
    """Draw systems, of which a third are known deposits, and the halo [h, w] that they all leave.

    The fluid modulates the intensity, so that the deposits cluster beyond what any layer explains.
    """
    cells = np.flatnonzero(ground.inside)
    weight = (intensity * np.exp(0.4 * ground.fluid)).ravel()[cells]
    count = int(rng.integers(FEWEST, MOST + 1))
    systems = rng.choice(cells, 3 * count, replace=False, p=weight / weight.sum())
    where = np.zeros(ground.inside.shape, bool)
    where.ravel()[systems] = True
    halo = rng.uniform(0.1, 0.5) * np.exp(-cells_to(where) / 2.0)
    return np.column_stack(np.unravel_index(systems[:count], where.shape)), halo


def with_mistake(rng: np.random.Generator, parts: list[Part]) -> list[Part]:
    """The parts with one direction stated the wrong way: of a layer that shows ore, but not of the two that lead.

    A distance only if there is nothing else: nobody believes that ore keeps away from its faults.
    """
    shows_ore = [number for number, part in enumerate(parts) if part.theme in ORE and number > 1]
    doubtful = [number for number in shows_ore if parts[number].kind.role != "distance"]
    wrong = int(rng.choice(doubtful or shows_ore))
    return [replace(part, direction=-part.kind.sign) if number == wrong else part for number, part in enumerate(parts)]
