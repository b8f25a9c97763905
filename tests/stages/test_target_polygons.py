"""Target polygons on random masks: SciPy's components of the whole mask, and the same bytes however it is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.features import rasterize
from scipy import ndimage
from tolerances import TARGET_AREA, TARGET_MEANS, assert_close

from mpmjax.evidence.grid.area import cell_area
from mpmjax.products import MAP_NODATA, PRODUCTS
from mpmjax.project_sections import TargetsSection
from mpmjax.scoring.thresholds import BINS, bin_of
from mpmjax.stages.targets import MAPS, SMALLEST_CELLS, targets
from mpmjax.stream.store import MapStore
from mpmjax.stream.tiles import cut, strips
from mpmjax.types import Grid, Screening, Target, Tile

LAYERS = ("alteration", "copper", "faults", "gravity")
EIGHT = np.ones((3, 3), int)
CUT = 0.5
"""The edge of a bin: the cells of a mask start exactly here, those outside it end at the next float below."""
WHOLE = 5000
EQUAL_AREA = partial(Grid, "EPSG:3577", Affine(100 / 3, 0, -300_000.1, 0, -100 / 3, -3_000_000.7))
BY_ROW = partial(Grid, "EPSG:3395", Affine(1003.7, 0, 5e6, 0, -997.1, 5e6))


def noise(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Close to where 8 neighbours (0.41) and 4 neighbours (0.59) first reach from side to side, and far from it."""
    return rng.random(shape) < rng.choice([0.05, 0.2, 0.41, 0.5, 0.59, 0.9])


def blobs(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Bands along the contours of a smooth field: rings with islands, and rings again, in their holes."""
    height = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(1.0, 6.0))
    return np.sin(height / height.std() * rng.uniform(2.0, 5.0)) > rng.uniform(-0.5, 0.7)


def diagonals(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Walks that turn at random and go on over corners only."""
    mask = np.zeros(shape, bool)
    for _ in range(max(2, mask.size // 800)):
        turns = np.where(rng.random((60, 2)) < 0.15, -1, 1)
        steps = np.cumprod(turns, axis=0) * rng.choice([-1, 1], 2)
        mask[tuple(((rng.integers(0, shape) + np.cumsum(steps, axis=0)) % shape).T)] = True
    return mask


def snakes(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Whole rows, joined at one end and then at the other, bitten here and there: seams run along and beside them."""
    mask = np.zeros(shape, bool)
    period = int(rng.choice([2, 3, 4, 8]))
    mask[::period] = True
    for turn, row in enumerate(range(0, shape[0], period)):
        mask[row : row + period, -1 if turn % 2 else 0] = True
    return mask & (rng.random(shape) >= rng.choice([0.0, 0.002, 0.05]))


def full(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Everything, or all but a few cells."""
    return rng.random(shape) >= rng.choice([0.0, 0.01])


def sparse(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A few blocks of 3 x 3 cells, cut off by the border or touching by chance, and a few cells."""
    seeds = np.zeros(shape, bool)
    seeds.flat[rng.integers(0, seeds.size, 5)] = True
    mask = ndimage.binary_dilation(seeds, EIGHT)
    mask.flat[rng.integers(0, mask.size, 5)] = True
    return mask


KINDS: tuple[Callable[[np.random.Generator, tuple[int, int]], np.ndarray], ...] = (
    noise, blobs, diagonals, snakes, full, sparse,
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Maps of a pass whose cells from CUT on are the mask."""

    mask: np.ndarray
    maps: dict[str, np.ndarray]
    grid: Grid
    weights: np.ndarray
    unit_km2: float

    def write(self, output: Path, tile: int) -> None:
        """The maps, as a pass in tiles of this size leaves them."""
        products = [product for product in PRODUCTS if product.name in MAPS]
        with MapStore(output / "work", self.grid, products) as store:
            for part in cut(self.grid.shape, tile):
                window = np.s_[part.row : part.row + part.height, part.col : part.col + part.width]
                store.write(part, {name: values[window] for name, values in self.maps.items()})
        for product in products:
            store.publish(product, output)

    def find(self, output: Path, min_area: float | None) -> list[Target]:
        p, weights = self.maps["prospectivity"], self.weights
        histogram = np.bincount(bin_of(p[p >= 0]), weights[p >= 0], minlength=BINS).astype(np.int64)
        # Less than a cell below the mask's share, which rounding must not lift into the bin below.
        share = float(weights[self.mask].sum() / weights[p >= 0].sum()) * (1 - 1e-9)
        section = TargetsSection(area_share=share, min_area=min_area, max_targets=10**6)
        screening = Screening(int((p >= 0).sum()), histogram, np.zeros(256, np.int64), self.unit_km2)
        return targets(section, screening, self.grid, LAYERS, output, output / "work")[0]


def make_case(seed: int, largest: tuple[int, int]) -> Case:
    """A mask of the kind seed % 6; every fourth has the same scores everywhere, so that all its targets tie."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(largest[0] // 3, largest[0])), int(rng.integers(largest[1] // 3, largest[1])))
    mask = KINDS[seed % len(KINDS)](rng, shape)
    outside = ~mask & ndimage.binary_dilation(rng.random(shape) < 0.001, iterations=3)

    def scores(low: float, high: float) -> np.ndarray:
        return np.where(outside, MAP_NODATA, rng.uniform(low, high, shape)).astype(np.float32)

    def numbers(top: int) -> np.ndarray:
        return np.where(outside, 0, rng.integers(1, top + 1, shape)).astype(np.uint8)

    below = np.minimum(scores(0, CUT), np.nextafter(np.float32(CUT), np.float32(0)))
    below[~mask & ~outside & (rng.random(shape) < 0.1)] = np.nextafter(np.float32(CUT), np.float32(0))
    p, confidence = np.where(mask, scores(CUT, 1), below), scores(0.05, 1)
    p.flat[rng.choice(np.flatnonzero(mask))] = CUT
    if seed % 4 == 3:
        p[mask], confidence[mask] = CUT, 0.7
    maps = dict(zip(MAPS, (p, confidence, scores(0.05, 1), numbers(5), numbers(4), numbers(len(LAYERS))), strict=True))
    grid = (EQUAL_AREA, BY_ROW)[seed // len(KINDS) % 2](shape[1], shape[0])
    area = cell_area(grid)
    weights = area.weights(Tile(0, 0, 0, *shape))
    assert (weights is None) == (grid.crs == "EPSG:3577")
    return Case(mask, maps, grid, np.ones(shape) if weights is None else weights, area.unit_km2)


def pieces_and_holes(cells: np.ndarray) -> tuple[int, int]:
    """Polygons and rings in them that a set of cells needs: what touches at corners only is apart in both."""
    pieces, count = ndimage.label(cells)
    boxes = ndimage.find_objects(pieces)
    holes = [ndimage.label(np.pad(pieces[box] != k, 1, constant_values=True))[1] - 1 for k, box in enumerate(boxes, 1)]
    return count, sum(holes)


def judge(case: Case, found: list[Target], labels: np.ndarray, areas: np.ndarray, kept: np.ndarray) -> None:
    """Everything about the targets, from whole arrays; `kept` are the labels that are large enough."""

    def per_label(values: np.ndarray) -> np.ndarray:
        return np.bincount(labels.ravel(), values.ravel(), minlength=areas.size)

    def votes(name: str) -> np.ndarray:
        pairs = labels.astype(np.int64) * 256 + case.maps[name]
        return np.bincount(pairs.ravel(), minlength=256 * areas.size).reshape(-1, 256)

    cells = np.maximum(per_label(np.ones(labels.shape)), 1)  # a full mask has none outside
    means = {name: per_label(case.maps[name].astype(float)) / cells for name in MAPS[:3]}
    merit = (means["prospectivity"] * means["confidence"])[kept]
    firsts = np.unique(labels, return_index=True)[1][kept - labels.min()]  # label 0 is missing from a full mask
    wanted = kept[np.lexsort((firsts, -merit))]

    assert [target.rank for target in found] == list(range(1, len(wanted) + 1))
    ranks = np.zeros(areas.size, np.int32)
    ranks[wanted] = np.arange(1, len(wanted) + 1)
    burnt = np.zeros(labels.shape, np.int32)
    if found:
        burnt = rasterize(((t.geometry, t.rank) for t in found), out=burnt, transform=case.grid.transform)
    assert np.array_equal(burnt, ranks[labels])
    assert all(target.geometry.is_valid for target in found)
    # Burnt cells may hide an outline under a later one, and areas do not.
    on_map = cells[wanted] * case.grid.cell_area_km2 * 1e6
    assert_close(np.array([target.geometry.area for target in found]), on_map, TARGET_AREA)
    assert_close(np.array([target.area_km2 for target in found]), areas[wanted], TARGET_AREA)
    for name in MAPS[:3]:
        assert_close(np.array([getattr(target, name) for target in found]), means[name][wanted], TARGET_MEANS)
    assert [target.group for target in found] == votes("groups")[wanted].argmax(axis=1).tolist()
    assert [target.quadrant for target in found] == votes("quadrants")[wanted].argmax(axis=1).tolist()
    strongest = np.argsort(-votes("driver")[wanted][:, 1:5], axis=1, kind="stable")[:, :3]
    counts = votes("driver")[wanted]
    for target, order, count in zip(found, strongest, counts, strict=True):
        assert target.drivers == tuple(LAYERS[i] for i in order if count[i + 1])
    boxes = ndimage.find_objects(labels)
    for target, k in zip(found, wanted, strict=True):
        polygons, rings = pieces_and_holes(labels[boxes[k - 1]] == k)
        assert len(target.geometry.geoms) == polygons
        assert sum(len(polygon.interiors) for polygon in target.geometry.geoms) == rings


def smallest(rng: np.random.Generator, areas: np.ndarray) -> float:
    """A min_area that some component just reaches, with none so little below it that rounding could let it pass."""
    known = np.sort(areas)
    clear = known[np.diff(known, prepend=0.0) > 1e-4 * known]
    return float(rng.choice(clear[: 1 + clear.size // 2]))


def content(found: list[Target]) -> list[tuple[object, ...]]:
    """All of the targets, geometries as their bytes."""
    return [tuple(shapely.to_wkb(v) if k == "geometry" else v for k, v in vars(target).items()) for target in found]


def check(seed: int, largest: tuple[int, int], output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1000 + seed)
    case = make_case(seed, largest)
    labels, count = ndimage.label(case.mask, EIGHT)
    areas = np.bincount(labels.ravel(), case.weights.ravel(), minlength=count + 1) * case.unit_km2
    min_area = None if seed % 3 == 0 else smallest(rng, areas[1:])
    if min_area is None:
        large = np.bincount(labels.ravel(), minlength=count + 1) >= SMALLEST_CELLS
    else:
        large = areas > min_area * (1 - 5e-5)
    first = None
    some_tile, few, some = int(rng.integers(65, 1000)), int(rng.integers(1, 8)), int(rng.integers(8, 300))
    for tile, heights in {1000: (WHOLE, few), 64: (256,), some_tile: (64, some)}.items():
        case.write(output, tile)
        for rows in heights:
            monkeypatch.setattr("mpmjax.stages.targets.strips", lambda grid, most, rows=rows: strips(grid, rows))
            found = case.find(output, min_area)
            if first is None:
                judge(case, found, labels, areas, np.flatnonzero(large[1:]) + 1)
                first = content(found)
            assert content(found) == first, f"tiles of {tile}, strips of {rows} rows"
    for cells in (1, 900):  # windows of more are outlined together, over the whole map
        monkeypatch.setattr("mpmjax.stages.targets.STRIP_CELLS", cells)
        assert content(case.find(output, min_area)) == first, f"windows of at most {cells} cells"


@pytest.mark.parametrize("seed", range(44))
def test_small_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    check(seed, (230, 190), tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(44, 50))
def test_large_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    check(seed, (1100, 900), tmp_path, monkeypatch)
