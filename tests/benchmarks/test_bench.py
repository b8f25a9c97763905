"""The suite as `mpmjax bench` runs it: what it starts, what it says, and one real run of the score card."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from mpmjax.benchmarks import bench, cases, whole
from mpmjax.cli import cli


def commands(*words: str) -> list[list[str]]:
    return bench._commands(Path("rows.jsonl"), bench._options(words))


def cases_of(command: list[str]) -> list[str]:
    return [name for word, name in pairwise(command) if word == "--case"]


def test_every_case_is_run_once_by_default() -> None:
    run = [name for command in commands() for name in cases_of(command)]
    assert sorted(run) == sorted(cases.CASES)


def test_the_full_suite_is_more() -> None:
    assert commands("--full")[:2] == commands()
    assert {command[0] for command in commands("--full")} == {"run", "streaming", "growth", "whole"}


def test_each_command_is_a_module_of_the_suite() -> None:
    folder = Path(bench.__file__).parent
    for command in (*commands("--full"), *commands("--quick"), *bench._cuda(Path("rows.jsonl"))):
        assert (folder / f"{command[0]}.py").is_file()


def test_the_score_card_names_cases_that_exist() -> None:
    assert set(bench.QUICK) <= set(cases.CASES)
    re.compile(bench.QUICK_VARIANTS)
    re.compile(bench.QUICK_RIVALS)


def test_the_card_says_what_a_run_takes() -> None:
    run = whole.Whole(whole.Setting(1000), 10.0, 15.0, 900.0, {"screen": 6.0, "train": 3.0, "fuzzify": 0.01})
    card = {
        "machine": {"cpu": "A", "cores": 4},
        "run": run.as_dict(),
        "seconds_until": {"it is there": 0.5},
        "rows": [],
    }
    card |= {"foreseen": 11.0, "bound": "compute", "with": {"16 cores": 4.0}}
    text = bench.words(card)
    assert "0.10 Mcells/s" in text
    assert "screen 6.0 s, train 3.0 s" in text
    assert "fuzzify" not in text
    assert "1.0 s to start" in text
    assert "compute" in text
    assert "with 16 cores" in text


def test_quick_and_full_are_two_things() -> None:
    with pytest.raises(SystemExit):
        bench._options(["--quick", "--full"])


@pytest.mark.slow
def test_the_score_card_of_this_machine(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["bench", "--quick", "--output", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    card = json.loads((tmp_path / bench.CARD).read_text(encoding="utf-8"))
    assert card["run"]["mcells_s"] > 0
    assert {row["case"] for row in card["rows"]} == {*bench.QUICK, "lstm"}
    assert not [row for row in card["rows"] if "red" in row]
    assert (tmp_path / bench.PAGE).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
