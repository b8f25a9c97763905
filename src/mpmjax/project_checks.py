"""What must agree between the sections of a project file. Every function raises ValueError, a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from mpmjax.project_forms import form_of
from mpmjax.project_layers import LayerSection
from mpmjax.project_samples import SamplesSection
from mpmjax.project_scenes import InputSection, SceneSection
from mpmjax.project_sections import GridSection

Layers = Sequence[LayerSection]


def require_layers(layers: Layers, latent: int | None) -> None:
    """Layers have names of their own, are enough for the network, and one of them at least has a direction."""
    names = [layer.name for layer in layers]
    if not 2 <= len(names) <= 64:
        raise ValueError(f"2 to 64 [[layers]] are needed, got {len(names)}")
    doubled = _doubled(names)
    if doubled is not None:
        raise ValueError(f"layer names must differ, {doubled!r} stands {names.count(doubled)} times")
    if latent is not None and latent >= len(names):
        raise ValueError(
            f"model.latent = {latent}, but must be smaller than the number of layers ({len(names)}): "
            "else the autoencoder copies, and nothing is an anomaly"
        )
    implied = ("membership", "category")
    directed = [x for x in layers if x.direction != "none" and (x.direction or x.membership or x.role in implied)]
    if not directed:
        raise ValueError('no layer has a direction: add direction = "high" or "low" to those that you can judge')


def require_grid(
    grid: GridSection, layers: Layers, inputs: Sequence[InputSection], scenes: Sequence[SceneSection]
) -> None:
    """The grid can be known: from what [grid] states, or from a raster."""
    own = [layer.name for layer in layers if form_of(layer) in ("raster", "derivative")]
    rasters = [*own, *(item.name for item in inputs), *(scene.name for scene in scenes)]
    if grid.like is not None and grid.like not in rasters:
        raise ValueError(f"grid.like = {grid.like!r} is no raster layer; these are: {', '.join(rasters)}")
    if not rasters and (grid.crs is None or (grid.bounds is None and grid.mask is None)):
        raise ValueError("without raster layers [grid] needs crs and resolution, and bounds or a mask")


def require_samples(samples: Sequence[SamplesSection], layers: Layers) -> None:
    """Every file of samples has its rules once, and is used."""
    sources = [rules.source for rules in samples]
    gridded = {layer.source for layer in layers if form_of(layer) == "samples"}
    for source in sources:
        if sources.count(source) > 1:
            raise ValueError(f"samples: '{source}' has its rules {sources.count(source)} times: keep one of them")
        if source not in gridded:
            raise ValueError(
                f"samples: '{source}' is used by no layer: add one with the same source and derive = \"gridding\", or "
                "remove it"
            )


def require_scenes(scenes: Sequence[SceneSection], layers: Layers) -> None:
    """Scenes have names of their own, every one is used, and layers name none that is not there."""
    names = [scene.name for scene in scenes]
    doubled = _doubled(names)
    if doubled is not None:
        raise ValueError(f"scene names must differ, {doubled!r} stands {names.count(doubled)} times")
    for layer in layers:
        if layer.scene is not None and layer.scene not in names:
            known = f"these are: {', '.join(names)}" if names else "add a [[scenes]] of that name"
            raise ValueError(f"layer {layer.name!r}: scene = {layer.scene!r} is no [[scenes]]; {known}")
    used = {layer.scene for layer in layers}
    idle = next((name for name in names if name not in used), None)
    if idle is not None:
        raise ValueError(
            f"scene {idle!r} is used by no layer: add one with scene = {idle!r} and an index, or remove it"
        )


def require_inputs(inputs: Sequence[InputSection], layers: Layers) -> None:
    """Inputs have names that nothing else has, because expressions find inputs and layers by them."""
    names = [item.name for item in inputs]
    doubled = _doubled(names)
    if doubled is not None:
        raise ValueError(f"input names must differ, {doubled!r} stands {names.count(doubled)} times")
    both = next((layer.name for layer in layers if layer.name in names), None)
    if both is not None:
        raise ValueError(
            f"{both!r} is an input and a layer: an expression could mean either. A raster layer needs no input beside "
            "it; else rename one of them"
        )
    if names and all(form_of(layer) != "expression" for layer in layers):
        raise ValueError(
            f"input {names[0]!r} is used by no layer: add one with an expression that names it, or remove it"
        )


def _doubled(names: Sequence[str]) -> str | None:
    return next((name for name in sorted(set(names)) if names.count(name) > 1), None)
