"""The formulas of mpmjax.reference.membership on blocks of float64: one short loop a step, so that each is vectorized.

Blocks are changed in place. Missing cells come as NaN or infinity and may leave as anything.
"""

from __future__ import annotations

import numpy as np

from mpmjax.ops._compile import compiled
from mpmjax.ops._guides import BINS
from mpmjax.ops.cpu.numerics import exp2, fma, log2
from mpmjax.ops.plan import HEDGES, KINDS, TRANSFORMS

_LOG, _SQRT = TRANSFORMS.index("log"), TRANSFORMS.index("sqrt")
_VERY, _SOMEWHAT = HEDGES.index("very"), HEDGES.index("somewhat")
_LINEAR, _POWER, _LARGE, _GAUSSIAN, _NEAR, _MS_LARGE, _MS_SMALL, _SIGMOID, _SHOULDER, _CATEGORY, _ECDF = range(
    len(KINDS)
)
_LOG10_2 = 0.3010299956639812
_LAST_BIN = BINS - 1.0


@compiled
def transform(x, code, floor):
    """Values to transformed values."""
    if code == _LOG:
        for i in range(x.size):
            x[i] = log2(x[i] if x[i] > floor else floor) * _LOG10_2
    elif code == _SQRT:
        for i in range(x.size):
            x[i] = np.sqrt(x[i] if x[i] > 0.0 else 0.0)


@compiled
def formula(x, kind, p0, p1, p2):  # noqa: C901 -- one loop a kind
    """Transformed values to memberships that may leave [0, 1] by an ulp; kinds without knots."""
    if kind in (_LINEAR, _POWER):
        lowest, highest = min(p0, p1), max(p0, p1)
        for i in range(x.size):
            value = x[i] if x[i] > lowest else lowest
            value = value if value < highest else highest
            x[i] = (value - p0) / (p1 - p0)
        if kind == _POWER:
            for i in range(x.size):
                x[i] = exp2(p2 * log2(x[i]))
    elif kind == _LARGE:
        for i in range(x.size):
            x[i] = 1.0 / (1.0 + exp2(p1 * (log2(x[i]) - p0)))
    elif kind == _GAUSSIAN:
        for i in range(x.size):
            x[i] = exp2(p1 * ((x[i] - p0) * (x[i] - p0)))
    elif kind == _NEAR:
        for i in range(x.size):
            x[i] = 1.0 / fma(p1, (x[i] - p0) * (x[i] - p0), 1.0)
    elif kind == _MS_LARGE:
        for i in range(x.size):
            x[i] = 1.0 - p1 / (x[i] - p0 + p1) if x[i] > p0 else 0.0
    elif kind == _MS_SMALL:
        for i in range(x.size):
            x[i] = p1 / (x[i] - p0 + p1) if x[i] > p0 else p2
    elif kind == _SIGMOID:
        for i in range(x.size):
            x[i] = 1.0 / (1.0 + exp2(p1 * (x[i] - p0)))
    elif kind == _SHOULDER:
        for i in range(x.size):
            near = 1.0 - 0.5 * (x[i] - p0) / (p1 - p0) if x[i] > p0 else 1.0
            far = 0.5 * (p2 - x[i]) / (p2 - p1) if x[i] < p2 else 0.0
            x[i] = near if x[i] < p1 else (far if x[i] > p1 else 0.5)


@compiled
def of_knots(x, kind, p0, knots_x, knots_y, slopes, inverse, reach, guide, at):
    """The same for category and ecdf; at uint64 [cells] is scratch, the rest a layer's part of plan.Guides."""
    slack = p0 if kind == _ECDF else 0.0
    _search(knots_x, x, slack, inverse, reach, guide, at)
    if kind == _CATEGORY:
        for i in range(x.size):
            x[i] = knots_y[at[i]] if knots_x[at[i]] == x[i] else p0
    else:
        for i in range(x.size):
            between = slopes[at[i]] * (x[i] - knots_x[at[i]]) + knots_y[at[i]]
            x[i] = between if x[i] + slack * abs(x[i]) >= knots_x[0] else knots_y[0]


@compiled
def finish(x, kind, complement, hedge, m, o):
    """Memberships to m float32 and o uint8 [cells]: clamped, complemented, hedged; 0 where o was 0 or x is NaN."""
    if kind == _CATEGORY:  # the only formula that makes NaN of a value: a class without a score
        for i in range(x.size):
            o[i] = (o[i] != 0) & (x[i] == x[i])
    if complement or hedge != 0:
        sign, base = (-1.0, 1.0) if complement else (1.0, 0.0)
        for i in range(x.size):
            mu = x[i] if x[i] > 0.0 else 0.0
            x[i] = base + sign * (mu if mu < 1.0 else 1.0)
        if hedge == _VERY:
            for i in range(x.size):
                x[i] *= x[i]
        elif hedge == _SOMEWHAT:
            for i in range(x.size):
                x[i] = np.sqrt(x[i])
    for i in range(x.size):
        mu = x[i] if x[i] > 0.0 else 0.0
        m[i] = np.float32((mu if mu < 1.0 else 1.0) if o[i] != 0 else 0.0)


@compiled
def _search(knots, x, slack, inverse, reach, guide, at):
    """at (uint64): for every x, the last of the ascending knots that is <= x + slack |x|; 0 where all are above.

    Every cell takes the same halving steps, and the cells of a block take each step together: without a branch to
    mispredict this is 10 times as fast as one search after the other.
    """
    last = np.uint64(knots.size - 1)
    for i in range(x.size):
        place = (x[i] + slack * abs(x[i]) - knots[0]) * inverse
        place = place if place > 0.0 else 0.0
        at[i] = guide[np.uint64(np.int64(place if place < _LAST_BIN else _LAST_BIN))]
    left = reach
    while left > 1:
        half = left >> 1
        for i in range(x.size):
            middle = min(at[i] + np.uint64(half), last)
            at[i] = middle if knots[middle] <= x[i] + slack * abs(x[i]) else at[i]
        left -= half
