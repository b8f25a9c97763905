"""What is kept of a run: one JSON line a row, and the same as Markdown for people, first a line a row, then all."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from . import noise
from .clock import Spread, Timing
from .gate import Case, Verdict
from .machine import Machine
from .rows import COPY, HOST_CLOCK, Refused, Result, own_spread, rate, share_of, slowest

_COLUMNS = (
    *("op", "input", "error (allowed)", "rate", "p10 to p90", "slowest visit"),
    *("best rival", "times faster (worst case)", "than NumPy", "of the floor", "remark"),
)


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
        seconds[key + HOST_CLOCK] = timing.spread
        if host_timings and key != "op":
            faster[key + HOST_CLOCK] = host_timings["op"].times_faster_than(timing)
    floor = machine.floor(case.bytes_moved, case.operations) / ours.spread.median
    found = Result(
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
        slowest=ours.slowest,
        bytes_moved=case.bytes_moved,
        operations=case.operations,
        coarser=tuple(case.looser),
        **told,
    )
    return replace(found, wide=found.width > noise.WIDE)


def append(path: Path, results: Sequence[Result], machine: Machine, refused: Sequence[Refused] = ()) -> None:
    """Add one JSON line a row, each with its machine and the run it is of; lines already there stay."""
    run = secrets.token_hex(6)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for item in (*results, *refused):
            file.write(json.dumps({**asdict(item), "machine": machine.as_dict(), "run": run}, sort_keys=True) + "\n")


def markdown(results: Sequence[Result], machine: Machine, refused: Sequence[Refused] = ()) -> str:
    """The figures for a reader: the machine, a line a row, a row for each opponent, then who could not run."""
    lines = [
        place(machine),
        *(
            ["", "**Others were using this machine: trust the ratios, not the rates nor the share of the floor.**"]
            if machine.busy
            else []
        ),
        *(["", f"By the {' and the '.join(sorted({item.clock for item in results}))} clock."] if results else []),
        "",
        *_summary(results, refused),
        *(["", *_details(results)] if results else []),
        *_compiling(results),
    ]
    return "\n".join([*lines, *_settings(results)])


def place(machine: Machine) -> str:
    """The machine in one sentence: processor or card, ceilings, load, commit, versions."""
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
    return f"{where}; load {load}; commit {machine.commit}; Python {machine.python}, {versions}"


def _summary(results: Sequence[Result], refused: Sequence[Refused]) -> list[str]:
    """One line a row; the red ones last, without any speed."""
    lines = [
        f"| {' | '.join(_COLUMNS)} |",
        "|" + "---|" * len(_COLUMNS),
    ]
    for item in results:
        best, numpy = item.best_rival, item.numpy
        lines.append(
            f"| {item.case} | {item.variant}, {item.side}² | {gate(item)} | {rate(item.rate)} {item.unit}/s "
            f"| {own_spread(item)} | {slowest(item)} | {best[0] if best else 'nobody'} "
            f"| {f'{best[1].median:.2f} ({best[1].p10:.2f})' if best else ''} "
            f"| {f'{numpy[1].median:.2f}' if numpy else ''} | {share_of(item.of_floor)} of {item.limit} "
            f"| {item.remark} |"
        )
    lines += [
        f"| {item.case} | {item.variant}, {item.side}² | **RED**: {item.red} |" + " |" * (len(_COLUMNS) - 3)
        for item in refused
    ]
    return lines


def _details(results: Sequence[Result]) -> list[str]:
    """A row for each opponent."""
    lines = [
        "| op | input | error (allowed) | ours | of the floor | against | theirs | times faster (p10 to p90) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for item in results:
        head = (
            f"| {item.case} | {item.variant}, {item.side}² | {gate(item)} "
            f"| {rate(item.rate)} {item.unit}/s | {item.of_floor:.0%} "
        )
        for name, spread in item.times_faster.items():
            theirs = item.work / item.seconds[name].median
            lines.append(f"{head}| {name} | {rate(theirs)} | {times(spread)} |")
            head = "| | | | | "
        if not item.times_faster:
            lines.append(f"{head}| nobody | | |")
    return lines


def _compiling(results: Sequence[Result]) -> list[str]:
    """A row for each rival that was compiled."""
    rows = [
        f"| {item.case} | {item.variant}, {item.side}² | {name} | {seconds:.1f} s |"
        for item in results
        for name, seconds in item.compiling.items()
    ]
    return ["", "| op | input | compiled before the clock | in |", "|---|---|---|---|", *rows] if rows else []


def _settings(results: Sequence[Result]) -> list[str]:
    """Parts, what rivals chose with their errors, and who was not timed."""
    lines: list[str] = []
    for item in results:
        for name, spread in item.times_part.items():
            lines += [
                "",
                f"{item.case}, {item.variant}: {times(spread)} as long as its {name}, {item.unit} for {item.unit}.",
            ]
        errors = {name: f" (error {error:.0e})" for name, error in item.rival_errors.items()}
        chosen = [f"{name}: {how}{errors.get(name, '')}" for name, how in item.how.items()]
        if chosen:
            lines += ["", f"Chosen before the clock for {item.case}, {item.variant}: {'; '.join(chosen)}."]
    for (case, name, reason), variants in not_timed(results).items():
        lines += ["", f"Not timed: {name} for {case} ({variants[-1]}): {reason}."]
    return lines


def not_timed(results: Sequence[Result]) -> dict[tuple[str, str, str], list[str]]:
    """Variants by case, rival and the reason why it was not timed."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for item in results:
        for name, reason in item.unable.items():
            found.setdefault((item.case, name, reason), []).append(item.variant)
    return found


def gate(item: Result) -> str:
    """Error and what is allowed."""
    return f"{item.error:.1e} ({item.tolerance:.1e})"


def times(ratio: Spread) -> str:
    """A ratio with its p10 and p90."""
    return f"{ratio.median:.2f} ({ratio.p10:.2f} to {ratio.p90:.2f})"
