"""Where a figure was measured: processor, memory, versions, load, and the two ceilings that bound an op, how fast
memory is copied and how fast numbers are multiplied and added (ceilings.py).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import ceilings
from .clock import interleaved
from .ways import cores_here

PACKAGES = (
    *("mpmjax", "numpy", "numba", "scipy", "jax", "flax", "torch", "onnx", "onnxruntime"),
    *("scikit-fuzzy", "edt", "opencv-python-headless", "numexpr", "xarray-spatial", "scikit-image"),
    *("connected-components-3d", "scikit-learn", "rasterio"),
    *("cupy-cuda12x", "cupy-cuda13x", "jax-cuda12-plugin", "jax-cuda13-plugin"),
)
COPY_BYTES = 256 * 2**20
"""Far more than a last-level cache, so that the copy is one through memory."""


@dataclass(frozen=True)
class Machine:
    """One machine at one moment. Sizes in bytes, load as the 1, 5 and 15 minute averages.

    Attributes:
        commit: of the sources, with a + where files differ from it; ? outside a repository.
        device: what is known of the card, as device.py names it; empty for the CPU.
        cores_used: those that the run could use; the rate of operations is of all of them together, that of copies of
            one thread.
    """

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
    commit: str = "?"
    device: Mapping[str, str] = field(default_factory=dict)
    cores_used: int = 1

    def floor(self, bytes_moved: int, operations: int) -> float:
        """Seconds needed at least: for the copying or for the arithmetic, whichever takes longer."""
        return max(bytes_moved / self.copy_bytes_per_second, operations / self.operations_per_second)

    @property
    def busy(self) -> bool:
        """True if others use more than a quarter of the cores: ratios may still hold, seconds do not."""
        return self.load[0] > 0.25 * self.cores

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def describe(copy_bytes: int = COPY_BYTES) -> Machine:
    """Look at this machine and measure its ceilings, on the cores that this process may use (about a second)."""
    total, available = memory()
    return Machine(
        cpu=cpu_model(),
        cores=os.cpu_count() or 1,
        cores_physical=physical_cores(),
        memory_total=total,
        memory_available=available,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions=versions(),
        load=os.getloadavg(),
        copy_bytes_per_second=copy_bandwidth(copy_bytes),
        operations_per_second=ceilings.operations_per_second(cores_here()),
        commit=commit(),
        cores_used=cores_here(),
    )


@contextlib.contextmanager
def on_cores(count: int = 1) -> Iterator[None]:
    """Keep all threads of this process, and those they start, on so many cores.

    Libraries that bring helpers then compare core for core. XLA makes as many threads as it may use cores when JAX is
    first used: here `count`, or, where it was used before, as many as there are, on these cores.

    Raises:
        OSError: the system cannot do that, or has not so many cores for this process.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise OSError("this system cannot keep a process on some cores: the benchmarks need Linux")
    before = os.sched_getaffinity(0)
    if count > len(before):
        raise OSError(f"{count} cores were asked for, this process may use {len(before)}")
    _keep_threads_on(set(sorted(before)[-count:]))
    try:
        yield
    finally:
        _keep_threads_on(before)


def _keep_threads_on(cores: set[int]) -> None:
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # a thread that ended since it was listed
            os.sched_setaffinity(int(task.name), cores)


def commit(folder: Path = Path(__file__).parent) -> str:
    """The commit of the sources in a folder, see Machine."""
    git = shutil.which("git")
    if git is None:
        return "?"
    told = [
        subprocess.run([git, "-C", str(folder), *words], capture_output=True, text=True, check=False)
        for words in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain"])
    ]
    if any(done.returncode for done in told):
        return "?"
    return told[0].stdout.strip() + ("+" if told[1].stdout.strip() else "")


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


def physical_cores(cpuinfo: Path = Path("/proc/cpuinfo")) -> int | None:
    """Cores, each counted once however many threads it has; None where the system does not say."""
    if not cpuinfo.is_file():
        return None
    found: set[tuple[str, str]] = set()
    for block in cpuinfo.read_text(encoding="utf-8").split("\n\n"):
        told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in block.splitlines())}
        if "core id" in told:
            found.add((told.get("physical id", ""), told["core id"]))
    return len(found) or None


def memory(meminfo: Path = Path("/proc/meminfo")) -> tuple[int, int]:
    """Bytes of memory: all of it, and what a program could have; (0, 0) where the system does not say."""
    if not meminfo.is_file():
        return 0, 0
    told = {name: value for name, _, value in (line.partition(":") for line in meminfo.read_text().splitlines())}
    total, available = (int(told[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    return total, available


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


class Copies:
    """Copies through memory, of any number of bytes between two buffers that are there: what nothing can beat.

    Args:
        xp: NumPy, or CuPy for copies within a card.
        buffer: bytes of each buffer, far more than a last-level cache; longer copies go over it again and again.
    """

    def __init__(self, xp: Any = np, buffer: int = COPY_BYTES) -> None:
        self._xp = xp
        self._source, self._target = xp.ones(buffer, np.uint8), xp.zeros(buffer, np.uint8)

    def of(self, bytes_moved: int) -> Callable[[], object]:
        """A call that reads half of so many bytes and writes the other half."""
        whole, rest = divmod(bytes_moved // 2, self._source.size)

        def call() -> None:
            for _ in range(whole):
                self._xp.copyto(self._target, self._source)
            if rest:
                self._xp.copyto(self._target[:rest], self._source[:rest])

        return call
