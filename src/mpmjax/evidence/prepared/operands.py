"""Rasters that are no layers, but that layers are computed from: inputs, and the bands of scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mpmjax.evidence.formulas import Formulas
from mpmjax.evidence.prepared.shelf import Shelf
from mpmjax.evidence.raster.scan import RasterFacts
from mpmjax.evidence.raster.source import RasterSource
from mpmjax.evidence.spectral.bands import canonical_band, find_bands
from mpmjax.evidence.spectral.reflectance import not_reflectance
from mpmjax.project import Project
from mpmjax.project_layers import LayerSection
from mpmjax.project_scenes import InputSection, SceneSection
from mpmjax.stream.reader import open_raster

THERMAL = {"aster": ("B10", "B11", "B12", "B13", "B14"), "landsat8": ("B10", "B11")}
"""Bands that hold radiance or temperature, by sensor."""


def input_section(item: InputSection) -> LayerSection:
    """An input as the section of a raster layer without a direction, to be laid as one."""
    keys = ("source", "band", "crs", "nodata", "valid_range", "resampling")
    return LayerSection(name=item.name, role="index", **{key: getattr(item, key) for key in keys})


def band_key(scene: str, band: str) -> str:
    """What a band is called among layers and inputs; no layer can have this name."""
    return f"{scene}/{band}"


def band_sections(scene: SceneSection, places: Mapping[str, tuple[Path, int]]) -> dict[str, LayerSection]:
    """The bands of a scene as sections of raster layers, by their keys.

    A band of clouds holds codes and is taken by the nearest cell; the others as layers are.
    """
    clouds = quality_band(scene)
    return {
        band_key(scene.name, band): LayerSection(
            name=f"{scene.name} {band}",
            role="index",
            source=path,
            band=number,
            crs=scene.crs,
            nodata=None if band == clouds else scene.nodata,
            resampling="nearest" if band == clouds else None,
        )
        for band, (path, number) in places.items()
    }


def quality_band(scene: SceneSection) -> str | None:
    """The band that tells clouds, if there is one; it holds codes, where the others hold reflectances."""
    return None if scene.clouds is None else canonical_band(scene.sensor, scene.clouds.band)


def brightness(scene: SceneSection, looks: Mapping[str, tuple[RasterSource, RasterFacts]]) -> list[str]:
    """A note where the numbers of a scene's bands cannot be reflectances."""
    stated = scene.scale is not None or scene.offset is not None
    largest = 0.0
    for key, (source, facts) in looks.items():
        name, _, band = key.partition("/")
        plain = source.scale == 1.0 and source.offset == 0.0 and facts.low <= facts.high
        if name == scene.name and plain and band not in (quality_band(scene), *THERMAL.get(scene.sensor, ())):
            largest = max(largest, facts.high)
    told = "" if stated else not_reflectance(scene.sensor, largest)
    return [f"scene {scene.name!r}: {told}"] if told else []


def places_of_bands(project: Project, scene: SceneSection, wanted: Sequence[str]) -> dict[str, tuple[Path, int]]:
    """File, as the project names it, and number of every wanted band.

    Raises:
        DataError: a band is not found; says which the file has.
    """
    own = {
        canonical_band(scene.sensor, name): (where, 1) for name, where in scene.bands.items() if isinstance(where, Path)
    }
    rest = [name for name in wanted if name not in own]
    if not rest:
        return {name: own[name] for name in wanted}
    stated = {name: where for name, where in scene.bands.items() if isinstance(where, int)}
    label = f"scene {scene.name!r}"
    descriptions: Sequence[str | None] = ()
    if scene.source is not None:
        path = project.path(scene.source)
        label = f"{label}: {path}"
        with open_raster(path) as dataset:
            descriptions = dataset.descriptions
    numbers = find_bands(scene.sensor, descriptions, stated or None, rest, label)
    found = own if scene.source is None else own | {name: (scene.source, at) for name, at in numbers.items()}
    return {name: found[name] for name in wanted}


def look_for_bands(shelf: Shelf, scene: SceneSection, wanted: Sequence[str]) -> dict[str, LayerSection]:
    """The wanted bands of a scene as sections of raster layers, kept: their names stand in the file.

    Raises:
        DataError: as places_of_bands.
    """

    def make() -> dict[str, Any]:
        found = places_of_bands(shelf.project, scene, wanted)
        return {"places": {name: [str(path), number] for name, (path, number) in found.items()}}

    ingredients = {
        "step": "bands",
        "sensor": scene.sensor,
        "wanted": list(wanted),
        **scene.model_dump(mode="json", include={"bands", "source"}),
    }
    record = shelf.record(f"{scene.name} bands", list(scene.files), ingredients, make).record
    return band_sections(scene, {name: (Path(path), number) for name, (path, number) in record["places"].items()})


def operand_sections(shelf: Shelf, formulas: Formulas) -> dict[str, LayerSection]:
    """Every input and every band that is needed, by the name or key under which layers find it.

    Raises:
        DataError: a band is not found.
    """
    sections = {item.name: input_section(item) for item in shelf.project.inputs}
    for scene in shelf.project.scenes:
        sections |= look_for_bands(shelf, scene, formulas.bands[scene.name])
    return sections


def grid_sources(project: Project, sources: Mapping[str, RasterSource]) -> dict[str, RasterSource]:
    """The rasters that the grid may be taken from, by key, in their order: the raster layers; without any the inputs
    and the bands of scenes, of a scene the finest first. What `like` names comes before all."""
    like = project.grid.like
    own: list[str] = [layer.name for layer in project.layers if layer.form in ("raster", "derivative")]
    others: list[str] = [] if own else [item.name for item in project.inputs]
    for scene in project.scenes:
        bands = [key for key in sources if key.startswith(band_key(scene.name, ""))]
        finest = sorted(bands, key=lambda key: abs(sources[key].transform.determinant))
        others += finest if not own or scene.name == like else []
    first = [key for key in others if like is not None and key.startswith(band_key(like, ""))]
    first += [item.name for item in project.inputs if item.name == like]
    keys = [*first, *own, *([] if own else others)]
    return {key: sources[key] for key in keys if key in sources}


def operands_of(project: Project, formulas: Formulas, layer: LayerSection) -> dict[str, str]:
    """What a computed layer needs: the names in its expression, and in the masks of its scene, with the keys of what
    they mean."""
    names = formulas.expressions[layer.name].names
    if layer.scene is None:
        return {name: name for name in names}
    wanted = dict.fromkeys([*names, *formulas.masks[layer.scene]])
    return {name: band_key(layer.scene, name) for name in wanted}
