"""Batches of several lanes on one card: side by side, and when it runs full a smaller one alone.

A lane that finds the card full cannot know whether its batch is too large or another lane's is still there. So it waits
until the others have ended theirs, gives back what is unused, and tries again with half the cells while nobody else is
on the card: what fails then fails by itself. All lanes go on with the size that was found.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mpmjax.errors import MemoryLimitError

Result = TypeVar("Result")


class Batches:
    """Calls what takes a batch, from many threads, with as many cells as there is memory for.

    Args:
        cells: of a batch at first, and `smallest` at last; whole multiples of it.
        is_full: whether an exception says that memory ran out; all others are raised.
        release: gives back what is unused; called while nobody is on the card.
        say: gets one sentence, when cells are halved first.
        too_full: the sentence of the error when even the smallest batch, alone, finds no memory.
    """

    def __init__(
        self,
        cells: int,
        smallest: int,
        is_full: Callable[[Exception], bool],
        release: Callable[[], None],
        say: Callable[[str], None],
        too_full: Callable[[], str],
    ) -> None:
        self.cells, self._smallest = cells, smallest
        self._is_full, self._release, self._say, self._too_full = is_full, release, say, too_full
        self._change = threading.Condition()
        self._side_by_side, self._alone, self._told = 0, False, False

    def __call__(self, work: Callable[[int], Result]) -> Result:
        """`work` of a number of cells; called again with fewer when memory runs out, so nothing may be left of a call.

        Raises:
            MemoryLimitError: `smallest` cells are too many.
        """
        cells = self.cells
        with self._others():
            done, why = self._tried(work, cells)
        while not done:
            with self._nobody():
                cells = self._fewer(cells, why)
                self._release()
                done, why = self._tried(work, cells)
                if not done and cells <= self._smallest:
                    raise MemoryLimitError(f"{self._too_full()} ({why})")
        return done[0]

    def _tried(self, work: Callable[[int], Result], cells: int) -> tuple[tuple[Result] | None, str]:
        """The result, or the words of why there is none: an exception would keep its frames, and their arrays."""
        try:
            return (work(cells),), ""
        except Exception as error:
            if not self._is_full(error):
                raise
            return None, str(error).strip().split("\n")[0]

    def _fewer(self, failed: int, why: str) -> int:
        """Half of what failed, or what another lane has come down to meanwhile."""
        if self.cells >= failed and failed > self._smallest:
            self.cells = max(failed // 2 // self._smallest, 1) * self._smallest
            if not self._told:
                self._told = True
                self._say(f"The card ran out of memory ({why}): {self.cells:,} cells at a time from here, or fewer.")
        return self.cells

    @contextmanager
    def _others(self) -> Iterator[None]:
        with self._change:
            self._change.wait_for(lambda: not self._alone)
            self._side_by_side += 1
        try:
            yield
        finally:
            with self._change:
                self._side_by_side -= 1
                self._change.notify_all()

    @contextmanager
    def _nobody(self) -> Iterator[None]:
        with self._change:
            self._change.wait_for(lambda: not self._alone)
            self._alone = True
            self._change.wait_for(lambda: self._side_by_side == 0)
        try:
            yield
        finally:
            with self._change:
                self._alone = False
                self._change.notify_all()
