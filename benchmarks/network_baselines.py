"""The rivals of the bare network, one member's two LSTMs, in the libraries that have an LSTM or could write one.

Each brings the weights and the input into the form it likes before the clock starts. nn.LSTM, ONNX's LSTM and flax's
cell have one bias for all steps: the bias by layer comes in as the weights of a one-hot input. None of the three can
carry a state over a missing layer: they take complete cells only. Those that compile are in network_compiled.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

Weights = Mapping[str, np.ndarray]
"""One member's arrays of reference/lstm.py, without the leading E."""


class Network(NamedTuple):
    """One member in a library's own form.

    Attributes:
        prepare: mu float32 [L, F, n] and valid bool [L, n] -> the input as the library likes it.
        run: such an input -> latent [n, d] and reconstruction of feature 0 [L, n], float32 of NumPy.
    """

    prepare: Callable[[np.ndarray, np.ndarray], Any]
    run: Callable[[Any], tuple[np.ndarray, np.ndarray]]


def weights_of(arrays: Mapping[str, np.ndarray], member: int) -> Weights:
    """The network's arrays of one member."""
    names = ("order", "enc_wx", "enc_wh", "enc_b", "lat_w", "lat_b", "dec_wz", "dec_wh", "dec_b", "out_w", "out_b")
    return {name: arrays[name][member] for name in names}


def with_features(mu: np.ndarray) -> np.ndarray:
    """Memberships as [L, F, n]; those of one feature may come as [L, n]."""
    return mu if mu.ndim == 3 else mu[:, None]


def numpy_network(w: Weights) -> Network:
    """Float32 whole-array NumPy, cells in rows, as one would write it; layers may be missing."""
    order, hidden = w["order"], len(w["enc_wh"])

    def prepare(mu: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = np.where(valid[:, None], mu, np.float32(0))
        return np.ascontiguousarray(x.transpose(0, 2, 1)), valid

    def run(given: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        x, present = given
        n = x.shape[1]
        h, c = np.zeros((2, n, hidden), np.float32)
        for layer in order:
            gates = h @ w["enc_wh"]
            # A matrix product over one feature takes NumPy three times as long as multiplying by the row.
            gates += x[layer] * w["enc_wx"][0] if len(w["enc_wx"]) == 1 else x[layer] @ w["enc_wx"]
            gates += w["enc_b"][layer]
            h, c = _numpy_step(gates, h, c, present[layer, :, None])
        z = h @ w["lat_w"] + w["lat_b"]
        drive = z @ w["dec_wz"]
        h, c = np.zeros((2, n, hidden), np.float32)
        x_hat = np.empty((len(order), n), np.float32)
        for layer in order[::-1]:
            gates = h @ w["dec_wh"]
            gates += drive
            gates += w["dec_b"][layer]
            h, c = _numpy_step(gates, h, c, present[layer, :, None])
            np.add(h @ w["out_w"][:, 0], w["out_b"][0], out=x_hat[layer])
        return z, x_hat

    return Network(prepare, run)


def _numpy_step(gates: np.ndarray, h: np.ndarray, c: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    hidden = h.shape[1]
    i, f, g, o = (gates[:, at * hidden : (at + 1) * hidden] for at in range(4))
    c_new = _sigmoid(f) * c
    c_new += _sigmoid(i) * np.tanh(g)
    h_new = _sigmoid(o) * np.tanh(c_new)
    if keep.all():
        return h_new, c_new
    return np.where(keep, h_new, h), np.where(keep, c_new, c)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    half = np.multiply(x, np.float32(0.5))
    np.tanh(half, out=half)
    half *= np.float32(0.5)
    half += np.float32(0.5)
    return half


def stepwise(w: Weights, mu: np.ndarray) -> np.ndarray:
    """The encoder's input [L, n, F + L] of an LSTM with one bias: the layer's features, and which it is."""
    layers, features, n = mu.shape
    steps = np.zeros((layers, n, features + layers), np.float32)
    for step, layer in enumerate(w["order"]):
        steps[step, :, :features] = mu[layer].T
        steps[step, :, features + layer] = 1.0
    return steps


def stacked(w: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Input weights of encoder [F + L, 4H] and decoder [d + L, 4H] for a one-hot layer behind the input proper."""
    return np.concatenate([w["enc_wx"], w["enc_b"]]), np.concatenate([w["dec_wz"], w["dec_b"]])


def torch_network(torch: ModuleType, w: Weights, dtype: str = "float32") -> Network:
    """Two torch.nn.LSTM; in bfloat16, their weights, input and states are, and the rest float32."""
    kind = getattr(torch, dtype)
    (from_x, from_z), layers, latent = stacked(w), len(w["order"]), len(w["dec_wz"])
    encoder = _torch_lstm(torch, from_x, w["enc_wh"]).to(kind)
    decoder = _torch_lstm(torch, from_z, w["dec_wh"]).to(kind)
    known = {name: torch.from_numpy(np.ascontiguousarray(w[name])) for name in ("lat_w", "lat_b", "out_w", "out_b")}
    backward = torch.eye(layers)[torch.from_numpy(w["order"][::-1].astype(np.int64))][:, None, :].to(kind)
    place = np.argsort(w["order"][::-1])

    def prepare(mu: np.ndarray, _valid: np.ndarray) -> Any:
        return torch.from_numpy(stepwise(w, mu)).to(kind)

    def run(steps: Any) -> tuple[np.ndarray, np.ndarray]:
        n = steps.shape[1]
        with torch.inference_mode():
            _, (h, _) = encoder(steps)
            z = torch.addmm(known["lat_b"], h[0].float(), known["lat_w"])
            inputs = torch.cat([z.to(kind).expand(layers, n, latent), backward.expand(layers, n, layers)], dim=2)
            states, _ = decoder(inputs)
            x_hat = states.float() @ known["out_w"][:, 0] + known["out_b"][0]
            return z.numpy(), x_hat.numpy()[place]

    return Network(prepare, run)


def _torch_lstm(torch: ModuleType, from_input: np.ndarray, from_hidden: np.ndarray) -> Any:
    lstm = torch.nn.LSTM(len(from_input), len(from_hidden), bias=False)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.from_numpy(from_input.T.copy()))
        lstm.weight_hh_l0.copy_(torch.from_numpy(from_hidden.T.copy()))
    return lstm
