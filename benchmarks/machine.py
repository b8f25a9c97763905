"""Where a figure was measured: processor, memory, versions, load, and the two ceilings that bound an op, how fast
memory is copied and how fast matrices are multiplied.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.clock import interleaved

PACKAGES = ("mpmjax", "numpy", "numba", "scipy", "jax", "torch", "onnxruntime", "edt", "opencv-python-headless")
COPY_BYTES = 256 * 2**20
"""Far more than a last-level cache, so that the copy is one through memory."""


@dataclass(frozen=True)
class Machine:
    """One machine at one moment. Sizes in bytes, load as the 1, 5 and 15 minute averages."""

    cpu: str
    cores: int
    cores_physical: int | None
    memory_total: int
    memory_available: int
    system: str
    python: str
    versions: dict[str, str]
    load: tuple[float, float, float]
    copy_bytes_per_second: float
    operations_per_second: float

    def floor(self, bytes_moved: int, operations: int) -> float:
        """Seconds that one thread needs at least: for the copying or for the products, whichever takes longer."""
        return max(bytes_moved / self.copy_bytes_per_second, operations / self.operations_per_second)

    @property
    def busy(self) -> bool:
        """True if others use more than a quarter of the cores: ratios may still hold, seconds do not."""
        return self.load[0] > 0.25 * self.cores

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def describe(copy_bytes: int = COPY_BYTES) -> Machine:
    """Look at this machine and measure its ceilings, on the cores that this process may use (about a second)."""
    memory = psutil.virtual_memory()
    return Machine(
        cpu=cpu_model(),
        cores=os.cpu_count() or 1,
        cores_physical=psutil.cpu_count(logical=False),
        memory_total=memory.total,
        memory_available=memory.available,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions=versions(),
        load=os.getloadavg(),
        copy_bytes_per_second=copy_bandwidth(copy_bytes),
        operations_per_second=product_rate(),
    )


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread and those it starts on one core: libraries that bring helpers then compare core for core."""
    if not hasattr(os, "sched_setaffinity"):
        raise OSError("this system cannot keep a process on one core: the benchmarks need Linux")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Name of the processor, with its widest vector instructions: two machines of one name may differ there."""
    if not cpuinfo.is_file():
        return platform.processor() or "unknown"
    fields: dict[str, str] = {}
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    flags = set(fields.get("flags", "").split())
    vector = next((name for name in ("avx512_bf16", "avx512f", "avx2", "avx") if name in flags), "no AVX")
    return f"{fields.get('model name', platform.machine())} ({vector})"


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Versions of the installed ones among `packages`."""
    installed: dict[str, str] = {}
    for name in packages:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def copy_bandwidth(copy_bytes: int = COPY_BYTES, repeats: int = 5) -> float:
    """Bytes a second of the median copy on one thread. Bytes read and bytes written both count."""
    source = np.ones(copy_bytes // 8)
    target = np.zeros_like(source)
    copy: dict[str, Callable[[], object]] = {"copy": lambda: np.copyto(target, source)}
    return 2 * source.nbytes / interleaved(copy, repeats)["copy"].spread.median


def product_rate(side: int = 1024, repeats: int = 5) -> float:
    """Operations a second of a float32 matrix product, 2 side^3 of them."""
    left, right = np.ones((2, side, side), np.float32)
    product: dict[str, Callable[[], object]] = {"product": lambda: left @ right}
    return 2 * side**3 / interleaved(product, repeats)["product"].spread.median
