"""Passes of the engine over small things, for tests of it: slots that are numbers, and a limit to what may hang."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from mpmjax.stream.engine import Pass, Threads
from mpmjax.stream.ring import RingClosed

LIMIT = 30.0
"""Seconds after which a pass that has not ended hangs."""

COUNTS = st.integers(1, 4)


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
