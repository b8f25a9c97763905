"""The nine kernels of membership.cu, verbatim, on emulated blocks: every form, size, alignment and grid."""

from __future__ import annotations

import numpy as np
import pytest
from fuzzy_stacks import KERNEL_DTYPES, TABLE_DTYPES, expected_of, layer_of, raw_values, stacks
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import MEMBERSHIP, OVERLAY_FLOAT64_INSIDE, assert_close, assert_same_bits

from mpmjax.ops.plan import Overlay, plan_memberships
from mpmjax.reference.overlay import KINDS as OVERLAYS
from mpmjax.reference.overlay import overlay as reference_overlay
from mpmjax.types import Membership

FORMS = [
    f"membership_{order}_{half}{ending}"
    for order in ("layer", "cell")
    for half in ("f32", "f16")
    for ending in ("", "_overlay")
]
FORMS += ["membership_overlay"]


def alone(scalars, case) -> np.ndarray:
    """Memberships float32 [L, n] of a case by the functions that test_scalars.py judges, NaN where missing."""
    mu = np.empty((case.layers, case.cells), np.float32)
    for index, (raw, given_) in enumerate(zip(case.values, case.given, strict=True)):
        table = case.plan.table(index)
        if table is None:
            mu[index] = scalars.membership(raw, case.plan, index)
        else:
            mu[index] = table[raw.view(f"u{raw.itemsize}")]
        if given_ is not None:
            mu[index][given_ == 0] = np.nan
    return mu


def check(emulator, scalars, kernel, case, grid, block) -> None:
    """A launch gives, bit for bit, what one cell after the other gives."""
    expected = alone(scalars, case)
    mu, valid, overlay = emulator.run(kernel, case, grid, block)
    if mu is not None and valid is not None:
        ordered = expected if "_layer_" in kernel else np.ascontiguousarray(expected.T)
        good = ~np.isnan(ordered)
        assert_same_bits(valid, good.view(np.uint8))
        assert_same_bits(mu, np.where(good, ordered, np.float32(0.0)).astype(mu.dtype))
    if overlay is not None:
        assert_same_bits(overlay, scalars.overlay(expected, case.overlay))


def unaligned(array: np.ndarray, items: int) -> np.ndarray:
    """A copy that starts `items` items past an address that is a multiple of 16."""
    memory = np.empty(array.nbytes + array.itemsize * items + 16, np.uint8)
    start = -memory.ctypes.data % 16 + array.itemsize * items
    copy = memory[start : start + array.nbytes].view(array.dtype)
    copy[:] = array
    return copy


def mixed(make_case, cells: int, layers: int, seed: int = 3, overlay: Overlay | None = None):
    """Layers of all dtypes in turn, some with a mask, each as far out of line as the next is not."""
    rng = np.random.default_rng(seed)
    dtypes = [(TABLE_DTYPES + KERNEL_DTYPES)[index % 9] for index in range(layers)]
    kinds = [
        Membership("sigmoid", {"midpoint": 30.0, "slope": 0.05}, complement=True),
        Membership("category", knots_x=np.arange(-40.0, 150.0, 2.0), knots_y=np.linspace(0.0, 1.0, 95)),
        Membership("ecdf", knots_x=np.geomspace(0.1, 1e4, 64), knots_y=np.linspace(0.0, 1.0, 64)),
    ]
    layers_ = [layer_of(dtype, f"layer {index}", nodata=7.0) for index, dtype in enumerate(dtypes)]
    # No two linear layers are alike, or one's inverse could stand for another's.
    fitted = [
        Membership("linear", {"lo": 0.0, "hi": 50.0 + index}) if index % 4 == 0 else kinds[index % 4 - 1]
        for index in range(layers)
    ]
    plan = plan_memberships(layers_, fitted)
    values, masks = [], []
    for index, dtype in enumerate(dtypes):
        drawn = raw_values(dtype, seed + index)
        values.append(unaligned(rng.choice(drawn, cells), index % 5))
        masks.append(unaligned(rng.random(cells) < 0.8, index % 3) if index % 2 else None)
    return make_case(values, plan, masks, overlay or Overlay("gamma", 0.9))


@settings(deadline=None, max_examples=120)
@given(
    stack=stacks(),
    kernel=st.sampled_from(FORMS),
    kind=st.sampled_from(OVERLAYS),
    grid=st.integers(1, 4),
    block=st.integers(1, 9),
    skipped=st.integers(0, 3),
)
def test_every_kernel_agrees_with_the_definition(
    emulator, scalars, make_case, stack, kernel, kind, grid, block, skipped
):
    layers, fitted, seed = stack
    raw = [raw_values(layer.dtype, seed) for layer in layers]
    cells = min(array.size for array in raw)
    values = [unaligned(array[-cells:], skipped) for array in raw]
    valid = np.random.default_rng(seed).random((len(layers), cells)) < 0.9
    case = make_case(values, plan_memberships(layers, fitted), list(valid), Overlay(kind, 0.7))
    check(emulator, scalars, kernel, case, grid, block)
    mu, ok, overlay = emulator.run(kernel, case, grid, block)
    expected = np.stack([expected_of(one, layer, f) for one, layer, f in zip(values, layers, fitted, strict=True)])
    expected[~valid] = np.nan
    if mu is not None:
        got = np.where(ok != 0, mu, np.nan)
        got = got if "_layer_" in kernel else got.T
        if mu.dtype == np.float32:
            assert_close(got, expected, MEMBERSHIP)
        else:  # half a step of float16 below 1, and the same
            np.testing.assert_allclose(got, expected, rtol=0.0, atol=2.5e-4)
    if overlay is not None:
        rounded = alone(scalars, case)
        assert_close(overlay, reference_overlay(rounded, ~np.isnan(rounded), kind, 0.7), OVERLAY_FLOAT64_INSIDE)


@pytest.mark.parametrize("kernel", FORMS)
@pytest.mark.parametrize("cells", [0, 1, 3, 4, 5, 63, 1023, 1025])
def test_ragged_sizes(emulator, scalars, make_case, kernel, cells):
    check(emulator, scalars, kernel, mixed(make_case, cells, 9), grid=2, block=16)


@pytest.mark.parametrize("kernel", [form for form in FORMS if "f16" not in form])
@pytest.mark.parametrize("layers", [1, 2, 7, 8, 9, 17, 42, 70])
def test_numbers_of_layers(emulator, scalars, make_case, kernel, layers):
    """8 go through shared memory together; more than 64 have no inverses prepared."""
    check(emulator, scalars, kernel, mixed(make_case, 203, layers), grid=2, block=7)


@pytest.mark.parametrize("kernel", FORMS)
@pytest.mark.parametrize(("grid", "block"), [(1, 1), (1, 3), (7, 2), (3, 33), (40, 8), (1, 256)])
def test_bits_do_not_depend_on_the_launch(emulator, scalars, make_case, kernel, grid, block):
    check(emulator, scalars, kernel, mixed(make_case, 1031, 10), grid, block)


@pytest.mark.parametrize("kind", OVERLAYS)
def test_cells_of_which_no_layer_is_there_have_no_overlay(emulator, make_case, kind):
    raw = np.array([0.0, 1.0, np.nan, 4.0, np.nan], np.float32)
    fitted = Membership("linear", {"lo": 0.0, "hi": 4.0})
    plan = plan_memberships([layer_of("float32")] * 2, [fitted] * 2)
    weights = (0.0, 2.0) if kind == "mean" else None
    nothing = np.zeros(5, bool)
    case = make_case([raw, raw], plan, [None, nothing], Overlay(kind, 0.5, weights))
    _, _, overlay = emulator.run("membership_overlay", case)
    expected = np.full(5, np.nan) if kind == "mean" else np.array([0.0, 0.25, np.nan, 1.0, np.nan])
    assert np.array_equal(np.isnan(overlay), np.isnan(expected))
    np.testing.assert_allclose(overlay, expected, rtol=1e-6)


def test_kernels_without_an_overlay_look_at_none_of_it(emulator, scalars, make_case):
    """Their weights are NaN here and their overlay, which the emulator checks, stays poisoned."""
    case = mixed(make_case, 100, 5)
    case.weights[:] = np.nan
    check(emulator, scalars, "membership_cell_f32", case, 2, 4)
