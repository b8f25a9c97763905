"""What the CUDA form of the memberships hands to its kernels, on a made-up card.

The kernels themselves are judged in tests/kernels and, on a real card, in tests/gpu.
"""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_cupy import Array, Card, memory_at
from fake_kernels import installed, names, ramp_plan
from tolerances import assert_same_bits

from mpmjax.errors import DataError
from mpmjax.ops.gpu import membership as gpu
from mpmjax.ops.plan import MembershipPlan, Overlay

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
SHAPE = (7, 9)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Card]:
    with installed(monkeypatch, tmp_path) as card:
        yield card


def values_of(layers: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 255, SHAPE).astype(np.uint8) for _ in range(layers)]


def by_table(plan: MembershipPlan, values: list[np.ndarray], masks: list[np.ndarray | None]) -> np.ndarray:
    """float32 [L, ...], NaN where missing."""
    answers = [plan.table(index)[raw] for index, raw in enumerate(values)]  # type: ignore[index]
    return np.stack(
        [
            answer if mask is None else np.where(mask, answer, np.nan)
            for answer, mask in zip(answers, masks, strict=True)
        ]
    ).astype(np.float32)


def test_every_kernel_that_can_be_asked_for_is_there():
    declared = re.findall(r"^// budget (\w+)", (KERNELS / "membership.cu").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(set(declared)) == names()
    assert len(names()) == 9


@pytest.mark.parametrize("order", gpu.ORDERS)
@pytest.mark.parametrize("dtype", gpu.DTYPES)
@pytest.mark.parametrize("overlay", [None, Overlay("mean", weights=(1.0, 2.0, 0.5))], ids=["alone", "overlay"])
def test_pointers_and_outputs(card: Card, order: str, dtype: str, overlay: Overlay | None):
    plan, values = ramp_plan(), values_of()
    masks = [None, values[1] % 3 > 0, (values[2] % 5 > 0).view(np.uint8)]
    mu, valid, joined = gpu.membership(values, plan, masks, dtype=dtype, order=order, overlay=overlay)
    answers = by_table(plan, values, masks)
    expected = np.nan_to_num(answers).astype(dtype)
    axis = 0 if order == "layer" else -1
    assert_same_bits(np.asarray(mu), np.ascontiguousarray(np.moveaxis(expected, 0, axis)))
    assert_same_bits(np.asarray(valid), np.ascontiguousarray(np.moveaxis(~np.isnan(answers), 0, axis)))
    if overlay is None:
        assert joined is None
    else:
        shares = np.array(overlay.weights)[:, None, None] * ~np.isnan(answers)
        mean = (shares * np.nan_to_num(answers)).sum(axis=0) / shares.sum(axis=0)
        assert_same_bits(np.asarray(joined), mean.astype(np.float32))


def test_the_overlay_alone_leaves_the_rest_unmade(card: Card):
    plan = ramp_plan()
    mu, valid, joined = gpu.membership(values_of(), plan, overlay=Overlay("gamma", gamma=0.75), memberships=False)
    assert mu is None
    assert valid is None
    assert joined.shape == SHAPE
    (name, _, _, arguments) = card.launches[0]
    assert name == "membership_overlay"
    assert [arguments[place] for place in (7, 8)] == [0, 0]
    assert arguments[10:12] == (np.int32(4), np.float64(0.75))
    widths = [argument.dtype.name for argument in arguments if isinstance(argument, np.generic)]
    assert widths == ["uint64", "int32", "int64", "uint64", "uint64", "int32", "float64"]


def test_a_plan_is_uploaded_once_and_dropped_with_the_plan(card: Card):
    plan = ramp_plan()
    first = gpu.uploaded(plan)
    assert gpu.uploaded(plan) is first
    gpu.membership(values_of(), plan)
    assert len(gpu._uploaded) == 1
    records = weakref.ref(first.records)
    del first, plan
    card.launches.clear()
    gc.collect()
    assert gpu._uploaded == {}
    assert records() is None


def test_an_uploaded_plan_serves_too(card: Card):
    plan, values = ramp_plan(), values_of()
    there = gpu.upload(plan)
    assert_same_bits(np.asarray(gpu.membership(values, there)[0]), np.asarray(gpu.membership(values, plan)[0]))


def test_arrays_on_the_card_are_read_where_they_lie_if_they_can_be(card: Card):
    plan = ramp_plan(2)
    whole = values_of(1)[0].view(Array)
    gpu.membership([whole, whole.T.copy().T], plan)
    (raw, *_), count = card.launches[0][3], 2
    addresses = memory_at(raw.data.ptr, count, np.uint64)
    assert addresses[0] == whole.data.ptr
    assert addresses[1] != whole.data.ptr


def test_misaligned_arrays_are_copied(card: Card):
    bytes_ = np.zeros(4 * 63 + 1, np.uint8)[1:].view(Array)
    crooked = bytes_.view(np.int32)
    straight = gpu._on_card(card, crooked, "copper", 0)
    assert crooked.data.ptr % 4 != 0
    assert straight.data.ptr % 4 == 0


@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0)])
def test_nothing_is_launched_over_no_cells(card: Card, shape: tuple[int, ...]):
    mu, valid, joined = gpu.membership([np.zeros(shape, np.uint8)] * 3, ramp_plan(), overlay=Overlay("or"))
    assert mu.shape == valid.shape == (3, *shape)
    assert joined.shape == shape
    assert not card.launches


def test_refuses_what_was_not_planned(card: Card):
    plan, values = ramp_plan(), values_of()
    with pytest.raises(DataError, match="'layer 1' holds int32 where uint8"):
        gpu.membership([values[0], values[1].astype(np.int32), values[2]], plan)
    with pytest.raises(ValueError, match="planned 3 layers, got 2"):
        gpu.membership(values[:2], plan)
    with pytest.raises(ValueError, match=r"'layer 2' has shape \(6, 9\)"):
        gpu.membership([*values[:2], values[2][:6]], plan)
    with pytest.raises(ValueError, match=r"'layer 0' has shape a mask of \(9,\)"):
        gpu.membership(values, plan, [np.ones(9, bool), None, None])
    with pytest.raises(ValueError, match="the mask of layer 'layer 0' must be bool or uint8, got float64"):
        gpu.membership(values, plan, np.ones((3, *SHAPE)))
    with pytest.raises(TypeError, match=r"'layer 0' is a memoryview.*interop.to_cupy"):
        gpu._on_card(card, memoryview(b"1"), "layer 0", 0)


def test_refuses_options_that_mean_nothing(card: Card):
    plan, values = ramp_plan(), values_of()
    with pytest.raises(ValueError, match="float32 or float16, not as float64"):
        gpu.membership(values, plan, dtype="float64")
    with pytest.raises(ValueError, match="unknown order 'row'"):
        gpu.membership(values, plan, order="row")
    with pytest.raises(ValueError, match="neither memberships nor an overlay"):
        gpu.membership(values, plan, memberships=False)
    with pytest.raises(ValueError, match="weights must be 3 finite numbers"):
        gpu.membership(values, plan, overlay=Overlay("mean", weights=(1.0, 2.0)))
    there = gpu.upload(plan)
    elsewhere = gpu.DevicePlan(there.names, there.dtypes, 1, there.records, there.tables, there.knots)
    with pytest.raises(ValueError, match="lies on device 1, the current one is 0"):
        gpu.membership(values, elsewhere)
    assert not card.launches
