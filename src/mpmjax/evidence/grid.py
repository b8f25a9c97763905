"""The grid of a project: like a layer, or from a CRS, a resolution and bounds. Always metric, snapped, north-up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyproj
from affine import Affine
from rasterio.crs import CRS

from mpmjax.errors import DataError, ProjectError
from mpmjax.evidence.raster import RasterSource, bounds_between, parse_crs
from mpmjax.project_sections import GridSection
from mpmjax.types import Grid


def resolve_grid(section: GridSection, sources: Sequence[RasterSource]) -> Grid:
    """The grid that the project asks for.

    Without [grid], or with `like`, it is that of a raster layer (the first, by default). With crs and resolution it
    covers `bounds`, else the area common to all raster layers, snapped outward to whole multiples of the resolution.

    Raises:
        ProjectError: the CRS is geographic or not in metres, or bounds are missing and cannot be found.
        DataError: the raster layers do not overlap.
    """
    if section.crs is None:
        like = next((s for s in sources if s.name == section.like), sources[0])
        return _grid_of(like)
    crs = parse_crs(section.crs, "[grid]")
    _require_metres(crs, "[grid] crs", None)
    resolution = section.resolution
    if resolution is None:  # the project model asks for both or none
        raise ProjectError("[grid] crs needs resolution in metres (for example resolution = 60.0).")
    width, height = resolution if isinstance(resolution, tuple) else (resolution, resolution)
    bounds = section.bounds or _common_bounds(sources, section.crs)
    xmin, ymin = math.floor(bounds[0] / width + 1e-6) * width, math.floor(bounds[1] / height + 1e-6) * height
    cols, rows = math.ceil((bounds[2] - xmin) / width - 1e-6), math.ceil((bounds[3] - ymin) / height - 1e-6)
    ymax = ymin + rows * height
    return Grid(_text_of(crs), Affine(width, 0.0, xmin, 0.0, -height, ymax), cols, rows)


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
    hint = "for example the UTM zone of the area"
    if source is not None:
        xmin, ymin, xmax, ymax = source.bounds_in("EPSG:4326")
        hint = f'for example crs = "{utm_zone((xmin + xmax) / 2, (ymin + ymax) / 2)}"'
    raise ProjectError(
        f"{what} is {kind}; distances and areas need a projected CRS in metres. "
        f"State crs and resolution (in metres) in [grid], {hint}."
    )


def distortion(grid: Grid) -> list[str]:
    """How far the grid's CRS stretches the ground there: a note from 1 % in length on.

    Raises:
        ProjectError: more than 10 %: distances and areas would be wrong (as in Web Mercator far from the equator).
    """
    xmin, ymin, xmax, ymax = grid.bounds
    xs, ys = (
        np.array([xmin, xmin, xmax, xmax, (xmin + xmax) / 2]),
        np.array([ymin, ymax, ymin, ymax, (ymin + ymax) / 2]),
    )
    crs = pyproj.CRS.from_user_input(grid.crs)
    lon, lat = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True).transform(xs, ys)
    factors = pyproj.Proj(crs).get_factors(lon, lat)
    scales = np.sqrt(np.abs(np.asarray(factors.areal_scale, np.float64)))
    scales = scales[np.isfinite(scales)]
    worst = float(np.abs(scales - 1.0).max()) if scales.size else 0.0
    middle = np.isfinite(lon[4]) and np.isfinite(lat[4])
    hint = f'for example crs = "{utm_zone(lon[4], lat[4])}"' if middle else "for example the UTM zone of the area"
    if worst > 0.1:
        raise ProjectError(
            f"[grid] crs = {grid.crs[:60]} stretches lengths by up to {worst:.0%} on this grid; distances and areas "
            f"would be wrong. Choose one made for the area, {hint}."
        )
    if worst > 0.01:
        return [
            f"[grid] crs = {grid.crs[:60]} stretches lengths by up to {worst:.1%} on this grid; so are areas in km2."
        ]
    return []


def utm_zone(lon: float, lat: float) -> str:
    """The WGS 84 UTM zone of a point, as 'EPSG:326xx' or 'EPSG:327xx'."""
    zone = int((lon + 180.0) % 360.0 // 6) + 1
    return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"


def _common_bounds(sources: Sequence[RasterSource], crs: str) -> tuple[float, float, float, float]:
    if not sources:
        raise ProjectError("[grid] bounds: needed when there is no raster layer to take the area from.")
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
        if box[0] >= xmax or box[2] <= xmin or box[1] >= ymax or box[3] <= ymin:
            where = f"layer {source.name!r} ({source.path})"
            raise DataError(_no_overlap({"the grid": grid.bounds, where: source.bounds_in(grid.crs)}, grid.crs))


def _no_overlap(boxes: dict[str, tuple[float, float, float, float]], crs: str) -> str:
    rows = "\n".join(f"  {name}: x {b[0]:.0f} to {b[2]:.0f}, y {b[1]:.0f} to {b[3]:.0f}" for name, b in boxes.items())
    return (
        f"The layers do not overlap. Their extents in {_short(crs)}:\n{rows}\n"
        "  Check their CRS (a wrong one can be overridden by crs = ... on the layer), or leave the stray layer out."
    )


def _short(crs: str) -> str:
    return crs if len(crs) < 40 else "the grid's CRS"
