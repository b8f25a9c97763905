"""Writes the synthetic district: rasters window by window, vectors with a fixed clock. Same input, same bytes."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from pyogrio.raw import read as read_raw
from pyogrio.raw import write as write_raw
from rasterio.io import DatasetWriter
from shapely.geometry.base import BaseGeometry

from mpmjax.errors import DiskError
from mpmjax.products import MAP_NODATA
from mpmjax.synthetic.layers import Patch, Theme
from mpmjax.synthetic.noise import Window
from mpmjax.types import Grid

BLOCK = 512
WORKERS = 2
INTEGER_NODATA = -32768
_CLOCK = "2000-01-01T00:00:00.000Z"


def write_rasters(
    grid: Grid,
    layers: Sequence[tuple[Theme, Path]],
    patch_of: Callable[[Window], Patch],
    *,
    dtype: str,
    tile: int,
    missing_half: str | None = None,
) -> None:
    """Write each theme to its GeoTIFF: tiled 512 x 512, deflate, one thread a file, band named, unit and scale set.

    Windows are one row of blocks high, `tile` columns wide, rounded up to whole blocks, and are written in the order of
    the blocks, so that neither `tile` nor the timing of the workers shows in the files. A few are held at a time.

    Args:
        layers: theme and path of its file.
        patch_of: the fields of a window.
        dtype: "int16" (values in steps of the theme's `step`, which is the band's scale; nodata -32768) or "float32"
            (nodata -9999).
        tile: width of a window in cells.
        missing_half: name of a theme that is nodata in the left half of the grid.

    Raises:
        DiskError: a file could not be written, or does not hold what was written to it.
    """
    sums = [0] * len(layers)
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(_create(path, theme, grid, dtype)) for theme, path in layers]
            for window, tiles in _in_turn(_windows(grid, tile), partial(_values, patch_of, layers, dtype)):
                for k, ((theme, _), file, values) in enumerate(zip(layers, files, tiles, strict=True)):
                    if theme.name == missing_half:
                        values[:, : max(0, grid.width // 2 - window.col0)] = file.nodata
                    file.write(values, 1, window=_ranges(window))
                    sums[k] = zlib.crc32(values.tobytes(), sums[k])
        for (_, path), expected in zip(layers, sums, strict=True):
            _verify(path, expected, _windows(grid, tile))
    except OSError as error:
        folder = layers[0][1].parent
        raise DiskError(f"{folder}: the synthetic rasters could not be written: {error}. Is the disk full?") from error


def _in_turn(
    windows: Iterator[Window], compute: Callable[[Window], list[np.ndarray]]
) -> Iterator[tuple[Window, list[np.ndarray]]]:
    """Windows with what `compute` makes of them, in their order; a few ahead are computed meanwhile."""
    waiting: deque[tuple[Window, Future[list[np.ndarray]]]] = deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        for window in windows:
            waiting.append((window, pool.submit(compute, window)))
            if len(waiting) > WORKERS:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _verify(path: Path, expected: int, windows: Iterator[Window]) -> None:
    """Closing a GeoTIFF on a full disk raises nothing (seen with rasterio 1.4.4), so what was written is read again."""
    found = 0
    with rasterio.open(path, driver="GTiff") as file:
        for window in windows:
            found = zlib.crc32(file.read(1, window=_ranges(window)).tobytes(), found)
    if found != expected:
        raise DiskError(f"{path}: does not hold what was written to it. Free some disk space and write it again.")


def _ranges(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.row0, window.row0 + window.rows), (window.col0, window.col0 + window.cols)


def _windows(grid: Grid, tile: int) -> Iterator[Window]:
    width = -(-tile // BLOCK) * BLOCK  # whole blocks: one written in parts is padded otherwise at the grid's edge
    for row in range(0, grid.height, BLOCK):
        for col in range(0, grid.width, width):
            rows, cols = min(BLOCK, grid.height - row), min(width, grid.width - col)
            yield Window(row, col, rows, cols, grid.cell_size[0])


def _create(path: Path, theme: Theme, grid: Grid, dtype: str) -> DatasetWriter:
    # GDAL would look into a file that is there, and an .aux.xml beside it overrides what ours says of itself.
    for old in (path, path.with_name(f"{path.name}.aux.xml")):
        old.unlink(missing_ok=True)
    file = rasterio.open(
        path, "w", driver="GTiff", width=grid.width, height=grid.height, count=1, dtype=dtype, crs=grid.crs,
        transform=grid.transform, nodata=INTEGER_NODATA if dtype == "int16" else MAP_NODATA,
        tiled=True, blockxsize=BLOCK, blockysize=BLOCK, compress="deflate", predictor=2 if dtype == "int16" else 3,
        num_threads=1, bigtiff="IF_SAFER",
    )  # fmt: skip
    file.set_band_description(1, theme.name)
    file.set_band_unit(1, theme.unit)
    if dtype == "int16" and theme.step != 1.0:
        file.scales = (theme.step,)
    return file


def _values(
    patch_of: Callable[[Window], Patch], layers: Sequence[tuple[Theme, Path]], dtype: str, window: Window
) -> list[np.ndarray]:
    """The window of every layer as it goes into its file."""
    patch = patch_of(window)
    found = []
    for theme, _ in layers:
        values = theme.values(patch)
        if dtype == "int16":
            values = np.rint(values / theme.step).clip(INTEGER_NODATA + 1.0, 32767.0).astype(np.int16)
        else:
            values = values.astype(np.float32)
        for gap in _gaps(theme, patch):
            values[gap] = INTEGER_NODATA if dtype == "int16" else MAP_NODATA
        found.append(values)
    return found


def _gaps(theme: Theme, patch: Patch) -> Iterator[np.ndarray]:
    if theme.survey is not None:
        yield patch.gap[theme.survey]
    if theme.absent is not None:
        yield theme.absent(patch)


def write_vector(
    path: Path, crs: str, geometries: Sequence[BaseGeometry], fields: Mapping[str, Sequence[str] | np.ndarray]
) -> None:
    """Write one GeoPackage layer named like the file; `fields` are columns, a value a geometry.

    Raises:
        DiskError: the file could not be written, or does not hold what was written to it.
    """
    kinds = {geometry.geom_type for geometry in geometries}
    wkb = np.array(shapely.to_wkb(geometries), dtype=object)
    try:
        path.unlink(missing_ok=True)
        with _fixed_clock():
            write_raw(
                path, wkb, [np.array(values) for values in fields.values()], list(fields), layer=path.stem,
                driver="GPKG", crs=crs, geometry_type=kinds.pop() if len(kinds) == 1 else "Unknown",
            )  # fmt: skip
        written = read_raw(path)[2]
    except (OSError, DataLayerError, DataSourceError) as error:
        raise DiskError(f"{path}: could not be written: {error}. Is the disk full?") from error
    if list(written) != list(wkb):
        raise DiskError(f"{path}: does not hold what was written to it. Free some disk space and write it again.")


@contextmanager
def _fixed_clock() -> Iterator[None]:
    """A GeoPackage carries the time of its last change; ours are always of the same moment."""
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _CLOCK})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})
