"""[[layers]] of a project file: one evidence layer, its source, and how it becomes a raster on the grid.

Which keys go together hangs on the form of the layer: project_forms.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from mpmjax.project_forms import Form, form_of, require_form
from mpmjax.project_membership import Category, MembershipSpec, Unit, is_code, sense
from mpmjax.project_samples import GriddingTable
from mpmjax.project_sections import File, Name, Nodata, Pair, Positive, Section

Role = Literal["distance", "density", "geochemistry", "geophysics", "index", "category", "membership"]
Azimuth = Annotated[float, Field(ge=0, le=360)]


class LayerSection(Section):
    """[[layers]]: one evidence layer.

    Its form: a raster; a "derivative" of one, with `derivative`; "features" or "samples", with `derive`; or computed
    from the bands of a "scene", or by an "expression" over other layers and inputs, which take no source.
    """

    name: Name
    expression: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="a formula over inputs and other layers; with `scene` over its bands"
    )
    scene: Name | None = Field(default=None, description="name of a [[scenes]]")
    index: str | None = Field(default=None, description="of a scene: a name that evidence/spectral/indices.py lists")
    source: File | None = Field(default=None, validate_default=True)
    role: Role
    direction: Literal["high", "low", "none"] | None = None
    weight: Positive | None = Field(
        default=None, description="in favourability; default: how many pairs of cells the layer tells apart, 0..1"
    )
    crs: str | None = Field(default=None, description="overrides a missing or wrong CRS of the source")
    transform: Literal["none", "log", "sqrt"] = "none"
    membership: MembershipSpec | None = None

    band: Annotated[int, Field(ge=1)] = 1
    nodata: Nodata = None
    valid_range: Pair | None = None
    resampling: Literal["nearest", "bilinear", "average", "mode"] | None = None
    value_table: File | None = Field(default=None, description="CSV or DBF that names the codes of a category raster")

    derivative: Literal["horizontal", "vertical", "analytic_signal", "tilt", "upward"] | None = Field(
        default=None, description="of a potential field, taken on the cells of its source"
    )
    height: Positive | None = Field(default=None, description="metres of an upward continuation")

    derive: Literal["distance", "density", "presence", "buffer", "proximity", "class", "gridding"] | None = None
    layer: str | None = Field(default=None, description="of a file that holds several")
    where: str | None = None
    features: Literal["intersections"] | None = Field(default=None, description="take the points where lines cross")
    azimuth: Annotated[tuple[Azimuth, Azimuth], Field(strict=False)] | None = Field(
        default=None, description="[from, to] clockwise, degrees from grid north: only lines that strike so"
    )
    search_distance: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="metres beyond the grid; default: as far as matters"
    )
    radius: Positive | None = Field(default=None, description="metres: of the density's kernel, of the buffer")
    kernel: Literal["uniform", "quartic"] | None = Field(default=None, description="of the density; default uniform")
    max_distance: Positive | None = Field(default=None, description="metres at which proximity is 0")
    field: str | None = Field(
        default=None,
        description="attribute, or column of the value table, that names classes; of samples a column or clr(Li)",
    )
    classes: dict[str, Unit] | None = Field(default=None, description="class -> proximity at its features")
    gridding: GriddingTable | None = Field(default=None, description="how samples become a raster; default idw")

    @field_validator("source")
    @classmethod
    def _source_unless_computed(cls, value: Path | None, info: ValidationInfo) -> Any:
        computed = any(info.data.get(key) is not None for key in ("expression", "scene", "index"))
        if value is None and not computed:
            raise PydanticCustomError("missing", "required, but not given")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> LayerSection:
        require_form(self)
        self._category()
        self._one_direction()
        if self.valid_range is not None and not self.valid_range[0] < self.valid_range[1]:
            raise ValueError(f"valid_range is [lowest, highest] with lowest < highest, got {list(self.valid_range)}")
        return self

    @property
    def form(self) -> Form:
        """How the layer comes to be."""
        return form_of(self)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the section names itself; what a computed layer is made of names its own."""
        return tuple(path for path in (self.source, self.value_table) if path is not None)

    @property
    def file(self) -> Path:
        """The source of a layer that has one.

        Raises:
            ValueError: the layer is computed.
        """
        if self.source is None:
            raise ValueError(f"layer {self.name!r} is computed and has no source")
        return self.source

    def _category(self) -> None:
        if self.role == "category" and self.membership is None:
            raise ValueError(
                'role "category" needs a table: membership = { kind = "category", scores = { "1" = 0.8 } }'
            )
        if self.membership is not None and (self.membership.kind == "category") != (self.role == "category"):
            raise ValueError('membership kind "category" goes with role "category", and only with it')
        if self.role == "category" and (self.transform != "none" or self.resampling not in (None, "nearest", "mode")):
            raise ValueError(
                "a category layer takes no transform, and no resampling but nearest and mode: its codes are names"
            )
        if self.role != "category" and self.resampling == "mode":
            raise ValueError('resampling = "mode" is for role "category"; values are averaged or interpolated')
        if isinstance(self.membership, Category) and self.field is None:
            for code in self.membership.scores:
                if not is_code(code):
                    raise ValueError(
                        f"the keys of scores are the raster's class codes (numbers), got {code!r}; names of classes "
                        'need value_table and field, or a vector source with derive = "class"'
                    )

    def _one_direction(self) -> None:
        """A membership and a stated direction must not contradict each other, and one of them must decide."""
        implied = self.direction is None and (self.membership is not None or self.role == "membership")
        if self.weight is not None and self.direction in (None, "none") and not implied:
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
