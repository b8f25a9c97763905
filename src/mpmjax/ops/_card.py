"""One card for CuPy and XLA: who may take how much of it, memory of the host that it reads directly, running out.

XLA by itself takes three quarters of a card when it starts and gives nothing back; CuPy's pool grows as it is asked to.
So each has a limit here, and the rest is left to the contexts, the code of the kernels, and other programs:

| who | limit | for |
|---|---|---|
| XLA | XLA_SHARE of the card, taken as it is needed | training; chunks being scored, the scores of a batch |
| CuPy | CUPY_SHARE of what is free when a pass starts | raw values, masks and memberships of the batches in flight |

XLA reads its limits once, when it opens the card. No figure here was measured on a card.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

import numpy as np

from mpmjax.errors import BackendError, MemoryLimitError
from mpmjax.ops import cuda

XLA_SHARE = 0.4
CUPY_SHARE = 0.5
"""More than XLA's: of a cell CuPy holds raw values and memberships, 7 to 14 bytes a layer, XLA the scores of it."""

PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"
FRACTIONS = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
"""Names of one setting, the second an older one; jaxlib refuses both at once."""

_OFF = ("false", "False", "0")
"""What jaxlib takes for no."""

_FULL = ("RESOURCE_EXHAUSTED", "cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY")
"""Words of XLA, of the CUDA runtime and of the driver for memory that is not there."""


def share() -> None:
    """Set XLA's limits by its environment, if nothing else is stated there, and open the card by JAX.

    Raises:
        BackendError: JAX opened the card before and holds most of it, was told to, or sees no card; what to do.
    """
    stated = os.environ.get(PREALLOCATE, "")
    if stated and stated not in _OFF:
        raise BackendError(
            f"{PREALLOCATE}={stated} has JAX take most of the card when it starts, and nothing is left to the CUDA "
            "kernels: unset it, or set it to false."
        )
    if not stated and _jax_holds_a_card():
        raise BackendError(
            "JAX was at work in this process before the backend cuda was asked for, and holds most of the card: set "
            f"{PREALLOCATE}=false before JAX is imported."
        )
    os.environ[PREALLOCATE] = "false"
    if not any(os.environ.get(name) for name in FRACTIONS):
        os.environ[FRACTIONS[0]] = str(XLA_SHARE)
    _require_jax()


def _jax_holds_a_card() -> bool:
    """Whether JAX has opened a card in this process; to import it opens nothing."""
    if "jax" not in sys.modules:
        return False
    import jax
    from jax._src import xla_bridge  # JAX says this nowhere else

    return xla_bridge.backends_are_initialized() and jax.default_backend() == "gpu"


def _require_jax() -> None:
    import jax

    if jax.default_backend() != "gpu":
        raise BackendError(
            f"Backend cuda hands memberships to JAX on the same card, and JAX runs on {jax.default_backend()} here: "
            "install mpmjax with its extra cuda12 or cuda13, and look at JAX_PLATFORMS."
        )


def free() -> int:
    """Bytes of the card that are free, what CuPy holds in reserve given back first.

    What XLA holds in reserve counts as taken, though XLA will use it: the error is on the safe side.
    """
    release()
    return cuda.memory()[0]


def limit_pool(free: int) -> None:
    """Limit CuPy's pool to its share; where CUPY_GPU_MEMORY_LIMIT is stated, that holds."""
    if not os.environ.get("CUPY_GPU_MEMORY_LIMIT"):
        cuda.array_module().get_default_memory_pool().set_limit(size=int(CUPY_SHARE * free))


def release() -> None:
    """Give memory that no array uses back to the driver, so that XLA can have it, or an array of another size."""
    gc.collect()  # an exception and its frames, which hold arrays, can be a cycle
    cuda.array_module().get_default_memory_pool().free_all_blocks()


def pinned(nbytes: int) -> np.ndarray:
    """Memory of the host that is locked in its place, uint8 [nbytes]: copies from it to the card need no thread.

    The array keeps the memory, and so does every view of it.

    Raises:
        BackendError: CUDA cannot be used.
        MemoryLimitError: the system does not lock so much.
    """
    cupy = cuda.array_module()
    try:
        memory = cupy.cuda.alloc_pinned_memory(nbytes)
    except (RuntimeError, MemoryError) as error:
        if not is_full(error):
            raise
        raise MemoryLimitError(
            f"{nbytes / 2**20:.0f} MiB of memory that the card reads directly could not be had ({error}). State a "
            "smaller [stream] max_memory, fewer workers or smaller tiles."
        ) from error
    return np.frombuffer(memory, np.uint8, nbytes)  # of more than was asked for: the pool rounds up


def is_full(error: Any) -> bool:
    """Whether an exception of CuPy or XLA says that memory ran out."""
    if isinstance(error, cuda.array_module().cuda.memory.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _FULL)
