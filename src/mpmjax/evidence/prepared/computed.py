"""Layers computed cell by cell from others that lie on the grid, kept: expressions, and the indices of scenes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mpmjax.errors import DataError
from mpmjax.evidence.expression import Expression
from mpmjax.evidence.expression.program import undefined
from mpmjax.evidence.formulas import clouds_of
from mpmjax.evidence.layer import computed_layer
from mpmjax.evidence.prepared.operands import quality_band
from mpmjax.evidence.prepared.shelf import (
    Made,
    Recipe,
    Shelf,
    at,
    file_record,
    grid_ingredients,
    loss_ingredients,
)
from mpmjax.evidence.spectral.masks import usable
from mpmjax.evidence.spectral.reflectance import to_reflectance
from mpmjax.project_layers import LayerSection
from mpmjax.project_scenes import SceneSection
from mpmjax.stream.layerfile import STRIP_ROWS, Write, write_layer
from mpmjax.stream.reader import StackReader
from mpmjax.stream.tiles import strips
from mpmjax.stream.unreadable import Unreadable, told, unreadable
from mpmjax.types import Grid, Layer, Slab, Tile

COLUMNS = 2048
"""Of a strip that are computed at a time."""

HIDDEN = 0.5
"""From this share of cells on that a scene's masks hide, it is told."""


@dataclass(frozen=True)
class Formula:
    """How a layer follows from others.

    Attributes:
        expression: over the names of `operands`, of which each has the key of what it means.
        scene: whose bands the operands are; its masks hide cells.
    """

    expression: Expression
    operands: Mapping[str, str]
    scene: SceneSection | None = None

    def cells(self, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, int], np.ndarray]:
        """Values of equal arrays of float64, NaN where missing; how many are for a reason of the expression's own, by
        reason; and where the scene's masks leave a cell."""
        if self.scene is None:
            values, reasons = self.expression.evaluate_counted(arrays)
            return values, reasons, np.ones((), bool)
        scene, quality = self.scene, quality_band(self.scene)
        bands = {name: values if name == quality else to_reflectance(values) for name, values in arrays.items()}
        masks = {"vegetation": scene.vegetation, "water": scene.water, "clouds": clouds_of(scene)}
        left = usable(bands, scene.sensor, **masks)
        shown = {name: np.where(left, values, np.nan) for name, values in bands.items()}
        values, reasons = self.expression.evaluate_counted(shown)
        return values, reasons, left

    def calibrated(self, name: str, layer: Layer) -> Layer:
        """An operand with the scale and offset that its scene states, if it states any and the band holds no codes."""
        scene = self.scene
        if scene is None or name == quality_band(scene) or (scene.scale is None and scene.offset is None):
            return layer
        return replace(layer, scale=1.0 if scene.scale is None else scene.scale, offset=scene.offset or 0.0)


@dataclass
class _Counts:
    """Cells: all; with every operand, but hidden; with a value; not defined, by reason. And blocks that were lost."""

    cells: int = 0
    hidden: int = 0
    there: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    lost: set[Unreadable] = field(default_factory=set)


def computed_recipe(
    shelf: Shelf, section: LayerSection, formula: Formula, recipes: Mapping[str, Recipe], grid: Grid
) -> Recipe:
    """What the cells of a computed layer follow from: the recipes of its operands, however these are kept."""
    of = {name: recipes[key] for name, key in sorted(formula.operands.items())}
    read = tuple(dict.fromkeys(path for recipe in of.values() for path in recipe.read))
    scene: dict[str, Any] = {}
    if formula.scene is not None:
        keys = {"sensor", "scale", "offset", "vegetation", "water", "clouds"}
        scene = {"scene": formula.scene.model_dump(mode="json", include=keys)}
    ingredients = {
        "step": "compute",
        "expression": str(formula.expression),
        "of": {name: [recipe.ingredients, shelf.sums(recipe.read)] for name, recipe in of.items()},
        **scene,
        "grid": grid_ingredients(grid),
        **loss_ingredients(shelf),
    }
    return Recipe(section.name, read, ingredients)


def lay_computed(
    shelf: Shelf, section: LayerSection, formula: Formula, recipe: Recipe, laid: Mapping[str, Made], grid: Grid
) -> Made:
    """A computed layer, strip by strip.

    Args:
        recipe: by computed_recipe; laid: what the operands' keys mean, on the grid.

    Raises:
        DataError: an operand cannot be decoded, as far as [stream] on_error = "stop", or no cell gets a value.
        DiskError: the layer cannot be written.
    """
    operands = {name: laid[key] for name, key in formula.operands.items()}
    layer = computed_layer(section, str(formula.expression), formula.scene)

    def make(out: Path) -> dict[str, Any]:
        layers = {name: formula.calibrated(name, made.layer) for name, made in operands.items()}
        counts = _write(out, grid, formula, layers, shelf.project.stream.on_error)
        if not counts.there:
            raise DataError(_nothing(section, formula, counts))
        lost = [[block.layer, block.row, block.col, block.height, block.width] for block in sorted(counts.lost)]
        return {"dtype": "float32", "notes": _notes(section, formula, counts), "unreadable": lost}

    entry, seconds = shelf.timed(recipe, make)
    read = {made.layer.name: made.layer for made in operands.values()}
    lost = [
        unreadable(name, read[name].source, read[name].band, Tile(0, *w)) for name, *w in entry.record["unreadable"]
    ]
    inner = [block for key in formula.operands.values() for block in _losses(laid[key], shelf, key)]
    provenance = {
        "source": {"of": {name: dict(made.provenance) for name, made in operands.items()}},
        "files": shelf.checksums(recipe.read),
        "method": "computed",
        "parameters": _parameters(section, formula),
        "prepared": file_record(entry),
        **({"unreadable": [vars(block) for block in lost] + inner} if lost or inner else {}),
    }
    notes = (*entry.record["notes"], *told(lost))
    return Made(at(layer, entry), provenance, notes, seconds)


def _losses(made: Made, shelf: Shelf, key: str) -> list[dict[str, Any]]:
    """Blocks that an operand lost while it was laid, unless it is a layer, of which they are told by itself."""
    if any(layer.name == key for layer in shelf.project.layers):
        return []
    about = {"layer": made.layer.name, "path": made.layer.source, "band": made.provenance["source"]["band"]}
    return [{**about, **block} for block in made.provenance.get("unreadable", ())]


def _parameters(section: LayerSection, formula: Formula) -> dict[str, Any]:
    if formula.scene is None:
        return {"expression": formula.expression.text}
    keys = {"sensor", "scale", "offset", "vegetation", "water", "clouds"}
    stated = formula.scene.model_dump(mode="json", include=keys, exclude_defaults=True)
    index = {} if section.index is None else {"index": section.index}
    return {"scene": formula.scene.name, **index, "expression": formula.expression.text, **stated}


def _write(out: Path, grid: Grid, formula: Formula, layers: Mapping[str, Layer], on_error: str) -> _Counts:
    counts = _Counts()
    with StackReader(grid, tuple(layers.values()), on_error=on_error) as reader:

        def make(write: Write) -> None:
            for strip in strips(grid, STRIP_ROWS):
                values = np.empty((strip.height, grid.width), np.float32)
                for col in range(0, grid.width, COLUMNS):
                    width = min(COLUMNS, grid.width - col)
                    slab = reader.read(Tile(0, strip.row, col, strip.height, width))
                    values[:, col : col + width] = _cells(formula, layers, slab, counts)
                write(strip.row, values)

        write_layer(out, grid, "float32", make)
    return counts


def _cells(formula: Formula, layers: Mapping[str, Layer], slab: Slab, counts: _Counts) -> np.ndarray:
    """float32 [height, width], NaN where missing; what overflows float32 is missing."""
    parts = zip(layers.items(), slab.values, slab.valid, strict=True)
    arrays = {name: np.where(valid, layer.in_units(raw), np.nan) for (name, layer), raw, valid in parts}
    found, reasons, left = formula.cells(arrays)
    with np.errstate(over="ignore"):
        values = found.astype(np.float32)
    there = np.isfinite(values)
    values[~there] = np.nan
    counts.cells += values.size
    counts.hidden += int((slab.valid.all(axis=0) & ~left).sum())
    counts.there += int(there.sum())
    counts.reasons.update(reasons)
    counts.lost.update(slab.unreadable)
    return values


def _notes(section: LayerSection, formula: Formula, counts: _Counts) -> list[str]:
    notes = []
    if counts.reasons:
        notes.append(f"layer {section.name!r}: {undefined(counts.reasons)}")
    if formula.scene is not None and counts.hidden > HIDDEN * counts.cells:
        notes.append(
            f"layer {section.name!r}: vegetation, water and clouds, as scene {formula.scene.name!r} states them, hide "
            f"{counts.hidden / counts.cells:.0%} of the cells."
        )
    return notes


def _nothing(section: LayerSection, formula: Formula, counts: _Counts) -> str:
    text = f"layer {section.name!r}: {formula.expression.text}: no cell of the grid gets a value: "
    if counts.hidden:
        return text + (
            f"the masks of its scene hide {counts.hidden:,} of {counts.cells:,} cells. Compare vegetation, water and "
            "clouds with what the bands hold."
        )
    if counts.reasons:
        return f"{text}{undefined(counts.reasons)} Change the expression."
    return text + "nowhere does all that it is computed from hold a value. Compare extents and nodata."
