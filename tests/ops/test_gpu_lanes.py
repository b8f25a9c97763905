"""Slabs through lanes of a made-up card: the bits of the host, whatever the lanes, the batches and the memory.

Copies and kernels of the made-up card happen as late as they may (fake_cupy.py), so that what is read or written over
too early gives other maps. The tests with "mutant" in their names show that it does.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from fake_cupy import DEFAULT, Card, Stream
from fake_kernels import installed, ramp_plan
from ops.screener_arrays import random_arrays
from tolerances import assert_same_bits

from mpmjax.errors import MemoryLimitError
from mpmjax.ops import _card, interop
from mpmjax.ops.gpu import lanes as module
from mpmjax.ops.gpu.lanes import Lanes
from mpmjax.ops.lstm import CHUNK, Scorer
from mpmjax.ops.membership import membership
from mpmjax.stream.engine import Pass, Threads
from mpmjax.stream.ring import Ring, Slot
from mpmjax.types import Layer, Slab, Tile

LAYERS, MIN_COVERAGE = 3, 0.5
SHAPE = 96, 128
"""Six chunks, of which about two are wanted."""

ARRAYS = random_arrays(2, LAYERS, 8, 1, 3)
PLAN = ramp_plan(LAYERS)
SCORER = Scorer(ARRAYS, "jax")

Scored = tuple[np.ndarray, dict[str, np.ndarray]]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Card]:
    monkeypatch.setattr(_card, "share", lambda: None)
    monkeypatch.setattr(module, "refusal", lambda arrays: "it is a test of the other form")  # test_gpu_lstm.py: of this
    with installed(monkeypatch, tmp_path) as card:
        card.keep = False
        yield card


def prepared(threads: int = 1, say: Callable[[str], None] = lambda _: None, kind: type[Lanes] = Lanes) -> Lanes:
    lanes = kind(PLAN, ARRAYS, MIN_COVERAGE, lambda words: None if words.startswith("XLA scores") else say(words))
    lanes.prepare(threads, SHAPE[0] * SHAPE[1])
    return lanes


def fill(arrays: tuple[Any, np.ndarray, np.ndarray], seed: int) -> None:
    """What a reader does to a slot."""
    values, valid, inside = arrays
    rng = np.random.default_rng(seed)
    for array in values:
        array[...] = rng.integers(0, 20, array.shape)  # 7 is nodata of the plan
    valid[...] = rng.random(valid.shape) < 0.6
    inside[...] = rng.random(inside.shape) < 0.5
    inside[: 20 * (seed % 3)] = False


def slab_of(seed: int, shape: tuple[int, int] = SHAPE) -> Slab:
    arrays = (
        tuple(np.empty(shape, np.uint8) for _ in range(LAYERS)),
        np.empty((LAYERS, *shape), bool),
        np.empty(shape, bool),
    )
    fill(arrays, seed)
    return Slab(Tile(seed, 0, 0, *shape), *arrays)


def wanted_of(slab: Slab) -> np.ndarray:
    return slab.inside & (slab.valid.mean(axis=0) >= MIN_COVERAGE)


def on_host(slab: Slab) -> Scored:
    found = membership(slab.values, PLAN, slab.valid, backend="cpu")
    scored = wanted_of(slab) & (found.valid.mean(axis=0) >= MIN_COVERAGE)
    return scored, SCORER.score(found.mu[:, scored], found.valid[:, scored])


def differ(got: Scored, expected: Scored) -> bool:
    """Whether any bit of the maps does."""
    if not np.array_equal(got[0], expected[0]):
        return True
    return any(values.tobytes() != expected[1][name].tobytes() for name, values in got[1].items())


def assert_same(got: Scored, expected: Scored) -> None:
    assert_same_bits(got[0], expected[0])
    assert set(got[1]) == {name for kind in module.KINDS for name in kind}
    for name, values in got[1].items():
        assert_same_bits(values, expected[1][name])


def cut(lanes: Lanes, chunks: int) -> Lanes:
    """With so many chunks at a time."""
    assert lanes._batches is not None
    lanes._batches.cells = chunks * CHUNK
    return lanes


@pytest.mark.parametrize("shape", [SHAPE, (1, 1), (45, 46)])
@pytest.mark.parametrize("chunks", [1, 2, 6])
def test_the_bits_of_the_host(card: Card, shape: tuple[int, int], chunks: int) -> None:
    lanes = cut(prepared(), chunks)
    for seed in (0, 3):
        slab = slab_of(seed, shape)
        slab.inside[0, 0] = slab.valid[:, 0, 0] = True
        expected = on_host(slab)
        assert expected[0].sum() < wanted_of(slab).sum() or shape == (1, 1)  # the plan's own nodata counts
        assert_same(lanes.compute(slab, wanted_of(slab)), expected)


def test_nothing_of_what_is_wanted_has_enough_layers(card: Card) -> None:
    slab = slab_of(0)
    for values in slab.values:
        values[:] = 7
    scored, scores = prepared().compute(slab, wanted_of(slab))
    assert not scored.any()
    assert {name: (a.shape, a.dtype.name) for name, a in scores.items() if name in ("anomaly", "groups")} == {
        "anomaly": ((0,), "float32"),
        "groups": ((0,), "uint8"),
    }


def through_a_pass(lanes: Lanes, count: int, threads: int) -> dict[int, Scored]:
    """Tiles through pinned slots that are written over as soon as they are free."""
    layers = [Layer(f"layer {index}", "index", Path("f"), 1, "uint8") for index in range(LAYERS)]
    stages = Threads(2, threads, 1)
    ring = Ring(stages.slots, layers, SHAPE[0] * SHAPE[1], lanes.allocate)

    def read(tile: Tile, slot: Slot) -> Slab:
        fill(slot.arrays(tile), tile.index)
        return Slab(tile, *slot.arrays(tile))

    def compute(slab: Slab) -> tuple[int, Scored]:
        return slab.tile.index, lanes.compute(slab, wanted_of(slab))

    tiles = [Tile(index, 0, 0, *SHAPE) for index in range(count)]
    return dict(Pass(stages, ring, read, compute, lambda result: result)(tiles))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("chunks", [2, 6])
def test_lanes_beside_each_other(card: Card, threads: int, chunks: int) -> None:
    found = through_a_pass(cut(prepared(threads), chunks), 12, threads)
    assert len(card.pinned) == threads + 2
    for seed, got in found.items():
        assert_same(got, on_host(slab_of(seed)))


def test_each_thread_has_a_stream_of_its_own(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[threading.Thread, Stream]] = []

    def make(non_blocking: bool = False) -> Stream:
        made.append((threading.current_thread(), Stream(non_blocking)))
        return made[-1][1]

    monkeypatch.setattr(card.cuda, "Stream", make)
    through_a_pass(prepared(2), 8, 2)
    assert len({id(thread) for thread, _ in made}) == len(made) == 2
    assert not any(stream._work for _, stream in made)


class HandsOver(Lanes):
    """The mutant: `compute` returns when all was started; the results come when somebody asks."""

    def compute(self, slab: Slab, wanted: np.ndarray) -> Any:
        stream = Stream(non_blocking=True)
        with stream:
            buffers = self._sent(slab, 0, SHAPE[0] * SHAPE[1], stream)

        def later() -> Scored:
            places = np.flatnonzero(wanted)
            with stream, interop.Holder() as holder:
                *maps, count = self._scored(buffers, places, holder)
            kept = count / LAYERS >= MIN_COVERAGE
            scored = np.zeros(wanted.size, bool)
            scored[places[kept]] = True
            named = zip(module.KINDS, maps, strict=True)
            return scored.reshape(wanted.shape), {
                name: one[kept] for names, kind in named for name, one in zip(names, kind, strict=True)
            }

        return later


@pytest.mark.parametrize("kind", [Lanes, HandsOver], ids=["lanes", "mutant"])
def test_a_slot_is_written_over_as_soon_as_compute_returns(card: Card, kind: type[Lanes]) -> None:
    lanes, slab = prepared(kind=kind), slab_of(0)
    expected, found = on_host(slab), lanes.compute(slab, wanted_of(slab))
    fill((slab.values, slab.valid, slab.inside), 1)
    got = found() if callable(found) else found
    assert differ(got, expected) is (kind is HandsOver)


def test_a_mutant_that_hands_over_outside_the_stream_is_seen(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    def outside(array: Any) -> Any:
        with DEFAULT:
            return interop.to_jax(array)

    slab = slab_of(0)
    monkeypatch.setattr(module, "to_jax", outside)
    assert differ(prepared().compute(slab, wanted_of(slab)), on_host(slab))


def test_beyond_the_end_of_a_slab_all_is_missing(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """One length for XLA, whatever the slab; no kernel reads what nobody wrote."""
    shared: list[np.ndarray] = []

    def watched(array: Any) -> Any:
        shared.append(np.array(interop.to_jax(array)))
        return interop.to_jax(array)

    monkeypatch.setattr(module, "to_jax", watched)
    lanes = prepared()
    for shape in (SHAPE, (45, 46), (50, 128)):
        slab = slab_of(0, shape)
        assert_same(lanes.compute(slab, wanted_of(slab)), on_host(slab))
        mu, valid = shared[-2:]
        assert mu.shape == valid.shape == (LAYERS, SHAPE[0] * SHAPE[1])
        first, cells = int(np.flatnonzero(wanted_of(slab))[0]), shape[0] * shape[1]
        assert not valid[:, cells - first :].any()
        assert valid[:, : cells - first].any()


def test_buffers_are_held_while_xla_reads_them(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[tuple[Any, ...]] = []
    hold = interop.Holder.hold

    def watched(self: interop.Holder, buffers: Any, results: Any) -> Any:
        held.append(tuple(weakref.ref(buffer) for buffer in buffers))
        assert {buffers[0].dtype.name, buffers[1].dtype.name} == {"float32", "bool"}
        assert len(results) == 3
        return hold(self, buffers, results)

    monkeypatch.setattr(interop.Holder, "hold", watched)
    slab = slab_of(0)
    prepared().compute(slab, wanted_of(slab))
    chunks = -(-int(wanted_of(slab).sum()) // CHUNK)
    assert len(held) == chunks
    assert all(reference() is None for references in held for reference in references)  # and no longer


@pytest.mark.parametrize("failing", [{1}, {3}, {6}, {1, 2}, {2, 7}])
def test_the_card_runs_out_and_the_maps_are_the_same(card: Card, failing: set[int]) -> None:
    said: list[str] = []
    lanes, slab = prepared(say=said.append), slab_of(0)
    card.pool.fail = frozenset(failing)
    freed = card.pool.freed
    assert_same(lanes.compute(slab, wanted_of(slab)), on_host(slab))
    assert card.pool.freed - freed == len(failing)
    assert len(said) == 1
    assert "The card ran out of memory (Out of memory allocating" in said[0]
    assert "6,144 cells at a time" in said[0]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_pool_that_holds_a_chunk_and_a_half_is_enough(card: Card, threads: int) -> None:
    said: list[str] = []
    lanes = prepared(threads, say=said.append)
    card.pool.limit = int(1.5 * CHUNK * LAYERS * 7)
    for seed, got in through_a_pass(lanes, 6, threads).items():
        assert_same(got, on_host(slab_of(seed)))
    assert len(said) == 1
    assert lanes._batches is not None
    assert lanes._batches.cells == CHUNK
    assert card.pool.most <= card.pool.limit


def test_xla_runs_out(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a batch, with chunks on their way."""
    said: list[str] = []
    lanes, slab = prepared(say=said.append), slab_of(0)
    launch, calls = lanes._scorer.launch, []

    def sometimes(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.")
        return launch(*arguments)

    monkeypatch.setattr(lanes._scorer, "launch", sometimes)
    assert_same(lanes.compute(slab, wanted_of(slab)), on_host(slab))
    assert "RESOURCE_EXHAUSTED" in said[0]


def test_no_memory_at_all_ends_the_pass_with_what_was_needed(card: Card) -> None:
    lanes, slab = prepared(), slab_of(0)
    card.pool.limit = 1000
    with pytest.raises(MemoryLimitError, match=r"3 layers with 2 members in 1 lane needs about .* MiB .*Out of memory"):
        lanes.compute(slab, wanted_of(slab))
    assert card.pool.used == 0
    card.free = 1 << 20
    with pytest.raises(MemoryLimitError, match="1 MiB are free"):
        lanes.prepare(2, 1000)


def test_another_error_waits_for_the_copies_before_it_is_raised(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slot's memory may be gone when the pass has ended."""
    lanes, slab = prepared(), slab_of(0)

    def fails(*_: Any) -> None:
        raise jax.errors.JaxRuntimeError("INTERNAL: it failed")

    monkeypatch.setattr(module, "to_jax", fails)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        lanes.compute(slab, wanted_of(slab))
    assert not lanes._stream()._work


def test_lanes_that_were_not_prepared(card: Card) -> None:
    slab = slab_of(0)
    with pytest.raises(RuntimeError, match="prepared"):
        Lanes(PLAN, ARRAYS, MIN_COVERAGE, print).compute(slab, wanted_of(slab))
