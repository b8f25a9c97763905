"""Fuzzy overlays of whole tiles on the CPU; the formulas are those of mpmjax.reference.overlay, which judges this file.

One loop over the layers for each block of `_BLOCK` cells, whose running values stay in the L1 cache in float64. The
product is kept as a mantissa and a power of two, which is its logarithm of base 2 without a logarithm a layer: what
underflows is the mantissa, and it is raised by 2^500 before it can. The sum grows as s + mu (1 - s), all terms of one
sign, so that it keeps its digits where 1 - prod(1 - mu) would cancel. Only gamma takes logarithms, two a cell.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mpmjax.reference.overlay import overlay as reference_overlay

_CODES = {"and": 0, "or": 1, "product": 2, "sum": 3, "gamma": 4, "mean": 5}
_AND, _OR, _PRODUCT, _SUM, _GAMMA, _MEAN = _CODES.values()

_BLOCK = 512
_LOW, _RAISE, _RAISE_LOG2 = 2.0**-500, 2.0**500, 500.0


def overlay(
    mu: np.ndarray, valid: np.ndarray, kind: str, gamma: float = 0.9, weights: np.ndarray | None = None
) -> np.ndarray:
    """Overlay of L memberships, cell by cell.

    Args:
        mu: float32 [L, ...] in [0, 1]; what stands where valid is False is not looked at. NaN is missing.
        valid: bool [L, ...].
        kind: and, or, product, sum, gamma or mean.
        gamma: exponent in [0, 1], used by kind gamma.
        weights: [L], finite, >= 0, for kind mean only; all 1 by default.

    Returns:
        float32 of the shape of one layer, in [0, 1], NaN where no layer is valid (for mean: none of positive weight).

    Raises:
        ValueError: an unknown kind, other dtypes, shapes that differ, gamma outside [0, 1], or weights that cannot be.
    """
    if mu.dtype != np.float32 or valid.dtype != np.bool_:
        raise ValueError(f"mu must be float32 and valid bool, got {mu.dtype} and {valid.dtype}")
    if mu.shape != valid.shape:
        raise ValueError(f"mu has shape {mu.shape}, valid {valid.shape}; they must be the same")
    count = len(mu)
    # On one cell: the reference is the one place that knows which arguments are sound.
    reference_overlay(np.zeros((count, 1)), np.ones((count, 1), bool), kind, gamma, weights)
    shares = np.ones(count) if weights is None else np.array(weights, np.float64)
    out = np.empty(mu.shape[1:], np.float32)
    flat = np.ascontiguousarray(mu).reshape(count, out.size)
    given = np.ascontiguousarray(valid).reshape(count, out.size).view(np.uint8)
    _overlay(flat, given, _CODES[kind], float(gamma), shares, out.reshape(-1))
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _overlay(mu, valid, kind, gamma, weights, out):
    """out (float32 [n]) of mu (float32 [L, n]) and valid (uint8 [L, n]), block by block."""
    work = np.empty((4, _BLOCK))
    for start in range(0, out.size, _BLOCK):
        stop = min(start + _BLOCK, out.size)
        size = stop - start
        value, mantissa, power, total = work[0, :size], work[1, :size], work[2, :size], work[3, :size]
        value[:] = 1.0 if kind == _AND else 0.0
        mantissa[:] = 1.0
        power[:] = 0.0
        total[:] = 0.0
        for layer in range(mu.shape[0]):
            m, v = mu[layer, start:stop], valid[layer, start:stop]
            _add(m, v, kind, weights[layer], value, mantissa, power, total)
        if kind == _PRODUCT:
            for i in range(size):
                value[i] = mantissa[i] if power[i] == 0.0 else 0.0  # below 2^-500 it is 0 in float32
        elif kind == _GAMMA:
            for i in range(size):
                value[i] = _gamma(mantissa[i], power[i], value[i], gamma)
        elif kind == _MEAN:
            for i in range(size):
                value[i] /= total[i]
        o = out[start:stop]
        for i in range(size):
            o[i] = np.float32(value[i] if total[i] > 0.0 else np.nan)


@njit(nogil=True, cache=True, error_model="numpy")
def _add(m, v, kind, weight, value, mantissa, power, total):
    """Take one more layer into the running values: m, v its memberships and mask; total the weight seen so far."""
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


@njit(nogil=True, cache=True, error_model="numpy")
def _gamma(mantissa, power, total, gamma):
    """(mantissa 2^power)^(1 - gamma) * total^gamma; at the ends of gamma, where 0^0 would turn up, the pure overlay."""
    if gamma == 0.0:
        return mantissa if power == 0.0 else 0.0
    if gamma == 1.0:
        return total
    return np.exp2((1.0 - gamma) * (np.log2(mantissa) + power) + gamma * np.log2(total))
