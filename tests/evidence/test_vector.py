"""Vector sources: what is read, what is refused with which words, and the distance on a grid."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.features import rasterize
from scipy import ndimage
from shapely.geometry import LineString, Point, Polygon
from tolerances import DISTANCE, assert_close

from mpmjax.errors import DataError, DiskError
from mpmjax.evidence.vector import read_features, vector_distance
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


def distance_to(path: Path, out: Path, search_distance: float = 0.0, **options: str) -> np.ndarray:
    vector_distance(path, GRID, out, search_distance=search_distance, name="faults", scratch=out.parent, **options)
    with rasterio.open(out) as dataset:
        return dataset.read(1)


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
        vector_distance(path, GRID, tmp_path / "d.tif", search_distance=500.0, name="far", scratch=tmp_path)
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


def test_distance_is_exact_and_the_file_as_promised(tmp_path: Path) -> None:
    lines = [LineString([at(10.5, 20.5), at(90.5, 70.5)]), at(115.2, 3.7), BOWTIE]
    path, out = save(tmp_path / "faults.gpkg", lines), tmp_path / "faults.tif"
    result = distance_to(path, out, 300.0)
    burnt = rasterize(lines, out_shape=GRID.shape, transform=GRID.transform, all_touched=True)
    assert_close(result, ndimage.distance_transform_edt(burnt == 0, sampling=(40.0, 50.0)), DISTANCE)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["faults.gpkg", "faults.tif"]
    with rasterio.open(out) as dataset:
        assert (dataset.shape, dataset.transform, dataset.crs) == (GRID.shape, GRID.transform, GRID.crs)
        assert dataset.dtypes == ("float32",)
        assert dataset.nodata is None
        assert dataset.block_shapes == [(256, 256)]
        assert dataset.compression is rasterio.enums.Compression.zstd
        assert dataset.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "3"
    first = out.read_bytes()
    distance_to(path, out, 300.0)
    assert out.read_bytes() == first


@pytest.mark.parametrize("gap", [1, 700, 1000])
def test_a_feature_beyond_the_edge_counts(tmp_path: Path, gap: int) -> None:
    xmin, ymin, xmax, ymax = GRID.bounds
    beyond = {
        "left": Point(xmin - gap, (ymin + ymax) / 2),
        "right": Point(xmax + gap, (ymin + ymax) / 2),
        "above": Point((xmin + xmax) / 2, ymax + gap),
        "below": Point((xmin + xmax) / 2, ymin - gap),
    }
    cols, rows = np.meshgrid(np.arange(GRID.width), np.arange(GRID.height))
    for side, point in beyond.items():
        result = distance_to(save(tmp_path / f"{side}.gpkg", [point]), tmp_path / "out.tif", 1000.0)
        row, col = GRID.rows_cols(np.array([point.x]), np.array([point.y]))
        assert_close(result, np.hypot((cols - col) * 50.0, (rows - row) * 40.0), DISTANCE)


def test_a_margin_without_features_costs_nothing(tmp_path: Path) -> None:
    """A search distance of a million kilometres: the frame ends where the features do, the values stay the same."""
    shapes = [at(-30.5, 40.2), LineString([at(100, 95), at(140, 60)]), at(60, 45)]
    path = save(tmp_path / "a.gpkg", shapes)
    near, far = (distance_to(path, tmp_path / "d.tif", search) for search in (5_000.0, 1e9))
    np.testing.assert_array_equal(far, near)


def test_a_file_without_features(tmp_path: Path) -> None:
    empty = gpd.GeoDataFrame({"a": []}, geometry=[], crs=GRID.crs)
    empty.to_file(tmp_path / "empty.gpkg")
    with pytest.raises(DataError, match=r"empty.gpkg: the file holds no feature with a geometry"):
        read_features(tmp_path / "empty.gpkg", GRID, name="empty")


def test_cells_that_may_be_nearer_to_something_unseen_are_counted(tmp_path: Path) -> None:
    dot, out = at(60, 45), tmp_path / "d.tif"
    alone = save(tmp_path / "dot.gpkg", [dot])
    path = save(tmp_path / "dots.gpkg", [dot, Point(dot.x + 4_000.0, dot.y)])

    def notes(source: Path, search_distance: float | None) -> list[str]:
        return vector_distance(source, GRID, out, search_distance=search_distance, name="dot", scratch=tmp_path)

    (note,) = notes(path, 0.0)
    assert "of 10800 cells may have a nearer feature" in note
    assert notes(path, 4000.0) == []
    assert notes(alone, 0.0) == [], "the file holds nothing farther out"


def test_by_default_the_search_goes_as_far_as_matters(tmp_path: Path) -> None:
    xmin, ymin, xmax, ymax = GRID.bounds
    outside = [Point(xmax + 130.0, (ymin + ymax) / 2), Point(xmin - 1_000.0, ymax), Point(xmin - 90_000.0, ymax)]
    path = save(tmp_path / "dots.gpkg", [Point(xmin + 5.0, ymin + 5.0), *outside])
    results = []
    for search in (None, 100_000.0):
        notes = vector_distance(path, GRID, tmp_path / "d.tif", search_distance=search, name="dots", scratch=tmp_path)
        assert notes == []
        with rasterio.open(tmp_path / "d.tif") as dataset:
            results.append(dataset.read(1))
    np.testing.assert_array_equal(*results)
    assert results[0][:, -1].min() < 200.0


def test_strips_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one strip, and features across seams: the same values as in one."""
    tall = Grid(GRID.crs, Affine(10.0, 0.0, 400_000.0, 0.0, -10.0, 3_800_000.0), 90, 700)
    lines = [
        LineString([(400_051.3, 3_800_102.7), (400_803.9, 3_792_904.1)]),
        Point(400_401.7, 3_795_003.1).buffer(333.3),
    ]
    path = save(tmp_path / "a.gpkg", lines)
    results = []
    for rows in (256, 10_000):
        monkeypatch.setattr("mpmjax.evidence.vector.STRIP_ROWS", rows)
        vector_distance(path, tall, tmp_path / "d.tif", search_distance=200.0, name="a", scratch=tmp_path)
        with rasterio.open(tmp_path / "d.tif") as dataset:
            results.append(dataset.read(1))
    np.testing.assert_array_equal(*results)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gpkg", [at(1, 1)])
    with pytest.raises(DiskError, match="cannot be written"):
        vector_distance(path, GRID, tmp_path / "missing" / "d.tif", name="a", scratch=tmp_path)


def test_a_file_cut_short_when_it_was_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As GDAL leaves it, without an error, where the disk fills up in the last kilobytes."""
    path, out, rasterio_open = save(tmp_path / "a.gpkg", [at(1, 1)]), tmp_path / "d.tif", rasterio.open

    def open_cut_short(file: Path, *mode: str, **options: object) -> object:
        if not mode:
            os.truncate(file, file.stat().st_size - 100)
        return rasterio_open(file, *mode, **options)

    monkeypatch.setattr(rasterio, "open", open_cut_short)
    with pytest.raises(DiskError, match="cannot be written"):
        vector_distance(path, GRID, out, name="a", scratch=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.gpkg"]


@pytest.fixture
def gawler() -> Path:
    if "MPMJAX_DATA" not in os.environ:
        pytest.skip("MPMJAX_DATA does not name the folder of the real districts")
    folder = Path(os.environ["MPMJAX_DATA"]) / "gawler_vectors"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


def test_real_faults_in_degrees_to_a_metric_grid(gawler: Path, tmp_path: Path) -> None:
    """South Australia, EPSG:4283 -> EPSG:28353, against geopandas, rasterio and scipy in one piece."""
    grid = Grid("EPSG:28353", Affine(250.0, 0.0, 480_000.0, 0.0, -250.0, 6_650_000.0), 500, 620)
    path, pad = gawler / "faults_archaean_mesoproterozoic.shp", 81
    out = tmp_path / "faults.tif"
    vector_distance(path, grid, out, search_distance=20_000.0, name="faults", scratch=tmp_path)
    with rasterio.open(out) as dataset:
        result = dataset.read(1)
    frame = grid.transform @ Affine.translation(-pad, -pad)
    lines = gpd.read_file(path).to_crs(grid.crs).geometry
    lines = lines[lines.intersects(shapely.box(*grid.bounds).buffer(20_000, join_style="mitre"))]
    burnt = rasterize(lines, out_shape=(620 + 2 * pad, 500 + 2 * pad), transform=frame, all_touched=True)
    expected = ndimage.distance_transform_edt(burnt == 0, sampling=250.0)[pad:-pad, pad:-pad]
    assert_close(result, expected, DISTANCE)
    assert result.min() == 0.0


def test_real_intrusions_with_a_broken_ring(gawler: Path) -> None:
    grid = Grid("EPSG:28353", Affine(1000.0, 0.0, 100_000.0, 0.0, -1000.0, 7_000_000.0), 900, 800)
    features = read_features(gawler / "gairdner_dolerite.shp", grid, name="dolerite")
    assert len(features.geometries) > 600
    assert shapely.is_valid(features.geometries).all()
    assert any("1 of" in note and "invalid" in note for note in features.notes)
    chosen = read_features(gawler / "gairdner_dolerite.shp", grid, where="AGE LIKE '%Neoproterozoic%'", name="dolerite")
    assert 0 < len(chosen.geometries) <= len(features.geometries)
