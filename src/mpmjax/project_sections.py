"""The sections of a project file, one frozen model each: what each key may hold, and what it defaults to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from mpmjax.project_errors import as_written
from mpmjax.project_membership import MembershipSpec, sense

Role = Literal["distance", "density", "geochemistry", "geophysics", "index", "category", "membership"]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f/\\]+$")]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
File = Annotated[Path, Field(strict=False)]
Pair = Annotated[tuple[float, float], Field(strict=False)]


class Section(BaseModel):
    """Frozen, strict about keys and types (a number in quotes is none), numbers finite."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class ProjectInfo(Section):
    """[project]"""

    name: Name
    description: str = ""


class GridSection(Section):
    """[grid]: a CRS and resolution, or `like` a raster layer. Default: like the first raster layer."""

    crs: str | None = None
    resolution: Positive | Annotated[tuple[Positive, Positive], Field(strict=False)] | None = None
    bounds: Annotated[tuple[float, float, float, float], Field(strict=False)] | None = None
    like: str | None = None
    mask: File | None = None

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
            if not (xmin < xmax and ymin < ymax):
                what = "bounds are [xmin, ymin, xmax, ymax] in grid metres with xmin < xmax and ymin < ymax"
                raise ValueError(f"{what}, got {list(self.bounds)}")
            if self.crs is None:
                raise ValueError("'bounds' needs 'crs' and 'resolution'")
        return self


class LayerSection(Section):
    """[[layers]]: one evidence layer."""

    name: Name
    source: File
    role: Role
    direction: Literal["high", "low", "none"] | None = None
    weight: Positive = 1.0
    band: Annotated[int, Field(ge=1)] = 1
    crs: str | None = Field(default=None, description="overrides a missing or wrong CRS of the source")
    nodata: float | None = None
    valid_range: Pair | None = None
    resampling: Literal["nearest", "bilinear", "average"] | None = None
    transform: Literal["none", "log", "sqrt"] = "none"
    membership: MembershipSpec | None = None
    derive: Literal["distance"] | None = None
    where: str | None = None
    search_distance: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="metres beyond the grid; default: as far as matters"
    )

    @field_validator("nodata", mode="before")
    @classmethod
    def _nan_is_a_nodata(cls, value: Any) -> Any:
        # NaN is always missing, so declaring it changes nothing but is a reasonable thing to write.
        return None if isinstance(value, float) and value != value else value

    @model_validator(mode="after")
    def _consistent(self) -> LayerSection:
        vector_only = [key for key in ("where", "search_distance") if getattr(self, key) is not None]
        if self.derive is None and vector_only:
            raise ValueError(f'{vector_only[0]!r} is for vector sources: add derive = "distance" or remove it')
        raster_only = [key for key in ("nodata", "valid_range", "resampling") if getattr(self, key) is not None]
        raster_only += ["band"] * (self.band != 1)
        if self.derive is not None and raster_only:
            raise ValueError(f"{raster_only[0]!r} is for raster sources: remove it from this vector layer")
        if self.derive == "distance" and self.role != "distance":
            raise ValueError(f'derive = "distance" makes a distance layer: role must be "distance", got {self.role!r}')
        if self.role == "category" and self.membership is None:
            raise ValueError(
                'role "category" needs a table: membership = { kind = "category", scores = { "1" = 0.8 } }'
            )
        if self.membership is not None and (self.membership.kind == "category") != (self.role == "category"):
            raise ValueError('membership kind "category" goes with role "category", and only with it')
        if self.role == "category" and (self.transform != "none" or self.resampling not in (None, "nearest")):
            raise ValueError("a category layer takes no transform and no resampling but nearest: its codes are names")
        self._one_direction()
        if self.valid_range is not None and not self.valid_range[0] < self.valid_range[1]:
            raise ValueError(f"valid_range is [lowest, highest] with lowest < highest, got {list(self.valid_range)}")
        return self

    def _one_direction(self) -> None:
        """A membership and a stated direction must not contradict each other, and one of them must decide."""
        implied = self.direction is None and (self.membership is not None or self.role == "membership")
        if self.weight != 1.0 and self.direction in (None, "none") and not implied:
            raise ValueError(
                "weight counts in favourability, and this layer has no direction: state one, or drop weight"
            )
        if self.membership is None or self.direction == "none":
            return
        kind, rising = self.membership.kind, sense(self.membership)
        if rising is None and self.direction is None and self.role == "distance":
            raise ValueError(
                f'membership kind {kind!r} of a distance needs direction = "low" (near is favourable) or "high"'
            )
        if rising is None or self.direction is None:
            return
        if rising == 0:
            raise ValueError(f"membership kind {kind!r} says by itself what is favourable: leave direction out")
        if (rising > 0) != (self.direction == "high"):
            way = "rises" if rising > 0 else "falls"
            raise ValueError(
                f"direction = {self.direction!r}, but membership kind {kind!r} {way} with the value: change one of them"
            )


class ModelSection(Section):
    """[model]: sample, ensemble, groups. The defaults suit 3 to 40 layers on a CPU."""

    members: Annotated[int, Field(ge=1, le=64)] = 8
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
    patience: Annotated[int, Field(ge=1, le=10_000)] = 6
    groups: Annotated[int, Field(ge=2, le=20)] | Literal["auto"] = "auto"
    min_coverage: Annotated[float, Field(gt=0, le=1)] = 0.5


class StreamSection(Section):
    """[stream]: how the work is cut. Changes the time and the memory, never the answer."""

    tile: Annotated[int, Field(ge=16, le=16_384)] = 512
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    max_memory: str = "4GiB"

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
    where: str | None = None
    crs: str | None = None
    bootstrap: Annotated[int, Field(ge=0, le=10_000)] = 500


def parse_bytes(text: str) -> int:
    """'512MiB', '4GiB' or '2000000000' -> bytes. Raises ValueError."""
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*(B|KiB|MiB|GiB|TiB)?\s*", text)
    if not match:
        raise ValueError(f"a size is a number with B, KiB, MiB, GiB or TiB, for example '4GiB'; got {text!r:.60}")
    return int(float(match[1]) * 1024 ** ("B", "KiB", "MiB", "GiB", "TiB").index(match[2] or "B"))
