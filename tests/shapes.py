"""Features for tests of what is derived from them: random ones in cells of a grid, and a grid's cells as squares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
import shapely
from affine import Affine

from mpmjax.evidence.vector.features import Features
from mpmjax.types import Grid

GRIDS = {
    "square": Grid("EPSG:32639", Affine(50.0, 0.0, 400_000.0, 0.0, -50.0, 3_800_000.0), 45, 37),
    "not square": Grid("EPSG:32639", Affine(33.3, 0.0, 640_000.7, 0.0, -26.1, 3_700_000.1), 37, 45),
    "negative coordinates": Grid("EPSG:3577", Affine(250.0, 0.0, -1_200_125.0, 0.0, -250.0, -3_300_000.0), 41, 40),
}


def place(grid: Grid, cells: np.ndarray) -> np.ndarray:
    """Columns and rows [n, 2] -> coordinates [n, 2]."""
    (dx, dy), (left, top) = grid.cell_size, (grid.transform.c, grid.transform.f)
    return np.column_stack((left + cells[:, 0] * dx, top - cells[:, 1] * dy))


def random_shapes(grid: Grid, rng: np.random.Generator, count: int, *, snapped: bool = False) -> np.ndarray:
    """Points, lines, and polygons with and without holes, on the grid and a little beyond, in grid coordinates."""
    shapes = []
    for index in range(count):
        cells = rng.uniform(-6.0, max(grid.shape) + 6.0, (int(rng.integers(2, 7)), 2))
        if rng.random() < 0.5:
            cells = cells[0] + rng.uniform(-4.0, 4.0, cells.shape)
        xy = place(grid, np.round(2.0 * cells) / 2.0 if snapped else cells)
        line = shapely.linestrings(xy)
        wide = shapely.buffer(line, rng.uniform(0.2, 4.0) * grid.cell_size[0], quad_segs=2)
        shapes.append((shapely.points(xy[0]), line, wide, shapely.convex_hull(wide))[index % 4])
    return np.array(shapes, object)


def squares(grid: Grid, shrunk: float = 0.0) -> np.ndarray:
    """The cells [height, width] as polygons, each edge moved inwards by a share of the cell."""
    cols, rows = np.meshgrid(np.arange(grid.width), np.arange(grid.height))
    low, high = shrunk, 1.0 - shrunk
    corners = [
        place(grid, np.column_stack((cols.ravel() + a, rows.ravel() + b))) for a, b in ((low, high), (high, low))
    ]
    return shapely.box(*corners[0].T, *corners[1].T).reshape(grid.shape)


def centres(grid: Grid) -> np.ndarray:
    """The centres [height, width] of the cells as points."""
    cols, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    return shapely.points(place(grid, np.column_stack((cols.ravel(), rows.ravel())))).reshape(grid.shape)


def moved(grid: Grid, x: float = 0.0, y: float = 0.0, scale: float = 1.0) -> Grid:
    """The grid with x, y -> scale (x, y) + (x, y)."""
    return replace(grid, transform=Affine.translation(x, y) @ Affine.scale(scale) @ grid.transform)


def move(shapes: np.ndarray, x: float = 0.0, y: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Shapes likewise."""
    return shapely.transform(shapes, lambda xy: xy * scale + (x, y))


def near(shapes: np.ndarray, grid: Grid, labels: list[str] | None = None) -> Callable[[float], Features]:
    """What `read_features` gives for a margin, from features in memory."""
    shapes, names = np.asarray(shapes, object), None if labels is None else np.array(labels)

    def read(margin: float) -> Features:
        xmin, ymin, xmax, ymax = grid.bounds
        area = shapely.box(xmin - margin, ymin - margin, xmax + margin, ymax + margin)
        meets = shapely.intersects(area, shapes)
        return Features(shapes[meets], (), bool(meets.all()), None if names is None else names[meets])

    return read


def read_layer(path: Path, grid: Grid) -> np.ndarray:
    """A written layer, after a look whether it lies on the grid."""
    with rasterio.open(path) as dataset:
        assert (dataset.shape, dataset.transform, dataset.crs) == (grid.shape, grid.transform, grid.crs)
        return dataset.read(1)
