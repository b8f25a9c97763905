"""The gate lets no wrong op through to the clock, and the cases pass it with the ops as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mpmjax.benchmarks import cases, gate, machine, run
from mpmjax.benchmarks.stacks import Stack, Wanted
from mpmjax.ops.membership import Memberships
from mpmjax.types import Membership

TRUTH = np.linspace(0.0, 1.0, 11)
RAMP = Membership("linear", {"lo": 0.0, "hi": 10.0})


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
def bench() -> run.Bench:
    return run.Bench(machine.describe(copy_bytes=2**20), machine.Copies(buffer=2**16).of)


def test_a_wrong_op_is_not_timed(bench: run.Bench, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[str] = []

    def wrong() -> np.ndarray:
        calls.append("op")
        return TRUTH + 0.1

    def build(rng: np.random.Generator, side: int) -> tuple[gate.Case, ...]:
        return made_up(wrong), made_up(lambda: TRUTH)

    results, refused = run.run_case("case", build, side=4, repeats=1, seed=7, bench=bench)
    assert [(item.case, item.red) for item in refused] == [("case", "error 0.1, allowed 1e-06")]
    assert len(results) == 1
    assert calls == ["op"], "the wrong op was called beyond the gate"
    assert "RED case, made up (seed 7): error 0.1, allowed 1e-06; not timed" in capsys.readouterr().err


def test_an_op_that_is_wrong_on_large_input_only_is_not_timed(bench: run.Bench) -> None:
    def build(rng: np.random.Generator, side: int) -> tuple[gate.Case, ...]:
        return (made_up(lambda: TRUTH + (0.1 if side > run.GATE_SIDE else 0.0)),)

    _, refused = run.run_case("case", build, side=run.GATE_SIDE + 1, repeats=1, seed=7, bench=bench)
    assert len(refused) == 1


def test_rivals_that_cannot_or_do_something_else_are_named(bench: run.Bench) -> None:
    rivals = {"good": lambda: TRUTH + 1e-4, "wrong": lambda: TRUTH * 2, "absent": gate.Missing("not installed")}

    def build(rng: np.random.Generator, side: int) -> tuple[gate.Case, ...]:
        return (made_up(lambda: TRUTH, rivals=rivals),)

    (result,), _ = run.run_case("case", build, side=4, repeats=1, seed=7, bench=bench)
    assert set(result.times_faster) == {"memcpy", "reference", "good"}
    assert result.unable == {"absent": "not installed", "wrong": "computes something else: error 1"}


def test_an_op_is_judged_at_some_cells_where_the_definition_is_too_slow(bench: run.Bench) -> None:
    def build(rng: np.random.Generator, side: int) -> tuple[gate.Case, ...]:
        wrong = gate.Verdict(1.0, 0.5 if side > run.GATE_SIDE else 2.0)
        return (made_up(lambda: TRUTH, clock_reference=False, spot=lambda: wrong),)

    assert run.run_case("case", build, side=4, repeats=1, seed=7, bench=bench)[1] == []
    assert run.run_case("case", build, side=run.GATE_SIDE + 1, repeats=1, seed=7, bench=bench)[1]


@pytest.mark.parametrize("name", cases.CASES)
def test_every_case_is_green_on_fresh_input(name: str) -> None:
    for case in cases.CASES[name](np.random.default_rng(), 61):
        verdict = gate.check(case)
        assert verdict.passed, f"{name}, {case.variant}: {verdict}"
        assert case.spot is None or case.spot().passed, f"{name}, {case.variant}: at some cells"
        assert case.work > 0
        assert case.why


@pytest.mark.parametrize("name", cases.CASES)
def test_a_planted_error_turns_every_gate_red(name: str) -> None:
    """A thousandth of the value, and a thousandth where it is 0."""
    for case in cases.CASES[name](np.random.default_rng(3), 61):
        wanted = case.reference()
        damaged = off(wanted)
        assert not case.judge(as_output(damaged, case) if name == "membership" else damaged, wanted).passed, (
            case.variant
        )


def off(values: Any) -> Any:
    """An array, a list or a table of them."""
    if isinstance(values, dict):
        return {key: off(value) for key, value in values.items()}
    if isinstance(values, list):
        return [off(value) for value in values]
    return values * 1.001 + np.where(values == 0, 1e-3, 0.0)


def as_output(reference: np.ndarray, case: gate.Case) -> Memberships:
    """What the op would have returned had it computed `reference`."""
    valid = np.isfinite(reference)
    mu = np.where(valid, reference, 0.0).astype("float16" if "float16" in case.variant else "float32")
    if "overlay" in case.variant:
        return Memberships(None, None, reference)
    return Memberships(mu.T, valid.T, None) if "cell-major" in case.variant else Memberships(mu, valid, None)


@pytest.mark.slow
def test_rivals_of_memberships_compute_the_same() -> None:
    """All that need nothing installed; chunks that do not divide the cells. What takes long is JAX compiling them."""
    for case in cases.CASES["membership"](np.random.default_rng(), 271):
        able, unable, _ = gate.able_rivals(case)
        assert all("not installed" in reason for reason in unable.values()), (case.variant, unable)
        assert {"ours, fresh arrays", "NumPy float32, chunks", "jax.jit float32, chunks", "ours in JAX"} <= set(able)
        assert ("NumPy take, chunks" in able) == case.variant.startswith("int16")


@pytest.mark.parametrize("damage", ["mask", "missing", "dtype"])
def test_masks_and_dtypes_are_judged(damage: str) -> None:
    case = next(iter(cases.CASES["membership"](np.random.default_rng(4), 11)))
    got = as_output(case.reference(), case)
    assert case.judge(got, case.reference()).passed
    valid = got.valid.copy()
    if damage == "mask":
        valid[0, 5] = ~valid[0, 5]
    elif damage == "missing":
        got.mu[~valid] = 0.5
    else:
        got = got._replace(mu=got.mu.astype(np.float64))
    assert not case.judge(got._replace(valid=valid), case.reference()).passed


def test_whole_stacks_are_judged_at_their_first_and_last_cell() -> None:
    stack = Stack.of("", [np.arange(1.0, 8.0, dtype=np.float32)], np.ones((1, 7), bool), [RAMP])
    right = as_output(stack.reference(Wanted()), made_up(lambda: TRUTH))
    assert stack.spot(lambda: right, Wanted()).passed
    for cell in (0, -1):
        wrong = right._replace(mu=right.mu.copy())
        wrong.mu[0, cell] += 0.1
        assert not stack.spot(lambda wrong=wrong: wrong, Wanted()).passed
