"""Layers from the distance to features: the distance itself, a buffer, proximity. All through ops/distance.py.

What is measured is the distance between the centre of a cell and the centre of the nearest cell that a feature touches
(burn.py): exact between cells, and within half a cell's diagonal of the distance to the feature itself. Features beyond
the grid count. All cells within a distance of one of the grid's lie in the margin of that width, so that nothing is
missed where a margin as wide as the largest distance that matters is searched.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import shapely
from affine import Affine

from mpmjax.errors import DataError, DiskError
from mpmjax.evidence.vector.burn import Parts, take_apart, touched
from mpmjax.evidence.vector.features import Features
from mpmjax.ops.distance import distance
from mpmjax.stream.layerfile import STRIP_ROWS, Write, write_layer
from mpmjax.types import Grid

COARSE_CELLS = 1_000_000
"""Cells on which it is seen how far features can matter: of no weight beside the grid's own, and fine enough."""

Near = Callable[[float], Features]
"""Width of the margin around the grid in metres, >= 0 -> the features that meet the grid or the margin."""


def write_distance(
    near: Near, grid: Grid, out: Path, *, search_distance: float | None, label: str, scratch: Path
) -> tuple[int, list[str]]:
    """Distance from every cell of the grid to the nearest feature, as a GeoTIFF on the grid.

    It is not cut off at `search_distance`. The bytes of the file depend on the features, the grid and `search_distance`
    only.

    Args:
        out: the file to write: float32, metres, >= 0, no nodata.
        search_distance: how far beyond the grid features are looked for, in metres, >= 0; None: as far as matters, no
            farther than the largest distance to the grid's own features. Where it has none, within its diagonal.
        label: the layer and its file, for messages.
        scratch: folder for an intermediate file.

    Returns:
        How many features were used, and notes: those of `near`, and one if cells may have a nearer feature further out.

    Raises:
        DataError: as `near`.
        DiskError: a file cannot be written.
    """
    features, searched = to_begin_with(near, grid, search_distance)
    if search_distance is None and _more(features, grid, searched):
        searched = max(searched, _farthest(features, grid, searched, scratch))
        features = near(searched)
    uncertain = _measure(features, grid, out, searched, scratch)
    notes = list(features.notes)
    if uncertain and _more(features, grid, searched):
        notes.append(
            f"{label}: {uncertain} of {grid.height * grid.width} cells may have a nearer feature more than "
            f"{searched:g} m outside the grid, where none is looked for; raise search_distance if needed."
        )
    return len(features.geometries), notes


def write_buffer(
    near: Near, grid: Grid, out: Path, *, radius: float, label: str, scratch: Path
) -> tuple[int, list[str]]:
    """Where a feature is at most `radius` metres away: uint8, 1 there and 0 elsewhere, no nodata.

    Features beyond the grid's edge count. It is 1 exactly where `write_distance` gives `radius` or less.

    Returns:
        How many features were used, and the notes of `near`.

    Raises:
        DataError: as `near`, or no cell is that near to a feature.
        DiskError: a file cannot be written.
    """
    features = near(radius)
    cells = 0

    def make(write: Write) -> None:
        def threshold(row: int, block: np.ndarray) -> None:
            nonlocal cells
            inside = block <= np.float32(radius)  # both rounded alike, so a distance of exactly `radius` is inside
            cells += int(inside.sum())
            write(row, inside.astype(np.uint8))

        sweep(features.geometries, grid, radius, scratch, threshold)
        if not cells:
            raise DataError(
                f"{label}: no cell of the grid lies within {radius:g} m of a feature: the layer would be 0 everywhere. "
                "Raise radius, or leave the layer out."
            )

    write_layer(out, grid, "uint8", make, nodata=None)
    return len(features.geometries), list(features.notes)


def write_proximity(
    scored: Sequence[tuple[float, np.ndarray]],
    grid: Grid,
    out: Path,
    *,
    max_distance: float,
    label: str,
    scratch: Path,
) -> None:
    """Proximity: 1 at a feature, falling to 0 at `max_distance` in a straight line, times the score of its class.

    value = max over classes of score * max(0, 1 - distance / max_distance), float32 in 0..1, no nodata. One sweep a
    class; what the classes before it gave waits in a nameless file.

    Args:
        scored: score in 0..1 and geometries [n], n >= 0, of each class: all that lie within `max_distance` of the grid.

    Raises:
        DataError: it would be 0 everywhere.
        DiskError: a file cannot be written.
    """
    # Classes of one score are one class: the nearest of all their features gives their maximum. A score of 0 adds none.
    scores = sorted({score for score, geometries in scored if score > 0.0 and len(geometries)})
    highest = 0.0

    def make(write: Write) -> None:
        def finish(row: int, values: np.ndarray) -> None:
            nonlocal highest
            highest = max(highest, float(values.max()))
            write(row, values)

        with _Waiting(scratch, grid.width) as waiting:
            for score in scores:
                geometries = np.concatenate([found for other, found in scored if other == score])
                before = None if score == scores[0] else waiting.load
                after = finish if score == scores[-1] else waiting.save
                take = _raised(score, max_distance, before, after)
                sweep(geometries, grid, max_distance, scratch, take)
        if not highest:
            raise DataError(
                f"{label}: no cell of the grid lies within {max_distance:g} m of a feature that has a score above 0: "
                "the layer would be 0 everywhere. Raise max_distance, or leave the layer out."
            )

    write_layer(out, grid, "float32", make, nodata=None)


def sweep(geometries: np.ndarray, grid: Grid, search: float, scratch: Path, write: Write) -> None:
    """Distances of the grid's cells to the nearest of some features, strip by strip from the top.

    Args:
        geometries: shapely, object [n], n >= 1, in the grid's CRS.
        search: how far beyond the grid they count, in metres.
        write: (row, block float32 [rows, width]); the block is reused after the call.
    """
    parts = take_apart(geometries, grid)
    left, above, right, below = _margins(parts, grid, search)
    shape = (above + grid.height + below, left + grid.width + right)

    def burn(row: int, rows: int) -> np.ndarray:
        return touched(parts, row - above, -left, (rows, shape[1]))

    window = (above, left, grid.height, grid.width)
    distance(burn, shape, grid.cell_size, write, strip_rows=STRIP_ROWS, scratch=scratch, window=window)


def to_begin_with(near: Near, grid: Grid, search_distance: float | None) -> tuple[Features, float]:
    """The features that a distance is first measured to, and how far beyond the grid they were looked for.

    Raises:
        DataError: as `near`.
    """
    if search_distance is not None:
        return near(search_distance), search_distance
    try:
        return near(0.0), 0.0
    except DataError:
        # None on the grid: one beside it will do. What else may be wrong with the file is said by this call again.
        diagonal = math.hypot(grid.width * grid.cell_size[0], grid.height * grid.cell_size[1])
        return near(diagonal), diagonal


def _farthest(features: Features, grid: Grid, search: float, scratch: Path) -> float:
    """No cell of the grid lies farther from these features than this, in metres: seen on coarser cells."""
    step = math.ceil(math.sqrt(grid.height * grid.width / COARSE_CELLS))
    coarse = Grid(
        grid.crs, grid.transform @ Affine.scale(step), math.ceil(grid.width / step), math.ceil(grid.height / step)
    )
    farthest = 0.0

    def keep(row: int, block: np.ndarray) -> None:
        nonlocal farthest
        farthest = max(farthest, float(block.max()))

    sweep(features.geometries, coarse, search, scratch, keep)
    # From a centre to that of its coarse cell, from there to that of a coarse cell with a feature, to the feature, and
    # to the centre of the feature's own cell.
    return farthest + math.hypot(*coarse.cell_size) + math.hypot(*grid.cell_size) / 2


def _measure(features: Features, grid: Grid, out: Path, search: float, scratch: Path) -> int:
    """Write the distance; count the cells that may have a nearer feature beyond `search`."""
    uncertain = 0

    def make(write: Write) -> None:
        def count_and_write(row: int, block: np.ndarray) -> None:
            nonlocal uncertain
            uncertain += int((block > _to_unseen(grid, row, len(block), search)).sum())
            write(row, block)

        sweep(features.geometries, grid, search, scratch, count_and_write)

    write_layer(out, grid, "float32", make, nodata=None)
    return uncertain


def _more(features: Features, grid: Grid, search: float) -> bool:
    """Whether there are features, or parts of these, beyond the margin of width `search`."""
    low, high = np.split(shapely.total_bounds(features.geometries), 2)
    first, last = np.split(np.array(grid.bounds), 2)
    return not features.complete or bool((low < first - search).any() or (high > last + search).any())


def _raised(score: float, max_distance: float, before: Callable[[int, int], np.ndarray] | None, after: Write) -> Write:
    """Takes distances, and hands on their proximity where it is above what was there `before`."""

    def take(row: int, block: np.ndarray) -> None:
        near = np.maximum(0.0, 1.0 - block.astype(np.float64) / max_distance)
        values = (score * near).astype(np.float32)
        after(row, values if before is None else np.maximum(values, before(row, len(block))))

    return take


def _margins(parts: Parts, grid: Grid, search: float) -> tuple[int, int, int, int]:
    """Cells to the left, above, right and below the grid: as far as is searched, but no further than features reach.

    More than fits, so that a feature at the far edge of the margin meets a cell, whatever is rounded.
    """
    dx, dy = grid.cell_size
    first_col, first_row = parts.bounds[:, :2].min(axis=0)
    last_col, last_row = parts.bounds[:, 2:].max(axis=0)

    def cells(beyond: float, size: float) -> int:
        return max(0, math.floor(min(beyond, search / size + 1)) + 1)

    return (
        cells(-first_col, dx),
        cells(-first_row, dy),
        cells(last_col - grid.width, dx),
        cells(last_row - grid.height, dy),
    )


def _to_unseen(grid: Grid, row: int, rows: int, search: float) -> np.ndarray:
    """Distance in metres [rows, width] from cell centres to the nearest cell with features that were not looked for."""
    dx, dy = grid.cell_size
    down, across = np.arange(row, row + rows) + 0.5, np.arange(grid.width) + 0.5
    rows_off = np.minimum(down, grid.height - down) + (search // dy + 0.5)
    cols_off = np.minimum(across, grid.width - across) + (search // dx + 0.5)
    return np.minimum(rows_off[:, None] * dy, cols_off[None] * dx)


class _Waiting:
    """float32 strips of the grid's width in a nameless file, which goes when it is closed."""

    def __init__(self, folder: Path, width: int) -> None:
        self._folder, self._width = folder, width
        with self._said():
            # Unbuffered, so that a full disk speaks when a strip is written.
            self._file = tempfile.TemporaryFile(dir=folder, prefix="proximity-", buffering=0)  # noqa: SIM115 - closed below

    def __enter__(self) -> _Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def save(self, row: int, block: np.ndarray) -> None:
        data = memoryview(np.ascontiguousarray(block, np.float32).tobytes())
        with self._said():
            self._file.seek(4 * self._width * row)
            while data:
                data = data[self._file.write(data) :]

    def load(self, row: int, rows: int) -> np.ndarray:
        with self._said():
            self._file.seek(4 * self._width * row)
            data = self._file.read(4 * self._width * rows)
        if len(data) != 4 * self._width * rows:
            raise DiskError(f"An intermediate file in {self._folder} lost what was written. Check the disk.")
        return np.frombuffer(data, np.float32).reshape(rows, self._width)

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DiskError(
                f"The intermediate file of a proximity could not be kept in {self._folder} ({error.strerror}). Free "
                "some disk, or choose another folder."
            ) from error
