"""A seeded district with planted deposits, any size, written tile by tile, for the demo, the tests and the benchmarks.

Fields are functions of the place and the seed only (noise.py), rocks of the seed and a square of 16 km
(geology.py), so any tile can be computed alone, and a larger district continues a smaller one. Deposits are
planted where several layers agree; barren anomalies, rarer and stronger, where they do not (anomalies.py).
The same arguments give the same bytes (with the same versions of the libraries).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
import shapely
from affine import Affine

from mpmjax.errors import DiskError, ProjectError
from mpmjax.synthetic.files import write_rasters, write_vector
from mpmjax.synthetic.geology import Bounds, Sites, faults, intrusions, squares
from mpmjax.synthetic.layers import Patch, Theme, themes
from mpmjax.synthetic.map import AGES, mapped_faults, mapped_rocks, to_map
from mpmjax.synthetic.noise import Window
from mpmjax.synthetic.planted import common_threshold, deposit_sites, planted_tables
from mpmjax.synthetic.planted import deposits as deposits_of
from mpmjax.synthetic.recast import original, recast
from mpmjax.synthetic.scenario import Scenario
from mpmjax.types import Grid

CRS = "EPSG:32639"
# 52 deg 30' to 53 deg 00' E, 33 deg 00' to 33 deg 30' N as a rectangle of whole 60 m cells.
KAJAN = Grid(CRS, Affine(60.0, 0.0, 639_300.0, 0.0, -60.0, 3_708_540.0), 793, 938)
KAJAN_DEPOSITS = 32
FEWEST_DEPOSITS = 3
PLAIN = Scenario()
_CORNER = (300_000.0, 3_900_000.0)


def make_kajan_like(directory: Path, *, seed: int = 7) -> Path:
    """Write the seed study's own case: a made-up 1:100,000 sheet (30' x 30') where Kajan lies in Central Iran.

    Four themes, EPSG:32639, the rasters with 60 m cells, 793 x 938, float32, nodata -9999 where the survey has gaps:
    alteration.tif (index), cu.tif (ppm), faults.gpkg (lines: id, family), geology.gpkg (polygons: id, rock, age;
    nine rocks, granodiorite among them); deposits.gpkg (32 Cu-Au points: name, commodity), for validation only;
    and project.toml, a copy of examples/kajan_like.toml, written last.

    Args:
        directory: made if it does not exist; files of the same names are replaced.
        seed: 0 to 2**31 - 1.

    Returns:
        Path of project.toml.

    Raises:
        ProjectError: the seed is out of range.
        DiskError: a file or the directory could not be written.
    """
    _check("seed", seed, 0, 2**31 - 1)
    project = _prepare(directory)
    extent = _extent(KAJAN)
    threshold = _threshold(partial(deposit_sites, seed, PLAIN), extent, KAJAN_DEPOSITS)
    files = {"alteration": directory / "alteration.tif", "copper": directory / "cu.tif"}
    layers = [(theme, files[theme.name]) for theme in themes(2)]
    write_rasters(KAJAN, layers, partial(Patch, seed=seed, threshold=threshold), dtype="float32", tile=1024)

    lines, families = zip(*mapped_faults(faults(seed, extent), KAJAN), strict=True)
    numbers = np.arange(1, len(lines) + 1, dtype=np.int32)
    write_vector(directory / "faults.gpkg", CRS, lines, {"id": numbers, "family": families})
    polygons, rocks = zip(*mapped_rocks(seed, intrusions(seed, extent), KAJAN), strict=True)
    numbers = np.arange(1, len(polygons) + 1, dtype=np.int32)
    columns = {"id": numbers, "rock": rocks, "age": [AGES[rock] for rock in rocks]}
    write_vector(directory / "geology.gpkg", CRS, polygons, columns)
    _write_deposits(directory / "deposits.gpkg", deposits_of(seed, PLAIN, threshold, extent), KAJAN)
    text = resources.files("mpmjax.examples").joinpath("kajan_like.toml").read_text(encoding="utf-8")
    return _write_text(project, text)


def make_district(
    directory: Path,
    *,
    width: int,
    height: int,
    layers: int = 6,
    dtype: str = "int16",
    seed: int = 7,
    resolution: float = 60.0,
    tile: int = 1024,
    missing_half: str | None = None,
    deposits: int | None = None,
    scenario: Scenario = PLAIN,
) -> Path:
    """Write a district whose layers are all rasters on one grid, with its deposits and its project file.

    The layers, in this order: alteration, copper, faults (distance), intrusions (distance), magnetics, gravity, gold,
    fault_density, molybdenum, arsenic, silver, lead, zinc, bismuth, antimony, tungsten, then channel_17, channel_18,
    ... of ever less relevance, without a direction when they hardly have any. Each is <name>.tif, EPSG:32639, tiled
    512 x 512, deflate, with band description and unit. alteration and the elements have small gaps.

    Memory grows with tile x layers, not with the district. Six layers take about half a microsecond of one core a cell.

    Args:
        directory: made if it does not exist; files of the same names are replaced.
        width, height: cells, at least 16.
        layers: 2 to 64.
        dtype: "int16", nodata -32768, the step of the values as the band's scale; or "float32", nodata -9999.
        seed: 0 to 2**31 - 1.
        resolution: cell size in metres. The geology has its size in metres, so another resolution shows the same
            rocks in other detail; at 60 m about one in 28,000 cells holds a deposit.
        tile: width in cells of what is computed at a time, rounded up to a multiple of 512; it changes no file.
        missing_half: name of a layer to leave out (nodata) in the left half of the district.
        deposits: number of deposits; default: as many as the geology has, at least three if there is room; one in
            100 km2 where a scenario plants them.
        scenario: what is otherwise than in the plain district: who knows of the deposits, redundant layers, barren
            anomalies, missing sheets, noise.

    Returns:
        Path of project.toml, which is written last.

    Raises:
        ProjectError: an argument is out of range, the scenario names a layer that is not there or contradicts itself,
            or there is no room for the deposits (about
            one in 4 km2).
        DiskError: a file or the directory could not be written.
    """
    for name, value, lowest, highest in (
        ("width", width, 16, 10**6), ("height", height, 16, 10**6), ("layers", layers, 2, 64),
        ("seed", seed, 0, 2**31 - 1), ("resolution", resolution, 1.0, 10_000.0), ("tile", tile, 16, 10**6),
    ):  # fmt: skip
        _check(name, value, lowest, highest)
    if dtype not in ("int16", "float32"):
        raise ProjectError(f'dtype: got {dtype!r}; allowed: "int16", "float32".')
    chosen = themes(layers)
    names = [theme.name for theme in chosen]
    scenario.require(names)
    if missing_half is not None and missing_half not in names:
        raise ProjectError(f"missing_half: got {missing_half!r}; allowed: {', '.join(names)}.")
    grid = Grid(CRS, Affine(resolution, 0.0, _CORNER[0], 0.0, -resolution, _CORNER[1]), width, height)
    extent = _extent(grid)
    sites_of = partial(deposit_sites, seed, scenario)
    threshold = common_threshold(scenario) if deposits is None else _threshold(sites_of, extent, deposits)
    found = deposits_of(seed, scenario, threshold, extent)
    if len(found) < FEWEST_DEPOSITS and deposits is None:
        threshold = _threshold(sites_of, extent, FEWEST_DEPOSITS, fewer=True)
        found = deposits_of(seed, scenario, threshold, extent)

    project = _prepare(directory)
    files = [(theme, directory / f"{theme.name}.tif") for theme in recast(chosen, scenario)]
    patch_of = _patches(seed, scenario, threshold, original(chosen, scenario))
    write_rasters(grid, files, patch_of, dtype=dtype, tile=tile, missing_half=missing_half)
    _write_deposits(directory / "deposits.gpkg", found, grid)
    return _write_text(project, _district_project(chosen, grid, seed, scenario))


def _patches(seed: int, scenario: Scenario, threshold: float, names: list[str]) -> Callable[[Window], Patch]:
    if scenario == PLAIN:
        return partial(Patch, seed=seed, threshold=threshold)
    planted = partial(planted_tables, seed=seed, scenario=scenario, threshold=threshold, names=names)
    # Deposits that are planted show in the layers that the scenario names, not as those of the geology do.
    return partial(Patch, seed=seed, threshold=np.inf if scenario.shown else threshold, planted=planted)


def _check(name: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:
        raise ProjectError(f"{name}: got {value}; allowed: {lowest} to {highest}.")


def _extent(grid: Grid) -> Bounds:
    return 0.0, 0.0, grid.width * grid.cell_size[0], grid.height * grid.cell_size[1]


def _threshold(sites_of: Callable[[int, int], Sites], extent: Bounds, count: int, fewer: bool = False) -> float:
    """The score that exactly `count` sites of the extent reach (all of them if there are less and `fewer` is fine)."""
    scores = []
    for i, j in squares(extent, 0.0):
        sites = sites_of(i, j)
        within = (sites.x >= extent[0]) & (sites.x < extent[2]) & (sites.y >= extent[1]) & (sites.y < extent[3])
        scores.append(sites.score[within])
    ranked = np.sort(np.concatenate(scores))[::-1]
    if not ranked.size or count < 1 or (ranked.size < count and not fewer):
        size = f"{(extent[2] - extent[0]) / 1e3:g} x {(extent[3] - extent[1]) / 1e3:g} km"
        raise ProjectError(
            f"deposits: {count} are asked for, but a district of {size} with this seed has room for {ranked.size}. "
            "Ask for 1 to that many, or make the district wider (width, height or resolution)."
        )
    return float(ranked[min(count, ranked.size) - 1])


def _prepare(directory: Path) -> Path:
    """Make the directory and take away an old project file: one that is there says that all of its layers are."""
    project = directory / "project.toml"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        project.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(f"{directory}: cannot be used as a directory: {error}. Name another one.") from error
    return project


def _write_text(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise DiskError(f"{path}: could not be written: {error}. Is the disk full?") from error
    return path


def _write_deposits(path: Path, found: np.ndarray, grid: Grid) -> None:
    points = [shapely.Point(place) for place in to_map(found[:, :2], grid)]
    names = [f"Prospect {number:03d}" for number in range(1, len(points) + 1)]
    write_vector(path, grid.crs, points, {"name": names, "commodity": ["Cu-Au"] * len(points)})


def _district_project(chosen: tuple[Theme, ...], grid: Grid, seed: int, scenario: Scenario) -> str:
    cells = f"{grid.width} x {grid.height} cells of {grid.cell_size[0]:g} m"
    made = "; ".join(filter(None, (f"{cells}, seed {seed}", scenario.words)))
    lines = ["[project]", 'name = "district"', f'description = "A synthetic district: {made}"']
    lines += ["", "[grid]", f'like = "{chosen[0].name}"']
    for theme in chosen:
        lines += ["", "[[layers]]", f'name = "{theme.name}"', f'source = "{theme.name}.tif"', f'role = "{theme.role}"']
        lines += [f'direction = "{theme.direction}"'] if theme.direction else []
        lines += [f'transform = "{theme.transform}"'] if theme.transform != "none" else []
    lines += ["", "[model]", "members = 8", "hidden = 32", f"seed = {seed}"]
    lines += ["", "[targets]", "area_share = 0.02", "min_area = 0.25  # km2"]
    lines += ["", "[validate]", 'occurrences = "deposits.gpkg"', ""]
    return "\n".join(lines)
