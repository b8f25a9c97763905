"""Memory for tiles in flight: allocated once, used again and again, so that a run's memory is known at its start.

A slot holds all layers of the largest tile. Whoever reads a tile waits for a free slot; whoever has used the tile gives
the slot back. So readers are never farther ahead than there are slots.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from mpmjax.types import Layer, Tile

ALIGNMENT = 128
"""Bytes to which each array begins: whole cache lines, for vector instructions and for copies to a GPU."""

Allocate = Callable[[int], np.ndarray]
Arrays = tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]
"""values, L arrays [height, width] in the dtypes of the layers; valid, bool [L, height, width]; inside, bool."""


def in_memory(nbytes: int) -> np.ndarray:
    """Ordinary memory."""
    return np.empty(nbytes, np.uint8)


class RingClosed(RuntimeError):
    """The ring was closed: no slot will be had from it any more."""


class Slot:
    """Memory for one tile. What `arrays` gave is good until the slot is released.

    Args:
        most_cells: cells of the largest tile.
        memory: uint8, at least `slot_bytes` long.
    """

    def __init__(self, number: int, layers: Sequence[Layer], most_cells: int, memory: np.ndarray) -> None:
        self.number = number
        self._most = most_cells
        first = -memory.ctypes.data % ALIGNMENT
        self._parts: list[np.ndarray] = []
        for dtype, count in _parts(layers, most_cells):
            length = dtype.itemsize * count
            self._parts.append(memory[first : first + length].view(dtype))
            first += _rounded(length)

    def arrays(self, tile: Tile) -> Arrays:
        """C-contiguous arrays of a tile's shape in the slot's memory; they hold what was last written there.

        Raises:
            ValueError: the tile has more cells than the slot was made for.
        """
        cells, shape = tile.height * tile.width, (tile.height, tile.width)
        if cells > self._most:
            raise ValueError(f"a tile of {tile.height} x {tile.width} cells for a slot of {self._most}")
        *values, valid, inside = self._parts
        layers = len(values)
        return (
            tuple(part[:cells].reshape(shape) for part in values),
            valid[: layers * cells].reshape(layers, *shape),
            inside[:cells].reshape(shape),
        )


class Ring:
    """Slots that readers take and users give back, from any threads.

    Every page is touched here: what the run will take is taken now, and no tile pays for page faults.

    Args:
        slots: how many tiles may be in flight.
        layers: the dtypes of their files are those of the slots.
        most_cells: cells of the largest tile.
        allocate: bytes -> uint8 array of that length; memory that a GPU reads directly may be given by it.

    Raises:
        ValueError: no slot, or slots without cells.
    """

    def __init__(
        self,
        slots: int,
        layers: Sequence[Layer],
        most_cells: int,
        allocate: Allocate = in_memory,
    ) -> None:
        if slots < 1 or most_cells < 1:
            raise ValueError(f"a ring of {slots} slots of {most_cells} cells: both must be 1 or more")
        self._change = threading.Condition()
        self._closed = False
        self.slots: list[Slot] = []
        for number in range(slots):
            memory = allocate(slot_bytes(layers, most_cells))
            memory.fill(0)
            self.slots.append(Slot(number, layers, most_cells, memory))
        self._free = list(reversed(self.slots))

    def acquire(self) -> Slot:
        """A free slot, the one released last (its memory may still be in the caches); waits until there is one.

        Raises:
            RingClosed: the ring is closed, or was while this waited.
        """
        with self._change:
            self._change.wait_for(lambda: self._free or self._closed)
            if self._closed:
                raise RingClosed("no slot: the ring of tiles was closed")
            return self._free.pop()

    def release(self, slot: Slot) -> None:
        """Give a slot back; after `close` too.

        Raises:
            ValueError: the slot is of another ring, or is free already.
        """
        with self._change:
            if not any(slot is own for own in self.slots):
                raise ValueError(f"slot {slot.number} is not of this ring")
            if any(slot is free for free in self._free):
                raise ValueError(f"slot {slot.number} was released twice")
            self._free.append(slot)
            self._change.notify()

    def close(self) -> None:
        """Wake all who wait for a slot; they and all who come later get RingClosed."""
        with self._change:
            self._closed = True
            self._change.notify_all()


def slot_bytes(layers: Sequence[Layer], most_cells: int) -> int:
    """Bytes of a slot, as `allocate` is asked for them: to estimate the memory of a run."""
    parts = _parts(layers, most_cells)
    return sum(_rounded(dtype.itemsize * count) for dtype, count in parts) + ALIGNMENT


def _parts(layers: Sequence[Layer], cells: int) -> list[tuple[np.dtype, int]]:
    """Dtype and length of each array of a slot: values of each layer, valid, inside."""
    held = [(np.dtype(layer.dtype), cells) for layer in layers]
    return [*held, (np.dtype(bool), len(layers) * cells), (np.dtype(bool), cells)]


def _rounded(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT
