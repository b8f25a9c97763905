"""The rival of training in flax: nnx.RNN of OptimizedLSTMCell, optax, and a step under jit that a Python loop calls.

As one usually writes it. The cell cannot carry a state over a layer that is hidden: all cells must be complete.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from mpmjax.autoencoder.training import EVALUATE_EVERY, TrainingConfig

from .training_numpy import HUBER, Draws, Weights


class Autoencoder(nnx.Module):
    """The network with the parameters of one of ours, by the paths of their names (autoencoder/network.py)."""

    def __init__(self, given: Weights) -> None:
        rngs = nnx.Rngs(0)
        hidden, latent = given["to_latent.kernel"].shape
        self.identity = nnx.Param(jnp.asarray(given["identity"]))
        self.encoder = _rnn(np.concatenate([given["enc_wx"], given["enc_we"]]), given["encoder.wh"], given["enc_b"])
        self.decoder = _rnn(np.concatenate([given["dec_wz"], given["dec_we"]]), given["decoder.wh"], given["dec_b"])
        self.to_latent = nnx.Linear(hidden, latent, rngs=rngs)
        self.to_output = nnx.Linear(hidden, 1, rngs=rngs)
        for name, linear in (("to_latent", self.to_latent), ("to_output", self.to_output)):
            linear.kernel[...] = jnp.asarray(given[f"{name}.kernel"])
            linear.bias = nnx.Param(jnp.asarray(given[f"{name}.bias"]))

    def __call__(self, x: jax.Array, order: jax.Array) -> jax.Array:
        """x_hat [L, n] of x [n, L], layers backward in the order."""
        (n, layers), identity = x.shape, self.identity[...]
        which = jnp.broadcast_to(identity[order][:, None], (layers, n, identity.shape[1]))
        # Given, because the cell's own start counts random numbers, which a gradient must not.
        zeros = (jnp.zeros((n, self.to_latent.kernel.shape[0])),) * 2
        values = jnp.concatenate([x.T[order][..., None], which], axis=2)
        (_, h), _ = self.encoder(values, initial_carry=zeros, return_carry=True)
        z = self.to_latent(h)
        drive = jnp.broadcast_to(z, (layers, *z.shape))
        states: Any = self.decoder(jnp.concatenate([drive, which[::-1]], axis=2), initial_carry=zeros)
        return self.to_output(states)[..., 0]


def _rnn(from_input: np.ndarray, from_hidden: np.ndarray, bias: np.ndarray) -> nnx.RNN:
    cell = nnx.OptimizedLSTMCell(len(from_input), len(from_hidden), rngs=nnx.Rngs(0))
    cell.dense_i.kernel[...] = jnp.asarray(from_input)
    cell.dense_h.kernel[...] = jnp.asarray(from_hidden)
    cell.dense_h.bias = nnx.Param(jnp.asarray(bias))
    return nnx.RNN(cell, time_major=True, rngs=nnx.Rngs(0))


def weights(model: Autoencoder) -> Weights:
    """A model's parameters under our names."""
    latent, found = model.to_latent.kernel.shape[1], {"identity": np.asarray(model.identity[...])}
    for short, side, before in (("enc", "encoder", 1), ("dec", "decoder", latent)):
        cell: Any = getattr(model, side).cell
        kernel = np.asarray(cell.dense_i.kernel[...])
        found |= {f"{short}_{'wx' if short == 'enc' else 'wz'}": kernel[:before], f"{short}_we": kernel[before:]}
        found |= {f"{side}.wh": np.asarray(cell.dense_h.kernel[...]), f"{short}_b": np.asarray(cell.dense_h.bias[...])}
    for name, linear in (("to_latent", model.to_latent), ("to_output", model.to_output)):
        found |= {f"{name}.{part}": np.asarray(getattr(linear, part)[...]) for part in ("kernel", "bias")}
    return found


def member(mu: np.ndarray, start: Weights, draws: Draws, config: TrainingConfig) -> Callable[[], Weights]:
    """A call that trains one member of mu [n, L] from the same start each time, and gives the weights of its best."""
    graph, first, rest = nnx.split(Autoencoder(start), nnx.Param, ...)  # the rest: random states, unused
    x, order, held_out = jnp.asarray(mu), jnp.asarray(draws.order), jnp.asarray(mu[draws.held_out])
    batches, optimiser = jnp.asarray(draws.batches), config.optimiser

    def loss(params: Any, batch: jax.Array) -> jax.Array:
        error = jnp.abs(nnx.merge(graph, params, rest)(batch, order) - batch.T[order[::-1]])
        return jnp.where(error <= HUBER, error**2, 2 * HUBER * error - HUBER**2).mean()

    @jax.jit
    def step(params: Any, state: Any, rows: jax.Array) -> tuple[Any, Any]:
        update, state = optimiser.update(jax.grad(loss)(params, x[rows]), state, params)
        return optax.apply_updates(params, update), state

    judge = jax.jit(loss)

    def call() -> Weights:
        params, state, best, kept = first, optimiser.init(first), float("inf"), first
        for number, rows in enumerate(batches, start=1):
            params, state = step(params, state, rows)
            if number % EVALUATE_EVERY == 0 and (now := float(judge(params, held_out))) < best:
                best, kept = now, params
        return weights(nnx.merge(graph, kept, rest))

    return call
