"""A vector layer of a project -> a raster on the grid: which derivation, from which features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from mpmjax.errors import DataError
from mpmjax.evidence.remarks import several
from mpmjax.evidence.vector.classes import class_codes, code_type, polygons_of, write_classes, write_presence
from mpmjax.evidence.vector.density import measured, write_density
from mpmjax.evidence.vector.features import Features, read_features
from mpmjax.evidence.vector.file import open_vector, read_rows
from mpmjax.evidence.vector.proximity import Near, write_buffer, write_distance, write_proximity
from mpmjax.project_layers import LayerSection
from mpmjax.project_membership import Category
from mpmjax.types import Grid


@dataclass(frozen=True)
class Derived:
    """What a derivation left beside its file.

    Attributes:
        dtype, nodata: of the file.
        features: how many were used.
        notes: what was noticed, as sentences.
        codes: names of classes and the values that mean them, for derive = "class"; else empty.
    """

    dtype: str
    nodata: float | None
    features: int
    notes: tuple[str, ...]
    codes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    """One derivation: the section, its features by the width of the margin around the grid, and where it goes."""

    section: LayerSection
    path: Path
    near: Near
    grid: Grid
    out: Path
    scratch: Path

    @property
    def label(self) -> str:
        return f"layer {self.section.name!r}: {self.path}"


def derive(section: LayerSection, path: Path, grid: Grid, out: Path, scratch: Path) -> Derived:
    """Make the raster of a vector layer on the grid.

    Args:
        section: a layer of the project that states `derive`.
        path: its file of features.
        out: the GeoTIFF to write, with the grid's CRS and transform.
        scratch: existing folder for intermediate files.

    Raises:
        DataError: the file cannot be used, has nothing near the grid, or not the classes that the project names.
        DiskError: a file cannot be written.
    """
    task = _Task(section, path, partial(section_features, section, path, grid), grid, out, scratch)
    return _DERIVATIONS[str(section.derive)](task)


def section_features(section: LayerSection, path: Path, grid: Grid, margin: float) -> Features:
    """The features that a section takes from its file, as far as `margin` metres around the grid.

    Raises:
        DataError: as read_features.
    """
    return read_features(
        path,
        grid,
        pad=margin,
        where=section.where,
        crs=section.crs,
        name=section.name,
        layer=section.layer,
        field=section.field,
        intersections=section.features == "intersections",
        azimuth=section.azimuth,
    )


def refuse(section: LayerSection, path: Path, features: Features, grid: Grid) -> list[str]:
    """Refuse features that a layer cannot be derived from, before anything is written; returns notes on their classes.

    Raises:
        DataError: names classes that the file does not hold; or no polygons for classes; or nothing to take a density
            of or features of several kinds; or a distance smaller than a cell.
    """
    label, cell = f"layer {section.name!r}: {path}", max(grid.cell_size)
    for key, reach in (("radius", section.radius), ("max_distance", section.max_distance)):
        if reach is not None and reach < cell and section.derive != "density":
            raise DataError(
                f"{label}: {key} = {reach:g} m is smaller than a cell ({cell:g} m), so only cells that a feature "
                'touches would count. Use a finer grid, a larger distance, or derive = "presence".'
            )
    if section.derive == "density":
        measured(features, grid, radius=_metres(section.radius, "radius"), name=section.name)
    if section.derive == "class":
        polygons_of(features, grid, label)
        table = section.membership
        return _look_for(section, path, features, table.scores if isinstance(table, Category) else (), "on the grid")
    if section.classes is not None:
        where = f"within {_metres(section.max_distance, 'max_distance'):g} m of the grid"
        return _look_for(section, path, features, section.classes, where)
    return []


def _distance(task: _Task) -> Derived:
    count, notes = write_distance(
        task.near,
        task.grid,
        task.out,
        search_distance=task.section.search_distance,
        label=task.label,
        scratch=task.scratch,
    )
    return Derived("float32", None, count, tuple(notes))


def _density(task: _Task) -> Derived:
    radius = _metres(task.section.radius, "radius")
    features = task.near(radius)
    kernel = task.section.kernel or "uniform"
    notes = write_density(features, task.grid, task.out, radius=radius, kernel=kernel, name=task.section.name)
    return Derived("float32", None, len(features.geometries), (*features.notes, *notes))


def _presence(task: _Task) -> Derived:
    features = task.near(0.0)
    write_presence(features, task.grid, task.out, label=task.label)
    return Derived("uint8", None, len(features.geometries), features.notes)


def _buffer(task: _Task) -> Derived:
    radius = _metres(task.section.radius, "radius")
    refuse(task.section, task.path, task.near(radius), task.grid)
    count, notes = write_buffer(task.near, task.grid, task.out, radius=radius, label=task.label, scratch=task.scratch)
    return Derived("uint8", None, count, tuple(notes))


def _proximity(task: _Task) -> Derived:
    farthest = _metres(task.section.max_distance, "max_distance")
    features = task.near(farthest)
    notes = refuse(task.section, task.path, features, task.grid)
    scored = [(1.0, features.geometries)]
    if task.section.classes is not None:
        scored = [(score, _of_class(features, name)) for name, score in task.section.classes.items()]
    write_proximity(scored, task.grid, task.out, max_distance=farthest, label=task.label, scratch=task.scratch)
    count = sum(len(geometries) for _, geometries in scored)
    return Derived("float32", None, count, (*features.notes, *notes))


def _class(task: _Task) -> Derived:
    table = task.section.membership
    if not isinstance(table, Category):
        raise ValueError(f"layer {task.section.name!r}: derive = 'class' without a table of scores")
    names = list(table.scores)
    features = task.near(0.0)
    notes = [
        *refuse(task.section, task.path, features, task.grid),
        *write_classes(features, task.grid, task.out, names=names, label=task.label),
    ]
    codes = {name: (float(code),) for name, code in class_codes(names).items()}
    return Derived(code_type(len(names)), 0.0, len(features.geometries), (*features.notes, *notes), codes)


_DERIVATIONS = {
    "distance": _distance,
    "density": _density,
    "presence": _presence,
    "buffer": _buffer,
    "proximity": _proximity,
    "class": _class,
}


def _metres(value: float | None, key: str) -> float:
    if value is None:
        raise ValueError(f"{key} is not given")
    return value


def _of_class(features: Features, name: str) -> np.ndarray:
    return features.geometries[_labels(features) == name]


def _labels(features: Features) -> np.ndarray:
    if features.labels is None:
        raise ValueError("the features were read without a field that names their classes")
    return features.labels


def _look_for(section: LayerSection, path: Path, features: Features, names: Iterable[str], where: str) -> list[str]:
    """A note on classes of the project that have no feature near the grid; an error on those that the file has not."""
    absent = sorted(set(names) - set(_labels(features).tolist()))
    if not absent:
        return []
    there, label = _all_classes(section, path), f"layer {section.name!r}: {path}"
    unknown = [name for name in absent if name not in there]
    if unknown:
        raise DataError(
            f"{label}: no feature has {section.field} = {_names(unknown)}. The classes there are: "
            f"{_names(there)}. Write the names as the file has them, and take out those that it does not hold."
        )
    return [f"{label}: no feature of {section.field} = {_names(absent)} lies {where}."]


def _all_classes(section: LayerSection, path: Path) -> list[str]:
    """The classes of all features of the file that `where` selects, wherever they lie."""
    file = open_vector(path, f"layer {section.name!r}", crs=section.crs, layer=section.layer)
    labels = read_rows(file, where=section.where, field=section.field).labels
    return [] if labels is None else sorted({str(name) for name in labels} - {""})


def _names(names: Sequence[str]) -> str:
    return several([f"'{name}'" for name in names], 20)
