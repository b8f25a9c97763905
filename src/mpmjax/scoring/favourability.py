"""Memberships fitted to a sample: breakpoints that the project leaves open, and typed defaults by role.

Typed defaults: distance -> 1 - ecdf (low favourable), membership -> itself, all others -> sigmoid between P1 and P99
with k = 9.2 / (P99 - P1), so that membership is 0.01 at P1 and 0.99 at P99.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mpmjax.errors import DataError
from mpmjax.project_membership import (
    Category,
    Ecdf,
    Gaussian,
    Large,
    Linear,
    MembershipSpec,
    MsLarge,
    Power,
    Shoulder,
    Sigmoid,
    is_code,
)
from mpmjax.reference.membership import membership
from mpmjax.types import Layer, Membership

QUANTILES = 1024
SIGMOID_SPAN = 9.2
"""2 ln 99 = 9.19: the logistic runs from 0.01 to 0.99 over it."""

NAMES_SHOWN = 20
"""Names of classes that a message lists."""


def fit_membership(
    values: np.ndarray, layer: Layer, spec: MembershipSpec | None, transform: str = "none"
) -> Membership:
    """The membership of one layer as plain numbers.

    Args:
        values: float64 [n], the layer's values on the sample, NaN where missing.
        layer: its role and direction; used in messages too.
        spec: what the project says; None for the typed default of the role.
        transform: none, log or sqrt.

    Raises:
        DataError: the sample cannot give the numbers that are left open (no data, no spread, nothing positive for a
            logarithm), or those that it gives contradict the ones stated.
    """
    present = values[np.isfinite(values)]
    if not present.size:
        raise DataError(f"layer {layer.name!r} ({layer.source}): no data in the sample. Leave the layer out.")
    floor = _log_floor(present, layer) if transform == "log" else 0.0
    shaped = transformed(present, transform, floor)
    if spec is None:
        return _typed(shaped, layer, transform, floor)
    fitted = _fit(spec, shaped, present, layer, transform, floor)
    return Membership(hedge=spec.hedge, **fitted)


def transformed(values: np.ndarray, transform: str, floor: float) -> np.ndarray:
    """log10 with a floor, square root, or the values themselves."""
    if transform == "log":
        return np.log10(np.maximum(values, floor))
    return np.sqrt(np.maximum(values, 0.0)) if transform == "sqrt" else values


def _log_floor(present: np.ndarray, layer: Layer) -> float:
    """Half the smallest positive value, as laboratories' results below detection are commonly replaced."""
    positive = present[present > 0]
    if not positive.size:
        raise DataError(
            f'layer {layer.name!r} ({layer.source}): transform = "log" needs positive values, there are none.'
        )
    return float(positive.min()) / 2


def _typed(shaped: np.ndarray, layer: Layer, transform: str, floor: float) -> Membership:
    low = layer.direction < 0
    if layer.role == "membership":
        if shaped.min() < -1e-6 or shaped.max() > 1 + 1e-6:
            raise DataError(
                f'layer {layer.name!r} ({layer.source}): role "membership" means values in 0..1, the sample holds '
                f"{shaped.min():g} to {shaped.max():g}. Give it another role, or a membership with lo and hi."
            )
        return Membership("linear", {"lo": 0.0, "hi": 1.0}, transform, floor, complement=low)
    if layer.role == "distance":
        x, y = ecdf_knots(shaped)
        return Membership("ecdf", {}, transform, floor, complement=low, knots_x=x, knots_y=y)
    return Membership("sigmoid", _sigmoid_params(shaped, layer), transform, floor, complement=low)


def _sigmoid_params(shaped: np.ndarray, layer: Layer) -> dict[str, float]:
    p1, p99 = np.percentile(shaped, (1, 99))
    if not p99 > p1:
        share = float(np.mean(shaped == p1))
        raise DataError(
            f"layer {layer.name!r} ({layer.source}): {share:.0%} of the sample is the one value {p1:g}, so that "
            "P1 = P99 and the default sigmoid has no slope. Leave the layer out, or give it a membership with numbers, "
            'for example { kind = "linear", lo = ..., hi = ... }.'
        )
    return {"midpoint": float(p1 + p99) / 2, "slope": SIGMOID_SPAN / float(p99 - p1)}


def _fit(
    spec: MembershipSpec, shaped: np.ndarray, present: np.ndarray, layer: Layer, transform: str, floor: float
) -> dict[str, Any]:
    """Fields of the Membership for an explicit spec; breakpoints go through the transform as the values do."""

    def at(value: float) -> float:
        return float(transformed(np.array([value]), transform, floor)[0])

    form: dict[str, Any] = {"transform": transform, "floor": floor}
    falling = layer.direction < 0
    match spec:
        case Linear():  # Power too
            return form | {"kind": spec.kind, "params": _ramp(spec, shaped, layer, at)}
        case Large():
            midpoint = spec.midpoint if spec.midpoint is not None else float(np.median(present))
            if midpoint <= 0:
                raise DataError(
                    f"layer {layer.name!r} ({layer.source}): membership {spec.kind!r} needs a positive midpoint, the "
                    f"sample's median is {midpoint:g}; state midpoint."
                )
            return {"kind": spec.kind, "params": {"midpoint": midpoint, "spread": spec.spread}}
        case Gaussian():
            spread = spec.s if transform == "none" else _spread(spec, layer, at)
            return form | {"kind": spec.kind, "params": {"midpoint": at(spec.midpoint), "spread": spread}}
        case MsLarge():
            params = {"mean": float(shaped.mean()), "sd": float(shaped.std()), "a": spec.a, "b": spec.b}
            if not params["sd"] > 0:
                raise DataError(
                    f"layer {layer.name!r} ({layer.source}): membership {spec.kind!r} needs values that differ, the "
                    f"sample's are all {params['mean']:g}. Leave the layer out, or give it another membership."
                )
            return form | {"kind": spec.kind, "params": params | {"esri_compat": float(spec.esri_compat)}}
        case Sigmoid():
            default = {} if spec.midpoint is not None and spec.slope else _sigmoid_params(shaped, layer)
            midpoint = default["midpoint"] if spec.midpoint is None else at(spec.midpoint)
            down = falling if spec.decreasing is None else spec.decreasing
            params = {"midpoint": midpoint, "slope": spec.slope or default["slope"]}
            return form | {"kind": "sigmoid", "params": params, "complement": down}
        case Shoulder():
            return form | {
                "kind": "shoulder",
                "params": {key: at(getattr(spec, key)) for key in ("alpha", "beta", "gamma")},
            }
        case Category():
            table = _scores_of_codes(spec, layer)
            params = {} if spec.default is None else {"default": spec.default}
            codes, scores = (np.array(column, np.float64) for column in zip(*sorted(table.items()), strict=True))
            return {"kind": "category", "params": params, "knots_x": codes, "knots_y": scores}
        case Ecdf():
            x, y = ecdf_knots(shaped)
            down = falling if spec.decreasing is None else spec.decreasing
            return form | {"kind": "ecdf", "params": {}, "complement": down, "knots_x": x, "knots_y": y}


def _ramp(spec: Linear, shaped: np.ndarray, layer: Layer, at: Callable[[float], float]) -> dict[str, float]:
    """Parameters of linear and power; what is left open is P1 and P99, so that the layer's direction is followed."""
    falling = layer.direction < 0
    p1, p99 = (float(p) for p in np.percentile(shaped, (99, 1) if falling else (1, 99)))
    lo = p1 if spec.lo is None else at(spec.lo)
    hi = p99 if spec.hi is None else at(spec.hi)
    if lo == hi:
        raise DataError(
            f"layer {layer.name!r} ({layer.source}): membership {spec.kind!r}: lo and hi come out equal ({lo:g}); "
            "state both."
        )
    if (spec.lo is None) != (spec.hi is None) and (lo > hi) != falling:
        raise DataError(
            f"layer {layer.name!r} ({layer.source}): membership {spec.kind!r}: lo = {lo:g} and hi = {hi:g}, one of "
            "them from the sample, go against the direction; state both."
        )
    return {"lo": lo, "hi": hi} | ({"exponent": spec.exponent} if isinstance(spec, Power) else {})


def _scores_of_codes(spec: Category, layer: Layer) -> dict[float, float]:
    """Score of each class code, in the units of the sample. A name's score goes to all codes that it stands for.

    Raises:
        DataError: a key of scores is neither a name of the layer's classes nor a number, or a code gets two scores.
    """
    where, given = f"layer {layer.name!r} ({layer.source})", dict[float, tuple[str, float]]()
    strange = [key for key in spec.scores if key not in layer.codes and not is_code(key)]
    if strange:
        names = ", ".join(map(repr, list(layer.codes)[:NAMES_SHOWN])) or "none: its classes are numbers"
        more = f" and {len(layer.codes) - NAMES_SHOWN} more" if len(layer.codes) > NAMES_SHOWN else ""
        raise DataError(
            f"{where}: scores name {', '.join(map(repr, strange[:NAMES_SHOWN]))}, which is no class of this layer. "
            f"Its classes are {names}{more}."
        )
    for key, score in spec.scores.items():
        # The table names raw values of the file, the sample holds them scaled.
        scaled = [code * layer.scale + layer.offset for code in layer.codes.get(key, ())]
        for code in scaled if key in layer.codes else [float(key)]:
            other, first = given.setdefault(code, (key, score))
            if first != score:
                raise DataError(
                    f"{where}: scores give {other!r} {first:g} and {key!r} {score:g}, and both mean the class of code "
                    f"{code:g}. Keep one of them."
                )
    return {code: score for code, (_, score) in given.items()}


def _spread(spec: Gaussian, layer: Layer, at: Callable[[float], float]) -> float:
    """Spread in transformed units, so that membership is 0.5 at midpoint + half_width in the units of the source.

    Below the midpoint it is 0.5 at the same distance in transformed units; a stated spread is already in those.
    """
    if spec.half_width is None:
        return spec.s
    width = at(spec.midpoint + spec.half_width) - at(spec.midpoint)
    if not width > 0:
        raise DataError(
            f"layer {layer.name!r} ({layer.source}): membership {spec.kind!r}: the layer's transform cannot tell "
            "midpoint from midpoint + half_width. Give both in the units of the source."
        )
    return spec.s * (spec.half_width / width) ** 2


def memberships_of(values: np.ndarray, fitted: Sequence[Membership]) -> tuple[np.ndarray, np.ndarray]:
    """Memberships of cells by the definition, which ties cells that tie to the last bit.

    Args:
        values: float64 [n, L] in units, NaN where missing; fitted: L memberships.

    Returns:
        float32 [n, L] in 0..1, 0 where missing, and bool [n, L]: where not.
    """
    mu = np.stack([membership(column, **m.arguments()) for column, m in zip(values.T, fitted, strict=True)], axis=1)
    valid = np.isfinite(mu)
    return np.where(valid, mu, 0.0).astype(np.float32), valid


def ecdf_knots(values: np.ndarray, quantiles: int = QUANTILES) -> tuple[np.ndarray, np.ndarray]:
    """An empirical CDF as knots for linear interpolation: strictly increasing x, and levels y in 0..1.

    Tied values share the middle of their levels (midranks). A constant gives two knots around one half.
    """
    levels = np.linspace(0.0, 1.0, quantiles)
    x, inverse = np.unique(np.quantile(values, levels), return_inverse=True)
    y = np.bincount(inverse, levels) / np.bincount(inverse)
    return (x, y) if len(x) > 1 else (np.array([x[0], np.nextafter(x[0], np.inf)]), np.array([0.5, 0.5]))
