"""prepare: sources -> one grid -> evidence stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from mpmjax.errors import DataError
from mpmjax.evidence.grid.resolve import distortion, require_overlap, resolve_grid
from mpmjax.evidence.mask import prepare_mask
from mpmjax.evidence.points import read_occurrences
from mpmjax.evidence.prepared import HERE, Made, Shelf, grid_ingredients, is_kept, lay, lay_features, look
from mpmjax.evidence.raster.scan import judge
from mpmjax.evidence.raster.source import RasterSource
from mpmjax.evidence.sources import source_files
from mpmjax.products import PRODUCTS
from mpmjax.project import Project
from mpmjax.stream.cache import Cache
from mpmjax.stream.files import require_disk
from mpmjax.stream.prefetch import worker_count
from mpmjax.stream.reader import StackReader
from mpmjax.types import Evidence, Grid, Occurrences, Tile

Say = Callable[[str], None]


def prepare(
    project: Project, scratch: Path, cache: Cache, say: Say = lambda line: None, *, maps: bool = True
) -> Evidence:
    """Lay every source of the project on one grid.

    Rasters that already lie on the grid are read where they are; others are warped, and vectors turned into rasters,
    into files that `cache` keeps: what was prepared before from the same sources and parameters is not made again, and
    of such a source nothing but its checksum is looked at. Everything that can be wrong with the data is looked for
    here, occurrences included, so that a long run does not fail at its end.

    Args:
        scratch: existing folder for what is unfinished.
        say: gets a line for every layer that was made.
        maps: whether maps will follow, for which there must be room on the disk as well.

    Raises:
        DataError, ProjectError: a source cannot be used; says which and what to do.
        DiskError: the layers do not fit on the disk.
    """
    files = source_files(project, project.files, worker_count(project.stream.workers))
    own = scratch / "layers"  # a layer may be called "mask" or "prospectivity", as other files of the run are
    own.mkdir(exist_ok=True)
    shelf = Shelf(project, files, cache, own)
    looks = {section.name: look(shelf, section) for section in project.layers if section.derive is None}
    rasters = {name: source for name, (source, _) in looks.items()}
    grid, notes = _grid(shelf, rasters)
    require_overlap(list(rasters.values()), grid)
    _require_disk(shelf, rasters, grid, maps)
    notes += [note for source, facts in looks.values() for note in judge(source, facts)]
    mask = _mask(shelf, grid, scratch)
    occurrences = _occurrences(shelf, grid, mask)
    notes += occurrences.notes if occurrences is not None else ()
    layers: list[Made] = []
    for section in project.layers:
        source = rasters.get(section.name)
        made = lay_features(shelf, section, grid) if source is None else lay(shelf, section, source, grid)
        layers.append(made)
        notes += made.notes
        if made.seconds is not None:
            say(f"  {section.name}: {made.provenance['method']}, {made.seconds:.1f} s")
    evidence = Evidence(
        grid=grid,
        layers=tuple(made.layer for made in layers),
        mask=mask,
        occurrences=occurrences,
        notes=tuple(notes),
        provenance=tuple(made.provenance for made in layers),
        inputs=files.sums,
    )
    if occurrences is not None:
        _require_scored(shelf, evidence, occurrences)
    files.require_unchanged()
    return evidence


def _grid(shelf: Shelf, rasters: Mapping[str, RasterSource]) -> tuple[Grid, list[str]]:
    """The grid, and remarks on its CRS. Kept too, because a mask may have to be opened for it."""
    section = shelf.project.grid
    mask = None if section.mask is None else shelf.project.path(section.mask)

    def make() -> dict[str, Any]:
        grid = resolve_grid(section, list(rasters.values()), mask)
        return {"grid": grid_ingredients(grid), "notes": distortion(grid).notes}

    keys = section.model_dump(mode="json", exclude={"mask"})
    files = [shelf.files.of[path] for path in _named(shelf.project, *rasters)]
    overridden = {name: shelf.project.layer(name).crs for name in rasters}
    record = shelf.cache.record("grid", {**keys, "files": files, "crs of layers": overridden}, make).record
    crs, *transform, width, height = record["grid"]
    return Grid(crs, Affine(*transform), width, height), list(record["notes"])


def _named(project: Project, *layers: str) -> list[Path]:
    """The paths of raster layers and of the mask, as the project names them."""
    mask = () if project.grid.mask is None else (project.grid.mask,)
    return [*(project.layer(name).source for name in layers), *mask]


def _mask(shelf: Shelf, grid: Grid, scratch: Path) -> Path | None:
    name, layer = shelf.project.grid.mask, shelf.project.grid.mask_layer
    if name is None:
        return None

    def make(made: Path) -> dict[str, Any]:
        prepare_mask(shelf.project.path(name), grid, scratch, layer).replace(made)
        return {}

    ingredients = {"step": "mask", "files": shelf.files.of[name], "layer": layer, "grid": grid_ingredients(grid)}
    return shelf.cache.raster("study area", ingredients, scratch / "study area.tif", make).path


def _occurrences(shelf: Shelf, grid: Grid, mask: Path | None) -> Occurrences | None:
    known = shelf.project.validate_
    if known is None:
        return None
    path = shelf.project.path(known.occurrences)

    def make() -> dict[str, Any]:
        found = read_occurrences(path, grid, mask=mask, crs=known.crs, where=known.where, layer=known.layer)
        notes = [note.replace(str(path), HERE) for note in found.notes]
        return {"rows": found.rows.tolist(), "cols": found.cols.tolist(), "points": found.points, "notes": notes}

    ingredients = {
        "step": "occurrences",
        "crs": known.crs,
        "where": known.where,
        "layer": known.layer,
        "grid": grid_ingredients(grid),
        "files": shelf.files.of[known.occurrences],
        "mask": mask.name if mask is not None else None,
    }
    record = shelf.cache.record("occurrences", ingredients, make).record
    rows, cols = (np.array(record[axis], np.int64) for axis in ("rows", "cols"))
    notes = tuple(note.replace(HERE, str(path)) for note in record["notes"])
    return Occurrences(rows, cols, record["points"], str(path), notes)


def _require_disk(shelf: Shelf, rasters: Mapping[str, RasterSource], grid: Grid, maps: bool) -> None:
    """Refuse, before the first cell is written, a grid whose layers and maps the disk cannot hold.

    Raises:
        DiskError: says how much is missing.
    """
    new = sum(4 for s in shelf.project.layers if not is_kept(shelf, s, rasters.get(s.name), grid))
    later = sum(4 if p.dtype == "float32" else 1 for p in PRODUCTS) if maps else 0
    size = f"a grid of {grid.width} x {grid.height} cells"
    require_disk(shelf.scratch, grid.width * grid.height * (new + later), size)


def _require_scored(shelf: Shelf, evidence: Evidence, occurrences: Occurrences) -> None:
    """One occurrence at least must lie where enough layers have data, or the run would fail at its end."""
    min_coverage = shelf.project.model.min_coverage

    def make() -> dict[str, Any]:
        with StackReader(evidence.grid, evidence.layers) as reader:
            places = zip(occurrences.rows.tolist(), occurrences.cols.tolist(), strict=True)
            cells = (reader.read(Tile(0, row, col, 1, 1)) for row, col in places)
            return {"scored": any(bool(cell.valid.mean() >= min_coverage) for cell in cells)}

    ingredients = {
        "step": "scored",
        "layers": list(evidence.provenance),
        "min_coverage": min_coverage,
        "grid": grid_ingredients(evidence.grid),
        "rows": occurrences.rows.tolist(),
        "cols": occurrences.cols.tolist(),
    }
    if not shelf.cache.record("occurrences", ingredients, make).record["scored"]:
        raise DataError(
            f"occurrences: {occurrences.source}: none of the {len(occurrences.rows)} cells has data in at least "
            f"{min_coverage:.0%} of the layers. Check the layers' extents, or leave [validate] out."
        )
