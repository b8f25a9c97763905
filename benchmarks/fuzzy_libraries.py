"""The rivals of memberships by libraries for them: scikit-fuzzy, and numexpr, which fuses an expression over blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from mpmjax.ops.membership import Memberships
from mpmjax.types import Membership

from . import fuzzy_baselines
from .baselines import Call, with_library
from .fuzzy_baselines import Formula
from .gate import Missing
from .stacks import Stack, Wanted

Expression = tuple[str, dict[str, Any]]
"""A formula of x for numexpr, and its constants: float32, since a number in the text makes everything float64."""

_F = np.float32


def scikit_fuzzy(stack: Stack, wanted: Wanted, out: Memberships) -> Call | Missing:
    """Its membership functions chunk by chunk on float32; missing cells, logarithms and MS Large are NumPy's."""

    def build(skfuzzy: ModuleType) -> Call:
        formulas = [_by_scikit_fuzzy(skfuzzy, membership) for membership in stack.fitted]
        way = fuzzy_baselines.of_formulas(formulas, stack.values)
        return partial(fuzzy_baselines.run, way, stack.given, wanted, out)

    return with_library("skfuzzy", "scikit-fuzzy", build)


def _by_scikit_fuzzy(skfuzzy: ModuleType, membership: Membership) -> Formula:
    p = {name: _F(number) for name, number in membership.params.items()}
    core: Callable[[np.ndarray], np.ndarray]
    match membership.kind:
        case "sigmoid":
            core = partial(skfuzzy.sigmf, b=p["midpoint"], c=p["slope"])
        case "linear":
            core = _straight(skfuzzy, np.array([p["lo"], p["hi"]]), np.array([0.0, 1.0]))
        case "large":
            large = partial(skfuzzy.sigmf, b=np.log(p["midpoint"]), c=p["spread"])
            return lambda x, out: np.copyto(out, large(np.log(np.maximum(x, _F(0)))))
        case "gaussian":
            core = partial(skfuzzy.gaussmf, mean=p["midpoint"], sigma=_F(np.sqrt(0.5 / p["spread"])))
        case "near":
            core = partial(skfuzzy.gbellmf, a=_F(1 / np.sqrt(p["spread"])), b=_F(1), c=p["midpoint"])
        case "shoulder":
            core = _straight(skfuzzy, np.array([p["alpha"], p["beta"], p["gamma"]]), np.array([1.0, 0.5, 0.0]))
        case "ecdf":
            levels = np.asarray(membership.knots_y)
            core = _straight(skfuzzy, np.asarray(membership.knots_x), 1 - levels if membership.complement else levels)
        case _:
            return fuzzy_baselines.formula(membership)
    if membership.transform == "log":
        least = _F(membership.floor)
        return lambda x, out: np.copyto(out, core(np.log10(np.maximum(x, least))))
    return lambda x, out: np.copyto(out, core(x), casting="same_kind")


def _straight(skfuzzy: ModuleType, places: np.ndarray, levels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Straight lines between knots: trapmf sorts cells into four kinds and takes several times as long."""
    return lambda x: skfuzzy.interp_membership(places, levels, x, zero_outside_x=False)


def numexpr_memberships(stack: Stack, wanted: Wanted, out: Memberships) -> Call | Missing:
    """An expression a layer over whole arrays, in float32 and into `out`, on one thread; there is none of an ecdf."""
    if any(membership.kind == "ecdf" for membership in stack.fitted):
        return Missing("numexpr has no interpolation")
    expressions = [_expression(membership) for membership in stack.fitted]

    def build(numexpr: ModuleType) -> Call:
        numexpr.set_num_threads(1)
        zero = _F(0)

        def call() -> Memberships:
            layers = zip(expressions, stack.values, stack.given, out.mu, out.valid, strict=True)
            for (text, constants), x, given, mu, valid in layers:
                seen = "given & isfinite(x)" if x.dtype == np.float32 else "given"
                numexpr.evaluate(seen, {"given": given, "x": x}, {}, out=valid)
                names = {**constants, "x": x, "valid": valid, "zero": zero}
                numexpr.evaluate(f"where(valid, {text}, zero)", names, {}, out=mu, casting="same_kind")
            return out

        return call

    return with_library("numexpr", "numexpr", build)


def _expression(membership: Membership) -> Expression:
    constants = {name: _F(number) for name, number in membership.params.items()} | {"one": _F(1), "nothing": _F(0)}
    match membership.kind:
        case "sigmoid" if membership.transform == "log":
            # Of the natural logarithm: the division by that of 10 belongs to the slope.
            scaled = {"least": _F(membership.floor), "s": _F(constants["slope"] / np.log(10.0))}
            scaled["b"] = _F(constants["slope"] * constants["midpoint"])
            return "one / (one + exp(b - s * log(maximum(x, least))))", constants | scaled
        case "sigmoid":
            return "one / (one + exp(slope * (midpoint - x)))", constants
        case "linear":
            constants["width"] = _F(1 / (constants["hi"] - constants["lo"]))
            return "minimum(maximum((x - lo) * width, nothing), one)", constants
        case "large":
            constants["middle"] = _F(np.log(constants["midpoint"]))
            return "one / (one + exp(spread * (middle - log(maximum(x, nothing)))))", constants
        case "gaussian":
            return "exp((x - midpoint) * (midpoint - x) * spread)", constants
        case "near":
            return "one / (one + spread * (x - midpoint) * (x - midpoint))", constants
        case "ms_large":
            constants["start"], constants["s"] = (
                _F(membership.params["a"] * membership.params["mean"]),
                _F(membership.params["b"] * membership.params["sd"]),
            )
            return "maximum(x - start, nothing) / (maximum(x - start, nothing) + s)", constants
        case "shoulder":
            constants["half"] = _F(0.5)
            first = "minimum(maximum((beta - x) / (beta - alpha), nothing), one)"
            second = "minimum(maximum((gamma - x) / (gamma - beta), nothing), one)"
            return f"half * ({first} + {second})", constants
    raise ValueError(f"no expression for {membership.kind}")
