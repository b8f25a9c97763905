"""The JAX memberships against their definition, and what XLA would do to them: truncate, flush, contract, reorder."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fuzzy_stacks import (
    KERNEL_DTYPES,
    KINDS,
    TABLE_DTYPES,
    expected_of,
    fitted_memberships,
    layer_of,
    layers_drawn,
    params_of,
    raw_values,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export, lax
from jax.sharding import Mesh, PartitionSpec
from tolerances import (
    MEMBERSHIP,
    MEMBERSHIP_FLOAT64_INSIDE,
    OVERLAY_FLOAT64_INSIDE,
    assert_close,
    assert_same_bits,
    assert_same_order,
)

from mpmjax.errors import DataError
from mpmjax.ops.plan import Overlay, plan_memberships
from mpmjax.ops.xla.membership import membership, put
from mpmjax.ops.xla.overlay import overlay as unfused
from mpmjax.reference.overlay import KINDS as OVERLAYS
from mpmjax.reference.overlay import overlay as reference_overlay
from mpmjax.types import Membership

FLOAT16_STEP = 5e-4
"""Half a unit in the last place of float16 below 1 is 2.4e-4."""


def mixed_stack(cells: int, layers: int = 8, seed: int = 5) -> tuple:
    """A plan of all kinds and several dtypes in turn, and values with some missing."""
    rng = np.random.default_rng(seed)
    dtypes = ("float32", "int32", "int16", "float64", "uint8")
    stack, fitted, values = [], [], []
    for index in range(layers):
        kind, dtype = KINDS[-1 - index % len(KINDS)], dtypes[index % len(dtypes)]
        knots = np.arange(64.0) if kind == "category" else np.sort(rng.normal(20.0, 15.0, 64))
        one = Membership(kind, params_of(kind, 20.0, 15.0, 2.3), hedge=("none", "very", "somewhat")[index % 3])
        if kind in ("category", "ecdf"):
            one = Membership(kind, knots_x=knots, knots_y=np.linspace(0.0, 1.0, 64))
        scale, offset = (0.1, 0.3) if index % 3 == 2 else (1.0, 0.0)
        stack.append(layer_of(dtype, f"layer {index}", scale, offset, nodata=7.0))
        fitted.append(one)
        values.append(np.abs(rng.normal(20.0, 15.0, cells)).astype(dtype))
    return plan_memberships(stack, fitted), values


def assert_agrees(got: np.ndarray, expected: np.ndarray, fitted: Membership) -> None:
    # 1 - mu and a logarithm near lo cancel: what is left of 1e-16 is noise in both forms, and a root makes it 1e-8.
    cancels = fitted.complement or fitted.transform == "log"
    assert_close(got, expected, MEMBERSHIP if cancels else MEMBERSHIP_FLOAT64_INSIDE)
    assert_same_order(got, expected, slack=2.0**-24 if cancels else 0.0)


@settings(deadline=None, max_examples=20)
@given(
    layers=st.lists(layers_drawn(), min_size=1, max_size=3),
    data=st.data(),
    how=st.sampled_from([None, *(Overlay(kind) for kind in OVERLAYS)]),
    order=st.sampled_from(["layer", "cell"]),
    dtype=st.sampled_from(["float32", "float32", "float16"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_agrees_with_the_definition(layers, data, how, order, dtype, seed):
    fitted = [data.draw(fitted_memberships()) for _ in layers]
    values = [raw_values(layer.dtype, seed)[-135:].reshape(27, 5) for layer in layers]
    masks = [None if seed % 3 == index else mask for index, mask in enumerate(_masks(len(layers), (27, 5), seed))]
    plan = plan_memberships(layers, fitted)
    mu, ok, joined = membership(values, plan, masks, dtype=dtype, order=order, overlay=how)
    mu, ok = np.asarray(mu), np.asarray(ok)
    assert mu.dtype == dtype
    assert ok.dtype == np.bool_
    if order == "cell":
        mu, ok = np.moveaxis(mu, -1, 0), np.moveaxis(ok, -1, 0)
    assert mu.shape == ok.shape == (len(layers), 27, 5)
    for index, (layer, one, mask) in enumerate(zip(layers, fitted, masks, strict=True)):
        expected = expected_of(values[index], layer, one)
        if mask is not None:
            expected[~mask] = np.nan
        assert np.array_equal(ok[index], ~np.isnan(expected))
        assert not mu[index][~ok[index]].any()
        got = np.where(ok[index], mu[index], np.nan)
        if dtype == "float16":
            assert np.nanmax(np.abs(got - expected), initial=0.0) <= FLOAT16_STEP
        else:
            assert_agrees(got, expected, one)
    if how is not None and dtype == "float32":
        assert_close(np.asarray(joined), reference_overlay(mu, ok, how.kind), OVERLAY_FLOAT64_INSIDE)


def _masks(layers: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((layers, *shape)) < 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_dtype(kind):
    """The steep and the ends of each dtype: what float32 inside would get wrong."""
    needs = kind in ("category", "ecdf")
    knots = np.linspace(-40.0, 200.0, 241) if needs else None
    levels = np.linspace(0.0, 1.0, 241) if needs else None
    fitted = Membership(kind, params_of(kind, 20.0, 40.0, 3.3), knots_x=knots, knots_y=levels)
    dtypes = TABLE_DTYPES + KERNEL_DTYPES
    layers = [layer_of(dtype, dtype, nodata=7.0, valid_range=(-300.0, 300.0)) for dtype in dtypes]
    values = [raw_values(dtype, 11)[-130:] for dtype in dtypes]
    mu, ok, _ = membership(values, plan_memberships(layers, [fitted] * len(layers)))
    for index, layer in enumerate(layers):
        expected = expected_of(values[index], layer, fitted)
        assert np.array_equal(np.asarray(ok[index]), ~np.isnan(expected))
        assert_agrees(np.where(ok[index], mu[index], np.nan), expected, fitted)


@pytest.mark.parametrize("dtype", TABLE_DTYPES)
def test_tables_are_exact_for_every_code(dtype):
    limits = np.iinfo(dtype)
    raw = np.arange(limits.min, limits.max + 1).astype(dtype)
    layer = layer_of(dtype, scale=0.5, offset=3.0, nodata=7.0)
    fitted = Membership("large", {"midpoint": 20.0, "spread": 3.3}, hedge="somewhat")
    mu, ok, _ = membership([raw], plan_memberships([layer], [fitted]))
    expected = expected_of(raw, layer, fitted)
    assert np.array_equal(np.asarray(ok[0]), ~np.isnan(expected))
    assert_same_bits(np.asarray(mu[0]), np.nan_to_num(expected).astype(np.float32))


def test_forty_two_layers_keep_their_product():
    """42 memberships of 1e-8: a plain float64 product is 0, and gamma with it."""
    mu = np.random.default_rng(2).uniform(0.5e-8, 2e-8, (42, 100)).astype(np.float32)
    ok = np.ones(mu.shape, bool)
    for kind in ("product", "gamma", "sum"):
        joined = jax.jit(partial(unfused, how=Overlay(kind)))(mu, ok)
        expected = reference_overlay(mu, ok, kind)
        assert (expected > 2.0**-149).all() or kind == "product"
        assert_close(np.asarray(joined), expected, OVERLAY_FLOAT64_INSIDE)


@pytest.mark.parametrize("kind", OVERLAYS)
def test_a_fused_overlay_has_the_bits_of_the_unfused(kind):
    plan, values = mixed_stack(1003, layers=7)
    masks = _masks(7, (1003,), 3)
    how = Overlay(kind, weights=(1.0, 0.1, 0.7, 0.0, 3.0, 0.2, 1.0) if kind == "mean" else None)
    mu, ok, joined = membership(values, plan, masks, overlay=how)
    assert np.asarray(ok).any(axis=0).sum() > 1000
    apart = jax.jit(partial(unfused, how=how))(mu, ok)
    assert_same_bits(np.asarray(joined), np.asarray(apart))
    _, _, alone = membership(values, plan, masks, overlay=how, memberships=False)
    assert_same_bits(np.asarray(alone), np.asarray(apart))
    if kind == "gamma":
        # The memberships are not read back for these two.
        half, _, of_half = membership(values, plan, masks, overlay=how, dtype="float16")
        assert_same_bits(np.asarray(of_half), np.asarray(apart))
        assert_same_bits(np.asarray(half), np.asarray(mu).astype(np.float16))
    weights = None if how.weights is None else np.array(how.weights)
    expected = reference_overlay(np.asarray(mu), np.asarray(ok), kind, how.gamma, weights)
    assert_close(np.asarray(joined), expected, OVERLAY_FLOAT64_INSIDE)


def test_float16_is_the_rounded_float32():
    """Of float64 values next to a middle of two float16 numbers, those that float32 moves onto it."""
    places = np.arange(1, 1024)
    middles = 0.5 + (places + 0.5) * 2.0**-11
    raw = np.concatenate([middles * (1.0 + 2.0**-28), middles * (1.0 - 2.0**-28)])
    plan = plan_memberships([layer_of("float64")], [Membership("linear", {"lo": 0.0, "hi": 1.0})])
    half, _, _ = membership([raw], plan, dtype="float16")
    once = raw.astype(np.float32).astype(np.float16)
    assert (once != raw.astype(np.float16)).any()
    assert_same_bits(np.asarray(half[0]), once)


def test_scale_and_offset_are_rounded_one_after_the_other():
    """XLA would contract them into one rounding: 30 % of these codes would then be no category, or miss a step."""
    raw = np.arange(-200_000, 200_000, dtype=np.int32)
    codes = raw[::800] * 0.1 + 0.3
    fitted = Membership("category", knots_x=codes, knots_y=np.linspace(0.0, 1.0, codes.size))
    _, ok, _ = membership([raw], plan_memberships([layer_of("int32", scale=0.1, offset=0.3)], [fitted]))
    assert np.array_equal(np.flatnonzero(ok[0]), np.arange(0, raw.size, 800))


def test_float32_subnormals_are_what_they_are():
    raw = np.array([0.0, -0.0, 1e-45, -1e-45, 1e-40, -1e-40, 1.1754942e-38, 1.1754944e-38, 1.0], np.float32)
    step = Membership("ms_small", {"mean": 0.0, "sd": 1e-3, "a": 1.0, "b": 1.0, "esri_compat": 1.0})
    layers = [layer_of("float32"), layer_of("float32"), layer_of("float32", nodata=0.0)]
    layers.append(layer_of("float32", nodata=float(np.float32(1e-40)), valid_range=(0.0, 1.0)))
    fitted = [step, Membership("large", {"midpoint": 1.0, "spread": 0.01}), step, step]
    mu, ok, _ = membership([raw] * 4, plan_memberships(layers, fitted))
    for index, layer in enumerate(layers):
        expected = expected_of(raw, layer, fitted[index])
        assert np.array_equal(np.asarray(ok[index]), ~np.isnan(expected))
        assert_close(np.where(ok[index], mu[index], np.nan), expected, MEMBERSHIP_FLOAT64_INSIDE)
    assert np.asarray(mu[0]).tolist()[:4] == [0.0, 0.0, 1.0, 0.0]


def test_float64_subnormals_count_as_zero_on_the_cpu():
    raw = np.array([0.0, 5e-324, 1e-310, 2.3e-308])
    fitted = Membership("large", {"midpoint": 1.0, "spread": 0.01})
    mu, _, _ = membership([raw], plan_memberships([layer_of("float64")], [fitted]))
    assert np.asarray(mu[0]).tolist()[:3] == [0.0, 0.0, 0.0]
    assert mu[0, 3] > 1e-4


def test_low_memberships_keep_their_digits():
    raw = np.geomspace(1e-6, 9.0, 500)
    fitted = [
        Membership("large", {"midpoint": 20.0, "spread": 5.5}),
        Membership("power", {"lo": 0.0, "hi": 20.0, "exponent": 5.5}),
        Membership("gaussian", {"midpoint": 10.0, "spread": 0.92}),
        Membership("sigmoid", {"midpoint": 10.0, "slope": 9.2}),
    ]
    layers = [layer_of("float64")] * len(fitted)
    mu, ok, joined = membership([raw] * len(fitted), plan_memberships(layers, fitted), overlay=Overlay("gamma"))
    for index, one in enumerate(fitted):
        expected = expected_of(raw, layers[index], one)
        assert 0.0 < expected[0] < 2.0**-126
        assert_close(np.asarray(mu[index]), expected, MEMBERSHIP_FLOAT64_INSIDE)
        assert_same_order(np.asarray(mu[index]), expected)
    # Subnormal memberships are read back as what they are.
    assert_close(np.asarray(joined), reference_overlay(np.asarray(mu), np.asarray(ok), "gamma"), OVERLAY_FLOAT64_INSIDE)


def test_int32_is_exact_near_its_limit():
    raw = np.arange(2**31 - 1150, 2**31 - 1, dtype=np.int64).astype(np.int32)
    fitted = Membership("linear", {"lo": 2.0**31 - 1100, "hi": 2.0**31 - 100})
    mu, _, _ = membership([raw], plan_memberships([layer_of("int32")], [fitted]))
    assert_close(np.asarray(mu[0]), expected_of(raw, layer_of("int32"), fitted), MEMBERSHIP_FLOAT64_INSIDE)
    assert mu[0, 550] == np.float32(0.5)


def test_ecdf_after_a_logarithm_takes_the_whole_step_of_a_tie():
    """NumPy made the knots: an ulp between its logarithm and ours must not send a value that many share a step down."""
    shared = np.random.default_rng(7).gamma(2.0, 30.0, 100)
    levels = np.linspace(0.0, 1.0, 1024)
    knots = np.sort(np.quantile(np.log10(np.repeat(shared, 20)), levels, method="nearest"))
    fitted = Membership("ecdf", transform="log", floor=1e-4, knots_x=knots, knots_y=levels)
    mu, _, _ = membership([shared], plan_memberships([layer_of("float64")], [fitted]))
    last = np.searchsorted(knots, np.log10(shared), side="right") - 1
    assert_close(np.asarray(mu[0]), levels[last], MEMBERSHIP)


@pytest.mark.parametrize("scale", [1e300, -1e300])
def test_what_overflows_in_scaling_is_missing(scale):
    raw = np.array([1e9, -1e9, 1.0, -1.0])
    layer = layer_of("float64", scale=scale, offset=1.0)
    fitted = Membership("sigmoid", {"midpoint": 0.0, "slope": 1.0})
    mu, ok, _ = membership([raw], plan_memberships([layer], [fitted]))
    assert np.asarray(ok[0]).tolist() == [False, False, True, True]
    assert np.asarray(mu[0]).tolist() == [0.0, 0.0, *((1.0, 0.0) if scale > 0.0 else (0.0, 1.0))]


@pytest.mark.parametrize("spacing", [1.0, 0.25, 5000.0])
def test_categories_by_table_and_by_search(spacing):
    codes = np.arange(-150.0, 151.0) * spacing
    codes = np.delete(codes, [3, 77])
    fitted = Membership("category", {"default": 0.25}, knots_x=codes, knots_y=np.linspace(0.0, 1.0, codes.size))
    near = np.concatenate([codes, codes + 1e-9, codes + 0.5 * spacing, [-1e300, 1e300, 1e9, 0.5]])
    mu, _, _ = membership([near], plan_memberships([layer_of("float64")], [fitted]))
    assert_same_bits(np.asarray(mu[0]), expected_of(near, layer_of("float64"), fitted).astype(np.float32))


def test_bits_depend_on_the_value_alone():
    """P7: not on the size, the shape or the place of an array. XLA's loops over remainders compute as its main ones."""
    plan, values = mixed_stack(2100)
    how = Overlay("gamma")
    whole = [np.asarray(part) for part in membership(values, plan, overlay=how)]
    assert np.unique(whole[0]).size > 4000
    for start, stop in [(0, 1), (1, 8), (5, 132), (999, 2100)]:
        part = membership([array[start:stop] for array in values], plan, overlay=how)
        for one, all_of in zip(part, whole, strict=True):
            assert_same_bits(np.asarray(one), all_of[..., start:stop])
    folded = membership([array.reshape(42, 50) for array in values], plan, overlay=how)
    for one, all_of in zip(folded, whole, strict=True):
        assert_same_bits(np.asarray(one).reshape(all_of.shape), all_of)


def test_inside_other_transformations():
    """jit, vmap in both orders, lax.map and shard_map, in a process without 64 bits."""
    plan, values = mixed_stack(960, layers=5)
    how = Overlay("gamma")
    assert not jax.config.jax_enable_x64

    def compute(*arrays):
        return membership(arrays, plan, overlay=how, order="cell")

    whole = [np.asarray(part) for part in compute(*values)]
    tiles = put([array.reshape(6, 160) for array in values])
    mesh = Mesh(np.array(jax.devices()[:1]), ("cells",))
    rows = PartitionSpec("cells")
    runs = {
        "jit": jax.jit(compute),
        "jit of vmap": jax.jit(jax.vmap(compute)),
        "vmap of jit": jax.vmap(jax.jit(compute)),
        "lax.map": jax.jit(lambda *arrays: lax.map(lambda one: compute(*one), arrays)),
        "shard_map": jax.jit(jax.shard_map(compute, mesh=mesh, in_specs=rows, out_specs=rows)),
    }
    for name, run in runs.items():
        for one, all_of in zip(run(*tiles), whole, strict=True):
            assert one.dtype == all_of.dtype, name
            assert_same_bits(np.asarray(one).reshape(all_of.shape), all_of)


def test_with_64_bits_everywhere():
    plan, values = mixed_stack(300, layers=5)
    without = membership(values, plan, overlay=Overlay("sum"))
    with jax.enable_x64(True):
        within = jax.jit(lambda arrays: membership(arrays, plan, overlay=Overlay("sum")))(values)
    for one, other in zip(within, without, strict=True):
        assert_same_bits(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("platform", ["cuda", "cpu"])
def test_lowers_for_a_device_that_is_not_here(platform):
    plan, values = mixed_stack(4096, layers=12)
    program = jax.jit(lambda arrays: membership(arrays, plan, overlay=Overlay("gamma"), dtype="float16"))
    exported = export.export(program, platforms=[platform])(put(values))
    assert exported.platforms == (platform,)
    assert [str(out.dtype) for out in exported.out_avals] == ["float16", "bool", "float32"]


def test_an_array_that_jax_made_smaller_is_refused():
    fitted = [Membership("linear", {"lo": 0.0, "hi": 1.0})]
    for dtype in ("float64", "int64"):
        plan = plan_memberships([layer_of(dtype)], fitted)
        raw = np.linspace(0.0, 3.0, 10).astype(dtype)
        program = jax.jit(lambda array, plan=plan: membership([array], plan)[0])
        with pytest.raises(DataError, match=rf"'copper' holds {dtype[:-2]}32 where {dtype} .*put"):
            program(raw)
        placed = put([raw])
        assert placed[0].dtype == dtype
        assert_same_bits(np.asarray(program(*placed)), np.clip(raw, 0.0, 1.0).astype(np.float32)[None])


def test_put_copies():
    raw = np.arange(4096.0)
    (placed,) = put([raw], jax.devices()[0])
    raw[:] = -1.0
    assert np.array_equal(np.asarray(placed), np.arange(4096.0))


@pytest.mark.parametrize("shape", [(), (0,), (0, 10), (3, 0), (1,), (2, 3, 4)])
def test_any_shape(shape):
    plan = plan_memberships([layer_of("float32"), layer_of("uint8")], [Membership("linear", {"lo": 0, "hi": 9})] * 2)
    values = [np.full(shape, 3, np.float32), np.full(shape, 3, np.uint8)]
    for order, whole in (("layer", (2, *shape)), ("cell", (*shape, 2))):
        mu, ok, joined = membership(values, plan, order=order, overlay=Overlay("mean"))
        assert mu.shape == ok.shape == whole
        assert joined.shape == shape
        assert (np.asarray(mu) == np.float32(1 / 3)).all()


def test_masks_and_cells_without_a_layer():
    plan = plan_memberships([layer_of("int16"), layer_of("int32")], [Membership("linear", {"lo": 0, "hi": 10})] * 2)
    values = [np.full(4, 5, np.int16), np.full(4, 2, np.int32)]
    masks = np.array([[1, 0, 1, 0], [1, 1, 0, 0]], np.uint8)
    mu, ok, joined = membership(values, plan, masks, overlay=Overlay("mean", weights=(1.0, 0.0)))
    assert np.array_equal(np.asarray(ok), masks.astype(bool))
    assert np.asarray(mu).tolist() == np.float32([[0.5, 0.0, 0.5, 0.0], [0.2, 0.2, 0.0, 0.0]]).tolist()
    assert np.array_equal(np.asarray(joined), np.float32([0.5, np.nan, 0.5, np.nan]), equal_nan=True)
    again, _, _ = jax.jit(lambda masks: membership(values, plan, [masks, None]))(jnp.array([True, True, False, False]))
    assert np.asarray(again)[:, 3].tolist() == np.float32([0.0, 0.2]).tolist()


def test_refuses_what_was_not_planned():
    plan = plan_memberships([layer_of("float32")], [Membership("linear", {"lo": 0.0, "hi": 1.0})])
    raw = np.zeros((2, 3), np.float32)
    with pytest.raises(DataError, match="'copper' holds int32 where float32"):
        membership([raw.astype(np.int32)], plan)
    with pytest.raises(ValueError, match="planned 1 layers"):
        membership([raw, raw], plan)
    with pytest.raises(ValueError, match="its mask"):
        membership([raw], plan, [np.ones((3, 2), bool)])
    with pytest.raises(ValueError, match="masks of 2"):
        membership([raw], plan, [None, None])
    with pytest.raises(ValueError, match="dtype is"):
        membership([raw], plan, dtype="float64")
    with pytest.raises(ValueError, match="order is"):
        membership([raw], plan, order="cells")
    with pytest.raises(ValueError, match="leaves nothing"):
        membership([raw], plan, memberships=False)
    with pytest.raises(ValueError, match="unknown overlay"):
        membership([raw], plan, overlay=Overlay("xor"))
    with pytest.raises(ValueError, match="must be float32"):
        unfused(jnp.zeros((1, 3), jnp.float16), jnp.ones((1, 3), bool), Overlay("and"))
    with pytest.raises(ValueError, match="must be the same"):
        unfused(jnp.zeros((1, 3)), jnp.ones((1, 2), bool), Overlay("and"))
