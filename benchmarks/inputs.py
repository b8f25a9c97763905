"""Random input of the cases: layers with holes, faults, patches and a Screener. All of it from the generator given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from mpmjax.reference.lstm import reconstruct, score
from mpmjax.types import Layer, Membership

LEVELS = np.linspace(0.0, 1.0, 1024)


def presence(rng: np.random.Generator, layers: int, cells: int, missing: float) -> np.ndarray:
    """bool [layers, cells]: False for a share of the cells of each layer."""
    there = np.empty((layers, cells), bool)
    for layer in there:
        np.greater_equal(rng.random(cells, np.float32), missing, out=layer)
    return there


def float_layers(rng: np.random.Generator, layers: int, cells: int) -> list[np.ndarray]:
    """Skewed positive values float32 [cells], a few of them NaN."""
    values = [rng.standard_gamma(2.0, cells, np.float32) for _ in range(layers)]
    for layer in values:
        layer *= np.float32(30.0)
        layer[rng.integers(0, cells, max(1, cells // 1000))] = np.nan
    return values


def integer_layers(rng: np.random.Generator, layers: int, cells: int, dtype: type[np.integer]) -> list[np.ndarray]:
    """The whole range of an integer type, [cells] each."""
    limits = np.iinfo(dtype)
    return [rng.integers(limits.min, limits.max, cells, dtype, endpoint=True) for _ in range(layers)]


def smooth_layers(rng: np.random.Generator, layers: int, side: int, dtype: type[np.integer]) -> list[np.ndarray]:
    """Integers as real rasters hold them, [side * side] each: a few thousand values, neighbours alike, some noise."""
    step = 16
    found: list[np.ndarray] = []
    for _ in range(layers):
        coarse = rng.standard_normal((side // step + 2, side // step + 2), np.float32)
        field: np.ndarray = np.array(ndimage.zoom(coarse, step, order=1), np.float32)[:side, :side]
        field *= 400.0
        field += rng.normal(1500.0, 20.0, ()) + rng.standard_normal((side, side), np.float32) * 20.0
        found.append(np.clip(field, 1, 10_000, out=field).astype(dtype).reshape(-1))
    return found


def layer(index: int, dtype: str) -> Layer:
    """A layer of no file: the ops look at its name and dtype only."""
    return Layer(name=f"layer {index}", role="geochemistry", path=Path("none.tif"), band=1, dtype=dtype)


def sigmoid(values: np.ndarray) -> Membership:
    """The typed default of most roles, from the values themselves: middle and slope of their P1 and P99."""
    p1, p99 = np.nanpercentile(values[:65_536].astype(np.float64), (1, 99))
    return Membership("sigmoid", {"midpoint": (p1 + p99) / 2, "slope": 9.2 / (p99 - p1)})


def one_minus_ecdf(values: np.ndarray) -> Membership:
    """The typed default of a distance: 1 - ecdf, from the values themselves."""
    quantiles = np.nanquantile(values[:65_536].astype(np.float64), LEVELS)
    return Membership("ecdf", complement=True, knots_x=quantiles, knots_y=LEVELS)


def mixed_kinds(layers: Sequence[np.ndarray], ecdf: bool = True) -> list[Membership]:
    """Memberships of eight kinds for L layers, in turn, from the positive values themselves.

    Sigmoid on a logarithm, sigmoid, linear, large, gaussian, ms_large, shoulder, and 1 - ecdf or, without it, near.
    """
    return [_of_kind(values, place % 8, ecdf) for place, values in enumerate(layers)]


def _of_kind(values: np.ndarray, place: int, ecdf: bool) -> Membership:
    seen = values[:65_536].astype(np.float64)
    seen = seen[seen > 0]
    p1, p50, p99 = np.percentile(seen, (1, 50, 99))
    half_width = (p99 - p1) / 4
    match place:
        case 0:
            low, high = np.log10((p1, p99))
            params = {"midpoint": (low + high) / 2, "slope": 9.2 / (high - low)}
            return Membership("sigmoid", params, transform="log", floor=p1)
        case 1:
            return sigmoid(seen)
        case 2:
            return Membership("linear", {"lo": p1, "hi": p99})
        case 3:
            return Membership("large", {"midpoint": p50, "spread": 5.0})
        case 4:
            return Membership("gaussian", {"midpoint": p50, "spread": np.log(2.0) / half_width**2})
        case 5:
            return Membership("ms_large", {"mean": seen.mean(), "sd": seen.std(), "a": 1.0, "b": 1.0})
        case 6:
            return Membership("shoulder", {"alpha": p1, "beta": p50, "gamma": p99})
        case _:
            near = Membership("near", {"midpoint": p50, "spread": 1.0 / half_width**2})
            return one_minus_ecdf(seen) if ecdf else near


def faults(rng: np.random.Generator, side: int) -> np.ndarray:
    """bool [side, side]: straight faults, one for every 16 rows, each up to a third of the side long."""
    features = np.zeros((side, side), bool)
    for _ in range(max(1, side // 16)):
        row, col = rng.uniform(0, side, 2)
        angle, length = rng.uniform(0, np.pi), rng.uniform(0.05, 0.33) * side
        along = np.arange(0.0, length, 0.5)
        rows = np.floor(row + along * np.sin(angle)).astype(np.int64)
        cols = np.floor(col + along * np.cos(angle)).astype(np.int64)
        inside = (rows >= 0) & (rows < side) & (cols >= 0) & (cols < side)
        features[rows[inside], cols[inside]] = True
    features[side // 2, side // 2] = True
    return features


def patches(rng: np.random.Generator, side: int, share: float, blur: float) -> np.ndarray:
    """bool [side, side]: the highest `share` of smoothed noise; `blur` in cells is about the radius of a patch."""
    field = rng.standard_normal((side, side), np.float32)
    if blur > 0:
        field = ndimage.gaussian_filter(field, blur, mode="wrap")
    return field > np.quantile(field, 1.0 - share)


def network(
    rng: np.random.Generator, members: int, layers: int, hidden: int, latent: int, features: int = 1
) -> dict[str, np.ndarray]:
    """The network's arrays of reference/lstm.py with random weights of the size that training gives."""

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(0.0, 0.3, (members, *shape)).astype(np.float32)

    return {
        "order": np.stack([rng.permutation(layers) for _ in range(members)]).astype(np.int32),
        "enc_wx": normal(features, 4 * hidden),
        "enc_wh": normal(hidden, 4 * hidden),
        "enc_b": normal(layers, 4 * hidden),
        "lat_w": normal(hidden, latent),
        "lat_b": normal(latent),
        "dec_wz": normal(latent, 4 * hidden),
        "dec_wh": normal(hidden, 4 * hidden),
        "dec_b": normal(layers, 4 * hidden),
        "out_w": normal(hidden, features),
        "out_b": normal(features),
    }


def screener(
    rng: np.random.Generator, members: int, layers: int, hidden: int, latent: int, groups: int = 5
) -> dict[str, np.ndarray]:
    """Arrays of reference/lstm.py: a random network of one feature a layer, and what is fitted on it.

    Residual scales and ecdfs come from the definition on 2,048 random cells, as a fit would take them from its sample.
    """

    def normal(*shape: int, scale: float = 0.3) -> np.ndarray:
        return rng.normal(0.0, scale, (members, *shape)).astype(np.float32)

    arrays = network(rng, members, layers, hidden, latent) | {
        "group_logw": normal(groups),
        "fav_w": normal(latent, scale=0.1),
        "fav_b": np.full(members, 0.5, np.float32),
        "trust": np.array([0.5], np.float32),
        "cut": np.array([0.9], np.float32),
        "noise": np.array([1e-4, 0.1], np.float32),
        "layer_rank": np.tile(np.linspace(0, 1, 257, dtype=np.float32), (layers, 1)),
        "quadrant": np.array([0.5, 0.05], np.float32),
        "weight": np.ones(layers, np.float32),
    }
    mu, valid = rng.random((2048, layers)), np.ones((2048, layers), bool)
    seen = [reconstruct(mu, valid, arrays, member) for member in range(members)]
    residual = np.stack([mu - x_hat for _, x_hat in seen])
    median = np.median(residual, axis=1)
    arrays["res_median"] = median.astype(np.float32)
    spread = 1.4826 * np.median(np.abs(residual - median[:, None]), axis=1)
    arrays["res_scale"] = np.maximum(spread, 1e-3).astype(np.float32)
    centres = np.stack([z[rng.choice(len(z), groups, replace=False)] for z, _ in seen])
    sharp = np.stack([np.eye(latent) / z.std(axis=0) for z, _ in seen])
    arrays["group_mean"] = centres.astype(np.float32)
    arrays["group_chol"] = np.repeat(sharp[:, None], groups, axis=1).astype(np.float32)
    for name in ("fav", "anomaly"):
        arrays |= {f"ecdf_{name}_x": LEVELS.astype(np.float32), f"ecdf_{name}_y": LEVELS.astype(np.float32)}
    maps = score(mu, valid, arrays)
    for name, drawn in (("fav", "favourability"), ("anomaly", "surprise")):
        arrays[f"ecdf_{name}_x"] = np.quantile(maps[drawn], LEVELS).astype(np.float32)
    return arrays
