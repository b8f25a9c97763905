"""The fused kernel on the CPU: as its ops one after the other, with other vectors, with awkward input."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit, types
from numba.extending import intrinsic
from ops.screener_arrays import random_arrays, ranked
from tolerances import SCORER, assert_close, assert_same_bits

from mpmjax.ops.cpu.lanes import FusedLanes, HostLanes, Placed, TileMemberships
from mpmjax.ops.cpu.lstm import STRETCH, Cpu
from mpmjax.ops.cpu.unit import BLOCK
from mpmjax.ops.cpu.vectors import INDEX, LANES, LOWEST, Vectors
from mpmjax.ops.lstm import Scorer
from mpmjax.ops.plan import plan_memberships
from mpmjax.products import CLASS_MAPS, INDEX_MAPS
from mpmjax.reference.lstm import score
from mpmjax.types import Layer, Membership, Slab, Tile

LAYERS = (
    Layer("copper", "geochemistry", Path("a"), 1, "float32", -9999.0),
    Layer("iron", "alteration", Path("b"), 1, "int16", -32768, scale=0.1),
    Layer("rock", "geology", Path("c"), 1, "uint8", 0),
    Layer("faults", "structure", Path("d"), 1, "float64", None, valid_range=(0.0, 50.0)),
)
FITTED = (
    Membership("sigmoid", {"midpoint": 0.2, "slope": 2.0}),
    Membership("linear", {"lo": -5.0, "hi": 6.0}),
    Membership("category", knots_x=np.array([1.0, 2.0, 5.0]), knots_y=np.array([0.1, 0.9, 0.4])),
    Membership("small", {"midpoint": 10.0, "spread": 3.0}),
)
ARRAYS = ranked(random_arrays(2, len(LAYERS), 8, 3, 3, seed=4))
PLAN = plan_memberships(LAYERS, FITTED)
NOTHING = -7.0, 77


def slab(rng: np.random.Generator, shape: tuple[int, int], there: float, wanted: float) -> Slab:
    """Raw values with nodata, classes without a score, NaN and infinity, and masks."""
    values = (
        rng.choice([0.1, 3.0, -9999.0, np.nan, np.inf, -2.5], shape).astype(np.float32),
        rng.integers(-90, 90, shape).astype(np.int16),
        rng.integers(0, 7, shape).astype(np.uint8),
        rng.uniform(-5.0, 60.0, shape),
    )
    valid = rng.random((len(values), *shape)) < there
    return Slab(Tile(0, 0, 0, *shape), values, valid, rng.random(shape) < wanted)


def maps_of(shape: tuple[int, int]) -> dict[str, np.ndarray]:
    floats = {name: np.full(shape, NOTHING[0], np.float32) for name in INDEX_MAPS}
    return floats | {name: np.full(shape, NOTHING[1], np.uint8) for name in CLASS_MAPS}


def separately(min_coverage: float) -> Placed:
    return Placed(HostLanes(TileMemberships(PLAN, "cpu"), Scorer(ARRAYS, "cpu"), min_coverage), min_coverage)


def assert_as_separately(of: Slab, min_coverage: float) -> int:
    got, expected = maps_of(of.inside.shape), maps_of(of.inside.shape)
    scored = FusedLanes(PLAN, ARRAYS, min_coverage).compute(of, got)
    assert_same_bits(scored, separately(min_coverage).compute(of, expected))
    for name, values in expected.items():
        assert_same_bits(got[name], values)
        assert (values[~scored] == (NOTHING[name in CLASS_MAPS])).all()
    return int(scored.sum())


@pytest.mark.parametrize("cells", [1, BLOCK - 1, BLOCK, BLOCK + 1, STRETCH - 1, STRETCH, STRETCH + 1, 2 * STRETCH + 77])
def test_fused_is_as_one_after_the_other(cells: int) -> None:
    rng = np.random.default_rng(cells)
    for there, wanted in ((1.0, 1.0), (0.7, 0.5), (0.3, 0.01)):
        assert_as_separately(slab(rng, (1, cells), there, wanted), 0.5)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    height=st.integers(1, 130),
    width=st.integers(1, 130),
    there=st.floats(0.0, 1.0),
    wanted=st.floats(0.0, 1.0),
    min_coverage=st.sampled_from([0.25, 0.5, 0.75, 1.0]),
)
def test_any_tile(seed: int, height: int, width: int, there: float, wanted: float, min_coverage: float) -> None:
    assert_as_separately(slab(np.random.default_rng(seed), (height, width), there, wanted), min_coverage)


def test_whole_stretches_of_nothing_are_passed_over() -> None:
    rng = np.random.default_rng(0)
    of = slab(rng, (6, STRETCH), 0.8, 1.0)
    of.inside[1:4], of.inside[5] = False, False
    assert_as_separately(of, 0.5)
    of.inside[:] = False
    assert assert_as_separately(of, 0.5) == 0


def test_threads_share_one_kernel() -> None:

    lanes, tiles = (
        FusedLanes(PLAN, ARRAYS, 0.5),
        [slab(np.random.default_rng(n), (90, 97), 0.8, 0.7) for n in range(12)],
    )

    def work(of: Slab) -> dict[str, np.ndarray]:
        lanes.compute(of, maps := maps_of(of.inside.shape))
        return maps

    alone = [work(of) for of in tiles]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(work, tiles), alone, strict=True):
            for name, values in expected.items():
                assert_same_bits(found[name], values)


@pytest.mark.parametrize(("hidden", "latent", "features"), [(1, 1, 1), (4, 16, 2), (33, 5, 1), (64, 2, 1)])
def test_sizes_at_the_ends(hidden: int, latent: int, features: int) -> None:
    """Units, latents and features that fill no vector, no four, and all registers."""
    arrays = ranked(random_arrays(2, 3, hidden, latent, 2, seed=hidden, features=features))
    rng = np.random.default_rng(1)
    mu, valid = rng.random((3, features, 301), np.float32), rng.random((3, 301)) < 0.8
    valid[0] |= ~valid.any(axis=0)
    got, expected = Scorer(arrays, "cpu").score(mu, valid), score(np.moveaxis(mu, -1, 0), valid.T, arrays)
    for name in INDEX_MAPS:
        assert_close(got[name], expected[name], SCORER)


def test_raw_values_are_one_feature_a_layer() -> None:
    cpu, of = (
        Cpu(ranked(random_arrays(1, len(LAYERS), 8, 2, 2, seed=3, features=2))),
        slab(np.random.default_rng(0), (3, 5), 1.0, 1.0),
    )
    with pytest.raises(ValueError, match="takes 2"):
        cpu.screen(of.values, PLAN, of.valid, of.inside, 0.0, [], [])


def test_one_member_one_layer() -> None:
    arrays = ranked(random_arrays(1, 1, 4, 1, 2, seed=2))
    mu, valid = np.random.default_rng(0).random((1, 200), np.float32), np.ones((1, 200), bool)
    got, expected = Scorer(arrays, "cpu").score(mu, valid), score(mu.T, valid.T, arrays)
    for name in (*INDEX_MAPS, "R", "V", "surprise"):
        assert_close(got[name], expected[name], SCORER)


def test_weights_that_saturate_all_gates() -> None:
    """Gates of +-1e4: exponentials are held where their products are finite, and nothing becomes NaN."""
    arrays = random_arrays(1, 4, 8, 2, 2, seed=5)
    arrays |= {
        name: arrays[name] * np.float32(1e4) for name in ("enc_wx", "enc_wh", "enc_b", "dec_wz", "dec_wh", "dec_b")
    }
    mu, valid = np.random.default_rng(0).random((4, 500), np.float32), np.ones((4, 500), bool)
    got = Scorer(arrays, "cpu").reconstruct(mu, valid)
    exact = Scorer(arrays, "numpy").reconstruct(mu, valid)
    assert np.isfinite(got["z"]).all()
    assert np.isfinite(got["e"]).all()
    assert np.median(np.abs(got["z"] - exact["z"])) < 1e-5  # a gate that just tips over may land on the other side


def _exp2(typing_context, values):
    def generate(context, builder, signature, arguments):
        pointer = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        vectors = Vectors(builder)
        zero = INDEX(0)
        steps = vectors.exp2([vectors.load(pointer, zero)], 40.0)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                vectors.store(end.value[0], pointer, zero)
                return context.get_dummy_value()

    return types.void(values), generate


_exp2_in_place: Any = intrinsic(_exp2)


@njit
def _powers(values):
    _exp2_in_place(values)


def test_powers_of_two() -> None:
    """Relative error 3e-7 wherever 2^y is a normal float32; held at 2^40 above, and nothing wild below."""
    rng = np.random.default_rng(0)
    room = np.zeros(LANES + 16, np.float32)
    first = -(room.ctypes.data // 4) % 16
    line = room[first : first + LANES]
    whole = np.arange(-99, 40, dtype=np.float32)
    values = np.concatenate([rng.uniform(-99.0, 40.0, 40_000), whole, whole + 0.5, whole - 0.5]).astype(np.float32)
    for start in range(0, values.size - LANES, LANES):
        line[:] = values[start : start + LANES]
        exact = np.exp2(line.astype(np.float64))
        _powers(line)
        assert np.abs(line / exact - 1.0).max() < 3e-7
    for far, least, most in (
        (1e4, 2.0**39.9, 2.0**40.1),
        (np.inf, 2.0**39.9, 2.0**40.1),
        (-1e4, 0.0, 2.0 ** (LOWEST + 1)),
    ):
        line[:] = far
        _powers(line)
        assert (line >= least).all()
        assert (line <= most).all()


@pytest.mark.slow
@pytest.mark.parametrize(("cpu", "lanes"), [("haswell", 8), ("nehalem", 4)])
def test_older_processors(cpu: str, lanes: int, tmp_path: Path) -> None:
    """Numba compiles for another processor in a process of its own: shorter vectors, and 2^y without AVX-512."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("the names are those of x86 processors")
    np.savez(tmp_path / "arrays.npz", **ARRAYS)  # pyright: ignore[reportArgumentType]
    code = textwrap.dedent(
        """
        import sys
        import numpy as np
        from mpmjax.ops.cpu.vectors import LANES
        from mpmjax.ops.lstm import Scorer
        rng = np.random.default_rng(0)
        mu, valid = rng.random((4, 700), np.float32), rng.random((4, 700)) < 0.8
        valid[0] |= ~valid.any(axis=0)
        got = Scorer(dict(np.load(sys.argv[1])), "cpu").score(mu, valid)
        np.savez(sys.argv[2], lanes=LANES, mu=mu, valid=valid, **got)
        """
    )
    features = {"haswell": "+avx,+avx2,+fma,+bmi,+bmi2,+sse4.2", "nehalem": "+sse4.2"}[cpu]
    told = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code, str(tmp_path / "arrays.npz"), str(tmp_path / "got.npz")]
    subprocess.run(command, check=True, env=os.environ | told)
    got = dict(np.load(tmp_path / "got.npz"))
    assert got["lanes"] == lanes
    expected = score(got["mu"].T, got["valid"].T, ARRAYS)
    for name in INDEX_MAPS:
        assert_close(got[name], expected[name], SCORER)
