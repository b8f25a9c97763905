"""The rivals of gridding: inverse distances and kriging from the nearest samples, by other libraries.

Samples and cells are given as they like them, the trees are built inside the clock, as ours searches anew in each call.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import geopandas
import numpy as np
import rasterio
import shapely
from scipy.interpolate import LinearNDInterpolator, RBFInterpolator
from scipy.spatial import KDTree

from mpmjax.ops.gridding import Scattered

from .baselines import Call, with_library
from .gate import Missing
from .gdal_baselines import Folder, find_command, run_command, version
from .ways import Tuned

CHUNK = 1 << 22
"""Distances that NumPy holds at a time: 32 MiB."""
XARRAY_SPATIAL = Missing("xarray-spatial 0.5.3 has no interpolation of points")


def places(samples: Scattered, shape: tuple[int, int]) -> np.ndarray:
    """Centres of the cells, float64 [cells, 2]."""
    rows, cols = np.indices(shape)
    return np.stack(((cols + 0.5) * samples.cell_size[0], (rows + 0.5) * samples.cell_size[1]), axis=-1).reshape(-1, 2)


def numpy_idw(samples: Scattered, shape: tuple[int, int], neighbours: int) -> Call:
    """All distances, in chunks, and `argpartition`."""
    at = places(samples, shape)
    step = max(1, CHUNK // samples.x.size)
    k = min(neighbours, samples.x.size)

    def call() -> np.ndarray:
        out = np.empty(len(at), np.float32)
        for first in range(0, len(at), step):
            part = at[first : first + step]
            squared = (part[:, :1] - samples.x) ** 2 + (part[:, 1:] - samples.y) ** 2
            which = np.argpartition(squared, k - 1, axis=1)[:, :k]
            out[first : first + step] = weighed(samples.values[which], np.take_along_axis(squared, which, axis=1))
        return out.reshape(shape)

    return call


def scipy_idw(samples: Scattered, shape: tuple[int, int], neighbours: int, workers: int = 1) -> Call:
    """scipy.spatial.KDTree, a strip of cells a query."""
    at = places(samples, shape)
    k = min(neighbours, samples.x.size)

    def call() -> np.ndarray:
        tree = KDTree(np.stack((samples.x, samples.y), axis=1))
        out = np.empty(len(at), np.float32)
        for first in range(0, len(at), 1 << 18):
            away, which = tree.query(at[first : first + (1 << 18)], k=k, workers=workers)
            out[first : first + (1 << 18)] = weighed(samples.values[which], away * away)
        return out.reshape(shape)

    return call


def weighed(values: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """Means with weights of 1 / d^2 along the last axis; no cell's centre is a sample's place in the benchmarks."""
    weights = 1.0 / squared
    return (weights * values).sum(axis=1) / weights.sum(axis=1)


def gdal_idw(samples: Scattered, shape: tuple[int, int], neighbours: int) -> Call | Missing:
    """gdal_grid's invdistnn from a GeoPackage to a file; its radius holds all samples, its search takes the nearest."""
    program = find_command("gdal_grid")
    if isinstance(program, Missing):
        return program
    folder = Folder()
    source, target = folder.path / "samples.gpkg", folder.path / "grid.tif"
    points = shapely.points(samples.x, -samples.y)
    frame = geopandas.GeoDataFrame({"value": samples.values}, geometry=points, crs="EPSG:32650")
    frame.to_file(source, layer="samples")
    width, height = shape[1] * samples.cell_size[0], shape[0] * samples.cell_size[1]
    radius = 8.0 * np.sqrt(width * height / samples.x.size * neighbours)
    how = f"invdistnn:power=2.0:smoothing=0.0:radius={radius}:max_points={neighbours}:min_points=1"
    words = [program, "-q", "-a", how, "-l", "samples", "-zfield", "value", "-ot", "Float32", "-of", "GTiff"]
    words += ["-txe", "0", str(width), "-tye", "0", str(-height), "-outsize", str(shape[1]), str(shape[0])]
    words += ["--config", "GDAL_NUM_THREADS", "1", str(source), str(target)]

    def call() -> np.ndarray:
        target.unlink(missing_ok=True)
        run_command(words, folder)
        with rasterio.open(target) as file:
            return file.read(1)

    return Tuned({f"{version()}, from file to file": lambda _: call}, shape[0] * shape[1])


def pykrige_kriging(
    samples: Scattered, shape: tuple[int, int], neighbours: int, variogram: Mapping[str, float], backend: str
) -> Call | Missing:
    """pykrige's moving window; spherical, whose range it means as we do. It computes value and variance at once."""
    at = places(samples, shape)

    def build(ok: ModuleType) -> Call:
        parameters = {
            "psill": variogram["sill"] - variogram["nugget"],
            "nugget": variogram["nugget"],
            "range": variogram["reach"],
        }

        def call() -> np.ndarray:
            solver = ok.OrdinaryKriging(samples.x, samples.y, samples.values, "spherical", parameters)
            value, _ = solver.execute("points", at[:, 0], at[:, 1], backend=backend, n_closest_points=neighbours)
            return np.asarray(value).reshape(shape)

        return call

    return with_library("pykrige.ok", "pykrige", build)


def scipy_plates(samples: Scattered, shape: tuple[int, int], neighbours: int) -> Call:
    """scipy.interpolate.RBFInterpolator from the nearest samples."""
    at, known = places(samples, shape), np.stack((samples.x, samples.y), axis=1)

    def call() -> np.ndarray:
        plates = RBFInterpolator(known, samples.values, neighbors=neighbours, kernel="thin_plate_spline")
        return plates(at).reshape(shape)

    return call


def scipy_linear(samples: Scattered, shape: tuple[int, int]) -> Call:
    """scipy.interpolate.LinearNDInterpolator."""
    at, known = places(samples, shape), np.stack((samples.x, samples.y), axis=1)
    return lambda: LinearNDInterpolator(known, samples.values)(at).reshape(shape)
