"""The clock, with hands that the test moves."""

from __future__ import annotations

import gc
from functools import partial

import pytest

from mpmjax.benchmarks.clock import Spread, Timing, interleaved, on_host


class Hands:
    """A clock that only moves when a candidate works."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.visits: list[str] = []

    def now(self) -> float:
        return self.seconds

    def candidate(self, name: str, cost: float) -> object:
        def call() -> str:
            assert not gc.isenabled() or len(self.visits) < 2, "a collection could run inside a visit"
            self.visits.append(name)
            self.seconds += cost
            return name

        return call


def test_candidates_take_turns_forward_and_backward() -> None:
    hands = Hands()
    candidates = {"fast": hands.candidate("fast", 1.0), "slow": hands.candidate("slow", 3.0)}
    timings = interleaved(candidates, repeats=2, warmup=1, visit=partial(on_host, now=hands.now))
    warmup, rounds = hands.visits[:2], hands.visits[2:]
    assert warmup == ["fast", "slow"]
    assert rounds == ["fast", "slow", "slow", "fast"] * 2
    assert timings == {"fast": Timing("fast", (1.0,) * 4), "slow": Timing("slow", (3.0,) * 4)}
    assert gc.isenabled()


def test_warmup_is_not_timed() -> None:
    hands = Hands()
    costs = iter([100.0, 100.0, 1.0, 1.0])

    def compiles_first() -> None:
        hands.seconds += next(costs)

    timings = interleaved({"op": compiles_first}, repeats=1, warmup=2, visit=partial(on_host, now=hands.now))
    assert timings["op"].seconds == (1.0, 1.0)


def test_ratios_are_taken_visit_by_visit() -> None:
    ours, theirs = Timing("op", (1.0, 2.0, 10.0)), Timing("rival", (2.0, 4.0, 20.0))
    assert ours.times_faster_than(theirs) == Spread(2.0, 2.0, 2.0)
    assert theirs.times_faster_than(ours).median == 0.5


def test_spread_is_median_and_deciles() -> None:
    spread = Spread.of(tuple(float(value) for value in range(11)))
    assert (spread.median, spread.p10, spread.p90) == (5.0, 1.0, 9.0)
    with pytest.raises(ValueError, match="at least one visit"):
        Spread.of(())


def test_the_slowest_visit_is_a_multiple_of_the_median() -> None:
    assert Timing("op", (1.0, 2.0, 9.0)).slowest == 4.5


def test_a_failing_candidate_is_heard_and_collection_comes_back() -> None:
    def broken() -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        interleaved({"op": broken}, repeats=1, warmup=0)
    assert gc.isenabled()


@pytest.mark.parametrize(("candidates", "repeats"), [({}, 1), ({"op": int}, 0)])
def test_nothing_to_time_is_an_error(candidates: dict, repeats: int) -> None:
    with pytest.raises(ValueError, match="nothing to time"):
        interleaved(candidates, repeats)
