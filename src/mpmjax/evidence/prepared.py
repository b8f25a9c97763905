"""Layers on the grid, kept by content: a source is opened only where no entry of the cache knows what it would give.

What an entry depends on is named here, key by key; where it is kept is stream/cache.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from affine import Affine
from rasterio.crs import CRS

from mpmjax.evidence.layer import derived_layer, raster_layer
from mpmjax.evidence.raster.copy import can_be_copied, copy_decoded
from mpmjax.evidence.raster.scan import RasterFacts, scan
from mpmjax.evidence.raster.source import RasterSource, inspect_raster, unreadable_blocks
from mpmjax.evidence.raster.warp import align, choose_resampling
from mpmjax.evidence.sources import SourceFiles, require_unchanged
from mpmjax.evidence.valuetable import read_value_table
from mpmjax.evidence.vector.derive import derive
from mpmjax.project import Project
from mpmjax.project_layers import LayerSection
from mpmjax.project_membership import Category
from mpmjax.stream.cache import Cache, Entry, Ingredients, Record
from mpmjax.stream.unreadable import Undecodable, forgiving, told, windows
from mpmjax.types import Grid, Layer

HERE = "{source}"
"""Stands for the path of a source in what is kept, so that a folder can be moved."""

SOURCE_KEYS = ("band", "width", "height", "dtype", "scale", "offset", "masked")
"""What of a raster source is kept as it is, besides its place and its nodata."""

DERIVED_KEYS = (
    *("derive", "crs", "layer", "where", "features", "azimuth", "search_distance"),
    *("radius", "kernel", "max_distance", "field", "classes"),
)
"""Keys of a vector layer that change its cells."""


COPY = "decoded copy"


@dataclass(frozen=True)
class Shelf:
    """Where one project's layers are kept and made: cache, checksums of the sources, a folder for the unfinished."""

    project: Project
    files: SourceFiles
    cache: Cache
    scratch: Path

    def record(self, name: str, read: Sequence[Path], ingredients: Ingredients, make: Callable[[], Record]) -> Entry:
        """cache.record of what `make` finds in the sources `read`, as the project names them.

        Raises:
            DataError: one of them is no longer what its checksum is of; then nothing is kept.
        """
        return self.cache.record(name, self._of(read, ingredients), lambda: self._checked(read, make()))

    def raster(
        self, name: str, read: Sequence[Path], ingredients: Ingredients, made: Path, make: Callable[[Path], Record]
    ) -> Entry:
        """cache.raster likewise."""
        return self.cache.raster(name, self._of(read, ingredients), made, lambda out: self._checked(read, make(out)))

    def find(self, name: str, read: Sequence[Path], ingredients: Ingredients) -> Entry | None:
        """cache.find likewise."""
        return self.cache.find(name, self._of(read, ingredients))

    def _of(self, read: Sequence[Path], ingredients: Ingredients) -> Ingredients:
        return {**ingredients, "files": [self.files.of[name] for name in read]}

    def _checked(self, read: Sequence[Path], record: Record) -> Record:
        for name in read:
            require_unchanged(self.files.stamps[name])
        return record


@dataclass(frozen=True)
class Made:
    """A layer on the grid, where it comes from, and what was noticed.

    Attributes:
        provenance: plain values for run.json: checksums, CRS and cells of the source, method, parameters.
        seconds: what it took to make; None where nothing had to be.
    """

    layer: Layer
    provenance: Mapping[str, Any]
    notes: tuple[str, ...]
    seconds: float | None


def look(shelf: Shelf, section: LayerSection) -> tuple[RasterSource, RasterFacts]:
    """A raster source and a first look at its values.

    Raises:
        DataError: it cannot be opened or decoded.
    """
    path = shelf.project.path(section.source)

    def make() -> dict[str, Any]:
        source = inspect_raster(path, section.name, band=section.band, crs=section.crs, nodata=section.nodata)
        facts = scan(source, raster_layer(section, source), shelf.project.stream.on_error)
        return {"source": _source_record(source), "facts": _facts_record(facts)}

    keys = section.model_dump(include={"band", "crs", "nodata", "valid_range"})
    record = shelf.record(section.name, [section.source], {"step": "look", **keys, **_on_error(shelf)}, make).record
    return _source_of(record["source"], section.name, path), _facts_of(record["facts"])


def is_kept(shelf: Shelf, section: LayerSection, source: RasterSource | None, grid: Grid) -> bool:
    """Whether a layer needs no work: it lies on the grid, or was prepared before."""
    if source is None:
        return shelf.find(section.name, [section.source], _derived_ingredients(section, grid)) is not None
    if source.lies_on(grid):
        if not _is_to_be_copied(shelf, source):
            return True
        return shelf.find(section.name, [section.source], _copy_ingredients(section)) is not None
    return shelf.find(section.name, [section.source], _warped_ingredients(shelf, section, source, grid)) is not None


def lay(shelf: Shelf, section: LayerSection, source: RasterSource, facts: RasterFacts, grid: Grid) -> Made:
    """A raster layer on the grid: the file itself where it lies there, else a warped copy.

    Blocks that are missing because they cannot be decoded are in its notes and under "unreadable" in its provenance:
    for a file that is read as it is, those that the look at its values met.

    Raises:
        DataError: a block of the source cannot be decoded, as far as [stream] on_error = "stop", or a value table
            cannot be used.
        DiskError: the copy cannot be written.
    """
    layer = raster_layer(section, source, _codes(shelf, section))
    about = {
        "source": _plain_source(source),
        "files": dict(shelf.files.of[section.source]),
        **({"valid_range": list(section.valid_range)} if section.valid_range else {}),
    }
    if source.lies_on(grid):
        return _straight(shelf, section, source, facts, layer, about)
    how = choose_resampling(source, grid, section.role, section.resampling)

    def make(out: Path) -> dict[str, Any]:
        bad = forgiving(shelf.project.stream.on_error)
        return {"dtype": align(source, grid, layer, how, out.parent, bad).dtype, "unreadable": windows(bad)}

    entry, seconds = _raster(shelf, section, _warped_ingredients(shelf, section, source, grid), make)
    # NaN is missing in the copy. The range was looked at before warping: a mean may leave it by a rounding.
    laid = _at(layer, entry, nodata=None, masked=False, valid_range=None)
    about |= {"method": how, "prepared": _file(entry)}
    return Made(laid, *_with_losses(about, source, entry.record["unreadable"]), seconds)


def _straight(
    shelf: Shelf, section: LayerSection, source: RasterSource, facts: RasterFacts, layer: Layer, about: dict[str, Any]
) -> Made:
    """A layer that lies on the grid: its decoded copy where the project asks for copies, else the file itself.

    The file itself too where blocks are missing: its type may have no value to spare that could say so in a copy.
    """
    notes: tuple[str, ...] = ()
    if _is_to_be_copied(shelf, source) and not facts.unreadable:

        def make(out: Path) -> dict[str, Any]:
            copy_decoded(source, out)
            return {"dtype": source.dtype}

        try:
            entry, seconds = _raster(shelf, section, _copy_ingredients(section), make)
            return Made(_at(layer, entry), {**about, "method": COPY, "prepared": _file(entry)}, (), seconds)
        except Undecodable:
            if shelf.project.stream.on_error == "stop":
                raise
    elif shelf.project.stream.tile_cache and source.masked:
        notes = (f"layer {source.name!r}: {source.path} has a mask of its own and is read directly, not from a copy.",)
    about |= {"method": "as it is", "prepared": None}
    known, losses = _with_losses(about, source, facts.unreadable)
    return Made(layer, known, notes + losses, None)


def _is_to_be_copied(shelf: Shelf, source: RasterSource) -> bool:
    return shelf.project.stream.tile_cache and can_be_copied(source)


def _copy_ingredients(section: LayerSection) -> dict[str, Any]:
    """Raw values are those of the file, whatever the project says of them."""
    return {"step": COPY, "band": section.band, "crs": section.crs}


def _with_losses(
    about: dict[str, Any], source: RasterSource, blocks: Sequence[Sequence[int]]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Provenance and notes of a layer; `blocks` (row, column, height, width in the source) are missing in it."""
    records = [{key: int(block[i]) for i, key in enumerate(("row", "col", "height", "width"))} for block in blocks]
    notes = tuple(told(unreadable_blocks(source, blocks)))
    return about | ({"unreadable": records} if records else {}), notes


def lay_features(shelf: Shelf, section: LayerSection, grid: Grid) -> Made:
    """A layer derived from features, on the grid.

    Raises:
        DataError: the file cannot be used, or holds nothing to derive from.
        DiskError: the layer cannot be written.
    """
    path = shelf.project.path(section.source)

    def make(out: Path) -> dict[str, Any]:
        derived = derive(section, path, grid, out, shelf.scratch)
        notes = [note.replace(str(path), HERE) for note in derived.notes]
        return {**asdict(derived), "notes": notes}

    entry, seconds = _raster(shelf, section, _derived_ingredients(section, grid), make)
    record = entry.record
    codes = {name: tuple(map(float, values)) for name, values in record["codes"].items()}
    layer = _at(derived_layer(section, path), entry, nodata=_number(record["nodata"]), codes=codes)
    provenance = {
        "source": {"features": record["features"]},
        "files": dict(shelf.files.of[section.source]),
        "method": section.derive,
        "parameters": _given(section),
        "prepared": _file(entry),
    }
    return Made(layer, provenance, tuple(note.replace(HERE, str(path)) for note in record["notes"]), seconds)


def grid_ingredients(grid: Grid) -> list[Any]:
    """What of a grid changes the cells of a layer: all of it."""
    return [grid.crs, *grid.transform[:6], grid.width, grid.height]


def _on_error(shelf: Shelf) -> dict[str, str]:
    """Where blocks may be missing, that is part of what was asked for; else keys are those of always."""
    on_error = shelf.project.stream.on_error
    return {} if on_error == "stop" else {"on_error": on_error}


def _warped_ingredients(shelf: Shelf, section: LayerSection, source: RasterSource, grid: Grid) -> dict[str, Any]:
    keys = section.model_dump(include={"band", "crs", "nodata", "valid_range"})
    how = choose_resampling(source, grid, section.role, section.resampling)
    return {"step": "warp", **keys, "resampling": how, "grid": grid_ingredients(grid), **_on_error(shelf)}


def _derived_ingredients(section: LayerSection, grid: Grid) -> dict[str, Any]:
    table = section.membership.scores if isinstance(section.membership, Category) else {}
    return {
        "step": "derive",
        **_given(section),
        "names": sorted(table),
        "grid": grid_ingredients(grid),
    }


def _given(section: LayerSection) -> dict[str, Any]:
    """The keys of a vector layer that were stated."""
    return section.model_dump(mode="json", include=set(DERIVED_KEYS), exclude_none=True)


def _codes(shelf: Shelf, section: LayerSection) -> Mapping[str, tuple[float, ...]]:
    if section.value_table is None or section.field is None:
        return {}
    path = shelf.project.path(section.value_table)
    ingredients = {"step": "value table", "field": section.field}
    label = f"layer {section.name!r}: {path}"

    def make() -> dict[str, Any]:
        return {"codes": dict(read_value_table(path, str(section.field), label))}

    entry = shelf.record(f"{section.name} codes", [section.value_table], ingredients, make)
    return {name: tuple(map(float, values)) for name, values in entry.record["codes"].items()}


def _raster(
    shelf: Shelf, section: LayerSection, ingredients: dict[str, Any], make: Callable[[Path], dict[str, Any]]
) -> tuple[Entry, float | None]:
    """The entry, and the seconds that it took to make; None where it was there."""
    start = time.perf_counter()
    entry = shelf.raster(section.name, [section.source], ingredients, shelf.scratch / f"{section.name}.tif", make)
    return entry, None if entry.reused else time.perf_counter() - start


def _at(layer: Layer, entry: Entry, **changed: Any) -> Layer:
    """The layer, read from the file of an entry."""
    if entry.path is None:
        raise ValueError(f"an entry of the layer {layer.name!r} has no raster")
    own = {**{key: getattr(layer, key) for key in Layer.__dataclass_fields__}, **changed}
    return Layer(**{**own, "path": entry.path, "band": 1, "dtype": entry.record["dtype"]})


def _file(entry: Entry) -> dict[str, str]:
    return {"file": entry.path.name if entry.path else "", "sha256": entry.sha256}


def _source_record(source: RasterSource) -> dict[str, Any]:
    own = {key: getattr(source, key) for key in SOURCE_KEYS}
    return {**own, "crs": source.crs.to_wkt(), "transform": list(source.transform)[:6], "nodata": source.nodata}


def _source_of(record: Mapping[str, Any], name: str, path: Path) -> RasterSource:
    """A source from its record; a fresh one takes this way too, so that both are the same to the last bit."""
    own = {**record, "crs": CRS.from_wkt(record["crs"]), "transform": Affine(*record["transform"])}
    return RasterSource(name=name, path=path, **{**own, "nodata": _number(record["nodata"])})


def _plain_source(source: RasterSource) -> dict[str, Any]:
    nodata = source.nodata if source.nodata is None or math.isfinite(source.nodata) else repr(source.nodata)
    cell = [math.hypot(source.transform.a, source.transform.d), math.hypot(source.transform.b, source.transform.e)]
    own = {key: getattr(source, key) for key in SOURCE_KEYS}
    return {"crs": source.crs.to_string(), "cell_size": cell, **own, "nodata": nodata}


def _facts_record(facts: RasterFacts) -> dict[str, Any]:
    return {**asdict(facts), "sentinels": [[value, count] for value, count in facts.sentinels.items()]}


def _facts_of(record: Mapping[str, Any]) -> RasterFacts:
    numbers = {key: float(record[key]) for key in ("low", "high")}  # infinite where no cell has a value
    sentinels = {float(value): count for value, count in record["sentinels"]}
    return RasterFacts(**{**record, **numbers, "sentinels": sentinels})


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
