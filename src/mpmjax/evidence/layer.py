"""A section of the project file and what its source says of itself, put together into a Layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mpmjax.evidence.raster.source import RasterSource
from mpmjax.project_layers import LayerSection
from mpmjax.project_membership import sense
from mpmjax.project_scenes import SceneSection
from mpmjax.types import Layer

MEANING = ("derive", "features", "azimuth", "radius", "kernel", "max_distance", "classes", "derivative", "height")
"""Keys that say what the values of a derived layer mean, whatever file they come from."""

OF_SAMPLES = ("derive", "field")
"""The same of a layer of samples: how they are gridded changes how well a value is known, not what it means."""

DIRECTIONS = {"high": 1, "low": -1, "none": 0}


def direction(section: LayerSection) -> int:
    """+1, -1 or 0. An explicit membership, and a layer that is one, say by themselves what is favourable."""
    if section.direction is not None:
        return DIRECTIONS[section.direction]
    if section.membership is not None:
        return sense(section.membership) or 1
    return 1 if section.role == "membership" else 0


def raster_layer(
    section: LayerSection, source: RasterSource, codes: Mapping[str, tuple[float, ...]] | None = None
) -> Layer:
    """The layer as its source holds it, before it is laid on the grid; `codes` from its value table."""
    return Layer(
        name=section.name,
        role=section.role,
        path=source.path,
        band=source.band,
        dtype=source.dtype,
        nodata=source.nodata,
        scale=source.scale,
        offset=source.offset,
        valid_range=section.valid_range,
        masked=source.masked,
        direction=direction(section),
        weight=section.weight,
        source=str(source.path),
        codes=codes or {},
        derivation=section.model_dump(mode="json", include=set(MEANING), exclude_none=True),
    )


def derived_layer(section: LayerSection, path: Path) -> Layer:
    """The layer that features or samples of the file `path` give; where its cells lie is not known yet."""
    variance = section.gridding is not None and section.gridding.what == "variance"
    meaning = OF_SAMPLES if section.form == "samples" else MEANING
    return Layer(
        name=section.name,
        role=section.role,
        path=path,
        band=1,
        dtype="float32",
        direction=direction(section),
        weight=section.weight,
        source=str(path),
        derivation=section.model_dump(mode="json", include=set(meaning), exclude_none=True)
        | ({"what": "variance"} if variance else {}),
    )


def computed_layer(section: LayerSection, expression: str, scene: SceneSection | None) -> Layer:
    """The layer that an expression gives, over bands if there is a scene; where its cells lie is not known yet."""
    meaning = {"expression": expression}
    if scene is not None:
        meaning = {"sensor": scene.sensor, **({"index": section.index} if section.index is not None else meaning)}
    return Layer(
        name=section.name,
        role=section.role,
        path=Path(),
        band=1,
        dtype="float32",
        direction=direction(section),
        weight=section.weight,
        source=expression if scene is None else f"scene {scene.name}: {section.index or expression}",
        derivation=meaning,
    )
