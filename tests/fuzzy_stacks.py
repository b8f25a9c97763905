"""Stacks of layers drawn for the membership tests of every form: kinds, dtypes, units, nodata rules, values."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from mpmjax.reference.membership import membership as reference
from mpmjax.reference.presence import present
from mpmjax.types import Layer, Membership

TABLE_DTYPES = ("uint8", "int8", "uint16", "int16")
KERNEL_DTYPES = ("int32", "uint32", "int64", "float32", "float64")
KINDS = ("linear", "power", "large", "small", "gaussian", "near")
KINDS += ("ms_large", "ms_small", "sigmoid", "shoulder", "category", "ecdf")


def layer_of(
    dtype: str,
    name: str = "copper",
    scale: float = 1.0,
    offset: float = 0.0,
    nodata: float | None = None,
    valid_range: tuple[float, float] | None = None,
) -> Layer:
    """A layer of no file."""
    return Layer(
        name, "geochemistry", Path("cu.tif"), 1, dtype, nodata, scale=scale, offset=offset, valid_range=valid_range
    )


def expected_of(raw: np.ndarray, layer: Layer, fitted: Membership) -> np.ndarray:
    """Memberships float64 by the definition, NaN where missing."""
    mu = reference(raw.astype(np.float64) * layer.scale + layer.offset, **fitted.arguments())
    good = present(raw, nodata=layer.nodata, scale=layer.scale, offset=layer.offset, valid_range=layer.valid_range)
    return np.where(good, mu, np.nan)


def params_of(kind: str, centre: float, width: float, shape: float) -> dict[str, float]:
    """Parameters of a kind that does its rising and falling within about `width` of `centre`."""
    positive = abs(centre) + width
    return {
        "linear": {"lo": centre, "hi": centre + width},
        "power": {"lo": centre + width, "hi": centre, "exponent": shape},
        "large": {"midpoint": positive, "spread": shape},
        "small": {"midpoint": positive, "spread": shape},
        "gaussian": {"midpoint": centre, "spread": shape / width**2},
        "near": {"midpoint": centre, "spread": shape / width**2},
        "ms_large": {"mean": centre, "sd": width, "a": 0.9, "b": shape},
        "ms_small": {"mean": centre, "sd": width, "a": 0.9, "b": shape},
        "sigmoid": {"midpoint": centre, "slope": shape / width},
        "shoulder": {"alpha": centre - width, "beta": centre, "gamma": centre + shape * width},
        "category": {},
        "ecdf": {},
    }[kind]


@st.composite
def fitted_memberships(draw, kinds: tuple[str, ...] = KINDS) -> Membership:
    """A membership of any kind, transform, complement and hedge."""
    kind = draw(st.sampled_from(kinds))
    transform = "none" if kind == "category" else draw(st.sampled_from(["none", "none", "log", "sqrt"]))
    furthest = {"none": 4, "log": 0, "sqrt": 2}[transform]
    centre = draw(st.floats(-5.0, 5.0)) * 10.0 ** draw(st.integers(-2, furthest))
    width = draw(st.floats(0.1, 3.0)) * 10.0 ** draw(st.integers(-2, furthest))
    params = params_of(kind, centre, width, draw(st.floats(0.3, 12.0)))
    if kind == "ms_small":
        params["esri_compat"] = draw(st.sampled_from([0.0, 1.0]))
    knots_x = knots_y = None
    if kind == "category":
        codes = draw(st.lists(st.integers(-40, 200), min_size=1, max_size=40, unique=True))
        knots_x, knots_y = np.array(codes, float), np.linspace(0.0, 1.0, len(codes))
        params = draw(st.sampled_from([{}, {"default": 0.3}]))
    if kind == "ecdf":
        size = draw(st.sampled_from([1, 2, 3, 100, 1024]))
        # Rounded, so that quantiles tie, as they do on layers with a detection limit.
        knots_x = np.sort(np.round(np.random.default_rng(size).normal(centre, width, size), 2))
        knots_y = np.linspace(0.0, 1.0, size)
    return Membership(
        kind=kind,
        params=params,
        transform=transform,
        floor=draw(st.sampled_from([1e-3, 0.5])),
        complement=draw(st.booleans()),
        hedge=draw(st.sampled_from(["none", "none", "very", "somewhat"])),
        knots_x=knots_x,
        knots_y=knots_y,
    )


@st.composite
def layers_drawn(draw, dtypes: tuple[str, ...] = TABLE_DTYPES + KERNEL_DTYPES) -> Layer:
    """A layer of any dtype, with units, a nodata value (which it may be unable to hold) and a valid range, or none."""
    dtype = draw(st.sampled_from(dtypes))
    scale, offset = draw(st.sampled_from([(1.0, 0.0), (1.0, 2.5), (0.01, 0.0), (10.0, -3.0), (-1.0, 0.5)]))
    # Most of these are met by raw_values, which draws small integers and the ends of the dtype.
    nodata = draw(st.sampled_from([None, None, 0.0, 7.0, -9999.0, 255.0, float("nan"), -3.4028234663852886e38]))
    valid_range = draw(st.sampled_from([None, None, (0.0, 100.0), (-5.0, float("inf"))]))
    return layer_of(dtype, "copper", scale, offset, nodata, valid_range)


def raw_values(dtype: str, seed: int, cells: int = 90) -> np.ndarray:
    """Values of every size, small integers, and the ends of the dtype; NaN and infinities if it has them."""
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0.0, 10.0 ** rng.integers(-3, 6), cells // 2), rng.integers(-40, 200, cells)])
    if dtype.startswith("float"):
        lowest = -3.4028234663852886e38
        ends = [0.0, -0.0, 1e-45, 1e-38, -1e38, 1e38, 3.4e38, lowest, np.nan, np.inf, -np.inf, -9999.0]
        # float64 layers hold the same values: two that differ by less than a float32 can tell need not keep their order
        return np.concatenate([values, ends]).astype(np.float32).astype(dtype)
    limits = np.iinfo(dtype)
    inside = np.clip(values, max(limits.min, -(2**53)), min(limits.max, 2**53)).astype(dtype)
    return np.concatenate([inside, np.array([limits.min, limits.min + 1, 0, limits.max - 1, limits.max], dtype)])


@st.composite
def stacks(draw) -> tuple[list[Layer], list[Membership], int]:
    """Up to 42 layers, drawn as a few kinds of layer in turn, and a seed for their values."""
    drawn = draw(st.lists(layers_drawn(), min_size=1, max_size=4))
    layers = [dataclasses.replace(layer, name=f"layer {index}") for index, layer in enumerate(drawn)]
    fitted = [draw(fitted_memberships()) for _ in layers]
    times = draw(st.integers(1, 42 // len(layers)))
    return layers * times, fitted * times, draw(st.integers(0, 2**32 - 1))
