"""The CRS proposed for an area: known answers, and properties that any proposal must have."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmjax.evidence.grid.propose import Extent, most_stretch, propose, propose_equal_area, utm_zone

WGS84 = 4326
SOUTH_AUSTRALIA = (129.0, -37.2, 141.0, -26.3)


@pytest.mark.parametrize(
    ("extent", "datum", "crs"),
    [
        (SOUTH_AUSTRALIA, 4283, "EPSG:3577"),  # GDA94 / Australian Albers
        (SOUTH_AUSTRALIA, 7844, "EPSG:9473"),  # GDA2020 / Australian Albers
        (SOUTH_AUSTRALIA, WGS84, "EPSG:3577"),
        ((113.0, -44.0, 154.0, -10.0), 4283, "EPSG:3577"),  # the continent, a little over its edges
        ((-95.77, 36.0, -89.07, 40.65), WGS84, "EPSG:5070"),  # Missouri: NAD83 / Conus Albers
        ((-95.77, 36.0, -89.07, 40.65), 4267, "EPSG:5069"),  # NAD27
        ((-124.0, 33.0, -115.0, 41.5), WGS84, "EPSG:3310"),  # California has its own
        ((-9.0, 36.0, 3.0, 44.0), 4258, "EPSG:3035"),
        ((166.5, -47.0, 178.5, -34.0), WGS84, "EPSG:9191"),
        ((139.0, -22.0, 142.0, -20.0), 4283, "EPSG:28354"),  # MGA zone 54, the UTM zone of GDA94
        ((139.0, -22.0, 142.0, -20.0), WGS84, "EPSG:32754"),
        ((6.2, 50.0, 9.0, 52.0), 4258, "EPSG:25832"),  # not its twin with northings first
        ((-91.0, 37.0, -90.1, 38.0), 4269, "EPSG:26915"),
        ((47.6, 33.0, 48.6, 34.0), WGS84, "EPSG:32639"),  # a little over the edge of the zone
        ((179.0, -18.0, -179.8, -17.0), WGS84, "EPSG:32760"),
        ((179.8, -18.0, -179.0, -17.0), WGS84, "EPSG:32701"),
        ((44.0, 25.0, 63.5, 40.0), WGS84, "+proj=laea +lat_0=32.5 +lon_0=53.75 +datum=WGS84 +units=m"),  # Iran
        # South China: the CRS of all Asia is centred in Mongolia, and stretches lengths by 2.5 % here.
        ((110.0, 23.0, 117.2, 28.0), WGS84, "+proj=laea +lat_0=25.5 +lon_0=113.6 +datum=WGS84 +units=m"),
        ((177.0, -19.0, -178.0, -16.0), WGS84, "+proj=laea +lat_0=-17.5 +lon_0=179.5 +datum=WGS84 +units=m"),
        ((-180.0, -90.0, 180.0, -65.0), WGS84, "EPSG:6932"),
    ],
)
def test_what_a_geologist_there_would_use(extent: Extent, datum: int, crs: str) -> None:
    found = propose(extent, pyproj.CRS(datum))
    assert found is not None
    assert found.crs == crs


def test_without_a_datum() -> None:
    found = propose((52.0, 33.0, 53.0, 34.0))
    assert found is not None
    assert str(found) == 'crs = "EPSG:32639" (WGS 84 / UTM zone 39N)'
    assert found.lines(60.0) == '[grid]\ncrs = "EPSG:32639"  # WGS 84 / UTM zone 39N\nresolution = 60.0'


def test_the_datum_is_known_from_the_wkt_of_a_shapefile() -> None:
    wkt = pyproj.CRS(4283).to_wkt("WKT1_ESRI")
    assert "GCS_GDA_1994" in wkt
    found = propose((139.0, -22.0, 142.0, -20.0), pyproj.CRS(wkt))
    assert found is not None
    assert found.crs == "EPSG:28354"


@pytest.mark.parametrize("extent", [(-180, -60, 180, 75), (-180, -90, 180, 90), (-20, -35, 150, 70)])
def test_too_large_for_any(extent: Extent) -> None:
    assert propose(extent) is None


@settings(deadline=None, max_examples=15)
@given(
    st.floats(-180, 179.9), st.floats(-88, 86), st.floats(0.01, 25), st.floats(0.01, 20),
    st.sampled_from([4326, 4269, 4283, 4258, 4674]),
)  # fmt: skip
def test_every_proposal_is_metric_and_shows_the_area_well(
    west: float, south: float, width: float, height: float, datum: int
) -> None:
    east, north = west + width, min(south + height, 89.0)
    extent = (west, south, east if east <= 180 else east - 360, north)
    for way in (propose, propose_equal_area):
        found = way(extent, pyproj.CRS(datum))
        assert found is not None
        crs = pyproj.CRS(found.crs)
        assert crs.is_projected
        assert not crs.is_deprecated
        assert [axis.unit_conversion_factor for axis in crs.axis_info[:2]] == [1.0, 1.0]
        stretched = most_stretch(found.crs, extent)
        assert stretched < (0.05 if "equal-area" in found.name else 0.01)
        if "equal-area" in found.name:
            lon, lat = np.linspace(west, east, 5), np.linspace(south, north, 5)
            x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
            projection = pyproj.Proj(crs)
            factors = projection.get_factors(*projection(x, y, inverse=True))
            # To the flattening: PROJ's factors are taken with the latitude of the sphere near the poles.
            assert np.asarray(factors.areal_scale) == pytest.approx(1.0, abs=1e-6)


def test_the_stretch_of_a_utm_zone() -> None:
    """0.9996 in the middle, and 1.00097 at the edges on the equator (Snyder 1987, p. 57)."""
    assert most_stretch("EPSG:32639", (48.0, 0.0, 54.0, 84.0)) == pytest.approx(0.00098, abs=2e-5)
    assert most_stretch("EPSG:32639", (50.9, 0.0, 51.1, 84.0)) == pytest.approx(0.0004, abs=2e-6)
    assert most_stretch("EPSG:32639", (-45.0, 0.0, -35.0, 10.0)) > 1
    assert most_stretch("EPSG:3857", (0.0, 59.9, 1.0, 60.0)) == pytest.approx(1.0, abs=0.01)


def test_the_zone_is_the_one_whose_area_of_use_holds_the_point() -> None:
    for lon in np.arange(-179.5, 180, 7.0):
        for lat in (-79, -33, -0.5, 0.5, 33, 79):
            use = pyproj.CRS(utm_zone(lon, lat)).area_of_use
            assert use is not None
            assert use.west <= lon <= use.east
            assert use.south - 1e-6 <= lat <= use.north + 1e-6
    assert utm_zone(180.0, 1) == utm_zone(-180.0, 1) == "EPSG:32601"
    assert utm_zone(200.0, 1) == utm_zone(-160.0, 1), "longitudes of 0 to 360 are in use"
