"""Runs that meet faults: a tiny district of 64 tiles, a server that forks a run in a second, and what must hold after.

The Screener is made up: what is tested is how its maps get to the disk, not what they say.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from districts import LAYERS, make_district
from ops.screener_arrays import random_arrays

from mpmjax.autoencoder.checkpoint import save_screener
from mpmjax.stream.engine import Threads
from mpmjax.types import Membership, Screener

SIDE, TILE, WORKERS = 128, 16, 2
TILES = (SIDE // TILE) ** 2
IN_FLIGHT = Threads(WORKERS, WORKERS + 1, WORKERS).in_flight
SCRATCH = ".mpmjax"
PHASES: Mapping[str, tuple[str, str] | None] = {"tiles": None, "maps": ("cog", "any"), "targets": ("geopackage", "any")}
"""Phases of a run, and the step of fault_points.py with which each begins."""

HERE = Path(__file__).parent


def make_small_district(folder: Path, side: int) -> Path:
    """A district whose sources are cut as the tiles are."""
    stream = {"tile": TILE, "workers": WORKERS, "backend": "numpy"}
    project = make_district(folder, shape=(side, side), mask=False, occurrences=False, stream=stream)
    for path in folder.glob("*.tif"):
        with rasterio.open(path) as source:
            profile, values = source.profile, source.read()
        profile |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE}
        with rasterio.open(path, "w", **profile) as target:
            target.write(values)
    return project


def make_screener(folder: Path, district: Path) -> Path:
    """A network of random weights for the layers of the district."""
    layers, memberships = [], []
    for layer in LAYERS:
        with rasterio.open(district / f"{layer['name']}.tif") as source:
            values = source.read(1, masked=True).compressed()
        sign = 1.0 if layer["direction"] == "high" else -1.0
        transform = layer.get("transform", "none")
        seen = np.log10(values) if transform == "log" else values
        slope = sign * 2.0 / float(seen.std())
        floor = float(values.min()) / 2.0 if transform == "log" else 0.0
        middle = {"midpoint": float(seen.mean()), "slope": slope}
        memberships.append(Membership("sigmoid", middle, transform=transform, floor=floor))
        shares = {"min": 0.0, "p1": 0.01, "median": 0.5, "p99": 0.99, "max": 1.0}
        spread = {name: float(np.quantile(values, share)) for name, share in shares.items()}
        record = {"name": layer["name"], "role": layer["role"], "direction": int(sign), "weight": None}
        layers.append(record | {"distinctness": 1.0, "codes": {}, "derivation": {}, "source": "", **spread})
    arrays = random_arrays(1, len(LAYERS), 4, 2, 3, seed=2)
    groups = {"k": 3, "favourability": [0.2, 0.5, 0.8], "profile": [[0.5] * 4] * 3, "sample_share": [0.3, 0.3, 0.4]}
    told = {"model": {"sample": 2000, "members": 1}, "groups": groups, "trust": 0.5, "notes": [], "area_share": 0.02}
    folder.mkdir()
    screener = Screener(tuple(layers), tuple(memberships), arrays, {"min_coverage": 0.5, "seed": 7}, told)
    save_screener(screener, folder)
    return folder


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit status, negative the signal that killed it; what it said; seconds it took."""

    status: int
    said: str
    seconds: float


class Server:
    """fault_server.py, with one child at a time."""

    def __init__(self, folder: Path, preload: Path | None = None) -> None:
        self.said = folder / f"said-{time.monotonic_ns()}.txt"
        more = {"LD_PRELOAD": str(preload)} if preload else {}
        threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "fault_server.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
            env={**os.environ, **threads, **more}, start_new_session=True,
        )  # fmt: skip
        self._child, self._began = 0, 0.0
        assert self._line() == "ready"

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def start(self, arguments: Sequence[object], output: Path, **faults: Any) -> int:
        """Begin a command; the number of its process. `faults` are those of fault_server.child."""
        order = {"arguments": list(map(str, arguments)), "output": str(output), "said": str(self.said), **faults}
        assert self._process.stdin
        self._process.stdin.write(f"{json.dumps(order)}\n".encode())
        self._began = time.monotonic()
        self._child = int(self._line())
        return self._child

    def wait(self, seconds: float | None = None) -> Ended | None:
        """How the command ended; None if it is at work after so many seconds."""
        assert self._process.stdout
        if seconds is not None and not select.select([self._process.stdout], [], [], max(seconds, 0.0))[0]:
            return None
        status = int(self._line())
        return Ended(status, self.said.read_text(errors="replace"), time.monotonic() - self._began)

    def kill(self, number: int = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(self._child, number)

    def ended(self) -> Ended:
        found = self.wait()
        assert found
        return found

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline().decode().strip()
        assert line, "the server of forks has ended"
        return line


class Bench:
    """District, Screener, server, and an undisturbed run to compare with.

    Attributes:
        whole: sha256 of every output of the undisturbed run; tiles: of its tile files, by name.
        seconds: that an undisturbed run took last.
    """

    def __init__(self, folder: Path, preload: Path | None = None, side: int = SIDE) -> None:
        self.folder = folder
        self.project = make_small_district(folder / "district", side)
        self.screener = make_screener(folder / "screener", folder / "district")
        self.server = Server(folder, preload)
        reference = folder / "whole"
        stopped = self.tiled("stopped")
        self.tiles = {path.name: sha256(path) for path in (stopped / SCRATCH / "tiles").glob("*.tile")}
        assert len(self.tiles) == (side // TILE) ** 2
        shutil.rmtree(stopped)
        self.seconds = self.screen(reference).seconds
        self.whole = digests(reference)

    def close(self) -> None:
        self.server.close()

    def command(self, output: Path) -> list[object]:
        return ["screen", self.project, "--screener", self.screener, "--output", output]

    def start(self, output: Path, **faults: Any) -> int:
        return self.server.start(self.command(output), output, **faults)

    def try_to(self, output: Path, **faults: Any) -> Ended:
        """Screen, however it ends."""
        self.start(output, **faults)
        return self.server.ended()

    def screen(self, output: Path, **faults: Any) -> Ended:
        """Screen to the end."""
        ended = self.try_to(output, **faults)
        assert ended.status == 0, f"status {ended.status}: {ended.said}"
        return ended

    def verify(self, output: Path) -> Ended:
        self.server.start(["verify", output], output)
        return self.server.ended()

    def kill_after(self, seconds: float, output: Path, **faults: Any) -> bool:
        """Start a run and kill it; False if it had ended before."""
        self.start(output, **faults)
        ended = self.server.wait(seconds)
        if ended is None:
            self.server.kill()
            ended = self.server.ended()
        assert ended.status in (0, -signal.SIGKILL), ended
        return ended.status != 0

    def begin(self, phase: str, name: str) -> Path:
        """An output folder in which a run has come to the beginning of one of PHASES, and was killed."""
        stopped, output = self.folder / phase, self.folder / name
        shutil.rmtree(output, ignore_errors=True)  # of a test that failed
        point = PHASES[phase]
        if point is not None:
            if not stopped.exists():
                assert self.try_to(stopped, point=[*point, 1]).status == -signal.SIGKILL
            shutil.copytree(stopped, output)
        return output

    def tiled(self, name: str) -> Path:
        """An output folder with all tiles and no map."""
        return self.begin("maps", name)

    def require_whole_names(self, output: Path) -> int:
        """P2, at any moment: what stands under a final name is the finished file. Returns how many do."""
        found = digests(output)
        wrong = {name for name, digest in found.items() if self.whole.get(name) != digest}
        tiles = output / SCRATCH / "tiles"
        made = {path.name: sha256(path) for path in tiles.glob("*.tile")} if tiles.exists() else {}
        wrong |= {name for name, digest in made.items() if self.tiles[name] != digest}
        assert not wrong, f"not whole under a final name: {wrong}"
        return len(found) + len(made)

    def require_same(self, output: Path, what: object = "") -> None:
        """Every output is byte for byte that of the undisturbed run, and nothing else is there."""
        found = digests(output)
        unlike = {name for name in {*found, *self.whole} if found.get(name) != self.whole.get(name)}
        assert not unlike, f"{what}: differ, are missing or left over: {sorted(unlike)}"
        parts = [path for path in standing(output) if is_part(path)]
        assert not parts, f"{what}: unfinished files are left: {parts}"
        left = {path.name for path in (output / SCRATCH).iterdir()}
        assert left <= {"lock", "log.jsonl", "manifest.sqlite", "manifest.sqlite-journal"}, left


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digests(output: Path) -> dict[str, str]:
    """sha256 of what has a final name in an output folder: not the scratch folder, nor files that are being written."""
    return {str(path.relative_to(output)): sha256(path) for path in standing(output) if not is_part(path)}


def standing(output: Path) -> list[Path]:
    """All files but those of the scratch folder."""
    return [path for path in sorted(output.rglob("*")) if path.is_file() and SCRATCH not in path.parts]


def is_part(path: Path) -> bool:
    """Whether a file is not finished, by its name."""
    return path.name.startswith(".") or path.suffix == ".part"


def begun(path: Path) -> list[int]:
    """Tiles that were begun, from the file of fault_server.watch_tiles."""
    return np.fromfile(path, "<u4").tolist() if path.exists() else []


def quick_folder() -> Path:
    """In memory where there is such a disk: thousands of runs sync every file, and none of them ends by a power cut."""
    shm = Path("/dev/shm")  # noqa: S108 - a fresh folder is made in it
    return Path(tempfile.mkdtemp(prefix="mpmjax-faults-", dir=shm if os.access(shm, os.W_OK) else None))


@contextmanager
def bench(preload: Path | None = None, side: int = SIDE) -> Iterator[Bench]:
    folder = quick_folder()
    made = Bench(folder, preload, side)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
