"""The rivals of the scorer: the LSTM in float32 NumPy by chunks, and in torch.nn.LSTM.

Both score whole cells: the network is theirs, the rest (residuals, posteriors, maps) is `_maps`, the definition of
reference/lstm.py in float32 NumPy. Weights are brought into the form each likes best before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.baselines import Call, with_library
from benchmarks.gate import Missing
from mpmjax.reference.lstm import DRIVE_END, layer_ranks

CHUNK = 4096
"""Cells a chunk of the NumPy rival, and 1,024 for torch: the best of 256 to 16,384 when they were compared."""

Arrays = Mapping[str, np.ndarray]
Reconstruct = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""(x [n, L], present [n, L], member) -> latent [n, d], reconstruction [n, L]; all float32 but present (bool)."""


def numpy_scores(mu: np.ndarray, valid: np.ndarray, arrays: Arrays) -> dict[str, np.ndarray]:
    """Maps of mu, valid [L, n], scored in float32 by chunks of 4,096 cells."""
    weights = [
        {name: values[m] for name, values in arrays.items() if values.ndim > 1} for m in range(len(arrays["order"]))
    ]

    def reconstruct(x: np.ndarray, present: np.ndarray, member: int) -> tuple[np.ndarray, np.ndarray]:
        return _numpy_member(x, present, weights[member])

    return _by_chunks(mu, valid, arrays, reconstruct, CHUNK)


def torch_scores(mu: np.ndarray, valid: np.ndarray, arrays: Arrays, chunk: int = 1024) -> Call | Missing:
    """The same through torch.nn.LSTM on one thread; complete cells only, in chunks of the size that suits it best."""
    if not valid.all():
        return Missing("nn.LSTM cannot carry a state over a missing layer")

    def build(torch: ModuleType) -> Call:
        torch.set_num_threads(1)
        members = [_torch_member(torch, arrays, member) for member in range(len(arrays["order"]))]

        def reconstruct(x: np.ndarray, present: np.ndarray, member: int) -> tuple[np.ndarray, np.ndarray]:
            with torch.inference_mode():
                return members[member](x)

        return lambda: _by_chunks(mu, valid, arrays, reconstruct, chunk)

    return with_library("torch", "torch", build)


def _by_chunks(
    mu: np.ndarray, valid: np.ndarray, arrays: Arrays, reconstruct: Reconstruct, chunk: int
) -> dict[str, np.ndarray]:
    parts = []
    for start in range(0, mu.shape[1], chunk):
        cells = slice(start, start + chunk)
        present = np.ascontiguousarray(valid[:, cells].T)
        x = np.where(present, mu[:, cells].T, np.float32(0))
        parts.append(_maps(x, present, arrays, reconstruct))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _numpy_member(x: np.ndarray, present: np.ndarray, w: Arrays) -> tuple[np.ndarray, np.ndarray]:
    order, hidden = w["order"], len(w["enc_wh"])
    h, c = np.zeros((2, len(x), hidden), np.float32)
    for layer in order:
        gates = h @ w["enc_wh"]
        gates += x[:, layer, None] * w["enc_wx"][0]
        gates += w["enc_b"][layer]
        h, c = _numpy_step(gates, h, c, present[:, layer, None])
    z = h @ w["lat_w"] + w["lat_b"]
    drive = z @ w["dec_wz"]
    h, c = np.zeros((2, len(x), hidden), np.float32)
    x_hat = np.empty_like(x)
    for layer in order[::-1]:
        gates = h @ w["dec_wh"]
        gates += drive
        gates += w["dec_b"][layer]
        h, c = _numpy_step(gates, h, c, present[:, layer, None])
        x_hat[:, layer] = h @ w["out_w"][:, 0] + w["out_b"][0]
    return z, x_hat


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


def _torch_member(
    torch: ModuleType, arrays: Arrays, member: int
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """One member as two nn.LSTM; the bias by layer comes in as the weights of a one-hot input."""
    w: dict[str, Any] = {name: torch.from_numpy(np.asarray(a[member])) for name, a in arrays.items() if a.ndim > 1}
    hidden, latent, layers = len(w["enc_wh"]), len(w["dec_wz"]), len(w["order"])
    order = arrays["order"][member]
    encoder = _torch_lstm(torch, torch.cat([w["enc_wx"], w["enc_b"]]), w["enc_wh"], 1 + layers)
    decoder = _torch_lstm(torch, torch.cat([w["dec_wz"], w["dec_b"]]), w["dec_wh"], latent + layers)
    forward = torch.eye(layers)[torch.from_numpy(order.astype(np.int64))]
    place = np.argsort(order[::-1])

    def reconstruct(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = len(x)
        steps = torch.from_numpy(x[:, order].T.copy())[:, :, None]
        inputs = torch.cat([steps, forward[:, None, :].expand(layers, n, layers)], dim=2)
        _, (h, _) = encoder(inputs)
        z = h[0] @ w["lat_w"] + w["lat_b"]
        inputs = torch.cat([z.expand(layers, n, latent), forward.flip(0)[:, None, :].expand(layers, n, layers)], dim=2)
        states, _ = decoder(inputs)
        x_hat = (states.reshape(-1, hidden) @ w["out_w"][:, 0] + w["out_b"][0]).reshape(layers, n)
        return z.numpy(), x_hat.numpy()[place].T

    return reconstruct


def _torch_lstm(torch: ModuleType, from_input: Any, from_hidden: Any, inputs: int) -> Any:
    lstm = torch.nn.LSTM(inputs, len(from_hidden), bias=False)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(from_input.T)
        lstm.weight_hh_l0.copy_(from_hidden.T)
    return lstm


def _maps(x: np.ndarray, present: np.ndarray, arrays: Arrays, reconstruct: Reconstruct) -> dict[str, np.ndarray]:
    """All maps of a chunk, as reference/lstm.py defines them."""
    members, layers = arrays["order"].shape
    count = np.maximum(present.sum(axis=1), 1).astype(np.float32)
    surprise, posteriors, said = [], [], []
    for m in range(members):
        latent, x_hat = reconstruct(x, present, m)
        z = np.where(present, (x - x_hat - arrays["res_median"][m]) / arrays["res_scale"][m], np.float32(0))
        surprise.append(np.minimum(z * z, np.float32(25)).sum(axis=1) / count)
        posteriors.append(_posterior(latent, arrays, m))
        said.append(np.clip(latent @ arrays["fav_w"][m] + arrays["fav_b"][m], 0, 1))
    p = np.stack(posteriors)
    weight = present * arrays["weight"]
    total = weight.sum(axis=1)
    fav = np.where(total > 0, (weight * x).sum(axis=1) / np.where(total > 0, total, 1), np.float32(0.5))
    member_fav = np.stack(said)
    consensus = p.mean(axis=0).argmax(axis=1)
    r, risk, coverage = member_fav.mean(axis=0), member_fav.std(axis=0), count / np.float32(layers)
    anomaly, trust = _ecdf(np.mean(surprise, axis=0), arrays, "anomaly"), arrays["trust"][0]
    drive = np.where(weight > 0, -weight * np.log(np.float32(DRIVE_END) - layer_ranks(x, present, arrays)), -np.inf)
    rank = _ecdf(fav, arrays, "fav")
    prospectivity = rank * (1 + trust * anomaly) / (1 + trust)
    spread = rank * trust * _ecdf(np.stack(surprise), arrays, "anomaly").std(axis=0) / (1 + trust)
    away = np.abs(prospectivity - arrays["cut"][0]) / np.sqrt(arrays["noise"][0] + arrays["noise"][1] * spread**2)
    return {
        "prospectivity": prospectivity,
        "favourability": fav,
        "anomaly": anomaly,
        "confidence": 1 / (1 + np.exp(-away)),
        "risk": risk,
        "spread": spread,
        "coverage": coverage,
        "groups": (consensus + 1).astype(np.uint8),
        "quadrants": (1 + (risk > arrays["quadrant"][1]) + 2 * (r < arrays["quadrant"][0])).astype(np.uint8),
        "driver": np.where(np.isfinite(drive).any(axis=1), drive.argmax(axis=1) + 1, 0).astype(np.uint8),
    }


def _posterior(latent: np.ndarray, arrays: Arrays, member: int) -> np.ndarray:
    chol, mean = arrays["group_chol"][member], arrays["group_mean"][member]
    whitened = (latent[:, None, :] - mean).transpose(1, 0, 2) @ chol.transpose(0, 2, 1)
    log_p = arrays["group_logw"][member] - np.float32(0.5) * (whitened * whitened).sum(axis=2).T
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def _ecdf(values: np.ndarray, arrays: Arrays, name: str) -> np.ndarray:
    return np.interp(values, arrays[f"ecdf_{name}_x"], arrays[f"ecdf_{name}_y"])
