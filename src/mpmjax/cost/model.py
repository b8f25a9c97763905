"""From rates to seconds: how long each stage of a run takes, what bounds it, and what other hardware would change.

A stage that is spread over the cores takes its CPU time / cores, and no less than what one thread of it does alone. The
constants are those of two cores of an AMD EPYC (Zen 5) and scale with `Rates.pace`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mpmjax.cost.rates import Rates
from mpmjax.cost.work import Work

START = 4.0
"""Seconds until the first stage, and from the last one to the end of the process."""
TRAINING_COMPILES = 4.0
"""Seconds of compiling the training beyond `Rates.compiling`."""
STEP = 1.05
"""A step of training over its gradient alone: drawing the batch, the optimiser, looks at the cells held out, less what
the compiler saves in the whole. 1.03 to 1.06 (L = 4 and 8, H = 32, two and four members on two cores)."""
GROUPING = 3.4
"""Seconds of finding the groups: of at most 5,000 cells of the sample, whatever the district."""
CONFIDENCE = 0.14
"""Seconds a member, of fitting the sample again."""
PREPARE, DRAW = 3.5e-8, 1.6e-7
"""Seconds a cell of looking at the layers side by side, and of drawing the sample from the blocks that were read."""
TARGETS, VALIDATE, RIVALS = 1.1e-7, 1.7e-7, 1.1e-7
"""Seconds a cell of outlining targets, of judging the maps, and of the simple methods."""
RIVALS_ONCE = 5.5
"""Seconds of the simple methods whatever the cells."""
REPORT, REPORT_CELL = 2.8, 1.6e-8
PASS_LOST, MAPS_LOST = 1.08, 1.12
"""Wall time of the pass, and of building the maps, over their CPU time / cores (benchmarks/results/streaming.md)."""
UNSURE = 0.25
"""By how much a forecast may be off, either way."""
CARD = 1.4e-9
"""Seconds a cell and member on an H100 at H = 64, 32 and below in proportion to H: implied by counted instructions
(kernels/README.md), not measured."""


@dataclass(frozen=True)
class Forecast:
    """Wall seconds of a run.

    Attributes:
        stages: by stage, in their order, as run.json names them; start: besides them.
        parts: of the screening stage by what is done: decode, compute, encode, maps.
        cells: of the grid.
    """

    stages: Mapping[str, float]
    start: float
    parts: Mapping[str, float]
    cells: int

    @property
    def wall(self) -> float:
        return self.start + sum(self.stages.values())

    @property
    def rate(self) -> float:
        """Million cells a second, from files to maps."""
        return self.cells / self.wall / 1e6

    @property
    def bound(self) -> str:
        """The stage that takes longest, and of screening its largest part."""
        name = max(self.stages, key=lambda stage: self.stages[stage])
        return max(self.parts, key=lambda part: self.parts[part]) if name == "screen" else name


def forecast(work: Work, rates: Rates, card: float | None = None) -> Forecast:
    """Seconds of a whole `mpmjax run` of a project that was never run before.

    Args:
        card: seconds a cell and member of a card that scores instead of the cores, while they read and write.
    """
    cores, pace, cells = rates.cores, rates.pace, work.cells
    parts = _screening(work, rates, card)
    trained = math.ceil(work.members / cores) * work.steps * work.batch * rates.train * STEP
    stages = {
        "prepare": work.source_bytes * rates.digest + work.looks + work.made + cells * PREPARE * pace,
        "sample": work.sampled_cells * (rates.sampled + DRAW * pace) / cores,
        "train": rates.compiling + TRAINING_COMPILES * pace + trained,
        "group": GROUPING * pace,
        "confidence": CONFIDENCE * pace * work.members,
        "screen": sum(parts.values()),
        "targets": cells * TARGETS * pace,
    }
    if work.judged:
        stages["validate"] = cells * VALIDATE * pace
        stages["baselines"] = (RIVALS_ONCE + cells * RIVALS) * pace
    stages["report"] = (REPORT + cells * REPORT_CELL) * pace
    return Forecast(stages, START * pace, parts, cells)


def _screening(work: Work, rates: Rates, card: float | None) -> dict[str, float]:
    """Wall seconds by part. Reading, scoring and writing share the cores; tiles are counted by one thread beside them,
    and a map is built by one thread."""
    cells, share = work.cells, PASS_LOST / rates.cores
    scored = cells * work.scored
    parts = {
        "decode": cells * (rates.decode + rates.mask) * share,
        "compute": scored * (work.members * rates.member + rates.rest) * share,
        "encode": cells * (rates.tile + rates.count) * share,
    }
    if card is not None:
        parts["compute"] = max(scored * work.members * card - parts["decode"] - parts["encode"], 0.0)
    parts["encode"] += max(cells * rates.count - sum(parts.values()), 0.0)
    maps = [seconds + rates.read_map for seconds in rates.cogs.values()]
    parts["maps"] = cells * max(sum(maps) / rates.cores * MAPS_LOST, *maps)
    return parts


def what_if(work: Work, rates: Rates) -> dict[str, Forecast]:
    """The same run elsewhere, by name. On a card only the scorer is exchanged; its figure is implied, not measured."""
    more = {"16 cores": forecast(work, replace(rates, cores=16))} if rates.cores < 16 else {}
    return {
        **more,
        "sources in zstd": forecast(work, replace(rates, decode=rates.zstd)),
        "sources that cost nothing to decode": forecast(work, replace(rates, decode=0.0)),
        "half of the members": forecast(replace(work, members=max(1, work.members // 2)), rates),
        "an H100 for the scorer (?)": forecast(work, rates, CARD * max(work.hidden, 16) / 64),
    }


def table(work: Work, rates: Rates) -> list[str]:
    """Lines for people: the whole and what bounds it, seconds by stage, what would change it, memory and disk."""
    found = forecast(work, rates)
    spent = ", ".join(f"{name} {duration(seconds)}" for name, seconds in found.stages.items() if seconds >= 0.5)
    rate = float(f"{1e6 * found.rate:.2g}")
    auto = ', members = "auto" reckoned as 8' if work.auto_members else ""
    whole = (
        f"plan: about {duration(found.wall)} ({duration(found.wall * (1 - UNSURE))} to "
        f"{duration(found.wall * (1 + UNSURE))}) on {rates.cores} cores, {rate:,.0f} cells/s; "
        f"{found.bound} takes the most{auto}"
    )
    return [
        whole,
        f"  {spent}; start and end {duration(found.start)}",
        "  with " + ", ".join(f"{name} {duration(other.wall)}" for name, other in what_if(work, rates).items()),
        f"  at most {work.memory / 2**30:.1f} GiB of memory and {work.disk / 2**30:.1f} GiB of disk",
    ]


def duration(seconds: float) -> str:
    """In words, to two digits."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 597:
        return f"{seconds / 60:.1f} min"
    if seconds < 5940:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
