"""Counts and speed of a pass over tiles, on a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpmjax.stream.speed import WINDOW, Speed, duration, line_of

TILE = 1_000_000
STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(1, 5), st.sampled_from([0.0, 0.001, 0.3, 7.0, 100.0])), min_size=1, max_size=60
)


@given(steps=STEPS, missing=st.integers(0, 3))
def test_percent_rises_to_100_at_the_end_only(steps: list[tuple[bool, int, float]], missing: int) -> None:
    tiles = sum(count if skip else 1 for skip, count, _ in steps)
    speed, now, before = Speed(tiles + missing, (tiles + missing) * TILE, 0.0), 0.0, 0
    for skip, count, wait in steps:
        assert not speed.complete
        now += wait
        if skip:
            speed.skipped(now, count, count * TILE)
        else:
            speed.done(now, TILE, 3, 1)
        assert before <= speed.percent <= 100
        assert (speed.percent == 100) == (speed.tiles == speed.total)
        before = speed.percent
        figures = speed.figures(now)
        assert all(value is None or value >= 0 for value in figures.values())
        assert figures["seconds_left"] == 0 or not speed.complete
        assert line_of("screen", speed, now)
    assert speed.complete == (missing == 0)
    own = sum(not skip for skip, _, _ in steps)
    assert (speed.worked, speed.bytes_read, speed.retries) == (own * TILE, 3 * own, own)
    assert speed.figures(now)["cells"] == tiles * TILE


@given(steps=STEPS)
def test_skipped_tiles_never_make_it_faster(steps: list[tuple[bool, int, float]]) -> None:
    """Whatever their number and order, nobody is told of more cells a second than were worked in the time at hand."""
    some, none, now = Speed(1000, 1000 * TILE, 0.0), Speed(1000, 1000 * TILE, 0.0), 0.0
    for skip, count, wait in steps:
        now += wait
        if not skip:
            none.done(now, TILE, 0, 0)
            some.done(now, TILE, 0, 0)
        elif some.tiles:
            some.skipped(now, count, count * TILE)
    assert some.rates() == none.rates()
    assert some.recent_rates(now) == none.recent_rates(now)


def test_resumed() -> None:
    """The time of looking at what stands is no part of the speed, nor its cells."""
    speed = Speed(100, 100 * TILE, 0.0)
    speed.skipped(50.0, 40, 40 * TILE)
    assert speed.percent == 40
    assert speed.seconds_left(50.0) is None
    for tile in range(10):
        speed.done(51.0 + tile, TILE, 2 * TILE, 0)
    assert speed.rates() == pytest.approx((TILE, 2 * TILE))
    assert speed.percent == 50
    assert speed.seconds_left(60.0) == pytest.approx(50.0)


def test_recent_speed() -> None:
    """Slow for 100 s, then ten times as fast: after a window the old speed is forgotten."""
    speed = Speed(1000, 1000 * TILE, 0.0)
    for tile in range(10):
        speed.done(10.0 * (tile + 1), TILE, 0, 0)
    assert speed.recent_rates(100.0)[0] == pytest.approx(TILE / 10)
    for tile in range(40):
        speed.done(101.0 + tile, TILE, 0, 0)
    assert speed.recent_rates(140.0)[0] == pytest.approx(TILE)
    assert speed.rates()[0] == pytest.approx(50 * TILE / 140)
    assert speed.seconds_left(140.0) == pytest.approx(950)
    assert speed.recent_rates(140.0 + 10 * WINDOW)[0] < TILE / 5, "standing still is no speed"


def test_many_quick_tiles_keep_few_states() -> None:
    speed = Speed(10**6, 10**9, 0.0)
    for tile in range(100_000):
        speed.done(tile / 1000, 1000, 0, 0)
    assert len(speed._states) < 100
    assert speed.recent_rates(100.0)[0] == pytest.approx(1e6, rel=0.02)


def test_no_tiles_and_no_time() -> None:
    empty = Speed(0, 0, 5.0)
    assert (empty.percent, empty.seconds_left(5.0)) == (100, 0.0)
    assert line_of("screen", empty, 5.0) == "screen  0/0 tiles  100 %"
    at_once = Speed(2, 10, 5.0)
    at_once.done(5.0, 5, 5, 0)
    assert at_once.rates() == at_once.recent_rates(5.0) == (0.0, 0.0)
    assert line_of("screen", at_once, 5.0) == "screen  1/2 tiles  50 %"


def test_line() -> None:
    speed = Speed(4096, 4096 * TILE, 0.0)
    for tile in range(1234):
        speed.done((tile + 1) / 14.32, TILE, 8_000_000, int(tile in (3, 1000)))
    now = 1234 / 14.32
    assert line_of("screen", speed, now) == (
        "screen  1,234/4,096 tiles  30 %  14.3 Mcells/s  0.11 GB/s read  ETA 3 min 20 s, 2 retries"
    )
    whole = Speed(1, TILE, 0.0)
    whole.done(2.0, TILE, 0, 1)
    assert line_of("screen", whole, 1000.0) == "screen  1/1 tiles  100 %  0.50 Mcells/s, 1 retry"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (0.2, "1 s"),
        (59.5, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.5, "1 h 0 min"),
        (5 * 3600 + 12 * 60, "5 h 12 min"),
        (48 * 3600 - 1, "2 d 0 h"),
        (76 * 3600, "3 d 4 h"),
    ],
)
def test_duration(seconds: float, told: str) -> None:
    assert duration(seconds) == told
