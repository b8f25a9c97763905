"""prepare: sources -> one grid -> evidence stack."""

from __future__ import annotations

from pathlib import Path

from mpmjax.errors import DataError
from mpmjax.evidence.grid import distortion, require_overlap, resolve_grid
from mpmjax.evidence.layer import direction, raster_layer
from mpmjax.evidence.mask import prepare_mask
from mpmjax.evidence.points import read_occurrences
from mpmjax.evidence.raster import RasterSource, inspect_raster
from mpmjax.evidence.scan import judge, scan
from mpmjax.evidence.vector import vector_distance
from mpmjax.evidence.warp import align, choose_resampling
from mpmjax.products import PRODUCTS
from mpmjax.project import Project
from mpmjax.project_sections import LayerSection
from mpmjax.stream.files import require_disk
from mpmjax.stream.reader import StackReader
from mpmjax.types import Evidence, Grid, Layer, Occurrences, Tile


def prepare(project: Project, scratch: Path) -> Evidence:
    """Lay every source of the project on one grid.

    Rasters that already lie on the grid are read where they are; others are warped and vectors turned into exact
    distance, into files in `scratch`. Everything that can be wrong with the data is looked for here, occurrences
    included, so that a long run does not fail at its end.

    Raises:
        DataError, ProjectError: a source cannot be used; says which and what to do.
    """
    rasters = {
        section.name: inspect_raster(
            project.path(section.source), section.name, band=section.band, crs=section.crs, nodata=section.nodata
        )
        for section in project.layers
        if section.derive is None
    }
    grid = resolve_grid(project.grid, list(rasters.values()))
    require_overlap(list(rasters.values()), grid)
    notes = distortion(grid)
    _require_disk(project, rasters, grid, scratch)
    facts = {name: scan(source, raster_layer(project.layer(name), source)) for name, source in rasters.items()}
    notes += [note for name, source in rasters.items() for note in judge(source, facts[name])]
    mask = None if project.grid.mask is None else prepare_mask(project.path(project.grid.mask), grid, scratch)
    occurrences = None
    if project.validate_ is not None:
        known = project.validate_
        occurrences = read_occurrences(
            project.path(known.occurrences), grid, mask=mask, crs=known.crs, where=known.where
        )
        notes += occurrences.notes
    layers = []
    own = scratch / "layers"  # a layer may be called "mask" or "prospectivity", as other files of the run are
    own.mkdir(exist_ok=True)
    for section in project.layers:
        if section.derive is None:
            layers.append(_align(project, section, rasters[section.name], grid, own))
        else:
            layer, remarks = _distance(project, section, grid, own)
            layers.append(layer)
            notes += remarks
    evidence = Evidence(grid, tuple(layers), mask, occurrences, tuple(notes))
    if occurrences is not None:
        _require_scored(evidence, occurrences, project.model.min_coverage)
    return evidence


def _require_disk(project: Project, rasters: dict[str, RasterSource], grid: Grid, scratch: Path) -> None:
    """Refuse, before the first cell is written, a grid whose layers and maps the disk cannot hold.

    Raises:
        DiskError: says how much is missing.
    """
    copied = sum(4 for s in project.layers if s.derive is not None or not rasters[s.name].lies_on(grid))
    maps = sum(4 if p.dtype == "float32" else 1 for p in PRODUCTS)
    size = f"a grid of {grid.width} x {grid.height} cells"
    require_disk(scratch, grid.width * grid.height * (copied + maps), size)


def _require_scored(evidence: Evidence, occurrences: Occurrences, min_coverage: float) -> None:
    """One occurrence at least must lie where enough layers have data, or the run would fail at its end."""
    with StackReader(evidence.grid, evidence.layers) as reader:
        for row, col in zip(occurrences.rows.tolist(), occurrences.cols.tolist(), strict=True):
            if reader.read(Tile(0, row, col, 1, 1)).valid.mean() >= min_coverage:
                return
    raise DataError(
        f"occurrences: {occurrences.source}: none of the {len(occurrences.rows)} cells has data in at least "
        f"{min_coverage:.0%} of the layers. Check the layers' extents, or leave [validate] out."
    )


def _align(project: Project, section: LayerSection, source: RasterSource, grid: Grid, scratch: Path) -> Layer:
    layer = raster_layer(section, source)
    resampling = choose_resampling(source, grid, section.role, section.resampling)
    return align(source, grid, layer, resampling, scratch)


def _distance(project: Project, section: LayerSection, grid: Grid, scratch: Path) -> tuple[Layer, list[str]]:
    path, out = project.path(section.source), scratch / f"{section.name}.tif"
    remarks = vector_distance(
        path,
        grid,
        out,
        where=section.where,
        search_distance=section.search_distance,
        crs=section.crs,
        name=section.name,
        scratch=scratch,
    )
    layer = Layer(
        name=section.name,
        role=section.role,
        path=out,
        band=1,
        dtype="float32",
        direction=direction(section),
        weight=section.weight,
        source=str(path),
    )
    return layer, remarks
