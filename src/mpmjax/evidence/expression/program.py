"""An expression that has been read: its steps, what it needs, and its values on arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mpmjax.errors import DataError
from mpmjax.evidence.expression.operations import REASONS, Cells, apply, load
from mpmjax.evidence.expression.text import ExpressionError, quoted

BLOCK = 1 << 16
"""Cells that are evaluated at a time: what is in between stays in the cache, and memory small. It changes no bit."""

BINDING = {
    "or": 1, "and": 2, "not": 3, "<": 4, "<=": 4, ">": 4, ">=": 4, "==": 4, "!=": 4,
    "+": 5, "-": 5, "*": 6, "/": 6, "negative": 7, "**": 8,
}  # fmt: skip
"""How tightly each operator binds, the loosest first."""

ATOM = 9


@dataclass(frozen=True)
class Step:
    """One step of a stack machine: push a number or a layer, or take `operands` values and push what comes of them.

    Attributes:
        operation: "number", "name", or a key of operations.
        value: of a number.
        name: of a layer.
        operands: how many values an operation takes.
        start: where it stands in the text, from 0; two expressions that differ only here are equal.
    """

    operation: str
    value: float = 0.0
    name: str = ""
    operands: int = 0
    start: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Expression:
    """A formula over named layers, as `parse` makes it. Equal where the steps are, however they were written.

    Attributes:
        text: as it was written.
        steps: in the order of evaluation (reverse Polish), constants folded.
    """

    text: str = field(compare=False)
    steps: tuple[Step, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The layers it needs, in the order of their first use."""
        return tuple(dict.fromkeys(step.name for step in self.steps if step.operation == "name"))

    def evaluate(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """The values of each cell, float64 of the arrays' shape; missing (NaN) by the rules of the package.

        Args:
            arrays: at least those of `names`, real numbers of one shape; NaN, infinite and masked are missing.

        Raises:
            ExpressionError: a name that is not among the arrays.
            DataError: arrays of different shapes, or of no real numbers.
        """
        return self.evaluate_counted(arrays)[0]

    def evaluate_counted(self, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, int]]:
        """`evaluate`, and how many cells are missing for a reason of the expression's own, by reason.

        A cell is counted once, where all layers that it needs are there and the result is not defined for them. The
        reasons are those of operations.REASONS; one that does not occur is left out.
        """
        needed = self._needed(arrays)
        shape = next(iter(needed.values())).shape
        flat = {name: values.reshape(-1) for name, values in needed.items()}
        result = np.empty(int(np.prod(shape)))
        counts = np.zeros(256, np.int64)
        for start in range(0, result.size, BLOCK):
            block = slice(start, start + BLOCK)
            cells = self._run({name: values[block] for name, values in flat.items()})
            result[block] = cells.values
            if cells.why is not None:
                counts += np.bincount(np.broadcast_to(cells.why, result[block].shape), minlength=256)
        found = {reason: int(counts[code]) for code, reason in REASONS.items() if counts[code]}
        return result.reshape(shape), found

    def _needed(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for step in self.steps:
            if step.operation == "name" and step.name not in arrays:
                raise ExpressionError(f"no values were given for {step.name!r}", self.text, step.start)
            if step.operation == "name":
                found[step.name] = _numbers(arrays[step.name], step.name)
        (first, of_first), *rest = found.items()
        for name, values in rest:
            if values.shape != of_first.shape:
                raise DataError(
                    f"expression {self.text!r:.80}: {first!r} has the shape {of_first.shape} and {name!r} has "
                    f"{values.shape}. Put both on one grid."
                )
        return found

    def _run(self, arrays: Mapping[str, np.ndarray]) -> Cells:
        layers = {name: load(values.astype(np.float64)) for name, values in arrays.items()}
        stack: list[Cells] = []
        for step in self.steps:
            if step.operation == "name":
                stack.append(layers[step.name])
            elif step.operation == "number":
                stack.append(Cells(np.asarray(step.value), None))
            else:
                operands = stack[-step.operands :]
                del stack[-step.operands :]
                stack.append(apply(step.operation, operands))
        (cells,) = stack
        # A layer by itself may hold an infinity, which is missing.
        return cells if cells.why is None else Cells(np.where(cells.why == 0, cells.values, np.nan), cells.why)

    def renamed(self, names: Mapping[str, str]) -> Expression:
        """The same formula over other names; those that `names` does not hold stay."""
        steps = tuple(
            Step(step.operation, step.value, names.get(step.name, step.name), step.operands, step.start)
            for step in self.steps
        )
        return Expression(self.text, steps)

    def __str__(self) -> str:
        """Written anew: single blanks, only the brackets that are needed. Reads back as an equal expression."""
        stack: list[tuple[str, int]] = []
        for step in self.steps:
            operands = stack[len(stack) - step.operands :]
            del stack[len(stack) - step.operands :]
            stack.append(_written(step, operands))
        return stack[0][0]


def undefined(counts: Mapping[str, int]) -> str:
    """What `evaluate_counted` counted, as a sentence; empty if it counted nothing."""
    parts = [f"{count} by {reason}" for reason, count in counts.items() if count]
    return f"cells where the expression is not defined are missing: {', '.join(parts)}." if parts else ""


def _numbers(values: np.ndarray, name: str) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    values = np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name!r} holds {values.dtype}, and an expression takes real numbers.")
    return values


def _written(step: Step, operands: list[tuple[str, int]]) -> tuple[str, int]:
    """Text of a step's result and how tightly it binds."""
    if step.operation == "number":
        return repr(step.value), BINDING["negative"] if str(step.value).startswith("-") else ATOM
    if step.operation == "name":
        return quoted(step.name), ATOM
    binding = BINDING.get(step.operation)
    if binding is None:
        return f"{step.operation}({', '.join(text for text, _ in operands)})", ATOM
    if step.operation in ("not", "negative"):
        sign = "not " if step.operation == "not" else "-"
        return sign + _bracketed(operands[0], binding), binding
    left, right = sides(step.operation)
    text = f"{_bracketed(operands[0], left)} {step.operation} {_bracketed(operands[1], right)}"
    return text, binding


def sides(operation: str) -> tuple[int, int]:
    """How tightly the left and the right operand of a binary operator have to bind to go without brackets."""
    binding = BINDING[operation]
    if operation == "**":
        return ATOM, BINDING["negative"]
    return (binding + 1 if binding == BINDING["<"] else binding), binding + 1


def _bracketed(operand: tuple[str, int], least: int) -> str:
    text, binding = operand
    return text if binding >= least else f"({text})"
