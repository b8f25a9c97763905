"""How far a pass over tiles is and how fast it goes: counts and seconds in, figures and a line for people out."""

from __future__ import annotations

import math
from collections import deque

WINDOW = 30.0
"""Seconds over which the recent speed is taken."""

SAMPLED = 0.5
"""Seconds between two states that are kept for it."""


class Speed:
    """Counts of one pass. Tiles that an earlier run left finished count for how far it is, not for how fast.

    Times are seconds of any clock that never goes backwards.

    Attributes:
        total, cells: tiles and cells of the whole pass.
        tiles, worked: tiles that stand, and cells of those that this run did.
        skipped_tiles, skipped_cells: what stood before.
        bytes_read, retries: sums over what this run did.
    """

    def __init__(self, total: int, cells: int, now: float) -> None:
        self.total, self.cells = total, cells
        self.tiles = self.worked = self.skipped_tiles = self.skipped_cells = self.bytes_read = self.retries = 0
        self._states: deque[tuple[float, int, int]] = deque()
        self._begin(now)

    def done(self, now: float, cells: int, bytes_read: int, retries: int) -> None:
        """One tile more."""
        self.tiles += 1
        self.worked += cells
        self.bytes_read += bytes_read
        self.retries += retries
        self._last = now
        if now - self._states[-1][0] >= SAMPLED:
            self._states.append((now, self.worked, self.bytes_read))
        while len(self._states) > 1 and self._states[1][0] <= now - WINDOW:
            self._states.popleft()

    def skipped(self, now: float, count: int, cells: int) -> None:
        """`count` tiles that stand already. Until the first tile is done the time of looking at them is not counted."""
        self.tiles += count
        self.skipped_tiles += count
        self.skipped_cells += cells
        if self.tiles == self.skipped_tiles:
            self._begin(now)

    @property
    def complete(self) -> bool:
        return self.tiles >= self.total

    @property
    def percent(self) -> int:
        """Whole percents of the tiles, rounded down: 100 at the end and not before."""
        return 100 if self.complete else 100 * self.tiles // self.total

    def rates(self) -> tuple[float, float]:
        """Cells and bytes a second over the pass, up to the last tile; 0 where no time has passed."""
        return _rates(self._last - self._start, self.worked, self.bytes_read)

    def recent_rates(self, now: float) -> tuple[float, float]:
        """The same over the last WINDOW seconds, up to now: a pass that stands still gets slower."""
        then, cells, read = self._states[0]
        return _rates(now - then, self.worked - cells, self.bytes_read - read)

    def seconds_left(self, now: float) -> float | None:
        """Seconds to the end at the recent speed; None while that is not known."""
        if self.complete:
            return 0.0
        rate = self.recent_rates(now)[0] or self.rates()[0]
        left = self.cells - self.skipped_cells - self.worked
        return max(0, left) / rate if rate > 0 else None

    def figures(self, now: float) -> dict[str, int | float | None]:
        """All there is to know, as plain values: seconds, cells, bytes."""
        (rate, read), (recent, read_now), left = self.rates(), self.recent_rates(now), self.seconds_left(now)
        return {
            "tiles": self.tiles,
            "total": self.total,
            "skipped": self.skipped_tiles,
            "percent": self.percent,
            "cells": self.worked + self.skipped_cells,
            "total_cells": self.cells,
            "seconds": round(now - self._start, 3),
            "cells_per_second": round(rate),
            "recent_cells_per_second": round(recent),
            "bytes_read": self.bytes_read,
            "bytes_per_second": round(read),
            "recent_bytes_per_second": round(read_now),
            "retries": self.retries,
            "seconds_left": None if left is None else round(left, 1),
        }

    def _begin(self, now: float) -> None:
        self._start = self._last = now
        self._states.clear()
        self._states.append((now, 0, 0))


def line_of(name: str, speed: Speed, now: float) -> str:
    """Where a pass stands, for people: at the recent speed, and once it is complete at that of the whole pass."""
    cells, read = speed.rates() if speed.complete else speed.recent_rates(now)
    left = speed.seconds_left(now)
    parts = [name, f"{speed.tiles:,}/{speed.total:,} tiles", f"{speed.percent} %"]
    if cells > 0:
        parts.append(f"{_short(cells / 1e6)} Mcells/s")
    if read > 0:
        parts.append(f"{_short(read / 1e9)} GB/s read")
    if left is not None and not speed.complete:
        parts.append(f"ETA {duration(left)}")
    again = "" if not speed.retries else f", {speed.retries:,} {'retry' if speed.retries == 1 else 'retries'}"
    return "  ".join(parts) + again


def duration(seconds: float) -> str:
    """Seconds for people, in the two units that matter, rounded up."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = math.ceil(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def _rates(seconds: float, cells: int, read: int) -> tuple[float, float]:
    return (cells / seconds, read / seconds) if seconds > 0 else (0.0, 0.0)


def _short(value: float) -> str:
    """About three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
