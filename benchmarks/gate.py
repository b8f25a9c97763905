"""No speed on a red gate: what a case is, and how an output is judged before anything is timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True)
class Verdict:
    """How far an output is from the definition.

    Attributes:
        error: largest difference, in the output's own unit; NaN never passes.
        tolerance: largest error let through.
        complaint: what is wrong beyond numbers (shape, missing cells), or empty.
    """

    error: float
    tolerance: float
    complaint: str = ""

    @property
    def passed(self) -> bool:
        return not self.complaint and self.error <= self.tolerance

    def __str__(self) -> str:
        return self.complaint or f"error {self.error:.2g}, allowed {self.tolerance:.2g}"


@dataclass(frozen=True)
class Missing:
    """A rival that cannot run here, and why. Reported, never left out in silence."""

    reason: str


@dataclass(frozen=True)
class Case:
    """One op on one input, with its judge and its rivals. All calls are ready to go and take no argument.

    Attributes:
        variant: what distinguishes the input: dtype, kind, sizes.
        unit: what is counted: values, cells, or px (a cell through one ensemble member).
        work: how many units one call does.
        bytes_moved: bytes that any implementation has to read and write once.
        operations: multiplications and additions that are needed at least, 0 for a pass over memory.
        op: the function under test.
        reference: the float64 definition of the same name.
        judge: (output, reference output) -> Verdict, with the tolerance of the op.
        why: where the tolerance comes from.
        rivals: other implementations of the same result, by name.
        rival_tolerance: error up to which a rival still computes the same thing; beyond it, it is not timed.
        looser: the same for rivals that compute in fewer digits, by name; their error is reported.
        parts: what the op does besides other things, by name, with its own units of work: the report says how many
            times as long a unit of the op takes.
        clock_reference: False where the definition is too slow for the full size: it then judges small inputs only.
        spot: judges the op's full-size output at a few cells, where the definition cannot judge all of it.
        host_clocked: rivals whose work the device's clock does not see; nothing on the CPU.
    """

    variant: str
    unit: str
    work: int
    bytes_moved: int
    operations: int
    op: Callable[[], Any]
    reference: Callable[[], Any]
    judge: Callable[[Any, Any], Verdict]
    why: str
    rivals: Mapping[str, Callable[[], Any] | Missing] = field(default_factory=dict)
    rival_tolerance: float = 1e-3
    clock_reference: bool = True
    spot: Callable[[], Verdict] | None = None
    host_clocked: frozenset[str] = frozenset()
    looser: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, tuple[Callable[[], Any], int]] = field(default_factory=dict)


class Inexact(NamedTuple):
    """What a rival computes that is right but for a few values, those not far off; the case's judge says how many."""

    values: np.ndarray


class Rivals(NamedTuple):
    """Rivals that run and compute the same thing with their errors, and the others with the reason."""

    able: dict[str, Callable[[], Any]]
    unable: dict[str, str]
    errors: dict[str, float]


def close(got: Any, wanted: Any, tolerance: float) -> Verdict:
    """Largest absolute difference of two arrays of one shape that miss (NaN) the same cells."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.shape != wanted.shape:
        return Verdict(np.inf, tolerance, f"shape {got.shape}, the reference has {wanted.shape}")
    missing = np.isnan(wanted)
    differing = int((np.isnan(got) != missing).sum())
    if differing:
        return Verdict(np.inf, tolerance, f"{differing} of {wanted.size} values are missing in one of the two only")
    error = np.abs(got.astype(np.float64) - wanted)[~missing]
    return Verdict(float(error.max(initial=0.0)), tolerance)


def check(case: Case) -> Verdict:
    """Judge the op of a case on its input."""
    return case.judge(case.op(), case.reference())


def check_large(case: Case) -> Verdict | None:
    """Judge the op on its full-size input, as far as that can be done; None where it cannot."""
    if case.clock_reference:
        return check(case)
    return None if case.spot is None else case.spot()


def able_rivals(case: Case) -> Rivals:
    """Judge the rivals of a case on its input."""
    found = Rivals({}, {}, {})
    wanted = case.reference()
    for name, rival in case.rivals.items():
        if isinstance(rival, Missing):
            found.unable[name] = rival.reason
            continue
        verdict = case.judge(rival(), wanted)
        if verdict.complaint or not verdict.error <= case.looser.get(name, case.rival_tolerance):
            found.unable[name] = f"computes something else: {verdict.complaint or f'error {verdict.error:.2g}'}"
        else:
            found.able[name], found.errors[name] = rival, verdict.error
    return found
