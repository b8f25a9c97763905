"""Arrays shared between CuPy, JAX and NumPy without a copy, and buffers kept until their readers are done.

DLPack hands over an address, not a promise about time. Two rules make it safe.

1. *The producing stream.* Share a CuPy array while the stream that computes it is CuPy's current one: the importing
   library is then made to wait for what that stream has been given so far. JAX arrays carry their own readiness.
2. *The reader's end.* A computation is only dispatched when the call returns. JAX lets go of a shared buffer when
   Python does, and CuPy's pool then gives the memory to the next array while the computation still reads it; on the
   CPU, where `jit(f)(array)` reads an aligned NumPy array where it lies, writing the next tile into it does the same.
   Nothing is reported: the numbers are those of the wrong tile. So a `Holder` keeps the buffer until the result is
   ready, and a buffer that is written again is asked for with `Holder.wait_for`.

JAX takes three quarters of a card's memory when it starts: who may take how much is said in _card.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from mpmjax.ops import cuda

DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES += ("float16", "float32", "float64")
"""Those that NumPy, CuPy and JAX all know; bfloat16 is not among them."""

Results = TypeVar("Results")


@runtime_checkable
class Pending(Protocol):
    """What may not be there yet: a JAX array, or a `StreamMark`."""

    def is_ready(self) -> bool: ...

    def block_until_ready(self) -> Any: ...


class StreamMark:
    """A place in CuPy's current stream, ready when all that was launched before it is done.

    Raises:
        BackendError: CUDA cannot be used.
    """

    def __init__(self) -> None:
        cupy = cuda.array_module()
        self._event = cupy.cuda.Event(disable_timing=True)
        self._event.record(cupy.cuda.get_current_stream())

    def is_ready(self) -> bool:
        return bool(self._event.done)

    def block_until_ready(self) -> StreamMark:
        self._event.synchronize()
        return self


def to_jax(array: Any) -> Any:
    """A CuPy or NumPy array as a JAX array on the same device, sharing its memory.

    NumPy memory is shared where it is aligned to 64 bytes, else copied. Do not donate the result to a jitted function:
    the memory is not JAX's to reuse. Until what is computed from it is ready, hold `array` (`Holder`).

    Args:
        array: C-contiguous, of a dtype in DTYPES; of 64 bits only where JAX is set to 64 bits.

    Raises:
        TypeError: a dtype that does not cross, or that JAX would narrow.
        ValueError: an array that is not contiguous, or is read-only.
    """
    import jax
    import jax.numpy as jnp

    name = _require_dtype(array)
    if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
        raise TypeError(
            f"JAX would turn this {name} array into its 32 bit counterpart, and values with it: convert it first where "
            "that is meant, or share it inside jax.enable_x64(True)"
        )
    if not array.flags.c_contiguous:
        raise ValueError(
            f"an array of shape {array.shape} and strides {array.strides} is not contiguous; copy it first"
        )
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        raise ValueError("a read-only NumPy array cannot be shared by DLPack; copy it first")
    return jnp.from_dlpack(array)


def to_cupy(array: Any) -> Any:
    """A JAX array as a CuPy array on the same card, sharing its memory, which is JAX's: never write to it.

    Work launched on CuPy's current stream after this call waits for the JAX array. Until it is done, hold `array`
    (`Holder.hold(array, StreamMark())`), and never donate it to a jitted function.

    Raises:
        BackendError: CUDA cannot be used.
        TypeError: a dtype that does not cross, or an array that is not on a CUDA device.
        ValueError: the array was donated or deleted, or is spread over several devices.
    """
    cupy = cuda.array_module()
    return _imported(array, cupy.from_dlpack, ("gpu", "cuda"))


def to_numpy(array: Any) -> np.ndarray:
    """A JAX array on the CPU as a read-only NumPy array, sharing its memory; waits until it is ready.

    Raises:
        TypeError: a dtype that does not cross, or an array that is not on the CPU.
        ValueError: the array was donated or deleted, or is spread over several devices.
    """
    shared = _imported(array, np.from_dlpack, ("cpu",))
    shared.flags.writeable = False
    return shared


def _imported(array: Any, importer: Callable[[Any], Any], platforms: tuple[str, ...]) -> Any:
    """A JAX array in another library, after all that could go wrong in silence was asked."""
    if array.is_deleted():
        raise ValueError(
            "the JAX array has no memory any more: it was donated to a jitted function or deleted. Share an array that "
            "is kept, and leave it out of donate_argnums"
        )
    _require_dtype(array)
    devices = array.devices()
    if len(devices) != 1:
        raise ValueError(f"the JAX array is spread over {len(devices)} devices; gather it on one first")
    (device,) = devices
    if device.platform not in platforms:
        raise TypeError(f"the JAX array lies on {device}, not on {platforms[-1]}; move it with jax.device_put first")
    return importer(array)


def _require_dtype(array: Any) -> str:
    name = str(array.dtype)
    if name not in DTYPES:
        raise TypeError(
            f"{name} arrays are not shared between libraries (CuPy and NumPy have no bfloat16, for one); allowed: "
            f"{', '.join(DTYPES)}. Convert it first, for example to float32"
        )
    return name


class Holder:
    """Keeps buffers until the results computed from them are ready. For one thread.

        with Holder(limit=2) as holder:
            for tile in tiles:
                holder.wait_for(slot)                      # nothing reads it any more
                slot[...] = tile
                results = holder.hold(slot, jitted(to_jax(slot)))

    Leaving the `with` waits for all, on an exception too: the buffers may be reused after it.

    Args:
        limit: results in flight at most, >= 1; `hold` waits for the oldest beyond it.
    """

    def __init__(self, limit: int = 2) -> None:
        if limit < 1:
            raise ValueError(f"a Holder needs room for at least one result, got a limit of {limit}")
        self._limit = limit
        self._held: deque[tuple[Any, list[Pending]]] = deque()

    def hold(self, buffers: Any, results: Results) -> Results:
        """Keep `buffers` until all of `results` are ready; returns `results`.

        Args:
            buffers: an array, or a tuple or list of arrays.
            results: JAX arrays or `StreamMark`s, in any nesting of tuples, lists and dicts. All that reads `buffers`
                must be done when they are. Do not donate them while they are held.

        Raises:
            TypeError: there is nothing in `results` to wait for.
        """
        pending = _pending(results)
        if not pending:
            raise TypeError("results hold neither a JAX array nor a StreamMark: nothing tells when the buffer is free")
        self.release_ready()
        self._held.append((buffers, pending))
        while len(self._held) > self._limit:
            _wait(self._held[0][1])
            self._held.popleft()
        return results

    def release_ready(self) -> int:
        """Let go of what is ready, without waiting; returns how many results are still in flight."""
        self._held = deque(entry for entry in self._held if not all(result.is_ready() for result in entry[1]))
        return len(self._held)

    def wait_for(self, buffer: Any) -> None:
        """Wait until no result reads `buffer` any more: it may then be written.

        Args:
            buffer: the very array that was handed to `hold`, alone or among others; not a view of it.
        """
        for held, results in self._held:
            if _among(buffer, held):
                _wait(results)
        self._held = deque(entry for entry in self._held if not _among(buffer, entry[0]))

    def close(self) -> None:
        """Wait for all results. If some failed, all are waited for before the first failure is raised."""
        failures: list[Exception] = []
        while self._held:
            for result in self._held[0][1]:
                try:
                    result.block_until_ready()
                except RuntimeError as error:  # how JAX and CuPy report a computation that failed
                    failures.append(error)
            self._held.popleft()
        if failures:
            raise failures[0]

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def _pending(results: Any) -> list[Pending]:
    if isinstance(results, dict):
        results = list(results.values())
    if isinstance(results, tuple | list):
        return [pending for result in results for pending in _pending(result)]
    return [results] if isinstance(results, Pending) else []


def _wait(results: list[Pending]) -> None:
    for result in results:
        result.block_until_ready()


def _among(buffer: Any, held: Any) -> bool:
    return any(part is buffer for part in held) if isinstance(held, tuple | list) else held is buffer
