"""What the layers of a project are computed from: expressions, indices and fields, parsed and held against its names.

This is looked at before any data are opened, and all mistakes are told at once, as those of the project file are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mpmjax.errors import ProjectError
from mpmjax.evidence.expression import Expression, parse
from mpmjax.evidence.geochemistry.field import Field, parse_field
from mpmjax.evidence.samples.rules import Rules
from mpmjax.evidence.spectral.bands import canonical_band, scene_expression
from mpmjax.evidence.spectral.indices import index_expression
from mpmjax.evidence.spectral.masks import Clouds, mask_bands
from mpmjax.project import Project
from mpmjax.project_layers import LayerSection
from mpmjax.project_samples import SamplesSection
from mpmjax.project_scenes import SceneSection

SIGNED = ("clr", "alr", "ilr", "log", "boxcox", "factor")
"""Kinds of fields with values below 0."""

T = TypeVar("T")


@dataclass(frozen=True)
class Formulas:
    """Everything of a project that had to be parsed.

    Attributes:
        fields: of the layers of samples, by layer.
        expressions: of the computed layers, by layer; those of a scene name its bands, the others layers and inputs.
        order: the computed layers, each behind those that it needs.
        masks: of every scene, the bands that tell which cells count; bands: these and those that its layers need.
    """

    fields: Mapping[str, Field]
    expressions: Mapping[str, Expression]
    order: tuple[str, ...]
    masks: Mapping[str, tuple[str, ...]]
    bands: Mapping[str, tuple[str, ...]]


def read_formulas(project: Project) -> Formulas:
    """Parse what a project states in words of its own.

    Raises:
        ProjectError: a formula cannot be read, names what is not there, or needs itself; an input that nothing uses.
    """
    wrong: list[str] = []

    def parsed(layer: LayerSection, key: str, read: Callable[[], T]) -> Mapping[str, T]:
        try:
            return {layer.name: read()}
        except ValueError as error:
            number = project.layers.index(layer) + 1
            wrong.append(f"layers[{number}] {layer.name!r}.{key}: {error}")
            return {}

    fields: dict[str, Field] = {}
    expressions: dict[str, Expression] = {}
    for layer in project.layers:
        if layer.form == "samples":
            fields |= parsed(layer, "field", lambda layer=layer: _field(project, layer))
        elif layer.form == "expression":
            expressions |= parsed(layer, "expression", lambda layer=layer: _expression(project, layer))
        elif layer.form == "scene":
            key = "index" if layer.index is not None else "expression"
            expressions |= parsed(layer, key, lambda layer=layer: _of_bands(project.scene(layer.scene), layer))
    masks: dict[str, tuple[str, ...]] = {}
    bands: dict[str, tuple[str, ...]] = {}
    for number, rules in enumerate(project.samples, start=1):
        try:
            rules_of(rules)
        except ValueError as error:
            wrong.append(f"samples[{number}] '{rules.source}'.units: {error}")
    for number, scene in enumerate(project.scenes, start=1):
        try:
            masks[scene.name] = _masks(scene)
            own = [expressions[x.name].names for x in project.layers if x.scene == scene.name and x.name in expressions]
            bands[scene.name] = tuple(dict.fromkeys([*(name for names in own for name in names), *masks[scene.name]]))
        except ValueError as error:
            wrong.append(f"scenes[{number}] {scene.name!r}: {error}")
    order = tuple(_order(expressions, wrong))
    if not wrong:
        wrong += _idle(project, expressions)
    if wrong:
        what = "1 mistake" if len(wrong) == 1 else f"{len(wrong)} mistakes"
        lines = [line if line.endswith((".", "?")) else f"{line}." for line in wrong]
        raise ProjectError(f"{project.file or 'project'}: {what} in the project file.\n  " + "\n  ".join(lines))
    return Formulas(fields, expressions, order, masks, bands)


def rules_of(section: SamplesSection) -> Rules:
    """The rules of a file as its reader takes them.

    Raises:
        ValueError: a unit that does not exist.
    """
    return Rules(
        censored=section.censored, negative=section.negative, duplicates=section.duplicates, units=section.units
    )


def _field(project: Project, layer: LayerSection) -> Field:
    field = parse_field(str(layer.field))
    field.columns(project.samples_of(layer.file).composition)  # refuses parts that it does not hold
    if field.kind in SIGNED and layer.transform != "none":
        raise ValueError(
            f'{layer.field} has values below 0, and transform = "{layer.transform}" takes none: drop one of them'
        )
    return field


def _expression(project: Project, layer: LayerSection) -> Expression:
    names = [*(item.name for item in project.inputs), *(one.name for one in project.layers)]
    return parse(str(layer.expression), names)


def _of_bands(scene: SceneSection, layer: LayerSection) -> Expression:
    """Over the usual names of the bands, whatever the project calls them."""
    if layer.index is not None:
        return index_expression(scene.sensor, layer.index)
    return scene_expression(scene.sensor, str(layer.expression))


def clouds_of(scene: SceneSection) -> Clouds | None:
    """What tells clouds in a scene, as the masks take it."""
    table = scene.clouds
    return None if table is None else Clouds(table.band, table.values or (), table.bits or ())


def _masks(scene: SceneSection) -> tuple[str, ...]:
    """The bands that the masks of a scene need; what `bands` names must be bands, each once.

    Raises:
        ValueError: a band that the sensor does not have, or that is stated twice.
    """
    known: dict[str, str] = {}
    for name in scene.bands:
        band = canonical_band(scene.sensor, name)
        if band in known:
            raise ValueError(f"bands states {band} twice, by {known[band]!r} and by {name!r}: keep one of them")
        known[band] = name
    return mask_bands(scene.sensor, scene.vegetation, scene.water, clouds_of(scene))


def _order(expressions: Mapping[str, Expression], wrong: list[str]) -> Sequence[str]:
    """Depth first, as the layers come; a circle is a mistake, and is told once."""
    done: list[str] = []
    told: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = path[path.index(name) :]
            if told.isdisjoint(circle):
                told.update(circle)
                way = " -> ".join([*circle, name])
                wrong.append(f"layer {name!r}: its expression needs itself ({way}): break the circle")
            return
        if name in done:
            return
        for needed in expressions[name].names:
            if needed in expressions:
                visit(needed, (*path, name))
        done.append(name)

    for name in expressions:
        visit(name, ())
    return done


def _idle(project: Project, expressions: Mapping[str, Expression]) -> list[str]:
    used = {name for layer in project.layers if layer.form == "expression" for name in expressions[layer.name].names}
    return [
        f"inputs[{number}] {item.name!r}: no expression names it: remove it, or make it one of [[layers]]"
        for number, item in enumerate(project.inputs, start=1)
        if item.name not in used
    ]
