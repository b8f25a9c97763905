"""check: look at the data of a project, layer by layer, without doing the work."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from mpmjax.errors import MpmError
from mpmjax.evidence.grid import distortion, require_overlap, resolve_grid
from mpmjax.evidence.layer import raster_layer
from mpmjax.evidence.mask import prepare_mask
from mpmjax.evidence.points import read_occurrences
from mpmjax.evidence.raster import RasterSource, inspect_raster
from mpmjax.evidence.scan import judge, scan
from mpmjax.evidence.vector import read_features
from mpmjax.evidence.warp import choose_resampling
from mpmjax.project import Project
from mpmjax.project_sections import LayerSection
from mpmjax.stream.layerfile import window_of
from mpmjax.stream.reader import open_raster
from mpmjax.stream.tiles import strips
from mpmjax.types import Grid


@dataclass
class Findings:
    """Lines to read, warnings (usable, but look) and errors (a run would refuse)."""

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def check(project: Project) -> Findings:
    """Look at every source of the project and go on after a mistake, so that one call tells them all."""
    found = Findings()
    rasters: dict[str, RasterSource] = {}
    for section in project.layers:
        if section.derive is None:
            try:
                rasters[section.name] = inspect_raster(
                    project.path(section.source),
                    section.name,
                    band=section.band,
                    crs=section.crs,
                    nodata=section.nodata,
                )
                _values(section, rasters[section.name], found)
            except MpmError as error:
                found.errors.append(str(error))
    if project.grid.bounds is None and len(rasters) < sum(section.derive is None for section in project.layers):
        return found  # without all rasters the grid may be another one
    try:
        grid = resolve_grid(project.grid, list(rasters.values()))
        require_overlap(list(rasters.values()), grid)
        found.warnings += distortion(grid)
    except MpmError as error:
        found.errors.append(str(error))
        return found
    _describe_grid(project, rasters, grid, found)
    with TemporaryDirectory(prefix="mpmjax-") as folder:
        mask = _mask(project, grid, Path(folder), found)
        _vectors_and_points(project, grid, mask, found)
    return found


def _values(section: LayerSection, source: RasterSource, found: Findings) -> None:
    facts = scan(source, raster_layer(section, source))
    seen = "" if facts.whole else " (sampled)"
    values = f"values {facts.low:g} to {facts.high:g}" if facts.low <= facts.high else "no values"
    found.lines.append(
        f"{section.name}: {source.width} x {source.height} cells of {abs(source.transform.a):g} x "
        f"{abs(source.transform.e):g}, {source.crs.to_string()[:40]}, {source.dtype}, nodata {source.nodata}, "
        f"{values}, {facts.missing / max(facts.cells, 1):.1%} missing{seen}"
    )
    found.warnings += judge(source, facts)


def _describe_grid(project: Project, rasters: dict[str, RasterSource], grid: Grid, found: Findings) -> None:
    width, height = grid.cell_size
    found.lines.append(
        f"grid: {grid.width} x {grid.height} cells of {width:g} x {height:g} m, {grid.crs[:40]}, "
        f"{grid.width * grid.height * grid.cell_area_km2:,.0f} km2"
    )
    for name, source in rasters.items():
        section = project.layer(name)
        how = choose_resampling(source, grid, section.role, section.resampling)
        found.lines.append(f"  {name}: {'as it is' if source.lies_on(grid) else f'warped, {how}'}")


def _mask(project: Project, grid: Grid, folder: Path, found: Findings) -> Path | None:
    if project.grid.mask is None:
        return None
    try:
        mask = prepare_mask(project.path(project.grid.mask), grid, folder)
        with open_raster(mask) as dataset:
            inside = sum(int((dataset.read(1, window=window_of(strip)) > 0).sum()) for strip in strips(grid))
    except MpmError as error:
        found.errors.append(str(error))
        return None
    found.lines.append(f"mask: {inside:,} of {grid.width * grid.height:,} cells of the grid lie inside")
    return mask


def _vectors_and_points(project: Project, grid: Grid, mask: Path | None, found: Findings) -> None:
    for section in project.layers:
        if section.derive is None:
            continue
        try:
            features = read_features(
                project.path(section.source),
                grid,
                where=section.where,
                pad=section.search_distance or 0.0,
                crs=section.crs,
                name=section.name,
            )
            found.lines.append(f"{section.name}: {len(features.geometries)} features on the grid")
            found.warnings += features.notes
        except MpmError as error:
            found.errors.append(str(error))
    known = project.validate_
    if known is not None:
        try:
            points = read_occurrences(
                project.path(known.occurrences), grid, mask=mask, crs=known.crs, where=known.where
            )
            found.warnings += points.notes
            found.lines.append(f"occurrences: {points.points} points, {len(points.rows)} cells of the grid")
        except MpmError as error:
            found.errors.append(str(error))
