"""kernels/lstm_score.cu on the CPU: compiled by g++ with emulated warps (kernels/warp_words.h), run from Python."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_cupy import memory_at

from mpmjax.ops.gpu import ensemble, fragments
from mpmjax.products import CLASS_MAPS, INDEX_MAPS

TESTS = Path(__file__).resolve().parent
KERNELS = TESTS.parent / "kernels"
FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-ffp-contract=off", "-fPIC")
FLAGS += ("-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-shared")
"""Fortified, longjmp would take a change of stacks for a mistake."""

GUARD, POISON = 64, 0xCD
NAMES = [f"lstm_score_h{hidden}{wide}" for hidden in ensemble.HIDDEN for wide in ("", "_wide")]


def build(out: Path, *flags: str, kernels: Path = KERNELS) -> Path:
    """The emulator of a folder of kernels as a library; skips the test where there is no g++."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed: the CUDA sources cannot be tried on this machine without it")
    places = (f"-I{kernels}", f"-I{TESTS / 'kernels'}", str(TESTS / "kernels" / "lstm_emulator.cpp"))
    done = subprocess.run(
        [compiler, *FLAGS, *flags, *places, "-o", str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out


@functools.cache
def emulator() -> Emulator:
    """Of the kernels as they are; built once a process."""
    with tempfile.TemporaryDirectory() as folder:
        return Emulator(build(Path(folder, "emulator.so")))  # loaded, a library needs its file no more


class Guarded:
    """An output between guard bytes, poisoned, aligned to 16 bytes."""

    def __init__(self, dtype: Any, shape: tuple[int, ...]) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = np.full(size + 2 * GUARD + 16, POISON, np.uint8)
        start = -memory.ctypes.data % 16
        self.bytes = memory[start : start + size + 2 * GUARD]
        self.array = self.bytes[GUARD : GUARD + size].view(dtype).reshape(shape)

    def checked(self) -> np.ndarray:
        guards = np.concatenate([self.bytes[:GUARD], self.bytes[GUARD + self.array.nbytes :]])
        assert (guards == POISON).all(), "the kernel wrote outside its output"
        return self.array


class Emulator:
    """A library of `build`. Launches of several threads take turns."""

    def __init__(self, library: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        self._turn, self._score = threading.Lock(), self.library.score_cells
        self._score.restype = ctypes.c_char_p

    def start(self, name: str, grid: int, block: int, seed: int, *arguments: Any) -> None:
        """A launch with the kernel's own arguments: addresses and ctypes numbers."""
        with self._turn:
            fault = self._score(name.encode(), grid, block, seed, *arguments)
        assert fault is None, f"{name}: {fault.decode()}"

    def score(
        self,
        arrays: dict[str, np.ndarray],
        mu: np.ndarray,
        valid: np.ndarray,
        cells: np.ndarray | None = None,
        grid: int = 2,
        block: int = 64,
        seed: int = 0,
    ) -> dict[str, np.ndarray]:
        """Maps of mu float32 [L, n] or [L, F, n], valid bool [L, n], by name, and `there`, the layers of a cell."""
        assert ensemble.refusal(arrays) is None
        pack, n = aligned(fragments.packed(arrays)), mu.shape[-1]
        cells = np.arange(n, dtype=np.int32) if cells is None else cells
        mu, valid = np.ascontiguousarray(mu, np.float32), np.ascontiguousarray(valid).view(np.uint8)
        shapes = {np.float32: (len(INDEX_MAPS), len(cells)), np.uint8: (len(CLASS_MAPS), len(cells))}
        outputs = [Guarded(dtype, shape) for dtype, shape in {**shapes, np.int32: (len(cells),)}.items()]
        inputs = address(mu), address(valid), ctypes.c_longlong(n), address(cells), ctypes.c_int(len(cells))
        results = (address(output.array) for output in outputs)
        self.start(ensemble.sizes_of(arrays).kernel, grid, block, seed, *inputs, address(pack), *results)
        maps, classes, there = (output.checked() for output in outputs)
        named = {**dict(zip(INDEX_MAPS, maps, strict=True)), **dict(zip(CLASS_MAPS, classes, strict=True))}
        return {**named, "there": there}

    def kernels(self) -> dict[str, Any]:
        """For the made-up card, by name."""
        return {name: functools.partial(self._on_the_card, name) for name in NAMES}

    def _on_the_card(self, name: str, *arguments: Any) -> None:
        mu, valid, stride, cells, count, pack, maps, classes, there = arguments
        assert (stride.dtype, count.dtype) == (np.int64, np.int32)
        header = memory_at(pack.data.ptr, 1, fragments.HEADER)[0]
        assert mu.size == header["layers"] * header["features"] * stride
        # A card aligns what it allocates.
        ready = aligned(np.asarray(pack))
        numbers = ctypes.c_longlong(int(stride)), address(cells), ctypes.c_int(int(count)), address(ready)
        self.start(name, 3, 64, 0, address(mu), address(valid), *numbers, *map(address, (maps, classes, there)))


def aligned(data: np.ndarray) -> np.ndarray:
    """A copy of bytes at an address that is a multiple of 16."""
    memory = np.zeros(data.size + 16, np.uint8)
    start = -memory.ctypes.data % 16
    copy = memory[start : start + data.size]
    copy[:] = data
    return copy


def address(array: np.ndarray) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
