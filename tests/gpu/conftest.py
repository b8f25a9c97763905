"""What the tests on a card have in common: CuPy or the reason why not, and memory that is full of rubbish."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from mpmjax.ops import cuda

# Else JAX takes three quarters of the card with its first array, and CuPy has to do with the rest.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

POISON = 0xCD


@pytest.fixture
def cupy() -> Iterator[Any]:
    """CuPy, with every allocation of the test filled with 0xCD: what a kernel leaves unwritten is seen.

    Under compute-sanitizer (make sanitize) memory comes unpoisoned from the driver instead: memcheck cannot see the
    ends of arrays inside a pool's block, and to initcheck poison is as good as data.
    """
    why = cuda.refusal()
    if why is not None:
        pytest.skip(why)
    module = cuda.array_module()
    pool = module.get_default_memory_pool()

    def poisoned(size: int) -> Any:
        pointer = pool.malloc(size)
        if size:
            # On the current stream, which is the one that whoever asked for the memory will use.
            pointer.memset_async(POISON, size, module.cuda.get_current_stream())
        return pointer

    with module.cuda.using_allocator(None if "MPMJAX_SANITIZE" in os.environ else poisoned):
        yield module
    module.cuda.Device().synchronize()
