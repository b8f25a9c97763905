"""CUDA by CuPy: whether it can be used and why not, compiling, loading and launching the kernels of kernels/*.cu.

The only module that imports CuPy, and only when a function here is called. Others get it from `array_module`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpmjax.errors import BackendError
from mpmjax.ops import _cubins

THREADS = 256
"""A block. The kernels are right for any grid and block; their registers were budgeted for this one."""

CELLS_A_THREAD = 4
_BLOCKS_A_PROCESSOR = 8
"""2048 threads, as many as a multiprocessor of any architecture holds: beyond that, blocks stride over the cells."""


@dataclass(frozen=True)
class Grid:
    """How a kernel is launched.

    Attributes:
        threads: of a block.
        cells: that a block takes at a time.
        blocks_a_processor: at most; a kernel strides over what is left.
    """

    threads: int = THREADS
    cells: int = THREADS * CELLS_A_THREAD
    blocks_a_processor: int = _BLOCKS_A_PROCESSOR


_CELLWISE = Grid()

_OLDEST = (8, 0)

FLAGS = (
    "--std=c++17",
    # Where the numerics fuse a product and a sum they say so by fma; anywhere else the compiler must not, or the card
    # would round x * scale + offset once where every other form rounds it twice, and classes would not be found.
    "--fmad=false",
    # Line numbers for compute-sanitizer and the profilers; the instructions are the same without.
    "--generate-line-info",
)
"""What NVRTC is told besides the architecture."""


@functools.cache
def refusal() -> str | None:
    """Why CUDA cannot be used by this process, with what to do about it; None if it can. Looked up once."""
    try:
        cupy = _cupy()
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        return (
            f"CuPy {'is not installed' if absent else f'cannot be imported ({error})'}: "
            "pip install 'mpmjax[cuda13]', or cuda12 where nvidia-smi shows CUDA 12."
        )
    return _driver_refusal(cupy) or _device_refusal(cupy) or _compiler_refusal(cupy)


def _driver_refusal(cupy: Any) -> str | None:
    runtime = cupy.cuda.runtime
    if runtime.is_hip:
        return "This CuPy is built for AMD cards, mpmjax has kernels for NVIDIA's only: install cupy-cuda13x instead."
    try:
        if runtime.driverGetVersion() == 0:
            return (
                "No NVIDIA driver is loaded on this machine: install one (nvidia-smi shows it when it works), and give "
                "containers the card, for example with docker run --gpus all."
            )
        count = runtime.getDeviceCount()
    except RuntimeError as error:  # of CUDA, or of a library that CuPy does not find
        return (
            f"CUDA does not start ({error}). A driver older than the CUDA of CuPy does this: update it, or install the "
            "extra cuda12 in place of cuda13. So does a CUDA library that is missing, which the extra would bring, and "
            "CUDA_VISIBLE_DEVICES when it names no card."
        )
    return None if count else "CUDA sees no device: look at nvidia-smi, and at CUDA_VISIBLE_DEVICES, which can hide it."


def _device_refusal(cupy: Any) -> str | None:
    try:
        capability, name = compute_capability(), device_name()
        if capability >= _OLDEST:
            cupy.cuda.runtime.memGetInfo()  # makes the context, which is what a card that is taken or ill refuses
            return None
    except RuntimeError as error:
        return (
            f"The CUDA device cannot be opened ({error}): another process may have taken all of it, or its memory. "
            "nvidia-smi shows which; CUDA_VISIBLE_DEVICES chooses another device."
        )
    return (
        f"The CUDA device {name} has compute capability {capability[0]}.{capability[1]}; the kernels need 8.0 (Ampere) "
        "or newer. Choose another with CUDA_VISIBLE_DEVICES, or use the backend cpu."
    )


def _compiler_refusal(cupy: Any) -> str | None:
    try:
        cupy.cuda.nvrtc.getVersion()
    except RuntimeError as error:
        return (
            f"NVRTC, which compiles the kernels, is not found ({error}): install mpmjax with its extra cuda12 or "
            "cuda13, which brings it, or pip install nvidia-cuda-nvrtc."
        )
    return None


def array_module() -> Any:
    """The module cupy, for the rooms that may not import it.

    Raises:
        BackendError: CUDA cannot be used; the sentence is `refusal`'s.
    """
    why = refusal()
    if why is not None:
        raise BackendError(why)
    return _cupy()


def device_name() -> str:
    """Of the current device, as NVIDIA calls it."""
    runtime = _cupy().cuda.runtime
    return runtime.getDeviceProperties(runtime.getDevice())["name"].decode()


def compute_capability() -> tuple[int, int]:
    """Of the current device, for example (9, 0)."""
    digits = _cupy().cuda.Device().compute_capability
    return int(digits[:-1]), int(digits[-1])


def memory() -> tuple[int, int]:
    """Bytes of the current device's memory: (free, total). What CuPy's pool holds in reserve counts as taken."""
    free, total = _cupy().cuda.runtime.memGetInfo()
    return int(free), int(total)


def versions() -> dict[str, str]:
    """Versions of all that takes part: CuPy, NVRTC, the CUDA runtime, and the driver ("0" where there is none)."""
    cupy = _cupy()
    runtime = cupy.cuda.runtime
    return {
        "cupy": str(cupy.__version__),
        "nvrtc": ".".join(str(part) for part in cupy.cuda.nvrtc.getVersion()),
        "cuda": str(runtime.runtimeGetVersion()),
        "driver": str(runtime.driverGetVersion()),
    }


def describe() -> str:
    """Device and versions in a line, for people; only where `refusal` is None."""
    (major, minor), (free, total), known = compute_capability(), memory(), versions()
    return (
        f"{device_name()} (compute capability {major}.{minor}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free), "
        f"CuPy {known['cupy']}, NVRTC {known['nvrtc']}"
    )


def compile_kernels(texts: Mapping[str, str], arch: str) -> tuple[bytes, str]:
    """Compile one .cu to machine code by NVRTC. Needs CuPy and NVRTC, but no device.

    Args:
        texts: file name -> text, from `_cubins.sources`: the .cu, then the headers that it may include. They are handed
            to NVRTC by name, so no file of the installation need be on a disk.
        arch: for example "sm_90".

    Returns:
        The cubin, and what NVRTC said, which is nothing if there was nothing to warn of.

    Raises:
        BackendError: it does not compile; with the compiler's words.
    """
    nvrtc = _cupy().cuda.nvrtc
    (name, text), *headers = texts.items()
    program = nvrtc.createProgram(
        text, name, [header.encode() for _, header in headers], [header.encode() for header, _ in headers]
    )
    try:
        nvrtc.compileProgram(program, (*FLAGS, f"--gpu-architecture={arch}"))
        return nvrtc.getCUBIN(program), nvrtc.getProgramLog(program)
    except RuntimeError as error:
        raise BackendError(
            f"The kernel {name} does not compile for {arch} ({error}): {nvrtc.getProgramLog(program).strip()}. "
            "If the card is newer than NVRTC, update it (pip install --upgrade nvidia-cuda-nvrtc); else this is a "
            "mistake in mpmjax, worth reporting with these lines."
        ) from error
    finally:
        nvrtc.destroyProgram(program)


def load(op: str, kernel: str) -> Any:
    """A kernel of kernels/<op>.cu, ready to be launched on the current device.

    Compiled when it is first asked for on this machine (3 to 7 seconds), later taken from `_cubins.cache_folder()`,
    and within a process from memory.

    Raises:
        BackendError: CUDA cannot be used, or the sources do not compile.
        MpmError: the folder of compiled kernels is not safe.
    """
    cupy = array_module()
    return _function(op, kernel, int(cupy.cuda.runtime.getDevice()))


@functools.cache
def _function(op: str, kernel: str, device: int) -> Any:
    return _module(op, device).get_function(kernel)


@functools.cache
def _module(op: str, device: int) -> Any:
    """A CuPy Module, loaded into the context of the device, which is the current one."""
    texts = _cubins.sources(op)
    major, minor = compute_capability()
    arch = f"sm_{major}{minor}"
    # The driver is no part of it: it loads machine code as it is, of its own version or older.
    tools = {name: version for name, version in versions().items() if name != "driver"}
    key = _cubins.key_of(texts, {"flags": FLAGS, "arch": arch, "device": device_name(), **tools})
    module = _cupy().cuda.Module()
    # From the bytes whose checksum was taken, not from the file, which could be another by now.
    module.load(_cubins.cubin(key, lambda: compile_kernels(texts, arch)[0]))
    return module


def launch(kernel: Any, cells: int, arguments: Sequence[Any], grid: Grid = _CELLWISE) -> None:
    """Start a kernel over `cells` cells on CuPy's current stream; returns at once.

    Args:
        kernel: from `load`.
        cells: > 0, which sets the grid.
        arguments: in the kernel's order: CuPy arrays and None for pointers, NumPy scalars of the very type that the
            kernel declares for everything else. Python numbers are refused: their width would be a guess.
        grid: as the kernel's header says.

    Raises:
        TypeError: an argument is of another kind.
    """
    cupy = _cupy()
    for place, argument in enumerate(arguments):
        if not (argument is None or isinstance(argument, np.generic | cupy.ndarray)):
            kind = type(argument).__name__
            raise TypeError(f"argument {place} of a kernel is of type {kind}, not an array, a NumPy scalar or None")
    # A pointer is 8 bytes of zero where there is nothing to point to: CuPy's own None means no argument at all.
    ready = tuple(np.uint64(0) if argument is None else argument for argument in arguments)
    count = blocks(cells, _processors(int(cupy.cuda.runtime.getDevice())), grid)
    kernel((count,), (grid.threads,), ready)


def blocks(cells: int, processors: int, grid: Grid = _CELLWISE) -> int:
    """How many blocks take `cells` cells on a card of so many multiprocessors: enough, but no more than `grid` says."""
    return max(1, min(-(-cells // grid.cells), grid.blocks_a_processor * processors))


@functools.cache
def _processors(device: int) -> int:
    return int(_cupy().cuda.runtime.getDeviceProperties(device)["multiProcessorCount"])


def _cupy() -> Any:
    return importlib.import_module("cupy")
