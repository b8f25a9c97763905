"""What is done with values that are no plain measurements, and with samples at one place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from mpmjax.evidence.samples.units import factor_of

CENSORED: Mapping[str, float] = {
    "half": 0.5,
    "sqrt2": 1 / math.sqrt(2),
    "limit": 1.0,
    "zero": 0.0,
    "missing": math.nan,
}
"""By what a detection limit is multiplied to stand for a value below it.

Half, and 1 / sqrt(2), are the means of a uniform and of a triangular density below the limit (Hornung and Reed 1990,
Estimation of average concentration in the presence of nondetectable values).
"""

NEGATIVE = ("limit", "missing", "keep")
DUPLICATES = ("median", "mean", "first", "refuse")


@dataclass(frozen=True)
class Rules:
    """Rules of one file of samples.

    Attributes:
        censored: what a value below its detection limit ("<5") becomes: half of the limit, the limit over sqrt(2),
            the limit, zero, or missing.
        negative: what -5 means: "limit" (below a limit of 5), "missing", or "keep" (the number).
        duplicates: samples at one place: "median" or "mean" of what was measured, the "first" value of each column, or
            "refuse".
        units: column -> its unit (ppm, ppb, %, mg/kg, g/t ...). Those columns are converted to mg/kg; oxides stay
            oxides.

    Raises:
        ValueError: a rule or a unit that does not exist.
    """

    censored: str = "half"
    negative: str = "missing"
    duplicates: str = "median"
    units: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, allowed in (("censored", CENSORED), ("negative", NEGATIVE), ("duplicates", DUPLICATES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} = {getattr(self, name)!r}; allowed: {', '.join(allowed)}")
        for column, unit in self.units.items():
            factor_of(unit, column)
