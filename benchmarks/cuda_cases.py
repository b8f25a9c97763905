"""The cases of the CUDA forms: those of the CPU with input and output on a card.

Arrays of CuPy's rivals are there before the clock starts; ours come from CuPy's pool, which costs the host a few
microseconds. Rivals on streams of their own (JAX, torch) are timed by the host's clock, and the op beside them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from mpmjax.ops.membership import Memberships
from mpmjax.ops.membership import membership as op_membership

from . import array_baselines, baselines, cuda_baselines, inputs
from .fuzzy_cases import GAMMA, LAYERS, MISSING
from .gate import Case, Missing
from .stacks import Stack, Wanted, arrays, judge

NAMES = ("membership",)
"""Ops that have a CUDA form."""

ON_OTHER_STREAMS = frozenset({"jax.jit float32", "ours in JAX", "torch.compile float32"})

Rivals = dict[str, Callable[[], Any] | Missing]


def on(xp: Any, backend: str = "cuda") -> dict[str, Callable[[np.random.Generator, int], Iterator[Case]]]:
    """The cases on the card of CuPy `xp`, with the op's form `backend`."""
    return {"membership": partial(membership, xp, backend)}


def membership(xp: Any, backend: str, rng: np.random.Generator, side: int) -> Iterator[Case]:
    """Eight layers of mixed kinds: float32, int16 by tables and, as int32, the same values by arithmetic."""
    cells = side * side
    floats = inputs.float_layers(rng, LAYERS, cells)
    smooth = inputs.smooth_layers(rng, LAYERS, side, np.int16)
    whole_range = inputs.integer_layers(rng, LAYERS, cells, np.int16)
    given = inputs.presence(rng, LAYERS, cells, MISSING)

    def mixed(name: str, values: list[np.ndarray], ecdf: bool = False) -> Stack:
        return Stack.of(name, values, given, inputs.mixed_kinds(values, ecdf))

    without, case = mixed("float32, 8 kinds", floats), partial(_case, xp, backend)
    yield case(without, Wanted())
    yield case(mixed("float32, 8 kinds with ecdf", floats, ecdf=True), Wanted())
    yield case(mixed("int16 smooth, 8 kinds, tables", smooth), Wanted())
    yield case(mixed("int32 of the same, arithmetic", [x.astype(np.int32) for x in smooth]), Wanted())
    yield case(mixed("int16 whole range, 8 kinds, tables", whole_range), Wanted())
    yield case(without, GAMMA)
    yield case(without, Wanted(dtype="float16", order="cell"))


def _case(xp: Any, backend: str, stack: Stack, wanted: Wanted) -> Case:
    values, given = [xp.asarray(x) for x in stack.values], [xp.asarray(there) for there in stack.given]
    out = arrays(xp, stack, wanted)

    def op() -> Memberships:
        return op_membership(values, stack.plan, given, backend=backend, **wanted.arguments())

    return Case(
        variant=f"{stack.name}; {wanted}",
        unit="values",
        work=stack.layers * stack.cells,
        bytes_moved=stack.bytes_moved(wanted),
        operations=0,
        op=op,
        reference=lambda: stack.reference(wanted),
        judge=lambda got, expected: judge(got, expected, wanted),
        why=wanted.tolerance()[1],
        rivals=_cupy(xp, stack, wanted, values, given, out) | _jax(stack, wanted) | _torch(stack, wanted),
        clock_reference=False,
        spot=lambda: stack.spot(op, wanted),
        host_clocked=ON_OTHER_STREAMS,
    )


def _cupy(xp: Any, stack: Stack, wanted: Wanted, values: Any, given: Any, out: Memberships) -> Rivals:
    ways = {"CuPy, one kernel": False} | ({"CuPy, one kernel, tables": True} if stack.tables() else {})
    rivals: Rivals = {
        name: cuda_baselines.all_layers(xp, stack, values, given, out, wanted, tables) for name, tables in ways.items()
    }
    if wanted == Wanted():
        rivals["CuPy, a kernel a layer"] = cuda_baselines.layer_by_layer(xp, stack, values, given, out, False)
    return rivals


def _jax(stack: Stack, wanted: Wanted) -> Rivals:
    """Plain float32 in jax.jit and our own JAX form, on the card that JAX sees."""

    def build(jax: ModuleType) -> Callable[[], Any] | Missing:
        if jax.default_backend() != "gpu":
            return Missing("JAX sees no card: install mpmjax with its extra cuda12 or cuda13")
        jnp = jax.numpy
        program = jax.jit(array_baselines.program(jnp, jnp.asarray, stack.fitted, wanted))
        values, given = [jnp.asarray(x) for x in stack.values], [jnp.asarray(there) for there in stack.given]
        return lambda: array_baselines.filled(wanted, jax.block_until_ready(program(values, given)))

    def build_ours(jax: ModuleType) -> Callable[[], Any] | Missing:
        if jax.default_backend() != "gpu":
            return Missing("JAX sees no card: install mpmjax with its extra cuda12 or cuda13")
        values, given = ([jax.numpy.asarray(x) for x in part] for part in (stack.values, stack.given))
        return lambda: jax.block_until_ready(
            op_membership(values, stack.plan, given, backend="jax", **wanted.arguments())
        )

    return {
        "jax.jit float32": baselines.with_library("jax", "jax", build),
        "ours in JAX": baselines.with_library("jax", "jax", build_ours),
    }


def _torch(stack: Stack, wanted: Wanted) -> Rivals:
    def build(torch: ModuleType) -> Callable[[], Any] | Missing:
        if not torch.cuda.is_available():
            return Missing("torch sees no card")

        def on_card(array: np.ndarray) -> Any:
            return torch.from_numpy(array).cuda()

        program = torch.compile(array_baselines.program(torch, on_card, stack.fitted, wanted))
        values, given = [on_card(x) for x in stack.values], [on_card(there) for there in stack.given]

        def call() -> Memberships:
            with torch.inference_mode():
                results = program(values, given)
            torch.cuda.synchronize()
            return array_baselines.filled(wanted, results)

        return call

    return {"torch.compile float32": baselines.with_library("torch", "torch", build)}
