"""Scores on an NVIDIA card: all members of an ensemble in one launch of kernels/lstm_score.cu, which says the formulas.

The other form on a card is that of ops/xla/lstm.py, which takes ensembles that this one declines. Streams are as in
gpu/membership.py: everything happens on CuPy's current stream, and nothing waits for the card.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from mpmjax.ops import cuda
from mpmjax.ops.gpu import ensemble, fragments
from mpmjax.products import CLASS_MAPS, INDEX_MAPS

_OLDEST = (8, 0)
"""The first cards with the products and copies that the kernel is made of."""

THREADS = 128
CELLS_A_WARP = 16
BLOCKS_A_PROCESSOR = 64
"""Many times what runs at once (2 to 4), so that no multiprocessor is idle for long at the end. Then blocks stride."""

MOST_CELLS = 1 << 30
"""Of a launch: the kernel counts them in 32 bits."""


def refusal(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Why an ensemble cannot be scored by the kernel on the current card, as the end of a sentence; None if it can.

    Args:
        arrays: a Screener's, as reference/lstm.py documents them.
    """
    capability = cuda.compute_capability()
    if capability < _OLDEST:
        return f"the card has compute capability {capability[0]}.{capability[1]}, and the kernel needs 8.0"
    return ensemble.refusal(arrays)


class Fused:
    """An ensemble that the kernel takes, ready to score on the current card. Safe to call from many threads.

    Args:
        arrays: a Screener's, as reference/lstm.py documents them; copied.

    Raises:
        ValueError: `refusal` says why.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        why = refusal(arrays)
        if why is not None:
            raise ValueError(f"the kernel does not take this ensemble: {why}")
        self.sizes = ensemble.sizes_of(arrays)
        self._packed = fragments.packed(arrays)
        self._there: dict[int, Any] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Compile the kernel and bring the ensemble to the current card; waits until it is there.

        Raises:
            BackendError: CUDA cannot be used, or the kernel does not compile.
        """
        cuda.load("lstm_score", self.sizes.kernel)
        self._on_card()

    def launch(self, mu: Any, valid: Any, cells: np.ndarray) -> list[Any]:
        """Scores of some cells of arrays that lie on the current card; not waited for.

        A cell's bits depend on its memberships and the ensemble alone.

        Args:
            mu: CuPy float32 [L, n], or [L, F, n] with the membership first; contiguous, 0..1 where valid.
            valid: CuPy bool [L, n], contiguous.
            cells: int32 [c], columns of them, 0 <= each < n; c <= 2^30. In any order, any of them more than once.

        Returns:
            CuPy arrays: INDEX_MAPS float32 [7, c], CLASS_MAPS uint8 [3, c], and the number of layers that a cell has,
            int32 [c]. mu and valid must stay as they are until the current stream has passed the kernel.

        Raises:
            BackendError: CUDA cannot be used, or the kernel does not compile.
            ValueError: other shapes, dtypes or columns than can be.
        """
        self._require(mu, valid, cells)
        cupy = cuda.array_module()
        count = len(cells)
        maps = cupy.empty((len(INDEX_MAPS), count), np.float32)
        classes, there = cupy.empty((len(CLASS_MAPS), count), np.uint8), cupy.empty((count,), np.int32)
        if count:
            arguments = (
                mu,
                valid,
                np.int64(mu.shape[-1]),
                cupy.asarray(cells),
                np.int32(count),
                self._on_card(),
                maps,
                classes,
                there,
            )
            kernel = cuda.load("lstm_score", self.sizes.kernel)
            cuda.launch(kernel, count, arguments, GRID)
        return [maps, classes, there]

    def _on_card(self) -> Any:
        """The packed ensemble on the current card: memory of its own, which any stream may read, copied once."""
        cupy = cuda.array_module()
        device = int(cupy.cuda.runtime.getDevice())
        with self._lock:
            if device not in self._there:
                with cupy.cuda.using_allocator(None):
                    self._there[device] = cupy.array(self._packed, blocking=True)
            return self._there[device]

    def _require(self, mu: Any, valid: Any, cells: np.ndarray) -> None:
        layers, features = self.sizes.layers, self.sizes.features
        shape = (layers, features, mu.shape[-1])
        if mu.dtype != np.float32 or mu.shape not in ((shape, (layers, shape[2])) if features == 1 else (shape,)):
            raise ValueError(
                f"memberships must be float32 {list(shape[:2])} and cells, got {mu.dtype} of shape {mu.shape}"
            )
        if valid.dtype not in (np.bool_, np.uint8) or valid.shape != (layers, shape[2]):
            raise ValueError(f"validity must be bool [{layers}, {shape[2]}], got {valid.dtype} of shape {valid.shape}")
        if not (mu.flags.c_contiguous and valid.flags.c_contiguous):
            raise ValueError("memberships and validity must be contiguous; copy them with cupy.ascontiguousarray")
        if cells.dtype != np.int32 or cells.ndim != 1 or len(cells) > MOST_CELLS:
            raise ValueError(f"cells must be at most 2^30 of int32 in one row, got {cells.dtype} of {cells.shape}")
        if len(cells) and (cells.min() < 0 or cells.max() >= shape[2]):
            raise ValueError(f"cells {cells.min()} to {cells.max()} are asked for, of {shape[2]}")


GRID = cuda.Grid(THREADS, THREADS // 32 * CELLS_A_WARP, BLOCKS_A_PROCESSOR)
