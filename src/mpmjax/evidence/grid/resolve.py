"""The grid of a project: like a layer, or from a CRS, a resolution and an extent. Always metric, snapped, north-up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyproj
from affine import Affine
from rasterio.crs import CRS

from mpmjax.errors import DataError, ProjectError
from mpmjax.evidence.crs import bounds_between, way_between
from mpmjax.evidence.grid.area import stretch
from mpmjax.evidence.grid.extent import bounds_from, mask_extent
from mpmjax.evidence.grid.propose import MOST_STRETCH, Extent, Proposal, in_one_zone, propose, propose_equal_area
from mpmjax.evidence.raster.source import RasterSource, parse_crs
from mpmjax.project_sections import GridSection
from mpmjax.types import Grid

_DEGREES = "EPSG:4326"


def resolve_grid(section: GridSection, sources: Sequence[RasterSource], mask: Path | None = None) -> Grid:
    """The grid that the project asks for.

    Without [grid] crs it is that of a raster layer (`like`, or the first). With crs and resolution it covers `bounds`
    (in bounds_crs if stated), else the mask, else the area common to all raster layers, snapped outward to whole
    multiples of the resolution.

    Args:
        mask: the project's mask: polygons, or a raster, of which the whole file counts.

    Raises:
        ProjectError: the CRS is geographic or not in metres, or bounds are missing and cannot be found.
        DataError: the raster layers do not overlap, or the mask cannot be read.
    """
    if section.crs is None:
        if not sources:
            raise ProjectError("[grid] crs and resolution: needed when there is no raster layer to take them from.")
        like = next((s for s in sources if s.name == section.like), sources[0])
        return _grid_of(like)
    crs = parse_crs(section.crs, "[grid]")
    _require_metres(crs, "[grid] crs", None)
    resolution = section.resolution
    if resolution is None:  # the project model asks for both or none
        raise ProjectError("[grid] crs needs resolution in metres (for example resolution = 60.0).")
    width, height = resolution if isinstance(resolution, tuple) else (resolution, resolution)
    bounds = _extent(section, section.crs, min(width, height), sources, mask)
    xmin, ymin = math.floor(bounds[0] / width + 1e-6) * width, math.floor(bounds[1] / height + 1e-6) * height
    cols, rows = math.ceil((bounds[2] - xmin) / width - 1e-6), math.ceil((bounds[3] - ymin) / height - 1e-6)
    cols, rows = max(cols, 1), max(rows, 1)  # of a mask that is a single point
    ymax = ymin + rows * height
    return Grid(_text_of(crs), Affine(width, 0.0, xmin, 0.0, -height, ymax), cols, rows)


def _extent(
    section: GridSection, crs: str, cell: float, sources: Sequence[RasterSource], mask: Path | None
) -> tuple[float, float, float, float]:
    if section.bounds is not None:
        xmin, ymin, xmax, ymax = section.bounds
        if section.bounds_crs is None and max(xmax - xmin, ymax - ymin) < cell and max(map(abs, section.bounds)) <= 360:
            raise ProjectError(
                f"[grid] bounds = {list(section.bounds)} are less than one cell in metres, and look like degrees: add "
                'bounds_crs = "EPSG:4326", or state them in metres.'
            )
        return section.bounds if section.bounds_crs is None else bounds_from(section.bounds, section.bounds_crs, crs)
    return (
        _common_bounds(sources, crs)
        if mask is None
        else mask_extent(mask, crs, cell, layer=section.mask_layer, stated=section.mask_crs)
    )


def _grid_of(source: RasterSource) -> Grid:
    where = f"layer {source.name!r}: {source.path}"
    _require_metres(source.crs, f"{where}: the grid is taken from this layer, and its CRS", source)
    transform = source.transform
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        raise ProjectError(
            f"{where}: rotated or not north-up, it cannot give the grid. State crs and resolution in [grid]; "
            "the layer will then be warped onto it."
        )
    return Grid(_text_of(source.crs), transform, source.width, source.height)


def _text_of(crs: CRS) -> str:
    """The authority's code where that means the same CRS, else WKT."""
    text = crs.to_string()
    return text if CRS.from_user_input(text) == crs else crs.to_wkt()


def _require_metres(crs: CRS, what: str, source: RasterSource | None) -> None:
    if crs.is_projected and abs(crs.linear_units_factor[1] - 1.0) < 1e-9:
        return
    kind = "geographic (degrees)" if crs.is_geographic else f"in {crs.linear_units}" if crs.is_projected else "local"
    raise ProjectError(f"{what} is {kind}; distances and areas need a projected CRS in metres. {_advice(source)}")


def _advice(source: RasterSource | None) -> str:
    """What to write into the project file for a source that is not in metres."""
    if source is None:
        return "State crs and resolution (in metres) in [grid], for example the UTM zone of the area."
    extent = source.bounds_in(_DEGREES)
    proposal = propose(extent, pyproj.CRS.from_wkt(source.crs.to_wkt())) if np.isfinite(extent).all() else None
    if proposal is None:
        return (
            "The layer spans more of the Earth than one such CRS can show: state crs, resolution and bounds of a part "
            "of it in [grid]."
        )
    cell = _cell_in(source, proposal)
    return f"Write into the project file, for example:\n{proposal.lines(cell)}"


def _cell_in(source: RasterSource, proposal: Proposal) -> float:
    """Size in metres of a square as large as the source's middle cell, to two digits."""
    col, row = source.width // 2, source.height // 2
    corners = np.array([source.transform @ place for place in ((col, row), (col + 1, row), (col, row + 1))])
    x, y = way_between(source.crs.to_wkt(), proposal.crs).transform(*corners.T)
    area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    return float(f"{math.sqrt(abs(area)):.2g}")


class Distortion(NamedTuple):
    """What a grid's CRS does to the ground there, in sentences: `notes` to act on, and `facts` to know."""

    notes: list[str]
    facts: list[str]


def distortion(grid: Grid) -> Distortion:
    """How far the grid's CRS changes the ground there.

    A note about lengths from 1 % on (4 % for equal-area CRSs, which give up lengths for areas). One about areas that
    differ over a grid that does not lie in one UTM zone: a fact from 0.1 %, a note from 1 %.

    Raises:
        ProjectError: lengths by more than 10 %: distances would be wrong (as in Web Mercator far from the equator).
    """
    xmin, ymin, xmax, ymax = grid.bounds
    x, y = np.meshgrid(np.linspace(xmin, xmax, 9), np.linspace(ymin, ymax, 9))
    ground = stretch(grid.crs, x.ravel(), y.ravel())
    shown = np.isfinite(ground.longest) & (ground.shortest > 0)
    if not shown.any():
        raise ProjectError(
            f"[grid] crs = {grid.crs[:60]} does not show the place where the grid lies; check the CRS and the bounds."
        )
    shortest, longest, area = (values[shown] for values in ground)
    worst = float(max((1 / shortest - 1).max(), (1 - 1 / longest).max()))
    extent = bounds_between(grid.crs, _DEGREES, grid.bounds)
    if worst > 0.1:
        proposal = propose(extent, pyproj.CRS.from_user_input(grid.crs)) if np.isfinite(extent).all() else None
        raise ProjectError(
            f"[grid] crs = {grid.crs[:60]} stretches lengths by up to {worst:.0%} on this grid; distances and areas "
            f"would be wrong. {_other(proposal)}"
        )
    notes = []
    if worst > (MOST_STRETCH if np.abs(area - 1).max() < 1e-3 else 0.01):
        notes.append(
            f"[grid] crs = {grid.crs[:60]} stretches lengths by up to {worst:.1%} on this grid, and distances with "
            "them; areas in km2 are those on the ground all the same."
        )
    differ = area.max() / area.min() - 1
    advice = _uneven(grid, differ, extent)
    return Distortion(notes + advice, []) if differ > 0.01 else Distortion(notes, advice)


def _other(proposal: Proposal | None) -> str:
    if proposal is None:
        return "The grid spans more of the Earth than one CRS can show: choose a part of it."
    return f"Choose one made for the area, for example {proposal}."


def _uneven(grid: Grid, differ: float, extent: Extent) -> list[str]:
    """What to know where areas differ over a grid that does not lie in one UTM zone."""
    if differ <= 1e-3 or not np.isfinite(extent).all() or in_one_zone(extent):
        return []
    west, _, east, _ = extent
    span = east - west if east >= west else east - west + 360.0
    proposal = propose_equal_area(extent, pyproj.CRS.from_user_input(grid.crs))
    hint = "" if proposal is None else f", for example {proposal}"
    note = (
        f"[grid] crs = {grid.crs[:60]}: equal cells differ by up to {differ:.1%} in true area over this grid, which "
        f"spans {span:.1f} degrees of longitude. Areas in km2 and shares of area are counted as on the ground all the "
        f"same; on the map they look equal in an equal-area CRS{hint}."
    )
    return [note]


def _common_bounds(sources: Sequence[RasterSource], crs: str) -> tuple[float, float, float, float]:
    if not sources:
        raise ProjectError("[grid] bounds: needed when there is no raster layer, and no mask, to take the area from.")
    boxes = {source.name: source.bounds_in(crs) for source in sources}
    for name, box in boxes.items():
        if not np.isfinite(box).all():
            raise ProjectError(
                f"[grid] bounds: needed, because the extent of layer {name!r} cannot be told in {_short(crs)}."
            )
    lows, highs = zip(*((box[:2], box[2:]) for box in boxes.values()), strict=True)
    xmin, ymin = (max(low[axis] for low in lows) for axis in (0, 1))
    xmax, ymax = (min(high[axis] for high in highs) for axis in (0, 1))
    if xmin >= xmax or ymin >= ymax:
        raise DataError(_no_overlap(boxes, crs))
    return xmin, ymin, xmax, ymax


def require_overlap(sources: Sequence[RasterSource], grid: Grid) -> None:
    """Every raster layer must share some area with the grid.

    Raises:
        DataError: names the layer, its extent and the grid's.
    """
    for source in sources:
        # In the source's CRS: a grid is small and transforms well, the extent of a continent or a disk seen from a
        # satellite does not.
        xmin, ymin, xmax, ymax = bounds_between(grid.crs, source.crs.to_wkt(), grid.bounds)
        box = source.bounds_in(source.crs.to_wkt())
        if not _meet(box[0], box[2], xmin, xmax, _turn(source.crs)) or box[1] >= ymax or box[3] <= ymin:
            where = f"layer {source.name!r} ({source.path})"
            raise DataError(_no_overlap({"the grid": grid.bounds, where: source.bounds_in(grid.crs)}, grid.crs))


def _turn(crs: CRS) -> float | None:
    """A full turn of longitude in the units of a geographic CRS."""
    return 2 * math.pi / crs.units_factor[1] if crs.is_geographic else None


def _meet(low: float, high: float, xmin: float, xmax: float, turn: float | None) -> bool:
    """Whether two stretches of x share more than a point; longitudes come again at every turn, and may wrap."""
    if turn is None:
        return low < xmax and xmin < high
    high, xmax = (end if end >= start else end + turn for start, end in ((low, high), (xmin, xmax)))
    return any(low < xmax + k * turn and xmin + k * turn < high for k in (-2, -1, 0, 1, 2))


def _no_overlap(boxes: dict[str, tuple[float, float, float, float]], crs: str) -> str:
    rows = "\n".join(f"  {name}: x {b[0]:.0f} to {b[2]:.0f}, y {b[1]:.0f} to {b[3]:.0f}" for name, b in boxes.items())
    return (
        f"The layers do not overlap. Their extents in {_short(crs)}:\n{rows}\n"
        "  Check their CRS (a wrong one can be overridden by crs = ... on the layer), or leave the stray layer out."
    )


def _short(crs: str) -> str:
    return crs if len(crs) < 40 else "the grid's CRS"
