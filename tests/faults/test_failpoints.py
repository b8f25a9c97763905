"""Killed before each step of writing a tile, the manifest and the maps, and started again: the same bytes."""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest
from faulty import PHASES, Bench

Step = tuple[str, str]
"""Name and place, as in fault_points.py."""


def steps(bench: Bench, output: Path) -> dict[Step, int]:
    """How often a run takes each step."""
    count = bench.folder / "steps.json"
    bench.screen(output, point=["none", "none", 0], count=str(count))
    bench.require_same(output)
    shutil.rmtree(output)
    return {(name, place): calls for name, place, calls in json.loads(count.read_text())}


def kill_at(bench: Bench, phase: str, step: Step, number: int) -> bool:
    """A run that dies at the n-th call of a step and is started again; False if it never came there."""
    output = bench.begin(phase, "point")
    what = f"{step[0]} of {step[1]}, call {number} from the {phase} on"
    ended = bench.try_to(output, point=[*step, number])
    assert ended.status in (0, -signal.SIGKILL), f"{what}: {ended}"
    bench.require_whole_names(output)
    if ended.status:
        bench.screen(output)
    bench.require_same(output, what)
    shutil.rmtree(output)
    return ended.status != 0


def show(died: Counter[Step]) -> None:
    print(f"{sum(died.values())} of {sum(died.values())} failpoints recovered, to the same bytes:")
    for (name, place), count in sorted(died.items()):
        print(f"  {name} ({place}): {count}")


def test_five_failpoints(calm: Bench) -> None:
    assert kill_at(calm, "tiles", ("half", "tile"), 20)
    assert kill_at(calm, "maps", ("cog written", "final"), 3)
    assert kill_at(calm, "targets", ("cog", "final"), 1)
    assert kill_at(calm, "targets", ("replace", "final"), 2)
    assert kill_at(calm, "targets", ("row to commit", "manifest"), 1)


@pytest.mark.faults
@pytest.mark.parametrize("phase", PHASES)
def test_before_each_step(few: Bench, phase: str) -> None:
    """Every single call of a run of four tiles."""
    after = [*PHASES, None][[*PHASES].index(phase) + 1]
    later = steps(few, few.begin(after, "counted")) if after else {}
    died: Counter[Step] = Counter()
    for step, calls in steps(few, few.begin(phase, "counted")).items():
        for number in range(1, calls - later.get(step, 0) + 1):
            died[step] += kill_at(few, phase, step, number)
    show(died)
    assert {name for name, _ in died} >= {"fsync", "replace", "half", "write", "open", "row", "row to commit"}
