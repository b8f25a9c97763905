"""Layers from samples to files at full size: python -m mpmjax.benchmarks.gridding [--side N] [--samples N] [--what ...]

Each in a process of its own, told with its wall time and the most memory that the process held, its imports and the
samples included, and GDAL's block cache as bounded in runs. A first run compiles the kernels: run it twice.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from affine import Affine

from mpmjax.evidence.gridding.methods import Gridding, Variogram
from mpmjax.evidence.gridding.write import write_gridded
from mpmjax.stream.reader import gdal_environment
from mpmjax.types import Grid

from . import gridding_baselines as rivals
from .gridding_cases import VARIOGRAM, strewn

MEMORY = 1 << 30
STATED = Variogram("spherical", VARIOGRAM["nugget"], VARIOGRAM["sill"], VARIOGRAM["reach"])
OURS: Mapping[str, Gridding] = {
    "idw": Gridding("idw"),
    "linear": Gridding("linear"),
    "natural": Gridding("natural"),
    "rbf": Gridding("rbf"),
    "kriging": Gridding("kriging", neighbours=16, variogram=STATED),
    "variance": Gridding("kriging", neighbours=16, variogram=STATED, what="variance"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run what a command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="mpmjax.benchmarks.gridding", description=__doc__)
    parser.add_argument("--side", type=int, default=4096, help="cells of a side (4096)")
    parser.add_argument("--samples", type=int, default=100_000, help="samples (100000)")
    parser.add_argument("--what", nargs="+", choices=[*OURS, "tree", "pykrige"], default=["idw", "tree"])
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args(argv)
    if options.here:
        for what in options.what:
            print(_told(what, options.side, options.samples))
        return 0
    size = ["--side", str(options.side), "--samples", str(options.samples), "--here"]
    command = [sys.executable, "-m", "mpmjax.benchmarks.gridding", *size, "--what"]
    return max(subprocess.run([*command, what], check=False).returncode for what in options.what)


def _told(what: str, side: int, count: int) -> str:
    """Run one; its line of a table: what, cells, samples, seconds, ns a cell, peak in MiB."""
    with gdal_environment(), tempfile.TemporaryDirectory(prefix="mpmjax-gridding-") as folder:
        work, cells = _work(what, side, count, Path(folder) / "layer.tif")
        start = time.perf_counter()
        work()
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"| {what} | {cells} | {count} | {seconds:.1f} s | {1e9 * seconds / cells:.0f} | {peak:.0f} |"


def _work(what: str, side: int, count: int, out: Path) -> tuple[Callable[[], object], int]:
    """The call to be timed, and its cells: pykrige takes 128 rows of 128 only, in which its rate is known."""
    samples = strewn(np.random.default_rng(1), side, count)
    if what == "tree":
        return rivals.scipy_idw(samples, (side, side), 12, workers=-1), side * side
    if what == "pykrige":
        window = min(side, 128)
        return _kriged(rivals.pykrige_kriging(samples, (window, window), 16, VARIOGRAM, "loop")), window * window
    grid = Grid("EPSG:32650", Affine(30.0, 0.0, 4e5, 0.0, -30.0, 3e6), side, side)
    x, y = grid.transform.c + samples.x, grid.transform.f - samples.y
    return lambda: write_gridded(x, y, samples.values, grid, out, OURS[what], what, max_memory=MEMORY), side * side


def _kriged(call: rivals.Call | rivals.Missing) -> rivals.Call:
    if isinstance(call, rivals.Missing):
        raise SystemExit(call.reason)
    return call


if __name__ == "__main__":
    sys.exit(main())
