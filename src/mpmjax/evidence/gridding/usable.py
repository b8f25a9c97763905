"""What of the samples can be gridded: with a value, in an order of their own, at places that are told apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree

from mpmjax.errors import DataError
from mpmjax.evidence.gridding.methods import FEWEST, METHODS
from mpmjax.evidence.vector.features import box_text
from mpmjax.ops.gridding import Scattered
from mpmjax.reference.gridding import SAME_PLACE
from mpmjax.types import Grid


class Usable(NamedTuple):
    """Samples, the median distance in metres of a place to the next (0 where there is one place only), and notes."""

    samples: Scattered
    spacing: float
    notes: list[str]


def usable_samples(x: np.ndarray, y: np.ndarray, values: np.ndarray, grid: Grid, method: str, label: str) -> Usable:
    """Samples with a value, sorted from the top and from the left, so that their order in the file does not matter.

    Args:
        x, y, values: float64 [n], in the grid's CRS; NaN values are missing.

    Raises:
        DataError: fewer than the method needs; places that are not finite; two samples at one place, of which all but
            inverse distances cannot take the mean.
    """
    x, y, values = (np.asarray(array, np.float64) for array in (x, y, values))
    there = np.isfinite(values)
    if not (np.isfinite(x[there]) & np.isfinite(y[there])).all():
        count = int((~(np.isfinite(x[there]) & np.isfinite(y[there]))).sum())
        raise DataError(f"{label}: {count} samples have a value and no place. Check their coordinates and their CRS.")
    if there.sum() < FEWEST[method]:
        raise DataError(
            f"{label}: {int(there.sum())} of {x.size} samples have a value; {METHODS[method]} "
            f"{'takes' if method == 'kriging' else 'take'} {FEWEST[method]} at least. Check the field and the file."
        )
    notes: list[str] = []
    if not there.all():
        notes.append(f"{label}: {int((~there).sum())} of {x.size} samples have no value and were left out.")
    across, down, values = x[there] - grid.transform.c, grid.transform.f - y[there], values[there]
    order = np.lexsort((values, across, down))
    samples = Scattered(across[order], down[order], values[order], grid.cell_size)
    spacing, same = _spacing(samples)
    if same and method != "idw":
        first = int(np.flatnonzero(_at_one_place(samples))[0])
        place = samples.x[first] + grid.transform.c, grid.transform.f - samples.y[first]
        raise DataError(
            f"{label}: {same} samples lie at a place with another one, first at ({place[0]:.2f}, {place[1]:.2f}): "
            f'{METHODS[method]} has no solution. Merge them by duplicates = "median" of [[samples]].'
        )
    if same:
        notes.append(f"{label}: {same} samples lie at a place with another one: there the mean of them is taken.")
    return Usable(samples, spacing, notes)


def check_reach(samples: Scattered, grid: Grid, support: float, label: str) -> None:
    """Refuse samples that are all farther from the grid than any cell may be from its nearest sample.

    Raises:
        DataError: they are.
    """
    width, height = grid.width * grid.cell_size[0], grid.height * grid.cell_size[1]
    beyond_x = np.maximum(np.maximum(-samples.x, samples.x - width), 0.0)
    beyond_y = np.maximum(np.maximum(-samples.y, samples.y - height), 0.0)
    if np.hypot(beyond_x, beyond_y).min() > support:
        left, top = grid.transform.c, grid.transform.f
        box = (
            left + samples.x.min(),
            top - samples.y.max(),
            left + samples.x.max(),
            top - samples.y.min(),
        )
        raise DataError(
            f"{label}: none of the {samples.x.size} samples lies within {support:g} m of the grid: they lie at "
            f"{box_text(box)}, the grid spans {box_text(grid.bounds)}. Check the CRS of the samples, or raise support."
        )


def _spacing(samples: Scattered) -> tuple[float, int]:
    """Median distance of a place to the next, and how many samples share a place."""
    shared = _at_one_place(samples)
    places = np.stack((samples.x, samples.y), axis=1)
    if shared.any():
        places = np.unique(places, axis=0)
    if len(places) < 2:
        return 0.0, int(shared.sum())
    away, _ = KDTree(places).query(places, k=2)
    return float(np.median(away[:, 1])), int(shared.sum())


def _at_one_place(samples: Scattered) -> np.ndarray:
    """bool [n]: samples at most SAME_PLACE from another one."""
    places = np.stack((samples.x, samples.y), axis=1)
    pairs = KDTree(places).query_pairs(SAME_PLACE, output_type="ndarray")
    shared = np.zeros(samples.x.size, bool)
    shared[pairs.ravel()] = True
    return shared
