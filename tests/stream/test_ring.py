"""The ring of slots: memory allocated once, never shared by two tiles, waited for, and given back once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmjax.stream.ring import ALIGNMENT, Ring, RingClosed, Slot, slot_bytes
from mpmjax.types import Layer, Tile

DTYPES = ("uint8", "int16", "float32", "float64", "int8", "uint16", "int64")


def layers_of(*dtypes: str) -> tuple[Layer, ...]:
    return tuple(Layer(f"l{i}", "index", Path("x.tif"), 1, dtype) for i, dtype in enumerate(dtypes))


LAYERS = layers_of("float32", "uint8", "int16", "float64")


def flat(slot: Slot, tile: Tile) -> list[np.ndarray]:
    values, valid, inside = slot.arrays(tile)
    return [*values, valid, inside]


@given(
    dtypes=st.lists(st.sampled_from(DTYPES), max_size=6), height=st.integers(1, 40), width=st.integers(1, 40),
    spare=st.integers(0, 50),
)  # fmt: skip
@settings(deadline=None)
def test_arrays_of_a_tile_share_no_byte(dtypes: list[str], height: int, width: int, spare: int) -> None:
    ring = Ring(2, layers_of(*dtypes), height * width + spare)
    tile = Tile(0, 5, 7, height, width)
    slots = [ring.acquire(), ring.acquire()]
    values, valid, inside = slots[0].arrays(tile)
    assert [array.dtype.name for array in values] == dtypes
    assert all(array.shape == (height, width) for array in (*values, inside))
    assert valid.shape == (len(dtypes), height, width)
    assert valid.dtype == inside.dtype == np.bool_
    both = flat(slots[0], tile) + flat(slots[1], tile)
    for number, array in enumerate(both):
        assert array.flags.c_contiguous
        assert array.flags.writeable
        if array.size:
            assert array.ctypes.data % ALIGNMENT == 0
        array.view(np.uint8)[...] = number
    for number, array in enumerate(both):
        assert (array.view(np.uint8) == number).all(), "written over by another array"


def test_all_memory_is_asked_for_at_the_start_and_touched() -> None:
    asked: list[np.ndarray] = []

    def allocate(nbytes: int) -> np.ndarray:
        asked.append(np.full(nbytes + 3, 7, np.uint8)[3:])
        return asked[-1]

    ring = Ring(3, LAYERS, 100, allocate)
    assert [len(memory) for memory in asked] == [slot_bytes(LAYERS, 100)] * 3
    assert not any(memory.any() for memory in asked)
    slot = ring.acquire()
    for array in flat(slot, Tile(0, 0, 0, 10, 10)):
        assert any(np.shares_memory(array, memory) for memory in asked)
        assert array.ctypes.data % ALIGNMENT == 0, "wherever the memory begins"
    assert len(asked) == 3


def test_the_bytes_of_a_slot() -> None:
    bare = (4 + 1 + 2 + 8 + 4 + 1) * 1000
    assert bare <= slot_bytes(LAYERS, 1000) <= bare + 7 * ALIGNMENT


def test_smaller_tiles_take_the_same_memory() -> None:
    slot = Ring(1, LAYERS, 60).acquire()
    large, small = flat(slot, Tile(0, 0, 0, 6, 10)), flat(slot, Tile(1, 0, 0, 60, 1))
    assert [a.ctypes.data for a in large] == [a.ctypes.data for a in small]
    with pytest.raises(ValueError, match="a tile of 61 x 1 cells for a slot of 60"):
        slot.arrays(Tile(2, 0, 0, 61, 1))


def test_a_slot_is_waited_for() -> None:
    ring = Ring(1, LAYERS, 10)
    first = ring.acquire()
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(ring.acquire)
        time.sleep(0.05)
        assert not later.done()
        ring.release(first)
        assert later.result(timeout=20) is first


def test_no_two_threads_hold_one_slot() -> None:
    ring, held, lock, wrong = Ring(3, LAYERS, 10), set(), threading.Lock(), []

    def use(number: int) -> None:
        for _ in range(200):
            slot = ring.acquire()
            with lock:
                wrong.extend([slot.number] if slot.number in held else [])
                held.add(slot.number)
            with lock:
                held.remove(slot.number)
            ring.release(slot)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert not wrong
    assert {ring.acquire().number for _ in range(3)} == {0, 1, 2}


def test_closing_wakes_all_who_wait() -> None:
    ring = Ring(1, LAYERS, 10)
    held = ring.acquire()
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(ring.acquire) for _ in range(3)]
        time.sleep(0.05)
        ring.close()
        assert all(isinstance(one.exception(timeout=20), RingClosed) for one in waiting)
    ring.release(held)
    with pytest.raises(RingClosed, match="closed"):
        ring.acquire()  # though a slot is free


def test_what_may_not_be_released() -> None:
    ring, other = Ring(2, LAYERS, 10), Ring(2, LAYERS, 10)
    slot = ring.acquire()
    with pytest.raises(ValueError, match="slot 0 is not of this ring"):
        ring.release(other.acquire())
    ring.release(slot)
    with pytest.raises(ValueError, match="slot 0 was released twice"):
        ring.release(slot)
    assert len({ring.acquire().number, ring.acquire().number}) == 2


@pytest.mark.parametrize(("slots", "cells"), [(0, 10), (2, 0)])
def test_rings_of_nothing_are_refused(slots: int, cells: int) -> None:
    with pytest.raises(ValueError, match="both must be 1 or more"):
        Ring(slots, LAYERS, cells)
