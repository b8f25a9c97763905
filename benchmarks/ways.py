"""A rival runs as suits it best: it tries its ways (sizes of chunks, uses of the cores) before the clock starts.

What is timed is the fastest of them, and the report says which it was. Two cores can be used from inside a library, by
its own threads, or from outside, by Python threads with a part of the cells each.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

from .clock import interleaved, on_host

Call = Callable[[], Any]

TRIAL = 16_384
"""Cells a core on which the ways are tried: one of the largest chunks."""


class Tuned:
    """A call that tries its ways when it is first called, and from then on is the fastest of them.

    Args:
        ways: by what is said of it, builds the call for the first so many cells.
        cells: of the whole input.

    Attributes:
        how: what was chosen; empty before the first call.
    """

    def __init__(self, ways: Mapping[str, Callable[[int], Call]], cells: int) -> None:
        self._ways, self._cells = ways, cells
        self._call: Call | None = None
        self.how = ""

    def __call__(self) -> Any:
        if self._call is None:
            self.how = next(iter(self._ways)) if len(self._ways) == 1 else self._fastest()
            self._call = self._ways[self.how](self._cells)
        return self._call()

    def _fastest(self) -> str:
        trials = {how: build(min(TRIAL * cores_here(), self._cells)) for how, build in self._ways.items()}
        timings = interleaved(trials, repeats=1)
        return min(timings, key=lambda how: min(timings[how].seconds))


class Compiled:
    """A call of what has to be compiled first: how long that takes is told, and is in no visit.

    Args:
        call: what is timed; `compile_it` is made before it is called first.
        compile_it: compiles when it is first made. It is made twice: what the second one takes is not compiling.

    Attributes:
        seconds: of compiling alone; 0 before the first call.
    """

    def __init__(self, call: Call, compile_it: Call) -> None:
        self._call, self._compile_it = call, compile_it
        self.seconds, self._compiled = 0.0, False

    @property
    def how(self) -> str:
        """What the call within chose."""
        return self._call.how if isinstance(self._call, Tuned) else ""

    def __call__(self) -> Any:
        if not self._compiled:
            first, second = on_host(self._compile_it), on_host(self._compile_it)
            self.seconds, self._compiled = max(first - second, 0.0), True
        return self._call()


def side_by_side(calls: Sequence[Call], prepare: Callable[[], Any] | None = None) -> Call:
    """A call that makes all of these at once, each on a Python thread of its own, and returns what each returned.

    Args:
        prepare: what a thread does before its first call.
    """
    if len(calls) == 1 and prepare is None:
        return lambda: (calls[0](),)
    # The threads stay: one that had to start would do so inside the clock.
    pool = ThreadPoolExecutor(len(calls), initializer=prepare or (lambda: None))

    def call() -> tuple[Any, ...]:
        return tuple(job.result() for job in [pool.submit(one) for one in calls])

    return call


def parts(cells: int, count: int) -> list[slice]:
    """So many slices of about one size, or fewer, none of them empty."""
    edges = [cells * at // count for at in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(edges) if end > start]


def cores_here() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def a_process_each(module: str, argv: Sequence[str], cores: Sequence[int]) -> int:
    """Run a command line once for each number of cores; returns the worst exit status.

    In processes of their own, because a library makes its threads once in a process.
    """
    # The last --cores of a command line counts.
    command = [sys.executable, "-m", module, *argv, "--cores"]
    return max(subprocess.run([*command, str(count)], check=False).returncode for count in cores)
