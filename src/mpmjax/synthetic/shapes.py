"""Fields of seeded shapes: distance to lines, inside of polygons, bumps, density of lines.

Like the noise they are functions of place alone (windows and places: noise.py): a shape out of reach of a
window changes no bit of it, so that a tile needs only the shapes near it. Fields are float32 [rows, cols].
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mpmjax.synthetic.noise import Window


@njit(nogil=True, cache=True)
def _squared_distance(segments, s, x, y):
    ax, ay = segments[s, 0], segments[s, 1]
    bx, by = segments[s, 2] - ax, segments[s, 3] - ay
    px, py = x - ax, y - ay
    t = min(1.0, max(0.0, (px * bx + py * by) / (bx * bx + by * by)))
    return (px - t * bx) ** 2 + (py - t * by) ** 2


@njit(nogil=True, cache=True)
def distance_at(xs: np.ndarray, ys: np.ndarray, segments: np.ndarray, cap: float) -> np.ndarray:
    """Distance in metres to the nearest of segments [s, 4] (x0, y0, x1, y1), at most `cap`; float64 [n]."""
    out = np.empty(xs.size)
    for k in range(xs.size):
        best = cap * cap
        for s in range(segments.shape[0]):
            best = min(best, _squared_distance(segments, s, xs[k], ys[k]))
        out[k] = np.sqrt(best)
    return out


@njit(nogil=True, cache=True)
def distance(window: Window, segments: np.ndarray, cap: float) -> np.ndarray:
    """Distance in metres from each cell centre to the nearest of segments [s, 4], at most `cap`.

    Blocks of 16 x 16 cells keep the few segments that can be nearest to any of their cells: about ten of thousands.
    """
    out = np.empty((window.rows, window.cols), np.float32)
    res, count = window.resolution, segments.shape[0]
    centre, near = np.empty(count), np.empty(count, np.int64)
    for r0 in range(0, window.rows, 16):
        for c0 in range(0, window.cols, 16):
            r1, c1 = min(r0 + 16, window.rows), min(c0 + 16, window.cols)
            yc = (window.row0 + 0.5 * (r0 + r1)) * res
            xc = (window.col0 + 0.5 * (c0 + c1)) * res
            reach = np.hypot(r1 - r0, c1 - c0) * res  # the block's diagonal; a cell is at most half of it away
            nearest = cap
            for s in range(count):
                centre[s] = np.sqrt(_squared_distance(segments, s, xc, yc))
                nearest = min(nearest, centre[s])
            kept = 0
            for s in range(count):
                if centre[s] <= nearest + reach + 1.0:
                    near[kept] = s
                    kept += 1
            for r in range(r0, r1):
                y = (window.row0 + r + 0.5) * res
                for c in range(c0, c1):
                    x = (window.col0 + c + 0.5) * res
                    best = cap * cap
                    for k in range(kept):
                        best = min(best, _squared_distance(segments, near[k], x, y))
                    out[r, c] = np.sqrt(best)
    return out


@njit(nogil=True, cache=True)
def inside(window: Window, rings: np.ndarray) -> np.ndarray:
    """Cells whose centre lies in any of rings [n, v, 2] (closed by their first vertex); bool [rows, cols]."""
    out = np.zeros((window.rows, window.cols), np.bool_)
    res, vertices = window.resolution, rings.shape[1]
    crossings = np.empty(vertices)
    for n in range(rings.shape[0]):
        first = int(np.floor(rings[n, :, 1].min() / res - 0.5)) - window.row0
        last = int(np.ceil(rings[n, :, 1].max() / res - 0.5)) - window.row0
        for r in range(max(0, first), min(window.rows, last + 1)):
            y, count = (window.row0 + r + 0.5) * res, 0
            for v in range(vertices):
                x0, y0 = rings[n, v, 0], rings[n, v, 1]
                x1, y1 = rings[n, (v + 1) % vertices, 0], rings[n, (v + 1) % vertices, 1]
                if (y0 <= y) != (y1 <= y):
                    crossings[count] = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
                    count += 1
            found = np.sort(crossings[:count])
            for k in range(0, count, 2):
                begin = int(np.ceil(found[k] / res - 0.5)) - window.col0
                end = int(np.ceil(found[k + 1] / res - 0.5)) - window.col0
                for c in range(max(0, begin), min(window.cols, end)):
                    out[r, c] = True
    return out


@njit(nogil=True, cache=True)
def blobs(window: Window, table: np.ndarray, warp_x: np.ndarray, warp_y: np.ndarray, warp: float) -> np.ndarray:
    """Sum of elliptic bumps amplitude (1 - r^2)^2, r < 1, with edges made ragged by a warp of at most `warp` metres.

    table [n, 6]: x, y, half axis along, half axis across (metres), angle (radians), amplitude; warp_x, warp_y
    [rows, cols] in metres. Each bump ends at its edge, so that those out of reach change no bit of the sum.
    """
    out = np.zeros((window.rows, window.cols), np.float32)
    res = window.resolution
    for n in range(table.shape[0]):
        cos, sin = np.cos(table[n, 4]), np.sin(table[n, 4])
        reach = max(table[n, 2], table[n, 3]) + 1.5 * warp
        r0 = max(0, int(np.floor((table[n, 1] - reach) / res)) - window.row0)
        r1 = min(window.rows, int(np.ceil((table[n, 1] + reach) / res)) - window.row0 + 1)
        c0 = max(0, int(np.floor((table[n, 0] - reach) / res)) - window.col0)
        c1 = min(window.cols, int(np.ceil((table[n, 0] + reach) / res)) - window.col0 + 1)
        for r in range(r0, r1):
            for c in range(c0, c1):
                dx = (window.col0 + c + 0.5) * res + min(warp, max(-warp, warp_x[r, c])) - table[n, 0]
                dy = (window.row0 + r + 0.5) * res + min(warp, max(-warp, warp_y[r, c])) - table[n, 1]
                along, across = (dx * cos + dy * sin) / table[n, 2], (dy * cos - dx * sin) / table[n, 3]
                rest = 1.0 - along * along - across * across
                if rest > 0.0:
                    out[r, c] += table[n, 5] * rest * rest
    return out


@njit(nogil=True, cache=True)
def line_density(window: Window, segments: np.ndarray, radius: float, step: float) -> np.ndarray:
    """Length of segments [s, 4] within `radius` metres, per area of that circle, in km per km2.

    Computed on the nodes of a lattice of `step` metres that covers the whole district, bilinear between them.
    """
    res = window.resolution
    i0, j0 = int(np.floor(window.row0 * res / step)), int(np.floor(window.col0 * res / step))
    i1 = int(np.floor((window.row0 + window.rows) * res / step)) + 2
    j1 = int(np.floor((window.col0 + window.cols) * res / step)) + 2
    nodes = np.zeros((i1 - i0, j1 - j0))
    for i in range(nodes.shape[0]):
        for j in range(nodes.shape[1]):
            for s in range(segments.shape[0]):
                nodes[i, j] += _length_in_circle(segments, s, (j0 + j) * step, (i0 + i) * step, radius)
    nodes *= 1e3 / (np.pi * radius * radius)  # metres per m2 -> km per km2
    out = np.empty((window.rows, window.cols), np.float32)
    for r in range(window.rows):
        v = (window.row0 + r + 0.5) * res / step
        i = int(np.floor(v))
        fv = v - i
        for c in range(window.cols):
            u = (window.col0 + c + 0.5) * res / step
            j = int(np.floor(u))
            fu = u - j
            top = nodes[i - i0, j - j0] * (1.0 - fu) + nodes[i - i0, j - j0 + 1] * fu
            low = nodes[i - i0 + 1, j - j0] * (1.0 - fu) + nodes[i - i0 + 1, j - j0 + 1] * fu
            out[r, c] = top * (1.0 - fv) + low * fv
    return out


@njit(nogil=True, cache=True)
def _length_in_circle(segments, s, x, y, radius):
    ax, ay = segments[s, 0] - x, segments[s, 1] - y
    bx, by = segments[s, 2] - segments[s, 0], segments[s, 3] - segments[s, 1]
    length2 = bx * bx + by * by
    half = -(ax * bx + ay * by) / length2
    root = half * half - (ax * ax + ay * ay - radius * radius) / length2
    if root <= 0.0:
        return 0.0
    root = np.sqrt(root)
    return max(0.0, min(1.0, half + root) - max(0.0, half - root)) * np.sqrt(length2)
