"""Raster sources read at the same places of the grid: what is missing there, and which layers say the same twice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpmjax.evidence.checks.compare import cells_of, source_places
from mpmjax.evidence.raster.source import RasterSource, open_source, read_valid
from mpmjax.evidence.remarks import Remark
from mpmjax.stream.unreadable import forgiving
from mpmjax.types import Grid, Layer, Tile

SIDE = 20
"""Places come in blocks of 20 x 20 cells of the grid: few windows to decode, and still spread over the area."""

BLOCKS = 256
"""Most blocks, so most places are 102,400; a smaller grid is looked at whole."""

WINDOW = 1 << 20
"""Most cells of a source decoded at once; where a block of places covers more, places are read one by one."""

SINGLES = 4096
"""About how many are read then: every nth, by number, so that two such sources meet."""

SAME = 0.9999
"""From this correlation on two layers say the same."""

FEWEST = 30
"""Cells that must differ from the median of each layer before likeness means a thing: two empty maps are alike."""

HALF = 0.5
"""From this share of missing places on a layer is worth a word."""

CHUNK = 8192


@dataclass(frozen=True)
class Places:
    """Cells of the grid at which sources are compared: rows and columns, int64 [n], and the blocks that they form."""

    rows: np.ndarray
    cols: np.ndarray
    blocks: tuple[slice, ...]


@dataclass(frozen=True)
class Seen:
    """A source at places: raw values, float64 [n], NaN where missing or not looked at; and where it was, bool [n]."""

    values: np.ndarray
    looked: np.ndarray

    def missing(self, inside: np.ndarray) -> float:
        """Share of the places `inside` (bool [n]) that hold no value, 0..1; 0 where none was looked at."""
        asked = self.looked & inside
        return float(np.isnan(self.values[asked]).mean()) if asked.any() else 0.0


def choose_places(grid: Grid) -> Places:
    """Up to BLOCKS blocks of cells spread evenly over the grid, always the same ones."""
    down, across = math.ceil(grid.height / SIDE), math.ceil(grid.width / SIDE)
    most_down = min(down, max(round(math.sqrt(BLOCKS)), BLOCKS // across))
    most_across = min(across, BLOCKS // most_down)
    corners = [(row * SIDE, col * SIDE) for row in _spread(down, most_down) for col in _spread(across, most_across)]
    cells = [
        np.mgrid[row : min(row + SIDE, grid.height), col : min(col + SIDE, grid.width)].reshape(2, -1)
        for row, col in corners
    ]
    ends = np.cumsum([0, *(block.shape[1] for block in cells)]).tolist()
    rows, cols = np.concatenate(cells, axis=1)
    return Places(rows, cols, tuple(slice(a, b) for a, b in itertools.pairwise(ends)))


def _spread(number: int, most: int) -> list[int]:
    return [int((index + 0.5) * number / most) for index in range(most)]


def see(places: Places, grid: Grid, source: RasterSource, layer: Layer, on_error: str = "stop") -> Seen:
    """The cells of a source that lie under the centres of the places.

    Args:
        on_error: as [stream] states it.

    Raises:
        DataError: a block of the file cannot be decoded, and on_error is "stop".
    """
    bad = forgiving(on_error)
    seen = Seen(np.full(places.rows.size, np.nan), np.ones(places.rows.size, bool))
    cells = cells_of(source)
    cols, rows = source_places(cells, grid, places.cols + 0.5, places.rows + 0.5)
    with np.errstate(invalid="ignore"):
        inside = (cols >= 0) & (cols < cells.width) & (rows >= 0) & (rows < cells.height)
    rows, cols = (np.where(inside, np.floor(axis), -1.0).astype(np.int64) for axis in (rows, cols))
    blocks = [np.flatnonzero(inside[block]) + block.start for block in places.blocks]
    blocks = [(at, _around(rows[at], cols[at])) for at in blocks if at.size]
    if any(tile.height * tile.width > WINDOW for _, tile in blocks):
        seen.looked[:] = np.arange(seen.looked.size) % math.ceil(seen.looked.size / SINGLES) == 0
        single = np.flatnonzero(inside & seen.looked)
        blocks = [(single[i : i + 1], Tile(0, int(rows[at]), int(cols[at]), 1, 1)) for i, at in enumerate(single)]
    with open_source(source) as file:
        for at, tile in blocks:
            raw, valid = read_valid(file, tile, source, layer, bad)
            values = np.where(valid, raw, np.nan)
            seen.values[at] = values[rows[at] - tile.row, cols[at] - tile.col]
    return seen


def _around(rows: np.ndarray, cols: np.ndarray) -> Tile:
    row, col = int(rows.min()), int(cols.min())
    return Tile(0, row, col, int(rows.max()) - row + 1, int(cols.max()) - col + 1)


def twins(values: Mapping[str, np.ndarray], files: Mapping[str, tuple[Path, int]]) -> list[str]:
    """A sentence for every layer that says the same as an earlier one: it is the same band of the same file, or its
    values are a straight line of the other's.

    Args:
        values: of every layer at the same places, float64 [n], NaN where missing.
        files: path and band of every layer.
    """
    names, told = list(values), []
    likeness = np.abs(correlations([values[name] for name in names]))
    originals: list[int] = []
    for index, name in enumerate(names):
        same = ((names[at], _sameness(values, files, names[at], name, likeness[at, index])) for at in originals)
        original, what = next(((other, what) for other, what in same if what), ("", ""))
        if what:
            told.append(f"layers {original!r} and {name!r}: {what}, so that this evidence counts twice. Leave one out.")
        else:
            originals.append(index)
    return told


def _sameness(
    values: Mapping[str, np.ndarray], files: Mapping[str, tuple[Path, int]], one: str, other: str, likeness: float
) -> str:
    """What makes two layers the same evidence; "" where nothing does."""
    (path, band), (other_path, other_band) = files[one], files[other]
    if band == other_band and path.resolve() == other_path.resolve():
        return f"both are band {band} of {path}"
    if likeness <= SAME or not _tells(values[one], values[other]):
        return ""
    if np.array_equal(values[one], values[other], equal_nan=True):
        return "they hold the same values"
    return f"one is a straight line of the other (|r| = {likeness:.6f})"


def _tells(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether enough of what both hold differs from the usual value of each."""
    both = np.isfinite(one) & np.isfinite(other)
    return all((side[both] != np.median(side[both])).sum() >= FEWEST for side in (one, other))


def correlations(values: Sequence[np.ndarray]) -> np.ndarray:
    """Pearson's r of all pairs of L layers on the cells that both hold, float64 [L, L]; 0 where it is not defined.

    Args:
        values: L arrays float64 [n], NaN where missing.
    """
    number = len(values)
    scaled = [_standard(layer) for layer in values]
    sums, squares, products, counts = (np.zeros((number, number)) for _ in range(4))
    for start in range(0, values[0].size if number else 0, CHUNK):
        chunk = np.stack([layer[start : start + CHUNK] for layer in scaled])
        valid = np.isfinite(chunk).astype(np.float64)
        chunk = np.where(valid, chunk, 0.0)
        sums += chunk @ valid.T  # of layer i where layer j holds a value
        squares += chunk**2 @ valid.T
        products += chunk @ chunk.T
        counts += valid @ valid.T
    counts = np.maximum(counts, 1.0)
    spread = squares - sums**2 / counts
    # Of values of mean square 1: what is left below is rounding, and a layer that is constant there.
    defined = spread > 1e-9 * counts
    defined &= defined.T
    covariance = products - sums * sums.T / counts
    return np.where(defined, covariance / np.sqrt(np.where(defined, spread * spread.T, 1.0)), 0.0)


def _standard(values: np.ndarray) -> np.ndarray:
    """Values with mean 0 and standard deviation 1, so that their squares lose nothing; constants become 0."""
    held = values[np.isfinite(values)]
    if not held.size:
        return values
    spread = float(np.ptp(held))
    if not np.isfinite(spread) or spread == 0.0:
        return np.where(np.isfinite(values), 0.0, np.nan)
    small = (values - held.min()) / spread  # first to 0..1: squares of large values would overflow
    return (small - np.nanmean(small)) / np.nanstd(small)


def remarks_on_gaps(who: str, seen: Seen, inside: np.ndarray) -> list[Remark]:
    """A layer that has no value in more than half of the study area.

    Args:
        inside: bool [n], places in the study area.
    """
    missing = seen.missing(inside)
    if missing <= HALF:
        return []
    text = (
        "no value in more than half of the study area. Compare extent and nodata with what was meant, narrow the study "
        "area, or leave the layer out: cells where too few layers have data are not scored."
    )
    return [Remark(who, text, f"{missing:.0%} missing")]
