"""The measurement and nothing else: who is timed, against whom and on what is decided elsewhere.

Candidates take turns, forward and then backward, so that a machine that slows down or a neighbour that wakes up meets
all of them alike. Visit i of one candidate and visit i of another are close in time: ratios are taken visit by visit.
What a visit takes is told by the host's clock (`on_host`) or by that of a card (device.py).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Median with the 10th and 90th percentile of some visits: seconds, or a ratio without unit."""

    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, values: tuple[float, ...]) -> Spread:
        """Percentiles, linear between visits. Raises ValueError without visits."""
        if not values:
            raise ValueError("a spread needs at least one visit")
        p10, median, p90 = np.percentile(values, (10, 50, 90))
        return cls(float(median), float(p10), float(p90))

    def times(self, factor: float) -> Spread:
        """The same in another unit."""
        return Spread(self.median * factor, self.p10 * factor, self.p90 * factor)


@dataclass(frozen=True)
class Timing:
    """What the clock saw of one candidate: seconds of every visit, in the order of the visits."""

    name: str
    seconds: tuple[float, ...]

    @property
    def spread(self) -> Spread:
        return Spread.of(self.seconds)

    @property
    def slowest(self) -> float:
        """The slowest visit / the median one."""
        return max(self.seconds) / self.spread.median

    def times_faster_than(self, other: Timing) -> Spread:
        """other / self, visit by visit: above 1 where self is the faster one."""
        return Spread.of(tuple(theirs / ours for ours, theirs in zip(self.seconds, other.seconds, strict=True)))


Call = Callable[[], object]
Visit = Callable[[Call], float]
"""Makes one call and returns the seconds it took. What the call returns is dropped outside the clock."""


def on_host(call: Call, now: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one call by the clock `now`."""
    start = now()
    output = call()
    seconds = now() - start
    del output
    return seconds


def on_processor(call: Call) -> float:
    """Seconds in which this process had a core, of one call."""
    return on_host(call, time.process_time)


def interleaved(
    candidates: Mapping[str, Call], repeats: int, warmup: int = 1, visit: Visit = on_host
) -> dict[str, Timing]:
    """Time candidates in turns.

    Args:
        candidates: what to call, by name.
        repeats: rounds; each visits all candidates forward and then backward, so a candidate gets 2 * repeats visits.
        warmup: visits to each candidate before the first round, not kept: compilation, caches, page faults.
        visit: the clock.

    Returns:
        A Timing for each candidate, in the order given.

    Raises:
        ValueError: no candidates, or fewer than one round.
    """
    if not candidates or repeats < 1:
        raise ValueError(f"nothing to time: {len(candidates)} candidates, {repeats} rounds")
    for call in candidates.values():
        for _ in range(warmup):
            visit(call)
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    forward = list(candidates)
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()  # a collection in the middle of a visit would be charged to whoever is being timed
    try:
        for _ in range(repeats):
            for name in (*forward, *reversed(forward)):
                seconds[name].append(visit(candidates[name]))
    finally:
        if collecting:
            gc.enable()
    return {name: Timing(name, tuple(visits)) for name, visits in seconds.items()}
