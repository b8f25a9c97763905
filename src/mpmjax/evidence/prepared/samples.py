"""Layers of samples on the grid, kept: points are read by the rules of their file, computed, and gridded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mpmjax.errors import DataError
from mpmjax.evidence.geochemistry.field import Field, compute_field
from mpmjax.evidence.gridding.methods import Gridding, Variogram
from mpmjax.evidence.gridding.write import write_gridded
from mpmjax.evidence.layer import derived_layer
from mpmjax.evidence.prepared.shelf import HERE, Made, Recipe, Shelf, at, file_record, grid_ingredients
from mpmjax.evidence.samples.table import Rules, Samples, read_samples
from mpmjax.project import Project
from mpmjax.project_layers import LayerSection
from mpmjax.project_samples import GriddingTable, SamplesSection
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


def read_layer_samples(
    project: Project, section: LayerSection, field: Field, grid: Grid
) -> tuple[Samples, SamplesSection, str]:
    """The samples of a layer by the rules of their file, these rules, and what messages call the file.

    Raises:
        DataError: the file cannot be used (samples/table.py).
    """
    rules = project.samples_of(section.file)
    path = project.path(section.file)
    label = f"layer {section.name!r}: {path}"
    samples = read_samples(
        path,
        label,
        grid_crs=grid.crs,
        columns=tuple(dict.fromkeys(field.columns(rules.composition))),
        labels=() if rules.level_by is None else (rules.level_by,),
        crs=rules.crs,
        layer=rules.layer,
        where=section.where,
        rules=rules_of(rules),
    )
    return samples, rules, label


def rules_of(section: SamplesSection) -> Rules:
    """The rules of a file as the reader takes them."""
    return Rules(
        censored=section.censored, negative=section.negative, duplicates=section.duplicates, units=section.units
    )


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
        samples, rules, label = read_layer_samples(shelf.project, section, field, grid)
        classes = None if rules.level_by is None else samples.labels[rules.level_by]
        values, notes = compute_field(field, samples.values, rules.composition, label, classes=classes)
        there = np.isfinite(values)
        if not there.any():
            raise DataError(
                f"{label}: none of its {there.size:,} samples has a value of {section.field}. Name another column, or "
                "look at censored and negative in its [[samples]]."
            )
        x, y = samples.x[there], samples.y[there]
        more = write_gridded(x, y, values[there], grid, out, gridding, label, max_memory=memory)
        told = [note.replace(str(path), HERE) for note in (*samples.notes, *notes, *more)]
        return {"dtype": "float32", "samples": int(there.sum()), "read": int(there.size), "notes": told}

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
    }
    layer = at(derived_layer(section, path), entry)
    return Made(layer, provenance, tuple(note.replace(HERE, str(path)) for note in record["notes"]), seconds)


def _table(section: LayerSection) -> GriddingTable:
    return section.gridding or GriddingTable()
