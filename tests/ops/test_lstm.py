"""The forms of the scorer against their definition, and against themselves: a cell's bits know nothing of the cells
beside it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ops.screener_arrays import random_arrays, random_cells, ranked
from tolerances import FLOAT32_OF_FLOAT64, SCORER, assert_close, assert_same_bits

from mpmjax.errors import BackendError
from mpmjax.ops import backend
from mpmjax.ops.lstm import CHUNK, Scorer
from mpmjax.products import CLASS_MAPS, INDEX_MAPS
from mpmjax.reference.lstm import posterior, reconstruct, score

PARTS = ("R", "V", "M", "surprise")
NETWORK = ("order", "enc_wx", "enc_wh", "enc_b", "lat_w", "lat_b", "dec_wz", "dec_wh", "dec_b", "out_w", "out_b")
CASES = {
    # members, layers, hidden, latent, groups, features
    "one member, two layers": (1, 2, 4, 1, 2, 1),
    "three layers, odd sizes": (3, 3, 7, 1, 3, 1),
    "the seed": (4, 4, 32, 2, 5, 1),
    "pathfinders": (2, 11, 16, 5, 10, 1),
    "forty-two layers": (2, 42, 9, 8, 4, 1),
    "context channels": (2, 4, 5, 4, 2, 3),
    "nine channels, wide": (1, 3, 64, 16, 3, 9),
}
"""A program is compiled for each, which takes seconds: tests share them."""
SEED_CASE = "the seed"
NEAR_TIE = 1e-5
"""Float32 may decide the other way where the definition's first two lie closer than this."""


@cache
def arrays_of(case: str) -> dict[str, np.ndarray]:
    *sizes, features = CASES[case]
    return ranked(random_arrays(*sizes, seed=len(case), features=features))


@cache
def scorer_of(case: str, form: str = "cpu") -> Scorer:
    return Scorer(arrays_of(case), form)


@pytest.fixture(params=["cpu", "jax"])
def form(request: pytest.FixtureRequest) -> str:
    """Those that are fast; `numpy` is the definition."""
    return request.param


def cells_of(case: str, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """mu float32 [L, n] or [L, F, n], and valid bool [L, n], as the scorer takes them."""
    mu, valid = random_cells(n, CASES[case][1], seed=1, features=CASES[case][-1])
    valid[: n // 4] = True
    return np.ascontiguousarray(np.moveaxis(mu, 0, -1)), np.ascontiguousarray(valid.T)


def by_cell(mu: np.ndarray) -> np.ndarray:
    """As the definition takes memberships."""
    return np.moveaxis(mu, -1, 0)


def gap(values: np.ndarray, axis: int) -> np.ndarray:
    """Distance of the largest from the second largest; infinite where there is no second."""
    ordered = np.sort(values, axis=axis)
    with np.errstate(invalid="ignore"):
        distance = ordered.take(-1, axis) - ordered.take(-2, axis)
    return np.where(np.isnan(distance), np.inf, distance)


def clear_cells(mu: np.ndarray, valid: np.ndarray, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Where the definition is not near a tie, for the maps that a tie can turn: bool [n] by name."""
    members = len(arrays["order"])
    z_sum, p = np.zeros(valid.shape), []
    for m in range(members):
        latent, x_hat = reconstruct(mu, valid, arrays, m)
        z_sum += (mu.reshape(*valid.shape, -1)[..., 0] - x_hat - arrays["res_median"][m]) / arrays["res_scale"][m]
        p.append(posterior(latent, arrays, m))
    groups = gap(np.mean(p, axis=0), axis=1) > NEAR_TIE
    drive = np.where(valid & (arrays["weight"] > 0), z_sum, -np.inf)
    votes = groups & (gap(np.array(p), axis=2) > NEAR_TIE).all(axis=0)
    # A sum of standardised residuals has no unit scale: they are divided by 0.05 to 0.4.
    driver = gap(drive, axis=1) > 100 * NEAR_TIE
    return {"groups": groups, "driver": driver, "V": votes, "confidence": votes}


@pytest.mark.parametrize("case", CASES)
def test_against_the_definition(case: str, form: str) -> None:
    mu, valid = cells_of(case)
    arrays = arrays_of(case)
    got, expected = scorer_of(case, form).score(mu, valid), score(by_cell(mu), valid.T, arrays)
    clear = clear_cells(by_cell(mu), valid.T, arrays)
    assert got.keys() == {*INDEX_MAPS, *CLASS_MAPS, *PARTS} == expected.keys()
    for name in got:
        where = clear.get(name, np.ones(valid.shape[1], bool))
        assert where.mean() > 0.97, f"{name}: too many ties to judge by"
        assert got[name].dtype == (np.uint8 if name in CLASS_MAPS else np.float32), name
        if name in CLASS_MAPS:
            assert np.array_equal(got[name][where], expected[name][where]), name
        else:
            assert_close(got[name][where], expected[name][where], SCORER)
    # A judge that sees one value everywhere would be none.
    for name in ("prospectivity", "anomaly", "M", "surprise"):
        assert np.unique(got[name]).size > 300, name


def test_reconstruct_against_the_definition(form: str) -> None:
    mu, valid = cells_of(SEED_CASE)
    arrays = {name: arrays_of(SEED_CASE)[name] for name in NETWORK}  # all there is while members are trained
    got = Scorer(arrays, form).reconstruct(mu, valid)
    for m in range(len(arrays["order"])):
        z, x_hat = reconstruct(by_cell(mu), valid.T, arrays, m)
        assert_close(got["z"][m], z.T, SCORER)
        assert_close(got["e"][m], np.where(valid, mu - x_hat.T, 0.0), SCORER)
    assert not got["e"][:, ~valid].any()


def test_ranks_on_steep_ecdfs(form: str) -> None:
    """Where the sample's values crowd within a few last bits, the rank of the float32 value is still that of NumPy."""
    arrays = arrays_of(SEED_CASE)
    mu, valid = cells_of(SEED_CASE)
    before = scorer_of(SEED_CASE, form).score(mu, valid)
    centre = np.float32(np.median(before["surprise"]))
    steep = np.nextafter(centre, np.float32(1)) - centre
    x = np.unique((np.arange(-50, 51) * steep + centre).astype(np.float32))
    assert x.size == arrays["ecdf_anomaly_x"].size  # else another program
    got = Scorer({**arrays, "ecdf_anomaly_x": x}, form).score(mu, valid)
    assert_close(got["anomaly"], np.interp(got["surprise"].astype(float), x, arrays["ecdf_anomaly_y"]), SCORER)
    # One knot is what is left of a constant.
    flat = {"ecdf_anomaly_x": x[:1], "ecdf_anomaly_y": np.array([0.5], np.float32)}
    got = Scorer({**arrays, **flat}, form).score(mu, valid)
    rank = np.interp(got["favourability"].astype(float), arrays["ecdf_fav_x"], arrays["ecdf_fav_y"])
    trust = float(arrays["trust"][0])
    assert_close(got["prospectivity"], rank * (1 + trust * 0.5) / (1 + trust), SCORER)


def test_what_stands_under_a_mask_is_not_looked_at(form: str) -> None:
    mu, valid = cells_of(SEED_CASE)
    expected = scorer_of(SEED_CASE, form).score(np.where(valid, mu, np.float32(0)), valid)
    for stray in (np.nan, np.inf, -1e30, 0.7):
        got = scorer_of(SEED_CASE, form).score(np.where(valid, mu, np.float32(stray)), valid)
        for name, values in expected.items():
            assert_same_bits(got[name], values)


def test_missing_everywhere_and_undirected(form: str) -> None:
    """A layer that no cell has; cells whose directed layers are all missing; memberships at both ends."""
    arrays = {**arrays_of(SEED_CASE), "weight": np.array([0, 2, 1, 0], np.float32)}
    mu, valid = cells_of(SEED_CASE)
    mu[:, ::7], mu[:, 1::7] = 0.0, 1.0
    valid[2] = False
    valid[1, ::2] = False
    valid[0] = True
    got, expected = Scorer(arrays, form).score(mu, valid), score(by_cell(mu), valid.T, arrays)
    assert (got["favourability"][::2] == 0.5).all()
    assert (got["driver"][::2] == 0).all()
    assert (got["driver"][1::2][valid[1, 1::2]] == 2).all()
    clear = clear_cells(by_cell(mu), valid.T, arrays)
    for name in INDEX_MAPS:
        where = clear.get(name, slice(None))
        assert_close(got[name][where], expected[name][where], SCORER)


@pytest.mark.parametrize("case", [SEED_CASE, "forty-two layers"])
def test_a_cell_has_the_same_bits_in_any_batch(case: str, form: str) -> None:
    """Alone, in batches of other sizes, at other places of them: all the bits of all the maps."""
    mu, valid = cells_of(case, 5000)
    scorer = scorer_of(case, form)
    whole = scorer.score(mu, valid)
    for size in (1, 7, 100, CHUNK - 1, CHUNK, CHUNK + 1):
        for start in (0, 13, 2040, 5000 - size):
            cut = slice(start, start + size)
            part = scorer.score(mu[:, cut], valid[:, cut])
            for name, values in whole.items():
                assert_same_bits(part[name], values[cut])
    order = np.random.default_rng(0).permutation(5000)
    shuffled = scorer.score(mu[:, order], valid[:, order])
    for name, values in whole.items():
        assert_same_bits(shuffled[name], values[order])


def test_a_cell_has_the_same_bits_beside_other_cells(form: str) -> None:
    """One cell repeated, then among neighbours that are all missing, all 0 or all 1."""
    mu, valid = cells_of(SEED_CASE, 64)
    scorer = scorer_of(SEED_CASE, form)
    for cell in (0, 63):
        alone = scorer.score(mu[:, [cell]], valid[:, [cell]])
        for fill, present in ((0.0, True), (1.0, True), (0.0, False)):
            for place in (0, 1, 15, 16, 1023, CHUNK - 1):
                around = np.full((4, CHUNK), fill, np.float32), np.full((4, CHUNK), present)
                around[0][:, place], around[1][:, place] = mu[:, cell], valid[:, cell]
                got = scorer.score(*around)
                for name, values in alone.items():
                    assert_same_bits(got[name][[place]], values)


def test_threads_share_a_scorer(form: str) -> None:
    """Tiles scored at the same time by several threads have the bits of one after another."""
    mu, valid = cells_of(SEED_CASE, 5000)
    scorer = scorer_of(SEED_CASE, form)
    cuts = [slice(start, start + 611) for start in range(0, 5000, 611)]
    expected = [scorer.score(mu[:, cut], valid[:, cut]) for cut in cuts]
    barrier = threading.Barrier(4)

    def work(_: int) -> list[dict[str, np.ndarray]]:
        barrier.wait(timeout=60)
        return [scorer.score(mu[:, cut], valid[:, cut]) for cut in cuts]

    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(work, range(4)):
            for got, one in zip(results, expected, strict=True):
                for name, values in one.items():
                    assert_same_bits(got[name], values)


def test_the_scorer_keeps_its_own_arrays(form: str) -> None:
    """jnp.array copies, jnp.asarray would not: changing the Screener's arrays later must not change the scorer."""
    arrays = {name: values.copy() for name, values in arrays_of(SEED_CASE).items()}
    mu, valid = cells_of(SEED_CASE, 50)
    scorer = Scorer(arrays, form)
    before = scorer.score(mu, valid)
    for values in arrays.values():
        values[...] = 0
    mu_after = mu.copy()
    after = scorer.score(mu_after, valid)
    mu_after[...] = 0.5  # nor may a caller's buffer that is used again change a result already handed over
    for name, values in before.items():
        assert_same_bits(after[name], values)


def test_no_cells(form: str) -> None:
    mu, valid = cells_of(SEED_CASE, 0)
    one = scorer_of(SEED_CASE, form).score(*cells_of(SEED_CASE, 4))
    got = scorer_of(SEED_CASE, form).score(mu, valid)
    assert got.keys() == one.keys()
    for name, values in got.items():
        assert values.shape == (0,)
        assert values.dtype == one[name].dtype, name
    seen = Scorer({name: arrays_of(SEED_CASE)[name] for name in NETWORK}, form).reconstruct(mu, valid)
    assert seen["z"].shape == (4, 2, 0)
    assert seen["e"].shape == (4, 4, 0)


def test_results_do_not_alias(form: str) -> None:
    """A result is the caller's: writing into it must not reach JAX's buffers or another result."""
    mu, valid = cells_of(SEED_CASE, CHUNK)
    first = scorer_of(SEED_CASE, form).score(mu, valid)
    kept = {name: values.copy() for name, values in first.items()}
    second = scorer_of(SEED_CASE, form).score(mu, valid)
    for values in second.values():
        values[...] = 0
    for name, values in kept.items():
        assert_same_bits(first[name], values)


def test_other_input_layouts(form: str) -> None:
    """float64 memberships and views in other memory order are taken as well."""
    mu, valid = cells_of(SEED_CASE, 100)
    expected = scorer_of(SEED_CASE, form).score(mu, valid)
    got = scorer_of(SEED_CASE, form).score(np.asfortranarray(mu.astype(np.float64)), np.asfortranarray(valid))
    for name, values in expected.items():
        assert_same_bits(got[name], values)


# -- by name


@cache
def definition_of(case: str) -> Scorer:
    return Scorer(arrays_of(case), backend="numpy")


@pytest.mark.parametrize("case", CASES)
def test_the_definition_by_name_is_the_definition(case: str) -> None:
    mu, valid = cells_of(case, 150)
    got, expected = definition_of(case).score(mu, valid), score(by_cell(mu).astype(float), valid.T, arrays_of(case))
    assert got.keys() == expected.keys()
    for name, values in got.items():
        dtype = np.uint8 if name in CLASS_MAPS else np.float32
        assert values.dtype == dtype, name
        if name in CLASS_MAPS:
            assert np.array_equal(values, expected[name])
        else:  # chunks are padded: a BLAS has other bits for other sizes
            assert_close(values, expected[name].astype(np.float32), FLOAT32_OF_FLOAT64)


@pytest.mark.parametrize("case", [SEED_CASE, "context channels"])
def test_the_definition_agrees_with_auto(case: str) -> None:
    mu, valid = cells_of(case)
    got, other = definition_of(case).score(mu, valid), scorer_of(case).score(mu, valid)
    clear = clear_cells(by_cell(mu), valid.T, arrays_of(case))
    for name, values in got.items():
        assert values.dtype == other[name].dtype, name
        where = clear.get(name, slice(None))
        if name in CLASS_MAPS:
            assert np.array_equal(values[where], other[name][where]), name
        else:
            assert_close(other[name][where], values[where], SCORER)
    network = {name: arrays_of(case)[name] for name in NETWORK}
    one, two = Scorer(network, backend="numpy").reconstruct(mu, valid), Scorer(network).reconstruct(mu, valid)
    for name in ("z", "e"):
        assert one[name].dtype == two[name].dtype
        assert_close(one[name], two[name], SCORER)
    assert not one["e"][:, ~valid].any()


def test_the_definition_has_the_same_bits_in_any_batch() -> None:
    """Tiles may be cut anyhow with it too."""
    mu, valid = cells_of(SEED_CASE, CHUNK + 300)
    whole = definition_of(SEED_CASE).score(mu, valid)
    for cut in (slice(0, 1), slice(7, 20), slice(CHUNK - 5, CHUNK + 5), slice(300, 300 + CHUNK)):
        part = definition_of(SEED_CASE).score(mu[:, cut], valid[:, cut])
        for name, values in whole.items():
            assert_same_bits(part[name], values[cut])


def test_the_definition_looks_at_nothing_under_a_mask() -> None:
    mu, valid = cells_of(SEED_CASE, 100)
    expected = definition_of(SEED_CASE).score(np.where(valid, mu, np.float32(0)), valid)
    for stray in (np.nan, np.inf, 0.7):
        got = definition_of(SEED_CASE).score(np.where(valid, mu, np.float32(stray)), valid)
        for name, values in expected.items():
            assert_same_bits(got[name], values)


def test_no_cells_by_the_definition() -> None:
    none = cells_of(SEED_CASE, 0)
    got, other = definition_of(SEED_CASE).score(*none), scorer_of(SEED_CASE).score(*none)
    assert got.keys() == other.keys()
    for name, values in got.items():
        assert_same_bits(values, other[name])


def test_auto_is_the_cpu() -> None:
    mu, valid = cells_of(SEED_CASE, 200)
    got, expected = Scorer(arrays_of(SEED_CASE), "cpu").score(mu, valid), scorer_of(SEED_CASE).score(mu, valid)
    for part, values in expected.items():
        assert_same_bits(got[part], values)


def test_names_that_mean_nothing_here() -> None:
    with pytest.raises(BackendError, match="fortran"):
        Scorer(arrays_of(SEED_CASE), "fortran")
    try:
        backend.require("cuda")
    except BackendError:
        with pytest.raises(BackendError, match="cuda"):
            Scorer(arrays_of(SEED_CASE), "cuda")
    else:
        Scorer(arrays_of(SEED_CASE), "cuda")


def test_the_definition_imports_no_jax(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", **arrays_of(SEED_CASE))
    code = textwrap.dedent(
        """
        import sys
        import numpy as np
        from mpmjax.ops.lstm import Scorer
        scorer = Scorer(dict(np.load(sys.argv[1])), backend="numpy")
        scorer.score(np.full((4, 3), 0.5, np.float32), np.ones((4, 3), bool))
        scorer.reconstruct(np.full((4, 3), 0.5, np.float32), np.ones((4, 3), bool))
        print(sorted(name for name in sys.modules if name.split(".")[0] in ("jax", "jaxlib", "flax", "optax", "cupy")))
        """
    )
    command = [sys.executable, "-c", code, str(tmp_path / "arrays.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
