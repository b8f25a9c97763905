"""When a row is too noisy to be told, and what is done about it. The clock knows nothing of this.

A row is wide where the 10th or the 90th percentile of its own seconds, or of its ratio to the best rival, lies further
than WIDE from the median. It is timed again, and the narrowest run is kept. Whether it was one is told with the row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .clock import Spread

WIDE = 0.15
"""Of the median, either way."""
RUNS = 3
"""How often a row is timed at most."""

Run = TypeVar("Run")


def width(spread: Spread) -> float:
    """How far p10 or p90 lies from the median, whichever is further, as a share of the median."""
    return max(spread.p90 - spread.median, spread.median - spread.p10) / spread.median


def narrowest(time_it: Callable[[], Run], width_of: Callable[[Run], float], runs: int = RUNS) -> tuple[Run, int]:
    """Time once, and again while the width exceeds WIDE, so many times at most.

    Returns:
        The run of the least width, and how often it was run.
    """
    best, width_of_best, done = time_it(), float("nan"), 1
    width_of_best = width_of(best)
    while width_of_best > WIDE and done < runs:
        other, done = time_it(), done + 1
        if width_of(other) < width_of_best:
            best, width_of_best = other, width_of(other)
    return best, done
