"""Who rivals the bare network, and in which ways each may run: sizes of chunks, and uses of the cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from .baselines import with_library
from .gate import Missing
from .network_baselines import Network, Weights, numpy_network, torch_network
from .network_compiled import flax_network, onnx_network
from .ways import Call, Tuned, cores_here, parts, side_by_side

CHUNKS = (256, 512, 1024, 2048, 4096, 8192, 16_384)
"""Cells a chunk that are tried."""
FEW_CHUNKS = (512, 2048)
NUMPY_CHUNKS = (4096,)
"""The best of those when they were compared; rivals of other runs are measured by it too."""
FLAX_CHUNKS = (512, 1024, 2048, 4096)
"""Each is a program to compile, twice."""


class Library(NamedTuple):
    """How a library is used.

    Attributes:
        build: (cells a chunk, threads inside the library) -> the network.
        threads: tells the library, from the thread that is going to call it, how many threads to use.
        inside: what its own threads are called; empty where it cannot be told to use more than one.
    """

    build: Callable[[int, int], Network]
    threads: Callable[[int], Any]
    inside: str


def rivals(mu: np.ndarray, valid: np.ndarray, w: Weights) -> dict[str, Call | Missing]:
    """The other implementations of z and e of complete cells; mu [L, F, n], valid [L, n]."""
    return {
        "NumPy float32, chunks": _in_numpy(mu, valid, w),
        "torch.nn.LSTM float32": _in_torch(mu, valid, w, "float32", CHUNKS),
        "torch.nn.LSTM bfloat16": _in_torch(mu, valid, w, "bfloat16", CHUNKS),
        "ONNX Runtime": _in_onnx(mu, valid, w, CHUNKS),
        "flax nnx.RNN": _in_flax(mu, valid, w),
    }


def quickest(mu: np.ndarray, valid: np.ndarray, w: Weights) -> dict[str, Call | Missing]:
    """Those that need no compiling for each size, with fewer sizes of chunks."""
    return {
        "NumPy float32, chunks": _in_numpy(mu, valid, w),
        "torch.nn.LSTM float32": _in_torch(mu, valid, w, "float32", FEW_CHUNKS),
        "ONNX Runtime": _in_onnx(mu, valid, w, FEW_CHUNKS),
    }


def _tuned(mu: np.ndarray, valid: np.ndarray, library: Library, chunks: Sequence[int]) -> Tuned:
    return Tuned(dict(ways(mu, valid, library, chunks)), valid.shape[1])


def _in_numpy(mu: np.ndarray, valid: np.ndarray, w: Weights) -> Call:
    numpy, limit = numpy_network(w), partial(ThreadpoolController().limit, user_api="blas")
    library = Library(lambda _chunk, _threads: numpy, lambda count: limit(limits=count), "BLAS threads")
    return _tuned(mu, valid, library, NUMPY_CHUNKS)


def _in_torch(mu: np.ndarray, valid: np.ndarray, w: Weights, dtype: str, chunks: Sequence[int]) -> Call | Missing:
    def build(torch: ModuleType) -> Call:
        network = torch_network(torch, w, dtype)
        library = Library(lambda _chunk, _threads: network, torch.set_num_threads, "torch threads")
        return _tuned(mu, valid, library, chunks)

    return with_library("torch", "torch", build)


def _in_onnx(mu: np.ndarray, valid: np.ndarray, w: Weights, chunks: Sequence[int]) -> Call | Missing:
    def build(onnx: ModuleType, runtime: ModuleType) -> Call:
        sessions = {threads: onnx_network(onnx, runtime, w, threads) for threads in {1, cores_here()}}
        library = Library(lambda _chunk, threads: sessions[threads], _nothing, "intra_op threads")
        return _tuned(mu, valid, library, chunks)

    return with_library("onnx", "onnx", lambda onnx: with_library("onnxruntime", "onnxruntime", partial(build, onnx)))


def _in_flax(mu: np.ndarray, valid: np.ndarray, w: Weights) -> Call:
    every = {}
    for unroll in (1, len(w["order"])):
        library = Library(
            lambda chunk, _threads, unroll=unroll: flax_network(w, chunk, unroll), _nothing, "XLA threads"
        )
        every |= dict(ways(mu, valid, library, FLAX_CHUNKS, f", unroll {unroll}"))
    return Tuned(every, valid.shape[1])


def ways(
    mu: np.ndarray, valid: np.ndarray, library: Library, chunks: Sequence[int], said: str = ""
) -> Iterator[tuple[str, Callable[[int], Call]]]:
    """By what is said of it, what builds the call for the first so many cells, of each way that makes sense here."""
    cores = cores_here()
    for chunk in chunks:
        # A chunk of twice the cells and more would be the same as the one before.
        if chunk >= 2 * valid.shape[1] / cores and chunk > chunks[0]:
            continue
        name = f"chunks of {chunk}{said}"
        if cores == 1 or library.inside:
            own = "" if cores == 1 else f", {cores} {library.inside}"
            yield name + own, partial(_inside, mu, valid, library, chunk, cores)
        if cores > 1:
            yield f"{name}, {cores} Python threads", partial(_outside, mu, valid, library, chunk, cores)


def _inside(mu: np.ndarray, valid: np.ndarray, library: Library, chunk: int, cores: int, cells: int) -> Call:
    """All cells one chunk after the other, with the library's own threads."""
    work = over_chunks(library.build(chunk, cores), mu[..., :cells], valid[:, :cells], chunk)

    def call() -> tuple[dict[str, np.ndarray]]:
        library.threads(cores)
        return (work(),)

    return call


def _outside(mu: np.ndarray, valid: np.ndarray, library: Library, chunk: int, cores: int, cells: int) -> Call:
    """A part of the cells on each core, and one thread of the library in each."""
    network = library.build(chunk, 1)
    pieces = parts(cells, cores)
    work = [over_chunks(network, mu[..., piece], valid[:, piece], chunk) for piece in pieces]
    together = side_by_side(work, lambda: library.threads(1))

    def call() -> Any:
        library.threads(1)  # a library that knows one number for the process may have been told another one
        return together()

    return call


def over_chunks(network: Network, mu: np.ndarray, valid: np.ndarray, chunk: int) -> Callable[[], dict[str, np.ndarray]]:
    """A call that gives z [1, d, n] and e [1, L, n] of complete cells; their input is prepared here."""
    starts = range(0, valid.shape[1], chunk)
    given = [network.prepare(mu[..., at : at + chunk], valid[:, at : at + chunk]) for at in starts]
    first = np.ascontiguousarray(mu[:, 0])

    def call() -> dict[str, np.ndarray]:
        latents, residuals = [], np.empty_like(first)
        for at, chunk_input in zip(starts, given, strict=True):
            z, x_hat = network.run(chunk_input)
            latents.append(z)
            np.subtract(first[:, at : at + chunk], x_hat, out=residuals[:, at : at + chunk])
        return {"z": np.concatenate(latents).T[None], "e": residuals[None]}

    return call


def _nothing(_threads: int) -> None:
    """For a library that is told elsewhere."""
