"""Small valid rasters of every format that is read, whose headers tests/mutations.py damages."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from districts import CRS, corner
from rasterio.errors import NotGeoreferencedWarning

HEIGHT, WIDTH = 40, 50
TILED: Mapping[str, Any] = {"tiled": True, "blockxsize": 16, "blockysize": 16}


@dataclass(frozen=True)
class Seed:
    """A raster as the bytes of its files by name; the first is the one that is opened."""

    name: str
    files: Mapping[str, bytes]

    @property
    def main(self) -> str:
        return next(iter(self.files))


def cells(dtype: str, count: int = 1) -> np.ndarray:
    """[count, HEIGHT, WIDTH]: smooth with some noise, so that compressors have work, and a corner of nodata."""
    rng = np.random.default_rng(4)
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    values = 100 + rows + 0.5 * cols + rng.integers(0, 20, (count, HEIGHT, WIDTH))
    values[:, :5, :5] = 0
    return values.astype(dtype)


def write(path: Path, dtype: str, count: int = 1, driver: str = "GTiff", **profile: Any) -> Path:
    stated = {"height": HEIGHT, "width": WIDTH, "count": count, "dtype": dtype, "crs": CRS, "transform": corner()}
    with rasterio.open(path, "w", driver=driver, **stated | profile) as file:
        file.write(cells(dtype, count))
    return path


def with_mask(path: Path, inside: bool) -> Path:
    write(path, "uint8", **TILED, compress="deflate")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside), rasterio.open(path, "r+") as file:
        file.write_mask(cells("uint8")[0] > 110)
    return path


def with_overviews(path: Path, inside: bool) -> Path:
    write(path, "float32", **TILED, compress="deflate", nodata=0)
    with rasterio.Env(TIFF_USE_OVR=not inside), rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])
    return path


def with_metadata(path: Path) -> Path:
    write(path, "int16", count=2, nodata=0)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets, file.units = (0.1, 0.1), (5.0, 5.0), ("ppm", "ppm")
        file.update_tags(author="somebody", AREA_OR_POINT="Point")
        file.update_tags(1, element="Cu")
    return path


def with_sidecar(path: Path) -> Path:
    write(path, "int16")
    path.with_suffix(".tfw").write_text("60\n0\n0\n-60\n640030\n3699970\n")
    Path(f"{path}.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:32639</SRS><GeoTransform>640000, 60, 0, 3700000, 0, -60</GeoTransform>"
        '<PAMRasterBand band="1"><NoDataValue>0</NoDataValue><Offset>1</Offset><Scale>0.5</Scale>\n'
        '<Metadata><MDI key="STATISTICS_MEAN">1</MDI></Metadata></PAMRasterBand></PAMDataset>'
    )
    return path


def ascii_grid(path: Path, dtype: str) -> Path:
    """GDAL writes no ASCII grid from nothing: by a copy."""
    whole = write(path.with_name("whole.tif"), dtype, nodata=0)
    rasterio.shutil.copy(whole, path, driver="AAIGrid")
    whole.unlink()
    return path


def _tiff(dtype: str, count: int = 1, **profile: Any) -> Callable[[Path], Path]:
    return lambda folder: write(folder / "a.tif", dtype, count, **profile)


WAYS: Mapping[str, Callable[[Path], Path]] = {
    "strips": _tiff("int16", nodata=0, blockysize=7),
    "tiles": _tiff("float32", **TILED, nodata=-9999),
    "deflate": _tiff("float32", **TILED, compress="deflate", predictor=3),
    "zstd": _tiff("int32", **TILED, compress="zstd", BIGTIFF="YES"),
    "lzw": _tiff("int16", compress="lzw", predictor=2, nodata=0, blockysize=5),
    "lerc": _tiff("float32", **TILED, compress="lerc", nodata=0),
    "lerc zstd": _tiff("float64", compress="lerc_zstd", blockysize=8),
    "packbits": _tiff("uint8", compress="packbits", blockysize=8),
    "jpeg": _tiff("uint8", **TILED, compress="jpeg"),
    "lzma": _tiff("uint16", compress="lzma"),
    "bigtiff": _tiff("float64", blockysize=4, BIGTIFF="YES"),
    "big-endian": _tiff("int16", blockysize=16, ENDIANNESS="BIG", nodata=0),
    "pixels": _tiff("int16", 3, **TILED, compress="deflate", interleave="pixel"),
    "bands": _tiff("uint8", 3, compress="deflate", interleave="band"),
    "bits": _tiff("uint8", NBITS=1, compress="deflate"),
    "mask inside": lambda folder: with_mask(folder / "a.tif", True),
    "mask beside": lambda folder: with_mask(folder / "a.tif", False),
    "overviews inside": lambda folder: with_overviews(folder / "a.tif", True),
    "overviews beside": lambda folder: with_overviews(folder / "a.tif", False),
    "metadata": lambda folder: with_metadata(folder / "a.tif"),
    "sidecar": lambda folder: with_sidecar(folder / "a.tif"),
    "img": lambda folder: write(folder / "a.img", "int16", driver="HFA", nodata=0),
    "img compressed": lambda folder: write(folder / "a.img", "float32", driver="HFA", COMPRESSED="YES"),
    "img spilled": lambda folder: write(folder / "a.img", "uint8", driver="HFA", USE_SPILL="YES"),
    "asc": lambda folder: ascii_grid(folder / "a.asc", "int32"),
    "asc of floats": lambda folder: ascii_grid(folder / "a.asc", "float32"),
    "bil": lambda folder: write(folder / "a.bil", "int16", 2, driver="EHdr"),
    "flt": lambda folder: write(folder / "a.flt", "float32", driver="EHdr"),
}
"""Name -> who writes it into an empty folder, as a.* and what belongs to it."""


def make_seeds(folder: Path) -> list[Seed]:
    """All of WAYS, always in the same order and with the same bytes."""
    seeds = []
    for name, way in WAYS.items():
        own = folder / name.replace(" ", "-")
        own.mkdir(parents=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # masks and overviews beside a file are not
            main = way(own)
        beside = sorted(path for path in own.iterdir() if path != main)
        seeds.append(Seed(name, {path.name: path.read_bytes() for path in (main, *beside)}))
    return seeds
