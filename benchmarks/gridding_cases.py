"""The cases of gridding: samples strewn at random to the cells of a square grid, all in memory, on one core."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from mpmjax.ops import gridding as ops
from mpmjax.ops.gridding import Scattered
from mpmjax.reference import gridding as reference

from . import gridding_baselines as rivals
from .gate import Case, Verdict, close

CELLS_A_SAMPLE = 168
"""As of 100,000 samples in 4,096 x 4,096 cells."""
LARGEST = 256
"""Side from which a case grows no more: pykrige takes five seconds for that, a visit."""
VARIOGRAM = {"nugget": 0.1, "sill": 1.1, "reach": 3_000.0}
WHY = "of the largest value: float64 rounded to float32 once; systems of 17 equations lose a few digits"


def gridding(rng: np.random.Generator, side: int) -> Iterator[Case]:
    """Inverse distances of 12 samples, kriging and thin plates of 16, and planes in triangles."""
    side = min(side, LARGEST)
    samples = strewn(rng, side)
    cells, shape, at = (0, 0, side, side), (side, side), rivals.places(samples, (side, side))
    arrays = samples.x, samples.y, samples.values
    weigh, krige = {"neighbours": 12, "power": 2.0}, {"neighbours": 16, "model": "spherical", **VARIOGRAM}
    case = partial(Case, unit="cells", work=side * side, bytes_moved=4 * side * side, operations=0, judge=_judge)
    case = partial(case, why=WHY, rival_tolerance=1e-5, clock_reference=False)
    yield case(
        variant="inverse distances, 12 neighbours",
        op=lambda: ops.idw(samples, cells, **weigh),
        reference=lambda: reference.idw(*arrays, at, **weigh).reshape(shape),
        rivals={
            "NumPy, all distances": rivals.numpy_idw(samples, shape, 12),
            "scipy KDTree": rivals.scipy_idw(samples, shape, 12),
            "gdal_grid": rivals.gdal_idw(samples, shape, 12),
            "xarray-spatial": rivals.XARRAY_SPATIAL,
        },
    )
    yield case(
        variant="kriging, 16 neighbours",
        op=lambda: ops.kriging(samples, cells, **krige),
        reference=lambda: reference.kriging(*arrays, at, **krige)[0].reshape(shape),
        rivals={
            "pykrige, loop": rivals.pykrige_kriging(samples, shape, 16, VARIOGRAM, "loop"),
            "pykrige, C": rivals.pykrige_kriging(samples, shape, 16, VARIOGRAM, "C"),
        },
    )
    yield case(
        variant="thin plates, 16 neighbours",
        op=lambda: ops.thin_plate(samples, cells, neighbours=16),
        reference=lambda: reference.thin_plate(*arrays, at, neighbours=16).reshape(shape),
        rivals={"scipy RBFInterpolator": rivals.scipy_plates(samples, shape, 16)},
    )
    corners = ops.triangulate(samples).corners
    yield case(
        variant="planes in triangles",
        op=lambda: ops.linear(samples, ops.triangulate(samples), cells),
        reference=lambda: reference.linear(*arrays, corners, at).reshape(shape),
        rivals={"scipy LinearNDInterpolator": rivals.scipy_linear(samples, shape)},
    )


def strewn(rng: np.random.Generator, side: int, count: int = 0) -> Scattered:
    """Samples of a smooth field with noise on cells of 30 m; by default one for CELLS_A_SAMPLE cells, 40 at least."""
    count = count or max(40, side * side // CELLS_A_SAMPLE)
    x, y = rng.uniform(0.0, 30.0 * side, (2, count))
    values = np.sin(x / 700.0) + np.cos(y / 500.0) + rng.normal(0.0, 0.3, count)
    return Scattered(x, y, values, (30.0, 30.0))


def _judge(got: np.ndarray, wanted: np.ndarray) -> Verdict:
    """Error relative to the largest value."""
    largest = np.nanmax(np.abs(wanted))
    return close(np.asarray(got, np.float64) / largest, wanted / largest, 1e-6)
