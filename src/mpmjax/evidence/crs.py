"""Ways between coordinate reference systems, and what is said where there is none."""

from __future__ import annotations

from typing import Any

from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from mpmjax.errors import DataError

Bounds = tuple[float, float, float, float]
"""(xmin, ymin, xmax, ymax)."""


def parse_crs(text: str, label: str) -> CRS:
    """A CRS from 'EPSG:...', WKT or PROJ text.

    Raises:
        DataError: it is none that PROJ knows.
    """
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise DataError(f'{label}: crs = "{text}" is no known CRS; write it like "EPSG:32639".') from error


def way_between(source: CRS | str, target: CRS | str) -> Transformer:
    """From one CRS to another, x before y; points beyond what the target can show come out infinite.

    Raises:
        DataError: no way is known, as between the Earth and the Moon.
    """
    try:
        return Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise DataError(
            f"No way is known from the CRS {_short(source)} to {_short(target)}. Check both; crs = ... overrides that "
            "of a source."
        ) from error


def bounds_between(source: CRS | str, target: CRS | str, bounds: Bounds) -> Bounds:
    """The box of a box in another CRS; infinite where a part of it lies beyond what that CRS can show.

    Raises:
        DataError: no way from one to the other is known.
    """
    if source == target:
        return bounds
    xmin, ymin, xmax, ymax = way_between(source, target).transform_bounds(*bounds, densify_pts=21)
    return xmin, ymin, xmax, ymax


def _short(crs: Any) -> str:
    return (crs.to_string() if isinstance(crs, CRS) else crs)[:60]
