"""Fuzzy overlays in JAX; the formulas are those of mpmjax.reference.overlay, which judges this file.

One running value for each cell, in float64, to which layers are added one by one, so that XLA can join them with what
made the memberships. The product is kept as a mantissa and a power of two: it is raised by 2^500 before it can
underflow. The sum grows as s + mu (1 - s), all terms of one sign, and keeps its digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mpmjax.ops.plan import Overlay
from mpmjax.ops.xla.numerics import exp2, log2, narrow, rounded, widen

_LOW, _RAISE, _RAISE_LOG2 = 2.0**-500, 2.0**500, 500.0
_LAYERS_A_RAISE = 3
"""A mantissa of 2^-500 or more can be multiplied by three float32 numbers, 2^-149 or more, within float64."""


def overlay(mu: jax.Array, valid: jax.Array, how: Overlay) -> jax.Array:
    """Overlay of L memberships, cell by cell; to be used inside `jax.jit`.

    Args:
        mu: float32 [L, ...] in [0, 1]; what stands where valid is False is not looked at. NaN is missing.
        valid: bool [L, ...].
        how: the overlay, a constant.

    Returns:
        float32 of the shape of one layer, in [0, 1], NaN where no layer is valid (for mean: none of positive weight).

    Raises:
        ValueError: another dtype, shapes that differ, or an overlay that cannot be.
    """
    if mu.dtype != jnp.float32 or valid.dtype != jnp.bool_:
        raise ValueError(f"mu must be float32 and valid bool, got {mu.dtype} and {valid.dtype}")
    if mu.shape != valid.shape:
        raise ValueError(f"mu has shape {mu.shape}, valid {valid.shape}; they must be the same")
    with jax.enable_x64(True):
        valid = valid & ~jnp.isnan(mu)
        return joined(list(jnp.where(valid, mu, np.float32(0.0))), list(valid), how)


def joined(mus: Sequence[jax.Array], valids: Sequence[jax.Array], how: Overlay) -> jax.Array:
    """The same, traced under `jax.enable_x64(True)`, of L memberships [...] that are 0 where they are not valid."""
    shares = how.shares(len(mus))
    zero, one = jnp.zeros(mus[0].shape, jnp.float64), jnp.ones(mus[0].shape, jnp.float64)
    running = _Running(one if how.kind == "and" else zero, one, zero, zero)
    for layer, (mu, valid) in enumerate(zip(mus, valids, strict=True)):
        running = _add(running, layer, mu, valid, float(shares[layer]), how)
    return _finish(running, how)


class _Running(NamedTuple):
    """An overlay of the layers so far, arrays of the shape of one layer.

    Attributes:
        value: float64, minimum, maximum, sum or weighted sum.
        mantissa, power: float64, the product is mantissa * 2^power.
        total: float64, the weight of the layers that are valid.
    """

    value: jax.Array
    mantissa: jax.Array
    power: jax.Array
    total: jax.Array


def _add(running: _Running, layer: int, mu: jax.Array, valid: jax.Array, share: float, how: Overlay) -> _Running:
    """One more layer, counted from 0: mu float32, 0 where it is not valid."""
    value, mantissa, power, total = running
    wide = widen(mu)
    total = total + jnp.where(valid, share if how.kind == "mean" else 1.0, 0.0)
    match how.kind:
        case "and":
            value = jnp.minimum(value, jnp.where(valid, wide, 1.0))
        case "or":
            value = jnp.maximum(value, wide)
        case "mean":
            value = value + rounded(share * wide)
    if how.kind in ("product", "gamma"):
        mantissa = mantissa * jnp.where(valid, wide, 1.0)
        if layer % _LAYERS_A_RAISE == _LAYERS_A_RAISE - 1:
            low = mantissa < _LOW
            mantissa = jnp.where(low, mantissa * _RAISE, mantissa)
            power = power - jnp.where(low, _RAISE_LOG2, 0.0)
    if how.kind in ("sum", "gamma"):
        value = value + rounded(wide * (1.0 - value))
    return _Running(value, mantissa, power, total)


def _finish(running: _Running, how: Overlay) -> jax.Array:
    """float32, NaN where no layer is valid."""
    seen = running.total > 0.0
    # Below 2^-500 a product is 0 in float32.
    product = jnp.where(running.power == 0.0, running.mantissa, 0.0)
    match how.kind:
        case "mean":
            value = running.value / jnp.where(seen, running.total, 1.0)
        case "product":
            value = product
        case "gamma":
            value = _gamma(running, product, how.gamma)
        case _:
            value = running.value
    # Rounded sums of weights can pass 1 by an ulp.
    return narrow(jnp.where(seen, jnp.minimum(value, 1.0), jnp.nan))


def _gamma(running: _Running, product: jax.Array, gamma: float) -> jax.Array:
    """product^(1 - gamma) * sum^gamma; at the ends of gamma, where 0^0 would turn up, the pure overlay."""
    if gamma == 0.0:
        return product
    if gamma == 1.0:
        return running.value
    return exp2((1.0 - gamma) * (log2(running.mantissa) + running.power) + gamma * log2(running.value))
