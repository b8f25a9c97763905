"""The `membership = {...}` tables of a project file, one frozen model a kind.

Numbers left out are taken from the sample when the membership is fitted. Breakpoints are given in the units of the
source; a layer's `transform` is applied to them as to the values (large and small, being functions of the ratio
x / midpoint, are already logarithmic and take the untransformed values).
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Unit = Annotated[float, Field(ge=0, le=1)]


def is_code(text: str) -> bool:
    """Whether a key of a table of scores is a class code, a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


class _Kind(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
    hedge: Literal["none", "very", "somewhat"] = "none"


class Linear(_Kind):
    """0 at lo, 1 at hi; decreasing when lo > hi. Default: P1 and P99 of the sample, by the layer's direction."""

    kind: Literal["linear"]
    lo: Finite | None = None
    hi: Finite | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Any:
        if self.lo is not None and self.lo == self.hi:
            raise ValueError(
                f"lo and hi must differ, both are {self.lo:g}: lo is where membership is 0, hi where it is 1"
            )
        return self


class Power(Linear):
    """linear^exponent."""

    kind: Literal["power"]  # pyright: ignore[reportIncompatibleVariableOverride]
    exponent: Positive = 2.0


class Large(_Kind):
    """1 / (1 + (x/midpoint)^-spread), x >= 0. Default midpoint: the sample's median."""

    kind: Literal["large", "small"]
    midpoint: Positive | None = None
    spread: Positive = 5.0


class Gaussian(_Kind):
    """gaussian exp(-s (x-midpoint)^2) or near 1/(1 + s (x-midpoint)^2); `half_width` says where it is 0.5."""

    kind: Literal["gaussian", "near"]
    midpoint: Finite
    half_width: Positive | None = None
    spread: Positive | None = None

    @model_validator(mode="after")
    def _one_width(self) -> Any:
        if (self.half_width is None) == (self.spread is None):
            raise ValueError(
                "give half_width (in the layer's units) or spread (1 / units squared), exactly one of them"
            )
        return self

    @property
    def s(self) -> float:
        """The spread, from half_width where that is given: membership is 0.5 at midpoint +- half_width."""
        if self.half_width is None:
            return self.spread or 1.0
        return (math.log(2.0) if self.kind == "gaussian" else 1.0) / self.half_width**2


class MsLarge(_Kind):
    """Mean and standard deviation of the sample, times a and b."""

    kind: Literal["ms_large", "ms_small"]
    a: Positive = 1.0
    b: Positive = 1.0
    esri_compat: bool = False


class Sigmoid(_Kind):
    """1 / (1 + exp(-slope (x - midpoint))). Default: (P1+P99)/2 and 9.2/(P99-P1) of the sample."""

    kind: Literal["sigmoid"]
    midpoint: Finite | None = None
    slope: Positive | None = None
    decreasing: bool | None = None


class Shoulder(_Kind):
    """1 below alpha, 0.5 at beta, 0 beyond gamma, piecewise linear."""

    kind: Literal["shoulder"]
    alpha: Finite
    beta: Finite
    gamma: Finite

    @model_validator(mode="after")
    def _ordered(self) -> Any:
        if not (self.alpha <= self.beta <= self.gamma and self.alpha < self.gamma):
            got = f"alpha = {self.alpha:g}, beta = {self.beta:g}, gamma = {self.gamma:g}"
            raise ValueError(f"needs alpha <= beta <= gamma and alpha < gamma, got {got}")
        return self


class Category(_Kind):
    """Class -> score, a class by its code or its name; an unlisted class is missing unless `default` is given."""

    kind: Literal["category"]
    scores: Annotated[dict[str, Unit], Field(min_length=1)]
    default: Unit | None = None

    @field_validator("scores")
    @classmethod
    def _different_codes(cls, scores: dict[str, float]) -> dict[str, float]:
        codes: dict[float, str] = {}
        for code in filter(is_code, scores):
            if float(code) in codes:
                raise ValueError(f"{codes[float(code)]!r} and {code!r} are the same class code: keep one of them")
            codes[float(code)] = code
        return scores


class Ecdf(_Kind):
    """The sample's empirical CDF; the default of distance layers."""

    kind: Literal["ecdf"]
    decreasing: bool | None = None


MembershipSpec = Annotated[
    Linear | Power | Large | Gaussian | MsLarge | Sigmoid | Shoulder | Category | Ecdf, Field(discriminator="kind")
]


def sense(spec: MembershipSpec) -> int | None:
    """+1 where membership rises with the value, -1 where it falls, 0 neither; None: the direction decides."""
    match spec:
        case Linear(lo=float(lo), hi=float(hi)):  # Power too
            return 1 if lo < hi else -1
        case Large() | MsLarge():
            return 1 if spec.kind.endswith("large") else -1
        case Shoulder():
            return -1
        case Gaussian() | Category():
            return 0
        case Sigmoid(decreasing=bool(falling)) | Ecdf(decreasing=bool(falling)):
            return -1 if falling else 1
    return None
