"""From a file's numbers to reflectance, and why an index needs it.

Every index of indices.py stays the same if all bands are multiplied by one factor, so a scale that is left out does
no harm. An offset does: with p the reflectance and D = (p - offset) / scale what is stored, D1 / D2 is not p1 / p2.
Sentinel-2 stores (p + 0.1) 10,000 since processing baseline 04.00 (25 January 2022; BOA_ADD_OFFSET -1000), Landsat
Collection 2 level 2 (p + 0.2) / 2.75e-5. For a dark rock of p = 0.06 and 0.03 the ratio is 2, but 1.2 of the stored
numbers: contrasts shrink, and dark and bright rock of one mineral come out different.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """value = stored * scale + offset, and the products that it holds for."""

    scale: float
    offset: float
    product: str


CALIBRATIONS: Mapping[str, tuple[Calibration, ...]] = {
    "sentinel2": (
        Calibration(1e-4, -0.1, "levels 1C and 2A since processing baseline 04.00 (25 January 2022)"),
        Calibration(1e-4, 0.0, "before it, and collections that were harmonised to what was before"),
    ),
    "landsat8": (Calibration(2.75e-5, -0.2, "Collection 2 level 2, bands SR_B1 to SR_B7"),),
    "aster": (Calibration(1e-3, 0.0, "AST_07 and AST_07XT surface reflectance, bands 1 to 9"),),
}
"""ESA, Sentinel-2 Products Specification; USGS, Landsat 8-9 Collection 2 level 2 guide (LSDS-1619); NASA LP DAAC."""

BRIGHTEST = 2.0
"""No ground and no cloud reflects more; larger numbers are not yet reflectance."""


def to_reflectance(values: np.ndarray, scale: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """Stored numbers to reflectance (or radiance, of thermal bands), float64.

    What comes to 0 or less is missing: light cannot be less than none, atmospheric correction overshoots over shadow
    and water, and a ratio with such a number has neither size nor sign.

    Args:
        values: float, NaN missing.
        scale, offset: as the file declares them, or as the project states them.
    """
    result = np.asarray(values, np.float64) * scale + offset
    with np.errstate(invalid="ignore"):
        return np.where((result > 0) & np.isfinite(result), result, np.nan)


def not_reflectance(sensor: str, largest: float) -> str:
    """A sentence where the largest number of a reflective band is none; empty where it may be one."""
    if not largest > BRIGHTEST:
        return ""
    known = "; ".join(f"scale = {one.scale:g}, offset = {one.offset:g} ({one.product})" for one in CALIBRATIONS[sensor])
    return (
        f"numbers up to {largest:g} are no reflectance, and neither the file nor the scene states scale and offset. An "
        f"offset that is left out changes every ratio. Products of {sensor}: {known}."
    )
