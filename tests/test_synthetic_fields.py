"""The fields of the synthetic district: any window is part of the whole, and shapes are where shapely says they are."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from mpmjax.synthetic import geology
from mpmjax.synthetic.layers import DISTANCE_CAP, Patch, themes
from mpmjax.synthetic.noise import Noise, Window, noise, noise_at, speckle, uniforms
from mpmjax.synthetic.shapes import distance, distance_at, inside, line_density


@pytest.mark.parametrize(("row", "col", "rows", "cols"), [(61, 33, 57, 71), (0, 0, 1, 150), (149, 179, 1, 1)])
def test_any_window_alone_is_part_of_the_whole(row: int, col: int, rows: int, cols: int) -> None:
    whole = Patch(Window(700, 900, 150, 180, 200.0), 3, geology.COMMON_DEPOSITS)
    part = Patch(Window(700 + row, 900 + col, rows, cols, 200.0), 3, geology.COMMON_DEPOSITS)
    here = slice(row, row + rows), slice(col, col + cols)
    for theme in themes(18):
        np.testing.assert_array_equal(theme.values(part), theme.values(whole)[here], theme.name)
    for survey, gap in whole.gap.items():
        np.testing.assert_array_equal(part.gap[survey], gap[here])


def test_shapes_stay_within_their_reach() -> None:
    for i, j in np.ndindex(12, 12):
        for body in geology.intrusions_of(7, i, j):
            assert np.hypot(*(body.ring - (body.x, body.y)).T).max() <= geology.INTRUSION_REACH
            assert shapely.Polygon(body.ring).is_valid
        for fault in geology.faults_of(7, i, j):
            middle = 0.5 * (fault.trace[0] + fault.trace[-1])
            assert np.hypot(*(fault.trace - middle).T).max() <= geology.FAULT_REACH


def test_uniforms_are_uniform_and_apart() -> None:
    one, other = uniforms(1, 2, -3, 4, 20_000), uniforms(1, 2, 4, -3, 20_000)
    assert (one >= 0.0).all()
    assert (one < 1.0).all()
    assert np.histogram(one, 10)[0] == pytest.approx(2000, rel=0.1)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    grain = speckle(Window(0, 0, 200, 200, 60.0), 1, 2)
    assert (grain.mean(), grain.std()) == pytest.approx((0.0, 1.0), abs=0.02)
    assert abs(np.corrcoef(grain[:, 1:].ravel(), grain[:, :-1].ravel())[0, 1]) < 0.03


def test_noise_has_unit_deviation_and_one_definition() -> None:
    window, spec = Window(40, 7, 400, 300, 500.0), Noise(9, 8_000.0, octaves=3, angle=0.8, stretch=2.0)
    field = noise(window, 5, spec)
    assert field.mean() == pytest.approx(0.0, abs=0.1)
    assert field.std() == pytest.approx(1.0, abs=0.1)
    assert np.abs(np.corrcoef(field.ravel(), noise(window, 5, spec._replace(stream=10)).ravel())[0, 1]) < 0.1
    rows, cols = np.array([0, 13, 399]), np.array([299, 0, 5])
    found = noise_at((7 + cols + 0.5) * 500.0, (40 + rows + 0.5) * 500.0, 5, spec)
    np.testing.assert_array_equal(found.astype(np.float32), field[rows, cols])


def test_shapes_agree_with_shapely() -> None:
    window, bounds = Window(300, 200, 60, 80, 250.0), (50_000.0, 75_000.0, 70_000.0, 90_000.0)
    rows, cols = (grid.ravel() for grid in np.mgrid[0:60:3, 0:80:3])
    x, y = (200 + cols + 0.5) * 250.0, (300 + rows + 0.5) * 250.0
    centres = shapely.points(x, y)

    traces = shapely.MultiLineString([fault.trace for fault in geology.faults(7, bounds, DISTANCE_CAP)])
    segments = geology.fault_segments(7, bounds, DISTANCE_CAP)
    expected = np.minimum(shapely.distance(centres, traces), DISTANCE_CAP)
    np.testing.assert_allclose(distance(window, segments, DISTANCE_CAP)[rows, cols], expected, atol=0.01)
    np.testing.assert_allclose(distance_at(x, y, segments, DISTANCE_CAP), expected, atol=1e-6)

    rings = np.array([body.ring for body in geology.intrusions(7, bounds)])
    bodies = shapely.unary_union([shapely.Polygon(ring) for ring in rings])
    np.testing.assert_array_equal(inside(window, rings)[rows, cols], shapely.contains(bodies, centres))

    nodes = Window(1, 1, 3, 3, 2_000.0)  # its centres are the nodes of a 1 km lattice
    circles = shapely.buffer(shapely.points([3e3, 5e3, 7e3], [5e3, 5e3, 5e3]), 4e3, quad_segs=256)
    near = geology.fault_segments(7, (0.0, 0.0, 1e4, 1e4), 6e3)
    lines = shapely.MultiLineString([(s[:2], s[2:]) for s in near])
    lengths = shapely.length(shapely.intersection(circles, lines)) / 1e3 / (np.pi * 16.0)
    np.testing.assert_allclose(line_density(nodes, near, 4e3, 1e3)[1], lengths, rtol=1e-3)
