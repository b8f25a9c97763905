"""The flow of tiles through a pass: readers -> compute -> writers, all at once, each stage on threads of its own.

    order of tiles -> [readers] -> [compute] -> [writers] -> what was written, to the caller's thread

Reading, computing and encoding let go of the GIL, so that a stage waits only where it has nothing to do: the pass takes
as long as its slowest stage, or as all cores are busy. What is under way is bounded: a reader takes one of a fixed
number of slots before it reads (stream/ring.py), and the slot comes free when the tile's result is ready, not when the
work on it was handed over: a device, and XLA on the CPU too, may still be reading host memory that a caller thinks is
done with. Finished results wait in a queue as long as there are writers. So memory is flat, and a slow stage slows
those before it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from mpmjax.stream.ring import RingClosed

Item = TypeVar("Item")
Read = TypeVar("Read")
Result = TypeVar("Result")
Written = TypeVar("Written")

POLL = 0.1
"""Seconds after which a thread that waits looks whether the pass was stopped."""


@dataclass(frozen=True)
class Threads:
    """Number of threads of each stage, and of slots that readers fill.

    With as many threads a stage as cores, and one more that computes, a core seldom waits: a computation lets go of the
    GIL for most of its time, not for all (a pass took 1.17 times the CPU time of two cores, 1.21 without that one). A
    device is fed by two compute threads, one of which copies while the other's kernel runs.
    """

    readers: int
    compute: int
    writers: int

    @property
    def slots(self) -> int:
        """One for each thread that holds one: where all are held, a tile waits for each thread that computes."""
        return self.readers + self.compute

    @property
    def results(self) -> int:
        """Results that are held at a time: computed, waiting, being written, written and waiting, and at the caller."""
        return self.compute + 3 * self.writers + 1

    @property
    def in_flight(self) -> int:
        """Tiles that are under way at a time at most; so many are done again if the pass is killed."""
        return self.slots + self.results


class Slots(Protocol):
    """What readers fill: stream/ring.py, or any bounded supply."""

    def acquire(self) -> Any: ...

    def release(self, slot: Any) -> None: ...

    def close(self) -> None: ...


class _Stopped(Exception):
    """The pass has ended: a thread that waits goes home."""


class Pass(Generic[Item, Read, Result, Written]):
    """One pass over items: taken in their order, finished in any.

    Args:
        slots: whose `acquire` waits for a free slot, and raises RingClosed once `close` was called.
        read: item and slot to what is computed.
        compute: to the result; ready when it returns, so that the slot may be filled again.
        write: result to what the caller gets.
    """

    def __init__(
        self,
        threads: Threads,
        slots: Slots,
        read: Callable[[Item, Any], Read],
        compute: Callable[[Read], Result],
        write: Callable[[Result], Written],
    ) -> None:
        self._threads, self._slots = threads, slots
        self._read, self._compute, self._write = read, compute, write
        self._to_compute: queue.Queue[tuple[Read, Any]] = queue.Queue()  # bounded by the slots
        self._to_write: queue.Queue[Result] = queue.Queue(threads.writers)
        self._done: queue.Queue[Written | None] = queue.Queue(threads.writers)
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._failure: BaseException | None = None
        self._feed: Iterator[Item] = iter(())

    def __call__(self, items: Sequence[Item]) -> Iterator[Written]:
        """Yield what was written, as it is finished. The first exception of any thread is raised here.

        However it ends, no thread is left: those at work finish their tile.
        """
        self._stop.clear()
        self._feed = iter(items)
        stages = ((self._reader, self._threads.readers), (self._computer, self._threads.compute))
        stages += ((self._writer, self._threads.writers),)
        threads = [
            threading.Thread(target=self._guarded, args=(stage,), name=f"mpmjax{stage.__name__}-{number}")
            for stage, count in stages
            for number in range(count)
        ]
        try:
            for thread in threads:
                thread.start()
            for _ in items:
                done = self._done.get()
                if self._failure is not None:
                    raise self._failure
                yield done  # pyright: ignore[reportReturnType] - None comes with a failure only
        finally:
            self._stop.set()
            self._slots.close()
            for thread in threads:
                if thread.ident is not None:  # one that was started
                    thread.join()

    def _guarded(self, stage: Callable[[], None]) -> None:
        try:
            stage()
        except _Stopped:
            return
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            if isinstance(error, RingClosed) and self._stop.is_set():
                return  # closed by the end of the pass; closed by anyone else, no tile would ever come
            with self._lock:
                self._failure = self._failure or error
            self._stop.set()
            # Where the queue is full the caller is about to take from it, and will see the failure then.
            with contextlib.suppress(queue.Full):
                self._done.put_nowait(None)

    def _reader(self) -> None:
        while True:
            slot = self._slots.acquire()
            with self._lock:
                item = next(self._feed, None)
            if item is None or self._stop.is_set():
                self._slots.release(slot)
                return
            self._to_compute.put((self._read(item, slot), slot))

    def _computer(self) -> None:
        while True:
            read, slot = self._next(self._to_compute)
            result = self._compute(read)
            self._slots.release(slot)
            self._hand(self._to_write, result)
            del read, slot, result  # not kept while the next is waited for

    def _writer(self) -> None:
        while True:
            self._hand(self._done, self._write(self._next(self._to_write)))

    def _next(self, source: queue.Queue) -> Any:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Empty):
                return source.get(timeout=POLL)
        raise _Stopped

    def _hand(self, target: queue.Queue, value: Any) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                return target.put(value, timeout=POLL)
        raise _Stopped
