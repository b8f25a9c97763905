"""The accumulators of a fuzzy overlay, block by block; the formulas are those of mpmjax.reference.overlay.

A block's running values stay in the L1 cache in float64. The product is kept as a mantissa and a power of two, which is
its logarithm of base 2 without a logarithm a layer: what underflows is the mantissa, and it is raised by 2^500 before
it can. The sum grows as s + mu (1 - s), all terms of one sign, so that it keeps its digits where 1 - prod(1 - mu) would
cancel. Only gamma takes logarithms, two a cell.
"""

from __future__ import annotations

import numpy as np

from mpmjax.ops._compile import compiled
from mpmjax.ops.cpu.numerics import exp2, log2
from mpmjax.reference.overlay import KINDS

_AND, _OR, _PRODUCT, _SUM, _GAMMA, _MEAN = range(len(KINDS))  # and, or, product, sum, gamma, mean
_LOW, _RAISE, _RAISE_LOG2 = 2.0**-500, 2.0**500, 500.0

ROWS = 4
"""Arrays float64 [cells] of running values, in this order: value, mantissa, power of two, weight seen so far.

Each contiguous by itself: rows of a slice of one array are not, to the compiler, and take ten times as long.
"""


@compiled
def begin(kind, value, mantissa, power, total):
    """Set the running values of a block before its first layer."""
    value[:] = 1.0 if kind == _AND else 0.0
    mantissa[:] = 1.0
    power[:] = 0.0
    total[:] = 0.0


@compiled
def add(m, v, kind, weight, value, mantissa, power, total):
    """Take one more layer into the running values: m float32, v uint8 its memberships and mask; NaN is missing."""
    for i in range(m.size):
        total[i] += weight if (v[i] != 0) & (m[i] == m[i]) else 0.0
    if kind == _AND:
        for i in range(m.size):
            value[i] = m[i] if (v[i] != 0) & (m[i] < value[i]) else value[i]
    elif kind == _OR:
        for i in range(m.size):
            value[i] = m[i] if (v[i] != 0) & (m[i] > value[i]) else value[i]
    elif kind == _MEAN:
        for i in range(m.size):
            value[i] += weight * m[i] if (v[i] != 0) & (m[i] == m[i]) else 0.0
    if kind in (_PRODUCT, _GAMMA):
        for i in range(m.size):
            product = mantissa[i] * (m[i] if (v[i] != 0) & (m[i] == m[i]) else np.float32(1.0))
            low = product < _LOW
            mantissa[i] = product * _RAISE if low else product
            power[i] -= _RAISE_LOG2 if low else 0.0
    if kind in (_SUM, _GAMMA):
        for i in range(m.size):
            value[i] += (m[i] if (v[i] != 0) & (m[i] == m[i]) else np.float32(0.0)) * (1.0 - value[i])


@compiled
def finish(kind, gamma, value, mantissa, power, total, out):
    """out float32 [cells] from the running values; NaN where no layer was valid."""
    if kind == _PRODUCT or (kind == _GAMMA and gamma == 0.0):
        for i in range(out.size):
            value[i] = mantissa[i] if power[i] == 0.0 else 0.0  # below 2^-500 it is 0 in float32
    elif kind == _GAMMA and gamma < 1.0:  # at the ends, where 0^0 would turn up, gamma is the pure overlay
        for i in range(out.size):
            value[i] = exp2((1.0 - gamma) * (log2(mantissa[i]) + power[i]) + gamma * log2(value[i]))
    elif kind == _MEAN:
        for i in range(out.size):
            value[i] /= total[i]
    for i in range(out.size):
        out[i] = np.float32(value[i] if total[i] > 0.0 else np.nan)
