"""The rivals of memberships and overlays in NumPy: what a good engineer would write, in float32 and in place.

A membership is a list of ufuncs that work in the output itself: nothing is allocated on the way but one scratch array
for the two formulas that need it. The same code runs over whole arrays and over chunks that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mpmjax.ops.membership import Memberships
from mpmjax.types import Membership

from .stacks import Wanted

CHUNK = 65_536
"""Cells a chunk, the best of 4,096 to 1,048,576 when they were compared; a quarter takes up to 1.15 times as long."""

Formula = Callable[[np.ndarray, np.ndarray], object]
"""(x, out), both [n] and out float32: out becomes the membership of x, which may be out itself."""

Way = Sequence[tuple[np.ndarray, Formula]]
"""For each layer its raw values [n] and what makes memberships of them."""

_F = np.float32


def of_arrays(fitted: Sequence[Membership], values: Sequence[np.ndarray]) -> Way:
    """By arithmetic in float32; integers are converted first."""
    return of_formulas([formula(membership) for membership in fitted], values)


def of_formulas(formulas: Sequence[Formula], values: Sequence[np.ndarray]) -> Way:
    """The same with formulas of one's own."""
    return [(x, core if x.dtype == np.float32 else _converted(core)) for x, core in zip(values, formulas, strict=True)]


def of_tables(tables: Sequence[np.ndarray], values: Sequence[np.ndarray]) -> Way:
    """Integer layers by `take` from tables of all answers, indexed by the bits read as unsigned."""
    codes = [array.view(f"u{array.itemsize}") for array in values]
    return [(code, _look_up(table)) for code, table in zip(codes, tables, strict=True)]


def run(way: Way, given: np.ndarray, wanted: Wanted, out: Memberships, chunk: int = CHUNK) -> Memberships:
    """All layers chunk by chunk where `given` bool [L, n]; writes and returns `out`."""
    in_place = wanted.memberships and wanted.order == "layer" and wanted.dtype == "float32"
    scratch = None if in_place else (np.empty((len(way), chunk), np.float32), np.empty((len(way), chunk), bool))
    missing = np.empty(chunk, bool)
    with np.errstate(all="ignore"):  # of NaN cells, which are set to 0 afterwards, and of log(0) and exp(large)
        for start in range(0, given.shape[1], chunk):
            cells = slice(start, min(start + chunk, given.shape[1]))
            part = slice(0, cells.stop - start)
            mu, valid = (out.mu[:, cells], out.valid[:, cells]) if scratch is None else (s[:, part] for s in scratch)
            for layer, (values, compute) in enumerate(way):
                _one_layer(compute, values[cells], given[layer, cells], mu[layer], valid[layer], missing[part])
            if wanted.overlay is not None:
                out.overlay[cells] = _gamma(mu, valid, wanted.overlay.gamma)
            elif scratch is not None:
                np.copyto(out.mu[cells], mu.T, casting="same_kind")
                np.copyto(out.valid[cells], valid.T)
    return out


def _one_layer(
    compute: Formula, x: np.ndarray, given: np.ndarray, mu: np.ndarray, valid: np.ndarray, missing: np.ndarray
) -> None:
    """Membership and mask of some cells of a layer; `missing` is scratch."""
    if x.dtype == np.float32:
        np.isfinite(x, out=valid)
        np.logical_and(valid, given, out=valid)
    else:
        np.copyto(valid, given)
    compute(x, mu)
    np.logical_not(valid, out=missing)
    np.copyto(mu, _F(0), where=missing)


def _gamma(mu: np.ndarray, valid: np.ndarray, gamma: float) -> np.ndarray:
    """Gamma overlay [n] of mu, valid [L, n], as plain products: those of many layers underflow. Changes mu."""
    rest, product, scratch = np.ones((3, mu.shape[1]), np.float32)
    for one, there in zip(mu, valid, strict=True):
        np.subtract(_F(1), one, out=scratch)  # one is 0 where not there
        np.multiply(rest, scratch, out=rest)
        np.copyto(one, _F(1), where=~there)
        np.multiply(product, one, out=product)
    joined = product ** _F(1 - gamma) * (_F(1) - rest) ** _F(gamma)
    joined[~valid.any(axis=0)] = np.nan
    return joined


def _converted(core: Formula) -> Formula:
    def compute(x: np.ndarray, out: np.ndarray) -> None:
        np.copyto(out, x, casting="same_kind")
        core(out, out)

    return compute


def _look_up(table: np.ndarray) -> Formula:
    # Not mode "raise", which checks every index and buffers the output: no code is out of range.
    return lambda codes, out: np.take(table, codes, out=out, mode="clip")


def formula(membership: Membership) -> Formula:
    """The ufuncs of a membership, constants folded; the kinds and transforms that the cases use."""
    p = membership.params
    match membership.kind:
        case "sigmoid":
            scale = 1 / np.log(10.0) if membership.transform == "log" else 1.0
            core = _logistic(-p["slope"] * scale, p["slope"] * p["midpoint"])
        case "linear":
            core = _ramp(p["lo"], p["hi"])
        case "large":
            core = _large(p["midpoint"], p["spread"])
        case "gaussian":
            core = _gaussian(p["midpoint"], p["spread"])
        case "near":
            core = _near(p["midpoint"], p["spread"])
        case "ms_large":
            core = _ms_large(p["a"] * p["mean"], p["b"] * p["sd"])
        case "shoulder":
            core = _shoulder(p["alpha"], p["beta"], p["gamma"])
        case "ecdf":
            return _ecdf(membership)
        case _:
            raise ValueError(f"no NumPy rival for {membership.kind}")
    if membership.transform == "log":
        return _of_logarithm(core, membership.floor)
    return core


def _of_logarithm(core: Formula, floor: float) -> Formula:
    """A formula of the natural logarithm, which NumPy has vectorized, as it has not the decimal one."""
    least = _F(floor)

    def compute(x: np.ndarray, out: np.ndarray) -> None:
        np.maximum(x, least, out=out)
        np.log(out, out=out)
        core(out, out)

    return compute


def _logistic(factor: float, shift: float) -> Formula:
    """1 / (1 + exp(factor x + shift))."""
    a, b = _F(factor), _F(shift)

    def compute(x: np.ndarray, out: np.ndarray) -> None:
        np.multiply(x, a, out=out)
        np.add(out, b, out=out)
        np.exp(out, out=out)
        np.add(out, _F(1), out=out)
        np.reciprocal(out, out=out)

    return compute


def _ramp(lo: float, hi: float, height: float = 1.0) -> Formula:
    """0 at lo, height at hi, straight between."""
    a, b = _F(height / (hi - lo)), _F(-lo * height / (hi - lo))

    def compute(x: np.ndarray, out: np.ndarray) -> None:
        np.multiply(x, a, out=out)
        np.add(out, b, out=out)
        np.maximum(out, _F(0), out=out)
        np.minimum(out, _F(height), out=out)

    return compute


def _large(midpoint: float, spread: float) -> Formula:
    logistic = _logistic(-spread, spread * np.log(midpoint))

    def compute(x: np.ndarray, out: np.ndarray) -> None:
        np.maximum(x, _F(0), out=out)
        np.log(out, out=out)
        logistic(out, out)

    return compute


def _gaussian(midpoint: float, spread: float) -> Formula:
    m, s = _F(midpoint), _F(-spread)

    def compute(x: np.ndarray, out: np.ndarray) -> None:
        np.subtract(x, m, out=out)
        np.multiply(out, out, out=out)
        np.multiply(out, s, out=out)
        np.exp(out, out=out)

    return compute


def _near(midpoint: float, spread: float) -> Formula:
    m, s = _F(midpoint), _F(spread)

    def compute(x: np.ndarray, out: np.ndarray) -> None:
        np.subtract(x, m, out=out)
        np.multiply(out, out, out=out)
        np.multiply(out, s, out=out)
        np.add(out, _F(1), out=out)
        np.reciprocal(out, out=out)

    return compute


def _ms_large(start: float, spread: float) -> Formula:
    """1 - s / (x - start + s) above start, which is d / (d + s)."""
    m, s = _F(start), _F(spread)
    scratch = np.empty(0, np.float32)

    def compute(x: np.ndarray, out: np.ndarray) -> None:
        nonlocal scratch
        if scratch.size < x.size:
            scratch = np.empty(x.size, np.float32)
        below = scratch[: x.size]
        np.subtract(x, m, out=out)
        np.maximum(out, _F(0), out=out)
        np.add(out, s, out=below)
        np.divide(out, below, out=out)

    return compute


def _shoulder(alpha: float, beta: float, gamma: float) -> Formula:
    near, far = _ramp(beta, alpha, 0.5), _ramp(gamma, beta, 0.5)
    scratch = np.empty(0, np.float32)

    def compute(x: np.ndarray, out: np.ndarray) -> None:
        nonlocal scratch
        if scratch.size < x.size:
            scratch = np.empty(x.size, np.float32)
        first = scratch[: x.size]
        near(x, first)
        far(x, out)
        np.add(out, first, out=out)

    return compute


def _ecdf(membership: Membership) -> Formula:
    """np.interp, which knows float64 only and no `out`."""
    if membership.knots_x is None or membership.knots_y is None:
        raise ValueError("an ecdf has knots")
    knots_x, levels = membership.knots_x, 1.0 - membership.knots_y if membership.complement else membership.knots_y

    def compute(x: np.ndarray, out: np.ndarray) -> None:
        out[:] = np.interp(x, knots_x, levels)

    return compute
