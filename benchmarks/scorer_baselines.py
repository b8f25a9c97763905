"""The rivals of the whole scorer: the network in float32 NumPy by chunks, and in torch.nn.LSTM.

The network is theirs (network_baselines.py), the rest (residuals, posteriors, maps) is `_maps`, the definition of
reference/lstm.py in float32 NumPy. Weights are brought into the form each likes best before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import ModuleType

import numpy as np

from mpmjax.reference.lstm import DRIVE_END, layer_ranks

from .baselines import Call, with_library
from .gate import Missing
from .network_baselines import Network, numpy_network, torch_network, weights_of, with_features
from .ways import cores_here, parts, side_by_side

NUMPY_CHUNK, TORCH_CHUNK = 4096, 1024
"""Cells a chunk: the best of 256 to 16,384 when they were compared."""

Arrays = Mapping[str, np.ndarray]
Reconstruct = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""(x [n, L], present [n, L], member) -> latent [n, d], reconstruction [n, L]; all float32 but present (bool)."""


def numpy_scores(mu: np.ndarray, valid: np.ndarray, arrays: Arrays) -> Call:
    """Maps of mu, valid [L, n], scored in float32 by chunks of 4,096 cells, a part of the cells on each core."""
    networks = [numpy_network(weights_of(arrays, member)) for member in range(len(arrays["order"]))]
    return _on_cores(mu, valid, arrays, networks, NUMPY_CHUNK)


def torch_scores(mu: np.ndarray, valid: np.ndarray, arrays: Arrays, chunk: int = TORCH_CHUNK) -> Call | Missing:
    """The same through torch.nn.LSTM, one thread on each core; complete cells only."""
    if not valid.all():
        return Missing("nn.LSTM cannot carry a state over a missing layer")

    def build(torch: ModuleType) -> Call:
        networks = [torch_network(torch, weights_of(arrays, member)) for member in range(len(arrays["order"]))]
        return _on_cores(mu, valid, arrays, networks, chunk, lambda: torch.set_num_threads(1))

    return with_library("torch", "torch", build)


def _on_cores(
    mu: np.ndarray,
    valid: np.ndarray,
    arrays: Arrays,
    networks: Sequence[Network],
    chunk: int,
    prepare: Callable[[], object] | None = None,
) -> Call:
    pieces = [(mu[:, cells], valid[:, cells]) for cells in parts(valid.shape[1], cores_here())]
    return side_by_side([partial(_by_chunks, *piece, arrays, networks, chunk) for piece in pieces], prepare)


def _by_chunks(
    mu: np.ndarray, valid: np.ndarray, arrays: Arrays, networks: Sequence[Network], chunk: int
) -> dict[str, np.ndarray]:
    def reconstruct(x: np.ndarray, present: np.ndarray, member: int) -> tuple[np.ndarray, np.ndarray]:
        network = networks[member]
        latent, x_hat = network.run(network.prepare(with_features(x.T), present.T))
        return latent, x_hat.T

    found = []
    for start in range(0, mu.shape[1], chunk):
        cells = slice(start, start + chunk)
        present = np.ascontiguousarray(valid[:, cells].T)
        x = np.where(present, mu[:, cells].T, np.float32(0))
        found.append(_maps(x, present, arrays, reconstruct))
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


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
