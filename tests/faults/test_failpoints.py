"""Killed before each step of writing a tile, the manifest and the maps, and started again: the same bytes."""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty import Bench

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


def kill_at(bench: Bench, begin: Callable[[str], Path], step: Step, number: int) -> bool:
    """A run that dies at the n-th call of a step and is started again; False if it never came there."""
    output = begin("point")
    what = f"{step[0]} of {step[1]}, call {number}"
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
    def new(name: str) -> Path:
        return calm.folder / name

    assert kill_at(calm, new, ("half", "tile"), 20)
    assert kill_at(calm, new, ("row to commit", "manifest"), 40)
    assert kill_at(calm, calm.tiled, ("cog written", "final"), 3)
    assert kill_at(calm, calm.tiled, ("replace", "final"), 13)
    assert kill_at(calm, calm.tiled, ("row", "manifest"), 15)


@pytest.mark.faults
def test_before_each_step_of_the_maps_and_all_that_follows(calm: Bench) -> None:
    """Every single call; of those on mosaics, which are all alike, some."""
    died: Counter[Step] = Counter()
    for step, calls in steps(calm, calm.tiled("counted")).items():
        few = step[1] in ("mosaic", "tile")
        for number in spread(calls) if few else range(1, calls + 1):
            died[step] += kill_at(calm, calm.tiled, step, number)
    show(died)
    assert {name for name, place in died if place == "final"} >= {"fsync", "replace", "half", "cog", "geopackage"}


@pytest.mark.faults
def test_before_each_step_of_a_tile_and_all_that_goes_before(calm: Bench) -> None:
    """Every single call before the first tile; of those of tiles and of their rows some."""
    later, died = steps(calm, calm.tiled("counted")), Counter[Step]()
    for step, calls in steps(calm, calm.folder / "counted").items():
        few = step[1] in ("tile", "manifest")
        before = calls - later.get(step, 0)
        for number in spread(before) if few else range(1, before + 1):
            died[step] += kill_at(calm, lambda name: calm.folder / name, step, number)
    show(died)
    assert {name for name, place in died if place == "tile"} >= {"fsync", "replace", "half", "write", "open"}
