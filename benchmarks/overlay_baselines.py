"""The rivals of overlays of memberships that are there: the gamma overlay with 0.9, the mean and the minimum.

All compute in float32: NumPy, jax.jit and torch chunk by chunk, numexpr over whole arrays in blocks of its own; GDAL's
calculator reads and writes files. gamma is made of plain products: those of many layers underflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from . import gdal_baselines, xarray_baselines
from .baselines import EIS_TOOLKIT, Call, with_library
from .fuzzy_baselines import CHUNK
from .gate import Missing

GAMMA = 0.9
KINDS = ("gamma", "mean", "and")

_F = np.float32


def rivals(mu: np.ndarray, valid: np.ndarray, kind: str, side: int) -> Mapping[str, Call | Missing]:
    """All rivals of one overlay of mu float32, valid [L, side * side]."""
    by_numpy: dict[str, Call] = {
        "gamma": lambda: numpy_gamma(mu, valid, GAMMA),
        "mean": lambda: numpy_mean(mu, valid),
        "and": lambda: numpy_min(mu, valid),
    }
    return {
        "NumPy float32, chunked": by_numpy[kind],
        "numexpr float32, whole": numexpr_overlay(mu, valid, kind),
        "jax.jit float32, chunks": jax_overlay(mu, valid, kind),
        "torch float32, chunks": torch_overlay(mu, valid, kind),
        "xarray-spatial": xarray_baselines.overlay(mu, valid, kind, side),
        "gdal_calc": gdal_baselines.command_overlay(mu, valid, kind, side),
        "EIS Toolkit": EIS_TOOLKIT,
    }


def numpy_gamma(mu: np.ndarray, valid: np.ndarray, gamma: float) -> np.ndarray:
    """Gamma overlay [n] of mu, valid [L, n] in float32, chunk by chunk, as plain products: those of many underflow."""
    out = np.empty(mu.shape[1], np.float32)
    for start in range(0, mu.shape[1], CHUNK):
        cells = slice(start, start + CHUNK)
        present = valid[:, cells]
        product = np.where(present, mu[:, cells], np.float32(1)).prod(axis=0)
        total = 1 - np.where(present, 1 - mu[:, cells], np.float32(1)).prod(axis=0)
        joined = product ** np.float32(1 - gamma) * total ** np.float32(gamma)
        out[cells] = np.where(present.any(axis=0), joined, np.float32(np.nan))
    return out


def numpy_mean(mu: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mean overlay [n] of mu, valid [L, n] in float32, chunk by chunk."""
    out = np.empty(mu.shape[1], np.float32)
    for start in range(0, mu.shape[1], CHUNK):
        cells = slice(start, start + CHUNK)
        present = valid[:, cells]
        count = present.sum(axis=0, dtype=np.float32)
        total = np.where(present, mu[:, cells], np.float32(0)).sum(axis=0)
        out[cells] = np.where(count > 0, total / np.maximum(count, 1), np.float32(np.nan))
    return out


def numpy_min(mu: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """And overlay [n] of mu, valid [L, n] in float32, chunk by chunk."""
    out = np.empty(mu.shape[1], np.float32)
    for start in range(0, mu.shape[1], CHUNK):
        cells = slice(start, start + CHUNK)
        least = np.where(valid[:, cells], mu[:, cells], np.float32(np.inf)).min(axis=0)
        out[cells] = np.where(np.isinf(least), np.float32(np.nan), least)
    return out


def numexpr_overlay(mu: np.ndarray, valid: np.ndarray, kind: str) -> Call | Missing:
    """One expression of all layers and their masks, on one thread; constants are float32, or all would be float64."""
    layers = range(len(mu))
    names: dict[str, Any] = {f"mu{i}": mu[i] for i in layers} | {f"valid{i}": valid[i] for i in layers}
    names |= {"zero": _F(0), "one": _F(1), "nan": _F(np.nan), "inf": _F(np.inf)}
    names |= {"gamma": _F(GAMMA), "rest": _F(1 - GAMMA)}

    def joined(sign: str, term: str) -> str:
        return sign.join(term.format(i=i) for i in layers)

    seen = joined(" | ", "valid{i}")
    match kind:
        case "gamma":
            product = joined(" * ", "where(valid{i}, mu{i}, one)")
            total = f"one - {joined(' * ', 'where(valid{i}, one - mu{i}, one)')}"
            text = f"where({seen}, ({product}) ** rest * ({total}) ** gamma, nan)"
        case "mean":
            total, count = joined(" + ", "where(valid{i}, mu{i}, zero)"), joined(" + ", "where(valid{i}, one, zero)")
            text = f"where({seen}, ({total}) / ({count}), nan)"
        case _:
            least = "inf"
            for i in layers:
                least = f"minimum({least}, where(valid{i}, mu{i}, inf))"
            text = f"where({seen}, {least}, nan)"

    def build(numexpr: ModuleType) -> Call:
        numexpr.set_num_threads(1)
        return lambda: numexpr.evaluate(text, names, {})

    return with_library("numexpr", "numexpr", build)


def jax_overlay(mu: np.ndarray, valid: np.ndarray, kind: str) -> Call:
    """jax.jit over chunks, cut from the input before the clock starts."""
    import jax
    import jax.numpy as jnp

    return _by_chunks(jax.jit(_program(jnp, kind)), mu, valid, jnp.asarray)


def torch_overlay(mu: np.ndarray, valid: np.ndarray, kind: str) -> Call | Missing:
    """Eager torch over chunks, on one thread."""

    def build(torch: ModuleType) -> Call:
        torch.set_num_threads(1)
        call = _by_chunks(_program(torch, kind), mu, valid, torch.from_numpy)

        def without_gradients() -> np.ndarray:
            with torch.inference_mode():
                return call()

        return without_gradients

    return with_library("torch", "torch", build)


Program = Callable[[Sequence[Any], Sequence[Any]], Any]
"""(L memberships [n], L masks bool [n]) -> their overlay [n]."""


def _program(xp: Any, kind: str) -> Program:
    """The overlay by `xp`, jax.numpy or torch, layer by layer."""
    nan = float("nan")

    def seen_by(valid: Sequence[Any]) -> Any:
        seen = valid[0]
        for there in valid[1:]:
            seen = seen | there
        return seen

    def gamma(mu: Sequence[Any], valid: Sequence[Any]) -> Any:
        product, rest = 1.0, 1.0
        for one, there in zip(mu, valid, strict=True):
            product = product * xp.where(there, one, 1.0)
            rest = rest * xp.where(there, 1.0 - one, 1.0)
        return xp.where(seen_by(valid), product ** (1.0 - GAMMA) * (1.0 - rest) ** GAMMA, nan)

    def mean(mu: Sequence[Any], valid: Sequence[Any]) -> Any:
        total, count = 0.0, 0.0
        for one, there in zip(mu, valid, strict=True):
            total = total + xp.where(there, one, 0.0)
            count = count + xp.asarray(there, dtype=xp.float32)
        return total / count  # 0 / 0 where nothing is seen

    def least(mu: Sequence[Any], valid: Sequence[Any]) -> Any:
        found = xp.where(valid[0], mu[0], float("inf"))
        for one, there in zip(mu[1:], valid[1:], strict=True):
            found = xp.minimum(found, xp.where(there, one, float("inf")))
        return xp.where(seen_by(valid), found, nan)

    return {"gamma": gamma, "mean": mean, "and": least}[kind]


def _by_chunks(program: Program, mu: np.ndarray, valid: np.ndarray, constant: Callable[[np.ndarray], Any]) -> Call:
    starts = range(0, mu.shape[1], CHUNK)

    @cache
    def parts() -> list[tuple[list[Any], list[Any]]]:
        cut = [slice(start, start + CHUNK) for start in starts]
        return [([constant(a[cells].copy()) for a in mu], [constant(a[cells].copy()) for a in valid]) for cells in cut]

    def call() -> np.ndarray:
        out = np.empty(mu.shape[1], np.float32)
        for start, (values, given) in zip(starts, parts(), strict=True):
            out[start : start + CHUNK] = np.asarray(program(values, given))
        return out

    return call
