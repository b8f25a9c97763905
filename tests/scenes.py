"""How well each index ranks its mineral on a synthetic scene: measured from the files, as a user has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from scipy.stats import spearmanr

from mpmjax.evidence.spectral.bands import find_bands
from mpmjax.evidence.spectral.indices import INDICES, index_expression
from mpmjax.evidence.spectral.masks import QUALITY, Clouds, mask_bands, usable
from mpmjax.evidence.spectral.reflectance import to_reflectance

CLOUDS = {
    "sentinel2": Clouds("SCL", values=(3, 8, 9, 10)),
    "landsat8": Clouds("QA_PIXEL", bits=(1, 2, 3, 4)),
    "aster": None,
}
VEGETATION, WATER = 0.4, 0.0

OF: Mapping[str, tuple[str, ...]] = {
    "argillic": ("argillic",),
    "alunite": ("argillic",),
    "kaolinite": ("argillic",),
    "laterite": ("argillic",),
    "phyllic": ("phyllic",),
    "hydroxyl": ("argillic", "phyllic"),
    "clay": ("argillic", "phyllic", "carbonate"),
    "propylitic": ("propylitic", "carbonate"),
    "ferric_iron": ("ferric",),
    "iron_oxide": ("ferric",),
    "gossan": ("ferric",),
    "ferrous_iron": ("ferrous", "propylitic"),
    "ferrous_minerals": ("ferrous", "propylitic", "ferric"),
    "mafic": ("ferrous",),
    "quartz": ("quartz",),
    "carbonate": ("carbonate",),
}
"""Index -> the groups of the scene that hold what its `mineral` says."""


@dataclass(frozen=True)
class Row:
    """Spearman's rank correlation of an index with the share of its mineral, over usable cells and over all."""

    sensor: str
    index: str
    minerals: tuple[str, ...]
    masked: float
    unmasked: float
    usable: float


def read_scene(path: Path, sensor: str, *, declared: bool = True) -> dict[str, np.ndarray]:
    """Canonical band -> reflectance or radiance, or the stored numbers; the quality band as it is."""
    wanted = [*INDICES_BANDS[sensor], *mask_bands(sensor, VEGETATION, WATER, CLOUDS[sensor])]
    arrays = {}
    with rasterio.open(path) as file:
        for name, number in find_bands(sensor, file.descriptions, None, wanted, path.name).items():
            raw = file.read(number).astype(np.float64)
            raw[raw == file.nodata] = np.nan
            scale, offset = (file.scales[number - 1], file.offsets[number - 1]) if declared else (1.0, 0.0)
            arrays[name] = raw if name == QUALITY.get(sensor) else to_reflectance(raw, scale, offset)
    return arrays


INDICES_BANDS = {
    sensor: tuple(dict.fromkeys(name for index in indices for name in index_expression(sensor, index).names))
    for sensor, indices in INDICES.items()
}


def index_table(path: Path, sensor: str, *, declared: bool = True) -> list[Row]:
    """A row an index of the sensor, of scene.tif at `path` and abundance.tif beside it."""
    arrays = read_scene(path, sensor, declared=declared)
    with rasterio.open(path.with_name("abundance.tif")) as file:
        shares = dict(zip(file.descriptions, file.read(), strict=True))
    ground = usable(arrays, sensor, vegetation=VEGETATION, water=WATER, clouds=CLOUDS[sensor])
    rows = []
    for index in INDICES[sensor]:
        values = index_expression(sensor, index).evaluate(arrays)
        share, there = sum(shares[mineral] for mineral in OF[index]), np.isfinite(values)
        masked, unmasked = (spearmanr(values[cells], share[cells])[0] for cells in (there & ground, there))
        rows.append(Row(sensor, index, OF[index], float(masked), float(unmasked), float((there & ground).mean())))
    return rows


def as_text(rows: Sequence[Row]) -> str:
    """The table for people."""
    lines = [f"{'sensor':10} {'index':17} {'of':30} {'masked':>6} {'all':>6} {'cells':>6}"]
    lines += [
        f"{row.sensor:10} {row.index:17} {'+'.join(row.minerals):30} {row.masked:6.2f} {row.unmasked:6.2f} "
        f"{row.usable:6.0%}"
        for row in rows
    ]
    return "\n".join(lines)
