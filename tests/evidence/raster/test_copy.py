"""Decoded copies: the same raw values to the last bit, in plain blocks, from whatever blocks the source has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from districts import write_raster
from rasters import UTM, open_layer
from tolerances import assert_same_bits

from mpmjax.errors import DiskError
from mpmjax.evidence.raster import copy
from mpmjax.evidence.raster.copy import can_be_copied, copy_decoded
from mpmjax.stream.unreadable import Undecodable

SHAPE = (530, 310)
TILED = {"tiled": True, "blockxsize": 128, "blockysize": 384}
PROFILES: dict[str, dict[str, Any]] = {
    "strips": {"blockysize": 1, "compress": "deflate"},
    "tiles": {**TILED, "compress": "lzw", "predictor": 2},
    "plain": {},
}


def noise(dtype: str) -> np.ndarray:
    """Any bits: NaNs of every payload, infinities and minus zeros among the floats."""
    size = SHAPE[0] * SHAPE[1] * np.dtype(dtype).itemsize
    return np.frombuffer(np.random.default_rng(1).bytes(size), dtype).reshape(SHAPE).copy()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "float32", "float64", "int64"])
@pytest.mark.parametrize("most", [copy.MOST_BYTES, 1])
def test_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, profile: str, most: int) -> None:
    monkeypatch.setattr(copy, "MOST_BYTES", most)
    stated = PROFILES[profile] | ({} if np.dtype(dtype).kind != "f" or profile != "tiles" else {"predictor": 3})
    values = noise(dtype)
    path = write_raster(tmp_path / "a.tif", values, crs=UTM, nodata=7, **stated)
    source, _ = open_layer(path)
    copy_decoded(source, tmp_path / "copy.tif")
    with rasterio.open(tmp_path / "copy.tif") as dataset:
        assert_same_bits(dataset.read(1), values)
        assert dataset.block_shapes == [(256, 256)]
        assert dataset.compression is None
        assert dataset.nodata is None, "the layer holds it"
        assert dataset.transform == source.transform
        assert dataset.crs == source.crs


@pytest.mark.parametrize(
    ("block", "width", "most", "rows"),
    [(1, 100, 10**9, 256), (256, 100, 10**9, 256), (1024, 100, 10**9, 1024), (384, 100, 10**9, 768),
     (384, 100, 512 * 400, 512), (384, 100, 511 * 400, 256), (5000, 100, 256, 256)],
)  # fmt: skip
def test_whole_rows_of_blocks_as_far_as_memory_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, width: int, most: int, rows: int
) -> None:
    monkeypatch.setattr(copy, "MOST_BYTES", most)
    source, _ = open_layer(write_raster(tmp_path / "a.tif", np.ones((9, width), np.float32), crs=UTM))
    assert copy._rows(block, source) == rows


def test_the_band_that_is_asked_for(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.ones((30, 40), np.int16), crs=UTM, count=2)
    values = np.arange(1200, dtype=np.int16).reshape(30, 40)
    with rasterio.open(path, "r+") as file:
        file.write(values, 2)
    copy_decoded(open_layer(path, band=2)[0], tmp_path / "copy.tif")
    with rasterio.open(tmp_path / "copy.tif") as dataset:
        assert_same_bits(dataset.read(1), values)


def test_a_mask_of_the_file_s_own_would_be_lost(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.ones((30, 40), np.int16), crs=UTM)
    assert can_be_copied(open_layer(path)[0])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(np.eye(30, 40, dtype=bool))
    assert not can_be_copied(open_layer(path)[0])


def test_a_damaged_block_leaves_no_copy(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", noise("float32"), crs=UTM, **TILED, compress="zstd")
    source, _ = open_layer(path)
    with rasterio.open(path) as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", 1))
    content = bytearray(path.read_bytes())
    content[start : start + 24] = bytes(24)
    path.write_bytes(content)
    with pytest.raises(Undecodable, match=r"layer 'x': .*a\.tif, band 1, rows 0-529, columns 0-309: cannot be decoded"):
        copy_decoded(source, tmp_path / "copy.tif")
    assert [one.name for one in tmp_path.iterdir()] == ["a.tif"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    source, _ = open_layer(write_raster(tmp_path / "a.tif", noise("uint8"), crs=UTM))
    with pytest.raises(DiskError, match="cannot be written"):
        copy_decoded(source, tmp_path / "gone" / "copy.tif")
