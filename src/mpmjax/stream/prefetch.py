"""Work on many threads: in order, with a bounded number of items under way, or as it is finished.

Reading, computing and encoding let go of the GIL, so threads overlap them; the bound keeps the memory flat and the
order makes every consumer deterministic.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def worker_count(workers: int | None) -> int:
    """The number asked for, else the cores this process may use."""
    if workers:
        return workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered_map(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int, ahead: int = 1
) -> Iterator[Result]:
    """Yield `work(item)` in the order of `items`, at most `workers + ahead` of them under way or waiting.

    The first exception is raised where its result would have been; what has not started is then dropped.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="mpmjax") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= workers + ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def unordered_map(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Yield `work(item)` as each is finished, begun in the order of `items`: for few results that take little memory,
    where no worker should wait for the slowest item.

    The first exception is raised; what has not started is then dropped.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="mpmjax") as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
