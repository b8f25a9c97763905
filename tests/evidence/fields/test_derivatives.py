"""Derivatives of a field in memory: against prisms in closed form, and by their laws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prisms import Field, Prism, cell_places, gravity, magnetic
from scipy import ndimage
from tolerances import (
    FIELD_CONTINUED_TWICE,
    FIELD_GRADIENT,
    FIELD_INSIDE,
    FIELD_LINEAR,
    FIELD_SLOPE_NUMERICALLY,
    FIELD_UPWARD,
    FLOAT64_SUMS,
    Tolerance,
    assert_close,
)

from mpmjax.evidence.fields.derivatives import (
    analytic_signal,
    tilt_angle,
    total_horizontal_derivative,
    upward_continuation,
    vertical_derivative,
)

CELLS = (100.0, 80.0)
INSIDE = 10
"""Cells from an edge or a gap from which on a filtered field is judged."""

BODIES = (
    Prism(3500, 4900, -6500, -4500, 400, 1500, 1.0),
    Prism(7000, 9300, -5200, -4400, 450, 1200, -0.6),
    Prism(6200, 7400, -8500, -7000, 500, 1600, 0.9),
    Prism(9000, 9700, -8800, -7900, 400, 900, -0.8),
)
"""Inside every grid of these tests and small beside it, four cells deep and deeper."""

SHAPES = [(170, 140), (163, 149), (211, 137)]
SOURCES: dict[str, Callable[..., Field]] = {"magnetic": magnetic, "gravity": gravity}


def whole(shape: tuple[int, int]) -> np.ndarray:
    return np.ones(shape, bool)


def holes(shape: tuple[int, int]) -> np.ndarray:
    """Small gaps: a rectangle, a disc, a line that was not flown, single cells."""
    rows, cols = np.indices(shape)
    kept = whole(shape)
    kept[30:36, 20:32] = kept[100, 40:90] = False
    kept[(rows - 120) ** 2 + (cols - 25) ** 2 < 36] = False
    kept[[10, 60, 130], [120, 15, 100]] = False
    return kept


def ragged(shape: tuple[int, int]) -> np.ndarray:
    """A survey whose border is neither straight nor along the grid, with nothing beyond it."""
    rows, cols = np.indices(shape)
    kept = holes(shape)
    kept[cols + 0.6 * rows < 22 + 3 * np.sin(rows / 5)] = False
    kept[:2] = kept[-3:] = kept[:, :1] = kept[:, -2:] = False
    kept[rows > shape[0] - 12 + 4 * np.sin(cols / 7)] = False
    return kept


GAPS = {"whole": whole, "holes": holes, "ragged": ragged}


def seen(field: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.where(kept, field, np.nan)


def with_neighbours(kept: np.ndarray) -> np.ndarray:
    """Cells that have data beside them along their row and along their column: the others have no gradient."""
    wide = np.pad(kept, 1)
    return kept & (wide[1:-1, :-2] | wide[1:-1, 2:]) & (wide[:-2, 1:-1] | wide[2:, 1:-1])


def distance_to_gap(kept: np.ndarray) -> np.ndarray:
    """Cells from each cell to the next that is missing or outside."""
    found = ndimage.distance_transform_edt(np.pad(kept, 1))
    assert isinstance(found, np.ndarray)
    return found[1:-1, 1:-1]


def assert_near(actual: np.ndarray, expected: np.ndarray, where: np.ndarray, tolerance: Tolerance) -> None:
    """Within a share of the range of what is expected."""
    span = np.ptp(expected[where])
    assert where.sum() > 1000
    assert_close(actual[where] / span, expected[where] / span, tolerance)


@pytest.mark.parametrize("source", SOURCES)
def test_the_prisms_differentiate_themselves(source: str) -> None:
    x, y = np.array([[2900.0, 5000.0, 8000.0]]), np.array([[-4100.0, -7777.0, -4800.0]])
    field, step = SOURCES[source], 1.0
    exact = field(x, y, BODIES)
    for found, (dx, dy, dz) in ((exact.east, (1, 0, 0)), (exact.north, (0, 1, 0)), (exact.down, (0, 0, -1))):
        ahead = field(x + dx * step, y + dy * step, BODIES, dz * step).value
        behind = field(x - dx * step, y - dy * step, BODIES, -dz * step).value
        assert_close(found, (ahead - behind) / (2 * step), FIELD_SLOPE_NUMERICALLY)
    assert field(np.array([[6800.0]]), np.array([[-8000.0]]), BODIES[2:3]).value > 0


@pytest.mark.parametrize("trend", [0.0, 1.0])
@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("source", SOURCES)
def test_derivatives_of_prisms(source: str, shape: tuple[int, int], gaps: str, trend: float) -> None:
    x, y = cell_places(shape, CELLS)
    exact, kept = SOURCES[source](x, y, BODIES), GAPS[gaps](shape)
    steep = trend * np.ptp(exact.value) / 10_000
    strength = np.sqrt(exact.east**2 + exact.north**2 + exact.down**2)
    exact = exact + Field(steep * (x - 0.5 * y), np.full(shape, steep), np.full(shape, -0.5 * steep), np.zeros(shape))
    field, inside = seen(exact.value, kept), distance_to_gap(kept) > INSIDE
    horizontal = np.hypot(exact.east, exact.north)
    amplitude = np.hypot(horizontal, exact.down)
    found = {
        "horizontal": (total_horizontal_derivative(field, CELLS), horizontal),
        "vertical": (vertical_derivative(field, CELLS), exact.down),
        "amplitude": (analytic_signal(field, CELLS), amplitude),
        "tilt": (tilt_angle(field, CELLS), np.arctan2(exact.down, horizontal)),
    }
    for kind, (actual, expected) in found.items():
        there = kept if kind == "vertical" else with_neighbours(kept)
        assert np.array_equal(np.isnan(actual), ~there), kind
        # An angle between next to nothing and next to nothing tells nothing.
        where = inside & (strength > 0.25 * strength.max()) if kind == "tilt" else inside
        assert_near(actual, expected, where, FIELD_INSIDE)
    assert_near(found["horizontal"][0], horizontal, with_neighbours(kept), FIELD_GRADIENT)


@pytest.mark.parametrize("height", [150.0, 600.0])
@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("source", SOURCES)
def test_upward_continuation_of_prisms(source: str, gaps: str, height: float) -> None:
    x, y = cell_places(SHAPES[1], CELLS)
    kept = GAPS[gaps](x.shape)
    found = upward_continuation(seen(SOURCES[source](x, y, BODIES).value, kept), CELLS, height)
    assert np.array_equal(np.isnan(found), ~kept)
    expected = SOURCES[source](x, y, BODIES, height).value
    assert_near(found, expected, distance_to_gap(kept) > INSIDE + height / CELLS[1], FIELD_UPWARD)


def test_cells_whose_width_changes_are_each_filtered_at_their_own() -> None:
    """A grid whose rows grow narrower to the north, as in degrees: bodies of the same field in every row's own metres
    would be torn; so the field is taken where the cells are, each row spread around a middle meridian."""
    shape = (200, 180)
    across = np.linspace(90.0, 100.0, shape[0])
    x = 7000.0 + (np.arange(shape[1]) - (shape[1] - 1) / 2) * across[:, None]
    y = np.broadcast_to(-(np.arange(shape[0]) + 0.5)[:, None] * 80.0, shape)
    # Close to the middle meridian, where rows lie right above each other.
    bodies = [Prism(6300, 7700, -4500, -3000, 500, 1500), Prism(6500, 7400, -13000, -11500, 400, 1500, 0.8)]
    exact = magnetic(x, y, bodies)
    inside = distance_to_gap(whole(shape)) > INSIDE
    assert_near(vertical_derivative(exact.value, (across, 80.0)), exact.down, inside, FIELD_INSIDE)
    wrong = vertical_derivative(exact.value, (150.0, 80.0)) - exact.down
    assert np.abs(wrong[inside]).max() > 5 * FIELD_INSIDE.absolute * np.ptp(exact.down)


def some_field(seed: int, shape: tuple[int, int] = (70, 85)) -> np.ndarray:
    """Smooth, with gaps."""
    rng = np.random.default_rng(seed)
    values = np.asarray(ndimage.gaussian_filter(rng.normal(size=shape), 3.0)) * 100
    values[20:26, 30:41] = values[50, 5:30] = values[-4:, :9] = np.nan
    return values


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.floats(-3, 3), st.floats(-3, 3))
def test_linear(seed: int, a: float, b: float) -> None:
    first, second = some_field(seed), some_field(seed + 1)
    for operate in (lambda v: vertical_derivative(v, CELLS), lambda v: upward_continuation(v, CELLS, 130.0)):
        together, apart = operate(a * first + b * second), a * operate(first) + b * operate(second)
        span = np.nanmax(np.abs(operate(first))) + np.nanmax(np.abs(operate(second)))
        assert_close(together / span, apart / span, FIELD_LINEAR)


@settings(max_examples=10, deadline=None)
@given(st.floats(-1e5, 1e5), st.floats(-2, 2), st.floats(-2, 2), st.integers(4, 90), st.integers(4, 90))
def test_a_plane(level: float, east: float, north: float, rows: int, cols: int) -> None:
    x, y = cell_places((rows, cols), CELLS)
    plane = level + east * x + north * y
    if rows > 20 and cols > 20:
        plane[5:9, 6:12] = np.nan
    kept, scale = ~np.isnan(plane), np.nanmax(np.abs(plane)) + 1e-300
    zero = np.where(kept, 0.0, np.nan)
    assert_close(vertical_derivative(plane, CELLS) / scale, zero, FIELD_LINEAR)
    assert_close(upward_continuation(plane, CELLS, 500.0) / scale, plane / scale, FIELD_LINEAR)
    steep = np.where(kept, np.hypot(east, north), np.nan)
    assert_close(total_horizontal_derivative(plane, CELLS) / scale, steep / scale, FIELD_LINEAR)


def test_a_constant_has_no_derivatives_at_all() -> None:
    flat = np.full((40, 50), 53_211.7)
    for operate in (total_horizontal_derivative, vertical_derivative, analytic_signal, tilt_angle):
        assert not operate(flat, CELLS).any()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3))
def test_turned_by_right_angles(seed: int, quarters: int) -> None:
    """What is filled in depends on how the grid is halved, which the turn changes; so the filters agree inside only."""
    values, cells = some_field(seed, (140, 151)), (80.0, 80.0)
    turned = np.rot90(values, quarters)
    gradient = np.rot90(total_horizontal_derivative(values, cells), quarters)
    assert_close(total_horizontal_derivative(turned, cells), gradient, FLOAT64_SUMS)
    inside = np.rot90(distance_to_gap(~np.isnan(values)) > INSIDE, quarters)
    for operate in (vertical_derivative, lambda v, c: upward_continuation(v, c, 200.0)):
        assert_near(operate(turned, cells), np.rot90(operate(values, cells), quarters), inside, FIELD_INSIDE)


@settings(max_examples=10, deadline=None)
@given(st.floats(20, 300), st.floats(20, 300))
def test_up_and_up_again(first: float, second: float) -> None:
    x, y = cell_places((150, 140), CELLS)
    field = magnetic(x, y, BODIES).value
    twice = upward_continuation(upward_continuation(field, CELLS, first), CELLS, second)
    inside = distance_to_gap(whole(field.shape)) > INSIDE
    assert_near(twice, upward_continuation(field, CELLS, first + second), inside, FIELD_CONTINUED_TWICE)


def test_continued_by_nothing() -> None:
    values = some_field(3)
    span = np.nanmax(np.abs(values))
    assert_close(upward_continuation(values, CELLS, 0.0) / span, values / span, FIELD_LINEAR)


def test_where_the_tilt_lies() -> None:
    x, y = cell_places((150, 140), CELLS)
    body = Prism(5000, 9000, -8000, -4000, 300, 20_000)
    tilted = tilt_angle(magnetic(x, y, [body]).value, CELLS)
    assert np.abs(tilted.astype(np.float32)).max() < np.float32(np.pi / 2)
    assert tilted[75, 70] > 1.2
    over_edge = np.abs(x - body.west) < 51
    # atan(50 m / 300 m) half a cell from the edge of a half-space; a body of 4 km moves the zero by half a cell.
    assert np.abs(tilted[over_edge & (np.abs(y + 6000) < 500)]).max() < 0.4


def test_infinite_values_are_missing() -> None:
    values = some_field(8)
    values[40, 40] = np.inf
    missing = np.where(np.isinf(values), np.nan, values)
    assert np.array_equal(vertical_derivative(values, CELLS), vertical_derivative(missing, CELLS), equal_nan=True)


def test_a_cell_alone_has_no_gradient_and_keeps_its_field() -> None:
    values = some_field(9)
    values[48:53, 48:53] = np.nan
    values[50, 50] = 7.0
    assert np.isnan(total_horizontal_derivative(values, CELLS)[50, 50])
    assert np.isfinite(upward_continuation(values, CELLS, 100.0)[50, 50])


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        (np.full((5, 5), np.nan), CELLS),
        (np.zeros(5), CELLS),
        (np.zeros((5, 5)), (0.0, 80.0)),
        (np.zeros((5, 5)), (100.0, np.nan)),
    ],
)
def test_what_is_refused(values: np.ndarray, cells: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"needed|must be positive"):
        vertical_derivative(values, cells)


@pytest.mark.parametrize("height", [-1.0, np.nan, np.inf])
def test_only_upwards(height: float) -> None:
    with pytest.raises(ValueError, match="upwards"):
        upward_continuation(np.zeros((5, 5)), CELLS, height)
