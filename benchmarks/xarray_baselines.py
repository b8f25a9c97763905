"""xarray-spatial as a rival, the nearest one in what it is for: distance, and statistics of cells as overlays.

Its memberships and fuzzy overlays are in no release yet: 0.5.3, the newest, has none.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from .baselines import Call, with_library
from .gate import Inexact, Missing
from .gdal_baselines import CLOSE
from .ways import Tuned

STATISTICS = {"mean": "mean", "and": "min"}
"""Those of xrspatial.local.cell_stats that are an overlay where no layer is missing, by its kind here."""


def distance(features: np.ndarray, cell_size: tuple[float, float]) -> Call | Missing:
    """xrspatial.proximity of a float32 raster in NumPy with coordinates: GDAL's way, on cells of any shape.

    Numba compiles a new function in every call (0.5.3), half a second that no warm-up takes away.
    """
    width, height = cell_size
    rows, cols = features.shape

    def build(xrspatial: ModuleType) -> Call:
        where = {"y": height * np.arange(rows, 0.0, -1.0), "x": width * np.arange(cols, dtype=np.float64)}
        raster = _data_array(features.astype(np.float32), where)
        how = f"numpy; {CLOSE}; compiled anew in every call"
        return Tuned({how: lambda _: lambda: Inexact(xrspatial.proximity(raster).data)}, features.size)

    return with_library("xrspatial", "xarray-spatial", build)


def overlay(mu: np.ndarray, valid: np.ndarray, kind: str, side: int) -> Call | Missing:
    """xrspatial.local.cell_stats of the layers, NaN where missing, mu, valid [L, side * side]."""
    if kind not in STATISTICS:
        return Missing(f"xarray-spatial 0.5.3 has no {kind} overlay")

    def build(local: ModuleType) -> Call:
        xarray = import_module("xarray")  # its own; it comes with the library
        layers = {
            f"layer {index}": _data_array(np.where(there, values, np.nan).reshape(side, side), {})
            for index, (values, there) in enumerate(zip(mu, valid, strict=True))
        }
        raster = xarray.Dataset(layers)
        return lambda: local.cell_stats(raster, func=STATISTICS[kind]).data.reshape(-1)

    return with_library("xrspatial.local", "xarray-spatial", build)


def _data_array(values: np.ndarray, where: dict[str, np.ndarray]) -> Any:
    return import_module("xarray").DataArray(values, dims=("y", "x"), coords=where)
