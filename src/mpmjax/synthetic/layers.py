"""The evidence layers of the synthetic district: what each is called, how it points, and its values in a window.

Each layer mixes a signal of the seeded geology with correlated noise of its own; a deposit shows in several of them
and in none perfectly. Beyond the sixteen named layers come channels of ever less relevance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from mpmjax.synthetic import geology
from mpmjax.synthetic.anomalies import bump_tables
from mpmjax.synthetic.geology import Bounds
from mpmjax.synthetic.noise import Noise, Window, noise, speckle
from mpmjax.synthetic.shapes import blobs, distance, inside, line_density

DISTANCE_CAP = 20_000.0
WARP = 500.0

PERMEABILITY = Noise(4, 7_000.0, octaves=2)
_WARP_X, _WARP_Y = Noise(5, 2_200.0, gain=0.6), Noise(6, 2_200.0, gain=0.6)


class Patch:
    """The fields of one window, each computed when first asked for and shared by the layers.

    Args:
        threshold: score from which on a site of the geology holds a deposit, which then shows in the layers.
        planted: what else there is: tables of bumps that can reach into given bounds, by field.
    """

    def __init__(
        self,
        window: Window,
        seed: int,
        threshold: float,
        planted: Callable[[Bounds], Mapping[str, np.ndarray]] = lambda bounds: {},
    ) -> None:
        self.window, self.seed = window, seed
        res = window.resolution
        self._bounds = (window.col0 * res, window.row0 * res,
                        (window.col0 + window.cols) * res, (window.row0 + window.rows) * res)  # fmt: skip
        self._tables = {**bump_tables(seed, threshold, self._bounds), **planted(self._bounds)}

    def noise(self, spec: Noise) -> np.ndarray:
        return noise(self.window, self.seed, spec)

    def speckle(self, stream: int) -> np.ndarray:
        return speckle(self.window, self.seed, stream)

    def bumps(self, field: str) -> np.ndarray:
        table = self._tables.get(field, np.empty((0, 6)))
        return blobs(self.window, table, *self._warp, WARP)

    @cached_property
    def _warp(self) -> tuple[np.ndarray, np.ndarray]:
        return self.noise(_WARP_X) * np.float32(0.5 * WARP), self.noise(_WARP_Y) * np.float32(0.5 * WARP)

    @cached_property
    def lithology(self) -> np.ndarray:
        return self.noise(geology.LITHOLOGY)

    @cached_property
    def pure(self) -> np.ndarray:
        return geology.pure(self.lithology)

    @cached_property
    def fault_distance(self) -> np.ndarray:
        segments = geology.fault_segments(self.seed, self._bounds, DISTANCE_CAP)
        return distance(self.window, segments, DISTANCE_CAP)

    @cached_property
    def contact_distance(self) -> np.ndarray:
        segments = geology.contact_segments(self.seed, self._bounds, DISTANCE_CAP)
        return distance(self.window, segments, DISTANCE_CAP)

    @cached_property
    def intrusion_distance(self) -> np.ndarray:
        rings = [b.ring for b in geology.intrusions(self.seed, self._bounds) if b.rock == geology.PRODUCTIVE]
        within = inside(self.window, np.array(rings).reshape(-1, geology.VERTICES, 2))
        return np.where(within, np.float32(0.0), self.contact_distance)

    @cached_property
    def fault_density(self) -> np.ndarray:
        radius, step = 4000.0, 1000.0
        return line_density(self.window, geology.fault_segments(self.seed, self._bounds, radius + step), radius, step)

    @cached_property
    def halo(self) -> np.ndarray:
        """Hydrothermal ground around productive contacts, 0..1."""
        return geology.fertile(self.noise(geology.FERTILITY)) * np.exp(-((self.contact_distance / 1300.0) ** 2))

    @cached_property
    def leak(self) -> np.ndarray:
        """Altered ground along faults, where they were open, 0..1."""
        return np.exp(-self.fault_distance / 450.0) / (1.0 + np.exp(-2.0 * self.noise(PERMEABILITY)))

    @cached_property
    def plume(self) -> np.ndarray:
        return self.bumps("plume")

    @cached_property
    def gap(self) -> dict[str, np.ndarray]:
        """Cells that a survey missed, by survey; bool."""
        return {survey: self.bumps(f"{survey} gap") > 0.0 for survey in ("alteration", "geochemistry")}


@dataclass(frozen=True)
class Theme:
    """One evidence layer: entries of the project file, unit, step of its integer form, and its values.

    `values` maps a patch to floats [rows, cols]; `survey` names the gaps it has, `absent` maps a patch to cells, bool
    [rows, cols], that it lacks besides.
    """

    name: str
    role: str
    direction: str | None
    values: Callable[[Patch], np.ndarray]
    unit: str
    step: float = 1.0
    transform: str = "none"
    survey: str | None = None
    absent: Callable[[Patch], np.ndarray] | None = None


def alteration(patch: Patch) -> np.ndarray:
    """Index of hydroxyl and iron alteration as from a band ratio, mostly 0.3 to 3."""
    own = 0.11 * patch.noise(Noise(31, 4_000.0, octaves=4)) + 0.025 * patch.speckle(32)
    mottled = 0.75 + 0.45 * patch.noise(Noise(33, 1_500.0, octaves=2))
    signal = 0.65 * patch.halo * mottled + 0.3 * patch.leak + patch.bumps("alteration")
    return positive(1.0 + 0.09 * patch.lithology - 0.5 * patch.pure + own + signal)


def positive(index: np.ndarray) -> np.ndarray:
    """An index is positive; it fades below 0.3 rather than being cut, which would heap cells on one value."""
    return np.maximum(index, 0.3 * np.exp(np.minimum(index, 0.3) / 0.3 - 1.0))


def element(
    patch: Patch, *, median: float, rock: float, spread: float, plume: float, copper: float, stream: int
) -> np.ndarray:
    """Log-normal content of an element.

    Args:
        median: in the unit of the element.
        rock, spread: how far the rock and noise of its own move it, in ln units.
        plume, copper: what it carries of the deposits' plumes and of barren copper, as shares of what copper does.
        stream: first of the two streams of its noise.
    """
    own = spread * patch.noise(Noise(stream, 5_000.0, octaves=4)) + 0.04 * patch.speckle(stream + 1)
    signal = plume * (patch.plume + 0.2 * patch.halo) + copper * patch.bumps("copper")
    return median * np.exp(rock * np.tanh(patch.lithology) - 1.2 * patch.pure + own + signal)


def magnetics(patch: Patch) -> np.ndarray:
    return 45.0 * patch.lithology + 75.0 * patch.noise(Noise(41, 9_000.0, octaves=4)) + patch.bumps("magnetics")


def gravity(patch: Patch) -> np.ndarray:
    return 0.8 * patch.lithology + 2.2 * patch.noise(Noise(43, 24_000.0, octaves=3, gain=0.35)) + patch.bumps("gravity")


def channel(patch: Patch, *, relevance: float, stream: int) -> np.ndarray:
    signal = patch.halo + 0.5 * patch.leak + 0.5 * patch.plume
    own = patch.noise(Noise(stream, 6_000.0, octaves=4)) + 0.3 * patch.lithology
    return relevance * 3.0 * signal + (1.0 - relevance) * own


def _element(
    name: str, unit: str, step: float, stream: int, numbers: tuple[float, float, float, float, float]
) -> Theme:
    """`numbers` are median, rock, spread, plume and copper of `element`."""
    median, rock, spread, plume, copper = numbers
    values = partial(element, median=median, rock=rock, spread=spread, plume=plume, copper=copper, stream=stream)
    return Theme(name, "geochemistry", "high", values, unit, step, "log", "geochemistry")


_NAMED = (
    Theme("alteration", "index", "high", alteration, "index", 0.001, survey="alteration"),
    _element("copper", "ppm", 0.1, 51, (28.0, 0.36, 0.26, 1.0, 1.0)),
    Theme("faults", "distance", "low", lambda patch: patch.fault_distance, "m"),
    Theme("intrusions", "distance", "low", lambda patch: patch.intrusion_distance, "m"),
    Theme("magnetics", "geophysics", "high", magnetics, "nT", 0.1),
    Theme("gravity", "geophysics", "low", gravity, "mGal", 0.001),
    _element("gold", "ppb", 0.1, 53, (2.0, 0.10, 0.40, 1.3, 0.1)),
    Theme("fault_density", "density", "high", lambda patch: patch.fault_density, "km/km2", 0.001),
    _element("molybdenum", "ppm", 0.01, 55, (1.1, -0.15, 0.30, 0.9, 0.0)),
    _element("arsenic", "ppm", 0.1, 57, (11.0, -0.10, 0.40, 0.7, 0.0)),
    _element("silver", "ppb", 1.0, 59, (70.0, 0.05, 0.35, 0.8, 0.3)),
    _element("lead", "ppm", 0.1, 61, (18.0, -0.20, 0.35, 0.4, 0.0)),
    _element("zinc", "ppm", 0.1, 63, (65.0, 0.15, 0.30, 0.3, 0.3)),
    _element("bismuth", "ppm", 0.01, 65, (0.3, -0.10, 0.35, 0.7, 0.0)),
    _element("antimony", "ppm", 0.01, 67, (0.9, -0.10, 0.40, 0.5, 0.0)),
    _element("tungsten", "ppm", 0.01, 69, (1.6, -0.15, 0.35, 0.4, 0.0)),
)


def themes(count: int) -> tuple[Theme, ...]:
    """The first `count` layers. From the 17th on the relevance of a channel falls by a fifth each time."""
    more = []
    for k in range(count - len(_NAMED)):
        relevance = 0.5 * 0.8**k
        values = partial(channel, relevance=relevance, stream=101 + k)
        # Nobody would claim to know which way a channel points that hardly answers to the geology.
        direction = "high" if relevance >= 0.1 else None
        more.append(Theme(f"channel_{len(_NAMED) + k + 1}", "geophysics", direction, values, "", 0.001))
    return (*_NAMED, *more)[:count]
