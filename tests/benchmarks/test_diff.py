"""Two commits in turns: on a made-up repository, and on rows whose rates are known."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mpmjax.benchmarks import diff, launch
from mpmjax.benchmarks.clock import Spread
from mpmjax.benchmarks.lines import Line
from mpmjax.benchmarks.machine import Machine
from mpmjax.benchmarks.rows import Refused, Result

GIT = shutil.which("git") or ""
PLACE = Machine("cpu", 2, 1, 2**34, 2**33, "Linux", "3.11", {}, (0.0, 0.0, 0.0), 1e9, 1e11, "0123456789ab")

BENCHMARK = """
import argparse, json, os, pathlib
import {package} as package
from mpmjax import SECONDS
from mpmjax.kernels import WHOSE

parser = argparse.ArgumentParser()
parser.add_argument("--results", type=pathlib.Path)
parser.add_argument("--seed", type=int)
parser.add_argument("--case", required=True)
options = parser.parse_args()
assert WHOSE == package.WHOSE
seconds = {{"median": SECONDS, "p10": SECONDS, "p90": SECONDS}}
line = dict(case=options.case, variant="v", side=8, seed=options.seed, time="2026-01-01T00:00:00+00:00", unit="cells",
            work=1000, error=0.0, tolerance=0.0, why="", seconds={{"op": seconds}}, times_faster={{}}, of_floor=1.0)
line["machine"] = dict(cpu="c", cores=1, cores_physical=1, memory_total=1, memory_available=1, system="", python="",
                       versions={{}}, load=[0, 0, 0], copy_bytes_per_second=1, operations_per_second=1, commit=WHOSE)
options.results.write_text(json.dumps(line) + "\\n")
"""


def plant(root: Path, seconds: float, whose: str, *, shipped: bool) -> None:
    """A package with its benchmarks and kernels, as this repository has them now, or as it had them before."""
    package = "mpmjax.benchmarks" if shipped else "benchmarks"
    files = {
        "src/mpmjax/__init__.py": f"SECONDS = {seconds}\n",
        "kernels/__init__.py": f"WHOSE = {whose!r}\n",
        "benchmarks/__init__.py": f"WHOSE = {whose!r}\n",
        "benchmarks/run.py": BENCHMARK.format(package=package),
        "pyproject.toml": f'packages = ["{package}"]\n',
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def git(root: Path, *words: str) -> None:
    who = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    subprocess.run([GIT, "-C", str(root), *who, *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A commit with benchmarks of their own, and files as they are, twice as slow, that ship them."""
    if not GIT:
        pytest.skip("needs git")
    root = tmp_path / "repository"
    plant(root, 0.5, "base", shipped=False)
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "base")
    plant(root, 1.0, "new", shipped=True)
    return root


def test_two_commits(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff.main(["HEAD", "--case", "label", "--pairs", "2", "--seed", "7"], repository) == 1
    printed = capsys.readouterr().out
    assert "new: new, base: base, 2 pairs" in printed
    assert "| label | v, 8² | 2 k cells/s | 1 k cells/s | 0.500 (0.500 to 0.500) | SLOWER |" in printed
    told = subprocess.run([GIT, "-C", str(repository), "worktree", "list"], capture_output=True, text=True, check=True)
    assert len(told.stdout.splitlines()) == 1, "the worktree of the base is gone"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--case", "label"], "git rev-parse"),
        (["HEAD"], "ended with 2: run: error: the following arguments are required: --case"),
    ],
)
def test_what_cannot_be_compared(
    repository: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diff.main([*arguments, "--pairs", "1"], repository) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["HEAD", "--pairs", "0"], ["HEAD", "--results", "x"], ["HEAD", "--runs=2"], []])
def test_usage(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        diff.main(wrong)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("gone", "said"), [("kernels", "has no kernels/__init__.py"), ("src", "has no src/mpmjax to time")]
)
def test_a_checkout_without_a_folder_takes_no_other(repository: Path, gone: str, said: str) -> None:
    shutil.rmtree(repository / gone)
    command = [sys.executable, "-P", launch.__file__, str(repository), "run", "--case", "label"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert said in done.stderr


def rows(*seconds: float, case: str = "label") -> list[list[Line]]:
    """A run each, with one row."""
    spreads = [Spread(value, value, value) for value in seconds]
    first = Result(case, "v", 8, 1, "2026-01-01T00:00:00+00:00", "cells", 10, 0.0, 0.0, "", {}, {}, 1.0)
    return [[Line(replace(first, seconds={"op": spread}), PLACE, "a")] for spread in spreads]


@pytest.mark.parametrize(
    ("new", "slower"),
    [
        ((1.0, 1.0, 1.0), False),
        ((1.02, 1.02, 1.02), False),
        ((1.1, 1.1, 1.1), True),
        ((1.1, 1.0, 1.3), False),
        ((0.5, 0.5, 0.5), False),
    ],
    ids=["the same", "a little", "slower", "as much as the pairs differ", "faster"],
)
def test_slower_is_more_than_noise(new: tuple[float, ...], slower: bool) -> None:
    (change,) = diff.compare(rows(1.0, 1.0, 1.0), rows(*new))
    assert change.slower is slower
    assert change.ratio.median == pytest.approx(1 / sorted(new)[1])


def test_rows_without_a_partner_and_red_ones_are_named() -> None:
    base = rows(1.0, 1.0)
    red = Refused("wrong", "v", 8, 1, "2026-01-01T00:00:00+00:00", "error 1")
    new = [[*run, Line(red, PLACE, "a")] for run in rows(1.0, 1.0, case="new")]
    changes = diff.compare(base, new)
    text, bad = diff.told(changes, base, new)
    assert changes == []
    assert "RED in new: error 1" in text
    assert text.count("not timed in every run of both") == 2
    assert bad == [("wrong", "v", 8)]
