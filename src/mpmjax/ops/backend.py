"""Which form of an op is used, and why not another: the one place that chooses.

| backend | form |
|---|---|
| cpu | Numba (ops/cpu); the default that installs anywhere |
| cuda | CUDA kernels by CuPy (ops/gpu) |
| jax | JAX (ops/xla), on whatever device JAX runs |
| numpy | the definition itself (reference), slow |

A backend that is asked for by name is used, or refused with its reason: nothing falls back in silence. `auto` goes
where the arrays are. Those of NumPy stay on the CPU: a pass over host memory is over before it would have crossed the
bus (5 bytes a value come back at 55 GB/s; four cores do the same without the way).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, util
from typing import Any

import numpy as np

from mpmjax.errors import BackendError

BACKENDS = ("cpu", "cuda", "jax", "numpy")
"""Those that can be asked for by name; `auto` besides."""

FORMS = {"membership": BACKENDS}
"""Ops that have a choice, and the backends they have a form for."""

DEFAULT = "cpu"
"""What `auto` is for NumPy arrays."""

LIBRARIES = {"numpy": DEFAULT, "jax": "jax", "jaxlib": "jax", "cupy": "cuda"}
"""Where arrays are, by the library of their class."""


@dataclass(frozen=True)
class Availability:
    """One backend on this machine.

    Attributes:
        name: cpu, cuda, jax or numpy.
        what: versions and device, where it can be used.
        refusal: why not, and what to do; empty where it can.
    """

    name: str
    what: str
    refusal: str = ""


def choose(op: str, name: str, arrays: Sequence[Any]) -> str:
    """The backend of an op for these arrays.

    Args:
        op: a name of FORMS.
        name: auto, cpu, cuda, jax or numpy.
        arrays: the op's input, all of one library.

    Raises:
        BackendError: an unknown name, one that cannot be used here, or arrays that lie elsewhere; says why.
    """
    homes = {_home(array) for array in arrays}
    if name == "auto":
        if len(homes) > 1:
            raise BackendError(
                f"{op}: the arrays lie in different places ({', '.join(sorted(homes))}). Use one library."
            )
        return homes.pop()
    if name not in BACKENDS:
        raise BackendError(f"Unknown backend {name!r}; allowed: auto, {', '.join(BACKENDS)}.")
    if name not in FORMS[op]:
        raise BackendError(f"{op} has no {name} form; it has: {', '.join(FORMS[op])}.")
    if name in ("cpu", "numpy") and homes != {"cpu"}:
        raise BackendError(f"{op}: backend {name} takes NumPy arrays, these are of {', '.join(sorted(homes))}.")
    require(name)
    return name


def on_host(array: Any) -> np.ndarray:
    """An array of NumPy, JAX or CuPy as one of NumPy; waits until it is computed."""
    return array.get() if _home(array) == "cuda" else np.asarray(array)


def _home(array: Any) -> str:
    library = type(array).__module__.split(".")[0]
    if library not in LIBRARIES:
        raise BackendError(f"An array of NumPy, JAX or CuPy is needed, got {type(array).__name__} of {library}.")
    return LIBRARIES[library]


def require(name: str) -> None:
    """Raise BackendError where a backend that is asked for by name (or auto) cannot be used here."""
    if name == "auto":
        return
    refusal = availability(name).refusal
    if refusal:
        raise BackendError(f"Backend {name} was asked for and cannot be used: {refusal}")


def settle(name: str) -> None:
    """As `require`, for a process that is going to use the backend: where two libraries need a card, they share it.

    To be called before JAX computes anything, or it has taken most of the card.
    """
    require(name)
    if name == "cuda":
        from mpmjax.ops import _card

        _card.share()


def survey() -> tuple[Availability, ...]:
    """All backends on this machine."""
    return tuple(availability(name) for name in BACKENDS)


def availability(name: str) -> Availability:
    """One backend on this machine. Nothing heavy is imported that can be asked without it."""
    if name == "cpu":
        return Availability(name, f"Numba {metadata.version('numba')}, {_cores()}")
    if name == "numpy":
        return Availability(name, f"the definition, float64 NumPy {metadata.version('numpy')}; slow")
    if name == "jax":
        return _jax()
    if name != "cuda":
        raise BackendError(f"Unknown backend {name!r}; allowed: auto, {', '.join(BACKENDS)}.")
    from mpmjax.ops import cuda

    refusal = cuda.refusal()
    return Availability(name, "" if refusal else cuda.describe(), refusal or "")


def _jax() -> Availability:
    if util.find_spec("jax") is None:
        return Availability("jax", "", "JAX is not installed: pip install jax, or install mpmjax anew.")
    plugins = [d.name for d in metadata.distributions() if (d.name or "").startswith(("jax-cuda", "jax_cuda"))]
    where = "with a CUDA plugin" if plugins else "on the CPU (no CUDA plugin: pip install 'mpmjax[cuda13]')"
    return Availability("jax", f"JAX {metadata.version('jax')}, {where}")


def _cores() -> str:
    return f"{len(os.sched_getaffinity(0))} cores"
