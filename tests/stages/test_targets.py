"""The targets stage: what is connected, ranked and outlined strip by strip is what SciPy and GDAL find on the whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from affine import Affine
from rasterio.warp import transform as warp
from scipy import ndimage

from mpmjax.project_sections import TargetsSection
from mpmjax.scoring.thresholds import BINS
from mpmjax.stages.targets import SMALLEST_CELLS, targets
from mpmjax.stream.tiles import strips
from mpmjax.types import Grid, Screening, Target

CRS = "EPSG:32639"
LAYERS = ("alteration", "copper", "faults", "gravity")
EIGHT = np.ones((3, 3), int)
KM2 = 0.0036  # one cell of 60 m


@dataclass
class Case:
    """Maps of a finished pass, and the call of the stage on them."""

    folder: Path
    p: np.ndarray
    confidence: np.ndarray
    risk: np.ndarray
    groups: np.ndarray
    driver: np.ndarray
    transform: Affine = field(default_factory=lambda: Affine(60, 0, 640_000, 0, -60, 3_700_000))

    @property
    def grid(self) -> Grid:
        return Grid(CRS, self.transform, self.p.shape[1], self.p.shape[0])

    def find(self, **section: object) -> tuple[list[Target], dict[str, float]]:
        output, scratch = self.folder / "out", self.folder / "scratch"
        for path in (output, scratch):
            path.mkdir(exist_ok=True)
        maps = {"prospectivity": self.p, "confidence": self.confidence, "risk": self.risk}
        for name, values in {**maps, "groups": self.groups, "driver": self.driver}.items():
            byte = values.dtype == np.uint8
            with rasterio.open(
                output / f"{name}.tif", "w", driver="GTiff", width=values.shape[1], height=values.shape[0], count=1,
                dtype=values.dtype, crs=CRS, transform=self.transform, nodata=0 if byte else -9999,
            ) as file:  # fmt: skip
                file.write(values, 1)
        scored = self.p[self.p >= 0].astype(float)
        histogram = np.bincount(np.minimum((scored * BINS).astype(int), BINS - 1), minlength=BINS)
        screening = Screening(scored.size, histogram, np.zeros(256, np.int64))
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

    return Case(folder, np.asarray(p, np.float32), floats(), floats(), bytes_(5), bytes_(len(LAYERS)))


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
    monkeypatch.setattr("mpmjax.stages.targets.strips", partial(strips, rows=rows))


def expected(case: Case, share: float, smallest: int) -> Mapping[int, np.ndarray]:
    """Cells of each target, in the order of their ranks, by sorting and SciPy on the whole arrays."""
    scored = np.sort(case.p[case.p >= 0].astype(float))[::-1]
    threshold = math.floor(scored[math.ceil(share * scored.size - 1e-9) - 1] * BINS) / BINS
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
        assert target.area_km2 == pytest.approx(cells.sum() * KM2, rel=1e-12)
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
    good = min(float((made.p > 0.5).sum() / (made.p >= 0).sum()), 0.999)
    found, _ = made.find(area_share=good, min_area=KM2)
    assert sorted(round(t.area_km2 / KM2) for t in found) == sorted(sizes)
    for target in found:
        assert target.geometry.area == pytest.approx(target.area_km2 * 1e6, rel=1e-9), "holes are no area"
    together = shapely.union_all([t.geometry for t in found])
    burnt = rasterio.features.rasterize([together], made.p.shape, transform=made.transform).astype(bool)
    assert np.array_equal(burnt, made.p > 0.5)


@pytest.mark.parametrize("cell", [100 / 3, 12.7, 0.1])
def test_no_slivers_at_seams_of_odd_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: float) -> None:
    """Coordinates that no float holds exactly: the pieces of one target still meet."""
    slice_strips(monkeypatch, 3)
    made = case(tmp_path, drawing("\n".join([".....", *[".###."] * 40, "....."])))
    made.transform = Affine(cell, 0, 640_000.1 + 1 / 7, 0, -cell, 3_700_000.3 + 1 / 9)
    (target,), _ = made.find(area_share=120 / 210, min_area=0)
    assert len(target.geometry.geoms) == 1
    assert not target.geometry.geoms[0].interiors
    assert target.geometry.area == pytest.approx(120 * cell**2, rel=1e-6)


def test_smallest_area(tmp_path: Path) -> None:
    """min_area is met by cells that just reach it; without it nine cells are needed."""
    p = np.full((40, 40), 0.1)
    for size, (row, col) in {8: (2, 2), 9: (2, 20), 10: (20, 2), 16: (20, 20)}.items():
        p[row : row + 4, col : col + 4].flat[:size] = 0.9
    made, share = case(tmp_path, p), 43 / 1600

    def sizes(**section: float) -> list[int]:
        return sorted(round(t.area_km2 / KM2) for t in made.find(area_share=share, **section)[0])

    assert sizes() == [9, 10, 16]
    assert sizes(min_area=0) == [8, 9, 10, 16]
    assert sizes(min_area=10 * KM2) == [10, 16]
    assert sizes(min_area=10 * KM2 + 1e-4) == [16]
    assert sizes(min_area=1.0) == []


def test_ranked_by_prospectivity_times_confidence(tmp_path: Path) -> None:
    p = np.full((12, 40), 0.1)
    made = case(tmp_path, p)
    for place, (prospectivity, confidence) in enumerate([(0.99, 0.2), (0.90, 0.9), (0.95, 0.5), (0.95, 0.5)]):
        block = (slice(3, 6), slice(2 + 10 * place, 5 + 10 * place))
        made.p[block], made.confidence[block] = prospectivity, confidence
    found, _ = made.find(area_share=36 / 480)
    assert [round(t.prospectivity, 2) for t in found] == [0.9, 0.95, 0.95, 0.99]
    west = [t.geometry.bounds[0] for t in found]
    assert west[1] < west[2], "equals stand in the order of reading"
    assert [t.rank for t in made.find(area_share=36 / 480, max_targets=2)[0]] == [1, 2]
    assert [t.geometry.bounds[0] for t in made.find(area_share=36 / 480, max_targets=2)[0]] == west[:2]


def test_drivers_by_number_of_cells(tmp_path: Path) -> None:
    made = case(tmp_path, drawing(".....\n.###.\n.###.\n.###.\n....."))
    made.driver[1:4, 1:4] = [[4, 4, 4], [4, 2, 2], [2, 3, 1]]
    share = 9 / 25
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
    assert target.area_km2 == pytest.approx(600 * KM2)
    assert target.geometry.equals(shapely.box(*made.grid.bounds))
