"""Judges of the CUDA sources that need no GPU: their functions, and their kernels on emulated blocks, built by g++."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from mpmjax.ops.plan import MembershipPlan, Overlay

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parents[1] / "kernels"
FLAGS = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-ffp-contract=off")
"""`#pragma unroll` is for the card; contracting is off, as -fmad is there."""
EMULATOR_FLAGS = ("-fno-strict-aliasing", "-pthread")
"""Vectors of cells are read through pointers to other types, which CUDA allows."""

GUARD = 64
POISON = 0xCD


def build(source: str, out: Path, *flags: str, kernels: Path = KERNELS) -> Path:
    """Compile tests/kernels/`source` against a folder of kernels; skips the test where there is no g++."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed: the CUDA sources cannot be tried on this machine without it")
    command = [compiler, *FLAGS, *flags, f"-I{kernels}", f"-I{HERE}", str(HERE / source), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


class Case:
    """Everything one launch reads, held alive as long as this is."""

    def __init__(
        self,
        values: Sequence[np.ndarray],
        plan: MembershipPlan,
        given: Sequence[np.ndarray | None] | None = None,
        overlay: Overlay | None = None,
    ) -> None:
        self.plan = plan
        self.values = list(values)
        self.given = [None if one is None else one.view(np.uint8) for one in given or [None] * len(values)]
        self.layers = len(self.values)
        self.cells = self.values[0].size if self.values else 0
        self.overlay = overlay
        self.kind = overlay.code if overlay else 0
        self.gamma = overlay.gamma if overlay else 0.0
        self.weights = overlay.shares(self.layers) if overlay else np.full(self.layers, np.nan)

    def pointers(self, arrays: Sequence[np.ndarray | None]) -> np.ndarray:
        return np.array([0 if one is None else one.ctypes.data for one in arrays], np.uint64)


class Guarded:
    """An output between guard bytes, poisoned."""

    def __init__(self, dtype: type, size: int) -> None:
        self.bytes = np.full(size * np.dtype(dtype).itemsize + 2 * GUARD, POISON, np.uint8)
        self.array = self.bytes[GUARD:-GUARD].view(dtype)

    def check(self, is_written: bool) -> None:
        guards = np.concatenate([self.bytes[:GUARD], self.bytes[-GUARD:]])
        assert (guards == POISON).all(), "a kernel wrote outside its output"
        assert is_written or (self.bytes == POISON).all(), "a kernel wrote what is not its output"


class Emulator:
    """kernels/membership.cu on the CPU."""

    def __init__(self, library: Path) -> None:
        self._emulate = ctypes.CDLL(str(library)).emulate

    def run(
        self, kernel: str, case: Case, grid: int = 3, block: int = 5
    ) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
        """mu, valid and overlay of a launch, None what the kernel has no business with; checks guards and poison."""
        has_mu, has_overlay = kernel != "membership_overlay", kernel.endswith("overlay")
        half = np.float16 if "_f16" in kernel else np.float32
        mu = Guarded(half, case.layers * case.cells)
        valid = Guarded(np.uint8, case.layers * case.cells)
        overlay = Guarded(np.float32, case.cells)
        raw, given = case.pointers(case.values), case.pointers(case.given)
        status = self._emulate(
            kernel.encode(),
            ctypes.c_uint(grid),
            ctypes.c_uint(block),
            _address(raw),
            _address(given),
            _address(case.plan.records),
            _address(case.plan.tables),
            _address(case.plan.knots),
            ctypes.c_int(case.layers),
            ctypes.c_longlong(case.cells),
            _address(mu.array),
            _address(valid.array),
            _address(case.weights),
            ctypes.c_int(case.kind),
            ctypes.c_double(case.gamma),
            _address(overlay.array),
        )
        assert status == 0, f"there is no kernel {kernel}"
        mu.check(has_mu)
        valid.check(has_mu)
        overlay.check(has_overlay)
        shape = (case.layers, case.cells) if "_layer_" in kernel else (case.cells, case.layers)
        return (
            mu.array.reshape(shape) if has_mu else None,
            valid.array.reshape(shape) if has_mu else None,
            overlay.array if has_overlay else None,
        )


class CaseProgram:
    """The same launches in a program of their own, as sanitizers want it."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def run(self, kernel: str, case: Case, folder: Path, grid: int = 3, block: int = 5) -> tuple[str, np.ndarray]:
        """What a sanitizer says of a launch (empty if nothing), and the bytes of mu, valid and overlay."""
        given, result = folder / "case", folder / "result"
        result.unlink(missing_ok=True)
        with given.open("wb") as file:
            item = 2 if "_f16" in kernel else 4
            numbers = [grid, block, case.layers, case.cells, case.kind, item, case.plan.tables.nbytes]
            file.write(kernel.encode().ljust(64, b"\0"))
            file.write(np.array([*numbers, case.plan.knots.nbytes], np.int64).tobytes())
            file.write(np.array([case.gamma]).tobytes())
            for array in (case.plan.records, case.weights, case.plan.tables, case.plan.knots):
                file.write(array.tobytes())
            for raw, mask in zip(case.values, case.given, strict=True):
                # As far from a multiple of 16 bytes as it is here; malloc starts at one.
                skipped = raw.ctypes.data % 16
                file.write(np.array([skipped, skipped + raw.nbytes, mask is not None], np.int64).tobytes())
                file.write(bytes(skipped) + raw.tobytes() + (b"" if mask is None else mask.tobytes()))
        done = subprocess.run([self.program, given, result], capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0 or done.stderr, f"status {done.returncode} without a word"
        return done.stderr, np.fromfile(result, np.uint8) if result.exists() else np.empty(0, np.uint8)


class Scalars:
    """The functions of the headers, over arrays."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))

    def layout(self) -> list[int]:
        """Size of MembershipLayer, then the offsets of its fields."""
        out = np.empty(64, np.int64)
        return out[: self._library.layout(_address(out))].tolist()

    def map(self, name: str, *arguments: np.ndarray, dtype: type = np.float64) -> np.ndarray:
        """One of the `_many` functions of a count and arrays of it."""
        out = np.empty(arguments[0].size, dtype)
        count = ctypes.c_longlong(out.size)
        getattr(self._library, f"{name}_many")(*map(_address, arguments), count, _address(out))
        return out

    def membership(self, raw: np.ndarray, plan: MembershipPlan, layer: int = 0) -> np.ndarray:
        """float32, NaN where missing, of a layer that has no table."""
        out = np.empty(raw.size, np.float32)
        record = plan.records[layer : layer + 1]
        pointers = _address(record), _address(plan.knots), _address(raw)
        assert self._library.membership_many(*pointers, ctypes.c_longlong(raw.size), _address(out)) == 0
        return out

    def overlay(self, mu: np.ndarray, overlay: Overlay) -> np.ndarray:
        """float32 [n] of mu float32 [L, n], NaN where missing."""
        mu, out = np.ascontiguousarray(mu), np.empty(mu.shape[1], np.float32)
        weights, numbers = overlay.shares(len(mu)), (ctypes.c_int(overlay.code), ctypes.c_double(overlay.gamma))
        sizes = ctypes.c_longlong(mu.shape[0]), ctypes.c_longlong(mu.shape[1])
        self._library.overlay_many(_address(mu), _address(weights), *numbers, *sizes, _address(out))
        return out


def _address(array: np.ndarray) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


@pytest.fixture(scope="session")
def scalars(tmp_path_factory: pytest.TempPathFactory) -> Scalars:
    return Scalars(build("scalars.cpp", tmp_path_factory.mktemp("scalars") / "scalars.so", "-fPIC", "-shared"))


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    out = tmp_path_factory.mktemp("emulator") / "emulator.so"
    return Emulator(build("emulator.cpp", out, "-fPIC", "-shared", *EMULATOR_FLAGS))


@pytest.fixture(scope="session")
def make_case() -> type[Case]:
    return Case


@pytest.fixture(scope="session")
def make_program() -> Callable[..., CaseProgram]:
    """Builds run_case.cpp: (path, flags of the compiler, folder of the kernels) to a program."""

    def make(out: Path, flags: Sequence[str], kernels: Path = KERNELS) -> CaseProgram:
        return CaseProgram(build("run_case.cpp", out, *EMULATOR_FLAGS, *flags, kernels=kernels))

    return make
