"""The rivals of memberships on a card, in CuPy: elementwise kernels in float32, as a good engineer would write them.

One kernel for each layer, or one for all of them: the text of a layer is the same, and its numbers stand in it as
constants, which the compiler likes best. Tables and knots are looked up in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpmjax.ops.membership import Memberships
from mpmjax.types import Membership

from .stacks import Stack, Wanted

ECDF = """
    float v{l} = fminf(fmaxf(x{l}, {first}), {last});
    int at{l} = 0;
    for (int left = {count}; left > 1;) {{
        int step = left >> 1;
        if (knots{l}[at{l} + step] <= v{l}) at{l} += step;
        left -= step;
    }}
    float m{l} = levels{l}[at{l}] + rises{l}[at{l}] * (v{l} - knots{l}[at{l}]);"""


@dataclass
class Text:
    """What an ElementwiseKernel is made of, and its tables in the order of their parameters."""

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    tables: list[np.ndarray] = field(default_factory=list)

    def kernel(self, xp: Any, name: str) -> Any:
        return xp.ElementwiseKernel(", ".join(self.inputs), ", ".join(self.outputs), "\n".join(self.lines), name)

    def table(self, name: str, values: np.ndarray) -> None:
        self.inputs.append(f"raw float32 {name}")
        self.tables.append(values.astype(np.float32))


def layer_by_layer(xp: Any, stack: Stack, values: Any, given: Any, out: Memberships, tables: bool) -> Callable[[], Any]:
    """A kernel a layer; layer-major float32 only."""
    calls = []
    for layer in range(stack.layers):
        text = _texts(stack, [layer], tables)
        text.outputs += [f"float32 mu{layer}", f"bool valid{layer}"]
        text.lines.append(f"mu{layer} = m{layer}; valid{layer} = ok{layer};")
        kernel, constants = text.kernel(xp, f"layer_{layer}"), [xp.asarray(table) for table in text.tables]
        calls.append((kernel, (values[layer], given[layer], *constants, out.mu[layer], out.valid[layer])))

    def call() -> Memberships:
        for kernel, arguments in calls:
            kernel(*arguments)
        return out

    return call


def all_layers(
    xp: Any, stack: Stack, values: Any, given: Any, out: Memberships, wanted: Wanted, tables: bool
) -> Callable[[], Any]:
    """One kernel for all layers, whatever is wanted."""
    text = _texts(stack, range(stack.layers), tables)
    constants = [xp.asarray(table) for table in text.tables]
    if wanted.overlay is not None:
        targets = [out.overlay]
        text.outputs.append("float32 joined")
        text.lines.append(_gamma(stack.layers, wanted.overlay.gamma))
    else:
        targets = [out.mu, out.valid]
        text.outputs += [f"raw {wanted.dtype} mu", "raw bool valid"]
        for layer in range(stack.layers):
            at = f"i * {stack.layers} + {layer}" if wanted.order == "cell" else f"i + {layer * stack.cells}LL"
            text.lines.append(f"mu[{at}] = m{layer}; valid[{at}] = ok{layer};")
    kernel = text.kernel(xp, "all_layers")

    def call() -> Memberships:
        kernel(*values, *given, *constants, *targets)
        return out

    return call


def _gamma(layers: int, gamma: float) -> str:
    """The gamma overlay from plain products."""
    products = "".join(
        f"\nproduct *= ok{layer} ? m{layer} : 1.0f; rest *= 1.0f - m{layer}; seen |= ok{layer};"
        for layer in range(layers)
    )
    return (
        f"float product = 1.0f, rest = 1.0f; bool seen = false;{products}\n"
        f'joined = seen ? powf(product, {_float(1 - gamma)}) * powf(1.0f - rest, {_float(gamma)}) : nanf("");'
    )


def _texts(stack: Stack, layers: Sequence[int], tables: bool) -> Text:
    """m and ok of some layers: inputs are their values, their masks, then their tables."""
    text = Text()
    text.inputs += [f"{stack.values[layer].dtype.name} x_{layer}" for layer in layers]
    text.inputs += [f"bool given_{layer}" for layer in layers]
    for layer in layers:
        floating = stack.values[layer].dtype.kind == "f"
        table = stack.plan.table(layer) if tables else None
        if table is not None:
            bits = {1: "unsigned char", 2: "unsigned short"}[stack.values[layer].itemsize]
            text.table(f"table{layer}", table)
            text.lines.append(f"bool ok{layer} = given_{layer}; float m{layer} = table{layer}[({bits})x_{layer}];")
        else:
            ok = f"given_{layer} && isfinite(x_{layer})" if floating else f"given_{layer}"
            text.lines.append(f"bool ok{layer} = {ok}; float x{layer} = x_{layer};")
            _formula(text, layer, stack.fitted[layer])
        text.lines.append(f"m{layer} = ok{layer} ? m{layer} : 0.0f;")
    return text


def _formula(text: Text, layer: int, membership: Membership) -> None:
    """Lines from x to m of a layer."""
    p = {name: _float(number) for name, number in membership.params.items()}
    if membership.transform == "log":
        text.lines.append(f"x{layer} = log10f(fmaxf(x{layer}, {_float(membership.floor)}));")
    if membership.kind == "ecdf":
        _ecdf(text, layer, membership)
    else:
        if membership.kind == "large":
            p["middle"] = _float(np.log(membership.params["midpoint"]))
        x = f"x{layer}"
        text.lines.append(f"float m{layer} = {FORMULAS[membership.kind].format(x=x, **p)};")
    if membership.complement:
        text.lines.append(f"m{layer} = 1.0f - m{layer};")


FORMULAS = {
    "sigmoid": "1.0f / (1.0f + expf(-{slope} * ({x} - {midpoint})))",
    "linear": "fminf(fmaxf(({x} - {lo}) / ({hi} - {lo}), 0.0f), 1.0f)",
    "large": "1.0f / (1.0f + expf(-{spread} * (logf(fmaxf({x}, 0.0f)) - {middle})))",
    "gaussian": "expf(-{spread} * ({x} - {midpoint}) * ({x} - {midpoint}))",
    "near": "1.0f / (1.0f + {spread} * ({x} - {midpoint}) * ({x} - {midpoint}))",
    "ms_large": "{x} > {a} * {mean} ? 1.0f - {b} * {sd} / ({x} - {a} * {mean} + {b} * {sd}) : 0.0f",
    "shoulder": "0.5f * (fminf(fmaxf(({beta} - {x}) / ({beta} - {alpha}), 0.0f), 1.0f)"
    " + fminf(fmaxf(({gamma} - {x}) / ({gamma} - {beta}), 0.0f), 1.0f))",
}
"""In float32, as reference/membership.py says them."""


def _ecdf(text: Text, layer: int, membership: Membership) -> None:
    if membership.knots_x is None or membership.knots_y is None:
        raise ValueError("an ecdf has knots")
    places, levels = membership.knots_x, membership.knots_y
    steps = np.diff(places)
    rises = np.append(np.divide(np.diff(levels), steps, out=np.zeros_like(steps), where=steps > 0), 0.0)
    for name, values in (("knots", places), ("levels", levels), ("rises", rises)):
        text.table(f"{name}{layer}", values)
    first, last = _float(places[0]), _float(places[-1])
    text.lines.append(ECDF.format(l=layer, first=first, last=last, count=places.size))


def _float(number: float) -> str:
    """A float32 literal of C, in brackets so that a sign may stand before it."""
    return f"({np.float32(number):.9e}f)"
