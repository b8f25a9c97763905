"""Features near a grid: labels that stay with their geometries, strikes, intersections, and the 180th meridian."""

from __future__ import annotations

import json
import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from districts import write_vector
from pyproj import Transformer
from scipy.spatial import KDTree
from shapely import LineString, MultiLineString, Point, Polygon, affinity

from mpmjax.errors import DataError
from mpmjax.evidence.vector.features import Features, read_features
from mpmjax.types import Grid

UTM = "EPSG:32639"
GRID = Grid(UTM, Affine(50.0, 0.0, 400_000.0, 0.0, -50.0, 3_800_000.0), 120, 100)
"""6,000 m x 5,000 m around (403000, 3797500)."""

CENTRE = (403_000.0, 3_797_500.0)
BOWTIE = Polygon([(401_000, 3_797_000), (402_000, 3_798_000), (402_000, 3_797_000), (401_000, 3_798_000)])


def ray(strike: float, length: float = 1000.0, away: tuple[float, float] = (0.0, 0.0)) -> LineString:
    """A line from the centre of the grid, or from a place beside it, in a direction clockwise from grid north."""
    x, y = CENTRE[0] + away[0], CENTRE[1] + away[1]
    return LineString([(x, y), (x + length * np.sin(np.radians(strike)), y + length * np.cos(np.radians(strike)))])


def near(path: Path, **options: object) -> Features:
    return read_features(path, GRID, name="faults", **options)  # pyright: ignore[reportArgumentType]


def labels_of(features: Features) -> list[str]:
    assert features.labels is not None
    assert len(features.labels) == len(features.geometries)
    return features.labels.tolist()


def coordinates(features: Features) -> np.ndarray:
    return shapely.get_coordinates(features.geometries)


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:32640"])
def test_labels_stay_with_their_geometries(tmp_path: Path, crs: str) -> None:
    """Through a filter, a box, nulls, repairs, collections, lines without length, and what lies outside."""
    far = Point(CENTRE[0] + 90_000, CENTRE[1])
    cross = shapely.GeometryCollection([Point(CENTRE), ray(45), shapely.box(402_000, 3_796_000, 402_100, 3_796_100)])
    long = ray(100, 200_000).segmentize(500)  # or its one edge would be another one in another CRS
    shapes = {
        "far": far, "bow": BOWTIE, "none": None, "cross": cross, "left out": ray(3), "empty": Point(),
        "spot": LineString([CENTRE, CENTRE]), "long": long, "flat": Polygon([CENTRE, CENTRE, CENTRE]), "last": ray(7),
    }  # fmt: skip
    path = tmp_path / "all.gpkg"
    frame = gpd.GeoDataFrame(
        {"name": list(shapes), "n": range(len(shapes))}, geometry=gpd.GeoSeries(list(shapes.values())), crs=UTM
    )
    frame.to_crs(crs).to_file(path)
    found = near(path, field="name", where="name <> 'left out'")
    assert labels_of(found) == ["bow", "cross", "cross", "cross", "spot", "long", "flat", "last"]
    for label, geometry in zip(labels_of(found), found.geometries, strict=True):
        assert shapely.distance(geometry, shapes[label]) < 0.01, label
        own = shapely.make_valid(shapes[label]).buffer(0.5)
        assert shapely.covers(own, shapely.intersection(geometry, shapely.box(*GRID.bounds))), label
    assert found.collapsed is not None
    assert found.collapsed.tolist() == [False, False, False, False, True, False, True, False]
    assert found.measurable.tolist() == found.geometries[~found.collapsed].tolist()
    assert shapely.get_dimensions(found.geometries).tolist() == [2, 0, 1, 2, 0, 1, 0, 1]
    said = " ".join(found.notes)
    assert "1 of 8 geometries were invalid" in said
    assert "2 of 8 geometries are lines without length or polygons without area" in said
    assert "2 of 9 features have no usable geometry" in said
    assert near(path, where="name = 'bow'").labels is None
    assert labels_of(near(path, field="n", where="n > 8")) == ["9"]


def test_complete_says_whether_anything_was_left_beyond(tmp_path: Path) -> None:
    """A hair beyond the area counts as beyond, although the box in the file's CRS is wider."""
    inside, beyond = Point(CENTRE), Point(GRID.bounds[2] + 10.0, CENTRE[1])
    for crs in (UTM, "EPSG:4326"):
        path = tmp_path / f"{crs[5:]}.gpkg"
        gpd.GeoDataFrame({"n": [0, 1, 2]}, geometry=gpd.GeoSeries([inside, beyond, None]), crs=UTM).to_crs(crs).to_file(
            path
        )
        assert not near(path).complete
        assert near(path, pad=20.0).complete
        assert near(path, where="n <> 1").complete, "the filter leaves nothing beyond"


def test_strikes_choose_segments_not_lines(tmp_path: Path) -> None:
    x, y = CENTRE
    bent = LineString([(x, y), (x + 600, y + 600), (x + 1200, y + 600), (x + 1800, y + 1200)])
    path = write_vector(tmp_path / "faults.gpkg", [ray(10), bent, ray(225), ray(130)], UTM, name=["a", "b", "c", "d"])
    north_east = near(path, azimuth=(30, 60), field="name")
    assert labels_of(north_east) == ["b", "c"]
    assert shapely.length(north_east.geometries) == pytest.approx([1200 * np.sqrt(2), 1000])
    assert len(shapely.get_parts(north_east.geometries[0])) == 2
    assert labels_of(near(path, azimuth=(300, 330), field="name")) == ["d"]
    assert labels_of(near(path, azimuth=(350, 10), field="name")) == ["a"]
    assert labels_of(near(path, azimuth=(0, 180), field="name")) == ["a", "b", "c", "d"]
    assert near(path, azimuth=(0, 180)).complete
    with pytest.raises(
        DataError, match=r"no segment of the 4 lines near the grid strikes between 60 and 80 degrees.*between 30 and 60"
    ):
        near(path, azimuth=(60, 80))


@pytest.mark.parametrize("turned", [0.0, 17.0, 90.0, 211.0])
def test_the_strike_turns_with_the_lines(tmp_path: Path, turned: float) -> None:
    rng = np.random.default_rng(1)
    lines = [
        ray(strike, 800, (dx, dy))
        for strike, dx, dy in zip(rng.uniform(0, 360, 40), *rng.normal(0, 500, (2, 40)), strict=True)
    ]
    spun = [affinity.rotate(line, -turned, origin=CENTRE) for line in lines]
    found = [
        labels_of(near(write_vector(tmp_path / f"{i}.gpkg", shapes, UTM, n=range(40)), azimuth=azimuth, field="n"))
        for i, (shapes, azimuth) in enumerate(
            [(lines, (100, 150)), (spun, ((100 + turned) % 360, (150 + turned) % 360))]
        )
    ]
    assert found[0] == found[1]
    assert 5 < len(found[0]) < 20


def test_an_edge_turns_on_the_grid(tmp_path: Path) -> None:
    """A parallel of 20 degrees is one edge. It strikes east where it lies on the grid, not as its chord does."""
    lon, lat = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(*CENTRE)
    wide = write_vector(tmp_path / "wide.gpkg", [LineString([(lon - 1, lat), (lon + 19, lat)])], "EPSG:4326")
    narrow = write_vector(tmp_path / "narrow.gpkg", [LineString([(lon - 0.1, lat), (lon + 0.1, lat)])], "EPSG:4326")
    here = 90.0 + 0.597  # the meridian's convergence 1.05 degrees west of the central one, from PROJ
    for path in (wide, narrow):
        assert near(path, azimuth=(here - 0.05, here + 0.05)).geometries.size == 1
        with pytest.raises(DataError, match="no segment"):
            near(path, azimuth=(here + 3, here + 9))


@pytest.mark.parametrize("wish", [{"azimuth": (0, 90)}, {"intersections": True}])
def test_lines_are_needed(tmp_path: Path, wish: dict) -> None:
    mixed = [ray(45), Point(CENTRE), BOWTIE, ray(135, 500, (0, 100))]
    with pytest.raises(DataError, match=r"is for lines, and near the grid the source holds 1 points and 1 polygons"):
        near(write_vector(tmp_path / "mixed.gpkg", mixed), **wish)
    spots = LineString([CENTRE, CENTRE])
    with pytest.raises(DataError, match="all lines near the grid have length 0"):
        near(write_vector(tmp_path / "spots.gpkg", [spots], UTM), **wish)
    crossing = [ray(45), ray(315, 500, (300, 100)), spots]
    found = near(write_vector(tmp_path / "some.gpkg", crossing, UTM), **wish)
    assert any("1 lines have no length and were left out" in note for note in found.notes)
    assert found.collapsed is None


def test_intersections_are_points_one_a_place(tmp_path: Path) -> None:
    x, y = CENTRE
    shapes = [
        LineString([(x - 500, y), (x + 500, y)]),
        LineString([(x, y - 500), (x, y + 500)]),
        LineString([(x - 500, y - 503), (x + 500, y + 500)]),
        LineString([(x + 500, y), (x + 900, y + 60)]),
        LineString([(x + 700, y + 30), (x + 700, y - 400)]),
        MultiLineString([[(x - 2000, y), (x - 1000, y)], [(x - 1500, y - 9), (x - 1500, y + 9)]]),
        LineString([(x - 90_000, y - 40), (x - 80_000, y + 40)]),
        LineString([(x - 85_000, y - 40), (x - 85_000, y + 40)]),
    ]
    path = write_vector(tmp_path / "faults.gpkg", shapes, UTM, name=list("abcdefgh"))
    found = near(path, intersections=True)
    assert (shapely.get_type_id(found.geometries) == shapely.GeometryType.POINT).all()
    assert found.labels is None
    np.testing.assert_allclose(coordinates(found), [(x - 1500, y), (x, y - 1), (x + 700, y + 30)], atol=1.5)
    assert not found.complete
    assert near(path, intersections=True, pad=100_000.0).complete
    north = near(path, intersections=True, azimuth=(350, 50))
    np.testing.assert_allclose(coordinates(north), [(x, y - 1)], atol=2.5)
    with pytest.raises(DataError, match="field = 'name' names the class of a line"):
        near(path, intersections=True, field="name")
    with pytest.raises(DataError, match="none of the 1 lines near the grid crosses or meets another"):
        near(path, intersections=True, where="name = 'a'")
    beyond = write_vector(tmp_path / "beyond.gpkg", [ray(90, 9_000), ray(91, 9_000, (-50, 100))], UTM)
    with pytest.raises(DataError, match="no intersection of lines lies on the grid"):
        near(beyond, intersections=True)


def test_an_end_on_a_long_edge_meets_it_in_degrees(tmp_path: Path) -> None:
    """The edge bends by 40 m on the grid; the end that was drawn onto it lies on it all the same."""
    lon, lat = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(*CENTRE)
    edge = LineString([(lon - 0.3, lat - 0.2), (lon + 0.4, lat + 0.3)])
    foot = edge.interpolate(0.431, normalized=True)
    assert shapely.distance(edge, foot) < 1e-12
    shapes = [edge, LineString([foot.coords[0], (foot.x + 0.01, foot.y - 0.2)])]
    found = near(write_vector(tmp_path / "faults.gpkg", shapes, "EPSG:4326"), intersections=True)
    place = Transformer.from_crs("EPSG:4326", UTM, always_xy=True).transform(foot.x, foot.y)
    np.testing.assert_allclose(coordinates(found), [place], atol=0.5)


FIJI = (179.6, -17.2)


def fiji_grid(crs: str) -> Grid:
    """100 km x 80 km around a place near Taveuni, on both sides of the 180th meridian."""
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(180.0, FIJI[1])
    return Grid(crs, Affine(500.0, 0.0, round(x) - 50_000.0, 0.0, -500.0, round(y) + 40_000.0), 200, 160)


@pytest.mark.parametrize("crs", ["EPSG:3832", "EPSG:32601", "EPSG:32660", "EPSG:3460"])
@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp"])
def test_both_sides_of_the_180th_meridian(tmp_path: Path, crs: str, suffix: str) -> None:
    grid = fiji_grid(crs)
    places = {"west": (179.9, -17.1), "east": (-179.9, -17.3), "beyond": (180.15, -17.2), "back": (-180.15, -17.0)}
    places |= {"elsewhere": (0.1, -17.2), "far": (-175.0, -17.2)}
    path = write_vector(tmp_path / f"sites.{suffix}", list(map(Point, places.values())), "EPSG:4326", name=list(places))
    found = read_features(path, grid, name="sites", field="name")
    assert labels_of(found) == ["west", "east", "beyond", "back"]
    to_grid = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    wrapped = [((lon + 180) % 360 - 180, lat) for lon, lat in list(places.values())[:4]]
    np.testing.assert_allclose(coordinates(found), [to_grid.transform(*place) for place in wrapped], atol=1e-3)
    assert not found.complete
    assert read_features(path, grid, name="sites", where="name IN ('west', 'back')").complete


@pytest.mark.parametrize("crs", ["EPSG:3832", "EPSG:32601", "EPSG:32660"])
def test_lines_and_polygons_across_the_180th_meridian(tmp_path: Path, crs: str) -> None:
    """Cut at the meridian, drawn on beyond 180, and with an edge that jumps: the same line, the same island."""
    grid = fiji_grid(crs)
    lines = {
        "cut": MultiLineString([[(179.8, -17.2), (180.0, -17.1)], [(-180.0, -17.1), (-179.8, -17.0)]]),
        "on": LineString([(179.8, -17.2), (180.0, -17.1), (180.2, -17.0)]),
        "jumps": LineString([(179.8, -17.2), (-179.8, -17.0)]),
    }
    path = write_vector(tmp_path / "faults.gpkg", list(lines.values()), "EPSG:4326", name=list(lines))
    found = read_features(path, grid, name="faults", field="name")
    assert labels_of(found) == list(lines)
    length = shapely.length(found.geometries)
    assert length[0] == pytest.approx(np.hypot(42_500, 22_150), rel=0.1)
    assert shapely.hausdorff_distance(found.geometries, found.geometries[0]).max() < 10.0
    assert length == pytest.approx([length[0]] * 3, rel=1e-4)
    assert any("1 of 3 features have edges from one side" in note for note in found.notes)
    assert read_features(path, grid, name="faults", azimuth=(50, 75)).geometries.size == 3

    islands = {
        "cut": shapely.MultiPolygon([shapely.box(179.9, -17.4, 180, -17.2), shapely.box(-180, -17.4, -179.9, -17.2)]),
        "jumps": Polygon([(179.9, -17.4), (-179.9, -17.4), (-179.9, -17.2), (179.9, -17.2)]),
        "world": shapely.box(-180, -89, 180, 89),
    }
    path = write_vector(tmp_path / "islands.gpkg", list(islands.values()), "EPSG:4326", name=list(islands))
    found = read_features(path, grid, name="islands", field="name")
    assert labels_of(found) == list(islands)
    assert shapely.is_valid(found.geometries).all()
    area = shapely.area(found.geometries[:2])
    assert area == pytest.approx([area[0]] * 2, rel=1e-4)
    assert shapely.contains(found.geometries[2], shapely.box(*grid.bounds))


def test_a_continuation_across_the_180th_meridian_is_no_intersection(tmp_path: Path) -> None:
    grid = fiji_grid("EPSG:3832")
    shapes = [
        MultiLineString([[(179.8, -17.2), (180.0, -17.1)], [(-180.0, -17.1), (-179.8, -17.0)]]),
        LineString([(-179.9, -17.3), (-179.9, -16.9)]),
        LineString([(180.0, -17.3), (180.0, -17.2)]),
    ]
    path = write_vector(tmp_path / "faults.gpkg", shapes, "EPSG:4326", n=[0, 1, 2])
    found = read_features(path, grid, name="faults", intersections=True)
    place = Transformer.from_crs("EPSG:4326", "EPSG:3832", always_xy=True).transform(-179.9, -17.05)
    np.testing.assert_allclose(coordinates(found), [place], atol=5.0)


def test_files_of_another_zone_or_a_pole_reach_the_grid(tmp_path: Path) -> None:
    """Web Mercator has its ends at the 180th meridian; a grid at a pole has all longitudes."""
    grid = fiji_grid("EPSG:32601")
    lonlat = gpd.GeoSeries([Point(179.9, -17.1), Point(-179.9, -17.3), Point(10, -17.2)], crs="EPSG:4326")
    for crs in ("EPSG:3857", "EPSG:32660", "EPSG:3832"):
        path = write_vector(tmp_path / "sites.gpkg", list(lonlat.iloc[:2].to_crs(crs)), crs)
        found = read_features(path, grid, name="sites")
        expected = shapely.get_coordinates(lonlat.iloc[:2].to_crs(grid.crs).to_numpy())
        np.testing.assert_allclose(coordinates(found), expected, atol=0.01)
    pole = Grid("EPSG:3031", Affine(1000.0, 0.0, -900_000.0, 0.0, -1000.0, 900_000.0), 1800, 1800)
    lonlat = gpd.GeoSeries([Point(lon, -85) for lon in (-180, -179.9, -90, 0, 90, 179.9)], crs="EPSG:4326")
    found = read_features(write_vector(tmp_path / "pole.gpkg", list(lonlat), "EPSG:4326"), pole, name="pole")
    np.testing.assert_allclose(
        coordinates(found), shapely.get_coordinates(lonlat.to_crs(pole.crs).to_numpy()), atol=0.01
    )


def test_a_margin_wider_than_the_map(tmp_path: Path) -> None:
    """Beyond the ends of a projection boxes fold back; what is near must be found all the same."""
    path = write_vector(tmp_path / "sites.gpkg", [Point(20, 30), Point(51, 34), Point(179, -17)], "EPSG:4326")
    world = Grid("EPSG:3857", Affine(1e5, 0.0, -2e7, 0.0, -1e5, 1.5e7), 400, 300)
    for pad in (0.0, 1e6, 1e7):
        assert len(read_features(path, world, pad=pad, name="sites").geometries) == 3
    for crs, (lon, lat) in {"EPSG:32601": (-179.9, -17.0), "EPSG:3832": (179.0, -17.0), UTM: (51.0, 34.3)}.items():
        x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
        grid = Grid(crs, Affine(1000.0, 0.0, round(x) - 1e5, 0.0, -1000.0, round(y) + 1e5), 200, 200)
        for pad in (1e6, 1e7, 2e7, 1e8):
            assert len(read_features(path, grid, pad=pad, name="sites").geometries) >= 1


def test_longitudes_from_0_to_360(tmp_path: Path) -> None:
    """A grid in Chile, a file of the Pacific."""
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32719", always_xy=True).transform(-70.0, -24.0)
    grid = Grid("EPSG:32719", Affine(100.0, 0.0, x - 5000, 0.0, -100.0, y + 5000), 100, 100)
    path = tmp_path / "pacific.geojson"
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [lon, -24.0]}}
        for lon in (290.0, 110.0)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    np.testing.assert_allclose(coordinates(read_features(path, grid, name="pacific")), [(x, y)], atol=0.01)


@pytest.fixture(scope="module")
def gawler() -> Path:
    folder = os.environ.get("MPMJAX_DATA")
    if not folder or not (Path(folder) / "gawler_vectors").is_dir():
        pytest.skip("MPMJAX_DATA is not set or has no gawler_vectors: the real vector files are not at hand")
    return Path(folder) / "gawler_vectors"


SOUTH_AUSTRALIA = {
    "EPSG:3577": Grid("EPSG:3577", Affine(500.0, 0.0, -400_000.0, 0.0, -500.0, -2_600_000.0), 3000, 3200),
    "EPSG:28353": Grid("EPSG:28353", Affine(500.0, 0.0, -300_000.0, 0.0, -500.0, 7_300_000.0), 3000, 3200),
}


@pytest.mark.parametrize("crs", list(SOUTH_AUSTRALIA))
def test_real_files_are_read_whole(gawler: Path, crs: str) -> None:
    grid = SOUTH_AUSTRALIA[crs]
    expected = {"faults_archaean_mesoproterozoic": 9400, "faults_neoproterozoic_ordovician": 5097,
                "gairdner_dolerite": 767, "mines_and_mineral_occurrences_all": 8677}  # fmt: skip
    for stem, count in expected.items():
        found = read_features(gawler / f"{stem}.shp", grid, name=stem)
        assert len(found.geometries) == count
        assert found.complete
        assert found.collapsed is None
        own = gpd.read_file(gawler / f"{stem}.shp").to_crs(crs).geometry
        assert np.abs(shapely.bounds(found.geometries) - shapely.bounds(own.to_numpy())).max() < 2.0
    (note,) = read_features(gawler / "gairdner_dolerite.shp", grid, name="dolerite").notes
    assert "1 of 767 geometries were invalid: repaired" in note


def test_real_labels(gawler: Path) -> None:
    grid = SOUTH_AUSTRALIA["EPSG:3577"]
    for stem, field in (("faults_archaean_mesoproterozoic", "DESCRIPTIO"), ("gairdner_dolerite", "STRATNO")):
        own = gpd.read_file(gawler / f"{stem}.shp")
        found = labels_of(read_features(gawler / f"{stem}.shp", grid, name=stem, field=field))
        assert found == ["" if value is None else str(value) for value in own[field]]
        assert len(set(found)) >= 1
    with pytest.raises(DataError, match=r"field = 'TYPE' is no attribute of the file. The fields are: SYMBOL, DESCRIP"):
        read_features(gawler / "faults_archaean_mesoproterozoic.shp", grid, name="faults", field="TYPE")
    with pytest.raises(DataError, match="The file has no attributes"):
        read_features(gawler / "mines_and_mineral_occurrences_all.shp", grid, name="mines", field="TYPE")


@pytest.mark.parametrize("crs", list(SOUTH_AUSTRALIA))
def test_real_strikes_and_intersections(gawler: Path, crs: str) -> None:
    grid, path = SOUTH_AUSTRALIA[crs], gawler / "faults_neoproterozoic_ordovician.shp"
    total = shapely.length(read_features(path, grid, name="faults").geometries).sum()
    ranges = ((20.3, 50.1), (50.1, 110.7), (110.7, 165.2), (165.2, 200.3))
    shares = [shapely.length(read_features(path, grid, name="faults", azimuth=r).geometries).sum() for r in ranges]
    assert sum(shares) == pytest.approx(total, rel=1e-12)
    assert min(shares) > 0.05 * total
    places = coordinates(read_features(path, grid, name="faults", intersections=True))
    lines = gpd.read_file(path).geometry
    ends, count = np.unique(shapely.get_coordinates(shapely.boundary(lines.to_numpy())), axis=0, return_counts=True)
    threefold = gpd.GeoSeries(shapely.points(ends[count >= 3]), crs=lines.crs).to_crs(crs)
    assert len(threefold) > 500
    nearest = KDTree(places).query(shapely.get_coordinates(threefold.to_numpy()))[0]
    assert nearest.max() < 50.0, "a tenth of a cell, within which places are one"
    assert shapely.distance(shapely.points(places), shapely.union_all(lines.to_crs(crs).to_numpy())).max() < 10.0
    assert 1000 < len(places) < 1400
