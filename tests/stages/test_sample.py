"""The sample: uniform over the valid area, a function of place and seed alone, and what is refused on the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from rasters import make_grid, write_on
from scipy import stats
from tolerances import assert_same_bits

from mpmjax.errors import DataError
from mpmjax.stages import sample as stage
from mpmjax.stages.sample import sample, splitmix64
from mpmjax.types import Evidence, Grid, Layer, Sample

GRID = make_grid(310, 290)
ALPHA = 1e-3
"""Seeds are fixed: a test of uniformity passes always or never."""


def make_evidence(
    folder: Path, grid: Grid, layers: Mapping[str, np.ndarray], inside: np.ndarray | None = None, **keys: object
) -> Evidence:
    found = []
    for name, values in layers.items():
        path = write_on(folder / f"{name}.tif", grid, values)
        found.append(Layer(name, "index", path, 1, values.dtype.name, source=str(path), **keys))  # pyright: ignore[reportArgumentType]
    mask = None if inside is None else write_on(folder / "mask.tif", grid, inside.astype(np.uint8))
    return Evidence(grid, tuple(found), mask)


def places(grid: Grid) -> np.ndarray:
    """A layer that tells the number of its cell."""
    return np.arange(grid.width * grid.height, dtype=np.float64).reshape(grid.shape)


def cells(found: Sample, grid: Grid = GRID) -> np.ndarray:
    return found.rows * grid.width + found.cols


@pytest.fixture
def plain(tmp_path: Path) -> Evidence:
    """Two layers without gaps; the first tells where a cell lies."""
    return make_evidence(tmp_path, GRID, {"place": places(GRID), "other": places(GRID)[::-1].astype(np.float32)})


def assert_uniform(found: np.ndarray, available: np.ndarray, parts: int = 60) -> None:
    """Chi-square over runs of equal numbers of available cells: row by row, column by column, and by both last bits."""
    rows, cols = np.divmod(available, GRID.width)
    for key in (available, cols * GRID.height + rows, (cols % 4) * 4 + rows % 4):
        order = np.argsort(key, kind="stable")
        rank = np.empty(len(available), np.int64)
        rank[order] = np.arange(len(available))
        part = rank[np.searchsorted(available, found)] * parts // len(available)
        sizes = np.bincount(np.arange(len(available)) * parts // len(available), minlength=parts)
        counts = np.bincount(part, minlength=parts)
        # Without replacement counts vary less than by chance: the statistic is taken up by the share not drawn.
        expected = sizes * len(found) / len(available)
        statistic = ((counts - expected) ** 2 / expected).sum() / (1 - len(found) / len(available))
        low, high = stats.chi2.ppf([ALPHA, 1 - ALPHA], parts - 1)
        assert low < statistic < high


# -- what is drawn


def test_values_belong_to_their_cells_and_none_is_drawn_twice(plain: Evidence) -> None:
    found = sample(plain, 3000, 0.5, seed=7)
    assert found.values.shape == (3000, 2)
    assert found.values.dtype == np.float64
    assert found.rows.dtype == found.cols.dtype == np.int64
    assert len(np.unique(cells(found))) == 3000
    assert (np.diff(cells(found)) > 0).all(), "row-major, whatever was read first"
    assert np.array_equal(found.values[:, 0], cells(found))
    assert np.array_equal(found.values[:, 1], (GRID.height - 1 - found.rows) * GRID.width + found.cols)
    assert found.cells_seen == GRID.width * GRID.height


@pytest.mark.parametrize("seed", [0, 1, 7, 2**31 - 1])
def test_uniform_over_the_area(plain: Evidence, seed: int) -> None:
    assert_uniform(cells(sample(plain, 6000, 0.5, seed)), np.arange(GRID.width * GRID.height))


def test_uniform_over_a_study_area_of_odd_shape(tmp_path: Path) -> None:
    rows, cols = np.mgrid[: GRID.height, : GRID.width]
    inside = ((rows - 150) ** 2 + (cols - 140) ** 2 < 120**2) & ((rows // 7 + cols // 5) % 3 > 0)
    evidence = make_evidence(tmp_path, GRID, {"a": places(GRID), "b": places(GRID)}, inside)
    found = sample(evidence, 6000, 0.5, seed=3)
    assert inside[found.rows, found.cols].all()
    assert found.cells_seen == inside.sum()
    assert_uniform(cells(found), np.flatnonzero(inside))


def test_more_asked_for_than_there_is_gives_all(tmp_path: Path) -> None:
    grid = make_grid(20, 15)
    found = sample(make_evidence(tmp_path, grid, {"a": places(grid), "b": places(grid)}), 5000, 0.5, seed=0)
    assert np.array_equal(cells(found, grid), np.arange(300))


def test_a_smaller_sample_is_part_of_a_larger_one(plain: Evidence) -> None:
    small, large = (cells(sample(plain, size, 0.5, seed=5)) for size in (500, 2500))
    assert np.isin(small, large).all(), "the smallest priorities win, whatever their number"


# -- what it depends on


@pytest.mark.parametrize("workers", [1, 2, 7, None])
def test_workers_change_nothing(plain: Evidence, workers: int | None) -> None:
    expected, found = sample(plain, 2000, 0.5, seed=9, workers=3), sample(plain, 2000, 0.5, seed=9, workers=workers)
    for name in ("values", "rows", "cols"):
        assert_same_bits(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("block", [16, 100, 512])
def test_blocks_change_nothing_while_all_are_read(plain: Evidence, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    expected = sample(plain, 700, 0.5, seed=9)
    monkeypatch.setattr(stage, "BLOCK", block)  # 16: 380 blocks, so that the best are kept on the way
    assert_same_bits(sample(plain, 700, 0.5, seed=9).values, expected.values)


def test_another_seed_draws_other_cells(plain: Evidence) -> None:
    drawn = [set(cells(sample(plain, 1500, 0.5, seed))) for seed in range(4)]
    total, expected = GRID.width * GRID.height, 1500 * 1500 / (GRID.width * GRID.height)
    for number, one in enumerate(drawn):
        for other in drawn[:number]:
            common = len(one & other)
            low, high = stats.hypergeom.ppf([ALPHA / 6, 1 - ALPHA / 6], total, 1500, 1500)
            assert low <= common <= high, f"{common} in common, {expected:.0f} by chance"


def test_the_hash_spreads_neighbours_and_seeds() -> None:
    numbers = np.arange(200_000, dtype=np.uint64)
    for seed in (0, 1, 2**31 - 1):
        hashed = splitmix64(numbers, seed)
        assert hashed.dtype == np.uint64
        assert len(np.unique(hashed)) == len(numbers), "a bijection"
        for bit in range(64):
            share = ((hashed >> np.uint64(bit)) & np.uint64(1)).mean()
            assert abs(share - 0.5) < 4.5 * 0.5 / np.sqrt(len(numbers))
    correlation = np.corrcoef(splitmix64(numbers, 0).astype(float), splitmix64(numbers, 1).astype(float))[0, 1]
    assert abs(correlation) < 0.02
    assert splitmix64(np.array([0], np.uint64), 0)[0] == 0xE220A8397B1DCDAF, (
        "the first number of the published generator"
    )


# -- what is valid


def test_coverage_and_missing_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, *GRID.shape)).astype(np.float32)
    missing = rng.random(values.shape) < 0.4
    values[missing] = np.nan
    evidence = make_evidence(tmp_path, GRID, {f"l{i}": values[i] for i in range(3)})
    share = 1 - missing.mean(axis=0)
    for least in (0.3, 0.5, 2 / 3, 0.7, 1.0):
        found = sample(evidence, 4000, least, seed=1)
        assert found.cells_seen == (share >= least).sum()
        assert (share[found.rows, found.cols] >= least).all()
        assert_same_bits(found.values, values[:, found.rows, found.cols].T.astype(np.float64))
        assert np.isnan(found.values).any() == (least <= 2 / 3)


def test_scaled_units_and_nodata(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(-5, 100, GRID.shape).astype(np.int16)
    evidence = make_evidence(tmp_path, GRID, {"a": raw, "b": raw}, scale=0.1, offset=-3.0, nodata=-5.0)
    found = sample(evidence, 2000, 0.5, seed=1)
    expected = raw[found.rows, found.cols] * 0.1 - 3.0
    assert (raw[found.rows, found.cols] != -5).all()
    assert_same_bits(found.values, np.stack([expected, expected], axis=1))


# -- more blocks than are read


def test_on_a_large_grid_one_block_of_each_run_is_read(plain: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "BLOCK", 8)
    monkeypatch.setattr(stage, "BLOCKS", 300)
    blocks = 39 * 37
    found = sample(plain, 4000, 0.5, seed=2, workers=2)
    number = (found.rows // 8) * 39 + found.cols // 8
    read = np.unique(number)
    assert len(read) == 300
    assert found.cells_seen < 300 * 64 + 1
    runs = np.searchsorted(np.linspace(0, blocks, 301).astype(int), read, side="right") - 1
    assert np.array_equal(runs, np.arange(300)), "one of each of 300 equal runs: no corner is left out"
    other = sample(plain, 4000, 0.5, seed=3)
    assert not np.array_equal(np.unique((other.rows // 8) * 39 + other.cols // 8), read), "the seed chooses the blocks"
    assert_same_bits(sample(plain, 4000, 0.5, seed=2, workers=5).values, found.values)


def test_the_blocks_that_are_read_favour_no_part(plain: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "BLOCK", 8)
    monkeypatch.setattr(stage, "BLOCKS", 300)
    quarters = np.zeros(4)
    for seed in range(6):
        found = sample(plain, 3000, 0.5, seed=seed)
        quarters += np.bincount((found.rows >= 145) * 2 + (found.cols >= 155), minlength=4)
    assert np.abs(quarters / quarters.sum() - 0.25).max() < 0.02


# -- what is refused


def test_no_valid_cell(tmp_path: Path) -> None:
    grid = make_grid(40, 30)
    halves = np.where(np.arange(40) < 20, np.nan, 1.0) * places(grid)
    evidence = make_evidence(tmp_path, grid, {"left": halves, "right": halves[:, ::-1].copy()})
    with pytest.raises(DataError, match=r"No cell of the grid \(40 x 30\) has data in at least 100% of the 2 layers"):
        sample(evidence, 300, 1.0, seed=0)
    nowhere = make_evidence(tmp_path, grid, {"a": places(grid), "b": places(grid)}, np.zeros(grid.shape, bool))
    with pytest.raises(DataError, match=r"No cell of the grid .*the mask, or lower \[model\] min_coverage"):
        sample(nowhere, 300, 0.5, seed=0)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", r"layer 'odd' \(.*odd\.tif\): no data in any of the 300 cells sampled from the study area"),
        ("constant", r"layer 'odd' \(.*odd\.tif\): constant, 4 in all 300 cells sampled from the study area"),
    ],
)
def test_a_layer_that_tells_nothing_inside_the_study_area(tmp_path: Path, kind: str, words: str) -> None:
    grid = make_grid(40, 30)
    inside = np.zeros(grid.shape, bool)
    inside[:, :20] = True
    odd = np.where(inside, np.nan if kind == "empty" else 4.0, places(grid))  # outside it would pass
    evidence = make_evidence(tmp_path, grid, {"a": places(grid), "b": places(grid), "odd": odd}, inside)
    with pytest.raises(DataError, match=words):
        sample(evidence, 300, 0.5, seed=0)


def test_one_class_only_is_no_mistake_of_a_category_layer(tmp_path: Path) -> None:
    grid = make_grid(40, 30)
    evidence = make_evidence(tmp_path, grid, {"a": places(grid), "rock": np.full(grid.shape, 3, np.uint8)})
    rock = evidence.layers[1]
    category = Layer(rock.name, "category", rock.path, 1, "uint8", source=rock.source)
    found = sample(Evidence(grid, (evidence.layers[0], category)), 300, 0.5, seed=0)
    assert (found.values[:, 1] == 3).all()


def test_a_block_that_cannot_be_read_stops_it_with_its_name(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(GRID.shape, np.float32)
    path = write_on(tmp_path / "cu.tif", GRID, values, tiled=True, blockxsize=128, blockysize=128, compress="deflate")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40_000] = b"\xff" * 40_000
    path.write_bytes(content)
    evidence = Evidence(GRID, (Layer("cu", "index", path, 1, "float32", source=str(path)),) * 2)
    with pytest.raises(
        DataError, match=r"layer 'cu': .*cu\.tif, band 1, rows \d+-\d+, columns \d+-\d+: cannot be decoded"
    ):
        sample(evidence, 300, 0.5, seed=0, workers=2)
