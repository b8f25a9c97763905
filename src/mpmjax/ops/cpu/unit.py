"""A hidden unit of an LSTM for a block of cells, written instruction by instruction: what the scorer's time goes into.

A unit's four gates are sums over the rows of its input: float32 accumulators for 4 gates x 3 vectors of cells stay in
registers through all rows. Its activations are one long chain of dependent instructions, which would leave the
multipliers idle. So the program is written with one unit's sums and the activations of the unit before dealt out in
turns: each of the two fills the other's gaps. On a core of Zen 5, H = 32 and L = 8, a prototype did 1.41 million cells
a second so; one after the other, with the 5 vectors that suit that best, 1.27.

Weights come scaled (`GATE_SCALES`), so that a gate's activation is 1 / (1 + 2^y), and (1 - 2^y) / (1 + 2^y) for the
cell's input. The quotients of a cell's new state are brought over one denominator: two divisions a unit, not five.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from mpmjax.ops.cpu.vectors import INDEX, LANES, Steps, Value, Vectors

VECTORS = 3 if LANES == 16 else 2
"""Side by side; with more, accumulators and activations do not fit into the registers (32 with AVX-512, else 16)."""

BLOCK = LANES * VECTORS
"""Cells that are computed at a time; the minor axis of all memory of a block."""

GATE_SCALES = tuple(-part / math.log(2.0) for part in (1.0, 1.0, 2.0, 1.0))
"""By which what leads to the gates (input, forget, cell, output) is multiplied before it gets here."""

Sums = list[Value]
"""Of the four gates [4 x VECTORS], gate by gate."""

MOST = 40.0
"""Exponents are held to it: three factors of 1 + 2^40 are still a float32, and 1 / (1 + 2^40) is 0 to 1e-12."""

ACTIVATIONS = 70
"""Instructions that the activations of a vector take, about: in which ratio the two streams are dealt out."""


@dataclass
class Unit:
    """Emits the program of one unit for a block of cells, and of the activations of the unit before it.

    Attributes:
        vectors: where instructions go.
        weights, memory: pointers to float32; the others are places in them, counted in floats.
        kernel: of the unit's weights [rows, 4]; bias: of its 4 biases; rows: of its input [rows, BLOCK] in memory.
        drive: of what is added to its gates [4, BLOCK], decoder only; gates: of where its sums go, [4, BLOCK].
        stale: gates of the unit before; state, old, new: its c, its h before and after the step, [BLOCK].
        mask: positive where a cell has the step's layer [BLOCK]; without it the cell keeps its state.
        out, readout: decoder only; of the reconstruction [BLOCK], and of the unit's part in it among the weights.
    """

    vectors: Vectors
    weights: Value
    memory: Value
    kernel: Value
    bias: Value
    rows: Value
    drive: Value
    gates: Value
    stale: Value
    state: Value
    old: Value
    new: Value
    mask: Value
    out: Value
    readout: Value
    decoder: bool

    def begin(self) -> Sums:
        """Biases, and in the decoder what the latent adds: 4 x VECTORS sums."""
        sums = []
        for gate in range(4):
            bias = self.vectors.spread(self.weights, self._at(self.bias, gate))
            for vector in range(VECTORS):
                if self.decoder:
                    drive = self.vectors.load(self.memory, self._at(self.drive, gate * BLOCK + vector * LANES))
                    sums.append(self.vectors.builder.fadd(bias, drive))
                else:
                    sums.append(bias)
        return sums

    def add(self, sums: Sums, first: int, last: int) -> Steps:
        """Rows `first` to `last` of the input, times their weights, added to the sums."""
        for row in range(first, last):
            cells = [
                self.vectors.load(self.memory, self._at(self.rows, row * BLOCK + v * LANES)) for v in range(VECTORS)
            ]
            grown = []
            for gate in range(4):
                weight = self.vectors.spread(self.weights, self._at(self.kernel, 4 * row + gate))
                for vector, values in enumerate(cells):
                    grown.append(self.vectors.fma(weight, values, sums[gate * VECTORS + vector]))
                    yield
            sums = grown
        return sums

    def end(self, sums: Sums) -> None:
        for number, values in enumerate(sums):
            self.vectors.store(values, self.memory, self._at(self.gates, number * LANES))

    def activate(self) -> Steps:
        """New state of the unit before, in all vectors."""
        for vector in range(VECTORS):
            yield from self._activate(vector * LANES)

    def _activate(self, cells: int) -> Steps:
        b, load, one = self.vectors.builder, self._load, self.vectors.constant(1.0)
        (i,) = yield from self.vectors.exp2([load(self.stale, cells)], MOST)
        (g,) = yield from self.vectors.exp2([load(self.stale, 2 * BLOCK + cells)], MOST)
        i1 = b.fadd(one, i)
        yield
        g1 = b.fadd(one, g)
        yield
        g_top = b.fsub(one, g)
        yield
        i1g1 = b.fmul(i1, g1)
        yield
        (f,) = yield from self.vectors.exp2([load(self.stale, BLOCK + cells)], MOST)
        f1 = b.fadd(one, f)
        yield
        g_top = b.fmul(g_top, f1)
        yield
        below = b.fmul(i1g1, f1)
        yield
        c_old = load(self.state, cells)
        above = self.vectors.fma(c_old, i1g1, g_top)
        yield
        c = b.fdiv(above, below)  # c / f1 + (1 - g) / (g1 i1)
        yield
        there = self.vectors.is_positive(load(self.mask, cells))
        yield
        self._store(b.select(there, c, c_old), self.state, cells)
        doubled = b.fmul(c, self.vectors.constant(GATE_SCALES[2]))
        yield
        (t,) = yield from self.vectors.exp2([doubled], MOST)
        (o,) = yield from self.vectors.exp2([load(self.stale, 3 * BLOCK + cells)], MOST)
        o1 = b.fadd(one, o)
        yield
        t1 = b.fadd(one, t)
        yield
        above = b.fsub(one, t)
        yield
        below = b.fmul(o1, t1)
        yield
        h = b.fdiv(above, below)
        yield
        self._store(b.select(there, h, load(self.old, cells)), self.new, cells)
        yield
        if self.decoder:
            weight = self.vectors.spread(self.weights, self.readout)
            self._store(self.vectors.fma(weight, h, load(self.out, cells)), self.out, cells)
            yield

    def _load(self, place: Value, cells: int) -> Value:
        return self.vectors.load(self.memory, self._at(place, cells))

    def _store(self, value: Value, place: Value, cells: int) -> None:
        self.vectors.store(value, self.memory, self._at(place, cells))

    def _at(self, place: Value, more: int) -> Value:
        return self.vectors.builder.add(place, ir.Constant(INDEX, more))


def deal(sums: Steps, activations: Steps, ratio: float) -> Sums:
    """Emit both streams in turns, `ratio` instructions of the second for each of the first; what the first returns."""
    due = 0.0
    while True:
        try:
            next(sums)
        except StopIteration as end:
            for _ in activations:
                pass
            return end.value
        due += ratio
        while due >= 1.0:
            next(activations, None)
            due -= 1.0


def whole(steps: Steps) -> Any:
    """Emit one stream alone."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
