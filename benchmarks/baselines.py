"""The rivals of the raster ops: what a good engineer would write in NumPy, and the best libraries for the same result.

Every rival gets a fair run: contiguous input in the dtype it likes, chunks that stay in the cache, one core like the
op, nothing converted inside the clock that need not be. A library that is not installed is Missing, with the name of
the package to install. The rivals of the scorer are in scorer_baselines.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from scipy import ndimage, signal

from benchmarks.gate import Missing
from mpmjax.types import Membership

CHUNK = 65_536
"""Cells a chunk, the best of 2,048 to 1,048,576 when they were compared: whole arrays took up to 2.4 times as long."""

Call = Callable[[], Any]
Memberships = tuple[np.ndarray, np.ndarray]


def with_library(name: str, package: str, build: Callable[[ModuleType], Call]) -> Call | Missing:
    """The rival that `build` makes of an importable library, or Missing."""
    try:
        library = importlib.import_module(name)
    except ImportError as error:
        return Missing(f"{package} is not installed ({error})")
    return build(library)


def numpy_memberships(values: Sequence[np.ndarray], valid: np.ndarray, fitted: Sequence[Membership]) -> Memberships:
    """Memberships of L layers [n] in float32, chunk by chunk; kinds sigmoid and ecdf. Returns mu and ok [L, n]."""
    mu, ok = np.empty(valid.shape, np.float32), np.empty(valid.shape, bool)
    for layer, membership in enumerate(fitted):
        formula = _sigmoid(membership) if membership.kind == "sigmoid" else _ecdf(membership)
        for start in range(0, valid.shape[1], CHUNK):
            cells = slice(start, start + CHUNK)
            x = values[layer][cells].astype(np.float32)
            good = valid[layer, cells] & np.isfinite(x)
            mu[layer, cells] = np.where(good, formula(x), np.float32(0))
            ok[layer, cells] = good
    return mu, ok


def _sigmoid(membership: Membership) -> Callable[[np.ndarray], np.ndarray]:
    slope, midpoint = (np.float32(membership.params[name]) for name in ("slope", "midpoint"))

    def formula(x: np.ndarray) -> np.ndarray:
        x -= midpoint
        x *= -slope
        np.exp(x, out=x)
        x += np.float32(1)
        return np.reciprocal(x, out=x)

    return formula


def _ecdf(membership: Membership) -> Callable[[np.ndarray], np.ndarray]:
    if membership.knots_x is None or membership.knots_y is None:
        raise ValueError("an ecdf has knots")
    knots_x, levels = membership.knots_x, 1.0 - membership.knots_y if membership.complement else membership.knots_y
    return lambda x: np.interp(x, knots_x, levels)


def numpy_tables(values: Sequence[np.ndarray], valid: np.ndarray, tables: Sequence[np.ndarray]) -> Memberships:
    """Memberships of integer layers by `take` from tables of all answers, indexed by the bits read as unsigned."""
    mu, ok = np.empty(valid.shape, np.float32), np.empty(valid.shape, bool)
    for layer, table in enumerate(tables):
        codes = values[layer].view(f"u{values[layer].itemsize}")
        for start in range(0, valid.shape[1], CHUNK):
            cells = slice(start, start + CHUNK)
            mu[layer, cells] = np.where(valid[layer, cells], table.take(codes[cells]), np.float32(0))
    ok[:] = valid
    return mu, ok


def numpy_gamma(mu: np.ndarray, valid: np.ndarray, gamma: float) -> np.ndarray:
    """Gamma overlay [n] of mu, valid [L, n] in float32, chunk by chunk, as plain products: those of many underflow."""
    out = np.empty(mu.shape[1], np.float32)
    for start in range(0, mu.shape[1], CHUNK):
        cells = slice(start, start + CHUNK)
        present = valid[:, cells]
        product = np.where(present, mu[:, cells], np.float32(1)).prod(axis=0)
        total = 1 - np.where(present, 1 - mu[:, cells], np.float32(1)).prod(axis=0)
        joined = product ** np.float32(1 - gamma) * total ** np.float32(gamma)
        out[cells] = np.where(present.any(axis=0), joined, np.float32(np.nan))
    return out


def numpy_mean(mu: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mean overlay [n] of mu, valid [L, n] in float32, chunk by chunk."""
    out = np.empty(mu.shape[1], np.float32)
    for start in range(0, mu.shape[1], CHUNK):
        cells = slice(start, start + CHUNK)
        present = valid[:, cells]
        count = present.sum(axis=0, dtype=np.float32)
        total = np.where(present, mu[:, cells], np.float32(0)).sum(axis=0)
        out[cells] = np.where(count > 0, total / np.maximum(count, 1), np.float32(np.nan))
    return out


def numpy_min(mu: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """And overlay [n] of mu, valid [L, n] in float32, chunk by chunk."""
    out = np.empty(mu.shape[1], np.float32)
    for start in range(0, mu.shape[1], CHUNK):
        cells = slice(start, start + CHUNK)
        least = np.where(valid[:, cells], mu[:, cells], np.float32(np.inf)).min(axis=0)
        out[cells] = np.where(np.isinf(least), np.float32(np.nan), least)
    return out


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


def scipy_label(mask: np.ndarray) -> Call:
    """scipy.ndimage.label with 8 neighbours."""
    touching = np.ones((3, 3), np.int8)

    def call() -> np.ndarray:
        labels = np.empty(mask.shape, np.int32)
        ndimage.label(mask, structure=touching, output=labels)
        return labels

    return call


def opencv_label(mask: np.ndarray) -> Call | Missing:
    """cv2.connectedComponents with 8 neighbours."""
    cells = mask.astype(np.uint8)

    def build(cv2: ModuleType) -> Call:
        cv2.setNumThreads(1)
        return lambda: cv2.connectedComponents(cells, connectivity=8, ltype=cv2.CV_32S)[1]

    return with_library("cv2", "opencv-python-headless", build)
