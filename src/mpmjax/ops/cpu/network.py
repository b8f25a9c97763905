"""The LSTM autoencoder of one member on one block of cells: encoder, latent, decoder.

A block's memory is one array of float32, cells in the minor axis; `Places` says what stands where. The program is
compiled for H, F and d when they are first met, in seconds, and kept on disk; members, layers and cells are numbers.
Only `Program` is kept: the functions below are part of it.
Callers get it as a pointer, so that none of them is compiled again for other sizes.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit, typeof, types
from numba.core.types import WrapperAddressProtocol

from mpmjax.ops._compile import compiled
from mpmjax.ops.cpu.recurrence import end_step, step_unit, sum_rows
from mpmjax.ops.cpu.unit import BLOCK
from mpmjax.ops.cpu.weights import FOUR, Network, in_fours

ALIGNMENT = 64
"""Bytes."""


class Places(NamedTuple):
    """Where things stand in the memory of a block, in floats; each [..., BLOCK].

    Attributes:
        x: input [L, F]; mask: 1 where a cell has the layer, else 0 [L]; counts: layers of a cell [1].
        rows: input and hidden state of a step [2, F + H], read and written in turns; state: c [H].
        gates: sums of two units [2, 4]; drive: the latent's part in the gates [H, 4].
        aside: of a unit before the first, which there is none: gates, c, h, out [7].
        latent: [d rounded up to 4]; out: reconstruction [L].
        size: of all.
    """

    x: int
    mask: int
    counts: int
    rows: int
    state: int
    gates: int
    drive: int
    aside: int
    latent: int
    out: int
    size: int


class Sizes(NamedTuple):
    """What is compiled in, as tuples of zeros of that length: H, F, d rounded up to 4, and of length 1 and 0."""

    hidden: tuple[int, ...]
    features: tuple[int, ...]
    latent: tuple[int, ...]
    yes: tuple[int, ...] = (0,)
    no: tuple[int, ...] = ()


def plan_places(layers: int, hidden: int, features: int, latent: int) -> Places:
    """Where things stand."""
    blocks = (
        layers * features,
        layers,
        1,
        2 * (features + hidden),
        hidden,
        8,
        4 * hidden,
        7,
        in_fours(latent),
        layers,
    )
    starts = np.concatenate([[0], np.cumsum(blocks)]) * BLOCK
    return Places(*starts.tolist())


def memory(places: Places) -> np.ndarray:
    """Memory of a block, float32 [places.size], aligned; of one thread."""
    spare = ALIGNMENT // 4
    whole = np.zeros(places.size + spare, np.float32)
    first = -(whole.ctypes.data // 4) % spare
    return whole[first : first + places.size]


class Program(WrapperAddressProtocol):
    """`reconstruct` for a network's sizes, which Numba's functions take as a pointer.

    They call it with a Network, the Places and the memory of a block, and the number of a member.
    """

    def __init__(self, hidden: int, features: int, latent: int) -> None:
        sizes = Sizes((0,) * hidden, (0,) * features, (0,) * in_fours(latent))

        def run(network, places, room, member):
            reconstruct(network, sizes, places, room, member)
            return 0

        # Numba keeps what one function compiles to in one index, and two processes that write to it at once can leave
        # the code of one size under the name of the other. With names of their own sizes cannot be mixed up.
        run.__name__ = run.__qualname__ = f"network_{hidden}_{features}_{in_fours(latent)}"
        self._compiled = compiled(run, self.signature())

    def signature(self) -> Any:
        order, weights, numbers = np.zeros((1, 1), np.int64), np.zeros(1, np.float32), [0] * 9
        network = Network._make([order, weights, *numbers, weights])
        places = Places(*[0] * len(Places._fields))
        return types.int64(typeof(network), typeof(places), types.float32[::1], types.int64)

    def __wrapper_address__(self) -> int:
        found = self._compiled.get_compile_result(self.signature())
        return found.library.get_pointer_to_function(found.fndesc.llvm_cfunc_wrapper_name)


@cache
def program(hidden: int, features: int, latent: int) -> Program:
    """The program for these sizes, compiled once."""
    return Program(hidden, features, latent)


@njit(nogil=True, error_model="numpy")
def reconstruct(network, sizes, places, room, member):
    """Latent and reconstruction of one member for the cells in `room`, by its x, mask and counts."""
    hidden, features, latent = len(sizes.hidden), len(sizes.features), len(sizes.latent)
    layers, start = network.order.shape[1], member * network.stride
    none = start + network.none
    rows, others = places.rows, places.rows + (features + hidden) * BLOCK
    first = _begin(sizes, places, room, rows + features * BLOCK)
    for step in range(layers):
        layer = network.order[member, step]
        mask = places.mask + layer * BLOCK
        if not _any(room, mask):
            continue
        for i in range(features * BLOCK):
            room[rows + i] = room[places.x + layer * features * BLOCK + i]
        bias = start + network.encoder_bias + 4 * layer * hidden
        _step(network, sizes, sizes.features, sizes.no, places, room, first, start, bias, rows, others, mask, 0, none)
        rows, others, first = others, rows, 0
    h = rows + features * BLOCK
    weights = network.weights
    for k in range(0, latent, FOUR):
        kernel, bias = start + network.latent + k * hidden, start + network.latent_bias + k
        sum_rows(sizes.hidden, weights, room, kernel, bias, h, places.latent + k * BLOCK)
    for j in range(hidden):
        kernel, gates = start + network.drive + 4 * j * latent, places.drive + 4 * j * BLOCK
        sum_rows(sizes.latent, weights, room, kernel, none, places.latent, gates)
    rows, others = places.rows, places.rows + hidden * BLOCK
    first = _begin(sizes, places, room, rows)
    for step in range(layers - 1, -1, -1):
        layer = network.order[member, step]
        mask, out = places.mask + layer * BLOCK, places.out + layer * BLOCK
        for i in range(BLOCK):
            room[out + i] = network.out_bias[member]
        if not _any(room, mask):
            continue
        kernel, bias = start + network.decoder, start + network.decoder_bias + 4 * layer * hidden
        readout = start + network.readout
        _step(network, sizes, sizes.no, sizes.yes, places, room, first, kernel, bias, rows, others, mask, out, readout)
        rows, others, first = others, rows, 0


@njit(nogil=True, error_model="numpy")
def _begin(sizes, places, room, h):
    """c and h of 0; returns 1, for there was no step."""
    for i in range(len(sizes.hidden) * BLOCK):
        room[places.state + i] = np.float32(0.0)
        room[h + i] = np.float32(0.0)
    return 1


@njit(nogil=True, error_model="numpy")
def _any(room, mask):
    """Whether any cell has a layer: a step that all pass by changes nothing."""
    found = 0
    for i in range(BLOCK):
        found += room[mask + i] > 0.0
    return found > 0


@njit(nogil=True, error_model="numpy")
def _step(network, sizes, features, decoder, places, room, first, kernel, bias, rows, others, mask, out, readout):
    """One step of all units. In the encoder `readout` is the place of a 0."""
    hidden, before, aside = len(sizes.hidden), len(features), places.aside
    gates, spare = places.gates, places.gates + 4 * BLOCK
    stale, state, old, new, lead = aside, aside + 4 * BLOCK, aside + 5 * BLOCK, aside + 5 * BLOCK, aside + 6 * BLOCK
    none = readout
    for j in range(hidden):
        step_unit(
            sizes.hidden,
            features,
            decoder,
            first,
            network.weights,
            room,
            kernel + 4 * j * (before + hidden),
            bias + 4 * j,
            rows,
            places.drive + 4 * j * BLOCK,
            gates,
            stale,
            state,
            old,
            new,
            mask,
            lead,
            none,
        )
        stale, gates, spare = gates, spare, gates
        state, lead, none = places.state + j * BLOCK, out, readout + j
        old, new = rows + (before + j) * BLOCK, others + (before + j) * BLOCK
    end_step(decoder, network.weights, room, stale, state, old, new, mask, lead, none)
