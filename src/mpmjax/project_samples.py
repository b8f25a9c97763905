"""[[samples]] of a project file, and the `gridding` table of a layer: what a file of samples means, and how its points
become a raster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from mpmjax.project_sections import File, Positive, Section

Censored = Literal["half", "sqrt2", "limit", "zero", "missing"]
Negative = Literal["limit", "missing", "keep"]
Duplicates = Literal["median", "mean", "first", "refuse"]
Method = Literal["idw", "linear", "natural", "rbf", "kriging"]

OWN = {
    "neighbours": ("idw", "rbf", "kriging"),
    "power": ("idw",),
    "radius": ("idw", "rbf", "kriging"),
    "variogram": ("kriging",),
}
"""Keys of `gridding` that only some methods take."""


class VariogramTable(Section):
    """`variogram = {...}`: semivariance against distance, in the units of the field squared and in metres; without
    numbers it is fitted to the samples."""

    model: Literal["spherical", "exponential", "gaussian"]
    nugget: Annotated[float, Field(ge=0)] | None = None
    sill: Positive | None = Field(default=None, description="the nugget included")
    range: Positive | None = Field(default=None, description="metres")

    @model_validator(mode="after")
    def _whole(self) -> VariogramTable:
        stated = [value is not None for value in (self.nugget, self.sill, self.range)]
        if any(stated) and not all(stated):
            raise ValueError("give nugget, sill and range, or the model alone, which is then fitted to the samples")
        if self.nugget is not None and self.sill is not None and self.sill < self.nugget:
            raise ValueError(f"sill = {self.sill:g} holds the nugget and cannot be below it (nugget = {self.nugget:g})")
        return self


class GriddingTable(Section):
    """`gridding = {...}` of a layer with derive = "gridding". What is left out is as evidence/gridding states it."""

    method: Method = "idw"
    neighbours: Annotated[int, Field(ge=1, le=256)] | None = Field(default=None, description="nearest samples; 12")
    power: Positive | None = Field(default=None, description="of the distance; 2")
    radius: Positive | None = Field(default=None, description="metres: samples farther away count for nothing")
    support: Positive | None = Field(
        default=None, description="metres: cells without a sample so near are missing; default radius, else 4 spacings"
    )
    what: Literal["value", "variance"] = "value"
    variogram: VariogramTable | None = Field(default=None, description="default: fitted to the samples")

    @model_validator(mode="after")
    def _of_the_method(self) -> GriddingTable:
        for key, methods in OWN.items():
            if getattr(self, key) is not None and self.method not in methods:
                whose = " and ".join(f'"{method}"' for method in methods)
                raise ValueError(f'{key!r} is for method {whose}, and this one is "{self.method}": remove it')
        if self.method == "rbf" and self.neighbours is not None and self.neighbours < 3:
            raise ValueError(f'method "rbf" lays a plate through 3 neighbours or more, got {self.neighbours}')
        if self.what == "variance" and self.method != "kriging":
            raise ValueError(f'what = "variance" is known by method "kriging" alone, got "{self.method}"')
        return self


class SamplesSection(Section):
    """[[samples]]: the rules of one file of samples; layers with derive = "gridding" find them by the same `source`."""

    source: File
    crs: str | None = Field(default=None, description="of x,y; overrides a missing or wrong CRS of a GeoPackage")
    layer: str | None = Field(default=None, description="of a file that holds several")
    censored: Censored = Field(default="half", description="what stands for a value below its detection limit")
    negative: Negative = Field(default="missing", description="what -5 means: <5, nothing, or itself")
    duplicates: Duplicates = Field(default="median", description="what stands for several samples at one place")
    units: dict[str, str] = Field(default={}, description="column -> unit of its values")
    composition: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="columns that are parts of a whole, for log-ratios and factors"
    )
    level_by: str | None = Field(default=None, description="column: every value is levelled among those of its class")

    @field_validator("composition")
    @classmethod
    def _parts(cls, parts: tuple[str, ...]) -> tuple[str, ...]:
        doubled = next((part for part in parts if parts.count(part) > 1), None)
        if doubled is not None:
            raise ValueError(f"{doubled!r} stands {parts.count(doubled)} times: a part is named once")
        if len(parts) == 1:
            raise ValueError(f"{parts[0]!r} alone is no composition: two or more columns are needed")
        return parts

    @model_validator(mode="after")
    def _one_unit_for_all_parts(self) -> SamplesSection:
        bare = [part for part in self.composition if part not in self.units]
        if self.units and self.composition and bare:
            raise ValueError(
                f"'units' names none for {bare[0]!r}, a part of 'composition': parts are compared with each other, so "
                "give the unit of each, or of none if all have the same"
            )
        return self
