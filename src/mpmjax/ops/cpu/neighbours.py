"""The samples that may be among the k nearest of the cells of a block, for all blocks of a window.

The window is halved again and again. What a half needs is a part of what the whole needed: if k samples lie within U of
every point of the half, a sample with no point of the half within U is none of its k nearest. So no index is built,
neighbours share the search, and crowded samples only mean smaller blocks. Candidates stay in the order of the arrays:
neither the choice among equally distant ones nor the order of a sum depends on how the window was cut.
"""

from __future__ import annotations

import numpy as np

from mpmjax.ops._compile import compiled

LANES = 16
"""Cells that are compared with a sample at a time: four or two registers of float64."""

SLACK = 1.0 + 1e-9
"""Bounds are kept a little wide, so that no rounding shuts out a sample that is exactly on one."""


@compiled
def kth_smallest(values, n, k):
    """The k-th smallest, k >= 1, of the first n numbers, which are reordered (Hoare's quickselect)."""
    low, high, place = 0, n - 1, k - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            break
    return values[place]


@compiled
def _larger(array, needed):
    """The array, or a copy of at least twice its length that holds `needed` elements."""
    if needed <= array.size:
        return array
    wider = np.empty(max(needed, 2 * array.size), array.dtype)
    wider[: array.size] = array
    return wider


@compiled
def _keep_near(x, y, box, pool, start, n, k, radius2, support2, far):
    """Write those of pool[start : start + n] that a box (left, top, right, bottom) needs behind them; returns how many.

    0 too where none is within the support of any point of the box. `far` is scratch, float64 [n].
    """
    left, top, right, bottom = box
    for i in range(n):
        p = pool[start + i]
        across = max(abs(x[p] - left), abs(x[p] - right))
        down = max(abs(y[p] - top), abs(y[p] - bottom))
        far[i] = across * across + down * down
    bound = radius2
    if n >= k:
        bound = min(bound, kth_smallest(far, n, k))
    bound *= SLACK
    kept, closest = 0, np.inf
    for i in range(n):
        p = pool[start + i]
        across = max(left - x[p], x[p] - right, 0.0)
        down = max(top - y[p], y[p] - bottom, 0.0)
        near = across * across + down * down
        closest = min(closest, near)
        if near <= bound:
            pool[start + n + kept] = p
            kept += 1
    return kept if closest <= support2 * SLACK else 0


@compiled
def leaves(x, y, size, window, k, radius2, support2, few, most):
    """Blocks of a window of cells, each with the samples that its cells need.

    Args:
        x, y: float64 [n], metres right of and below the grid's corner.
        size: (dx, dy) of a cell.
        window: (row, col, rows, cols) in cells of the grid.
        k, radius2, support2: number of neighbours; squares of radius and support, m2, may be infinite.
        few: a block that needs no more samples than this is cut no further.
        most: cells of the largest block.

    Returns:
        blocks int32 [b, 4], (row, col, rows, cols) within the window; starts int64 [b + 1] into samples int32.
        Cells without a block have no sample near.
    """
    dx, dy = size
    row, col, rows, cols = window
    blocks = np.empty((64, 4), np.int32)
    starts = np.zeros(65, np.int64)
    samples = np.empty(1024, np.int32)
    found = 0
    pool = np.empty(2 * x.size + 64, np.int32)
    for p in range(x.size):
        pool[p] = p
    far = np.empty(x.size)
    stack = np.empty((64, 6), np.int64)
    stack[0] = (0, 0, rows, cols, 0, x.size)
    depth = 1
    while depth:
        depth -= 1
        r, c, h, w, start, n = stack[depth]
        pool = _larger(pool, start + 2 * n)
        left, top = (col + c + 0.5) * dx, (row + r + 0.5) * dy
        box = (left, top, left + (w - 1) * dx, top + (h - 1) * dy)
        kept = _keep_near(x, y, box, pool, start, n, k, radius2, support2, far)
        if kept == 0:
            continue
        first = start + n
        if h * w == 1 or (kept <= few and h * w <= most):
            if found == len(blocks):
                wider = np.empty((2 * found, 4), np.int32)
                wider[:found] = blocks
                blocks = wider
                starts = _larger(starts, 2 * found + 1)
            blocks[found] = (r, c, h, w)
            end = starts[found] + kept
            samples = _larger(samples, end)
            samples[starts[found] : end] = pool[first : first + kept]
            found += 1
            starts[found] = end
        elif w > 1 and (w * dx >= h * dy or h == 1):
            half = w // 2
            stack[depth] = (r, c + half, h, w - half, first, kept)
            stack[depth + 1] = (r, c, h, half, first, kept)
            depth += 2
        else:
            half = h // 2
            stack[depth] = (r + half, c, h - half, w, first, kept)
            stack[depth + 1] = (r, c, half, w, first, kept)
            depth += 2
    return blocks[:found], starts[: found + 1], samples


@compiled
def place_lanes(block, size, window, first, cx, cy):
    """Centres of the cells first, first + 1 ... of a block, row by row, into the lanes; the last one fills the rest."""
    dx, dy = size
    cells = block[2] * block[3]
    for lane in range(LANES):
        cell = min(first + lane, cells - 1)
        cx[lane] = (window[1] + block[1] + cell % block[3] + 0.5) * dx
        cy[lane] = (window[0] + block[0] + cell // block[3] + 0.5) * dy


@compiled
def rank_lanes(x, y, samples, k, radius2, cx, cy, nearest):
    """Squared distances of the k nearest samples of each lane, ascending, into float64 [k, LANES]; infinite if none."""
    away = np.empty(LANES)
    for i in range(k):
        for lane in range(LANES):
            nearest[i, lane] = np.inf
    for j in range(samples.size):
        sx, sy = x[samples[j]], y[samples[j]]
        for lane in range(LANES):
            across, down = cx[lane] - sx, cy[lane] - sy
            d = across * across + down * down
            away[lane] = d if d <= radius2 else np.inf
        for i in range(min(k, j + 1)):
            for lane in range(LANES):
                a, b = nearest[i, lane], away[lane]
                nearest[i, lane] = a if a < b else b
                away[lane] = b if a < b else a


@compiled
def ties_wanted(nearest, k, wanted):
    """How many of the samples exactly as far away as the k-th are among the k nearest: int64 [LANES]."""
    for lane in range(LANES):
        count = 0
        for i in range(k):
            count += nearest[i, lane] == nearest[k - 1, lane]
        wanted[lane] = count


@compiled
def distance_window(x, y, size, window, support2, few, most, out):
    """Metres to the nearest sample into float32 [rows, cols], infinite beyond the support; arguments as `leaves`."""
    out[:] = np.inf
    blocks, starts, every = leaves(x, y, size, window, 1, np.inf, support2, few, most)
    cx, cy, nearest = np.empty(LANES), np.empty(LANES), np.empty((1, LANES))
    for b in range(len(blocks)):
        block, samples = blocks[b], every[starts[b] : starts[b + 1]]
        cells = block[2] * block[3]
        for first in range(0, cells, LANES):
            place_lanes(block, size, window, first, cx, cy)
            rank_lanes(x, y, samples, 1, np.inf, cx, cy, nearest)
            for lane in range(min(LANES, cells - first)):
                if nearest[0, lane] <= support2:
                    cell = first + lane
                    out[block[0] + cell // block[3], block[1] + cell % block[3]] = np.sqrt(nearest[0, lane])
