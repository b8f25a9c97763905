"""prepare, killed at any moment and started again: the bytes are those of one that was never killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
from districts import CRS, LEFT, TOP, corner, digests, smooth, write_project, write_raster, write_vector
from kinds import make_kinds

pytestmark = pytest.mark.faults

KILLS = 10
SIDE = 1500
CELL = 20.0


def make_project(folder: Path) -> Path:
    """Two rasters to warp and five layers to derive, on cells small enough that each takes a good part of a second."""
    folder.mkdir()
    rng = np.random.default_rng(11)
    coarse = corner(LEFT - 300, TOP + 300, 90.0)
    for name in ("copper", "zinc"):
        write_raster(folder / f"{name}.tif", smooth(rng, (350, 350), 5.0).astype(np.float32), coarse, nodata=-9999.0)
    width = SIDE * CELL
    starts = rng.uniform(0, width, (400, 2))
    lines = [
        shapely.LineString([(LEFT + x, TOP - y), (LEFT + x + dx, TOP - y + dy)])
        for (x, y), (dx, dy) in zip(starts, rng.uniform(-4000, 4000, (400, 2)), strict=True)
    ]
    write_vector(folder / "faults.gpkg", lines, age=["old", "young"] * 200)
    write_vector(folder / "sheet.gpkg", [shapely.Point(LEFT + width / 2, TOP - width / 2).buffer(0.45 * width)])
    write_vector(folder / "deposits.gpkg", [shapely.Point(LEFT + width / 2, TOP - width / 2)], name=["P"])
    faults = {"source": "faults.gpkg", "direction": "high"}
    raster = {"role": "geochemistry", "direction": "high"}
    layers = [
        {"name": "copper", "source": "copper.tif", **raster},
        {"name": "near", "derive": "distance", "role": "distance", **faults},
        {"name": "dense", "derive": "density", "radius": 1500.0, "role": "density", **faults},
        {"name": "old", "derive": "distance", "role": "distance", "where": "age = 'old'", **faults},
        {"name": "crossings", "derive": "distance", "role": "distance", "features": "intersections", **faults},
        {"name": "close", "derive": "buffer", "radius": 500.0, "role": "membership", **faults},
        {"name": "zinc", "source": "zinc.tif", **raster},
    ]
    bounds = [LEFT, TOP - width, LEFT + width, TOP]
    grid = {"crs": CRS, "resolution": CELL, "bounds": bounds, "mask": "sheet.gpkg"}
    return write_project(folder, layers, grid=grid, validate={"occurrences": "deposits.gpkg"})


def start(project: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mpmjax", "prepare", str(project), "--output", str(output)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(project: Path, output: Path) -> float:
    """Run to the end; returns the seconds it took."""
    began = time.perf_counter()
    process = start(project, output)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()
    return time.perf_counter() - began


@pytest.mark.parametrize(("make", "rasters"), [(make_project, 8), (make_kinds, 19)])
def test_killed_ten_times_the_bytes_are_the_same(tmp_path: Path, make: Callable[[Path], Path], rasters: int) -> None:
    project = make(tmp_path / "district")
    finish(project, tmp_path / "warm")  # Numba compiles once
    seconds = finish(project, tmp_path / "whole")
    expected = digests(tmp_path / "whole")
    assert sum(name.endswith(".tif") for name in expected) == rasters
    moments = random.Random(7)
    killed = 0
    left: set[int] = set()
    for number in range(KILLS):
        output = tmp_path / f"killed {number}"
        process = start(project, output)
        try:
            process.wait(timeout=moments.uniform(0.3, 0.98) * seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
        left.add(len(list(output.rglob("*.tif"))))
        finish(project, output)
        assert digests(output) == expected, f"try {number}"
    assert killed >= KILLS - 2, "they were killed while they worked"
    assert len(left) > 2, f"at different moments: {left} layers had been finished"


def test_killed_again_and_again_it_gets_there(tmp_path: Path) -> None:
    """Each try goes on from the layers that the last one finished."""
    project = make_project(tmp_path / "district")
    seconds = finish(project, tmp_path / "whole")
    output, tries = tmp_path / "killed", 0
    finished = -1
    while True:
        process = start(project, output)
        tries += 1
        try:
            process.wait(timeout=(0.5 + 0.1 * tries) * seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        now = len(list((output / "evidence").glob("*.json"))) if output.exists() else 0
        assert now >= finished, "what was finished stays"
        finished = now
        if process.returncode == 0:
            break
    assert digests(output) == digests(tmp_path / "whole")
