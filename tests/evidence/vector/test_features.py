"""Vector sources: what is read, and what is refused with which words."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Transformer
from shapely.geometry import LineString, Point, Polygon

from mpmjax.errors import DataError
from mpmjax.evidence.vector.features import read_features
from mpmjax.types import Grid

GRID = Grid("EPSG:32639", Affine(50.0, 0.0, 400_000.0, 0.0, -40.0, 3_800_000.0), 120, 90)
"""6,000 m x 3,600 m, cells not square."""

BOWTIE = Polygon([(401_000, 3_797_000), (402_000, 3_798_000), (402_000, 3_797_000), (401_000, 3_798_000)])


def save(path: Path, geometries: list, crs: str | None = "EPSG:32639", **columns: list) -> Path:
    frame = gpd.GeoDataFrame(columns, geometry=geometries, crs=crs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        frame.to_file(path)
    return path


def at(col: float, row: float) -> Point:
    """A point in cells of the grid; at(0.5, 0.5) is the centre of the first cell."""
    return Point(GRID.transform @ (col, row))


@pytest.mark.parametrize("suffix", ["gpkg", "shp", "geojson", "fgb"])
def test_where_chooses_in_every_format(tmp_path: Path, suffix: str) -> None:
    places = [at(10, 10), at(20, 20), at(30, 30)]
    crs = "EPSG:4326" if suffix == "geojson" else "EPSG:32639"
    lonlat = gpd.GeoSeries(places, crs="EPSG:32639").to_crs(crs)
    path = save(tmp_path / f"rocks.{suffix}", list(lonlat), crs, rock=["granite", "schist", "granite"], age=[1, 2, 3])
    every = read_features(path, GRID, name="rocks")
    assert len(every.geometries) == 3
    some = read_features(path, GRID, where="rock = 'granite' AND age > 1", name="rocks")
    assert shapely.distance(some.geometries, [places[2]]).max() < 0.02
    assert some.notes == ()


def test_what_cannot_be_used_is_repaired_or_left_out_and_counted(tmp_path: Path) -> None:
    path = save(tmp_path / "mixed.gpkg", [BOWTIE, Point(), None, at(5, 5), LineString()])
    features = read_features(path, GRID, name="mixed")
    assert len(features.geometries) == 2
    assert shapely.is_valid(features.geometries).all()
    assert shapely.area(features.geometries).sum() == pytest.approx(500_000)
    assert any("3 of 5 features have no usable geometry" in note for note in features.notes)
    assert any("1 of 2 geometries were invalid" in note for note in features.notes)


def test_only_what_lies_near_the_grid(tmp_path: Path) -> None:
    xmin, _, _, ymax = GRID.bounds
    lines = [LineString([(xmin - gap, ymax - 100), (xmin - gap, ymax - 900)]) for gap in (-10, 990, 1010)]
    path = save(tmp_path / "lines.gpkg", lines)
    assert len(read_features(path, GRID, name="lines").geometries) == 1
    assert len(read_features(path, GRID, pad=1000.0, name="lines").geometries) == 2


def test_a_straight_edge_of_another_crs_bends(tmp_path: Path) -> None:
    """A parallel from 40 to 60 degrees east is one edge of the source; in UTM it is a curve, 40 km off its chord."""
    to_grid = Transformer.from_crs("EPSG:4326", GRID.crs, always_xy=True)
    lon, lat = Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True).transform(403_000, 3_798_500)
    path = save(tmp_path / "parallel.gpkg", [LineString([(40, lat), (60, lat)])], "EPSG:4326")
    (line,) = read_features(path, GRID, name="parallel").geometries
    assert line.length < 4 * 6000, "what lies far outside is cut off"
    for step in np.linspace(lon - 0.03, lon + 0.03, 7):
        assert line.distance(Point(to_grid.transform(step, lat))) < 0.5


def test_a_feature_that_cannot_be_projected_whole(tmp_path: Path) -> None:
    """A polygon round the whole Earth reaches where the grid's projection does not."""
    path = save(tmp_path / "sea.gpkg", [shapely.box(-180, -89, 180, 89), Point(51.9, 34.3)], "EPSG:4326")
    (sea,) = read_features(path, GRID, name="sea").geometries
    assert sea.contains(shapely.box(*GRID.bounds))


def test_the_crs_of_the_project_overrides(tmp_path: Path) -> None:
    path = save(tmp_path / "bare.shp", [at(60, 45)], None)
    with pytest.raises(DataError, match=r'bare.shp: the file states no CRS.*crs = "EPSG:\.\.\."'):
        read_features(path, GRID, name="bare")
    (point,) = read_features(path, GRID, crs="EPSG:32639", name="bare").geometries
    assert point == at(60, 45)
    wrong = save(tmp_path / "wrong.gpkg", [at(60, 45)], "EPSG:32640")
    with pytest.raises(DataError, match="no feature lies on the grid"):
        read_features(wrong, GRID, name="wrong")
    assert len(read_features(wrong, GRID, crs="EPSG:32639", name="wrong").geometries) == 1
    with pytest.raises(DataError, match='crs = "EPSG:banana" is no known CRS'):
        read_features(path, GRID, crs="EPSG:banana", name="bare")


@pytest.mark.parametrize("suffix", ["gpkg", "shp"])
@pytest.mark.parametrize(
    ("where", "said"),
    [("rokc = 'a'", "cannot be used"), ("rock = = 'a'", "cannot be used"), ("rock = 'b'", "selects no")],
)
def test_a_filter_that_is_wrong_names_the_fields(tmp_path: Path, suffix: str, where: str, said: str) -> None:
    path = save(tmp_path / f"rocks.{suffix}", [at(1, 1)], rock=["a"], age=[1])
    with pytest.raises(DataError, match=rf"layer 'rocks': .*rocks.{suffix}: where = .*{said}.*rock, age"):
        read_features(path, GRID, where=where, name="rocks")


def test_nothing_near_tells_both_extents(tmp_path: Path) -> None:
    path = save(tmp_path / "far.gpkg", [Point(52.5, 35.0)], "EPSG:4326", rock=["a"])
    with pytest.raises(
        DataError, match=r"no feature lies within 500 m of the grid.*x 636\d\d\d to .*grid x 400000 to 406000"
    ):
        read_features(path, GRID, pad=500.0, name="far")
    with pytest.raises(DataError, match="no feature with rock = 'a' lies on the grid"):
        read_features(path, GRID, where="rock = 'a'", name="far")


@pytest.mark.parametrize(
    "path",
    ["/vsicurl/http://127.0.0.1:9/a.gpkg", "http://127.0.0.1:9/a.gpkg", "/vsizip/a.zip/a.shp", "s3://bucket/a.fgb"],
)
def test_no_network(path: str) -> None:
    with pytest.raises(DataError, match="only local files are read"):
        read_features(Path(path), GRID, name="remote")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vrt.gpkg", b"<OGRVRTDataSource><OGRVRTLayer name='a'/></OGRVRTDataSource>"),
        ("wfs.json", b"<OGRWFSDataSource><URL>http://127.0.0.1:9/wfs</URL></OGRWFSDataSource>"),
        ("faults.gml", b"<gml/>"),
        ("empty.shp", b""),
        ("text.geojson", b"no JSON at all"),
        ("object.geojson", b'{"type": "nothing known"}'),
        ("damaged.gpkg", b"SQLite format 3\0" + bytes(4000)),
        ("damaged.shp", b"\x00\x00\x27\x0a" + bytes(20)),
        ("damaged.fgb", b"fgb\x03fgb\x00" + bytes(20)),
    ],
)
def test_disguises_and_damage_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        read_features(tmp_path / name, GRID, name="strange")


def test_a_pipeline_in_json_is_not_run(tmp_path: Path) -> None:
    source = save(tmp_path / "source.gpkg", [at(1, 1)])
    command = f"gdal vector pipeline ! read {source} ! write --output-format stream streamed_dataset"
    for name in ("run.json", "run.geojson", "run.gdalg.json"):
        path = tmp_path / name
        path.write_text(f'{{"type": "gdal_streamed_alg", "command_line": "{command}"}}')
        with pytest.raises(DataError, match="cannot be read"):
            read_features(path, GRID, name="strange")


def test_which_file_and_which_layer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"layer 'faults': .*none.gpkg: no such file"):
        read_features(tmp_path / "none.gpkg", GRID, name="faults")
    for layer in ("faults", "folds"):
        gpd.GeoDataFrame(geometry=[at(1, 1)], crs=GRID.crs).to_file(tmp_path / "two.gpkg", layer=layer)
    with pytest.raises(DataError, match=r"holds 2 layers \(faults, folds\)"):
        read_features(tmp_path / "two.gpkg", GRID, name="faults")


def test_a_file_without_features(tmp_path: Path) -> None:
    empty = gpd.GeoDataFrame({"a": []}, geometry=[], crs=GRID.crs)
    empty.to_file(tmp_path / "empty.gpkg")
    with pytest.raises(DataError, match=r"empty.gpkg: the file holds no feature with a geometry"):
        read_features(tmp_path / "empty.gpkg", GRID, name="empty")


@pytest.fixture
def gawler() -> Path:
    if "MPMJAX_DATA" not in os.environ:
        pytest.skip("MPMJAX_DATA does not name the folder of the real districts")
    folder = Path(os.environ["MPMJAX_DATA"]) / "gawler_vectors"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


def test_real_intrusions_with_a_broken_ring(gawler: Path) -> None:
    grid = Grid("EPSG:28353", Affine(1000.0, 0.0, 100_000.0, 0.0, -1000.0, 7_000_000.0), 900, 800)
    features = read_features(gawler / "gairdner_dolerite.shp", grid, name="dolerite")
    assert len(features.geometries) > 600
    assert shapely.is_valid(features.geometries).all()
    assert any("1 of" in note and "invalid" in note for note in features.notes)
    chosen = read_features(gawler / "gairdner_dolerite.shp", grid, where="AGE LIKE '%Neoproterozoic%'", name="dolerite")
    assert 0 < len(chosen.geometries) <= len(features.geometries)
