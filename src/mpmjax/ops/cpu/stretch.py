"""Memberships of a stretch of cells of many layers, for kernels that go on with them while they are in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mpmjax.ops._compile import compiled
from mpmjax.ops.cpu.membership import all_layers
from mpmjax.ops.plan import MembershipPlan


class Records(NamedTuple):
    """A stack of layers, ready for `fuzzify_stretch`: addresses, int64 [L], and the plan's arrays."""

    raw: np.ndarray
    given: np.ndarray
    sizes: np.ndarray
    records: np.ndarray
    tables: np.ndarray
    knots: np.ndarray
    inverse: np.ndarray
    reach: np.ndarray
    first_bin: np.ndarray
    guides: np.ndarray
    halves: np.ndarray
    weights: np.ndarray
    joined: np.ndarray


def records_of(values: Sequence[np.ndarray], plan: MembershipPlan, given: Sequence[np.ndarray] | np.ndarray) -> Records:
    """Contiguous arrays of L layers in the planned dtypes, and their masks (bool, False where missing). They must live
    as long as the records, which know nothing but where they are."""
    return Records(
        np.array([array.ctypes.data for array in values], np.int64),
        np.array([mask.ctypes.data for mask in given], np.int64),
        np.array([array.itemsize for array in values], np.int64),
        plan.records,
        plan.tables,
        plan.knots,
        *plan.guides,
        np.empty(0, np.uint16),
        np.ones(len(values)),
        np.empty(0, np.float32),
    )


@compiled
def fuzzify_stretch(layers, start, size, mu, valid):
    """Memberships of cells `start` to `start + size`: [L, size] at the beginning of mu float32 and valid uint8."""
    end = layers.raw.size * size
    all_layers(
        layers.raw + start * layers.sizes,
        layers.given + start,
        size,
        layers.records,
        layers.tables,
        layers.knots,
        layers.inverse,
        layers.reach,
        layers.first_bin,
        layers.guides,
        False,
        mu[:end],
        layers.halves,
        valid[:end],
        -1,
        0.0,
        layers.weights,
        layers.joined,
    )
