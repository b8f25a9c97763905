"""Fuzzy overlays of whole tiles on the CPU; the formulas are those of mpmjax.reference.overlay, which judges this file.

For memberships that are there already; `ops/membership.py` joins layers in the pass that makes their memberships, by
the same accumulators and so with the same bits.
"""

from __future__ import annotations

import numpy as np

from mpmjax.ops._compile import compiled
from mpmjax.ops.cpu.overlay import ROWS, add, begin, finish
from mpmjax.ops.plan import Overlay

_BLOCK = 2048


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
    wanted = Overlay(kind, gamma, None if weights is None else tuple(np.asarray(weights, np.float64).tolist()))
    shares = wanted.shares(count)
    out = np.empty(mu.shape[1:], np.float32)
    flat = np.ascontiguousarray(mu).reshape(count, out.size)
    given = np.ascontiguousarray(valid).reshape(count, out.size).view(np.uint8)
    _overlay(flat, given, wanted.code, float(gamma), shares, out.reshape(-1))
    return out


@compiled
def _overlay(mu, valid, kind, gamma, weights, out):
    """out (float32 [n]) of mu (float32 [L, n]) and valid (uint8 [L, n]), block by block."""
    work = np.empty(ROWS * _BLOCK)
    for start in range(0, out.size, _BLOCK):
        stop = min(start + _BLOCK, out.size)
        size = stop - start
        value, mantissa = work[:size], work[_BLOCK : _BLOCK + size]
        power, total = work[2 * _BLOCK : 2 * _BLOCK + size], work[3 * _BLOCK : 3 * _BLOCK + size]
        begin(kind, value, mantissa, power, total)
        for layer in range(mu.shape[0]):
            m, v = mu[layer, start:stop], valid[layer, start:stop]
            add(m, v, kind, weights[layer], value, mantissa, power, total)
        finish(kind, gamma, value, mantissa, power, total, out[start:stop])
