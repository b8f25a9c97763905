"""check: look at the data of a project, layer by layer, without doing the work."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap

import numpy as np

from mpmjax.cost.model import table
from mpmjax.cost.rates import measure
from mpmjax.cost.work import Stack
from mpmjax.errors import MpmError
from mpmjax.evidence.checks.datum import crs_words
from mpmjax.evidence.checks.listing import aligned, raster_row
from mpmjax.evidence.checks.look import Findings, Look
from mpmjax.evidence.checks.placed import look_on_grid
from mpmjax.evidence.checks.roles import remarks_on_values, require_role
from mpmjax.evidence.formulas import read_formulas
from mpmjax.evidence.grid.area import cell_area
from mpmjax.evidence.grid.resolve import distortion, resolve_grid
from mpmjax.evidence.layer import raster_layer
from mpmjax.evidence.prepared.operands import band_sections, brightness, grid_sources, input_section, places_of_bands
from mpmjax.evidence.prepared.stack import RASTERS
from mpmjax.evidence.raster.scan import judge, scan
from mpmjax.evidence.raster.source import RasterSource, inspect_raster, unreadable_blocks
from mpmjax.evidence.remarks import gathered, sentences
from mpmjax.evidence.sources import circular
from mpmjax.evidence.valuetable import read_value_table
from mpmjax.ops.backend import DEFAULT, require, survey
from mpmjax.project import Project
from mpmjax.project_layers import LayerSection
from mpmjax.scoring.favourability import fit_membership
from mpmjax.stream.unreadable import told
from mpmjax.types import Grid

MANY_CELLS = 100_000_000_000
"""A continent at 10 m; more is rather a resolution in degrees."""


def check(project: Project) -> Findings:
    """Look at every source of the project and go on after a mistake, so that one call tells them all."""
    look = Look(project)
    with look.going_on():
        look.formulas = read_formulas(project)
    look.sections = _raster_sections(look)
    for key, section in look.sections.items():
        _open(look, key, section)
    seen = {key: (look.rasters[key], facts) for key, facts in look.facts.items()}
    look.notes += [note for scene in project.scenes for note in brightness(scene, seen)]
    grid = _grid(look)
    if grid is None:
        look.rows |= {
            key: raster_row(look.sections[key], source, look.facts.get(key), None, None, look.kind(key))
            for key, source in look.rasters.items()
        }
    else:
        with TemporaryDirectory(prefix="mpmjax-") as folder:
            look_on_grid(look, grid, Path(folder))
    look.notes += _same_derivations(project) + ([] if look.found.errors else circular(project))
    keys = dict.fromkeys([*(section.name for section in project.layers), *look.sections])
    rows = [look.rows[key] for key in keys if key in look.rows]
    look.found.lines = [*(aligned(rows) if rows else []), *look.found.lines, *_backends(look), *_plan(look, grid)]
    look.found.warnings += [*gathered(look.notes), *sentences(look.remarks)]
    return look.found


def _backends(look: Look) -> list[str]:
    """What could compute memberships and scores here, what will, and why nothing else."""
    with look.going_on():
        require(look.project.stream.backend)
    asked = look.project.stream.backend
    used = DEFAULT if asked == "auto" else asked
    lines = [f"memberships and scores: [stream] backend = {asked!r}"]
    for one in survey():
        mark = "used" if one.name == used and not one.refusal else "no" if one.refusal else "could"
        told = f"  {one.name:<6} {mark:<6} {one.refusal or one.what}"
        lines += wrap(told, 120, subsequent_indent=" " * 16, break_long_words=False, break_on_hyphens=False)
    return lines


def _raster_sections(look: Look) -> dict[str, LayerSection]:
    """The sections of all raster sources by key; of a scene whose bands are not found, none."""
    project = look.project
    found = {layer.name: layer for layer in project.layers if layer.form in RASTERS}
    found |= {item.name: input_section(item) for item in project.inputs}
    bands = {} if look.formulas is None else look.formulas.bands
    for scene in (scene for scene in project.scenes if scene.name in bands):
        with look.going_on():
            places = places_of_bands(project, scene, bands[scene.name])
            found |= band_sections(scene, places)
            told = [f"{band} = band {number} of {path}" for band, (path, number) in places.items()]
            look.found.lines.append(f"scene {scene.name!r}, {scene.sensor}: {', '.join(told)}")
    return found


def _same_derivations(project: Project) -> list[str]:
    """Layers that would come out alike, made alike of the same; rasters are compared by their values."""
    about = {"name", "role", "direction", "weight", "transform", "membership"}
    seen: dict[str, str] = {}
    twins = []
    for section in project.layers:
        if section.form != "raster":
            first = seen.setdefault(section.model_dump_json(exclude=about), section.name)
            if first != section.name:
                what = "features, derived alike" if section.form == "features" else "source and keys"
                twins.append(f"layers {first!r} and {section.name!r}: the same {what}. Keep one of them.")
    return twins


def _plan(look: Look, grid: Grid | None) -> list[str]:
    """How long a run will take here; nothing where it would refuse anyway."""
    if grid is None or look.found.errors:
        return []
    if look.project.stream.backend not in ("auto", DEFAULT):
        return [f"plan: none, because rates are measured of the backend {DEFAULT} only"]
    try:
        expressions = look.formulas.expressions if look.formulas is not None else {}
        known = (look.project, grid, look.rasters, look.looked, look.inside, look.sections, expressions)
        return table(*measure(Stack(*known)))
    except MpmError as error:
        return [f"plan: what a run takes cannot be foreseen: {error}"]


def _open(look: Look, key: str, section: LayerSection) -> None:
    is_evidence = look.kind(key) is None
    with look.going_on():
        source = inspect_raster(
            look.project.path(section.file), section.name, band=section.band, crs=section.crs, nodata=section.nodata
        )
        look.rasters[key] = source
        start = time.process_time()
        facts = look.facts[key] = scan(source, raster_layer(section, source), look.project.stream.on_error)
        look.looked[key] = time.process_time() - start
        look.notes += judge(source, facts, is_evidence) + told(unreadable_blocks(source, facts.unreadable))
        look.sound.append(key)
        if not is_evidence or section.form != "raster":
            return  # its values are not those of the layer
        look.remarks += remarks_on_values(section, source, facts)
        require_role(section, facts)
        _read_names(look.project, section, source)


def _read_names(project: Project, section: LayerSection, source: RasterSource) -> None:
    """The names of classes must be in the value table, as they must for a run.

    Raises:
        DataError: the table cannot be read, or the scores name a class that it does not hold.
    """
    codes = {}
    if section.value_table is not None and section.field is not None:
        path = project.path(section.value_table)
        codes = read_value_table(path, section.field, f"layer {section.name!r}: {path}")
    if section.role == "category":
        fit_membership(np.zeros(1), raster_layer(section, source, codes), section.membership)


def _grid(look: Look) -> Grid | None:
    """The grid; None where it is wrong, or hangs on a raster that cannot be opened and may be another one."""
    section = look.project.grid
    if not _needed_for_the_grid(look) <= set(look.rasters):
        return None
    with look.going_on():
        mask = None if section.mask is None else look.project.path(section.mask)
        grid = resolve_grid(section, list(grid_sources(look.project, look.rasters).values()), mask)
        notes, facts = distortion(grid)
        look.notes += notes
        width, height = grid.cell_size
        look.found.lines.append(
            f"grid: {grid.width} x {grid.height} cells of {width:g} x {height:g} m, {crs_words(grid.crs)}, "
            f"{grid.width * grid.height * _mean(cell_area(grid).nodes):,.0f} km2"
        )
        look.found.lines += facts
        if grid.width * grid.height > MANY_CELLS:
            look.notes.append(
                f"[grid] {grid.width * grid.height:.2g} cells: is the resolution ({width:g} x {height:g} m) meant in "
                "metres?"
            )
        return grid
    return None


def _needed_for_the_grid(look: Look) -> set[str]:
    """Keys of the rasters that the grid hangs on; one that nothing has where it cannot be known which they are."""
    section, layers = look.project.grid, [x.name for x in look.project.layers if x.form in RASTERS]
    known = layers or list(look.sections)
    if section.crs is not None:
        return set() if section.bounds is not None or section.mask is not None else set(known)
    if section.like is not None:
        return {key for key in look.sections if key.partition("/")[0] == section.like} or {section.like}
    first = known[0].partition("/")[0] if known else ""
    return {key for key in known if key.partition("/")[0] == first} or {first}


def _mean(nodes: np.ndarray) -> float:
    """Mean of what is linear between the nodes of a lattice [m, n]."""
    for _ in range(2):
        nodes = (nodes[1:] + nodes[:-1]).mean(axis=0) / 2 if len(nodes) > 1 else nodes[0]
        nodes = np.atleast_2d(nodes).T
    return float(nodes[0, 0])
