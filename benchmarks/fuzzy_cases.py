"""The cases of memberships and overlays on the CPU.

All memberships of one dtype and order are written to the same arrays, which are there before the clock starts, by the
op and by its rivals: fresh pages cost about as much as the arithmetic. A row tells what the op takes with fresh ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from types import ModuleType
from typing import Any

import numpy as np

from mpmjax.ops.membership import Memberships
from mpmjax.ops.membership import membership as op_membership
from mpmjax.ops.overlay import overlay as op_overlay
from mpmjax.ops.plan import Overlay
from mpmjax.reference.overlay import overlay as reference_overlay

from . import array_baselines, baselines, fuzzy_baselines, fuzzy_libraries, gdal_baselines, inputs, overlay_baselines
from .gate import Case, Missing, close
from .stacks import ULP, Stack, Wanted, arrays, judge

LAYERS = 8
MISSING = 0.05
"""Share of cells that each layer misses."""

REFERENCE_CELLS = 2**20
"""Beyond it the definition, float64 whole arrays, is too slow and too large: a large output is judged at some cells."""

SIGMOIDS = "float32, sigmoid"
"""The variant that GDAL's calculator computes too."""

GAMMA = Wanted(overlay=Overlay("gamma", 0.9), memberships=False)

Call = Callable[[], Any]
Rivals = dict[str, Call | Missing]


def membership(rng: np.random.Generator, side: int) -> Iterator[Case]:
    """Eight layers of mixed kinds, float32 and int16, and the two kinds that most layers have by default.

    With the ecdf and without: np.interp takes thirty times as long as any other kind and carries the ratio alone. One
    case at a time: each comes with copies of the input in the form that its rivals like.
    """
    cells = side * side
    floats = inputs.float_layers(rng, LAYERS, cells)
    smooth = inputs.smooth_layers(rng, LAYERS, side, np.int16)
    whole_range = inputs.integer_layers(rng, LAYERS, cells, np.int16)
    given = inputs.presence(rng, LAYERS, cells, MISSING)

    def mixed(name: str, values: list[np.ndarray], ecdf: bool) -> Stack:
        return Stack.of(name, values, given, inputs.mixed_kinds(values, ecdf))

    with_ecdf = mixed("float32, 8 kinds with ecdf", floats, ecdf=True)
    without = mixed("float32, 8 kinds", floats, ecdf=False)
    plain, cell_major = Wanted(), Wanted(dtype="float16", order="cell")
    out = arrays(np, without, plain)
    yield _case(without, plain, out)
    yield _case(with_ecdf, plain, out)
    yield _case(mixed("int16 smooth, 8 kinds", smooth, ecdf=False), plain, out)
    yield _case(mixed("int16 smooth, 8 kinds with ecdf", smooth, ecdf=True), plain, out)
    yield _case(mixed("int16 whole range, 8 kinds", whole_range, ecdf=False), plain, out)
    yield _case(without, GAMMA, out)
    yield _case(without, cell_major, arrays(np, without, cell_major))
    yield _case(Stack.of(SIGMOIDS, floats, given, [inputs.sigmoid(x) for x in floats]), plain, out)
    yield _case(Stack.of("float32, 1 - ecdf", floats, given, [inputs.one_minus_ecdf(x) for x in floats]), plain, out)


def _case(stack: Stack, wanted: Wanted, out: Memberships) -> Case:
    target = out if wanted.overlay is None else arrays(np, stack, wanted)

    def op(**told: Any) -> Memberships:
        return op_membership(stack.values, stack.plan, stack.given, backend="cpu", **wanted.arguments(), **told)

    rivals: Rivals = {"ours, fresh arrays": op}
    if wanted.overlay is not None:
        rivals["ours, memberships then overlay"] = partial(_two_passes, stack, out, wanted.overlay)
    rivals |= _numpy(stack, wanted, target) | _jax(stack, wanted, target) | _torch(stack, wanted, target)
    rivals["scikit-fuzzy"] = fuzzy_libraries.scikit_fuzzy(stack, wanted, target)
    if wanted == Wanted():
        rivals["numexpr float32, whole"] = fuzzy_libraries.numexpr_memberships(stack, wanted, target)
    if stack.name == SIGMOIDS:
        side = math.isqrt(stack.cells)
        rivals["gdal_calc"] = gdal_baselines.command_sigmoids(stack.fitted, stack.values, stack.given, side, target)
    ours = partial(op, out=target)
    return Case(
        variant=f"{stack.name}; {wanted}",
        unit="values",
        work=stack.layers * stack.cells,
        bytes_moved=stack.bytes_moved(wanted),
        operations=0,
        op=ours,
        reference=lambda: stack.reference(wanted),
        judge=lambda got, expected: judge(got, expected, wanted),
        why=wanted.tolerance()[1],
        rivals=rivals,
        clock_reference=stack.cells <= REFERENCE_CELLS,
        spot=lambda: stack.spot(ours, wanted),
    )


def _two_passes(stack: Stack, out: Memberships, overlay: Overlay) -> Memberships:
    found = op_membership(stack.values, stack.plan, stack.given, backend="cpu", out=out)
    return Memberships(None, None, op_overlay(found.mu, found.valid, overlay.kind, overlay.gamma))


def _numpy(stack: Stack, wanted: Wanted, out: Memberships) -> Rivals:
    """Whole arrays and chunks; for integers by arithmetic in float32 and by tables."""
    by_arithmetic = fuzzy_baselines.of_arrays(stack.fitted, stack.values)
    ways = {"float32": by_arithmetic}
    if stack.tables():
        ways["take"] = fuzzy_baselines.of_tables(stack.tables(), stack.values)
    sizes = {"chunks": min(fuzzy_baselines.CHUNK, stack.cells)}
    if wanted == Wanted():  # anything else needs all memberships as an intermediate array, which nobody would do whole
        sizes["whole"] = stack.cells
    return {
        f"NumPy {name}, {how}": partial(fuzzy_baselines.run, way, stack.given, wanted, out, chunk)
        for name, way in ways.items()
        for how, chunk in sizes.items()
    }


def _jax(stack: Stack, wanted: Wanted, out: Memberships) -> Rivals:
    """Plain float32 in jax.jit over whole arrays and over chunks, and our own JAX form."""
    import jax
    import jax.numpy as jnp

    program = jax.jit(array_baselines.program(jnp, jnp.asarray, stack.fitted, wanted))

    @cache
    def inside() -> tuple[list[Any], list[Any]]:  # at the first call, which is not timed
        return [jnp.asarray(x) for x in stack.values], [jnp.asarray(there) for there in stack.given]

    def whole() -> Memberships:
        return array_baselines.filled(wanted, jax.block_until_ready(program(*inside())))

    def ours() -> Memberships:
        values, given = inside()
        return jax.block_until_ready(op_membership(values, stack.plan, given, backend="jax", **wanted.arguments()))

    return {
        "jax.jit float32, chunks": array_baselines.by_chunks(program, stack, wanted, jnp.asarray, out),
        "jax.jit float32, whole": whole,
        "ours in JAX": ours,
    }


def _torch(stack: Stack, wanted: Wanted, out: Memberships) -> Rivals:
    def build(torch: ModuleType) -> Call:
        torch.set_num_threads(1)
        program = array_baselines.program(torch, torch.from_numpy, stack.fitted, wanted)
        call = array_baselines.by_chunks(program, stack, wanted, torch.from_numpy, out)

        def without_gradients() -> Any:
            with torch.inference_mode():
                return call()

        return without_gradients

    return {"torch float32, chunks": baselines.with_library("torch", "torch", build)}


def overlay(rng: np.random.Generator, side: int) -> tuple[Case, ...]:
    """The overlays that a report needs: gamma 0.9, the mean, and the minimum."""
    cells = side * side
    mu = rng.random((LAYERS, cells), np.float32)
    valid = inputs.presence(rng, LAYERS, cells, MISSING)
    return tuple(
        Case(
            variant=f"float32, {kind}, L = {LAYERS}",
            unit="cells",
            work=cells,
            bytes_moved=cells * (LAYERS * 5 + 4),
            operations=0,
            op=lambda kind=kind: op_overlay(mu, valid, kind),
            reference=lambda kind=kind: reference_overlay(mu, valid, kind),
            judge=lambda got, wanted: close(got, wanted, 2 * ULP),
            why="a few float64 operations, or float32 sums of 8 numbers in [0, 1], and one rounding to float32",
            rivals=overlay_baselines.rivals(mu, valid, kind, side),
            clock_reference=cells <= REFERENCE_CELLS,
        )
        for kind in overlay_baselines.KINDS
    )
