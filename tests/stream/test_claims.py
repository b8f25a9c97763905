"""What a file claims, held against what it is: refused where it would fill the memory, or reads what is not its own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from bombs import HUGE, PLACE, REFUSED, SMALL, grid_header, image, one_block, raw, text, tiff, zeros
from raster_seeds import HEIGHT, WIDTH, write
from rasters import open_layer

from mpmjax.errors import DataError
from mpmjax.evidence.raster import scan as scanning
from mpmjax.evidence.raster.scan import scan
from mpmjax.evidence.raster.source import inspect_raster
from mpmjax.stream import claims
from mpmjax.stream.reader import open_raster

QUICK = ("a tile of 3.6 GB", "2.9 TB, nothing stored, large tiles", "65,535 bands in large tiles")


@pytest.mark.parametrize("bomb", QUICK)
def test_what_would_fill_the_memory_is_not_opened(tmp_path: Path, bomb: str) -> None:
    path = REFUSED[bomb](tmp_path)
    with pytest.raises(DataError, match=r"a\.tif: claims .*read at most\. If the file is sound, .*gdal_translate"):
        open_raster(path)


def test_the_largest_block_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All bands of a block count where they are interleaved by pixel, one where they are not."""
    for interleave, size in (("pixel", 3 * 16 * 16 * 2), ("band", 16 * 16 * 2)):
        tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16, "interleave": interleave}
        path = write(tmp_path / "a.tif", "int16", 3, **tiles)
        monkeypatch.setattr(claims, "LARGEST_BLOCK", size)
        with open_raster(path) as dataset:
            assert claims.block_size(dataset) == size
        monkeypatch.setattr(claims, "LARGEST_BLOCK", size - 1)
        with pytest.raises(DataError, match="claims blocks of"):
            open_raster(path)


def test_a_large_file_of_which_little_is_stored_is_sound(tmp_path: Path) -> None:
    source, _ = open_layer(one_block(tmp_path / "a.tif"))
    assert (source.height, source.width) == (100_000, 100_000)


def test_a_file_of_which_nothing_is_stored(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", {**image(HUGE, HUGE, 4096), **PLACE})
    with pytest.raises(DataError, match=r"it claims 400000 x 400000 .* none of its 9604 blocks is stored"):
        inspect_raster(path, "x")


@pytest.mark.parametrize("name", ["a.bil", "a.flt"])
def test_a_raw_file_cut_short(tmp_path: Path, name: str) -> None:
    """GDAL would read zeros."""
    dtype = "int16" if name == "a.bil" else "float32"
    path = write(tmp_path / name, dtype, driver="EHdr")
    whole = path.read_bytes()
    assert inspect_raster(path, "x").width == WIDTH
    path.write_bytes(whole[:-1])
    claimed = WIDTH * HEIGHT * np.dtype(dtype).itemsize
    with pytest.raises(
        DataError, match=rf"cut short: its header \(\.hdr\) claims {claimed} bytes, it has {claimed - 1}"
    ):
        inspect_raster(path, "x")


def test_a_raw_file_of_bits_is_not_taken_for_one_of_bytes(tmp_path: Path) -> None:
    path = raw(tmp_path, 64, 10, 1, 80)
    header = (tmp_path / "a.hdr").read_text()
    text(tmp_path / "a.hdr", header.replace("nbits 8", "nbits 1"))
    with pytest.raises(DataError, match="less than 8 bits"):
        inspect_raster(path, "x", crs="EPSG:32639")


@pytest.mark.parametrize("elsewhere", ["../b.ige", "\x81/b.ige"])
def test_cells_in_another_folder(tmp_path: Path, elsewhere: str) -> None:
    (tmp_path / "in").mkdir()
    path = write(tmp_path / "in" / "aaaa.img", "uint8", driver="HFA", USE_SPILL="YES")
    assert inspect_raster(path, "x").height == HEIGHT, "in its own folder they may lie"
    new = elsewhere.encode("latin-1").ljust(8, b"\0")
    (path.with_suffix(".ige")).rename(tmp_path / "b.ige")
    path.write_bytes(path.read_bytes().replace(b"aaaa.ige", new))
    with pytest.raises(DataError, match=r"aaaa\.img: (takes cells from .*b\.ige, which lies outside|names a file)"):
        open_raster(path)


@pytest.mark.parametrize("cell", ["nan", "inf"])
def test_cells_without_a_size_lie_nowhere(tmp_path: Path, cell: str) -> None:
    path = raw(tmp_path, 9, 9, 1, 81)
    header = (tmp_path / "a.hdr").read_text()
    text(tmp_path / "a.hdr", re.sub("xdim .*", f"xdim {cell}", header))
    with pytest.raises(DataError, match="does not say where its cells lie"):
        inspect_raster(path, "x", crs="EPSG:32639")


def test_an_ascii_grid_that_ends_early_is_refused_when_it_is_looked_at(tmp_path: Path) -> None:
    source, layer = open_layer(text(tmp_path / "a.asc", grid_header(500, 500)), crs="EPSG:32639")
    with pytest.raises(DataError, match=r"cannot be decoded.*cut short"):
        scan(source, layer)


def test_fewer_windows_are_looked_at_where_blocks_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, layer = open_layer(
        tiff(tmp_path / "a.tif", {**image(9000, 5000, 3008, compression=8), **PLACE}, data=zeros(3008**2))
    )
    monkeypatch.setattr(scanning, "DECODED", 3 * 3008**2)
    facts = scan(source, layer)
    assert (facts.cells, facts.whole) == (3 * 1024 * 1024, False)


def test_a_signalling_nan_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flt", "float32", driver="EHdr")
    cells = np.fromfile(path, "u4")
    cells[7] = 0x7F80_0001
    cells.tofile(path)
    assert scan(*open_layer(path)).missing == 1


def test_a_sound_small_file_is_read(tmp_path: Path) -> None:
    with open_raster(tiff(tmp_path / "a.tif", SMALL, data=bytes(2000))) as dataset:
        assert isinstance(dataset, rasterio.DatasetReader)
