"""The cases of files: decoding a layer tile by tile as the screening pass does, and building a map's COG.

Files lie in a temporary folder and in the page cache: what is timed is the codec and what stands around it, not a disk.
One core. The floor is a copy of the decoded bytes.
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine

from mpmjax.products import PRODUCTS
from mpmjax.stream.mosaic import build_cog
from mpmjax.stream.reader import StackReader
from mpmjax.stream.tiles import cut
from mpmjax.types import Grid, Layer, Slab

from . import inputs
from .gate import Case, Verdict, close

TILE = 512
CODECS = ("none", "deflate", "zstd", "lerc")
CRS, CELL = "EPSG:32639", 30.0
LERC_ERROR = 0.0
"""Lossless, as everybody else here."""

Call = Callable[[], Any]


class Decoded:
    """What a way of reading gave: whole, or in windows."""

    def __init__(self, parts: Sequence[tuple[tuple[slice, slice], np.ndarray]], shape: tuple[int, int]) -> None:
        self._parts, self._shape = parts, shape

    def whole(self) -> np.ndarray:
        values = np.full(self._shape, np.nan)
        for place, part in self._parts:
            values[place] = part
        return values


def decode(rng: np.random.Generator, side: int) -> Iterator[Case]:
    """One layer with blocks of 512, in all usual codecs, int16 and float32."""
    integers = inputs.smooth_layers(rng, 1, side, np.int16)[0].reshape(side, side)
    floats = (integers * np.float32(0.37)).astype(np.float32)
    for values in (integers, floats):
        for codec in CODECS:
            yield _decoding(values, codec)


def _decoding(values: np.ndarray, codec: str) -> Case:
    folder = Path(mkdtemp(prefix="mpmjax-bench-"))
    path, side = folder / "layer.tif", len(values)
    _write(path, values, codec)
    grid = Grid(CRS, Affine(CELL, 0.0, 0.0, 0.0, -CELL, 0.0), side, side)
    layer = Layer("layer", "geophysics", path, 1, str(values.dtype))
    tiles = cut(grid.shape, TILE)

    def ours() -> list[Slab]:
        with StackReader(grid, (layer,)) as reader:
            return [reader.read(tile) for tile in tiles]

    _removed_with(ours, folder)
    return Case(
        variant=f"{values.dtype}, {codec}",
        unit="cells",
        work=side * side,
        bytes_moved=2 * values.nbytes,
        operations=0,
        op=ours,
        reference=lambda: values,
        judge=_judge_decoding,
        why="lossless: the values that were written",
        rivals={
            "rasterio, whole": partial(_whole, path),
            "rasterio, block by block": partial(_blockwise, path),
        },
        rival_tolerance=0.0,
        clock_reference=False,
        spot=lambda: _judge_decoding(ours(), values),
    )


def _removed_with(op: Call, folder: Path) -> None:
    """The folder goes when the case does that holds this call."""
    weakref.finalize(op, shutil.rmtree, folder, ignore_errors=True)


def _write(path: Path, values: np.ndarray, codec: str) -> None:
    side = len(values)
    block = min(TILE, -(-side // 16) * 16)
    options: dict[str, Any] = {"driver": "GTiff", "width": side, "height": side, "count": 1, "dtype": values.dtype}
    options |= {"crs": CRS, "transform": Affine(CELL, 0.0, 0.0, 0.0, -CELL, 0.0)}
    options |= {"tiled": True, "blockxsize": block, "blockysize": block}
    if codec != "none":
        options["compress"] = codec
    if codec in ("deflate", "zstd"):
        options["predictor"] = 3 if values.dtype == np.float32 else 2
    if codec == "lerc":
        options["max_z_error"] = LERC_ERROR
    with rasterio.open(path, "w", **options) as dataset:
        dataset.write(values, 1)


def _whole(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def _blockwise(path: Path) -> Decoded:
    with rasterio.open(path) as dataset:
        found = [(window.toslices(), dataset.read(1, window=window)) for _, window in dataset.block_windows(1)]
        return Decoded(found, dataset.shape)


def _judge_decoding(got: Any, wanted: np.ndarray) -> Verdict:
    if isinstance(got, list):
        got = Decoded([(slab.tile.slices, slab.values[0]) for slab in got], wanted.shape)
    return close(got.whole() if isinstance(got, Decoded) else got, wanted, 0.0)


def encode(rng: np.random.Generator, side: int) -> Iterator[Case]:
    """A map of scores (float32) and one of classes (uint8) to a COG with overviews and statistics."""
    scores = rng.random((side, side), np.float32)
    scores = np.round(scores * 0.2 + np.linspace(0.0, 0.8, side, dtype=np.float32)[:, None], 4)
    classes = (scores * 5).astype(np.uint8) + np.uint8(1)
    for product, values in ((PRODUCTS[0], scores), (PRODUCTS[-1], classes)):
        yield _encoding(product.name, values)


def _encoding(name: str, values: np.ndarray) -> Case:
    folder = Path(mkdtemp(prefix="mpmjax-bench-"))
    source, target, side = folder / "map.tif", folder / "cog.tif", len(values)
    _write(source, values, "none")
    product = next(product for product in PRODUCTS if product.name == name)

    def ours() -> Path:
        return build_cog(source, target, product)

    _removed_with(ours, folder)
    return Case(
        variant=f"{values.dtype} to COG",
        unit="cells",
        work=side * side,
        bytes_moved=2 * values.nbytes,
        operations=0,
        op=ours,
        reference=lambda: values,
        judge=_judge_encoding,
        why="lossless: the values that were handed over",
        rivals={
            "GDAL's COG driver, deflate": partial(_cog, source, folder / "deflate.tif", "DEFLATE"),
            "GDAL's COG driver, zstd": partial(_cog, source, folder / "zstd.tif", "ZSTD"),
            "GDAL's COG driver, zstd, with predictor and statistics": partial(
                _cog, source, folder / "same.tif", "ZSTD", PREDICTOR="YES", STATISTICS="YES"
            ),
        },
        rival_tolerance=0.0,
        clock_reference=False,
        spot=lambda: _judge_encoding(ours(), values),
    )


def _cog(source: Path, target: Path, compression: str, **options: str) -> Path:
    rasterio.shutil.copy(source, target, driver="COG", COMPRESS=compression, **options)
    return target


def _judge_encoding(got: Path | np.ndarray, wanted: np.ndarray) -> Verdict:
    """All pixels, and that overviews are there where there is room for them."""
    if not isinstance(got, Path):
        return close(got, wanted, 0.0)
    with rasterio.open(got) as dataset:
        verdict = close(dataset.read(1), wanted, 0.0)
        if len(wanted) > TILE and not dataset.overviews(1):
            return Verdict(verdict.error, 0.0, "no overviews")
    return verdict
