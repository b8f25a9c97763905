"""Keeps the memory of a long run flat: what tiles leave goes back to the system."""

from __future__ import annotations

import ctypes
import sys

M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3
ARENAS = 2
RETURNED_FROM = 1 << 17
"""Bytes from which an array lives in pages of its own, which go back as soon as it is freed."""


def steady_heap() -> None:
    """Ask glibc for few heaps and for large arrays outside them; elsewhere nothing is done.

    By default every thread gets a heap of its own, and the arrays of tiles that one thread makes and another frees
    leave holes that what stays behind makes too small for the next: validating 16,384 x 16,384 cells took 1.4 GB more.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
        mallopt(M_MMAP_THRESHOLD, RETURNED_FROM)
