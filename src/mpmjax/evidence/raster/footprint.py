"""Where the cells of a grid lie in a raster source: how many of its cells they cover, and where its map is cut open.

Everything here is arithmetic on places; no cell of the source is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from affine import Affine
from pyproj import Transformer

from mpmjax.errors import DataError
from mpmjax.evidence.crs import way_between
from mpmjax.evidence.raster.source import RasterSource
from mpmjax.types import Grid, Tile

BLOCK = (128, 512)
"""Rows and columns that GDAL warps at a time."""

CELLS_AT_ONCE = 1 << 24
"""Cells of the source that a block may cover: 64 to 128 MiB. GDAL decodes all of them before it warps the block."""

CELLS_UNDER_ONE = 1 << 27
"""Cells of the source under a single cell of the grid beyond which the layer is refused: 1 GiB."""

BENT = 0.15
"""Share of its footprint by which the middle of a cell may lie off the mean of its corners: a few hundredths for what
the Earth's curvature does to a cell, 0.25 and more where the source's map is cut open between two corners."""

GROWN = 0.01
"""Cells by which a cell is grown to look for a cut: exactly on it, roundings decide on which side a corner lies."""


@dataclass(frozen=True)
class Footprint:
    """A grid as seen from a source."""

    source: RasterSource
    grid: Grid

    @cached_property
    def _way(self) -> Transformer:
        return way_between(self.grid.crs, self.source.crs.to_wkt())

    def places(self, cols: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows of the source at columns and rows of the grid; infinite or NaN where that is nowhere."""
        x, y = self._way.transform(
            *_at(self.grid.transform, np.asarray(cols, np.float64), np.asarray(rows, np.float64))
        )
        return _at(~self.source.transform, np.asarray(x), np.asarray(y))

    def cells_under(self) -> float:
        """How many cells of the source one cell of the grid covers; NaN where the grid lies nowhere in its map.

        The median of three places on the diagonal, and not from the extents: a whole continent stretches in a UTM
        zone, a rotated file fills half its box, and one of the places may lie on the antimeridian.
        """
        x, y = self._examples()
        with np.errstate(invalid="ignore", over="ignore"):  # infinite places
            across, down = x - x[:, :1], y - y[:, :1]
            return _median(np.abs(across[:, 1] * down[:, 2] - across[:, 2] * down[:, 1]))

    def span(self) -> tuple[float, float]:
        """How many columns and rows of the source the box around a cell of the grid takes; as `cells_under`."""
        with np.errstate(invalid="ignore"):
            columns, rows = (_median(np.ptp(places, axis=1)) for places in self._examples())
        return columns, rows

    def _examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows of the source at the corners of three cells, [3, 4] each."""
        share = np.array([[0.25], [0.5], [0.75]])
        return self.places(share * self.grid.width + [0, 1, 0, 1], share * self.grid.height + [0, 0, 1, 1])

    def pieces(self, strip: Tile) -> list[Tile]:
        """A strip of the grid cut so that no block of a piece covers more than CELLS_AT_ONCE cells of the source.

        Raises:
            DataError: one cell of the grid covers more than CELLS_UNDER_ONE.
        """
        blocks = list(_blocks(strip))
        if all(self._covered(block) <= CELLS_AT_ONCE for block in blocks):
            return [strip]
        return [piece for block in blocks for piece in self._cut(block)]

    def _cut(self, tile: Tile) -> Iterator[Tile]:
        covered = self._covered(tile)
        if covered <= CELLS_AT_ONCE or tile.height * tile.width == 1:
            if covered > CELLS_UNDER_ONE:
                raise DataError(
                    f"layer {self.source.name!r}: {self.source.path}: one cell of the grid covers {covered:.2g} of its "
                    "cells, too many to take together. Make it coarser first, for example with gdalwarp -r average."
                )
            yield tile
            return
        upper, left = -(-tile.height // 2), -(-tile.width // 2)
        if tile.height > tile.width:
            yield from self._cut(replace(tile, height=upper))
            yield from self._cut(replace(tile, row=tile.row + upper, height=tile.height - upper))
        else:
            yield from self._cut(replace(tile, width=left))
            yield from self._cut(replace(tile, col=tile.col + left, width=tile.width - left))

    def _covered(self, tile: Tile) -> float:
        """Cells of the source in the box around a tile, by 5 x 5 places on it."""
        rows, cols = np.meshgrid(
            np.linspace(tile.row, tile.row + tile.height, 5), np.linspace(tile.col, tile.col + tile.width, 5)
        )
        x, y = (place[np.isfinite(place)] for place in self.places(cols, rows))
        if not x.size or not y.size:
            return 0.0
        width = min(x.max(), self.source.width) - max(x.min(), 0.0)
        height = min(y.max(), self.source.height) - max(y.min(), 0.0)
        return float(max(width, 0.0) * max(height, 0.0))

    def torn(self, strip: Tile) -> np.ndarray:
        """Cells of a strip whose corners lie at opposite ends of the source's map, bool [height, width].

        So do those on the antimeridian in a map of the world: what GDAL takes to lie between the corners is the world.
        The strip may reach beyond the grid.
        """
        torn = np.zeros((strip.height, strip.width), bool)
        for block in _blocks(strip):
            if self._bent(np.array([block.row]), np.array([block.col]), block.height, block.width).any():
                rows, cols = np.mgrid[block.row : block.row + block.height, block.col : block.col + block.width]
                top, left = block.row - strip.row, block.col - strip.col
                torn[top : top + block.height, left : left + block.width] = self._bent(rows, cols, 1, 1)
        return torn

    def _bent(self, rows: np.ndarray, cols: np.ndarray, height: int, width: int) -> np.ndarray:
        """Whether the middles of tiles lie far off the mean of their corners; False where these are nowhere."""
        across = np.array([0.5 * width, -GROWN, width + GROWN, -GROWN, width + GROWN])
        down = np.array([0.5 * height, -GROWN, -GROWN, height + GROWN, height + GROWN])
        x, _ = self.places(cols[..., None] + across, rows[..., None] + down)
        with np.errstate(invalid="ignore"):
            corners = x[..., 1:]
            return np.abs(x[..., 0] - corners.mean(-1)) > BENT * np.ptp(corners, axis=-1) + 1.0


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else math.nan


def _at(transform: Affine, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b, c, d, e, f = transform[:6]
    with np.errstate(invalid="ignore", over="ignore"):  # cells of 1e-300 degrees
        return a * x + b * y + c, d * x + e * y + f


def _blocks(strip: Tile) -> Iterator[Tile]:
    for row in range(strip.row, strip.row + strip.height, BLOCK[0]):
        for col in range(strip.col, strip.col + strip.width, BLOCK[1]):
            height, width = min(BLOCK[0], strip.row + strip.height - row), min(BLOCK[1], strip.col + strip.width - col)
            yield Tile(strip.index, row, col, height, width)


def turns(source: RasterSource) -> list[RasterSource]:
    """The source, and where its longitudes run beyond 180 degrees the same one turn of the Earth to the side.

    PROJ gives longitudes of -180 to 180; a file of 0 to 360 holds the western half of the world beyond 180.
    """
    if not source.crs.is_geographic:
        return [source]
    half = math.pi / source.crs.units_factor[1]
    xmin, _, xmax, _ = source.bounds_in(source.crs.to_wkt())
    sides = [-2 * half] * (xmax > half) + [2 * half] * (xmin < -half)
    return [source, *(replace(source, transform=Affine.translation(side, 0) @ source.transform) for side in sides)]
