"""A card made of NumPy, for the tests of what happens before and after a kernel: CuPy's names, arrays in host memory.

It knows only what mpmjax calls. Kernels are Python functions that get addresses and scalars, as a card does. What is
put on a stream of one's own happens late, as late as it may: when somebody waits for the stream, or when an array is
handed over while the stream is the current one. What would be read too early on a card holds rubbish here, and a buffer
that is written over too early is read as it is then. The default stream does all at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np


class Array(np.ndarray):
    """A NumPy array with the attributes of CuPy's that are not NumPy's."""

    @property
    def data(self) -> SimpleNamespace:  # type: ignore[override]
        return SimpleNamespace(ptr=self.ctypes.data)

    @property
    def device(self) -> SimpleNamespace:  # type: ignore[override]
        return SimpleNamespace(id=0)

    def set(self, values: np.ndarray, stream: Stream) -> None:
        assert values.shape == self.shape
        assert values.dtype == self.dtype
        stream.put(lambda: np.copyto(self, values))

    def get(self) -> np.ndarray:
        """On the host, when the stream that is current has done what stands before it."""
        current().synchronize()
        return np.array(self)

    def __dlpack__(self, **options: Any) -> Any:
        """A reader waits for the stream that is current now, and for no other."""
        current().synchronize()
        return super().__dlpack__(**options)


class Stream:
    """Work that is done when somebody waits for it."""

    def __init__(self, non_blocking: bool = False) -> None:
        assert non_blocking, "a stream that waits for the default one makes lanes wait for each other"
        self._work: list[Callable[[], None]] = []
        self._before: list[Stream | None] = []

    def put(self, work: Callable[[], None]) -> None:
        self._work.append(work)

    def synchronize(self) -> None:
        while self._work:
            self._work.pop(0)()

    def __enter__(self) -> Stream:
        self._before.append(getattr(_thread, "stream", None))
        _thread.stream = self
        return self

    def __exit__(self, *_: object) -> None:
        _thread.stream = self._before.pop()


class _AtOnce(Stream):
    """The default stream."""

    def __init__(self) -> None:
        super().__init__(non_blocking=True)

    def put(self, work: Callable[[], None]) -> None:
        work()


_thread = threading.local()
DEFAULT = _AtOnce()


def current() -> Stream:
    """The calling thread's stream."""
    return getattr(_thread, "stream", None) or DEFAULT


class OutOfMemoryError(MemoryError):
    """CuPy's."""


class Pool:
    """CuPy's memory pool as far as it counts: bytes that arrays hold, and those it keeps of arrays that are gone.

    Attributes:
        limit: bytes, 0 for none.
        fail: numbers of the allocations that fail, counted from 1, whatever is free.
    """

    def __init__(self) -> None:
        self.limit = self.used = self.most = self.kept = self.count = self.freed = 0
        self.fail: frozenset[int] = frozenset()
        self._lock = threading.RLock()  # arrays may be let go of at any time, here too

    def set_limit(self, size: int) -> None:
        self.limit = size

    def free_all_blocks(self) -> None:
        self.kept, self.freed = 0, self.freed + 1

    def take(self, array: np.ndarray) -> None:
        with self._lock:
            self.count += 1
            if self.count in self.fail or (self.limit and self.used + array.nbytes > self.limit):
                raise OutOfMemoryError(
                    f"Out of memory allocating {array.nbytes:,} bytes (allocated so far: {self.used:,})"
                )
            self.used += array.nbytes
            self.most = max(self.most, self.used)
        weakref.finalize(array, self._give_back, array.nbytes).atexit = False

    def _give_back(self, size: int) -> None:
        with self._lock:
            self.used, self.kept = self.used - size, self.kept + size


class Card(types.ModuleType):
    """The module `cupy` on a made-up card.

    Attributes:
        launches: (kernel, grid, block, arguments) in their order.
        loaded: the machine code of every module loaded.
        compiled: the options of every compilation.
        kernels: name -> function of the arguments; those that are absent do nothing.
        keep: whether `launches` keeps the arguments, and the arrays among them.
        pool: of `empty` and `zeros`; what is copied by `array` and `asarray` is not counted.
        pinned: sizes of what was asked for.
        broken: what of the card fails, as a function that raises.
    """

    def __init__(self, capability: str = "90", driver: int = 13020, devices: int = 1) -> None:
        super().__init__("cupy")
        self.__version__ = "14.1"
        self.capability, self.driver, self.devices = capability, driver, devices
        self.launches: list[tuple[str, tuple[int, ...], tuple[int, ...], tuple[Any, ...]]] = []
        self.loaded: list[bytes] = []
        self.compiled: list[tuple[str, ...]] = []
        self.kernels: dict[str, Callable[..., None]] = {}
        self.log = ""
        self.keep = True
        self.free = 60 * 10**9
        self.pool, self.pinned = Pool(), []
        self.ndarray = Array
        self.get_default_memory_pool = lambda: self.pool
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(
                is_hip=False,
                driverGetVersion=lambda: self.driver,
                runtimeGetVersion=lambda: 13000,
                getDeviceCount=lambda: self.devices,
                getDevice=lambda: 0,
                getDeviceProperties=lambda _: {"name": b"NVIDIA Fake", "multiProcessorCount": 4},
                memGetInfo=lambda: (self.free, 80 * 10**9),
            ),
            Device=lambda: SimpleNamespace(compute_capability=self.capability),
            nvrtc=SimpleNamespace(
                getVersion=lambda: (13, 0),
                createProgram=lambda source, name, headers, names: SimpleNamespace(source=source, name=name),
                compileProgram=lambda _, options: self.compiled.append(options),
                getCUBIN=lambda _: b"machine code",
                getProgramLog=lambda _: self.log,
                destroyProgram=lambda _: None,
            ),
            Module=lambda: _Module(self),
            using_allocator=_using_allocator,
            Stream=Stream,
            get_current_stream=current,
            alloc_pinned_memory=self._pinned,
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        )

    def _pinned(self, size: int) -> bytearray:
        """More than asked for: a pool rounds up."""
        self.pinned.append(size)
        return bytearray(size + 4096)

    def array(self, array: np.ndarray, blocking: bool = False) -> Array:
        assert blocking, "a copy that does not block reads an array that the caller may write"
        return np.array(array).view(Array)

    def asarray(self, array: np.ndarray) -> Array:
        return np.array(array).view(Array)

    def ascontiguousarray(self, array: np.ndarray) -> Array:
        return np.ascontiguousarray(array).view(Array)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Poisoned: what a kernel does not write is seen."""
        return self._filled(shape, dtype, 0xCD)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return self._filled(shape, dtype, 0)

    def _filled(self, shape: tuple[int, ...], dtype: Any, value: int) -> Array:
        array = np.empty(shape, dtype)
        array.reshape(-1).view(np.uint8)[:] = value
        self.pool.take(array)
        return array.view(Array)


class _Module:
    def __init__(self, card: Card) -> None:
        self._card = card

    def load(self, code: bytes) -> None:
        self._card.loaded.append(code)

    def get_function(self, name: str) -> Callable[..., None]:
        def kernel(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
            self._card.launches.append((name, grid, block, arguments if self._card.keep else ()))
            if name in self._card.kernels:
                current().put(lambda: self._card.kernels[name](*arguments))

        return kernel


@contextlib.contextmanager
def _using_allocator(allocator: object) -> Iterator[None]:
    assert allocator is None
    yield


def memory_at(address: int, size: int, dtype: Any) -> np.ndarray:
    """What a kernel sees at an address."""
    dtype = np.dtype(dtype)
    return np.frombuffer((ctypes.c_char * (size * dtype.itemsize)).from_address(int(address)), dtype)
