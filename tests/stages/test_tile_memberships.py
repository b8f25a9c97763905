"""Memberships of tiles: arrays that are written again must not carry anything from one tile, or thread, to another."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tolerances import assert_same_bits

from mpmjax.ops.cpu.lanes import TileMemberships
from mpmjax.ops.membership import membership
from mpmjax.ops.plan import MembershipPlan, plan_memberships
from mpmjax.types import Layer, Membership, Slab, Tile

LAYERS = tuple(Layer(name, "index", Path(name), 1, dtype) for name, dtype in (("a", "float32"), ("b", "int16")))
FITTED = (Membership("sigmoid", {"midpoint": 0.2, "slope": 2.0}), Membership("linear", {"lo": -50.0, "hi": 60.0}))


def plan() -> MembershipPlan:
    return plan_memberships(LAYERS, FITTED)


def slab(seed: int, shape: tuple[int, int]) -> Slab:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape).astype(np.float32), rng.integers(-90, 90, shape).astype(np.int16)
    return Slab(Tile(seed, 0, 0, *shape), values, rng.random((2, *shape)) < 0.7, np.ones(shape, bool))


def assert_fresh(found: tuple[np.ndarray, ...], of: Slab) -> None:
    expected = membership(of.values, plan(), of.valid, backend="cpu")
    assert_same_bits(found[0], np.asarray(expected.mu))
    assert_same_bits(found[1], np.asarray(expected.valid))


@pytest.mark.parametrize("backend", ["auto", "cpu", "numpy", "jax"])
def test_nothing_of_the_last_tile_stays(backend: str) -> None:
    fuzzify = TileMemberships(plan(), backend)
    for seed, shape in enumerate([(16, 21), (16, 21), (5, 21), (16, 21), (16, 21)]):
        of = slab(seed, shape)
        mu, valid, _ = fuzzify(of)
        assert mu.shape == (2, *shape)
        assert_same_bits(valid, np.asarray(membership(of.values, plan(), of.valid, backend="numpy").valid))
        if backend in ("auto", "cpu"):
            assert_fresh((mu, valid), of)


def test_a_thread_writes_into_its_own_arrays_again() -> None:
    fuzzify = TileMemberships(plan(), "cpu")
    first, again = fuzzify(slab(0, (16, 21))).mu, fuzzify(slab(1, (16, 21))).mu
    assert np.shares_memory(first, again)
    assert not np.shares_memory(again, fuzzify(slab(2, (16, 22))).mu)


def test_threads_at_once_do_not_disturb_each_other() -> None:
    fuzzify, together = TileMemberships(plan(), "cpu"), threading.Barrier(4)

    def work(worker: int) -> None:
        for turn in range(25):
            together.wait(timeout=60)  # all four hold what they were given, and are given the next
            of = slab(100 * worker + turn, (33, 40))
            mu, valid, _ = fuzzify(of)
            together.wait(timeout=60)
            assert_fresh((mu, valid), of)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [None] * 4
