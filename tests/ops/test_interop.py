"""Sharing arrays between libraries: what crosses, what is refused, and that a buffer outlives its readers.

Without a card JAX on the CPU and NumPy go through the same code; tests/gpu has CuPy in NumPy's place.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import assert_same_bits

from mpmjax.errors import BackendError
from mpmjax.ops import cuda, interop

CELLS = 1000


def aligned(cells: int = CELLS, dtype: str = "float32") -> np.ndarray:
    """Zeros that JAX on the CPU reads where they lie: it copies what is not aligned to 64 bytes."""
    size = cells * np.dtype(dtype).itemsize
    room = np.zeros(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype)


@jax.jit
def add(array: jax.Array, late: jax.Array) -> jax.Array:
    return array + late


@jax.jit
def a_zero_that_takes_a_while(start: jax.Array, steps: int) -> jax.Array:
    return 0.0 * jax.lax.fori_loop(0, steps, lambda _, x: jnp.sin(x) + 1e-3, start).sum()


def late_zero(steps: int = 20_000) -> jax.Array:
    """0.0, about a quarter of a second from now: what waits for it is dispatched but has not read its input."""
    return a_zero_that_takes_a_while(jnp.ones(10_000), steps)


@pytest.fixture(autouse=True)
def _compiled() -> None:
    add(aligned(), late_zero(1)).block_until_ready()


def test_a_buffer_reused_too_early_gives_the_next_tiles_numbers():
    """The corruption that a Holder is there for: without one, every result is that of another tile."""
    slot, wrong = aligned(), 0
    for tile in range(4):
        slot[:] = tile
        result = add(interop.to_jax(slot), late_zero())
        slot[:] = 99.0
        wrong += int(np.asarray(result)[0] != tile)
    assert wrong == 4


@pytest.mark.parametrize("share", [interop.to_jax, lambda slot: slot], ids=["dlpack", "jit of NumPy"])
def test_the_holder_keeps_the_buffer_until_it_was_read(share: Callable[[np.ndarray], object]):
    slots, results = [aligned(), aligned()], []
    with interop.Holder(limit=2) as holder:
        for tile in range(6):
            slot = slots[tile % 2]
            holder.wait_for(slot)
            slot[:] = tile
            results.append(holder.hold(slot, add(share(slot), late_zero())))
    for slot in slots:
        slot[:] = 99.0
    for tile, result in enumerate(results):
        assert_same_bits(np.asarray(result), np.full(CELLS, tile, np.float32))


def test_leaving_on_an_exception_waits_too():
    slot, results = aligned(), []
    slot[:] = 1.0

    def stopped() -> None:
        with interop.Holder() as holder:
            results.append(holder.hold(slot, add(interop.to_jax(slot), late_zero())))
            raise KeyError

    with pytest.raises(KeyError):
        stopped()
    slot[:] = 2.0
    assert np.asarray(results[0])[0] == 1.0


class Promise:
    """A result whose readiness the test decides; waiting for it makes it ready, and is counted."""

    def __init__(self, ready: bool = False, fails: bool = False) -> None:
        self.ready, self.fails, self.waits = ready, fails, 0

    def is_ready(self) -> bool:
        return self.ready

    def block_until_ready(self) -> None:
        self.waits += 1
        self.ready = True
        if self.fails:
            raise RuntimeError("the computation failed")


def test_no_more_than_the_limit_are_in_flight():
    holder, promises = interop.Holder(limit=2), [Promise() for _ in range(3)]
    for promise in promises[:2]:
        holder.hold(np.zeros(1), promise)
    assert [promise.waits for promise in promises] == [0, 0, 0]
    holder.hold(np.zeros(1), promises[2])
    assert [promise.waits for promise in promises] == [1, 0, 0]
    assert holder.release_ready() == 2


def test_what_is_ready_is_let_go_without_waiting():
    first, second = Promise(), Promise()
    holder = interop.Holder(limit=3)
    holder.hold(np.zeros(1), (first, {"nested": [second]}))
    first.ready = True
    assert holder.release_ready() == 1  # one of its two results is still to come
    second.ready = True
    assert holder.release_ready() == 0
    assert first.waits == second.waits == 0


def test_waiting_for_a_buffer_waits_for_its_readers_alone():
    wanted, other = np.zeros(1), np.zeros(1)
    promises = Promise(), Promise(), Promise()
    holder = interop.Holder(limit=3)
    holder.hold([other, wanted], promises[0])
    holder.hold(other, promises[1])
    holder.hold(wanted, promises[2])
    holder.wait_for(wanted)
    assert [promise.waits for promise in promises] == [1, 0, 1]
    assert holder.release_ready() == 1


def test_a_failed_computation_is_told_after_all_are_waited_for():
    promises = Promise(), Promise(fails=True), Promise()
    holder = interop.Holder(limit=3)
    for promise in promises:
        holder.hold(np.zeros(1), promise)
    with pytest.raises(RuntimeError, match="the computation failed"):
        holder.close()
    assert [promise.waits for promise in promises] == [1, 1, 1]
    holder.close()  # nothing is left to wait for


def test_a_holder_refuses_what_it_could_not_wait_for():
    with pytest.raises(TypeError, match="nothing tells when the buffer is free"):
        interop.Holder().hold(np.zeros(1), (np.zeros(1), {}))
    with pytest.raises(ValueError, match="a limit of 0"):
        interop.Holder(limit=0)


@pytest.mark.parametrize("dtype", interop.DTYPES)
def test_every_dtype_crosses_both_ways_without_a_copy(dtype):
    array = aligned(64, dtype)
    array[:] = np.arange(64) % 2
    with jax.enable_x64(True):
        shared = interop.to_jax(array)
        assert shared.dtype == array.dtype
        assert shared.unsafe_buffer_pointer() == array.ctypes.data
        back = interop.to_numpy(shared)
    assert back.ctypes.data == array.ctypes.data
    assert not back.flags.writeable
    assert_same_bits(back, array)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "float64"])
def test_64_bits_are_not_narrowed_in_silence(dtype):
    with pytest.raises(TypeError, match=f"this {dtype} array into its 32 bit"):
        interop.to_jax(aligned(8, dtype))


def test_bfloat16_does_not_cross():
    with pytest.raises(TypeError, match="bfloat16 arrays are not shared"):
        interop.to_numpy(jnp.zeros(4, jnp.bfloat16))
    with pytest.raises(TypeError, match="bfloat16 arrays are not shared"):
        interop.to_jax(np.asarray(jnp.zeros(4, jnp.bfloat16)))


def test_donated_arrays_are_refused():
    array = jnp.arange(8.0)
    array.delete()  # what donation does, on platforms that carry it out
    with pytest.raises(ValueError, match="donated to a jitted function or deleted"):
        interop.to_numpy(array)


def test_arrays_that_dlpack_cannot_say_are_refused():
    with pytest.raises(ValueError, match="not contiguous"):
        interop.to_jax(aligned().reshape(10, 100).T)
    locked = aligned()
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        interop.to_jax(locked)


def test_cupy_is_asked_for_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cuda, "refusal", lambda: "No card is here: get one.")
    for needs in (lambda: interop.to_cupy(jnp.zeros(1)), interop.StreamMark):
        with pytest.raises(BackendError, match="No card is here: get one"):
            needs()
