"""What is kept of a run: one JSON line a case, and the same as Markdown for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .clock import Spread, Timing
from .gate import Case, Verdict
from .machine import Machine

COPY = "memcpy"
"""The candidate that only copies the bytes that anyone has to move, half of them read and half written."""


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

    @property
    def rate(self) -> float:
        """Units a second at the median."""
        return self.work / self.seconds["op"].median


def result(
    name: str,
    case: Case,
    verdict: Verdict,
    timings: Mapping[str, Timing],
    machine: Machine,
    *,
    host_timings: Mapping[str, Timing] | None = None,
    **told: Any,
) -> Result:
    """Put together what was measured; `told` carries side, seed, time, unable and the like as they are.

    On a card, `timings` are by its own clock, `host_timings` those of rivals that it does not see, with the op again,
    by the host's.
    """
    ours = timings["op"]
    others = {key: timing for key, timing in timings.items() if key != "op" and key not in case.parts}
    faster = {key: ours.times_faster_than(timing) for key, timing in others.items()}
    parts = {key: timings[key].times_faster_than(ours).times(work / case.work) for key, (_, work) in case.parts.items()}
    seconds = {key: timing.spread for key, timing in timings.items()}
    for key, timing in (host_timings or {}).items():
        seconds[f"{key} (host clock)"] = timing.spread
        if host_timings and key != "op":
            faster[f"{key} (host clock)"] = host_timings["op"].times_faster_than(timing)
    floor = machine.floor(case.bytes_moved, case.operations) / ours.spread.median
    return Result(
        case=name,
        variant=case.variant,
        unit=case.unit,
        work=case.work,
        error=verdict.error,
        tolerance=verdict.tolerance,
        why=case.why,
        seconds=seconds,
        times_faster=faster,
        of_floor=faster[COPY].median if COPY in faster else floor,
        times_part=parts,
        **told,
    )


def append(path: Path, results: list[Result], machine: Machine) -> None:
    """Add one JSON line a result, each with its machine; lines already there stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for item in results:
            file.write(json.dumps({**asdict(item), "machine": machine.as_dict()}, sort_keys=True) + "\n")


def markdown(results: list[Result], machine: Machine) -> str:
    """The figures for a reader: the machine, then a row for each opponent, then who could not run."""
    load = ", ".join(f"{value:.2f}" for value in machine.load)
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    if machine.device:
        where = "; ".join(f"{name} {value}" for name, value in machine.device.items())
    else:
        where = (
            f"{machine.cpu}, {machine.cores_used} of {machine.cores} cores; a thread copies "
            f"{machine.copy_bytes_per_second / 1e9:.1f} GB/s (read + written), "
            f"{machine.operations_per_second / 1e9:.0f} GFLOP/s (float32) at most"
        )
    place = f"{where}; load {load}; commit {machine.commit}; Python {machine.python}, {versions}"
    lines = [
        place,
        *(
            ["", "**Others were using this machine: trust the ratios, not the rates nor the share of the floor.**"]
            if machine.busy
            else []
        ),
        "",
        f"By the {' and the '.join(sorted({item.clock for item in results}))} clock.",
        "",
        "| op | input | error (allowed) | ours | of the floor | against | theirs | times faster (p10 to p90) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for item in results:
        head = (
            f"| {item.case} | {item.variant}, {item.side}² | {item.error:.1e} ({item.tolerance:.1e}) "
            f"| {_rate(item.rate)} {item.unit}/s | {item.of_floor:.0%} "
        )
        for name, spread in item.times_faster.items():
            theirs = item.work / item.seconds[name].median
            faster = _times(spread)
            lines.append(f"{head}| {name} | {_rate(theirs)} | {faster} |")
            head = "| | | | | "
        if not item.times_faster:
            lines.append(f"{head}| nobody | | |")
    for item in results:
        for name, spread in item.times_part.items():
            lines += [
                "",
                f"{item.case}, {item.variant}: {_times(spread)} as long as its {name}, {item.unit} for {item.unit}.",
            ]
        errors = {name: f" (error {error:.0e})" for name, error in item.rival_errors.items()}
        chosen = [f"{name}: {how}{errors.get(name, '')}" for name, how in item.how.items()]
        if chosen:
            lines += ["", f"Chosen before the clock for {item.case}, {item.variant}: {'; '.join(chosen)}."]
    unable = {(item.case, name, reason): item.variant for item in results for name, reason in item.unable.items()}
    for (case, name, reason), variant in unable.items():
        lines += ["", f"Not timed: {name} for {case} ({variant}): {reason}."]
    return "\n".join(lines)


def _times(ratio: Spread) -> str:
    return f"{ratio.median:.2f} ({ratio.p10:.2f} to {ratio.p90:.2f})"


def _rate(per_second: float) -> str:
    return f"{per_second / 1e6:.3g} M"
