"""The flow of tiles: each once, all stages at once, a bounded number under way, and no thread left however it ends."""

from __future__ import annotations

import _thread
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpmjax.stream.engine import Pass, Threads
from mpmjax.stream.ring import Ring, RingClosed, Slot
from mpmjax.types import Layer, Tile

LAYERS = (Layer("a", "index", Path("a.tif"), 1, "float32"), Layer("b", "index", Path("b.tif"), 1, "uint8"))
LIMIT = 30.0
"""Seconds after which a pass that has not ended hangs."""

counts = st.integers(1, 4)


class Counted:
    """Slots that are numbers; knows how many are held."""

    def __init__(self, count: int) -> None:
        self._free: queue.Queue[int] = queue.Queue()
        for number in range(count):
            self._free.put(number)
        self._count, self.closed = count, threading.Event()

    @property
    def held(self) -> int:
        return self._count - self._free.qsize()

    def acquire(self) -> int:
        while not self.closed.is_set():
            try:
                return self._free.get(timeout=0.01)
            except queue.Empty:
                continue
        raise RingClosed

    def release(self, slot: int) -> None:
        self._free.put(slot)

    def close(self) -> None:
        self.closed.set()


def same(value: Any) -> Any:
    return value


def first(item: Any, slot: Any) -> Any:
    return item


def threads_of_a_pass() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(("mpmjax_reader", "mpmjax_comp", "mpmjax_wri"))]


def in_time(work: Callable[[], Any]) -> Any:
    """What `work` returns or raises, from a thread of its own: a pass that hangs fails the test and not the suite."""
    got: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            got.put((work(), None))
        except BaseException as error:  # noqa: BLE001 - raised again below
            got.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    value, error = got.get(timeout=LIMIT)
    assert threads_of_a_pass() == [], "threads outlive their pass"
    if error is not None:
        raise error
    return value


def run_pass(
    items: Any, threads: Threads, read: Callable = first, compute: Callable = same, write: Callable = same,
    slots: Any = None,
) -> list[Any]:  # fmt: skip
    return list(Pass(threads, slots or Counted(threads.slots), read, compute, write)(items))


# -- what comes out


@given(counts, counts, counts, st.integers(0, 50))
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


@given(counts, counts, st.integers(1, 30))
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


# -- how it ends


class Odd(Exception):
    pass


class OddBase(BaseException):
    pass


@given(counts, counts, counts, st.integers(1, 50), st.integers(0, 49), st.sampled_from(("read", "compute", "write")))
@settings(deadline=None, max_examples=30)
@example(1, 1, 1, 1, 0, "write")
@example(4, 4, 4, 50, 49, "read")
@example(1, 4, 1, 50, 0, "compute")
def test_an_exception_of_any_stage_and_item_comes_to_the_caller(
    readers: int, compute: int, writers: int, count: int, bad: int, stage: str
) -> None:
    bad %= count
    error = Odd(bad)

    def broken(*given: Any) -> Any:
        if given[0] == bad:
            raise error
        return given[0]

    slots, got = Counted(readers + compute), []

    def go() -> None:
        threads = Threads(readers, compute, writers)
        stages = {"read": first, "compute": same, "write": same, stage: broken}
        got.extend(Pass(threads, slots, stages["read"], stages["compute"], stages["write"])(range(count)))

    with pytest.raises(Odd) as seen:
        in_time(go)
    assert seen.value is error
    assert bad not in got
    assert len(set(got)) == len(got)
    assert slots.closed.is_set()


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
@pytest.mark.parametrize("kind", [OddBase, KeyboardInterrupt, SystemExit, MemoryError, StopIteration, queue.Full])
def test_any_kind_of_exception(stage: str, kind: type[BaseException]) -> None:
    """StopIteration may not end the pass as if it were complete, nor queue.Full be taken for a queue of the pass."""

    def broken(*_: Any) -> Any:
        raise kind

    # A generator may not let StopIteration out: Python makes it a RuntimeError.
    with pytest.raises(RuntimeError if kind is StopIteration else kind):
        in_time(lambda: run_pass(range(9), Threads(2, 2, 2), **{stage: broken}))


@pytest.mark.parametrize("kind", [queue.Empty, RingClosed])
def test_exceptions_that_the_engine_itself_waits_with(kind: type[Exception]) -> None:
    """Raised by work they are errors like any other, never a reason to go home and leave the caller waiting."""

    def broken(*_: Any) -> Any:
        raise kind("by the work")

    for stage in ("read", "compute", "write"):
        with pytest.raises(kind):
            in_time(lambda stage=stage: run_pass(range(5), Threads(1, 1, 1), **{stage: broken}))


def test_all_fail_and_one_is_told() -> None:
    def broken(item: int, slot: Any) -> Any:
        raise Odd(item)

    with pytest.raises(Odd) as seen:
        in_time(lambda: run_pass(range(50), Threads(4, 4, 4), broken))
    assert seen.value.__context__ is None
    assert seen.value.__cause__ is None


def test_the_first_failure_is_the_one_that_is_told() -> None:
    """Others often follow from it. The caller is busy with an earlier tile when both happen."""
    gate, failed = threading.Event(), threading.Event()

    def read(item: int, slot: Any) -> int:
        if item == 1:
            gate.wait(LIMIT)
            failed.set()
            raise Odd("first")
        if item == 2:
            failed.wait(LIMIT)
            time.sleep(0.1)
            raise Odd("second")
        return item

    def go() -> None:
        for _ in Pass(Threads(2, 1, 1), Counted(3), read, same, same)(range(3)):
            gate.set()
            time.sleep(0.4)

    with pytest.raises(Odd, match="first"):
        in_time(go)


def test_nothing_is_begun_after_a_failure() -> None:
    begun: list[int] = []

    def read(item: int, slot: Any) -> int:
        begun.append(item)
        return item

    def broken(item: int) -> int:
        raise Odd

    with pytest.raises(Odd):
        in_time(lambda: run_pass(range(1000), Threads(2, 2, 2), read, write=broken))
    assert len(begun) <= Threads(2, 2, 2).in_flight + 2


@pytest.mark.parametrize("after", [1, 5])
def test_a_caller_that_stops_early(after: int) -> None:
    threads, slots = Threads(3, 2, 2), Counted(5)

    def go() -> int:
        flow = Pass(threads, slots, first, same, same)(range(100))
        for _ in range(after):
            next(flow)
        flow.close()  # pyright: ignore[reportAttributeAccessIssue] - a generator
        return len(threads_of_a_pass())

    assert in_time(go) == 0
    assert slots.closed.is_set()


def test_an_exception_in_the_callers_loop() -> None:
    def go() -> None:
        for item in Pass(Threads(2, 2, 2), Counted(4), first, same, same)(range(100)):
            if item > 3:
                raise Odd(item)

    with pytest.raises(Odd):
        in_time(go)


def test_ctrl_c_in_the_caller_while_it_waits() -> None:
    """It comes to the main thread, which waits for tiles; those at work finish theirs, and all go home."""
    done = threading.Event()

    def slow(item: int) -> int:
        threading.Timer(0.1, _thread.interrupt_main).start() if item == 0 else None
        time.sleep(0.4)
        done.set()
        return item

    with pytest.raises(KeyboardInterrupt):
        run_pass(range(1000), Threads(2, 2, 2), compute=slow)
    assert done.is_set()
    assert threads_of_a_pass() == []


def test_a_thread_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    real, started = threading.Thread.start, []

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("mpmjax_"):
            if len(started) == 4:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        in_time(lambda: run_pass(range(100), Threads(2, 2, 2)))
    assert not any(thread.is_alive() for thread in started)


def test_a_pass_is_good_for_one_time() -> None:
    """Its slots are closed then: said, and not waited for."""
    flow = Pass(Threads(1, 1, 1), Counted(2), first, same, same)
    assert in_time(lambda: list(flow([1, 2]))) == [1, 2]
    with pytest.raises(RingClosed):
        in_time(lambda: list(flow([1, 2])))


class Items:
    """As a sequence whose iterator takes its time, and may break."""

    def __init__(self, count: int, breaks: bool) -> None:
        self._count, self._breaks = count, breaks

    def __iter__(self) -> Iterator[int]:
        for number in range(self._count):
            time.sleep(0.01)
            yield number
            if self._breaks:
                raise Odd


def test_readers_take_turns_at_the_order() -> None:
    """A generator that two threads enter at once is an error."""
    items = Items(12, breaks=False)
    assert sorted(in_time(lambda: run_pass(items, Threads(4, 1, 1)))) == list(range(12))


def test_an_order_that_breaks() -> None:
    with pytest.raises(Odd):
        in_time(lambda: run_pass(Items(3, breaks=True), Threads(2, 1, 1)))
