"""Compositions: closed to a sum, freed of zeros, and their logarithms column by column.

The zero rule is the multiplicative replacement of Martín-Fernández, Barceló-Vidal and Pawlowsky-Glahn (2003), Dealing
with zeros and missing values in compositional data sets using nonparametric imputation, Mathematical Geology 35: see
mpmjax.reference.logratio. A zero becomes `SHARE` of the part's detection limit, at which that paper finds the least
distortion; where no limit is stated, the smallest value of the part above 0 stands for it.

Log-ratios of whole tables [n, D] are mpmjax.ops.logratio; what is here makes single columns without holding the table
of logarithms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mpmjax.errors import DataError

SHARE = 0.65
"""Share of the detection limit that a zero becomes."""


def closure(parts: np.ndarray, total: float = 1.0) -> np.ndarray:
    """Rows of parts [n, D] >= 0 scaled to the sum `total`, float64; NaN where a part is missing or the sum is 0.

    Raises:
        ValueError: not two-dimensional, a negative part, or a total that is not > 0.
    """
    parts = np.asarray(parts, np.float64)
    if parts.ndim != 2 or not total > 0.0:
        raise ValueError(f"closure needs parts [n, D] and a total > 0, got {parts.shape} and {total:g}")
    if (parts < 0.0).any():
        raise ValueError("a part is negative; a composition has none")
    sums = parts.sum(axis=1, keepdims=True)
    return parts * (total / np.where((sums > 0.0) & np.isfinite(sums), sums, np.nan))


def pivot_basis(count: int) -> np.ndarray:
    """Orthonormal rows float64 [D - 1, D]: clr @ basis.T are the pivot coordinates, and these @ basis the clr again.

    Row j, from 1, is sqrt((D - j) / (D - j + 1)) (0 .. 0, 1, -1 / (D - j) ..): Fišerová and Hron (2011).
    """
    basis = np.zeros((count - 1, count))
    for j in range(count - 1):
        after = count - 1 - j
        basis[j, j] = 1.0
        basis[j, j + 1 :] = -1.0 / after
        basis[j] *= np.sqrt(after / (after + 1))
    return basis


@dataclass(frozen=True)
class Composition:
    """Columns of one composition, zeros to be replaced when their logarithms are taken.

    Attributes:
        columns: part -> float64 [n], in any unit, each part in its own.
        deltas: part -> what its zeros become, > 0; every part is there.
        shift: float64 [n], the logarithm of what the parts of a row that are no zeros are multiplied by (0 in rows
            without zeros), NaN in rows that are missing.
        notes: what was replaced or is missing, as sentences.
    """

    columns: Mapping[str, np.ndarray]
    deltas: Mapping[str, float]
    shift: np.ndarray
    notes: list[str]

    def log(self, part: str) -> np.ndarray:
        """Natural logarithms float64 [n] of a part, NaN in rows that are missing."""
        column = self.columns[part]
        zero = column == 0.0
        logs = np.log(np.where(column > 0.0, column, 1.0))
        logs += self.shift
        logs[zero] = np.log(self.deltas[part]) + 0.0 * self.shift[zero]
        return logs

    def mean_log(self, parts: Sequence[str]) -> np.ndarray:
        """The logarithm float64 [n] of the geometric mean of some parts."""
        total = np.zeros(self.shift.size)
        for part in parts:
            total += self.log(part)
        return total / len(parts)


def compose(
    values: Mapping[str, np.ndarray], parts: Sequence[str], label: str, limits: Mapping[str, float] | None = None
) -> Composition:
    """Parts of a table as one composition.

    Args:
        values: column -> float64 [n], NaN missing.
        parts: at least two of the columns.
        label: what messages call the field.
        limits: detection limits > 0 by column, for those that state one.

    Raises:
        DataError: a part has no value above 0, or no row is complete.
    """
    columns = {part: np.asarray(values[part], np.float64) for part in parts}
    deltas = {part: SHARE * _limit(part, columns[part], (limits or {}).get(part), label) for part in parts}
    size = next(iter(columns.values())).size
    usable, negative = np.ones(size, bool), np.zeros(size, bool)
    total, lost = np.zeros(size), np.zeros(size)
    for part, column in columns.items():
        usable &= np.isfinite(column)
        negative |= column < 0.0
        total += np.where(column > 0.0, column, 0.0)
        lost[column == 0.0] += deltas[part]
    nothing = usable & ~negative & (lost >= total)
    keep = usable & ~negative & ~nothing
    if not keep.any():
        raise DataError(
            f"{label}: no sample has a value > 0 or a detection limit for each of the {len(parts)} parts. Leave parts "
            "out that were measured in few samples."
        )
    shift = np.full(size, np.nan)
    shift[keep] = np.log1p(-lost[keep] / total[keep])
    notes = [*_zeros_told(columns, deltas, keep, label)]
    for rows, why in (
        (~usable, "one of the parts is missing"),
        (usable & negative, "one of the parts is negative"),
        (nothing, "the detection limits of its zeros are as much as all that was measured"),
    ):
        if rows.any():
            notes.append(f"{label}: missing at {rows.sum()} of {size} samples, where {why}.")
    return Composition(columns, deltas, shift, notes)


def table(composition: Composition) -> tuple[np.ndarray, np.ndarray]:
    """The parts float64 [n, D] and their deltas [D], in the order of the columns, for mpmjax.ops.logratio."""
    parts = np.column_stack(list(composition.columns.values()))
    return parts, np.array([composition.deltas[part] for part in composition.columns])


def _limit(part: str, column: np.ndarray, stated: float | None, label: str) -> float:
    if stated is not None and stated > 0.0:
        return stated
    smallest = np.min(column, where=column > 0.0, initial=np.inf)
    if not np.isfinite(smallest):
        raise DataError(f"{label}: the part {part!r} has no value above 0. Leave it out of the composition.")
    return float(smallest)


def _zeros_told(
    columns: Mapping[str, np.ndarray], deltas: Mapping[str, float], keep: np.ndarray, label: str
) -> list[str]:
    counts = {part: int(((column == 0.0) & keep).sum()) for part, column in columns.items()}
    told = [f"{part} {count} by {deltas[part]:g}" for part, count in counts.items() if count]
    if not told:
        return []
    shown = ", ".join(told[:6]) + (f" and {len(told) - 6} more parts" if len(told) > 6 else "")
    return [
        (
            f"{label}: zeros are replaced by {SHARE:g} of the detection limit, or of the smallest value above 0 "
            f"(multiplicative replacement): {shown}."
        )
    ]
