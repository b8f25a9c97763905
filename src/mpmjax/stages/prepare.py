"""prepare: sources -> one grid -> evidence stack."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from mpmjax.errors import DataError
from mpmjax.evidence.formulas import read_formulas
from mpmjax.evidence.grid.resolve import distortion, require_overlap, resolve_grid
from mpmjax.evidence.mask import prepare_mask
from mpmjax.evidence.points import read_occurrences
from mpmjax.evidence.prepared.looks import look
from mpmjax.evidence.prepared.operands import brightness, grid_sources
from mpmjax.evidence.prepared.shelf import HERE, Shelf, grid_ingredients
from mpmjax.evidence.prepared.stack import Stack, disk_needed, lay_stack, raster_sections
from mpmjax.evidence.raster.scan import judge
from mpmjax.evidence.raster.source import RasterSource
from mpmjax.evidence.remarks import gathered
from mpmjax.evidence.sources import SourceFiles, circular, require_unchanged, source_files
from mpmjax.products import PRODUCTS
from mpmjax.project import Project
from mpmjax.project_layers import LayerSection
from mpmjax.stream.cache import Cache
from mpmjax.stream.files import require_disk
from mpmjax.stream.prefetch import worker_count
from mpmjax.stream.reader import StackReader
from mpmjax.types import Evidence, Grid, Occurrences, Tile

Say = Callable[[str], None]


def prepare(
    project: Project,
    scratch: Path,
    cache: Cache,
    say: Say = lambda line: None,
    *,
    files: SourceFiles | None = None,
    maps: bool = True,
) -> Evidence:
    """Lay every source of the project on one grid.

    Rasters that already lie on the grid are read where they are; others are warped, and vectors turned into rasters,
    into files that `cache` keeps: what was prepared before from the same sources and parameters is not made again, and
    of such a source nothing but its checksum is looked at. Everything that can be wrong with the data is looked for
    here, occurrences included, so that a long run does not fail at its end.

    Args:
        scratch: existing folder for what is unfinished.
        say: gets a line for every layer that was made.
        files: checksums of what the project reads, if they were taken already.
        maps: whether maps will follow, for which there must be room on the disk as well.

    Raises:
        DataError, ProjectError: a source cannot be used; says which and what to do.
        DiskError: the layers do not fit on the disk.
    """
    formulas = read_formulas(project)
    if files is None:
        files = source_files(project, project.files, worker_count(project.stream.workers))
    own = scratch / "layers"  # a layer may be called "mask" or "prospectivity", as other files of the run are
    own.mkdir(exist_ok=True)
    shelf = Shelf(project, files, cache, own)
    rasters = raster_sections(shelf, formulas)
    looks = {key: look(shelf, section) for key, section in rasters.items()}
    sources = {key: source for key, (source, _) in looks.items()}
    grid, notes = _grid(shelf, rasters, sources)
    require_overlap(list(sources.values()), grid)
    notes += circular(project)
    stack = Stack(shelf, formulas, rasters, looks, grid)
    _require_disk(stack, maps)
    for key, (source, facts) in looks.items():
        notes += judge(source, facts, is_evidence=key in {layer.name for layer in project.layers})
    notes += [note for scene in project.scenes for note in brightness(scene, looks)]
    mask = _mask(shelf, grid, scratch)
    occurrences = _occurrences(shelf, grid, mask)
    notes += occurrences.notes if occurrences is not None else ()
    made = lay_stack(stack, say)
    notes += gathered([note for one in made.values() for note in one.notes])
    layers = [made[section.name] for section in project.layers]
    evidence = Evidence(
        grid=grid,
        layers=tuple(one.layer for one in layers),
        mask=mask,
        occurrences=occurrences,
        notes=tuple(notes),
        provenance=tuple(one.provenance for one in layers),
        inputs=files.sums,
        stamps=files.all_stamps,
        on_error=project.stream.on_error,
    )
    if occurrences is not None:
        _require_scored(shelf, evidence, occurrences)
    require_unchanged(evidence.stamps)
    return evidence


def _grid(
    shelf: Shelf, sections: Mapping[str, LayerSection], sources: Mapping[str, RasterSource]
) -> tuple[Grid, list[str]]:
    """The grid, and remarks on its CRS. Kept too, because a mask may have to be opened for it."""
    section = shelf.project.grid
    mask = None if section.mask is None else shelf.project.path(section.mask)
    given = grid_sources(shelf.project, sources)

    def make() -> dict[str, Any]:
        grid = resolve_grid(section, list(given.values()), mask)
        return {"grid": grid_ingredients(grid), "notes": distortion(grid).notes}

    layers = [sections[key] for key in given]
    ingredients = {
        "step": "grid",
        **section.model_dump(mode="json", exclude={"mask"}),
        # In their order, each with its files: the same files under other names may be another grid.
        "layers": [[layer.name, layer.crs, shelf.files.of[layer.file]] for layer in layers],
    }
    read = [*(layer.file for layer in layers), *(() if section.mask is None else (section.mask,))]
    record = shelf.record("grid", read, ingredients, make).record
    crs, *transform, width, height = record["grid"]
    return Grid(crs, Affine(*transform), width, height), list(record["notes"])


def _mask(shelf: Shelf, grid: Grid, scratch: Path) -> Path | None:
    section = shelf.project.grid
    name, own = section.mask, {"layer": section.mask_layer, "crs": section.mask_crs}
    if name is None:
        return None

    def make(made: Path) -> dict[str, Any]:
        prepare_mask(shelf.project.path(name), grid, scratch, **own).replace(made)
        return {}

    ingredients = {"step": "mask", **own, "grid": grid_ingredients(grid)}
    return shelf.raster("study area", [name], ingredients, scratch / "study area.tif", make).path


def _occurrences(shelf: Shelf, grid: Grid, mask: Path | None) -> Occurrences | None:
    known = shelf.project.validate_
    if known is None:
        return None
    path = shelf.project.path(known.occurrences)

    def make() -> dict[str, Any]:
        found = read_occurrences(path, grid, mask=mask, crs=known.crs, where=known.where, layer=known.layer)
        notes = [note.replace(str(path), HERE) for note in found.notes]
        cells = _packed(found.rows * grid.width + found.cols)
        return {"cells": cells, "points": found.points, "notes": notes}

    ingredients = {
        "step": "occurrences",
        "crs": known.crs,
        "where": known.where,
        "layer": known.layer,
        "grid": grid_ingredients(grid),
        "mask": mask.name if mask is not None else None,
    }
    record = shelf.record("occurrences", [known.occurrences], ingredients, make).record
    cells = _unpacked(record["cells"])
    notes = tuple(note.replace(HERE, str(path)) for note in record["notes"])
    return Occurrences(cells // grid.width, cells % grid.width, record["points"], str(path), notes)


def _packed(cells: np.ndarray) -> str:
    """Ascending cell numbers as text: a raster of labels may hold millions."""
    return base64.b64encode(zlib.compress(np.diff(cells, prepend=0).astype("<i8").tobytes(), 1)).decode()


def _unpacked(text: str) -> np.ndarray:
    return np.cumsum(np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i8"), dtype=np.int64)


def _require_disk(stack: Stack, maps: bool) -> None:
    """Refuse, before the first cell is written, a grid whose layers and maps the disk cannot hold.

    Raises:
        DiskError: says how much is missing.
    """
    shelf, grid = stack.shelf, stack.grid
    size, cells = f"a grid of {grid.width} x {grid.height} cells", grid.width * grid.height
    kept, passing = disk_needed(stack)
    later = sum(4 if p.dtype == "float32" else 1 for p in PRODUCTS) if maps else 0
    require_disk(shelf.scratch, kept + cells * later + passing, size)
    if shelf.cache.folder.is_dir():
        require_disk(shelf.cache.folder, kept, size)


def _require_scored(shelf: Shelf, evidence: Evidence, occurrences: Occurrences) -> None:
    """One occurrence at least must lie where enough layers have data, or the run would fail at its end."""
    min_coverage = shelf.project.model.min_coverage

    def make() -> dict[str, Any]:
        with StackReader(evidence.grid, evidence.layers, on_error=evidence.on_error) as reader:
            places = zip(occurrences.rows.tolist(), occurrences.cols.tolist(), strict=True)
            cells = (reader.read(Tile(0, row, col, 1, 1)) for row, col in places)
            return {"scored": any(bool(cell.valid.mean() >= min_coverage) for cell in cells)}

    ingredients = {
        "step": "scored",
        "layers": list(evidence.provenance),
        "min_coverage": min_coverage,
        "grid": grid_ingredients(evidence.grid),
        "cells": hashlib.sha256(occurrences.rows.tobytes() + occurrences.cols.tobytes()).hexdigest(),
        **({} if evidence.on_error == "stop" else {"on_error": evidence.on_error}),
    }
    if not shelf.cache.record("occurrences scored", ingredients, make).record["scored"]:
        raise DataError(
            f"occurrences: {occurrences.source}: none of the {len(occurrences.rows)} cells has data in at least "
            f"{min_coverage:.0%} of the layers. Check the layers' extents, or leave [validate] out."
        )
