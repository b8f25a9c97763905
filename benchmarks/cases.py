"""One case an op: its input, made from a seed, the op, its definition, and its rivals.

A builder takes a random generator and the side of a square raster in cells, and returns or yields the variants of its
case. The tolerances stand with the cases, with their reasons, as the benchmarks' own: tests have theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from . import (
    file_cases,
    fuzzy_cases,
    gridding_cases,
    group_cases,
    logratio_cases,
    network_cases,
    raster_cases,
    scorer_cases,
    sweep_cases,
    training_cases,
)
from .gate import Case

Builder = Callable[[np.random.Generator, int], Iterable[Case]]

CASES: dict[str, Builder] = {
    "membership": fuzzy_cases.membership,
    "overlay": fuzzy_cases.overlay,
    "distance": raster_cases.distance,
    "density": raster_cases.density,
    "label": raster_cases.label,
    "gridding": gridding_cases.gridding,
    "groups": group_cases.groups,
    "logratio": logratio_cases.logratio,
    "decode": file_cases.decode,
    "encode": file_cases.encode,
    "lstm": network_cases.lstm,
    "scorer": scorer_cases.scorer,
    "sweep": sweep_cases.sweep,
    "train": training_cases.train,
}

SEVERAL_CORES = ("lstm", "scorer", "train")
"""Those that can be timed on more than one core."""
