"""Raster sources that are refused, each with a sentence: cut short, without a place, disguised, or elsewhere."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
from districts import write_raster
from hosts import listening, vrt, wms
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning
from rasters import LEFT, TOP, UTM, aligned, make_grid, open_layer, write_on

from mpmjax.errors import DataError
from mpmjax.evidence.raster.source import inspect_raster


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


# -- what is refused


LAYOUTS: dict[str, dict[str, Any]] = {
    "one strip": {},
    "strips": {"blockysize": 8},
    "tiles": {"tiled": True, "blockxsize": 32, "blockysize": 32},
    "tiles, deflate": {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"},
    "strips, zstd": {"blockysize": 8, "compress": "zstd"},
    "tiles, BigTIFF": {"tiled": True, "blockxsize": 32, "blockysize": 32, "bigtiff": "yes"},
    "COG": {"driver": "COG", "blocksize": 128, "compress": "lzw"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_cut_short_anywhere_is_refused_at_once(tmp_path: Path, layout: str) -> None:
    values = rng().normal(size=(200, 150)).astype(np.float32)
    whole = write_raster(tmp_path / "whole.tif", values, crs=UTM, **LAYOUTS[layout]).read_bytes()
    inspect_raster(tmp_path / "whole.tif", "x")
    path = tmp_path / "cut.tif"
    ends = {int(len(whole) * share) for share in (0.001, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)} | {len(whole) - 1}
    if layout == "COG":
        ends = {end for end in ends if end < len(whole) - 30}  # a COG ends with a few bytes that nothing needs
    for end in sorted(ends):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"cut\.tif.*(cut short|not a readable GTiff raster)"):
            inspect_raster(path, "x")


def test_the_message_of_a_file_cut_short(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.ones((200, 150), np.float32), crs=UTM, blockysize=8)
    whole = path.stat().st_size
    os.truncate(path, whole - 1000)
    with pytest.raises(DataError, match=rf"layer 'cu': .*a\.tif, band 1: .*cut short: .*has {whole - 1000}\. Fetch"):
        inspect_raster(path, "cu")


def test_a_sparse_file_is_not_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", "GTiff", 300, 300, 1, UTM, make_grid(1, 1).transform, "float32", -1.0, tiled=True, sparse_ok=True
    ) as file:
        file.write(np.ones((20, 20), np.float32), 1, window=rasterio.windows.Window(0, 0, 20, 20))
    assert inspect_raster(path, "x").width == 300


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_values(tmp_path: Path, dtype: str) -> None:
    path = write_raster(tmp_path / "a.tif", np.ones((9, 9), np.complex64), crs=UTM, dtype=dtype)
    with pytest.raises(DataError, match=r"layer 'x': .*a\.tif, band 1: complex values \(complex.*amplitude"):
        inspect_raster(path, "x")


def test_a_band_that_is_not_there(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.ones((9, 9), np.float32), crs=UTM)
    with pytest.raises(DataError, match=r"layer 'x': .*a\.tif: band 2 asked for, the file has 1"):
        inspect_raster(path, "x", band=2)


def test_crs_missing_unknown_local_and_stated(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.ones((9, 9), np.float32), crs=None)
    with pytest.raises(DataError, match=r'layer \'x\': .*a\.tif: the file states no CRS.*crs = "EPSG:'):
        inspect_raster(path, "x")
    assert inspect_raster(path, "x", crs=UTM).crs.to_epsg() == 32639
    for wrong in ("EPSG:999999", "utm 39", "", "{}"):
        with pytest.raises(DataError, match=r"crs = .* is no known CRS"):
            inspect_raster(path, "x", crs=wrong)
    local = write_raster(tmp_path / "b.tif", np.ones((9, 9), np.float32), crs='LOCAL_CS["mine grid",UNIT["metre",1]]')
    with pytest.raises(DataError, match=r"layer 'x': .*b\.tif: its CRS is a local"):
        inspect_raster(local, "x")
    assert inspect_raster(local, "x", crs=UTM).crs.to_epsg() == 32639


@pytest.mark.parametrize("points", [False, True], ids=["nothing", "ground control points"])
def test_a_file_without_a_place_on_the_map(tmp_path: Path, points: bool) -> None:
    path = tmp_path / "a.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", "GTiff", 9, 9, 1, dtype="uint8") as file:
            file.write(np.ones((9, 9), np.uint8), 1)
            if points:
                corners = [(0, 0, LEFT, TOP), (0, 9, LEFT + 540, TOP), (9, 0, LEFT, TOP - 540)]
                file.gcps = ([GroundControlPoint(*corner) for corner in corners], rasterio.CRS.from_epsg(32639))
    with pytest.raises(DataError, match=r"layer 'x': .*a\.tif: the file does not say where its cells lie.*Georef"):
        inspect_raster(path, "x", crs=UTM)


@pytest.mark.parametrize(
    "name",
    [
        "https://example.com/a.tif", "http:/example.com/a.tif", "s3://bucket/a.tif", "/vsicurl/https://example.com/a.tif",
        "/vsizip/a.zip/a.tif", "/vsimem/a.tif", "zip+file:///data/a.zip!a.tif", "data/https://example.com/a.tif",
    ],
)  # fmt: skip
def test_urls_and_virtual_paths(name: str) -> None:
    with pytest.raises(DataError, match="only local files are read"):
        inspect_raster(Path(name), "x")


def test_a_local_folder_may_be_called_what_it_likes(tmp_path: Path) -> None:
    folder = tmp_path / "vsi_scans" / "vsimem" / "sheet 1: north"
    folder.mkdir(parents=True)
    assert inspect_raster(write_raster(folder / "a.tif", np.ones((9, 9), np.float32)), "x").width == 9


@pytest.fixture
def host() -> Iterator[tuple[str, list[str]]]:
    """An address that something may call, and who called."""
    with listening() as (address, calls):
        yield address, calls


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".img", ".asc", ".bil", ".vrt", ".xml", ""])
@pytest.mark.parametrize("disguise", ["vrt of a file", "vrt of a host", "wms", "text", "empty"])
def test_disguises_are_refused_and_nobody_is_called(
    tmp_path: Path, host: tuple[str, list[str]], disguise: str, suffix: str
) -> None:
    address, calls = host
    private = write_on(tmp_path / "private.tif", make_grid(60, 60), np.ones((60, 60), np.uint8))
    content = {
        "vrt of a file": vrt(str(private)),
        "vrt of a host": vrt(f"/vsicurl/http://{address}/a.tif"),
        "wms": wms(address),
        "text": "ncols",
        "empty": "",
    }[disguise]
    path = tmp_path / f"a{suffix}"
    path.write_text(content)
    with pytest.raises(DataError, match=r"/a(\.\w+)?: not a (readable|raster format)"):
        open_layer(path)
    assert not calls


@pytest.mark.parametrize("name", ["a.tif.msk", "a.tif.MSK", "A.tif.Msk"])
def test_a_mask_beside_a_raster_calls_nobody(tmp_path: Path, host: tuple[str, list[str]], name: str) -> None:
    address, calls = host
    path = write_on(tmp_path / "a.tif", make_grid(60, 60), np.ones((60, 60), np.uint8))
    (tmp_path / name).write_text(vrt(f"/vsicurl/http://{address}/mask.tif"))
    with pytest.raises(DataError, match=r"(?i)a\.tif\.msk: a mask beside a raster must be a TIFF"):
        aligned(path, make_grid(60, 60), tmp_path / "s")
    assert not calls


@pytest.mark.parametrize("key", ["tag", "aux.xml", "ovr"])
def test_overviews_elsewhere_call_nobody(tmp_path: Path, host: tuple[str, list[str]], key: str) -> None:
    address, calls = host
    path = write_on(tmp_path / "a.tif", make_grid(300, 300, 20.0), np.ones((300, 300), np.uint8))
    elsewhere = f"/vsicurl/http://{address}/o.tif"
    if key == "tag":
        with rasterio.open(path, "r+") as file:
            file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=elsewhere)
    elif key == "aux.xml":
        item = f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{elsewhere}</MDI></Metadata>'
        (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{item}</PAMDataset>")
    else:
        (tmp_path / "a.tif.ovr").write_text(vrt(elsewhere))
    for how in ("average", "nearest"):
        assert (aligned(path, make_grid(20, 20, 300.0), tmp_path / "s", how) == 1.0).all()
    assert not calls


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.tif").mkdir()
    for path in (tmp_path / "none.tif", tmp_path / "folder.tif", tmp_path / "nul\0.tif"):
        with pytest.raises(DataError, match="no such file"):
            inspect_raster(path, "x")
