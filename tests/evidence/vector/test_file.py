"""Vector files: which layer, which field, which encoding, and what becomes of awkward geometries."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from districts import write_vector
from pyogrio import raw
from shapely import LineString, Point

from mpmjax.errors import DataError
from mpmjax.evidence.vector.file import Rows, open_vector, read_geometries, read_rows
from mpmjax.evidence.vector.geometry import homogeneous, repaired, short_way, usable

UTM = "EPSG:32639"
POINTS = [Point(1, 1), Point(2, 2), Point(3, 3)]


def rows_of(path: Path, *, layer: str | None = None, **options: object) -> Rows:
    return read_rows(open_vector(path, "layer 'x'", layer=layer), **options)  # pyright: ignore[reportArgumentType]


def labels_of(path: Path, field: str, **options: object) -> list[str]:
    rows = rows_of(path, field=field, **options)
    assert rows.labels is not None
    # FlatGeobuf orders features by place.
    return rows.labels[np.argsort(shapely.get_x(rows.geometries))].tolist()


@pytest.fixture
def atlas(tmp_path: Path) -> Path:
    """Two layers and a table."""
    path = tmp_path / "atlas.gpkg"
    for number, layer in enumerate(("faults", "folds")):
        gpd.GeoDataFrame({"n": [number]}, geometry=[Point(number, 0)], crs=UTM).to_file(path, layer=layer)
    raw.write(path, None, [np.array([1])], ["code"], layer="legend", append=True)
    return path


def test_a_layer_of_several_is_named(atlas: Path) -> None:
    with pytest.raises(DataError, match=r'holds 2 layers \(faults, folds\).*add layer = "\.\.\."'):
        open_vector(atlas, "layer 'x'")
    assert shapely.get_x(rows_of(atlas, layer="folds").geometries).tolist() == [1.0]
    assert labels_of(atlas, "n", layer="faults") == ["0"]
    with pytest.raises(DataError, match=r"layer = 'fault' is not in the file. Its layers are: faults, folds\."):
        open_vector(atlas, "layer 'x'", layer="fault")
    with pytest.raises(DataError, match="layer = 'legend' is a table without geometries"):
        open_vector(atlas, "layer 'x'", layer="legend")


def test_a_file_of_one_layer_has_only_that(tmp_path: Path) -> None:
    path = write_vector(tmp_path / "one.shp", POINTS)
    assert len(rows_of(path, layer="one").geometries) == 3
    with pytest.raises(DataError, match=r"layer = 'two' is not in the file. Its layers are: one\."):
        open_vector(path, "layer 'x'", layer="two")


def test_a_geodatabase_of_two_layers(tmp_path: Path) -> None:
    path = tmp_path / "survey.gdb"
    frame = gpd.GeoDataFrame({"rock": ["tuff", None, "ürgneis"]}, geometry=POINTS, crs=UTM)
    for layer in ("a", "b"):
        frame.to_file(path, layer=layer, driver="OpenFileGDB")
    assert labels_of(path, "rock", layer="b") == ["tuff", "", "ürgneis"]


@pytest.mark.parametrize("suffix", ["gpkg", "shp", "geojson", "fgb"])
def test_labels_are_written_plainly(tmp_path: Path, suffix: str) -> None:
    columns = {
        "whole": [3, 200_000, -1],
        "gap": pd.array([1, None, 30], dtype="Int64"),
        "real": [3.0, 2.5, None],
        "word": ["Gawler Range", None, "güß, Яшма 3.0"],
        "yes": [True, False, True],
        "maybe": pd.array([True, None, False], dtype="boolean"),
    }
    path = write_vector(tmp_path / f"x.{suffix}", POINTS, "EPSG:4326", **columns)
    assert labels_of(path, "whole") == ["3", "200000", "-1"]
    assert labels_of(path, "gap") == ["1", "", "30"]
    assert labels_of(path, "real") == ["3", "2.5", ""]
    assert labels_of(path, "word") == ["Gawler Range", "", "güß, Яшма 3.0"]
    assert labels_of(path, "yes") == ["1", "0", "1"]
    assert labels_of(path, "maybe") == ["1", "", "0"]
    assert labels_of(path, "real", where="whole > 0 AND yes = 1") == ["3"]


def test_labels_of_days(tmp_path: Path) -> None:
    path = tmp_path / "days.geojson"
    features = [
        {"type": "Feature", "properties": {"day": day}, "geometry": {"type": "Point", "coordinates": [i, 0]}}
        for i, day in enumerate(("2020-01-31", None, "1999-12-01"))
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert labels_of(path, "day") == ["2020-01-31", "", "1999-12-01"]


def test_a_field_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    path = write_vector(tmp_path / "x.gpkg", POINTS, rock=["a"] * 3, age=[1] * 3)
    with pytest.raises(DataError, match=r"field = 'rokc' is no attribute of the file. The fields are: rock, age\."):
        rows_of(path, field="rokc")
    bare = write_vector(tmp_path / "bare.shp", POINTS, rock=["a"] * 3)
    for companion in (".dbf", ".cpg"):
        bare.with_suffix(companion).unlink()
    assert len(rows_of(bare).geometries) == 3
    with pytest.raises(DataError, match="The file has no attributes"):
        rows_of(bare, field="rock")


@pytest.mark.parametrize(
    ("encoding", "word", "states"),
    [
        ("UTF-8", "güß", True),
        ("ISO-8859-1", "güß", True),
        ("CP1251", "Яшма", True),
        ("UTF-8", "Яшма", False),
        ("ISO-8859-1", "güß", False),
    ],
)
def test_words_of_shapefiles(tmp_path: Path, encoding: str, word: str, states: bool) -> None:
    """With a .cpg of the encoding, and without one, where it must be found out."""
    path = tmp_path / "words.shp"
    gpd.GeoDataFrame({"rock": ["tuff", word, None]}, geometry=POINTS, crs=UTM).to_file(path, encoding=encoding)
    if not states:
        path.with_suffix(".cpg").unlink()
    assert labels_of(path, "rock") == ["tuff", word, ""]
    assert labels_of(path, "rock", where=f"rock = '{word}'") == [word]


def test_words_that_are_not_what_the_file_states(tmp_path: Path) -> None:
    path = tmp_path / "words.shp"
    gpd.GeoDataFrame({"rock": ["güß"] * 3}, geometry=POINTS, crs=UTM).to_file(path, encoding="ISO-8859-1")
    path.with_suffix(".cpg").write_text("UTF-8")
    with pytest.raises(DataError, match=r"words.shp: cannot be read.*not in the encoding that its .cpg file states"):
        rows_of(path, field="rock")
    assert len(rows_of(path).geometries) == 3


def write_wkt(path: Path, *texts: str) -> Path:
    """Kinds of geometry that shapely cannot write, by ogr2ogr; skips the test without."""
    program = shutil.which("ogr2ogr")
    if program is None:
        pytest.skip("ogr2ogr is not installed")
    table = path.with_suffix(".csv")
    table.write_text("name,WKT\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(texts)))
    options = ["-f", "GPKG", "-a_srs", UTM, "-oo", "KEEP_GEOM_COLUMNS=NO"]
    subprocess.run([program, *options, path, table], check=True, capture_output=True)
    return path


def test_curves_measures_heights_and_surfaces(tmp_path: Path) -> None:
    path = write_wkt(
        tmp_path / "awkward.gpkg",
        "CURVEPOLYGON(CIRCULARSTRING(0 0,1 1,2 0,1 -1,0 0))",
        "COMPOUNDCURVE(CIRCULARSTRING(10 0,11 1,12 0),(12 0,13 3))",
        "LINESTRING ZM (20 0 7 1,21 1 8 2)",
        "LINESTRING M (30 0 1,31 1 2)",
        "GEOMETRYCOLLECTION(POINT(40 0),COMPOUNDCURVE((40 0,41 1)))",
        "TIN(((50 0,51 0,50 1,50 0)))",
        "POINT EMPTY",
        "POINT Z (60 0 5)",
    )
    rows = rows_of(path, field="name")
    assert rows.labels is not None
    assert rows.labels.tolist() == ["0", "1", "2", "3", "7"]
    assert not shapely.has_z(rows.geometries).any()
    assert shapely.area(rows.geometries[0]) == pytest.approx(np.pi, rel=1e-3)
    assert shapely.length(rows.geometries[1]) == pytest.approx(np.pi + np.hypot(1, 3), rel=1e-3)
    assert shapely.get_coordinates(rows.geometries[2:]).tolist() == [[20, 0], [21, 1], [30, 0], [31, 1], [60, 0]]
    (note,) = rows.notes
    assert note.endswith("3 of 8 features have no usable geometry and were left out.")
    assert rows.complete


def test_coordinates_that_are_no_numbers(tmp_path: Path) -> None:
    lines = [LineString([(0, 0), (x, 1), (2, 2)]) for x in (1.0, np.inf)]
    nan = struct.pack("<BII6d", 1, 2, 3, 0, 0, np.nan, 1, 2, 2)
    path = tmp_path / "odd.gpkg"
    wkb = np.array([nan, *shapely.to_wkb(lines)], object)
    raw.write(path, wkb, [np.array(["nan", "sound", "inf"], object)], ["name"], geometry_type="LineString", crs=UTM)
    for boxes in (None, [(0, 0, 9, 9)]):
        rows = rows_of(path, field="name", boxes=boxes)
        assert rows.labels is not None
        assert rows.labels.tolist() == ["sound"]
        assert "2 of 3 features have no usable geometry" in rows.notes[0]
        assert rows.complete


def test_a_feature_in_two_boxes_comes_once_and_in_the_file_s_order(tmp_path: Path) -> None:
    lines = [LineString([(8, 0), (9, 0)]), LineString([(0, 0), (9, 0)]), LineString([(0, 0), (1, 0)]), Point(5, 5)]
    path = write_vector(tmp_path / "x.gpkg", lines, n=[0, 1, 2, 3])
    rows = rows_of(path, field="n", boxes=[(-1, -1, 2, 1), (7, -1, 10, 1)])
    assert rows.labels is not None
    assert rows.labels.tolist() == ["0", "1", "2"]
    assert not rows.complete


def test_ids_that_occur_twice_are_two_features(tmp_path: Path) -> None:
    path = tmp_path / "twice.geojson"
    point = {"type": "Point", "coordinates": [1, 1]}
    features = [{"type": "Feature", "id": 1, "properties": {"n": n}, "geometry": point} for n in range(3)]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    rows = rows_of(path, field="n")
    assert rows.labels is not None
    assert sorted(rows.labels.tolist()) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("text", "becomes", "said"),
    [
        ("LINESTRING (1 1, 1 1)", "POINT (1 1)", "without length"),
        ("POLYGON ((0 0, 1 1, 2 2, 0 0))", "MULTILINESTRING ((0 0, 1 1), (1 1, 2 2))", "without area"),
        ("POLYGON ((1 1, 1 1, 1 1, 1 1))", "POINT (1 1)", "without area"),
        ("POLYGON ((0 0, 2 0, 2 2, 1 2, 1 5, 1 2, 0 2, 0 0))", "POLYGON ((2 2, 2 0, 0 0, 0 2, 1 2, 2 2))", "repaired"),
        (
            "MULTILINESTRING ((1 1, 1 1), (2 2, 3 3))",
            "GEOMETRYCOLLECTION (POINT (1 1), LINESTRING (2 2, 3 3))",
            "repair",
        ),
    ],
)
def test_geometries_that_are_less_than_they_say(text: str, becomes: str, said: str) -> None:
    (after,), (note,) = repaired(np.array([shapely.from_wkt(text)], object), "x")
    assert shapely.equals(after, shapely.from_wkt(becomes))
    assert shapely.is_valid(after)
    assert said in note
    assert "1 of 1 geometries" in note


def test_what_is_valid_is_left_alone(tmp_path: Path) -> None:
    geometries = np.array([Point(0, 0), LineString([(0, 0), (0, 0), (1, 1)]), shapely.box(0, 0, 1, 1)], object)
    after, notes = repaired(geometries, "x")
    assert notes == []
    assert after is geometries
    found, notes = read_geometries(open_vector(write_vector(tmp_path / "x.gpkg", list(geometries)), "layer 'x'"))
    assert notes == []
    assert shapely.equals_exact(found, geometries).all()


def test_collections_are_taken_apart_by_dimension() -> None:
    texts = [
        "POINT (9 9)",
        "GEOMETRYCOLLECTION (POLYGON ((0 0, 1 0, 1 1, 0 0)), POINT (5 5), GEOMETRYCOLLECTION (MULTIPOINT (6 6, 7 7)))",
        "GEOMETRYCOLLECTION (LINESTRING EMPTY, LINESTRING (0 0, 1 1))",
        "MULTIPOINT (1 1, 2 2)",
    ]
    flat, index = homogeneous(shapely.from_wkt(np.array(texts, object)))
    assert index.tolist() == [0, 1, 1, 2, 3]
    assert shapely.to_wkt(flat).tolist() == [
        "POINT (9 9)",
        "MULTIPOINT ((5 5), (6 6), (7 7))",
        "POLYGON ((0 0, 1 0, 1 1, 0 0))",
        "LINESTRING (0 0, 1 1)",
        "MULTIPOINT ((1 1), (2 2))",
    ]


def test_usable() -> None:
    texts = ["POINT (1 1)", "POINT EMPTY", "GEOMETRYCOLLECTION EMPTY", "GEOMETRYCOLLECTION (POINT EMPTY)"]
    geometries = np.append(shapely.from_wkt(np.array(texts, object)), [None])
    assert usable(geometries).tolist() == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("LINESTRING (179.9 -17, -179.9 -17.1)", (179.9, 180.1)),
        ("LINESTRING (-179.9 -17, 179.9 -17.1, -179.8 -17.2)", (-180.1, -179.8)),
        ("MULTILINESTRING ((0 0, 1 1), (179.9 -17, -179.9 -17.1))", (0, 180.1)),
        ("POLYGON ((179.9 0, -179.9 0, -179.9 1, 179.9 1, 179.9 0))", (179.9, 180.1)),
        ("POLYGON ((178 0, -178 0, -178 4, 178 4, 178 0), (-179 1, -178.5 1, -178.5 2, -179 2, -179 1))", (178, 182)),
        ("GEOMETRYCOLLECTION (POINT (0 0), LINESTRING (179 0, -179 0))", (0, 181)),
        ("MULTILINESTRING ((179 0, 180 0), (-180 0, -179 0))", None),
        ("LINESTRING (-180 0, 180 0)", None),
        ("POLYGON ((-180 -89, 180 -89, 180 89, -180 89, -180 -89))", None),
        ("POLYGON ((0 80, 120 80, -120 80, 0 80))", None),
    ],
)
def test_edges_that_jump_take_the_short_way(text: str, bounds: tuple[float, float] | None) -> None:
    """The last encloses a pole: its longitudes go all the way round, and it stays as it is."""
    geometries = np.array([Point(0, 0), shapely.from_wkt(text)], object)
    after, notes = short_way(geometries, 360.0, "x")
    if bounds is None:
        assert after is geometries
        assert notes == []
        return
    assert shapely.bounds(after[1])[[0, 2]] == pytest.approx(bounds)
    assert shapely.get_type_id(after[1]) == shapely.get_type_id(geometries[1])
    assert shapely.is_valid(after[1])
    assert "1 of 2 features have edges from one side of the 180th meridian" in notes[0]


def test_no_warning_reaches_the_user(tmp_path: Path) -> None:
    path = write_vector(tmp_path / "x.shp", POINTS, rock=["a", None, "c"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows_of(path, field="rock", where="rock IS NOT NULL")
