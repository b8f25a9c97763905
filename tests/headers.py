"""Gives rasters that may be damaged to a process that reads them, with a clock in hand; counts what became of them."""

from __future__ import annotations

import contextlib
import json
import re
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from header_worker import CRS
from mutations import mutate
from raster_seeds import Seed

PATIENCE = 10.0
"""Seconds for one file."""

STARTED = 120.0
"""Seconds for a process to load its libraries, on a machine that has other work."""

MEMORY = 1 << 30
"""Bytes of address space of the process that reads."""

WORKER = Path(__file__).with_name("header_worker.py")


class Reader:
    """A process of header_worker.py, started anew where it died or was killed."""

    def __init__(self, folder: Path, memory: int = MEMORY, command: Sequence[str] = ()) -> None:
        """Args: folder: for what it says on its standard error; command: what it is started under, such as strace."""
        self._command = [*command, sys.executable, str(WORKER), str(memory)]
        self._said = folder / "worker.log"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ask(self, path: Path, crs: str | None = CRS) -> dict[str, Any]:
        """What became of a file: {"kind": one of those of header_worker.py, "died" or "hung", "words": ...}."""
        process, begun = self._running(), time.perf_counter()
        try:
            self._send(process, path, crs)
            ready = select.select([process.stdout], [], [], PATIENCE)[0]
            line = process.stdout.readline() if ready and process.stdout else ""
        except BrokenPipeError:
            ready, line = [process.stdout], ""
        seconds = time.perf_counter() - begun
        if line:
            return json.loads(line) | {"seconds": seconds}
        self.stop()
        if not ready:
            return {"kind": "hung", "words": f"no answer in {PATIENCE:g} s", "peak": 0, "seconds": seconds}
        words = f"status {process.returncode}: {self._said.read_text(errors='replace')[-3000:]}"
        return {"kind": "died", "words": words, "peak": 0, "seconds": seconds}

    def stop(self) -> None:
        """End the process; closing what it reads from is enough for one that is well."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            with self._said.open("w") as said:
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
                )
            # The libraries are loaded by the first answer, which is waited for without the clock.
            self._send(self._process, self._said.with_name("none.tif"), None)
            if not select.select([self._process.stdout], [], [], STARTED)[0] or not self._process.stdout:
                raise TimeoutError(f"{self._command} does not start")
            self._process.stdout.readline()
        return self._process

    @staticmethod
    def _send(process: subprocess.Popen[str], path: Path, crs: str | None) -> None:
        if process.stdin is None:
            raise ValueError("the process has no standard input")
        process.stdin.write(json.dumps({"path": str(path), "crs": crs}) + "\n")
        process.stdin.flush()


@dataclass
class Tally:
    """What became of many files."""

    kinds: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    peak: int = 0

    def add(self, case: object, said: dict[str, Any]) -> None:
        self.kinds[said["kind"]] += 1
        self.slowest, self.peak = max(self.slowest, said["seconds"]), max(self.peak, said["peak"])
        if said["kind"] == "refused":
            self.refusals[reason(said["words"])] += 1
        elif said["kind"] not in ("read", "unsteady"):
            self.wrong.append(f"{case} {said['kind']}: {said['words']}")

    def __str__(self) -> str:
        lines = [f"{sum(self.kinds.values())} files: " + ", ".join(f"{n} {kind}" for kind, n in self.kinds.items())]
        lines.append(f"slowest {self.slowest:.2f} s, most memory {self.peak} MiB resident")
        lines += [f"{count:6} refused: {words}" for words, count in self.refusals.most_common()]
        return "\n".join(lines)


REASONS = (
    *("not a readable", "no such file", "cannot be decoded", "cut short", "states no CRS", "local or geocentric"),
    *("no geotransform", "complex values", "cannot be evidence", "undeclared nodata", "cells are nodata", "constant"),
    *("mask beside a raster", "blocks of", "none of its", "lies outside", "too many to take together"),
)


def reason(words: str) -> str:
    """Which refusal a message is."""
    known = [part for part in REASONS if part in words]
    return known[0] if known else re.sub(r"\S*/\S+", "PATH", words)[:110]


def try_all(seeds: Sequence[Seed], numbers: Iterable[int], folder: Path) -> Tally:
    """Let the package read the cases of these numbers, in turn with a CRS stated and without."""
    tally, place = Tally(), folder / "case"
    with Reader(folder) as reader:
        for number in numbers:
            case = mutate(seeds, number)
            place.mkdir()
            tally.add(case, reader.ask(case.put(place), CRS if number // len(seeds) % 2 else None))
            shutil.rmtree(place)
    return tally
