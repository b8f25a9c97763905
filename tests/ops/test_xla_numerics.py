"""What XLA would do to numbers, and does not: float64 of JAX against NumPy's, by bits where NumPy is exact."""

from __future__ import annotations

import jax
import numpy as np
from tolerances import assert_same_bits

from mpmjax.ops.xla.membership import put
from mpmjax.ops.xla.numerics import exp2, log2, narrow, rounded, widen


def traced(function):
    """A function of float64 arrays as this package traces it: in a process without 64 bits."""

    def inside(*arrays):
        with jax.enable_x64(True):
            return function(*arrays)

    return lambda *arrays: np.asarray(jax.jit(inside)(*put(arrays)))


def test_products_are_rounded_before_they_are_added_to():
    raw = np.arange(-200_000, 200_000, dtype=np.int32)
    assert_same_bits(traced(lambda r: rounded(r * 0.1) + 0.3)(raw), raw * 0.1 + 0.3)


def test_powers_and_logarithms_of_two():
    rng = np.random.default_rng(1)
    t = np.concatenate([rng.uniform(-1022.0, 1023.0, 20000), np.arange(-1022.0, 1024.0), rng.uniform(-1.0, 1.0, 5000)])
    assert np.abs(traced(exp2)(t) / np.exp2(t) - 1.0).max() < 4e-12
    assert traced(exp2)(np.array([-np.inf, np.inf])).tolist() == [2.0**-1022, 2.0**1023]
    x = np.concatenate([np.exp2(t[:20000]), 1.0 + rng.normal(0.0, 1e-6, 5000)])
    assert (np.abs(traced(log2)(x) - np.log2(x)) <= 2e-15 * np.maximum(1.0, np.abs(np.log2(x)))).all()
    powers = np.arange(-1022.0, 1024.0)
    assert np.array_equal(traced(log2)(np.exp2(powers)), powers)
    assert traced(log2)(np.array([0.0, -0.0, -1.0])).tolist() == [-np.inf] * 3


def test_float32_by_its_bits():
    bits = np.concatenate([np.arange(0, 2**23, 997), np.arange(2**23 - 50, 2**23 + 50), [0x3F7FFFFF, 0x3F800000]])
    x = bits.astype(np.int32).view(np.float32)
    both = np.concatenate([x, -x])
    assert np.array_equal(traced(widen)(both), both.astype(np.float64))
    exact = x.astype(np.float64)
    halves = np.concatenate([exact, 0.5 * (exact[1:] + exact[:-1]), exact[:-2] * (1 + 2.0**-30)])
    assert_same_bits(traced(narrow)(halves), halves.astype(np.float32))
