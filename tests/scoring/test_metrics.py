"""Metrics against scikit-learn, against brute force over whole arrays, and by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from tolerances import FLOAT64_SUMS, assert_close

from mpmjax.scoring.metrics import (
    CAPTURE_SHARES,
    EVIDENCE_SHARE,
    RankCounts,
    auc,
    capture,
    count_ranks,
    judge,
    prediction_area,
    success_rate,
    weights_of_evidence,
)


def counts_of(scores: np.ndarray, known: np.ndarray, parts: int = 1) -> RankCounts:
    return count_ranks(scores[known], np.array_split(scores, parts))


def drawn(seed: int, cells: int, m: int, levels: int | None = None, lift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores float32 [cells] in 0..1, rounded to some levels, and occurrence cells that score `lift` higher."""
    rng = np.random.default_rng(seed)
    known = np.zeros(cells, bool)
    known[rng.choice(cells, m, replace=False)] = True
    scores = 1 / (1 + np.exp(-rng.normal(lift * known, 1.0)))
    return (scores if levels is None else np.floor(scores * levels) / levels).astype(np.float32), known


tied_maps = st.builds(
    drawn,
    st.integers(0, 10**6),
    st.integers(12, 300),
    st.integers(1, 11),
    st.sampled_from([None, 1, 2, 5, 40]),
    st.sampled_from([-2.0, 0.0, 1.0, 50.0]),
)


@settings(deadline=None)
@given(tied_maps)
def test_auc_is_that_of_scikit_learn(made: tuple[np.ndarray, np.ndarray]) -> None:
    scores, known = made
    assert auc(counts_of(scores, known)) == pytest.approx(roc_auc_score(known, scores), abs=1e-12)


@pytest.mark.parametrize("levels", [None, 3, 1])
def test_auc_of_a_large_map(levels: int | None) -> None:
    scores, known = drawn(0, 200_000, 500, levels)
    assert auc(counts_of(scores, known, 37)) == pytest.approx(roc_auc_score(known, scores), abs=1e-12)
    if levels == 1:
        assert auc(counts_of(scores, known)) == 0.5


@settings(deadline=None)
@given(tied_maps, st.lists(st.integers(0, 300), max_size=6), st.randoms(use_true_random=False))
def test_counts_add_up_over_any_parts(made: tuple[np.ndarray, np.ndarray], cuts: list[int], random) -> None:
    """Any partition, in any order of cells and parts, of any shape, empty parts among them; and brute force."""
    scores, known = made
    order = list(range(len(scores)))
    random.shuffle(order)
    parts = [p.reshape(1, -1) for p in np.split(scores[order], sorted(min(c, len(scores)) for c in cuts))]
    random.shuffle(parts)
    got = count_ranks(scores[known][::-1], parts)
    ascending = np.sort(scores[known])
    assert got.cells == len(scores)
    assert np.array_equal(got.scores, ascending)
    assert np.array_equal(got.lower, [(scores < s).sum() for s in ascending])
    assert np.array_equal(got.equal, [(scores == s).sum() for s in ascending])


def test_counting_changes_no_part() -> None:
    scores, known = drawn(1, 500, 20)
    before = scores.copy()
    count_ranks(scores[known], [scores[:100].reshape(10, 10), scores[100:]])
    assert np.array_equal(scores, before)


def test_zero_and_minus_zero_tie() -> None:
    counts = count_ranks(np.array([-0.0, 0.5]), [np.array([0.0, -0.0, 0.25, 0.5])])
    assert counts.lower.tolist() == [0, 3]
    assert counts.equal.tolist() == [2, 1]


@pytest.mark.parametrize(("cells", "m"), [(5, 0), (5, 5)])
def test_auc_of_nothing(cells: int, m: int) -> None:
    scores = np.linspace(0, 1, cells)
    with pytest.raises(ValueError, match=f"{m} occurrences in {cells} cells"):
        auc(count_ranks(scores[:m], [scores]))


def brute_capture(scores: np.ndarray, known: np.ndarray, share: float) -> float:
    """Every cell has its place in the ranking; those that tie share their places evenly."""
    inside = share * len(scores)
    total = 0.0
    for score in scores[known]:
        better, equal = (scores > score).sum(), (scores == score).sum()
        total += min(max((inside - better) / equal, 0.0), 1.0)
    return total / known.sum()


@settings(deadline=None)
@given(tied_maps, st.floats(0.0, 1.0))
def test_capture_by_brute_force(made: tuple[np.ndarray, np.ndarray], share: float) -> None:
    scores, known = made
    (got,) = capture(counts_of(scores, known), [share]).values()
    assert got == pytest.approx(brute_capture(scores, known, share), abs=1e-9)


def test_capture_by_hand() -> None:
    """Ten cells 0.1 .. 1.0; occurrences at 1.0, 0.9 and 0.5. Then the best four tie, two of them occurrences."""
    scores = np.arange(1, 11) / 10
    counts = counts_of(scores, np.isin(np.arange(10), [9, 8, 4]))
    assert capture(counts, [0.1, 0.2, 0.5, 0.6, 1.0]) == pytest.approx(
        {"0.1": 1 / 3, "0.2": 2 / 3, "0.5": 2 / 3, "0.6": 1.0, "1": 1.0}
    )
    tied = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9, 0.9, 0.9, 0.9])
    counts = counts_of(tied, np.isin(np.arange(10), [6, 9]))
    assert capture(counts, [0.1, 0.2, 0.4]) == pytest.approx({"0.1": 0.25, "0.2": 0.5, "0.4": 1.0})
    assert list(capture(counts)) == [f"{share:g}" for share in CAPTURE_SHARES] == ["0.01", "0.02", "0.05", "0.1", "0.2"]


@settings(deadline=None, max_examples=30)
@given(tied_maps)
def test_success_rate_rises_to_one(made: tuple[np.ndarray, np.ndarray]) -> None:
    scores, known = made
    counts = counts_of(scores, known)
    curve = success_rate(counts)
    area, captured = np.array(curve["area"]), np.array(curve["capture"])
    assert (area[0], captured[0]) == (0.0, 0.0)
    assert (area[-1], captured[-1]) == (1.0, 1.0)
    assert (np.diff(area) > 0).all()
    assert (np.diff(captured) >= 0).all()
    # The area below it is the AUC, but for the occurrences' own cells and the curve's 200 steps.
    below = np.trapezoid(captured, area)
    m, n = known.sum(), len(scores)
    assert below == pytest.approx(auc(counts) * (n - m) / n + m / n / 2, abs=0.02)


def test_success_rate_of_chance_is_the_diagonal() -> None:
    counts = counts_of(np.full(1000, 0.3), np.arange(1000) < 7)
    curve = success_rate(counts)
    assert_close(np.array(curve["capture"]), np.array(curve["area"]), FLOAT64_SUMS)


def test_prediction_area_by_hand() -> None:
    """Ten cells 0.1 .. 1.0; occurrences at 1.0, 0.9 and 0.5.

    The best two cells hold two of three occurrences, and no other comes before the sixth: so at Pr = 2/3 the area
    grows from 0.2 to 0.5, and Pr + Oa = 1 at Oa = 1/3.
    """
    scores = np.arange(1, 11) / 10
    got = prediction_area(counts_of(scores, np.isin(np.arange(10), [9, 8, 4])))
    assert got == pytest.approx({"threshold": 0.9, "pr": 2 / 3, "oa": 1 / 3, "nd": 2.0, "ln_nd": math.log(2)})


def test_prediction_area_inside_a_tie() -> None:
    """The best four cells tie, both occurrences among them: the curve climbs from (0, 0) to (0.4, 1)."""
    tied = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9, 0.9, 0.9, 0.9])
    got = prediction_area(counts_of(tied, np.isin(np.arange(10), [6, 9])))
    assert got == pytest.approx({"threshold": 0.9, "pr": 5 / 7, "oa": 2 / 7, "nd": 2.5, "ln_nd": math.log(2.5)})


def test_prediction_area_at_the_ends() -> None:
    scores = np.linspace(0, 1, 100)
    best = prediction_area(counts_of(scores, scores > 0.985))
    assert best["pr"] == pytest.approx(1.0, abs=0.02)
    assert best["nd"] > 49
    worst = prediction_area(counts_of(scores, scores < 0.005))
    assert worst["oa"] == pytest.approx(1.0, abs=0.011)
    assert worst["nd"] < 0.02
    assert math.isfinite(worst["ln_nd"])
    chance = prediction_area(counts_of(np.zeros(100), scores > 0.9))
    assert chance == pytest.approx({"threshold": 0.0, "pr": 0.5, "oa": 0.5, "nd": 1.0, "ln_nd": 0.0})


@settings(deadline=None)
@given(tied_maps)
def test_prediction_area_is_a_crossing(made: tuple[np.ndarray, np.ndarray]) -> None:
    """Pr + Oa = 1, on the success-rate curve, with the threshold the lowest captured score."""
    scores, known = made
    got = prediction_area(counts_of(scores, known))
    assert got["pr"] + got["oa"] == pytest.approx(1.0, abs=1e-12)
    assert brute_capture(scores, known, got["oa"]) == pytest.approx(got["pr"], abs=1e-9)
    assert got["nd"] == pytest.approx(got["pr"] / got["oa"])
    assert (scores > got["threshold"]).mean() <= got["oa"] + 1e-12
    assert got["threshold"] in scores[known]


def test_judge_is_whole_and_plain() -> None:
    """Every figure, as values that JSON holds."""
    scores, known = drawn(5, 3000, 30)
    counts = counts_of(scores, known)
    got = judge(counts)
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert got == {
        "auc": auc(counts),
        "capture": capture(counts),
        "success": success_rate(counts),
        "pa": prediction_area(counts),
        "weights_of_evidence": weights_of_evidence(counts, EVIDENCE_SHARE),
    }


def test_weights_of_evidence_by_hand() -> None:
    """100 cells, 10 with an occurrence; the best 20 cells hold 6 of them."""
    scores = np.arange(100, dtype=np.float32)
    known = np.zeros(100, bool)
    known[[99, 97, 95, 90, 85, 80, 79, 50, 20, 0]] = True
    got = weights_of_evidence(counts_of(scores, known), 0.2)
    plus, minus = math.log(0.6 / (14 / 90)), math.log(0.4 / (76 / 90))
    assert got["w_plus"] == pytest.approx(plus)
    assert got["w_minus"] == pytest.approx(minus)
    assert got["contrast"] == pytest.approx(plus - minus)
    assert got["contrast"] == pytest.approx(math.log(6 * 76 / (14 * 4))), "the odds ratio"
    assert got["studentized"] == pytest.approx((plus - minus) / math.sqrt(1 / 6 + 1 / 14 + 1 / 4 + 1 / 76))


@settings(deadline=None)
@given(tied_maps, st.floats(0.01, 0.99))
def test_weights_of_evidence_turn_with_the_map(made: tuple[np.ndarray, np.ndarray], share: float) -> None:
    """The best part and the rest are one border seen from its two sides."""
    scores, known = made
    m, hit = int(known.sum()), brute_capture(scores, known, share) * known.sum()
    area = share * scores.size
    assume(min(hit, area - hit, m - hit, scores.size - area - (m - hit)) > 1e-6)
    got = weights_of_evidence(counts_of(scores, known), share)
    turned = weights_of_evidence(counts_of(-scores, known), 1.0 - share)
    assert got["contrast"] is not None
    assert turned["contrast"] is not None
    assert turned["contrast"] == pytest.approx(-got["contrast"], rel=1e-6, abs=1e-9)
    assert turned["w_plus"] == pytest.approx(got["w_minus"], rel=1e-6, abs=1e-9)


def test_weights_of_evidence_of_a_perfect_map_are_none() -> None:
    scores = np.arange(50, dtype=np.float32)
    got = weights_of_evidence(counts_of(scores, scores >= 48), 0.1)
    assert got == {"share": 0.1, "w_plus": None, "w_minus": None, "contrast": None, "studentized": None}
