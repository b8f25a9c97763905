"""Result lines read back, with a sentence for each that cannot be read: those of report.append, now and before.

A file grows over the years. Fields that a line has not yet got take their defaults, fields that nobody knows are left.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from .clock import Spread
from .machine import Machine
from .rows import Refused, Result

_SPREADS = ("seconds", "times_faster", "times_part")
_NUMBERS = ("side", "seed", "work", "error", "tolerance", "of_floor", "slowest", "bytes_moved", "operations", "runs")
_PERCENTILES = ("median", "p10", "p90")
_RATES = ("copy_bytes_per_second", "operations_per_second")


@dataclass(frozen=True)
class Line:
    """One row as it was written.

    Attributes:
        run: equal for the rows of one run.
    """

    row: Result | Refused
    machine: Machine
    run: str

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for rows that answer the same question: a newer one replaces an older one."""
        row, machine = self.row, self.machine
        return row.case, row.variant, row.side, machine.cores_used, machine.device.get("card", machine.cpu)


@dataclass(frozen=True)
class Lines:
    """What a file holds: its rows in order, and a sentence for each line that is none."""

    rows: tuple[Line, ...]
    broken: tuple[str, ...]


def read(path: Path) -> Lines:
    """All lines of a file. Raises OSError or UnicodeDecodeError where it cannot be read at all."""
    rows: list[Line] = []
    broken: list[str] = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not text.strip():
            continue
        try:
            rows.append(parse(text))
        except (ValueError, TypeError) as error:
            broken.append(f"Line {number} of {path.name} is no result: {error}.")
    return Lines(tuple(rows), tuple(broken))


def parse(text: str) -> Line:
    """One line. Raises ValueError or TypeError, with what is wrong with it."""
    try:
        held = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON ({error.msg} at character {error.pos})") from error
    if not isinstance(held, dict) or not isinstance(held.get("machine"), dict):
        raise ValueError("it has no machine")
    machine = _machine(held["machine"])
    run = str(held.get("run") or json.dumps([held["machine"], held.get("seed")], sort_keys=True))
    datetime.fromisoformat(str(held.get("time")))
    if "red" in held:
        return Line(Refused(**_known(Refused, held)), machine, run)
    return Line(_result(held), machine, run)


def newest(lines: Iterable[Line]) -> list[Line]:
    """The last line of each key, in the order in which the keys first came."""
    return list({line.key: line for line in lines}.values())


def last_run(lines: Iterable[Line]) -> list[Line]:
    """The lines of the run that the last line belongs to."""
    rows = list(lines)
    return [line for line in rows if line.run == rows[-1].run]


def _machine(held: Mapping[str, Any]) -> Machine:
    known = _known(Machine, held)
    known["load"] = tuple(float(value) for value in known["load"])
    if len(known["load"]) != 3:
        raise ValueError("load needs 3 numbers")
    for name in _RATES:
        if not _number(known[name]) or known[name] <= 0:
            raise ValueError(f"{name} is {known[name]!r}")
    return Machine(**known)


def _result(held: Mapping[str, Any]) -> Result:
    known = _known(Result, held)
    for name in _SPREADS:
        known[name] = {key: _spread(value) for key, value in dict(known.get(name) or {}).items()}
    for name in _NUMBERS:
        if name in known and not _number(known[name]):
            raise ValueError(f"{name} is {known[name]!r}")
    known["coarser"] = tuple(known.get("coarser") or ())
    if "op" not in known["seconds"]:
        raise ValueError("it has no seconds of the op")
    absent = sorted(set(known["times_faster"]) - set(known["seconds"]))
    if absent:
        raise ValueError(f"it has no seconds of {absent}")
    return Result(**known)


def _spread(held: Any) -> Spread:
    if not isinstance(held, dict) or not all(_number(held.get(name)) and held[name] > 0 for name in _PERCENTILES):
        raise ValueError(f"{held!r} is no median with p10 and p90")
    return Spread(*(held[name] for name in _PERCENTILES))


def _known(kind: type, held: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass among what is held. Raises ValueError if one without a default is missing."""
    needed = [item.name for item in fields(kind) if item.default is item.default_factory is MISSING]
    absent = [name for name in needed if name not in held]
    if absent:
        raise ValueError(f"it lacks {', '.join(absent)}")
    return {item.name: held[item.name] for item in fields(kind) if item.name in held}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
