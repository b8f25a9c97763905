"""How time and memory grow with cells, layers and members: python -m mpmjax.benchmarks.growth [--folder DIR].

Screening with a saved Screener (8 hidden units), each size in a process of its own, sizes in turns and back, so that
all of them meet the same weather. Seconds are those of the screening stage: the pass over the tiles, and the maps. A
pass begins with loading what is compiled, the same for every size: the line through the sizes tells it apart.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from .streaming import Size, measured, temporary

CELLS = (2048, 4096, 8192, 16_384)
LAYERS = (2, 4, 8, 16)
MEMBERS = (1, 2, 4, 8)
SIDE = 4096
"""Of the districts in which layers and members grow."""

Row = tuple[Size, float, float]
"""Size, seconds, MiB; medians."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table for each of the three; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mpmjax.benchmarks.growth", description="Growth of a screening.")
    parser.add_argument("--cells", type=int, nargs="*", default=CELLS, help="sides of square districts, in cells")
    parser.add_argument("--layers", type=int, nargs="*", default=LAYERS)
    parser.add_argument("--members", type=int, nargs="*", default=MEMBERS)
    parser.add_argument("--side", type=int, default=SIDE, help="of the districts in which layers and members grow")
    parser.add_argument("--rounds", type=int, default=1, help="two visits of every size each (1)")
    parser.add_argument("--folder", type=Path, help="where districts are made and kept; default a temporary one")
    asked = parser.parse_args(argv)
    series = {
        "million cells": ([Size(side) for side in asked.cells], [side**2 / 1e6 for side in asked.cells]),
        "layers": ([Size(asked.side, layers) for layers in asked.layers], list(asked.layers)),
        "members": ([Size(asked.side, 2, members) for members in asked.members], list(asked.members)),
    }
    with temporary(asked.folder) as folder:
        for name, (sizes, counts) in series.items():
            if len(sizes) > 1:
                print(table(name, counts, visited(folder, sizes, asked.rounds)), flush=True)
    return 0


def visited(folder: Path, sizes: Sequence[Size], rounds: int) -> list[Row]:
    """Each size forward and backward, so many times, after one visit to the smallest that is not counted."""
    measured(folder, sizes[0])
    visits = [measured(folder, size) for _ in range(rounds) for size in (*sizes, *reversed(sizes))]
    found = []
    for size in sizes:
        own = [visit for visit in visits if Size(*(visit[name] for name in Size._fields)) == size]
        found.append((size, median(visit["screen_s"] for visit in own), median(visit["peak_mib"] for visit in own)))
    return found


def line(x: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Seconds at 0 and seconds a unit of x, by least squares of relative errors."""
    weights = 1.0 / np.asarray(seconds)
    design = np.stack([np.ones(len(x)), np.asarray(x, np.float64)], axis=1)
    (start, slope), *_ = np.linalg.lstsq(design * weights[:, None], np.ones(len(x)), rcond=None)
    return float(start), float(slope)


def table(name: str, counts: Sequence[float], rows: Sequence[Row]) -> str:
    """Markdown: what was measured, what the straight line through it says, and how far off that is."""
    start, slope = line(counts, [seconds for _, seconds, _ in rows])
    lines = [
        "",
        f"| {name} | seconds | a straight line | off | seconds a unit, less the start | peak, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for count, (_, seconds, peak) in zip(counts, rows, strict=True):
        straight = start + slope * count
        own = (seconds - start) / count
        lines.append(
            f"| {count:,.4g} | {seconds:.2f} | {straight:.2f} | {seconds / straight - 1:+.1%} | {own:.4g} "
            f"| {peak:.0f} |"
        )
    units = [seconds / count for count, (_, seconds, _) in zip(counts, rows, strict=True)]
    peaks = [peak for _, _, peak in rows]
    told = (
        f"Start {start:.2f} s, {slope:.4g} s a unit of {name}. Whole seconds a unit: {min(units):.4g} to "
        f"{max(units):.4g}. Memory: the most is {max(peaks) / min(peaks) - 1:.1%} above the least."
    )
    lines += ["", told]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
