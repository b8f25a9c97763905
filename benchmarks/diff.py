"""Two commits in one run: python -m mpmjax.benchmarks.diff BASE [--pairs N] [--case NAME]... [--size SIDE] [--cores N].

BASE is checked out into a temporary git worktree. It and the files as they are run the same cases with the same seed in
turns, base, new, base, new, in processes of their own with the same installed packages. A row's rates are divided pair
by pair. It got slower where the median pair lost more than 3 %, and more than p10 and p90 of the pairs lie apart.

Exit status: 0 no row got slower, 1 some did or have a red gate in the new files, 2 usage, or nothing could be compared.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import lines
from .clock import Spread
from .lines import Line
from .rows import Refused, Result, rate

ROOT = Path(__file__).resolve().parents[1]
LOSS = 0.03
"""Of the rate: a row that lost no more did not get slower."""

Key = tuple[str, str, int]
"""Case, variant, side."""


class Incomparable(Exception):
    """There are no two commits to compare, or one of them does not run; the message says which and why."""


@dataclass(frozen=True)
class Change:
    """One row in both: new rate / base's rate over the pairs, above 1 where the new one is faster."""

    key: Key
    unit: str
    base: float
    new: float
    ratio: Spread

    @property
    def slower(self) -> bool:
        """True if it lost more than LOSS, and more than the pairs differ by."""
        return 1 - self.ratio.median > max(LOSS, self.ratio.p90 - self.ratio.p10)


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Compare two commits; returns the exit status."""
    options, passed = _options(argv)
    base: list[list[Line]] = []
    new: list[list[Line]] = []
    try:
        with tempfile.TemporaryDirectory(prefix="bench-diff-") as folder, checked_out(options.base, root) as other:
            for pair in range(options.pairs):
                for checkout, into in ((other, base), (root, new)):
                    results = Path(folder) / f"{pair}-{checkout is root:d}.jsonl"
                    print(f"pair {pair + 1} of {options.pairs}: {'new' if checkout is root else 'base'}", flush=True)
                    into.append(time_it(checkout, passed, results))
    except Incomparable as error:
        print(f"Nothing was compared: {error}", file=sys.stderr)
        return 2
    changes = compare(base, new)
    text, bad = told(changes, base, new)
    print(text)
    return 1 if bad else 0 if changes else 2


@contextlib.contextmanager
def checked_out(base: str, root: Path) -> Iterator[Path]:
    """A git worktree of a commit, gone afterwards. Raises Incomparable."""
    commit = _git(root, "rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}")
    with tempfile.TemporaryDirectory(prefix="bench-base-") as folder:
        place = Path(folder) / "base"
        _git(root, "worktree", "add", "--quiet", "--detach", str(place), commit)
        try:
            yield place
        finally:
            _git(root, "worktree", "remove", "--force", str(place))


def _git(root: Path, *words: str) -> str:
    git = shutil.which("git")
    if git is None:
        raise Incomparable("git is not on PATH")
    done = subprocess.run([git, "-C", str(root), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Incomparable(f"git {words[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout.strip()


def time_it(checkout: Path, arguments: Sequence[str], results: Path) -> list[Line]:
    """The rows of one run of a checkout. Raises Incomparable where it ends without any."""
    # Noisy rows are not timed again: not every commit can, and the pairs tell the noise.
    once = ["--runs", "1"] if "--runs" in (checkout / "benchmarks" / "run.py").read_text(encoding="utf-8") else []
    launcher = str(Path(__file__).with_name("launch.py"))
    command = [sys.executable, "-P", launcher, str(checkout), "run", *arguments, *once, "--results", str(results)]
    # Children of that process find its package by the path.
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or not results.is_file():
        said = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise Incomparable(f"the benchmarks of {checkout} ended with {done.returncode}: {said[0]}")
    found = lines.read(results)
    if found.broken:
        raise Incomparable(found.broken[0])
    return list(found.rows)


def compare(base: Sequence[Sequence[Line]], new: Sequence[Sequence[Line]]) -> list[Change]:
    """The rows that were timed in all runs of both."""
    before, after = [_rows(run) for run in base], [_rows(run) for run in new]
    changes: list[Change] = []
    for key, first in (after[0] if after else {}).items():
        if not all(key in run for run in (*before, *after)):
            continue
        pairs = [(left[key].rate, right[key].rate) for left, right in zip(before, after, strict=True)]
        old, now = (Spread.of(rates).median for rates in zip(*pairs, strict=True))
        ratio = Spread.of(tuple(right / left for left, right in pairs))
        changes.append(Change(key, first.unit, old, now, ratio))
    return changes


def _rows(run: Sequence[Line]) -> dict[Key, Result]:
    return {(line.row.case, line.row.variant, line.row.side): line.row for line in run if isinstance(line.row, Result)}


def told(
    changes: Sequence[Change], base: Sequence[Sequence[Line]], new: Sequence[Sequence[Line]]
) -> tuple[str, list[Key]]:
    """A Markdown table with what could not be compared below it, and the rows that are slower or red."""
    commits = [next((line.machine.commit for run in side for line in run), "?") for side in (base, new)]
    said = [
        f"new: {commits[1]}, base: {commits[0]}, {len(new)} pairs. Above 1: the new one is faster.",
        "",
        "| op | input | base | new | new / base (p10 to p90) | |",
        "|---|---|---|---|---|---|",
    ]
    for change in changes:
        name, variant, side = change.key
        ratio, rates = change.ratio, (f"{rate(value)} {change.unit}/s" for value in (change.base, change.new))
        said.append(
            f"| {name} | {variant}, {side}² | {' | '.join(rates)} "
            f"| {ratio.median:.3f} ({ratio.p10:.3f} to {ratio.p90:.3f}) | {'SLOWER' if change.slower else ''} |"
        )
    red = _red(new)
    for words, where in (("base", _red(base)), ("new", red)):
        said += [
            f"| {name} | {variant}, {side}² | | | RED in {words}: {why} | |" for (name, variant, side), why in where
        ]
    compared = {change.key for change in changes}
    known = dict.fromkeys(key for run in (*base, *new) for key in _rows(run) if key not in compared)
    said += [f"| {name} | {variant}, {side}² | | | not timed in every run of both | |" for name, variant, side in known]
    return "\n".join(said), [change.key for change in changes if change.slower] + [key for key, _ in red]


def _red(runs: Sequence[Sequence[Line]]) -> list[tuple[Key, str]]:
    found: Mapping[Key, str] = {
        (line.row.case, line.row.variant, line.row.side): line.row.red
        for run in runs
        for line in run
        if isinstance(line.row, Refused)
    }
    return list(found.items())


def _options(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The options of this program, and the arguments of each run."""
    parser = argparse.ArgumentParser(prog="python -m mpmjax.benchmarks.diff", description="Compare two commits.")
    parser.add_argument("base", help="the commit to compare the files as they are with")
    parser.add_argument("--pairs", type=int, default=5, help="how often each of the two is run (5)")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="of the input of all runs")
    parser.add_argument("--cores", type=int, default=1, help="cores to use (1)")
    options, rest = parser.parse_known_args(argv)
    if options.pairs < 1:
        parser.error("--pairs must be at least 1")
    if any(word.split("=")[0] in ("--results", "--runs") for word in rest):
        parser.error("results and runs are this program's own")
    cores = ["--cores", str(options.cores)] if options.cores != 1 else []
    return options, [*rest, "--seed", str(options.seed), *cores]


if __name__ == "__main__":
    sys.exit(main())
