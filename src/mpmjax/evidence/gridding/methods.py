"""The settings of a gridding, checked when they are made, and the words that name them in notes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

METHODS: Mapping[str, str] = {
    "idw": "inverse distances",
    "linear": "planes in Delaunay triangles",
    "natural": "natural neighbours (Sibson)",
    "rbf": "thin plates",
    "kriging": "ordinary kriging",
}
"""What each is called in words."""

LOCAL = ("idw", "rbf", "kriging")
"""Those that take the nearest samples of each cell; the others take the triangles around it."""

FEWEST: Mapping[str, int] = {"idw": 1, "linear": 3, "natural": 3, "rbf": 3, "kriging": 2}
"""Samples without which a method has nothing to work with."""

MOST_NEIGHBOURS = 256
MODELS = ("spherical", "exponential", "gaussian")
WHATS = ("value", "variance")


@dataclass(frozen=True)
class Variogram:
    """A variogram model, stated as a whole or fitted; reference/gridding.py has the formulas.

    Attributes:
        model: "spherical", "exponential" or "gaussian"; None: whichever fits best.
        nugget, sill: in squared units of the values, 0 <= nugget <= sill, sill > 0; the sill includes the nugget.
        range: in metres, > 0: where the sill is reached, to 95 % by models that only come near to it.
            All three None: fitted to the samples.

    Raises:
        ValueError: a value is out of range, or only some of the numbers are stated.
    """

    model: str | None = None
    nugget: float | None = None
    sill: float | None = None
    range: float | None = None

    def __post_init__(self) -> None:
        if self.model is not None and self.model not in MODELS:
            raise ValueError(f"model = {self.model!r} is no variogram; allowed are {', '.join(MODELS)}")
        stated = [number for number in (self.nugget, self.sill, self.range) if number is not None]
        if not stated:
            return
        if len(stated) < 3 or self.model is None:
            raise ValueError("a variogram has model, nugget, sill and range; leave out all numbers to have it fitted")
        nugget, sill, reach = stated
        if not (0.0 <= nugget <= sill < math.inf and sill > 0.0 and 0.0 < reach < math.inf):
            raise ValueError(
                f"nugget = {nugget:g}, sill = {sill:g}, range = {reach:g}: 0 <= nugget <= sill (the sill includes the "
                "nugget), sill > 0 and range > 0 are needed"
            )

    @property
    def fitted(self) -> bool:
        """Whether its numbers are still to be found."""
        return self.sill is None


@dataclass(frozen=True)
class Gridding:
    """How samples become a raster.

    Attributes:
        method: a key of METHODS.
        neighbours: of idw, rbf and kriging: how many of the nearest samples a cell takes, 1 to MOST_NEIGHBOURS.
        power: of idw: weights are distance^-power, > 0.
        radius: of idw, rbf and kriging: samples farther away than this are not taken, metres; None: the nearest,
            however far.
        support: cells farther than this from their nearest sample are missing, metres; None: the radius where there is
            one, else write.SPACINGS times the median distance between neighbouring samples.
        what: "value", or of kriging "variance", in squared units of the values.
        variogram: of kriging; None: fitted, of the model that fits best.

    Raises:
        ValueError: a value is out of range, or does not go with the method.
    """

    method: str
    neighbours: int = 12
    power: float = 2.0
    radius: float | None = None
    support: float | None = None
    what: str = "value"
    variogram: Variogram | None = None

    def __post_init__(self) -> None:
        for key, value, allowed in (("method", self.method, tuple(METHODS)), ("what", self.what, WHATS)):
            if value not in allowed:
                raise ValueError(f"{key} = {value!r}; allowed are {', '.join(allowed)}")
        for key in ("power", "radius", "support"):
            value = getattr(self, key)
            if value is not None and not 0.0 < value < math.inf:
                raise ValueError(f"{key} = {value!r}; it must be positive")
        fewest = 3 if self.method == "rbf" else 1
        if not fewest <= self.neighbours <= MOST_NEIGHBOURS:
            raise ValueError(
                f"neighbours = {self.neighbours}; {fewest} to {MOST_NEIGHBOURS} are allowed with {self.method}"
            )
        if self.method not in LOCAL and self.radius is not None:
            raise ValueError(f"radius is for {', '.join(LOCAL)}; with {self.method} state support in its place")
        if self.method != "kriging" and (self.what != "value" or self.variogram is not None):
            key = "variogram" if self.variogram is not None else f'what = "{self.what}"'
            raise ValueError(f'{key} is for method = "kriging" only; {self.method} has none')
