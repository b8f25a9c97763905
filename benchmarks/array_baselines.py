"""The rivals of memberships and overlays by libraries that compile expressions: jax.jit, and torch, on any device.

Plain float32 formulas, written once for both libraries: they share the names used here. Input is where the library
wants it before the clock starts, and the output has to be ready before it stops. JAX cannot write into arrays that are
there; on the CPU, where fresh pages cost more than the arithmetic, results of a chunk are copied from the cache to
their place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from mpmjax.ops.membership import Memberships
from mpmjax.types import Membership

from .stacks import Stack, Wanted

CHUNK = 65_536
"""Cells a chunk on the CPU, for both libraries the best of 4,096 to 1,048,576 when they were compared."""

Program = Callable[[Sequence[Any], Sequence[Any]], tuple[Any, ...]]
"""(L arrays [n], L masks bool [n]) -> what it computes, a tuple of arrays."""

Constant = Callable[[np.ndarray], Any]
"""A NumPy array as one of the library's, on its device."""


def program(xp: Any, constant: Constant, fitted: Sequence[Membership], wanted: Wanted) -> Program:
    """What is wanted, by the library `xp` (jax.numpy or torch)."""
    if wanted.overlay is not None:
        return _gamma_overlay(xp, constant, fitted, wanted.overlay.gamma)
    return _memberships(xp, constant, fitted, wanted.order, wanted.dtype)


def _memberships(xp: Any, constant: Constant, fitted: Sequence[Membership], order: str, dtype: str) -> Program:
    """mu `dtype` and valid bool, [L, n] or [n, L]."""
    axis = 0 if order == "layer" else 1
    layers = [_layer(xp, constant, membership) for membership in fitted]

    def compute(values: Sequence[Any], given: Sequence[Any]) -> tuple[Any, ...]:
        pairs = [layer(x, there) for layer, x, there in zip(layers, values, given, strict=True)]
        mu = [xp.asarray(one, dtype=getattr(xp, dtype)) for one, _ in pairs]
        return xp.stack(mu, axis), xp.stack([valid for _, valid in pairs], axis)

    return compute


def _gamma_overlay(xp: Any, constant: Constant, fitted: Sequence[Membership], gamma: float) -> Program:
    """The gamma overlay float32 [n] alone, from plain products: those of many layers underflow."""
    layers = [_layer(xp, constant, membership) for membership in fitted]

    def compute(values: Sequence[Any], given: Sequence[Any]) -> tuple[Any, ...]:
        pairs = [layer(x, there) for layer, x, there in zip(layers, values, given, strict=True)]
        product, rest, seen = 1.0, 1.0, pairs[0][1]
        for mu, valid in pairs:
            product = product * xp.where(valid, mu, 1.0)
            rest = rest * (1.0 - mu)  # mu is 0 where not valid
            seen = seen | valid
        return (xp.where(seen, product ** (1.0 - gamma) * (1.0 - rest) ** gamma, float("nan")),)

    return compute


def _layer(xp: Any, constant: Constant, membership: Membership) -> Callable[[Any, Any], tuple[Any, Any]]:
    core = _formula(xp, constant, membership)

    def compute(raw: Any, given: Any) -> tuple[Any, Any]:
        x = xp.asarray(raw, dtype=xp.float32)
        valid = given & xp.isfinite(x) if raw.dtype == xp.float32 else given
        if membership.transform == "log":
            x = xp.log10(xp.clip(x, membership.floor))
        mu = core(x)
        return xp.where(valid, 1.0 - mu if membership.complement else mu, 0.0), valid

    return compute


def _formula(xp: Any, constant: Constant, membership: Membership) -> Callable[[Any], Any]:
    p = {name: float(number) for name, number in membership.params.items()}
    match membership.kind:
        case "sigmoid":
            return lambda x: 1.0 / (1.0 + xp.exp(-p["slope"] * (x - p["midpoint"])))
        case "linear":
            return lambda x: xp.clip((x - p["lo"]) / (p["hi"] - p["lo"]), 0.0, 1.0)
        case "large":
            middle = float(np.log(p["midpoint"]))
            return lambda x: 1.0 / (1.0 + xp.exp(-p["spread"] * (xp.log(xp.clip(x, 0.0)) - middle)))
        case "gaussian":
            return lambda x: xp.exp(-p["spread"] * (x - p["midpoint"]) ** 2)
        case "near":
            return lambda x: 1.0 / (1.0 + p["spread"] * (x - p["midpoint"]) ** 2)
        case "ms_large":
            start, spread = p["a"] * p["mean"], p["b"] * p["sd"]
            # 1 - s / (d + s) for d = x - start, which is d / (d + s).
            return lambda x: xp.clip(x - start, 0.0) / (xp.clip(x - start, 0.0) + spread)
        case "shoulder":
            alpha, beta, gamma = p["alpha"], p["beta"], p["gamma"]
            return lambda x: (
                0.5 * (xp.clip((beta - x) / (beta - alpha), 0.0, 1.0) + xp.clip((gamma - x) / (gamma - beta), 0.0, 1.0))
            )
        case "ecdf":
            return _ecdf(xp, constant, membership)
    raise ValueError(f"no rival for {membership.kind}")


def _ecdf(xp: Any, constant: Constant, membership: Membership) -> Callable[[Any], Any]:
    if membership.knots_x is None or membership.knots_y is None:
        raise ValueError("an ecdf has knots")
    places, levels = membership.knots_x, membership.knots_y
    steps = np.diff(places)
    slopes = np.append(np.divide(np.diff(levels), steps, out=np.zeros_like(steps), where=steps > 0), 0.0)
    knots_x, knots_y, rises = (constant(part.astype(np.float32)) for part in (places, levels, slopes))
    first, last = float(places[0]), float(places[-1])

    def compute(x: Any) -> Any:
        x = xp.clip(x, first, last)
        at = xp.clip(xp.searchsorted(knots_x, x, side="right") - 1, 0, places.size - 1)
        return knots_y[at] + rises[at] * (x - knots_x[at])

    return compute


def filled(wanted: Wanted, results: tuple[Any, ...]) -> Memberships:
    """What a program computed, under the names of the op's results."""
    if wanted.overlay is not None:
        return Memberships(None, None, results[0])
    mu, valid = results
    return Memberships(mu, valid, None)


def by_chunks(
    program: Program, stack: Stack, wanted: Wanted, constant: Constant, out: Memberships, chunk: int = CHUNK
) -> Callable[[], Memberships]:
    """A call that runs a program over all cells on the CPU into `out`; the first one cuts copies of the input."""
    starts = range(0, stack.cells, chunk)

    @cache
    def parts() -> list[tuple[list[Any], list[Any]]]:
        cut = [slice(start, start + chunk) for start in starts]
        return [
            ([constant(x[cells].copy()) for x in stack.values], [constant(x[cells].copy()) for x in stack.given])
            for cells in cut
        ]

    targets = [out.overlay] if wanted.overlay is not None else [out.mu, out.valid]
    cells_last = wanted.order == "layer"

    def call() -> Memberships:
        for start, (values, given) in zip(starts, parts(), strict=True):
            for target, result in zip(targets, program(values, given), strict=True):
                place = target[..., start : start + chunk] if cells_last else target[start : start + chunk]
                np.copyto(place, np.asarray(result))
        return out

    return call
