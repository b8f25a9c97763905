"""Raster layers on the grid, kept: the file itself where it lies there, a decoded copy, or a warped one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mpmjax.evidence.layer import raster_layer
from mpmjax.evidence.prepared.looks import plain_source, reading
from mpmjax.evidence.prepared.shelf import (
    Made,
    Recipe,
    Shelf,
    at,
    file_record,
    grid_ingredients,
    loss_ingredients,
)
from mpmjax.evidence.raster.copy import can_be_copied, copy_decoded
from mpmjax.evidence.raster.scan import RasterFacts
from mpmjax.evidence.raster.source import RasterSource, unreadable_blocks
from mpmjax.evidence.raster.warp import align, choose_resampling
from mpmjax.evidence.valuetable import read_value_table
from mpmjax.project_layers import LayerSection
from mpmjax.stream.unreadable import Undecodable, forgiving, told, windows
from mpmjax.types import Grid, Layer

COPY = "decoded copy"
STRAIGHT = "as it is"


def raster_recipe(shelf: Shelf, section: LayerSection, source: RasterSource, grid: Grid) -> Recipe:
    """What the cells of a raster layer follow from, wherever they are read."""
    step: dict[str, Any] = {"step": STRAIGHT}
    if not source.lies_on(grid):
        how = choose_resampling(source, grid, section.role, section.resampling)
        step = {"step": "warp", "resampling": how, "grid": grid_ingredients(grid)}
    return Recipe(section.name, (section.file,), {**step, **reading(section), **loss_ingredients(shelf)})


def is_kept(shelf: Shelf, section: LayerSection, source: RasterSource, grid: Grid) -> bool:
    """Whether a raster layer needs no work: it lies on the grid, or was prepared before."""
    if not source.lies_on(grid):
        return shelf.find(raster_recipe(shelf, section, source, grid)) is not None
    return not _is_to_be_copied(shelf, source) or shelf.find(_copy_recipe(section)) is not None


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
        "source": plain_source(source),
        "files": shelf.checksums([section.file]),
        **({"valid_range": list(section.valid_range)} if section.valid_range else {}),
    }
    if source.lies_on(grid):
        return _straight(shelf, section, source, facts, layer, about)
    how = choose_resampling(source, grid, section.role, section.resampling)

    def make(out: Path) -> dict[str, Any]:
        bad = forgiving(shelf.project.stream.on_error)
        return {"dtype": align(source, grid, layer, how, out.parent, bad).dtype, "unreadable": windows(bad)}

    entry, seconds = shelf.timed(raster_recipe(shelf, section, source, grid), make)
    # NaN is missing in the copy. The range was looked at before warping: a mean may leave it by a rounding.
    laid = at(layer, entry, nodata=None, masked=False, valid_range=None)
    about |= {"method": how, "prepared": file_record(entry)}
    return Made(laid, *with_losses(about, source, entry.record["unreadable"]), seconds)


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
            entry, seconds = shelf.timed(_copy_recipe(section), make)
            return Made(at(layer, entry), {**about, "method": COPY, "prepared": file_record(entry)}, (), seconds)
        except Undecodable:
            if shelf.project.stream.on_error == "stop":
                raise
    elif shelf.project.stream.tile_cache and source.masked:
        notes = (f"layer {source.name!r}: {source.path} has a mask of its own and is read directly, not from a copy.",)
    about |= {"method": STRAIGHT, "prepared": None}
    known, losses = with_losses(about, source, facts.unreadable)
    return Made(layer, known, notes + losses, None)


def _is_to_be_copied(shelf: Shelf, source: RasterSource) -> bool:
    return shelf.project.stream.tile_cache and can_be_copied(source)


def _copy_recipe(section: LayerSection) -> Recipe:
    """Raw values are those of the file, whatever the project says of them."""
    return Recipe(section.name, (section.file,), {"step": COPY, "band": section.band, "crs": section.crs})


def with_losses(
    about: dict[str, Any], source: RasterSource, blocks: Sequence[Sequence[int]]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Provenance and notes of a layer; `blocks` (row, column, height, width in the source) are missing in it."""
    records = [{key: int(block[i]) for i, key in enumerate(("row", "col", "height", "width"))} for block in blocks]
    notes = tuple(told(unreadable_blocks(source, blocks)))
    return about | ({"unreadable": records} if records else {}), notes


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
