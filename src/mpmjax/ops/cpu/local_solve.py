"""Ordinary kriging and thin plates on a window of cells, from the k nearest samples of each cell.

Both solve [A Q; Q' 0] [w; m] = [v; 0] for a set of samples, Q the ones (kriging) or (1, x, y) (thin plates), and take
a(c)'w + q(c)'m at a cell: the dual form, which costs O(k) a cell once its set is solved. Cells side by side mostly have
the same set: the sets of a block, up to SETS of them, are kept with their LU factors. A variance needs a solution a
cell, O(k^2). What is kept changes no bit: a set's samples are in the arrays' order, and equal sets give equal numbers.
"""

from __future__ import annotations

import numpy as np

from mpmjax.ops._compile import compiled
from mpmjax.ops.cpu.neighbours import LANES, leaves, place_lanes, rank_lanes, ties_wanted

SPHERICAL, EXPONENTIAL, GAUSSIAN, PLATE = 0, 1, 2, 3
SETS = 32
SAME_PLACE2 = 1e-12
"""As in reference/gridding.py, squared, m2."""
LEAST_PIVOT = 1e-10
"""Of numbers up to 1: what is solved with a smaller one has lost ten of sixteen digits."""
LEAST_PLATE_PIVOT = 1e-13
"""Thin plates vanish like r^2 log r between samples that are close together; less is a line, or one place."""


@compiled
def _between(squared, model, nugget, reach):
    """Covariance of two places over the sill (`nugget` too); of thin plates r^2 log r, `reach` the unit of length."""
    if model == PLATE:
        t2 = squared / (reach * reach)
        return 0.5 * t2 * np.log(t2) if t2 > 0.0 else 0.0
    if squared <= SAME_PLACE2:
        return 1.0
    t = np.sqrt(squared) / reach
    if model == SPHERICAL:
        return (1.0 - nugget) * (1.0 - t * (1.5 - 0.5 * t * t)) if t < 1.0 else 0.0
    return (1.0 - nugget) * np.exp(-3.0 * (t if model == EXPONENTIAL else t * t))


@compiled
def _factorise(a, swaps, m, least):
    """LU with partial pivoting in place; False where a pivot is too small."""
    for i in range(m):
        best = i
        for r in range(i + 1, m):
            if abs(a[r, i]) > abs(a[best, i]):
                best = r
        swaps[i] = best
        if not abs(a[best, i]) >= least:
            return False
        if best != i:
            for c in range(m):
                a[i, c], a[best, c] = a[best, c], a[i, c]
        inverse = 1.0 / a[i, i]
        for r in range(i + 1, m):
            factor = a[r, i] * inverse
            a[r, i] = factor
            if factor != 0.0:
                for c in range(i + 1, m):
                    a[r, c] -= factor * a[i, c]
    return True


@compiled
def _solve(a, swaps, m, b):
    """Solve in place with the factors of `_factorise`."""
    for i in range(m):
        b[i], b[swaps[i]] = b[swaps[i]], b[i]
    for i in range(m):
        for c in range(i):
            b[i] -= a[i, c] * b[c]
    for i in range(m - 1, -1, -1):
        for c in range(i + 1, m):
            b[i] -= a[i, c] * b[c]
        b[i] /= a[i, i]


@compiled
def _prepare(x, y, values, near, model, nugget, reach, a, swaps, dual, frame):
    """Factors and dual weights of a set of samples; `frame` (x, y, unit, mean of values); False where singular."""
    n, plate = near.size, model == PLATE
    m = n + (3 if plate else 1)
    px = py = mean = 0.0
    for p in near:
        px += x[p] / n
        py += y[p] / n
        mean += values[p] / n
    unit = 0.0
    for p in near:
        unit = max(unit, abs(x[p] - px), abs(y[p] - py))
    if plate and unit == 0.0:
        return False
    frame[:] = (px, py, unit, mean)
    a[:m, :m] = 0.0
    for i in range(n):
        p = near[i]
        for j in range(i + 1):
            across, down = x[p] - x[near[j]], y[p] - y[near[j]]
            a[i, j] = a[j, i] = _between(across * across + down * down, model, nugget, unit if plate else reach)
        a[i, n] = a[n, i] = 1.0
        if plate:
            a[i, n + 1] = a[n + 1, i] = (x[p] - px) / unit
            a[i, n + 2] = a[n + 2, i] = (y[p] - py) / unit
        dual[i] = values[p] - mean
    for i in range(n, m):
        dual[i] = 0.0
    if not _factorise(a, swaps, m, LEAST_PLATE_PIVOT if plate else LEAST_PIVOT):
        return False
    _solve(a, swaps, m, dual)
    return True


@compiled
def _choose(x, y, samples, radius2, px, py, last, ties, chosen):
    """The samples nearer than the k-th, and so many as far as it, in their order; returns how many, and a number that
    differs for most different sets."""
    n, mark = 0, np.int64(0)
    for p in samples:
        across, down = px - x[p], py - y[p]
        d = across * across + down * down
        if d <= radius2 and (d < last or (d == last and ties > 0)):
            ties -= d == last
            chosen[n] = p
            n += 1
            mark = mark * np.int64(1000003) + p
    return n, mark


@compiled
def _find(sets, counts, marks, used, chosen, n, mark):
    """Place of a set among those kept, or -1."""
    for s in range(used):
        if marks[s] == mark and counts[s] == n:
            same = True
            for i in range(n):
                same = same and sets[s, i] == chosen[i]
            if same:
                return s
    return -1


@compiled
def _right(x, y, near, px, py, model, nugget, reach, frame, right):
    """The right side of a cell at (px, py): covariances with the samples, then 1 or (1, x, y); returns its length."""
    n, plate = near.size, model == PLATE
    for i in range(n):
        across, down = px - x[near[i]], py - y[near[i]]
        right[i] = _between(across * across + down * down, model, nugget, frame[2] if plate else reach)
    right[n] = 1.0
    if plate:
        right[n + 1], right[n + 2] = (px - frame[0]) / frame[2], (py - frame[1]) / frame[2]
        return n + 3
    return n + 1


@compiled
def solve_window(
    x, y, values, size, window, k, radius2, support2, model, nugget, sill, reach, variance, few, most, out
):
    """reference/gridding.py's `kriging` or `thin_plate` at the cells of a window; returns the first singular cell.

    Args:
        x, y, size, window, k, radius2, support2, few, most: as `leaves`.
        values: float64 [n].
        model: SPHERICAL, EXPONENTIAL, GAUSSIAN, or PLATE, for which nugget, sill and reach mean nothing.
        nugget: over the sill, 0 to 1; sill, > 0; reach: the range in metres.
        variance: of kriging, in place of the value.
        out: float32 [rows, cols].

    Returns:
        Row by row number within the window of a cell whose samples are singular (out is not complete then), else -1.
    """
    out[:] = np.nan
    blocks, starts, every = leaves(x, y, size, window, k, radius2, support2, few, most)
    cx, cy, wanted, nearest = np.empty(LANES), np.empty(LANES), np.empty(LANES, np.int64), np.empty((k, LANES))
    chosen, right, solved = np.empty(k, np.int32), np.empty(k + 3), np.empty(k + 3)
    sets, counts, marks = np.empty((SETS, k), np.int32), np.empty(SETS, np.int64), np.empty(SETS, np.int64)
    factors, swaps = np.empty((SETS, k + 3, k + 3)), np.empty((SETS, k + 3), np.int64)
    duals, frames = np.empty((SETS, k + 3)), np.empty((SETS, 4))
    for b in range(len(blocks)):
        block, samples = blocks[b], every[starts[b] : starts[b + 1]]
        cells = block[2] * block[3]
        used = oldest = 0
        for first in range(0, cells, LANES):
            place_lanes(block, size, window, first, cx, cy)
            rank_lanes(x, y, samples, k, radius2, cx, cy, nearest)
            ties_wanted(nearest, k, wanted)
            for lane in range(min(LANES, cells - first)):
                if not nearest[0, lane] <= support2:
                    continue
                px, py = cx[lane], cy[lane]
                n, mark = _choose(x, y, samples, radius2, px, py, nearest[k - 1, lane], wanted[lane], chosen)
                if n == 0 or (model == PLATE and n < 3):
                    continue
                cell = first + lane
                row, col = block[0] + cell // block[3], block[1] + cell % block[3]
                s = _find(sets, counts, marks, used, chosen, n, mark)
                if s < 0:
                    s, oldest = oldest, (oldest + 1) % SETS
                    used = max(used, s + 1)
                    sets[s, :n] = chosen[:n]
                    counts[s], marks[s] = n, mark
                    near, a, w = sets[s, :n], factors[s], duals[s]
                    if not _prepare(x, y, values, near, model, nugget, reach, a, swaps[s], w, frames[s]):
                        return row * out.shape[1] + col
                m = _right(x, y, sets[s, :n], px, py, model, nugget, reach, frames[s], right)
                if variance:
                    total = 1.0
                    solved[:m] = right[:m]
                    _solve(factors[s], swaps[s], m, solved)
                    for i in range(m):
                        total -= solved[i] * right[i]
                    out[row, col] = max(total, 0.0) * sill
                else:
                    total = frames[s, 3]
                    for i in range(m):
                        total += duals[s, i] * right[i]
                    out[row, col] = total
    return -1
