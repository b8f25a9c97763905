"""kill -9 at any moment, and the same command again: the bytes of a run never killed, and little done twice."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from faulty import IN_FLIGHT, SCRATCH, TILES, Bench, begun

KILLS = int(os.environ.get("MPMJAX_KILLS", "200"))


class Series:
    """Runs that are killed, once or several times, and then left alone.

    Attributes:
        runs, kills: how many; again: largest number of tiles that were begun before and after one kill.
        stages: how far the runs had come when they were killed.
    """

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench, self.moments = bench, random.Random(seed)
        self.runs = self.kills = self.again = 0
        self.stages: Counter[str] = Counter()

    def one(self, kills: int) -> None:
        """A run that is killed so often, the first time before its end, and started once more."""
        bench, output = self.bench, self.bench.folder / f"killed-{self.runs}"
        files = [output.with_name(f"{output.name}.{number}") for number in range(kills + 1)]
        span, done = bench.seconds, 0
        while done < kills:
            at = self.moments.uniform(0.0, span)
            if bench.kill_after(at, output, begun=str(files[done])):
                bench.require_whole_names(output)
                self.stages[stage(output)] += 1
                done, span = done + 1, span * 0.7  # what is left to do takes less time
                continue
            bench.require_same(output, "not killed")
            if done:  # the run that went on had ended
                break
            shutil.rmtree(output)
            files[0].unlink(missing_ok=True)
        bench.screen(output, begun=str(files[kills]))
        bench.require_same(output, f"run {self.runs} after {done} kills")
        tiles = [set(begun(file)) for file in files]
        twice = [len(before & after) for before, after in itertools.pairwise(tiles)]
        assert max(twice) <= IN_FLIGHT, f"run {self.runs}: tiles done again after each kill: {twice}"
        self.runs, self.kills, self.again = self.runs + 1, self.kills + done, max(self.again, *twice)
        shutil.rmtree(output)
        for file in files:
            file.unlink(missing_ok=True)

    def __str__(self) -> str:
        stages = ", ".join(f"{count} {name}" for name, count in self.stages.most_common())
        return (
            f"{self.runs} of {self.runs} runs of {TILES} tiles, killed {self.kills} times ({stages}), ended with the "
            f"bytes of an undisturbed one; at most {self.again} tiles were done again after a kill, {IN_FLIGHT} may be "
            "under way"
        )


def stage(output: Path) -> str:
    """How far a run had come."""
    maps, tiles = len(list(output.glob("*.tif"))), len(list((output / SCRATCH / "tiles").glob("*.tile")))
    if (output / "run.json").exists():
        return "at its end"
    if maps >= 10:
        return "after the maps"
    return "before the tiles" if not tiles and not maps else "among the tiles" if tiles < TILES else "among the maps"


def test_three_kills(calm: Bench) -> None:
    series = Series(calm, 3)
    for kills in (1, 2):
        series.one(kills)
    print(series)


@pytest.mark.faults
def test_killed_at_random_moments(calm: Bench) -> None:
    """Each fifth run is killed again while it goes on, each tenth a third time."""
    series = Series(calm, 1)
    while series.runs < KILLS:
        series.one(3 if series.runs % 10 == 9 else 2 if series.runs % 10 == 4 else 1)
    print(series)
    assert len(series.stages) > 3, "at different moments"
