"""How fast this machine trains: one gradient of the network, on its own.

The whole training is one program that takes five seconds to compile; the gradient alone takes one, and most of a
training step is the gradient.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mpmjax.autoencoder.network import Autoencoder, masked_loss

REPEATS = 15
MOST_BATCH = 512
"""Cells of a batch that is measured: larger ones train at the same rate a cell, within what is asked of an estimate."""


class Pace(NamedTuple):
    """CPU seconds: of one cell of a batch through the gradient, and of compiling the gradient."""

    cell: float
    compiling: float


def gradient_pace(network: Autoencoder, batch: int, loss: str, trim: float) -> Pace:
    """Compile the gradient of the loss of one batch, and take the quickest of a few runs; about two seconds.

    CPU seconds, not wall time: what other programs do beside it is left out. On a card wall time is all there is.

    Args:
        batch: cells of a batch; loss, trim: as [model] states them.
    """
    batch = min(batch, MOST_BATCH)
    now = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    start = now()
    x = jnp.asarray(np.random.default_rng(0).random((batch, network.layers, 1), np.float32))
    valid, order = jnp.ones((batch, network.layers), bool), jnp.arange(network.layers)
    shapes = jax.eval_shape(lambda key: network.init(key, x[:1], valid[:1], valid[:1], order), jax.random.key(0))
    params = jax.tree.map(lambda shape: jnp.full(shape.shape, 0.1, shape.dtype), shapes["params"])

    def of_batch(params):
        x_hat = jnp.asarray(network.apply({"params": params}, x, valid, valid, order))
        return masked_loss(x, x_hat, valid, loss, trim=trim)

    program = jax.jit(jax.value_and_grad(of_batch)).lower(params).compile()
    compiled = now()
    quickest = np.inf
    for _ in range(REPEATS):
        begun = now()
        jax.block_until_ready(program(params))
        quickest = min(quickest, now() - begun)
    return Pace(float(quickest) / batch, compiled - start)
