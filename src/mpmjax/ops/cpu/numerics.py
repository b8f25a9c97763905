"""exp2 and log2 that LLVM can turn into vector instructions, as a call into libm cannot be.

Fused multiply-adds are written as such, by `fma`, and no fastmath flag is set: every cell sees the same operations in
the same order, so its bits depend on its value alone, not on its place in a loop. kernels/numerics.cuh has the same
operations with the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from mpmjax.ops._compile import compiled

EXP2 = (
    1.0,
    0.6931471805568319,
    0.24022650695812942,
    0.05550410906332183,
    0.00961812915941748,
    0.001333347846686674,
    0.0001540345583910365,
    1.530370254969942e-05,
    1.3255228231257278e-06,
)
"""Coefficients of 2^f, |f| <= 1/2, lowest first: Chebyshev interpolation of (2^f - 1) / f; relative error 2.2e-12."""

LOG2 = (
    2.885390081777928,
    0.9617966939241475,
    0.5770780173262539,
    0.4121983897062847,
    0.32061725306917566,
    0.2614162599966982,
    0.243255611206945,
)
"""Coefficients of log2(m) / s by s^2, s = (m - 1) / (m + 1), |s| <= 0.1716: as above; relative error 7e-16."""

_E0, _E1, _E2, _E3, _E4, _E5, _E6, _E7, _E8 = EXP2
_L0, _L1, _L2, _L3, _L4, _L5, _L6 = LOG2


def _fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    return types.float64(types.float64, types.float64, types.float64), lambda _, builder, __, parts: builder.fma(*parts)


fma: Any = intrinsic(_fma)
"""fma(a, b, c): a * b + c of float64, rounded once."""


@compiled
def exp2(t):
    """2^t of a float64, relative error 2.2e-12; t is held to [-1022, 1023], and NaN gives 2^-1022."""
    t = t if t > -1022.0 else -1022.0
    t = t if t < 1023.0 else 1023.0
    # Adding 1.5 * 2^52 rounds t to the integer n and leaves n in the low bits of the sum.
    shifted = t + 6755399441055744.0
    f = t - (shifted - 6755399441055744.0)
    series = fma(_E8, f, _E7)
    series = fma(series, f, _E6)
    series = fma(series, f, _E5)
    series = fma(series, f, _E4)
    series = fma(series, f, _E3)
    series = fma(series, f, _E2)
    series = fma(series, f, _E1)
    series = fma(series, f, _E0)
    return series * as_float((as_bits(shifted) << np.int64(52)) + np.int64(1023 << 52))


@compiled
def log2(x):
    """log2 of a float64, absolute or relative error 1e-15, whichever is more; -inf for x <= 0, anything for NaN."""
    tiny = x < 2.2250738585072014e-308
    bits = as_bits(x * 18014398509481984.0 if tiny else x)  # 2^54 lifts subnormals
    # Counting the exponent from sqrt(1/2) leaves a mantissa in [sqrt(1/2), sqrt(2)).
    bits = bits + np.int64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    mantissa = as_float((bits & np.int64(0x000FFFFFFFFFFFFF)) + np.int64(0x3FE6A09E667F3BCD))
    # The exponent in the low bits of 2^52, less 2^52: an integer as a float without a conversion instruction.
    raised = as_float((bits >> np.int64(52)) | np.int64(0x4330000000000000))
    exponent = raised - 4503599627370496.0 - (1077.0 if tiny else 1023.0)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    q = s * s
    series = fma(_L6, q, _L5)
    series = fma(series, q, _L4)
    series = fma(series, q, _L3)
    series = fma(series, q, _L2)
    series = fma(series, q, _L1)
    series = fma(series, q, _L0)
    return -np.inf if x <= 0.0 else fma(s, series, exponent)


@compiled
def log2_normal(x):
    """log2 of a float64 that is positive, finite and not subnormal, with the bits of `log2`; anything for others."""
    bits = as_bits(x) + np.int64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    mantissa = as_float((bits & np.int64(0x000FFFFFFFFFFFFF)) + np.int64(0x3FE6A09E667F3BCD))
    exponent = as_float((bits >> np.int64(52)) | np.int64(0x4330000000000000)) - 4503599627370496.0 - 1023.0
    s = (mantissa - 1.0) / (mantissa + 1.0)
    q = s * s
    series = fma(_L6, q, _L5)
    series = fma(series, q, _L4)
    series = fma(series, q, _L3)
    series = fma(series, q, _L2)
    series = fma(series, q, _L1)
    series = fma(series, q, _L0)
    return fma(s, series, exponent)


@compiled
def as_bits(x):
    """The bits of a float64 as an int64."""
    return np.float64(x).view(np.int64)


@compiled
def as_float(bits):
    """The float64 that has the bits of an int64."""
    return np.int64(bits).view(np.float64)
