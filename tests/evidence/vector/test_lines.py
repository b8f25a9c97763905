"""Strikes of segments and the places where lines meet, against circles drawn round them and turned maps."""

from __future__ import annotations

import math
import os
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree
from shapely import affinity

from mpmjax.evidence.vector import lines

LATTICE = 1e-3
"""Tolerance for lines with whole-numbered vertices up to 12: none passes another vertex nearer than 1/17."""

vertex = st.tuples(st.integers(0, 12), st.integers(0, 12))
network = st.lists(
    st.lists(vertex, min_size=2, max_size=4, unique=True).map(shapely.LineString), min_size=2, max_size=8
).map(lambda found: np.array(found, object))


def parse(*texts: str) -> np.ndarray:
    return shapely.from_wkt(np.array(texts, object))


def places(*texts: str, tolerance: float = LATTICE) -> list[tuple[float, float]]:
    return [tuple(place) for place in lines.intersections(parse(*texts), tolerance).round(2).tolist()]


def farthest(a: np.ndarray, b: np.ndarray) -> float:
    """The distance by which the worst place of one set misses the other set."""
    if not len(a) or not len(b):
        return 0.0 if len(a) == len(b) else math.inf
    return max(KDTree(a).query(b)[0].max(), KDTree(b).query(a)[0].max())


def by_circles(found: np.ndarray, tolerance: float, radius: float) -> np.ndarray:
    """Crossings, touches and ends of lines round which a small circle meets three lines or more; none is noded.

    Lines between whole numbers up to 12 part at 1/288 at least, so that their arms on the circle lie `radius` / 288
    apart or are one.
    """
    first, second = np.triu_indices(len(found), 1)
    near = shapely.distance(found[first], found[second]) < tolerance
    met = shapely.intersection(found[first[near]], found[second[near]])
    own = [shapely.node(line) for line in found if not line.is_simple]
    candidates = np.unique(shapely.get_coordinates([*met, *own, *shapely.boundary(found)]), axis=0)
    meeting = []
    for place in candidates:
        point = shapely.Point(place)
        round_it = point.buffer(radius, 64).exterior
        through = found[shapely.dwithin(found, point, tolerance)]
        arms = shapely.get_coordinates(shapely.intersection(through, round_it))
        distinct = {int(np.flatnonzero(np.hypot(*(arms - arm).T) < radius / 1000).min()) for arm in arms}
        if len(distinct) >= 3:
            meeting.append(place)
    return np.array(meeting).reshape(-1, 2)


@pytest.mark.parametrize(
    ("to", "strike"),
    [((0, 1), 0), ((0, -1), 0), ((1, 0), 90), ((-1, 0), 90), ((1, 1), 45), ((-1, 1), 135), ((1, -math.sqrt(3)), 150)],
)
def test_strike_is_clockwise_from_north_without_a_sense(to: tuple[float, float], strike: float) -> None:
    assert lines.segment_strikes(np.array([shapely.LineString([(0, 0), to])]))[0] == pytest.approx(strike, abs=1e-9)


def test_a_hair_west_of_north_is_no_strike_of_180() -> None:
    strike = lines.segment_strikes(parse("LINESTRING (0 0, -1e-17 1)", "LINESTRING (0 0, 0 0, 1 0)"))
    assert strike[0] == 0.0
    assert math.isnan(strike[1])
    assert strike[2] == 90.0


@pytest.mark.parametrize(
    ("azimuth", "inside", "outside"),
    [
        ((120, 150), (120, 135, 150), (119, 151, 30, 0)),
        ((300, 330), (120, 135, 150), (119, 151, 30, 0)),
        ((350, 10), (0, 5, 10, 170, 179), (11, 169, 90)),
        ((170, 190), (0, 5, 10, 170, 179), (11, 169, 90)),
        ((80, 80), (80,), (79.9, 80.1, 100)),
        ((0, 180), (0, 60, 90, 179.99), ()),
        ((0, 360), (0, 60, 90, 179.99), ()),
        ((10, 350), (0, 5, 60, 90, 179.99), ()),
        ((300, 120), (0, 60, 90, 179.99), ()),
        ((180, 0), (0, 60, 90, 179.99), ()),
        ((135, 180), (0, 135), (134, 1)),
    ],
)
def test_limits_of_strikes(azimuth: tuple[float, float], inside: tuple, outside: tuple) -> None:
    assert lines.strikes_within(np.array(inside, float), azimuth).all()
    assert not lines.strikes_within(np.array([*outside, np.nan]), azimuth).any()


def test_kept_segments_join_where_they_are_neighbours() -> None:
    found = parse(
        "LINESTRING (0 0, 1 0, 2 0, 2 1, 3 1)",
        "LINESTRING (0 5, 0 6)",
        "MULTILINESTRING ((5 5, 6 5), (6 5, 7 5), (7 5, 7 6))",
    )
    keep = lines.strikes_within(lines.segment_strikes(found), (90, 90))
    kept, index = lines.keep_segments(found, keep)
    assert index.tolist() == [0, 2]
    assert shapely.to_wkt(kept[0]) == "MULTILINESTRING ((0 0, 1 0, 2 0), (2 1, 3 1))"
    assert shapely.to_wkt(kept[1]) == "MULTILINESTRING ((5 5, 6 5), (6 5, 7 5))"
    none, index = lines.keep_segments(found, np.zeros(keep.size, bool))
    assert none.size == index.size == 0


@settings(deadline=None)
@given(network, st.lists(st.floats(0.01, 179.99), min_size=1, max_size=4, unique=True))
def test_ranges_of_strikes_share_the_length_out(found: np.ndarray, limits: list[float]) -> None:
    strikes = lines.segment_strikes(found)
    assume(all(np.abs(strikes - limit).min() > 1e-3 for limit in limits))
    limits = sorted(limits)
    ranges = list(zip(limits, [*limits[1:], limits[0] + 180], strict=True))
    shares = [lines.keep_segments(found, lines.strikes_within(strikes, r))[0] for r in ranges]
    assert sum(shapely.length(share).sum() for share in shares) == pytest.approx(shapely.length(found).sum())


@settings(deadline=None)
@given(network, st.floats(0, 360), st.floats(0, 180))
def test_the_range_turns_with_the_map(found: np.ndarray, turned: float, first: float) -> None:
    """A map turned clockwise adds to every strike; a line read backwards strikes alike."""
    strikes = lines.segment_strikes(found)
    assume(all(np.abs((strikes - limit + 90) % 180 - 90).min() > 1e-3 for limit in (first, first + 40)))
    keep = lines.strikes_within(strikes, (first, first + 40))
    around = np.array([affinity.rotate(line, -turned, origin=(3, 4)) for line in found], object)
    again = lines.strikes_within(lines.segment_strikes(around), (first + turned, first + turned + 40))
    np.testing.assert_array_equal(again, keep)
    backwards = shapely.reverse(found[::-1])
    np.testing.assert_array_equal(
        lines.strikes_within(lines.segment_strikes(backwards), (first, first + 40)), keep[::-1]
    )


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["LINESTRING (0 0, 4 4)", "LINESTRING (0 4, 4 0)"], [(2, 2)]),
        (["LINESTRING (0 0, 4 0)", "LINESTRING (3 0, 3 5)"], [(3, 0)]),
        (["LINESTRING (0 0, 4 0)", "LINESTRING (3 -0.0004, 3 5)"], [(3, 0)]),
        (["LINESTRING (0 0, 4 0)", "LINESTRING (3 0.2, 3 5)"], []),
        (["LINESTRING (0 0, 4 0)", "LINESTRING (4 0, 8 1)"], []),
        (["MULTILINESTRING ((0 0, 4 0), (4 0, 8 1))"], []),
        (["LINESTRING (0 0, 4 0)", "LINESTRING (4 0, 8 1)", "LINESTRING (4 0, 5 7)"], [(4, 0)]),
        (["LINESTRING (0 0, 4 0, 6 3)", "LINESTRING (4 0, 4 -3)"], [(4, 0)]),
        (["LINESTRING (0 0, 2 2, 4 0)", "LINESTRING (0 4, 2 2, 4 4)"], [(2, 2)]),
        (["LINESTRING (0 0, 4 4, 4 0, 0 4)"], [(2, 2)]),
        (["LINESTRING (0 0, 4 0, 4 4, 0 0)"], []),
        (["LINESTRING (0 0, 4 0, 4 4, 0 0)", "LINESTRING (0 0, -3 -1)"], [(0, 0)]),
        (["LINESTRING (0 0, 4 0)", "LINESTRING (4 0, 0 0)"], []),
        (["LINESTRING (0 0, 4 0)", "LINESTRING (2 0, 9 0)"], []),
        (["LINESTRING (0 0, 9 0)", "LINESTRING (2 0, 4 0)"], []),
        (["LINESTRING (0 0, 9 0)", "LINESTRING (2 3, 4 0, 6 0, 8 3)"], [(4, 0), (6, 0)]),
        (["LINESTRING (0 0, 9 0, 3 0)"], []),
        (["LINESTRING (0 0, 4 4)", "LINESTRING (0 4, 4 0)", "LINESTRING (2 0, 2 4)"], [(2, 2)]),
    ],
    ids=[
        "crossing", "junction", "end within the tolerance", "end beyond it", "continuation", "parts of one line",
        "three ends", "an end on a bend", "two bends", "one line crosses itself", "ring", "an end on a ring's seam",
        "drawn twice", "drawn twice in part", "a stretch drawn again", "sharing a stretch and parting",
        "there and back", "three through one place",
    ],
)  # fmt: skip
def test_what_is_an_intersection(texts: list[str], expected: list[tuple[float, float]]) -> None:
    assert places(*texts) == expected
    assert places(*texts[::-1]) == expected


def test_nothing_meets() -> None:
    assert lines.intersections(parse("LINESTRING (0 0, 1 0)", "LINESTRING (0 1, 1 1)"), LATTICE).shape == (0, 2)


@settings(deadline=None)
@given(network)
def test_intersections_are_those_that_circles_show(found: np.ndarray) -> None:
    ours = lines.intersections(found, 1e-7)
    assert farthest(ours, by_circles(found, 1e-6, 1e-4)) < 1e-5


@settings(deadline=None)
@given(network, st.floats(0, 360), st.floats(0.5, 1e4), vertex, st.randoms(use_true_random=False))
def test_intersections_go_with_the_map(found: np.ndarray, turned: float, scale: float, by: tuple, rng) -> None:
    """Turned, enlarged and shifted; in another order, each line read backwards."""
    ours = lines.intersections(found, LATTICE)
    order = rng.sample(range(len(found)), len(found))
    moved = np.array([affinity.rotate(line, turned, origin=(0, 0)) for line in shapely.reverse(found[order])], object)
    moved = shapely.transform(moved, lambda xy: (xy + by) * scale)
    places = shapely.points(lines.intersections(moved, LATTICE * scale) / scale - by)
    back = [affinity.rotate(place, -turned, origin=(0, 0)) for place in places]
    assert farthest(ours, shapely.get_coordinates(back).reshape(-1, 2)) < 4 * LATTICE


def test_near_places_are_one() -> None:
    near = np.array([(10.0, 0.0), (0.0, 0.0), (0.04, 0.0), (0.0, 0.04), (10.2, 0.0)])
    merged = lines.merged(near, 0.1)
    assert merged.shape == (3, 2)
    np.testing.assert_allclose(merged, [(0.04 / 3, 0.04 / 3), (10.0, 0.0), (10.2, 0.0)], atol=1e-12)
    np.testing.assert_array_equal(lines.merged(near[[0, 4]], 0.1), near[[0, 4]])


def test_commonest_strikes() -> None:
    assert lines.commonest_strikes(parse("LINESTRING (0 0, 9 9)", "LINESTRING (0 0, 0 5)")) == (30, 60)


@pytest.fixture(scope="module")
def faults() -> np.ndarray:
    """All fault lines of both ages, in EPSG:28353."""
    folder = os.environ.get("MPMJAX_DATA")
    if not folder:
        pytest.skip("MPMJAX_DATA is not set: the real fault lines are not at hand")
    files = (Path(folder) / "gawler_vectors").glob("faults_*.shp")
    return np.concatenate([gpd.read_file(file).to_crs("EPSG:28353").geometry.to_numpy() for file in sorted(files)])


def test_real_faults_meet_where_circles_show_it(faults: np.ndarray) -> None:
    """The 1,500 lines nearest to the middle. The circle is wide enough to tell arms that part at a sharp angle."""
    middle = shapely.get_coordinates(shapely.centroid(faults))
    away = np.hypot(*(middle - np.median(middle, axis=0)).T)
    found = faults[np.argsort(away, kind="stable")[:1500]]
    ours = lines.merged(lines.intersections(found, 0.01), 25.0)
    theirs = lines.merged(by_circles(found, 0.01, 3.0), 25.0)
    assert len(ours) == len(theirs) == 355
    assert farthest(ours, theirs) < 1.0


def test_all_real_faults_share_out_by_strike(faults: np.ndarray) -> None:
    strikes, total = lines.segment_strikes(faults), shapely.length(faults).sum()
    limits = [0.5, 30.7, 76.1, 121.3, 180.5]
    lengths = [
        shapely.length(lines.keep_segments(faults, lines.strikes_within(strikes, pair))[0]).sum()
        for pair in pairwise(limits)
    ]
    assert len(faults) == 14497
    assert sum(lengths) == pytest.approx(total, rel=1e-12)
    assert min(lengths) > 0.1 * total
