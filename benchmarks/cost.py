"""What a run was foreseen to take, and what it took: python -m mpmjax.benchmarks.cost [--folder DIR].

Settings that the constants of mpmjax.cost.model were not taken on: other sizes, layers, dtypes, codecs and models. Each
is foreseen by `mpmjax check`'s own measurement, then run in a process of its own into a folder that was not there. Of
several repeats the quickest run counts, and the forecast that was made before it. CPU seconds stand
beside it: where they are far from wall time x cores, a run did not have the machine to itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mpmjax.cost.model import Forecast, forecast
from mpmjax.cost.rates import Rates, measure
from mpmjax.cost.work import Stack, Work
from mpmjax.evidence.grid.resolve import resolve_grid
from mpmjax.evidence.layer import raster_layer
from mpmjax.evidence.raster.scan import scan
from mpmjax.evidence.raster.source import inspect_raster
from mpmjax.project import load_project

from . import whole
from .clock import on_processor
from .streaming import temporary
from .whole import Setting, Whole

SETTINGS = (
    Setting(2048, layers=8, dtype="float32", codec="zstd", members=8, hidden=16, steps=300),
    Setting(3072, layers=2, dtype="int16", codec="none", members=2, hidden=64, steps=200),
    Setting(4096, layers=4, dtype="int16", codec="lerc", members=1, hidden=8, steps=200),
    Setting(4096, layers=3, dtype="float32", codec="deflate", members=4, hidden=32, steps=400),
    Setting(8192, layers=2, dtype="int16", codec="zstd", members=1, hidden=8, steps=200),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mpmjax.benchmarks.cost", description="Foreseen and measured.")
    parser.add_argument("--folder", type=Path, help="where districts are made and kept; default a temporary one")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", type=int, nargs="+", default=range(len(SETTINGS)), help="which settings, from 0 on")
    asked = parser.parse_args(argv)
    with temporary(asked.folder) as folder:
        print(table([quickest(folder, SETTINGS[number], asked.repeats) for number in asked.only]))
    return 0


def quickest(folder: Path, setting: Setting, repeats: int) -> tuple[Forecast, Whole]:
    """Forecast and run of the repeat whose run was the quickest."""
    file = whole.project(folder, setting)
    pairs = [(forecast(*looked_at(file)), whole.run(folder, setting)) for _ in range(repeats)]
    return min(pairs, key=lambda pair: pair[1].wall)


def looked_at(file: Path) -> tuple[Work, Rates]:
    """Work and rates of a project whose layers are all rasters, as `mpmjax check` finds them."""
    project = load_project(file)
    sources = {
        section.name: inspect_raster(project.path(section.file), section.name, band=section.band)
        for section in project.layers
    }
    grid = resolve_grid(project.grid, list(sources.values()), None)
    looked = {
        section.name: on_processor(lambda s=section: scan(sources[s.name], raster_layer(s, sources[s.name]), "stop"))
        for section in project.layers
    }
    return measure(Stack(project, grid, sources, looked, 1.0))


def table(found: Sequence[tuple[Forecast, Whole]]) -> str:
    """Markdown: foreseen / measured seconds, whole and by stage."""
    stages = list(found[0][1].stages)
    lines = [
        f"| run | foreseen, s | measured, s | foreseen / measured | CPU, s | {' | '.join(stages)} |",
        "|---" * (5 + len(stages)) + "|",
    ]
    for guess, run in found:
        parts = " | ".join(f"{guess.stages.get(name, 0.0):.1f} / {run.stages[name]:.1f}" for name in stages)
        lines.append(
            f"| {run.setting} | {guess.wall:.1f} | {run.wall:.1f} | {guess.wall / run.wall:.2f} "
            f"| {run.cpu:.1f} | {parts} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
