"""What a membership case is made of, wherever it runs: a stack of layers, what is wanted of it, and who judges it.

Op and rivals hand back (mu, valid, overlay) like mpmjax.ops.membership.Memberships, None for what was not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpmjax.ops.membership import Memberships
from mpmjax.ops.plan import MembershipPlan, Overlay, plan_memberships
from mpmjax.reference.membership import membership as reference_membership
from mpmjax.reference.overlay import overlay as reference_overlay
from mpmjax.types import Membership

from . import inputs
from .gate import Verdict, close

ULP = 2.0**-23
"""Spacing of float32 just above 1: results in [0, 1] are rounded by at most half of it."""

SPOT = 65_536
"""Cells of a large raster on which its output is judged."""


@dataclass(frozen=True)
class Wanted:
    """What is computed of a stack; the arguments of `membership` by the same names."""

    dtype: str = "float32"
    order: str = "layer"
    overlay: Overlay | None = None
    memberships: bool = True

    def __str__(self) -> str:
        joined = f"{self.overlay.kind} overlay" if self.overlay is not None else ""
        return f"{self.order}-major {self.dtype}" if self.memberships else f"{joined} only"

    def arguments(self) -> dict[str, Any]:
        return dict(vars(self))

    def bytes_a_cell(self, layers: int, raw: int) -> int:
        """Read and written once by anyone: raw values of `raw` bytes, their mask, and what is wanted."""
        out = layers * (np.dtype(self.dtype).itemsize + 1) if self.memberships else 0
        return layers * (raw + 1) + out + (4 if self.overlay else 0)

    def tolerance(self) -> tuple[float, str]:
        """Largest error of the op, and why it may be so large."""
        if not self.memberships:
            return 4 * ULP, "joined from float32 memberships half an ulp off, in float64, and rounded once to float32"
        if self.dtype == "float16":
            return 2.0**-12 + ULP, "rounded to float16: half of its spacing below 1, 2^-11, and the float32 rounding"
        return ULP, "computed in float64 and rounded once to float32 in [0, 1]: half an ulp, and as much again in hand"


@dataclass(frozen=True)
class Stack:
    """L layers of n cells with their memberships.

    Attributes:
        name: what distinguishes it.
        values: L arrays [n] in the dtype of their file, on the host.
        given: bool [L, n], False where a layer is missing.
        fitted: L memberships.
        plan: of them.
    """

    name: str
    values: Sequence[np.ndarray]
    given: np.ndarray
    fitted: Sequence[Membership]
    plan: MembershipPlan

    @classmethod
    def of(cls, name: str, values: Sequence[np.ndarray], given: np.ndarray, fitted: Sequence[Membership]) -> Stack:
        """With the plan of layers that have neither nodata nor units: masks and NaN say what is missing."""
        layers = [inputs.layer(index, array.dtype.name) for index, array in enumerate(values)]
        return cls(name, values, given[: len(values)], fitted, plan_memberships(layers, fitted))

    @property
    def layers(self) -> int:
        return len(self.values)

    @property
    def cells(self) -> int:
        return self.values[0].size

    def tables(self) -> list[np.ndarray]:
        """The tables of all layers, or none: a rival by tables needs them all."""
        found = [self.plan.table(index) for index in range(self.layers)]
        return [table for table in found if table is not None] if all(table is not None for table in found) else []

    def bytes_moved(self, wanted: Wanted) -> int:
        return self.cells * wanted.bytes_a_cell(self.layers, self.values[0].itemsize)

    def reference(self, wanted: Wanted, cells: Any = slice(None)) -> np.ndarray:
        """What is wanted of some cells by definition, float64: [L, n], or [n] for an overlay; NaN where missing."""
        mu = np.stack(
            [
                np.where(there[cells], reference_membership(x[cells], **fitted.arguments()), np.nan)
                for x, there, fitted in zip(self.values, self.given, self.fitted, strict=True)
            ]
        )
        if wanted.overlay is None:
            return mu
        rounded, overlay = mu.astype(np.float32), wanted.overlay
        weights = None if overlay.weights is None else np.array(overlay.weights)
        return reference_overlay(rounded, np.isfinite(mu), overlay.kind, overlay.gamma, weights)

    def spot(self, op: Callable[[], Memberships], wanted: Wanted, seed: int = 0) -> Verdict:
        """The op on the whole stack, judged at its first, its last and random cells."""
        picked = np.random.default_rng(seed).integers(0, self.cells, min(SPOT, self.cells))
        picked[0], picked[-1] = 0, self.cells - 1
        return judge(op(), self.reference(wanted, picked), wanted, picked)


def judge(got: Any, expected: np.ndarray, wanted: Wanted, cells: Any = slice(None)) -> Verdict:
    """Compare an output with `Stack.reference`; of the output, only `cells` are looked at."""
    tolerance = wanted.tolerance()[0]
    if wanted.overlay is not None:
        return close(on_host(got[2])[cells], expected, tolerance)
    mu, valid = (on_host(array) for array in got[:2])
    if wanted.order == "cell":
        mu, valid = mu.T, valid.T
    if mu.dtype != wanted.dtype or valid.dtype != np.bool_:
        return Verdict(np.inf, tolerance, f"dtypes {mu.dtype} and {valid.dtype}, not {wanted.dtype} and bool")
    mu, valid = mu[:, cells].astype(np.float64), valid[:, cells]
    if mu.shape != valid.shape or mu[~valid].any():
        return Verdict(np.inf, tolerance, "mu is not 0 wherever valid is False")
    return close(np.where(valid, mu, np.nan), expected, tolerance)


def on_host(array: Any) -> np.ndarray:
    """An array of NumPy, JAX, CuPy or torch as one of NumPy."""
    get = getattr(array, "get", None) or getattr(array, "cpu", None)  # of CuPy, of torch
    return np.asarray(array if get is None else get())


def arrays(xp: Any, stack: Stack, wanted: Wanted) -> Memberships:
    """Empty outputs for what is wanted of a stack, by NumPy or CuPy."""
    shape = (stack.layers, stack.cells) if wanted.order == "layer" else (stack.cells, stack.layers)
    return Memberships(
        xp.empty(shape, wanted.dtype) if wanted.memberships else None,
        xp.empty(shape, np.bool_) if wanted.memberships else None,
        xp.empty(stack.cells, np.float32) if wanted.overlay is not None else None,
    )
