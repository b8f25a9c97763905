"""Noisy rows are timed again, and the run that is kept is the narrowest."""

from __future__ import annotations

import pytest

from mpmjax.benchmarks import noise
from mpmjax.benchmarks.clock import Spread


@pytest.mark.parametrize(
    ("spread", "width"),
    [(Spread(2.0, 2.0, 2.0), 0.0), (Spread(2.0, 1.0, 2.2), 0.5), (Spread(2.0, 1.9, 5.0), 1.5)],
)
def test_width_is_that_of_the_wider_side(spread: Spread, width: float) -> None:
    assert noise.width(spread) == pytest.approx(width)


@pytest.mark.parametrize(
    ("widths", "kept", "runs"),
    [
        ([0.1, 0.0], 0.1, 1),
        ([noise.WIDE], noise.WIDE, 1),
        ([0.5, 0.12, 0.0], 0.12, 2),
        ([0.5, 0.3, 0.4, 0.0], 0.3, 3),
        ([0.2, 0.3, 0.4, 0.0], 0.2, 3),
    ],
    ids=["quiet", "at the limit", "quiet at last", "never quiet", "best at first"],
)
def test_what_is_kept(widths: list[float], kept: float, runs: int) -> None:
    left = iter(widths)
    assert noise.narrowest(lambda: next(left), lambda width: width) == (kept, runs)


def test_a_limit_of_one_run() -> None:
    left = iter([0.9])
    assert noise.narrowest(lambda: next(left), lambda width: width, runs=1) == (0.9, 1)
