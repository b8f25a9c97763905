"""One layer in JAX: from raw values to memberships, with the codes and numbers of one record of ops/plan.py.

For tracing under `jax.enable_x64(True)`. The record is known while tracing, so only what its layer needs is traced.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mpmjax.ops.plan import HEDGES, KINDS, TRANSFORMS
from mpmjax.ops.xla.numerics import exp2, log2, narrow, rounded, widen

_LOG10_2 = 0.3010299956639812
_MOST_CODES = 65536
_TINY64 = float(np.finfo(np.float64).tiny)


def look_up(raw: jax.Array, table: np.ndarray) -> tuple[jax.Array, jax.Array]:
    """Memberships float32, 0 where missing, and validity of raw values of 8 or 16 bits, by their table."""
    unsigned = lax.bitcast_convert_type(raw, jnp.uint8 if raw.dtype.itemsize == 1 else jnp.uint16)
    mu = jnp.asarray(table).at[unsigned.astype(jnp.int32)].get(mode="promise_in_bounds")
    valid = ~jnp.isnan(mu)
    return jnp.where(valid, mu, np.float32(0.0)), valid


def compute(raw: jax.Array, record: np.void, knots: np.ndarray) -> tuple[jax.Array, jax.Array]:
    """Memberships float32, 0 where missing, and validity of raw values of any other dtype.

    Args:
        raw: of the dtype of the record, any shape.
        record: RECORD.
        knots: float64 [3, n], places, levels and slopes; n is 0 for kinds without.
    """
    good, x = _present(raw, record)
    # Missing cells compute on a value that can do no harm.
    x = jnp.where(good, x, 0.0)
    mu = rounded(_formula(_transformed(x, record), record, knots))
    if np.isnan(record["p0"]):  # a category without a default: no other formula gives NaN for a number
        good = good & (mu == mu)
    mu = jnp.where(mu > 0.0, jnp.minimum(mu, 1.0), 0.0)  # NaN and -0.0 become 0.0
    if record["complement"]:
        mu = 1.0 - mu
    hedge = HEDGES[record["hedge"]]
    mu = mu * mu if hedge == "very" else rounded(jnp.sqrt(mu)) if hedge == "somewhat" else mu
    return narrow(jnp.where(good, mu, 0.0)), good


def _present(raw: jax.Array, record: np.void) -> tuple[jax.Array, jax.Array]:
    """Where raw values are data, and all of them in float64 and scaled units."""
    floating = raw.dtype in (jnp.float32, jnp.float64)
    good = jnp.isfinite(raw) if floating else jnp.ones(raw.shape, bool)
    if record["has_nodata"]:
        good = good & ~_equals(raw, record["nodata_float" if floating else "nodata_int"])
    x = widen(raw) if raw.dtype == jnp.float32 else raw.astype(jnp.float64)
    if record["scaled"]:
        product = x * float(record["scale"])
        x = rounded(product) + float(record["offset"])
        good = good & jnp.isfinite(product) & jnp.isfinite(x)  # `rounded` hides a product that became -infinity
    if record["has_range"]:
        good = good & (x >= float(record["low"])) & (x <= float(record["high"]))
    return good, x


def _equals(raw: jax.Array, nodata: np.generic) -> jax.Array:
    """raw == nodata, subnormals told apart."""
    if raw.dtype not in (jnp.float32, jnp.float64):
        return raw == raw.dtype.type(nodata)
    held = np.array(nodata, raw.dtype)
    integer = np.dtype(f"i{raw.dtype.itemsize}")
    bits = lax.bitcast_convert_type(raw, integer)
    if held == 0.0:
        return (bits & np.iinfo(integer).max) == 0
    return bits == held.view(integer)[()]


def _transformed(x: jax.Array, record: np.void) -> jax.Array:
    transform = TRANSFORMS[record["transform"]]
    if transform == "log":
        return log2(jnp.maximum(x, max(float(record["floor"]), _TINY64))) * _LOG10_2
    if transform == "sqrt":
        return rounded(jnp.sqrt(jnp.maximum(x, 0.0)))
    return x


def _formula(x: jax.Array, record: np.void, knots: np.ndarray) -> jax.Array:
    """Memberships float64 before they are clamped; NaN where a category has no score."""
    p0, p1, p2 = (float(record[name]) for name in ("p0", "p1", "p2"))
    match KINDS[record["kind"]]:
        case "linear":
            return _linear(x, p0, p1)
        case "power":
            return exp2(p2 * log2(_linear(x, p0, p1)))
        case "large":
            return 1.0 / (1.0 + exp2(p1 * (log2(x) - p0)))
        case "gaussian":
            return exp2(p1 * ((x - p0) * (x - p0)))
        case "near":
            return 1.0 / (1.0 + p1 * ((x - p0) * (x - p0)))
        case "ms_large":
            return jnp.where(x > p0, 1.0 - p1 / (jnp.maximum(x - p0, 0.0) + p1), 0.0)
        case "ms_small":
            return jnp.where(x > p0, p1 / (jnp.maximum(x - p0, 0.0) + p1), p2)
        case "sigmoid":
            return 1.0 / (1.0 + exp2(p1 * (x - p0)))
        case "shoulder":
            return _shoulder(x, p0, p1, p2)
        case "category":
            return _score(x, knots[0], knots[1], p0)
        case "ecdf":
            reach = x + p0 * jnp.abs(x) if p0 else x
            at = _search(knots[0], reach)
            between = _take(knots[2], at) * (x - _take(knots[0], at)) + _take(knots[1], at)
            return jnp.where(reach >= knots[0, 0], between, knots[1, 0])
    raise ValueError(f"no formula has the code {record['kind']}")


def _linear(x: jax.Array, p0: float, p1: float) -> jax.Array:
    clipped = jnp.clip(x, min(p0, p1), max(p0, p1))
    # 1 at its end whether or not XLA multiplies by a reciprocal: the complement is then 0, not 1e-16.
    return jnp.where(clipped == p1, 1.0, (clipped - p0) / (p1 - p0))


def _shoulder(x: jax.Array, p0: float, p1: float, p2: float) -> jax.Array:
    near = jnp.ones_like(x) if p0 == p1 else jnp.where(x > p0, 1.0 - 0.5 * (x - p0) / (p1 - p0), 1.0)
    far = jnp.zeros_like(x) if p1 == p2 else jnp.where(x < p2, 0.5 * (p2 - x) / (p2 - p1), 0.0)
    return jnp.where(x < p1, near, jnp.where(x > p1, far, 0.5))


def _score(x: jax.Array, codes: np.ndarray, scores: np.ndarray, other: float) -> jax.Array:
    """The score of the code that x equals, `other` where it equals none; codes ascending."""
    below = codes[0] - 1.0
    if not (codes == np.floor(codes)).all() or codes[-1] - below > _MOST_CODES:
        at = _search(codes, x)
        return jnp.where(_take(codes, at) == x, _take(scores, at), other)
    # One read in place of a search: a table of whole numbers with `other` between the codes and at both ends.
    table = np.full(int(codes[-1] - below) + 2, other)
    table[(codes - below).astype(np.int64)] = scores
    place = (jnp.clip(x, below, codes[-1] + 1.0) - below).astype(jnp.int32)
    return jnp.where(jnp.floor(x) == x, _take(table, place), other)


def _search(knots: np.ndarray, x: jax.Array) -> jax.Array:
    """int32: the last of the ascending knots that is <= x, 0 where all are above.

    The knots are taken as a tree of comparisons, one row of the tree a step. A halving search that moves by differences
    uses each step's place twice, and XLA then writes out the steps before it twice: 5 times slower for 1024 knots.
    """
    depth = int(knots.size - 1).bit_length()
    leaves = np.full(2**depth, np.inf)  # past the end nothing is <= x
    leaves[: knots.size] = knots
    at = jnp.zeros(x.shape, jnp.int32)
    for level in range(depth):
        step = 2 ** (depth - level - 1)
        at = at * 2 + (_take(leaves[step :: 2 * step], at) <= x).astype(jnp.int32)
    return at


def _take(numbers: np.ndarray, at: jax.Array) -> jax.Array:
    return jnp.asarray(numbers).at[at].get(mode="promise_in_bounds")
