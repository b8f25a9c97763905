"""What every form of the memberships needs, computed once: codes, numbers and tables, no science left.

A plan is the same for Numba, JAX and CUDA: one record a layer (`RECORD`, which kernels/membership.cuh declares as a
struct) and two pools, the tables of layers of 8 and 16 bits and the knots of categories and ecdfs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpmjax.errors import DataError
from mpmjax.ops._guides import Guides, make_guides
from mpmjax.reference.membership import membership as reference_membership
from mpmjax.reference.overlay import KINDS as OVERLAYS
from mpmjax.reference.overlay import overlay as reference_overlay
from mpmjax.reference.presence import present, stored
from mpmjax.types import Layer, Membership

DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "float32", "float64")
"""Of the files that can be evidence; a layer's `dtype` code is its place here."""

TABLE_DTYPES = DTYPES[:4]
"""Those whose every value has an entry in a table."""

TRANSFORMS = ("none", "log", "sqrt")
HEDGES = ("none", "very", "somewhat")
KINDS = (
    "linear",
    "power",
    "large",
    "gaussian",
    "near",
    "ms_large",
    "ms_small",
    "sigmoid",
    "shoulder",
    "category",
    "ecdf",
)
"""The formulas of the kernels; codes are places. `small` is `large` with a negative spread."""

RECORD = np.dtype(
    [
        ("scale", "<f8"),  # x = raw * scale + offset, rounded after each step
        ("offset", "<f8"),
        ("low", "<f8"),  # a cell is missing where x < low or x > high
        ("high", "<f8"),
        ("floor", "<f8"),  # of the logarithm
        ("p0", "<f8"),
        ("p1", "<f8"),
        ("p2", "<f8"),
        ("nodata_float", "<f8"),  # a cell is missing where raw equals it: floats
        ("nodata_int", "<i8"),  # and integers
        ("table", "<i8"),  # first entry in the pool of tables, -1 where there is none
        ("knots", "<i8"),  # first number in the pool of knots: n of x, n of y, n slopes
        ("knot_count", "<i4"),  # n
        ("dtype", "u1"),
        ("kind", "u1"),
        ("transform", "u1"),
        ("hedge", "u1"),
        ("complement", "u1"),
        ("has_nodata", "u1"),
        ("scaled", "u1"),  # 0 where scale is 1 and offset 0
        ("has_range", "u1"),  # 0 where low and high are infinite
        ("pad", "<u4"),
    ]
)
"""112 bytes, all of them named: the memory of the C struct."""

_LOG2_E = 1.4426950408889634


@dataclass(frozen=True)
class MembershipPlan:
    """Memberships of L layers, ready to be computed.

    Attributes:
        layers, memberships: what was planned, for the definition.
        names: of the layers, for messages.
        dtypes: of the raw values.
        records: RECORD [L].
        tables: float32, all tables one after another, each [256] or [65536] and indexed by the raw value's bits read
            as unsigned; NaN where missing. Layers without a table are not in it.
        knots: float64, all knots one after another.
    """

    layers: tuple[Layer, ...]
    memberships: tuple[Membership, ...]
    names: tuple[str, ...]
    dtypes: tuple[np.dtype, ...]
    records: np.ndarray
    tables: np.ndarray
    knots: np.ndarray

    @cached_property
    def guides(self) -> Guides:
        """Where to begin looking among the knots of each layer; made when it is first asked for."""
        parts = zip(self.records["knots"], self.records["knot_count"], strict=True)
        return make_guides([self.knots[first : first + count] for first, count in parts])

    def table(self, layer: int) -> np.ndarray | None:
        """float32 [256] or [65536] of a layer, or None."""
        first = int(self.records["table"][layer])
        return None if first < 0 else self.tables[first : first + 256 ** self.dtypes[layer].itemsize]


@dataclass(frozen=True)
class Overlay:
    """Which overlay joins the layers of a cell; formulas: reference/overlay.py.

    Attributes:
        kind: and, or, product, sum, gamma or mean; its code is the place in reference.overlay.KINDS.
        gamma: exponent in [0, 1], used by kind gamma.
        weights: one a layer, finite and >= 0, for kind mean only; None is 1 for all.
    """

    kind: str
    gamma: float = 0.9
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.weights is not None:  # a list or an array is no constant that JAX can compile with
            object.__setattr__(self, "weights", tuple(float(weight) for weight in self.weights))

    @property
    def code(self) -> int:
        return OVERLAYS.index(self.kind)

    def shares(self, layers: int) -> np.ndarray:
        """Weights float64 [layers].

        Raises:
            ValueError: the overlay cannot be computed for so many layers.
        """
        # On one cell: the reference is the one place that knows which arguments are sound.
        one = np.zeros((layers, 1)), np.ones((layers, 1), bool)
        reference_overlay(*one, self.kind, self.gamma, None if self.weights is None else np.array(self.weights))
        return np.ones(layers) if self.weights is None else np.array(self.weights, np.float64)


def plan_memberships(layers: Sequence[Layer], memberships: Sequence[Membership]) -> MembershipPlan:
    """Prepare the memberships of L layers; a few milliseconds for each table of 65,536 entries.

    Raises:
        DataError: a dtype no membership is defined for, or parameters that the reference refuses; names the layer.
        ValueError: not as many memberships as layers.
    """
    records = np.zeros(len(layers), RECORD)
    tables: list[np.ndarray] = []
    knots: list[np.ndarray] = []
    for record, layer, fitted in zip(records, layers, memberships, strict=True):
        _require_sound(layer, fitted)
        _fill(record, layer, fitted)
        record["table"] = -1
        if layer.dtype in TABLE_DTYPES:
            record["table"] = sum(table.size for table in tables)
            tables.append(_table(layer, fitted))
        if fitted.kind in ("category", "ecdf"):
            own = _knots(fitted)
            record["knots"], record["knot_count"] = sum(part.size for part in knots), own.shape[1]
            knots.append(own.reshape(-1))
    return MembershipPlan(
        layers=tuple(layers),
        memberships=tuple(memberships),
        names=tuple(layer.name for layer in layers),
        dtypes=tuple(np.dtype(layer.dtype) for layer in layers),
        records=records,
        tables=np.concatenate(tables) if tables else np.empty(0, np.float32),
        knots=np.concatenate(knots) if knots else np.empty(0),
    )


def _require_sound(layer: Layer, fitted: Membership) -> None:
    if layer.dtype not in DTYPES:
        raise DataError(
            f"Layer {layer.name!r} ({layer.path}, band {layer.band}) holds {layer.dtype}, for which no membership is "
            f"computed; allowed: {', '.join(DTYPES)}. Convert it, for example with "
            "gdal_translate -ot Float32."
        )
    try:  # on one value: the reference is the one place that knows which parameters are sound
        _reference(np.zeros(1), fitted)
    except ValueError as error:
        raise DataError(f"Layer {layer.name!r}: its membership cannot be computed: {error}.") from error


def _fill(record: np.void, layer: Layer, fitted: Membership) -> None:
    dtype = np.dtype(layer.dtype)
    record["scale"], record["offset"], record["floor"] = layer.scale, layer.offset, fitted.floor
    record["low"], record["high"] = layer.valid_range or (-np.inf, np.inf)
    nodata = stored(layer.nodata, dtype)
    if nodata is not None:
        record["nodata_float" if dtype.kind == "f" else "nodata_int"] = nodata
    kind, record["p0"], record["p1"], record["p2"] = _parameters(fitted)
    record["dtype"], record["kind"] = DTYPES.index(layer.dtype), KINDS.index(kind)
    record["transform"], record["hedge"] = TRANSFORMS.index(fitted.transform), HEDGES.index(fitted.hedge)
    record["complement"], record["has_nodata"] = fitted.complement, nodata is not None
    record["scaled"] = (layer.scale, layer.offset) != (1.0, 0.0)
    record["has_range"] = layer.valid_range is not None


def _table(layer: Layer, fitted: Membership) -> np.ndarray:
    """The float32 answers to all raw values, made by the reference and so exact by construction."""
    dtype = np.dtype(layer.dtype)
    raw = np.arange(256**dtype.itemsize, dtype=f"u{dtype.itemsize}").view(dtype)
    good = present(raw, nodata=layer.nodata, scale=layer.scale, offset=layer.offset, valid_range=layer.valid_range)
    mu = _reference(raw.astype(np.float64) * layer.scale + layer.offset, fitted)
    return np.where(good, mu, np.nan).astype(np.float32)


def _reference(x: np.ndarray, fitted: Membership) -> np.ndarray:
    return reference_membership(x, **fitted.arguments())


def _parameters(fitted: Membership) -> tuple[str, float, float, float]:
    """The kernels' formula of a membership and its three parameters, with constant factors folded in."""
    p = {name: float(number) for name, number in fitted.params.items()}
    match fitted.kind:
        case "linear":
            return "linear", p["lo"], p["hi"], 0.0
        case "power":
            return "power", p["lo"], p["hi"], p["exponent"]
        case "large":  # (x / midpoint)^-spread = 2^(-spread (log2 x - log2 midpoint))
            return "large", float(np.log2(p["midpoint"])), -p["spread"], 0.0
        case "small":
            return "large", float(np.log2(p["midpoint"])), p["spread"], 0.0
        case "gaussian":
            return "gaussian", p["midpoint"], -p["spread"] * _LOG2_E, 0.0
        case "near":
            return "near", p["midpoint"], p["spread"], 0.0
        case "ms_large":
            return "ms_large", p["a"] * p["mean"], p["b"] * p["sd"], 0.0
        case "ms_small":
            return "ms_small", p["a"] * p["mean"], p["b"] * p["sd"], 1.0 - p.get("esri_compat", 0.0)
        case "sigmoid":
            return "sigmoid", p["midpoint"], -p["slope"] * _LOG2_E, 0.0
        case "shoulder":
            return "shoulder", p["alpha"], p["beta"], p["gamma"]
        case "category":
            return "category", p.get("default", np.nan), 0.0, 0.0
        case "ecdf":
            # After a logarithm, a cell may sit an ulp below a quantile that it equals: the sample's logarithms are
            # NumPy's, the cells' are the kernel's. On a quantile that many cells share (a detection limit) an ulp is
            # the whole step, so the search, not the interpolation, is let p0 of slack.
            return "ecdf", 2.0**-46 if fitted.transform == "log" else 0.0, 0.0, 0.0
    raise ValueError(f"unknown membership {fitted.kind!r}")


def _knots(fitted: Membership) -> np.ndarray:
    """float64 [3, n]: places, levels, and slopes to the next knot."""
    x, y = np.array(fitted.knots_x, np.float64), np.array(fitted.knots_y, np.float64)
    if fitted.kind == "category":
        order = np.argsort(x)
        return np.stack((x[order], y[order], np.zeros(x.size)))
    step = np.diff(x)
    # Between equal knots nothing is interpolated; past the last one the slope of 0 keeps its level.
    slopes = np.divide(np.diff(y), step, out=np.zeros_like(step), where=step > 0.0)
    return np.stack((x, y, np.append(slopes, 0.0)))
