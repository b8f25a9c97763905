"""The flow of tiles: each once, all stages at once, a bounded number under way, and no thread left however it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream.flow import COUNTS, LIMIT, Counted, first, in_time, run_pass, same, threads_of_a_pass

from mpmjax.stream.engine import Pass, Threads
from mpmjax.stream.ring import Ring, Slot
from mpmjax.types import Layer, Tile

LAYERS = (Layer("a", "index", Path("a.tif"), 1, "float32"), Layer("b", "index", Path("b.tif"), 1, "uint8"))
# -- what comes out


@given(COUNTS, COUNTS, COUNTS, st.integers(0, 50))
@settings(deadline=None, max_examples=20)
def test_every_item_once_through_every_stage(readers: int, compute: int, writers: int, count: int) -> None:
    slots = Counted(readers + compute)
    got = in_time(
        lambda: run_pass(
            range(count), Threads(readers, compute, writers), lambda item, slot: (item, "read"),
            lambda read: (*read, "computed"), lambda result: (*result, "written"), slots,
        )
    )  # fmt: skip
    assert sorted(got) == [(item, "read", "computed", "written") for item in range(count)]
    assert slots.held == 0, "every slot came back"
    assert slots.closed.is_set()


def test_items_are_taken_in_their_order_and_one_thread_keeps_it() -> None:
    items, taken = [f"tile {number}" for number in range(40)], []

    def read(item: str, slot: Any) -> str:
        taken.append(item)
        return item

    assert in_time(lambda: run_pass(items, Threads(1, 1, 1), read)) == taken == items
    taken.clear()
    assert sorted(in_time(lambda: run_pass(items, Threads(4, 1, 1), read))) == sorted(items)
    # Four readers start one of the next four: none is taken out of turn.
    places = [items.index(item) for item in taken]
    assert all(place - number < 4 for number, place in enumerate(places))


def test_nothing_starts_before_the_first_is_asked_for() -> None:
    slots = Counted(2)
    Pass(Threads(1, 1, 1), slots, first, same, same)([1, 2, 3])
    time.sleep(0.05)
    assert slots.held == 0
    assert threads_of_a_pass() == []


def test_results_that_count_as_nothing_come_through() -> None:
    for value in (0, "", False, (), np.zeros(0)):
        assert in_time(lambda value=value: run_pass([1, 2], Threads(1, 1, 1), write=lambda _: value)) == [value, value]


# -- all stages at once


@pytest.mark.parametrize("slow", ["read", "compute", "write"])
def test_the_pass_takes_as_long_as_its_slowest_stage(slow: str) -> None:
    """20 tiles, 0.04 s of one stage and 0.02 s of the others: one after another it would be 1.6 s, by stages 0.8."""

    def sleep(stage: str) -> Callable:
        def work(*given: Any) -> Any:
            time.sleep(0.04 if stage == slow else 0.02)
            return given[0]

        return work

    start = time.monotonic()
    got = in_time(lambda: run_pass(range(20), Threads(1, 1, 1), sleep("read"), sleep("compute"), sleep("write")))
    taken = time.monotonic() - start
    assert len(got) == 20
    assert 20 * 0.04 <= taken < 20 * 0.04 + 0.45, f"{taken:.2f} s"


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
def test_a_stage_uses_all_of_its_threads(stage: str) -> None:
    """Three threads of a stage must be in it at one time, or the barrier breaks."""
    barrier = threading.Barrier(3)

    def together(*given: Any) -> Any:
        barrier.wait(timeout=10)
        return given[0]

    assert len(in_time(lambda: run_pass(range(9), Threads(3, 3, 3), **{stage: together}))) == 9


def test_reading_goes_on_while_a_result_is_computed() -> None:
    """With one thread a stage, the second tile is read before the first is computed."""
    second = threading.Event()

    def read(item: int, slot: Any) -> int:
        if item == 1:
            second.set()
        return item

    def compute(item: int) -> int:
        assert second.wait(10), "the reader waited for compute"
        return item

    assert in_time(lambda: run_pass([0, 1], Threads(1, 1, 1), read, compute)) == [0, 1]


# -- bounds


class Alive:
    """Counts of what is under way, and the most that ever was."""

    def __init__(self) -> None:
        self._lock, self.now, self.most = threading.Lock(), 0, 0

    def add(self, by: int) -> None:
        with self._lock:
            self.now += by
            self.most = max(self.most, self.now)


@pytest.mark.parametrize("threads", [Threads(1, 1, 1), Threads(3, 1, 2), Threads(1, 4, 1)])
@pytest.mark.parametrize("slow", ["compute", "write", "caller"])
def test_what_is_under_way_is_bounded_and_the_bounds_are_met(threads: Threads, slow: str) -> None:
    """Before a stage that stands still all others fill up to what Threads says, and not by one more."""
    ahead, results, tiles, gate = Alive(), Alive(), Alive(), threading.Event()

    def read(item: int, slot: Any) -> int:
        tiles.add(1)
        ahead.add(1)
        return item

    def compute(item: int) -> int:
        if slow == "compute":
            gate.wait(LIMIT)
        results.add(1)
        ahead.add(-1)
        return item

    def write(item: int) -> int:
        if slow == "write":
            gate.wait(LIMIT)
        return item

    def go() -> int:
        told = 0
        for _ in Pass(threads, Counted(threads.slots), read, compute, write)(range(60)):
            if slow == "caller" and not told:
                gate.wait(LIMIT)
            told += 1
            results.add(-1)
            tiles.add(-1)
        return told

    threading.Timer(0.4, gate.set).start()
    assert in_time(go) == 60
    assert ahead.most <= threads.slots
    assert results.most <= threads.results
    assert tiles.most <= threads.in_flight
    if slow == "compute":
        assert ahead.most == threads.slots, "readers do not read as far ahead as they may"
    if slow == "caller":
        assert results.most == threads.results
        assert tiles.most == threads.in_flight


@given(COUNTS, COUNTS, st.integers(1, 30))
@settings(deadline=None, max_examples=20)
def test_a_slot_is_not_filled_again_before_its_tile_was_computed(readers: int, compute: int, count: int) -> None:
    """Readers poison the slot that they get; who computes looks, again and again, whether its tile is still there."""
    threads = Threads(readers, compute, 2)
    ring = Ring(threads.slots, LAYERS, 64)

    def read(tile: Tile, slot: Slot) -> tuple[Tile, Any]:
        values, valid, inside = slot.arrays(tile)
        for array in (*values, valid, inside):
            array[...] = 0
        time.sleep(0)
        values[0][...], values[1][...] = tile.index, tile.index % 251
        valid[...], inside[...] = tile.index % 2, True
        return tile, (values, valid, inside)

    def work(found: tuple[Tile, Any]) -> tuple[int, bool]:
        tile, (values, valid, inside) = found
        good = True
        for _ in range(3):
            good &= bool((values[0] == tile.index).all() and (values[1] == tile.index % 251).all() and inside.all())
            good &= bool((valid == bool(tile.index % 2)).all())
            time.sleep(0.0005)
        return tile.index, good

    tiles = [Tile(index, 0, 8 * index, 8, 8) for index in range(1, count + 1)]
    got = in_time(lambda: run_pass(tiles, threads, read, work, slots=ring))
    assert sorted(got) == [(tile.index, True) for tile in tiles]


def test_results_are_not_kept_once_they_are_handed_on() -> None:
    """A stage that waits holds no tile: memory would never be as estimated."""
    import gc
    import weakref

    class Big:
        pass

    seen: list[weakref.ref] = []

    def compute(item: int) -> Big:
        big = Big()
        seen.append(weakref.ref(big))
        return big

    def go() -> list[int]:
        alive = []
        for _ in Pass(Threads(1, 1, 1), Counted(2), first, compute, lambda big: 1)(range(12)):
            time.sleep(0.05)
            gc.collect()
            alive.append(sum(ref() is not None for ref in seen))
        return alive

    alive = in_time(go)
    assert alive[-1] == 0, "all are written"
