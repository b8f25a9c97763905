"""The targets stage: what is connected, ranked and outlined strip by strip is what SciPy and GDAL find on the whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.features
import shapely
from affine import Affine
from rasterio.warp import transform as warp
from scipy import ndimage

from mpmjax.evidence.grid.area import cell_area
from mpmjax.project_sections import TargetsSection
from mpmjax.scoring.thresholds import BINS
from mpmjax.stages.targets import SMALLEST_CELLS, targets
from mpmjax.stream.tiles import strips
from mpmjax.types import Grid, Screening, Target, Tile

CRS = "EPSG:32639"
LAYERS = ("alteration", "copper", "faults", "gravity")
EIGHT = np.ones((3, 3), int)
KM2 = 0.0036  # one cell of 60 m, on the map
AREA = 1e-5  # relative: cells are counted in whole units of 2^-16 of the largest


@dataclass
class Case:
    """Maps of a finished pass, and the call of the stage on them."""

    folder: Path
    p: np.ndarray
    confidence: np.ndarray
    risk: np.ndarray
    groups: np.ndarray
    driver: np.ndarray
    quadrants: np.ndarray
    transform: Affine = field(default_factory=lambda: Affine(60, 0, 640_000, 0, -60, 3_700_000))
    crs: str = CRS

    @property
    def grid(self) -> Grid:
        return Grid(self.crs, self.transform, self.p.shape[1], self.p.shape[0])

    @property
    def areas(self) -> np.ndarray:
        """True km2 of every cell by PROJ's own factors."""
        cols, rows = np.meshgrid(np.arange(self.p.shape[1]) + 0.5, np.arange(self.p.shape[0]) + 0.5)
        projection = pyproj.Proj(self.crs)
        lon, lat = projection(*(self.transform @ (cols, rows)), inverse=True)
        factors = projection.get_factors(lon, lat)
        return abs(self.transform.a * self.transform.e) / 1e6 / np.asarray(factors.areal_scale)

    def weights(self) -> np.ndarray:
        weights = cell_area(self.grid).weights(Tile(0, 0, 0, *self.p.shape))
        return np.ones(self.p.shape) if weights is None else weights

    def share(self, cells: np.ndarray) -> float:
        """The share of the valid area that some cells have."""
        weights = self.weights()
        return float(weights[cells].sum() / weights[self.p >= 0].sum())

    def find(self, **section: object) -> tuple[list[Target], dict[str, float]]:
        output, scratch = self.folder / "out", self.folder / "scratch"
        for path in (output, scratch):
            path.mkdir(exist_ok=True)
        maps = {"prospectivity": self.p, "confidence": self.confidence, "risk": self.risk}
        for name, values in {**maps, "groups": self.groups, "quadrants": self.quadrants, "driver": self.driver}.items():
            byte = values.dtype == np.uint8
            with rasterio.open(
                output / f"{name}.tif", "w", driver="GTiff", width=values.shape[1], height=values.shape[0], count=1,
                dtype=values.dtype, crs=self.crs, transform=self.transform, nodata=0 if byte else -9999,
            ) as file:  # fmt: skip
                file.write(values, 1)
        scored = self.p[self.p >= 0].astype(float)
        bins, weights = np.minimum((scored * BINS).astype(int), BINS - 1), self.weights()[self.p >= 0]
        histogram, groups = np.bincount(bins, weights, minlength=BINS).astype(int), np.zeros(256, np.int64)
        screening = Screening(scored.size, histogram, groups, cell_area(self.grid).unit_km2)
        return targets(TargetsSection(**section), screening, self.grid, LAYERS, output, scratch)  # pyright: ignore[reportArgumentType]

    @property
    def classes(self) -> np.ndarray:
        with rasterio.open(self.folder / "out" / "classes.tif") as file:
            return file.read(1)


def case(folder: Path, p: np.ndarray, seed: int = 0) -> Case:
    """Random confidence, risk, groups and drivers under a given prospectivity; nodata where that is below 0."""
    rng = np.random.default_rng(seed)
    outside = p < 0

    def floats() -> np.ndarray:
        return np.where(outside, -9999, rng.uniform(0.05, 1, p.shape)).astype(np.float32)

    def bytes_(top: int) -> np.ndarray:
        return np.where(outside, 0, rng.integers(1, top + 1, p.shape)).astype(np.uint8)

    return Case(folder, np.asarray(p, np.float32), floats(), floats(), bytes_(5), bytes_(len(LAYERS)), bytes_(4))


def drawing(text: str) -> np.ndarray:
    """'#' is a good cell (0.9), '.' a poor one (0.1), ' ' is outside the study area."""
    lines = text.strip("\n").split("\n")
    width = max(map(len, lines))
    return np.array([[{"#": 0.9, ".": 0.1, " ": -9999.0}[c] for c in line.ljust(width)] for line in lines])


def random_map(seed: int, shape: tuple[int, int] = (97, 83)) -> np.ndarray:
    """A blotchy map with a hole in its study area."""
    rng = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(rng.normal(size=shape), 1.3)
    ranked = (np.argsort(np.argsort(values, axis=None)) / (values.size - 1)).reshape(shape)
    ranked[30:41, 20:33] = -9999
    return ranked


def slice_strips(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr("mpmjax.stages.targets.strips", lambda grid, most: strips(grid, rows))


def expected(case: Case, share: float, smallest: int) -> Mapping[int, np.ndarray]:
    """Cells of each target, in the order of their ranks, by sorting and SciPy on the whole arrays."""
    valid = case.p >= 0
    order = np.argsort(-case.p[valid].astype(float), kind="stable")
    from_top = np.cumsum(case.weights()[valid][order])
    last = case.p[valid][order][np.searchsorted(from_top, share * from_top[-1] * (1 - 1e-12))]
    threshold = math.floor(float(last) * BINS) / BINS
    labels, count = ndimage.label(case.p >= threshold, EIGHT)
    found = [labels == k for k in range(1, count + 1) if (labels == k).sum() >= smallest]
    merit = [float(case.p[c].mean(dtype=float) * case.confidence[c].mean(dtype=float)) for c in found]
    return {rank: found[i] for rank, i in enumerate(np.argsort([-m for m in merit], kind="stable"), 1)}


def outline(cells: np.ndarray, transform: Affine) -> shapely.Geometry:
    found = rasterio.features.shapes(cells.astype(np.uint8), cells, connectivity=4, transform=transform)
    return shapely.union_all([shapely.geometry.shape(polygon) for polygon, _ in found])


@pytest.mark.parametrize("rows", [1, 2, 7, 32, 1024])
@pytest.mark.parametrize("seed", [1, 2])
def test_as_on_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, seed: int) -> None:
    slice_strips(monkeypatch, rows)
    made = case(tmp_path, random_map(seed), seed)
    found, _ = made.find(area_share=0.3)
    wanted = expected(made, 0.3, SMALLEST_CELLS)
    assert len(wanted) > 5
    assert [target.rank for target in found] == list(wanted)
    for target, cells in zip(found, wanted.values(), strict=True):
        assert target.area_km2 == pytest.approx(made.areas[cells].sum(), rel=AREA)
        for name, values in (("prospectivity", made.p), ("confidence", made.confidence), ("risk", made.risk)):
            assert getattr(target, name) == pytest.approx(values[cells].mean(dtype=float), rel=1e-6), name
        assert target.group == np.bincount(made.groups[cells]).argmax()
        votes = np.bincount(made.driver[cells], minlength=5)[1:]
        assert [votes[LAYERS.index(name)] for name in target.drivers] == sorted(votes[votes > 0])[::-1][:3]
        shape = outline(cells, made.transform)
        assert target.geometry.geom_type == "MultiPolygon"
        assert target.geometry.is_valid
        assert shapely.normalize(target.geometry).equals(shapely.normalize(shape))
        assert len(target.geometry.geoms) == len(shapely.get_parts(shape)), "no piece is cut at a seam"
        point = target.geometry.representative_point()
        (lon,), (lat,) = warp(CRS, "EPSG:4326", [point.x], [point.y])
        assert (target.lon, target.lat) == pytest.approx((lon, lat), abs=1e-6)


@pytest.mark.parametrize("rows", [1, 3, 5])
@pytest.mark.parametrize(
    ("picture", "sizes"),
    [
        ("#....\n.#...\n..#..\n...#.\n....#\n...#.", [6]),
        ("#...#\n#...#\n#...#\n#...#\n#...#\n.###.", [13]),
        (".###.\n#...#\n#.#.#\n#...#\n.###.\n.....", [12, 1]),
        ("#####\n#...#\n#.#.#\n#...#\n#####\n.....\n##.##", [16, 2, 2, 1]),
        ("##.##\n##.##\n.....\n##.##\n##.##", [4, 4, 4, 4]),
        ("## ##\n##  #\n   ##", [4, 5]),
        ("####.\n....#\n####.\n#....\n.####", [14]),
    ],
    ids=["diagonal", "joined at the foot", "ring of corners", "rings", "apart by one", "apart by nodata", "snake"],
)
def test_drawings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: str, sizes: list[int], rows: int) -> None:
    slice_strips(monkeypatch, rows)
    made = case(tmp_path, drawing(picture))
    good = min(made.share(made.p > 0.5), 0.999)
    found, _ = made.find(area_share=good, min_area=0.99 * KM2)
    assert sorted(round(t.area_km2 / KM2) for t in found) == sorted(sizes)
    for target in found:
        cells = round(target.area_km2 / KM2)
        assert target.geometry.area == pytest.approx(cells * KM2 * 1e6, rel=1e-9), "holes are no area"
    together = shapely.union_all([t.geometry for t in found])
    burnt = rasterio.features.rasterize([together], made.p.shape, transform=made.transform).astype(bool)
    assert np.array_equal(burnt, made.p > 0.5)


@pytest.mark.parametrize("cell", [100 / 3, 12.7, 0.1])
def test_no_slivers_at_seams_of_odd_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: float) -> None:
    """Coordinates that no float holds exactly: the pieces of one target still meet."""
    slice_strips(monkeypatch, 3)
    made = case(tmp_path, drawing("\n".join([".....", *[".###."] * 40, "....."])))
    made.transform = Affine(cell, 0, 640_000.1 + 1 / 7, 0, -cell, 3_700_000.3 + 1 / 9)
    (target,), _ = made.find(area_share=made.share(made.p > 0.5), min_area=0)
    assert len(target.geometry.geoms) == 1
    assert not target.geometry.geoms[0].interiors
    assert target.geometry.area == pytest.approx(120 * cell**2, rel=1e-6)


def test_smallest_area(tmp_path: Path) -> None:
    """min_area is met by cells that just reach it; without it nine cells are needed."""
    p = np.full((40, 40), 0.1)
    for size, (row, col) in {8: (2, 2), 9: (2, 20), 10: (20, 2), 16: (20, 20)}.items():
        p[row : row + 4, col : col + 4].flat[:size] = 0.9
    made = case(tmp_path, p)
    share = made.share(p > 0.5)
    ten = made.areas[20:24, 2:6].flat[:10].sum()

    def sizes(**section: float) -> list[int]:
        return sorted(round(t.area_km2 / KM2) for t in made.find(area_share=share, **section)[0])

    assert sizes() == [9, 10, 16]
    assert sizes(min_area=0) == [8, 9, 10, 16]
    assert sizes(min_area=ten) == [10, 16]
    assert sizes(min_area=ten * (1 + 3 * AREA)) == [16]
    assert sizes(min_area=1.0) == []


def test_ranked_by_prospectivity_times_confidence(tmp_path: Path) -> None:
    p = np.full((12, 40), 0.1)
    made = case(tmp_path, p)
    for place, (prospectivity, confidence) in enumerate([(0.99, 0.2), (0.90, 0.9), (0.95, 0.5), (0.95, 0.5)]):
        block = (slice(3, 6), slice(2 + 10 * place, 5 + 10 * place))
        made.p[block], made.confidence[block] = prospectivity, confidence
    share = made.share(made.p > 0.5)
    found, _ = made.find(area_share=share)
    assert [round(t.prospectivity, 2) for t in found] == [0.9, 0.95, 0.95, 0.99]
    west = [t.geometry.bounds[0] for t in found]
    assert west[1] < west[2], "equals stand in the order of reading"
    assert [t.rank for t in made.find(area_share=share, max_targets=2)[0]] == [1, 2]
    assert [t.geometry.bounds[0] for t in made.find(area_share=share, max_targets=2)[0]] == west[:2]


def test_drivers_by_number_of_cells(tmp_path: Path) -> None:
    made = case(tmp_path, drawing(".....\n.###.\n.###.\n.###.\n....."))
    made.driver[1:4, 1:4] = [[4, 4, 4], [4, 2, 2], [2, 3, 1]]
    share = made.share(made.p > 0.5)
    (target,), _ = made.find(area_share=share)
    assert target.drivers == ("gravity", "copper", "alteration"), "of equals the layer with the lower number"
    made.driver[1:4, 1:4] = 3
    assert made.find(area_share=share)[0][0].drivers == ("faults",)
    made.driver[1:4, 1:4] = 0
    assert made.find(area_share=share)[0][0].drivers == ()


@pytest.mark.parametrize("rows", [5, 1024])
def test_classes_by_share_of_the_valid_area(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    slice_strips(monkeypatch, rows)
    made = case(tmp_path, random_map(4, (150, 120)))
    _, thresholds = made.find()
    classes, valid = made.classes, made.p >= 0
    assert np.array_equal(classes == 0, ~valid)
    for number, share in enumerate((0.01, 0.02, 0.05), 1):
        best = (classes >= 1) & (classes <= number)
        assert best.sum() / valid.sum() == pytest.approx(share, abs=2 / valid.sum())
        assert made.p[best].min() >= thresholds[f"{share:g}"] > made.p[valid & ~best].max()
    assert set(np.unique(classes)) == {0, 1, 2, 3, 4}


def test_a_plateau_is_not_cut_in_two(tmp_path: Path) -> None:
    """Half of the area ties at the top: the best 1 % cannot be told from it, and everything stays whole."""
    made = case(tmp_path, drawing("\n".join(["####....", *["####...."] * 9])))
    (target,), thresholds = made.find(area_share=0.01)
    assert round(target.area_km2 / KM2) == 40
    assert set(np.unique(made.classes)) == {1, 4}
    assert len(set(thresholds.values())) == 1


def test_everywhere_the_same(tmp_path: Path) -> None:
    """Prospectivity 1 in every cell: one target that is the whole area, and no arithmetic on an empty rest."""
    made = case(tmp_path, np.ones((20, 30)))
    (target,), _ = made.find()
    assert target.area_km2 == pytest.approx(made.areas.sum(), rel=AREA)
    assert target.geometry.equals(shapely.box(*made.grid.bounds))


def test_areas_are_those_on_the_ground(tmp_path: Path) -> None:
    """Two equal squares on a Mercator map, far from the equator and near it: only one reaches min_area."""
    p = np.full((120, 20), 0.1)
    p[10:14, 5:9] = p[100:104, 5:9] = 0.9
    made = case(tmp_path, p)
    made.crs, made.transform = "EPSG:3395", Affine(30_000, 0, 5e6, 0, -30_000, 4e6)
    share = made.share(p > 0.5)
    found, _ = made.find(area_share=share, min_area=0)
    true = sorted(float(made.areas[rows, 5:9].sum()) for rows in (slice(10, 14), slice(100, 104)))
    assert true[1] / true[0] > 1.3
    assert sorted(t.area_km2 for t in found) == pytest.approx(true, rel=1e-4)  # cells of 30 km are no points
    (larger,), _ = made.find(area_share=share, min_area=sum(true) / 2)
    assert larger.area_km2 == pytest.approx(true[1], rel=1e-4)


def test_equal_area_grids_count_cells(tmp_path: Path) -> None:
    made = case(tmp_path, random_map(3))
    made.crs, made.transform = "EPSG:3577", Affine(5000, 0, -300_000, 0, -5000, -3_000_000)
    assert (made.weights() == 1).all()
    found, _ = made.find(area_share=0.2)
    wanted = expected(made, 0.2, SMALLEST_CELLS)
    assert [t.area_km2 for t in found] == pytest.approx([25.0 * cells.sum() for cells in wanted.values()], rel=1e-8)
