"""The shifted null and the blocks against brute force over whole arrays, and the null against unrelated maps."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from mpmjax.scoring import spatial
from mpmjax.scoring.spatial import Parts, block_figures, parts_of, scores_at, toroidal_null
from mpmjax.types import Tile


def made(
    seed: int, shape: tuple[int, int] = (9, 11), m: int = 6, levels: int | None = None, holes: float = 0.15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A map float32 with holes, and cells of deposits on it."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=shape).astype(np.float32)
    scores = scores if levels is None else np.round(scores * levels)
    scores[rng.uniform(size=shape) < holes] = np.nan
    rows, cols = np.nonzero(np.isfinite(scores))
    chosen = rng.choice(rows.size, m, replace=False)
    return scores, rows[chosen], cols[chosen]


def tiles_of(scores: np.ndarray, size: int, seed: int = 0) -> Parts:
    """Square tiles in random order, other ones on each pass."""
    rng = np.random.default_rng(seed)

    def parts() -> Iterator[tuple[Tile, np.ndarray]]:
        corners = [(r, c) for r in range(0, scores.shape[0], size) for c in range(0, scores.shape[1], size)]
        for index in rng.permutation(len(corners)):
            row, col = corners[index]
            part = scores[row : row + size, col : col + size]
            yield Tile(int(index), row, col, *part.shape), part

    return parts


def brute_auc(scores: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> float:
    known = np.zeros(scores.shape, bool)
    known[rows, cols] = True
    valid = np.isfinite(scores)
    return float(roc_auc_score(known[valid], scores[valid]))


@pytest.mark.parametrize(("seed", "levels"), [(0, None), (1, 2), (2, None), (3, 1)])
def test_all_shifts_by_brute_force(seed: int, levels: int | None) -> None:
    """More shifts asked for than there are: every one is taken, and the p-value is exact."""
    scores, rows, cols = made(seed, levels=levels)
    null, landed = [], []
    for down in range(9):
        for right in range(11):
            r, c = (rows + down) % 9, (cols + right) % 11
            here = np.isfinite(scores[r, c])
            if (down or right) and here.mean() >= 0.5:
                null.append(brute_auc(scores, r[here], c[here]))
                landed.append(here.mean())
    got = toroidal_null(parts_of(scores), scores.shape, rows, cols, 5000)
    observed = brute_auc(scores, rows, cols)
    assert got["auc"] == pytest.approx(observed, abs=1e-12)
    assert (got["shifts"], got["used"]) == (5000, len(null))
    assert got["p"] == (1 + (np.array(null) >= observed - 1e-12).sum()) / (1 + len(null))
    assert got["landed"] == pytest.approx(np.mean(landed))
    levels_of = [float(level) for level in got["quantiles"]]
    assert levels_of == [0.025, 0.05, 0.5, 0.95, 0.975]
    assert list(got["quantiles"].values()) == pytest.approx(np.quantile(null, levels_of), abs=1e-12)
    assert json.loads(json.dumps(got, allow_nan=False)) == got


@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_parts_do_not_matter(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, rows, cols = made(4, (40, 31), 12, levels=3)
    monkeypatch.setattr(spatial, "BAND", 31 * 40)
    whole = toroidal_null(parts_of(scores), scores.shape, rows, cols, 99, 5)
    blocks = block_figures(parts_of(scores), scores.shape, rows, cols)
    monkeypatch.setattr(spatial, "BAND", 31 * size)
    assert {len(part) for _, part in parts_of(scores)()} <= {size, 40 % size or size, 40}
    assert (len(list(parts_of(scores)())) > 1) == (size < 40)
    for parts in (parts_of(scores), tiles_of(scores, size)):
        assert toroidal_null(parts, scores.shape, rows, cols, 99, 5) == whole
        assert block_figures(parts, scores.shape, rows, cols) == blocks


def test_the_map_is_passed_over_twice() -> None:
    scores, rows, cols = made(5)
    passes = []

    def parts() -> Iterator[tuple[Tile, np.ndarray]]:
        passes.append(1)
        yield from parts_of(scores)()

    toroidal_null(parts, scores.shape, rows, cols, 50)
    assert len(passes) == 2
    block_figures(parts, scores.shape, rows, cols, (2, 2))
    assert len(passes) == 4


def test_scores_at_cells_in_their_order() -> None:
    scores, _, _ = made(6, (20, 30))
    rng = np.random.default_rng(7)
    rows, cols = rng.integers(0, 20, 200), rng.integers(0, 30, 200)
    got = scores_at(tiles_of(scores, 6), rows, cols)
    assert got.dtype == np.float32
    assert np.array_equal(got, scores[rows, cols], equal_nan=True)


def test_the_null_repeats_itself() -> None:
    scores, rows, cols = made(8, (30, 30))
    first, again, other = (toroidal_null(parts_of(scores), (30, 30), rows, cols, 99, seed) for seed in (1, 1, 2))
    assert first == again
    assert first["quantiles"] != other["quantiles"]


def test_what_does_not_change_the_null() -> None:
    scores, rows, cols = made(9, (30, 30), 10)
    base = toroidal_null(parts_of(scores), (30, 30), rows, cols, 99)
    order = np.random.default_rng(0).permutation(10)
    moved = toroidal_null(parts_of(scores), (30, 30), rows[order], cols[order], 99)
    bent = toroidal_null(parts_of(scores.astype(np.float64) ** 3 + 5), (30, 30), rows, cols, 99)
    for other in (moved, bent):
        assert other["p"] == base["p"]
        assert other["quantiles"] == pytest.approx(base["quantiles"], abs=1e-12)


def test_ends_of_the_p_value() -> None:
    y, x = np.mgrid[:40, :40]
    peak = np.exp(-((y - 20) ** 2 + (x - 20) ** 2) / 50.0)
    rows, cols = np.array([20, 20, 21]), np.array([20, 21, 20])
    found = toroidal_null(parts_of(peak), (40, 40), rows, cols, 199)
    assert found["p"] == 1 / 200
    assert found["auc"] > 0.99 > found["quantiles"]["0.95"]
    assert toroidal_null(parts_of(-peak), (40, 40), rows, cols, 199)["p"] == 1.0
    flat = toroidal_null(parts_of(np.full((40, 40), 0.3)), (40, 40), rows, cols, 199)
    assert (flat["auc"], flat["p"], flat["quantiles"]["0.5"]) == (0.5, 1.0, 0.5)


def test_shifts_that_lose_half_the_deposits_are_not_used() -> None:
    """Valid in the left half only, deposits in one column of it: about half of the shifts stay inside."""
    scores = np.random.default_rng(10).normal(size=(20, 40))
    scores[:, 20:] = np.nan
    rows = np.arange(0, 20, 4)
    got = toroidal_null(parts_of(scores), scores.shape, rows, np.full(5, 7), 799)
    assert got["used"] == 20 * 20 - 1  # every row by every column that keeps them in
    assert got["landed"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("ragged", [False, True])
def test_unrelated_maps_are_called_so(ragged: bool) -> None:
    """Smooth maps, clustered deposits, nothing between them: p is near uniform, and the usual test is far from it."""
    shape, found, usual = (50, 64), [], []
    y, x = np.mgrid[: shape[0], : shape[1]]
    outside = ((y - 25) / 25) ** 2 + ((x - 32) / 32) ** 2 > 1
    for seed in range(250):
        rng = np.random.default_rng(seed)
        scores = gaussian_filter(rng.normal(size=shape), 4)
        scores[outside & ragged] = np.nan
        seeds = np.argwhere(np.isfinite(scores))[rng.integers(0, np.isfinite(scores).sum(), 5)]
        near = np.clip(np.repeat(seeds, 5, axis=0) + rng.integers(-3, 4, (25, 2)), 0, np.array(shape) - 1)
        rows, cols = np.unique(near[np.isfinite(scores[tuple(near.T)])], axis=0).T
        found.append(toroidal_null(parts_of(scores), shape, rows, cols, 99, seed)["p"])
        rest = scores.copy()
        rest[rows, cols] = np.nan
        usual.append(mannwhitneyu(scores[rows, cols], rest[np.isfinite(rest)], alternative="greater").pvalue)
    assert 0.005 <= np.mean(np.array(found) <= 0.05) <= 0.11
    assert 0.12 <= np.mean(np.array(found) <= 0.2) <= 0.30
    assert np.mean(np.array(usual) <= 0.05) > 0.15


@pytest.mark.parametrize("blocks", [(1, 1), (4, 4), (3, 2), (20, 31)])
def test_blocks_by_brute_force(blocks: tuple[int, int]) -> None:
    scores, rows, cols = made(11, (20, 31), 40, levels=4)
    got = block_figures(tiles_of(scores, 7), scores.shape, rows, cols, blocks)
    assert [(b["row"], b["col"]) for b in got] == [(i, j) for i in range(blocks[0]) for j in range(blocks[1])]
    for block in got:
        (top, bottom), (left, right) = block["rows"], block["cols"]
        inside = (rows >= top) & (rows < bottom) & (cols >= left) & (cols < right)
        part = scores[top:bottom, left:right]
        assert block["deposits"] == inside.sum()
        assert block["cells"] == np.isfinite(part).sum()
        if 0 < block["deposits"] < block["cells"]:
            assert block["auc"] == pytest.approx(brute_auc(part, rows[inside] - top, cols[inside] - left), abs=1e-12)
        else:
            assert block["auc"] is None
    assert sum(b["deposits"] for b in got) == 40
    assert sum(b["cells"] for b in got) == np.isfinite(scores).sum()
    assert {b["rows"][1] - b["rows"][0] for b in got} <= {20 // blocks[0], 20 // blocks[0] + 1}
    assert json.loads(json.dumps(got, allow_nan=False)) == got


def test_a_mere_trend_is_nothing_inside_the_blocks() -> None:
    rng = np.random.default_rng(12)
    trend = np.repeat(np.arange(8.0), 10)[:, None] + np.zeros(80)
    rows, cols = np.nonzero((rng.uniform(size=(80, 80)) < 0.2) & (trend >= 4))
    assert brute_auc(trend, rows, cols) > 0.7
    assert {b["auc"] for b in block_figures(parts_of(trend), (80, 80), rows, cols, (8, 2))} == {0.5, None}


@pytest.mark.parametrize(
    ("rows", "cols", "said"),
    [
        ([], [], "a row and a column each"),
        ([1, 2], [1], "a row and a column each"),
        ([1, 20], [1, 1], "outside the grid of 20 x 20"),
        ([1, -1], [1, 1], "outside the grid"),
        ([1, 1], [1, 20], "outside the grid"),
        ([3, 4, 3], [5, 5, 5], "two deposits share a cell"),
        ([3, 0], [5, 0], "1 of 2 deposits lie on cells without a score"),
    ],
)
def test_deposits_that_are_refused(rows: list[int], cols: list[int], said: str) -> None:
    scores = np.random.default_rng(13).normal(size=(20, 20))
    scores[0, 0] = np.nan
    for judge in (toroidal_null, block_figures):
        with pytest.raises(ValueError, match=said):
            judge(parts_of(scores), (20, 20), np.array(rows, int), np.array(cols, int))


def test_other_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, rows, cols = made(14, (20, 20))
    with pytest.raises(ValueError, match="at least 19 shifts, got 18"):
        toroidal_null(parts_of(scores), (20, 20), rows, cols, 18)
    small, r, c = made(15, (4, 4), 2, holes=0.0)
    with pytest.raises(ValueError, match="4 x 4 cells has fewer than the 19 shifts"):
        toroidal_null(parts_of(small), (4, 4), r, c)
    row = np.arange(20.0)[None]
    assert toroidal_null(parts_of(row), (1, 20), np.array([0]), np.array([3]))["used"] == 19
    with pytest.raises(ValueError, match="1 x 19 cells has fewer than the 19 shifts"):
        toroidal_null(parts_of(row[:, 1:]), (1, 19), np.array([0]), np.array([3]))
    lone = np.full((50, 50), np.nan)
    lone[:2, :3] = [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(ValueError, match="Crop the grid"):
        toroidal_null(parts_of(lone), (50, 50), np.array([0, 1]), np.array([0, 1]), 100)
    for blocks in ((0, 2), (21, 2), (2, 21)):
        with pytest.raises(ValueError, match="1 to 20 down"):
            block_figures(parts_of(scores), (20, 20), rows, cols, blocks)
    monkeypatch.setattr(spatial, "MOST_LANDINGS", 6 * 100)
    assert toroidal_null(parts_of(scores), (20, 20), rows, cols, 99)["used"] > 19
    with pytest.raises(ValueError, match="600 landings; 99 shifts fit"):
        toroidal_null(parts_of(scores), (20, 20), rows, cols, 100)


def test_deposits_on_every_cell_leave_nothing_to_compare() -> None:
    scores, _, _ = made(16, (8, 8))
    rows, cols = np.nonzero(np.isfinite(scores))
    with pytest.raises(ValueError, match=f"{rows.size} occurrences in {rows.size} cells"):
        toroidal_null(parts_of(scores), (8, 8), rows, cols, 50)
    assert block_figures(parts_of(scores), (8, 8), rows, cols, (1, 1))[0]["auc"] is None


def test_a_huge_grid_draws_its_shifts_without_a_list_of_them() -> None:
    down, right = spatial._offsets((100_000, 100_000), 999, 0)
    assert (down[0], right[0]) == (0, 0)
    assert len({*zip(down.tolist(), right.tolist(), strict=True)}) == 1000
    assert min(down.min(), right.min()) >= 0
    assert 90_000 < max(down.max(), right.max()) < 100_000
