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

SPREAD = 6
"""Calls of a step that is taken once a tile, or once a mosaic, of which so many are tried."""


def steps(bench: Bench, output: Path) -> dict[Step, int]:
    """How often a run takes each step."""
    count = bench.folder / "steps.json"
    bench.screen(output, point=["none", "none", 0], count=str(count))
    bench.require_same(output)
    shutil.rmtree(output)
    return {(name, place): calls for name, place, calls in json.loads(count.read_text())}


def spread(calls: int, most: int = SPREAD) -> list[int]:
    """At most so many of the numbers 1 to `calls`, the first and the last among them."""
    return sorted({1 + round(at * (calls - 1) / max(1, most - 1)) for at in range(most)}) if calls else []


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
    assert kill_at(calm, "tiles", ("row to commit", "manifest"), 40)
    assert kill_at(calm, "maps", ("cog written", "final"), 3)
    assert kill_at(calm, "maps", ("row", "manifest"), 5)
    assert kill_at(calm, "targets", ("replace", "final"), 2)


@pytest.mark.faults
@pytest.mark.parametrize("phase", PHASES)
def test_before_each_step(calm: Bench, phase: str) -> None:
    """Every single call, but of those of tiles, of their rows, and of mosaics, which are all alike, some."""
    after = [*PHASES, None][[*PHASES].index(phase) + 1]
    later = steps(calm, calm.begin(after, "counted")) if after else {}
    died: Counter[Step] = Counter()
    for step, calls in steps(calm, calm.begin(phase, "counted")).items():
        few = step[1] in ("tile", "mosaic") or (step[1] == "manifest" and phase == "tiles")
        own = calls - later.get(step, 0)
        for number in spread(own) if few else range(1, own + 1):
            died[step] += kill_at(calm, phase, step, number)
    show(died)
    assert {name for name, _ in died} >= {"fsync", "replace", "half", "write", "open", "row", "row to commit"}
