"""A district by the backend cuda, on a made-up card: the wiring from the project file to the maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from districts import Finished, make_mixed_district, read
from fake_cupy import Array, Card, current
from fake_kernels import installed
from tolerances import SCORER_HALVES, assert_close, assert_same_bits
from warp_emulator import emulator

from mpmjax import pipeline
from mpmjax.errors import MemoryLimitError
from mpmjax.ops import _card
from mpmjax.ops.gpu import lanes
from mpmjax.ops.membership import membership
from mpmjax.ops.plan import MembershipPlan
from mpmjax.products import PRODUCTS
from mpmjax.stages import screen
from mpmjax.stream.ring import Ring


@pytest.fixture(scope="module")
def by_jax(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("lanes")
    done = Finished(make_mixed_district(folder / "district", stream={"tile": 64, "backend": "jax"}), folder / "jax")
    pipeline.run(done.project, done.output)
    return done


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Card]:
    """A card whose kernel is the form in JAX: it knows all dtypes, and how late a card is."""
    monkeypatch.setenv(_card.PREALLOCATE, "false")
    monkeypatch.setenv(_card.FRACTIONS[0], "0.4")
    monkeypatch.setattr(_card, "_require_jax", lambda: None)
    with installed(monkeypatch, tmp_path / "cache") as card:

        def late(raw: list[Array], plan: MembershipPlan, given: Array) -> tuple[Array, Array, None]:
            mu, valid = card.empty(given.shape, np.float32), card.empty(given.shape, np.bool_)

            def kernel() -> None:
                host = [array.view(np.ndarray) for array in raw]
                mu[...], valid[...], _ = membership(host, plan, given.view(np.ndarray), backend="jax")

            current().put(kernel)
            return mu, valid, None

        monkeypatch.setattr(lanes, "membership", late)
        # The kernel has bits of its own; XLA gives those of the backend jax.
        monkeypatch.setattr(lanes, "refusal", lambda arrays: "this test compares bits")
        yield card


def screened(by_jax: Finished, folder: Path, same: Callable = assert_same_bits, **stream: Any) -> list[str]:
    said: list[str] = []
    project = make_mixed_district(folder / "district", stream={"tile": 64, "backend": "cuda", **stream})
    pipeline.screen(project, by_jax.output, folder / "out", say=said.append)
    for product in PRODUCTS:
        name = f"{product.name}.tif"
        same(read(folder / "out" / name), read(by_jax.output / name))
    return said


def test_the_maps_of_the_backend_jax(
    by_jax: Finished, card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(lanes.Lanes, "prepare", _watched(lanes.Lanes.prepare, asked))
    screened(by_jax, tmp_path, workers=3)
    assert asked == [2]  # whatever the workers, who read and write
    assert len(card.pinned) == 3 + 2
    assert card.pool.limit == int(_card.CUPY_SHARE * card.free)


def _watched(prepare: Any, asked: list[int]) -> Any:
    def watched(self: lanes.Lanes, threads: int, most_cells: int) -> None:
        asked.append(threads)
        prepare(self, threads, most_cells)

    return watched


@pytest.mark.slow
def test_the_maps_of_the_fused_kernel(
    by_jax: Finished, card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the kernel's own source on emulated warps."""
    monkeypatch.setattr(lanes, "refusal", lambda arrays: None)
    card.kernels |= emulator().kernels()

    def near(actual: np.ndarray, expected: np.ndarray) -> None:
        assert actual.dtype == expected.dtype
        if actual.dtype == np.float32:
            assert_close(actual, expected, SCORER_HALVES)
        else:
            assert (actual != expected).mean() < 0.05  # much of this district lies at the edge of a quadrant

    assert not [line for line in screened(by_jax, tmp_path, near) if "XLA" in line]
    assert {name for name, *_ in card.launches} == {"lstm_score_h16"}


def test_a_card_that_runs_out_is_told_once_and_gives_the_same_maps(
    by_jax: Finished, card: Card, tmp_path: Path
) -> None:
    card.pool.fail = frozenset({4, 30, 31})
    told = [line for line in screened(by_jax, tmp_path) if "ran out of memory" in line]
    assert len(told) == 1
    assert "8,192 cells at a time" in told[0]  # half of the largest tile, which is a block of a file


def test_a_card_that_is_taken_ends_the_pass_before_it_begins(by_jax: Finished, card: Card, tmp_path: Path) -> None:
    card.free = 1 << 20
    with pytest.raises(MemoryLimitError, match="1 MiB are free") as caught:
        screened(by_jax, tmp_path)
    assert caught.value.exit_status == 5


def test_other_backends_know_no_card(by_jax: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []

    def ring(*arguments: Any) -> Ring:
        kinds.append(arguments[3].__qualname__)
        return Ring(*arguments)

    monkeypatch.setattr(screen, "Ring", ring)
    screened(by_jax, tmp_path, lambda ours, theirs: None, backend="cpu")
    assert kinds == ["FusedLanes.allocate"]
