"""The scorer's kernel on a real card: near the definition on fresh input, the same bits wherever a cell lies."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import pytest
from ops.screener_arrays import random_arrays, random_cells, ranked
from tolerances import SCORER_HALVES, SCORER_HALVES_CALM, SCORER_HALVES_RMS, Tolerance, assert_close, assert_same_bits
from warp_emulator import NAMES, emulator

from mpmjax.ops import cuda
from mpmjax.ops.gpu.ensemble import sizes_of
from mpmjax.ops.gpu.lstm import GRID, Fused
from mpmjax.products import CLASS_MAPS, INDEX_MAPS
from mpmjax.reference.lstm import score

pytestmark = pytest.mark.gpu

CASES = {
    # members, layers, hidden, latent, groups, features
    "one member, two layers": (1, 2, 4, 1, 2, 1),
    "sizes that fill no tile": (3, 3, 7, 1, 3, 1),
    "the seed": (4, 4, 32, 2, 5, 1),
    "pathfinders": (2, 11, 16, 5, 10, 1),
    "five features": (8, 8, 32, 8, 4, 5),
    "eight features, wide latent": (2, 5, 20, 12, 16, 8),
    "nine features": (1, 4, 16, 3, 4, 9),
    "sixty-four units": (1, 5, 64, 8, 4, 1),
    "all that it takes": (2, 64, 64, 16, 16, 9),
}
WEIGHTS = ("enc_wx", "enc_wh", "enc_b", "dec_wz", "dec_wh", "dec_b")

Inputs = tuple[np.ndarray, np.ndarray]


def arrays_of(case: str, scale: float = 1.0, seed: int = 1) -> dict[str, np.ndarray]:
    *sizes, features = CASES[case]
    arrays = random_arrays(*sizes, seed=seed, features=features)
    for name in WEIGHTS:  # twice the units, half the weight: gates of the size that training gives
        arrays[name] = (arrays[name] * scale * min(1.0, 32 / CASES[case][2])).astype(np.float32)
    return ranked(arrays)


def cells_of(case: str, n: int, seed: int = 1) -> Inputs:
    """mu float32 [n, L, F], no number under the mask, and valid bool [n, L]."""
    mu, valid = random_cells(n, CASES[case][1], seed)
    rest = np.random.default_rng(seed).uniform(size=(*mu.shape, CASES[case][5] - 1)).astype(np.float32)
    whole = np.concatenate([mu[..., None], rest], axis=2)
    whole[~valid] = np.nan
    return whole, valid


def on_card(cupy: Any, fused: Fused, inputs: Inputs, cells: np.ndarray | None = None) -> dict[str, np.ndarray]:
    mu, valid = inputs
    cells = np.arange(len(mu), dtype=np.int32) if cells is None else cells
    there = cupy.asarray(np.ascontiguousarray(mu.transpose(1, 2, 0))), cupy.asarray(np.ascontiguousarray(valid.T))
    maps, classes, count = (part.get() for part in fused.launch(*there, cells))
    named = {**dict(zip(INDEX_MAPS, maps, strict=True)), **dict(zip(CLASS_MAPS, classes, strict=True))}
    return {**named, "there": count}


def judge(got: dict[str, np.ndarray], inputs: Inputs, arrays: dict[str, np.ndarray], tolerance: Tolerance) -> None:
    mu, valid = inputs
    expected = score(np.where(valid[..., None], mu, 0.0), valid, arrays)
    for name in INDEX_MAPS:
        assert_close(got[name], expected[name], tolerance)
        assert_close(np.sqrt(np.mean((got[name] - expected[name]) ** 2)), np.zeros(()), SCORER_HALVES_RMS)
    for name in CLASS_MAPS:
        assert (got[name] != expected[name]).mean() <= 0.01, name
    assert_same_bits(got["there"], valid.sum(axis=1, dtype=np.int32))


def assert_same(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, values in expected.items():
        assert_same_bits(np.ascontiguousarray(got[name]), np.ascontiguousarray(values))


@pytest.mark.parametrize("case", CASES)
def test_against_the_definition(cupy: Any, case: str) -> None:
    seed = secrets.randbits(30)
    print(f"seed {seed}")  # of what fails
    for scale, tolerance in ((1.0, SCORER_HALVES), (0.1, SCORER_HALVES_CALM)):
        if scale == 1.0 or CASES[case][1] < 60:
            arrays, inputs = arrays_of(case, scale, seed), cells_of(case, 1000, seed)
            judge(on_card(cupy, Fused(arrays), inputs), inputs, arrays, tolerance)


def test_the_cases_launch_every_kernel() -> None:
    assert {sizes_of(random_arrays(*sizes[:5], features=sizes[5])).kernel for sizes in CASES.values()} == set(NAMES)


@pytest.mark.parametrize("case", CASES)
def test_near_the_emulated_warps(cupy: Any, case: str) -> None:
    """The same source on the CPU: what is further off than two roundings of tanh is no rounding."""
    arrays, (mu, valid) = arrays_of(case, 0.1), cells_of(case, 100)
    ordered = np.ascontiguousarray(mu.transpose(1, 2, 0))
    expected = emulator().score(arrays, ordered, np.ascontiguousarray(valid.T))
    got = on_card(cupy, Fused(arrays), (mu, valid))
    for name in INDEX_MAPS:
        assert_close(got[name], expected[name], SCORER_HALVES_CALM)
    assert_same_bits(got["driver"], expected["driver"])


@pytest.mark.parametrize("cells", [1, 7, 8, 15, 16, 17, 63, 64, 65, 4099])
def test_ragged_sizes(cupy: Any, cells: int) -> None:
    """The first cells of a tile and a tile of those cells alone."""
    for case in ("the seed", "sixty-four units", "nine features"):
        fused, (mu, valid) = Fused(arrays_of(case)), cells_of(case, 5003)
        whole = on_card(cupy, fused, (mu, valid))
        assert_same(on_card(cupy, fused, (mu[:cells], valid[:cells])), {n: v[:cells] for n, v in whole.items()})


def test_a_tile_larger_than_the_grid(cupy: Any) -> None:
    """Blocks go round: cells beyond the first round are the same bits as in a tile of their own."""
    case = "the seed"
    round_ = cuda.blocks(1 << 30, cuda._processors(0), GRID) * GRID.cells
    fused, few = Fused(arrays_of(case)), cells_of(case, 4099)
    places = np.arange(2 * round_ + 500, dtype=np.int32) % 4099
    many, alone = on_card(cupy, fused, few, places), on_card(cupy, fused, few)
    assert_same(many, {name: values[places] for name, values in alone.items()})


@pytest.mark.parametrize("case", CASES)
def test_a_list_of_cells(cupy: Any, case: str) -> None:
    """In any order, twice, beside other cells; and launched again."""
    fused, inputs = Fused(arrays_of(case)), cells_of(case, 777)
    whole, rng = on_card(cupy, fused, inputs), np.random.default_rng(4)
    for chosen in (rng.permutation(777), rng.integers(0, 777, 1500), np.full(33, 5), np.array([776])):
        got = on_card(cupy, fused, inputs, chosen.astype(np.int32))
        assert_same(got, {name: values[chosen] for name, values in whole.items()})
    assert_same(on_card(cupy, fused, inputs), whole)


def test_streams_do_not_meet(cupy: Any) -> None:
    """Many launches on several streams, every input dropped as soon as Python may."""
    case = "the seed"
    fused, tiles = Fused(arrays_of(case)), [cells_of(case, 3000, seed) for seed in range(4)]
    fused.prepare()
    expected = [on_card(cupy, fused, tile) for tile in tiles]
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(3)]
    for turn in range(24):
        with streams[turn % 3]:
            assert_same(on_card(cupy, fused, tiles[turn % 4]), expected[turn % 4])
