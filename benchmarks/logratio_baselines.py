"""The rivals of the log-ratios: NumPy as it is written and in blocks, and composition_stats.

composition_stats (from scikit-bio) wants closed compositions: closing them is part of its work. EIS Toolkit closes
compositions as data frames.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .baselines import with_library
from .gate import Missing

Call = Callable[[], np.ndarray]

BLOCK_ROWS = 512
"""Rows of 40 float64 whose logarithms stay in the L2 cache; 64 to 16,384 rows take the same within a third."""


def pivots(count: int) -> np.ndarray:
    """Orthonormal rows [D - 1, D] of the pivot coordinates."""
    basis = np.zeros((count - 1, count))
    for j in range(count - 1):
        left = count - j
        basis[j, j:] = -1.0 / np.sqrt(left * (left - 1))
        basis[j, j] = np.sqrt((left - 1) / left)
    return basis


def plain(parts: np.ndarray, kind: str, deltas: np.ndarray | None) -> Call:
    """The formulas over whole arrays."""
    basis = pivots(parts.shape[1]).T

    def call() -> np.ndarray:
        logs = np.log(parts if deltas is None else _replaced(parts, deltas))
        if kind == "alr":
            return logs[:, :-1] - logs[:, -1:]
        clr = logs - logs.mean(axis=1, keepdims=True)
        return clr if kind == "clr" else clr @ basis

    return call


def in_blocks(parts: np.ndarray, kind: str, deltas: np.ndarray | None, out: np.ndarray) -> Call:
    """The same by blocks of rows in the cache, into an array that is there."""
    basis = pivots(parts.shape[1]).T
    work = np.empty((BLOCK_ROWS, parts.shape[1]))

    def call() -> np.ndarray:
        for start in range(0, len(parts), BLOCK_ROWS):
            block, into = parts[start : start + BLOCK_ROWS], out[start : start + BLOCK_ROWS]
            logs = work[: len(block)]
            np.log(block if deltas is None else _replaced(block, deltas), out=logs)
            if kind == "alr":
                np.subtract(logs[:, :-1], logs[:, -1:], out=into)
            elif kind == "clr":
                np.subtract(logs, logs.mean(axis=1, keepdims=True), out=into)
            else:
                np.matmul(logs, basis, out=into)
        return out

    return call


def composition_stats(parts: np.ndarray, kind: str) -> Call | Missing:
    """clr, alr and ilr of composition_stats, ilr in the basis of the pivot coordinates."""

    def build(library: object) -> Call:
        closure, clr, alr = (getattr(library, name) for name in ("closure", "clr", "alr"))
        ilr, basis = library.ilr, library.clr_inv(pivots(parts.shape[1]))  # pyright: ignore[reportAttributeAccessIssue]
        if kind == "ilr":
            return lambda: ilr(closure(parts), basis)
        return (lambda: clr(closure(parts))) if kind == "clr" else (lambda: alr(closure(parts), parts.shape[1] - 1))

    return with_library("composition_stats", "composition_stats", build)


def _replaced(parts: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """Zeros by multiplicative replacement; nothing else is missing here."""
    zero = parts == 0.0
    rest = 1.0 - zero @ deltas / parts.sum(axis=1)
    return np.where(zero, deltas, parts * rest[:, None])
