"""What CuPy and XLA may take of one card, and who says so: environment, limits, pinned memory, running out."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from fake_cupy import Card, OutOfMemoryError
from fake_kernels import installed
from tolerances import assert_same_bits

from mpmjax.errors import BackendError, MemoryLimitError
from mpmjax.ops import _card, backend
from mpmjax.stream.ring import Ring, slot_bytes
from mpmjax.types import Layer, Tile


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Card]:
    with installed(monkeypatch, tmp_path) as card:
        yield card


@pytest.fixture
def unstated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment, and JAX on a card that it has not opened."""
    for name in (_card.PREALLOCATE, *_card.FRACTIONS, "CUPY_GPU_MEMORY_LIMIT"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr("jax._src.xla_bridge.backends_are_initialized", lambda: False)


@pytest.mark.usefixtures("unstated")
def test_xla_is_told_before_it_opens_the_card(card: Card) -> None:
    backend.settle("cuda")
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert float(os.environ["XLA_CLIENT_MEM_FRACTION"]) == _card.XLA_SHARE
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in os.environ  # jaxlib refuses both
    backend.settle("cuda")


@pytest.mark.usefixtures("unstated")
def test_jaxlib_understands_what_it_is_told(card: Card) -> None:
    from jaxlib import xla_client

    _card.share()
    options = xla_client.generate_pjrt_gpu_plugin_options()
    assert options["preallocate"] is False
    assert options["memory_fraction"] == _card.XLA_SHARE


@pytest.mark.usefixtures("unstated")
@pytest.mark.parametrize("name", _card.FRACTIONS)
def test_a_stated_fraction_holds(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "0.25")
    _card.share()
    assert [os.environ.get(other) for other in _card.FRACTIONS if other != name] == [None]
    assert os.environ[name] == "0.25"


@pytest.mark.usefixtures("unstated")
def test_jax_that_holds_the_card_already_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jax._src.xla_bridge.backends_are_initialized", lambda: True)
    with pytest.raises(BackendError, match=r"JAX was at work .* set XLA_PYTHON_CLIENT_PREALLOCATE=false before JAX is"):
        _card.share()
    assert _card.PREALLOCATE not in os.environ  # else the next call would believe it
    monkeypatch.setenv(_card.PREALLOCATE, "false")
    _card.share()


@pytest.mark.usefixtures("unstated")
def test_preallocation_that_is_asked_for_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_card.PREALLOCATE, "true")
    with pytest.raises(BackendError, match=r"XLA_PYTHON_CLIENT_PREALLOCATE=true has JAX take .* unset it"):
        _card.share()


@pytest.mark.usefixtures("unstated")
def test_jax_without_a_card_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr("jax._src.xla_bridge.backends_are_initialized", lambda: True)
    with pytest.raises(BackendError, match=r"JAX runs on cpu here: .*cuda12 or cuda13"):
        _card.share()


@pytest.mark.usefixtures("unstated")
def test_other_backends_set_nothing() -> None:
    for name in ("auto", "cpu", "jax", "numpy"):
        backend.settle(name)
    assert _card.PREALLOCATE not in os.environ
    assert not any(name in os.environ for name in _card.FRACTIONS)


def test_jax_opens_nothing_when_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "jax")
    assert not _card._jax_holds_a_card()


def test_the_shares_leave_something() -> None:
    assert _card.XLA_SHARE + _card.CUPY_SHARE <= 0.9


@pytest.mark.usefixtures("unstated")
def test_the_pool_is_limited_to_its_share(monkeypatch: pytest.MonkeyPatch, card: Card) -> None:
    card.free = 6 << 30
    assert _card.free() == 6 << 30
    assert card.pool.freed == 1
    _card.limit_pool(6 << 30)
    assert card.pool.limit == 3 << 30
    monkeypatch.setenv("CUPY_GPU_MEMORY_LIMIT", "1000000000")
    _card.limit_pool(2 << 30)
    assert card.pool.limit == 3 << 30  # CuPy has read its own when it was imported


def test_a_ring_of_pinned_slots(card: Card) -> None:
    layers = [Layer(name, "index", Path(name), 1, dtype) for name, dtype in (("a", "float32"), ("b", "int16"))]
    ring = Ring(2, layers, 1000, _card.pinned)
    assert card.pinned == [slot_bytes(layers, 1000)] * 2
    (values, _), valid, inside = ring.acquire().arrays(Tile(0, 0, 0, 25, 40))
    values[:], valid[:], inside[:] = 3.0, True, True
    del ring
    gc.collect()
    assert_same_bits(values, np.full((25, 40), 3.0, np.float32))  # a view keeps the memory
    assert valid.all()


def test_memory_that_the_system_does_not_lock(monkeypatch: pytest.MonkeyPatch, card: Card) -> None:
    def fail(text: str) -> None:
        def raises(_: int) -> None:
            raise RuntimeError(text)

        monkeypatch.setattr(card.cuda, "alloc_pinned_memory", raises)

    fail("cudaErrorMemoryAllocation: out of memory")
    with pytest.raises(MemoryLimitError, match=r"3 MiB of memory that the card reads directly.*\[stream\] max_memory"):
        _card.pinned(3 << 20)
    fail("cudaErrorInitializationError")
    with pytest.raises(RuntimeError, match="Initialization"):
        _card.pinned(1)


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OutOfMemoryError("Out of memory allocating 1 bytes"), True),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes."), True),
        (RuntimeError("cudaErrorMemoryAllocation: out of memory"), True),
        (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"), True),
        (jax.errors.JaxRuntimeError("INTERNAL: the kernel failed"), False),
        (MemoryError("of the host"), False),
        (ValueError("RESOURCE_EXHAUSTED"), False),
    ],
)
@pytest.mark.usefixtures("card")
def test_what_means_that_the_card_is_full(error: Exception, full: bool) -> None:
    assert _card.is_full(error) is full
