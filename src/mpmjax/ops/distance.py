"""Exact Euclidean distance to the nearest feature, out of core: memory O(strip), any raster size, no halo.

The squared distance separates (Felzenszwalb and Huttenlocher 2012, Theory of Computing 8; Meijster et al. 2000):

    D(r, c)^2 = min over columns j of ((c - j) dx)^2 + (g(r, j) dy)^2

with g(r, j) the rows to the nearest feature of column j. Two sweeps over strips of rows give it:

1. from the bottom up, one row is carried: the rows down to the nearest feature. Each strip leaves its features, one
   bit a cell, and the row it was handed in a scratch file (0.14 bytes a cell at 256 rows a strip);
2. from the top down, the row carried from above and the one left in the file give g of a strip, and each row its
   minimum over j.

The second sweep runs downwards so that the results leave in the order in which rasters are written.

The minimum over j, in units of dx, is the lower envelope of the parabolas (x - j)^2 + f(j), f = (g dy / dx)^2. As
(x - j)^2 + f(j) = x^2 - 2 x j + h(j) with h(j) = f(j) + j^2, the parabolas on the envelope are the vertices of the
lower convex hull of the points (j, h(j)), and neighbours u < v on it change places at x = (h(v) - h(u)) / (2 (v - u)).
With square cells all of this is whole numbers, exact in float64 to 100,000 columns and more. The result is rounded to
float32 once, at the end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mpmjax.errors import DataError, DiskError
from mpmjax.ops._compile import compiled
from mpmjax.ops._spool import Spool, SpoolError

NO_FEATURE = 1 << 30
"""Offset of a column without a feature; int32 has room for 2^30 rows on top."""


@compiled
def _carry_up(features, below):
    """Move `below` int32 [w] (rows down to a feature, seen from the row under the strip) to the strip's first row."""
    height, width = features.shape
    for i in range(height - 1, -1, -1):
        for j in range(width):
            below[j] = 0 if features[i, j] else below[j] + 1


@compiled
def _carry_down(features, above):
    """The mirror image: move `above` int32 [w], seen from the row over the strip, to the strip's last row."""
    height, width = features.shape
    for i in range(height):
        for j in range(width):
            above[j] = 0 if features[i, j] else above[j] + 1


@compiled
def _offsets(features, above, below, out):
    """Rows to the nearest feature of the column, int32 [h, w]; moves `above` on to the last row, `below` stays."""
    height, width = features.shape
    for i in range(height):
        for j in range(width):
            above[j] = 0 if features[i, j] else above[j] + 1
            out[i, j] = above[j]
    for j in range(width):
        out[height - 1, j] = min(out[height - 1, j], below[j] + 1)
    for i in range(height - 2, -1, -1):
        for j in range(width):
            out[i, j] = min(out[i, j], out[i + 1, j] + 1)


@compiled
def _candidates(offsets, f, cols, h):
    """Columns that may lie on the lower hull of the points (j, h(j)), int32 into `cols`, and their h; returns how many.

    A point on or above the chord of its neighbours is not a vertex. Such points are dropped three times over, without a
    branch: the hull then pops few, and mispredicts few (1.4 times the speed of the envelope on real faults).
    """
    width = offsets.size
    n = 0
    for j in range(width):
        inner = (j > 0) & (j < width - 1)
        left, right = f[max(j - 1, 0)], f[min(j + 1, width - 1)]
        cols[n] = j
        h[n] = f[j] + np.float64(j) * np.float64(j)
        n += np.int64((offsets[j] < NO_FEATURE) & ((not inner) | (f[j] + f[j] - left - right < 2.0)))
    for _ in range(2):
        if n < 3:
            break
        last_col, last_h = np.float64(cols[0]), h[0]
        col, here = np.float64(cols[1]), h[1]
        kept = 1
        for k in range(2, n):
            next_col, next_h = np.float64(cols[k]), h[k]
            cols[kept], h[kept] = np.int32(col), here
            kept += np.int64((here - last_h) * (next_col - col) < (next_h - here) * (col - last_col))
            last_col, last_h, col, here = col, here, next_col, next_h
        cols[kept], h[kept] = np.int32(col), here
        n = kept + 1
    return n


@compiled
def _hull(cols, h, n):
    """Leave only the vertices of the lower convex hull of n points in order (Andrew's chain); returns how many."""
    top = 0
    for k in range(n):
        col, here = cols[k], h[k]
        while top > 1:
            b, a = cols[top - 1], cols[top - 2]
            if (here - h[top - 1]) * np.float64(b - a) > (h[top - 1] - h[top - 2]) * np.float64(col - b):
                break
            top -= 1
        cols[top], h[top] = col, here
        top += 1
    return top


@compiled
def _envelope(offsets, dx, dy, first, out):
    """Distances float32 [h, n] of the columns first..first + n - 1 from the offsets int32 [h, w] of all columns."""
    height, width = offsets.shape
    last = first + out.shape[1]
    ratio2 = (dy / dx) ** 2
    f = np.empty(width)
    cols = np.empty(width + 1, np.int32)
    h = np.empty(width + 1)
    squared = np.empty(width)
    for i in range(height):
        for j in range(width):
            rows = np.float64(offsets[i, j])
            f[j] = ratio2 * (rows * rows)
        n = _hull(cols, h, _candidates(offsets[i], f, cols, h))
        x = first
        for k in range(n):
            v = cols[k]
            end = last
            if k + 1 < n:
                change = (h[k + 1] - h[k]) / (2.0 * np.float64(cols[k + 1] - v))
                end = min(np.int64(np.floor(change)) + 1, last)
            while x < end:
                across = np.float64(x - v)
                squared[x] = across * across + f[v]
                x += 1
        for x in range(first, last):
            out[i, x - first] = np.float32(dx * np.sqrt(squared[x]))


def distance(
    read_features: Callable[[int, int], np.ndarray],
    shape: tuple[int, int],
    cell_size: tuple[float, float],
    write: Callable[[int, np.ndarray], None],
    *,
    scratch: Path,
    strip_rows: int = 256,
    window: tuple[int, int, int, int] | None = None,
) -> None:
    """Exact Euclidean distance to the nearest feature cell, strip by strip.

    Definition: reference/distance.py. The results are the same bits for every `strip_rows` and every `window`.

    Args:
        read_features: (row, rows) -> bool [rows, w] (or numbers, nonzero a feature); called once a strip, from the
            bottom up.
        shape: (h, w) of the whole raster, h at most 2^30.
        cell_size: (dx, dy), width and height of a cell in metres, both positive.
        write: (row, block) with block float32 [rows, width of the window], metres, >= 0; called from the top down,
            rows counted from the window's first. The block is reused after the call.
        scratch: existing folder for the intermediate file, which is gone when this returns or raises.
        strip_rows: rows a strip, which takes about 10 bytes a cell of memory. One begins at the window's first row.
        window: (row, col, height, width) of the part to compute; the whole raster if None. Features count everywhere.

    Raises:
        DataError: no cell is a feature.
        DiskError: the intermediate file cannot be written or read back.
        ValueError: an argument is out of range, or `read_features` returned another shape.
    """
    height, width = shape
    dx, dy = (float(size) for size in cell_size)
    row, col, rows, cols = window if window is not None else (0, 0, height, width)
    if not (0 < dx < np.inf and 0 < dy < np.inf):
        raise ValueError(f"cell_size must be positive, got {cell_size}")
    if not (0 < height <= NO_FEATURE and 0 < width < NO_FEATURE and strip_rows > 0):
        raise ValueError(f"shape and strip_rows must be positive, got {shape} and {strip_rows}")
    if not (0 <= row < row + rows <= height and 0 <= col < col + cols <= width):
        raise ValueError(f"window {window} does not lie inside the raster {shape}")
    edges = sorted({0, *range(row % strip_rows, height, strip_rows), height})
    strips = list(zip(edges, np.diff(edges).tolist(), strict=False))
    try:
        with Spool(scratch, width) as spool:
            _sweep_up(read_features, strips, spool)
            _sweep_down(spool, strips, (row, col, rows, cols), (dx, dy), write)
    except SpoolError as error:
        raise DiskError(
            f"The intermediate file of a distance could not be kept in {scratch} ({error}). "
            f"It takes about {height * (width / 8 + 4 * width / strip_rows) / 1e6:.0f} MB: free that much or choose "
            "another folder."
        ) from error


def distance_in_memory(features: np.ndarray, cell_size: tuple[float, float]) -> np.ndarray:
    """The same distance of one array: bool [h, w] -> float32 [h, w], metres, the same bits as `distance`.

    Raises:
        DataError: no cell is a feature.
        ValueError: a cell size is not positive, or an axis is empty.
    """
    features = np.asarray(features, dtype=bool)
    out = np.empty(features.shape, np.float32)

    def write(row: int, block: np.ndarray) -> None:
        out[row : row + len(block)] = block

    with tempfile.TemporaryDirectory(prefix="mpmjax-") as scratch:
        distance(lambda row, rows: features[row : row + rows], features.shape, cell_size, write, scratch=Path(scratch))
    return out


def _sweep_up(read_features: Callable[[int, int], np.ndarray], strips: list[tuple[int, int]], spool: Spool) -> None:
    """First sweep: every strip's features and the row carried into it from below go to the spool, last strip first."""
    below = np.full(spool.width, NO_FEATURE, np.int32)
    for row, rows in reversed(strips):
        features = np.asarray(read_features(row, rows))
        if features.shape != (rows, spool.width):
            raise ValueError(f"read_features({row}, {rows}) returned {features.shape}, not {(rows, spool.width)}")
        features = np.ascontiguousarray(features, dtype=bool)
        spool.push(features, below)
        _carry_up(features, below)
    if below.min() >= NO_FEATURE:
        raise DataError(
            f"There is nothing to measure a distance to: none of the {strips[-1][0] + strips[-1][1]} x {spool.width} "
            "cells holds a feature."
        )


def _sweep_down(
    spool: Spool,
    strips: list[tuple[int, int]],
    window: tuple[int, int, int, int],
    cell_size: tuple[float, float],
    write: Callable[[int, np.ndarray], None],
) -> None:
    """Second sweep: offsets and envelope of the strips that meet the window, first strip first."""
    first_row, first_col, rows_wanted, cols_wanted = window
    above = np.full(spool.width, NO_FEATURE, np.int32)
    most = max(rows for _, rows in strips)
    offsets = np.empty((most, spool.width), np.int32)
    block = np.empty((most, cols_wanted), np.float32)
    for row, rows in strips:
        if row >= first_row + rows_wanted:
            return
        features, below = spool.pop(rows)
        if row < first_row:
            _carry_down(features, above)
            continue
        _offsets(features, above, below, offsets[:rows])
        wanted = min(rows, first_row + rows_wanted - row)
        _envelope(offsets[:wanted], *cell_size, first_col, block[:wanted])
        write(row - first_row, block[:wanted])
