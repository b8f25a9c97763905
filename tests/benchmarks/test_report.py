"""What is kept of a run and shown of it, and the command line that ties it together."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mpmjax.benchmarks import gate, machine, report, rows, run
from mpmjax.benchmarks.clock import Timing

PLACE = machine.Machine(
    cpu="a processor (avx2)",
    cores=2,
    cores_physical=1,
    memory_total=2**34,
    memory_available=2**33,
    system="Linux",
    python="3.11.0",
    versions={"numpy": "2.4.6"},
    load=(0.1, 0.2, 0.3),
    copy_bytes_per_second=1e9,
    operations_per_second=1e11,
    commit="0123456789ab",
)
CASE = gate.Case("float32", "cells", 1_000_000, 4_000_000, 0, int, int, lambda got, wanted: VERDICT, "because")
VERDICT = gate.Verdict(1e-8, 1e-7)
EXACT = partial(gate.close, tolerance=0.0)
TIMINGS = {"op": Timing("op", (0.01, 0.01)), "rival": Timing("rival", (0.02, 0.04))}


@pytest.fixture
def measured() -> report.Result:
    told = {"side": 1000, "seed": 5, "time": "2026-01-01T00:00:00+00:00", "unable": {"other": "not installed"}}
    return report.result("label", CASE, VERDICT, TIMINGS, PLACE, **told)


def test_figures(measured: report.Result) -> None:
    assert measured.rate == pytest.approx(1e8)
    assert measured.times_faster["rival"].median == pytest.approx(3.0)
    assert measured.of_floor == pytest.approx(0.4), "4 MB at 1 GB/s are 4 ms of the 10"
    assert PLACE.floor(bytes_moved=1, operations=10**11) == pytest.approx(1.0)


def test_markdown_says_it_all(measured: report.Result) -> None:
    text = report.markdown([measured], PLACE)
    row = "| label | float32, 1000² | 1.0e-08 (1.0e-07) | 100 M cells/s | 40% | rival | 33.3 M | 3.00 (2.20 to 3.80) |"
    assert row in text
    gate = "| label | float32, 1000² | 1.0e-08 (1.0e-07) "
    assert (
        f"{gate}| 100 M cells/s | −0% to +0% | 1.00× | rival | 3.00 (2.20) |  | 40% of the machine's floor | " in text
    )
    assert "Not timed: other for label (float32): not installed." in text
    assert "Others were using" not in text
    assert "Others were using" in report.markdown(
        [measured], machine.Machine(**{**vars(PLACE), "load": (2.0, 1.0, 1.0)})
    )


def test_lines_are_appended(tmp_path: Path, measured: report.Result) -> None:
    path = tmp_path / "results" / "cpu.jsonl"
    for _ in range(2):
        report.append(path, [measured], PLACE)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 2
    assert lines[0]["machine"]["cpu"] == "a processor (avx2)"
    assert lines[0]["times_faster"]["rival"] == {"median": 3.0, "p10": 2.2, "p90": 3.8}


def build(rng: np.random.Generator, side: int) -> tuple[gate.Case, ...]:
    field = rng.random((side, side))
    return (gate.Case("float64", "cells", field.size, field.nbytes, 0, field.copy, lambda: field, EXACT, "a copy"),)


def wrong(rng: np.random.Generator, side: int) -> tuple[gate.Case, ...]:
    return (gate.Case("float64", "cells", 1, 8, 0, lambda: np.ones(1), lambda: np.zeros(1), EXACT, "wrong"),)


def test_a_run_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "describe", lambda: PLACE)
    results = tmp_path / "cpu.jsonl"
    arguments = ["--size", "32", "--repeats", "1", "--runs", "1", "--results", str(results), "--clock", "processor"]
    assert run.main(arguments, {"copy": build, "wrong": wrong}) == 1
    assert run.main([*arguments, "--case", "copy", "--seed", "3"], {"copy": build, "wrong": wrong}) == 0
    first, red, second = (json.loads(line) for line in results.read_text(encoding="utf-8").splitlines())
    assert first["run"] == red["run"] != second["run"]
    assert (red["case"], red["red"]) == ("wrong", "error 1, allowed 0")
    assert not {"seconds", "times_faster", "of_floor"} & set(red)
    assert first["case"] == second["case"] == "copy"
    assert second["seed"] == 3
    assert second["clock"] == "processor"
    printed = capsys.readouterr()
    assert "| copy | float64, 32² |" in printed.out
    assert "By the processor clock." in printed.out
    assert "RED wrong" in printed.err
    assert "| wrong | float64, 32² | **RED**: error 1, allowed 0 |" in printed.out


def test_only_the_variants_that_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "describe", lambda: PLACE)

    def two(rng: np.random.Generator, side: int) -> tuple[gate.Case, ...]:
        (case,) = build(rng, side)
        return case, replace(case, variant="int16")

    results = tmp_path / "cpu.jsonl"
    arguments = ["--size", "8", "--repeats", "1", "--runs", "1", "--results", str(results), "--variant", "int"]
    assert run.main(arguments, {"copy": two}) == 0
    assert [json.loads(line)["variant"] for line in results.read_text(encoding="utf-8").splitlines()] == ["int16"]


def test_machine_describes_itself() -> None:
    here = machine.describe(copy_bytes=2**20)
    assert here.copy_bytes_per_second > 0
    assert here.operations_per_second > 0
    assert here.memory_total >= here.memory_available > 0
    assert "numpy" in here.versions
    assert here.commit
    assert json.dumps(here.as_dict())


def test_outside_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    assert machine.commit(tmp_path) == "?"


def test_more_cores_than_there_are() -> None:
    with pytest.raises(OSError, match="were asked for"), machine.on_cores(10_000):
        pass


def test_all_threads_are_kept_on_one_core() -> None:
    before = os.sched_getaffinity(0)
    stop = threading.Event()
    seen: list[set[int]] = []
    helper = threading.Thread(target=lambda: (stop.wait(30), seen.append(os.sched_getaffinity(0))))
    helper.start()
    with machine.on_cores():
        assert len(os.sched_getaffinity(0)) == 1
        stop.set()
        helper.join()
        assert seen == [os.sched_getaffinity(0)]
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("moved", [64, 1000, 2**20, 2**20 + 514])
def test_copies_move_what_they_say(moved: int) -> None:
    class Counting:
        ones, zeros, copied = staticmethod(np.ones), staticmethod(np.zeros), 0

        def copyto(self, target: np.ndarray, source: np.ndarray) -> None:
            np.copyto(target, source)
            self.copied += target.nbytes

    xp = Counting()
    machine.Copies(xp, buffer=1024).of(moved)()
    assert xp.copied == moved // 2


def test_the_share_of_the_floor_is_that_of_the_copy_beside_it() -> None:
    copied = {**TIMINGS, report.COPY: Timing(report.COPY, (0.005, 0.005))}
    told = {"side": 1000, "seed": 5, "time": "2026-01-01T00:00:00+00:00"}
    assert report.result("label", CASE, VERDICT, copied, PLACE, **told).of_floor == pytest.approx(0.5)


def test_who_is_a_rival_and_who_is_the_best() -> None:
    told = {"side": 1000, "seed": 5, "time": "2026-01-01T00:00:00+00:00"}
    costs = {report.COPY: 0.001, "reference": 0.002, "ours in JAX": 0.003, "half": 0.004}
    others = {"NumPy, whole": 0.03, "NumPy, chunks": 0.02, "library": 0.015}
    timings = {name: Timing(name, (cost, cost)) for name, cost in {"op": 0.01, **costs, **others}.items()}
    found = report.result("label", replace(CASE, looser={"half": 0.1}), VERDICT, timings, PLACE, **told)
    assert set(found.rivals) == set(others)
    assert found.best_rival is not None
    assert found.best_rival[0] == "library"
    assert found.numpy is not None
    assert found.numpy[0] == "NumPy, chunks"
    assert found.standing == "faster"
    assert (found.slowest, found.runs, found.wide, found.coarser) == (1.0, 1, False, ("half",))
    alone = replace(found, times_faster={"reference": found.times_faster["reference"]})
    assert alone.standing == "alone"
    assert alone.numpy is not None
    assert alone.numpy[0] == "reference", "the definition stands in for NumPy where nothing else does"


def test_rates_have_three_digits() -> None:
    assert [rows.rate(value) for value in (1.174e9, 9.871e7, 81_340.0, 12.0)] == ["1.17 G", "98.7 M", "81.3 k", "12 "]


def test_what_a_part_takes_is_told_unit_for_unit() -> None:
    case = replace(CASE, parts={"half": (int, CASE.work // 4)})
    timings = {**TIMINGS, "half": Timing("half", (0.005, 0.005))}
    told = {"side": 1000, "seed": 5, "time": "2026-01-01T00:00:00+00:00", "how": {"rival": "chunks of 8"}}
    found = report.result("label", case, VERDICT, timings, PLACE, **told, rival_errors={"rival": 2e-7})
    assert found.times_part["half"].median == pytest.approx(0.5)
    assert set(found.times_faster) == {"rival"}
    text = report.markdown([found], PLACE)
    assert "label, float32: 0.50 (0.50 to 0.50) as long as its half, cells for cells." in text
    assert "Chosen before the clock for label, float32: rival: chunks of 8 (error 2e-07)." in text


def test_processor_and_its_vectors(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nmodel name : Some CPU\nflags : fpu avx avx2\n\n", encoding="utf-8")
    assert machine.cpu_model(info) == "Some CPU (avx2)"
