"""lstm_score.cu, verbatim, on emulated warps: every size of an ensemble, ragged launches, masks, lists of cells."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ops.screener_arrays import random_arrays, random_cells, ranked
from tolerances import SCORER_HALVES, SCORER_HALVES_CALM, SCORER_HALVES_RMS, Tolerance, assert_close, assert_same_bits
from warp_emulator import KERNELS, NAMES, Emulator, build, emulator

from mpmjax.ops.gpu.ensemble import sizes_of
from mpmjax.products import CLASS_MAPS, INDEX_MAPS
from mpmjax.reference.lstm import score

CASES = {
    # members, layers, hidden, latent, groups, features
    "one member, two layers": (1, 2, 4, 1, 2, 1),
    "sizes that fill no tile": (3, 3, 7, 1, 3, 1),
    "the seed": (4, 4, 32, 2, 5, 1),
    "two features": (2, 4, 32, 2, 2, 2),
    "pathfinders": (2, 11, 16, 5, 10, 1),
    "five features": (2, 8, 32, 8, 4, 5),
    "eight features, wide latent": (2, 5, 20, 12, 16, 8),
    "nine features": (1, 4, 16, 3, 4, 9),
    "sixty-four units": (1, 5, 64, 8, 4, 1),
    "all that it takes": (2, 64, 64, 16, 16, 9),
}
WEIGHTS = ("enc_wx", "enc_wh", "enc_b", "dec_wz", "dec_wh", "dec_b")
NEAR_TIE = 0.01
"""Share of cells whose groups, quadrants or driver may fall the other way."""

Inputs = tuple[np.ndarray, np.ndarray]


@cache
def arrays_of(case: str, scale: float = 1.0) -> dict[str, np.ndarray]:
    *sizes, features = CASES[case]
    arrays = random_arrays(*sizes, seed=len(case), features=features)
    for name in WEIGHTS:
        arrays[name] = (arrays[name] * scale).astype(np.float32)
    return ranked(arrays)


def cells_of(case: str, n: int = 130) -> Inputs:
    """mu float32 [n, L, F] and valid bool [n, L]; what stands under the mask is no number."""
    mu, valid = random_cells(n, CASES[case][1], seed=1)
    valid[: n // 4] = True
    rest = np.random.default_rng(2).uniform(size=(*mu.shape, CASES[case][5] - 1)).astype(np.float32)
    whole = np.concatenate([mu[..., None], rest], axis=2)
    whole[~valid] = np.nan
    return whole, valid


def on_warps(arrays: dict[str, np.ndarray], inputs: Inputs, by: Emulator | None = None, **options) -> dict:
    mu, valid = inputs
    ordered = np.ascontiguousarray(mu.transpose(1, 2, 0))
    ordered = ordered[:, 0] if mu.shape[2] == 1 else ordered
    return (by or emulator()).score(arrays, ordered, np.ascontiguousarray(valid.T), **options)


def judge(got: dict, inputs: Inputs, arrays: dict[str, np.ndarray], tolerance: Tolerance) -> None:
    mu, valid = inputs
    expected = score(np.where(valid[..., None], mu, 0.0), valid, arrays)
    for name in INDEX_MAPS:
        assert_close(got[name], expected[name], tolerance)
        rms = np.sqrt(np.mean((got[name] - expected[name]) ** 2))
        assert_close(rms, np.zeros(()), SCORER_HALVES_RMS)
    for name in CLASS_MAPS:
        assert (got[name] != expected[name]).mean() <= NEAR_TIE, name
    assert_same_bits(got["there"], valid.sum(axis=1, dtype=np.int32))


def assert_same(got: dict, expected: dict) -> None:
    for name, values in expected.items():
        assert_same_bits(np.ascontiguousarray(got[name]), np.ascontiguousarray(values))


@pytest.mark.parametrize("case", CASES)
def test_against_the_definition(case: str) -> None:
    # Twice the units, half the weight: gates of the size that training gives.
    arrays, inputs = arrays_of(case, min(1.0, 32 / CASES[case][2])), cells_of(case, 130 if CASES[case][1] < 60 else 50)
    got = on_warps(arrays, inputs)
    judge(got, inputs, arrays, SCORER_HALVES)
    # A judge that sees one value everywhere would be none.
    assert np.unique(got["prospectivity"]).size > 40
    assert np.unique(got["anomaly"]).size > 10


@pytest.mark.parametrize("case", [name for name in CASES if CASES[name][1] < 60])
def test_calm_ensembles_against_the_definition(case: str) -> None:
    arrays, inputs = arrays_of(case, 0.1), cells_of(case)
    judge(on_warps(arrays, inputs), inputs, arrays, SCORER_HALVES_CALM)


def test_the_cases_launch_every_kernel() -> None:
    assert {sizes_of(random_arrays(*sizes[:5], features=sizes[5])).kernel for sizes in CASES.values()} == set(NAMES)


@pytest.mark.parametrize("case", ["sizes that fill no tile", "nine features"])
@pytest.mark.parametrize("cells", [1, 7, 8, 9, 15, 16, 17, 64, 65])
def test_ragged_sizes(case: str, cells: int) -> None:
    """The first cells of a tile and a tile of those cells alone."""
    mu, valid = cells_of(case)
    whole = on_warps(arrays_of(case), (mu, valid))
    got = on_warps(arrays_of(case), (mu[:cells], valid[:cells]), grid=3, block=96)
    assert_same(got, {name: values[:cells] for name, values in whole.items()})


@pytest.mark.parametrize("case", ["two features", "sixty-four units", "eight features, wide latent"])
@pytest.mark.parametrize(("grid", "block", "seed"), [(1, 32, 0), (1, 128, 1), (4, 64, 2), (7, 128, 3), (40, 32, 5)])
def test_bits_do_not_depend_on_the_launch(case: str, grid: int, block: int, seed: int) -> None:
    """Nor on which warp and lane runs first, nor on whether copies are early or late."""
    arrays, inputs = arrays_of(case), cells_of(case)
    assert_same(on_warps(arrays, inputs, grid=grid, block=block, seed=seed), on_warps(arrays, inputs))


def test_a_list_of_cells() -> None:
    """In any order, twice, at other places of a warp, beside other cells."""
    case = "sizes that fill no tile"
    arrays, inputs = arrays_of(case), cells_of(case)
    whole = on_warps(arrays, inputs)
    rng = np.random.default_rng(4)
    for chosen in (rng.permutation(130), rng.integers(0, 130, 77), np.full(33, 5), np.array([129])):
        got = on_warps(arrays, inputs, cells=chosen.astype(np.int32))
        assert_same(got, {name: values[chosen] for name, values in whole.items()})


def test_a_layer_that_is_missing_changes_nothing() -> None:
    """A cell without the last layer its members read has the bits of an ensemble that never reads it."""
    case = "the seed"
    arrays = dict(arrays_of(case))
    arrays["order"] = np.stack([np.roll(np.arange(4), 1 + 3 * (m % 2)) for m in range(4)]).astype(np.int32)
    mu, valid = cells_of(case, 40)
    mu = np.nan_to_num(mu, nan=0.6)
    valid[:, 0], valid[:, 1] = False, True
    got = on_warps(arrays, (mu, valid))
    mu[:, 0] = 0.3  # which nobody looks at
    assert_same(on_warps(arrays, (mu, valid)), got)
    judge(got, (mu, valid), arrays, SCORER_HALVES)


def test_cells_without_any_layer_disturb_no_other() -> None:
    case = "sizes that fill no tile"
    mu, valid = cells_of(case)
    expected = on_warps(arrays_of(case), (mu, valid))
    valid = valid.copy()
    valid[::3] = False
    got = on_warps(arrays_of(case), (mu, valid))
    assert (got["there"][::3] == 0).all()
    assert not any(np.isnan(got[name]).any() for name in INDEX_MAPS)
    for start in (1, 2):
        assert_same({n: v[start::3] for n, v in got.items()}, {n: v[start::3] for n, v in expected.items()})


def test_undirected_cells_and_ends_of_memberships() -> None:
    case = "the seed"
    arrays = {**arrays_of(case), "weight": np.array([0, 2, 1, 0], np.float32)}
    mu, valid = cells_of(case)
    mu = np.nan_to_num(mu, nan=0.6)
    mu[::7], mu[1::7] = 0.0, 1.0
    valid[:], valid[:, 2], valid[::2, 1] = True, False, False
    got = on_warps(arrays, (mu, valid))
    assert (got["favourability"][::2] == 0.5).all()
    assert (got["driver"][::2] == 0).all()
    assert (got["driver"][1::2] == 2).all()
    judge(got, (mu, valid), arrays, SCORER_HALVES)


def test_groups_that_are_narrow_and_groups_without_weight() -> None:
    """A whitening of 1e5 exceeds what halves hold, if it is not scaled."""
    case = "pathfinders"
    arrays = {name: values.copy() for name, values in arrays_of(case).items()}
    arrays["group_chol"][:, 0] *= 1e5
    arrays["group_chol"][:, 1] *= 1e-4
    arrays["group_logw"][:, 2] = -np.inf
    inputs = cells_of(case)
    got = on_warps(arrays, inputs)
    judge(got, inputs, arrays, SCORER_HALVES)
    assert set(got["groups"]) >= {2}
    assert not set(got["groups"]) & {1, 3}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], Emulator]:
    """An emulator of the kernels with a piece of the source replaced."""

    def make(source: str, old: str, new: str) -> Emulator:
        folder = Path(tmp_path_factory.mktemp("planted"))
        copy = Path(shutil.copytree(KERNELS, folder / "kernels"))
        text = (copy / source).read_text(encoding="utf-8")
        assert old in text
        (copy / source).write_text(text.replace(old, new), encoding="utf-8")
        return Emulator(build(folder / "planted.so", kernels=copy))

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "source", "old", "new"),
    [
        (
            "the seed",
            "lstm_passes.cuh",
            "            copies_wait();\n            __syncthreads();  //",
            "            copies_wait();  //",
        ),
        (
            "the seed",
            "lstm_passes.cuh",
            "            copies_wait();\n            __syncthreads();  //",
            "            __syncthreads();  //",
        ),
        (
            "sixty-four units",
            "lstm_passes.cuh",
            "            __syncthreads();\n            copy(buffers, now);",
            "            copy(buffers, now);",
        ),
        (
            "sixty-four units",
            "lstm_passes.cuh",
            "            copies_wait();\n            __syncthreads();\n            return",
            "            copies_wait();\n            return",
        ),
        ("the seed", "lstm_recurrence.cuh", "j % 2 * 2 + 1] =", "j % 2 * 2 + 0] ="),
        ("the seed", "lstm_recurrence.cuh", "keep[m][e % 2] ?", "keep[m][e / 2] ?"),
        ("the seed", "lstm_members.cuh", "        warp_meet();  // until", "        // until"),
    ],
)
def test_a_planted_fault_is_found(planted, case: str, source: str, old: str, new: str) -> None:
    arrays, inputs = arrays_of(case), cells_of(case)
    expected, faulty = on_warps(arrays, inputs), planted(source, old, new)
    block = 32 if "until" in old else 128  # where no barrier of the block is between two rounds

    def launches() -> None:
        for seed in range(8):
            assert_same(on_warps(arrays, inputs, faulty, grid=1, block=block, seed=seed), expected)

    with pytest.raises(AssertionError):
        launches()


@pytest.mark.slow
def test_two_tiles_a_warp_give_the_same_bits(planted) -> None:
    """The sources are written for any number of tiles, the kernels take one."""
    by_two = planted("lstm_score.cu", "KERNEL(lstm_score_h32, 3, 32, 1,", "KERNEL(lstm_score_h32, 3, 32, 2,")
    arrays, inputs = arrays_of("the seed"), cells_of("the seed")
    assert_same(on_warps(arrays, inputs, by_two), on_warps(arrays, inputs))


@pytest.mark.slow
@pytest.mark.parametrize("case", ["sizes that fill no tile", "sixty-four units", "nine features"])
def test_nothing_is_undefined(tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    """Shifts, alignment, overflow: by UBSan."""
    by = Emulator(build(tmp_path / "checked.so", "-fsanitize=undefined", "-g"))
    arrays, inputs = arrays_of(case), cells_of(case, 40)
    assert_same(on_warps(arrays, inputs, by), on_warps(arrays, inputs))
    assert "runtime error" not in capfd.readouterr().err
