"""[[inputs]] and [[scenes]] of a project file: rasters that are no evidence by themselves, but that layers are
computed from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from mpmjax.project_sections import NAMED, File, Name, Nodata, Pair, Positive, Section

Difference = Annotated[float, Field(ge=-1, le=1)]
"""A normalised difference of two bands."""


class InputSection(Section):
    """[[inputs]]: one band of one file under a name that expressions use. It is laid on the grid as a layer is."""

    name: Name
    source: File
    band: Annotated[int, Field(ge=1)] = 1
    crs: str | None = Field(default=None, description="overrides a missing or wrong CRS of the source")
    nodata: Nodata = None
    valid_range: Pair | None = None
    resampling: Literal["nearest", "bilinear", "average"] | None = None

    @field_validator("valid_range")
    @classmethod
    def _rising(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError(f"valid_range is [lowest, highest] with lowest < highest, got {list(value)}")
        return value


class CloudsTable(Section):
    """`clouds = {...}`: a band that tells clouds, and what in it means one: values, or bits counted from 0."""

    band: Annotated[str, Field(min_length=1)]
    values: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] | None = None
    bits: Annotated[tuple[Annotated[int, Field(ge=0, le=31)], ...], Field(strict=False, min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> CloudsTable:
        if (self.values is None) == (self.bits is None):
            raise ValueError(
                'give values, as in { band = "SCL", values = [3, 8, 9, 10] }, or bits, as in { band = "QA_PIXEL", '
                "bits = [1, 3, 4] }: exactly one of them"
            )
        return self


class SceneSection(Section):
    """[[scenes]]: bands of one image of a satellite. Bands are found by their descriptions, or as `bands` states."""

    name: Annotated[str, Field(min_length=1, max_length=48, pattern=NAMED)]
    sensor: Literal["sentinel2", "landsat8", "aster"]
    source: File | None = None
    bands: dict[str, Annotated[int, Field(ge=1)] | File] = Field(
        default={}, description="band -> its number in source, or a file of its own"
    )
    crs: str | None = Field(default=None, description="overrides a missing or wrong CRS of the files")
    nodata: Nodata = None
    scale: Positive | None = Field(
        default=None, description="reflectance = number * scale + offset, in place of what the files state"
    )
    offset: float | None = None
    vegetation: Difference | None = Field(default=None, description="cells of a higher NDVI are missing")
    water: Difference | None = Field(default=None, description="cells of a higher MNDWI are missing")
    clouds: CloudsTable | None = None

    @model_validator(mode="after")
    def _bands_somewhere(self) -> SceneSection:
        numbered = [name for name, where in self.bands.items() if isinstance(where, int)]
        if self.source is None and numbered:
            raise ValueError(f"bands: {numbered[0]} = {self.bands[numbered[0]]} is a number in 'source': give it too")
        if self.source is None and not self.bands:
            raise ValueError("give 'source', the file of all bands, or bands = { B04 = \"B04.tif\" }, a file each")
        return self

    @property
    def files(self) -> tuple[File, ...]:
        """Every file of the scene, as it is named."""
        own = [where for where in self.bands.values() if not isinstance(where, int)]
        return tuple(dict.fromkeys(([self.source] if self.source is not None else []) + own))
