"""Log-ratios of compositions: what is left of parts of a whole when the size of the whole is taken away.

For the parts x_1 .. x_D > 0 of a row, in any unit, each part in its own; g is the geometric mean:

| kind | formula | values a row |
|------|---------|---|
| clr | ln(x_j / g(x_1 .. x_D)) | D, their sum is 0 |
| alr | ln(x_j / x_d), d the denominator, j all others in order | D - 1 |
| ilr | sqrt((D - j) / (D - j + 1)) ln(x_j / g(x_{j+1} .. x_D)), j = 1 .. D - 1: pivot coordinates | D - 1 |

Zeros have no logarithm. Where `deltas` are given, they are replaced multiplicatively before: in a row whose parts sum
to t and whose zeros have deltas that sum to s, a zero becomes its delta and every other part x becomes x (1 - s / t).
The sum stays t, and ratios of parts that are no zeros stay as they are. A row is missing (NaN) if one of its parts is
missing, infinite or negative, if it holds a zero and no deltas are given, or if s >= t: nothing would be left of what
was measured.

Sources: Aitchison (1986), The Statistical Analysis of Compositional Data (clr, alr); Egozcue et al. (2003), Isometric
logratio transformations for compositional data analysis, Mathematical Geology 35; Fišerová and Hron (2011), On the
interpretation of orthonormal coordinates for compositional data, Mathematical Geosciences 43 (pivot coordinates);
Martín-Fernández, Barceló-Vidal, Pawlowsky-Glahn (2003), Dealing with zeros and missing values in compositional data
sets using nonparametric imputation, Mathematical Geology 35 (multiplicative replacement).
"""

from __future__ import annotations

import numpy as np

KINDS = ("clr", "alr", "ilr")


def logratio(parts: np.ndarray, kind: str, *, denominator: int = -1, deltas: np.ndarray | None = None) -> np.ndarray:
    """Log-ratios of every row, by the formulas of this module's docstring.

    Args:
        parts: [n, D], D >= 2.
        kind: clr, alr or ilr.
        denominator: which part alr divides by, -D to D - 1.
        deltas: [D], finite, > 0, what zeros are replaced by, in the units of the parts.

    Returns:
        float64 [n, D] for clr, [n, D - 1] for alr and ilr, NaN in rows that are missing.

    Raises:
        ValueError: an unknown kind, another shape, no such denominator, or deltas that cannot be.
    """
    parts = np.asarray(parts, np.float64)
    deltas = checked(parts.shape, kind, denominator, deltas)
    logs = np.full(parts.shape, np.nan)
    for row, own in zip(parts, logs, strict=True):
        own[:] = logarithms(row, deltas)
    if kind == "clr":
        return logs - logs.mean(axis=1, keepdims=True)
    if kind == "alr":
        return np.delete(logs, denominator, axis=1) - logs[:, [denominator]]
    count = parts.shape[1]
    pivots = [
        np.sqrt((count - j) / (count - j + 1)) * (logs[:, j - 1] - logs[:, j:].mean(axis=1)) for j in range(1, count)
    ]
    return np.stack(pivots, axis=1)


def logarithms(row: np.ndarray, deltas: np.ndarray | None) -> np.ndarray:
    """Natural logarithms [D] of the parts of a row, its zeros replaced; NaN where it is missing."""
    zero = row == 0.0
    if not np.isfinite(row).all() or (row < 0.0).any() or (zero.any() and deltas is None):
        return np.full(row.size, np.nan)
    logs = np.log(np.where(zero, 1.0, row))
    if deltas is None or not zero.any():
        return logs
    total, lost = row.sum(), deltas[zero].sum()
    # Added to the logarithm, for a product of a subnormal part would be rounded to few digits.
    return np.where(zero, np.log(deltas), logs + np.log1p(-lost / total)) if lost < total else np.full(row.size, np.nan)


def checked(shape: tuple[int, ...], kind: str, denominator: int, deltas: np.ndarray | None) -> np.ndarray | None:
    """The deltas as float64 [D], or None; raises the ValueErrors of `logratio`."""
    if kind not in KINDS:
        raise ValueError(f"unknown log-ratio {kind!r}; allowed: {', '.join(KINDS)}")
    if len(shape) != 2 or shape[1] < 2:
        raise ValueError(f"parts must have the shape [n, D] with D >= 2, got {shape}")
    if kind == "alr" and not -shape[1] <= denominator < shape[1]:
        raise ValueError(f"denominator {denominator} is none of {shape[1]} parts")
    if deltas is None:
        return None
    deltas = np.asarray(deltas, np.float64)
    if deltas.shape != shape[1:] or not np.isfinite(deltas).all() or (deltas <= 0.0).any():
        raise ValueError(f"deltas must be {shape[1]} finite numbers > 0")
    return deltas
