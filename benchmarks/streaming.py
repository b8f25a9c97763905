"""The flow of tiles: how far a pass is from its stages' own time, and whether its memory is flat.

    python -m mpmjax.benchmarks.streaming memory [--sides 4096 16384] [--folder DIR]
    python -m mpmjax.benchmarks.streaming overlap [--side 8192] [--repeats 3] [--folder DIR]
    python -m mpmjax.benchmarks.streaming device [--tiles 60] [--milliseconds 40]

`memory` screens synthetic districts of two int16 layers with one Screener (1 member, 8 hidden units), each in a process
of its own, and shows the peak of its resident memory.

`overlap` screens one district and holds the wall time against what the process burnt: with C cores it cannot be shorter
than its CPU time over C. That ratio says nothing by itself (a slow program keeps all cores busy, too), so the rate
stands beside it. The pass over the tiles and the building of the maps are also shown apart.

`device` puts a card's stand-in in the place of the computation: a lock that is held for a fixed time a tile, while
readers and writers do real work. The pass should take as long as the stand-in alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

FIT_SIDE = 1024


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("memory", "overlap", "device", "one"))
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 16_384], help="of the districts, in cells")
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiles", type=int, default=60)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--milliseconds", type=float, default=40.0)
    parser.add_argument("--folder", type=Path, help="where districts are made and kept; default a temporary one")
    asked = parser.parse_args(argv)
    if asked.what == "one":
        print(json.dumps(one(asked.folder, Size(asked.side, asked.layers, asked.members))))
        return 0
    with temporary(asked.folder) as folder:
        if asked.what == "memory":
            print(_table([measured(folder, Size(side)) for side in asked.sides]))
        elif asked.what == "overlap":
            print(_table([measured(folder, Size(asked.side)) for _ in range(asked.repeats)]))
        else:
            print(stand_in(folder, asked.tiles, asked.milliseconds / 1000.0))
    return 0


@contextmanager
def temporary(stated: Path | None) -> Iterator[Path]:
    if stated is not None:
        stated.mkdir(parents=True, exist_ok=True)
        yield stated
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


class Size(NamedTuple):
    """Of a district, side x side cells, and of the model; 8 hidden units."""

    side: int
    layers: int = 2
    members: int = 1

    @property
    def model(self) -> str:
        return f"members = {self.members}\nhidden = 8\nsteps = 200\nseed = 7\nsample = 20000\ngroups = 3\n"

    @property
    def fit(self) -> str:
        """Name of the folder of its Screener."""
        return "fit" if self[1:] == (2, 1) else f"fit_{self.layers}_{self.members}"

    def at(self, side: int) -> Size:
        return Size(side, self.layers, self.members)


def district(folder: Path, size: Size) -> Path:
    """The project of a district; made unless it is there."""
    from mpmjax.synthetic.district import make_district

    name = f"d{size.side}" if size.layers == 2 else f"d{size.side}_{size.layers}"
    project = folder / name / "project.toml"
    if not project.exists():
        side = size.side
        make_district(project.parent, width=side, height=side, layers=size.layers, dtype="int16", resolution=30.0)
    text = project.read_text(encoding="utf-8")
    before, _ = text.split("[model]")
    wanted = project.with_name(f"screened_{size.members}.toml")
    wanted.write_text(f"{before}[model]\n{size.model}", encoding="utf-8")  # without [validate], no part of the flow
    return wanted


def measured(folder: Path, size: Size) -> dict[str, Any]:
    """Screen a district in a process of its own."""
    district(folder, size)
    if not (folder / size.fit / "screener.json").exists():
        from mpmjax import pipeline

        pipeline.fit(district(folder, size.at(FIT_SIDE)), folder / size.fit)
    sizes = ("--side", str(size.side), "--layers", str(size.layers), "--members", str(size.members))
    command = [sys.executable, "-m", "mpmjax.benchmarks.streaming", "one", "--folder", str(folder), *sizes]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def one(folder: Path, size: Size) -> dict[str, Any]:
    """Screen a district here; times in seconds, memory in MiB. Times and CPU are those of the run's own log."""
    from mpmjax import pipeline

    output = folder / f"out{size.side}"
    shutil.rmtree(output, ignore_errors=True)
    pipeline.screen(district(folder, size), folder / size.fit, output)
    events = [json.loads(line) for line in (output / ".mpmjax" / "log.jsonl").read_text("utf-8").splitlines()]
    shutil.rmtree(output)
    begin = next(e for e in events if e["event"] == "stage_start" and e["stage"] == "screen")
    written = next(e for e in events if e["event"] == "tiles_end")
    end = next(e for e in events if e["event"] == "stage_end" and e["stage"] == "screen")
    told = {**size._asdict(), **_between("pass", begin, written), **_between("maps", written, end)}
    whole = _between("screen", begin, end)
    rate = size.side**2 / whole["screen_s"] / 1e6
    return told | whole | {"mcells_s": rate, "peak_mib": _peak_mib()}


def _peak_mib() -> float:
    """The most memory that this process held. Not getrusage's, whose maximum begins at that of who started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(float(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def _between(name: str, start: Mapping[str, Any], end: Mapping[str, Any]) -> dict[str, float]:
    """Wall seconds, CPU seconds, and wall time over the CPU time of all cores."""
    wall = (datetime.fromisoformat(end["time"]) - datetime.fromisoformat(start["time"])).total_seconds()
    cpu = end["cpu"] - start["cpu"]
    return {f"{name}_s": wall, f"{name}_cpu_s": cpu, f"{name}_ratio": wall / (cpu / len(os.sched_getaffinity(0)))}


def _burnt() -> float:
    """CPU seconds of all threads of this process."""
    return time.process_time()


def _table(found: Sequence[dict[str, Any]]) -> str:
    names = list(found[0])
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    lines += [f"| {' | '.join(f'{row[name]:,.5g}' for name in names)} |" for row in found]
    if len(found) > 1 and len({Size(*(row[name] for name in Size._fields)) for row in found}) == 1:
        middle = [f"{median(row[name] for row in found):,.5g}" for name in names[len(Size._fields) :]]
        lines.append(f"| {' | '.join(['median', *[''] * (len(Size._fields) - 1), *middle])} |")
    return "\n".join(lines)


def stand_in(folder: Path, count: int, seconds: float) -> str:
    """A pass whose computation is a device of one tile at a time; wall time over the sum of its sleeps."""
    import numpy as np

    from mpmjax.pipeline_steps import prepared
    from mpmjax.pipeline_work import Run
    from mpmjax.products import PRODUCTS
    from mpmjax.stages.screen import Scored
    from mpmjax.stream.engine import Pass, Threads
    from mpmjax.stream.reader import StackReader
    from mpmjax.stream.ring import Ring
    from mpmjax.stream.tiles import cut
    from mpmjax.stream.tilestore import TileStore

    run = Run(district(folder, Size(4096)), folder / "device", lambda line: None, "")
    card = threading.Lock()
    rng = np.random.default_rng(1)
    maps = {p.name: rng.random((512, 512)).astype(p.dtype) for p in PRODUCTS}
    with run.workspace() as work:
        evidence = prepared(run, work)
        tiles, threads = cut(evidence.grid.shape, 512)[:count], Threads(2, 2, 2)
        store, ring = TileStore(work.scratch, PRODUCTS), Ring(threads.slots, evidence.layers, 512 * 512)
        store.make()

        def compute(slab: Any) -> Scored:
            with card:
                time.sleep(seconds)
            return Scored(slab.tile, maps, 1, {})

        with StackReader(evidence.grid, evidence.layers, evidence.mask) as reader:
            start, burnt = time.perf_counter(), _burnt()

            def write(scored: Scored) -> Any:
                return store.write(scored.tile, scored.maps, scored.cells, scored.facts)

            rows = list(Pass(threads, ring, reader.read, compute, write)(tiles))
            wall, cpu = time.perf_counter() - start, _burnt() - burnt
    return (
        f"{len(rows)} tiles, device {seconds * 1000:g} ms a tile: wall {wall:.3f} s, device {count * seconds:.3f} s, "
        f"wall / slowest stage {wall / max(count * seconds, cpu / 2):.3f}; readers and writers burnt {cpu:.3f} s of CPU"
    )


if __name__ == "__main__":
    sys.exit(main())
