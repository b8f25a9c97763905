"""Which operation takes a source to the datum of the grid, how good it is, and when that is worth a warning."""

from __future__ import annotations

import re

import pytest
from affine import Affine
from pyproj import CRS, Geod, Transformer
from rasterio.crs import CRS as RasterCRS

from mpmjax.errors import DataError
from mpmjax.evidence.checks.datum import DatumChange, crs_words, datum_change, datum_findings
from mpmjax.evidence.remarks import sentences
from mpmjax.types import Grid


def grid(crs: str, lon: float, lat: float, cell: float = 250.0) -> Grid:
    """100 x 100 cells around a place."""
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    return Grid(crs, Affine(cell, 0, x - 50 * cell, 0, -cell, y + 50 * cell), 100, 100)


GAWLER, CLONCURRY, MISSOURI = (136.0, -31.0), (140.0, -21.0), (-92.0, 38.0)


@pytest.mark.parametrize(
    ("source", "target", "place"),
    [
        ("EPSG:4283", "EPSG:3577", GAWLER),  # GDA94 both
        ("EPSG:32653", "EPSG:32753", GAWLER),  # WGS 84 both
        ("EPSG:4326", "EPSG:3857", GAWLER),
        (CRS.from_epsg(32754).to_wkt("WKT1_ESRI"), "EPSG:32753", GAWLER),
        (RasterCRS.from_epsg(7845).to_wkt(), "EPSG:7844", CLONCURRY),
        ("EPSG:7844", "EPSG:7845", CLONCURRY),
    ],
)
def test_one_datum_under_two_systems(source: str, target: str, place: tuple[float, float]) -> None:
    there = grid("EPSG:7845" if target == "EPSG:7844" else target, *place)
    assert datum_change(source, there) is None
    assert datum_findings({"layer 'a'": source}, there) == ([], [])


def test_the_operation_is_that_of_proj() -> None:
    found = datum_change("EPSG:4283", grid("EPSG:32753", *GAWLER))
    assert found is not None
    assert (found.source, found.target, found.operation) == ("GDA94", "WGS 84", "GDA94 to WGS 84 (1)")
    assert (found.accuracy, found.ballpark) == (3.0, False)
    assert datum_change(CRS.from_epsg(4283).to_wkt(), grid("EPSG:32753", *GAWLER)) == found
    assert datum_change(RasterCRS.from_epsg(4283).to_wkt(), grid("EPSG:32753", *GAWLER)) == found


def test_a_few_metres_are_a_fact_and_no_warning() -> None:
    lines, remarks = datum_findings({"layer 'a'": "EPSG:4283", "mask": "EPSG:4283"}, grid("EPSG:32753", *GAWLER))
    assert lines == ["datum: GDA94 to WGS 84 by 'GDA94 to WGS 84 (1)', good to 3 m: layer 'a' and mask"]
    assert remarks == []
    assert datum_findings({"layer 'a'": "EPSG:4326"}, grid("EPSG:26915", *MISSOURI, 5000.0))[1] == []


def test_worse_than_half_a_cell() -> None:
    lines, remarks = datum_findings({"layer 'a'": "EPSG:4283"}, grid("EPSG:32753", *GAWLER, 5.0))
    assert len(lines) == 1
    (told,) = sentences(remarks)
    assert told.startswith(
        "layer 'a': from GDA94 to WGS 84 by 'GDA94 to WGS 84 (1)', good to 3 m only, with cells of 5 m"
    )


def test_a_ballpark_operation() -> None:
    """AGD66 lies about 200 m off GDA2020; PROJ without grid files leaves the coordinates as they are."""
    there = grid("EPSG:7845", *CLONCURRY, 100.0)
    found = datum_change("EPSG:4202", there)
    assert found is not None
    if not found.ballpark:
        pytest.skip(f"this PROJ knows an operation: {found.operation}")
    assert found.accuracy is None
    (told,) = sentences(datum_findings({"layer 'a'": "EPSG:4202", "layer 'b'": "EPSG:4202"}, there)[1])
    assert told.startswith("layers 'a', 'b': PROJ knows no operation from AGD66 to GDA2020 here")
    way = Transformer.from_crs("EPSG:4202", "EPSG:7844", always_xy=True)
    _, _, metres = Geod(ellps="GRS80").inv(*CLONCURRY, *way.transform(*CLONCURRY))
    assert metres < 1.0, "what is said of PROJ is so"


def test_a_grid_file_that_would_do_better() -> None:
    system = {"layer 'a'": "EPSG:4267"}  # NAD27; the grid files are not part of PROJ's wheels
    fine, coarse = (grid("EPSG:32615", *MISSOURI, cell) for cell in (30.0, 1000.0))
    found = datum_change("EPSG:4267", fine)
    assert found is not None
    if found.better_accuracy is None:
        pytest.skip("PROJ's grid files are installed here")
    assert found.accuracy is not None
    assert found.better_accuracy < found.accuracy
    (told,) = sentences(datum_findings(system, fine)[1])
    assert f"Install {found.files[0]}" in told
    assert found.files[0].endswith(".tif")
    lines, remarks = datum_findings(system, coarse)
    assert remarks == []
    assert re.search(r"good to [\d.]+ m \([\d.]+ m with [\w., ]+\.tif\)", lines[0])


def test_an_unknown_spheroid_and_another_planet() -> None:
    there = grid("EPSG:32650", 115.0, 27.0)
    found = datum_change("+proj=longlat +a=6378245 +rf=298.3", there)
    assert found is not None
    assert found.ballpark
    with pytest.raises(DataError, match="No way is known"):
        datum_change("IAU_2015:30100", there)


def test_systems_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from mpmjax.evidence.checks import datum

    asked: list[str] = []

    def counted(crs: str, there: Grid) -> DatumChange | None:
        asked.append(crs)
        return datum_change(crs, there)

    monkeypatch.setattr(datum, "datum_change", counted)
    datum_findings({f"layer '{i}'": "EPSG:4283" for i in range(40)}, grid("EPSG:32753", *GAWLER))
    assert asked == ["EPSG:4283"]


def test_words_for_systems() -> None:
    assert crs_words(CRS.from_epsg(3577).to_wkt()) == "EPSG:3577"
    assert crs_words("+proj=laea +lat_0=-31 +lon_0=136 +datum=WGS84 +units=m") == "unknown"
