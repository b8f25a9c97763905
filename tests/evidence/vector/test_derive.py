"""Sections of a project and files of features -> layers: which features count, what comes back, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from districts import write_vector
from shapes import GRIDS, centres, place, random_shapes, read_layer

from mpmjax.errors import DataError
from mpmjax.evidence.vector.burn import take_apart, touched
from mpmjax.evidence.vector.derive import Derived, derive
from mpmjax.project_layers import LayerSection

GRID = GRIDS["square"]
SCORES = {"granite": 1.0, "basalt": 0.3, "shale": 0.0}
ROLES = {"distance": "distance", "density": "density", "class": "category"}


def section(path: Path, kind: str, **keys: Any) -> LayerSection:
    membership = {"kind": "category", "scores": keys.pop("scores", SCORES)} if kind == "class" else None
    direction = None if kind == "class" else "low" if kind == "distance" else "high"
    own = {"name": "faults", "source": path, "derive": kind, "role": ROLES.get(kind, "index")}
    return LayerSection.model_validate({**own, "direction": direction, "membership": membership, **keys})


def made(path: Path, kind: str, **keys: Any) -> tuple[Derived, np.ndarray]:
    out = path.parent / f"{kind}.tif"
    result = derive(section(path, kind, **keys), path, GRID, out, path.parent)
    with rasterio.open(out) as dataset:
        assert dataset.dtypes == (result.dtype,)
        assert dataset.nodata == result.nodata
    return result, read_layer(out, GRID)


def box(left: float, top: float, right: float, bottom: float) -> shapely.Polygon:
    """By columns and rows."""
    (x0, y0), (x1, y1) = place(GRID, np.array([[left, top], [right, bottom]]))
    return shapely.box(x0, y1, x1, y0)


def write_geology(path: Path) -> Path:
    shapes = [box(0, 0, 20, 37), box(5, 5, 9, 9), box(20, 0, 30, 37), box(100, 0, 110, 9), box(31, 0, 40, 5)]
    return write_vector(
        path, shapes, GRID.crs, rock=["granite", "basalt", "gneiss", "shale", None], area=[1, 2, 3, 4, 5]
    )


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("distance", {}),
        ("distance", {"search_distance": 0.0}),
        ("density", {"radius": 300.0}),
        ("density", {"radius": 300.0, "kernel": "quartic"}),
        ("presence", {}),
        ("buffer", {"radius": 120.0}),
        ("proximity", {"max_distance": 400.0}),
    ],
)
def test_every_derivation_of_lines(tmp_path: Path, kind: str, keys: dict[str, Any]) -> None:
    lines = random_shapes(GRID, np.random.default_rng(6), 20)[1::4]
    path = write_vector(tmp_path / "faults.gpkg", lines, GRID.crs)
    result, values = made(path, kind, **keys)
    assert result.features <= len(lines)
    assert result.codes == {}
    assert np.isfinite(values).all()
    assert values.min() < values.max()
    cells = touched(take_apart(lines, GRID), 0, 0, GRID.shape)
    high = values[cells].mean() > values[~cells].mean()
    assert high == (kind != "distance")
    again, repeated = made(path, kind, **keys)
    assert again == result
    np.testing.assert_array_equal(repeated, values)
    assert not list(tmp_path.glob(".*")), "no temporary file stays"


def test_the_choice_of_features_is_passed_on(tmp_path: Path) -> None:
    """where, layer, crs, azimuth and intersections: the cells are those of the chosen features."""
    (west, east, north, south) = place(GRID, np.array([[3.5, 10.5], [30.5, 10.5], [17.5, 2.5], [17.5, 30.5]]))
    lines = gpd.GeoDataFrame(
        {"kind": ["fault", "dyke"]},
        geometry=[shapely.LineString([west, east]), shapely.LineString([north, south])],
        crs=GRID.crs,
    )
    path = tmp_path / "two.gpkg"
    lines.to_file(path, layer="lines")
    gpd.GeoDataFrame(geometry=[box(0, 0, 3, 3)], crs=GRID.crs).to_file(path, layer="areas")
    (row,) = np.nonzero(made(path, "presence", layer="lines", where="kind = 'fault'")[1].any(axis=1))
    assert row.tolist() == [10]
    (col,) = np.nonzero(made(path, "presence", layer="lines", azimuth=[340.0, 20.0])[1].any(axis=0))
    assert col.tolist() == [17]
    crossing = made(path, "presence", layer="lines", features="intersections")
    assert np.argwhere(crossing[1]).tolist() == [[10, 17]]
    assert crossing[0].features == 1
    assert made(path, "presence", layer="areas")[1].sum() == 16, "its right and lower edges lie in the next cells"
    with pytest.raises(DataError, match="no feature lies on the grid"):
        made(path, "presence", layer="areas", crs="EPSG:32640")


def test_a_density_leaves_out_what_has_no_length(tmp_path: Path) -> None:
    """A line of two equal vertices is a place: it has a distance, but adds nothing to a density of lines."""
    xy = place(GRID, np.array([[2.0, 2.0], [30.0, 20.0], [8.0, 25.0]]))
    line, still = shapely.LineString(xy[:2]), shapely.LineString([xy[2], xy[2]])
    both = write_vector(tmp_path / "both.gpkg", [line, still], GRID.crs)
    alone = write_vector(tmp_path / "alone.gpkg", [line], GRID.crs)
    radius = 3 * max(GRID.cell_size)
    result, cells = made(both, "density", radius=radius)
    assert np.array_equal(cells, made(alone, "density", radius=radius)[1])
    assert any("lines without length" in note for note in result.notes)
    assert not np.array_equal(made(both, "distance")[1], made(alone, "distance")[1])
    nothing = write_vector(tmp_path / "nothing.gpkg", [still], GRID.crs)
    with pytest.raises(DataError, match="has a length or an area"):
        made(nothing, "density", radius=radius)


def test_classes_have_the_codes_of_the_table(tmp_path: Path) -> None:
    result, values = made(write_geology(tmp_path / "geology.gpkg"), "class", field="rock")
    assert (result.dtype, result.nodata, result.features) == ("uint8", 0.0, 4)
    assert result.codes == {"basalt": (1.0,), "granite": (2.0,), "shale": (3.0,)}
    assert (values[5:9, 5:9] == 1).all(), "the smaller polygon lies in the larger one"
    assert (values[0, :20] == 2).all()
    assert (values[:, 20:30] == 4).all()
    assert (values[:5, 31:40] == 4).all()
    assert (values[:, 40:] == 0).all()
    far, unlisted, overlap = result.notes
    assert far.endswith("geology.gpkg: no feature of rock = 'shale' lies on the grid.")
    assert "2 of 4 features on the grid are of classes without a score (none stated, 'gneiss')" in unlisted
    assert "the centres of 16 of 1665 cells" in overlap


def test_classes_that_the_file_does_not_hold_are_told_with_those_it_holds(tmp_path: Path) -> None:
    path = write_geology(tmp_path / "geology.gpkg")
    expected = (
        r"layer 'faults': .*geology.gpkg: no feature has rock = 'Granite', 'talus'\. The classes there are: 'basalt', "
        r"'gneiss', 'granite', 'shale'\. Write the names"
    )
    wrong = {"Granite": 1.0, "talus": 0.2, "shale": 0.1}
    with pytest.raises(DataError, match=expected):
        made(path, "class", field="rock", scores=wrong)
    with pytest.raises(DataError, match=expected):
        made(path, "proximity", field="rock", classes=wrong, max_distance=300.0)
    with pytest.raises(DataError, match=r"field = 'rocks' is no attribute of the file"):
        made(path, "class", field="rocks")
    many = [f"unit {i:02}" for i in range(30)]
    path = write_vector(tmp_path / "many.gpkg", [box(1, 1, 4, 4)] * 30, GRID.crs, unit=many)
    with pytest.raises(DataError, match=r"'unit 00', .*'unit 19' and 10 more\. Write"):
        made(path, "class", field="unit", scores={"unit": 1.0})


def test_proximity_of_classes(tmp_path: Path) -> None:
    middle = centres(GRID)
    ages, places = ["old", "young", "old", "far", "other"], [middle[5, 5], middle[20, 30], middle[30, 3], middle[9, 9]]
    far = shapely.Point(GRID.bounds[0] - 1e5, GRID.bounds[1])
    path = write_vector(tmp_path / "dykes.gpkg", [*places[:3], far, places[3]], GRID.crs, age=ages)
    classes = {"old": 0.4, "young": 1.0, "far": 0.9}
    result, values = made(path, "proximity", field="age", classes=classes, max_distance=777.0)
    assert result.features == 3
    (note,) = result.notes
    assert note.endswith("dykes.gpkg: no feature of age = 'far' lies within 777 m of the grid.")
    rows, cols = np.mgrid[: GRID.height, : GRID.width]
    expected = np.zeros(GRID.shape)
    for score, row, col in ((0.4, 5, 5), (1.0, 20, 30), (0.4, 30, 3)):
        expected = np.maximum(expected, score * np.maximum(0.0, 1.0 - 50.0 * np.hypot(rows - row, cols - col) / 777.0))
    np.testing.assert_allclose(values, expected, rtol=0.0, atol=1e-6)
    assert values.dtype == np.float32


def test_numbers_name_classes_as_well(tmp_path: Path) -> None:
    shapes = [box(0, 0, 9, 9), box(9, 0, 20, 9)]
    path = write_vector(tmp_path / "codes.gpkg", shapes, GRID.crs, code=[12.0, 7.0])
    result, values = made(path, "class", field="code", scores={"7": 0.1, "12": 0.9})
    assert result.codes == {"12": (1.0,), "7": (2.0,)}
    assert (values[0, 0], values[0, 12]) == (1, 2)


def test_a_file_in_degrees(tmp_path: Path) -> None:
    shapes = random_shapes(GRID, np.random.default_rng(9), 12)
    metric = write_vector(tmp_path / "a.gpkg", shapes, GRID.crs)
    degrees = tmp_path / "b.geojson"
    gpd.read_file(metric).to_crs("EPSG:4326").to_file(degrees, driver="GeoJSON", COORDINATE_PRECISION=12)
    expected, found = made(metric, "distance")[1], made(degrees, "distance")[1]
    assert np.abs(found - expected).max() <= math.hypot(*GRID.cell_size), "a cell at an edge may go either side"
    assert (found != expected).mean() < 0.02


@pytest.mark.parametrize(("kind", "keys"), [("buffer", {"radius": 200.0}), ("presence", {}), ("distance", {})])
def test_nothing_near_is_refused(tmp_path: Path, kind: str, keys: dict[str, Any]) -> None:
    path = write_vector(tmp_path / "far.gpkg", [box(100, 100, 110, 110)], GRID.crs)
    with pytest.raises(DataError, match=r"layer 'faults': .*far.gpkg: no feature lies"):
        made(path, kind, **keys)
    assert [file.name for file in tmp_path.iterdir()] == ["far.gpkg"]
