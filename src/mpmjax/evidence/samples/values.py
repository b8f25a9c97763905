"""Rules for what is no plain measurement: limits, negatives, words; and the conversion to mg/kg."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpmjax.errors import DataError
from mpmjax.evidence.samples.cells import ABOVE, BELOW, MEASURED, MISSING, UNDETECTED, Cells
from mpmjax.evidence.samples.rules import CENSORED, Rules
from mpmjax.evidence.samples.units import WHOLE, factor_of

_BECOMES = {
    "half": "count as half of it",
    "sqrt2": "count as the limit over the root of 2",
    "limit": "count as the limit",
    "zero": "count as 0",
    "missing": "are missing",
}


@dataclass(frozen=True)
class Settled:
    """A column after the rules.

    Attributes:
        values: float64 [n], NaN missing; in mg/kg where the column has a unit.
        censored: bool [n], below a detection limit or above an upper limit.
        limit: the smallest stated detection limit, in the units of `values`; None where none is stated.
        notes: what was replaced, as sentences.
    """

    values: np.ndarray
    censored: np.ndarray
    limit: float | None
    notes: list[str]


def settle(cells: Cells, column: str, rules: Rules, label: str) -> Settled:
    """Values of a column.

    Raises:
        DataError: nothing was measured, or more than the whole.
    """
    numbers, kinds, notes = cells.numbers.copy(), cells.kinds.copy(), []
    who = f"{label}: column {column!r}"
    _negatives(numbers, kinds, rules, who, notes)
    below = kinds == BELOW
    limit = float(numbers[below].min()) if below.any() else None
    _undetected(numbers, kinds, limit, who, notes)
    below, above = kinds == BELOW, kinds == ABOVE
    if below.any():
        limits = numbers[below]
        span = f"{limits.min():g}" if limits.min() == limits.max() else f"{limits.min():g} to {limits.max():g}"
        notes.append(
            f"{who}: {below.sum()} of {len(kinds)} values lie below their detection limit ({span}) and "
            f"{_BECOMES[rules.censored]} (censored = {rules.censored!r})."
        )
        numbers[below] *= CENSORED[rules.censored]
    if above.any():
        notes.append(f"{who}: {above.sum()} of {len(kinds)} values lie above the upper limit and count as that limit.")
    values, factor = numbers, 1.0
    if column in rules.units:
        factor = factor_of(rules.units[column], column)
        values = numbers * factor
        _require_a_part(values, numbers, rules.units[column], who)
    if not np.isfinite(values).any():
        raise DataError(f"{who} holds no value: every cell is blank, a word for missing, or left out by the rules.")
    return Settled(values, (below | above) & np.isfinite(values), None if limit is None else limit * factor, notes)


def _negatives(numbers: np.ndarray, kinds: np.ndarray, rules: Rules, who: str, notes: list[str]) -> None:
    """Negative measurements become limits or missing, as the rules say; in place."""
    negative = (kinds == MEASURED) & (numbers < 0.0)
    if rules.negative == "keep" or not negative.any():
        return
    missing = negative
    if rules.negative == "limit":
        # A detection limit above all that was measured is a code for something else, like -88.
        highest = np.max(numbers, where=(kinds != MISSING) & (numbers > 0.0), initial=0.0)
        limits = negative & ((-numbers <= highest) | (highest == 0.0))
        numbers[limits] *= -1.0
        kinds[limits] = BELOW
        missing = negative & ~limits
        advice = "more than all that was measured: no detection limit"
    else:
        advice = 'negative = "limit" if -5 means below 5, negative = "keep" if they are measurements'
    if missing.any():
        values = numbers[missing]
        notes.append(
            f"{who}: {missing.sum()} of {len(kinds)} values are negative ({values.min():g} to {values.max():g}) and "
            f"count as missing ({advice})."
        )
        numbers[missing], kinds[missing] = np.nan, MISSING


def _undetected(numbers: np.ndarray, kinds: np.ndarray, limit: float | None, who: str, notes: list[str]) -> None:
    """Words like BDL get a limit: the smallest stated one, else the smallest measured value; in place."""
    words = kinds == UNDETECTED
    if not words.any():
        return
    found = numbers[(kinds == MEASURED) & (numbers > 0.0)]
    if limit is None and not found.size:
        numbers[words], kinds[words] = np.nan, MISSING
        notes.append(f"{who}: {words.sum()} of {len(kinds)} values are not detected, no limit is known: missing.")
        return
    taken = float(found.min()) if limit is None else limit
    source = "smallest value measured" if limit is None else "smallest limit stated"
    numbers[words], kinds[words] = taken, BELOW
    notes.append(
        f"{who}: {words.sum()} of {len(kinds)} values are not detected and state no limit: taken as below {taken:g}, "
        f"the {source}. Write <limit in their place if you know it."
    )


def _require_a_part(values: np.ndarray, numbers: np.ndarray, unit: str, who: str) -> None:
    """A concentration above the whole means another unit."""
    over = np.flatnonzero(values > WHOLE * (1 + 1e-9))
    if over.size:
        raise DataError(
            f"{who}: {numbers[over[0]]:g} {unit} is more than the whole sample ({over.size} such values). State the "
            "right unit in units = { ... }."
        )
