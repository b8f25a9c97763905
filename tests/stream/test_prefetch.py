"""Ordered work on threads: the order, the bound, and what an exception on either side leaves behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mpmjax.stream.prefetch import ordered_map, unordered_map, worker_count


class Watch:
    """Counts the items that were asked for and not yet taken, and the work that runs."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asked = self.taken = self.most_under_way = self.running = self.most_running = 0
        self.done: list[int] = []

    def items(self, count: int) -> Iterator[int]:
        for item in range(count):
            with self.lock:
                self.asked += 1
                self.most_under_way = max(self.most_under_way, self.asked - self.taken)
            yield item

    def work(self, item: int) -> int:
        with self.lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        time.sleep(0.003 * (item % 3))  # later items finish first
        with self.lock:
            self.running -= 1
            self.done.append(item)
        return item * item

    def take(self) -> None:
        with self.lock:
            self.taken += 1


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mpmjax")]


@pytest.mark.parametrize("ahead", [0, 1, 3])
@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 30])
def test_in_order_and_never_more_than_allowed_under_way(workers: int, ahead: int, count: int) -> None:
    watch, found = Watch(), []
    for result in ordered_map(watch.work, watch.items(count), workers, ahead):
        watch.take()
        found.append(result)
    assert found == [item * item for item in range(count)]
    assert watch.most_under_way <= workers + ahead
    assert watch.most_running <= workers
    assert not own_threads()


def test_a_slow_consumer_holds_the_work_back() -> None:
    watch = Watch()
    results = ordered_map(watch.work, watch.items(100), 2, 1)
    next(results)
    watch.take()
    time.sleep(0.05)
    assert watch.asked <= 1 + 3
    results.close()
    assert not own_threads()


def test_work_runs_side_by_side() -> None:
    meet = threading.Barrier(3, timeout=10)
    assert list(ordered_map(lambda _: meet.wait() >= 0, range(3), 3)) == [True] * 3


def test_an_exception_comes_at_its_place_and_stops_the_rest() -> None:
    watch = Watch()

    def work(item: int) -> int:
        if item == 5:
            raise ValueError("tile 5")
        return watch.work(item)

    results, found = ordered_map(work, watch.items(1000), 2, 1), []
    for _ in range(5):
        found.append(next(results))
        watch.take()
    with pytest.raises(ValueError, match="tile 5"):
        next(results)
    assert found == [item * item for item in range(5)], "what came before is handed over, nothing after"
    assert max(watch.done) <= 5 + 3
    assert watch.asked <= 5 + 1 + 3
    assert not own_threads()


def test_what_has_not_started_when_it_fails_is_dropped() -> None:
    watch = Watch()

    def work(item: int) -> int:
        if item == 0:
            raise ValueError("item 0")
        time.sleep(0.05)
        return watch.work(item)

    with pytest.raises(ValueError, match="item 0"):
        list(ordered_map(work, range(20), 1, 9))
    assert len(watch.done) <= 2, "nine were waiting"


def test_the_first_exception_in_order_is_raised_not_the_first_in_time() -> None:
    late = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            late.wait(10)
            raise ValueError("item 0")
        late.set()
        raise ValueError("item 1")

    with pytest.raises(ValueError, match="item 0"):
        list(ordered_map(work, range(2), 2))


def test_when_the_consumer_fails_all_work_is_over_before_its_resources_go() -> None:
    watch, open_while_working = Watch(), []
    resource = threading.Event()  # set: closed

    def work(item: int) -> int:
        result = watch.work(item)
        open_while_working.append(not resource.is_set())
        return result

    def consume() -> None:
        try:
            for _ in ordered_map(work, watch.items(1000), 3, 2):
                watch.take()
                raise OSError("disk full")
        finally:
            resource.set()  # what a StackReader does when its block is left

    with pytest.raises(OSError, match="disk full"):
        consume()
    assert all(open_while_working)
    assert not own_threads()
    before = list(watch.done)
    time.sleep(0.02)
    assert watch.done == before


def test_an_exception_of_the_items_themselves() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise RuntimeError("no more")

    results = ordered_map(lambda item: item, items(), 1, 0)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="no more"):
        next(results)
    assert not own_threads()


def test_nested_use_does_not_lock_up() -> None:
    def outer(item: int) -> int:
        return sum(ordered_map(lambda x: x + item, range(4), 2))

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: list(ordered_map(outer, range(5), 2))).result(10) == [6 + 4 * i for i in range(5)]


def test_workers_asked_for_or_the_cores_of_this_process() -> None:
    assert worker_count(7) == 7
    assert worker_count(None) == len(os.sched_getaffinity(0))


def test_as_finished_no_worker_waits_for_the_slowest() -> None:
    """The first item ends last, and all others pass it."""
    others = threading.Semaphore(0)

    def work(item: int) -> int:
        if item:
            others.release()
            return item
        for _ in range(5):
            assert others.acquire(timeout=10), "the other worker stood still"
        return item

    assert list(unordered_map(work, range(6), 2)) == [1, 2, 3, 4, 5, 0]


def test_as_finished_the_first_exception_drops_what_has_not_started() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise ValueError("the second item")
        time.sleep(0.01)  # or the worker is done with all of them before the exception is seen
        return item

    with pytest.raises(ValueError, match="the second item"):
        list(unordered_map(work, range(1000), 1))
    assert len(begun) < 1000
