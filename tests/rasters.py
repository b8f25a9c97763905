"""Rasters for tests: the awkward files of MPMJAX_DATA, and a layer as the stages see it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from districts import write_raster

from mpmjax.evidence.layer import raster_layer
from mpmjax.evidence.raster.source import RasterSource, inspect_raster
from mpmjax.evidence.raster.warp import align
from mpmjax.project_layers import LayerSection
from mpmjax.stream.reader import StackReader
from mpmjax.types import Grid, Layer, Tile

UTM = "EPSG:32639"
LEFT, TOP = 640_000.0, 3_700_000.0


def awkward(name: str) -> Path:
    """A file of MPMJAX_DATA/awkward; skips the test without."""
    folder = os.environ.get("MPMJAX_DATA")
    if not folder:
        pytest.skip("MPMJAX_DATA is not set: the awkward rasters are not at hand")
    return Path(folder) / "awkward" / name


def make_grid(width: int, height: int, cell: float = 60.0, left: float = LEFT, top: float = TOP) -> Grid:
    return Grid(UTM, Affine(cell, 0.0, left, 0.0, -cell, top), width, height)


def write_on(path: Path, grid: Grid, values: np.ndarray, **profile: Any) -> Path:
    """A GeoTIFF that lies on a grid, whatever CRS that has."""
    return write_raster(path, values, grid.transform, **{"crs": grid.crs} | profile)


def open_layer(
    path: Path, *, band: int = 1, crs: str | None = None, nodata: float | None = None, **section: Any
) -> tuple[RasterSource, Layer]:
    """A source and its layer 'x', as prepare makes them."""
    stated = {"name": "x", "source": path, "role": "index", "direction": "high"} | section
    source = inspect_raster(path, stated["name"], band=band, crs=crs, nodata=nodata)
    return source, raster_layer(LayerSection.model_validate(stated), source)


def values_of(layer: Layer, grid: Grid) -> np.ndarray:
    """The whole layer as every stage takes it: float64 in scaled units, NaN where missing."""
    with StackReader(grid, (layer,)) as reader:
        slab = reader.read(Tile(0, 0, 0, grid.height, grid.width))
    return np.where(slab.valid[0], slab.values[0] * np.float64(layer.scale) + layer.offset, np.nan)


def aligned(path: Path, grid: Grid, scratch: Path, resampling: str = "bilinear", **stated: Any) -> np.ndarray:
    """The values of a source laid on a grid."""
    source, layer = open_layer(path, **stated)
    scratch.mkdir(exist_ok=True)
    return values_of(align(source, grid, layer, resampling, scratch), grid)


def cell_centres(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """x and y of all cells [height, width]."""
    cols, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    return grid.transform.c + cols * grid.transform.a, grid.transform.f + rows * grid.transform.e
