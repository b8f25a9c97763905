"""Training of one member in NumPy: in float64 the definition that judges everybody's weights, in float32 a rival.

The network of autoencoder/network.py on complete cells, its gradient written out by hand (backpropagation through time,
Werbos 1990, doi 10.1109/5.58337), and the loop around it: Huber loss, gradients clipped to norm 1, AdamW (Loshchilov
and Hutter 2019, arXiv 1711.05101) on a cosine schedule, the best of the looks at the cells held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mpmjax.autoencoder.training import EVALUATE_EVERY, TrainingConfig

Weights = dict[str, np.ndarray]
"""A member's parameters by the path of their names: identity, enc_wx, encoder.wh, to_latent.kernel and so on."""

HUBER = 0.1
"""The error from which on the loss grows linearly, as masked_loss has it by default."""
BETAS, EPSILON, LEAST_RATE = (0.9, 0.999), 1e-8, 0.05


class Draws(NamedTuple):
    """What one member trains on.

    Attributes:
        order: layers int [L].
        batches: rows of the sample int [steps, batch].
        held_out: rows int [v].
    """

    order: np.ndarray
    batches: np.ndarray
    held_out: np.ndarray


class _Step(NamedTuple):
    """What the gradient of an LSTM's step needs: the state before, the activations, tanh of the state after."""

    h: np.ndarray
    c: np.ndarray
    i: np.ndarray
    f: np.ndarray
    g: np.ndarray
    o: np.ndarray
    tanh_c: np.ndarray


def train(mu: np.ndarray, start: Mapping[str, np.ndarray], draws: Draws, config: TrainingConfig, dtype: Any) -> Weights:
    """The weights of the best look; mu float32 [n, L] of complete cells, computed in `dtype` throughout."""
    x, w = mu.astype(dtype), {name: np.array(values, dtype) for name, values in start.items()}
    first, second = ({name: np.zeros_like(values) for name, values in w.items()} for _ in range(2))
    best, kept = np.inf, w
    for number, rows in enumerate(draws.batches):
        _, gradient = loss_and_gradient(w, x[rows], draws.order)
        _adamw(w, gradient, first, second, number, len(draws.batches), config)
        if (number + 1) % EVALUATE_EVERY == 0:
            now = loss(w, x[draws.held_out], draws.order)
            if now < best:
                best, kept = now, {name: values.copy() for name, values in w.items()}
    return kept


def loss(w: Weights, x: np.ndarray, order: np.ndarray) -> float:
    """Mean Huber loss of complete cells x [n, L]."""
    error = np.abs(_forward(w, x, order)[0] - x)
    return float(np.where(error <= HUBER, error**2, 2 * HUBER * error - HUBER**2).mean())


def loss_and_gradient(w: Weights, x: np.ndarray, order: np.ndarray) -> tuple[float, Weights]:
    """The loss and its gradient by every parameter."""
    x_hat, encoded, decoded, z, states = _forward(w, x, order)
    error = x_hat - x
    far = np.abs(error) > HUBER
    value = np.where(far, 2 * HUBER * np.abs(error) - HUBER**2, error**2).mean()
    slope = np.where(far, 2 * HUBER * np.sign(error), 2 * error) / x.dtype.type(x.size)
    backward, by = order[::-1], {name: np.zeros_like(values) for name, values in w.items()}
    spoken = [np.outer(slope[:, layer], w["to_output.kernel"]) for layer in backward]
    by["to_output.kernel"][:, 0] = sum(h.T @ slope[:, layer] for h, layer in zip(states, backward, strict=True))
    by["to_output.bias"][:] = slope.sum()
    gates, by["decoder.wh"] = _unrolled_back(decoded, w["decoder.wh"], spoken)
    _to_identity(by, w, "dec", gates, backward)
    drive = sum(gates)
    by["dec_wz"] = z.T @ drive
    to_z = drive @ w["dec_wz"].T
    last = encoded[-1].o * encoded[-1].tanh_c
    by["to_latent.kernel"], by["to_latent.bias"] = last.T @ to_z, to_z.sum(axis=0)
    ends = [*[np.zeros_like(last)] * (len(order) - 1), to_z @ w["to_latent.kernel"].T]
    gates, by["encoder.wh"] = _unrolled_back(encoded, w["encoder.wh"], ends)
    _to_identity(by, w, "enc", gates, order)
    by["enc_wx"][0] = sum(x[:, layer] @ gate for layer, gate in zip(order, gates, strict=True))
    return float(value), by


def _forward(
    w: Weights, x: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, list[_Step], list[_Step], np.ndarray, list[np.ndarray]]:
    """x_hat [n, L], the steps of encoder and decoder, the latent [n, d], and the decoder's states [n, H]."""
    identity = w["identity"] @ w["enc_we"] + w["enc_b"]
    encoded, states = _unrolled([np.outer(x[:, at], w["enc_wx"]) + identity[at] for at in order], w["encoder.wh"])
    z = states[-1] @ w["to_latent.kernel"] + w["to_latent.bias"]
    drive, identity = z @ w["dec_wz"], w["identity"] @ w["dec_we"] + w["dec_b"]
    backward = order[::-1]
    decoded, states = _unrolled([drive + identity[at] for at in backward], w["decoder.wh"])
    x_hat = np.empty_like(x)
    for at, h in zip(backward, states, strict=True):
        x_hat[:, at] = h @ w["to_output.kernel"][:, 0] + w["to_output.bias"][0]
    return x_hat, encoded, decoded, z, states


def _unrolled(inputs: Sequence[np.ndarray], wh: np.ndarray) -> tuple[list[_Step], list[np.ndarray]]:
    """An LSTM over its steps, from what goes into the gates [n, 4H] beside the state: steps, and the states after."""
    h = c = np.zeros((len(inputs[0]), len(wh)), wh.dtype)
    steps: list[_Step] = []
    states: list[np.ndarray] = []
    for gates in inputs:
        i, f, g, o = np.split(gates + h @ wh, 4, axis=1)
        i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
        after = f * c + i * g
        steps.append(_Step(h, c, i, f, g, o, np.tanh(after)))
        h, c = o * steps[-1].tanh_c, after
        states.append(h)
    return steps, states


def _unrolled_back(
    steps: Sequence[_Step], wh: np.ndarray, to_states: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Gradients by what went into the gates [n, 4H] of each step, and by `wh`, from those by the states after."""
    to_h = to_c = np.zeros_like(steps[0].h)
    to_wh, gates = np.zeros_like(wh), []
    for step, given in zip(reversed(steps), reversed(to_states), strict=True):
        to_h = to_h + given
        to_c = to_c + to_h * step.o * (1 - step.tanh_c**2)
        parts = (
            to_c * step.g * step.i * (1 - step.i),
            to_c * step.c * step.f * (1 - step.f),
            to_c * step.i * (1 - step.g**2),
            to_h * step.tanh_c * step.o * (1 - step.o),
        )
        gates.append(np.concatenate(parts, axis=1))
        to_wh += step.h.T @ gates[-1]
        to_h, to_c = gates[-1] @ wh.T, to_c * step.f
    return gates[::-1], to_wh


def _to_identity(by: Weights, w: Weights, side: str, gates: Sequence[np.ndarray], order: np.ndarray) -> None:
    """Adds the gradients by what tells the layers apart: embeddings, their weights and the bias."""
    for layer, gate in zip(order, gates, strict=True):
        bias = gate.sum(axis=0)
        by[f"{side}_b"] += bias
        by[f"{side}_we"] += np.outer(w["identity"][layer], bias)
        by["identity"][layer] += w[f"{side}_we"] @ bias


def _adamw(
    w: Weights, gradient: Weights, first: Weights, second: Weights, number: int, steps: int, config: TrainingConfig
) -> None:
    """One step of AdamW, in place; `first` and `second` are its moments."""
    norm = np.sqrt(sum(float(np.vdot(part, part)) for part in gradient.values()))
    share = 0.5 * (1 + np.cos(np.pi * number / steps))
    rate = config.learning_rate * (LEAST_RATE + (1 - LEAST_RATE) * share)
    for name, part in gradient.items():
        clipped = part / max(1.0, norm)
        first[name] += (1 - BETAS[0]) * (clipped - first[name])
        second[name] += (1 - BETAS[1]) * (clipped**2 - second[name])
        mean, square = (m[name] / (1 - beta ** (number + 1)) for m, beta in zip((first, second), BETAS, strict=True))
        w[name] -= rate * (mean / (np.sqrt(square) + EPSILON) + config.weight_decay * w[name])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * x) + 0.5
