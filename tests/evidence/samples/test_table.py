"""Files of samples as users have them, CSV and GeoPackage."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from pyproj import Transformer
from shapely.geometry import LineString, MultiPoint, Point

from mpmjax.errors import DataError
from mpmjax.evidence.samples.rules import Rules
from mpmjax.evidence.samples.table import Samples, read_samples

UTM = "EPSG:32650"
TILL = """id,x,y,Li,Au,rock
1,500000,3200000,12.5,<5,granite
2,500100,3200000,n.a.,7,shale
3,500200,3200000,< 0.5,>1000,
4,,,3,4,shale
5,500300,3200000,8,-5,shale
5,500300,3200000,10,9,granite
"""


def save(folder: Path, text: str, name: str = "till.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path, columns: tuple[str, ...] = ("Li", "Au"), **options: object) -> Samples:
    options = {"grid_crs": UTM} | options
    return read_samples(path, f"layer 'lithium': {path}", columns=columns, **options)


def refused(path: Path, columns: tuple[str, ...] = ("Li", "Au"), **options: object) -> str:
    with pytest.raises(DataError, match=r"^layer 'lithium': ") as seen:
        read(path, columns, **options)
    return str(seen.value)


def test_a_csv_with_everything(tmp_path):
    got = read(save(tmp_path, TILL), labels=("rock",), rules=Rules(negative="limit", units={"Au": "ppb"}))
    assert got.x.tolist() == [500000, 500100, 500200, 500300]
    assert got.y.tolist() == [3200000] * 4
    assert got.values["Li"] == pytest.approx([12.5, np.nan, 0.25, 9.0], nan_ok=True)
    assert got.values["Au"] == pytest.approx([0.0025, 0.007, 1.0, 0.00575], nan_ok=True)
    assert got.censored["Au"].tolist() == [True, False, True, True]
    assert got.censored["Li"].tolist() == [False, False, True, False]
    assert got.labels["rock"].tolist() == ["granite", "shale", "", "shale"]
    assert got.limits == {"Li": 0.5, "Au": 0.005}
    told = " ".join(got.notes)
    for words in ("1 of 6 rows have no coordinates", "1 of 5 samples lie where another one lies", "1 places differ"):
        assert words in told


@pytest.mark.parametrize("how", ["mean", "first"])
def test_duplicates(tmp_path, how):
    got = read(save(tmp_path, TILL), ("Li",), rules=Rules(duplicates=how))
    assert got.values["Li"][-1] == {"mean": 9.0, "first": 8.0}[how]


def test_duplicates_refused(tmp_path):
    assert "1 of 5 samples lie where another one lies" in refused(
        save(tmp_path, TILL), ("Li",), rules=Rules(duplicates="refuse")
    )


def test_longitudes_come_into_the_grids_crs(tmp_path):
    path = save(tmp_path, "Lon,Lat,Li\n117.1,28.5,3\n117.2,28.6,4\n")
    got = read(path, ("Li",))
    x, y = Transformer.from_crs("EPSG:4326", UTM, always_xy=True).transform([117.1, 117.2], [28.5, 28.6])
    assert got.x == pytest.approx(x)
    assert got.y == pytest.approx(y)


def test_the_crs_of_x_y_may_be_stated(tmp_path):
    path = save(tmp_path, "x,y,Li\n500000,3200000,3\n")
    got = read(path, ("Li",), crs="EPSG:32651")
    x, y = Transformer.from_crs("EPSG:32651", UTM, always_xy=True).transform(500000, 3200000)
    assert (got.x[0], got.y[0]) == pytest.approx((x, y))


def test_decimal_commas_and_semicolons(tmp_path):
    text = "x;y;Li;rock\n500000,5;3200000;1,25;gneiss, grey\n500010,5;3200000;<0,5;\n"
    got = read(save(tmp_path, text), ("Li",), labels=("rock",))
    assert got.x.tolist() == [500000.5, 500010.5]
    assert got.values["Li"].tolist() == [1.25, 0.25]
    assert got.labels["rock"].tolist() == ["gneiss, grey", ""]
    assert any("decimal commas" in note for note in got.notes)


def test_a_table_of_thousands_of_columns(tmp_path):
    names = [f"e{k}" for k in range(3000)]
    rows = [["500000", "3200000", *(str(k) for k in range(3000))], ["500010", "3200000", *(["1"] * 1500)]]
    text = "\n".join(",".join(row) for row in (["x", "y", *names], *rows))
    got = read(save(tmp_path, text), ("e7", "e2999"))
    assert got.values["e7"].tolist() == [7.0, 1.0]
    assert got.values["e2999"] == pytest.approx([2999.0, np.nan], nan_ok=True)  # the second row is shorter


@pytest.mark.parametrize(
    ("wrong", "right"), [("li", "Li"), ("Lithum", "Lithium"), ("Li_ppm", "Li"), ("SiO", "SiO2"), ("Au ", "Au")]
)
def test_a_wrong_column_is_refused_with_the_nearest(tmp_path, wrong, right):
    header = "x,y,Li,Au,SiO2" if right != "Lithium" else "x,y,Lithium,Au,SiO2"
    message = refused(save(tmp_path, f"{header}\n1,2,3,4,5\n"), (wrong,))
    assert f"no column {wrong!r}; did you mean {right!r}?" in message
    assert "The columns: x, y, Li" in message


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("x,y,Li\n", {}, "the table has no rows"),
        ("x,y,Li\n,,3\n", {}, "no row has coordinates"),
        ("a,b,Li\n1,2,3\n", {}, "no columns named lon,lat"),
        ("x,y,Li\n1,2,three\n", {}, "line 2: the column 'Li' holds 'three'"),
        ("x,y,Li\n1,,3\n", {}, "line 2: 'x' and 'y' hold '1' and ''"),
        ("x,y,Li\n<1,2,3\n", {}, "line 2: 'x' and 'y' hold '<1' and '2'"),
        ("lon,lat,Li\n28.5,117.1,3\n", {}, "exchanged"),
        ("x,y,Li,Li\n1,2,3,4\n", {}, "2 columns are named 'Li'"),
        ("x,y,Li\n1,2,\n", {}, "column 'Li' holds no value"),
        ("x,y,Li\n1,2,3\n", {"where": "Li > 2"}, "where = 'Li > 2' is for vector files"),
        ("x,y,Li\n1,2,3\n", {"layer": "till"}, "layer = 'till' is for vector files"),
        ("x,y,Li\n1,2,3\n", {"crs": "EPSG:1"}, "no known CRS"),
        ("lon,lat,Li\n3,-90,3\n", {"grid_crs": "EPSG:2154"}, "none of its 1 samples can be projected"),
    ],
)
def test_what_is_refused(tmp_path, text, options, words):
    assert words in refused(save(tmp_path, text), ("Li",), **options)


def test_a_missing_file(tmp_path):
    assert "no such file" in refused(tmp_path / "none.csv", ("Li",))


def test_places_beyond_the_projection_are_left_out(tmp_path):
    got = read(save(tmp_path, "lon,lat,Li\n3,47,3\n3,-90,4\n"), ("Li",), grid_crs="EPSG:2154")
    assert got.values["Li"].tolist() == [3.0]
    assert any("1 of 2 samples cannot be projected" in note for note in got.notes)


def geopackage(folder: Path, columns: dict[str, list[object]], geometries: list[object], crs: str = UTM) -> Path:
    path = folder / "till.gpkg"
    gpd.GeoDataFrame(columns, geometry=geometries, crs=crs).to_file(path, layer="till")
    return path


def test_a_geopackage_reads_as_the_csv_does(tmp_path):
    columns = {
        "Li": ["12.5", None, "< 0.5", "8", "10"],
        "Au": [5.0, 7.0, np.nan, -5.0, 9.0],
        "n": [1, 2, 3, 4, 5],
        "rock": ["granite", "shale", None, "shale", "granite"],
    }
    places = [500000, 500100, 500200, 500300, 500300]
    path = geopackage(tmp_path, columns, [Point(x, 3200000) for x in places])
    got = read(path, ("Li", "Au", "n"), labels=("rock", "n"), rules=Rules(negative="limit"))
    assert got.x.tolist() == [500000, 500100, 500200, 500300]
    assert got.values["Li"] == pytest.approx([12.5, np.nan, 0.25, 9.0], nan_ok=True)
    assert got.values["Au"] == pytest.approx([5.0, 7.0, np.nan, 5.75], nan_ok=True)
    assert got.values["n"].tolist() == [1.0, 2.0, 3.0, 4.5]
    assert got.labels["rock"].tolist() == ["granite", "shale", "", "shale"]
    assert got.labels["n"].tolist() == ["1", "2", "3", "4"]


def test_a_filter_and_a_crs_of_its_own(tmp_path):
    columns = {"Li": [1.0, 2.0], "rock": ["granite", "shale"]}
    path = geopackage(tmp_path, columns, [Point(117.1, 28.5), Point(117.2, 28.6)], "EPSG:4326")
    got = read(path, ("Li",), where="rock = 'shale'")
    x, y = Transformer.from_crs("EPSG:4326", UTM, always_xy=True).transform(117.2, 28.6)
    assert (got.x[0], got.y[0], got.values["Li"][0]) == pytest.approx((x, y, 2.0))
    assert "no feature" in refused(path, ("Li",), where="rock = 'gneiss'")
    assert "cannot be used" in refused(path, ("Li",), where="rock = = 1")


def test_features_without_a_place_and_features_of_several(tmp_path):
    path = geopackage(tmp_path, {"Li": [1.0, 2.0, 3.0]}, [Point(1, 2), None, MultiPoint([(3, 4), (5, 6)])])
    got = read(path, ("Li",))
    assert got.values["Li"].tolist() == [1.0, 3.0, 3.0]
    assert any("1 of 3 features have no usable point" in note for note in got.notes)


def test_a_geopackage_that_is_refused(tmp_path):
    path = geopackage(tmp_path, {"Li": [1.0]}, [LineString([(0, 0), (1, 1)])])
    assert "feature 1 is a LineString, and samples are points" in refused(path, ("Li",))
    assert "no column 'li'; did you mean 'Li'?" in refused(path, ("li",))
    assert "layer = 'tell' is not in the file" in refused(path, ("Li",), layer="tell")


def test_nothing_stated_changes_nothing(tmp_path):
    """Plain numbers come out as they went in, with no notes."""
    rng = np.random.default_rng(0)
    x, y, li = rng.uniform(4e5, 6e5, 50), rng.uniform(3e6, 4e6, 50), rng.lognormal(size=50)
    rows = "\n".join(f"{a!r},{b!r},{c!r}" for a, b, c in zip(x.tolist(), y.tolist(), li.tolist(), strict=True))
    got = read(save(tmp_path, f"x,y,Li\n{rows}\n"), ("Li",))
    assert np.array_equal(got.x, x)
    assert np.array_equal(got.values["Li"], li)
    assert got.notes == ()
    assert not got.censored["Li"].any()
