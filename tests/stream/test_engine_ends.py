"""How a pass ends: the first failure is told once, no thread is left, and nothing waits for ever."""

from __future__ import annotations

import _thread
import queue
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stream.flow import COUNTS, LIMIT, Counted, first, in_time, run_pass, same, threads_of_a_pass

from mpmjax.stream.engine import Pass, Threads
from mpmjax.stream.ring import RingClosed


class Odd(Exception):
    pass


class OddBase(BaseException):
    pass


@given(COUNTS, COUNTS, COUNTS, st.integers(1, 50), st.integers(0, 49), st.sampled_from(("read", "compute", "write")))
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

    # A shell that starts the tests in the background has them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_pass(range(1000), Threads(2, 2, 2), compute=slow)
    finally:
        signal.signal(signal.SIGINT, before)
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
