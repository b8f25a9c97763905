"""Derivatives of potential fields, kept: made on the cells of the source, then laid on the grid as any raster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mpmjax.evidence.fields.derive import write_derivative
from mpmjax.evidence.layer import raster_layer
from mpmjax.evidence.prepared.looks import plain_source, reading
from mpmjax.evidence.prepared.raster import STRAIGHT, with_losses
from mpmjax.evidence.prepared.shelf import (
    Made,
    Recipe,
    Shelf,
    at,
    file_record,
    grid_ingredients,
    loss_ingredients,
    told_again,
    told_record,
)
from mpmjax.evidence.raster.scan import RasterFacts
from mpmjax.evidence.raster.source import RasterSource
from mpmjax.evidence.raster.warp import align, choose_resampling
from mpmjax.project_layers import LayerSection
from mpmjax.types import Grid, Layer


def own_recipe(shelf: Shelf, section: LayerSection) -> Recipe:
    """What the derivative on the cells of its source follows from."""
    stated = section.model_dump(include={"derivative", "height"})
    ingredients = {"step": "derivative", **stated, **reading(section), **loss_ingredients(shelf)}
    return Recipe(section.name, (section.file,), ingredients)


def derivative_recipe(shelf: Shelf, section: LayerSection, source: RasterSource, grid: Grid) -> Recipe:
    """What the derivative on the grid follows from."""
    own = own_recipe(shelf, section)
    if source.lies_on(grid):
        return own
    how = choose_resampling(source, grid, section.role, section.resampling)
    ingredients = {"step": "warp", "resampling": how, "grid": grid_ingredients(grid), "of": own.ingredients}
    return Recipe(section.name, own.read, ingredients)


def lay_derivative(shelf: Shelf, section: LayerSection, source: RasterSource, facts: RasterFacts, grid: Grid) -> Made:
    """A derivative of a potential field on the grid.

    Raises:
        DataError: the source cannot be decoded, or a derivative of it has no meaning (fields/derive.py).
        DiskError: a file cannot be written.
    """
    path = shelf.project.path(section.file)
    stream = shelf.project.stream
    label = f"layer {section.name!r}: {path}"

    def make(out: Path) -> dict[str, Any]:
        notes = write_derivative(
            source, out, str(section.derivative), height=section.height, label=label,
            max_memory=stream.max_memory_bytes, on_error=stream.on_error, valid_range=section.valid_range,
        )  # fmt: skip
        return {"dtype": "float32", **told_record(notes, path)}

    own, seconds = shelf.timed(own_recipe(shelf, section), make)
    layer = at(_derived(section, source), own)
    method, entry = STRAIGHT, own
    if not source.lies_on(grid):
        method = choose_resampling(source, grid, section.role, section.resampling)
        entry, more = shelf.timed(
            derivative_recipe(shelf, section, source, grid),
            lambda out: {"dtype": align(_source(source, own.path), grid, layer, method, out.parent).dtype},
        )
        layer = at(layer, entry)
        seconds = None if seconds is None and more is None else (seconds or 0.0) + (more or 0.0)
    about = {
        "source": plain_source(source),
        "files": shelf.checksums([section.file]),
        "method": str(section.derivative),
        "parameters": {
            **section.model_dump(mode="json", include={"derivative", "height"}, exclude_none=True),
            "then": method,
        },
        "prepared": file_record(entry),
        "facts": told_again(own.record["facts"], section.file),
    }
    known, losses = with_losses(about, source, facts.unreadable)
    return Made(layer, known, (*told_again(own.record["notes"], path), *losses), seconds)


def _derived(section: LayerSection, source: RasterSource) -> Layer:
    """The layer of what is computed: nodata, scale and range are those of the source, and concern it no longer."""
    layer = raster_layer(section, source)
    return replace(layer, nodata=None, scale=1.0, offset=0.0, valid_range=None, masked=False)


def _source(source: RasterSource, path: Path | None) -> RasterSource:
    """The derivative as a raster source on the cells of the field's."""
    if path is None:
        raise ValueError(f"the derivative of {source.name!r} has no file")
    return replace(source, path=path, band=1, dtype="float32", nodata=None, scale=1.0, offset=0.0, masked=False)
