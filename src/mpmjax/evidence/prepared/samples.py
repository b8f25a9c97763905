"""Layers of samples on the grid, kept: points are read by the rules of their file, computed, and gridded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpmjax.evidence.formulas import rules_of
from mpmjax.evidence.geochemistry.field import Field, compute_field
from mpmjax.evidence.gridding.methods import Gridding, Variogram
from mpmjax.evidence.gridding.write import write_gridded
from mpmjax.evidence.layer import derived_layer
from mpmjax.evidence.prepared.shelf import (
    Made,
    Recipe,
    Shelf,
    at,
    file_record,
    grid_ingredients,
    told_again,
    told_record,
)
from mpmjax.evidence.samples.table import Samples, read_samples
from mpmjax.project import Project
from mpmjax.project_layers import LayerSection
from mpmjax.project_samples import GriddingTable
from mpmjax.types import Grid


def samples_recipe(shelf: Shelf, section: LayerSection, grid: Grid) -> Recipe:
    """What the cells of a layer of samples follow from."""
    rules = shelf.project.samples_of(section.file)
    ingredients = {
        "step": "gridding",
        "field": section.field,
        "where": section.where,
        "rules": rules.model_dump(mode="json", exclude={"source"}),
        "gridding": _table(section).model_dump(mode="json"),
        "grid": grid_ingredients(grid),
    }
    return Recipe(section.name, (section.file,), ingredients)


@dataclass(frozen=True)
class FieldSamples:
    """The samples of a layer and the values of its field, float64 [n], NaN where missing; what messages call the file,
    and what was noticed."""

    samples: Samples
    values: np.ndarray
    label: str
    notes: tuple[str, ...]


def read_layer_samples(project: Project, section: LayerSection, field: Field, grid: Grid) -> FieldSamples:
    """The samples of a layer by the rules of their file, and its field.

    Raises:
        DataError: the file cannot be used (samples/table.py), or no sample has a value.
    """
    rules, path = project.samples_of(section.file), project.path(section.file)
    label = f"layer {section.name!r}: {path}"
    samples = read_samples(
        path,
        label,
        grid_crs=grid.crs,
        columns=field.columns(rules.composition),
        labels=() if rules.level_by is None else (rules.level_by,),
        crs=rules.crs,
        layer=rules.layer,
        where=section.where,
        rules=rules_of(rules),
    )
    classes = None if rules.level_by is None else samples.labels[rules.level_by]
    values, notes = compute_field(
        field, samples.values, rules.composition, label, classes=classes, limits=samples.limits
    )
    return FieldSamples(samples, values, label, (*samples.notes, *notes))


def gridding_of(section: LayerSection) -> Gridding:
    """How a layer is gridded; what is not stated is as the gridding has it."""
    stated = _table(section).model_dump(exclude_none=True)
    variogram = stated.pop("variogram", None)
    return Gridding(**stated, variogram=None if variogram is None else Variogram(**variogram))


def lay_samples(shelf: Shelf, section: LayerSection, field: Field, grid: Grid) -> Made:
    """A layer of samples on the grid.

    Raises:
        DataError: the file cannot be used, or holds nothing to grid.
        DiskError: the layer cannot be written.
    """
    path = shelf.project.path(section.file)
    gridding = gridding_of(section)
    memory = shelf.project.stream.max_memory_bytes

    def make(out: Path) -> dict[str, Any]:
        found = read_layer_samples(shelf.project, section, field, grid)
        samples, there = found.samples, np.isfinite(found.values)
        x, y, values = samples.x[there], samples.y[there], found.values[there]
        more = write_gridded(x, y, values, grid, out, gridding, found.label, max_memory=memory)
        told = told_record([*found.notes, *more], path)
        return {"dtype": "float32", "samples": int(there.sum()), "read": int(there.size), **told}

    entry, seconds = shelf.timed(samples_recipe(shelf, section, grid), make)
    record = entry.record
    rules = shelf.project.samples_of(section.file)
    provenance = {
        "source": {"samples": record["samples"], "read": record["read"]},
        "files": shelf.checksums([section.file]),
        "method": gridding.method,
        "parameters": {
            "field": section.field,
            **({} if section.where is None else {"where": section.where}),
            **rules.model_dump(mode="json", exclude={"source"}, exclude_none=True),
            "gridding": _table(section).model_dump(mode="json", exclude_none=True),
        },
        "prepared": file_record(entry),
        "facts": told_again(record["facts"], section.file),
    }
    layer = at(derived_layer(section, path), entry)
    return Made(layer, provenance, tuple(told_again(record["notes"], path)), seconds)


def _table(section: LayerSection) -> GriddingTable:
    return section.gridding or GriddingTable()
