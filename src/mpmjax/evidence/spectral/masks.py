"""Cells of a scene that say nothing about rock: under plants, water or cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mpmjax.evidence.nearest import nearest
from mpmjax.evidence.spectral.bands import SceneError, canonical_band, sensor_bands

VEGETATION: Mapping[str, tuple[str, str]] = {
    "sentinel2": ("B08", "B04"),
    "landsat8": ("B5", "B4"),
    "aster": ("B3N", "B02"),
}
"""NDVI = (near infrared - red) / (near infrared + red), Rouse et al. (1974); above about 0.4 plants rule the cell."""

WATER: Mapping[str, tuple[str, str]] = {
    "sentinel2": ("B03", "B11"),
    "landsat8": ("B3", "B6"),
    "aster": ("B01", "B3N"),
}
"""MNDWI = (green - short-wave infrared) / (green + short-wave infrared), Xu (2006); water lies above 0.

For aster NDWI in its place, with the near infrared, McFeeters (1996), water above 0 too: the short-wave infrared of
ASTER has given no data since April 2008, and has other cells than green; NDVI and NDWI need its first detector only.
"""

QUALITY: Mapping[str, str] = {"sentinel2": "SCL", "landsat8": "QA_PIXEL"}
CLASSES = 11
BITS = 15


@dataclass(frozen=True)
class Clouds:
    """Which cells the scene's own quality band takes out.

    Attributes:
        band: SCL of Sentinel-2 or QA_PIXEL of Landsat.
        values: classes of SCL, 0 to 11: 1 saturated, 3 cloud shadow, 8 and 9 cloud, 10 cirrus, 11 snow.
        bits: of QA_PIXEL, 0 to 15; a cell goes where any is set: 1 dilated cloud, 2 cirrus, 3 cloud, 4 shadow, 5 snow.
    """

    band: str
    values: tuple[int, ...] = ()
    bits: tuple[int, ...] = ()


def mask_bands(
    sensor: str, vegetation: float | None = None, water: float | None = None, clouds: Clouds | None = None
) -> tuple[str, ...]:
    """Canonical names of the bands that `usable` needs, each once.

    Raises:
        SceneError: an unknown sensor, or clouds that it does not have, with what to write in their place.
    """
    sensor_bands(sensor)
    bands: list[str] = []
    if vegetation is not None:
        bands += VEGETATION[sensor]
    if water is not None:
        bands += WATER[sensor]
    if clouds is not None:
        bands.append(_quality_band(sensor, clouds))
    return tuple(dict.fromkeys(bands))


def usable(
    arrays: Mapping[str, np.ndarray],
    sensor: str,
    *,
    vegetation: float | None = None,
    water: float | None = None,
    clouds: Clouds | None = None,
) -> np.ndarray:
    """Where a scene shows the ground.

    A cell where a mask cannot be judged, because a band that it needs is missing or two sum to nothing, is not usable.

    Args:
        arrays: `mask_bands` by canonical name, of one shape; reflectances, NaN missing, and the quality band as it is.
        sensor: sentinel2, landsat8 or aster.
        vegetation: NDVI above which a cell is not usable, -1 to 1.
        water: the same of the water index (`WATER`).
        clouds: what the quality band takes out; cells that it marks as fill go too.

    Returns:
        bool, of the arrays' shape; True without a shape where there is no mask.

    Raises:
        SceneError: as `mask_bands`; a threshold beyond -1 to 1; or a quality band that holds no whole numbers.
    """
    mask_bands(sensor, vegetation, water, clouds)
    result = np.ones((), bool)
    for name, most, pair in (("vegetation", vegetation, VEGETATION[sensor]), ("water", water, WATER[sensor])):
        if most is not None:
            if not -1 <= most <= 1:
                raise SceneError(f"{name}: a normalised difference lies from -1 to 1, got {most:g}")
            with np.errstate(invalid="ignore"):
                result = result & (normalised_difference(arrays[pair[0]], arrays[pair[1]]) <= most)
    if clouds is not None:
        result = result & _clear(arrays[_quality_band(sensor, clouds)], clouds)
    return result


def normalised_difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(one - other) / (one + other), float64; NaN where either is missing or they do not sum to more than 0."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    with np.errstate(invalid="ignore"):
        total, difference = one + other, one - other
        judged = np.isfinite(difference) & (total > 0)
    return np.divide(difference, total, out=np.full(total.shape, np.nan), where=judged)


def _quality_band(sensor: str, clouds: Clouds) -> str:
    """The canonical quality band, if the sensor has it and what is asked of it can be."""
    if sensor not in QUALITY:
        raise SceneError(
            f"clouds: {sensor} scenes come without a band of clouds. Take a cloudless scene, or cut the clouds out "
            "beforehand (nodata, or the grid's mask), and leave 'clouds' out."
        )
    own = QUALITY[sensor]
    if clouds.band != own and canonical_band(sensor, clouds.band) != own:
        raise SceneError(f"clouds.band: got {clouds.band!r:.60}; {nearest(clouds.band, [own])}")
    key, other, most = ("values", "bits", CLASSES) if own == "SCL" else ("bits", "values", BITS)
    wanted = getattr(clouds, key)
    if getattr(clouds, other) or not wanted:
        example = "values = [3, 8, 9, 10]" if key == "values" else "bits = [1, 3, 4]"
        raise SceneError(f'clouds: {own} is read by {key}, as in clouds = {{ band = "{own}", {example} }}')
    wrong = [number for number in wanted if not 0 <= number <= most]
    if wrong:
        raise SceneError(f"clouds.{key}: {own} has {key} 0 to {most}, got {wrong[0]}")
    return own


def _clear(quality: np.ndarray, clouds: Clouds) -> np.ndarray:
    """Where none of the classes or bits is set. 0 of SCL and bit 0 of QA_PIXEL are fill."""
    quality = np.asarray(quality, np.float64)
    known = np.isfinite(quality) & (quality >= 0) & (quality < 2**16)
    codes = np.where(known, quality, 0).astype(np.int64)
    broken = known & (codes != quality)
    if broken.any():
        raise SceneError(
            f"clouds.band: {clouds.band} holds {quality[broken].flat[0]:g}, and its codes are whole numbers. It was "
            "resampled by averages: write it again by nearest neighbour."
        )
    if clouds.values:
        return known & ~np.isin(codes, (0, *clouds.values))
    return known & ((codes & sum({1 << bit for bit in (0, *clouds.bits)})) == 0)
