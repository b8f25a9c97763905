"""Vectors of cells in LLVM's own language, for the one loop that Numba's loops cannot be made to keep in registers.

The width is that of the machine Numba compiles for: 16 lanes of float32 with AVX-512, 8 with AVX, 4 elsewhere. All of
it is plain LLVM, legal on any machine, but for the two instructions of AVX-512 that make 2^y in a third fewer steps.
No fast-math flag is set: a lane sees the same operations in the same order wherever its cell lies.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.core.registry import cpu_target

FEATURES = frozenset(cpu_target.target_context.codegen().magic_tuple()[2].split(","))  # pyright: ignore[reportAttributeAccessIssue]
"""What Numba compiles for: the host's, or those of NUMBA_CPU_FEATURES."""

AVX512 = "+avx512f" in FEATURES
LANES = 16 if AVX512 else 8 if "+avx" in FEATURES else 4

FLOAT, INT, INDEX, MASK16 = ir.FloatType(), ir.IntType(32), ir.IntType(64), ir.IntType(16)
VECTOR, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)

EXP2 = (1.00000012, 0.693146944, 0.240221202, 0.0555071309, 0.00967554096, 0.00132764713)
"""Coefficients of 2^t, |t| <= 1/2, lowest first, of least relative error."""

MAGIC = 12582912.0
"""1.5 * 2^23: a float32 to which it is added is rounded to an integer, which stands in the low bits of the sum."""

LOWEST = -100.0
"""Below it 2^y would leave the normal float32 by the bits that are added to its exponent."""

Value = Any
"""Of llvmlite's intermediate representation, whose stubs know scalars only."""

Steps = Generator[None, None, Any]
"""Emits one instruction a step, so that two streams of instructions can be dealt out in turns; returns values."""


class Vectors:
    """Emits instructions on vectors of LANES cells at the end of a builder's block."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def constant(self, value: float) -> Value:
        return ir.Constant(VECTOR, [ir.Constant(FLOAT, _float32(value))] * LANES)

    def whole(self, value: int) -> Value:
        return ir.Constant(INTS, [value] * LANES)

    def load(self, base: Value, at: Value) -> Value:
        """The vector that begins `at` floats after `base`, aligned to a whole vector."""
        found = self.builder.load(self._place(base, at, VECTOR))
        found.align = 4 * LANES
        return found

    def store(self, value: Value, base: Value, at: Value) -> None:
        self.builder.store(value, self._place(base, at, VECTOR)).align = 4 * LANES

    def spread(self, base: Value, at: Value) -> Value:
        """The one float `at` floats after `base`, in all lanes."""
        one = self.builder.load(self._place(base, at, FLOAT))
        one.align = 4
        return self.filled(one)

    def filled(self, one: Value) -> Value:
        nothing = ir.Constant(VECTOR, ir.Undefined)
        first = self.builder.insert_element(nothing, one, ir.Constant(INT, 0))
        return self.builder.shuffle_vector(first, nothing, self.whole(0))

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once."""
        return self._call(f"llvm.fma.v{LANES}f32", [a, b, c])

    def select(self, mask: Value, yes: Value, no: Value) -> Value:
        return self.builder.select(mask, yes, no)

    def is_positive(self, value: Value) -> Value:
        return self.builder.fcmp_ordered(">", value, self.constant(0.0))

    def exp2(self, exponents: Sequence[Value], most: float) -> Steps:
        """2^y of each y, y held to at most `most` <= 126 (and to LOWEST where there is no AVX-512).

        A polynomial of degree 5 between two integers, and the integer as the exponent. Relative error 3e-7, half of it
        the polynomial's.
        """
        b = self.builder
        powers, shifted = [], None
        for y in exponents:
            y = b.select(b.fcmp_ordered("<", y, self.constant(most)), y, self.constant(most))
            yield
            if AVX512:
                whole = self._avx512("rndscale", [y, ir.Constant(INT, 8)], y)
            else:
                y = b.select(b.fcmp_ordered(">", y, self.constant(LOWEST)), y, self.constant(LOWEST))
                yield
                shifted = b.fadd(y, self.constant(MAGIC))
                yield
                whole = b.fsub(shifted, self.constant(MAGIC))
            yield
            part = b.fsub(y, whole)
            yield
            power = self.constant(EXP2[-1])
            for coefficient in EXP2[-2::-1]:
                power = self.fma(power, part, self.constant(coefficient))
                yield
            if AVX512:
                power = self._avx512("scalef", [power, whole], power)
            else:
                raised = b.shl(
                    b.bitcast(shifted, INTS), self.whole(23)
                )  # the integer, from the low bits to the exponent
                yield
                power = b.bitcast(b.add(b.bitcast(power, INTS), raised), VECTOR)
            yield
            powers.append(power)
        return powers

    def _avx512(self, name: str, operands: Sequence[Value], passed: Value) -> Value:
        """An instruction of AVX-512 on all lanes, in the current direction of rounding."""
        arguments = [*operands, passed, ir.Constant(MASK16, -1), ir.Constant(INT, 4)]
        return self._call(f"llvm.x86.avx512.mask.{name}.ps.512", arguments)

    def _call(self, name: str, arguments: Sequence[Value]) -> Value:
        kind = ir.FunctionType(VECTOR, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def _place(self, base: Value, at: Value, kind: ir.Type) -> Value:
        return self.builder.bitcast(self.builder.gep(base, [at]), kind.as_pointer())


def _float32(value: float) -> float:
    """llvmlite writes a constant exactly, and LLVM refuses one that is no float32."""
    return float(np.float32(value))
