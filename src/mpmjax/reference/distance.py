"""Distance to the nearest feature, by looking at every feature.

The distance of a cell is the Euclidean distance in metres from its centre to the centre of the nearest feature cell:

    D(r, c) = min over features (i, j) of sqrt(((c - j) dx)^2 + ((r - i) dy)^2)

A feature cell has distance 0. Example, dx = 10 and dy = 20, `#` a feature:

    # . .        0.0  10.0  20.0
    . . .       20.0  22.4  28.3
"""

from __future__ import annotations

import numpy as np

_PAIRS = 1 << 22  # cell-feature pairs looked at together: 32 MiB a temporary, whatever the number of features


def distance(features: np.ndarray, cell_size: tuple[float, float]) -> np.ndarray:
    """Exact Euclidean distance to the nearest feature cell, by brute force.

    Args:
        features: bool [h, w]; True where a feature is.
        cell_size: (dx, dy), width and height of a cell in metres, both positive.

    Returns:
        float64 [h, w], metres, >= 0.

    Raises:
        ValueError: no cell is a feature, or a cell size is not positive.
    """
    features = np.asarray(features, dtype=bool)
    dx, dy = (float(size) for size in cell_size)
    if not (dx > 0 and dy > 0):
        raise ValueError(f"cell_size must be positive, got {cell_size}")
    if not features.any():
        raise ValueError("no cell is a feature: the distance is not defined")
    feature_rows, feature_cols = np.nonzero(features)
    cell_rows, cell_cols = np.indices(features.shape).reshape(2, -1)
    out = np.empty(features.size)
    chunk = max(1, _PAIRS // feature_rows.size)
    for start in range(0, features.size, chunk):
        cells = slice(start, start + chunk)
        across = (cell_cols[cells, None] - feature_cols) * dx
        along = (cell_rows[cells, None] - feature_rows) * dy
        out[cells] = np.sqrt((across**2 + along**2).min(axis=1))
    return out.reshape(features.shape)
