"""Memberships of whole tiles on the CPU; the formulas are those of mpmjax.reference.membership, which judges this file.

Layers of 8 and 16 bit integers take a table of all 256 or 65,536 answers, made by the reference and so exact by
construction. Other layers take a kernel that works in float64 on blocks of `_BLOCK` cells: they stay in the L1 cache
between its short loops, each of which LLVM turns into vector instructions. That needs exp2 and log2 written out
(`_exp2`, `_log2`), since a call into libm cannot be vectorized. No fastmath flag is set: every cell sees the same
operations in the same order, so its bits depend on its value alone, not on its place or on the size of the array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from mpmjax.errors import DataError
from mpmjax.reference.membership import membership as reference_membership
from mpmjax.types import Layer, Membership

_TABLE_DTYPES = ("uint8", "int8", "uint16", "int16")
_KERNEL_DTYPES = ("int32", "uint32", "int64", "float32", "float64")
DTYPES = _TABLE_DTYPES + _KERNEL_DTYPES
"""Of the files that can be evidence."""

_TRANSFORMS = {"none": 0, "log": 1, "sqrt": 2}
_HEDGES = {"none": 0, "very": 1, "somewhat": 2}
_LINEAR, _POWER, _LARGE, _GAUSSIAN, _NEAR, _MS_LARGE, _MS_SMALL, _SIGMOID, _SHOULDER, _CATEGORY, _ECDF = range(11)

_BLOCK = 512
_LOG2_E = 1.4426950408889634
_LOG10_2 = 0.3010299956639812


@dataclass(frozen=True)
class LayerPlan:
    """How one layer becomes a membership.

    Attributes:
        name: of the layer, for messages.
        dtype: of the raw values.
        table: float32 [256] or [65536], indexed by the raw value's bits read as unsigned, NaN where missing; None for
            the dtypes of the kernel.
        kind, transform, complement, hedge: int codes of the kernel.
        numbers: float64 [7]: scale, offset, floor of the logarithm, and four parameters of the formula.
        knots_x, knots_y, slopes: float64 tables of category and ecdf, empty otherwise.
    """

    name: str
    dtype: np.dtype
    table: np.ndarray | None
    kind: int
    transform: int
    complement: int
    hedge: int
    numbers: np.ndarray
    knots_x: np.ndarray
    knots_y: np.ndarray
    slopes: np.ndarray


@dataclass(frozen=True)
class MembershipPlan:
    """What `membership` needs of L layers, computed once: numbers and tables, no science left."""

    layers: tuple[LayerPlan, ...]


def plan_memberships(layers: Sequence[Layer], memberships: Sequence[Membership]) -> MembershipPlan:
    """Prepare the memberships of L layers; a few milliseconds for each table of 65,536 entries.

    Raises:
        DataError: a dtype no membership is defined for, or parameters that the reference refuses; names the layer.
        ValueError: not as many memberships as layers.
    """
    return MembershipPlan(tuple(_plan(layer, fitted) for layer, fitted in zip(layers, memberships, strict=True)))


def membership(values: Sequence[np.ndarray], valid: np.ndarray, plan: MembershipPlan) -> tuple[np.ndarray, np.ndarray]:
    """Memberships of L layers, cell by cell.

    Args:
        values: L arrays of one shape [...], raw as in their files, each in the dtype its layer was planned for.
        valid: bool [L, ...], False where a layer is missing.
        plan: from `plan_memberships`.

    Returns:
        mu: float32 [L, ...] in [0, 1], 0 where not valid: look at `valid` first.
        valid: bool [L, ...], the one given, less NaN, infinities and classes that a category does not list.

    Raises:
        DataError: an array whose dtype is not the planned one; names the layer.
        ValueError: numbers of layers or shapes that differ.
    """
    if not len(values) == len(valid) == len(plan.layers):
        raise ValueError(f"planned {len(plan.layers)} layers, got {len(values)} of values and {len(valid)} of valid")
    if valid.dtype != np.bool_:
        raise ValueError(f"valid must be bool, got {valid.dtype}")
    mu = np.empty(valid.shape, np.float32)
    ok = np.empty(valid.shape, np.bool_)
    for index, layer in enumerate(plan.layers):
        raw = np.ascontiguousarray(values[index])
        if raw.dtype != layer.dtype:
            raise DataError(
                f"Layer {layer.name!r} holds {raw.dtype} where {layer.dtype} was planned for. If its file was replaced "
                "during the run, start again."
            )
        if values[index].shape != valid.shape[1:]:
            raise ValueError(f"layer {layer.name!r} has shape {values[index].shape}, its mask {valid.shape[1:]}")
        given = np.ascontiguousarray(valid[index]).reshape(-1).view(np.uint8)
        out = mu[index].reshape(-1), ok[index].reshape(-1).view(np.uint8)
        if layer.table is not None:
            _lookup(raw.reshape(-1).view(f"u{raw.itemsize}"), given, layer.table, *out)
            continue
        codes = layer.kind, layer.transform, layer.complement, layer.hedge
        _evaluate(raw.reshape(-1), given, *codes, layer.numbers, layer.knots_x, layer.knots_y, layer.slopes, *out)
    return mu, ok


def _plan(layer: Layer, fitted: Membership) -> LayerPlan:
    if layer.dtype not in DTYPES:
        raise DataError(
            f"Layer {layer.name!r} ({layer.path}, band {layer.band}) holds {layer.dtype}, for which no membership is "
            f"computed; allowed: {', '.join(DTYPES)}. Convert it, for example with "
            "gdal_translate -ot Float32."
        )
    dtype = np.dtype(layer.dtype)
    try:  # on one value: the reference is the one place that knows which parameters are sound
        _reference(np.zeros(1), fitted)
    except ValueError as error:
        raise DataError(f"Layer {layer.name!r}: its membership cannot be computed: {error}.") from error
    table = None
    if layer.dtype in _TABLE_DTYPES:
        codes = np.arange(256**dtype.itemsize, dtype=f"u{dtype.itemsize}").view(dtype)
        table = _reference(codes.astype(np.float64) * layer.scale + layer.offset, fitted).astype(np.float32)
    kind, parameters = _parameters(fitted)
    knots_x, knots_y, slopes = _knots(fitted)
    return LayerPlan(
        name=layer.name,
        dtype=dtype,
        table=table,
        kind=kind,
        transform=_TRANSFORMS[fitted.transform],
        complement=int(fitted.complement),
        hedge=_HEDGES[fitted.hedge],
        numbers=np.array([layer.scale, layer.offset, fitted.floor, *parameters], np.float64),
        knots_x=knots_x,
        knots_y=knots_y,
        slopes=slopes,
    )


def _reference(x: np.ndarray, fitted: Membership) -> np.ndarray:
    return reference_membership(
        x,
        fitted.kind,
        fitted.params,
        transform=fitted.transform,
        floor=fitted.floor,
        complement=fitted.complement,
        hedge=fitted.hedge,
        knots_x=fitted.knots_x,
        knots_y=fitted.knots_y,
    )


def _parameters(fitted: Membership) -> tuple[int, tuple[float, float, float, float]]:
    """The kernel's code of a membership and its four parameters, with constant factors folded in."""
    p = {name: float(number) for name, number in fitted.params.items()}
    match fitted.kind:
        case "linear":
            return _LINEAR, (p["lo"], p["hi"], 0.0, 0.0)
        case "power":
            return _POWER, (p["lo"], p["hi"], p["exponent"], 0.0)
        case "large":
            return _LARGE, (p["midpoint"], -p["spread"], 0.0, 0.0)
        case "small":
            return _LARGE, (p["midpoint"], p["spread"], 0.0, 0.0)
        case "gaussian":
            return _GAUSSIAN, (p["midpoint"], -p["spread"] * _LOG2_E, 0.0, 0.0)
        case "near":
            return _NEAR, (p["midpoint"], p["spread"], 0.0, 0.0)
        case "ms_large":
            return _MS_LARGE, (p["a"] * p["mean"], p["b"] * p["sd"], 0.0, 0.0)
        case "ms_small":
            return _MS_SMALL, (p["a"] * p["mean"], p["b"] * p["sd"], 1.0 - p.get("esri_compat", 0.0), 0.0)
        case "sigmoid":
            return _SIGMOID, (p["midpoint"], -p["slope"] * _LOG2_E, 0.0, 0.0)
        case "shoulder":
            return _SHOULDER, (p["alpha"], p["beta"], p["gamma"], 0.0)
        case "category":
            return _CATEGORY, (p.get("default", np.nan), 0.0, 0.0, 0.0)
        case "ecdf":
            # After a logarithm, a cell may sit an ulp below a quantile that it equals: the sample's logarithms are
            # NumPy's, the cells' are `_log2`'s. On a quantile that many cells share (a detection limit) an ulp is the
            # whole step, so the search, not the interpolation, is let 2^-46 of slack.
            return _ECDF, (2.0**-46 if fitted.transform == "log" else 0.0, 0.0, 0.0, 0.0)
    raise ValueError(f"unknown membership {fitted.kind!r}")


def _knots(fitted: Membership) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if fitted.kind not in ("category", "ecdf"):
        return np.empty(0), np.empty(0), np.empty(0)
    x, y = np.array(fitted.knots_x, np.float64), np.array(fitted.knots_y, np.float64)
    if fitted.kind == "category":
        order = np.argsort(x)
        return x[order], y[order], np.empty(0)
    step = np.diff(x)
    # Between equal knots nothing is interpolated; past the last one the slope of 0 keeps its level.
    slopes = np.divide(np.diff(y), step, out=np.zeros_like(step), where=step > 0.0)
    return x, y, np.append(slopes, 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _lookup(raw, valid, table, mu, ok):
    """mu and ok of raw values (uint8 or uint16 [n]) by table."""
    for i in range(raw.size):
        answer = table[raw[i]]
        good = (valid[i] != 0) & (answer == answer)
        mu[i] = answer if good else np.float32(0.0)
        ok[i] = good


@njit(nogil=True, cache=True, error_model="numpy")
def _evaluate(raw, valid, kind, transform, complement, hedge, numbers, knots_x, knots_y, slopes, mu, ok):
    """mu (float32 [n]) and ok (uint8 [n]) of raw values (any dtype [n]), block by block."""
    block, at = np.empty(_BLOCK), np.empty(_BLOCK, np.uint64)
    scale, offset, floor = numbers[0], numbers[1], numbers[2]
    for start in range(0, raw.size, _BLOCK):
        stop = min(start + _BLOCK, raw.size)
        # Indexed from 0 in slices: with indices start + i LLVM leaves both outer loops scalar, 10 times as slow.
        x, r, v, m, o = block[: stop - start], raw[start:stop], valid[start:stop], mu[start:stop], ok[start:stop]
        for i in range(x.size):
            x[i] = r[i] * scale + offset
            o[i] = (v[i] != 0) & (x[i] - x[i] == 0.0)  # inf - inf and NaN - NaN are NaN
        _transform(x, transform, floor)
        _formula(x, kind, numbers[3:], knots_x, knots_y, slopes, at)
        _finish(x, complement, hedge)
        for i in range(x.size):
            good = (o[i] != 0) & (x[i] == x[i])
            m[i] = np.float32(x[i] if good else 0.0)
            o[i] = good


@njit(nogil=True, cache=True, error_model="numpy")
def _transform(x, transform, floor):
    if transform == 1:
        for i in range(x.size):
            x[i] = _log2(x[i] if x[i] > floor else floor) * _LOG10_2
    elif transform == 2:
        for i in range(x.size):
            x[i] = np.sqrt(x[i] if x[i] > 0.0 else 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _finish(x, complement, hedge):
    sign, base = (-1.0, 1.0) if complement else (1.0, 0.0)
    for i in range(x.size):
        mu = x[i]
        mu = 0.0 if mu <= 0.0 else mu
        mu = 1.0 if mu > 1.0 else mu
        x[i] = base + sign * mu
    if hedge == 1:
        for i in range(x.size):
            x[i] *= x[i]
    elif hedge == 2:
        for i in range(x.size):
            x[i] = np.sqrt(x[i])


@njit(nogil=True, cache=True, error_model="numpy")
def _formula(x, kind, p, knots_x, knots_y, slopes, at):  # noqa: C901 -- one loop a kind, so that each is vectorized alone
    """Transformed values to memberships, in place. Missing cells come as NaN or infinity and may leave as anything."""
    p0, p1, p2 = p[0], p[1], p[2]
    if kind in (_LINEAR, _POWER):
        lowest, highest = min(p0, p1), max(p0, p1)
        for i in range(x.size):
            value = x[i] if x[i] > lowest else lowest
            value = value if value < highest else highest
            x[i] = (value - p0) / (p1 - p0)
        if kind == _POWER:
            for i in range(x.size):
                x[i] = _exp2(p2 * _log2(x[i]))
    elif kind == _LARGE:
        for i in range(x.size):
            x[i] = 1.0 / (1.0 + _exp2(p1 * _log2(x[i] / p0)))
    elif kind == _GAUSSIAN:
        for i in range(x.size):
            x[i] = _exp2(p1 * ((x[i] - p0) * (x[i] - p0)))
    elif kind == _NEAR:
        for i in range(x.size):
            x[i] = 1.0 / (1.0 + p1 * ((x[i] - p0) * (x[i] - p0)))
    elif kind == _MS_LARGE:
        for i in range(x.size):
            x[i] = 1.0 - p1 / (x[i] - p0 + p1) if x[i] > p0 else 0.0
    elif kind == _MS_SMALL:
        for i in range(x.size):
            x[i] = p1 / (x[i] - p0 + p1) if x[i] > p0 else p2
    elif kind == _SIGMOID:
        for i in range(x.size):
            x[i] = 1.0 / (1.0 + _exp2(p1 * (x[i] - p0)))
    elif kind == _SHOULDER:
        for i in range(x.size):
            near = 1.0 - 0.5 * (x[i] - p0) / (p1 - p0) if x[i] > p0 else 1.0
            far = 0.5 * (p2 - x[i]) / (p2 - p1) if x[i] < p2 else 0.0
            x[i] = near if x[i] < p1 else (far if x[i] > p1 else 0.5)
    elif kind == _CATEGORY:
        _search(knots_x, x, 0.0, at)
        for i in range(x.size):
            x[i] = knots_y[at[i]] if knots_x[at[i]] == x[i] else p0
    elif kind == _ECDF:
        _search(knots_x, x, p0, at)
        for i in range(x.size):
            between = slopes[at[i]] * (x[i] - knots_x[at[i]]) + knots_y[at[i]]
            x[i] = between if x[i] + p0 * abs(x[i]) >= knots_x[0] else knots_y[0]


@njit(nogil=True, cache=True, error_model="numpy")
def _search(knots, x, slack, at):
    """at (uint64): for every x, the last of the ascending knots that is <= x + slack |x|; 0 where all are above.

    Every cell takes the same halving steps, and the cells of a block take each step together: without a branch to
    mispredict this is 10 times as fast as one search after the other.
    """
    for i in range(x.size):
        at[i] = np.uint64(0)
    left = knots.size
    while left > 1:
        half = left >> 1
        for i in range(x.size):
            middle = at[i] + np.uint64(half)
            at[i] = middle if knots[middle] <= x[i] + slack * abs(x[i]) else at[i]
        left -= half


@njit(nogil=True, cache=True, error_model="numpy")
def _exp2(t):
    """2^t of a float64, relative error 1e-14; t is held to [-1022, 1023], and NaN gives 2^-1022."""
    t = t if t > -1022.0 else -1022.0
    t = t if t < 1023.0 else 1023.0
    # Adding 1.5 * 2^52 rounds t to the integer n and leaves n in the low bits of the sum.
    shifted = t + 6755399441055744.0
    r = (t - (shifted - 6755399441055744.0)) * 0.6931471805599453
    # Taylor series of e^r, |r| <= ln(2) / 2: the first term left out is below 7e-15.
    series = 1.0 / 39916800.0
    series = series * r + 1.0 / 3628800.0
    series = series * r + 1.0 / 362880.0
    series = series * r + 1.0 / 40320.0
    series = series * r + 1.0 / 5040.0
    series = series * r + 1.0 / 720.0
    series = series * r + 1.0 / 120.0
    series = series * r + 1.0 / 24.0
    series = series * r + 1.0 / 6.0
    series = series * r + 0.5
    series = series * r + 1.0
    series = series * r + 1.0
    return series * _float((_bits(shifted) << np.int64(52)) + np.int64(1023 << 52))


@njit(nogil=True, cache=True, error_model="numpy")
def _log2(x):
    """log2 of a float64, absolute or relative error 1e-15, whichever is more; -inf for x <= 0, anything for NaN."""
    tiny = x < 2.2250738585072014e-308
    bits = _bits(x * 18014398509481984.0 if tiny else x)  # 2^54 lifts subnormals
    # Counting the exponent from sqrt(1/2) leaves a mantissa in [sqrt(1/2), sqrt(2)).
    bits = bits + np.int64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    mantissa = _float((bits & np.int64(0x000FFFFFFFFFFFFF)) + np.int64(0x3FE6A09E667F3BCD))
    # The exponent in the low bits of 2^52, less 2^52: an integer as a float without a conversion instruction.
    raised = _float((bits >> np.int64(52)) | np.int64(0x4330000000000000))
    exponent = raised - 4503599627370496.0 - (1077.0 if tiny else 1023.0)
    # ln(m) = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 0.1716: the first term left out is below 1e-15 of s.
    s = (mantissa - 1.0) / (mantissa + 1.0)
    q = s * s
    series = 1.0 / 17.0
    series = series * q + 1.0 / 15.0
    series = series * q + 1.0 / 13.0
    series = series * q + 1.0 / 11.0
    series = series * q + 1.0 / 9.0
    series = series * q + 1.0 / 7.0
    series = series * q + 1.0 / 5.0
    series = series * q + 1.0 / 3.0
    series = series * q + 1.0
    return -np.inf if x <= 0.0 else exponent + s * series * 2.8853900817779268


@njit(nogil=True, cache=True, error_model="numpy")
def _bits(x):
    return np.float64(x).view(np.int64)


@njit(nogil=True, cache=True, error_model="numpy")
def _float(bits):
    return np.int64(bits).view(np.float64)
