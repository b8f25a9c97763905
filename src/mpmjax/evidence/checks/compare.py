"""Sources against the grid and each other: what they cover, how large their cells are, how far they are shifted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from mpmjax.evidence.crs import way_between
from mpmjax.evidence.raster.footprint import Footprint
from mpmjax.evidence.raster.source import RasterSource
from mpmjax.evidence.raster.warp import COARSENING
from mpmjax.evidence.remarks import Remark, several
from mpmjax.types import Grid

SAME_SIZE = 1e-3
"""Cell sizes that differ by less, as a share, are called one size."""

ALIGNED = 1e-3
"""Cells lie on each other to this share of a cell (RasterSource.lies_on)."""

LATTICE = 128
"""Points along each side of the grid at which coverage is told where a source lies askew to it."""


@dataclass(frozen=True)
class Cells:
    """The cells of a raster: of a source, or of the grid."""

    crs: CRS
    transform: Affine
    width: int
    height: int

    @property
    def size(self) -> tuple[float, float]:
        """(width, height) of a cell in the units of the CRS, both positive."""
        t = self.transform
        return math.hypot(t.a, t.d), math.hypot(t.b, t.e)

    @property
    def upright(self) -> bool:
        return not (self.transform.b or self.transform.d) and self.transform.a > 0 > self.transform.e

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(xmin, ymin, xmax, ymax) of upright cells."""
        t = self.transform
        return t.c, t.f + self.height * t.e, t.c + self.width * t.a, t.f


@dataclass(frozen=True)
class Shift:
    """How far cells are displaced against others of their size, in cells of those, less whole cells: -0.5 to 0.5.

    Attributes:
        east, north: at the upper left corner of what both cover.
        drift: how much that changes from there to the lower right corner, because the sizes are not quite the same.
    """

    east: float
    north: float
    drift: float = 0.0

    @property
    def none(self) -> bool:
        return max(abs(self.east), abs(self.north), self.drift) < ALIGNED

    @property
    def short(self) -> str:
        """Like "0.50 E, 0.50 S", in cells."""
        sides = (self.east, "E", "W"), (self.north, "N", "S")
        told = [f"{_share(part)} {plus if part > 0 else minus}" for part, plus, minus in sides if abs(part) >= ALIGNED]
        return ", ".join(told) or (f"to {_share(self.drift)}" if self.drift >= ALIGNED else "none")

    def words(self, others: Cells) -> str:
        """Like "0.50 cell (500 m) east and 0.50 cell (500 m) south"."""
        sides = (self.east, others.size[0], "east", "west"), (self.north, others.size[1], "north", "south")
        return " and ".join(
            f"{_share(part)} cell ({abs(part) * length:.4g} {unit(others.crs)}) {plus if part > 0 else minus}"
            for part, length, plus, minus in sides
            if abs(part) >= ALIGNED
        )


def cells_of(what: RasterSource | Grid) -> Cells:
    """The cells of a source or of the grid."""
    crs = what.crs if isinstance(what, RasterSource) else CRS.from_user_input(what.crs)
    return Cells(crs, what.transform, what.width, what.height)


def shift(cells: Cells, others: Cells) -> Shift | None:
    """How far cells are displaced against others; None where their CRS or sizes differ or nothing is common to both."""
    if cells.crs != others.crs or not (cells.upright and others.upright) or not _one_size(cells.size, others.size):
        return None
    low, high = _common(cells, others)
    if low[0] >= high[0] or low[1] >= high[1]:
        return None
    (east, north), (far_east, far_north) = (
        _displacement(cells, others, corner) for corner in ((low[0], high[1]), (high[0], low[1]))
    )
    drift = max(abs(far_east - east), abs(far_north - north))
    return Shift(_fraction(east), _fraction(north), drift if drift >= ALIGNED else 0.0)


def _common(cells: Cells, others: Cells) -> tuple[tuple[float, float], tuple[float, float]]:
    """Lower left and upper right corner of what both cover; crossed over where that is nothing."""
    own, other = cells.box, others.box
    return (max(own[0], other[0]), max(own[1], other[1])), (min(own[2], other[2]), min(own[3], other[3]))


def _displacement(cells: Cells, others: Cells, point: tuple[float, float]) -> tuple[float, float]:
    """East and north in cells, at a point (x, y)."""
    (col, row), (other_col, other_row) = ((~c.transform) @ point for c in (cells, others))
    return other_col - col, row - other_row


def _fraction(cells: float) -> float:
    """What is left of a displacement without whole cells; of half a cell the side that it was on is kept."""
    part = cells - round(cells)
    return math.copysign(0.5, cells) if abs(abs(part) - 0.5) < ALIGNED else part


def _share(cells: float) -> str:
    return f"{abs(cells):.2f}" if abs(cells) >= 0.005 else f"{abs(cells):.3f}"


def _one_size(size: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(math.isclose(a, b, rel_tol=SAME_SIZE) for a, b in zip(size, other, strict=True))


def overlap(cells: Cells, grid: Grid) -> float:
    """The share of the grid's area that the extent of a source covers, 0..1; to about 1/128 where they lie askew."""
    own = cells_of(grid)
    if cells.crs == own.crs and cells.upright:
        low, high = _common(cells, own)
        area = max(0.0, high[0] - low[0]) * max(0.0, high[1] - low[1])
        return area / ((own.box[2] - own.box[0]) * (own.box[3] - own.box[1]))
    places = (np.arange(LATTICE) + 0.5) / LATTICE
    cols, rows = np.meshgrid(places * grid.width, places * grid.height)
    cols, rows = source_places(cells, grid, cols.ravel(), rows.ravel())
    inside = (cols >= 0) & (cols < cells.width) & (rows >= 0) & (rows < cells.height)
    return float(inside.mean())


def source_places(cells: Cells, grid: Grid, cols: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of the grid (0.5 is the centre of the first cell) as those of a source; infinite where none."""
    x, y = _at(grid.transform, cols, rows)
    if cells.crs != CRS.from_user_input(grid.crs):
        x, y = way_between(grid.crs, cells.crs.to_wkt()).transform(x, y)
    with np.errstate(invalid="ignore"):  # infinity times 0
        return _at(~cells.transform, np.asarray(x), np.asarray(y))


def _at(transform: Affine, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f


def size_words(cells: Cells) -> str:
    """Like "1000 x 1000 m" or "0.05 x 0.05 degrees"."""
    width, height = (f"{round(side, 1):g}" if side >= 10 else f"{side:.4g}" for side in cells.size)
    return f"{width} x {height} {unit(cells.crs)}"


def unit(crs: CRS) -> str:
    """m, degrees, or what the CRS calls it."""
    if crs.is_geographic:
        return "degrees"
    return "m" if crs.linear_units in ("metre", "meter") else crs.linear_units


def remarks_on_shifts(sources: Mapping[str, RasterSource], grid: Grid) -> list[Remark]:
    """Sources whose cells are those of the grid, or else of an earlier source, but displaced by a part of a cell.

    Args:
        sources: by what messages call them, like "layer 'Li'", "mask" or "occurrences".
    """
    remarks: list[Remark] = []
    known = {"the grid": cells_of(grid)}
    for who, source in sources.items():
        cells = cells_of(source)
        found = ((name, others, shift(cells, others)) for name, others in known.items())
        name, others, moved = next((item for item in found if item[2] is not None), ("", cells, None))
        if moved is None:
            known[who] = cells  # the first of its size
        elif not moved.none:
            remarks.append(_shifted(who, cells, name, others, moved))
    return remarks


def _shifted(who: str, cells: Cells, name: str, others: Cells, moved: Shift) -> Remark:
    outcome = "they are resampled"
    if who == "occurrences":
        outcome = "the centre of such a cell may fall into the next one"
    if moved.drift:
        return Remark(
            who,
            f"cells of {_exactly(cells)}, almost those of {name} ({_exactly(others)}): over the extent they run apart "
            f"by {_share(moved.drift)} cell, so that {outcome}. If both should be the same, correct the extent with "
            "gdal_translate -a_ullr.",
        )
    return Remark(
        who,
        f"cells as those of {name} ({size_words(others)}) but shifted by {moved.words(others)}: {outcome}. If the "
        "shift is a mistake (cell centres written as corners), correct the origin with gdal_translate -a_ullr; if it "
        "is not, nothing is to be done.",
    )


def _exactly(cells: Cells) -> str:
    return f"{cells.size[0]:.8g} x {cells.size[1]:.8g} {unit(cells.crs)}"


def sizes_in_use(sources: Mapping[str, RasterSource], grid: Grid) -> list[str]:
    """One sentence that names the cell sizes and who has which, where there are several; names as in `sources`."""
    groups: list[tuple[Cells, list[str]]] = []
    for name, source in sources.items():
        cells = cells_of(source)
        like = (names for other, names in groups if _alike(cells, other))
        names = next(like, None)
        if names is None:
            groups.append((cells, [name]))
        else:
            names.append(name)
    if len(groups) < 2:
        return []
    told = "; ".join(f"{size_words(cells)} ({several(names)})" for cells, names in groups)
    grid_size = size_words(cells_of(grid))
    text = f"The rasters have {len(groups)} cell sizes: {told}. The grid has {grid_size}: look whether that suits"
    return [f"{text} the layers that matter most."]


def _alike(cells: Cells, others: Cells) -> bool:
    return unit(cells.crs) == unit(others.crs) and _one_size(cells.size, others.size)


def remarks_on_size(who: str, source: RasterSource, grid: Grid) -> list[Remark]:
    """Cells that are not square, and cells much larger than those of the grid."""
    cells = cells_of(source)
    remarks = []
    if not math.isclose(*cells.size, rel_tol=SAME_SIZE):
        remarks.append(
            Remark(
                who,
                f"no square cells ({size_words(cells)}), often the trace of an export with a wrong extent. Compare the "
                "extent with that of the original.",
            )
        )
    within = 1.0 / Footprint(source, grid).cells_under()  # as the resampling is chosen by
    if within > COARSENING**2:
        remarks.append(
            Remark(
                who,
                f"coarser than the grid: a cell of the source covers {within:.3g} cells of the grid, which show no "
                "more detail than the source has. Choose a coarser grid if these layers matter most.",
            )
        )
    return remarks
