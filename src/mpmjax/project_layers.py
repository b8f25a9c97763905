"""[[layers]] of a project file: one evidence layer, its source, and how it becomes a raster on the grid."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from mpmjax.project_membership import Category, MembershipSpec, Unit, is_code, sense
from mpmjax.project_sections import File, Name, Positive, Section

Role = Literal["distance", "density", "geochemistry", "geophysics", "index", "category", "membership"]
Pair = Annotated[tuple[float, float], Field(strict=False)]
Azimuth = Annotated[float, Field(ge=0, le=360)]

ROLES_OF = {
    "distance": ("distance",),
    "density": ("density",),
    "presence": ("membership", "index"),
    "buffer": ("membership", "index"),
    "proximity": ("membership", "index"),
    "class": ("category",),
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
RASTER_FILES = (".tif", ".tiff", ".img", ".asc", ".bil", ".flt")
VECTOR = ("layer", "where", "features", "azimuth")
RASTER = ("nodata", "valid_range", "resampling", "value_table")


class LayerSection(Section):
    """[[layers]]: one evidence layer. Without `derive` the source is a raster, with it a file of features."""

    name: Name
    source: File
    role: Role
    direction: Literal["high", "low", "none"] | None = None
    weight: Positive | None = Field(
        default=None, description="in favourability; default: how many pairs of cells the layer tells apart, 0..1"
    )
    crs: str | None = Field(default=None, description="overrides a missing or wrong CRS of the source")
    transform: Literal["none", "log", "sqrt"] = "none"
    membership: MembershipSpec | None = None

    band: Annotated[int, Field(ge=1)] = 1
    nodata: float | None = None
    valid_range: Pair | None = None
    resampling: Literal["nearest", "bilinear", "average", "mode"] | None = None
    value_table: File | None = Field(default=None, description="CSV or DBF that names the codes of a category raster")

    derive: Literal["distance", "density", "presence", "buffer", "proximity", "class"] | None = None
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
    field: str | None = Field(default=None, description="attribute, or column of the value table, that names classes")
    classes: dict[str, Unit] | None = Field(default=None, description="class -> proximity at its features")

    @field_validator("nodata", mode="before")
    @classmethod
    def _nan_is_a_nodata(cls, value: Any) -> Any:
        # NaN is always missing, so declaring it changes nothing but is a reasonable thing to write.
        return None if isinstance(value, float) and value != value else value

    @model_validator(mode="after")
    def _consistent(self) -> LayerSection:
        if self.derive is None:
            self._raster_keys()
        else:
            self._vector_keys()
        self._category()
        self._one_direction()
        if self.valid_range is not None and not self.valid_range[0] < self.valid_range[1]:
            raise ValueError(f"valid_range is [lowest, highest] with lowest < highest, got {list(self.valid_range)}")
        return self

    def _given(self, *keys: str) -> list[str]:
        return [key for key in keys if getattr(self, key) is not None]

    def _raster_keys(self) -> None:
        if self.source.suffix.lower() in VECTOR_FILES:
            raise ValueError(f'{self.source.name} is a vector file: add derive = "distance" or the like')
        vector = self._given(
            *VECTOR, *dict.fromkeys(key for keys in KEYS_OF.values() for key in keys if key != "field")
        )
        if vector:
            raise ValueError(f'{vector[0]!r} is for vector sources: add derive = "distance" or the like, or remove it')
        if (self.field is None) != (self.value_table is None):
            raise ValueError("'value_table' and 'field' go together: the file, and its column that names the codes")
        if self.value_table is not None and self.role != "category":
            raise ValueError("'value_table' names the codes of classes: role must be \"category\", or remove it")

    def _vector_keys(self) -> None:
        kind = str(self.derive)
        if self.source.suffix.lower() in RASTER_FILES:
            raise ValueError(f"'derive' is for vector sources, and {self.source.name} is a raster: remove it")
        raster = self._given(*RASTER) + ["band"] * (self.band != 1)
        if raster:
            raise ValueError(f"{raster[0]!r} is for raster sources: remove it from this vector layer")
        taken = KEYS_OF[kind]
        strange = [key for keys in KEYS_OF.values() for key in self._given(*keys) if key not in taken]
        if strange:
            allowed = ", ".join(taken) or "none"
            what = f"{strange[0]!r} is no key of"
            raise ValueError(f'{what} derive = "{kind}" (its own are: {allowed}): remove it')
        if kind in NEEDED and not self._given(NEEDED[kind]):
            what = "the attribute that names the class" if kind == "class" else "metres"
            needed = f"needs {NEEDED[kind]!r} ({what})"
            raise ValueError(f'derive = "{kind}" {needed}')
        if kind == "proximity" and (self.field is None) != (self.classes is None):
            raise ValueError(
                "'field' and 'classes' go together, as in field = \"age\", classes = { \"Archaean\" = 1.0 }"
            )
        if self.features is not None and self.field is not None:
            raise ValueError("an intersection belongs to several lines and has no class: drop 'features' or 'field'")
        if self.classes is not None and not any(self.classes.values()):
            raise ValueError("'classes' needs a class with a score above 0: else the layer is 0 everywhere")
        if self.role not in ROLES_OF[kind]:
            roles = " or ".join(f'"{role}"' for role in ROLES_OF[kind])
            raise ValueError(f'derive = "{kind}" makes a layer whose role must be {roles}, got "{self.role}"')

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
