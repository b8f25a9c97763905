"""Numbers and settings in words, as the report prints them. None and NaN become a dash, never an error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

DASH = "–"
_NARROW_SPACE = "\u202f"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

DIRECTIONS = {1: "high is favourable", -1: "low is favourable", 0: "no direction"}

_KINDS = {
    "linear": "straight line",
    "power": "power of a straight line",
    "large": "high values",
    "small": "low values",
    "gaussian": "near a value (Gaussian)",
    "near": "near a value",
    "ms_large": "high values (mean and spread)",
    "ms_small": "low values (mean and spread)",
    "sigmoid": "S-curve",
    "shoulder": "full to alpha, half at beta, none past gamma",
    "category": "table of scores",
    "ecdf": "rank in the sample",
}
_TRANSFORMS = {"log": "of log₁₀", "sqrt": "of the square root"}
_HEDGES = {"very": "very (μ²)", "somewhat": "somewhat (√μ)"}
_DERIVED = {
    "distance": "distance to",
    "density": "density of",
    "presence": "presence of",
    "buffer": "buffer around",
    "proximity": "proximity to",
    "class": "classes of",
    "horizontal": "horizontal gradient",
    "vertical": "vertical derivative",
    "analytic_signal": "analytic signal",
    "tilt": "tilt angle",
    "upward": "upward continuation",
}
_METHODS = {
    "gamma": "fuzzy gamma overlay",
    "typed mean": "typed mean, the plain overlay",
    "R": "R, favourability told from the latent",
}


def finite(value: Any) -> float | None:
    """The value as a float, or None where it is absent, not a number or not finite."""
    if value is None or isinstance(value, str | bool):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def number(value: Any, digits: int = 3) -> str:
    """A measured value to `digits` significant digits, grouped, without an exponent where that stays short."""
    x = finite(value)
    if x is None:
        return DASH
    if x == 0:
        return "0"
    if not 1e-4 <= abs(x) < 1e7:
        mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
        return _minus(f"{mantissa}\u00a0×\u00a010{str(int(exponent)).translate(_RAISED)}")
    places = max(0, digits - 1 - math.floor(math.log10(abs(x))))
    return _minus(f"{x:,.{places}f}".replace(",", _NARROW_SPACE))


def plain(value: Any) -> str:
    """A setting as someone would type it: at most four significant digits, no trailing zeros."""
    mantissa, times, power = number(value, 4).partition("\u00a0×")
    return (mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa) + times + power


def fixed(value: Any, places: int = 2) -> str:
    """A score with a fixed number of decimals, so that columns line up."""
    x = finite(value)
    return DASH if x is None else _minus(f"{x:.{places}f}")


def signed(value: Any, places: int = 3) -> str:
    """A difference of scores with its sign; "±0.000" where it rounds to nothing."""
    x = finite(value)
    if x is None:
        return DASH
    text = fixed(abs(x), places)
    return f"±{text}" if float(text) == 0.0 else f"{'+' if x > 0 else chr(0x2212)}{text}"


def count(value: Any) -> str:
    """A whole number, grouped by thousands."""
    x = finite(value)
    return DASH if x is None else f"{round(x):,}".replace(",", _NARROW_SPACE)


def percent(value: Any, places: int = 0) -> str:
    """A share in 0..1 as a percentage."""
    x = finite(value)
    if x is None:
        return DASH
    if x == 0:
        return "0 %"
    if 0 < x < 0.5 * 10.0**-places / 100:
        return f"< {10.0**-places:g} %"
    return f"{100 * x:.{places}f} %"


def area(value: Any) -> str:
    """Square kilometres, three significant digits and never fewer than the whole number."""
    return DASH if finite(value) is None else f"{number(value)} km²"


def degrees(value: Any) -> str:
    """Longitude or latitude in degrees; four decimals are about ten metres."""
    return fixed(value, 4)


def duration(value: Any) -> str:
    """Seconds as "0.42 s", "12.3 s", "4 min 05 s" or "2 h 07 min"."""
    x = finite(value)
    if x is None:
        return DASH
    if x < 59.95:
        return f"{x:.2f} s" if x < 9.995 else f"{x:.1f} s"
    minutes, seconds = divmod(round(x), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{count(hours)} h {minutes:02d} min"


def moment(text: Any) -> str:
    """An ISO time to the minute, "2026-11-23 01:57 UTC"; what is no ISO time stays as it is."""
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return printable(text) if text else DASH
    if when.tzinfo is not None:
        return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{when:%Y-%m-%d}" if len(str(text)) <= 10 else f"{when:%Y-%m-%d %H:%M}"


def method(name: str) -> str:
    """A score's name in words."""
    return _METHODS.get(name, name.replace("_", " "))


def membership(record: Mapping[str, Any] | None) -> str:
    """A fitted membership in words and numbers, e.g. "S-curve of log₁₀: i 1.32, k 5.04; turned over (1 − μ)"."""
    if not record:
        return DASH
    kind = printable(record.get("kind") or "")
    words = _KINDS.get(kind, kind or "membership")
    transform = printable(record.get("transform") or "none")
    if transform != "none":
        words += f" {_TRANSFORMS.get(transform, f'of {transform}')}"
    settings = record.get("params") or {}
    slope, low, high = (finite(settings.get(name)) or 0.0 for name in ("slope", "lo", "hi"))
    if slope < 0 or low > high:
        words = f"falling {words}"
    params = [f"{printable(name)}\u00a0{plain(value)}" for name, value in settings.items()]
    parts = [f"{words}: {', '.join(params)}" if params else words]
    if record.get("complement"):
        parts.append("turned over (1\u00a0−\u00a0μ)")
    hedge = printable(record.get("hedge") or "none")
    if hedge != "none":
        parts.append(_HEDGES.get(hedge, hedge))
    return "; ".join(parts)


def origin(record: Mapping[str, Any] | None) -> str:
    """How a layer came onto the grid, e.g. "bilinear, from cells of 4 244 × 4 179 in EPSG:32650"; "" if unknown."""
    if not record:
        return ""
    method, source = printable(record.get("method") or ""), record.get("source") or {}
    stated = record.get("parameters") or {}
    if "features" in source:
        return _with_settings(f"{_DERIVED.get(method, method)} {count(source['features'])} features", stated, "derive")
    if "samples" in source:
        own = {key: value for key, value in stated.items() if value not in ([], {})}
        words = f"{printable(stated.get('field') or '')}, {method} of {count(source['samples'])} samples"
        return _with_settings(words, own, "field")
    if "of" in source:
        words = f"computed from {listed([printable(name) for name in source['of']])}"
        return _with_settings(words, stated)
    width, height = (plain(size) for size in source.get("cell_size") or (None, None))
    cells = f"cells of {width} × {height} in {printable(source.get('crs') or DASH)[:40]}"
    if "derivative" in stated:
        return _with_settings(f"{_DERIVED.get(method, method)}, from {cells}", stated, "derivative")
    return f"as it is, {cells}" if method == "as it is" else f"{method}, from {cells}"


def _with_settings(words: str, stated: Mapping[str, Any], *apart: str) -> str:
    """Words with the settings of the project file behind them, but those that the words tell."""
    own = {key: value for key, value in stated.items() if key not in apart}
    settings = [f"{printable(key).replace('_', ' ')}\u00a0{_setting(value)}" for key, value in own.items()]
    return f"{words}: {', '.join(settings)}" if settings else words


def _setting(value: Any) -> str:
    """A setting of the project file as a reader would write it."""
    if isinstance(value, Mapping):
        return listed([f"{printable(key)}\u00a0{_setting(item)}" for key, item in value.items()])
    if isinstance(value, list):
        return " to ".join(_setting(item) for item in value)
    return plain(value) if finite(value) is not None else printable(value)


def listed(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def printable(text: Any) -> str:
    """One line of text without characters that XML, UTF-8 or a reader cannot take (controls, lone surrogates)."""
    line = " ".join(str(text).split())
    return "".join(char if char.isprintable() or ord(char) in (0x200C, 0x200D) else "\ufffd" for char in line)


def _minus(text: str) -> str:
    return text.replace("-", "\u2212", 1) if text.startswith("-") else text
