"""Numbers that XLA would change on the way: subnormals, single roundings, powers and logarithms of base 2, in float64.

Everything here is for tracing under `jax.enable_x64(True)`, elementwise, of any shape.

XLA computes with subnormals flushed to zero on the CPU, contracts a product and a sum into one operation, and takes
(t + c) - c for t. So float32 numbers enter and leave by their bits, and what must be rounded goes through `rounded`.
float64 subnormals, below 2.3e-308, do count as zero on the CPU.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mpmjax.ops.cpu.numerics import EXP2, LOG2

_LARGEST = float(np.finfo(np.float64).max)
_TINY32 = 2.0**-126
_ROUNDS_TO_INTEGERS = 1.5 * 2.0**52
_ROUNDS_TO_FLOAT32_SUBNORMALS = 1.5 * 2.0**-97
_SQRT_HALF = 0x3FE6A09E667F3BCD


def rounded(x: jax.Array) -> jax.Array:
    """A float64 product or sum as it is after rounding; -infinity becomes the lowest number.

    A maximum that changes nothing keeps XLA and LLVM from contracting x into what follows, on the CPU and the GPU;
    `lax.optimization_barrier` and `lax.reduce_precision` are gone before the contraction and do not.
    """
    return lax.max(x, jnp.float64(-_LARGEST))


def widen(x: jax.Array) -> jax.Array:
    """float32 -> float64, exact for subnormals too; -0.0 may become 0.0."""
    bits = lax.bitcast_convert_type(x, jnp.int32)
    magnitude = bits & np.int32(0x7FFFFFFF)
    multiples = jnp.where(bits < 0, -magnitude, magnitude).astype(jnp.float64)
    return jnp.where(magnitude < np.int32(0x00800000), multiples * 2.0**-149, x.astype(jnp.float64))


def narrow(x: jax.Array) -> jax.Array:
    """float64 in [0, 1], or NaN -> the nearest float32, subnormals too."""
    # The unit of the sum's last place is 2^-149, so its lowest bits are those of the float32 subnormal.
    bits = lax.bitcast_convert_type(x + _ROUNDS_TO_FLOAT32_SUBNORMALS, jnp.int64).astype(jnp.int32)
    return jnp.where(x < _TINY32, lax.bitcast_convert_type(bits, jnp.float32), x.astype(jnp.float32))


def exp2(t: jax.Array) -> jax.Array:
    """2^t of a float64, relative error 2.2e-12; t is held to [-1022, 1023]."""
    t = lax.min(lax.max(t, jnp.float64(-1022.0)), jnp.float64(1023.0))
    # Adding 1.5 * 2^52 rounds t to the integer n and leaves n in the low bits of the sum.
    shifted = rounded(t + _ROUNDS_TO_INTEGERS)
    f = t - (shifted - _ROUNDS_TO_INTEGERS)
    power = (lax.bitcast_convert_type(shifted, jnp.int64) << 52) + np.int64(1023 << 52)
    return _series(EXP2, f) * lax.bitcast_convert_type(power, jnp.float64)


def log2(x: jax.Array) -> jax.Array:
    """log2 of a float64, absolute or relative error 1e-15, whichever is more; -inf for x <= 0."""
    # Counting the exponent from sqrt(1/2) leaves a mantissa in [sqrt(1/2), sqrt(2)).
    bits = lax.bitcast_convert_type(x, jnp.int64) + np.int64(0x3FF0000000000000 - _SQRT_HALF)
    mantissa = lax.bitcast_convert_type((bits & np.int64(0x000FFFFFFFFFFFFF)) + np.int64(_SQRT_HALF), jnp.float64)
    # The exponent in the low bits of 2^52, less 2^52: an integer as a float without a conversion instruction.
    raised = lax.bitcast_convert_type((bits >> 52) | np.int64(0x4330000000000000), jnp.float64)
    exponent = raised - (4503599627370496.0 + 1023.0)
    s = rounded((mantissa - 1.0) / (mantissa + 1.0))
    return jnp.where(x > 0.0, exponent + s * _series(LOG2, s * s), -jnp.inf)


def _series(coefficients: tuple[float, ...], x: jax.Array) -> jax.Array:
    """The polynomial with these coefficients, lowest first."""
    result = jnp.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = result * x + coefficient
    return result
