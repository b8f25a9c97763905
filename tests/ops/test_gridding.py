"""Values between samples: against the definition, other libraries, themselves in other windows, and their laws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import LinearNDInterpolator, RBFInterpolator
from scipy.spatial import KDTree, QhullError
from tolerances import IDW, KRIGING, LINEAR_IN_TRIANGLES, NATURAL, assert_close, assert_same_bits

from mpmjax.ops import gridding as ops
from mpmjax.ops.gridding import Cells, Scattered, SingularSamples
from mpmjax.reference import gridding as reference

SIZES = [(1.0, 1.0), (30.0, 30.0), (30.0, 20.0), (4243.9, 4178.9), (0.5, 3.7)]
SHAPE = (23, 37)
WHOLE: Cells = (0, 0, *SHAPE)
VARIOGRAM = {"model": "spherical", "nugget": 0.2, "sill": 1.5, "reach": 300.0}


def places_of(size: tuple[float, float], cells: Cells = WHOLE) -> np.ndarray:
    """Centres of the cells of a window, float64 [cells, 2]."""
    rows, cols = np.mgrid[cells[0] : cells[0] + cells[2], cells[1] : cells[1] + cells[3]]
    return np.stack(((cols + 0.5) * size[0], (rows + 0.5) * size[1]), axis=-1).reshape(-1, 2)


@st.composite
def scattered(draw: st.DrawFn, fewest: int = 1, distinct: bool = False) -> Scattered:
    """Samples strewn, in a lattice, crowded in a cell, or far away, in and around SHAPE; values of any size."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size, count = draw(st.sampled_from(SIZES)), draw(st.integers(fewest, 90))
    how = draw(st.sampled_from(["strewn", "lattice", "crowded", "far"]))
    col, row = rng.uniform(-4, SHAPE[1] + 4, count), rng.uniform(-4, SHAPE[0] + 4, count)
    if how == "lattice":
        cells = rng.choice(45 * 30, count, replace=not distinct)
        col, row = cells % 45 - 4 + 0.5, cells // 45 - 4 + 0.5
    elif how == "crowded":
        crowd = rng.random(count) < 0.8
        col[crowd], row[crowd] = 7.0 + rng.random(crowd.sum()), 11.0 + 0.01 * rng.random(crowd.sum())
    elif how == "far":
        col, row = col + 300.0, row - 100.0
    values = draw(st.sampled_from([rng.standard_normal, lambda n: rng.lognormal(3.0, 2.0, n), np.ones]))(count)
    return Scattered(col * size[0], row * size[1], values, size)


@given(
    scattered(),
    st.integers(1, 40),
    st.sampled_from([0.5, 1.0, 2.0, 3.0, 4.0, 40.0]),
    st.sampled_from([1.0, 5.3, 20.0, np.inf]),
    st.sampled_from([0.5, 2.0, 9.0, np.inf]),
)
@settings(max_examples=150, deadline=None)
def test_idw_is_as_defined(samples: Scattered, neighbours: int, power: float, radius: float, support: float) -> None:
    unit = max(samples.cell_size)
    near = {"neighbours": neighbours, "power": power, "radius": radius * unit, "support": support * unit}
    result = ops.idw(samples, WHOLE, **near)
    expected = reference.idw(samples.x, samples.y, samples.values, places_of(samples.cell_size), **near)
    assert result.dtype == np.float32
    assert_close(result.ravel(), expected, IDW)


def test_idw_is_what_a_tree_gives() -> None:
    """scipy's neighbours, weighed in one line; nothing of ours."""
    rng = np.random.default_rng(5)
    x, y, values = rng.uniform(-500, 9000, 3000), rng.uniform(-500, 7000, 3000), rng.lognormal(2.0, 1.0, 3000)
    places = places_of((30.0, 25.0), (40, 60, 200, 220))
    away, which = KDTree(np.stack((x, y), axis=1)).query(places, k=12)
    expected = (values[which] / away**2).sum(axis=1) / (1.0 / away**2).sum(axis=1)
    result = ops.idw(Scattered(x, y, values, (30.0, 25.0)), (40, 60, 200, 220), neighbours=12, power=2.0)
    assert_close(result.ravel(), expected, IDW)


@given(
    scattered(fewest=2, distinct=True),
    st.integers(1, 25),
    st.sampled_from(["spherical", "exponential", "gaussian"]),
    st.sampled_from([0.05, 0.4, 1.0]),
    st.sampled_from([0.8, 6.0, 60.0]),
    st.sampled_from([4.0, np.inf]),
)
@settings(max_examples=120, deadline=None)
def test_kriging_is_as_defined(
    samples: Scattered, neighbours: int, model: str, nugget: float, reach: float, radius: float
) -> None:
    unit = max(samples.cell_size)
    how = {"model": model, "nugget": nugget * 3.0, "sill": 3.0, "reach": reach * unit}
    near = {"neighbours": neighbours, "radius": radius * unit, "support": 7.0 * unit}
    places = places_of(samples.cell_size)
    value, variance = reference.kriging(samples.x, samples.y, samples.values, places, **how, **near)
    scale = np.abs(samples.values).max()
    assert_close(ops.kriging(samples, WHOLE, **how, **near).ravel() / scale, value / scale, KRIGING)
    assert_close(ops.kriging(samples, WHOLE, variance=True, **how, **near).ravel(), variance, KRIGING)


@pytest.mark.parametrize("model", ["spherical", "exponential", "gaussian"])
def test_kriging_is_that_of_pykrige(model: str) -> None:
    """With its moving window of as many points; its ranges of the models without an end are other ones."""
    ok = pytest.importorskip("pykrige.ok")
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 3000, 400), rng.uniform(0, 3000, 400)
    values = np.sin(x / 400) + np.cos(y / 300) + rng.normal(0, 0.1, 400)
    how = {"model": model, "nugget": 0.1, "sill": 1.1, "reach": 900.0}
    reach = {"spherical": 900.0, "exponential": 900.0, "gaussian": 900.0 / np.sqrt(3.0) * 7.0 / 4.0}[model]
    theirs = ok.OrdinaryKriging(x, y, values, model, {"psill": 1.0, "nugget": 0.1, "range": reach})
    cells = (10, 5, 60, 60)
    places = places_of((30.0, 40.0), cells)
    value, variance = theirs.execute("points", places[:, 0], places[:, 1], backend="loop", n_closest_points=16)
    samples = Scattered(x, y, values, (30.0, 40.0))
    assert_close(ops.kriging(samples, cells, neighbours=16, **how).ravel(), np.asarray(value), KRIGING)
    assert_close(
        ops.kriging(samples, cells, neighbours=16, variance=True, **how).ravel(), np.asarray(variance), KRIGING
    )


def test_thin_plates_are_as_defined_and_those_of_scipy() -> None:
    rng = np.random.default_rng(11)
    x, y = rng.uniform(-100, 1200, 150), rng.uniform(-100, 700, 150)
    samples = Scattered(x, y, rng.standard_normal(150), (30.0, 20.0))
    places = places_of((30.0, 20.0))
    for neighbours in (3, 4, 12, 40, 150):
        result = ops.thin_plate(samples, WHOLE, neighbours=neighbours)
        theirs = RBFInterpolator(
            np.stack((x, y), axis=1), samples.values, neighbors=neighbours, kernel="thin_plate_spline"
        )
        assert_close(result.ravel(), theirs(places), KRIGING)
        assert_close(result.ravel(), reference.thin_plate(x, y, samples.values, places, neighbours=neighbours), KRIGING)


@pytest.mark.parametrize("lattice", [False, True])
def test_triangles_and_natural_neighbours_are_as_defined(lattice: bool) -> None:
    """In a lattice all triangles are ambiguous: four samples lie on every circle, and cells on the edges."""
    rng = np.random.default_rng(2)
    if lattice:
        row, col = (axis.ravel() * 4.0 + 2.5 for axis in np.mgrid[0:5, 0:8])
    else:
        row, col = rng.uniform(-3, 26, 60), rng.uniform(-3, 40, 60)
    samples = Scattered(col * 30.0, row * 20.0, rng.standard_normal(row.size), (30.0, 20.0))
    triangles, places = ops.triangulate(samples), places_of((30.0, 20.0))
    arrays = samples.x, samples.y, samples.values
    planes = ops.linear(samples, triangles, WHOLE)
    assert_close(planes.ravel(), reference.linear(*arrays, triangles.corners, places), LINEAR_IN_TRIANGLES)
    sibson, defined = ops.natural(samples, triangles, WHOLE).ravel(), reference.natural(*arrays, places)
    assert np.array_equal(np.isnan(sibson), np.isnan(planes.ravel())), "both end at the hull"
    inside = ~np.isnan(defined)  # the definition's square is open on the hull's edge
    assert inside.sum() > 300
    assert_close(sibson[inside], defined[inside], NATURAL)
    if not lattice:
        theirs = LinearNDInterpolator(np.stack((samples.x, samples.y), axis=1), samples.values)(places)
        assert_close(planes.ravel(), theirs, LINEAR_IN_TRIANGLES)


def methods(samples: Scattered) -> dict[str, Callable[[Cells], np.ndarray]]:
    """All of them on the same samples, with a support."""
    near = {"neighbours": 7, "support": 12.0 * max(samples.cell_size)}
    triangles, support = ops.triangulate(samples), near["support"]
    return {
        "idw": lambda cells: ops.idw(samples, cells, power=2.0, **near),
        "kriging": lambda cells: ops.kriging(samples, cells, **VARIOGRAM, **near),
        "variance": lambda cells: ops.kriging(samples, cells, variance=True, **VARIOGRAM, **near),
        "rbf": lambda cells: ops.thin_plate(samples, cells, **near),
        "linear": lambda cells: ops.linear(samples, triangles, cells, support=support),
        "natural": lambda cells: ops.natural(samples, triangles, cells, support=support),
    }


def strewn(seed: int, count: int = 80, shape: tuple[int, int] = SHAPE) -> Scattered:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-3, shape[1] + 3, count) * 30.0, rng.uniform(-3, shape[0] + 3, count) * 20.0
    return Scattered(x, y, rng.lognormal(1.0, 1.0, count), (30.0, 20.0))


@pytest.mark.parametrize("shape", [(23, 37), (40, 700)])
def test_windows_do_not_show(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    samples = strewn(4, 80, shape)
    for name, compute in methods(samples).items():
        whole = compute((0, 0, *shape))
        assert np.isfinite(whole).any(), name
        for _ in range(12):
            row, col = int(rng.integers(shape[0])), int(rng.integers(shape[1]))
            rows, cols = int(rng.integers(1, shape[0] - row + 1)), int(rng.integers(1, shape[1] - col + 1))
            part = compute((row, col, rows, cols))
            assert_same_bits(part, np.ascontiguousarray(whole[row : row + rows, col : col + cols]))


@pytest.mark.parametrize("seed", range(4))
def test_laws(seed: int) -> None:
    """Exact at samples; constants stay; sums and multiples; the variance knows places only."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(SHAPE[0] * SHAPE[1], 60, replace=False)
    row, col = np.divmod(cells, SHAPE[1])
    x, y = (col + 0.5) * 30.0, (row + 0.5) * 20.0
    one, other = rng.standard_normal((2, 60))
    first, second, both, flat = (
        methods(Scattered(x, y, values, (30.0, 20.0))) for values in (one, other, 2.0 * one + other, np.full(60, 7.5))
    )
    for name, compute in first.items():
        result = compute(WHOLE)
        if name == "variance":
            assert_same_bits(second[name](WHOLE), result)
            assert np.nanmin(result) >= 0.0
            assert np.abs(result[row, col]).max() < 1e-12
            continue
        assert_close(result[row, col], one, KRIGING)
        assert_close(both[name](WHOLE), 2.0 * np.float64(result) + second[name](WHOLE), KRIGING)
        assert_close(flat[name](WHOLE), np.where(np.isnan(result), np.nan, 7.5), KRIGING)
        if name in ("idw", "linear", "natural"):
            assert one.min() - 1e-6 <= np.nanmin(result) <= np.nanmax(result) <= one.max() + 1e-6


@pytest.mark.parametrize("name", ["rbf", "linear", "natural"])
def test_planes_come_out_as_planes(name: str) -> None:
    samples = strewn(9)
    tilted = Scattered(samples.x, samples.y, 0.02 * samples.x - 0.03 * samples.y + 5.0, samples.cell_size)
    result = methods(tilted)[name](WHOLE).ravel()
    places = places_of(samples.cell_size)
    there = ~np.isnan(result)
    assert there.sum() > 500
    assert_close(result[there], (0.02 * places[:, 0] - 0.03 * places[:, 1] + 5.0)[there], NATURAL)


def test_no_value_beyond_the_support() -> None:
    for seed in range(5):
        samples = strewn(seed, 12)
        away, _ = KDTree(np.stack((samples.x, samples.y), axis=1)).query(places_of(samples.cell_size))
        for name, compute in methods(samples).items():
            there = ~np.isnan(compute(WHOLE)).ravel()
            assert not there[away > 360.0].any(), name
            if name in ("idw", "kriging", "variance", "rbf"):
                assert there[away < 360.0].all(), name


def test_coordinates_of_a_country_lose_nothing() -> None:
    """Samples 1e7 m from the grid's corner beside others: neighbours and values are those of the near ones."""
    near = strewn(3)
    x, y = np.append(near.x, 1e7), np.append(near.y, -1e7)
    far = Scattered(x, y, np.append(near.values, 1e9), near.cell_size)
    for name in ("idw", "kriging", "rbf"):
        assert_same_bits(methods(far)[name](WHOLE), methods(near)[name](WHOLE))


@pytest.mark.parametrize(
    ("x", "y"),
    [([0.0, 50.0, 100.0, 150.0], [0.0, 50.0, 100.0, 150.0]), ([10.0, 10.0, 70.0, 90.0], [20.0, 20.0, 90.0, 10.0])],
)
def test_what_has_no_solution_names_a_cell(x: list[float], y: list[float]) -> None:
    """On a line no plate lies; two values at one place give two equal rows."""
    samples = Scattered(np.array(x), np.array(y), np.arange(4.0), (30.0, 20.0))
    with pytest.raises(SingularSamples, match="singular") as caught:
        ops.thin_plate(samples, (2, 3, 4, 5), neighbours=4)
    assert 2 <= caught.value.row < 6
    assert 3 <= caught.value.col < 8
    if x[0] == x[1]:
        with pytest.raises(SingularSamples):
            ops.kriging(samples, WHOLE, neighbours=4, **VARIOGRAM)
    else:
        with pytest.raises(QhullError):
            ops.triangulate(samples)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"neighbours": 0}, "neighbours 0"),
        ({"radius": 0.0}, "radius"),
        ({"radius": np.nan}, "radius"),
        ({"support": -1.0}, "support"),
        ({"power": 0.0}, "power"),
        ({"cells": (0, 0, 0, 5)}, "window"),
        ({"cells": (-1, 0, 5, 5)}, "window"),
    ],
)
def test_arguments_out_of_range(change: dict[str, object], said: str) -> None:
    arguments: dict = {"cells": WHOLE, "neighbours": 3, "power": 2.0} | change
    with pytest.raises(ValueError, match=said):
        ops.idw(strewn(0), **arguments)


def test_variograms_and_samples_out_of_range() -> None:
    for change in ({"model": "linear"}, {"sill": 0.1}, {"nugget": -0.1}, {"reach": 0.0}):
        with pytest.raises(ValueError, match="got model"):
            ops.kriging(strewn(0), WHOLE, neighbours=3, **(VARIOGRAM | change))
    with pytest.raises(ValueError, match="values must be finite"):
        Scattered(np.zeros(2), np.ones(2), np.array([1.0, np.nan]), (1.0, 1.0))
    with pytest.raises(ValueError, match="x must be finite"):
        Scattered(np.zeros(0), np.zeros(0), np.zeros(0), (1.0, 1.0))
    with pytest.raises(ValueError, match="positive size"):
        Scattered(np.zeros(1), np.zeros(1), np.zeros(1), (1.0, 0.0))
