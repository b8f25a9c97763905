"""Transformations of one column towards a symmetric distribution."""

from __future__ import annotations

import numpy as np
from scipy import special, stats

from mpmjax.errors import DataError
from mpmjax.evidence.remarks import Fact


def log(values: np.ndarray, label: str) -> tuple[np.ndarray, list[str]]:
    """Natural logarithms float64 [n], NaN where a value [n] is missing or not above 0, and notes.

    Raises:
        DataError: no value is above 0.
    """
    positive, notes = _positive(values, label)
    return np.log(positive), notes


def boxcox(values: np.ndarray, label: str) -> tuple[np.ndarray, float, list[str]]:
    """(x^lambda - 1) / lambda, or ln x for lambda = 0, the lambda of the greatest likelihood (Box and Cox 1964).

    Returns:
        float64 [n], NaN where a value [n] is missing or not above 0; lambda; and notes.

    Raises:
        DataError: no two values above 0 differ.
    """
    positive, notes = _positive(values, label)
    own = positive[~np.isnan(positive)]
    if own.min() == own.max():
        raise DataError(
            f"{label}: all of its {own.size} values above 0 are {own[0]:g}: there is nothing to transform. Name "
            "another column."
        )
    # The best lambda is the same for any unit; near 1, powers of large numbers stay finite.
    power = float(stats.boxcox_normmax(own / np.exp(np.log(own).mean()), method="mle"))
    notes.append(Fact(f"{label}: Box-Cox with lambda = {power:.4g}, by the greatest likelihood."))
    return special.boxcox(positive, power), power, notes


def _positive(values: np.ndarray, label: str) -> tuple[np.ndarray, list[str]]:
    """Values above 0, NaN elsewhere; a note of how many are not."""
    values = np.asarray(values, np.float64)
    positive = np.where((values > 0.0) & np.isfinite(values), values, np.nan)
    if np.isnan(positive).all():
        raise DataError(f"{label}: no value is above 0, and only those have a logarithm. Name another column.")
    low = int((values <= 0.0).sum())
    told = (
        f"{label}: {low} of {values.size} values are not above 0 and are missing: they have no logarithm "
        '(censored = "half" keeps values below a detection limit above 0).'
    )
    return positive, [told] if low else []
