"""The colours of the maps, once: figures.py draws the report with them and qgis.py writes them beside the COGs.

Float products have a `Ramp`: nine colours of a perceptually ordered, colour-blind-safe ramp, reached at nine exact
values and blended in RGB between them (matplotlib and QGIS both do that, so a map looks alike in both).
uint8 products have a sequence of `ClassColour`: the cell's value, its words, its colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpmjax.reporting.words import finite, fixed

ClassColour = tuple[int, str, str]
"""(value 1..255, label, colour as #rrggbb)."""

COLOURS: dict[str, tuple[str, ...]] = {
    "viridis": ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"),
    "cividis": ("#00224e", "#1a386f", "#434e6c", "#61656f", "#7d7c78", "#9b9476", "#bcae6c", "#dec958", "#fee838"),
    "magma": ("#000004", "#1d1147", "#51127c", "#832681", "#b73779", "#e75263", "#fc8961", "#fec488", "#fcfdbf"),
}
"""Nine even steps of three ramps of matplotlib, dark to light."""

LINEAR = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
# A rank-like score spreads evenly over the area, and targets live in its last percents: more colour goes there.
RANKED = (0.0, 0.25, 0.45, 0.6, 0.72, 0.82, 0.9, 0.96, 1.0)
# No standard deviation of numbers in 0..1 exceeds 0.5, and most are below 0.1.
SPREAD = (0.0, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.25, 0.5)
# A cell next to the cut stays with a probability of one half, and most are far from it.
STAYS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)

SHARES = (0.01, 0.02, 0.05)
"""Area shares of the classes map unless the project says otherwise."""

# Paul Tol's "muted" scheme, in an order that keeps neighbours apart for all common kinds of colour blindness.
_QUALITATIVE = (
    "#cc6677", "#332288", "#ddcc77", "#117733", "#88ccee", "#882255", "#44aa99", "#999933", "#aa4499",
)  # fmt: skip
_TINTS = (0.0, 0.45, -0.4, 0.7, -0.65)
_BEST, _GOOD, _REST = "#8c2d04", "#fec44f", "#d5dbe0"


@dataclass(frozen=True)
class Ramp:
    """How a float product is coloured.

    Attributes:
        title: the product in words.
        label: what the number means, for the colour bar.
        cmap: name in `COLOURS`.
        stops: nine ascending values at which the nine colours are reached.
    """

    title: str
    label: str
    cmap: str
    stops: tuple[float, ...] = LINEAR

    @property
    def colours(self) -> tuple[str, ...]:
        return COLOURS[self.cmap]


RAMPS: dict[str, Ramp] = {
    "prospectivity": Ramp("Prospectivity", "prospectivity (rank-like score)", "viridis", RANKED),
    "confidence": Ramp("Confidence", "confidence (probability to stay in or out)", "cividis", STAYS),
    "anomaly": Ramp("Anomaly", "anomaly (rank, 1 = rarest)", "magma", RANKED),
    "favourability": Ramp("Favourability", "favourability (mean membership)", "viridis"),
    "risk": Ramp("Risk", "risk (standard deviation over members)", "magma", SPREAD),
    "spread": Ramp("Spread", "spread (standard deviation over members)", "magma", SPREAD),
    "coverage": Ramp("Coverage", "coverage (share of layers with data)", "cividis"),
}
CLASS_TITLES: dict[str, str] = {
    "groups": "Groups",
    "quadrants": "Return and risk",
    "classes": "Area classes",
    "driver": "Driving layer",
}


def blend(first: str, second: str, share: float) -> str:
    """The colour `share` (0..1) of the way from `first` to `second`, all #rrggbb."""
    pairs = zip(bytes.fromhex(first[1:]), bytes.fromhex(second[1:]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def ramp_colour(cmap: str, position: float) -> str:
    """Colour of a ramp at `position` in 0..1, dark to light."""
    colours = COLOURS[cmap]
    place = min(max(position, 0.0), 1.0) * (len(colours) - 1)
    index = min(int(place), len(colours) - 2)
    return blend(colours[index], colours[index + 1], place - index)


def group_classes(favourability: Sequence[float | None]) -> tuple[ClassColour, ...]:
    """Groups 1..K, bright to dark as their mean favourability (K numbers, highest first; None unknown) falls."""
    last = max(len(favourability) - 1, 1)
    words = ["" if finite(value) is None else f" (favourability {fixed(value)})" for value in favourability]
    return tuple(
        (index + 1, f"group {index + 1}{text}", ramp_colour("viridis", 1 - index / last))
        for index, text in enumerate(words)
    )


def area_classes(shares: Sequence[float] = SHARES) -> tuple[ClassColour, ...]:
    """Classes of the best area shares (ascending, in 0..1): value 1 the best, the last value the rest."""
    last = max(len(shares) - 1, 1)
    best = tuple(
        (index + 1, f"best {100 * share:g} % of area", blend(_BEST, _GOOD, index / last))
        for index, share in enumerate(shares)
    )
    return (*best, (len(shares) + 1, "the rest", _REST))


def quadrant_classes() -> tuple[ClassColour, ...]:
    """Return (R) and risk, high and low."""
    return (
        (1, "high return, low risk", "#117733"),
        (2, "high return, high risk", "#ddcc77"),
        (3, "low return, low risk", "#88ccee"),
        (4, "low return, high risk", "#aa4499"),
    )


def driver_classes(names: Sequence[str]) -> tuple[ClassColour, ...]:
    """Layer numbers 1..L with the layers' names; 45 different colours, then they repeat."""
    return tuple((index + 1, f"{index + 1} {name}", _qualitative(index)) for index, name in enumerate(names))


def _qualitative(index: int) -> str:
    """Nine base colours, then the same lighter, darker, lighter still, darker still."""
    tint = _TINTS[index // len(_QUALITATIVE) % len(_TINTS)]
    return blend(_QUALITATIVE[index % len(_QUALITATIVE)], "#ffffff" if tint > 0 else "#000000", abs(tint))
