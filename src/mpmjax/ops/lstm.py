"""Scores of cells: the scorer of mpmjax.reference.lstm, which judges every form, by whichever form is asked for.

`cpu` (ops/cpu, Numba) is what `auto` means, `jax` (ops/xla) the portable second one, on whatever device JAX runs, and
`numpy` the definition itself, float64 and slow. Within one form a cell's bits depend on its own values alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from mpmjax.ops import backend as backends
from mpmjax.products import CLASS_MAPS
from mpmjax.reference import lstm as reference

CHUNK = 2048
"""Cells that `jax` and `numpy` score at a time. Fixed and padded: XLA's bits, and a BLAS's, change with the number."""

Program = Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]


class Form(Protocol):
    """What scores n cells: mu float32 [L, F, n] and valid bool [L, n], both contiguous, neither written."""

    def score(self, mu: np.ndarray, valid: np.ndarray) -> Mapping[str, np.ndarray]: ...

    def reconstruct(self, mu: np.ndarray, valid: np.ndarray) -> Mapping[str, np.ndarray]: ...


class Scorer:
    """A Screener's arrays, ready to score. Safe to call from many threads.

    Args:
        arrays: as reference/lstm.py documents them; `score` needs all, `reconstruct` only the network's.
        backend: auto, cpu, jax or numpy; cuda is jax, on the card (ops/gpu/lanes.py scores whole tiles there).

    Raises:
        BackendError: a backend that is not there.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], backend: str = "auto") -> None:
        backends.require(backend)
        self._inputs = arrays["order"].shape[1], arrays["enc_wx"].shape[1]
        self._form = _form(arrays, backends.DEFAULT if backend == "auto" else backend)

    def score(self, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        """Maps of n cells.

        Args:
            mu: float32 [L, n] memberships in 0..1, or [L, F, n] features of which they are the first; any value where
                not valid.
            valid: bool [L, n].

        Returns:
            INDEX_MAPS and R, V, M, surprise as float32 [n], CLASS_MAPS as uint8 [n].

        Raises:
            ValueError: other numbers of layers or features than the network's.
        """
        return dict(self._form.score(*self._input(mu, valid)))

    def reconstruct(self, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        """Latents `z` float32 [E, d, n] and residuals `e` float32 [E, L, n] (0 where missing) of n cells."""
        return dict(self._form.reconstruct(*self._input(mu, valid)))

    def _input(self, mu: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, there = np.ascontiguousarray(mu, np.float32), np.ascontiguousarray(valid, np.bool_)
        x = x[:, None, :] if x.ndim == 2 else x
        (layers, features), cells = self._inputs, there.shape[-1]
        if x.shape != (layers, features, cells) or there.shape != (layers, cells):
            raise ValueError(
                f"memberships {mu.shape} and validity {valid.shape} for a network of {layers} layers with {features} "
                f"features each: [{layers}, {features}, n] and [{layers}, n] are needed"
            )
        return x, there


def _form(arrays: Mapping[str, np.ndarray], backend: str) -> Form:
    if backend == "numpy":
        return Definition(arrays)
    if backend == "cpu":
        from mpmjax.ops.cpu.lstm import Cpu

        return Cpu(arrays)
    from mpmjax.ops.xla.lstm import Xla

    return Chunked(Xla(arrays))


class Definition:
    """The definition, as a form."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = dict(arrays)

    def score(self, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        return chunked(self._score, mu, valid)

    def reconstruct(self, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        return chunked(self._reconstruct, mu, valid)

    def _score(self, mu: np.ndarray, valid: np.ndarray) -> Mapping[str, np.ndarray]:
        # Padded cells have no layer at all, of which the definition makes no mean.
        filled = valid | ~valid.any(axis=0)
        found = reference.score(np.moveaxis(mu, -1, 0).astype(np.float64), filled.T, self._arrays)
        return {name: a.astype(np.uint8 if name in CLASS_MAPS else np.float32) for name, a in found.items()}

    def _reconstruct(self, mu: np.ndarray, valid: np.ndarray) -> Mapping[str, np.ndarray]:
        x, present = np.moveaxis(mu, -1, 0).astype(np.float64), valid.T
        pairs = [reference.reconstruct(x, present, self._arrays, m) for m in range(len(self._arrays["order"]))]
        latents = np.stack([z.T for z, _ in pairs])
        residuals = np.stack([np.where(present, x[:, :, 0] - x_hat, 0.0).T for _, x_hat in pairs])
        return {"z": latents.astype(np.float32), "e": residuals.astype(np.float32)}


class Chunked:
    """A form that takes CHUNK cells, fresh arrays each time, as one that takes any number."""

    def __init__(self, form: Form) -> None:
        self._form = form

    def score(self, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        return chunked(self._form.score, mu, valid)

    def reconstruct(self, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        return chunked(self._form.reconstruct, mu, valid)


def chunked(program: Program, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
    """What a program gives for n cells, called with CHUNK at a time, the last ones padded."""
    (layers, n), features = valid.shape, mu.shape[1]
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, max(n, 1), CHUNK):  # of no cells one chunk too, for its names, shapes and dtypes
        size = min(CHUNK, n - start)
        # Fresh padded arrays each time: jit may alias a host array, so none is reused while its result is pending.
        x, m = np.zeros((layers, features, CHUNK), np.float32), np.zeros((layers, CHUNK), bool)
        x[..., :size], m[:, :size] = mu[..., start : start + size], valid[:, start : start + size]
        parts.append({name: np.asarray(values)[..., :size] for name, values in program(x, m).items()})
    return {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}
