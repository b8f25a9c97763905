"""A synthetic multispectral scene whose minerals are known: what each cell holds, and what a sensor sees of it.

Each cell is a linear mixture of the ground (soil and seven mineral groups), plants and water, lit unevenly, with noise;
clouds and their shadows lie over it where the sensor's product says so (Sentinel-2, Landsat). Thermal bands (ASTER)
hold the radiance of the mixed emissivity at an uneven temperature. Everything is a function of place and seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.io import DatasetWriter

from mpmjax.errors import DiskError, ProjectError
from mpmjax.synthetic.noise import Noise, Window, noise, speckle
from mpmjax.synthetic.spectra import BANDS, COVERS, MINERALS, THERMAL, band_values, radiance

CRS = "EPSG:32639"
STRIP = 256
SCALES = {"sentinel2": (1e-4, -0.1), "landsat8": (2.75e-5, -0.2), "aster": (1e-3, 0.0)}
"""Sensor -> scale and offset of what is stored, as its products have them; 0 is nodata."""

QUALITY = {"sentinel2": "SCL", "landsat8": "QA_PIXEL"}
_CORNER = (500_000.0, 3_500_000.0)
_SOIL = 2.0
_MINERAL = 0.5
_SPREAD = 1.6
_NOISE = 0.003
_THERMAL_NOISE = 0.002


@dataclass(frozen=True)
class ScenePatch:
    """What a window holds.

    Attributes:
        bands: band -> reflectance, or radiance in W m-2 sr-1 µm-1 of thermal ones, float64 [rows, cols].
        abundances: mineral -> share of the cell, 0 to 1; soil, vegetation and water make up the rest.
        cloud, shadow: share of cloud over the cell, and whether it lies in the shadow of one.
    """

    bands: Mapping[str, np.ndarray]
    abundances: Mapping[str, np.ndarray]
    vegetation: np.ndarray
    water: np.ndarray
    cloud: np.ndarray
    shadow: np.ndarray


def make_scene(
    directory: Path, *, sensor: str, width: int = 256, height: int = 256, seed: int = 0, resolution: float = 30.0
) -> Path:
    """Write scene.tif and abundance.tif into a directory that is made if need be.

    scene.tif: uint16, bands described by their names, scale and offset declared, nodata 0; the quality band (SCL or
    QA_PIXEL) last. abundance.tif: float32, a band a mineral, shares of the cell under the clouds too.

    Args:
        sensor: sentinel2, landsat8 or aster (which has no clouds, as it has no band that would tell them).
        width, height: cells, 16 to 100,000.
        seed: 0 to 2**31 - 1.
        resolution: metres, one for all bands.

    Returns:
        Path of scene.tif.

    Raises:
        ProjectError: an argument is out of range.
        DiskError: a file or the directory could not be written.
    """
    if sensor not in BANDS:
        raise ProjectError(f"sensor: got {sensor!r}; allowed: {', '.join(BANDS)}.")
    for name, value, lowest, highest in (
        ("width", width, 16, 100_000), ("height", height, 16, 100_000), ("seed", seed, 0, 2**31 - 1),
        ("resolution", resolution, 1.0, 10_000.0),
    ):  # fmt: skip
        if not lowest <= value <= highest:
            raise ProjectError(f"{name}: got {value}; allowed: {lowest} to {highest}.")
    scene, truth = directory / "scene.tif", directory / "abundance.tif"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            size = width, height, resolution
            into = stack.enter_context(_create(scene, size, _scene_bands(sensor), "uint16", 0))
            beside = stack.enter_context(_create(truth, size, MINERALS, "float32", np.nan))
            _declare(into, sensor)
            for window in _strips(width, height, resolution):
                patch = scene_patch(sensor, window, seed)
                place = ((window.row0, window.row0 + window.rows), (0, width))
                into.write(np.stack(list(_stored(sensor, patch))), window=place)
                beside.write(np.stack(list(patch.abundances.values())).astype(np.float32), window=place)
    except OSError as error:
        raise DiskError(f"{directory}: the synthetic scene could not be written: {error}. Is the disk full?") from error
    return scene


def scene_patch(sensor: str, window: Window, seed: int) -> ScenePatch:
    """The scene in a window, as the sensor would measure it without rounding."""
    ground = _ground(window, seed)
    vegetation = _logistic(3.5 * (noise(window, seed, Noise(41, 1_500.0, 4)) - 1.1))
    water = _logistic(30.0 * (noise(window, seed, Noise(42, 3_000.0, 3)) - 1.7))
    bare = (1.0 - vegetation) * (1.0 - water)
    shares = {name: share * bare for name, share in ground.items()}
    shares |= {"vegetation": vegetation * (1.0 - water), "water": water}
    light = np.clip(0.85 + 0.22 * noise(window, seed, Noise(43, 1_200.0, 4)), 0.3, 1.3)
    cloud, shadow = np.zeros(light.shape), np.zeros(light.shape, bool)
    if sensor in QUALITY:
        cloud = _cloud(window, seed)
        shadow = (_cloud(window._replace(row0=window.row0 + 12, col0=window.col0 - 9), seed) > 0.5) & (cloud < 0.5)
    light = np.where(shadow, 0.35 * light, light)
    kelvin = 303.0 + 4.0 * noise(window, seed, Noise(44, 1_500.0, 4)) + 3.0 * (light - 0.85)
    bands = _bands(sensor, shares, light, kelvin, cloud, window, seed)
    minerals = {name: shares[name] for name in MINERALS}
    return ScenePatch(bands, minerals, shares["vegetation"], water, cloud, shadow)


def _bands(
    sensor: str,
    shares: Mapping[str, np.ndarray],
    light: np.ndarray,
    kelvin: np.ndarray,
    cloud: np.ndarray,
    window: Window,
    seed: int,
) -> dict[str, np.ndarray]:
    values = {name: band_values(name, BANDS[sensor]) for name in (*MINERALS, *COVERS)}
    found = {}
    for k, (band, (centre, _)) in enumerate(BANDS[sensor].items()):
        mixed = sum(share * values[name][k] for name, share in shares.items())
        grain = speckle(window, seed, 100 + k)
        if centre > THERMAL:
            found[band] = mixed * radiance(centre, kelvin) * (1.0 + _THERMAL_NOISE * grain)
        else:
            found[band] = (1.0 - cloud) * mixed * light + cloud * values["cloud"][k] + _NOISE * grain
    return found


def _ground(window: Window, seed: int) -> dict[str, np.ndarray]:
    """Shares of soil and minerals that sum to 1: lognormal weights, and bodies too small to coincide by chance."""
    weights = {
        name: _MINERAL * np.exp(_SPREAD * noise(window, seed, Noise(50 + k, 700.0, 3)).astype(np.float64))
        for k, name in enumerate(MINERALS)
    }
    weights["soil"] = np.full((window.rows, window.cols), _SOIL)
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _cloud(window: Window, seed: int) -> np.ndarray:
    return _logistic(14.0 * (noise(window, seed, Noise(45, 2_500.0, 5)) - 1.2))


def _logistic(values: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-values.astype(np.float64)))


def _stored(sensor: str, patch: ScenePatch) -> Iterator[np.ndarray]:
    """The bands as they go into the file, uint16; at least 1, because 0 is nodata."""
    scale, offset = SCALES[sensor]
    for values in patch.bands.values():
        yield np.rint((values - offset) / scale).clip(1, 65_535).astype(np.uint16)
    if sensor in QUALITY:
        yield _quality(sensor, patch)


def _quality(sensor: str, patch: ScenePatch) -> np.ndarray:
    """SCL: 3 shadow, 4 plants, 5 bare, 6 water, 8 and 9 cloud, 10 thin cloud. QA_PIXEL: the bits of the same."""
    thin, thick = patch.cloud > 0.02, patch.cloud > 0.3
    water, plants = patch.water > 0.5, patch.vegetation > 0.5
    if sensor == "sentinel2":
        code = np.select([patch.cloud > 0.8, thick, thin, patch.shadow, water, plants], [9, 8, 10, 3, 6, 4], 5)
    else:
        clear = ~thin & ~patch.shadow
        code = (thin & ~thick) << 1 | thick << 3 | patch.shadow << 4 | clear << 6 | water << 7
    return code.astype(np.uint16)


def _scene_bands(sensor: str) -> tuple[str, ...]:
    return (*BANDS[sensor], QUALITY[sensor]) if sensor in QUALITY else tuple(BANDS[sensor])


def _declare(file: DatasetWriter, sensor: str) -> None:
    scale, offset = SCALES[sensor]
    extra = file.count - len(BANDS[sensor])
    file.scales = (*[scale] * len(BANDS[sensor]), *[1.0] * extra)
    file.offsets = (*[offset] * len(BANDS[sensor]), *[0.0] * extra)


def _strips(width: int, height: int, resolution: float) -> Iterator[Window]:
    for row in range(0, height, STRIP):
        yield Window(row, 0, min(STRIP, height - row), width, resolution)


def _create(
    path: Path, size: tuple[int, int, float], names: tuple[str, ...], dtype: str, nodata: float
) -> DatasetWriter:
    width, height, resolution = size
    # GDAL would look into a file that is there, and an .aux.xml beside it overrides what ours says of itself.
    for old in (path, path.with_name(f"{path.name}.aux.xml")):
        old.unlink(missing_ok=True)
    file = rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=len(names), dtype=dtype, crs=CRS,
        transform=Affine(resolution, 0.0, _CORNER[0], 0.0, -resolution, _CORNER[1]), nodata=nodata,
        tiled=True, blockxsize=256, blockysize=256, compress="deflate", num_threads=1, bigtiff="IF_SAFER",
    )  # fmt: skip
    file.descriptions = names
    return file
