"""Known occurrences: the same cells from every kind of file, and what is said when there are none."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely.geometry import LineString, MultiPoint, Point, box

from mpmjax.errors import DataError
from mpmjax.evidence.points import read_occurrences
from mpmjax.types import Grid, Occurrences

GRID = Grid("EPSG:32639", Affine(50.0, 0.0, 400_000.0, 0.0, -40.0, 3_800_000.0), 120, 90)
CELLS = [(3, 7), (3, 90), (44, 0), (89, 119)]
"""Row and column of the cells that most tests plant, row-major."""


def place(row: float, col: float) -> tuple[float, float]:
    """x and y of a point in cells of the grid; place(0.5, 0.5) is the centre of the first cell."""
    x, y = GRID.transform @ (col, row)
    return x, y


CENTRES = [place(row + 0.5, col + 0.5) for row, col in CELLS]


def cells(occurrences: Occurrences) -> list[tuple[int, int]]:
    assert occurrences.rows.dtype == occurrences.cols.dtype == np.int64
    return list(zip(occurrences.rows.tolist(), occurrences.cols.tolist(), strict=True))


def save(path: Path, geometries: list, crs: str = "EPSG:32639", **columns: list) -> Path:
    gpd.GeoDataFrame(columns, geometry=geometries, crs=crs).to_file(path)
    return path


def save_raster(path: Path, values: np.ndarray, transform: Affine, nodata: float | None, crs: str = GRID.crs) -> Path:
    height, width = values.shape
    with rasterio.open(
        path, "w", "GTiff", width, height, 1, crs, transform, values.dtype.name, nodata, compress="deflate"
    ) as dataset:
        dataset.write(values, 1)
    return path


def save_csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_one_cell_each_in_row_major_order(tmp_path: Path) -> None:
    doubled = [*CENTRES[::-1], place(3.1, 7.9), place(3.9, 7.1), place(-0.1, 5), place(5, 120.1)]
    found = read_occurrences(save(tmp_path / "p.gpkg", [Point(xy) for xy in doubled]), GRID)
    assert cells(found) == CELLS
    assert found.points == 8
    assert found.source == str(tmp_path / "p.gpkg")


def test_lines_and_polygons_by_a_point_on_them(tmp_path: Path) -> None:
    ring = box(*place(60, 10), *place(40, 30)).difference(box(*place(58, 12), *place(42, 28)))
    shapes = [LineString([place(20.5, 50.2), place(20.5, 50.8)]), MultiPoint(CENTRES[:2]), ring]
    found = read_occurrences(save(tmp_path / "p.gpkg", shapes), GRID)
    assert found.points == 4
    assert cells(found)[:3] == [(3, 7), (3, 90), (20, 50)]
    row, col = cells(found)[3]
    assert ring.intersects(Point(place(row + 0.5, col + 0.5)).buffer(1)), "inside the ring, not in its hole"


def test_vector_files_of_another_crs_and_a_filter(tmp_path: Path) -> None:
    lonlat = gpd.GeoSeries([Point(xy) for xy in CENTRES], crs=GRID.crs).to_crs("EPSG:4326")
    path = save(tmp_path / "p.geojson", list(lonlat), "EPSG:4326", commodity=["Cu", "Cu", "Au", "Cu"])
    assert cells(read_occurrences(path, GRID)) == CELLS
    assert cells(read_occurrences(path, GRID, where="commodity = 'Au'")) == [(44, 0)]
    with pytest.raises(DataError, match=r"selects no feature.*commodity"):
        read_occurrences(path, GRID, where="commodity = 'Ni'")


def test_features_without_a_place_are_counted_in_a_note(tmp_path: Path) -> None:
    path = save(tmp_path / "p.gpkg", [Point(CENTRES[0]), None, Point()])
    found = read_occurrences(path, GRID)
    assert cells(found) == CELLS[:1]
    assert "2 of 3 features have no usable geometry" in " ".join(found.notes)


@pytest.mark.parametrize("header", ["x,y", "X,Y", "id;Easting;Northing", "name\ty\tx"])
def test_csv_in_metres(tmp_path: Path, header: str) -> None:
    separator = next(mark for mark in ",;\t" if mark in header)
    names = header.lower().split(separator)
    lines = []
    for x, y in CENTRES:
        known = {"x": x, "easting": x, "y": y, "northing": y}
        lines.append(separator.join(str(known.get(name, "a b")) for name in names))
    path = save_csv(tmp_path / "p.csv", "\ufeff" + "\r\n".join([header, *lines, ""]))
    assert cells(read_occurrences(path, GRID)) == CELLS
    with pytest.raises(DataError, match="none of its 4 points lies on the grid"):
        read_occurrences(path, GRID, crs="EPSG:32640")


@pytest.mark.parametrize("header", ["lon,lat", "Longitude,LATITUDE", "Long,Lat"])
def test_csv_in_degrees_needs_no_crs(tmp_path: Path, header: str) -> None:
    lonlat = gpd.GeoSeries([Point(xy) for xy in CENTRES], crs=GRID.crs).to_crs("EPSG:4326")
    path = save_csv(tmp_path / "p.csv", "\n".join([header, *(f"{p.x:.7f},{p.y:.7f}" for p in lonlat)]))
    assert cells(read_occurrences(path, GRID)) == CELLS
    assert cells(read_occurrences(path, GRID, crs="EPSG:4258")) == CELLS


def test_csv_with_both_prefers_degrees_unless_a_projected_crs_is_stated(tmp_path: Path) -> None:
    (lonlat,) = gpd.GeoSeries([Point(CENTRES[0])], crs=GRID.crs).to_crs("EPSG:4326")
    x, y = CENTRES[1]
    path = save_csv(tmp_path / "p.csv", f"x,y,lon,lat\n{x},{y},{lonlat.x:.7f},{lonlat.y:.7f}\n")
    assert cells(read_occurrences(path, GRID)) == [CELLS[0]]
    assert cells(read_occurrences(path, GRID, crs="EPSG:32639")) == [CELLS[1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "no columns named lon,lat .*the header is: a, b"),
        ("x,y\n", "has no rows"),
        ("", "has no rows"),
        ("x,y\n1,2\n3,four\n", r"line 3: 'x' and 'y' hold '3' and 'four'"),
        ("x,y\n1,2\n3\n", r"line 3: 'x' and 'y' hold '3' and ''"),
        ("x;y\n400025,5;3799980\n", r"line 2: .*with a point"),
        ("lon,lat\n35.1,51.2\n400000,3799980\n", "line 3: longitude 400000, latitude 3.79998e"),
    ],
)
def test_csv_that_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_occurrences(save_csv(tmp_path / "p.csv", text), GRID)


def test_csv_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(b"x,y\n\xff\xfe\x00")
    with pytest.raises(DataError, match="no CSV in UTF-8"):
        read_occurrences(tmp_path / "p.csv", GRID)
    with pytest.raises(DataError, match="no such file"):
        read_occurrences(tmp_path / "none.csv", GRID)


def test_csv_rows_without_coordinates_are_counted_in_a_note(tmp_path: Path) -> None:
    x, y = CENTRES[0]
    path = save_csv(tmp_path / "p.csv", f'x,y,note\n{x},{y},"two\nlines"\n,,lost\n\n , ,\n')
    found = read_occurrences(path, GRID)
    assert cells(found) == CELLS[:1]
    assert "1 of 2 rows have no coordinates" in " ".join(found.notes)


@pytest.mark.parametrize("nodata", [None, 9])
def test_raster_of_labels(tmp_path: Path, nodata: int | None) -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[tuple(zip(*CELLS, strict=True))] = [1, 2, 1, 3]
    labels[10:20, 10:20] = 9 if nodata is not None else 0
    path = save_raster(tmp_path / "l.tif", labels, GRID.transform, nodata)
    found = read_occurrences(path, GRID)
    assert cells(found) == CELLS
    assert found.points == 4


def test_raster_of_labels_with_nan_in_degrees(tmp_path: Path) -> None:
    """Cells of 0.01 degrees: each counts once, by its centre."""
    labels = np.full((300, 4), np.nan, np.float32)
    labels[280, 2], labels[290, 1], labels[0, 0], labels[5, 1] = 1, 1, 0, 1
    path = save_raster(tmp_path / "l.tif", labels, Affine(0.01, 0, 49.9, 0, -0.01, 37.12), None, "EPSG:4326")
    found = read_occurrences(path, GRID)
    assert found.points == 3
    expected = gpd.GeoSeries([Point(49.925, 34.315), Point(49.915, 34.215)], crs="EPSG:4326").to_crs(GRID.crs)
    rows, cols = GRID.rows_cols(expected.x.to_numpy(), expected.y.to_numpy())
    assert (rows[1] >= 90, rows[0] < 90, cols[0] < 120) == (True, True, True)
    assert cells(found) == [(rows[0], cols[0])]


def test_only_inside_the_mask(tmp_path: Path) -> None:
    path = save(tmp_path / "p.gpkg", [Point(xy) for xy in CENTRES])
    inside = np.zeros(GRID.shape, np.uint8)
    inside[:50, :100] = 1
    mask = save_raster(tmp_path / "m.tif", inside, GRID.transform, None)
    assert cells(read_occurrences(path, GRID, mask=mask)) == CELLS[:3]
    inside[:] = 0
    save_raster(mask, inside, GRID.transform, None)
    with pytest.raises(DataError, match="4 of 4 points lie on the grid, but none inside the mask"):
        read_occurrences(path, GRID, mask=mask)


def test_a_mask_on_a_grid_of_its_own(tmp_path: Path) -> None:
    path = save(tmp_path / "p.gpkg", [Point(xy) for xy in CENTRES])
    # 1 km cells that begin 500 m west of the grid and end in its middle; the row of the third point is nodata.
    inside = np.ones((3, 3), np.int16)
    inside[1] = -1
    mask = save_raster(tmp_path / "m.tif", inside, Affine(1000, 0, 399_500, 0, -1000, 3_800_200), -1)
    assert cells(read_occurrences(path, GRID, mask=mask)) == CELLS[:1]


def test_none_on_the_grid_tells_both_extents(tmp_path: Path) -> None:
    path = save(tmp_path / "p.gpkg", [Point(52.5, 35.0), Point(52.6, 35.0)], "EPSG:4326")
    with pytest.raises(
        DataError, match=r"none of its 2 points .* x 63\d{4} to 64\d{4}, .*grid spans x 400000 to 406000"
    ):
        read_occurrences(path, GRID)
    path = save(tmp_path / "q.gpkg", [Point(0, 95)], "EPSG:4326")
    with pytest.raises(DataError, match="cannot be projected"):
        read_occurrences(path, GRID)


def test_no_points_at_all(tmp_path: Path) -> None:
    path = save_raster(tmp_path / "l.tif", np.zeros((4, 5), np.uint8), GRID.transform, None)
    with pytest.raises(DataError, match=r"l\.tif: the file holds no points"):
        read_occurrences(path, GRID)


@pytest.mark.parametrize("name", ["p.csv", "p.tif"])
def test_where_is_for_vector_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="where = 'a = 1' is for vector files"):
        read_occurrences(tmp_path / name, GRID, where="a = 1")


@pytest.fixture
def data() -> Path:
    if "MPMJAX_DATA" not in os.environ:
        pytest.skip("MPMJAX_DATA does not name the folder of the real districts")
    return Path(os.environ["MPMJAX_DATA"])


def grid_of(path: Path) -> Grid:
    with rasterio.open(path) as dataset:
        return Grid(dataset.crs.to_string(), dataset.transform, dataset.width, dataset.height)


@pytest.mark.parametrize(
    ("source", "like", "mask", "points", "found"),
    [
        ("nanling_li/li_deposits.csv", "nanling_li/study_area.tif", "nanling_li/study_area.tif", 23, 23),
        ("nanling_li/Li_deposits0.tif", "nanling_li/study_area.tif", "nanling_li/study_area.tif", 23, 23),
        ("cloncurry_iocg/IOCG_Deposits.shp", "cloncurry_iocg/Dist2Breccia.tif", None, 258, 252),
        ("missouri_ni/LABEL_ni.tif", Grid("EPSG:26915", Affine(5e3, 0, 2e5, 0, -5e3, 4.55e6), 140, 120), None, 42, 42),
        (
            "gawler_vectors/mines_and_mineral_occurrences_all.shp",
            Grid("EPSG:28353", Affine(100, 0, 3e5, 0, -100, 6.9e6), 6000, 6000),
            None,
            8677,
            2745,
        ),
    ],
)
def test_real_districts(data: Path, source: str, like: str | Grid, mask: str | None, points: int, found: int) -> None:
    if not (data / source).is_file():
        pytest.skip(f"{data / source} is not there")
    grid = like if isinstance(like, Grid) else grid_of(data / like)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        occurrences = read_occurrences(data / source, grid, mask=None if mask is None else data / mask)
    assert (occurrences.points, len(occurrences.rows)) == (points, found)
    assert len(set(cells(occurrences))) == found
