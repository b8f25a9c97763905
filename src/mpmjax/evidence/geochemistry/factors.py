"""Factors of a composition by robust principal components, and the mineralization probability index of their scores.

The parts become pivot coordinates, in which a covariance has full rank; its robust estimate is the minimum covariance
determinant, so that anomalous samples do not turn the axes towards themselves; loadings are shown as clr, one a part:
Filzmoser, Hron, Reimann (2009), Principal component analysis for compositional data with outliers, Environmetrics 20.
Scores are divided by the root of their component's robust variance, so that F = 1 is a robust standard deviation. The
index is GMPI = exp(F) / (1 + exp(F)): Yousefi, Kamkar-Rouhani, Carranza (2012), Geochemical mineralization probability
index (GMPI), Journal of Geochemical Exploration 115.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import special
from sklearn.covariance import MinCovDet

from mpmjax.errors import DataError
from mpmjax.evidence.geochemistry.compositions import Composition, pivot_basis, table
from mpmjax.ops.logratio import logratio

FIT_ROWS = 5_000
"""Samples from which the covariance is estimated; of more, so many are drawn."""
SEED = 0
_FEWEST, _ADVISED = 2, 5
_FLAT = 1e-10


@dataclass(frozen=True)
class Factors:
    """Robust principal components of a composition.

    Attributes:
        parts: names, D.
        loadings: float64 [D, D - 1], clr loadings, one column a factor; orthonormal columns that sum to 0.
        variances: float64 [D - 1], robust, descending.
        centre: float64 [D - 1], in pivot coordinates.
        coordinates: float64 [n, D - 1], the pivot coordinates of all samples, NaN in rows that are missing.
        notes: how they were estimated, as sentences.
    """

    parts: tuple[str, ...]
    loadings: np.ndarray
    variances: np.ndarray
    centre: np.ndarray
    coordinates: np.ndarray
    notes: list[str]

    def scores(self, number: int, towards: str | None = None) -> np.ndarray:
        """Scores float64 [n] of a factor, from 1, in robust standard deviations, NaN missing.

        Args:
            towards: the part whose loading is to be positive; None for the one with the greatest loading.

        Raises:
            ValueError: there is no such factor, or it does not vary.
        """
        k = number - 1
        if not 0 <= k < self.variances.size:
            raise ValueError(f"factor {number} does not exist: {len(self.parts)} parts have {self.variances.size}")
        if self.variances[k] <= _FLAT * self.variances[0]:
            raise ValueError(f"factor {number} does not vary: parts depend on each other. Ask for a lower number")
        own = self.loadings[:, k]
        lead = int(np.abs(own).argmax()) if towards is None else self.parts.index(towards)
        axis = pivot_basis(len(self.parts)) @ own * (1.0 if own[lead] >= 0.0 else -1.0)
        return (self.coordinates - self.centre) @ (axis / np.sqrt(self.variances[k]))


def fit_factors(composition: Composition, label: str) -> Factors:
    """Robust principal components; the same samples give the same factors.

    Raises:
        DataError: there are too few complete samples, or nothing varies.
    """
    parts, deltas = table(composition)
    coordinates = logratio(parts, "ilr", deltas=deltas)
    complete = np.flatnonzero(~np.isnan(coordinates).any(axis=1))
    width = coordinates.shape[1]
    if complete.size <= _FEWEST * width:
        raise DataError(
            f"{label}: {complete.size} complete samples are too few for factors of {width + 1} parts; more than "
            f"{_FEWEST * width} are needed, {_ADVISED * width} advised. Leave out parts that few samples have."
        )
    notes = []
    if complete.size < _ADVISED * width:
        notes.append(f"{label}: {complete.size} samples are few for {width + 1} parts; {_ADVISED * width} are advised.")
    rows = complete
    if complete.size > FIT_ROWS:
        rows = np.sort(np.random.default_rng(SEED).choice(complete, FIT_ROWS, replace=False))
        notes.append(f"{label}: factors are estimated from {FIT_ROWS} of {complete.size} samples, drawn at random.")
    centre, covariance = _robust(coordinates[rows], label, notes)
    variances, axes = np.linalg.eigh(covariance)
    order = np.argsort(variances)[::-1]
    if not variances[order[0]] > 0.0:
        raise DataError(f"{label}: the log-ratios of the parts do not vary. Check the columns of the composition.")
    loadings = pivot_basis(width + 1).T @ axes[:, order]
    return Factors(tuple(composition.columns), loadings, variances[order], centre, coordinates, notes)


def gmpi(scores: np.ndarray) -> np.ndarray:
    """exp(F) / (1 + exp(F)) of factor scores [n], float64 in (0, 1), NaN missing."""
    return special.expit(np.asarray(scores, np.float64))


def _robust(points: np.ndarray, label: str, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Centre [d] and covariance [d, d] by the minimum covariance determinant; its warnings become notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = MinCovDet(random_state=SEED).fit(points)
        except ValueError as error:
            raise DataError(
                f"{label}: no robust covariance can be estimated ({error}). Most samples may hold the same values in "
                "some parts: leave those out."
            ) from error
    for text in dict.fromkeys(str(warning.message).split(". ")[0].rstrip(".") for warning in caught):
        notes.append(f"{label}: the robust covariance is doubtful ({text}). Parts may depend on each other.")
    return np.asarray(found.location_, np.float64), np.asarray(found.covariance_, np.float64)
