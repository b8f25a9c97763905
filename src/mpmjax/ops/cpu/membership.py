"""Memberships of a stack of layers on the CPU, in one pass; the formulas are those of mpmjax.reference.membership.

A layer goes block by block, whose values stay in the L1 cache between short loops over them; LLVM turns each loop into
vector instructions. Layers of 8 and 16 bits are looked up in tables made by the reference, the others are computed in
float64. An overlay takes in a layer's block while it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from mpmjax.ops._compile import compiled
from mpmjax.ops.cpu.formulas import finish, formula, of_knots, transform
from mpmjax.ops.cpu.overlay import add, begin
from mpmjax.ops.cpu.overlay import finish as finish_overlay
from mpmjax.ops.plan import DTYPES, MembershipPlan, Overlay

BLOCK = 2048
"""Cells. With fewer, the loops are too short for what each costs to start; with more, they spill from the L1 cache."""

STRETCH = 16384
"""Cells whose overlays grow side by side, in half a MiB. Without an overlay a layer is done to its end before the next
is begun, unless cells are written one by one: going on in a layer is up to half as fast again as changing it."""

_INT32, _UINT32, _INT64, _FLOAT32, _FLOAT64 = (
    DTYPES.index(name) for name in ("int32", "uint32", "int64", "float32", "float64")
)
_NOTHING = np.empty(0, np.float32), np.empty(0, np.uint16), np.empty(0, np.uint8), np.empty(0, np.float32)


def membership(
    values: Sequence[np.ndarray],
    plan: MembershipPlan,
    given: Sequence[np.ndarray | None],
    *,
    cell_major: bool,
    mu: np.ndarray | None,
    valid: np.ndarray | None,
    overlay: Overlay | None,
    joined: np.ndarray | None,
) -> None:
    """Memberships of L layers of n cells, written into arrays that are there.

    Args:
        values: L contiguous arrays of n values in the planned dtypes.
        given: a layer's mask, contiguous bool of n, False where it is missing; None where it has none.
        cell_major: whether mu and valid are [n, L] or [L, n].
        mu: contiguous float32 or float16, or None: memberships are not wanted, and valid is None too.
        valid: contiguous bool.
        overlay, joined: what joins the layers, and float32 [n]; or None both.
    """
    floats, halves, ok, out = _NOTHING
    if mu is not None and valid is not None:
        flat = mu.reshape(-1)
        floats, halves = (flat, halves) if mu.dtype == np.float32 else (floats, flat.view(np.uint16))
        ok = valid.reshape(-1).view(np.uint8)
    if joined is not None:
        out = joined.reshape(-1)
    layers = len(values)
    all_layers(
        np.array([array.ctypes.data for array in values], np.int64),
        np.array([0 if mask is None else mask.ctypes.data for mask in given], np.int64),
        values[0].size,
        plan.records,
        plan.tables,
        plan.knots,
        *plan.guides,
        cell_major,
        floats,
        halves,
        ok,
        -1 if overlay is None else overlay.code,
        0.0 if overlay is None else float(overlay.gamma),
        np.ones(layers) if overlay is None else overlay.shares(layers),
        out,
    )


def _to_pointer(typing_context: Any, address: Any) -> Any:
    return types.voidptr(types.int64), lambda context, builder, signature, parts: builder.inttoptr(
        parts[0], context.get_value_type(types.voidptr)
    )


_pointer: Any = intrinsic(_to_pointer)
"""_pointer(address): an address, int64, as an untyped pointer."""


@compiled
def all_layers(
    raw,
    given,
    cells,
    records,
    tables,
    knots,
    inverse,
    reach,
    first_bin,
    guides,
    cell_major,
    floats,
    halves,
    ok,
    kind,
    gamma,
    weights,
    joined,
):
    """All layers of one stretch of cells after the other. raw, given: addresses; floats, halves, ok: flat or empty."""
    layers, wanted = raw.size, ok.size > 0
    direct = wanted and not cell_major
    stretch = max(cells, 1) if kind < 0 and direct else STRETCH
    block, at, all_there = np.empty(BLOCK), np.empty(BLOCK, np.uint64), np.ones(BLOCK, np.uint8)
    mu, good = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.uint8)
    room = STRETCH if kind >= 0 else 0
    value, mantissa, power, total = np.empty(room), np.empty(room), np.empty(room), np.empty(room)
    for begin_at in range(0, cells, stretch):
        end = min(begin_at + stretch, cells)
        if kind >= 0:
            begin(kind, value, mantissa, power, total)
        for layer in range(layers):
            record = records[layer]
            n, k = np.int64(record.knot_count), record.knots
            x_y = knots[k : k + n], knots[k + n : k + 2 * n], knots[k + 2 * n : k + 3 * n]
            for start in range(begin_at, end, BLOCK):
                size = min(BLOCK, end - start)
                first = layer * cells + start
                m = floats[first : first + size] if direct and floats.size > 0 else mu[:size]
                o = ok[first : first + size] if direct else good[:size]
                v = all_there[:size] if given[layer] == 0 else carray(_pointer(given[layer] + start), size, np.uint8)
                if record.table >= 0:
                    _look_up(raw[layer], start, record.dtype, tables[record.table :], v, m, o)
                else:
                    x = block[:size]
                    _load(raw[layer], start, record, v, x, o)
                    transform(x, record.transform, record.floor)
                    if n > 0:
                        guide = guides[first_bin[layer] :]
                        of_knots(x, record.kind, record.p0, *x_y, inverse[layer], reach[layer], guide, at[:size])
                    else:
                        formula(x, record.kind, record.p0, record.p1, record.p2)
                    finish(x, record.kind, record.complement, record.hedge, m, o)
                if kind >= 0:
                    a, b = start - begin_at, start - begin_at + size
                    add(m, o, kind, weights[layer], value[a:b], mantissa[a:b], power[a:b], total[a:b])
                if wanted:
                    _store(m, o, start, cells, layer, layers, cell_major, floats, halves, ok)
        if kind >= 0:
            size = end - begin_at
            finish_overlay(kind, gamma, value[:size], mantissa[:size], power[:size], total[:size], joined[begin_at:end])


@compiled
def _look_up(address, start, dtype, table, v, m, o):
    """m and o of a layer of 8 or 16 bits; v is its mask."""
    if dtype < 2:
        codes = carray(_pointer(address + start), m.size, np.uint8)
        for i in range(m.size):
            m[i] = table[codes[i]]
    else:
        wide = carray(_pointer(address + 2 * start), m.size, np.uint16)
        for i in range(m.size):
            m[i] = table[wide[i]]
    # A loop of its own: this one is vectorized, the gathers are better left alone; together they take twice as long.
    for i in range(m.size):
        good = (v[i] != 0) & (m[i] == m[i])
        m[i] = m[i] if good else np.float32(0.0)
        o[i] = good


@compiled
def _load(address, start, record, v, x, o):  # noqa: C901 -- one loop a dtype
    """x float64 in the layer's units from the raw values at an address, and o, the mask v less what is missing."""
    size, dtype = x.size, record.dtype
    if dtype == _FLOAT32:
        raw32 = carray(_pointer(address + 4 * start), size, np.float32)
        for i in range(size):
            x[i] = raw32[i]
    elif dtype == _FLOAT64:
        raw64 = carray(_pointer(address + 8 * start), size, np.float64)
        for i in range(size):
            x[i] = raw64[i]
    elif dtype == _INT32:
        int32 = carray(_pointer(address + 4 * start), size, np.int32)
        for i in range(size):
            x[i] = int32[i]
    elif dtype == _UINT32:
        uint32 = carray(_pointer(address + 4 * start), size, np.uint32)
        for i in range(size):
            x[i] = uint32[i]
    else:
        int64 = carray(_pointer(address + 8 * start), size, np.int64)
        for i in range(size):
            x[i] = int64[i]
    # Of the other types every value is a float64, so that comparing these is comparing the raw values.
    nodata = np.nan
    if record.has_nodata and dtype != _INT64:
        nodata = record.nodata_float if dtype in (_FLOAT32, _FLOAT64) else np.float64(record.nodata_int)
    for i in range(size):
        o[i] = (v[i] != 0) & (x[i] != nodata) & (x[i] - x[i] == 0.0)  # inf - inf and NaN - NaN are NaN
    if record.has_nodata and dtype == _INT64:
        int64 = carray(_pointer(address + 8 * start), size, np.int64)
        for i in range(size):
            o[i] = (o[i] != 0) & (int64[i] != record.nodata_int)
    if record.scaled:
        scale, offset = record.scale, record.offset
        for i in range(size):
            x[i] = x[i] * scale + offset
            o[i] = (o[i] != 0) & (x[i] - x[i] == 0.0)
    if record.has_range:
        low, high = record.low, record.high
        for i in range(size):
            o[i] = (o[i] != 0) & (x[i] >= low) & (x[i] <= high)


@compiled
def _store(m, o, start, cells, layer, layers, cell_major, floats, halves, ok):
    """A block of one layer to its place, where it was not computed there."""
    if cell_major:
        place = start * layers + layer
        for i in range(m.size):
            ok[place + i * layers] = o[i]
        if floats.size > 0:
            for i in range(m.size):
                floats[place + i * layers] = m[i]
        else:
            for i in range(m.size):
                halves[place + i * layers] = _half(m[i])
    elif floats.size == 0:
        target = halves[layer * cells + start : layer * cells + start + m.size]
        for i in range(m.size):
            target[i] = _half(m[i])


@compiled
def _half(mu):
    """The bits of the float16 nearest to a float32 in [0, 1], ties to even."""
    bits = np.float32(mu).view(np.uint32)
    # Adding half a unit less one, and one more where the kept part is odd, carries into the kept bits when it must.
    normal = (bits + np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1))) >> np.uint32(13)
    # Below 2^-14 float16 counts units of 2^-24, which is the spacing of float32 just above 1/2.
    small = np.float32(mu + np.float32(0.5)).view(np.uint32) - np.uint32(0x3F000000)
    return np.uint16(normal - np.uint32(112 << 10) if bits >= np.uint32(0x38800000) else small)
