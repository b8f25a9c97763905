"""Layers derived from features, on the grid, kept."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from mpmjax.evidence.layer import derived_layer
from mpmjax.evidence.prepared.shelf import (
    Made,
    Recipe,
    Shelf,
    at,
    file_record,
    grid_ingredients,
    number,
    told_again,
    told_record,
)
from mpmjax.evidence.vector.derive import derive
from mpmjax.project_layers import LayerSection
from mpmjax.project_membership import Category
from mpmjax.types import Grid

DERIVED_KEYS = (
    *("derive", "crs", "layer", "where", "features", "azimuth", "search_distance"),
    *("radius", "kernel", "max_distance", "field", "classes"),
)
"""Keys of a vector layer that change its cells."""


def features_recipe(section: LayerSection, grid: Grid) -> Recipe:
    """What the cells of a layer derived from features follow from."""
    table = section.membership.scores if isinstance(section.membership, Category) else {}
    ingredients = {"step": "derive", **_given(section), "names": sorted(table), "grid": grid_ingredients(grid)}
    return Recipe(section.name, (section.file,), ingredients)


def lay_features(shelf: Shelf, section: LayerSection, grid: Grid) -> Made:
    """A layer derived from features, on the grid.

    Raises:
        DataError: the file cannot be used, or holds nothing to derive from.
        DiskError: the layer cannot be written.
    """
    path = shelf.project.path(section.file)

    def make(out: Path) -> dict[str, Any]:
        derived = derive(section, path, grid, out, shelf.scratch)
        return {**asdict(derived), **told_record(derived.notes, path)}

    entry, seconds = shelf.timed(features_recipe(section, grid), make)
    record = entry.record
    codes = {name: tuple(map(float, values)) for name, values in record["codes"].items()}
    layer = at(derived_layer(section, path), entry, nodata=number(record["nodata"]), codes=codes)
    provenance = {
        "source": {"features": record["features"]},
        "files": shelf.checksums([section.file]),
        "method": section.derive,
        "parameters": _given(section),
        "prepared": file_record(entry),
    }
    return Made(layer, provenance, tuple(told_again(record["notes"], path)), seconds)


def _given(section: LayerSection) -> dict[str, Any]:
    """The keys of a vector layer that were stated."""
    return section.model_dump(mode="json", include=set(DERIVED_KEYS), exclude_none=True)
