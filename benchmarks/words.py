"""The page in words: what stands in its tables, for page.py to lay out. Nothing is measured or judged here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from . import charts, report, rows
from .lines import Line
from .machine import Machine
from .rows import Refused, Result

STANDINGS = {
    "faster": "faster than the best rival, at p10 too",
    "even": "even with the best rival: p10 and p90 lie on both sides of 1",
    "slower": "slower than the best rival, at p90 too",
    "alone": "without a rival that could be timed",
    "red": "wrong, and therefore not timed",
}


def cores(line: Line) -> int:
    """Cores that the run could use."""
    return line.machine.cores_used


def counts(shown: Sequence[Line]) -> list[tuple[str, int]]:
    """How many rows stand how, as words and number; only what occurs."""
    stand = [line.row.standing if isinstance(line.row, Result) else "red" for line in shown]
    return [(name, stand.count(name)) for name in STANDINGS if name in stand]


def overview(case: str, shown: Sequence[Line]) -> dict[str, Any]:
    """One line a case: how its rows stand, and the range of what matters."""
    own = [line for line in shown if line.row.case == case]
    results = [line.row for line in own if isinstance(line.row, Result)]
    best = [item.best_rival for item in results if item.best_rival is not None]
    numpy = [item.numpy for item in results if item.numpy is not None]
    floors = [item.of_floor for item in results]
    return {
        "case": case,
        "counts": counts(own),
        "best": _range([charts.plain(ratio.median) for _, ratio in sorted(best, key=_median)]),
        "rivals": ", ".join(dict.fromkeys(name for name, _ in best)),
        "numpy": _range([charts.plain(ratio.median) for _, ratio in sorted(numpy, key=_median)]),
        "floor": _range([rows.share_of(floor) for floor in sorted(floors)]),
        "limit": ", ".join(dict.fromkeys(item.limit for item in results)),
    }


def _error(error: float) -> str:
    return f"{error:.0e}" if error else "0"


def moment(time: str) -> str:
    """A time in ISO 8601 to the minute, for people."""
    return datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _median(named: rows.Ratio) -> float:
    return named[1].median


def _range(ascending: Sequence[str]) -> str:
    """From the first to the last."""
    ends = dict.fromkeys((ascending[0], ascending[-1])) if ascending else {}
    return " to ".join(ends) or "–"


def _name(line: Line, several: bool) -> dict[str, str]:
    cores = f", {line.machine.cores_used} cores" if several and line.machine.cores_used > 1 else ""
    return {"case": line.row.case, "variant": f"{line.row.variant}, {line.row.side}²{cores}"}


def summary(line: Line, several: bool) -> dict[str, Any]:
    """The words of one line of the summary."""
    item = line.row
    if isinstance(item, Refused):
        return {**_name(line, several), "standing": "red", "verdict": item.red}
    best, numpy = item.best_rival, item.numpy
    return {
        **_name(line, several),
        "standing": item.standing,
        "rate": f"{rows.rate(item.rate)} {item.unit}/s",
        "spread": rows.own_spread(item),
        "slowest": rows.slowest(item),
        "rival": best[0] if best else "nobody",
        "faster": f"{best[1].median:.2f}×" if best else "–",
        "worst": f"{best[1].p10:.2f}×" if best else "–",
        "numpy": f"{numpy[1].median:.2f}×" if numpy else "–",
        "floor": rows.share_of(item.of_floor),
        "limit": item.limit,
        "error": _error(item.error),
        "allowed": _error(item.tolerance),
        "remark": item.remark,
    }


def detail(line: Line, several: bool) -> dict[str, Any]:
    """All opponents of a row, with errors and settings."""
    item = line.row
    if isinstance(item, Refused):
        raise TypeError("a red row has no opponents")
    return {
        **_name(line, several),
        "gate": f"error {item.error:.1e}, allowed {item.tolerance:.1e}: {item.why}",
        "told": f"seed {item.seed}, {item.clock} clock, {moment(item.time)}, commit {line.machine.commit}",
        "ours": f"{rows.rate(item.rate)} {item.unit}/s",
        "opponents": [
            {
                "name": name,
                "rate": f"{rows.rate(item.work / item.seconds[name].median)} {item.unit}/s",
                "faster": report.times(ratio),
                "error": _error(item.rival_errors[name]) if name in item.rival_errors else "",
                "how": item.how.get(name, "fewer digits: shown, not counted" if name in item.coarser else ""),
            }
            for name, ratio in item.times_faster.items()
        ],
        "parts": [f"{report.times(ratio)} as long as its {name}" for name, ratio in item.times_part.items()],
    }


def facts(machine: Machine) -> list[tuple[str, str]]:
    """The machine card, label and value."""
    gib = 2**30
    facts = [
        ("Processor", machine.cpu),
        ("Cores", f"{machine.cores_used} used of {machine.cores}"),
        ("Memory", f"{machine.memory_total / gib:.1f} GiB, {machine.memory_available / gib:.1f} GiB of it free"),
        ("Load of 1, 5, 15 minutes", ", ".join(f"{value:.2f}" for value in machine.load)),
        ("Commit", machine.commit),
        ("System", f"{machine.system}, Python {machine.python}"),
        (
            "Copies" + (" within the card" if machine.device else ", one thread"),
            f"{machine.copy_bytes_per_second / 1e9:.3g} GB/s, read + written",
        ),
        ("Multiply-adds, float32", f"{machine.operations_per_second / 1e9:.3g} GFLOP/s on the cores used"),
    ]
    return [*machine.device.items(), *facts]
