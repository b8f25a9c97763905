"""Density of features in a circle around every cell, out of core: memory O(strip + 2 radii), whatever the raster.

What a row of cells holds is kept as runs: neighbours of the same amount. Cells that a line crosses are runs of one,
a polygon is one run a row, and cells without anything cost nothing. A row of results takes the runs of all rows within
the radius, a kernel's row for each:

- uniform: a run of n cells, spread over 2 h + 1 columns, is a trapezoid. Its second difference is four numbers, so a
  run costs four additions a row, O(radius) in all, and two running sums along the row give the result. Amounts are
  whole multiples of a power of two here, at least 2^-60 of their total, and sums of int64: exact, in any order, and
  exactly 0 where nothing is within the radius.
- quartic: a run of one cell adds the kernel's row, a longer one differences of its running sums, n + 2 h columns in
  place of n (2 h + 1). Float64, in the order of the rows and columns of the runs.

Nothing in this depends on where strips begin. Beside it stands the walk that finds what length of line each cell holds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mpmjax.ops._compile import compiled
from mpmjax.ops._runs import Window

RIM = 1e-9
"""As in reference/density.py: a centre on the circle is inside."""

KERNELS = ("uniform", "quartic")


@compiled
def _uniform(offsets, starts, ends, amounts, half, factor, out):
    """Rows of results float32 [h, w] from the runs, int64, of the frame's rows from the first row's circle on."""
    height, width = out.shape
    down, across = half.size - 1, half[0]
    bends = np.empty(width + 4 * across + 2, np.int64)  # begins `across` columns before the frame
    for i in range(height):
        bends[:] = 0
        for s in range(i, i + 2 * down + 1):
            h = half[abs(s - i - down)]
            for k in range(offsets[s], offsets[s + 1]):
                rises = starts[k] + across - h
                falls = rises + 2 * h + 1
                n = ends[k] - starts[k]
                bends[rises] += amounts[k]
                bends[rises + n] -= amounts[k]
                bends[falls] -= amounts[k]
                bends[falls + n] += amounts[k]
        slope = total = 0
        for j in range(2 * across):
            slope += bends[j]
            total += slope
        for j in range(width):
            slope += bends[2 * across + j]
            total += slope
            out[i, j] = np.float32(total * factor)


@compiled
def _quartic(offsets, starts, ends, amounts, half, across2, down2, factor, out):
    """As _uniform, amounts float64; across2 and down2 are (dx / radius)^2 and (dy / radius)^2."""
    height, width = out.shape
    down, across = half.size - 1, half[0]
    row = np.empty(width)
    weights, sums = np.empty(2 * across + 1), np.zeros(2 * across + 2)
    for i in range(height):
        row[:] = 0.0
        for s in range(i, i + 2 * down + 1):
            if offsets[s] == offsets[s + 1]:
                continue
            k = s - i - down
            h = half[abs(k)]
            for x in range(-h, h + 1):
                weights[x + h] = _quartic_weight(x, k, across2, down2)
                sums[x + h + 1] = sums[x + h] + weights[x + h]
            for k in range(offsets[s], offsets[s + 1]):
                a, n = starts[k] - across - h, ends[k] - starts[k]  # the first column of results that it reaches
                if n == 1:
                    _add(row, a, weights[: 2 * h + 1], amounts[k])
                else:
                    _add_run(row, a, n, sums[: 2 * h + 2], amounts[k])
        for j in range(width):
            out[i, j] = np.float32(row[j] * factor)


@compiled
def _quartic_weight(x, y, across2, down2):
    rest = 1.0 - (across2 * (x * x) + down2 * (y * y))
    return rest * rest if rest > RIM else 0.0


@compiled
def _add(row, a, weights, amount):
    """row[a + t] += amount weights[t], where that is inside the row."""
    first, last = max(0, -a), min(weights.size, row.size - a)
    if first < last:
        into, what = row[a + first : a + last], weights[first:last]
        for t in range(into.size):
            into[t] += amount * what[t]


@compiled
def _add_run(row, a, n, sums, amount):
    """The same for n cells side by side; sums[t] is that of the first t weights, which are symmetric."""
    span = sums.size - 1
    short, long = min(n, span), max(n, span)
    _add(row, a, sums[1 : short + 1], amount)
    if n < span:
        _add(row, a + n, sums[n + 1 :] - sums[1 : span - n + 1], amount)
    else:
        for j in range(max(a + short, 0), min(a + long, row.size)):
            row[j] += amount * sums[span]
    _add(row, a + long, sums[1:short][::-1], amount)


@compiled
def _walk(segments, dx, dy, row, col, out):
    """Add the length of each segment inside each cell of the window `out` whose first cell is (row, col)."""
    height, _ = out.shape
    for s in range(segments.shape[0]):
        x0, y0, x1, y1 = segments[s, 0], segments[s, 1], segments[s, 2], segments[s, 3]
        right, down = x1 - x0, y1 - y0
        length = np.hypot(right * dx, down * dy)
        first, last = max(np.floor(min(y0, y1)), row), min(np.floor(max(y0, y1)), row + height - 1)
        if length == 0.0 or first > last:
            continue
        for r in range(int(first), int(last) + 1):
            # The part of the segment inside the row, as shares of it from its beginning.
            enters, leaves = 0.0, 1.0
            if down > 0.0:
                enters, leaves = max((r - y0) / down, 0.0), min((r + 1 - y0) / down, 1.0)
            elif down < 0.0:
                enters, leaves = max((r + 1 - y0) / down, 0.0), min((r - y0) / down, 1.0)
            if enters < leaves:
                _walk_row(x0, right, enters, leaves, length, col, out[r - row])


@compiled
def _walk_row(x0, right, enters, leaves, length, col, cells):
    """Cell after cell from `enters` on: every crossing is both the end of a piece and the beginning of the next."""
    end = col + cells.size
    j = np.floor(x0 + enters * right)
    t = enters
    if right == 0.0:
        if col <= j < end:
            cells[int(j) - col] += (leaves - enters) * length
        return
    step, ahead = (1.0, 1.0) if right > 0.0 else (-1.0, 0.0)
    nearest = col if right > 0.0 else end - 1.0
    if (nearest - j) * step > 0.0:  # straight to the first cell of the window
        j = nearest
        t = max(t, (j + 1.0 - ahead - x0) / right)
    while t < leaves and col <= j < end:
        until = min((j + ahead - x0) / right, leaves)
        if until > t:
            cells[int(j) - col] += (until - t) * length
            t = until
        j += step


def line_lengths(
    segments: np.ndarray, cell_size: tuple[float, float], row: int, col: int, shape: tuple[int, int]
) -> np.ndarray:
    """Length of line inside each cell of a window of the grid, or beyond it.

    The crossings of a segment with the edges of cells are computed from its ends, whatever the window, and segments are
    added in their order: a cell's length does not depend on the window (grid traversal after Amanatides and Woo 1987,
    Eurographics). The lengths of a segment's pieces add up to its own. A line along an edge lies in the cell to its
    right or below it, as in Grid.rows_cols.

    Args:
        segments: float64 [n, 4], finite: (x0, y0, x1, y1) in columns and rows of the grid.
        cell_size: (dx, dy), width and height of a cell in metres.
        row, col: the window's first cell.
        shape: (rows, columns) of the window.

    Returns:
        float64 [rows, columns], metres.
    """
    out = np.zeros(shape)
    dx, dy = cell_size
    _walk(np.ascontiguousarray(segments, np.float64), float(dx), float(dy), row, col, out)
    return out


def margins(radius: float, cell_size: tuple[float, float]) -> tuple[int, int]:
    """(rows, columns) beyond a raster whose amounts its densities take.

    Raises:
        ValueError: the radius is smaller than a cell, or a size is not positive.
    """
    half = _half_widths(radius, cell_size)
    return len(half) - 1, int(half[0])


def density(
    read_amounts: Callable[[int, int], np.ndarray],
    shape: tuple[int, int],
    cell_size: tuple[float, float],
    write: Callable[[int, np.ndarray], None],
    *,
    radius: float,
    kernel: str,
    total: float,
    scale: float = 1.0,
    strip_rows: int = 256,
) -> None:
    """Amount per square metre in a circle around every cell, strip by strip.

    Definition: reference/density.py. The results are the same bits for every `strip_rows`.

    Args:
        read_amounts: (row, rows) -> [rows, w + 2 c] of a frame of (r, c) = margins(...) cells around the raster, rows
            counted from the frame's first: what each cell holds, finite and >= 0. Called from the top down, every row
            once, at most `strip_rows` together.
        shape: (h, w) of the results.
        cell_size: (dx, dy), width and height of a cell in metres, both positive.
        write: (row, block) with block float32 [rows, w], amount per m2 times `scale`; called from the top down. The
            block is reused after the call.
        radius: of the kernel in metres, at least max(dx, dy).
        kernel: "uniform" or "quartic".
        total: what all amounts of the frame add up to, or more; amounts below 2^-60 of it may be lost.
        scale: multiplies the results before they are rounded to float32.
        strip_rows: rows a strip.

    Raises:
        ValueError: an argument is out of range, or `read_amounts` returned something else.
    """
    height, width = shape
    half = _half_widths(radius, cell_size)
    if kernel not in KERNELS or not 0 <= total < np.inf or min(height, width, strip_rows) < 1:
        raise ValueError(f"got kernel {kernel!r}, total {total}, shape {shape}, strip_rows {strip_rows}")
    across2, down2 = ((size / radius) ** 2 for size in cell_size)
    unit = 2.0 ** (max(int(np.frexp(total)[1]), -900) - 60) if kernel == "uniform" else None
    window = Window(read_amounts, width + 2 * int(half[0]), unit, total, strip_rows)
    factor = scale / (cell_size[0] * cell_size[1] * _kernel_sum(half, kernel, across2, down2))
    block = np.empty((min(strip_rows, height), width), np.float32)
    for row in range(0, height, strip_rows):
        rows = min(strip_rows, height - row)
        runs = window.runs(row, row + rows + 2 * (len(half) - 1))
        if unit is not None:
            _uniform(*runs, half, factor * unit, block[:rows])
        else:
            _quartic(*runs, half, across2, down2, factor, block[:rows])
        write(row, block[:rows])


def density_in_memory(
    amounts: np.ndarray, cell_size: tuple[float, float], *, radius: float, kernel: str, strip_rows: int = 256
) -> np.ndarray:
    """The same density of one array, with nothing around it: [h, w] -> float32 [h, w], amount per m2.

    Raises:
        ValueError: as `density`.
    """
    down, across = margins(radius, cell_size)
    height, width = np.shape(amounts)
    frame = np.pad(np.asarray(amounts, np.float64), ((down, down), (across, across)))
    out = np.empty((height, width), np.float32)

    def write(row: int, block: np.ndarray) -> None:
        out[row : row + len(block)] = block

    density(
        lambda row, rows: frame[row : row + rows],
        (height, width),
        cell_size,
        write,
        radius=radius,
        kernel=kernel,
        total=float(frame.sum()),
        strip_rows=strip_rows,
    )
    return out


def _half_widths(radius: float, cell_size: tuple[float, float]) -> np.ndarray:
    """int64 [rows + 1]: columns that the circle reaches to either side, 0, 1, 2 ... rows from its centre."""
    dx, dy = (float(size) for size in cell_size)
    if not (dx > 0 and dy > 0 and max(dx, dy) <= radius * (1 + RIM) < np.inf):
        raise ValueError(f"radius must be at least a cell, and cells positive, got {radius} and {cell_size}")
    squared = radius**2 * (1 + RIM)
    down = np.arange(int(np.sqrt(squared) / dy) + 1) * dy
    return (np.sqrt(np.maximum(squared - down**2, 0.0)) / dx).astype(np.int64)


def _kernel_sum(half: np.ndarray, kernel: str, across2: float, down2: float) -> float:
    """The kernel's sum over all cells; rows that are not the middle one come twice."""
    rows = 2.0 * half + 1.0
    if kernel == "quartic":
        for k, h in enumerate(half):
            rest = 1.0 - (across2 * np.arange(-h, h + 1) ** 2 + down2 * k**2)
            rows[k] = (np.where(rest > RIM, rest, 0.0) ** 2).sum()
    return float(rows[0] + 2.0 * rows[1:].sum())
