"""What a run has to do, in numbers: everything of a project and its data that its cost hangs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mpmjax.evidence.expression import Expression
from mpmjax.evidence.raster.source import RasterSource
from mpmjax.project import Project
from mpmjax.project_layers import LayerSection
from mpmjax.types import Grid

AUTO_MEMBERS = 8
"""Reckoned with where `members = "auto"`: twice the four of a first look. It may become 4, or 32."""


@dataclass(frozen=True)
class Stack:
    """The data of a project as a look at them found them: enough to measure what they cost, nothing of it kept.

    Attributes:
        sources: all rasters by key, and their sections: of layers, and of what layers are computed from.
        expressions: of the computed layers, by layer.
        looked: CPU seconds of the first look at each of them, which a run takes too.
        inside: share of the grid's cells in the study area, 0..1.
    """

    project: Project
    grid: Grid
    sources: Mapping[str, RasterSource]
    looked: Mapping[str, float]
    inside: float
    sections: Mapping[str, LayerSection] = field(default_factory=dict)
    expressions: Mapping[str, Expression] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """Sizes of a run.

    Attributes:
        cells: of the grid; scored: share of them that is scored, 0..1.
        source_bytes: of all files that are read, for their checksums.
        looks: CPU seconds of the first look at the rasters; made: of warps and derivations, one after the other.
        made_layers: number of layers that are written as files on the grid.
        sampled_cells: of the blocks that the sample reads.
        auto_members: whether the run finds the number by itself.
        workers: threads that the project asks for; None: as many as cores.
        judged: whether there are occurrences, by which the maps and the simple methods are judged.
        memory, disk: bytes that the run allows itself, and that its layers, tiles and maps take at most.
    """

    cells: int
    layers: int
    members: int
    hidden: int
    latent: int
    steps: int
    batch: int
    scored: float = 1.0
    source_bytes: int = 0
    looks: float = 0.0
    made: float = 0.0
    made_layers: int = 0
    sampled_cells: int = 0
    auto_members: bool = False
    workers: int | None = None
    judged: bool = False
    memory: int = 0
    disk: int = 0


def file_bytes(project: Project) -> int:
    """Bytes of all files that the project names, folders by what is in them."""
    return sum(_size(project.path(path)) for path in project.files)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.is_file() else 0
