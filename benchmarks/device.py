"""The card: its clock, and what is written down of it. CuPy comes from the caller, so that tests can stand in.

What the clock promises. The L2 cache holds nothing of the input: before every visit as much is written as FLUSH says,
on the same stream. While the card writes that, the host hands over the work of the visit, so that between the two
events stands nothing but that work; a visit whose host came too late is counted (`Stopwatch.late`) and reported, for
it holds time of the host too.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from . import machine
from .clock import Call, on_host

FLUSH = 2**30
"""Bytes written before a visit: 20 times the largest L2 cache, and about 0.4 ms of an H100's time."""

CLOCKS = (
    "clocks.sm",
    "clocks.mem",
    "clocks.max.sm",
    "clocks.max.mem",
    "power.limit",
    "temperature.gpu",
    "driver_version",
)
"""What nvidia-smi is asked for."""


class Stopwatch:
    """Seconds of the card between two events on CuPy's current stream.

    Attributes:
        late: visits whose work was handed over after the card had begun to wait for it.
        visits: all of them.
    """

    def __init__(self, xp: Any, flush: int = FLUSH) -> None:
        self._xp = xp
        self._flush = xp.empty(flush, np.uint8)
        self.late = self.visits = 0

    def visit(self, call: Call) -> float:
        """One call, alone on the card."""
        stream, events = self._xp.cuda.get_current_stream(), self._xp.cuda.Event
        start, stop = events(), events()
        stream.synchronize()
        self._flush.fill(self.visits % 2)
        start.record(stream)
        output = call()
        stop.record(stream)
        self.late += bool(start.done)
        self.visits += 1
        stop.synchronize()
        seconds = self._xp.cuda.get_elapsed_time(start, stop) / 1e3
        del output
        return seconds

    def remark(self) -> str:
        """How many visits were late, and what that means; empty if none."""
        if not self.late:
            return ""
        return (
            f"{self.late} of {self.visits} visits were handed to the card late: they hold time of the host, and so do "
            "the figures they belong to. A larger --size helps."
        )

    def host_visit(self, call: Call) -> float:
        """The same by the host's clock, launches and all, for work on streams of other libraries."""
        stream = self._xp.cuda.get_current_stream()
        self._flush.fill(self.visits % 2)
        stream.synchronize()

        def finished() -> object:
            output = call()
            stream.synchronize()
            return output

        return on_host(finished)


def place(
    here: machine.Machine, described: str, versions: Mapping[str, str], copies: machine.Copies, stopwatch: Stopwatch
) -> machine.Machine:
    """The machine `here` with its card: name and memory, versions, clocks now and at most, and its copy bandwidth."""
    moved = 8 * machine.COPY_BYTES
    call = copies.of(moved)
    rate = moved / sorted(stopwatch.visit(call) for _ in range(9))[4]
    known = {"card": described, **versions, **clocks(), "copies": f"{rate / 1e9:.0f} GB/s (read + written)"}
    return replace(here, device=known, copy_bytes_per_second=rate)


def clocks() -> dict[str, str]:
    """Clocks, power limit, temperature and driver of the first card as nvidia-smi tells them; ? where it does not."""
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return dict.fromkeys(CLOCKS, "?")
    query = [smi, f"--query-gpu={','.join(CLOCKS)}", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    values = [value.strip() for value in done.stdout.splitlines()[0].split(",")] if done.stdout.strip() else []
    if done.returncode or len(values) != len(CLOCKS):
        return dict.fromkeys(CLOCKS, "?")
    return dict(zip(CLOCKS, values, strict=True))
