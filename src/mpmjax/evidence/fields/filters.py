"""Filters of a potential field by its Fourier transform, over a grid of any size, strip by strip.

Where no source lies above the grid, a wave of wave number k (radians per metre) decays upwards as exp(-|k| z): the
first vertical derivative multiplies its spectrum by |k|, continuation to the height h above by exp(-|k| h) (Blakely
1995, Potential Theory in Gravity and Magnetic Applications, sections 12.1 and 12.2).

Where the width of a cell in metres changes from row to row (a grid in degrees), the spectrum is filtered for a few
widths and every row takes the polynomial through them at its own. Both filters act over distances that are short
beside those over which the width changes, so a row is right where its own width is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import fft

from mpmjax.evidence.fields.fill import HALO, Surface, padded_length
from mpmjax.evidence.fields.spectrum import COLUMNS, Spectrum
from mpmjax.evidence.fields.trend import fit_trend

Read = Callable[[int, int], np.ndarray]
"""(row, count) -> float64 [count, width] of the grid, NaN where it is missing."""

Response = Callable[[np.ndarray], np.ndarray]
"""Wave numbers in radians per metre -> by what each wave is multiplied."""

STRIP = 256
"""Rows at a time. Fixed, so that no setting can change a bit."""


def vertical(wave_number: np.ndarray) -> np.ndarray:
    """First derivative, downwards: it is positive where the field grows towards its source."""
    return wave_number


def upward(height: float) -> Response:
    """Continuation to a height in metres above the grid."""
    return lambda wave_number: np.exp(-height * wave_number)


def filtered(
    read: Read,
    shape: tuple[int, int],
    across: np.ndarray,
    down: float,
    response: Response,
    *,
    keep_trend: bool,
    folder: Path | None = None,
    workers: int = 1,
) -> Iterator[tuple[int, np.ndarray]]:
    """First row and float64 [rows, width] of the filtered grid, top to bottom, in strips of STRIP rows.

    Cells that are missing come out as the filled surface has them. The bits depend on neither folder nor workers.

    Args:
        across: width of the cells of each row in metres, float64 [height]; `down` is their height.
        keep_trend: whether the plane through the data, which is taken off first, is added again.
        folder: keeps the spectrum in a file there; None in memory.
        workers: threads of the transforms.
    """
    trend = fit_trend(((row, read(row, count)) for row, count in strips_of(shape[0])), shape)
    surface = Surface(lambda row, count: trend.off(row, read(row, count)), shape)
    height, width = surface.shape
    with Spectrum((height, width // 2 + 1), folder) as spectrum:
        for row, count in strips_of(height):
            spectrum.put_rows(row, np.asarray(fft.rfft(surface.rows(row, count), axis=1, workers=workers)))
        del surface
        _filter_columns(spectrum, width, _with_margin(across, height), down, response, workers)
        for row, count in strips_of(shape[0]):
            found = np.asarray(fft.irfft(spectrum.rows(row, count), width, axis=1, workers=workers))[:, : shape[1]]
            yield row, found + trend.rows(row, count) if keep_trend else found


def memory_needed(shape: tuple[int, int], *, in_file: bool) -> int:
    """Bytes that `filtered` takes, about and rather too many (tests hold it to that)."""
    height, width = (padded_length(side)[0] for side in shape)
    strips = (STRIP + 2 * HALO) * width * 8 * _IN_STRIPS
    columns = height * COLUMNS * 16 * _IN_COLUMNS
    kept = 0 if in_file else height * (width // 2 + 1) * 16
    return int(_FIXED + strips + columns + kept + height * width * _IN_LEVELS)


_FIXED = 8 << 20
_IN_STRIPS = 6
"""Arrays of float64 at a time: a strip with its halo, and its cells that are smoothed, which may be all of them."""
_IN_COLUMNS = 6
_IN_LEVELS = 5.0
"""Bytes a cell: means and shares at half the length and below, twice while they are made."""


def strips_of(height: int) -> list[tuple[int, int]]:
    """First row and number of rows of each strip."""
    return [(row, min(STRIP, height - row)) for row in range(0, height, STRIP)]


def _with_margin(across: np.ndarray, height: int) -> np.ndarray:
    """Widths of cells for the padded rows: half of the margin continues the last row, half leads to the first."""
    margin = np.where(np.arange(height - len(across)) < (height - len(across)) / 2, across[-1], across[0])
    return np.concatenate((across, margin))


def _filter_columns(
    spectrum: Spectrum, width: int, across: np.ndarray, down: float, response: Response, workers: int
) -> None:
    """Complete the transform along the columns, filter, and go back along them."""
    widths, weights = _nodes(across)
    by_rows = 2 * np.pi * fft.fftfreq(spectrum.shape[0], down)[:, None]
    for col, count in spectrum.blocks:
        waves = fft.fft(spectrum.columns(col, count), axis=0, workers=workers)
        found = np.zeros_like(waves)
        for node, weight in zip(widths, weights, strict=True):
            by_cols = 2 * np.pi / (width * node) * np.arange(col, col + count)
            passed = waves * response(np.hypot(by_rows, by_cols))
            found += weight[:, None] * fft.ifft(passed, axis=0, overwrite_x=True, workers=workers)
        spectrum.put_columns(col, found)


def _nodes(across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Widths to filter for [n], and the weight that each has in each row [n, rows].

    Chebyshev's nodes of the range of widths, and Lagrange's polynomials through them. Three for a range of 10 % and
    five for one of 50 % leave less than 1e-5 and 1e-4 of the filters.
    """
    low, high = float(across.min()), float(across.max())
    count = 1 if high <= low * (1 + 1e-6) else 3 if high <= 1.1 * low else 5
    places = np.cos(np.pi * (np.arange(count) + 0.5) / count) if count > 1 else np.zeros(1)
    nodes = (low + high) / 2 + places * (high - low) / 2
    weights = np.ones((count, len(across)))
    for one in range(count):
        for other in set(range(count)) - {one}:
            weights[one] *= (across - nodes[other]) / (nodes[one] - nodes[other])
    return nodes, weights
