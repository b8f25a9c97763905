"""Reads rasters that may be damaged, under a memory limit, as mpmjax reads a user's; then as GDAL alone reads them.

A process of its own (`python header_worker.py BYTES`): a line of JSON with a path comes in, a line with what became of
it goes out. tests/headers.py starts it, waits with a clock in its hand, and starts another where it died.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import resource
import shutil
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from mpmjax.errors import MpmError
from mpmjax.evidence.layer import raster_layer
from mpmjax.evidence.raster.scan import judge, scan
from mpmjax.evidence.raster.source import RasterSource, inspect_raster
from mpmjax.evidence.raster.warp import align, choose_resampling
from mpmjax.project_layers import LayerSection
from mpmjax.stream.layerfile import window_of
from mpmjax.stream.reader import RASTER_DRIVERS, StackReader, gdal_environment
from mpmjax.types import Grid, Layer, Tile

CRS = "EPSG:32639"
TILE, TILES = 256, 3
"""Side of the tiles that are read, and how many of a large raster, the first and the last among them."""

LAID = 1 << 24
"""Cells of a raster that is laid on a grid: all of them may be read for it, which takes the time it takes."""

M_PERTURB, FILLED = -6, 0xA5
"""mallopt's number, and what memory is filled with, so that a case ends alike every time."""

HOME = Grid(CRS, Affine(60.0, 0.0, 640_000.0, 0.0, -60.0, 3_700_000.0), 50, 40)
"""Where the seeds lie, and so the grid that a raster which lost its place is laid on."""


def read(path: Path, crs: str | None) -> dict[str, Any]:
    """Look, read tiles, lay on the grid; {"kind": "refused", "read", "differs" or "unsteady", "words": ...}.

    "unsteady" is a file in which GDAL alone finds other values when memory held something else before: where a block
    inflates to more than its size, libdeflate stops before the end of the block, and libtiff takes that for success.
    """
    section = LayerSection.model_validate({"name": "x", "source": path, "role": "index", "direction": "high"})
    try:
        source = inspect_raster(path, "x", crs=crs)
        layer = raster_layer(section, source)
        facts = scan(source, layer)
        tiles = some_tiles(source)
        with StackReader(grid_of(source), (layer,)) as reader:
            found = [reader.read(tile) for tile in tiles]
        values = [slab.values[0] for slab in found]
        wrong = compare(source, tiles, values)
        if wrong:
            return {"kind": "differs", "words": wrong}
        with filled_with(0x5A):
            unsteady = compare(source, tiles, values)
        if unsteady:
            return {"kind": "unsteady", "words": unsteady}
        judge(source, facts)
        if source.height * source.width <= LAID:
            lay(source, layer, path.parent / "scratch")
    except MpmError as error:
        return {"kind": "refused", "words": f"{type(error).__name__}: {error}"}
    return {"kind": "read", "words": f"{source.dtype} {source.height} x {source.width}"}


def some_tiles(source: RasterSource) -> list[Tile]:
    """All, or some from the first to the last: what a header claims may have more tiles than the memory."""
    down, across = -(-source.height // TILE), -(-source.width // TILE)
    count = min(TILES, down * across)
    places = [divmod(i * (down * across - 1) // max(count - 1, 1), across) for i in range(count)]
    return [
        Tile(i, row * TILE, col * TILE, min(TILE, source.height - row * TILE), min(TILE, source.width - col * TILE))
        for i, (row, col) in enumerate(places)
    ]


def grid_of(source: RasterSource) -> Grid:
    return Grid(source.crs.to_wkt(), source.transform, source.width, source.height)


def lay(source: RasterSource, layer: Layer, scratch: Path) -> None:
    """As prepare does where a source does not lie on the grid: warp it."""
    scratch.mkdir()
    try:
        align(source, HOME, layer, choose_resampling(source, HOME, layer.role, None), scratch)
    finally:
        shutil.rmtree(scratch)


def compare(source: RasterSource, tiles: list[Tile], values: list[np.ndarray]) -> str:
    """What GDAL alone, told only the driver, finds otherwise; empty if nothing."""
    driver = RASTER_DRIVERS[source.path.suffix.lower()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(source.path, driver=driver)
    with dataset:
        plain = (dataset.width, dataset.height, dataset.dtypes[0], dataset.transform, dataset.scales[0])
        if plain != (source.width, source.height, source.dtype, source.transform, source.scale):
            return f"GDAL says {plain} of it"
        if repr(dataset.nodatavals[0]) != repr(source.nodata):
            return f"nodata {source.nodata}, GDAL {dataset.nodatavals[0]}"
        for tile, found in zip(tiles, values, strict=True):
            expected = dataset.read(1, window=window_of(tile))
            if expected.dtype != found.dtype or expected.tobytes() != found.tobytes():
                return f"other values in {tile}"
    return ""


@contextmanager
def filled_with(byte: int) -> Iterator[None]:
    """glibc fills what it hands out with a byte; elsewhere nothing is done. Before and after, with FILLED."""
    fill_memory(byte)
    try:
        yield
    finally:
        fill_memory(FILLED)


def fill_memory(byte: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_PERTURB, byte)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What became of a file. Whatever is raised that is no MpmError is what is looked for: it is told in full."""
    try:
        said = read(Path(request["path"]), request["crs"])
    except BaseException:  # noqa: BLE001 - MemoryError and SystemExit too; nothing is hidden, the parent fails on it
        said = {"kind": "raised", "words": traceback.format_exc()}
    return said | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}


def main() -> None:
    faulthandler.enable()
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message="Use `@` matmul", category=PendingDeprecationWarning)
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    fill_memory(FILLED)
    with gdal_environment():
        for line in sys.stdin:
            sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
