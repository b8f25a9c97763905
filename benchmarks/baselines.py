"""The rivals of the raster ops: the best libraries for the same result.

Every rival gets a fair run: contiguous input in the dtype it likes, one core like the op, nothing converted inside the
clock that need not be. A library that is not installed is Missing, with the name of the package to install. Rivals of
memberships are in fuzzy_baselines.py, fuzzy_libraries.py and array_baselines.py, of overlays in overlay_baselines.py,
of labels in label_baselines.py, of groups in group_baselines.py, of the scorer in scorer_baselines.py; GDAL and
xarray-spatial have files of their own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from scipy import ndimage, signal

from .gate import Missing

Call = Callable[[], Any]

EIS_TOOLKIT = Missing(
    "EIS Toolkit 1.1.6 cannot be installed beside mpmjax: it needs Python below 3.11, scipy 1.11.4 and with it numpy "
    "below 2, and builds GDAL's binding from source"
)


def with_library(name: str, package: str, build: Callable[[ModuleType], Call | Missing]) -> Call | Missing:
    """The rival that `build` makes of an importable library, or Missing."""
    try:
        library = importlib.import_module(name)
    except ImportError as error:
        return Missing(f"{package} is not installed ({error})")
    return build(library)


def scipy_distance(features: np.ndarray, cell_size: tuple[float, float]) -> Call:
    """scipy.ndimage.distance_transform_edt, exact."""
    background = ~features
    return lambda: ndimage.distance_transform_edt(background, sampling=cell_size[::-1])


def edt_distance(features: np.ndarray, cell_size: tuple[float, float]) -> Call | Missing:
    """The edt package, exact, one thread."""
    background = ~features
    return with_library(
        "edt",
        "edt",
        lambda edt: lambda: edt.edt(background, anisotropy=cell_size[::-1], black_border=False, parallel=1),
    )


def opencv_distance(features: np.ndarray, cell_size: tuple[float, float]) -> Call | Missing:
    """cv2.distanceTransform with the precise mask; square cells only."""
    if cell_size[0] != cell_size[1]:
        return Missing("OpenCV knows square cells only")
    background = (~features).astype(np.uint8)

    def build(cv2: ModuleType) -> Call:
        cv2.setNumThreads(1)
        size = np.float32(cell_size[0])
        return lambda: cv2.distanceTransform(background, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * size

    return with_library("cv2", "opencv-python-headless", build)


def _kernel(cells: int, kernel: str, size: float) -> np.ndarray:
    """Weights float64 [2 cells + 1, 2 cells + 1] of a circle on square cells, per area of a cell."""
    away = np.arange(-cells, cells + 1)
    rest = 1.0 - (away[:, None] ** 2 + away**2) / cells**2
    weights = (rest >= 0.0) * (1.0 if kernel == "uniform" else rest**2)
    return weights / (weights.sum() * size * size)


def scipy_density(amounts: np.ndarray, cells: int, kernel: str, size: float) -> Call:
    """scipy.signal.oaconvolve: Fourier transforms of blocks."""
    weights = _kernel(cells, kernel, size)
    return lambda: signal.oaconvolve(amounts, weights, mode="same")


def opencv_density(amounts: np.ndarray, cells: int, kernel: str, size: float) -> Call | Missing:
    """cv2.filter2D in float32, by Fourier transform where the kernel is large."""
    weights, floats = _kernel(cells, kernel, size).astype(np.float32), amounts.astype(np.float32)

    def build(cv2: ModuleType) -> Call:
        cv2.setNumThreads(1)
        return lambda: cv2.filter2D(floats, cv2.CV_32F, weights, borderType=cv2.BORDER_CONSTANT)

    return with_library("cv2", "opencv-python-headless", build)
