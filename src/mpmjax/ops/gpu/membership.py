"""Memberships on an NVIDIA card: all layers of a tile in one launch of kernels/membership.cu, which says the formulas.

Streams. Everything here happens on CuPy's current stream, and nothing waits for the card. What is allocated comes from
CuPy's memory pool, whose freed blocks are handed out again only to the stream they were allocated on: a buffer that
Python lets go of after the launch (the pointers, copies of inputs) can be overwritten only by work that stands behind
the kernel in that stream. For arrays of the caller's that were allocated on another stream this does not hold: make
the current stream wait for them, and keep them until it has passed the kernel.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpmjax.errors import DataError
from mpmjax.ops import cuda
from mpmjax.ops.plan import MembershipPlan, Overlay

DTYPES = ("float32", "float16")
ORDERS = ("layer", "cell")


@dataclass(frozen=True)
class DevicePlan:
    """A plan whose numbers lie on a card; from `upload`.

    Attributes:
        names, dtypes: of the plan.
        device: number of the card.
        records, tables, knots: CuPy arrays with the plan's bytes; records as uint8 [L, 112].
    """

    names: tuple[str, ...]
    dtypes: tuple[np.dtype, ...]
    device: int
    records: Any
    tables: Any
    knots: Any


_uploaded: dict[tuple[int, int], DevicePlan] = {}
_lock = threading.Lock()


def upload(plan: MembershipPlan) -> DevicePlan:
    """Copy a plan to the current device, and wait until it is there: any stream may use it.

    Raises:
        BackendError: CUDA cannot be used.
    """
    cupy = cuda.array_module()
    # Memory of its own, not the pool's: any stream may read it, and only freeing by the driver waits for them all.
    with cupy.cuda.using_allocator(None):
        records, tables, knots = (
            cupy.array(part, blocking=True)
            for part in (plan.records.view(np.uint8).reshape(-1, plan.records.itemsize), plan.tables, plan.knots)
        )
    return DevicePlan(plan.names, plan.dtypes, int(cupy.cuda.runtime.getDevice()), records, tables, knots)


def uploaded(plan: MembershipPlan) -> DevicePlan:
    """The plan on the current device; uploaded once, and dropped from the card when the plan itself is."""
    key = id(plan), int(cuda.array_module().cuda.runtime.getDevice())
    with _lock:
        if key not in _uploaded:
            _uploaded[key] = upload(plan)
            weakref.finalize(plan, _uploaded.pop, key, None).atexit = False
        return _uploaded[key]


def membership(
    values: Sequence[Any],
    plan: MembershipPlan | DevicePlan,
    given: Sequence[Any] | Any | None = None,
    *,
    dtype: str = "float32",
    order: str = "layer",
    overlay: Overlay | None = None,
    memberships: bool = True,
) -> tuple[Any, Any, Any]:
    """Memberships of L layers and their overlay, cell by cell; definitions: reference/membership.py and overlay.py.

    Args:
        values: L arrays of one shape [...], CuPy or NumPy, raw as in their files, each in the dtype its layer was
            planned for. CuPy arrays that are contiguous are read where they lie; others are copied.
        plan: from `plan_memberships`, uploaded at its first use on a device, or from `upload`.
        given: L masks of the same shape, bool or uint8, 0 where the layer is missing, as an array [L, ...] or a
            sequence; None, in place of one or of all, is a mask of ones.
        dtype: of the memberships, float32 or float16 (the float32 ones rounded).
        order: layer for [L, ...], cell for [..., L].
        overlay: computed besides from the float32 memberships.
        memberships: False leaves the memberships out and computes the overlay alone.

    Returns:
        mu: CuPy `dtype` in `order`, in [0, 1], 0 where not valid; None without `memberships`.
        valid: CuPy bool of the same shape; None without `memberships`.
        overlay: CuPy float32 [...], NaN where no layer is valid; None without `overlay`.

    Raises:
        BackendError: CUDA cannot be used, or the kernel does not compile.
        DataError: an array whose dtype is not the planned one; names the layer.
        TypeError: an array of another library.
        ValueError: other numbers of layers, shapes, masks, devices or options than can be.
    """
    _require_options(dtype, order, overlay, memberships)
    cupy = cuda.array_module()
    there = uploaded(plan) if isinstance(plan, MembershipPlan) else plan
    raw, masks, shape = _inputs(cupy, values, there, given)
    layers, cells = len(raw), math.prod(shape)
    mu = valid = joined = None
    if memberships:
        out_shape = (layers, *shape) if order == "layer" else (*shape, layers)
        mu, valid = cupy.empty(out_shape, dtype), cupy.empty(out_shape, np.uint8)
    shares = np.zeros(layers)
    if overlay is not None:
        shares = overlay.shares(layers)
        joined = cupy.empty(shape, np.float32)
    if cells and layers:
        # One copy for all small things: 24 bytes a layer.
        addresses = [array.data.ptr for array in raw] + [0 if mask is None else mask.data.ptr for mask in masks]
        small = cupy.asarray(np.concatenate([np.array(addresses, np.uint64), shares.view(np.uint64)]))
        arguments = (
            small[:layers],
            small[layers : 2 * layers],
            there.records,
            there.tables if there.tables.size else None,
            there.knots if there.knots.size else None,
            np.int32(layers),
            np.int64(cells),
            mu,
            valid,
            small[2 * layers :],
            np.int32(0 if overlay is None else overlay.code),
            np.float64(0.0 if overlay is None else overlay.gamma),
            joined,
        )
        cuda.launch(cuda.load("membership", kernel_name(dtype, order, overlay, memberships)), cells, arguments)
    return mu, None if valid is None else valid.view(np.bool_), joined


def kernel_name(dtype: str, order: str, overlay: Overlay | None, memberships: bool) -> str:
    """Which kernel of kernels/membership.cu writes these outputs."""
    if not memberships:
        return "membership_overlay"
    return f"membership_{order}_{'f16' if dtype == 'float16' else 'f32'}{'' if overlay is None else '_overlay'}"


def _require_options(dtype: str, order: str, overlay: Overlay | None, memberships: bool) -> None:
    if dtype not in DTYPES:
        raise ValueError(f"memberships are computed as {' or '.join(DTYPES)}, not as {dtype}")
    if order not in ORDERS:
        raise ValueError(f"unknown order {order!r}; allowed: {', '.join(ORDERS)}")
    if overlay is None and not memberships:
        raise ValueError("neither memberships nor an overlay is asked for; ask for one")


def _inputs(
    cupy: Any, values: Sequence[Any], there: DevicePlan, given: Sequence[Any] | Any | None
) -> tuple[list[Any], list[Any], tuple[int, ...]]:
    """Values and masks as CuPy arrays that a kernel can read, None for a mask of ones, and their shape."""
    names = there.names
    masks = [None] * len(names) if given is None else given
    if not len(values) == len(masks) == len(names):
        raise ValueError(f"planned {len(names)} layers, got {len(values)} of values and {len(masks)} of given")
    device = int(cupy.cuda.runtime.getDevice())
    if there.device != device:
        raise ValueError(f"the plan lies on device {there.device}, the current one is {device}; upload it there too")
    shape = tuple(values[0].shape) if len(names) else ()
    raw: list[Any] = []
    ready: list[Any] = []
    for name, dtype, value, mask in zip(names, there.dtypes, values, masks, strict=True):
        if value.dtype != dtype:
            raise DataError(
                f"Layer {name!r} holds {value.dtype} where {dtype} was planned for. If its file was replaced during "
                "the run, start again."
            )
        if value.shape != shape or (mask is not None and mask.shape != shape):
            other = value.shape if value.shape != shape else f"a mask of {mask.shape}"
            raise ValueError(f"layer {name!r} has shape {other}, the first layer {shape}; they must be the same")
        if mask is not None and mask.dtype not in (np.bool_, np.uint8):
            raise ValueError(f"the mask of layer {name!r} must be bool or uint8, got {mask.dtype}")
        raw.append(_on_card(cupy, value, name, device))
        ready.append(None if mask is None else _on_card(cupy, mask, name, device))
    return raw, ready, shape


def _on_card(cupy: Any, array: Any, name: str, device: int) -> Any:
    """The array itself if a kernel can read it where it lies, else a contiguous copy on the current device."""
    if not isinstance(array, cupy.ndarray):
        if not isinstance(array, np.ndarray):
            raise TypeError(
                f"layer {name!r} is a {type(array).__name__}: the CUDA form takes CuPy and NumPy arrays. "
                "mpmjax.ops.interop.to_cupy hands it a JAX array without a copy."
            )
        # Blocking, so that the caller may write to its array as soon as this returns, pinned memory included.
        return cupy.array(np.ascontiguousarray(array), blocking=True)
    if int(array.device.id) != device:
        raise ValueError(
            f"layer {name!r} lies on device {array.device.id}, the current one is {device}; choose the device with "
            "cupy.cuda.Device, or copy the array"
        )
    whole = cupy.ascontiguousarray(array)
    return whole if whole.data.ptr % whole.itemsize == 0 else whole.copy()
