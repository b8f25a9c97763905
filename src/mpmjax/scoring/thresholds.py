"""Area shares turned into thresholds, exactly enough for a map, from one histogram that adds up over tiles."""

from __future__ import annotations

import numpy as np

BINS = 65_536
SHARES = (0.01, 0.02, 0.05)


def bin_of(scores: np.ndarray) -> np.ndarray:
    """Bin number (int64) of scores in 0..1."""
    return np.clip((scores.astype(np.float64) * BINS).astype(np.int64), 0, BINS - 1)


def threshold_of_share(histogram: np.ndarray, share: float) -> float:
    """The lowest score of the best `share` of the area.

    It is the lower edge of the highest bin from which on at least that share lies, so the share is met from above by
    less than one bin's area. All cells tie at the top where one bin holds more than the share.

    Args:
        histogram: int64 [65,536], area (or cells, where all are alike) by score in equal bins of 0..1, whole units.
        share: of the valid area, 0..1.

    Raises:
        ValueError: the histogram is empty.
    """
    total = int(histogram.sum())
    if not total:
        raise ValueError("no valid cells, no threshold")
    from_top = np.cumsum(histogram[::-1])
    # 0.56 of 25 cells is 14.000000000000002 in floating point, and must not ask for a fifteenth.
    reached = int(np.searchsorted(from_top, share * total * (1.0 - 1e-12)))
    return (BINS - 1 - min(reached, BINS - 1)) / BINS
