"""What is kept of one row, a case's variant on one machine, and what a reader wants to know of it first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import noise
from .clock import Spread

COPY = "memcpy"
"""The candidate that only copies the bytes that anyone has to move, half of them read and half written."""
REFERENCE = "reference"
"""The candidate that is the definition."""
HOST_CLOCK = " (host clock)"
"""Ends the name of an opponent on a card that the card's own clock does not see."""
_OURS = "ours"
_NUMPY = "NumPy"

Ratio = tuple[str, Spread]
"""An opponent with seconds of the opponent / seconds of the op."""


@dataclass(frozen=True)
class Refused:
    """A row with a red gate: it was not timed and has no speed.

    Attributes:
        red: the verdict.
    """

    case: str
    variant: str
    side: int
    seed: int
    time: str
    red: str


@dataclass(frozen=True)
class Result:
    """One case on one machine. Seconds and ratios as median, p10, p90.

    Attributes:
        unit, work: what is counted and how much of it one call does.
        seconds: by candidate; `op` is ours, `reference` the definition.
        times_faster: by opponent; above 1 where the op is faster.
        of_floor: seconds that the machine's ceilings allow at best / seconds of the op: of a copy of the same bytes in
            the same rounds where one was timed, else of the copies and products of Machine.
        times_part: a unit of the op / a unit of one of its parts (Case.parts), by part.
        how: what a rival chose where it had the choice: sizes of chunks, threads.
        rival_errors: of the rivals that were timed, on the gate's input.
        clock: what was read: wall, processor (time in which the process had its core) or card.
        unable: rivals that were not timed, with the reason.
        slowest: the slowest visit of the op / the median; 0 where it was not kept.
        bytes_moved, operations: what any implementation has to do at least; operations 0 for a pass over memory.
        coarser: rivals that compute in fewer digits than the case asks for: shown, never the best rival.
        runs: how often the row was timed because it was wide (noise.py); the narrowest run is the one kept.
        wide: true if that one is wide still.
        compiling: seconds that a rival took to compile before the clock, by rival.
    """

    case: str
    variant: str
    side: int
    seed: int
    time: str
    unit: str
    work: int
    error: float
    tolerance: float
    why: str
    seconds: Mapping[str, Spread]
    times_faster: Mapping[str, Spread]
    of_floor: float
    clock: str = "wall"
    unable: Mapping[str, str] = field(default_factory=dict)
    times_part: Mapping[str, Spread] = field(default_factory=dict)
    how: Mapping[str, str] = field(default_factory=dict)
    rival_errors: Mapping[str, float] = field(default_factory=dict)
    slowest: float = 0.0
    bytes_moved: int = 0
    operations: int = 0
    coarser: tuple[str, ...] = ()
    runs: int = 1
    wide: bool = False
    compiling: Mapping[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Units a second at the median."""
        return self.work / self.seconds["op"].median

    @property
    def rivals(self) -> dict[str, Spread]:
        """Ratios to what somebody else wrote, in as many digits: neither the copy, nor the definition, nor our own."""
        return {name: ratio for name, ratio in self.times_faster.items() if self.is_rival(name)}

    def is_rival(self, name: str) -> bool:
        """True for an opponent that somebody else wrote and that computes in as many digits."""
        bare = name.removesuffix(HOST_CLOCK)
        return bare not in (COPY, REFERENCE, *self.coarser) and not bare.startswith(_OURS)

    @property
    def best_rival(self) -> Ratio | None:
        """The rival that comes closest to the op or leaves it behind; None without rivals."""
        return _closest(self.rivals)

    @property
    def numpy(self) -> Ratio | None:
        """The fastest rival in NumPy, else the definition where it was clocked."""
        rivals = {name: ratio for name, ratio in self.rivals.items() if name.startswith(_NUMPY)}
        return _closest(rivals or {name: ratio for name, ratio in self.times_faster.items() if name == REFERENCE})

    @property
    def width(self) -> float:
        """How wide the row is: its own seconds or its ratio to the best rival, whichever is wider."""
        best = self.best_rival
        return max(noise.width(spread) for spread in (self.seconds["op"], *([best[1]] if best else [])))

    @property
    def standing(self) -> str:
        """faster, even, slower or alone: beside the best rival, and only where p10 and p90 agree."""
        if self.best_rival is None:
            return "alone"
        ratio = self.best_rival[1]
        return "faster" if ratio.p10 > 1 else "slower" if ratio.p90 < 1 else "even"

    @property
    def limit(self) -> str:
        """What the share of the floor is a share of."""
        if COPY in self.times_faster:
            return "a copy"
        return "multiply-adds" if self.operations else "the machine's floor"

    @property
    def remark(self) -> str:
        """What a reader has to know about the noise of the row; empty if nothing."""
        told = [f"run {self.runs} times"] if self.runs > 1 else []
        return ", ".join([*told, f"NOISY: p10 or p90 {self.width:.0%} away"] if self.wide else told)


def _closest(ratios: Mapping[str, Spread]) -> Ratio | None:
    return min(ratios.items(), key=lambda item: item[1].median, default=None)


def rate(per_second: float) -> str:
    """Units a second in three digits, with k, M or G."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if per_second >= size:
            return f"{per_second / size:.3g} {letter}"
    return f"{per_second:.3g} "


def share_of(share: float) -> str:
    """A share in percent, with a decimal where it is small."""
    return f"{share:.0%}" if share >= 0.1 else f"{100 * share:.2g}%"


def own_spread(result: Result) -> str:
    """p10 to p90 of the op's own visits around their median, in percent."""
    ours = result.seconds["op"]
    return f"−{1 - ours.p10 / ours.median:.0%} to +{ours.p90 / ours.median - 1:.0%}"


def slowest(result: Result) -> str:
    """The slowest visit as a multiple of the median; ? where it was not kept."""
    return f"{result.slowest:.2f}×" if result.slowest else "?"
