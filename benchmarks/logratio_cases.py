"""The case of log-ratios: samples of forty elements, complete and with zeros."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mpmjax.ops.logratio import logratio as op_logratio
from mpmjax.reference.logratio import logratio as reference_logratio

from . import logratio_baselines
from .baselines import EIS_TOOLKIT
from .gate import Case, Missing, Verdict, close

ELEMENTS = 40
ZEROS = 0.02
"""Share of zeros: more than half of the rows hold one."""
TOLERANCE = 1e-12
"""Logarithms up to 15 by a polynomial of 1e-15, and sums of 40 of them."""
SPOT_ROWS = 4_096


def logratio(rng: np.random.Generator, side: int) -> Iterator[Case]:
    """A quarter as many samples as cells: a million for a side of 2048."""
    rows = max(1, side * side // 4)
    parts = np.exp(rng.normal(rng.uniform(-3.0, 6.0, ELEMENTS), 1.0, (rows, ELEMENTS)))
    for kind in ("clr", "alr", "ilr"):
        yield _case(parts, kind, None, f"{kind}, {ELEMENTS} elements")
    parts = np.where(rng.random(parts.shape) < ZEROS, 0.0, parts)
    deltas = 0.65 * np.min(parts, axis=0, where=parts > 0.0, initial=np.inf)
    yield _case(parts, "clr", deltas, f"clr, {ELEMENTS} elements, {ZEROS:.0%} zeros replaced")


def _case(parts: np.ndarray, kind: str, deltas: np.ndarray | None, variant: str) -> Case:
    width = ELEMENTS if kind == "clr" else ELEMENTS - 1
    out, theirs = np.empty((len(parts), width)), np.empty((len(parts), width))
    some = np.linspace(0, len(parts) - 1, SPOT_ROWS).astype(np.int64)

    def spot() -> Verdict:
        wanted = reference_logratio(parts[some], kind, deltas=deltas)
        return _judge(op_logratio(parts, kind, deltas=deltas, out=out)[some], wanted)

    library = Missing("composition_stats replaces zeros by one share of closed parts for all elements")
    return Case(
        variant=variant,
        unit="rows",
        work=len(parts),
        bytes_moved=parts.nbytes + out.nbytes,
        operations=0,
        op=lambda: op_logratio(parts, kind, deltas=deltas, out=out),
        reference=lambda: reference_logratio(parts, kind, deltas=deltas),
        judge=_judge,
        why="logarithms by a polynomial of 1e-15, up to 15 in size, and sums of 40",
        rivals={
            "ours, fresh arrays": lambda: op_logratio(parts, kind, deltas=deltas),
            "NumPy": logratio_baselines.plain(parts, kind, deltas),
            "NumPy in blocks": logratio_baselines.in_blocks(parts, kind, deltas, theirs),
            "composition_stats": logratio_baselines.composition_stats(parts, kind) if deltas is None else library,
            "EIS Toolkit": EIS_TOOLKIT,
        },
        rival_tolerance=1e-9,
        clock_reference=False,
        spot=spot,
    )


def _judge(got: np.ndarray, wanted: np.ndarray) -> Verdict:
    return close(got, wanted, TOLERANCE)
