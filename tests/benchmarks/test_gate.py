"""The gate lets no wrong op through to the clock, and the cases pass it with the ops as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import cases, gate, machine, run

TRUTH = np.linspace(0.0, 1.0, 11)


def made_up(op: Callable[[], np.ndarray], **changes: object) -> gate.Case:
    case = gate.Case(
        variant="made up",
        unit="cells",
        work=TRUTH.size,
        bytes_moved=TRUTH.nbytes,
        operations=0,
        op=op,
        reference=lambda: TRUTH,
        judge=lambda got, wanted: gate.close(got, wanted, 1e-6),
        why="a test",
    )
    return replace(case, **changes)


def with_nan() -> np.ndarray:
    return np.where(TRUTH == 0.5, np.nan, TRUTH)


@pytest.mark.parametrize(
    ("op", "passes"),
    [
        (lambda: TRUTH + 1e-7, True),
        (lambda: TRUTH + 2e-6, False),
        (lambda: TRUTH[:-1], False),
        (with_nan, False),
        (lambda: TRUTH.astype(np.float16), False),
    ],
    ids=["close", "off", "short", "missing", "coarse"],
)
def test_close(op: Callable[[], np.ndarray], passes: bool) -> None:
    assert gate.check(made_up(op)).passed is passes


def test_missing_cells_must_agree() -> None:
    assert gate.close(with_nan(), with_nan(), 0.0).passed
    assert "missing in one" in gate.close(TRUTH, with_nan(), 1.0).complaint


def test_an_error_that_is_no_number_never_passes() -> None:
    assert not gate.Verdict(np.nan, 1.0).passed


@pytest.fixture(scope="module")
def place() -> machine.Machine:
    return machine.describe(copy_bytes=2**20)


def test_a_wrong_op_is_not_timed(place: machine.Machine, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[str] = []

    def wrong() -> np.ndarray:
        calls.append("op")
        return TRUTH + 0.1

    def build(rng: np.random.Generator, side: int) -> tuple[gate.Case, ...]:
        return made_up(wrong), made_up(lambda: TRUTH)

    results, refused = run.run_case("case", build, side=4, repeats=1, seed=7, place=place)
    assert refused == 1
    assert len(results) == 1
    assert calls == ["op"], "the wrong op was called beyond the gate"
    assert "RED case, made up (seed 7): error 0.1, allowed 1e-06; not timed" in capsys.readouterr().err


def test_an_op_that_is_wrong_on_large_input_only_is_not_timed(place: machine.Machine) -> None:
    def build(rng: np.random.Generator, side: int) -> tuple[gate.Case, ...]:
        return (made_up(lambda: TRUTH + (0.1 if side > run.GATE_SIDE else 0.0)),)

    _, refused = run.run_case("case", build, side=run.GATE_SIDE + 1, repeats=1, seed=7, place=place)
    assert refused == 1


def test_rivals_that_cannot_or_do_something_else_are_named(place: machine.Machine) -> None:
    rivals = {"good": lambda: TRUTH + 1e-4, "wrong": lambda: TRUTH * 2, "absent": gate.Missing("not installed")}

    def build(rng: np.random.Generator, side: int) -> tuple[gate.Case, ...]:
        return (made_up(lambda: TRUTH, rivals=rivals),)

    (result,), _ = run.run_case("case", build, side=4, repeats=1, seed=7, place=place)
    assert set(result.times_faster) == {"reference", "good"}
    assert result.unable == {"absent": "not installed", "wrong": "computes something else: error 1"}


@pytest.mark.parametrize("name", cases.CASES)
def test_every_case_is_green_on_fresh_input(name: str) -> None:
    for case in cases.CASES[name](np.random.default_rng(), 61):
        verdict = gate.check(case)
        assert verdict.passed, f"{name}, {case.variant}: {verdict}"
        assert case.work > 0
        assert case.why


@pytest.mark.parametrize("name", cases.CASES)
def test_every_gate_can_be_red(name: str) -> None:
    for case in cases.CASES[name](np.random.default_rng(3), 61):
        wanted = case.reference()
        damaged = {key: value + 1 for key, value in wanted.items()} if isinstance(wanted, dict) else wanted + 1
        got = (damaged, ~np.isnan(damaged)) if name == "membership" else damaged
        assert not case.judge(got, wanted).passed, f"{name}, {case.variant}"
