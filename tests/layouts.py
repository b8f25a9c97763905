"""One small district whose layers hold the same values in any file layout, and a Screener that was never fitted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from districts import CRS, corner, smooth, study_area, write_project, write_vector
from ops.screener_arrays import random_arrays, random_cells, ranked

from mpmjax.reference.lstm import score
from mpmjax.types import Membership, Screener

SHAPE = (700, 900)
NAMES = ("alteration", "copper", "faults", "rocks")
ROLES = ("index", "geochemistry", "distance", "category")
DIRECTIONS = ("high", "high", "low", None)
"""Of the last the scores tell it."""
NODATA: Mapping[str, float] = {"uint8": 0, "int16": -32768, "float32": -9999.0}
DRIVERS = {".tif": "GTiff", ".img": "HFA", ".bil": "EHdr"}

CODECS: Mapping[str, Mapping[str, Any]] = {
    "none": {}, "deflate": {"compress": "deflate"}, "deflate p2": {"compress": "deflate", "predictor": 2},
    "deflate p3": {"compress": "deflate", "predictor": 3}, "lzw": {"compress": "lzw"},
    "lzw p2": {"compress": "lzw", "predictor": 2}, "lzw p3": {"compress": "lzw", "predictor": 3},
    "zstd": {"compress": "zstd"}, "zstd p2": {"compress": "zstd", "predictor": 2},
    "zstd p3": {"compress": "zstd", "predictor": 3}, "lerc": {"compress": "lerc", "max_z_error": 0},
    "lerc deflate": {"compress": "lerc_deflate", "max_z_error": 0}, "packbits": {"compress": "packbits"},
    "lzma": {"compress": "lzma"}, "jpegxl": {"compress": "jxl", "jxl_lossless": "yes"},
}  # fmt: skip
BLOCKS: Mapping[str, Mapping[str, Any]] = {
    "strips": {}, "one-row strips": {"blockysize": 1}, "one strip": {"blockysize": SHAPE[0]},
    "tiles of 128": {"tiled": True, "blockxsize": 128, "blockysize": 128},
    "tiles of 1024": {"tiled": True, "blockxsize": 1024, "blockysize": 1024},
    "flat tiles": {"tiled": True, "blockxsize": 512, "blockysize": 16},
}  # fmt: skip


@cache
def values() -> np.ndarray:
    """Whole numbers of 1 to 250 that every dtype holds, 0 where missing: [4, 700, 900]. The last are four classes."""
    rng = np.random.default_rng(12)
    fields = [smooth(rng, SHAPE, sigma) for sigma in (9.0, 4.0, 14.0, 20.0)]
    found = np.stack([np.clip(np.rint(120 + 45 * field), 1, 250) for field in fields])
    found[3] = np.digitize(fields[3], (-0.7, 0.2, 1.3)) + 1.0
    found[1, :, :90] = 0  # half of a block has one layer only, or none
    found[rng.random(found.shape) < 0.02] = 0
    found[:, 300:420, 500:680] = 0
    found[0, 300:340, 500:680] = 77
    return found


def screener() -> Screener:
    """Memberships of four kinds, one by logarithm and one of classes of which one is in no table."""
    memberships = (
        Membership("sigmoid", {"midpoint": 130.0, "slope": 0.05}),
        Membership("linear", {"lo": 1.7, "hi": 2.3}, transform="log", floor=1.0, hedge="somewhat"),
        Membership("linear", {"lo": 220.0, "hi": 20.0}),
        Membership("category", knots_x=np.array([1.0, 2.0, 3.0]), knots_y=np.array([0.9, 0.4, 0.1])),
    )
    plain = {"weight": None, "codes": {}, "derivation": {}, "min": 20.0, "max": 240.0}
    layers = [
        {"name": name, "role": role, "direction": -1 if direction == "low" else 1, **plain}
        for name, role, direction in zip(NAMES, ROLES, DIRECTIONS, strict=True)
    ]
    layers[3]["classes"] = [1.0, 2.0, 3.0]
    groups = {"k": 4, "favourability": [0.8, 0.6, 0.4, 0.2], "by_bic": 4}
    shown = {"groups": groups, "model": {"sample": 1000, "members": 2}, "notes": [], "trust": 0.5, "area_share": 0.02}
    arrays = random_arrays(2, 4, 8, 2, 4, seed=11)
    arrays["group_logw"][...], arrays["group_chol"] = 0, arrays["group_chol"] * 8  # several groups are met
    arrays = ranked(arrays)
    seen = score(*random_cells(2000, 4, seed=1), arrays)
    arrays["quadrant"] = np.array([np.median(seen["R"]), np.median(seen["risk"])], np.float32)
    return Screener(tuple(layers), memberships, arrays, {"min_coverage": 0.5, "seed": 5}, shown)


def write_district(
    folder: Path, dtype: str = "float32", suffix: str = ".tif", masked: bool = False, one_file: bool = False,
    stream: Mapping[str, Any] | None = None, **profile: Any,
) -> Path:  # fmt: skip
    """The district in one layout; its project file, whose path is returned.

    Args:
        masked: an internal mask says what is missing, and no value does.
        one_file: all layers are bands of one file.
        profile: of rasterio.open.
    """
    folder.mkdir(parents=True)
    stated = {"height": SHAPE[0], "width": SHAPE[1], "dtype": dtype, "crs": CRS, "transform": corner(), **profile}
    stated |= {} if masked else {"nodata": NODATA[dtype]}
    there = values() > 0
    cells = np.where(there, values(), 5 if masked else NODATA[dtype]).astype(dtype)
    sections = []
    for index, name in enumerate(NAMES):
        source, band = (f"all{suffix}", index + 1) if one_file else (f"{name}{suffix}", 1)
        section = {"name": name, "source": source, "role": ROLES[index]}
        section |= {"band": band} if one_file else {}
        section |= {"direction": DIRECTIONS[index]} if DIRECTIONS[index] else {}
        section |= {"crs": CRS} if suffix in (".asc", ".bil") else {}
        sections.append(section | ({"transform": "log"} if index == 1 else {}))
        if not one_file:
            _write(folder / source, cells[[index]], there[index], masked, stated)
    if one_file:
        _write(folder / f"all{suffix}", cells, there.all(axis=0), masked, stated)
    sections[3]["membership"] = {"kind": "category", "scores": {"1": 0.9, "2": 0.4, "3": 0.1}}
    write_vector(folder / "sheet.gpkg", [study_area(SHAPE, corner())])
    grid = {"like": "alteration", "mask": "sheet.gpkg"}
    return write_project(folder, sections, grid=grid, targets={"max_targets": 40}, stream=stream or None)


def _write(path: Path, bands: np.ndarray, there: np.ndarray, masked: bool, profile: Mapping[str, Any]) -> None:
    if path.suffix == ".asc" or ("blockysize" in profile and not profile.get("tiled")):
        # AAIGrid only copies; rasterio, when it creates, does not pass on the rows of a strip.
        described = {"height", "width", "dtype", "crs", "transform", "nodata"}
        driver = "AAIGrid" if path.suffix == ".asc" else "GTiff"
        with rasterio.MemoryFile() as memory:
            with memory.open(driver="GTiff", count=1, **{key: profile[key] for key in described}) as file:
                file.write(bands)
            with memory.open() as file:
                options = {key: value for key, value in profile.items() if key not in described}
                rasterio.shutil.copy(file, path, driver=driver, **options)
        return
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=masked),
        rasterio.open(path, "w", driver=DRIVERS[path.suffix], count=len(bands), **profile) as file,
    ):
        file.write(bands)
        if masked:
            file.write_mask(there)
