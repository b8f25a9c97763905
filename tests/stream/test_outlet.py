"""What GDAL writes through Python: the same bytes, and every failure seen."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio.shutil
from districts import write_raster

from mpmjax.errors import DiskError
from mpmjax.products import PRODUCTS
from mpmjax.stream.mosaic import build_cog
from mpmjax.stream.outlet import Outlet

LIMIT = 1 << 30
"""Bytes beyond which no file grows in a test."""


@pytest.fixture
def limited() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("limited")
def test_what_cannot_be_written_is_noted_and_read_back(tmp_path: Path) -> None:
    """GDAL crashes where it does not find again what it believes to have written."""
    outlet, path = Outlet(), str(tmp_path / "sparse")
    with outlet(path, "w+b") as file:
        file.seek(LIMIT - 2)
        assert file.write(b"header") == 6
        assert outlet.failure is not None
        assert outlet.failure.errno == errno.EFBIG
        assert (file.tell(), file.seek(0, 2)) == (LIMIT + 4, LIMIT + 4)
        file.seek(LIMIT)
        assert file.write(b"xy") == 2
    with outlet(path, "r+b") as again:
        again.seek(LIMIT - 2)
        assert again.read(4) == b"hexy"
        assert again.read(10) == b"er"


def test_a_file_that_cannot_be_made_is_noted_and_one_that_is_not_there_is_none(tmp_path: Path) -> None:
    outlet = Outlet()
    with pytest.raises(FileNotFoundError):
        outlet(str(tmp_path / "no" / "a.tif"), "rb")
    assert outlet.failure is None
    with pytest.raises(FileNotFoundError):
        outlet(str(tmp_path / "no" / "a.tif"), "w+b")
    assert outlet.failure is not None


def test_a_map_is_the_one_that_gdal_writes_by_itself(tmp_path: Path) -> None:
    cells = np.random.default_rng(1).normal(size=(700, 900)).astype(np.float32)
    source = write_raster(tmp_path / "source.tif", cells, nodata=-9999.0)
    made = build_cog(source, tmp_path / "made.tif", PRODUCTS[0])
    rasterio.shutil.copy(
        source, tmp_path / "plain.tif", driver="COG", BLOCKSIZE="512", COMPRESS="DEFLATE", LEVEL="4", PREDICTOR="YES",
        OVERVIEW_RESAMPLING="AVERAGE", STATISTICS="YES", BIGTIFF="IF_SAFER",
    )  # fmt: skip
    assert made.read_bytes() == (tmp_path / "plain.tif").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"source.tif", "made.tif", "plain.tif"}
    with pytest.raises(DiskError, match="cannot be written"):
        build_cog(source, tmp_path / "no" / "made.tif", PRODUCTS[0])
