"""The scorer of reference/lstm.py in JAX: float32, cells in the minor axis, one compiled program for one fixed chunk.

The chunk never changes its size (ops/lstm.py pads it), because XLA's bits change with the shape of a batch: so a cell's
scores do not depend on the tile it came with, nor on how many threads score tiles side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mpmjax.reference.lstm import DRIVE_END, Z_CAP

UNROLL = 8
"""Steps unrolled into one XLA loop body; all of them for few layers, which doubles the speed of the scan."""

Arrays = Mapping[str, jax.Array]


class Xla:
    """A Screener's arrays on the device that JAX runs on; a form of ops/lstm.py. Results are ready when they return.

    Args:
        arrays: as reference/lstm.py documents them.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = {
            name: jnp.array(values, jnp.int32 if name == "order" else jnp.float32) for name, values in arrays.items()
        }

    def score(self, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        return self._run(_score, mu, valid)

    def reconstruct(self, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        return self._run(_reconstruct_all, mu, valid)

    def launch(
        self, mu: jax.Array, valid: jax.Array, cells: np.ndarray, kinds: Sequence[Sequence[str]]
    ) -> list[jax.Array]:
        """Scores of some cells of arrays that lie on JAX's device, with the bits of `score`; not waited for.

        The program of `score` is called, not one in which XLA could fuse the gathering with it.

        Args:
            mu: float32 [L, n], of a network with one feature; valid: bool [L, n].
            cells: int32 [c], columns of them, each < n.
            kinds: names of maps of one dtype each.

        Returns:
            For each kind its maps [maps, c], then the number of layers that a cell has, int32 [c].
        """
        with jax.default_matmul_precision("highest"):
            x, present = _gathered(mu, valid, cells)
            scores = _score(self._arrays, x, present)
        return [*(_stacked([scores[name] for name in names]) for names in kinds), _counted(present)]

    def _run(self, program, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        # Some accelerators multiply in fewer digits unless told otherwise.
        with jax.default_matmul_precision("highest"):
            result = program(self._arrays, mu, valid)
        return {name: np.asarray(values) for name, values in result.items()}


@jax.jit
def _gathered(mu: jax.Array, valid: jax.Array, cells: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jnp.take(mu, cells, axis=1, mode="clip")[:, None], jnp.take(valid, cells, axis=1, mode="clip")


@jax.jit
def _stacked(maps: list[jax.Array]) -> jax.Array:
    return jnp.stack(maps)


@jax.jit
def _counted(valid: jax.Array) -> jax.Array:
    return valid.sum(axis=0, dtype=jnp.int32)


def _member_arrays(arrays: Arrays) -> dict[str, jax.Array]:
    shared = ("weight", "trust", "cut", "noise", "quadrant", "layer_rank")
    return {name: a for name, a in arrays.items() if name not in shared and not name.startswith("ecdf_")}


def _reconstruct(member: Arrays, mu: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Latent [d, n] and residual [L, n] (0 where missing) of one member."""
    order, hidden, n = member["order"], member["enc_wh"].shape[0], valid.shape[1]
    x = jnp.where(valid[:, None, :], mu, 0.0)
    start = (jnp.zeros((hidden, n)), jnp.zeros((hidden, n)))
    unroll = min(UNROLL, mu.shape[0])

    def encode(state, step):
        x_t, present, bias = step
        gates = _of_input(member["enc_wx"], x_t) + member["enc_wh"].T @ state[0] + bias[:, None]
        return _step(gates, state, present), None

    (h, _), _ = lax.scan(encode, start, (x[order], valid[order], member["enc_b"][order]), unroll=unroll)
    z = member["lat_w"].T @ h + member["lat_b"][:, None]
    drive = member["dec_wz"].T @ z

    def decode(state, step):
        present, bias = step
        state = _step(drive + member["dec_wh"].T @ state[0] + bias[:, None], state, present)
        return state, member["out_w"][:, 0] @ state[0] + member["out_b"][0]

    backward = order[::-1]
    _, x_hat = lax.scan(decode, start, (valid[backward], member["dec_b"][backward]), unroll=unroll)
    x_hat = x_hat[jnp.argsort(backward)]
    return z, jnp.where(valid, x[:, 0] - x_hat, 0.0)


def _of_input(weights: jax.Array, x: jax.Array) -> jax.Array:
    """Gates [4H, n] from the features [F, n] of a step; of one feature XLA makes no matrix product worth its call."""
    return weights[0][:, None] * x[0] if len(weights) == 1 else weights.T @ x


def _step(gates: jax.Array, state: tuple[jax.Array, jax.Array], present: jax.Array) -> tuple[jax.Array, jax.Array]:
    h, c = state
    i, f, g, o = jnp.split(gates, 4, axis=0)
    c_new = _sigmoid(f) * c + _sigmoid(i) * jnp.tanh(g)
    return jnp.where(present, _sigmoid(o) * jnp.tanh(c_new), h), jnp.where(present, c_new, c)


def _sigmoid(x: jax.Array) -> jax.Array:
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


@jax.jit
def _reconstruct_all(arrays: Arrays, mu: jax.Array, valid: jax.Array) -> dict[str, jax.Array]:
    z, e = lax.map(lambda member: _reconstruct(member, mu, valid), _member_arrays(arrays))
    return {"z": z, "e": e}


@jax.jit
def _score(arrays: Arrays, mu: jax.Array, valid: jax.Array) -> dict[str, jax.Array]:
    layers = arrays["order"].shape[1]
    count = jnp.maximum(valid.sum(axis=0), 1)
    features, mu = mu, mu[:, 0]

    def one(member: Arrays) -> tuple[jax.Array, jax.Array, jax.Array]:
        latent, residual = _reconstruct(member, features, valid)
        z = (residual - member["res_median"][:, None]) / member["res_scale"][:, None]
        z = jnp.where(valid, z, 0.0)
        said = jnp.clip(member["fav_w"] @ latent + member["fav_b"], 0.0, 1.0)
        return jnp.minimum(z * z, Z_CAP).sum(axis=0) / count, _posterior(member, latent), said

    surprise, p, member_fav = lax.map(one, _member_arrays(arrays))
    weight = valid * arrays["weight"][:, None]
    total = weight.sum(axis=0)
    fav = jnp.where(total > 0, (weight * jnp.where(valid, mu, 0.0)).sum(axis=0) / jnp.where(total > 0, total, 1.0), 0.5)
    consensus = p.mean(axis=0).argmax(axis=0)
    votes = (p.argmax(axis=1) == consensus).mean(axis=0)
    first = p.max(axis=1)
    second = jnp.where(jnp.arange(p.shape[1])[:, None] == p.argmax(axis=1)[:, None], -1.0, p).max(axis=1)
    r, risk, coverage = member_fav.mean(axis=0), member_fav.std(axis=0), count / layers
    margin = (first - second).mean(axis=0)
    drive = jnp.where(weight > 0, -weight * jnp.log(DRIVE_END - _layer_ranks(arrays, mu, valid)), -jnp.inf)
    rank, trust, noise = _ecdf(arrays, "fav", fav), arrays["trust"][0], arrays["noise"]
    anomaly = _ecdf(arrays, "anomaly", surprise.mean(axis=0))
    prospectivity = rank * (1.0 + trust * anomaly) / (1.0 + trust)
    spread = rank * trust * _ecdf(arrays, "anomaly", surprise).std(axis=0) / (1.0 + trust)
    scale = jnp.sqrt(noise[0] + noise[1] * spread**2)
    return {
        "prospectivity": prospectivity,
        "favourability": fav,
        "anomaly": anomaly,
        "confidence": _sigmoid(jnp.abs(prospectivity - arrays["cut"][0]) / scale),
        "risk": risk,
        "spread": spread,
        "coverage": coverage,
        "groups": (consensus + 1).astype(jnp.uint8),
        "quadrants": (1 + (risk > arrays["quadrant"][1]) + 2 * (r < arrays["quadrant"][0])).astype(jnp.uint8),
        "driver": jnp.where(jnp.isfinite(drive).any(axis=0), drive.argmax(axis=0) + 1, 0).astype(jnp.uint8),
        "R": r,
        "V": votes,
        "M": margin,
        "surprise": surprise.mean(axis=0),
    }


def _posterior(member: Arrays, latent: jax.Array) -> jax.Array:
    """Probability of each group [K, n]."""
    offset = jnp.einsum("kij,kj->ki", member["group_chol"], member["group_mean"])
    whitened = jnp.einsum("kij,jn->kin", member["group_chol"], latent) - offset[:, :, None]
    return jax.nn.softmax(member["group_logw"][:, None] - 0.5 * (whitened**2).sum(axis=1), axis=0)


def _layer_ranks(arrays: Arrays, mu: jax.Array, valid: jax.Array) -> jax.Array:
    """Rank of memberships among those of the sample [L, n]; the knots are even, so no search is needed."""
    last = arrays["layer_rank"].shape[1] - 1
    place = jnp.where(valid, mu, 0.0) * last
    before = jnp.clip(place.astype(jnp.int32), 0, last - 1)
    low, high = (jnp.take_along_axis(arrays["layer_rank"], before + k, axis=1) for k in (0, 1))
    return low + (high - low) * (place - before)


def _ecdf(arrays: Arrays, name: str, values: jax.Array) -> jax.Array:
    return jnp.interp(values, arrays[f"ecdf_{name}_x"], arrays[f"ecdf_{name}_y"])
