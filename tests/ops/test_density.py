"""Out-of-core density: against the definition, scipy and shapely, against itself in other strips, and by its laws."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from tolerances import DENSITY, assert_close, assert_same_bits

from mpmjax.ops.density import density, density_in_memory, line_lengths, margins
from mpmjax.reference.density import density as reference

CELLS = [(1.0, 1.0), (30.0, 30.0), (30.0, 20.0), (4243.9, 4178.9), (0.5, 3.7), (60.0, 11.0)]
KERNELS = st.sampled_from(["uniform", "quartic"])
REACHES = st.sampled_from([1.0, 1.5, 2.0, 3.3, 5.0, 9.9, 40.0])
"""Radii in cells, of the longer side."""


@st.composite
def amounts(draw: st.DrawFn, side: int = 40) -> np.ndarray:
    """Metres, counts or cover in every density, and stretches of one number."""
    height, width = draw(st.integers(1, side)), draw(st.integers(1, side))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cells = draw(st.sampled_from([rng.random, lambda shape: rng.integers(1, 4, shape) * 1.0, np.ones]))((height, width))
    cells[rng.random(cells.shape) > draw(st.sampled_from([0.0, 0.003, 0.03, 0.5, 1.0]))] = 0.0
    for _ in range(draw(st.integers(0, 3))):
        (top, bottom), (left, right) = np.sort(rng.integers(0, [[height], [width]], (2, 2)))
        cells[top : bottom + 1, left : right + 1] = draw(st.sampled_from([0.0, 1.0, 0.125]))
    return cells


def in_strips(
    cells: np.ndarray, cell_size: tuple[float, float], radius: float, kernel: str, strip_rows: int
) -> np.ndarray:
    """The density through the streaming door; every row must be read once and written once, in order."""
    down, across = margins(radius, cell_size)
    frame = np.pad(cells, ((down, down), (across, across)))
    read, written = 0, [np.empty((0, cells.shape[1]), np.float32)]

    def read_amounts(row: int, rows: int) -> np.ndarray:
        nonlocal read
        assert row == read
        assert 0 < rows <= strip_rows
        read = row + rows
        return frame[row:read]

    def write(row: int, block: np.ndarray) -> None:
        assert row == sum(map(len, written))
        assert len(block) <= strip_rows
        written.append(block.copy())

    shape, total = (cells.shape[0], cells.shape[1]), float(cells.sum())
    options = {"radius": radius, "kernel": kernel, "total": total, "strip_rows": strip_rows}
    density(read_amounts, shape, cell_size, write, **options)
    assert read == len(frame)
    return np.concatenate(written)


@given(amounts(), st.sampled_from(CELLS), REACHES, KERNELS)
@settings(max_examples=120, deadline=None)
def test_against_the_definition(cells: np.ndarray, cell_size: tuple[float, float], reach: float, kernel: str) -> None:
    radius = reach * max(cell_size)
    result = density_in_memory(cells, cell_size, radius=radius, kernel=kernel)
    expected = reference(cells, cell_size, radius, kernel)
    assert result.dtype == np.float32
    assert_close(result, expected, DENSITY)
    assert np.array_equal(result == 0, expected == 0), "exactly 0 beyond the radius, and only there"


@pytest.mark.parametrize("kernel", ["uniform", "quartic"])
@pytest.mark.parametrize("share", [0.003, 0.3, 1.0])
def test_against_scipy(kernel: str, share: float) -> None:
    rng = np.random.default_rng(7)
    cells = rng.random((300, 400)) * (rng.random((300, 400)) < share)
    rows, cols = np.mgrid[-33:34, -22:23]
    rest = 1.0 - ((rows * 20.0) ** 2 + (cols * 30.0) ** 2) / 650.0**2
    weights = (rest >= 0.0) * (1.0 if kernel == "uniform" else rest**2)
    expected = signal.oaconvolve(cells, weights / (600.0 * weights.sum()), mode="same")
    result = density_in_memory(cells, (30.0, 20.0), radius=650.0, kernel=kernel)
    assert np.abs(result - expected).max() < 1e-6 * expected.max()


@given(amounts(), st.sampled_from(CELLS), REACHES, KERNELS, st.integers(1, 45))
@settings(max_examples=120, deadline=None)
def test_strips_do_not_show(
    cells: np.ndarray, cell_size: tuple[float, float], reach: float, kernel: str, strip_rows: int
) -> None:
    radius = reach * max(cell_size)
    whole = density_in_memory(cells, cell_size, radius=radius, kernel=kernel)
    assert_same_bits(in_strips(cells, cell_size, radius, kernel, strip_rows), whole)


@given(amounts(side=20), amounts(side=20), REACHES, KERNELS, st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_laws(one: np.ndarray, other: np.ndarray, reach: float, kernel: str, down: int, across: int) -> None:
    """Translation, mirrors, scale, sums: what holds for any density."""
    one, other = (np.pad(cells, ((0, 40 - cells.shape[0]), (0, 45 - cells.shape[1]))) for cells in (one, other))

    def of(cells: np.ndarray, size: float = 1.0) -> np.ndarray:
        return density_in_memory(cells, (1.5 * size, size), radius=1.5 * reach * size, kernel=kernel)

    result = of(one)
    moved = of(np.pad(one, ((down, 0), (across, 0))))[down:, across:]
    assert_same_bits(moved.copy(), result)
    mirrored = of(one[::-1, ::-1])[::-1, ::-1]
    if kernel == "uniform":
        assert_same_bits(mirrored.copy(), result)
    assert_close(mirrored, result, DENSITY)
    assert_close(of(one, 0.7) * 0.7**2, result, DENSITY)
    assert_close(of(one + other), np.float64(result) + of(other), DENSITY)
    assert_close(of(one * 3.0), result * 3.0, DENSITY)


@given(amounts(side=15), REACHES, KERNELS)
@settings(max_examples=60, deadline=None)
def test_nothing_is_made_or_lost(cells: np.ndarray, reach: float, kernel: str) -> None:
    down, across = margins(30.0 * reach, (30.0, 20.0))
    wide = np.pad(cells, ((down, down), (across, across)))
    spread = density_in_memory(wide, (30.0, 20.0), radius=30.0 * reach, kernel=kernel)
    assert spread.sum(dtype=np.float64) * 600.0 == pytest.approx(cells.sum(), rel=DENSITY.relative)


@pytest.mark.parametrize("kernel", ["uniform", "quartic"])
@pytest.mark.parametrize("reach", [1.0, 7.3, 60.0])
def test_shares_end_at_exactly_one(kernel: str, reach: float) -> None:
    down, across = margins(reach * 37.3, (37.3, 21.9))
    shape = (2 * down + 90, 2 * across + 90)
    share = np.empty(shape, np.float32)

    def write(row: int, block: np.ndarray) -> None:
        share[row : row + len(block)] = block

    def read(row: int, rows: int) -> np.ndarray:
        frame = np.pad(np.ones(shape, np.uint8), ((down, down), (across, across)))
        return frame[row : row + rows]

    options = {"radius": reach * 37.3, "kernel": kernel, "total": 1e6, "scale": 37.3 * 21.9}
    density(read, shape, (37.3, 21.9), write, **options)
    assert share.max() == 1.0
    assert (share[down : down + 90, across : across + 90] == 1.0).all()
    assert share[0, 0] < 1.0


def test_a_huge_amount_leaves_no_trace_beyond_the_radius() -> None:
    """Differences of running sums in float64 would leave 1e-7 of the giant, or lose the dwarf."""
    cells = np.zeros((50, 200))
    cells[25, 20], cells[25, 150] = 1e9, 0.1
    for kernel in ("uniform", "quartic"):
        result = density_in_memory(cells, (1.0, 1.0), radius=10.0, kernel=kernel)
        alone = density_in_memory(cells[:, 100:], (1.0, 1.0), radius=10.0, kernel=kernel)
        assert_close(result[:, 100:], alone, DENSITY)
        assert not result[:, 31:140].any()
        assert not result[:15].any()


def test_whole_numbers_are_exact() -> None:
    rng = np.random.default_rng(11)
    counts = rng.integers(0, 2**20, (60, 70))
    square = signal.convolve(counts, ((np.indices((9, 9)) - 4) ** 2).sum(axis=0) <= 16, mode="same")
    assert_same_bits(
        density_in_memory(counts, (1.0, 1.0), radius=4.0, kernel="uniform"), (square * (1 / 49)).astype(np.float32)
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cell_size": (0.0, 1.0)}, "cells positive"),
        ({"cell_size": (1.0, np.nan)}, "cells positive"),
        ({"cell_size": (1.0, 4.1)}, "radius must be at least a cell"),
        ({"radius": np.inf}, "radius"),
        ({"kernel": "gaussian"}, "kernel 'gaussian'"),
        ({"shape": (0, 5)}, "shape"),
        ({"strip_rows": 0}, "strip_rows"),
        ({"total": np.inf}, "total"),
        ({"total": -1.0}, "total"),
        ({"total": 150.0}, "at most `total`"),
        ({"shape": (9, 6)}, r"read_amounts\(0, 4\) returned"),
    ],
)
def test_arguments_out_of_range(change: dict[str, object], said: str) -> None:
    arguments: dict = {"shape": (9, 5), "cell_size": (1.0, 1.0), "radius": 4.0, "kernel": "uniform", "total": 300.0}
    arguments |= {"strip_rows": 4} | change
    with pytest.raises(ValueError, match=said):
        density(lambda _, rows: np.ones((rows, 13)), write=lambda *_: None, **arguments)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("kernel", ["uniform", "quartic"])
def test_amounts_that_are_none(wrong: float, kernel: str) -> None:
    def read(_: int, rows: int) -> np.ndarray:
        return np.where(np.arange(13) == 6, wrong, np.ones((rows, 13)))

    with pytest.raises(ValueError, match="finite, not negative"):
        density(read, (9, 5), (1.0, 1.0), lambda *_: None, radius=4.0, kernel=kernel, total=1e6)


coordinates = st.floats(-15, 25, allow_subnormal=False) | st.integers(-15, 25).map(float)
segments = st.lists(st.tuples(*(coordinates,) * 4), min_size=1, max_size=8).map(np.array)


def lengths_of(ends: np.ndarray, cell_size: tuple[float, float]) -> np.ndarray:
    return np.hypot((ends[:, 2] - ends[:, 0]) * cell_size[0], (ends[:, 3] - ends[:, 1]) * cell_size[1])


@given(segments, st.sampled_from(CELLS))
@settings(max_examples=200, deadline=None)
def test_pieces_add_up(ends: np.ndarray, cell_size: tuple[float, float]) -> None:
    whole = line_lengths(ends, cell_size, -16, -16, (43, 43))
    assert whole.min() >= 0.0
    assert whole.sum() == pytest.approx(lengths_of(ends, cell_size).sum(), rel=1e-12, abs=0)


@given(segments, st.integers(-20, 20), st.integers(-20, 20), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=200, deadline=None)
def test_windows_do_not_show(ends: np.ndarray, row: int, col: int, rows: int, cols: int) -> None:
    whole = line_lengths(ends, (30.0, 20.0), -20, -20, (50, 50))
    part = line_lengths(ends, (30.0, 20.0), row, col, (rows, cols))
    expected = whole[row + 20 : row + 20 + rows, col + 20 : col + 20 + cols].copy()
    assert_same_bits(part, expected)


def test_the_pieces_are_those_of_shapely() -> None:
    rng = np.random.default_rng(2)
    ends = rng.uniform(-5, 15, (40, 4))
    boxes = shapely.box(
        *(np.indices((10, 10)).reshape(2, -1)[[1, 0]]), *(np.indices((10, 10)).reshape(2, -1)[[1, 0]] + 1)
    )
    lines = shapely.linestrings(ends.reshape(-1, 2, 2))
    expected = shapely.length(shapely.intersection(lines[:, None], boxes)).sum(axis=0).reshape(10, 10)
    assert np.abs(line_lengths(ends, (1.0, 1.0), 0, 0, (10, 10)) - expected).max() < 1e-12


def test_lines_on_edges_lie_to_the_right_and_below() -> None:
    ends = np.array([(2.0, 1.0, 2.0, 3.0), (3.0, 4.0, 1.0, 4.0), (5.0, 5.0, 5.0, 5.0)])
    expected = np.zeros((6, 6))
    expected[1:3, 2], expected[4, 1:3] = 20.0, 30.0
    assert line_lengths(ends, (30.0, 20.0), 0, 0, (6, 6)).tolist() == expected.tolist()


def test_a_diagonal_goes_through_the_corners() -> None:
    for ends in ((0.0, 0.0, 7.0, 7.0), (7.0, 7.0, 0.0, 0.0), (0.0, 7.0, 7.0, 0.0), (7.0, 0.0, 0.0, 7.0)):
        cells = line_lengths(np.array([ends]), (1.0, 1.0), 0, 0, (7, 7))
        expected = np.eye(7) * np.sqrt(2.0)
        np.testing.assert_allclose(cells, expected if ends[0] == ends[1] else expected[::-1], rtol=1e-14)


def test_a_line_from_far_away_is_no_more_work() -> None:
    """1e9 cells on either side of the window, and a slope of one cell in 1e9."""
    cells = line_lengths(np.array([(-1e9, 2.5, 1e9, 2.5), (1e9, 0.5, -1e9, 1.5)]), (1.0, 1.0), 0, 0, (4, 5))
    assert cells[2].tolist() == pytest.approx([1.0] * 5, rel=1e-6)
    assert cells[:2].sum() == pytest.approx(5.0, rel=1e-6)
