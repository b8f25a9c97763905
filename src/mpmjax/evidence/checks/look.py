"""What a check of a project has found out so far, and what it hands back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mpmjax.errors import MpmError
from mpmjax.evidence.checks.listing import Row
from mpmjax.evidence.formulas import Formulas
from mpmjax.evidence.raster.scan import RasterFacts
from mpmjax.evidence.raster.source import RasterSource
from mpmjax.evidence.remarks import Remark
from mpmjax.project import Project
from mpmjax.project_layers import LayerSection


@dataclass
class Findings:
    """Lines to read, warnings (usable, but look) and errors (a run would refuse)."""

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass
class Look:
    """What was found out so far.

    Attributes:
        formulas: what the project states in words of its own; None where that cannot be read.
        sections: of all raster sources, by key: layers, and inputs and bands of scenes, that are no evidence by
            themselves.
        rasters: raster sources that can be opened, by key; `facts` those that can be decoded, `sound` those whose
            values a run takes.
        rows: of the table, by key.
        systems: CRS of every source as WKT, and `placed` every raster with a place, both by what messages call them.
        looked: CPU seconds of scanning each raster; inside: share of the grid in the study area.
    """

    project: Project
    found: Findings = field(default_factory=Findings)
    formulas: Formulas | None = None
    sections: dict[str, LayerSection] = field(default_factory=dict)
    rasters: dict[str, RasterSource] = field(default_factory=dict)
    facts: dict[str, RasterFacts] = field(default_factory=dict)
    sound: list[str] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    systems: dict[str, str] = field(default_factory=dict)
    placed: dict[str, RasterSource] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    looked: dict[str, float] = field(default_factory=dict)
    inside: float = 1.0

    def who(self, key: str) -> str:
        """What messages call a raster source."""
        if any(layer.name == key for layer in self.project.layers):
            return f"layer {key!r}"
        scene, _, band = key.partition("/")
        return f"scene {scene!r}, {band}" if band else f"input {key!r}"

    def kind(self, key: str) -> str | None:
        """What stands in place of a role where a raster source is no evidence by itself."""
        return None if self.who(key).startswith("layer ") else self.who(key).partition(" ")[0]

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """A mistake is written down, and the look goes on behind it."""
        try:
            yield
        except MpmError as error:
            self.found.errors.append(str(error))
