"""Which metric CRS a geologist would choose for an area: its UTM zone, else an equal-area CRS from PROJ's database.

The choice depends on the area, the datum of the source and the version of the database, and on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyproj
from pyproj.aoi import AreaOfInterest
from pyproj.database import CRSInfo, query_crs_info
from pyproj.enums import PJType

from mpmjax.evidence.grid.area import stretch

Extent = tuple[float, float, float, float]
"""(west, south, east, north) in degrees; west > east across the 180th meridian."""

MOST_STRETCH = 0.04
"""An equal-area CRS for a continent keeps areas by stretching lengths: Australian Albers by 3.9 % at 10 deg. S."""
_FAIR = 0.02
_EQUAL_AREA = ("Albers Equal Area", "Lambert Azimuthal Equal Area", "Lambert Cylindrical Equal Area", "Equal Earth")
_MARGIN = 0.02
"""Share of an extent by which rasters go over the edge of a country on either side."""
_OVER_EDGE = 0.5
"""Degrees by which maps go over the edge of their UTM zone before another CRS is worth its trouble."""


@dataclass(frozen=True)
class Proposal:
    """A CRS as it is written in a project file, and what it is called."""

    crs: str
    name: str

    def __str__(self) -> str:
        return f'crs = "{self.crs}" ({self.name})'

    def lines(self, resolution: float) -> str:
        """The section [grid] of a project file, ready to be copied; resolution in metres."""
        return f'[grid]\ncrs = "{self.crs}"  # {self.name}\nresolution = {resolution}'


def propose(extent: Extent, source: pyproj.CRS | None = None) -> Proposal | None:
    """The UTM zone of an area where it lies in one, else an equal-area CRS; on the datum of `source` if there is one.

    None where the area is too large for any: lengths would be wrong by more than 10 %.
    """
    if not in_one_zone(extent):
        return propose_equal_area(extent, source)
    west, south, east, north = _unrolled(extent)
    return _utm((west + east) / 2, (south + north) / 2, source)


def in_one_zone(extent: Extent) -> bool:
    """Whether an area lies in one UTM zone, or goes no more than half a degree over its edges."""
    west, south, east, north = _unrolled(extent)
    centre = math.floor((west + east) / 2 / 6) * 6 + 3.0
    reach = 3.0 + _OVER_EDGE
    return west >= centre - reach and east <= centre + reach and south >= -80.0 and north <= 84.0


def propose_equal_area(extent: Extent, source: pyproj.CRS | None = None) -> Proposal | None:
    """The equal-area CRS with the smallest area of use that holds the extent, else one made for it, else None.

    Left out are those that stretch lengths there by more than 2 % and by more than twice what one made for it does, as
    those of another part of a continent do, and any by more than 4 %.

    Of those with the smallest area of use, to a hundredth, one on the datum of `source` comes first, then one on a
    datum of the satellite age, then the smaller area and the lower code.
    """
    found = [info for info in _candidates(extent) if info.projection_method_name in _EQUAL_AREA]
    made = _made_for(extent)
    fair = MOST_STRETCH if made is None else min(MOST_STRETCH, max(_FAIR, 2 * most_stretch(made.crs, extent)))
    found = [info for info in found if _metric(_crs(info)) and most_stretch(_code(info), extent) <= fair]
    if not found:
        return made
    limit, own = 1.01 * min(map(_size, found)), _datum(source)

    def order(info: CRSInfo) -> tuple[bool, bool, float, int]:
        crs = _crs(info)
        modern = crs.ellipsoid is not None and crs.ellipsoid.semi_major_metre == 6_378_137.0
        return own is None or _datum(crs) != own, not modern, round(_size(info), 6), int(info.code)

    best = min((info for info in found if _size(info) <= limit), key=order)
    return Proposal(_code(best), f"{best.name}, equal-area")


def utm_zone(lon: float, lat: float) -> str:
    """The WGS 84 UTM zone of a point, as 'EPSG:326xx' or 'EPSG:327xx'."""
    zone = int((lon + 180.0) % 360.0 // 6) + 1
    return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"


def most_stretch(crs: str, extent: Extent) -> float:
    """By how much a CRS changes lengths in an area at most, as a share; infinite where it does not show all of it."""
    west, south, east, north = _unrolled(extent)
    lon, lat = np.meshgrid(np.linspace(west, east, 9), np.linspace(south, north, 9))
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon.ravel(), lat.ravel())
    ground = stretch(crs, np.asarray(x), np.asarray(y))
    if not (np.isfinite(ground.longest).all() and (ground.shortest > 0).all()):
        return math.inf
    return float(max((1 / ground.shortest - 1).max(), (1 - 1 / ground.longest).max()))


def _utm(lon: float, lat: float, source: pyproj.CRS | None) -> Proposal:
    """The UTM zone of a place, on the datum of the source where that has one (MGA in Australia), else WGS 84."""
    lon = (lon + 180.0) % 360.0 - 180.0
    centre = math.floor(lon / 6) * 6 + 3.0
    wanted = {
        "Longitude of natural origin": centre,
        "Scale factor at natural origin": 0.9996,
        "False easting": 500_000.0,
        "False northing": 0.0 if lat >= 0 else 10_000_000.0,
    }
    geodetic = None if source is None else _geodetic(source)
    own = [
        info
        for info in _candidates((lon, lat, lon, lat))
        if info.projection_method_name == "Transverse Mercator"
        and geodetic is not None
        and info.name.startswith(f"{geodetic.name} / ")
    ]
    for info in sorted(own, key=lambda info: int(info.code)):
        crs = _crs(info)
        operation = crs.coordinate_operation
        stated = {p.name: p.value for p in operation.params} if operation is not None else {}
        if _metric(crs) and crs.axis_info[0].direction == "east" and wanted.items() <= stated.items():
            return Proposal(_code(info), info.name)
    code = utm_zone(lon, lat)
    return Proposal(code, pyproj.CRS(code).name)


def _made_for(extent: Extent) -> Proposal | None:
    """A Lambert azimuthal equal-area CRS around the middle of an area, or None where that is no good either."""
    west, south, east, north = _unrolled(extent)
    lon, lat = ((west + east) / 2 + 180.0) % 360.0 - 180.0, (south + north) / 2
    if east - west >= 180.0 and south * north > 0:  # around a pole
        lon, lat = 0.0, math.copysign(90.0, lat)
    text = f"+proj=laea +lat_0={lat:.4g} +lon_0={lon:.4g} +datum=WGS84 +units=m"
    if most_stretch(text, extent) > 0.1:
        return None
    return Proposal(text, "Lambert azimuthal equal-area around its middle")


def _candidates(extent: Extent) -> Iterator[CRSInfo]:
    """Projected CRSs of EPSG, none deprecated, whose area of use holds an extent but for a narrow margin."""
    west, south, east, north = _unrolled(extent)
    across, up = _MARGIN * (east - west), _MARGIN * (north - south)
    if east - west < 360.0:
        west, east = ((lon + 180.0) % 360.0 - 180.0 for lon in (west + across, east - across))
    area = AreaOfInterest(west, south + up, east, north - up)
    for info in query_crs_info("EPSG", PJType.PROJECTED_CRS, area_of_interest=area, contains=True):
        if not info.deprecated and info.area_of_use is not None:
            yield info


def _size(info: CRSInfo) -> float:
    """Area of use on the unit sphere."""
    west, south, east, north = info.area_of_use[:4]  # pyright: ignore[reportOptionalSubscript]
    heights = math.sin(math.radians(north)) - math.sin(math.radians(south))
    return math.radians(_width((west, south, east, north))) * heights


def _unrolled(extent: Extent) -> Extent:
    """With west <= east, whatever meridian lies between."""
    west, south, _, north = extent
    return west, south, west + _width(extent), north


def _width(extent: Extent) -> float:
    west, _, east, _ = extent
    return east - west if east >= west else east - west + 360.0


def _code(info: CRSInfo) -> str:
    return f"EPSG:{info.code}"


def _crs(info: CRSInfo) -> pyproj.CRS:
    return pyproj.CRS.from_epsg(info.code)


def _metric(crs: pyproj.CRS) -> bool:
    return len(crs.axis_info) >= 2 and all(axis.unit_conversion_factor == 1.0 for axis in crs.axis_info[:2])


def _geodetic(crs: pyproj.CRS) -> pyproj.CRS | None:
    """The geographic CRS below a CRS, as EPSG names it where it is known there."""
    geodetic = crs.geodetic_crs
    code = None if geodetic is None else geodetic.to_epsg()
    return geodetic if code is None else pyproj.CRS.from_epsg(code)


def _datum(crs: pyproj.CRS | None) -> str | None:
    geodetic = None if crs is None else _geodetic(crs)
    return None if geodetic is None or geodetic.datum is None else geodetic.datum.name
