"""check: look at the data of a project, layer by layer, without doing the work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap

import numpy as np

from mpmjax.cost.model import table
from mpmjax.cost.rates import measure
from mpmjax.cost.work import Stack
from mpmjax.errors import MpmError
from mpmjax.evidence.checks.compare import remarks_on_shifts, remarks_on_size, sizes_in_use
from mpmjax.evidence.checks.datum import crs_words, datum_findings
from mpmjax.evidence.checks.listing import Row, aligned, raster_row, vector_row
from mpmjax.evidence.checks.roles import remarks_on_values, require_role
from mpmjax.evidence.checks.twins import Seen, choose_places, remarks_on_gaps, see, twins
from mpmjax.evidence.csvfile import CSV_SUFFIXES, read_coordinates
from mpmjax.evidence.grid.area import cell_area
from mpmjax.evidence.grid.resolve import distortion, require_overlap, resolve_grid
from mpmjax.evidence.layer import raster_layer
from mpmjax.evidence.mask import prepare_mask
from mpmjax.evidence.points import read_occurrences
from mpmjax.evidence.raster.scan import RasterFacts, judge, scan
from mpmjax.evidence.raster.source import RasterSource, inspect_raster, unreadable_blocks
from mpmjax.evidence.remarks import Remark, sentences
from mpmjax.evidence.sources import circular
from mpmjax.evidence.valuetable import read_value_table
from mpmjax.evidence.vector.derive import refuse, section_features
from mpmjax.evidence.vector.features import Features
from mpmjax.evidence.vector.file import open_vector
from mpmjax.evidence.vector.proximity import to_begin_with
from mpmjax.ops.backend import DEFAULT, require, survey
from mpmjax.project import Project
from mpmjax.project_layers import LayerSection
from mpmjax.scoring.favourability import fit_membership
from mpmjax.stream.layerfile import window_of
from mpmjax.stream.reader import RASTER_DRIVERS, open_raster
from mpmjax.stream.tiles import strips
from mpmjax.stream.unreadable import told
from mpmjax.types import Grid, Layer

MANY_CELLS = 100_000_000_000
"""A continent at 10 m; more is rather a resolution in degrees."""


@dataclass
class Findings:
    """Lines to read, warnings (usable, but look) and errors (a run would refuse)."""

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass
class _Look:
    """What was found out so far.

    Attributes:
        rasters: raster sources that can be opened, by layer; `facts` those that can be decoded, `sound` those whose
            values a run takes.
        rows: of the table, by layer.
        systems: CRS of every source as WKT, and `placed` every raster with a place, both by what messages call them.
        looked: CPU seconds of scanning each raster; inside: share of the grid in the study area.
    """

    project: Project
    found: Findings = field(default_factory=Findings)
    rasters: dict[str, RasterSource] = field(default_factory=dict)
    facts: dict[str, RasterFacts] = field(default_factory=dict)
    sound: list[str] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    systems: dict[str, str] = field(default_factory=dict)
    placed: dict[str, RasterSource] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    looked: dict[str, float] = field(default_factory=dict)
    inside: float = 1.0

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """A mistake is written down, and the look goes on behind it."""
        try:
            yield
        except MpmError as error:
            self.found.errors.append(str(error))


def check(project: Project) -> Findings:
    """Look at every source of the project and go on after a mistake, so that one call tells them all."""
    look = _Look(project)
    for section in project.layers:
        if section.derive is None:
            _open(look, section)
    grid = _grid(look)
    if grid is None:
        look.rows |= {
            name: raster_row(project.layer(name), source, look.facts.get(name), None, None)
            for name, source in look.rasters.items()
        }
    else:
        with TemporaryDirectory(prefix="mpmjax-") as folder:
            _on_the_grid(look, grid, Path(folder))
    look.notes += _same_derivations(project) + ([] if look.found.errors else circular(project))
    rows = [look.rows[section.name] for section in project.layers if section.name in look.rows]
    look.found.lines = [*(aligned(rows) if rows else []), *look.found.lines, *_backends(look), *_plan(look, grid)]
    look.found.warnings += [*look.notes, *sentences(look.remarks)]
    return look.found


def _backends(look: _Look) -> list[str]:
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


def _same_derivations(project: Project) -> list[str]:
    """Vector layers of one file that would come out alike."""
    about = {"name", "role", "direction", "weight", "transform", "membership"}
    seen: dict[str, str] = {}
    twins = []
    for section in project.layers:
        if section.derive is not None:
            first = seen.setdefault(section.model_dump_json(exclude=about), section.name)
            if first != section.name:
                twins.append(
                    f"layers {first!r} and {section.name!r}: the same features, derived alike. Keep one of them."
                )
    return twins


def _plan(look: _Look, grid: Grid | None) -> list[str]:
    """How long a run will take here; nothing where it would refuse anyway."""
    if grid is None or look.found.errors:
        return []
    try:
        return table(*measure(Stack(look.project, grid, look.rasters, look.looked, look.inside)))
    except MpmError as error:
        return [f"plan: what a run takes cannot be foreseen: {error}"]


def _open(look: _Look, section: LayerSection) -> None:
    with look.going_on():
        source = inspect_raster(
            look.project.path(section.source), section.name, band=section.band, crs=section.crs, nodata=section.nodata
        )
        look.rasters[section.name] = source
        start = time.process_time()
        facts = look.facts[section.name] = scan(source, raster_layer(section, source), look.project.stream.on_error)
        look.looked[section.name] = time.process_time() - start
        look.notes += judge(source, facts) + told(unreadable_blocks(source, facts.unreadable))
        look.sound.append(section.name)
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


def _grid(look: _Look) -> Grid | None:
    """The grid; None where it is wrong, or hangs on a raster that cannot be opened and may be another one."""
    section = look.project.grid
    if not _needed_for_the_grid(look.project) <= set(look.rasters):
        return None
    with look.going_on():
        mask = None if section.mask is None else look.project.path(section.mask)
        grid = resolve_grid(section, list(look.rasters.values()), mask)
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


def _needed_for_the_grid(project: Project) -> set[str]:
    """The raster layers that the grid hangs on."""
    named = [layer.name for layer in project.layers if layer.derive is None]
    if project.grid.crs is None:
        return {project.grid.like or named[0]}
    return set() if project.grid.bounds is not None or project.grid.mask is not None else set(named)


def _mean(nodes: np.ndarray) -> float:
    """Mean of what is linear between the nodes of a lattice [m, n]."""
    for _ in range(2):
        nodes = (nodes[1:] + nodes[:-1]).mean(axis=0) / 2 if len(nodes) > 1 else nodes[0]
        nodes = np.atleast_2d(nodes).T
    return float(nodes[0, 0])


def _on_the_grid(look: _Look, grid: Grid, folder: Path) -> None:
    for name, source in list(look.rasters.items()):
        with look.going_on():
            require_overlap([source], grid)
            look.placed[f"layer {name!r}"] = source
    mask = _mask(look, grid, folder)
    _compare(look, grid, mask)
    for section in look.project.layers:
        if section.derive is not None:
            _features(look, grid, section)
    _occurrences(look, grid, mask)
    look.remarks += remarks_on_shifts(look.placed, grid)
    look.systems |= {who: source.crs.to_wkt() for who, source in look.placed.items()}
    with look.going_on():
        lines, remarks = datum_findings(look.systems, grid)
        look.found.lines += lines
        look.remarks += remarks


def _mask(look: _Look, grid: Grid, folder: Path) -> Path | None:
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


def _remember(look: _Look, grid: Grid, who: str, path: Path, crs: str | None, layer: str | None) -> None:
    """Keep the place of a mask or of occurrences for comparison with the grid."""
    if path.suffix.lower() in RASTER_DRIVERS:
        look.placed[who] = inspect_raster(path, who, crs=crs)
    elif path.suffix.lower() in CSV_SUFFIXES:
        look.systems[who] = read_coordinates(path, who, crs=crs, planar_crs=grid.crs)[2].to_wkt()
    else:
        look.systems[who] = open_vector(path, who, crs=crs, layer=layer).crs.to_wkt()


def _compare(look: _Look, grid: Grid, mask: Path | None) -> None:
    """Rasters against the grid, and against each other at the same places."""
    placed = {name: source for name, source in look.rasters.items() if f"layer {name!r}" in look.placed}
    places = choose_places(grid)
    inside = np.ones(places.rows.size, bool)
    if mask is not None:
        study_area = Layer("mask", "category", mask, 1, "uint8")
        inside = see(places, grid, inspect_raster(mask, "mask"), study_area).values > 0
    seen: dict[str, Seen] = {}
    for name, source in look.rasters.items():
        section, missing = look.project.layer(name), None
        if name in placed and name in look.sound:
            with look.going_on():
                seen[name] = see(places, grid, source, raster_layer(section, source), look.project.stream.on_error)
                missing = seen[name].missing(inside)
                look.remarks += remarks_on_gaps(f"layer {name!r}", seen[name], inside)
        look.rows[name] = raster_row(section, source, look.facts.get(name), grid if name in placed else None, missing)
    for name, source in placed.items():
        look.remarks += remarks_on_size(f"layer {name!r}", source, grid)
    look.notes += sizes_in_use(placed, grid)
    look.notes += twins(
        {name: one.values for name, one in seen.items()},
        {name: (look.rasters[name].path, look.rasters[name].band) for name in seen},
    )


def _features(look: _Look, grid: Grid, section: LayerSection) -> None:
    who = f"layer {section.name!r}"
    with look.going_on():
        path = look.project.path(section.source)

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


def _occurrences(look: _Look, grid: Grid, mask: Path | None) -> None:
    known = look.project.validate_
    if known is None:
        return
    with look.going_on():
        path = look.project.path(known.occurrences)
        points = read_occurrences(path, grid, mask=mask, crs=known.crs, where=known.where, layer=known.layer)
        look.notes += points.notes
        look.found.lines.append(f"occurrences: {points.points} points, {len(points.rows)} cells of the grid")
        _remember(look, grid, "occurrences", path, known.crs, known.layer)
