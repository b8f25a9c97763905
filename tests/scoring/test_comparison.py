"""Scores side by side: shares of the area of a map that only a sample of stands for, and leads over the same draws."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mpmjax.scoring.comparison import (
    FEW_DISTRICTS,
    LEAST_DISTRICTS,
    MOST_OCCURRENCES,
    remarks,
    side_by_side,
    some_of,
    stand,
)
from mpmjax.scoring.intervals import difference, intervals, standing
from mpmjax.scoring.metrics import CAPTURE_SHARES, auc, capture, count_ranks, prediction_area

DISTRICTS = np.arange(48) // 4


def drawn(seed: int, cells: int = 6000, lift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of 48 occurrences, `lift` higher, and of other cells; rounded, so that some tie."""
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(lift, 1.0, 48), 2), np.round(rng.normal(0.0, 1.0, cells), 2)


def test_a_background_that_is_whole_gives_the_figures_of_the_map() -> None:
    own, others = drawn(0)
    counts = count_ranks(own, [own, others])
    of = stand(own, others)
    assert auc(of.counts) == auc(counts)
    assert capture(of.counts) == capture(counts)
    assert prediction_area(of.counts) == prediction_area(counts)
    order = np.argsort(own, kind="stable")
    assert np.array_equal(of.counts.scores[of.place[order]], own[order])


@pytest.mark.parametrize(("each", "times"), [(1, 1), (1, 7), (1, 500), (3, 7)])
def test_cells_that_stand_for_many(each: int, times: int) -> None:
    """As if each sampled cell, and each occurrence, were there so many times."""
    own, others = drawn(1, 900)
    counts = count_ranks(own, [np.repeat(own, each), np.repeat(others, times)])
    of = stand(own, others, (each, times))
    assert of.beaten.mean() == pytest.approx(
        roc_auc_score(np.repeat([1, 0], [48, 900]), np.concatenate([own, others])), abs=1e-12
    )
    assert capture(of.counts) == pytest.approx(capture(counts), abs=1e-12)
    assert prediction_area(of.counts) == pytest.approx(prediction_area(counts), abs=1e-12)


def test_a_sample_finds_the_capture_of_its_map() -> None:
    """Without the weight the 48 occurrences would be a third of the best 5 % of 1,000 cells by themselves."""
    own, others = drawn(2, 200_000, lift=4.0)
    truth = capture(count_ranks(own, [own, others]))
    some = np.random.default_rng(0).choice(others, 1000, replace=False)
    found = capture(stand(own, some, (1.0, 200.0)).counts)
    assert found["0.05"] == pytest.approx(truth["0.05"], abs=0.05)
    assert truth["0.05"] > 0.95
    assert capture(stand(own, some).counts)["0.02"] < 0.5, "the bare sample holds 48 of 1,048 cells"


def test_no_background_is_refused() -> None:
    with pytest.raises(ValueError, match="other cells"):
        stand(np.array([0.5]), np.empty(0))


def test_figures_are_those_of_intervals_and_difference() -> None:
    (own, others), (worse, rest) = drawn(3), drawn(4, lift=0.3)
    ours, theirs = stand(own, others, (1.0, 3.0)), stand(worse, rest, (1.0, 3.0))
    got = side_by_side({"theirs": theirs, "ours": ours}, "ours", DISTRICTS, 200)
    assert list(got) == ["theirs", "ours"]
    expected = intervals(theirs, DISTRICTS, 200)["figures"]
    assert (got["theirs"]["auc"], got["theirs"]["nd"]) == (expected["auc"]["value"], expected["nd"]["value"])
    assert (got["theirs"]["auc_low"], got["theirs"]["auc_high"]) == (expected["auc"]["low"], expected["auc"]["high"])
    assert got["theirs"]["capture"] == {f"{s:g}": expected[f"capture {s:g}"]["value"] for s in CAPTURE_SHARES}
    assert got["theirs"]["limits"] == {key: [value["low"], value["high"]] for key, value in expected.items()}
    assert got["theirs"]["pr"] == expected["pr"]["value"]
    lead = difference(ours, theirs, DISTRICTS, 200)["figures"]["auc"]
    assert got["theirs"]["difference"] == pytest.approx(
        {"auc": lead["value"], "low": lead["low"], "high": lead["high"], "behind": lead["below_zero"]}, abs=1e-12
    )
    assert lead["value"] > 0.1
    assert "difference" not in got["ours"]
    assert json.loads(json.dumps(got, allow_nan=False)) == got


@pytest.mark.parametrize(("districts", "draws"), [(DISTRICTS, 0), (DISTRICTS // 3, 200)], ids=["draws", "districts"])
def test_without_draws_or_districts_enough_there_are_no_limits(districts: np.ndarray, draws: int) -> None:
    assert len(np.unique(DISTRICTS // 3)) == LEAST_DISTRICTS - 1
    (own, others), (worse, rest) = drawn(3), drawn(4, lift=0.3)
    got = side_by_side({"a": stand(own, others), "b": stand(worse, rest)}, "a", districts, draws)
    assert (got["b"]["auc_low"], got["b"]["auc_high"], got["b"]["limits"]) == (None, None, {})
    gap = got["b"]["difference"]
    assert gap == {"auc": got["a"]["auc"] - got["b"]["auc"], "low": None, "high": None, "behind": None}
    assert got["a"]["capture"] == capture(standing(own, count_ranks(own, [own, others])).counts)


def test_many_occurrences_are_thinned_always_alike() -> None:
    assert np.array_equal(some_of(5), np.arange(5))
    assert np.array_equal(some_of(MOST_OCCURRENCES), np.arange(MOST_OCCURRENCES))
    some = some_of(100_000)
    assert np.array_equal(some, some_of(100_000))
    assert (np.diff(some) > 0).all()
    assert (len(some), some.min() >= 0, some.max() < 100_000) == (MOST_OCCURRENCES, True, True)
    assert np.histogram(some, 4, (0, 100_000))[0].min() > 0.2 * MOST_OCCURRENCES, "from everywhere"


def test_remarks_say_how_exact_the_figures_are() -> None:
    assert remarks(60, 20, 0.70, 0.82) == [
        "60 occurrences in 20 districts (those within 10 km are one): the standard error of an AUC is about 0.03."
    ]
    assert remarks(60, FEW_DISTRICTS - 1, 0.70, 0.82)[1:] == [
        "With so few districts the intervals are somewhat too narrow."
    ]
    assert remarks(MOST_OCCURRENCES + 1, 20, 0.70, 0.82)[1:] == [
        "Intervals and shifts are those of 2000 occurrences drawn at random."
    ]
    assert remarks(60, 20, None, None) == ["60 occurrences in 20 districts (those within 10 km are one)."]
    assert remarks(60, LEAST_DISTRICTS - 1, None, None) == [
        "60 occurrences in 4 districts (those within 10 km are one): too few for intervals, which need 5 at least."
    ]
    assert remarks(9, 1, None, None)[0].startswith("9 occurrences in 1 district (")
