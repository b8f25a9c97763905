"""Memberships of a stack of layers, with their overlay in the same pass, by whichever form suits the machine.

The formulas are those of mpmjax.reference.membership, presence and overlay, which judge every form: `cpu` (ops/cpu,
Numba), `cuda` (ops/gpu and kernels/membership.cu), `jax` (ops/xla, which is also for use inside `jax.jit`) and `numpy`,
which is the definition itself, slow. Within one form a cell's bits depend on its own values alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mpmjax.errors import DataError
from mpmjax.ops import backend as backends
from mpmjax.ops.cpu.membership import membership as cpu_membership
from mpmjax.ops.plan import MembershipPlan, Overlay
from mpmjax.reference.membership import membership as reference_membership
from mpmjax.reference.overlay import overlay as reference_overlay
from mpmjax.reference.presence import present


class Memberships(NamedTuple):
    """What `membership` gives, as arrays of the form that computed it: NumPy, JAX or CuPy.

    Attributes:
        mu: float32 or float16, [L, ...] or [..., L], in [0, 1], 0 where not valid: look at `valid` first. None where
            memberships were not asked for.
        valid: bool of the shape of mu; None with it.
        overlay: float32 [...] in [0, 1], NaN where no layer is valid; None where none was asked for.
    """

    mu: Any
    valid: Any
    overlay: Any

    def on_host(self) -> Memberships:
        """The same as NumPy arrays; those of JAX on the CPU are looked at, not copied, and may not be written."""
        return Memberships(*(None if array is None else backends.on_host(array) for array in self))


def membership(
    values: Sequence[Any],
    plan: MembershipPlan,
    given: Any = None,
    *,
    dtype: str = "float32",
    order: str = "layer",
    overlay: Overlay | None = None,
    memberships: bool = True,
    backend: str = "auto",
    out: Memberships | None = None,
) -> Memberships:
    """Memberships of L layers, cell by cell.

    Args:
        values: L arrays of one shape [...], raw as in their files, each in the dtype its layer was planned for.
        plan: from `plan_memberships`; it knows what is nodata.
        given: masks besides it: bool [L, ...], or L arrays bool [...] or None; False where a layer is missing.
        dtype: float32 or float16 (the nearest to the float32 membership).
        order: layer for [L, ...], cell for [..., L].
        overlay: what joins the layers of a cell, from their float32 memberships: the same as ops/overlay.py gives.
        memberships: False where only the overlay is wanted: nothing else is then written.
        backend: auto, cpu, cuda, jax or numpy; auto takes the form of the array's library, and for NumPy arrays what
            `backend.choose` says.
        out: arrays of an earlier call with the same arguments, to be written again (cpu only).

    Raises:
        DataError: an array whose dtype is not the planned one; names the layer.
        BackendError: a backend that was asked for by name and is not there.
        ValueError: numbers of layers, shapes, dtypes or choices that do not fit.
    """
    _require(order in ("layer", "cell"), f"order is layer or cell, got {order!r}")
    _require(dtype in ("float32", "float16"), f"dtype is float32 or float16, got {dtype!r}")
    _require(memberships or overlay is not None, "memberships = False leaves nothing to compute without an overlay")
    masks = _masks(given, len(plan.names))
    _require_planned(values, masks, plan)
    if overlay is not None:
        overlay.shares(len(values))
    chosen = backends.choose("membership", backend, values)
    _require(out is None or chosen == "cpu", f"out is for the cpu form, not for {chosen}")
    if chosen == "cpu":
        return _on_cpu(values, masks, plan, dtype, order, overlay, memberships, out)
    if chosen == "numpy":
        return _by_definition(values, masks, plan, dtype, order, overlay, memberships)
    if chosen == "cuda":
        from mpmjax.ops.gpu.membership import membership as form
    else:
        from mpmjax.ops.xla.membership import membership as form
    return Memberships(*form(values, plan, masks, dtype=dtype, order=order, overlay=overlay, memberships=memberships))


def _masks(given: Any, layers: int) -> list[Any]:
    """A mask or None for each layer."""
    masks = [None] * layers if given is None else list(given)
    _require(len(masks) == layers, f"planned {layers} layers, got masks of {len(masks)}")
    return masks


def _require_planned(values: Sequence[Any], masks: Sequence[Any], plan: MembershipPlan) -> None:
    _require(len(values) == len(plan.names), f"planned {len(plan.names)} layers, got {len(values)} of values")
    _require(len(values) > 0, "there is no layer")
    for name, *arrays in zip(plan.names, values, masks, strict=True):
        for array in arrays:
            plain = array is None or (hasattr(array, "dtype") and not isinstance(array, np.ma.MaskedArray))
            kind = type(array).__name__
            _require(
                plain, f"layer {name!r} comes as a {kind}: pass plain arrays, and masks as `given`, True where valid"
            )
    shape = values[0].shape
    for name, planned, raw, mask in zip(plan.names, plan.dtypes, values, masks, strict=True):
        if raw.dtype != planned:
            raise DataError(
                f"Layer {name!r} holds {raw.dtype} where {planned} was planned for. If its file was replaced during "
                "the run, start again; if JAX made 32 bits of 64, place the arrays by mpmjax.ops.xla.membership.put."
            )
        _require(raw.shape == shape, f"layer {name!r} has shape {raw.shape}, the first layer {shape}")
        if mask is not None:
            _require(mask.dtype == np.bool_, f"the mask of layer {name!r} must be bool, got {mask.dtype}")
            _require(mask.shape == shape, f"layer {name!r} has shape {shape}, its mask {mask.shape}")


def _on_cpu(
    values: Sequence[np.ndarray],
    masks: Sequence[np.ndarray | None],
    plan: MembershipPlan,
    dtype: str,
    order: str,
    overlay: Overlay | None,
    memberships: bool,
    out: Memberships | None,
) -> Memberships:
    result = _arrays(values[0].shape, len(values), dtype, order, overlay, memberships)
    if out is not None:
        for name, given, needed in zip(result._fields, out, result, strict=True):
            alike = (given is None) == (needed is None)
            if alike and needed is not None:
                alike = given.shape == needed.shape and given.dtype == needed.dtype
                alike = alike and given.flags.c_contiguous and given.flags.writeable
            _require(alike, f"out.{name} does not fit: it must come from a call with the same arguments")
            read = (array for array in (*values, *masks) if array is not None and given is not None)
            shared = any(np.may_share_memory(array, given) for array in read)
            _require(not shared, f"out.{name} shares memory with what is read; give it memory of its own")
        result = out
    # Contiguous copies live as long as `raw` and `given`: the kernel gets addresses.
    raw = [np.require(array, requirements=("C", "A")) for array in values]
    given = [None if mask is None else np.ascontiguousarray(mask) for mask in masks]
    cpu_membership(
        raw,
        plan,
        given,
        cell_major=order == "cell",
        mu=result.mu,
        valid=result.valid,
        overlay=overlay,
        joined=result.overlay,
    )
    return result


def _arrays(
    shape: tuple[int, ...], layers: int, dtype: str, order: str, overlay: Overlay | None, memberships: bool
) -> Memberships:
    whole = (layers, *shape) if order == "layer" else (*shape, layers)
    return Memberships(
        np.empty(whole, dtype) if memberships else None,
        np.empty(whole, np.bool_) if memberships else None,
        np.empty(shape, np.float32) if overlay is not None else None,
    )


def _by_definition(
    values: Sequence[np.ndarray],
    masks: Sequence[np.ndarray | None],
    plan: MembershipPlan,
    dtype: str,
    order: str,
    overlay: Overlay | None,
    memberships: bool,
) -> Memberships:
    columns = []
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows in scaling is missing, and so is a NaN
        for raw, mask, layer, fitted in zip(values, masks, plan.layers, plan.memberships, strict=True):
            units = {"scale": layer.scale, "offset": layer.offset}
            good = present(raw, nodata=layer.nodata, valid_range=layer.valid_range, **units)
            mu = reference_membership(raw.astype(np.float64) * layer.scale + layer.offset, **fitted.arguments())
            columns.append(np.where(good if mask is None else good & mask, mu, np.nan))
    mu = np.stack(columns).astype(np.float32)
    valid = np.isfinite(mu)
    mu[~valid] = 0.0
    joined = None
    if overlay is not None:
        weights = None if overlay.weights is None else np.array(overlay.weights)
        joined = reference_overlay(mu, valid, overlay.kind, overlay.gamma, weights).astype(np.float32)
    if not memberships:
        return Memberships(None, None, joined)
    if order == "cell":
        mu, valid = np.moveaxis(mu, 0, -1), np.moveaxis(valid, 0, -1)
    return Memberships(np.ascontiguousarray(mu, dtype), np.ascontiguousarray(valid), joined)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
