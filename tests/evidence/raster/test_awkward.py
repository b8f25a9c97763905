"""Every GeoTIFF of MPMJAX_DATA/awkward, either read rightly or refused with a sentence; none is left out.

What is read is compared, cell by cell, with plain arrays of the file and a rule of its own for what is missing: on the
file's own cells, as means of 4 x 4 of them, and on a metric grid that needs warping, by nearest and by bilinear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.errors import RasterioError
from rasters import UTM, awkward, cell_centres, open_layer, values_of
from scipy.ndimage import map_coordinates
from tolerances import assert_same_bits

from mpmjax.errors import DataError
from mpmjax.evidence.raster.scan import judge, scan
from mpmjax.evidence.raster.source import RasterSource
from mpmjax.evidence.raster.warp import align
from mpmjax.types import Grid, Layer

Missing = Callable[[np.ndarray, rasterio.DatasetReader], np.ndarray]


def nothing(raw: np.ndarray, file: rasterio.DatasetReader) -> np.ndarray:
    return np.zeros(raw.shape, bool)


def nan(raw: np.ndarray, file: rasterio.DatasetReader) -> np.ndarray:
    return np.isnan(raw)


def equal(value: float) -> Missing:
    return lambda raw, file: raw == value


def transparent(raw: np.ndarray, file: rasterio.DatasetReader) -> np.ndarray:
    return file.read(4) == 0


def masked(raw: np.ndarray, file: rasterio.DatasetReader) -> np.ndarray:
    return file.dataset_mask() == 0


@dataclass(frozen=True)
class Read:
    """A file that is read: how it is opened, which cells are missing and how many, lowest and highest value."""

    missing: Missing
    cells_missing: int
    low: float
    high: float
    band: int = 1
    stated: dict[str, Any] = field(default_factory=dict)
    scale: float = 1.0
    offset: float = 0.0


READ = {
    "RGBA.uint16.tif": Read(transparent, 133_258, 10_000, 10_000),
    "alpha.tif": Read(transparent, 1_472_541, 5, 255),
    "float.tif": Read(nothing, 0, -1.88, 1.41, stated={"crs": UTM}),
    "float_nan.tif": Read(nan, 1, -1.88, 1.41, stated={"crs": UTM}),
    "float_raster_with_nodata.tif": Read(equal(float(np.float32(-3.4e38))), 58, 0, 0.25),
    "goes.tif": Read(masked, 63_712, 0, 162),
    "image_float.tif": Read(nan, 61_292, 0, 5.435),
    "image_nan.tif": Read(nan, 61_292, 0, 5.435),
    "image_missing_nodata.tif": Read(equal(-9999), 73_873, -2000, 8028, stated={"nodata": -9999.0}),
    "image_nodata.tif": Read(equal(-9999), 73_873, -2000, 8028),
    "image_north.tif": Read(nothing, 0, 1, 7872),
    "image_rgb_mask.tif": Read(masked, 25_000, 24, 226),
    "image_webp.tif": Read(nothing, 0, 27, 201),
    "image_with_offsets.tif": Read(equal(-1000), 6, 999.9106, 1001.3413, scale=0.0001, offset=1000.0),
    "rotated.tif": Read(nothing, 0, 0, 149, stated={"crs": UTM}),
    "test_esri_wkt.tif": Read(nothing, 0, 1, 4),
    "world.byte.tif": Read(nothing, 0, 0, 1),
}

REFUSED = {
    ("RGBA.uint16.tif", 1): r"band 1: constant, every cell is 10000: it tells nothing\. Leave the layer out",
    ("RGBA.uint16.tif", 2): r"band 2: constant, every cell is 10000: it tells nothing\. Leave the layer out",
    ("RGBA.uint16.tif", 3): r"band 3: constant, every cell is 10000: it tells nothing\. Leave the layer out",
    ("all-nodata.tif", 1): r"band 1: all 175725 cells are nodata\. Leave the layer out, or check its nodata value",
    ("all-nodata.tif", 4): r"band 4: all 175725 cells are nodata\. Leave the layer out, or check its nodata value",
    ("corrupt.tif", 1): r"band 1: the file is cut short: block 1_1 ends at byte 307086.* Fetch or copy it again",
    ("float.tif", 1): r'the file states no CRS\. If you know it, add crs = "EPSG:',
    ("float_nan.tif", 1): r'the file states no CRS\. If you know it, add crs = "EPSG:',
    ("rotated.tif", 1): r'the file states no CRS\. If you know it, add crs = "EPSG:',
    ("green.tif", 1): r"band 1: constant, every cell is 17: it tells nothing\. Leave the layer out",
    ("green.tif", 2): r"band 2: constant, every cell is \d+: it tells nothing\. Leave the layer out",
    ("green.tif", 3): r"band 3: constant, every cell is \d+: it tells nothing\. Leave the layer out",
    ("image_missing_nodata.tif", 1): (
        r"band 1: 73873 of 250000 cells hold -9999\.0, the others -2000 to 8028: probably an undeclared nodata\. Add "
        r"nodata = -9999\.0 to this layer"
    ),
}
"""File and band, opened as they are -> what is said. Those that are read too need what the sentence asks for, but for
RGBA.uint16.tif, of which only the alpha band says anything."""


def look(path: Path, band: int) -> None:
    """What is done with a layer before anything else."""
    source, layer = open_layer(path, band=band)
    judge(source, scan(source, layer))


def test_no_file_is_left_out() -> None:
    files = {path.name for path in awkward("").iterdir() if path.suffix.lower() in (".tif", ".tiff")}
    assert files == READ.keys() | {name for name, _ in REFUSED}


@pytest.mark.parametrize(("name", "band"), REFUSED)
def test_refused_with_a_sentence(name: str, band: int) -> None:
    with pytest.raises(DataError, match=rf"^layer 'x': .*{name}.*{REFUSED[name, band]}"):
        look(awkward(name), band)


def opened(name: str) -> tuple[RasterSource, Layer, np.ndarray]:
    """A file as prepare takes it, and by hand: float64 values, NaN where the table says that they are missing."""
    case, path = READ[name], awkward(name)
    with rasterio.open(path) as file:
        try:
            raw = file.read(case.band)
        except RasterioError:
            # A GDAL without the codec: refused with a sentence, then.
            with pytest.raises(DataError, match=rf"{name}.*cannot be decoded"):
                scan(*open_layer(path, band=case.band, **case.stated))
            pytest.skip(f"this GDAL does not decode {name}; it was refused with a sentence")
        missing = case.missing(raw, file)
    source, layer = open_layer(path, band=case.band, **case.stated)
    return source, layer, np.where(missing, np.nan, raw * np.float64(case.scale) + case.offset)


@pytest.mark.parametrize("name", READ)
def test_on_its_own_cells(tmp_path: Path, name: str) -> None:
    source, layer, expected = opened(name)
    case = READ[name]
    assert int(np.isnan(expected).sum()) == case.cells_missing
    assert (np.nanmin(expected), np.nanmax(expected)) == pytest.approx((case.low, case.high), rel=1e-3)
    facts = scan(source, layer)
    assert facts.missing == case.cells_missing
    if case.low != case.high:
        judge(source, facts)
    transform = source.transform
    if transform.e > 0:  # a grid is north-up: the same cells, in the other order
        transform, expected = transform @ Affine(1, 0, 0, 0, -1, source.height), expected[::-1]
    own = Grid(source.crs.to_wkt(), transform, source.width, source.height)
    assert source.lies_on(own) == (transform == source.transform)
    assert_same_bits(values_of(align(source, own, layer, "nearest", tmp_path), own), np.ascontiguousarray(expected))


@pytest.mark.parametrize("name", [name for name in READ if name not in ("float.tif", "float_nan.tif")])
def test_means_of_whole_cells(tmp_path: Path, name: str) -> None:
    source, layer, values = opened(name)
    side = 4 if source.height > 4 else 2
    height, width = source.height // side, source.width // side
    grid = Grid(source.crs.to_wkt(), source.transform @ Affine.scale(side), width, height)
    blocks = values[: height * side, : width * side].reshape(height, side, width, side).swapaxes(1, 2)
    there = np.isfinite(blocks)
    count = there.sum((2, 3))
    with np.errstate(invalid="ignore"):
        expected = np.where(there, blocks, 0.0).sum((2, 3)) / count
    found = values_of(align(source, grid, layer, "average", tmp_path), grid)
    # GDAL takes a cell that it touches by 1/1000 of its width for one that it covers, if nothing else is there.
    assert np.mean(np.isnan(found) == (count == 0)) > 0.999
    both = np.isfinite(found) & (count > 0)
    assert np.abs(found[both] - expected[both]).max() <= 2e-3 * np.nanmax(np.abs(values))
    assert np.median(np.abs(found[both] - expected[both])) <= 1e-6 * np.nanmax(np.abs(values))


def metric_grid(source: RasterSource, values: np.ndarray, side: int = 80) -> Grid:
    """A grid in an equal-area CRS of its own, with cells like the file's, over the border of what is missing if any."""
    shown = np.isfinite(values)
    places = np.argwhere(shown[:, :-1] != shown[:, 1:])
    if not len(places):
        places = np.array([[source.height // 2, source.width // 2]])
    place = source.transform
    x, y = (
        place.a * places[:, 1] + place.b * places[:, 0] + place.c,
        place.d * places[:, 1] + place.e * places[:, 0] + place.f,
    )
    lon, lat = pyproj.Transformer.from_crs(source.crs.to_wkt(), "EPSG:4326", always_xy=True).transform(x, y)
    on_earth = np.flatnonzero(np.isfinite(lon))
    middle = on_earth[len(on_earth) // 2]
    crs = f"+proj=laea +lat_0={lat[middle]:.3f} +lon_0={lon[middle]:.3f} +datum=WGS84 +units=m +type=crs"
    way = pyproj.Transformer.from_crs(source.crs.to_wkt(), crs, always_xy=True)
    row, col = map(float, places[middle])
    (x0, y0), (x1, y1) = (way.transform(*(place @ (col, row + down))) for down in (0.0, 1.0))
    cell = 1.1 * float(np.hypot(x1 - x0, y1 - y0))
    return Grid(crs, Affine(cell, 0, x0 - cell * side / 2, 0, -cell, y0 + cell * side / 2), side, side)


def on_the_file(source: RasterSource, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the file at the centres of a grid's cells; infinite where that is nowhere."""
    way = pyproj.Transformer.from_crs(grid.crs, source.crs.to_wkt(), always_xy=True)
    x, y = way.transform(*cell_centres(grid))
    inverse = ~source.transform
    with np.errstate(invalid="ignore"):
        rows = inverse.d * np.asarray(x) + inverse.e * np.asarray(y) + inverse.f
        return rows, inverse.a * np.asarray(x) + inverse.b * np.asarray(y) + inverse.c


def assert_warped(source: RasterSource, layer: Layer, values: np.ndarray, grid: Grid, scratch: Path) -> None:
    """Nearest and bilinear by hand, wherever a cell's centre is not on the border of two of the file's (1/100 cell)."""
    rows, cols = on_the_file(source, grid)
    height, width = values.shape
    with np.errstate(invalid="ignore"):
        clear = (np.abs(rows - np.rint(rows)) > 0.01) & (np.abs(cols - np.rint(cols)) > 0.01)
        inside = (rows > 0) & (cols > 0) & (rows < height) & (cols < width)
        inner = (rows > 0.51) & (cols > 0.51) & (rows < height - 0.51) & (cols < width - 0.51)
    at = np.where(inside, rows, 0).astype(int), np.where(inside, cols, 0).astype(int)
    here = np.where(inside, values[at], np.nan)
    nearest = values_of(align(source, grid, layer, "nearest", scratch), grid)
    assert (inside & clear).sum() >= min(4, values.size)
    strays = inside & clear & ~((nearest == here) | (np.isnan(nearest) & np.isnan(here)))
    if not np.isfinite(rows).all():
        assert_at_the_edge_of_the_map(strays, nearest, values, (rows, cols))
    else:
        assert not strays.any()
    nowhere = ~np.isfinite(rows) | (clear & ~inside)
    assert np.isnan(nearest[nowhere]).all()

    def weighted(array: np.ndarray) -> np.ndarray:
        return map_coordinates(
            array.astype(np.float64), [np.where(inner, rows - 0.5, 0), np.where(inner, cols - 0.5, 0)], order=1
        )

    with np.errstate(invalid="ignore", divide="ignore"):
        smooth = weighted(np.nan_to_num(values)) / weighted(np.isfinite(values))
    expected = np.where(np.isfinite(here), smooth, np.nan)
    bilinear = values_of(align(source, grid, layer, "bilinear", scratch), grid)
    judged = inner & clear & ~strays
    assert np.array_equal(np.isnan(bilinear[judged]), np.isnan(expected[judged]))
    # Coordinates may stray by 1/1000 cell, and neighbours may differ by all there is.
    allowed = 4e-3 * (np.nanmax(values) - np.nanmin(values)) + 1e-6 * np.nanmax(np.abs(values))
    both = judged & np.isfinite(expected)
    assert np.abs(bilinear[both] - expected[both]).max(initial=0.0) <= allowed


def assert_at_the_edge_of_the_map(
    strays: np.ndarray, nearest: np.ndarray, values: np.ndarray, at: tuple[np.ndarray, np.ndarray]
) -> None:
    """Beside the limb of a disk GDAL 3.10 gives a missing cell its neighbour's value (3.6 does not): nothing else."""
    assert strays.sum() <= 0.01 * strays.size
    for row, col in np.argwhere(strays):
        i, j = int(at[0][row, col]), int(at[1][row, col])
        assert np.isnan(values[i, j])
        assert nearest[row, col] in values[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]


@pytest.mark.parametrize("name", READ)
def test_on_a_metric_grid(tmp_path: Path, name: str) -> None:
    source, layer, values = opened(name)
    grid = metric_grid(source, values)
    assert not source.lies_on(grid)
    rows, cols = on_the_file(source, grid)
    with np.errstate(invalid="ignore"):
        met = (rows > 0) & (cols > 0) & (rows < source.height) & (cols < source.width)
    here = values[rows[met].astype(int), cols[met].astype(int)]
    assert np.isfinite(here).any()
    assert np.isnan(here).any() or READ[name].cells_missing <= 6, "the border of what is missing is looked at"
    assert_warped(source, layer, values, grid, tmp_path)


WORLDS = {
    "UTM zone 39": ("EPSG:32639", 52.5, 33.4, 12_000.0),
    "UTM zone 1, over the antimeridian": ("EPSG:32601", 180.0, 20.0, 12_000.0),
    "Pacific Mercator, over the antimeridian": ("EPSG:3832", 180.0, -17.0, 13_000.0),
    "polar stereographic, around the pole": ("EPSG:3413", 0.0, 90.0, 60_000.0),
    "antarctic, around the pole": ("EPSG:3031", 0.0, -90.0, 60_000.0),
}


@pytest.mark.parametrize("place", WORLDS)
def test_the_world_on_grids_all_over_it(tmp_path: Path, place: str) -> None:
    source, layer, values = opened("world.byte.tif")
    crs, lon, lat, cell = WORLDS[place]
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    grid = Grid(crs, Affine(cell, 0, x - 40 * cell, 0, -cell, y + 40 * cell), 80, 80)
    rows, _ = on_the_file(source, grid)
    assert (rows < 0).any() == ("north" in place or "polar" in place), "the file ends at 75 degrees north"
    assert_warped(source, layer, values, grid, tmp_path)


def test_off_the_earth_nothing_is_made_up(tmp_path: Path) -> None:
    """The corners of a satellite's picture show space: no place on the Earth maps there, none is missing inside."""
    source, layer, values = opened("goes.tif")
    grid = Grid(
        "+proj=laea +lat_0=0 +lon_0=-75 +datum=WGS84 +units=m +type=crs", Affine(2e5, 0, -1e7, 0, -2e5, 1e7), 100, 100
    )
    rows, _ = on_the_file(source, grid)
    unseen = ~np.isfinite(rows)
    assert 0.1 < unseen.mean() < 0.7
    for how in ("nearest", "bilinear", "average"):
        found = values_of(align(source, grid, layer, how, tmp_path), grid)
        if how != "average":
            assert np.isnan(found[unseen]).all()
        there = np.isfinite(found)
        assert there.mean() > 0.3
        assert 0 <= found[there].min() <= found[there].max() <= np.nanmax(values)


def test_undeclared_and_declared_nodata_come_to_the_same() -> None:
    for one, other in (("image_missing_nodata.tif", "image_nodata.tif"), ("image_float.tif", "image_nan.tif")):
        first, second = (scan(*opened(name)[:2]) for name in (one, other))
        assert first == second
