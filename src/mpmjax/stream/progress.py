"""What a long run tells on its way: lines for people, one that is rewritten in place on a terminal, a log of events.

The log has one JSON object a line, which any tool can follow; each has `time` (ISO 8601, UTC), `event`, and `cpu`, the
CPU seconds that all threads of the process have burnt.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from mpmjax.errors import DiskError
from mpmjax.stream.speed import Speed, line_of

REDRAWN = 0.2
"""Seconds between two states of the live line."""

LINE_EVERY, LINE_AT_LEAST = 1.0, 60.0
"""Seconds between two lines of one pass, and in which there is one even without a further tenth of the tiles."""

LOGGED = 1.0
"""Seconds between two events of one pass in the log."""

FEW_TILES, SHORT = 10, 10.0
"""Passes with fewer tiles and of less seconds say nothing."""

CLEAR = "\r\x1b[K"


class Progress:
    """Where a run stands, told to people and to a log. `say` and `event` may be called from any thread.

    Attributes:
        times: seconds of every stage that is done.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        log: Path | None = None,
        live: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            say: gets lines that last.
            log: file to which events are appended; opened at the first one. Its folder must be there by then.
            live: a terminal, gets one line that is rewritten in place; None: passes say a line now and then.
            clock: seconds, never backwards.
        """
        self.times: dict[str, float] = {}
        self.clock, self.live = clock, live
        self._say, self._log = say, log
        self._mended = False
        self._shown = ""
        self._stages: list[str] = []
        self._lock = threading.RLock()

    def say(self, line: str) -> None:
        """A line that lasts; the live line gives way to it and comes back below.

        Raises:
            DiskError: the log cannot be written; so do all that log.
        """
        self.tell(line)
        self.event("said", line=line)

    def tell(self, line: str) -> None:
        """As `say`, for what the log has as an event of its own."""
        with self._lock:
            shown = self._shown
            self.show("")
            self._say(line)
            self.show(shown)

    def show(self, line: str) -> None:
        """Put `line` in the place of the live line, cut to the width of the terminal; "" clears it."""
        with self._lock:
            if self.live is None or (not line and not self._shown):
                return
            self._shown = line
            try:
                self.live.write(CLEAR + line[: _width(self.live) - 1])
                self.live.flush()
            except (OSError, ValueError):  # a terminal that was closed is no reason to end the work
                self.live = None

    def event(self, event: str, **fields: Any) -> None:
        """One object of the log: plain values; a number that is not finite becomes null, and what is no JSON its text.

        Raises:
            DiskError: the log cannot be written.
        """
        if self._log is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields.items()}
        cpu = round(time.process_time(), 3)
        line = (json.dumps({"time": now, "event": event, "cpu": cpu, **finite}, default=str) + "\n").encode()
        with self._lock:
            self._append(self._log, line)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, and say when it is done; what passes through is noted in the log, and passes."""
        start = self.clock()
        self.event("stage_start", stage=name)
        self._stages.append(name)
        try:
            yield
        except BaseException as error:
            failed = {"seconds": round(self.clock() - start, 3), "error": type(error).__name__, "message": str(error)}
            with contextlib.suppress(DiskError):  # the failure is what must be seen
                self.event("stage_failed", stage=name, **failed)
            raise
        finally:
            self._stages.pop()
        self.times[name] = self.clock() - start
        self.tell(f"{name:<11} {self.times[name]:7.1f} s")
        self.event("stage_end", stage=name, seconds=round(self.times[name], 3))

    def tiles(self, total: int, cells: int) -> Tiles:
        """A pass over `total` tiles of together `cells` cells, named after the stage that it is part of."""
        return Tiles(self, self._stages[-1] if self._stages else "tiles", total, cells)

    def _append(self, log: Path, line: bytes) -> None:
        """In one write, unbuffered: a process that is killed leaves whole lines, and other readers see only such."""
        try:
            with log.open("ab", buffering=0) as file:
                if not self._mended and _cut_short(log):
                    line = b"\n" + line
                if file.write(line) != len(line):
                    raise OSError(0, "the disk is full")
                self._mended = True
        except OSError as error:
            raise DiskError(
                f"{log}: the log cannot be written: {error.strerror}. Free some disk or name another file."
            ) from error


class Tiles:
    """One pass over tiles. All calls come from one thread, and what is told changes at those calls only.

    As a context manager it closes itself.
    """

    def __init__(self, progress: Progress, name: str, total: int, cells: int) -> None:
        self.speed = Speed(total, cells, progress.clock())
        self._progress, self._name = progress, name
        self._start = self._said = progress.clock()
        self._drawn = self._logged = -math.inf
        self._tenth = 0
        self._closed = False

    def __enter__(self) -> Tiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(DiskError) if kind else contextlib.nullcontext():
            self.close()

    def done(self, cells: int, bytes_read: int = 0, retries: int = 0) -> None:
        """A tile of `cells` cells is done, for which so many bytes were read, at so many attempts more than one."""
        self.speed.done(self._progress.clock(), cells, bytes_read, retries)
        self._tell()

    def skipped(self, count: int, cells: int) -> None:
        """`count` tiles, of `cells` cells, were finished before this run: they count, but not as its speed."""
        self.speed.skipped(self._progress.clock(), count, cells)
        self._tell()

    def close(self) -> None:
        """The last line, if the pass was worth any and is complete, and the last event. Once."""
        if self._closed:
            return
        self._closed = True
        self._progress.show("")
        now, few = self._progress.clock(), self.speed.total < FEW_TILES
        long = now - self._start >= (SHORT if few else LINE_EVERY)
        if self._progress.live is None and self.speed.complete and long:
            self._progress.tell(line_of(self._name, self.speed, now))
        self._progress.event("tiles_end", stage=self._name, **self.speed.figures(now))

    def _tell(self) -> None:
        now = self._progress.clock()
        if self.speed.complete:
            self.close()
            return
        if now - self._logged >= LOGGED:
            self._logged = now
            self._progress.event("tiles", stage=self._name, **self.speed.figures(now))
        if self._progress.live is None:
            self._tell_plainly(now)
        elif now - self._drawn >= REDRAWN:
            self._drawn = now
            self._progress.show(line_of(self._name, self.speed, now))

    def _tell_plainly(self, now: float) -> None:
        """A line at a further tenth of the tiles, or after a long silence."""
        tenth, silent = self.speed.percent // 10, now - self._said
        few = self.speed.total < FEW_TILES and now - self._start < SHORT
        if not few and (silent >= LINE_AT_LEAST or (tenth > self._tenth and silent >= LINE_EVERY)):
            self._tenth, self._said = tenth, now
            self._progress.tell(line_of(self._name, self.speed, now))


def _width(stream: TextIO) -> int:
    """Columns of a terminal, 80 if it does not tell."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _cut_short(log: Path) -> bool:
    """Whether the last line of a log was never finished: the next would be glued to it."""
    with log.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
