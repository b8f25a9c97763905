"""Units of concentrations by mass. All become mg/kg; what is weighed stays: SiO2 in % becomes mg of SiO2 a kg."""

from __future__ import annotations

from collections.abc import Mapping

FACTORS: Mapping[str, float] = {
    "mg/kg": 1.0,
    "ppm": 1.0,
    "g/t": 1.0,
    "gpt": 1.0,
    "ug/g": 1.0,
    "ppb": 1e-3,
    "ug/kg": 1e-3,
    "mg/t": 1e-3,
    "ng/g": 1e-3,
    "ppt": 1e-6,
    "ng/kg": 1e-6,
    "%": 1e4,
    "pct": 1e4,
    "percent": 1e4,
    "wt%": 1e4,
    "wt.%": 1e4,
    "wt %": 1e4,
    "wt. %": 1e4,
    "g/kg": 1e3,
    "kg/t": 1e3,
}
"""Unit, in lower case and with u for micro -> mg/kg. ppt is a part in 10^12, by mass as all of them."""

WHOLE = 1e6
"""mg in a kg: no concentration is above it."""


def factor_of(unit: str, column: str) -> float:
    """What a value in this unit is multiplied by to be in mg/kg.

    Raises:
        ValueError: an unknown unit; the message names the column.
    """
    plain = " ".join(unit.split()).lower().replace("µ", "u").replace("μ", "u")
    if plain not in FACTORS:
        raise ValueError(f"the unit of {column!r} is {unit!r}; allowed: {', '.join(FACTORS)}")
    return FACTORS[plain]
