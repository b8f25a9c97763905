"""The memberships on a real card against their definition: kinds, dtypes, nodata rules, orders, overlays, odd sizes.

All memory is poisoned (conftest.py), so that a value no kernel wrote is no value by luck.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from fuzzy_stacks import KERNEL_DTYPES, KINDS, TABLE_DTYPES, expected_of, layer_of, params_of, raw_values, stacks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tolerances import (
    MEMBERSHIP,
    MEMBERSHIP_FLOAT16,
    MEMBERSHIP_FLOAT64_INSIDE,
    OVERLAY_FLOAT64_INSIDE,
    assert_close,
    assert_same_bits,
    assert_same_order,
)

from mpmjax.ops import cuda
from mpmjax.ops.gpu.membership import DTYPES, ORDERS, membership, upload
from mpmjax.ops.plan import MembershipPlan, Overlay, plan_memberships
from mpmjax.reference.overlay import KINDS as OVERLAYS
from mpmjax.reference.overlay import overlay as overlay_by_definition
from mpmjax.types import Layer, Membership

pytestmark = pytest.mark.gpu

ON_ONE_CARD = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
NODATA = ({}, {"nodata": 0.0}, {"nodata": -9999.0}, {"valid_range": (-5.0, 100.0)}, {"nodata": float("nan")})
TRANSFORMS = ("none", "log", "sqrt")


def fitted_of(kind: str, transform: str = "none") -> Membership:
    """A membership that does its rising and falling among the values of `raw_values`."""
    centre, width = {"none": (20.0, 15.0), "log": (1.2, 0.3), "sqrt": (4.0, 2.0)}[transform]
    knots = np.sort(np.round(np.random.default_rng(5).normal(centre, width, 64), 2)) if kind == "ecdf" else None
    knots = np.arange(64.0) if kind == "category" else knots
    levels = None if knots is None else np.linspace(0.0, 1.0, 64)
    return Membership(kind, params_of(kind, centre, width, 3.3), transform, 0.01, False, "none", knots, levels)


def stack_of(dtype: str) -> tuple[list[Layer], list[Membership]]:
    """Every kind under every nodata rule; transforms in turn, but none for categories."""
    layers, fitted = [], []
    for number, (kind, rule) in enumerate(itertools.product(KINDS, NODATA)):
        transform = "none" if kind == "category" else TRANSFORMS[number % 3]
        layers.append(layer_of(dtype, f"{kind} {number}", *[(1.0, 0.0), (0.5, 3.0)][number % 2], **rule))
        fitted.append(fitted_of(kind, transform))
    return layers, fitted


def mixed_plan() -> MembershipPlan:
    """Ten layers, a dtype each and one more, so that a thread meets all of them."""
    dtypes = (*TABLE_DTYPES, *KERNEL_DTYPES, "float32")
    layers = [layer_of(dtype, dtype, nodata=7.0) for dtype in dtypes]
    return plan_memberships(layers, [fitted_of(kind) for kind in KINDS[: len(layers)]])


def mixed_values(cells: int, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 100, cells).astype(dtype) for dtype in mixed_plan().dtypes]


def host(array: Any) -> np.ndarray:
    return array.get()


def in_layer_order(array: Any, order: str) -> np.ndarray:
    return np.ascontiguousarray(host(array) if order == "layer" else np.moveaxis(host(array), -1, 0))


def assert_agrees(mu: np.ndarray, ok: np.ndarray, expected: np.ndarray, one: Membership) -> None:
    assert np.array_equal(ok, ~np.isnan(expected))
    assert not mu[~ok].any()
    got = np.where(ok, mu, np.nan)
    if mu.dtype == np.float16:
        assert_close(got, expected, MEMBERSHIP_FLOAT16)
        return
    # 1 - mu and a logarithm near lo cancel: what is left of 1e-16 is noise in both forms, and a root makes it 1e-8.
    cancels = one.complement or one.transform == "log"
    assert_close(got, expected, MEMBERSHIP if cancels else MEMBERSHIP_FLOAT64_INSIDE)
    assert_same_order(got, expected, slack=2.0**-24 if cancels else 0.0)


@pytest.mark.parametrize("overlay", [None, Overlay("gamma", 0.9)], ids=["alone", "gamma"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("raw_dtype", TABLE_DTYPES + KERNEL_DTYPES)
def test_every_kind_and_nodata_rule(cupy: Any, raw_dtype: str, dtype: str, order: str, overlay: Overlay | None):
    layers, fitted = stack_of(raw_dtype)
    raw = raw_values(raw_dtype, 8, 1500)
    plan = plan_memberships(layers, fitted)
    mu, ok, joined = membership([cupy.asarray(raw)] * len(layers), plan, dtype=dtype, order=order, overlay=overlay)
    assert (mu.dtype, ok.dtype) == (np.dtype(dtype), np.dtype(bool))
    mu, ok = in_layer_order(mu, order), in_layer_order(ok, order)
    expected = [expected_of(raw, layer, one) for layer, one in zip(layers, fitted, strict=True)]
    for index, one in enumerate(fitted):
        assert_agrees(mu[index], ok[index], expected[index], one)
    if overlay is not None and dtype == "float32":
        assert_close(host(joined), overlay_by_definition(mu, ok, "gamma", 0.9), OVERLAY_FLOAT64_INSIDE)


@ON_ONE_CARD
@given(stacks(), st.sampled_from(DTYPES), st.sampled_from(ORDERS), st.booleans())
def test_agrees_with_the_definition(cupy: Any, stack: Any, dtype: str, order: str, masked: bool):
    layers, fitted, seed = stack
    raw = [raw_values(layer.dtype, seed) for layer in layers]
    cells = min(array.size for array in raw)
    values = [array[-cells:] for array in raw]
    valid = np.random.default_rng(seed).random((len(layers), cells)) < (0.9 if masked else 2.0)
    masks = [mask if index % 2 else None for index, mask in enumerate(valid)] if masked else None
    mu, ok, _ = membership(values, plan_memberships(layers, fitted), masks, dtype=dtype, order=order)
    mu, ok = in_layer_order(mu, order), in_layer_order(ok, order)
    for index, (layer, one) in enumerate(zip(layers, fitted, strict=True)):
        there = valid[index] if masked and index % 2 else np.ones(cells, bool)
        assert_agrees(mu[index], ok[index], np.where(there, expected_of(values[index], layer, one), np.nan), one)


@pytest.mark.parametrize("dtype", TABLE_DTYPES)
def test_tables_are_exact_for_every_code(cupy: Any, dtype: str):
    limits = np.iinfo(dtype)
    raw = np.arange(limits.min, limits.max + 1).astype(dtype)
    layers, fitted = stack_of(dtype)
    mu, ok, _ = membership([cupy.asarray(raw)] * len(layers), plan_memberships(layers, fitted))
    for index, (layer, one) in enumerate(zip(layers, fitted, strict=True)):
        expected = expected_of(raw, layer, one)
        assert_same_bits(host(mu)[index], np.where(np.isnan(expected), 0.0, expected).astype(np.float32))
        assert np.array_equal(host(ok)[index], ~np.isnan(expected))


@pytest.mark.parametrize("kind", OVERLAYS)
def test_an_overlay_is_the_same_bits_however_it_is_asked_for(cupy: Any, kind: str):
    plan, values = mixed_plan(), [cupy.asarray(array) for array in mixed_values(5000)]
    masks = [cupy.asarray(np.random.default_rng(index).random(5000) < 0.7) for index in range(10)]
    overlay = Overlay(kind, 0.75, tuple(np.linspace(0.0, 2.0, 10)) if kind == "mean" else None)
    _, _, alone = membership(values, plan, masks, overlay=overlay, memberships=False)
    for dtype, order in itertools.product(DTYPES, ORDERS):
        _, _, joined = membership(values, plan, masks, dtype=dtype, order=order, overlay=overlay)
        assert_same_bits(host(joined), host(alone))
    mu, ok, _ = membership(values, plan, masks)
    weights = overlay.shares(10) if kind == "mean" else None
    assert_close(host(alone), overlay_by_definition(host(mu), host(ok), kind, 0.75, weights), OVERLAY_FLOAT64_INSIDE)


def test_the_overlay_of_many_low_memberships_does_not_underflow(cupy: Any):
    plan = plan_memberships([layer_of("float32")] * 42, [Membership("linear", {"lo": 0.0, "hi": 1.0})] * 42)
    low = np.geomspace(1e-8, 1e-3, 500).astype(np.float32)
    _, _, joined = membership([cupy.asarray(low)] * 42, plan, overlay=Overlay("gamma", 0.9), memberships=False)
    assert (np.diff(host(joined)) > 0.0).all()


def test_a_cell_without_a_layer_has_no_overlay(cupy: Any):
    plan, values = mixed_plan(), mixed_values(50)
    gone = np.zeros((10, 50), bool)
    mu, ok, joined = membership(values, plan, gone, overlay=Overlay("or"))
    assert not host(mu).any()
    assert not host(ok).any()
    assert np.isnan(host(joined)).all()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("cells", [1, 2, 3, 4, 5, 31, 1023, 1024, 1025, 4099])
def test_ragged_sizes(cupy: Any, cells: int, order: str):
    """The first cells of a tile and a tile of those cells alone: the same bits."""
    plan, whole = mixed_plan(), mixed_values(5003)
    mu, ok, joined = membership([array[:cells] for array in whole], plan, order=order, overlay=Overlay("gamma"))
    every, all_ok, all_joined = membership(whole, plan, overlay=Overlay("gamma"))
    assert_same_bits(in_layer_order(mu, order), np.ascontiguousarray(host(every)[:, :cells]))
    assert_same_bits(in_layer_order(ok, order), np.ascontiguousarray(host(all_ok)[:, :cells]))
    assert_same_bits(host(joined), host(all_joined)[:cells])


@pytest.mark.parametrize("order", ORDERS)
def test_a_tile_larger_than_the_grid(cupy: Any, order: str):
    """Threads go round: cells beyond the first round are the same bits as in a tile of their own."""
    round_ = cuda.blocks(1 << 40, cuda._processors(0)) * cuda.THREADS * cuda.CELLS_A_THREAD
    plan, whole = mixed_plan(), mixed_values(2 * round_ + 4099)
    mu, ok, _ = membership(whole, plan, order=order)
    mu, ok = in_layer_order(mu, order), in_layer_order(ok, order)
    for start in (0, round_ - 500, round_, 2 * round_):
        piece = slice(start, start + 4099)
        alone, there, _ = membership([array[piece] for array in whole], plan)
        assert_same_bits(np.ascontiguousarray(mu[:, piece]), host(alone))
        assert_same_bits(np.ascontiguousarray(ok[:, piece]), host(there))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("start", [1, 2, 3, 5])
def test_slices_that_no_vector_load_may_touch(cupy: Any, start: int, order: str):
    plan, whole = mixed_plan(), [cupy.asarray(array) for array in mixed_values(3001)]
    mask = cupy.asarray(np.random.default_rng(4).random(3001) < 0.8)
    every, all_ok, _ = membership(whole, plan, [mask] * 10)
    mu, ok, _ = membership([array[start:] for array in whole], plan, [mask[start:]] * 10, order=order)
    assert_same_bits(in_layer_order(mu, order), np.ascontiguousarray(host(every)[:, start:]))
    assert_same_bits(in_layer_order(ok, order), np.ascontiguousarray(host(all_ok)[:, start:]))


def test_shapes_and_arrays_that_are_not_contiguous(cupy: Any):
    plan, flat = mixed_plan(), [array.reshape(30, 40) for array in mixed_values(1200)]
    turned = [cupy.asarray(array.T.copy()).T for array in flat]
    straight, _, joined = membership(flat, plan, overlay=Overlay("mean"))
    mu, _, _ = membership(turned, plan)
    assert mu.shape == (10, 30, 40)
    assert joined.shape == (30, 40)
    assert_same_bits(host(mu), host(straight))
    by_cell, _, _ = membership(turned, plan, order="cell")
    assert by_cell.shape == (30, 40, 10)


def test_streams_do_not_meet(cupy: Any):
    """Many tiles on several streams, every input and result dropped as soon as Python may: nobody reads another's."""
    there, plan = upload(mixed_plan()), mixed_plan()
    tiles = [mixed_values(20_000, seed) for seed in range(12)]
    # Sums of the bits: exact in any order.
    expected = [host(membership(tile, plan)[0]).view(np.uint32).sum(axis=1, dtype=np.uint64) for tile in tiles]
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(3)]
    sums = []
    for turn in range(60):
        with streams[turn % 3]:
            mu, _, _ = membership(tiles[turn % 12], there, overlay=Overlay("gamma"))
            sums.append((mu.view(np.uint32).sum(axis=1, dtype=np.uint64), streams[turn % 3]))
    for turn, (total, stream) in enumerate(sums):
        with stream:
            assert_same_bits(host(total), expected[turn % 12])


def test_a_host_array_may_be_written_as_soon_as_the_call_returns(cupy: Any):
    plan = plan_memberships([layer_of("float32")], [Membership("linear", {"lo": 0.0, "hi": 100.0})])
    pinned = np.frombuffer(cupy.cuda.alloc_pinned_memory(4 << 20), np.float32, 1 << 20)
    for tile in range(8):
        pinned[:] = 10.0 * tile
        mu, _, _ = membership([pinned], plan)
        pinned[:] = 99.0
        assert_same_bits(host(mu)[0], np.full(1 << 20, np.float32(tile / 10)))
