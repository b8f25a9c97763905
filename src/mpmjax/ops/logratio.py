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
_BLOCK_VALUES = 1024  # 24 KiB of parts, logarithms and results; twice that takes 1.3 times as long
_ROWS_A_TASK = 16_384
_LN2 = 0.6931471805599453
_TINY = 2.2250738585072014e-308  # the least normal number
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
    logs, sums = np.empty(block * count), np.empty(count)
    factors, shares = _pivots(count)
    logs_of_deltas = np.log2(deltas)
    for start in range(0, rows, block):
        stop = min(start + block, rows)
        given = parts[start * count : stop * count]
        own, target = logs[: given.size], out[start * width : stop * width]
        if not _take_logs(given, own):
            _mend(given, deltas, logs_of_deltas, count, own)
        if kind == _CLR:
            _clr(own, count, target)
        elif kind == _ALR:
            _alr(own, count, denominator, target)
        else:
            _ilr(own, count, factors, shares, sums, target)


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
def _take_logs(parts, logs):
    """Logarithms of base 2; False where a part is no plain number above 0, and logarithms are not to be trusted."""
    highest = np.uint64(0)
    for i in range(parts.size):
        logs[i] = log2_normal(parts[i])
        # Zeros, subnormals and what is negative, infinite or NaN all lie above the normal numbers in this order.
        place = np.uint64(as_bits(parts[i])) - _LEAST_NORMAL
        highest = place if place > highest else highest
    return highest < _NORMAL_NUMBERS


@compiled
def _mend(parts, deltas, logs_of_deltas, count, logs):
    """Put right the logarithms of rows with zeros, subnormals or worse: zeros replaced, missing rows NaN."""
    lost = np.empty(count)
    for row in range(parts.size // count):
        own, target = parts[row * count : (row + 1) * count], logs[row * count : (row + 1) * count]
        plain = zeros = 0
        for j in range(count):
            plain += 1 if (own[j] >= _TINY) & (own[j] < np.inf) else 0
            zeros += 1 if own[j] == 0.0 else 0
        if plain + zeros < count:  # rare: what is subnormal is right after this, everything else makes the row missing
            usable = True
            for j in range(count):
                usable &= (own[j] >= 0.0) & (own[j] < np.inf)
                target[j] = log2(own[j])
            if not usable:
                target[:] = np.nan
                continue
        if zeros == 0:
            continue
        if deltas.size == 0:
            target[:] = np.nan
            continue
        for j in range(count):
            delta = deltas[j]  # read in any case: a load under a condition is no vector instruction
            lost[j] = delta if own[j] == 0.0 else 0.0
        rest = 1.0 - _sum(lost) / _sum(own)
        shift = log2(rest) if rest > 0.0 else np.nan
        for j in range(count):
            instead, measured = logs_of_deltas[j], target[j] + shift
            target[j] = instead if own[j] == 0.0 else measured
        if shift != shift:
            target[:] = np.nan


@compiled
def _sum(values):
    """The sum, by four sums side by side: one would wait for each addition."""
    a = b = c = d = 0.0
    whole = values.size - values.size % 4
    for j in range(0, whole, 4):
        a += values[j]
        b += values[j + 1]
        c += values[j + 2]
        d += values[j + 3]
    for j in range(whole, values.size):
        a += values[j]
    return (a + b) + (c + d)


@compiled
def _clr(logs, count, out):
    for row in range(logs.size // count):
        own, target = logs[row * count : (row + 1) * count], out[row * count : (row + 1) * count]
        mean = _sum(own) / count
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
def _ilr(logs, count, factors, shares, sums, out):
    width = count - 1
    for row in range(logs.size // count):
        own, target = logs[row * count : (row + 1) * count], out[row * width : (row + 1) * width]
        after = 0.0
        for back in range(width):
            # Unsigned, or every look-up asks whether its index counts from the end.
            j = np.uint64(width - back)
            after += own[j]
            sums[j] = after
        for j in range(width):
            target[j] = (own[j] - sums[j + 1] * shares[j]) * factors[j]
