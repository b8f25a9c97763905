"""From files to COGs: whole runs in processes of their own, and how long it takes until anything happens.

    python -m mpmjax.benchmarks.whole [--sides 2048 4096] [--dtypes int16] [--codecs deflate zstd lerc] [--folder DIR]

A district is made once (mpmjax.synthetic) and re-encoded; a run fits, screens, builds maps and targets and writes its
report. Seconds by stage are those of the run's own log, wall and memory those of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .streaming import temporary

MEMBERS, HIDDEN, STEPS = 4, 32, 200
COLD = ("import mpmjax.cli", "import mpmjax.pipeline, mpmjax.stages.train, mpmjax.stages.screen")


@dataclass(frozen=True)
class Setting:
    """A run: a district of side x side cells, its files, and the model."""

    side: int
    layers: int = 4
    dtype: str = "int16"
    codec: str = "deflate"
    members: int = MEMBERS
    hidden: int = HIDDEN
    steps: int = STEPS

    @property
    def name(self) -> str:
        return f"{self.side}_{self.layers}_{self.dtype}_{self.codec}"

    def __str__(self) -> str:
        return (
            f"{self.side}², L = {self.layers}, {self.dtype}, {self.codec}, E = {self.members}, H = {self.hidden}, "
            f"{self.steps} steps"
        )


@dataclass(frozen=True)
class Whole:
    """What a run took.

    Attributes:
        wall: seconds from the start of the process to its end.
        stages: seconds by stage, as its log has them; what is missing to `wall` is starting and compiling.
        cpu: seconds of all threads; peak: MiB.
    """

    setting: Setting
    wall: float
    cpu: float
    peak: float
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Million cells a second, from files to COGs."""
        return self.setting.side**2 / self.wall / 1e6

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "mcells_s": self.rate, "name": str(self.setting)}


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mpmjax.benchmarks.whole", description="Whole runs.")
    parser.add_argument("--sides", type=int, nargs="+", default=[2048])
    parser.add_argument("--dtypes", nargs="+", default=["int16"], choices=("int16", "float32"))
    parser.add_argument("--codecs", nargs="+", default=["deflate"], choices=("none", "deflate", "zstd", "lerc"))
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--hidden", type=int, default=HIDDEN)
    parser.add_argument("--folder", type=Path, help="where districts are made and kept; default a temporary one")
    asked = parser.parse_args(argv)
    settings = [
        Setting(side, dtype=dtype, codec=codec, members=asked.members, hidden=asked.hidden)
        for side in asked.sides
        for dtype in asked.dtypes
        for codec in asked.codecs
    ]
    with temporary(asked.folder) as folder:
        print(table([run(folder, setting) for setting in settings]))
    print()
    print("\n".join(f"{what}: {seconds:.2f} s" for what, seconds in cold_start().items()))
    return 0


def project(folder: Path, setting: Setting) -> Path:
    """The project file of a setting; its district is made unless it is there."""
    from mpmjax.synthetic.district import make_district

    place = folder / setting.name
    file = place / "project.toml"
    if not file.exists():
        make_district(place, width=setting.side, height=setting.side, layers=setting.layers, dtype=setting.dtype)
        if setting.codec != "deflate":
            for raster in place.glob("*.tif"):
                _recode(raster, setting.codec)
    before, _ = file.read_text(encoding="utf-8").split("[model]")
    model = f"members = {setting.members}\nhidden = {setting.hidden}\nsteps = {setting.steps}\nseed = 7\n"
    wanted = place / f"run_{setting.members}_{setting.hidden}_{setting.steps}.toml"
    wanted.write_text(f"{before}[model]\n{model}", encoding="utf-8")
    return wanted


def _recode(raster: Path, codec: str) -> None:
    import rasterio.shutil

    options = {} if codec == "none" else {"compress": codec}
    if codec == "lerc":
        options["max_z_error"] = "0"
    other = raster.with_suffix(".other")
    rasterio.shutil.copy(raster, other, driver="GTiff", tiled="YES", blockxsize=512, blockysize=512, **options)
    other.replace(raster)


def run(folder: Path, setting: Setting) -> Whole:
    """One run in a process of its own, into a folder that was not there.

    Raises:
        CalledProcessError: it failed; its last lines are on the standard error.
    """
    output = folder / f"out_{setting.name}"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "mpmjax", "run", str(project(folder, setting)), "--output", str(output)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    told = json.loads((output / "run.json").read_text(encoding="utf-8"))
    shutil.rmtree(output)
    return Whole(setting, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, told["times"])


def cold_start() -> dict[str, float]:
    """Seconds until the command line is there, until all that a run needs is imported, and until the first cells are
    scored by kernels compiled before, each in a process of its own.
    """
    score = (
        "import numpy as np; from mpmjax.benchmarks import inputs; from mpmjax.ops.lstm import Scorer; "
        f"a = inputs.network(np.random.default_rng(0), 1, 4, {HIDDEN}, 4, 1); "
        "Scorer(a).reconstruct(np.zeros((4, 64), np.float32), np.ones((4, 64), bool))"
    )
    names = ("the command line", "all that a run needs, imported", "the first cells through a network")
    found = {}
    for name, code in zip(names, (*COLD, score), strict=True):
        command = [sys.executable, "-c", code]
        subprocess.run(command, check=True)  # compiles, and fills the page cache
        start = time.perf_counter()
        subprocess.run(command, check=True)
        found[name] = time.perf_counter() - start
    return found


def table(found: Sequence[Whole]) -> str:
    """Markdown: a row for each run."""
    stages = list(found[0].stages)
    lines = [
        f"| run | wall, s | Mcells/s | CPU, s | peak, MiB | {' | '.join(stages)} | start and the rest |",
        "|---" * (6 + len(stages)) + "|",
    ]
    for item in found:
        parts = " | ".join(f"{item.stages[name]:.1f}" for name in stages)
        rest = item.wall - sum(item.stages.values())
        lines.append(
            f"| {item.setting} | {item.wall:.1f} | {item.rate:.2f} | {item.cpu:.1f} | {item.peak:.0f} | {parts} "
            f"| {rest:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
