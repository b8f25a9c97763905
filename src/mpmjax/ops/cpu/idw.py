"""Inverse distances on a window of cells, in float64, sixteen cells at a time."""

from __future__ import annotations

import numpy as np

from mpmjax.ops._compile import compiled
from mpmjax.ops.cpu.neighbours import LANES, leaves, place_lanes, rank_lanes, ties_wanted


@compiled
def _weigh(x, y, values, samples, radius2, power, cx, cy, nearest, wanted, total, weighed):
    """Sums of weights, and of weights times values, over the k nearest samples of each lane, in the samples' order."""
    k = len(nearest)
    weight = np.empty(LANES)
    half = power / 2
    for lane in range(LANES):
        total[lane] = weighed[lane] = 0.0
    for j in range(samples.size):
        p = samples[j]
        sx, sy, value = x[p], y[p], values[p]
        for lane in range(LANES):
            across, down = cx[lane] - sx, cy[lane] - sy
            d = across * across + down * down
            last = nearest[k - 1, lane]
            tie = d == last and wanted[lane] > 0
            wanted[lane] -= tie
            near = (d < last or tie) and d <= radius2
            ratio = 1.0 if d == 0.0 else nearest[0, lane] / d
            weight[lane] = ratio if near else 0.0
        if power == 1.0:
            for lane in range(LANES):
                weight[lane] = np.sqrt(weight[lane])
        elif power == 4.0:
            for lane in range(LANES):
                weight[lane] *= weight[lane]
        elif power != 2.0:
            for lane in range(LANES):
                if weight[lane] > 0.0:
                    weight[lane] = weight[lane] ** half
        for lane in range(LANES):
            total[lane] += weight[lane]
            weighed[lane] += weight[lane] * value


@compiled
def idw_window(x, y, values, size, window, k, power, radius2, support2, few, most, out):
    """reference/gridding.py's `idw` at the cells of a window into float32 [rows, cols]; arguments as `leaves`."""
    out[:] = np.nan
    blocks, starts, every = leaves(x, y, size, window, k, radius2, support2, few, most)
    cx, cy, total, weighed = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES)
    wanted = np.empty(LANES, np.int64)
    nearest = np.empty((k, LANES))
    for b in range(len(blocks)):
        block, samples = blocks[b], every[starts[b] : starts[b + 1]]
        cells = block[2] * block[3]
        for first in range(0, cells, LANES):
            place_lanes(block, size, window, first, cx, cy)
            rank_lanes(x, y, samples, k, radius2, cx, cy, nearest)
            ties_wanted(nearest, k, wanted)
            _weigh(x, y, values, samples, radius2, power, cx, cy, nearest, wanted, total, weighed)
            for lane in range(min(LANES, cells - first)):
                if nearest[0, lane] <= support2 and nearest[0, lane] < np.inf:
                    cell = first + lane
                    out[block[0] + cell // block[3], block[1] + cell % block[3]] = weighed[lane] / total[lane]
