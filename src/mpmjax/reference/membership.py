"""Fuzzy memberships: from a layer's value x to mu in [0, 1], "how favourable is this, by this layer alone".

Order of the steps, each optional but the second:

1. transform   log: x -> log10(max(x, floor)), floor > 0;  sqrt: x -> sqrt(max(x, 0))
2. formula     one of the table, with parameters in transformed units
3. complement  mu -> 1 - mu
4. hedge       very: mu -> mu^2;  somewhat: mu -> sqrt(mu)

| kind     | parameters             | mu(x) |
|----------|------------------------|---|
| linear   | lo, hi                 | clip((x - lo) / (hi - lo), 0, 1); decreasing where lo > hi |
| power    | lo, hi, exponent       | linear(x)^exponent |
| large    | midpoint, spread       | 1 / (1 + (x / midpoint)^-spread); x < 0 counts as 0; large(0) = 0 |
| small    | midpoint, spread       | 1 / (1 + (x / midpoint)^spread); x < 0 counts as 0; small(0) = 1 |
| gaussian | midpoint, spread       | exp(-spread (x - midpoint)^2); half width sqrt(ln 2 / spread) |
| near     | midpoint, spread       | 1 / (1 + spread (x - midpoint)^2); half width sqrt(1 / spread) |
| ms_large | mean, sd, a, b         | x > a mean: 1 - b sd / (x - a mean + b sd); else 0 |
| ms_small | mean, sd, a, b,        | x > a mean: b sd / (x - a mean + b sd); else 1, |
|          | esri_compat (0)        | or 0 if esri_compat is 1, as ESRI's page prints it: not monotone |
| sigmoid  | midpoint, slope        | 1 / (1 + exp(-slope (x - midpoint))); decreasing where slope < 0 |
| shoulder | alpha <= beta <= gamma | 1 up to alpha, 0.5 at beta, 0 from gamma on, straight lines between |
| category | default (none)         | the score in knots_y of the code in knots_x that equals x; another code has the |
|          |                        | default, and is missing where none is stated |
| ecdf     |                        | np.interp(x, knots_x, knots_y), quantiles of the sample and their levels |

A shoulder whose limits coincide is a step: with alpha = beta mu is 1 below beta, 0.5 at it.

Sources. Membership as such: Zadeh (1965), Fuzzy sets, Information and Control 8; hedges: Zadeh (1972), A
fuzzy-set-theoretic interpretation of linguistic hedges, J. Cybernetics 2. linear, large, small, gaussian, near,
ms_large and ms_small: ESRI ArcGIS Spatial Analyst, "How Fuzzy Membership works", after Tsoukalas and Uhrig (1997),
Fuzzy and neural approaches in engineering. sigmoid: Yousefi and Carranza (2015), Computers & Geosciences 74, and
Yousefi and Nykänen (2016), J. Geochemical Exploration 164, who take midpoint and slope from the data. power, shoulder,
category and ecdf are plain definitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np


def membership(
    x: np.ndarray,
    kind: str,
    params: Mapping[str, float],
    *,
    transform: str = "none",
    floor: float = 0.0,
    complement: bool = False,
    hedge: str = "none",
    knots_x: np.ndarray | None = None,
    knots_y: np.ndarray | None = None,
) -> np.ndarray:
    """Membership of every value, by the formulas of this module's docstring.

    Args:
        x: values of any shape, in the layer's (scaled) units; NaN and infinite values are missing.
        kind: a name of the table.
        params: the parameters of the table by name; names the kind does not know are not looked at.
        transform: none, log or sqrt.
        floor: smallest value let into the logarithm, in the units of x; positive.
        complement: use 1 - mu.
        hedge: none, very or somewhat.
        knots_x, knots_y: float64 tables of equal length, for category (distinct codes, scores in [0, 1]) and ecdf
            (quantiles, levels in [0, 1], both ascending, ties allowed) only.

    Returns:
        float64 of the shape of x, in [0, 1], NaN where missing.

    Raises:
        ValueError: an unknown name, or a parameter that is absent, not finite, or makes the formula meaningless.
    """
    x = np.asarray(x, np.float64)
    formula = _formula(kind, params, knots_x, knots_y)
    _require(kind != "category" or transform == "none", "category compares codes exactly and takes no transform")
    missing = ~np.isfinite(x)
    # Overflow to infinity and log2(0) = -inf are the right limits in every formula: exp(-inf) = 0, 1 / (1 + inf) = 0.
    with np.errstate(over="ignore", divide="ignore"):
        mu = formula(_transformed(np.where(missing, 0.0, x), transform, floor))
    mu = np.clip(mu, 0.0, 1.0) + 0.0  # the interpolation may leave [0, 1] by an ulp; -0.0 becomes 0.0
    mu = _hedged(1.0 - mu if complement else mu, hedge)
    return np.where(missing, np.nan, mu)


def _transformed(x: np.ndarray, transform: str, floor: float) -> np.ndarray:
    if transform == "log":
        _require(np.isfinite(floor) and floor > 0.0, f"transform log needs a floor > 0, got {floor:g}")
        return np.log10(np.maximum(x, floor))
    if transform == "sqrt":
        return np.sqrt(np.maximum(x, 0.0))
    _require(transform == "none", f"unknown transform {transform!r}; allowed: none, log, sqrt")
    return x


def _hedged(mu: np.ndarray, hedge: str) -> np.ndarray:
    if hedge == "very":
        return mu * mu
    if hedge == "somewhat":
        return np.sqrt(mu)
    _require(hedge == "none", f"unknown hedge {hedge!r}; allowed: none, very, somewhat")
    return mu


def _formula(
    kind: str, params: Mapping[str, float], knots_x: np.ndarray | None, knots_y: np.ndarray | None
) -> Callable[[np.ndarray], np.ndarray]:
    """The formula of a kind as a function of transformed values only."""
    if kind in ("category", "ecdf"):
        _require(knots_x is not None and knots_y is not None, f"{kind} needs knots_x and knots_y")
        xs, ys = np.asarray(knots_x, np.float64), np.asarray(knots_y, np.float64)
        _require(xs.ndim == 1 and xs.shape == ys.shape and xs.size > 0, f"{kind} needs two tables of equal length")
        _require(bool(np.isfinite(xs).all()), f"{kind} has a knot that is not finite")
        _require(bool(((ys >= 0.0) & (ys <= 1.0)).all()), f"{kind} has a level or score outside [0, 1]")
        if kind == "ecdf":
            return lambda x: _ecdf(x, xs, ys)
        default = float(params.get("default", np.nan))
        _require(np.isnan(default) or 0.0 <= default <= 1.0, f"category default {default:g} is outside [0, 1]")
        return lambda x: _category(x, xs, ys, default)
    _require(kind in _FORMULAS, f"unknown membership {kind!r}; allowed: {', '.join(_FORMULAS)}, category, ecdf")
    function, names = _FORMULAS[kind]
    given = _OPTIONAL.get(kind, {}) | dict(params)
    absent = [name for name in names if name not in given]
    _require(not absent, f"{kind} needs {', '.join(names)}; absent: {', '.join(absent)}")
    numbers = [float(given[name]) for name in names]
    for name, number in zip(names, numbers, strict=True):
        _require(bool(np.isfinite(number)), f"{kind} has {name} = {number:g}, which is not finite")
    return lambda x: function(x, *numbers)


def _linear(x: np.ndarray, lo: float, hi: float) -> np.ndarray:
    _require(0.0 < abs(hi - lo) < np.inf, f"linear and power need lo and hi a finite step apart, got {lo:g}, {hi:g}")
    return (np.clip(x, min(lo, hi), max(lo, hi)) - lo) / (hi - lo)


def _power(x: np.ndarray, lo: float, hi: float, exponent: float) -> np.ndarray:
    _require(exponent > 0.0, f"power needs an exponent > 0, got {exponent:g}")
    return _linear(x, lo, hi) ** exponent


def _large(x: np.ndarray, midpoint: float, spread: float) -> np.ndarray:
    _require(midpoint > 0.0 and spread > 0.0, f"large and small need midpoint and spread > 0: {midpoint:g}, {spread:g}")
    return 1.0 / (1.0 + np.exp2(-spread * np.log2(np.maximum(x, 0.0) / midpoint)))


def _small(x: np.ndarray, midpoint: float, spread: float) -> np.ndarray:
    _require(midpoint > 0.0 and spread > 0.0, f"large and small need midpoint and spread > 0: {midpoint:g}, {spread:g}")
    return 1.0 / (1.0 + np.exp2(spread * np.log2(np.maximum(x, 0.0) / midpoint)))


def _gaussian(x: np.ndarray, midpoint: float, spread: float) -> np.ndarray:
    _require(spread > 0.0, f"gaussian needs a spread > 0, got {spread:g}")
    return np.exp(-spread * (x - midpoint) ** 2)


def _near(x: np.ndarray, midpoint: float, spread: float) -> np.ndarray:
    _require(spread > 0.0, f"near needs a spread > 0, got {spread:g}")
    return 1.0 / (1.0 + spread * (x - midpoint) ** 2)


def _ms_large(x: np.ndarray, mean: float, sd: float, a: float, b: float) -> np.ndarray:
    _require(0.0 < b * sd < np.inf, f"ms_large needs a finite b * sd > 0, got {b:g} * {sd:g}")
    return np.where(x > a * mean, 1.0 - b * sd / (np.maximum(x - a * mean, 0.0) + b * sd), 0.0)


def _ms_small(x: np.ndarray, mean: float, sd: float, a: float, b: float, esri_compat: float) -> np.ndarray:
    _require(0.0 < b * sd < np.inf, f"ms_small needs a finite b * sd > 0, got {b:g} * {sd:g}")
    _require(esri_compat in (0.0, 1.0), f"esri_compat is 0 or 1, got {esri_compat:g}")
    return np.where(x > a * mean, b * sd / (np.maximum(x - a * mean, 0.0) + b * sd), 1.0 - esri_compat)


def _sigmoid(x: np.ndarray, midpoint: float, slope: float) -> np.ndarray:
    _require(slope != 0.0, "sigmoid needs a slope that is not 0")
    return 1.0 / (1.0 + np.exp(-slope * (x - midpoint)))


def _shoulder(x: np.ndarray, alpha: float, beta: float, gamma: float) -> np.ndarray:
    _require(alpha <= beta <= gamma, f"shoulder needs alpha <= beta <= gamma, got {alpha:g}, {beta:g}, {gamma:g}")
    near, far = np.ones_like(x), np.zeros_like(x)
    if alpha < beta:
        near = 1.0 - 0.5 * (np.clip(x, alpha, beta) - alpha) / (beta - alpha)
    if beta < gamma:
        far = 0.5 * (gamma - np.clip(x, beta, gamma)) / (gamma - beta)
    return np.where(x < beta, near, np.where(x > beta, far, 0.5))


def _category(x: np.ndarray, codes: np.ndarray, scores: np.ndarray, default: float) -> np.ndarray:
    _require(np.unique(codes).size == codes.size, "category lists a code twice")
    mu = np.full(x.shape, default)
    for code, score in zip(codes, scores, strict=True):
        mu = np.where(x == code, score, mu)
    return mu


def _ecdf(x: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    _require(bool((np.diff(quantiles) >= 0.0).all() and (np.diff(levels) >= 0.0).all()), "ecdf needs ascending knots")
    return np.asarray(np.interp(x, quantiles, levels))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


_FORMULAS: dict[str, tuple[Callable[..., np.ndarray], tuple[str, ...]]] = {
    "linear": (_linear, ("lo", "hi")),
    "power": (_power, ("lo", "hi", "exponent")),
    "large": (_large, ("midpoint", "spread")),
    "small": (_small, ("midpoint", "spread")),
    "gaussian": (_gaussian, ("midpoint", "spread")),
    "near": (_near, ("midpoint", "spread")),
    "ms_large": (_ms_large, ("mean", "sd", "a", "b")),
    "ms_small": (_ms_small, ("mean", "sd", "a", "b", "esri_compat")),
    "sigmoid": (_sigmoid, ("midpoint", "slope")),
    "shoulder": (_shoulder, ("alpha", "beta", "gamma")),
}
_OPTIONAL = {"ms_small": {"esri_compat": 0.0}}
