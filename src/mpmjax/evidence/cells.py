"""Single cells of a finished run, by a place or by a polygon: their values, memberships and class of area."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import shapely
from affine import Affine
from rasterio.features import geometry_mask

from mpmjax.errors import DataError
from mpmjax.evidence.crs import way_between
from mpmjax.ops.membership import membership
from mpmjax.ops.plan import plan_memberships
from mpmjax.products import CLASSES, MAP_NODATA
from mpmjax.stream.reader import StackReader
from mpmjax.types import Evidence, Grid, Layer, Screener, Tile

SCORED = "prospectivity.tif"
AREA_CLASSES = f"{CLASSES.name}.tif"
ROWS = 256
"""Rows of a polygon's window that are read at a time."""
WGS84 = "EPSG:4326"


class Cells(NamedTuple):
    """n cells that have a score, row by row.

    Attributes:
        rows, cols: int64 [n].
        values: float64 [n, L] in units; look at `valid` first.
        mu: float32 [n, L] memberships, 0 where not valid; valid: bool [n, L].
        classes: uint8 [n], area class on the run's map.
        of: how many cells the place has; more than n where only some were taken.
    """

    rows: np.ndarray
    cols: np.ndarray
    values: np.ndarray
    mu: np.ndarray
    valid: np.ndarray
    classes: np.ndarray
    of: int


def cell_at(x: float, y: float, lonlat: bool, evidence: Evidence, screener: Screener, output: Path) -> Cells:
    """The one cell that holds a place.

    Args:
        x, y: metres of the grid's CRS, or longitude and latitude in degrees (WGS 84) if `lonlat`.
        screener: what the maps in `output` were made with.

    Raises:
        DataError: the place is outside the grid or the study area, or its cell has no score.
    """
    grid, stated = evidence.grid, f"longitude {x:g}, latitude {y:g}" if lonlat else f"x {x:.10g}, y {y:.10g}"
    if lonlat:
        x, y = way_between(WGS84, grid.crs).transform(x, y)
    xmin, ymin, xmax, ymax = grid.bounds
    # Not the other way round: a place that the CRS cannot show is infinite or NaN, which is not inside either.
    if not (xmin <= x < xmax and ymin < y <= ymax):
        degrees = " These look like degrees: add --lonlat." if not lonlat and max(abs(x), abs(y)) <= 180 else ""
        raise DataError(
            f"{stated}: outside the grid, which spans x {xmin:.10g} to {xmax:.10g} and y {ymin:.10g} to {ymax:.10g} in "
            f"{_short(grid)}. Name a place inside.{degrees}"
        )
    row, col = (int(place[0]) for place in grid.rows_cols(np.array([x]), np.array([y])))
    cells, inside = _read([(Tile(0, row, col, 1, 1), np.ones((1, 1), bool))], 1, evidence, screener, output)
    if len(cells.rows):
        return cells
    if not inside:
        raise DataError(f"{stated}: outside the study area of the project's mask. Name a place inside.")
    coverage, layers = float(screener.settings["min_coverage"]), len(evidence.layers)
    raise DataError(
        f"{stated}: the cell in row {row}, column {col} has no score: fewer than {coverage:.0%} of the {layers} layers "
        "have data there. Name another place, or lower [model] min_coverage and run again."
    )


def cells_within(polygon: shapely.Geometry, most: int, evidence: Evidence, screener: Screener, output: Path) -> Cells:
    """The cells whose centre lies in a polygon of the grid's CRS; of more than `most`, `most` spread evenly.

    Only the polygon's window is read.

    Raises:
        DataError: none has a score.
    """
    grid = evidence.grid
    xmin, ymin, xmax, ymax = shapely.bounds(polygon)
    rows, cols = grid.rows_cols(np.array([xmin, xmax]), np.array([ymax, ymin]))
    top, bottom = max(int(rows[0]), 0), min(int(rows[1]) + 1, grid.height)
    left, right = max(int(cols[0]), 0), min(int(cols[1]) + 1, grid.width)
    parts = []
    for row in range(top, bottom, ROWS):
        tile = Tile(0, row, left, min(ROWS, bottom - row), right - left)
        place = grid.transform @ Affine.translation(left, row)
        parts.append((tile, geometry_mask([polygon], (tile.height, tile.width), place, invert=True)))
    count, before = sum(int(chosen.sum()) for _, chosen in parts), 0
    for _, chosen in parts:
        here = np.flatnonzero(chosen)
        number = before + np.arange(len(here))
        before += len(here)
        # Of `count` cells the i-th is kept where floor(i k / count) takes a step: k of them, evenly.
        of, k = max(count, 1), min(count, most)
        chosen.flat[here[(number + 1) * k // of == number * k // of]] = False
    cells, _ = _read([part for part in parts if part[1].any()], count, evidence, screener, output)
    if not len(cells.rows):
        raise DataError(f"{output}: no cell of the polygon has a score. Run the project again.")
    return cells


def _read(
    parts: list[tuple[Tile, np.ndarray]], of: int, evidence: Evidence, screener: Screener, output: Path
) -> tuple[Cells, bool]:
    """The chosen cells of windows that have a score, and whether any chosen one lies in the study area."""
    maps = (
        Layer("prospectivity", "index", output / SCORED, 1, "float32", MAP_NODATA),
        Layer(CLASSES.name, "index", output / AREA_CLASSES, 1, CLASSES.dtype, CLASSES.nodata),
    )
    layers, plan = len(evidence.layers), plan_memberships(evidence.layers, screener.memberships)
    empty = np.zeros(0, np.int64)
    bare = np.zeros((0, layers))
    found, inside = [(empty, empty, bare, bare.astype(np.float32), bare > 0, empty.astype(np.uint8))], False
    with StackReader(evidence.grid, (*evidence.layers, *maps), evidence.mask, evidence.on_error) as reader:
        for tile, chosen in parts:
            slab = reader.read(tile)
            inside |= bool((slab.inside & chosen).any())
            at = np.nonzero(chosen & slab.valid[layers])
            raw = [values[at] for values in slab.values]
            given = [valid[at] for valid in slab.valid[:layers]]
            mu, valid, _ = membership(raw[:layers], plan, given, order="cell", backend="cpu")
            units = [layer.in_units(values) for layer, values in zip(evidence.layers, raw, strict=False)]
            found.append((at[0] + tile.row, at[1] + tile.col, np.stack(units, axis=1), mu, valid, raw[-1]))
    return Cells(*(np.concatenate(pieces) for pieces in zip(*found, strict=True)), of=of), inside


def _short(grid: Grid) -> str:
    return grid.crs[:60]
