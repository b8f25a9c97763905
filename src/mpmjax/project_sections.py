"""The sections of a project file, one frozen model each: what each key may hold, and what it defaults to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from mpmjax.project_errors import as_written

NAMED = r"^[^\x00-\x1f/\\]+$"
"""What a name of ours is made of: it becomes a part of the names of files."""

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=NAMED)]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
File = Annotated[Path, Field(strict=False)]
Pair = Annotated[tuple[float, float], Field(strict=False)]
# NaN is always missing, so declaring it changes nothing but is a reasonable thing to write.
Nodata = Annotated[float | None, BeforeValidator(lambda x: None if isinstance(x, float) and x != x else x)]


class Section(BaseModel):
    """Frozen, strict about keys and types (a number in quotes is none), numbers finite."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class ProjectInfo(Section):
    """[project]"""

    name: Name
    description: str = ""


class GridSection(Section):
    """[grid]: a CRS and resolution, or `like` a raster layer. Default: like the first raster layer.

    With crs and resolution it reaches as far as `bounds`, else the mask, else all raster layers.
    """

    crs: str | None = None
    resolution: Positive | Annotated[tuple[Positive, Positive], Field(strict=False)] | None = None
    bounds: Annotated[tuple[float, float, float, float], Field(strict=False)] | None = None
    bounds_crs: str | None = Field(default=None, description="CRS of bounds; default crs")
    like: str | None = None
    mask: File | None = None
    mask_crs: str | None = Field(default=None, description="overrides a missing or wrong CRS of the mask")
    mask_layer: str | None = Field(default=None, description="of a mask file that holds several")

    @field_validator("resolution", mode="wrap")
    @classmethod
    def _metres(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(
                f"got {as_written(value)}; a number of metres above 0 or [width, height] is needed"
            ) from None

    @model_validator(mode="after")
    def _one_way(self) -> GridSection:
        if self.like is not None and (self.crs is not None or self.resolution is not None or self.bounds is not None):
            raise ValueError("'like' already fixes crs, resolution and bounds: give 'like' or those, not both")
        if self.resolution is not None and self.crs is None:
            raise ValueError("'resolution' needs 'crs' (for example crs = \"EPSG:32639\"), or use 'like'")
        if self.crs is not None and self.resolution is None:
            raise ValueError("'crs' needs 'resolution' in metres (for example resolution = 60.0)")
        if self.bounds is not None:
            xmin, ymin, xmax, ymax = self.bounds
            # In degrees xmin > xmax is across the 180th meridian; whether they are is seen when bounds_crs is known.
            ordered = xmin < xmax if self.bounds_crs is None else xmin != xmax
            if not (ordered and ymin < ymax):
                units = "grid metres" if self.bounds_crs is None else "bounds_crs"
                what = f"bounds are [xmin, ymin, xmax, ymax] in {units} with xmin < xmax and ymin < ymax"
                raise ValueError(f"{what}, got {list(self.bounds)}")
            if self.crs is None:
                raise ValueError("'bounds' needs 'crs' and 'resolution'")
        elif self.bounds_crs is not None:
            raise ValueError("'bounds_crs' says what 'bounds' are in: give 'bounds' too, or leave it out")
        for key, value in (("mask_layer", self.mask_layer), ("mask_crs", self.mask_crs)):
            if value is not None and self.mask is None:
                raise ValueError(f"{key!r} is about the mask's file: give 'mask' too, or leave it out")
        return self


class ModelSection(Section):
    """[model]: sample, ensemble, groups. The defaults suit 3 to 40 layers on a CPU."""

    members: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        default=8,
        description="auto: 4 to 32, until two halves of them agree on R, what the latents tell of favourability",
    )
    hidden: Annotated[int, Field(ge=4, le=128)] = 32
    latent: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="d; default max(1, min(8, L // 2))"
    )
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    sample: Annotated[int, Field(ge=200, le=2_000_000)] = 20_000
    steps: Annotated[int, Field(ge=10, le=100_000)] = 600
    batch: Annotated[int, Field(ge=16, le=65_536)] = 512
    learning_rate: Positive = 3e-3
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-4
    loss: Literal["huber", "mse"] = "huber"
    layer_dropout: Annotated[float, Field(ge=0, lt=0.9)] = 0.1
    trim: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        default=0.0, description="share of cells, the worst of each batch, that is not learnt"
    )
    patience: Annotated[int, Field(ge=1, le=10_000)] = 6
    groups: Annotated[int, Field(ge=2, le=20)] | Literal["auto"] = "auto"
    min_coverage: Annotated[float, Field(gt=0, le=1)] = 0.5


class StreamSection(Section):
    """[stream]: how the work is cut. Changes the time and the memory, never the answer.

    But with on_error = "nodata" a run goes on without what cannot be read, and says so.
    """

    tile: Annotated[int, Field(ge=16, le=16_384)] = 512
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    max_memory: str = "4GiB"
    backend: Literal["auto", "cpu", "cuda", "jax", "numpy"] = Field(
        default="auto",
        description="what computes memberships and scores; one that is named and cannot be used is an error",
    )
    on_error: Literal["stop", "nodata"] = Field(
        default="stop", description="blocks of a raster that cannot be decoded: stop, or count them as missing"
    )
    tile_cache: bool = Field(
        default=False, description="keep decoded copies of rasters that lie on the grid and are slow to decode"
    )
    cache: File | None = Field(
        default=None, description="folder of prepared layers, to share between runs; default: evidence/ in the output"
    )

    @field_validator("max_memory")
    @classmethod
    def _readable(cls, value: str) -> str:
        parse_bytes(value)
        return value

    @property
    def max_memory_bytes(self) -> int:
        return parse_bytes(self.max_memory)


class TargetsSection(Section):
    """[targets]: the best `area_share` of the valid area, connected, at least `min_area` km2."""

    area_share: Share = 0.02
    min_area: Annotated[float, Field(ge=0)] | None = Field(default=None, description="km2; default nine cells")
    max_targets: Annotated[int, Field(ge=1)] = 500


class ValidateSection(Section):
    """[validate]: known occurrences, never used for fitting."""

    occurrences: File
    layer: str | None = Field(default=None, description="of a file that holds several")
    where: str | None = None
    crs: str | None = None
    bootstrap: Annotated[int, Field(ge=0, le=10_000)] = 500
    baselines: bool = Field(default=True, description="judge what simple methods would have said beside the maps")


def parse_bytes(text: str) -> int:
    """'512MiB', '4GiB' or '2000000000' -> bytes. Raises ValueError."""
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*(B|KiB|MiB|GiB|TiB)?\s*", text)
    if not match:
        raise ValueError(f"a size is a number with B, KiB, MiB, GiB or TiB, for example '4GiB'; got {text!r:.60}")
    return int(float(match[1]) * 1024 ** ("B", "KiB", "MiB", "GiB", "TiB").index(match[2] or "B"))
