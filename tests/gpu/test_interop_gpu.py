"""CuPy and JAX on one card: what is computed by the one is read by the other, and no buffer is reused too early."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fuzzy_stacks import layer_of
from tolerances import assert_same_bits

from mpmjax.ops import interop
from mpmjax.ops.gpu.membership import membership
from mpmjax.ops.plan import MembershipPlan, plan_memberships
from mpmjax.types import Membership

pytestmark = pytest.mark.gpu

CELLS = 1 << 20


@pytest.fixture
def jax() -> Any:
    """JAX, if it sees the card."""
    import jax

    try:
        jax.devices("cuda")
    except RuntimeError as error:
        pytest.skip(f"JAX sees no card ({error}): install mpmjax with its extra cuda12 or cuda13")
    return jax


def percent_plan() -> MembershipPlan:
    return plan_memberships([layer_of("float32")], [Membership("linear", {"lo": 0.0, "hi": 100.0})])


@pytest.mark.parametrize("dtype", interop.DTYPES)
def test_every_dtype_crosses_both_ways_without_a_copy(cupy: Any, jax: Any, dtype: str):
    array = cupy.asarray((np.arange(64) % 2).astype(dtype))
    with jax.enable_x64(True):
        shared = interop.to_jax(array)
        assert shared.unsafe_buffer_pointer() == array.data.ptr
        back = interop.to_cupy(shared)
        assert back.data.ptr == array.data.ptr
        assert_same_bits(np.asarray(shared), array.get())


def test_memberships_of_jax_arrays_and_back(cupy: Any, jax: Any):
    raw = jax.device_put(np.linspace(0.0, 100.0, CELLS, dtype=np.float32), jax.devices("cuda")[0])
    with interop.Holder() as holder:
        mu, _, _ = membership([interop.to_cupy(raw)], percent_plan())
        holder.hold(raw, interop.StreamMark())
        twice = holder.hold(mu, 2.0 * interop.to_jax(mu))
    expected, _, _ = membership([np.asarray(raw)], percent_plan())
    assert_same_bits(mu.get(), expected.get())
    assert_same_bits(np.asarray(twice), 2.0 * expected.get())


@pytest.mark.parametrize("streams", [1, 3])
def test_buffers_are_not_reused_while_jax_reads_them(cupy: Any, jax: Any, streams: int):
    """Two buffers in turn, JAX far behind: without the Holder the later tiles would be read in place of the earlier."""

    @jax.jit
    def slowly(array: Any) -> Any:
        late = jax.lax.fori_loop(0, 400, lambda _, x: jax.numpy.sin(x) + 1e-3, jax.numpy.ones(CELLS))
        return array + 0.0 * late.sum()

    slots = [cupy.empty(CELLS, np.float32) for _ in range(2)]
    slowly(interop.to_jax(slots[0])).block_until_ready()
    cupy.cuda.Device().synchronize()
    producers = [cupy.cuda.Stream(non_blocking=True) for _ in range(streams)]
    results = []
    with interop.Holder(limit=2) as holder:
        for tile in range(12):
            slot = slots[tile % 2]
            holder.wait_for(slot)
            with producers[tile % streams]:
                slot.fill(tile)
                results.append(holder.hold(slot, slowly(interop.to_jax(slot))))
    for slot in slots:
        slot.fill(99.0)
    for tile, result in enumerate(results):
        assert_same_bits(np.asarray(result), np.full(CELLS, tile, np.float32))


def test_the_pool_does_not_hand_on_memory_that_jax_reads(cupy: Any, jax: Any):
    """Every buffer is new and let go of at once: the Holder alone keeps the pool from giving it to the next tile."""

    @jax.jit
    def slowly(array: Any) -> Any:
        late = jax.lax.fori_loop(0, 400, lambda _, x: jax.numpy.sin(x) + 1e-3, jax.numpy.ones(CELLS))
        return array + 0.0 * late.sum()

    plan, results = percent_plan(), []
    with interop.Holder(limit=4) as holder:
        for tile in range(12):
            mu, _, _ = membership([cupy.full(CELLS, 5.0 * tile, np.float32)], plan)
            results.append(holder.hold(mu, slowly(interop.to_jax(mu[0]))))
            del mu
    for tile, result in enumerate(results):
        assert_same_bits(np.asarray(result), np.full(CELLS, np.float32(tile / 20)))
