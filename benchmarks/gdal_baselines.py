"""GDAL as a rival: in memory through its Python bindings, or by its commands, from file to file.

The bindings (`osgeo`) have no wheels: pip builds them against a libgdal of exactly their version, with its headers.
Distributions bring the commands with an interpreter of their own. What the commands take holds their start, reading and
writing: files are uncompressed, in tiles of which one fits the cache, and lie in the folder for temporary files.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from string import ascii_uppercase
from types import ModuleType
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from mpmjax.ops.membership import Memberships
from mpmjax.types import Membership

from .baselines import Call, with_library
from .gate import Inexact, Missing
from .ways import Tuned

TILE = 256
"""Rows and columns of a tile; gdal_calc computes one at a time, and 65,536 cells are what suits NumPy best."""

CLOSE = "approximate: the nearest feature is handed from neighbour to neighbour"
OVERLAYS: Mapping[str, str] = {
    "gamma": "nanprod(L, axis=0)**0.1 * (1 - nanprod(1 - L, axis=0))**0.9",
    "mean": "nanmean(L, axis=0)",
    "and": "fmin.reduce(L)",
}
"""Overlays for gdal_calc of layers L that are NaN where missing, by their kind here; gamma is 0.9."""


def memory_distance(features: np.ndarray, cell_size: tuple[float, float]) -> Call | Missing:
    """gdal.ComputeProximity between two datasets in memory, the first one there before the clock starts."""
    if cell_size[0] != cell_size[1]:
        return Missing("GDAL's proximity knows square cells only")
    rows, cols = features.shape

    def build(gdal: ModuleType) -> Call:
        gdal.UseExceptions()
        memory, size = gdal.GetDriverByName("MEM"), np.float32(cell_size[0])
        source = memory.Create("", cols, rows, 1, gdal.GDT_Byte)
        source.GetRasterBand(1).WriteRaster(0, 0, cols, rows, features.astype(np.uint8).tobytes())

        def call() -> Inexact:
            target = memory.Create("", cols, rows, 1, gdal.GDT_Float32)
            gdal.ComputeProximity(source.GetRasterBand(1), target.GetRasterBand(1), ["VALUES=1"])
            read = target.GetRasterBand(1).ReadRaster()
            return Inexact(np.frombuffer(read, np.float32).reshape(rows, cols) * size)

        return Tuned({f"GDAL {gdal.__version__}, {CLOSE}": lambda _: call}, features.size)

    return with_library("osgeo.gdal", "GDAL's Python binding", build)


def command_distance(features: np.ndarray, cell_size: tuple[float, float]) -> Call | Missing:
    """gdal_proximity from a file to a file."""
    command = find_command("gdal_proximity")
    if isinstance(command, Missing):
        return command
    if cell_size[0] != cell_size[1]:
        return Missing("GDAL's proximity knows square cells only")
    folder = Folder()
    source, target = folder.path / "features.tif", folder.path / "distance.tif"
    _write(source, features.astype(np.uint8), cell_size)
    words = [command, str(source), str(target), "-values", "1", "-distunits", "GEO", "-ot", "Float32", "-q"]

    def call() -> Inexact:
        target.unlink(missing_ok=True)
        run_command(words, folder)
        return Inexact(_read(target)[0])

    return Tuned({f"{version()}, from file to file; {CLOSE}": lambda _: call}, features.size)


def command_overlay(mu: np.ndarray, valid: np.ndarray, kind: str, side: int) -> Call | Missing:
    """gdal_calc of L files float32 that are NaN where missing, mu, valid [L, side * side]."""
    command = find_command("gdal_calc")
    if isinstance(command, Missing):
        return command
    names = ascii_uppercase[: len(mu)]
    stack = f"array(({', '.join(names)}))"
    # nanprod makes 1 of nothing at all, and nanmean warns of it.
    formula = f"where(isnan(fmax.reduce({stack})), nan, {OVERLAYS[kind].replace('L', stack)})"
    layers = [np.where(there, values, np.nan) for values, there in zip(mu, valid, strict=True)]
    calculate = _calculation(command, layers, [formula], side)
    return Tuned({f"{version()}, from files to a file": lambda _: lambda: calculate()[0].reshape(-1)}, mu.shape[1])


def command_sigmoids(
    fitted: Sequence[Membership], values: Sequence[np.ndarray], given: np.ndarray, side: int, out: Memberships
) -> Call | Missing:
    """gdal_calc of L files float32 that are NaN where missing, an expression and a band of the result each."""
    command = find_command("gdal_calc")
    if isinstance(command, Missing):
        return command
    formulas = [
        f"1 / (1 + exp({-float(membership.params['slope'])!r} * ({name} - {float(membership.params['midpoint'])!r})))"
        for name, membership in zip(ascii_uppercase, fitted, strict=False)
    ]
    layers = [np.where(there & np.isfinite(x), x, np.nan) for x, there in zip(values, given, strict=True)]
    calculate = _calculation(command, layers, formulas, side)

    def call() -> Memberships:
        found = calculate().reshape(out.mu.shape)
        np.isfinite(found, out=out.valid)
        np.copyto(out.mu, 0.0)
        np.copyto(out.mu, found, where=out.valid)
        return out

    return Tuned({f"{version()}, from files to a file": lambda _: call}, values[0].size)


def _calculation(
    command: str, layers: Sequence[np.ndarray], formulas: Sequence[str], side: int
) -> Callable[[], np.ndarray]:
    """A call of gdal_calc that returns the bands float32 [formulas, side, side]."""
    folder = Folder()
    target = folder.path / "result.tif"
    words = [command, "--quiet", "--overwrite", "--type=Float32", "--hideNoData"]
    words += ["--co=TILED=YES", f"--outfile={target}", *(f"--calc={formula}" for formula in formulas)]
    for name, values in zip(ascii_uppercase, layers, strict=False):
        source = folder.path / f"{name}.tif"
        _write(source, np.asarray(values, np.float32).reshape(side, side), (1.0, 1.0))
        words += [f"-{name}", str(source)]

    def call() -> np.ndarray:
        run_command(words, folder)
        return _read(target)

    return call


class Folder:
    """A folder for temporary files that goes with the object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="mpmjax-benchmarks-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def find_command(name: str) -> str | Missing:
    """Path of a command under either of its names."""
    found = shutil.which(f"{name}.py") or shutil.which(name)
    return found or Missing(f"GDAL's commands are not installed: there is no {name} on PATH")


@cache
def version() -> str:
    """GDAL of the commands, as they name themselves."""
    teller = shutil.which("gdalinfo")
    if teller is None:
        return "GDAL of unknown version"
    return subprocess.run([teller, "--version"], capture_output=True, text=True, check=True).stdout.split(",")[0]


def run_command(words: Sequence[str], folder: Folder) -> None:
    """Run a command; `folder` is named so that it lives as long as the call. Raises RuntimeError if it fails."""
    done = subprocess.run(words, cwd=folder.path, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{Path(words[0]).name} failed with status {done.returncode}: {done.stderr.strip()}")


def _write(path: Path, band: np.ndarray, cell_size: tuple[float, float]) -> None:
    rows, cols = band.shape
    profile: dict[str, Any] = {"driver": "GTiff", "count": 1, "height": rows, "width": cols, "dtype": band.dtype.name}
    profile |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE}
    where = Affine(cell_size[0], 0.0, 0.0, 0.0, -cell_size[1], rows * cell_size[1])
    with rasterio.open(path, "w", transform=where, **profile) as file:
        file.write(band, 1)


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()
