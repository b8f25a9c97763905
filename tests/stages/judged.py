"""A small district for the stages that judge: layers and finished maps as files, and as whole arrays beside them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from ops.screener_arrays import random_arrays

from mpmjax.reference.membership import membership
from mpmjax.reference.overlay import overlay
from mpmjax.stages.validate import validate
from mpmjax.types import Evidence, Grid, Layer, Membership, Occurrences, Screener

HEIGHT, WIDTH, CELL = 37, 53, 6_000.0
"""Cells so large that 40 occurrences lie in many districts."""
GRID = Grid("EPSG:32639", Affine(CELL, 0, 500_000, 0, -CELL, 4_000_000), WIDTH, HEIGHT)
MAPS = ("prospectivity", "anomaly", "favourability")
MEMBERSHIPS = (
    Membership("sigmoid", {"midpoint": 50.0, "slope": 0.1}),
    Membership("linear", {"lo": 200.0, "hi": 0.0}, hedge="somewhat"),
    Membership("category", {}, knots_x=np.array([1.0, 2.0, 3.0]), knots_y=np.array([0.9, 0.3, 0.6])),
    Membership("sigmoid", {"midpoint": 0.0, "slope": 1.0}),
)
WEIGHT = np.array([1.0, 2.0, 1.0, 0.0], np.float32)
"""The last layer has no direction: no part of gamma."""


def write(path: Path, values: np.ndarray, nodata: float) -> Path:
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 1, "dtype": values.dtype, "nodata": nodata}
    with rasterio.open(path, "w", crs=GRID.crs, transform=GRID.transform, **profile) as dataset:
        dataset.write(values, 1)
    return path


def fuzzy(layers: np.ndarray) -> np.ndarray:
    """Memberships by the definition: float64 [L, height, width], NaN where missing."""
    return np.stack([membership(values, **m.arguments()) for values, m in zip(layers, MEMBERSHIPS, strict=True)])


@dataclasses.dataclass(frozen=True)
class District:
    """Layers and maps as files, and as whole arrays: values float64 with NaN where missing, [height, width]."""

    folder: Path
    evidence: Evidence
    layers: np.ndarray
    maps: dict[str, np.ndarray]
    known: np.ndarray

    @property
    def screener(self) -> Screener:
        """Any network: what is judged here is the judging."""
        arrays = random_arrays(2, 4, 8, 2, 3) | {"weight": WEIGHT}
        return Screener((), MEMBERSHIPS, arrays, {"min_coverage": 0.5, "seed": 7})

    def validate(self, draws: int = 0, **options: Any) -> dict[str, Any]:
        return validate(self.evidence, self.screener, self.folder, draws, **options)

    def rewrite(self, scored: np.ndarray) -> None:
        """Write the maps again, scored in fewer cells."""
        for name, values in self.maps.items():
            values[~scored] = -9999.0
            write(self.folder / f"{name}.tif", values, -9999.0)

    def gamma(self) -> np.ndarray:
        """By the definitions; 0.5 where no directed layer has data."""
        mu = fuzzy(self.layers)[WEIGHT > 0]
        with np.errstate(invalid="ignore"):
            found = overlay(np.nan_to_num(mu), ~np.isnan(mu), "gamma", 0.9)
        return np.where(np.isnan(found), 0.5, found)


def make(folder: Path, known_on: str = "scored") -> District:
    rng = np.random.default_rng(0)
    shape = (HEIGHT, WIDTH)
    raw = (
        rng.integers(1, 100, shape).astype(np.uint8),
        rng.integers(0, 40, shape).astype(np.int16),  # with a scale of 7.5
        rng.integers(1, 5, shape).astype(np.uint8),  # class 4 is in no table
        rng.normal(size=shape).astype(np.float32),
    )
    nodata, scale = (0, -999, 0, -9999.0), (1.0, 7.5, 1.0, 1.0)
    layers, values = [], np.empty((4, *shape))
    for index, array in enumerate(raw):
        missing = rng.uniform(size=shape) < 0.15
        array[missing] = nodata[index]
        path = write(folder / f"layer{index}.tif", array, nodata[index])
        stated = {"direction": int(WEIGHT[index] > 0), "weight": float(WEIGHT[index]) or None}
        dtype = array.dtype.name
        layers.append(
            Layer(f"layer{index}", "index", path, 1, dtype, float(nodata[index]), scale=scale[index], **stated)
        )
        values[index] = np.where(missing, np.nan, array * scale[index])
    scored = (~np.isnan(fuzzy(values))).mean(axis=0) >= 0.5
    scored[:, -4:] = False  # outside the study area
    known = np.zeros(shape, bool)
    known.flat[rng.choice(np.flatnonzero(scored), 40, replace=False)] = True
    maps = {}
    for name, levels in zip(MAPS, (None, 7, 1000), strict=True):
        score = 1 / (1 + np.exp(-rng.normal(known * 0.8, 1.0)))
        score = score if levels is None else np.floor(score * levels) / levels
        maps[name] = np.where(scored, score, -9999.0).astype(np.float32)
        write(folder / f"{name}.tif", maps[name], -9999.0)
    stray = {"scored": np.zeros(shape, bool), "both": np.zeros(shape, bool), "unscored": np.zeros(shape, bool)}
    stray["both"].flat[np.flatnonzero(~scored)[:5]] = True
    stray["unscored"] = stray["both"]
    on = known | stray[known_on] if known_on != "unscored" else stray["unscored"]
    rows, cols = np.nonzero(on)
    order = rng.permutation(rows.size)
    occurrences = Occurrences(rows[order], cols[order], rows.size + 3, "deposits.csv")
    return District(folder, Evidence(GRID, tuple(layers), None, occurrences), values, maps, known)
