"""Samples at one place become one sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpmjax.errors import DataError


@dataclass(frozen=True)
class Places:
    """Which rows lie at one place.

    Attributes:
        first: int64 [p], the first row of each place, ascending.
        group: int64 [n], the place of each row, by its number in `first`.
    """

    first: np.ndarray
    group: np.ndarray

    @property
    def repeated(self) -> int:
        """How many rows lie where another row lies before them."""
        return self.group.size - self.first.size


def find_places(x: np.ndarray, y: np.ndarray) -> Places:
    """Rows with exactly the same coordinates, float64 [n], lie at one place."""
    both = np.column_stack((x, y)) + 0.0  # -0.0 is 0.0
    _, first, group = np.unique(both, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    return Places(first[order], rank[group.reshape(-1)])


def merge_values(values: np.ndarray, places: Places, how: str) -> np.ndarray:
    """One value a place, float64 [p]: the median, the mean or the first of those [n] that are not missing."""
    given = np.flatnonzero(~np.isnan(values))
    group, own = places.group[given], values[given]
    counts = np.bincount(group, minlength=places.first.size)
    merged = np.full(places.first.size, np.nan)
    there = counts > 0
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))[there]
    if how == "first":
        merged[there] = own[np.argsort(group, kind="stable")][starts]
    elif how == "mean":
        merged[there] = np.bincount(group, own, places.first.size)[there] / counts[there]
    else:
        own = own[np.lexsort((own, group))]
        merged[there] = (own[starts + (counts[there] - 1) // 2] + own[starts + counts[there] // 2]) / 2
    return merged


def merge_flags(flags: np.ndarray, places: Places) -> np.ndarray:
    """bool [p]: whether any row of a place has the flag [n]."""
    return np.bincount(places.group, flags, places.first.size) > 0


def merge_labels(labels: np.ndarray, places: Places) -> tuple[np.ndarray, int]:
    """The first label of each place that is not "", object [p], and how many places have several."""
    merged = np.full(places.first.size, "", object)
    given = np.flatnonzero(labels != "")
    groups, first = np.unique(places.group[given], return_index=True)
    merged[groups] = labels[given[first]]
    differ = labels[given] != merged[places.group[given]]
    return merged, np.unique(places.group[given[differ]]).size


def refuse_repeats(places: Places, x: np.ndarray, y: np.ndarray, label: str) -> None:
    """Say that several samples lie at one place, and where the first of these is.

    Raises:
        DataError: always.
    """
    again = np.setdiff1d(np.arange(places.group.size), places.first)[0]
    raise DataError(
        f"{label}: {places.repeated} of {places.group.size} samples lie where another one lies, the first at "
        f"{x[again]:.10g}, {y[again]:.10g}. Remove them, or choose what they become: "
        'duplicates = "median", "mean" or "first".'
    )
