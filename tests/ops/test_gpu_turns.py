"""Batches that become smaller: what is tried again, with how many cells, beside whom, and what is told."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mpmjax.errors import MemoryLimitError
from mpmjax.ops.gpu.turns import Batches


class Full(Exception):
    """What the made-up memory says."""


class Memory:
    """Batches over memory for so many cells, of all who are at work together."""

    def __init__(self, room: int, cells: int, smallest: int = 2) -> None:
        self.room, self.used, self.tried, self.released = room, 0, [], 0
        self.said: list[str] = []
        self.lock = threading.Lock()
        self.batches = Batches(
            cells, smallest, lambda error: isinstance(error, Full), self.release, self.said.append, lambda: "Too full."
        )

    def release(self) -> None:
        assert self.used == 0, "memory is given back while somebody uses the card"
        self.released += 1

    def take(self, cells: int) -> int:
        with self.lock:
            self.tried.append(cells)
            if self.used + cells > self.room:
                raise Full(f"no room for {cells}\nand much more")
            self.used += cells
        return cells

    def work(self, cells: int) -> int:
        self.take(cells)
        with self.lock:
            self.used -= cells
        return cells


def test_what_fits_is_tried_once() -> None:
    memory = Memory(room=64, cells=64)
    assert [memory.batches(memory.work) for _ in range(3)] == [64, 64, 64]
    assert not memory.said
    assert memory.released == 0


def test_cells_are_halved_until_they_fit_and_stay_so() -> None:
    memory = Memory(room=20, cells=100, smallest=4)
    assert memory.batches(memory.work) == 12
    assert memory.tried == [100, 48, 24, 12]
    assert memory.released == 3
    assert memory.batches(memory.work) == 12
    assert memory.said == ["The card ran out of memory (no room for 100): 48 cells at a time from here, or fewer."]


def test_the_smallest_batch_that_does_not_fit_ends_it() -> None:
    memory = Memory(room=3, cells=16, smallest=4)
    with pytest.raises(MemoryLimitError, match=r"^Too full\. \(no room for 4\)$"):
        memory.batches(memory.work)
    assert memory.tried == [16, 8, 4]
    with pytest.raises(MemoryLimitError):  # one that was the smallest from the start has its try alone as well
        memory.batches(memory.work)
    assert memory.tried[3:] == [4, 4]


def test_what_is_not_about_memory_is_raised_as_it_is() -> None:
    memory = Memory(room=8, cells=8)
    with pytest.raises(ZeroDivisionError):
        memory.batches(lambda cells: cells // 0)
    assert memory.batches(memory.work) == 8  # nobody is counted as still at work


def test_a_neighbours_memory_is_waited_for_not_halved_away() -> None:
    """One lane holds much for long; the other must not come down to nothing in that time."""
    memory, holds, tried = Memory(room=100, cells=64), threading.Event(), threading.Event()

    def slow(cells: int) -> int:
        memory.take(cells)
        holds.set()
        assert tried.wait(timeout=60)
        with memory.lock:
            memory.used -= cells
        return cells

    def beside(cells: int) -> int:
        try:
            return memory.work(cells)
        finally:
            tried.set()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(memory.batches, slow)
        assert holds.wait(timeout=60)
        assert pool.submit(memory.batches, beside).result(timeout=60) == 32
        assert first.result(timeout=60) == 64
    assert memory.tried == [64, 64, 32]


def test_lanes_that_fail_together_halve_once() -> None:
    memory, together, lanes = Memory(room=100, cells=64), threading.Barrier(3), threading.local()

    def work(cells: int) -> int:
        if not hasattr(lanes, "failed"):
            lanes.failed = True
            together.wait(timeout=60)
            raise Full("all at once")
        return memory.work(cells)

    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(memory.batches, work) for _ in range(3)]
        assert [one.result(timeout=60) for one in found] == [32, 32, 32]
    assert len(memory.said) == 1


def test_a_lane_that_fails_late_goes_on_with_what_the_others_came_down_to() -> None:
    memory = Memory(room=100, cells=64)

    def late(cells: int) -> int:
        if cells == 64:
            memory.batches.cells = 8
            raise Full("after all the others")
        return memory.work(cells)

    assert memory.batches(late) == 8
    assert memory.batches.cells == 8


def test_many_lanes_on_a_small_card_all_end() -> None:
    memory = Memory(room=40, cells=64, smallest=1)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: memory.batches(memory.work), range(200)))
    assert len(found) == 200
    assert memory.used == 0
    assert memory.batches.cells <= 32
    assert len(memory.said) == 1
