"""A card made of NumPy, for the tests of what happens before and after a kernel: CuPy's names, arrays in host memory.

It knows only what mpmjax calls. Kernels are Python functions that get addresses and scalars, as a card does.
"""

from __future__ import annotations

import contextlib
import ctypes
import types
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


class Card(types.ModuleType):
    """The module `cupy` on a made-up card.

    Attributes:
        launches: (kernel, grid, block, arguments) in their order.
        loaded: the machine code of every module loaded.
        compiled: the options of every compilation.
        kernels: name -> function of the arguments; those that are absent do nothing.
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
        self.ndarray = Array
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(
                is_hip=False,
                driverGetVersion=lambda: self.driver,
                runtimeGetVersion=lambda: 13000,
                getDeviceCount=lambda: self.devices,
                getDevice=lambda: 0,
                getDeviceProperties=lambda _: {"name": b"NVIDIA Fake", "multiProcessorCount": 4},
                memGetInfo=lambda: (60 * 10**9, 80 * 10**9),
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
        )

    def array(self, array: np.ndarray, blocking: bool = False) -> Array:
        assert blocking, "a copy that does not block reads an array that the caller may write"
        return np.array(array).view(Array)

    def asarray(self, array: np.ndarray) -> Array:
        return np.array(array).view(Array)

    def ascontiguousarray(self, array: np.ndarray) -> Array:
        return np.ascontiguousarray(array).view(Array)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Poisoned: what a kernel does not write is seen."""
        array = np.empty(shape, dtype).view(Array)
        array.reshape(-1).view(np.uint8)[:] = 0xCD
        return array


class _Module:
    def __init__(self, card: Card) -> None:
        self._card = card

    def load(self, code: bytes) -> None:
        self._card.loaded.append(code)

    def get_function(self, name: str) -> Callable[..., None]:
        def kernel(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
            self._card.launches.append((name, grid, block, arguments))
            if name in self._card.kernels:
                self._card.kernels[name](*arguments)

        return kernel


@contextlib.contextmanager
def _using_allocator(allocator: object) -> Iterator[None]:
    assert allocator is None
    yield


def memory_at(address: int, size: int, dtype: Any) -> np.ndarray:
    """What a kernel sees at an address."""
    dtype = np.dtype(dtype)
    return np.frombuffer((ctypes.c_char * (size * dtype.itemsize)).from_address(int(address)), dtype)
