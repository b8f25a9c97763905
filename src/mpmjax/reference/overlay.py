"""Fuzzy overlays: from the memberships mu_1 .. mu_n of a cell's valid layers to one number in [0, 1].

| kind    | formula over the valid layers |
|---------|---|
| and     | min mu |
| or      | max mu |
| product | prod mu |
| sum     | 1 - prod(1 - mu) |
| gamma   | product^(1 - gamma) * sum^gamma; gamma = 0 is the product, gamma = 1 the sum |
| mean    | sum(w mu) / sum(w) |

A missing layer is left out, not replaced: the overlay of a cell with 3 valid layers of 4 is that of those 3. A cell
without a valid layer (for mean: without one of positive weight) is NaN.

Products are sums of logarithms of base 2. The product of 42 memberships of 1e-8 is 1e-336: that is 0 in float64 (in
float32 memberships of 0.08 are enough), and every gamma below 1 would be 0 with it, for all such cells alike. Its sum
of logarithms is a plain -1116.2, and gamma 0.9 a plain 4.6e-40. For the same reason 1 - prod(1 - mu) is taken by log1p
and expm1: for memberships below 1e-16 the printed form would be 1 - 1.

Sources: Zimmermann and Zysno (1980), Latent connectives in human decision making, Fuzzy Sets and Systems 4 (gamma);
Bonham-Carter (1994), Geographic information systems for geoscientists, section 9.6; ESRI, "How Fuzzy Overlay works".
"""

from __future__ import annotations

import numpy as np

KINDS = ("and", "or", "product", "sum", "gamma", "mean")


def overlay(
    mu: np.ndarray, valid: np.ndarray, kind: str, gamma: float = 0.9, weights: np.ndarray | None = None
) -> np.ndarray:
    """Overlay of the layers of every cell, by the formulas of this module's docstring.

    Args:
        mu: [L, ...] memberships in [0, 1]; what stands where valid is False is not looked at. NaN is missing.
        valid: bool [L, ...].
        kind: and, or, product, sum, gamma or mean.
        gamma: exponent in [0, 1], used by kind gamma.
        weights: [L], finite, >= 0, for kind mean only; all 1 by default.

    Returns:
        float64 of the shape of one layer, in [0, 1], NaN where no layer is valid.

    Raises:
        ValueError: an unknown kind, shapes that differ, gamma outside [0, 1], or weights that cannot be.
    """
    mu, valid = np.asarray(mu, np.float64), np.asarray(valid, bool)
    _check(mu.shape, valid.shape, kind, gamma, weights)
    valid = valid & ~np.isnan(mu)
    with np.errstate(divide="ignore"):  # log2(0) = -inf is the right limit
        if kind == "mean":
            return _mean(mu, valid, np.ones(len(mu)) if weights is None else np.asarray(weights, np.float64))
        if kind == "and":
            result = np.where(valid, mu, np.inf).min(axis=0)
        elif kind == "or":
            result = np.where(valid, mu, -np.inf).max(axis=0)
        elif kind == "product":
            result = np.exp2(_log2_product(mu, valid))
        elif kind == "sum":
            result = _sum(mu, valid)
        else:
            result = _gamma(mu, valid, gamma)
    return np.where(valid.any(axis=0), result, np.nan)


def _log2_product(mu: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return np.log2(np.where(valid, mu, 1.0)).sum(axis=0)


def _sum(mu: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return -np.expm1(np.log1p(-np.where(valid, mu, 0.0)).sum(axis=0))


def _gamma(mu: np.ndarray, valid: np.ndarray, gamma: float) -> np.ndarray:
    if gamma == 0.0:  # 0 * log2(0) would be NaN: the limits are the pure overlays
        return np.exp2(_log2_product(mu, valid))
    if gamma == 1.0:
        return _sum(mu, valid)
    return np.exp2((1.0 - gamma) * _log2_product(mu, valid) + gamma * np.log2(_sum(mu, valid)))


def _mean(mu: np.ndarray, valid: np.ndarray, weights: np.ndarray) -> np.ndarray:
    shares = np.where(valid, weights.reshape(-1, *[1] * (mu.ndim - 1)), 0.0)
    total = shares.sum(axis=0)
    weighted = (shares * np.where(valid, mu, 0.0)).sum(axis=0)
    return np.where(total > 0.0, weighted / np.where(total > 0.0, total, 1.0), np.nan)


def _check(
    shape: tuple[int, ...], valid_shape: tuple[int, ...], kind: str, gamma: float, weights: np.ndarray | None
) -> None:
    if kind not in KINDS:
        raise ValueError(f"unknown overlay {kind!r}; allowed: {', '.join(KINDS)}")
    if not shape or shape[0] == 0:
        raise ValueError("an overlay needs at least one layer")
    if shape != valid_shape:
        raise ValueError(f"mu has shape {shape}, valid {valid_shape}; they must be the same")
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"gamma must lie in [0, 1], got {gamma:g}")
    if weights is None:
        return
    if kind != "mean":
        raise ValueError(f"weights apply to kind mean only, not to {kind}")
    weights = np.asarray(weights, np.float64)
    if weights.shape != shape[:1] or not np.isfinite(weights).all() or (weights < 0.0).any():
        raise ValueError(f"weights must be {shape[0]} finite numbers >= 0")
