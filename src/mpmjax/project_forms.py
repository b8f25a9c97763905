"""The forms a layer can have, and the keys that belong to each: whatever stands where it means nothing is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

Form = Literal["raster", "derivative", "features", "samples", "expression", "scene"]

ROLES_OF = {
    "distance": ("distance",),
    "density": ("density",),
    "presence": ("membership", "index"),
    "buffer": ("membership", "index"),
    "proximity": ("membership", "index"),
    "class": ("category",),
    "gridding": ("geochemistry", "geophysics", "index", "membership"),
}
"""What a derived layer can be: kilometres are no category, and 0..1 is a membership or an index."""

KEYS_OF = {
    "distance": ("search_distance",),
    "density": ("radius", "kernel"),
    "presence": (),
    "buffer": ("radius",),
    "proximity": ("max_distance", "field", "classes"),
    "class": ("field",),
}
"""Keys beyond those of every vector layer that a derivation takes."""

NEEDED = {"density": "radius", "buffer": "radius", "proximity": "max_distance", "class": "field"}
VECTOR_FILES = (".gpkg", ".shp", ".geojson", ".fgb", ".gdb")
SAMPLE_FILES = (".csv", ".txt", ".tsv")
RASTER_FILES = (".tif", ".tiff", ".img", ".asc", ".bil", ".flt")
VECTOR = ("layer", "where", "features", "azimuth")
OF_FEATURES = tuple(dict.fromkeys(key for keys in KEYS_OF.values() for key in keys if key != "field"))
RASTER = ("nodata", "valid_range", "resampling", "value_table")
OF_SAMPLES = ("gridding",)
OF_FIELDS = ("derivative", "height")


class Keys(Protocol):
    """What of a layer's section is looked at here."""

    derive: Any
    derivative: Any
    height: Any
    expression: Any
    scene: Any
    index: Any
    role: Any
    band: Any
    field: Any
    classes: Any
    features: Any
    value_table: Any

    @property
    def source(self) -> Path | None: ...


def form_of(layer: Keys) -> Form:
    """How a layer comes to be, by the keys that say so."""
    if layer.scene is not None or layer.index is not None:
        return "scene"
    if layer.expression is not None:
        return "expression"
    if layer.derive is not None:
        return "samples" if layer.derive == "gridding" else "features"
    return "raster" if layer.derivative is None else "derivative"


def require_form(layer: Keys) -> None:
    """Refuse keys that do not belong to the form of the layer, and miss those that do.

    Raises:
        ValueError: the key, and what to do.
    """
    _RULES[form_of(layer)](layer)


def _given(layer: Keys, *keys: str) -> list[str]:
    stated = [key for key in keys if key != "band" and getattr(layer, key) is not None]
    return stated + ["band"] * ("band" in keys and layer.band != 1)


def _foreign(layer: Keys, advice: str, *keys: str) -> None:
    strange = _given(layer, *keys)
    if strange:
        raise ValueError(f"{strange[0]!r} is {advice}")


def _raster(layer: Keys) -> None:
    name, suffix = _file(layer)
    if suffix in VECTOR_FILES:
        raise ValueError(f'{name} is a vector file: add derive = "distance" or the like')
    if suffix in SAMPLE_FILES:
        raise ValueError(f'{name} is a table of samples: add derive = "gridding" and the field to grid')
    _no_features(layer)
    _foreign(layer, 'for samples: add derive = "gridding", or remove it', *OF_SAMPLES)
    _foreign(layer, 'for derivative = "upward": add that, or remove it', "height")
    if (layer.field is None) != (layer.value_table is None):
        raise ValueError("'value_table' and 'field' go together: the file, and its column that names the codes")
    if layer.value_table is not None and layer.role != "category":
        raise ValueError("'value_table' names the codes of classes: role must be \"category\", or remove it")


def _derivative(layer: Keys) -> None:
    name, suffix = _file(layer)
    if suffix in (*VECTOR_FILES, *SAMPLE_FILES):
        raise ValueError(f"'derivative' is of a raster, and {name} is none: name the grid of the field")
    _no_features(layer)
    _foreign(layer, 'for samples: add derive = "gridding", or remove it', *OF_SAMPLES)
    _foreign(layer, "for the codes of classes, and a derivative has none: remove it", "field", "value_table")
    if layer.derivative == "upward" and layer.height is None:
        raise ValueError("derivative = \"upward\" needs 'height' (metres)")
    if layer.derivative != "upward":
        _foreign(layer, f'for derivative = "upward", and this one is "{layer.derivative}": remove it', "height")
    _role(layer, f'derivative = "{layer.derivative}"', ("geophysics", "index"))


def _no_features(layer: Keys) -> None:
    _foreign(layer, 'for vector sources: add derive = "distance" or the like, or remove it', *VECTOR, *OF_FEATURES)


def _features(layer: Keys) -> None:
    kind, (name, suffix) = str(layer.derive), _file(layer)
    if suffix in RASTER_FILES:
        raise ValueError(f"'derive' is for vector sources, and {name} is a raster: remove it")
    _foreign(layer, "for raster sources: remove it from this vector layer", *RASTER, "band", *OF_FIELDS)
    _foreign(layer, 'for samples: make it derive = "gridding", or remove it', *OF_SAMPLES)
    taken = KEYS_OF[kind]
    strange = [key for keys in KEYS_OF.values() for key in _given(layer, *keys) if key not in taken]
    if strange:
        allowed = ", ".join(taken) or "none"
        what = f"{strange[0]!r} is no key of"
        raise ValueError(f'{what} derive = "{kind}" (its own are: {allowed}): remove it')
    if kind in NEEDED and not _given(layer, NEEDED[kind]):
        what = "the attribute that names the class" if kind == "class" else "metres"
        needed = f"needs {NEEDED[kind]!r} ({what})"
        raise ValueError(f'derive = "{kind}" {needed}')
    if kind == "proximity" and (layer.field is None) != (layer.classes is None):
        raise ValueError("'field' and 'classes' go together, as in field = \"age\", classes = { \"Archaean\" = 1.0 }")
    if layer.features is not None and layer.field is not None:
        raise ValueError("an intersection belongs to several lines and has no class: drop 'features' or 'field'")
    if layer.classes is not None and not any(layer.classes.values()):
        raise ValueError("'classes' needs a class with a score above 0: else the layer is 0 everywhere")
    _role(layer, f'derive = "{kind}"', ROLES_OF[kind])


def _samples(layer: Keys) -> None:
    name, suffix = _file(layer)
    if suffix in RASTER_FILES:
        raise ValueError(f'derive = "gridding" is for samples, and {name} is a raster: remove it')
    if layer.field is None:
        raise ValueError("derive = \"gridding\" needs 'field' (a column, or a formula like clr(Li))")
    if suffix in SAMPLE_FILES:
        _foreign(
            layer, f"for vector files, and {name} is a table: remove it, or save the samples as GeoPackage", "where"
        )
    _foreign(layer, "a rule of the whole file: state it in its [[samples]]", "crs", "layer")
    _foreign(layer, "for raster sources: remove it from this layer of samples", *RASTER, "band", *OF_FIELDS)
    rest = [key for key in OF_FEATURES if key != "radius"]
    _foreign(layer, "for features: remove it from this layer of samples", "features", "azimuth", *rest)
    _foreign(layer, "of the gridding: write gridding = { radius = ... }", "radius")
    _role(layer, 'derive = "gridding"', ROLES_OF["gridding"])


def _expression(layer: Keys) -> None:
    _computed(layer, "an expression is computed from inputs and other layers, which have their own")


def _scene(layer: Keys) -> None:
    if layer.scene is None:
        raise ValueError("'index' is one of a scene: add scene = \"...\" (the name of a [[scenes]]), or remove it")
    if (layer.index is None) == (layer.expression is None):
        raise ValueError("a layer of a scene needs 'index' or 'expression' (over its bands), exactly one of them")
    _computed(layer, "a layer of a scene is computed from bands, and what concerns them stands in its [[scenes]]")
    _role(layer, "a layer of a scene", ("index", "membership"))


def _computed(layer: Keys, why: str) -> None:
    others = ("source", "derive", "derivative", "height", *RASTER, "crs", "band", *VECTOR, *OF_FEATURES, *OF_SAMPLES)
    strange = _given(layer, *others, "field")
    if strange:
        raise ValueError(f"{strange[0]!r} does not belong here: {why}. Remove it")


def _role(layer: Keys, what: str, allowed: tuple[str, ...]) -> None:
    if layer.role not in allowed:
        roles = " or ".join(f'"{role}"' for role in allowed)
        verb = "must have the role" if what.startswith("a ") else "makes a layer whose role must be"
        raise ValueError(f'{what} {verb} {roles}, got "{layer.role}"')


def _file(layer: Keys) -> tuple[str, str]:
    """Name and suffix of the source; one that is not given was refused before."""
    return ("", "") if layer.source is None else (layer.source.name, layer.source.suffix.lower())


_RULES = {
    "raster": _raster,
    "derivative": _derivative,
    "features": _features,
    "samples": _samples,
    "expression": _expression,
    "scene": _scene,
}
