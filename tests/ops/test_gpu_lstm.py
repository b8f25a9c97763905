"""The fused form on a made-up card, by the kernel's own source on emulated warps; and lanes that score with it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_cupy import Array, Card, current
from fake_kernels import installed, ramp_plan
from ops.screener_arrays import random_arrays, random_cells, ranked
from tolerances import SCORER_HALVES, assert_close, assert_same_bits
from warp_emulator import emulator

from mpmjax.errors import MemoryLimitError
from mpmjax.ops import _card, cuda
from mpmjax.ops.gpu.lanes import KINDS, Lanes
from mpmjax.ops.gpu.lstm import Fused, refusal
from mpmjax.ops.gpu.room import FusedNeed, cells_at_a_time, need_of
from mpmjax.ops.lstm import CHUNK
from mpmjax.ops.membership import membership
from mpmjax.products import CLASS_MAPS, INDEX_MAPS
from mpmjax.reference.lstm import score
from mpmjax.stream.engine import Pass, Threads
from mpmjax.stream.ring import Ring, Slot
from mpmjax.types import Layer, Slab, Tile

LAYERS, MIN_COVERAGE = 3, 0.5
SHAPE = 64, 80
ARRAYS = ranked(random_arrays(2, LAYERS, 8, 1, 3))
PLAN = ramp_plan(LAYERS)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Card]:
    monkeypatch.setattr(_card, "share", lambda: None)
    with installed(monkeypatch, tmp_path) as card:
        card.kernels |= emulator().kernels()
        yield card


def sent(card: Card, mu: np.ndarray, valid: np.ndarray) -> tuple[Array, Array]:
    return card.asarray(np.ascontiguousarray(mu, np.float32)), card.asarray(np.ascontiguousarray(valid))


def test_it_scores_what_is_asked_for(card: Card) -> None:
    x, present = random_cells(300, LAYERS)
    cells = np.random.default_rng(0).integers(0, 300, 77).astype(np.int32)
    maps, classes, there = (part.get() for part in Fused(ARRAYS).launch(*sent(card, x.T, present.T), cells))
    expected = score(x[cells][..., None], present[cells], ARRAYS)
    for name, values in zip(INDEX_MAPS, maps, strict=True):
        assert_close(values, expected[name], SCORER_HALVES)
    for name, values in zip(CLASS_MAPS, classes, strict=True):
        assert (values != expected[name]).mean() <= 0.01
    assert_same_bits(there, present[cells].sum(axis=1, dtype=np.int32))
    (name, grid, block, _), *more = card.launches
    assert (name, grid, block, more) == ("lstm_score_h16", (2,), (128,), [])


def test_features_of_a_step(card: Card) -> None:
    arrays = random_arrays(1, LAYERS, 20, 2, 2, features=5)
    x, present = random_cells(40, LAYERS)
    mu = np.random.default_rng(1).uniform(size=(40, LAYERS, 5)).astype(np.float32)
    cells = np.arange(40, dtype=np.int32)
    maps, _, _ = Fused(arrays).launch(*sent(card, mu.transpose(1, 2, 0), present.T), cells)
    expected = score(mu, present, arrays)
    assert_close(maps.get()[0], expected["prospectivity"], SCORER_HALVES)
    with pytest.raises(ValueError, match=r"float32 \[3, 5\] and cells, got float32 of shape \(3, 40\)"):
        Fused(arrays).launch(*sent(card, x.T, present.T), cells)


def test_no_cells_are_no_launch(card: Card) -> None:
    maps, classes, there = Fused(ARRAYS).launch(*sent(card, np.zeros((3, 5)), np.ones((3, 5), bool)), cells_of())
    assert (maps.shape, classes.shape, there.shape) == ((7, 0), (3, 0), (0,))
    assert not card.launches


def cells_of(*cells: int) -> np.ndarray:
    return np.array(cells, np.int32)


@pytest.mark.parametrize(
    ("mu", "valid", "cells", "words"),
    [
        (np.zeros((4, 5), np.float32), np.ones((4, 5), bool), cells_of(0), r"float32 \[3, 1\] and cells"),
        (np.zeros((3, 5)), np.ones((3, 5), bool), cells_of(0), "got float64"),
        (np.zeros((3, 5), np.float32), np.ones((3, 6), bool), cells_of(0), r"bool \[3, 5\], got bool of shape"),
        (np.zeros((3, 5), np.float32), np.ones((3, 5), np.int32), cells_of(0), "got int32"),
        (np.zeros((5, 3), np.float32).T, np.ones((3, 5), bool), cells_of(0), "contiguous"),
        (np.zeros((3, 5), np.float32), np.ones((3, 5), bool), np.zeros(2, np.int64), "got int64"),
        (np.zeros((3, 5), np.float32), np.ones((3, 5), bool), cells_of(0, 5), "cells 0 to 5 are asked for, of 5"),
        (np.zeros((3, 5), np.float32), np.ones((3, 5), bool), cells_of(-1), "cells -1 to -1"),
    ],
)
def test_what_the_kernel_cannot_read_is_refused(
    card: Card, mu: np.ndarray, valid: np.ndarray, cells: np.ndarray, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Fused(ARRAYS).launch(mu.view(Array), valid.view(Array), cells)
    assert not card.launches


def test_what_it_declines(card: Card) -> None:
    assert refusal(ARRAYS) is None
    many = random_arrays(1, LAYERS, 65, 1, 2)
    assert "65 hidden units" in str(refusal(many))
    with pytest.raises(ValueError, match="does not take this ensemble: it has 65 hidden units"):
        Fused(many)
    card.capability = "75"
    assert "compute capability 7.5, and the kernel needs 8.0" in str(refusal(ARRAYS))


def test_lanes_say_why_xla_scores(card: Card) -> None:
    said: list[str] = []
    Lanes(PLAN, ARRAYS, MIN_COVERAGE, said.append)
    assert not said
    Lanes(PLAN, random_arrays(2, LAYERS, 65, 1, 3), MIN_COVERAGE, said.append)
    assert len(said) == 1
    assert "XLA scores this ensemble" in said[0]
    assert "65 hidden units" in said[0]


def test_the_ensemble_goes_to_the_card_once(card: Card) -> None:
    fused = Fused(ARRAYS)
    fused.prepare()
    mu, valid = sent(card, np.zeros((3, 5)), np.ones((3, 5), bool))
    for _ in range(3):
        fused.launch(mu, valid, cells_of(1, 2))
    packs = {arguments[5].ctypes.data for *_, arguments in card.launches}
    assert len(packs) == 1
    assert card.loaded == [b"machine code"]


# -- lanes


def fill(arrays: tuple[Any, np.ndarray, np.ndarray], seed: int) -> None:
    values, valid, inside = arrays
    rng = np.random.default_rng(seed)
    for array in values:
        array[...] = rng.integers(0, 20, array.shape)  # 7 is nodata of the plan
    valid[...] = rng.random(valid.shape) < 0.6
    inside[...] = rng.random(inside.shape) < 0.3


def slab_of(seed: int) -> Slab:
    values = tuple(np.empty(SHAPE, np.uint8) for _ in range(LAYERS))
    arrays = values, np.empty((LAYERS, *SHAPE), bool), np.empty(SHAPE, bool)
    fill(arrays, seed)
    return Slab(Tile(seed, 0, 0, *SHAPE), *arrays)


def wanted_of(slab: Slab) -> np.ndarray:
    return slab.inside & (slab.valid.mean(axis=0) >= MIN_COVERAGE)


def assert_on_host(got: tuple[np.ndarray, dict[str, np.ndarray]], slab: Slab) -> None:
    """The bits of a launch of the scored cells alone."""
    found = membership(slab.values, PLAN, slab.valid, backend="cpu")
    scored = wanted_of(slab) & (found.valid.mean(axis=0) >= MIN_COVERAGE)
    assert_same_bits(got[0], scored)
    expected = emulator().score(ARRAYS, found.mu[:, scored], found.valid[:, scored])
    assert set(got[1]) == {name for kind in KINDS for name in kind}
    for name, values in got[1].items():
        assert_same_bits(np.ascontiguousarray(values), np.ascontiguousarray(expected[name]))


def prepared(threads: int = 1, chunks: int = 3, say: Any = print) -> Lanes:
    lanes = Lanes(PLAN, ARRAYS, MIN_COVERAGE, say)
    lanes.prepare(threads, SHAPE[0] * SHAPE[1])
    assert lanes._batches is not None
    lanes._batches.cells = chunks * CHUNK
    return lanes


@pytest.mark.parametrize("chunks", [1, 3])
def test_lanes_have_the_bits_of_one_launch(card: Card, chunks: int) -> None:
    slab = slab_of(chunks)
    assert_on_host(prepared(chunks=chunks).compute(slab, wanted_of(slab)), slab)
    assert "lstm_score_h16" in {name for name, *_ in card.launches}


@pytest.mark.parametrize("threads", [1, 3])
def test_lanes_beside_each_other(card: Card, threads: int) -> None:
    """Slots are written over as soon as they are free."""
    lanes, stages = prepared(threads, 2), Threads(2, threads, 1)
    layers = [Layer(f"layer {index}", "index", Path("f"), 1, "uint8") for index in range(LAYERS)]
    ring = Ring(stages.slots, layers, SHAPE[0] * SHAPE[1], lanes.allocate)

    def read(tile: Tile, slot: Slot) -> Slab:
        fill(slot.arrays(tile), tile.index)
        return Slab(tile, *slot.arrays(tile))

    def compute(slab: Slab) -> Any:
        return slab.tile.index, lanes.compute(slab, wanted_of(slab))

    tiles = [Tile(index, 0, 0, *SHAPE) for index in range(6)]
    for seed, got in dict(Pass(stages, ring, read, compute, lambda result: result)(tiles)).items():
        assert_on_host(got, slab_of(seed))


@pytest.mark.parametrize("failing", [{1}, {7}, {8}, {9}])
def test_the_card_runs_out_and_the_maps_are_the_same(card: Card, failing: set[int]) -> None:
    said: list[str] = []
    lanes, slab = prepared(chunks=2, say=said.append), slab_of(0)
    card.pool.fail = frozenset(failing)
    assert_on_host(lanes.compute(slab, wanted_of(slab)), slab)
    assert len(said) == 1
    assert "ran out of memory" in said[0]


def test_buffers_live_until_the_kernel_has_read_them(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """The made-up card runs a kernel when somebody waits for it: inputs are there then, and soon after no longer."""
    alive: list[bool] = []
    launch = Fused.launch

    def watched(self: Fused, mu: Any, valid: Any, cells: np.ndarray) -> Any:
        results, buffers = launch(self, mu, valid, cells), [weakref.ref(mu), weakref.ref(valid)]
        current().put(lambda: alive.append(all(buffer() is not None for buffer in buffers)))
        return results

    card.keep = False
    monkeypatch.setattr(Fused, "launch", watched)
    slab = slab_of(0)
    prepared().compute(slab, wanted_of(slab))
    assert alive == [True] * len(alive)
    assert alive
    assert card.pool.used == 0


def test_the_room_of_a_cell(card: Card) -> None:
    of = need_of([np.dtype("int16")] * 8, random_arrays(4, 8, 32, 4, 5), fused=True)
    assert isinstance(of, FusedNeed)
    assert sum(of.copied().values()) == 16 + 8 + 32 + 8 + 4 + 35
    assert of.batch(CHUNK, 2) == (2 * CHUNK * 103, of.weights)
    for free in (1 << 30, 80 << 30):
        cells = cells_at_a_time(free, of, 2, 1 << 40)
        assert cells % CHUNK == 0
        assert 0.3 * free < of.batch(cells, 2)[0] <= _card.CUPY_SHARE * free
    assert cells_at_a_time(80 << 30, of, 2, 100) == CHUNK
    with pytest.raises(MemoryLimitError, match="8 layers with 4 members"):
        cells_at_a_time(1 << 20, of, 2, 1 << 20)


def test_threads_share_a_form(card: Card) -> None:
    x, present = random_cells(200, LAYERS)
    fused, buffers = Fused(ARRAYS), sent(card, x.T, present.T)
    cells = np.arange(200, dtype=np.int32)
    expected = [part.get() for part in fused.launch(*buffers, cells)]
    found: list[list[np.ndarray]] = []
    threads = [
        threading.Thread(target=lambda: found.append([part.get() for part in fused.launch(*buffers, cells)]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results in found:
        for got, one in zip(results, expected, strict=True):
            assert_same_bits(got, one)


def test_the_grid_covers_the_cells() -> None:
    from mpmjax.ops.gpu.lstm import GRID

    assert (GRID.threads, GRID.cells) == (128, 64)
    assert [cuda.blocks(cells, 132, GRID) for cells in (1, 64, 65, 1 << 30)] == [1, 1, 2, 64 * 132]
