"""Log-ratios of many rows on the CPU; the formulas are those of mpmjax.reference.logratio, which judges this file.

One pass over memory: blocks of rows whose logarithms stay in the L1 cache, zeros replaced on the way. Logarithms are
taken to base 2 by a polynomial that becomes vector instructions; one factor a value makes them natural ones. Pivot
coordinates take running sums from the last part on, D additions a row in place of a matrix product. A row's bits depend
on that row alone, whatever the block or the number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mpmjax.ops._compile import compiled
from mpmjax.ops.cpu.numerics import as_bits, log2, log2_normal
from mpmjax.reference.logratio import KINDS, checked

_CLR, _ALR, _ILR = range(len(KINDS))  # clr, alr, ilr
_BLOCK_VALUES = 1024  # 24 KiB of parts, logarithms and results; twice that takes 1.4 times as long
_ROWS_A_TASK = 16_384
_LN2 = 0.6931471805599453
_LEAST_NORMAL, _NORMAL_NUMBERS = np.uint64(1 << 52), np.uint64(0x7FE << 52)


def logratio(
    parts: np.ndarray,
    kind: str,
    *,
    denominator: int = -1,
    deltas: np.ndarray | None = None,
    workers: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Log-ratios of every row.

    Args:
        parts: float64 [n, D], D >= 2; all in any unit, each part in its own.
        kind: clr, alr or ilr (pivot coordinates).
        denominator: which part alr divides by, -D to D - 1.
        deltas: [D], finite, > 0, what zeros are replaced by, in the units of the parts; without them rows with zeros
            are missing.
        workers: threads, >= 1.
        out: where to write, float64, C-contiguous, of the shape of the result.

    Returns:
        float64 [n, D] for clr, [n, D - 1] for alr and ilr, NaN in rows that are missing: those with a part that is
        missing, infinite or negative, and those whose zeros would take all that was measured.

    Raises:
        ValueError: an unknown kind, another shape or dtype, no such denominator, or deltas that cannot be.
    """
    shares = checked(parts.shape, kind, denominator, deltas)
    if parts.dtype != np.float64:
        raise ValueError(f"parts must be float64, got {parts.dtype}")
    rows, count = parts.shape
    shape = (rows, count if kind == "clr" else count - 1)
    if out is None:
        out = np.empty(shape)
    elif out.dtype != np.float64 or out.shape != shape or not out.flags.c_contiguous:
        raise ValueError(f"out must be C-contiguous float64 of shape {shape}, got {out.dtype} {out.shape}")
    given = np.ascontiguousarray(parts)
    code, below = KINDS.index(kind), denominator % count
    own = np.empty(0) if shares is None else shares

    def work(start: int) -> None:
        stop = min(start + _ROWS_A_TASK, rows)
        _logratio(given[start:stop].reshape(-1), code, below, own, count, out[start:stop].reshape(-1))

    starts = range(0, rows, _ROWS_A_TASK)
    if workers == 1:
        for start in starts:
            work(start)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, starts))
    return out


@compiled
def _logratio(parts, kind, denominator, deltas, count, out):
    """out (float64, rows x width, flat) of parts (float64, rows x count, flat), block by block."""
    rows = parts.size // count
    block = max(1, _BLOCK_VALUES // count)
    width = count if kind == _CLR else count - 1
    logs = np.empty(block * count)
    factors, shares = _pivots(count)
    for start in range(0, rows, block):
        stop = min(start + block, rows)
        own, target = logs[: (stop - start) * count], out[start * width : stop * width]
        _take_logs(parts[start * count : stop * count], deltas, count, own)
        if kind == _CLR:
            _clr(own, count, target)
        elif kind == _ALR:
            _alr(own, count, denominator, target)
        else:
            _ilr(own, count, factors, shares, target)


@compiled
def _pivots(count):
    """For pivot j = 0 .. D - 2: its factor, natural logarithm included, and one over the number of parts after it."""
    factors, shares = np.empty(count - 1), np.empty(count - 1)
    for j in range(count - 1):
        after = count - 1 - j
        factors[j] = np.sqrt(after / (after + 1)) * _LN2
        shares[j] = 1.0 / after
    return factors, shares


@compiled
def _take_logs(parts, deltas, count, logs):
    """Logarithms of base 2, NaN in missing rows; only a block with zeros or worse is looked at row by row."""
    highest = np.uint64(0)
    for i in range(parts.size):
        logs[i] = log2_normal(parts[i])
        # Zeros, subnormals and what is negative, infinite or NaN all lie above the normal numbers in this order.
        place = np.uint64(as_bits(parts[i])) - _LEAST_NORMAL
        highest = place if place > highest else highest
    if highest < _NORMAL_NUMBERS:
        return
    mended = np.empty(parts.size)
    for row in range(parts.size // count):
        _mend(parts[row * count : (row + 1) * count], deltas, mended[row * count : (row + 1) * count])
    for i in range(parts.size):
        logs[i] = log2(mended[i]) if mended[i] == mended[i] else np.nan


@compiled
def _mend(row, deltas, mended):
    """The parts of a row with its zeros replaced, or NaN for all of them."""
    usable, zeros, total, lost = True, 0, 0.0, 0.0
    for j in range(row.size):
        usable &= (row[j] >= 0.0) & (row[j] < np.inf)
        total += row[j]
        if row[j] == 0.0:
            zeros += 1
            lost += deltas[j] if deltas.size else 0.0
    if not usable or (zeros > 0 and (deltas.size == 0 or not lost < total)):
        mended[:] = np.nan
        return
    rest = 1.0 - lost / total if zeros else 1.0
    for j in range(row.size):
        mended[j] = deltas[j] if row[j] == 0.0 else row[j] * rest


@compiled
def _clr(logs, count, out):
    for row in range(logs.size // count):
        own, target = logs[row * count : (row + 1) * count], out[row * count : (row + 1) * count]
        # Four sums side by side: one would wait for each addition.
        a = b = c = d = 0.0
        whole = count - count % 4
        for j in range(0, whole, 4):
            a += own[j]
            b += own[j + 1]
            c += own[j + 2]
            d += own[j + 3]
        for j in range(whole, count):
            a += own[j]
        mean = ((a + b) + (c + d)) / count
        for j in range(count):
            target[j] = (own[j] - mean) * _LN2


@compiled
def _alr(logs, count, denominator, out):
    width = count - 1
    for row in range(logs.size // count):
        own, target = logs[row * count : (row + 1) * count], out[row * width : (row + 1) * width]
        below = own[denominator]
        for j in range(denominator):
            target[j] = (own[j] - below) * _LN2
        for j in range(denominator, width):
            target[j] = (own[j + 1] - below) * _LN2


@compiled
def _ilr(logs, count, factors, shares, out):
    width = count - 1
    for row in range(logs.size // count):
        own, target = logs[row * count : (row + 1) * count], out[row * width : (row + 1) * width]
        after = own[width]
        for j in range(width - 1, -1, -1):
            target[j] = after
            after += own[j]
        for j in range(width):
            target[j] = (own[j] - target[j] * shares[j]) * factors[j]
