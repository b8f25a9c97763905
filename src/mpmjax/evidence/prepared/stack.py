"""All layers of a project laid on one grid: first what has a source of its own, then what is computed from that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpmjax.evidence.formulas import Formulas
from mpmjax.evidence.prepared.computed import Formula, computed_recipe, lay_computed
from mpmjax.evidence.prepared.derivative import derivative_recipe, lay_derivative, own_recipe
from mpmjax.evidence.prepared.features import features_recipe, lay_features
from mpmjax.evidence.prepared.operands import operand_sections, operands_of
from mpmjax.evidence.prepared.raster import is_kept, lay, raster_recipe
from mpmjax.evidence.prepared.samples import lay_samples, samples_recipe
from mpmjax.evidence.prepared.shelf import Made, Recipe, Shelf
from mpmjax.evidence.raster.scan import RasterFacts
from mpmjax.evidence.raster.source import RasterSource
from mpmjax.evidence.raster.warp import exact
from mpmjax.project_layers import LayerSection
from mpmjax.types import Grid

RASTERS = ("raster", "derivative")
"""Forms of layers whose source is a raster that is looked at first."""


@dataclass(frozen=True)
class Stack:
    """What is known of a project's layers before any of them is laid.

    Attributes:
        rasters: sections of all raster sources by key: layers, inputs, and bands of scenes; looks: what they hold.
    """

    shelf: Shelf
    formulas: Formulas
    rasters: Mapping[str, LayerSection]
    looks: Mapping[str, tuple[RasterSource, RasterFacts]]
    grid: Grid

    @cached_property
    def sections(self) -> dict[str, LayerSection]:
        """Everything that is laid, by key, in its order: a computed layer behind what it needs."""
        layers = {layer.name: layer for layer in self.shelf.project.layers}
        own = {name: layer for name, layer in layers.items() if name not in self.formulas.expressions}
        return own | dict(self.rasters) | {name: layers[name] for name in self.formulas.order}

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """What the cells of everything that is laid follow from, by key."""
        found: dict[str, Recipe] = {}
        for key, section in self.sections.items():
            found[key] = self._recipe(key, section, found)
        return found

    def formula(self, section: LayerSection) -> Formula:
        """How a computed layer follows from others."""
        project = self.shelf.project
        scene = None if section.scene is None else project.scene(section.scene)
        return Formula(self.formulas.expressions[section.name], operands_of(project, self.formulas, section), scene)

    def _recipe(self, key: str, section: LayerSection, known: Mapping[str, Recipe]) -> Recipe:
        match section.form:
            case "raster":
                return raster_recipe(self.shelf, section, self.looks[key][0], self.grid)
            case "derivative":
                return derivative_recipe(self.shelf, section, self.looks[key][0], self.grid)
            case "features":
                return features_recipe(section, self.grid)
            case "samples":
                return samples_recipe(self.shelf, section, self.grid)
        return computed_recipe(self.shelf, section, self.formula(section), known, self.grid)


def raster_sections(shelf: Shelf, formulas: Formulas) -> dict[str, LayerSection]:
    """The sections of all raster sources, by key: layers, inputs, and bands of scenes.

    Raises:
        DataError: a band is not found.
    """
    layers = {layer.name: layer for layer in shelf.project.layers if layer.form in RASTERS}
    return layers | operand_sections(shelf, formulas)


def lay_stack(stack: Stack, say: Callable[[str], None]) -> dict[str, Made]:
    """Lay all layers, and what they are computed from, by key.

    Args:
        say: gets a line for everything that was made.

    Raises:
        DataError: a source cannot be used; says which and what to do.
        DiskError: a layer cannot be written.
    """
    made: dict[str, Made] = {}
    for key, section in stack.sections.items():
        one = made[key] = _lay(stack, key, section, made)
        if one.seconds is not None:
            say(f"  {section.name}: {one.provenance['method']}, {one.seconds:.1f} s")
    return made


def _lay(stack: Stack, key: str, section: LayerSection, laid: Mapping[str, Made]) -> Made:
    shelf, grid = stack.shelf, stack.grid
    match section.form:
        case "raster":
            return lay(shelf, section, *stack.looks[key], grid)
        case "derivative":
            return lay_derivative(shelf, section, *stack.looks[key], grid)
        case "features":
            return lay_features(shelf, section, grid)
        case "samples":
            return lay_samples(shelf, section, stack.formulas.fields[section.name], grid)
    return lay_computed(shelf, section, stack.formula(section), stack.recipes[key], laid, grid)


def disk_needed(stack: Stack) -> tuple[int, int]:
    """Bytes of everything that will be laid and kept, not compressed; and most that are there besides on the way."""
    cells, kept, passing = stack.grid.width * stack.grid.height, 0, 0
    for key, section in stack.sections.items():
        source = stack.looks[key][0] if key in stack.looks else None
        if section.form == "raster" and source is not None:
            if is_kept(stack.shelf, section, source, stack.grid):
                continue
            if source.lies_on(stack.grid):  # a decoded copy, and nothing beside it
                kept += cells * np.dtype(source.dtype).itemsize
                continue
            kept += cells * np.dtype(exact(source.dtype)).itemsize
            # While it is made: a copy of the source without what is missing.
            passing = max(passing, 8 * source.width * source.height)
            continue
        warped = source is not None and not source.lies_on(stack.grid)
        if warped and source is not None and stack.shelf.find(own_recipe(stack.shelf, section)) is None:
            kept += 4 * source.width * source.height
        if stack.shelf.find(stack.recipes[key]) is None:
            kept += 4 * cells
            passing = max(passing, 4 * cells)  # what a proximity of classes keeps
    return kept, passing
