"""Scores of slabs on an NVIDIA card, several slabs at a time: each thread that computes has a stream, its lane.

    slot, pinned -- copies --> raw values -- kernel --> memberships -- kernel --> scores --> host
    \\_________________________________ the lane's stream __________________________________/

An ensemble that the second kernel declines (gpu/lstm.py; the reason is said) is scored by XLA:

    slot, pinned -- copies --> raw values -- kernel --> memberships ... DLPack ... chunks, scored by XLA --> host
    \\_______________________ the lane's stream ______________________/            \\__ XLA's stream __/

While the batch of one lane is scored, the other copies its next one. Three promises:

* A slab may be written over when `compute` returns, and not before: copies from pinned memory go on after the call that
  starts them.
* Memberships go to JAX inside the lane's stream, which makes XLA wait for the kernel, and are held until XLA has read
  them: CuPy's pool would give their memory to the lane's next batch.
* XLA scores whole padded chunks of ops/lstm.py by the program that scores them anywhere else, and the kernel gives a
  cell the same bits in any launch. So neither the number of lanes nor that of cells at a time, halved or not, is seen
  in a bit of the maps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from mpmjax.ops import _card, cuda
from mpmjax.ops.gpu.lstm import Fused, refusal
from mpmjax.ops.gpu.membership import kernel_name, membership, uploaded
from mpmjax.ops.gpu.room import IN_FLIGHT, cells_at_a_time, need_of, too_full
from mpmjax.ops.gpu.turns import Batches
from mpmjax.ops.interop import Holder, to_jax
from mpmjax.ops.lstm import CHUNK
from mpmjax.ops.plan import MembershipPlan
from mpmjax.ops.xla.lstm import Xla
from mpmjax.products import CLASS_MAPS, INDEX_MAPS
from mpmjax.types import Slab

KINDS = (INDEX_MAPS, CLASS_MAPS)


class Lanes:
    """Scores slabs on the current card, from as many threads as were prepared for.

    Args:
        plan: of the slabs' layers.
        arrays: a Screener's, as reference/lstm.py documents them.
        min_coverage: share of layers that a cell must have to be scored.
        say: gets a sentence when there is less memory than was reckoned with, and when the kernel declines.

    Raises:
        BackendError: CUDA cannot be used, or JAX does not share the card.
    """

    def __init__(
        self,
        plan: MembershipPlan,
        arrays: Mapping[str, np.ndarray],
        min_coverage: float,
        say: Callable[[str], None],
    ) -> None:
        cuda.array_module()
        _card.share()
        self._plan, self._arrays, self._min_coverage, self._say = plan, arrays, min_coverage, say
        why = refusal(arrays)
        if why is not None:
            say(f"XLA scores this ensemble on the card, which is slower than the kernel made for it: {why}.")
        self._scorer: Fused | Xla = Fused(arrays) if why is None else Xla(arrays)
        self._own = threading.local()
        self._batches: Batches | None = None

    @staticmethod
    def allocate(nbytes: int) -> np.ndarray:
        """Memory for slabs, uint8 [nbytes], pinned."""
        return _card.pinned(nbytes)

    def prepare(self, threads: int, most_cells: int) -> None:
        """Divide the card among so many threads, and bring there what all of them read.

        Args:
            most_cells: of the largest slab.

        Raises:
            MemoryLimitError: not even one chunk a thread fits.
            BackendError: the kernel does not compile.
        """
        need = need_of(self._plan.dtypes, self._arrays, isinstance(self._scorer, Fused))
        cuda.load("membership", kernel_name("float32", "layer", None, True))
        if isinstance(self._scorer, Fused):
            self._scorer.prepare()
        uploaded(self._plan)
        free = _card.free()
        cells = cells_at_a_time(free, need, threads, most_cells)
        _card.limit_pool(free)
        too_many = partial(too_full, free, need, 1)
        self._batches = Batches(cells, CHUNK, _card.is_full, _card.release, self._say, too_many)

    def compute(self, slab: Slab, wanted: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Scores of the wanted cells of a slab that have enough layers; ready, and done with the slab.

        Args:
            wanted: bool [height, width], some of them True.

        Returns:
            Where a cell was scored, bool [height, width], and the scores of these n cells: INDEX_MAPS as float32 [n],
            CLASS_MAPS as uint8 [n].

        Raises:
            MemoryLimitError: the smallest batch does not fit.
        """
        if self._batches is None:
            raise RuntimeError("lanes are prepared before they compute")
        places = np.flatnonzero(wanted)
        parts: list[list[np.ndarray]] = []
        taken = 0
        while taken < len(places):
            parts.append(self._batches(partial(self._batch, slab, places[taken:])))
            taken += parts[-1][0].shape[1]
        *maps, count = (np.concatenate(kind, axis=-1) for kind in zip(*parts, strict=True))
        kept = count / len(self._plan.names) >= self._min_coverage  # a class that a table does not know is missing too
        scored = np.zeros(wanted.shape, bool)
        scored.reshape(-1)[places[kept]] = True
        named = zip(KINDS, maps, strict=True)
        return scored, {n: one[kept] for names, kind in named for n, one in zip(names, kind, strict=True)}

    def _batch(self, slab: Slab, places: np.ndarray, cells: int) -> list[np.ndarray]:
        """Maps [maps, n] of each kind, and layers [n], of those places that lie within `cells` cells of the first."""
        first = int(places[0])
        chosen = places[: np.searchsorted(places, first + cells)] - first
        stream = self._stream()
        with stream, Holder(IN_FLIGHT) as holder:
            try:
                return self._scored(self._sent(slab, first, cells, stream), chosen, holder)
            finally:
                stream.synchronize()

    def _sent(self, slab: Slab, first: int, cells: int, stream: Any) -> tuple[Any, ...]:
        """Start copies and kernel; the buffers that they fill: memberships, validity, then what these are made of.

        Of `cells` cells always, missing ones where the slab ends before: XLA compiles for each length it is given.
        """
        cupy = cuda.array_module()
        there = min(cells, slab.inside.size - first)
        fresh = cupy.empty if there == cells else cupy.zeros
        raw = [fresh(cells, values.dtype) for values in slab.values]
        given = fresh((len(raw), cells), np.bool_)
        for array, values in [*zip(raw, slab.values, strict=True), *zip(given, slab.valid, strict=True)]:
            array[:there].set(values.reshape(-1)[first : first + there], stream=stream)
        mu, valid, _ = membership(raw, self._plan, given)
        return mu, valid, given, *raw

    def _scored(self, buffers: tuple[Any, ...], places: np.ndarray, holder: Holder) -> list[np.ndarray]:
        """Called within the lane's stream; done with the buffers when it returns."""
        if isinstance(self._scorer, Fused):
            return [part.get() for part in self._scorer.launch(buffers[0], buffers[1], places.astype(np.int32))]
        mu, valid = to_jax(buffers[0]), to_jax(buffers[1])
        parts: list[list[Any]] = []
        for start in range(0, len(places), CHUNK):
            chosen = places[start : start + CHUNK]
            chunk = np.zeros(CHUNK, np.int32)  # padded by a cell that is scored in vain; a fresh one, XLA reads it late
            chunk[: len(chosen)] = chosen
            parts.append(holder.hold(buffers, self._scorer.launch(mu, valid, chunk, KINDS)))
            for part in parts[-1]:
                part.copy_to_host_async()
        whole = (np.concatenate([np.asarray(part) for part in kind], axis=-1) for kind in zip(*parts, strict=True))
        return [kind[..., : len(places)] for kind in whole]

    def _stream(self) -> Any:
        """The calling thread's own, which does not wait for work that others put on the default stream."""
        if not hasattr(self._own, "stream"):
            self._own.stream = cuda.array_module().cuda.Stream(non_blocking=True)
        return self._own.stream
