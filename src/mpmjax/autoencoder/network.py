"""The LSTM autoencoder: the layers of a cell are the steps of a sequence.

Encoder LSTM over the layers in the member's order -> latent z [d] -> decoder LSTM in reverse order, fed with z and
the layer's identity at every step, never with its own output. A layer's identity is a learnt embedding that enters
the gates as a bias, so that the order is free. A missing layer carries the state unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

State = tuple[jax.Array, jax.Array]
Steps = tuple[jax.Array, ...]


class Cell(nn.Module):
    """LSTM cell whose input to the gates comes ready; gates (input, forget, cell, output), forget bias 1."""

    hidden: int

    @nn.compact
    def __call__(self, drive: jax.Array, state: State, present: jax.Array) -> State:
        """One step: drive [n, 4H], state two of [n, H], present bool [n]."""
        h, c = state
        recurrent = self.param("wh", nn.initializers.orthogonal(), (self.hidden, 4 * self.hidden))
        i, f, g, o = jnp.split(drive + h @ recurrent, 4, axis=1)
        c_new = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        h_new = nn.sigmoid(o) * jnp.tanh(c_new)
        keep = present[:, None]
        return jnp.where(keep, h_new, h), jnp.where(keep, c_new, c)


class Autoencoder(nn.Module):
    """See the module. Shapes: x [n, L, F], valid bool [n, L], order int [L]."""

    layers: int
    hidden: int
    latent: int
    features: int = 1
    embedding: int = 8

    def setup(self) -> None:
        gates, glorot = 4 * self.hidden, nn.initializers.glorot_uniform()
        forget = jnp.repeat(jnp.array([0.0, 1.0, 0.0, 0.0]), self.hidden)
        self.identity = self.param("identity", nn.initializers.normal(1.0), (self.layers, self.embedding))
        self.enc_wx = self.param("enc_wx", glorot, (self.features, gates))
        self.enc_we = self.param("enc_we", glorot, (self.embedding, gates))
        self.enc_b = self.param("enc_b", lambda _: forget)
        self.encoder = Cell(self.hidden)
        self.to_latent = nn.Dense(self.latent)
        self.dec_wz = self.param("dec_wz", glorot, (self.latent, gates))
        self.dec_we = self.param("dec_we", glorot, (self.embedding, gates))
        self.dec_b = self.param("dec_b", lambda _: forget)
        self.decoder = Cell(self.hidden)
        self.to_output = nn.Dense(self.features)

    def __call__(self, x: jax.Array, valid: jax.Array, seen: jax.Array, order: jax.Array) -> jax.Array:
        """Reconstruct x.

        Args:
            valid: layers that the cell has; these are decoded.
            seen: those of them that the encoder is shown (layer dropout hides some).

        Returns:
            x_hat [n, L, F] in the order of the layers.
        """
        return self.decode(self.encode(x, seen, order), valid, order)

    def encode(self, x: jax.Array, seen: jax.Array, order: jax.Array) -> jax.Array:
        """Latent [n, d]."""
        identity = self.identity @ self.enc_we + self.enc_b

        def step(cell: Cell, state: State, at: Steps) -> tuple[State, None]:
            bias, value, present = at
            return cell(value @ self.enc_wx + bias, state, present), None

        shown = jnp.where(seen[..., None], x, 0.0)
        (h, _), _ = _scan(step)(self.encoder, _zeros(len(x), self.hidden), _in_order(order, identity, shown, seen))
        return self.to_latent(h)

    def decode(self, z: jax.Array, valid: jax.Array, order: jax.Array) -> jax.Array:
        """x_hat [n, L, F] from the latent [n, d]."""
        identity, drive = self.identity @ self.dec_we + self.dec_b, z @ self.dec_wz

        def step(cell: Cell, state: State, at: Steps) -> tuple[State, jax.Array]:
            bias, present = at
            state = cell(drive + bias, state, present)
            return state, state[0]

        backward = order[::-1]
        _, h = _scan(step)(self.decoder, _zeros(len(z), self.hidden), _in_order(backward, identity, valid))
        return self.to_output(h.swapaxes(0, 1)[:, jnp.argsort(backward)])


def _scan(step: Any) -> Any:
    return nn.scan(step, variable_broadcast="params", split_rngs={"params": False})


def _zeros(n: int, hidden: int) -> State:
    return jnp.zeros((n, hidden)), jnp.zeros((n, hidden))


def _in_order(order: jax.Array, identity: jax.Array, *cells: jax.Array) -> Steps:
    """What each step gets: of `cells` [n, L, ...] and of identity [L, 4H] what belongs to its layer.

    No more than that: gates made beforehand, [L, n, 4H], and their gradients would go through memory at every step,
    which took as long as all else together on a CPU.
    """
    return (identity[order], *(array.swapaxes(0, 1)[order] for array in cells))


def latent_size(stated: int | None, layers: int) -> int:
    """d: as stated, else max(1, min(8, L // 2))."""
    return stated if stated is not None else max(1, min(8, layers // 2))


def masked_loss(
    x: jax.Array,
    x_hat: jax.Array,
    valid: jax.Array,
    kind: str,
    *,
    delta: float = 0.1,
    trim: float = 0.0,
    judged: jax.Array | None = None,
) -> jax.Array:
    """Mean over valid layers and features of the squared or Huber error; Huber is scaled to agree with MSE near 0.

    The `trim` share of cells that fit worst takes no part, nor in the gradient: what is to be found as unusual must not
    be learnt (the trimmed loss of least trimmed squares, Rousseeuw 1984, doi 10.1080/01621459.1984.10477105).

    Args:
        x, x_hat: [n, L, F]; valid: bool [n, L].
        kind: huber or mse.
        delta: memberships lie in 0..1; beyond this error the Huber loss grows linearly.
        trim: in 0..1, of n cells rounded down.
        judged: bool [n, L], the layers whose mean loss says how badly a cell fits; all valid ones by default.
    """
    error = jnp.abs(x - x_hat)
    loss = error**2
    if kind == "huber":
        loss = jnp.where(error <= delta, loss, 2 * delta * error - delta**2)
    if dropped := int(trim * len(x)):
        valid = valid & ~_worst(loss, valid if judged is None else judged, dropped)[:, None]
    weight = jnp.broadcast_to(valid[..., None], x.shape)
    return jnp.where(weight, loss, 0.0).sum() / jnp.maximum(weight.sum(), 1)


def _worst(loss: jax.Array, judged: jax.Array, count: int) -> jax.Array:
    """bool [n]: the `count` cells of the highest mean loss over their judged layers; never one whose loss is NaN."""
    mean = jnp.where(judged[..., None], loss, 0.0).sum((1, 2)) / jnp.maximum(judged.sum(1) * loss.shape[2], 1)
    _, cells = lax.top_k(lax.stop_gradient(mean), count)
    # top_k holds NaN for the highest: dropped, a member that diverges would pass for a sound one.
    return jnp.zeros(len(loss), bool).at[cells].set(True) & ~jnp.isnan(mean)


def export(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A member's parameters as the scorer's arrays (reference/lstm.py), embeddings folded into a bias by layer."""
    p = lax.stop_gradient(params)
    arrays = {
        "enc_wx": p["enc_wx"],
        "enc_wh": p["encoder"]["wh"],
        "enc_b": p["identity"] @ p["enc_we"] + p["enc_b"],
        "lat_w": p["to_latent"]["kernel"],
        "lat_b": p["to_latent"]["bias"],
        "dec_wz": p["dec_wz"],
        "dec_wh": p["decoder"]["wh"],
        "dec_b": p["identity"] @ p["dec_we"] + p["dec_b"],
        "out_w": p["to_output"]["kernel"],
        "out_b": p["to_output"]["bias"],
    }
    return {name: np.asarray(values, np.float32) for name, values in arrays.items()}
