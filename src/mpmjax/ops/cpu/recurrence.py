"""A step of an LSTM for a block of cells, unit by unit, as functions that Numba's functions call: unit.py inlined."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mpmjax.ops.cpu.unit import ACTIVATIONS, Unit, deal, whole
from mpmjax.ops.cpu.vectors import INDEX, Vectors


def _step_unit(
    typing_context: Any,
    hidden: Any,
    features: Any,
    decoder: Any,
    first: Any,
    weights: Any,
    memory: Any,
    kernel: Any,
    bias: Any,
    rows: Any,
    drive: Any,
    gates: Any,
    stale: Any,
    state: Any,
    old: Any,
    new: Any,
    mask: Any,
    out: Any,
    readout: Any,
) -> Any:
    places = (kernel, bias, rows, drive, gates, stale, state, old, new, mask, out, readout)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        unit = _unit(context, builder, signature, arguments[4:], bool(decoder.count))
        rows, apart = features.count + hidden.count, min(features.count, 1)  # the first row apart is 3 % quicker
        sums = whole(unit.add(unit.begin(), 0, apart))
        is_first = builder.icmp_signed("!=", arguments[3], ir.Constant(INDEX, 0))
        with builder.if_else(is_first) as (alone, together):
            with alone:  # before the first step h is 0
                whole(unit.activate())
                unit.end(whole(unit.add(sums, apart, features.count)))
            with together:
                ratio = ACTIVATIONS / (4 * (rows - apart))
                unit.end(deal(unit.add(sums, apart, rows), unit.activate(), ratio))
        return context.get_dummy_value()

    return types.void(hidden, features, decoder, types.int64, weights, memory, *[types.int64 for _ in places]), generate


def _end_step(
    typing_context: Any,
    decoder: Any,
    weights: Any,
    memory: Any,
    stale: Any,
    state: Any,
    old: Any,
    new: Any,
    mask: Any,
    out: Any,
    readout: Any,
) -> Any:
    places = (stale, state, old, new, mask, out, readout)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        nothing = [ir.Constant(INDEX, 0)] * 5
        unit = _unit(context, builder, signature, [*arguments[1:3], *nothing, *arguments[3:]], bool(decoder.count))
        whole(unit.activate())
        return context.get_dummy_value()

    return types.void(decoder, weights, memory, *[types.int64 for _ in places]), generate


def _unit(context: Any, builder: Any, signature: Any, values: Any, decoder: bool) -> Unit:
    arrays = [kind for kind in signature.args if isinstance(kind, types.Array)]
    pointers = [
        context.make_array(kind)(context, builder, value).data for kind, value in zip(arrays, values[:2], strict=True)
    ]
    return Unit(Vectors(builder), *pointers, *values[2:], decoder=decoder)


def _sum_rows(
    typing_context: Any, count: Any, weights: Any, memory: Any, kernel: Any, bias: Any, rows: Any, sums: Any
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        nothing = ir.Constant(INDEX, 0)
        kernel, bias, rows, sums = arguments[3:]
        places = [kernel, bias, rows, nothing, sums, *[nothing] * 7]
        unit = _unit(context, builder, signature, [*arguments[1:3], *places], decoder=False)
        unit.end(whole(unit.add(unit.begin(), 0, count.count)))
        return context.get_dummy_value()

    return types.void(count, weights, memory, *[types.int64] * 4), generate


step_unit: Any = intrinsic(_step_unit)
"""step_unit(hidden, features, decoder, first, weights, memory, and the places of Unit): a unit's gates, and the state
of the unit before it.

`hidden`, `features` and `decoder` are tuples of integers: their lengths, which are compiled in, are H, the rows that
come before the H recurrent ones, and 1 for the decoder. `first`: not 0 where h is 0 as yet, and its rows are passed by.
`weights` and `memory` are contiguous float32 [...], memory aligned to 64 bytes and all places in it to a vector.
"""

end_step: Any = intrinsic(_end_step)
"""end_step(decoder, weights, memory, stale, state, old, new, mask, out, readout): the state of a step's last unit."""

sum_rows: Any = intrinsic(_sum_rows)
"""sum_rows(count, weights, memory, kernel, bias, rows, sums): four weighted sums of rows of cells, [4, BLOCK].

`count` is a tuple as long as there are rows [.., BLOCK] at `rows`; kernel: of [rows, 4] weights, bias: of 4.
"""
