"""The surface that fills gaps: it keeps the data, leaves planes as they are, and does not depend on strips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft, ndimage
from tolerances import FIELD_LINEAR, assert_close, assert_same_bits

from mpmjax.errors import DiskError
from mpmjax.evidence.fields.fill import MARGIN, Surface, padded_length
from mpmjax.evidence.fields.filters import filtered, vertical
from mpmjax.evidence.fields.spectrum import Spectrum


def bumpy(shape: tuple[int, int], seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    values = np.asarray(ndimage.gaussian_filter(noise, 4.0)) * 100
    values[shape[0] // 4 : shape[0] // 2, shape[1] // 3 : shape[1] // 2] = np.nan
    values[:, -7:] = np.nan
    return values


def surface_of(values: np.ndarray) -> Surface:
    return Surface(lambda row, count: values[row : row + count], values.shape)


@settings(deadline=None)
@given(st.integers(1, 100_000))
def test_padded_lengths(length: int) -> None:
    padded, halvings = padded_length(length)
    assert MARGIN * length <= padded <= 1.7 * length + 2
    assert padded % 2**halvings == 0
    assert padded // 2**halvings <= 20
    assert padded == fft.next_fast_len(padded, real=True)


@pytest.mark.parametrize("shape", [(4, 4), (5, 90), (70, 33), (300, 260)])
def test_data_are_kept_and_gaps_lie_between(shape: tuple[int, int]) -> None:
    values = bumpy(shape)
    surface = surface_of(values)
    filled = surface.rows(0, surface.shape[0])
    own = filled[: shape[0], : shape[1]]
    there = ~np.isnan(values)
    assert np.array_equal(own[there], values[there])
    assert np.isfinite(filled).all()


@pytest.mark.parametrize(("shape", "strip"), [((300, 120), 7), ((610, 95), 256), ((40, 333), 13)])
def test_strips_change_no_bit(shape: tuple[int, int], strip: int) -> None:
    surface = surface_of(bumpy(shape))
    height = surface.shape[0]
    whole = surface.rows(0, height)
    parts = [surface.rows(row, min(strip, height - row)) for row in range(0, height, strip)]
    assert_same_bits(np.concatenate(parts), whole)


def test_a_gap_meets_its_border_in_value_and_slope() -> None:
    """A cosine over the grid, whose gap of a fifth of a wave is filled to 5 % of its height, where a value held on
    from the border would be 40 % off."""
    rows, cols = np.indices((200, 240))
    wave = np.cos(2 * np.pi * rows / 100) * np.cos(2 * np.pi * cols / 120)
    values = wave.copy()
    values[90:110, 110:130] = np.nan
    filled = surface_of(values).rows(0, 200)[:, :240]
    assert np.abs(filled - wave).max() < 0.05


def test_a_gap_in_a_bowl_of_no_curvature() -> None:
    """x y has none and is no plane: the surface through it is itself, here to a five-hundredth of its height."""
    rows, cols = (index / 100.0 - 1.0 for index in np.indices((200, 200)))
    values = rows * cols
    values[80:110, 60:100] = np.nan
    filled = surface_of(values).rows(0, 200)[:, :200]
    assert np.abs(filled - rows * cols).max() < 5e-3


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("in_file", [False, True])
def test_neither_threads_nor_files_change_a_bit(tmp_path: Path, workers: int, in_file: bool) -> None:
    values = bumpy((311, 217))
    widths = np.linspace(80.0, 110.0, 311)

    def made(workers: int, folder: Path | None) -> np.ndarray:
        blocks = filtered(
            lambda row, count: values[row : row + count],
            values.shape,
            widths,
            90.0,
            vertical,
            keep_trend=False,
            folder=folder,
            workers=workers,
        )
        return np.concatenate([block for _, block in blocks])

    assert_same_bits(made(workers, tmp_path if in_file else None), made(1, None))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("in_file", [False, True])
def test_a_spectrum_gives_back_what_it_was_given(tmp_path: Path, in_file: bool) -> None:
    rng = np.random.default_rng(2)
    numbers = rng.normal(size=(53, 150)) + 1j * rng.normal(size=(53, 150))
    with Spectrum(numbers.shape, tmp_path if in_file else None) as spectrum:
        for row in range(0, 53, 20):
            spectrum.put_rows(row, numbers[row : row + 20])
        for col, count in spectrum.blocks:
            block = spectrum.columns(col, count)
            assert_same_bits(block, numbers[:, col : col + count])
            spectrum.put_columns(col, 2 * block)
        assert_same_bits(spectrum.rows(31, 22), 2 * numbers[31:53])


def test_a_folder_that_takes_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskError, match=r"gone: the spectrum of a grid .* max_memory"),
        Spectrum((4, 4), tmp_path / "gone"),
    ):
        raise AssertionError("it cannot be opened")


def test_the_surface_is_linear_in_the_data() -> None:
    first, second = bumpy((90, 100)), bumpy((90, 100), 2)
    one, two, both = (surface_of(v) for v in (first, second, 3 * first - 2 * second))
    expected = 3 * one.rows(0, 90) - 2 * two.rows(0, 90)
    assert_close(both.rows(0, 90) / 100, expected / 100, FIELD_LINEAR)
