"""Out-of-core distance: against the definition, against scipy, and against itself in other strips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from tolerances import DISTANCE, assert_close, assert_same_bits

from mpmjax.errors import DataError, DiskError
from mpmjax.ops import _spool
from mpmjax.ops.distance import distance, distance_in_memory
from mpmjax.reference.distance import distance as reference

CELLS = [(1.0, 1.0), (30.0, 30.0), (30.0, 20.0), (4243.9, 4178.9), (0.5, 37.0), (60.0, 1.5)]


@st.composite
def masks(draw: st.DrawFn, side: int = 40, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Features in every density, dots or lines, at least one."""
    height, width = (draw(st.integers(1, side)), draw(st.integers(1, side))) if shape is None else shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = rng.random((height, width)) < draw(st.sampled_from([0.0, 0.003, 0.03, 0.3, 0.9]))
    for _ in range(draw(st.integers(0, 3))):
        (r0, r1), (c0, c1) = rng.integers(0, height, 2), rng.integers(0, width, 2)
        steps = max(abs(r1 - r0), abs(c1 - c0)) + 1
        mask[np.linspace(r0, r1, steps).astype(int), np.linspace(c0, c1, steps).astype(int)] = True
    mask[rng.integers(height), rng.integers(width)] = True
    return mask


def in_strips(
    features: np.ndarray,
    cell_size: tuple[float, float],
    scratch: Path,
    strip_rows: int,
    window: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
    """The distance through the streaming door; every row must be read once and written once, in order."""
    read: list[int] = []
    written: list[np.ndarray] = []

    def read_features(row: int, rows: int) -> np.ndarray:
        assert not read or row + rows == read[-1]
        read.append(row)
        return features[row : row + rows]

    def write(row: int, block: np.ndarray) -> None:
        assert row == sum(map(len, written))
        assert len(block) <= strip_rows
        written.append(block.copy())

    distance(read_features, features.shape, cell_size, write, strip_rows=strip_rows, scratch=scratch, window=window)
    assert read[-1] == 0
    assert not list(scratch.iterdir())
    return np.concatenate(written)


@given(masks(), st.sampled_from(CELLS))
@settings(max_examples=150, deadline=None)
def test_against_the_definition(features: np.ndarray, cell_size: tuple[float, float]) -> None:
    result = distance_in_memory(features, cell_size)
    assert result.dtype == np.float32
    assert_close(result, reference(features, cell_size), DISTANCE)


SIZES = st.floats(0.01, 10_000.0)
SHAPES = st.tuples(st.integers(1, 150), st.integers(1, 150)) | st.sampled_from([(1, 1), (1, 700), (700, 1), (2, 900)])


@given(st.data(), SHAPES, SIZES, SIZES)
@settings(max_examples=200, deadline=None)
def test_bits_of_scipy_where_cells_are_not_square(
    data: st.DataObject, shape: tuple[int, int], dx: float, dy: float
) -> None:
    """Equal to scipy's float64 distance rounded to float32, bit for bit, on masks and cells of any shape.

    Both take a few roundings in float64, each its own (2e-16 of the distance), before the one to float32 (6e-8). So the
    bits can differ only where the true distance lies within those few from the middle between two float32 numbers, one
    cell in 1e8: there either is right, and they must be neighbours around that middle.
    """
    assume(dx != dy)
    features = data.draw(masks(shape=shape))
    expected = np.asarray(ndimage.distance_transform_edt(~features, sampling=(dy, dx)))
    found, rounded = distance_in_memory(features, (dx, dy)), expected.astype(np.float32)
    differ = found != rounded
    if differ.any():
        middle = (found[differ].astype(np.float64) + rounded[differ]) / 2
        assert (np.nextafter(found[differ], rounded[differ]) == rounded[differ]).all()
        assert (np.abs(expected[differ] - middle) <= 8 * np.spacing(middle)).all()
    same = ~differ
    assert_same_bits(found[same], rounded[same])


@given(masks(side=60))
@settings(max_examples=100, deadline=None)
def test_square_cells_are_exact(features: np.ndarray) -> None:
    """Squared distances are whole numbers, so the result is the correctly rounded root of the right one."""
    nearest = np.asarray(ndimage.distance_transform_edt(~features, return_distances=False, return_indices=True))
    squared = ((nearest - np.indices(features.shape)) ** 2).sum(axis=0)
    assert_same_bits(distance_in_memory(features, (1.0, 1.0)), np.sqrt(squared.astype(np.float64)).astype(np.float32))


@given(masks(), st.sampled_from(CELLS), st.integers(1, 45), st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_strips_and_windows_do_not_show(
    tmp_path: Path, features: np.ndarray, cell_size: tuple[float, float], strip_rows: int, data: st.DataObject
) -> None:
    whole = distance_in_memory(features, cell_size)
    assert_same_bits(in_strips(features, cell_size, tmp_path, strip_rows), whole)
    height, width = features.shape
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows, cols = data.draw(st.integers(1, height - row)), data.draw(st.integers(1, width - col))
    part = in_strips(features, cell_size, tmp_path, strip_rows, (row, col, rows, cols))
    assert_same_bits(part, whole[row : row + rows, col : col + cols].copy())


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_one_feature_in_a_far_corner(tmp_path: Path, corner: tuple[int, int]) -> None:
    features = np.zeros((3000, 401), bool)
    features[corner] = True
    rows, cols = np.indices(features.shape)
    expected = np.hypot((rows - corner[0] % 3000) * 20.0, (cols - corner[1] % 401) * 30.0)
    result = in_strips(features, (30.0, 20.0), tmp_path, 256)
    assert_close(result, expected, DISTANCE)
    assert result.max() == result[-1 - corner[0], -1 - corner[1]]


def test_a_long_row_of_far_features() -> None:
    """Numbers where float32, or int32 squares, would fail: 100,000 columns, and one row of them 30,000 rows away."""
    features = np.zeros((2, 100_000), bool)
    features[1, [0, 99_999]] = True
    expected = np.minimum(np.arange(100_000), np.arange(100_000)[::-1])
    assert distance_in_memory(features, (1.0, 1.0))[1].tolist() == expected.tolist()
    tall = np.zeros((100_000, 2), bool)
    tall[0, 1] = True
    assert_close(distance_in_memory(tall, (1.0, 1.0))[:, 0], np.hypot(np.arange(100_000), 1.0), DISTANCE)


def test_numbers_are_features_where_not_zero(tmp_path: Path) -> None:
    features = np.array([[0, 0, 7], [0, 0, 0]], np.uint8)
    assert_same_bits(in_strips(features, (1.0, 1.0), tmp_path, 1), distance_in_memory(features > 0, (1.0, 1.0)))


def test_no_feature_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 5 x 4 cells holds a feature"):
        in_strips(np.zeros((5, 4), bool), (1.0, 1.0), tmp_path, 2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fails", ["read", "write"])
def test_an_error_of_the_caller_passes_and_leaves_nothing(tmp_path: Path, fails: str) -> None:
    def read_features(row: int, rows: int) -> np.ndarray:
        if fails == "read" and row == 0:
            raise OSError("the caller's own")
        return np.ones((rows, 5), bool)

    def write(row: int, block: np.ndarray) -> None:
        raise OSError("the caller's own")

    with pytest.raises(OSError, match="the caller's own"):
        distance(read_features, (9, 5), (1.0, 1.0), write, strip_rows=4, scratch=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ones = np.ones((9, 5), bool)
    with pytest.raises(DiskError, match="intermediate file"):
        in_strips(ones, (1.0, 1.0), tmp_path / "missing", 4)
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    monkeypatch.setattr(_spool.tempfile, "TemporaryFile", lambda **_: full.open("r+b", buffering=0))
    with pytest.raises(DiskError, match="No space left"):
        in_strips(ones, (1.0, 1.0), tmp_path, 4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cell_size": (0.0, 1.0)}, "cell_size"),
        ({"cell_size": (1.0, np.nan)}, "cell_size"),
        ({"shape": (0, 5)}, "shape"),
        ({"strip_rows": 0}, "strip_rows"),
        ({"window": (0, 0, 10, 5)}, "window"),
        ({"window": (2, -1, 3, 3)}, "window"),
        ({"window": (2, 2, 3, 0)}, "window"),
        ({"shape": (9, 6)}, "read_features"),
    ],
)
def test_arguments_out_of_range(tmp_path: Path, change: dict[str, object], said: str) -> None:
    arguments: dict = {"shape": (9, 5), "cell_size": (1.0, 1.0), "strip_rows": 4, "window": None} | change
    with pytest.raises(ValueError, match=said):
        distance(lambda _, rows: np.ones((rows, 5), bool), write=lambda *_: None, scratch=tmp_path, **arguments)
