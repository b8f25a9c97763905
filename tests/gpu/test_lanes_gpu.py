"""Slabs through lanes of a real card: the same bytes for any number of lanes and cells at a time, near those of cpu."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fuzzy_stacks import layer_of
from ops.screener_arrays import random_arrays, ranked
from tolerances import SCORER, SCORER_HALVES, assert_close, assert_same_bits

from mpmjax.errors import BackendError
from mpmjax.ops import _card
from mpmjax.ops.gpu.lanes import Lanes
from mpmjax.ops.gpu.lstm import refusal
from mpmjax.ops.lstm import CHUNK, Scorer
from mpmjax.ops.membership import membership
from mpmjax.ops.plan import MembershipPlan, plan_memberships
from mpmjax.products import INDEX_MAPS
from mpmjax.stream.engine import Pass, Threads
from mpmjax.stream.ring import Ring, Slot
from mpmjax.types import Layer, Membership, Slab, Tile

pytestmark = pytest.mark.gpu

DTYPES = ("uint8", "int16", "float32", "float64")
SHAPE, TILES, MIN_COVERAGE = (200, 256), 9, 0.5
MOST = SHAPE[0] * SHAPE[1]

Scored = tuple[np.ndarray, dict[str, np.ndarray]]


@pytest.fixture(scope="module", params=[16, 65], ids=["kernel", "xla"])
def arrays(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """Of an ensemble that the kernel takes, and of one that it declines."""
    return ranked(random_arrays(3, len(DTYPES), request.param, 2, 4))


@pytest.fixture(autouse=True)
def _no_limit_stays(cupy: Any) -> Any:
    """A limit of the pool, and the pool's blocks, are not the next test's."""
    try:
        _card.share()
    except BackendError as error:
        pytest.skip(str(error))
    yield
    cupy.get_default_memory_pool().set_limit(size=0)
    _card.release()


def layers() -> list[Layer]:
    return [layer_of(dtype, f"layer {number}", nodata=7.0) for number, dtype in enumerate(DTYPES)]


def plan() -> MembershipPlan:
    return plan_memberships(
        layers(), [Membership("linear", {"lo": 0.0, "hi": 90.0 + 9 * n}) for n in range(len(DTYPES))]
    )


def fill(slab: Slab) -> Slab:
    rng = np.random.default_rng(slab.tile.index)
    for values in slab.values:
        values[...] = rng.integers(0, 100, values.shape)
    slab.valid[...] = rng.random(slab.valid.shape) < 0.8
    slab.inside[...] = rng.random(slab.inside.shape) < 0.7
    return slab


def wanted_of(slab: Slab) -> np.ndarray:
    return slab.inside & (slab.valid.mean(axis=0) >= MIN_COVERAGE)


def slab_of(index: int) -> Slab:
    values = tuple(np.empty(SHAPE, dtype) for dtype in DTYPES)
    return fill(Slab(Tile(index, 0, 0, *SHAPE), values, np.empty((len(DTYPES), *SHAPE), bool), np.empty(SHAPE, bool)))


def through_a_pass(lanes: Lanes, threads: int) -> dict[int, Scored]:
    """Tiles through pinned slots that are filled again as soon as they are free."""
    stages = Threads(2, threads, 1)
    ring = Ring(stages.slots, layers(), MOST, lanes.allocate)

    def read(tile: Tile, slot: Slot) -> Slab:
        return fill(Slab(tile, *slot.arrays(tile)))

    def compute(slab: Slab) -> tuple[int, Scored]:
        return slab.tile.index, lanes.compute(slab, wanted_of(slab))

    return dict(Pass(stages, ring, read, compute, lambda done: done)([Tile(n, 0, 0, *SHAPE) for n in range(TILES)]))


def lanes_of(arrays: dict[str, np.ndarray], threads: int, said: list[str] | None = None) -> Lanes:
    lanes = Lanes(plan(), arrays, MIN_COVERAGE, ([] if said is None else said).append)
    lanes.prepare(threads, MOST)
    return lanes


def assert_same(got: dict[int, Scored], expected: dict[int, Scored]) -> None:
    assert sorted(got) == sorted(expected)
    for index, (scored, scores) in got.items():
        assert_same_bits(scored, expected[index][0])
        for name, values in scores.items():
            assert_same_bits(values, expected[index][1][name])


def test_near_the_backend_cpu(arrays: dict[str, np.ndarray]) -> None:
    """Memberships by the form for the CPU; scores by the definition."""
    said: list[str] = []
    lanes, fused = lanes_of(arrays, 1, said), refusal(arrays) is None
    assert any("XLA scores this ensemble" in line for line in said) is not fused
    for index in range(2):
        slab = slab_of(index)
        found = membership(slab.values, plan(), slab.valid, backend="cpu")
        expected = wanted_of(slab) & (found.valid.mean(axis=0) >= MIN_COVERAGE)
        scored, scores = lanes.compute(slab, wanted_of(slab))
        assert_same_bits(scored, expected)
        by_definition = Scorer(arrays, "numpy").score(found.mu[:, scored], found.valid[:, scored])
        for name in INDEX_MAPS:
            if name != "confidence":  # votes and medians fall the other way near a tie
                assert_close(scores[name], by_definition[name], SCORER_HALVES if fused else SCORER)
        assert (scores["groups"] == by_definition["groups"]).mean() > (0.99 if fused else 0.999)


@pytest.mark.parametrize("threads", [2, 3])
def test_the_bytes_do_not_depend_on_the_lanes(arrays: dict[str, np.ndarray], threads: int) -> None:
    assert_same(through_a_pass(lanes_of(arrays, threads), threads), through_a_pass(lanes_of(arrays, 1), 1))


def test_a_pool_that_is_too_small_changes_no_byte(cupy: Any, arrays: dict[str, np.ndarray]) -> None:
    expected = through_a_pass(lanes_of(arrays, 2), 2)
    said: list[str] = []
    lanes = lanes_of(arrays, 2, said)
    _card.release()
    pool = cupy.get_default_memory_pool()
    cell = sum(np.dtype(dtype).itemsize + 6 for dtype in DTYPES) + (39 if refusal(arrays) is None else 0)
    pool.set_limit(size=pool.used_bytes() + 5 * CHUNK * cell)
    assert_same(through_a_pass(lanes, 2), expected)
    assert len([line for line in said if "ran out of memory" in line]) == 1
    assert lanes._batches is not None
    assert CHUNK <= lanes._batches.cells < MOST // 2


def test_pinned_memory_is_pinned_and_outlives_its_ring(cupy: Any) -> None:
    ring = Ring(2, layers(), 1000, _card.pinned)
    values, valid, _ = ring.acquire().arrays(Tile(0, 0, 0, 25, 40))
    assert cupy.cuda.runtime.pointerGetAttributes(values[0].ctypes.data).type == 1  # cudaMemoryTypeHost
    del ring
    for array in values:
        array[...] = 5
    valid[...] = True
    assert all((array == 5).all() for array in values)


def test_the_card_that_jax_has_opened_is_not_taken(arrays: dict[str, np.ndarray]) -> None:
    """Under the limits of _card.py most of the card is still free after both libraries were at work."""
    through_a_pass(lanes_of(arrays, 2), 2)
    from mpmjax.ops import cuda

    free, total = cuda.memory()
    assert free > 0.5 * total or total < 12 << 30
