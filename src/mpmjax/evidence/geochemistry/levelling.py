"""Levelling by class: values as distances from the median of their own class, as of their lithology."""

from __future__ import annotations

import numpy as np

from mpmjax.errors import DataError

SMALLEST = 10
"""A class with fewer values has no median and MAD of its own."""

SCALE = 1.4826
"""A MAD times this is the standard deviation of a normal distribution."""

OTHERS = "others"


def level(values: np.ndarray, classes: np.ndarray, label: str) -> tuple[np.ndarray, list[str]]:
    """(x - median of the class) / (1.4826 MAD of the class).

    Classes with fewer than 10 values are pooled into one; if that is still fewer, those samples are missing, and so
    are samples without a class. A class whose MAD is 0 (more than half of its values are the same) keeps its median and
    takes the MAD of all distances from their own medians.

    Args:
        values: float64 [n], NaN missing.
        classes: str as object [n], "" or None for no class.
        label: what messages call the field.

    Returns:
        float64 [n] in robust standard deviations, and notes.

    Raises:
        DataError: no class and no pool of classes has 10 values, or all values of each class are the same.
    """
    values = np.asarray(values, np.float64)
    names = np.array(["" if name is None else str(name) for name in classes], object)
    given = ~np.isnan(values) & (names != "")
    found, number = np.unique(names.astype(str), return_inverse=True)
    counts = np.bincount(number[given], minlength=found.size)
    notes = _unclassed(values, names, label)
    small = (counts > 0) & (counts < SMALLEST)
    pool, numbers = found.size, np.where(small[number], found.size, number)
    large = [int(k) for k in np.flatnonzero(counts >= SMALLEST)]
    if small.any():
        pooled = int(counts[small].sum())
        told = ", ".join(
            f"{name!r} {count}" for name, count in list(zip(found[small].tolist(), counts[small], strict=True))[:6]
        )
        told += " ..." if small.sum() > 6 else ""
        together = pooled >= SMALLEST
        large += [pool] if together else []
        fate = "are levelled together" if together else "are missing, since together they are fewer too"
        notes.append(f"{label}: classes with fewer than {SMALLEST} values ({told}) {fate}.")
    if not large:
        raise DataError(
            f"{label}: no class has {SMALLEST} values, so none has a median to level by. Level by a column of fewer "
            "classes."
        )
    return _levelled(values, given, numbers, large, [*found.tolist(), OTHERS], label, notes), notes


def _levelled(
    values: np.ndarray,
    given: np.ndarray,
    numbers: np.ndarray,
    large: list[int],
    names: list[str],
    label: str,
    notes: list[str],
) -> np.ndarray:
    """Distances from the medians of the classes `large`, in their own scales or in that of all."""
    distances = np.full(values.size, np.nan)
    members = {k: np.flatnonzero(given & (numbers == k)) for k in large}
    for rows in members.values():
        distances[rows] = values[rows] - np.median(values[rows])
    scales = {k: SCALE * float(np.median(np.abs(distances[rows]))) for k, rows in members.items()}
    flat = [names[k] for k, scale in scales.items() if scale == 0.0]
    common = SCALE * float(np.nanmedian(np.abs(distances))) if flat else 0.0
    if flat and common == 0.0:
        raise DataError(
            f"{label}: more than half of the values equal the median of their class, so that no scale is left to level "
            "by. Most may lie below their detection limit: name another column, or do not level it."
        )
    if flat:
        notes.append(
            f"{label}: more than half of the values of {', '.join(map(repr, flat[:6]))} are the same (MAD 0): levelled "
            "by their own median and the MAD of all classes."
        )
    for k, rows in members.items():
        distances[rows] /= scales[k] or common
    return distances


def _unclassed(values: np.ndarray, names: np.ndarray, label: str) -> list[str]:
    count = int((~np.isnan(values) & (names == "")).sum())
    return [f"{label}: {count} of {values.size} samples have no class and are missing."] if count else []
