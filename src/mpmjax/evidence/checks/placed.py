"""The sources of a project against its grid and against each other: study area, rasters, features, occurrences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mpmjax.evidence.checks.compare import remarks_on_shifts, remarks_on_size, sizes_in_use
from mpmjax.evidence.checks.datum import datum_findings
from mpmjax.evidence.checks.listing import computed_row, raster_row, samples_row, vector_row
from mpmjax.evidence.checks.look import Look
from mpmjax.evidence.checks.samples import look_at_samples
from mpmjax.evidence.checks.twins import Seen, choose_places, remarks_on_gaps, see, twins
from mpmjax.evidence.csvfile import CSV_SUFFIXES, read_coordinates
from mpmjax.evidence.grid.resolve import require_overlap
from mpmjax.evidence.layer import raster_layer
from mpmjax.evidence.mask import prepare_mask
from mpmjax.evidence.points import read_occurrences
from mpmjax.evidence.prepared.stack import RASTERS
from mpmjax.evidence.raster.source import inspect_raster
from mpmjax.evidence.vector.derive import refuse, section_features
from mpmjax.evidence.vector.features import Features
from mpmjax.evidence.vector.file import open_vector
from mpmjax.evidence.vector.proximity import to_begin_with
from mpmjax.project_layers import LayerSection
from mpmjax.stream.layerfile import window_of
from mpmjax.stream.reader import RASTER_DRIVERS, open_raster
from mpmjax.stream.tiles import strips
from mpmjax.types import Grid, Layer


def look_on_grid(look: Look, grid: Grid, folder: Path) -> None:
    """Lay everything beside the grid, in words: what overlaps it, what is shifted, missing, or the same twice.

    Args:
        folder: an existing one, for the study area as a raster.
    """
    for name, source in list(look.rasters.items()):
        with look.going_on():
            require_overlap([source], grid)
            look.placed[look.who(name)] = source
    mask = _mask(look, grid, folder)
    _compare(look, grid, mask)
    for section in look.project.layers:
        if section.form == "features":
            _features(look, grid, section)
        elif section.form == "samples":
            _samples(look, grid, section)
        elif section.form not in RASTERS:
            look.rows[section.name] = computed_row(section)
    _occurrences(look, grid, mask)
    look.remarks += remarks_on_shifts(look.placed, grid)
    look.systems |= {who: source.crs.to_wkt() for who, source in look.placed.items()}
    with look.going_on():
        lines, remarks = datum_findings(look.systems, grid)
        look.found.lines += lines
        look.remarks += remarks


def _mask(look: Look, grid: Grid, folder: Path) -> Path | None:
    section = look.project.grid
    if section.mask is None:
        return None
    with look.going_on():
        path = look.project.path(section.mask)
        mask = prepare_mask(path, grid, folder, layer=section.mask_layer, crs=section.mask_crs)
        with open_raster(mask) as dataset:
            inside = sum(int((dataset.read(1, window=window_of(strip)) > 0).sum()) for strip in strips(grid))
        look.inside = inside / (grid.width * grid.height)
        look.found.lines.append(f"mask: {inside:,} of {grid.width * grid.height:,} cells of the grid lie inside")
        _remember(look, grid, "mask", path, section.mask_crs, section.mask_layer)
        return mask
    return None


def _remember(look: Look, grid: Grid, who: str, path: Path, crs: str | None, layer: str | None) -> None:
    """Keep the place of a mask or of occurrences for comparison with the grid."""
    if path.suffix.lower() in RASTER_DRIVERS:
        look.placed[who] = inspect_raster(path, who, crs=crs)
    elif path.suffix.lower() in CSV_SUFFIXES:
        look.systems[who] = read_coordinates(path, who, crs=crs, planar_crs=grid.crs)[2].to_wkt()
    else:
        look.systems[who] = open_vector(path, who, crs=crs, layer=layer).crs.to_wkt()


def _compare(look: Look, grid: Grid, mask: Path | None) -> None:
    """Rasters against the grid, and against each other at the same places."""
    placed = {name: source for name, source in look.rasters.items() if look.who(name) in look.placed}
    places = choose_places(grid)
    inside = np.ones(places.rows.size, bool)
    if mask is not None:
        study_area = Layer("mask", "category", mask, 1, "uint8")
        inside = see(places, grid, inspect_raster(mask, "mask"), study_area).values > 0
    seen: dict[str, Seen] = {}
    for name, source in look.rasters.items():
        section, missing = look.sections[name], None
        if name in placed and name in look.sound:
            with look.going_on():
                seen[name] = see(places, grid, source, raster_layer(section, source), look.project.stream.on_error)
                missing = seen[name].missing(inside)
                look.remarks += remarks_on_gaps(look.who(name), seen[name], inside)
        on = grid if name in placed else None
        look.rows[name] = raster_row(section, source, look.facts.get(name), on, missing, look.kind(name))
    for name, source in placed.items():
        look.remarks += remarks_on_size(look.who(name), source, grid)
    look.notes += sizes_in_use(placed, grid)
    # What layers are computed from, and what a derivative is taken of, may well be another layer too.
    plain = {layer.name for layer in look.project.layers if layer.form == "raster"}
    look.notes += twins(
        {name: one.values for name, one in seen.items() if name in plain},
        {name: (look.rasters[name].path, look.rasters[name].band) for name in seen if name in plain},
    )


def _features(look: Look, grid: Grid, section: LayerSection) -> None:
    who = f"layer {section.name!r}"
    with look.going_on():
        path = look.project.path(section.file)

        def near(margin: float) -> Features:
            return section_features(section, path, grid, margin)

        if section.derive == "distance":
            features, _ = to_begin_with(near, grid, section.search_distance)
        else:
            features = near(section.radius or section.max_distance or 0.0)
        look.notes += features.notes
        look.systems[who] = open_vector(path, who, crs=section.crs, layer=section.layer).crs.to_wkt()
        look.notes += refuse(section, path, features, grid)
        look.rows[section.name] = vector_row(section, features, look.systems[who])


def _samples(look: Look, grid: Grid, section: LayerSection) -> None:
    if look.formulas is None:
        return
    with look.going_on():
        rules = look.project.samples_of(section.file)
        path = look.project.path(section.file)
        _remember(look, grid, f"layer {section.name!r}", path, rules.crs, rules.layer)
        seen = look_at_samples(look.project, section, look.formulas.fields[section.name], grid)
        look.notes += seen.notes
        look.found.lines.append(seen.line)
        look.rows[section.name] = samples_row(section, seen, look.systems[f"layer {section.name!r}"])


def _occurrences(look: Look, grid: Grid, mask: Path | None) -> None:
    known = look.project.validate_
    if known is None:
        return
    with look.going_on():
        path = look.project.path(known.occurrences)
        points = read_occurrences(path, grid, mask=mask, crs=known.crs, where=known.where, layer=known.layer)
        look.notes += points.notes
        look.found.lines.append(f"occurrences: {points.points} points, {len(points.rows)} cells of the grid")
        _remember(look, grid, "occurrences", path, known.crs, known.layer)
