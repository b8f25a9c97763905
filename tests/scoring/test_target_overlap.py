"""Targets of two runs laid over each other, in boxes that can be counted."""

from __future__ import annotations

import pytest
import shapely

from mpmjax.scoring.target_overlap import FOLLOWED, overlapping_targets

A = [shapely.box(0, 0, 10, 10), shapely.box(20, 0, 30, 10), shapely.box(50, 50, 60, 60)]


def test_moved_split_gone_and_new() -> None:
    b = [
        shapely.box(22, 0, 32, 10),  # A's second, moved by 2
        shapely.box(0, 0, 3, 10),  # A's first has come apart
        shapely.box(5, 0, 10, 10),
        shapely.box(60, 50, 70, 60),  # beside A's third
    ]
    found = overlapping_targets(A, b, 0.5)
    assert (found["a"], found["b"], found["a_met"], found["b_met"]) == (3, 4, 2, 3)
    assert (found["gone"], found["new"]) == ([3], [4])
    assert found["a_share"] == pytest.approx((80 + 80) / 300)
    assert found["b_share"] == pytest.approx((80 + 30 + 50) / 280)
    assert [(t["rank"], t["rank_b"]) for t in found["best"]] == [(1, 3), (2, 1), (3, None)]
    assert [t["share"] for t in found["best"]] == [pytest.approx(0.8), pytest.approx(0.8), 0.0]


def test_slivers_at_an_edge_are_no_overlap() -> None:
    beside = [shapely.box(10 - 1e-6, 0, 20, 10)]
    assert overlapping_targets(A[:1], beside, 0.5)["gone"] == [1]
    assert overlapping_targets(A[:1], beside, 1e-6)["gone"] == []


def test_no_targets() -> None:
    nothing = overlapping_targets([], [], 1.0)
    assert (nothing["a"], nothing["a_share"], nothing["gone"], nothing["best"]) == (0, None, [], [])
    assert overlapping_targets(A, [], 1.0)["gone"] == [1, 2, 3]
    assert overlapping_targets([], A, 1.0)["new"] == [1, 2, 3]


def test_only_the_best_are_followed() -> None:
    many = [shapely.box(20 * i, 0, 20 * i + 10, 10) for i in range(FOLLOWED + 5)]
    found = overlapping_targets(many, many[::-1], 1.0)
    assert found["a_share"] == found["b_share"] == 1.0
    assert [t["rank_b"] for t in found["best"]] == [FOLLOWED + 5 - i for i in range(FOLLOWED)]
