"""Bytes of a cell on a card, and the cells that follow: for cards of 8 to 80 GB, few layers and many."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest
from ops.screener_arrays import random_arrays

from mpmjax.errors import MemoryLimitError
from mpmjax.ops._card import CUPY_SHARE, XLA_SHARE
from mpmjax.ops.gpu.room import Need, cells_at_a_time, need_of
from mpmjax.ops.lstm import CHUNK
from mpmjax.ops.xla.lstm import Xla, _score

TILE = 512 * 512
WHOLE = 16_384 * 16_384
"""Cells of the default tile and of the largest."""

FREE = tuple(gib << 30 for gib in (6, 10, 22, 78))
LAYERS = (2, 8, 42, 64)
MEMBERS = (1, 8, 32)


def need(layers: int, members: int, dtype: str = "float32", hidden: int = 32) -> Need:
    latent = max(1, min(8, layers // 2))
    arrays = random_arrays(members, layers, hidden, latent, 20)
    return need_of([np.dtype(dtype)] * layers, arrays)


@pytest.mark.parametrize("free", FREE)
def test_what_is_chosen_fits_both_shares(free: int) -> None:
    for layers, members, dtype, lanes in itertools.product(LAYERS, MEMBERS, ("uint8", "float64"), (1, 2, 3)):
        of = need(layers, members, dtype, hidden=128)
        for most in (1, 100_000, TILE, WHOLE):
            cells = cells_at_a_time(free, of, lanes, most)
            assert cells % CHUNK == 0
            assert CHUNK <= cells < most + CHUNK
            cupy, xla = of.batch(cells, lanes)
            assert cupy <= CUPY_SHARE * free
            assert xla <= XLA_SHARE * free
            assert cupy + xla < 0.9 * free


@pytest.mark.parametrize("free", FREE)
def test_a_default_tile_goes_whole_on_every_card(free: int) -> None:
    for layers, members in itertools.product(LAYERS, MEMBERS):
        assert cells_at_a_time(free, need(layers, members, "float64"), 2, TILE) == TILE


def test_more_memory_is_more_cells_and_more_layers_are_fewer() -> None:
    of = need(8, 8)
    found = [cells_at_a_time(free, of, 2, WHOLE) for free in FREE]
    assert found == sorted(set(found))
    by_layers = [cells_at_a_time(FREE[0], need(layers, 8), 2, WHOLE) for layers in LAYERS]
    assert by_layers == sorted(set(by_layers), reverse=True)
    # The largest number uses what it may: another tenth would not fit.
    cupy, xla = of.batch(int(1.1 * found[0] / 0.8), 2)
    assert cupy > CUPY_SHARE * FREE[0] or xla > XLA_SHARE * FREE[0]


def test_the_terms_of_a_cell() -> None:
    of = need(8, 4, "int16")
    assert of.copied() == {"raw values": 16, "masks": 8, "memberships": 32, "valid": 8}
    assert of.scored() == {"indices": 28, "classes": 3, "count": 4}
    assert of.queued() == {"place": 4, "memberships": 32, "valid": 8, "outputs": 47}
    assert (of.layers, of.members, of.hidden, of.latent, of.groups) == (8, 4, 32, 4, 20)
    assert need(8, 8).batch(0, 2)[0] == 0


def test_a_card_that_is_taken_is_refused_with_what_would_do() -> None:
    of = need(64, 32)
    with pytest.raises(
        MemoryLimitError, match=r"64 layers with 32 members in 2 lanes needs about [\d,]+ MiB"
    ) as caught:
        cells_at_a_time(100 << 20, of, 2, TILE)
    assert "100 MiB are free" in str(caught.value)
    needed = int(str(caught.value).split("about ")[1].split(" MiB")[0].replace(",", "")) + 1
    assert cells_at_a_time(needed << 20, of, 2, TILE) >= CHUNK


@pytest.mark.parametrize(("members", "layers", "hidden"), [(1, 2, 32), (8, 8, 16)])
def test_the_scratch_covers_what_xla_takes_here(members: int, layers: int, hidden: int) -> None:
    """On the CPU, where the compiler says it; on a card it is not known."""
    arrays = random_arrays(members, layers, hidden, max(1, layers // 2), 5)
    of = need_of([np.dtype("uint8")] * layers, arrays)
    shapes = [jax.ShapeDtypeStruct((layers, 1, CHUNK), np.float32), jax.ShapeDtypeStruct((layers, CHUNK), np.bool_)]
    analysis = _score.lower(Xla(arrays)._arrays, *shapes).compile().memory_analysis()
    assert analysis is not None
    assert analysis.temp_size_in_bytes <= CHUNK * sum(of.scratch().values())
    assert analysis.output_size_in_bytes <= 1.01 * CHUNK * of.queued()["outputs"]
