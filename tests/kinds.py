"""A small district with a layer of every kind: samples, bands of a scene, a magnetic grid, what follows from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from districts import (
    CRS,
    LEFT,
    TOP,
    centres,
    corner,
    promise,
    smooth,
    study_area,
    write_layer,
    write_occurrences,
    write_project,
    write_raster,
    write_vector,
)

SHAPE = (90, 110)
CELL = 60.0
BANDS = ("B02", "B03", "B04", "B08", "B11", "B12", "SCL")
SAMPLES = {
    "source": "till.csv", "crs": CRS, "censored": "half", "negative": "limit",
    "units": {"Li": "ppm", "Be": "ppb", "Sn": "ppm"}, "composition": ["Li", "Be", "Sn"],
}  # fmt: skip
INPUTS = [{"name": "red", "source": "scene.tif", "band": 3}, {"name": "thorium", "source": "th.tif"}]
SCENE = {
    "name": "s2", "sensor": "sentinel2", "source": "scene.tif", "nodata": 0.0, "scale": 0.0001, "vegetation": 0.6,
    "clouds": {"band": "SCL", "values": [8, 9]},
}  # fmt: skip
LAYERS: list[dict[str, Any]] = [
    {"name": "alteration", "source": "alteration.tif", "role": "index", "direction": "high"},
    {"name": "lithium", "source": "till.csv", "derive": "gridding", "field": "Li", "role": "geochemistry",
     "direction": "high", "gridding": {"method": "idw", "power": 2.0, "support": 3000.0}},
    {"name": "beryllium", "source": "till.csv", "derive": "gridding", "field": "clr(Be)", "role": "geochemistry",
     "direction": "high", "gridding": {"method": "kriging", "support": 3000.0}},
    {"name": "iron", "scene": "s2", "index": "iron_oxide", "role": "index", "direction": "high"},
    {"name": "clay", "scene": "s2", "expression": "B11 / B12", "role": "index", "direction": "high"},
    {"name": "ratio", "expression": "where(red > 0, alteration * thorium / red, 0)", "role": "index",
     "direction": "high"},
    {"name": "both", "expression": "min(ratio, lithium)", "role": "index"},
    {"name": "tilt", "source": "mag.tif", "derivative": "tilt", "role": "geophysics"},
    {"name": "upward", "source": "mag.tif", "derivative": "upward", "height": 200.0, "role": "geophysics"},
]  # fmt: skip
FILES = {"alteration.tif", "till.csv", "scene.tif", "th.tif", "mag.tif", "sheet.gpkg", "deposits.gpkg"}


def write_samples(path: Path, field: np.ndarray, count: int = 150, shift: float = 0.0) -> Path:
    """Samples of three elements in their own units, a few of lithium below the detection limit of 5 ppm."""
    rng = np.random.default_rng(12)
    cells = rng.choice(field.size, count, replace=False)
    x, y = (axis.ravel()[cells] for axis in centres(field.shape, corner()))
    lithium = np.exp(2.2 + 0.6 * field.ravel()[cells] + 0.1 * rng.normal(size=count)) + shift
    beryllium, tin = 900 * np.exp(0.3 * rng.normal(size=count)), 3 * np.exp(0.3 * rng.normal(size=count))
    rows = [
        f"{a:.1f},{b:.1f},{'<5' if li < 5 else f'{li:.2f}'},{be:.1f},{sn:.2f}"
        for a, b, li, be, sn in zip(x, y, lithium, beryllium, tin, strict=True)
    ]
    path.write_text("x,y,Li,Be,Sn\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def write_scene(path: Path, field: np.ndarray, cell: float = 30.0) -> Path:
    """Reflectances x 10,000 of twice the resolution, with a cloud and a wood; bands are named by their descriptions."""
    rng = np.random.default_rng(13)
    shape = (SHAPE[0] * 2, SHAPE[1] * 2)
    iron = np.kron(field, np.ones((2, 2)))
    green = 700 + 60 * smooth(rng, shape, 4.0)
    red, near = 900 + 150 * iron, 1500 + 100 * smooth(rng, shape, 4.0)
    far, farther = 2500 + 100 * smooth(rng, shape, 4.0), 2100 + 100 * smooth(rng, shape, 4.0)
    near[20:40, 30:60] = 9000  # a wood
    classes = np.full(shape, 5.0)
    classes[100:130, 140:180] = 9
    bands = np.stack([0.7 * green, green, red, near, far, farther, classes])
    with rasterio.open(
        path, "w", driver="GTiff", width=shape[1], height=shape[0], count=len(BANDS), dtype="uint16", crs=CRS,
        transform=corner(cell=cell),
    ) as file:  # fmt: skip
        file.write(np.clip(np.rint(bands), 1, 65535).astype(np.uint16))
        file.descriptions = BANDS
    return path


def make_kinds(folder: Path, **tables: Any) -> Path:
    """The sources and the project file, whose path is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    field = promise(SHAPE, 3)
    rng = np.random.default_rng(14)
    missing = np.zeros(SHAPE, bool)
    missing[4:7, 9:14] = True
    write_layer(folder / "alteration.tif", 50 + 10 * field, missing, "float32", corner())
    write_samples(folder / "till.csv", field)
    write_scene(folder / "scene.tif", field)
    write_raster(
        folder / "th.tif", (9 + smooth(rng, (60, 70), 3.0)).astype(np.float32), corner(LEFT - 300, TOP + 300, 100.0)
    )
    wide = (SHAPE[0] // 2 + 40, SHAPE[1] // 2 + 40)
    field_of_force = (300 * smooth(rng, wide, 3.0)).astype(np.float32)
    write_raster(folder / "mag.tif", field_of_force, corner(LEFT - 2400, TOP + 2400, 120.0), nodata=-99999.0)
    write_vector(folder / "sheet.gpkg", [study_area(SHAPE, corner())])
    write_occurrences(folder / "deposits.gpkg", field, corner(), 8)
    own = {
        "grid": {"like": "alteration", "mask": "sheet.gpkg"},
        "samples": [SAMPLES],
        "inputs": INPUTS,
        "scenes": [SCENE],
        "validate": {"occurrences": "deposits.gpkg", "bootstrap": 50, "baselines": False},
    }
    return write_project(folder, tables.pop("layers", LAYERS), **own | tables)
