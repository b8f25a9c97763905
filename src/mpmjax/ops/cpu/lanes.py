"""What computes the slabs of a pass: the ways from raw values to maps, each of them on many threads at once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from mpmjax.ops.cpu.lstm import Cpu
from mpmjax.ops.lstm import Scorer
from mpmjax.ops.membership import Memberships, membership
from mpmjax.ops.plan import MembershipPlan
from mpmjax.products import CLASS_MAPS, INDEX_MAPS
from mpmjax.types import Slab


class Lanes(Protocol):
    """What computes slabs, several at a time."""

    def allocate(self, nbytes: int) -> np.ndarray:
        """Memory for slabs, uint8 [nbytes]."""
        ...

    def prepare(self, threads: int, most_cells: int) -> None:
        """Make ready for so many threads and cells of a slab."""
        ...

    def compute(self, slab: Slab, maps: Mapping[str, np.ndarray]) -> np.ndarray:
        """Score the cells inside the study area that have enough layers, into `maps` [height, width], whose other cells
        stay as they are; which were scored, bool. The slab may be written over when it returns."""
        ...


class FusedLanes:
    """Each thread by itself on the CPU, from raw values to maps without a stop: no array of the tile's memberships."""

    def __init__(self, plan: MembershipPlan, arrays: Mapping[str, np.ndarray], min_coverage: float) -> None:
        self._plan, self._scorer, self._min_coverage = plan, Cpu(arrays), min_coverage

    def allocate(self, nbytes: int) -> np.ndarray:
        return np.empty(nbytes, np.uint8)

    def prepare(self, threads: int, most_cells: int) -> None:
        """Nothing is divided: memory is what stream/room.py reckoned with."""

    def compute(self, slab: Slab, maps: Mapping[str, np.ndarray]) -> np.ndarray:
        floats, classes = [maps[name] for name in INDEX_MAPS], [maps[name] for name in CLASS_MAPS]
        return self._scorer.screen(
            slab.values, self._plan, slab.valid, slab.inside, self._min_coverage, floats, classes
        )


class InOrder(Protocol):
    """Lanes that give the scores of the cells they scored, one after the other: HostLanes, ops/gpu/lanes.py."""

    def allocate(self, nbytes: int) -> np.ndarray: ...

    def prepare(self, threads: int, most_cells: int) -> None: ...

    def compute(self, slab: Slab, wanted: np.ndarray) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """Where wanted cells were scored, and their scores."""
        ...


class HostLanes:
    """Each thread by itself, in memory of the host, one op after the other."""

    def __init__(self, fuzzify: TileMemberships, scorer: Scorer, min_coverage: float) -> None:
        self._fuzzify, self._scorer, self._min_coverage = fuzzify, scorer, min_coverage

    def allocate(self, nbytes: int) -> np.ndarray:
        return np.empty(nbytes, np.uint8)

    def prepare(self, threads: int, most_cells: int) -> None:
        """Nothing is divided: memory is what stream/room.py reckoned with."""

    def compute(self, slab: Slab, wanted: np.ndarray) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        mu, valid, _ = self._fuzzify(slab)
        # A class that is not in a category's table is missing too.
        scored = wanted & (valid.mean(axis=0) >= self._min_coverage)
        return scored, self._scorer.score(mu[:, scored], valid[:, scored])


class Placed:
    """Lanes whose scores are put to their places on the tile."""

    def __init__(self, lanes: InOrder, min_coverage: float) -> None:
        self._lanes, self._min_coverage = lanes, min_coverage
        self.allocate, self.prepare = lanes.allocate, lanes.prepare

    def compute(self, slab: Slab, maps: Mapping[str, np.ndarray]) -> np.ndarray:
        wanted = slab.inside & (slab.valid.mean(axis=0) >= self._min_coverage)
        if not wanted.any():
            return wanted
        scored, scores = self._lanes.compute(slab, wanted)
        for name, values in maps.items():
            values[scored] = scores[name]
        return scored


class TileMemberships:
    """Memberships of slabs by one plan, from many threads.

    On the CPU a thread writes into the arrays of its last tile again, if that had the same shape: on fresh ones the
    page faults take longer than the memberships.

    Args:
        backend: by the names of ops/backend.py.
    """

    def __init__(self, plan: MembershipPlan, backend: str) -> None:
        self._plan, self._backend = plan, backend
        self._last = threading.local()

    def __call__(self, slab: Slab) -> Memberships:
        """As ops/membership.py gives them, as NumPy arrays; good until the thread's next tile."""
        last: Memberships | None = getattr(self._last, "memberships", None)
        again = last is not None and last.valid.shape == slab.valid.shape
        found = membership(slab.values, self._plan, slab.valid, backend=self._backend, out=last if again else None)
        if self._backend in ("auto", "cpu"):
            self._last.memberships = found
        return found.on_host()
