"""Scores of whole tiles: the scorer of mpmjax.reference.lstm, which judges every form, by whichever form is asked for.

`jax` (ops/xla) is what `auto` means; `numpy` is the definition itself, float64 and slow, and imports no JAX. Within one
form a cell's bits depend on its own values alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from mpmjax.ops import backend as backends
from mpmjax.reference import lstm as reference

CHUNK = 2048
"""Cells scored at a time. Fixed and padded: XLA's bits, and those of a BLAS, change with the size of a batch."""

INDEX_MAPS = ("prospectivity", "favourability", "anomaly", "confidence", "risk", "spread", "coverage")
CLASS_MAPS = ("groups", "quadrants", "driver")


class Form(Protocol):
    """What computes one padded chunk: mu float32 [L, CHUNK] and valid bool [L, CHUNK], both fresh."""

    def score(self, mu: np.ndarray, valid: np.ndarray) -> Mapping[str, np.ndarray]: ...

    def reconstruct(self, mu: np.ndarray, valid: np.ndarray) -> Mapping[str, np.ndarray]: ...


class Scorer:
    """A Screener's arrays, ready to score. Safe to call from many threads.

    Args:
        arrays: as reference/lstm.py documents them; `score` needs all, `reconstruct` only the network's.
        backend: auto, jax or numpy; cpu and cuda, which have a form of memberships only, are auto.

    Raises:
        BackendError: a backend that is not there.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], backend: str = "auto") -> None:
        backends.require(backend)
        self._form: Form
        if backend == "numpy":
            self._form = Definition(arrays)
        else:
            from mpmjax.ops.xla.lstm import Xla

            self._form = Xla(arrays)

    def score(self, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        """Maps of n cells.

        Args:
            mu: float32 [L, n] memberships in 0..1; valid: bool [L, n].

        Returns:
            INDEX_MAPS and R, V, M, surprise as float32 [n], CLASS_MAPS as uint8 [n].
        """
        return _chunked(self._form.score, mu, valid)

    def reconstruct(self, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        """Latents `z` float32 [E, d, n] and residuals `e` float32 [E, L, n] (0 where missing) of n cells."""
        return _chunked(self._form.reconstruct, mu, valid)


class Definition:
    """The definition, as a form."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = dict(arrays)

    def score(self, mu: np.ndarray, valid: np.ndarray) -> Mapping[str, np.ndarray]:
        # Padded cells have no layer at all, of which the definition makes no mean.
        filled = valid | ~valid.any(axis=0)
        found = reference.score(mu.T.astype(np.float64), filled.T, self._arrays)
        return {name: a.astype(np.uint8 if name in CLASS_MAPS else np.float32) for name, a in found.items()}

    def reconstruct(self, mu: np.ndarray, valid: np.ndarray) -> Mapping[str, np.ndarray]:
        x, present = mu.T.astype(np.float64), valid.T
        pairs = [reference.reconstruct(x, present, self._arrays, m) for m in range(len(self._arrays["order"]))]
        latents = np.stack([z.T for z, _ in pairs])
        residuals = np.stack([np.where(present, x - x_hat, 0.0).T for _, x_hat in pairs])
        return {"z": latents.astype(np.float32), "e": residuals.astype(np.float32)}


def _chunked(program, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
    layers, n = mu.shape
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, max(n, 1), CHUNK):  # of no cells one chunk too, for its names, shapes and dtypes
        size = min(CHUNK, n - start)
        # Fresh padded arrays each time: jit may alias a host array, so none is reused while its result is pending.
        x, m = np.zeros((layers, CHUNK), np.float32), np.zeros((layers, CHUNK), bool)
        x[:, :size], m[:, :size] = mu[:, start : start + size], valid[:, start : start + size]
        parts.append({name: np.asarray(values)[..., :size] for name, values in program(x, m).items()})
    return {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}
