"""What each operation of an expression does to cells: float64 in and out, missing stays missing, and why it is.

Cells carry beside their values why a value is missing (uint8, 0 where it is there), so that `where` can take the reason
along with the branch, and what is counted in the end is what shows in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np

INPUT = 1
"""Why: a named layer is missing. The smallest, because it comes before every reason of the expression's own."""

REASONS = {
    2: "division by 0",
    3: "log of a number not above 0",
    4: "root of a negative number",
    5: "negative number to a power that is not whole",
    6: "limits of clip the wrong way round",
    7: "number larger than float64 holds",
}
_DIVISION, _LOG, _ROOT, _POWER, _CLIP, _LARGE = REASONS


class Cells(NamedTuple):
    """values float64 [n] or []; why uint8 that broadcasts to them, None where nothing is missing. Missing is NaN."""

    values: np.ndarray
    why: np.ndarray | None


def load(values: np.ndarray) -> Cells:
    """float64 [n] of a layer; NaN and infinite are missing."""
    missing = ~np.isfinite(values)
    return Cells(values, missing.astype(np.uint8) if missing.any() else None)


def apply(operation: str, operands: Sequence[Cells]) -> Cells:
    """One operation on its operands, by the rules of the package's docstring. Raises no NumPy warning."""
    values = [operand.values for operand in operands]
    with np.errstate(all="ignore"):
        if operation == "where":
            return _choose(*operands)
        result = np.asarray(_COMPUTE[operation](*values), np.float64)
        why = _together([operand.why for operand in operands])
        lost = ~np.isfinite(result)
        if why is None and not lost.any():
            return Cells(result, None)
        own = np.where(lost, _LARGE, 0).astype(np.uint8)
        for reason, fails in _FAILS.get(operation, ()):
            own[fails(*values) & lost] = reason
    why = own if why is None else np.where(why == 0, own, why)
    return Cells(np.where(why == 0, result, np.nan), why)


def _together(whys: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Of several operands' reasons the one that comes first; 0 where none has any."""
    known = [why for why in whys if why is not None]
    if not known:
        return None
    # uint8 wraps: 0 becomes 255, behind every reason.
    return reduce(np.minimum, [why - np.uint8(1) for why in known]) + np.uint8(1)


def _choose(condition: Cells, yes: Cells, no: Cells) -> Cells:
    taken = condition.values != 0
    values = np.where(taken, yes.values, no.values)
    if condition.why is None and yes.why is None and no.why is None:
        return Cells(values, None)
    none = np.uint8(0)
    why = np.where(taken, none if yes.why is None else yes.why, none if no.why is None else no.why)
    if condition.why is not None:
        why = np.where(condition.why == 0, why, condition.why)
    return Cells(np.where(why == 0, values, np.nan), why)


def _clip(value: np.ndarray, lowest: np.ndarray, highest: np.ndarray) -> np.ndarray:
    return np.where(lowest <= highest, np.minimum(np.maximum(value, lowest), highest), np.nan)


_COMPUTE: dict[str, Callable[..., np.ndarray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "**": np.power,
    "negative": np.negative,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "min": lambda *values: reduce(np.minimum, values),
    "max": lambda *values: reduce(np.maximum, values),
    "clip": _clip,
    "log": np.log,
    "log10": np.log10,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
}

_FAILS: dict[str, tuple[tuple[int, Callable[..., np.ndarray]], ...]] = {
    "/": ((_DIVISION, lambda _, divisor: divisor == 0),),
    "**": (
        (_DIVISION, lambda base, _: base == 0),
        (_POWER, lambda base, power: (base < 0) & (power != np.rint(power))),
    ),
    "log": ((_LOG, lambda value: value <= 0),),
    "log10": ((_LOG, lambda value: value <= 0),),
    "sqrt": ((_ROOT, lambda value: value < 0),),
    "clip": ((_CLIP, lambda _, lowest, highest: lowest > highest),),
}
"""Where a result that is not finite has another reason than its size."""
