"""Memberships of a stack of layers in JAX, with their overlay: by itself, or inside `jax.jit`, on any device of JAX.

The formulas are those of mpmjax.reference.membership, presence and overlay, which judge this file. All is float64
inside and rounded to float32 once, whether or not the process runs with `jax_enable_x64`: slopes can be steep and
int32 values large, and float32 would lose the order of cells. What XLA does to numbers is dealt with in numerics.py.

Bits. A cell's results depend on its own values alone: arrays of any size and shape give the same bits, on one device
with one version of JAX, because each operation is on one cell. (The LSTM is different: it sums products, and XLA orders
sums by shape.) Other devices and versions may differ in the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mpmjax.errors import DataError
from mpmjax.ops.plan import MembershipPlan, Overlay
from mpmjax.ops.xla import overlay as overlays
from mpmjax.ops.xla.formulas import compute, look_up

Results = tuple[jax.Array | None, jax.Array | None, jax.Array | None]


def membership(
    values: Sequence[Any],
    plan: MembershipPlan,
    given: Any = None,
    *,
    dtype: str = "float32",
    order: str = "layer",
    overlay: Overlay | None = None,
    memberships: bool = True,
) -> Results:
    """Memberships of L layers, cell by cell, compiled once for each plan, shape and choice.

    May be called inside `jax.jit`, `jax.vmap` over axes of cells, `shard_map` and `lax.map`: plan and overlay are
    constants there. Arrays of 64 bits get into such a function by `put`; JAX would make 32 bits of others.

    Args:
        values: L arrays of one shape [...], of JAX or NumPy, raw as in their files, each in the dtype its layer was
            planned for. NumPy arrays must stay as they are until the results are ready.
        plan: from `plan_memberships`; it knows what is nodata.
        given: masks besides it: bool or uint8 [L, ...], or L such arrays [...] or None; 0 where a layer is missing.
        dtype: float32 or float16 (the nearest to the float32 membership).
        order: layer for [L, ...], cell for [..., L].
        overlay: what joins the layers of a cell, from their float32 memberships: the bits of `overlay.overlay`.
        memberships: False where only the overlay is wanted: nothing else is then kept.

    Returns:
        mu: float32 or float16 in [0, 1], 0 where not valid; None without memberships.
        valid: bool of the shape of mu; None with it.
        overlay: float32 [...] in [0, 1], NaN where no layer is valid; None where none was asked for.

    On the CPU, XLA takes float64 subnormals (below 2.3e-308) for 0: a float64 layer, or one scaled down to there. Those
    of float32 count as what they are, in values and in memberships.

    Raises:
        DataError: an array whose dtype is not the planned one; names the layer.
        ValueError: numbers of layers, shapes or choices that do not fit.
    """
    _require(dtype in ("float32", "float16"), f"dtype is float32 or float16, got {dtype!r}")
    _require(order in ("layer", "cell"), f"order is layer or cell, got {order!r}")
    _require(memberships or overlay is not None, "memberships = False leaves nothing to compute without an overlay")
    _require(len(values) == len(plan.names), f"planned {len(plan.names)} layers, got {len(values)} of values")
    _require(len(values) > 0, "there is no layer")
    masks = [None] * len(values) if given is None else list(given)
    _require(len(masks) == len(values), f"planned {len(values)} layers, got masks of {len(masks)}")
    for index, (raw, mask) in enumerate(zip(values, masks, strict=True)):
        _require_planned(raw, plan, index)
        _require(
            raw.shape == values[0].shape,
            f"layer {plan.names[index]!r} has shape {raw.shape}, the first layer {values[0].shape}",
        )
        _require(
            mask is None or mask.shape == raw.shape,
            f"layer {plan.names[index]!r} has shape {raw.shape}, its mask {getattr(mask, 'shape', None)}",
        )
    with jax.enable_x64(True):
        return _compiled(list(values), masks, _Constant(plan), dtype, order, overlay, memberships)


def put(values: Sequence[Any], device: Any = None) -> list[jax.Array]:
    """Copies of arrays on a device (of JAX, or a sharding; the default one if None), each with its own dtype kept.

    JAX makes float32 of float64 and int32 of int64 on their way into a compiled function, unless the process runs with
    `jax_enable_x64`. Arrays that are placed by this keep their dtype there.
    """
    with jax.enable_x64(True):
        copies = [jnp.array(array, copy=True) for array in values]
        return copies if device is None else [jax.device_put(array, device) for array in copies]


class _Constant:
    """A plan as a static argument: the same object is the same constant. JAX keeps it with what it compiled."""

    def __init__(self, plan: MembershipPlan) -> None:
        self.plan = plan

    def __hash__(self) -> int:
        return id(self.plan)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Constant) and other.plan is self.plan


@partial(jax.jit, static_argnums=(2, 3, 4, 5, 6))
def _compiled(
    values: list[Any],
    masks: list[Any],
    constant: _Constant,
    dtype: str,
    order: str,
    overlay: Overlay | None,
    memberships: bool,
) -> Results:
    plan = constant.plan
    mus, valids = _layers(values, masks, plan)
    if overlay is not None and not memberships:
        return None, None, overlays.joined(mus, valids, overlay)
    assembled = _by_layer if order == "layer" else _by_cell
    mu, valid = assembled([one.astype(dtype) for one in mus]), assembled(valids)
    if overlay is None:
        return mu, valid, None
    # Each barrier keeps XLA from seeing that the overlay needs what the memberships need: it would write all that is
    # shared down in float64 (2 to 8 times slower).
    if dtype == "float32" and order == "layer":
        mu, valid = lax.optimization_barrier((mu, valid))
        mus, valids = list(mu), list(valid)
    else:
        again = lax.optimization_barrier((values, masks))
        mus, valids = _layers(again[0], again[1], plan)
    return mu, valid, overlays.joined(mus, valids, overlay)


def _layers(values: list[Any], masks: list[Any], plan: MembershipPlan) -> tuple[list[jax.Array], list[jax.Array]]:
    """Memberships float32, 0 where missing, and validity of all layers."""
    layers = [_layer(raw, mask, plan, index) for index, (raw, mask) in enumerate(zip(values, masks, strict=True))]
    return [mu for mu, _ in layers], [valid for _, valid in layers]


def _layer(raw: Any, mask: Any, plan: MembershipPlan, index: int) -> tuple[jax.Array, jax.Array]:
    """Memberships float32, 0 where missing, and validity of one layer."""
    raw, record, table = jnp.asarray(raw), plan.records[index], plan.table(index)
    if table is not None:
        mu, valid = look_up(raw, table)
    else:
        first, count = int(record["knots"]), int(record["knot_count"])
        mu, valid = compute(raw, record, plan.knots[first : first + 3 * count].reshape(3, count))
    if mask is None:
        return mu, valid
    valid = valid & (mask != 0)
    return jnp.where(valid, mu, np.float32(0.0)), valid


def _by_layer(parts: list[jax.Array]) -> jax.Array:
    """[L, ...] of L arrays, each written into its place by the loop that computes it.

    XLA's concatenation does that for up to 8 arrays only; beyond, it would copy all of them.
    """
    whole = jnp.zeros((len(parts), *parts[0].shape), parts[0].dtype)
    for layer, part in enumerate(parts):
        whole = lax.dynamic_update_index_in_dim(whole, part, np.int32(layer), 0)
    return whole


def _by_cell(parts: list[jax.Array]) -> jax.Array:
    """[..., L] of L arrays; twice as fast as `_by_layer` and a transposition, and half as fast as `_by_layer`."""
    return jnp.stack(parts, axis=-1)


def _require_planned(raw: Any, plan: MembershipPlan, index: int) -> None:
    name, planned = plan.names[index], plan.dtypes[index]
    if raw.dtype == planned:
        return
    what = f"Layer {name!r} holds {raw.dtype} where {planned} was planned for."
    if planned.itemsize == 8 and raw.dtype == np.dtype(f"{planned.kind}4"):
        raise DataError(
            f"{what} JAX makes 32 bits of 64 on the way into a compiled function: place the arrays with "
            "mpmjax.ops.xla.membership.put first, and pass in what it returns."
        )
    raise DataError(f"{what} If its file was replaced during the run, start again.")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
