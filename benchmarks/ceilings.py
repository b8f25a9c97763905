"""How fast this machine multiplies and adds at all: what no scorer in float32 can pass.

A matrix product through BLAS is one bound, but a BLAS that does not know the processor multiplies at half its width. So
a loop is measured beside it that does nothing but fused multiply-adds between registers, and the larger of both counts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .clock import interleaved
from .ways import side_by_side

CHAINS = 12
"""Multiply-adds in flight: more than four cycles of latency on two units need, and few enough for 16 registers."""
TURNS = 400_000
"""Turns of the loop a visit: about 2 ms."""


def operations_per_second(cores: int = 1, side: int = 1024) -> float:
    """Multiplications and additions a second, float32: of so many cores together, by the better of both."""
    return max(product_rate(cores, side), multiply_add_rate(cores))


def product_rate(cores: int = 1, side: int = 1024, repeats: int = 5) -> float:
    """Operations a second of float32 matrix products, 2 side^3 each, one on each core."""
    left, right = np.ones((2, side, side), np.float32)
    return _rate(lambda: left @ right, 2 * side**3, cores, repeats)


def multiply_add_rate(cores: int = 1, repeats: int = 5) -> float:
    """Operations a second of the loop between registers, one on each core."""
    lanes = _lanes()
    loop = _loop(lanes)
    loop(1)
    return _rate(lambda: loop(TURNS), 2 * lanes * CHAINS * TURNS, cores, repeats)


def _rate(call: Callable[[], Any], operations: int, cores: int, repeats: int) -> float:
    # A ceiling is what was seen at best: a visit that was disturbed lowers no bound.
    together: dict[str, Callable[[], object]] = {"call": side_by_side([call] * cores)}
    return cores * operations / min(interleaved(together, repeats)["call"].seconds)


def _lanes(cpuinfo: Path = Path("/proc/cpuinfo")) -> int:
    """Floats in the widest vector of this processor."""
    known = cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else ""
    return 16 if "avx512f" in known else 8 if "avx2" in known else 4


@cache
def _loop(lanes: int) -> Callable[[int], float]:
    """A compiled loop of so many turns, each CHAINS multiply-adds of vectors; it holds no lock."""

    @intrinsic
    def burn(_typing: Any, turns: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            vector = ir.VectorType(ir.FloatType(), lanes)
            shape = ir.FunctionType(vector, [vector] * 3)
            fused = cgutils.get_or_insert_function(builder.module, shape, f"llvm.fma.v{lanes}f32")
            half, one = (ir.Constant(vector, [value] * lanes) for value in (0.5, 1.0))
            # Each chain starts elsewhere, or LLVM sees that they are the same and keeps one.
            starts = [ir.Constant(vector, [1.0 + chain / 128] * lanes) for chain in range(CHAINS)]
            places = [cgutils.alloca_once_value(builder, start) for start in starts]
            with cgutils.for_range(builder, arguments[0]):
                for place in places:
                    builder.store(builder.call(fused, [builder.load(place), half, one]), place)
            total = builder.load(places[0])
            for place in places[1:]:
                total = builder.fadd(total, builder.load(place))
            return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

        return types.float32(types.intp), generate

    compiled: Any = burn  # called by what Numba compiles only

    @njit(nogil=True)
    def loop(turns: int) -> float:
        return compiled(turns)

    return loop
