"""Rasters laid on a grid under hard conditions: poisoned overviews, classes by majority, very much coarser cells, the
antimeridian, strips of any height, and numbers at the end of their type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from districts import write_raster
from rasterio.enums import Resampling
from rasters import LEFT, TOP, UTM, aligned, cell_centres, make_grid, open_layer, values_of, write_on
from tolerances import assert_same_bits

from mpmjax.errors import DataError
from mpmjax.evidence.grid.resolve import require_overlap
from mpmjax.evidence.mask import prepare_mask
from mpmjax.evidence.raster import footprint, warp
from mpmjax.evidence.raster.footprint import Footprint
from mpmjax.evidence.raster.scan import scan
from mpmjax.evidence.raster.warp import choose_resampling
from mpmjax.types import Grid

ALL = ["nearest", "bilinear", "average", "mode"]


def rng() -> np.random.Generator:
    return np.random.default_rng(17)


# -- overviews


def poisoned(folder: Path, values: np.ndarray, how: str, outside: bool, **profile: Any) -> tuple[Path, Path]:
    """A file without overviews, and one with the same cells whose overviews hold another raster's values."""
    plain = write_raster(folder / "plain.tif", values, crs=UTM, tiled=True, blockxsize=64, blockysize=64, **profile)
    path = folder / "poisoned.tif"
    path.write_bytes(plain.read_bytes())
    with rasterio.open(path, "r+") as file:
        file.write(np.full(values.shape, 99, values.dtype), 1)
    with rasterio.Env(TIFF_USE_OVR=outside), rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4, 8, 16], Resampling[how])
    with rasterio.open(path, "r+") as file:
        file.write(values, 1)
    with rasterio.open(path) as file:
        assert file.overviews(1) == [2, 4, 8, 16]
        assert (file.read(1, out_shape=(values.shape[0] // 4, values.shape[1] // 4)) == 99).all(), "poison works"
        assert np.array_equal(file.read(1), values)
    assert (folder / "poisoned.tif.ovr").exists() == outside
    return plain, path


@pytest.mark.parametrize("outside", [False, True], ids=["internal", ".ovr"])
@pytest.mark.parametrize(("dtype", "made_by"), [("float32", "average"), ("uint8", "mode")])
def test_overviews_are_never_looked_at(tmp_path: Path, outside: bool, dtype: str, made_by: str) -> None:
    values = rng().integers(1, 9, (512, 640)).astype(dtype)
    values[40:90, 100:300] = 0
    plain, path = poisoned(tmp_path, values, made_by, outside, nodata=0)
    for times in (2, 4, 8, 16):
        grid = Grid(UTM, Affine(60.0 * times, 0, LEFT + 7, 0, -60.0 * times, TOP - 5), 640 // times, 512 // times)
        for how in ALL:
            found = aligned(path, grid, tmp_path / "s", how)
            assert_same_bits(found, aligned(plain, grid, tmp_path / "s", how))
            assert np.nanmax(found) <= 8
    own = make_grid(640, 512)
    source, layer = open_layer(path)
    assert source.lies_on(own)
    assert_same_bits(values_of(layer, own), np.where(values == 0, np.nan, values.astype(np.float64)))
    assert scan(source, layer).high == 8
    area = prepare_mask(path, make_grid(80, 64, 480.0), tmp_path)
    with rasterio.open(area) as file:
        assert not file.read(1).all(), "the poison would be inside everywhere"


# -- classes by majority


@pytest.mark.parametrize("times", [2, 4, 8, 16])
@pytest.mark.parametrize(("dtype", "codes"), [("uint8", 12), ("int16", 300), ("float32", 12), ("int32", 12)])
def test_mode_is_the_class_of_most_cells(tmp_path: Path, times: int, dtype: str, codes: int) -> None:
    table = np.sort(rng().choice(np.arange(-100, 30_000) if dtype != "uint8" else np.arange(1, 255), codes, False))
    values = rng().choice(table, (128, 160)).astype(dtype)
    values[rng().random(values.shape) < 0.3] = 0  # nodata, the most frequent of all
    values[:32, :32] = 0
    path = write_raster(tmp_path / "a.tif", values, crs=UTM, nodata=0)
    grid = make_grid(160 // times, 128 // times, 60.0 * times)
    found = aligned(path, grid, tmp_path / "s", "mode", role="category", direction=None, membership=MEMBERSHIP)
    blocks = values.reshape(grid.height, times, grid.width, times).swapaxes(1, 2).reshape(*grid.shape, -1)
    count = np.stack([(blocks == code).sum(-1) for code in table])
    assert np.array_equal(np.isnan(found), count.sum(0) == 0)
    there = np.isfinite(found)
    place = np.searchsorted(table, found[there])
    assert np.array_equal(table[place], found[there]), "codes are names: none is made up"
    assert np.array_equal(np.take_along_axis(count[:, there], place[None], 0)[0], count[:, there].max(0))


MEMBERSHIP = {"kind": "category", "scores": {"1": 1.0}}


def test_mode_counts_neither_masked_cells_nor_those_out_of_range(tmp_path: Path) -> None:
    values = np.array([[1, 2, 2, 2], [1, 1, 2, 9], [9, 9, 9, 9], [9, 9, 9, 3]], np.uint8)
    path = write_raster(tmp_path / "a.tif", np.kron(values, np.ones((2, 2), np.uint8)), crs=UTM)
    grid = make_grid(2, 2, 240.0)
    found = aligned(path, grid, tmp_path / "s", "mode", valid_range=(1.0, 8.0))
    assert found[0].tolist() == [1.0, 2.0]
    assert np.isnan(found[1, 0])
    assert found[1, 1] == 3.0
    with rasterio.open(path, "r+") as file:
        file.write_mask(np.kron(values != 2, np.ones((2, 2), bool)))
    found = aligned(path, grid, tmp_path / "s", "mode")
    assert found.tolist() == [[1.0, 9.0], [9.0, 9.0]]


def test_mode_of_measurements_is_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", rng().random((300, 300), np.float32), crs=UTM)
    with pytest.raises(DataError, match=r'layer \'x\': .*a\.tif: resampling = "mode" counts classes.*65535'):
        aligned(path, make_grid(50, 50, 360.0), tmp_path / "s", "mode")


def test_nearest_stays_the_default_of_classes(tmp_path: Path) -> None:
    source, _ = open_layer(write_raster(tmp_path / "a.tif", np.ones((60, 60), np.uint8), crs=UTM))
    grid = make_grid(6, 6, 600.0)
    assert choose_resampling(source, grid, "category", None) == "nearest"
    assert choose_resampling(source, grid, "category", "mode") == "mode"


# -- very much coarser cells


@pytest.mark.parametrize("how", ["average", "mode", "nearest", "bilinear"])
def test_a_thousand_cells_a_side(tmp_path: Path, how: str) -> None:
    values = rng().integers(0, 3, (2000, 3000)).astype(np.uint8)
    values[:, :1000] = 0
    path = write_raster(tmp_path / "a.tif", values, Affine(1, 0, LEFT, 0, -1, TOP), crs=UTM, nodata=0)
    grid = make_grid(3, 2, 1000.0)
    found = aligned(path, grid, tmp_path / "s", how)
    assert np.isnan(found[:, 0]).all()
    blocks = values.reshape(2, 1000, 3, 1000).swapaxes(1, 2).reshape(2, 3, -1)[:, 1:].astype(float)
    if how == "average":
        assert np.allclose(found[:, 1:], blocks.sum(-1) / (blocks > 0).sum(-1), rtol=1e-5)
    elif how == "mode":
        assert np.array_equal(found[:, 1:], np.where((blocks == 2).sum(-1) > (blocks == 1).sum(-1), 2, 1))
    else:
        assert np.isin(found[:, 1:][np.isfinite(found[:, 1:])], (1, 2)).all() or how == "bilinear"


@pytest.mark.parametrize("how", ALL)
@pytest.mark.parametrize("crs", [UTM, "EPSG:32640"])
def test_pieces_that_fit_in_memory_do_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, crs: str
) -> None:
    values = rng().integers(1, 60, (1400, 1200)).astype(np.int16)
    values[300:500, 100:700] = -1
    path = write_raster(tmp_path / "a.tif", values, Affine(10, 0, LEFT, 0, -10, TOP), crs=UTM, nodata=-1)
    x, y = pyproj.Transformer.from_crs(UTM, crs, always_xy=True).transform(LEFT, TOP)
    grid = Grid(crs, Affine(70, 0, x - 500, 0, -70, y + 300), 190, 220)
    whole = aligned(path, grid, tmp_path / "s", how)
    monkeypatch.setattr(footprint, "CELLS_AT_ONCE", 20_000)
    source, _ = open_layer(path)
    seen = Footprint(source, grid)
    pieces = [p for strip in warp.strips(grid) for p in seen.pieces(strip)]
    assert len(pieces) > 50
    assert sum(p.height * p.width for p in pieces) == grid.height * grid.width
    found = aligned(path, grid, tmp_path / "s", how)
    if crs == UTM:
        assert_same_bits(found, whole)
    else:  # coordinates are approximated to 1/1000 cell, over other pieces in another way
        same = (found == whole) | (np.isnan(found) & np.isnan(whole)) | (np.abs(found - whole) < 0.1)
        assert same.mean() > 0.99


def test_one_cell_over_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_raster(tmp_path / "a.tif", rng().random((400, 400), np.float32), crs=UTM)
    monkeypatch.setattr(footprint, "CELLS_AT_ONCE", 100)
    monkeypatch.setattr(footprint, "CELLS_UNDER_ONE", 30_000)
    with pytest.raises(
        DataError, match=r"layer 'x': .*a\.tif: one cell of the grid covers 4e\+04 of its cells.*coarser"
    ):
        aligned(path, make_grid(2, 2, 12_000.0), tmp_path / "s", "average")
    assert not list((tmp_path / "s").rglob("*.tif"))


@pytest.mark.parametrize("times", [2, 4, 16])
def test_cells_that_hang_over_the_edge_of_the_source_have_values(tmp_path: Path, times: int) -> None:
    values = rng().integers(1, 90, (16 * times, 16 * times)).astype(np.uint8)
    path = write_raster(tmp_path / "a.tif", values, Affine(60 / times, 0, LEFT + 30, 0, -60 / times, TOP - 30), crs=UTM)
    for how in ("average", "mode"):
        found = aligned(path, make_grid(19, 19), tmp_path / "s", how)
        assert np.isfinite(found[:17, :17]).all()
        assert np.isnan(found[17:]).all()
        assert np.isnan(found[:, 17:]).all()


def test_a_source_smaller_than_a_cell(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "a.tif", np.full((2, 3), 7, np.uint8), Affine(5, 0, LEFT + 70, 0, -5, TOP - 70), crs=UTM
    )
    grid = make_grid(4, 4)
    for how in ("average", "mode"):
        found = aligned(path, grid, tmp_path / "s", how)
        assert found[1, 1] == 7
        assert np.isnan(found).sum() == 15
    for how in ("nearest", "bilinear"):
        assert np.isnan(aligned(path, grid, tmp_path / "s", how)).all(), "no cell's middle lies on it"


# -- strips


@pytest.mark.parametrize("how", ALL)
@pytest.mark.parametrize("kind", ["degrees", "rotated", "other zone"])
def test_strips_of_any_height_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, kind: str
) -> None:
    values = rng().integers(0, 90, (700, 700)).astype(np.float32)
    place, crs = {
        "degrees": (Affine(0.0005, 0, 52.4, 0, -0.0005, 33.5), "EPSG:4326"),
        "rotated": (Affine.translation(LEFT - 9000, TOP) @ Affine.rotation(33) @ Affine.scale(40, -50), UTM),
        "other zone": (Affine(50, 0, 80_000, 0, -50, 3_720_000), "EPSG:32640"),
    }[kind]
    path = write_raster(tmp_path / "a.tif", values, place, crs=crs, nodata=0)
    grid = make_grid(600, 700, 41.0)
    found = []
    for rows in (256, 128, 1024):
        monkeypatch.setattr(warp, "STRIP_ROWS", rows)
        found.append(aligned(path, grid, tmp_path / "s", how))
    assert np.isfinite(found[0]).mean() > 0.2
    assert_same_bits(found[1], found[0])
    assert_same_bits(found[2], found[0])


# -- the antimeridian, and longitudes beyond 180


def wavy(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    return np.rint(100 + 60 * np.cos(np.radians(lon)) + 20 * np.sin(np.radians(lat)))


PLACES = {
    "Fiji, EPSG:3832": ("EPSG:3832", 180.0, -17.0),
    "UTM zone 1": ("EPSG:32601", 180.0, 20.0),
    "UTM zone 60 south": ("EPSG:32760", 180.0, -20.0),
    "California": ("EPSG:32610", -123.0, 40.0),
    "Greenwich": ("EPSG:32630", 0.0, 45.0),
    "Iran": (UTM, 51.0, 33.0),
}


@pytest.mark.parametrize("first", [-180.0, 0.0, -360.0, -180.25], ids=lambda lon: f"from {lon:g}")
@pytest.mark.parametrize("place", PLACES)
def test_the_whole_world_has_no_edge(tmp_path: Path, place: str, first: float) -> None:
    lon, lat = first + 0.25 + 0.5 * np.arange(720), 90 - 0.25 - 0.5 * np.arange(360)
    path = write_raster(
        tmp_path / "a.tif",
        wavy(lon, lat[:, None]).astype(np.float32),
        Affine(0.5, 0, first, 0, -0.5, 90),
        crs="EPSG:4326",
    )
    crs, at_lon, at_lat = PLACES[place]
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(at_lon, at_lat)
    for cell, shift in ((20_000.0, 0.0), (100_000.0, 0.3)):  # on the line of the cut, and across it
        side = int(8e5 / cell)
        grid = Grid(crs, Affine(cell, 0, x - (side // 2 + shift) * cell, 0, -cell, y + side // 2 * cell), side, side)
        source, _ = open_layer(path)
        require_overlap([source], grid)
        assert choose_resampling(source, grid, "index", None) == ("bilinear" if cell == 20_000 else "average")
        middles = cell_centres(grid)
        expected = wavy(*pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*middles))
        for how in ALL:
            found = aligned(path, grid, tmp_path / "s", how)
            assert np.isfinite(found).all(), how
            # A cell of 100 km is up to 1.3 degrees, in which the field changes by less than 2.
            assert np.abs(found - expected).max() <= 2.5, how


def test_a_part_of_the_world_beyond_180(tmp_path: Path) -> None:
    """The Pacific from 150 to 260 degrees east: of a grid across 180 all is shown, of one in Iran nothing."""
    lon, lat = 150.25 + 0.5 * np.arange(220), 29.75 - 0.5 * np.arange(120)
    path = write_raster(
        tmp_path / "a.tif", wavy(lon, lat[:, None]).astype(np.int16), Affine(0.5, 0, 150, 0, -0.5, 30), crs="EPSG:4326"
    )
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3832", always_xy=True).transform(180.0, 0.0)
    grid = Grid("EPSG:3832", Affine(30_000, 0, x - 1e6, 0, -30_000, y + 1e6), 60, 60)
    for how in ALL:
        assert np.isfinite(aligned(path, grid, tmp_path / "s", how)).all()
    assert np.isnan(aligned(path, make_grid(40, 40), tmp_path / "s", "nearest")).all()
    with pytest.raises(DataError, match="do not overlap"):
        require_overlap([open_layer(path)[0]], make_grid(40, 40))


# -- numbers


def test_numbers_at_the_end_of_their_type(tmp_path: Path) -> None:
    top = 2**31 - 1
    whole = rng().integers(top - 5, top, (60, 60)).astype(np.int32)
    fine = 1e9 + rng().integers(0, 9, (60, 60)) * 1e-6
    grid = make_grid(50, 50, 60.0, LEFT + 300, TOP - 300)
    for name, values in (("a.tif", whole), ("b.tif", fine), ("c.tif", whole.astype(np.uint32) * 2)):
        path = write_raster(tmp_path / name, values, crs=UTM)
        assert_same_bits(aligned(path, grid, tmp_path / "s", "nearest"), values[5:55, 5:55].astype(np.float64))
        shifted = make_grid(50, 50, 60.0, LEFT + 330, TOP - 300)  # halfway between two columns
        found = aligned(path, shifted, tmp_path / "s", "bilinear")
        expected = (values[5:55, 5:55].astype(np.float64) + values[5:55, 6:56]) / 2
        assert np.abs(found - expected).max() <= 4e-16 * expected.max() + 2e-3 * np.ptp(values.astype(np.float64))
        halves = aligned(path, make_grid(30, 30, 120.0), tmp_path / "s", "average")
        blocks = values.astype(np.float64).reshape(30, 2, 30, 2).mean((1, 3))
        assert np.abs(halves - blocks).max() <= 4e-16 * blocks.max()


def test_a_grid_far_away_is_missing_everywhere(tmp_path: Path) -> None:
    path = write_on(tmp_path / "a.tif", make_grid(40, 40), rng().random((40, 40), np.float32))
    for grid in (make_grid(30, 300, 60.0, LEFT + 9e5, TOP), Grid("EPSG:32701", make_grid(3, 3).transform, 30, 300)):
        for how in ALL:
            assert np.isnan(aligned(path, grid, tmp_path / "s", how)).all()
