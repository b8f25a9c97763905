"""Where layers are kept and made, what one is known again by, and what it comes with.

What an entry depends on is named by the files of this folder, key by key; where it is kept is stream/cache.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpmjax.evidence.remarks import doubts, facts
from mpmjax.evidence.sources import SourceFiles, require_unchanged
from mpmjax.project import Project
from mpmjax.stream.cache import Cache, Entry, Ingredients, Record
from mpmjax.types import Grid, Layer

HERE = "{source}"
"""Stands for the path of a source in what is kept, so that a folder can be moved."""


@dataclass(frozen=True)
class Recipe:
    """What the cells of a layer follow from, known before they are made.

    Attributes:
        name: of the entry.
        read: files, as the project names them.
        ingredients: everything else, as plain values; the grid too.
    """

    name: str
    read: tuple[Path, ...]
    ingredients: Ingredients


@dataclass(frozen=True)
class Shelf:
    """Where one project's layers are kept and made: cache, checksums of the sources, a folder for the unfinished."""

    project: Project
    files: SourceFiles
    cache: Cache
    scratch: Path

    def record(self, name: str, read: Sequence[Path], ingredients: Ingredients, make: Callable[[], Record]) -> Entry:
        """cache.record of what `make` finds in the sources `read`, as the project names them.

        Raises:
            DataError: one of them is no longer what its checksum is of; then nothing is kept.
        """
        return self.cache.record(name, self._of(read, ingredients), lambda: self._checked(read, make()))

    def raster(
        self, name: str, read: Sequence[Path], ingredients: Ingredients, made: Path, make: Callable[[Path], Record]
    ) -> Entry:
        """cache.raster likewise."""
        return self.cache.raster(name, self._of(read, ingredients), made, lambda out: self._checked(read, make(out)))

    def timed(self, recipe: Recipe, make: Callable[[Path], Record]) -> tuple[Entry, float | None]:
        """cache.raster of a recipe, and the seconds that it took to make; None where it was there."""
        start = time.perf_counter()
        made = self.scratch / f"{recipe.name}.tif"
        entry = self.raster(recipe.name, recipe.read, recipe.ingredients, made, make)
        return entry, None if entry.reused else time.perf_counter() - start

    def find(self, recipe: Recipe) -> Entry | None:
        """cache.find likewise."""
        return self.cache.find(recipe.name, self._of(recipe.read, recipe.ingredients))

    def checksums(self, read: Sequence[Path]) -> dict[str, str]:
        """Of the files of these sources, by the names that provenance calls them."""
        return {name: digest for path in read for name, digest in self.files.of[path].items()}

    def sums(self, read: Sequence[Path]) -> list[Mapping[str, str]]:
        """What of these sources makes a layer another one."""
        return [self.files.of[name] for name in read]

    def _of(self, read: Sequence[Path], ingredients: Ingredients) -> Ingredients:
        return {**ingredients, "files": self.sums(read)}

    def _checked(self, read: Sequence[Path], record: Record) -> Record:
        for name in read:
            require_unchanged(self.files.stamps[name])
        return record


@dataclass(frozen=True)
class Made:
    """A layer on the grid, where it comes from, and what was noticed.

    Attributes:
        provenance: plain values for run.json: checksums, CRS and cells of the source, method, parameters.
        seconds: what it took to make; None where nothing had to be.
    """

    layer: Layer
    provenance: Mapping[str, Any]
    notes: tuple[str, ...]
    seconds: float | None


def grid_ingredients(grid: Grid) -> list[Any]:
    """What of a grid changes the cells of a layer: all of it."""
    return [grid.crs, *grid.transform[:6], grid.width, grid.height]


def loss_ingredients(shelf: Shelf) -> dict[str, str]:
    """Where blocks may be missing, that is part of what was asked for; else keys are those of always."""
    on_error = shelf.project.stream.on_error
    return {} if on_error == "stop" else {"on_error": on_error}


def at(layer: Layer, entry: Entry, **changed: Any) -> Layer:
    """The layer, read from the file of an entry."""
    if entry.path is None:
        raise ValueError(f"an entry of the layer {layer.name!r} has no raster")
    own = {**{key: getattr(layer, key) for key in Layer.__dataclass_fields__}, **changed}
    return Layer(**{**own, "path": entry.path, "band": 1, "dtype": entry.record["dtype"]})


def file_record(entry: Entry) -> dict[str, str]:
    """The file of an entry, for provenance."""
    return {"file": entry.path.name if entry.path else "", "sha256": entry.sha256}


def told_record(notes: Sequence[str], path: Path) -> dict[str, list[str]]:
    """Notes as the cache keeps them: what should be looked at, and the facts apart; the source by HERE."""
    parts = {"notes": doubts(notes), "facts": facts(notes)}
    return {name: [note.replace(str(path), HERE) for note in own] for name, own in parts.items()}


def told_again(kept: Sequence[str], path: Path) -> list[str]:
    """Notes that were kept, with the source where it lies now."""
    return [note.replace(HERE, str(path)) for note in kept]


def number(value: Any) -> float | None:
    """A number that may be missing, as the cache keeps it."""
    return None if value is None else float(value)
