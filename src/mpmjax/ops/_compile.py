"""Numba's compiler as the ops use it, with a cache on disk that is never older than the sources.

Numba keeps a compiled function until its own file changes. What it calls from other files, and their constants, are
compiled into it, and a change of those goes unnoticed: after an update that touches one file of two, the old code would
run on. So a checksum of all sources that can be compiled in is part of every function's name in the cache.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit

_ROOMS = ("ops", "ops/cpu", "reference")


def compiled(function: Callable[..., Any], signature: Any = None) -> Any:
    """Compile when first called, or at once for one signature, without the GIL; kept on disk.

    Divisions by zero give infinities and NaN, as in NumPy.
    """
    function.__qualname__ = f"{function.__qualname__}_{_sources():08x}"
    return njit(signature, nogil=True, cache=True, error_model="numpy")(function)


@cache
def _sources() -> int:
    """CRC-32 of all Python files of the rooms; 2 ms."""
    package, crc = Path(__file__).resolve().parents[1], 0
    for file in sorted(file for room in _ROOMS for file in (package / room).glob("*.py")):
        crc = zlib.crc32(file.read_bytes(), crc)
    return crc
