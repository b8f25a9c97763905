"""The rivals of overlays of memberships that are there: float32 NumPy, chunk by chunk."""

from __future__ import annotations

import numpy as np

from .fuzzy_baselines import CHUNK


def numpy_gamma(mu: np.ndarray, valid: np.ndarray, gamma: float) -> np.ndarray:
    """Gamma overlay [n] of mu, valid [L, n] in float32, chunk by chunk, as plain products: those of many underflow."""
    out = np.empty(mu.shape[1], np.float32)
    for start in range(0, mu.shape[1], CHUNK):
        cells = slice(start, start + CHUNK)
        present = valid[:, cells]
        product = np.where(present, mu[:, cells], np.float32(1)).prod(axis=0)
        total = 1 - np.where(present, 1 - mu[:, cells], np.float32(1)).prod(axis=0)
        joined = product ** np.float32(1 - gamma) * total ** np.float32(gamma)
        out[cells] = np.where(present.any(axis=0), joined, np.float32(np.nan))
    return out


def numpy_mean(mu: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mean overlay [n] of mu, valid [L, n] in float32, chunk by chunk."""
    out = np.empty(mu.shape[1], np.float32)
    for start in range(0, mu.shape[1], CHUNK):
        cells = slice(start, start + CHUNK)
        present = valid[:, cells]
        count = present.sum(axis=0, dtype=np.float32)
        total = np.where(present, mu[:, cells], np.float32(0)).sum(axis=0)
        out[cells] = np.where(count > 0, total / np.maximum(count, 1), np.float32(np.nan))
    return out


def numpy_min(mu: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """And overlay [n] of mu, valid [L, n] in float32, chunk by chunk."""
    out = np.empty(mu.shape[1], np.float32)
    for start in range(0, mu.shape[1], CHUNK):
        cells = slice(start, start + CHUNK)
        least = np.where(valid[:, cells], mu[:, cells], np.float32(np.inf)).min(axis=0)
        out[cells] = np.where(np.isinf(least), np.float32(np.nan), least)
    return out
