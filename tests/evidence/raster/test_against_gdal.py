"""Real layers laid on a grid, against GDAL's own program: another version than the one inside, run as users run it.

Two cells are equal if both are missing, or if their values are within ANOTHER_GDAL of each other. The judge gets the
file's nodata and full resolution, and exact coordinates (-et 0). A second judge is rasterio.warp.reproject on arrays,
a third the definition itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from districts import write_raster
from rasterio.enums import Resampling
from rasters import LEFT, TOP, UTM, aligned, make_grid, open_layer
from tolerances import ANOTHER_GDAL

from mpmjax.evidence.raster.footprint import Footprint
from mpmjax.types import Grid

ENOUGH = 0.999
"""Share of cells that must be equal."""

ELEMENTS = (
    *("Ag", "Al2O3", "As", "Au", "B", "Ba", "Be", "Bi", "CaO", "Cd", "Co", "Cr", "Cu", "F", "Fe2O3", "Hg", "K2O", "La"),
    *("Li", "MgO", "Mn", "Mo", "Na2O", "Nb", "Ni", "P", "Pb", "Sb", "SiO2", "Sn", "Sr", "Th", "Ti", "U", "V", "W", "Y"),
    *("Zn", "Zr"),
)
LAYERS = (*(f"Idw_{element}" for element in ELEMENTS), "Faults", "Granite", "Strata")
ZONE = "EPSG:32650"


def layer_file(name: str) -> Path:
    folder = os.environ.get("MPMJAX_DATA")
    if not folder:
        pytest.skip("MPMJAX_DATA is not set: the real district is not at hand")
    return Path(folder) / "nanling_li" / f"{name}.tif"


def faults_grid(times: int = 1) -> Grid:
    """The 1,000 m grid of Faults.tif, or one of cells so many times as large."""
    with rasterio.open(layer_file("Faults")) as file:
        assert file.crs.to_epsg() == 32650
        return Grid(ZONE, file.transform @ Affine.scale(times), -(-file.width // times), -(-file.height // times))


def neighbour_grid(cell: float) -> Grid:
    """A grid over the same country in the next UTM zone: rotated against it by a few degrees."""
    return Grid("EPSG:32649", Affine(cell, 0, 450_000, 0, -cell, 3_280_000), int(6e5 // cell), int(5e5 // cell))


def gdalwarp(path: Path, grid: Grid, how: str, out: Path) -> np.ndarray:
    """The program's answer, float64, NaN where missing; skips the test where there is none.

    XSCALE and YSCALE, target cells a source cell, are stated: left alone the program guesses them anew for each chunk,
    and widens the kernel of bilinear by them.
    """
    program = shutil.which("gdalwarp", path="/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("no gdalwarp on this machine to compare with")
    source, _ = open_layer(path)
    xmin, ymin, xmax, ymax = grid.bounds
    command = [
        program, "-q", "-overwrite", "-et", "0", "-ovr", "NONE", "-r", {"nearest": "near"}.get(how, how),
        "-t_srs", grid.crs, "-te", *map(repr, (xmin, ymin, xmax, ymax)), "-ts", str(grid.width), str(grid.height),
        "-ot", "Float64", "-wt", "Float64", "-dstnodata", "nan",
    ]  # fmt: skip
    if source.nodata is not None:
        command += ["-srcnodata", repr(source.nodata)]
    under = Footprint(source, grid).span() if how in ("average", "mode") else (1.0, 1.0)
    for axis, cells in zip("XY", under, strict=True):
        command += ["-wo", f"{axis}SCALE={1 / max(cells, 1.0)!r}"]
    # The wheel of rasterio may point to data files of its own GDAL.
    environment = {k: v for k, v in os.environ.items() if k not in ("GDAL_DATA", "PROJ_DATA", "PROJ_LIB")}
    subprocess.run([*command, str(path), str(out)], env=environment, check=True, capture_output=True, text=True)
    with rasterio.open(out) as file:
        return file.read(1)


def reprojected(path: Path, grid: Grid, how: str) -> np.ndarray:
    source, _ = open_layer(path)
    with rasterio.open(path) as file:
        values = file.read(1).astype(np.float64)
    out = np.full(grid.shape, np.nan)
    rasterio.warp.reproject(
        values, out, src_transform=source.transform, src_crs=source.crs, src_nodata=source.nodata,
        dst_transform=grid.transform, dst_crs=grid.crs, dst_nodata=np.nan, resampling=Resampling[how],
    )  # fmt: skip
    return out


def averaged(path: Path, grid: Grid) -> np.ndarray:
    """The definition, in one CRS: the mean of the source's cells by the area of each that lies under a cell."""
    source, _ = open_layer(path)
    with rasterio.open(path) as file:
        values = file.read(1).astype(np.float64)
    values[values == source.nodata] = np.nan

    def overlaps(first: float, step: float, count: int, start: float, size: float, cells: int) -> np.ndarray:
        lows, own = first + step * np.arange(count), start + size * np.arange(cells)[:, None]
        return np.clip(np.minimum(lows + step, own + size) - np.maximum(lows, own), 0, None)

    place, at = grid.transform, source.transform
    across = overlaps(at.c, at.a, source.width, place.c, place.a, grid.width)
    down = overlaps(-at.f, -at.e, source.height, -place.f, -place.e, grid.height)
    with np.errstate(invalid="ignore"):
        return down @ np.nan_to_num(values) @ across.T / (down @ np.isfinite(values) @ across.T)


def share_equal(one: np.ndarray, other: np.ndarray, absolute: float = 0.0) -> float:
    with np.errstate(invalid="ignore"):
        close = np.abs(one - other) <= np.maximum(absolute, ANOTHER_GDAL.relative * np.abs(other))
    return float(np.mean(close | (np.isnan(one) & np.isnan(other))))


def share_equal_where_touched(path: Path, grid: Grid, found: np.ndarray, judge: np.ndarray, absolute: float) -> float:
    """As share_equal, of the cells whose middle lies on the source; those that it does not touch must be missing.

    GDAL 3.6 gives means and majorities to cells above and left of a source, of its first row and column; 3.10 does not.
    """
    source, _ = open_layer(path)
    cols, rows = np.meshgrid(np.arange(grid.width + 1.0), np.arange(grid.height + 1.0))
    x, y = grid.transform.a * cols + grid.transform.c, grid.transform.e * rows + grid.transform.f
    x, y = pyproj.Transformer.from_crs(grid.crs, source.crs.to_wkt(), always_xy=True).transform(x, y)
    x, y = (x - source.transform.c) / source.transform.a, (y - source.transform.f) / source.transform.e
    (left, right), (top, bottom) = (
        (np.minimum.reduce(c), np.maximum.reduce(c))
        for c in ((z[:-1, :-1], z[1:, :-1], z[:-1, 1:], z[1:, 1:]) for z in (x, y))
    )
    stray = 1e-3
    col, row = (left + right) / 2, (top + bottom) / 2
    touched = (col > stray) & (row > stray) & (col < source.width - stray) & (row < source.height - stray)
    beyond = (right < -stray) | (bottom < -stray) | (left > source.width + stray) | (top > source.height + stray)
    assert np.isnan(found[beyond]).all()
    return share_equal(found[touched], judge[touched], absolute)


def compare(name: str, folder: Path) -> None:
    path = layer_file(name)
    for grid, how in ((faults_grid(), "bilinear"), (faults_grid(5), "average"), (faults_grid(5), "nearest")):
        found = aligned(path, grid, folder / "s", how)
        assert np.isfinite(found).mean() > 0.9
        equal = share_equal(found, gdalwarp(path, grid, how, folder / "judge.tif"))
        assert equal >= ENOUGH, f"{name}, {how}: {equal:.4%} of cells as by gdalwarp"
        equal = share_equal(found, reprojected(path, grid, how))
        assert equal >= ENOUGH, f"{name}, {how}: {equal:.4%} of cells as by reproject"
    coarse = faults_grid(5)
    inner = np.s_[1:-1, 1:-1]  # at its edge GDAL gives a source's first row and column the weight of what hangs over
    equal = share_equal(
        aligned(path, coarse, folder / "s", "average")[inner], averaged(path, coarse)[inner], 1e-5 * 1.0
    )
    assert equal >= ENOUGH, f"{name}: {equal:.4%} of cells as by the definition of a mean"


@pytest.mark.parametrize("name", ["Idw_Li", "Idw_W", "Idw_SiO2", "Faults"])
def test_four_real_layers(tmp_path: Path, name: str) -> None:
    compare(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_every_real_layer(tmp_path: Path, name: str) -> None:
    compare(name, tmp_path)


def test_the_deposits_by_nearest(tmp_path: Path) -> None:
    """Cells of 1,000 m shifted by half a cell: every middle lies on a corner of four, and both take the same one."""
    path = layer_file("Li_deposits0")
    for grid in (faults_grid(), faults_grid(5), neighbour_grid(1000.0)):
        found = aligned(path, grid, tmp_path / "s", "nearest")
        assert share_equal(found, gdalwarp(path, grid, "nearest", tmp_path / "judge.tif")) >= ENOUGH
        assert share_equal(found, reprojected(path, grid, "nearest")) >= ENOUGH
        assert set(np.unique(found[np.isfinite(found)])) <= {0.0, 1.0}


@pytest.mark.parametrize("name", ["Idw_Li", "Idw_SiO2", "Granite"])
@pytest.mark.parametrize(("how", "cell"), [("bilinear", 1000.0), ("average", 20_000.0), ("nearest", 1000.0)])
def test_in_another_zone(tmp_path: Path, name: str, how: str, cell: float) -> None:
    """Ours strays by up to 1/1000 cell of the source, and neighbours differ by a part of the layer's range."""
    path, grid = layer_file(name), neighbour_grid(cell)
    found, judge = aligned(path, grid, tmp_path / "s", how), gdalwarp(path, grid, how, tmp_path / "j.tif")
    allowed = 2e-3 * np.nanmax(np.abs(judge)) if how != "nearest" else 0.0
    assert np.isfinite(found).mean() > 0.5
    assert share_equal_where_touched(path, grid, found, judge, allowed) >= ENOUGH


def one_majority_only() -> None:
    """gdalwarp on the path must choose the commonest class as rasterio's own GDAL does: 3.12 chooses otherwise."""
    if tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) > (3, 10):
        pytest.skip(f"GDAL {rasterio.__gdal_version__} chooses classes otherwise than the gdalwarp at hand")


@pytest.mark.parametrize("times", [2, 3, 8])
def test_classes_by_majority(tmp_path: Path, times: int) -> None:
    """Granite in ten classes and holes; where two classes are as frequent, both take the one met first."""
    one_majority_only()
    with rasterio.open(layer_file("Granite")) as file:
        classes = np.digitize(file.read(1), np.linspace(0.1, 0.9, 9)).astype(np.uint8)
        classes[100:160, 200:300] = 255
        path = write_raster(tmp_path / "a.tif", classes, file.transform, crs=file.crs, nodata=255)
    grid = faults_grid(times)
    shifted = Grid(grid.crs, grid.transform @ Affine.translation(0.3, 0.2), grid.width - 1, grid.height - 1)
    for on in (grid, shifted, neighbour_grid(1000.0 * times)):
        found = aligned(path, on, tmp_path / "s", "mode")
        judge = gdalwarp(path, on, "mode", tmp_path / "judge.tif")
        assert share_equal_where_touched(path, on, found, judge, 0.0) >= ENOUGH


@pytest.mark.parametrize("how", ["average", "mode", "bilinear", "nearest"])
def test_holes_everywhere_and_cells_over_the_edge(tmp_path: Path, how: str) -> None:
    if how == "mode":
        one_majority_only()
    rng = np.random.default_rng(8)
    values = rng.integers(1, 30, (300, 340)).astype(np.int16)
    values[rng.random(values.shape) < 0.3] = -1
    path = write_raster(tmp_path / "a.tif", values, Affine(20, 0, LEFT + 7, 0, -20, TOP - 9), crs=UTM, nodata=-1)
    grid = make_grid(118, 105, 60.0, LEFT - 60, TOP + 60)
    judge = gdalwarp(path, grid, how, tmp_path / "judge.tif")
    found = aligned(path, grid, tmp_path / "s", how)
    assert 0.5 < np.isfinite(found).mean() < 0.95
    assert share_equal_where_touched(path, grid, found, judge, 0.0) >= ENOUGH
