"""Samples -> a GeoTIFF on the grid: the method's settings, its support, and the windows that are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from scipy.spatial import QhullError

from mpmjax.errors import DataError, MemoryLimitError
from mpmjax.evidence.gridding.methods import METHODS, Gridding, Variogram
from mpmjax.evidence.gridding.usable import Usable, check_reach, usable_samples
from mpmjax.evidence.gridding.variogram import fit_variogram
from mpmjax.evidence.remarks import Fact
from mpmjax.ops.gridding import (
    TILE,
    Cells,
    Scattered,
    SingularSamples,
    idw,
    kriging,
    linear,
    natural,
    thin_plate,
    triangulate,
)
from mpmjax.stream.layerfile import STRIP_ROWS, Write, write_layer
from mpmjax.stream.prefetch import ordered_map, worker_count
from mpmjax.types import Grid

SPACINGS = 4.0
"""Median distances between neighbouring samples that a value reaches where no support is stated: of samples strewn at
random one place in 60,000 is farther from all of them; on a square lattice none is."""

Values = Callable[[Cells], np.ndarray]
"""(row, col, rows, cols) -> float32 [rows, cols], NaN where missing."""


def write_gridded(
    x: np.ndarray,
    y: np.ndarray,
    values: np.ndarray,
    grid: Grid,
    out: Path,
    gridding: Gridding,
    label: str,
    *,
    max_memory: int,
) -> list[str]:
    """Values between samples at the centres of the grid's cells, as a GeoTIFF on the grid.

    The bytes of the file depend on the samples, not on their order, the grid and the gridding only. Memory is that of
    the samples and a strip of the grid. Definitions: reference/gridding.py.

    Args:
        x, y: float64 [n], places in metres in the grid's CRS; those beyond the grid count.
        values: float64 [n], NaN where missing.
        out: the file to write: float32, NaN where a cell is farther than the support from the nearest sample.
        label: the layer and its file, for messages.
        max_memory: bytes that may be taken.

    Returns:
        Notes: samples left out, the variogram fitted, the support taken, and the share of cells with a value.

    Raises:
        DataError: too few samples, none near the grid, all on a line, two at one place, or all of one value where a
            variogram is to be fitted; a matrix without a solution; no cell with a value.
        MemoryLimitError: samples and strip do not fit into max_memory.
        DiskError: the file cannot be written.
    """
    usable = usable_samples(x, y, values, grid, gridding.method, label)
    samples, notes = usable.samples, list(usable.notes)
    workers = _workers(samples.x.size, grid, max_memory, label)
    support, how = _support(usable, gridding, label)
    check_reach(samples, grid, support, label)
    compute, more = _method(samples, gridding, support, label)
    with_value = 0

    def make(write: Write) -> None:
        nonlocal with_value
        for row, block in _strips(compute, grid, workers):
            with_value += int((~np.isnan(block)).sum())
            write(row, block)
        if not with_value:
            raise DataError(
                f"{label}: no cell of the grid has its centre within {support:g} m of a sample"
                f"{'' if gridding.method in ('idw', 'kriging') else ' and among them'}: the layer would be empty. "
                "Raise support, use a finer grid, or check the samples."
            )

    try:
        write_layer(out, grid, "float32", make)
    except SingularSamples as error:
        raise DataError(_singular(error, gridding, label)) from error
    cells = grid.width * grid.height
    summary = (
        f"{label}: gridded by {METHODS[gridding.method]} from {samples.x.size} samples; cells farther than "
        f"{support:.6g} m from the nearest one are missing ({how}); {100.0 * with_value / cells:.3g} % of the cells "
        "have a value."
    )
    return [*notes, *more, Fact(summary)]


def _support(usable: Usable, gridding: Gridding, label: str) -> tuple[float, str]:
    """The support in metres and where it is from."""
    if gridding.support is not None:
        return gridding.support, "support"
    if gridding.radius is not None:
        return gridding.radius, "the radius, since no support is stated"
    if not usable.spacing:
        raise DataError(f"{label}: all samples lie at one place: how far its value reaches must be said by support.")
    how = f"{SPACINGS:g} times the median distance between neighbouring samples, since no support is stated"
    return SPACINGS * usable.spacing, how


def _method(samples: Scattered, gridding: Gridding, support: float, label: str) -> tuple[Values, list[str]]:
    """The method with all it needs, and notes."""
    radius = math.inf if gridding.radius is None else gridding.radius
    near = {"neighbours": gridding.neighbours, "radius": radius, "support": support}
    if gridding.method == "idw":
        return partial(idw, samples, power=gridding.power, **near), []
    if gridding.method == "rbf":
        return partial(thin_plate, samples, **near), []
    if gridding.method == "kriging":
        variogram, notes = _variogram(samples, gridding.variogram or Variogram(), label)
        return partial(kriging, samples, variance=gridding.what == "variance", **variogram, **near), notes
    try:
        triangles = triangulate(samples)
    except QhullError as error:
        raise DataError(
            f"{label}: no triangle can be laid between the {samples.x.size} samples: they lie on one line. Choose "
            'method = "idw", or check their coordinates.'
        ) from error
    return partial(linear if gridding.method == "linear" else natural, samples, triangles, support=support), []


def _variogram(samples: Scattered, stated: Variogram, label: str) -> tuple[dict[str, str | float], list[str]]:
    """A variogram as arguments of the op, fitted where its numbers are not stated."""
    found, notes = stated, list[str]()
    if stated.fitted:
        found, notes = fit_variogram(samples.x, samples.y, samples.values, label, stated.model)
    model, nugget, sill, reach = found.model, found.nugget, found.sill, found.range
    if model is None or nugget is None or sill is None or reach is None:
        raise ValueError(f"{found} is neither stated nor fitted")
    return {"model": model, "nugget": nugget, "sill": sill, "reach": reach}, notes


def _strips(compute: Values, grid: Grid, workers: int) -> Iterator[tuple[int, np.ndarray]]:
    """(row, block float32 [rows, width]) from the top, made of windows that several workers compute."""
    windows = [
        (row, col, min(STRIP_ROWS, grid.height - row), min(TILE, grid.width - col))
        for row in range(0, grid.height, STRIP_ROWS)
        for col in range(0, grid.width, TILE)
    ]
    block = np.empty((0, 0), np.float32)
    for (row, col, rows, cols), values in zip(windows, ordered_map(compute, windows, workers), strict=True):
        if col == 0:
            block = np.empty((rows, grid.width), np.float32)
        block[:, col : col + cols] = values
        if col + cols == grid.width:
            yield row, block


def _workers(samples: int, grid: Grid, max_memory: int, label: str) -> int:
    """As many workers as there are cores, or as fit.

    Raises:
        MemoryLimitError: not even one does.
    """
    fixed = 200 * samples + 3 * 4 * STRIP_ROWS * grid.width
    each = 64 * samples + (8 << 20)
    workers = min(worker_count(None), (max_memory - fixed) // each)
    if workers < 1:
        raise MemoryLimitError(
            f"{label}: gridding {samples} samples to rows of {grid.width} takes {(fixed + each) / 2**20:.0f} MiB, "
            f"and max_memory leaves {max_memory / 2**20:.0f}. Raise max_memory of [stream], or take fewer samples."
        )
    return workers


def _singular(error: SingularSamples, gridding: Gridding, label: str) -> str:
    where = f"{label}: the {gridding.neighbours} samples nearest to row {error.row}, column {error.col} of the grid"
    if gridding.method == "rbf":
        return f'{where} lie on one line: thin plates have no solution. Raise neighbours, or choose method = "idw".'
    return (
        f"{where} are so much alike in their distances that kriging has no stable solution, as with a smooth variogram "
        "and samples close together. State a variogram with a larger nugget, or merge samples that are near duplicates."
    )
