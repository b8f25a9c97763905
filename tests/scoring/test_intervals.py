"""Districts against SciPy's linkage; the bootstrap against closed forms, scikit-learn and simulated truth."""

from __future__ import annotations

import inspect
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist
from scipy.stats import bootstrap, norm
from sklearn.metrics import roc_auc_score
from tolerances import FLOAT64_SUMS, assert_close

from mpmjax.scoring.intervals import (
    FIGURES,
    REACH,
    Standing,
    difference,
    districts_of,
    draw_districts,
    intervals,
    standing,
)
from mpmjax.scoring.metrics import CAPTURE_SHARES, auc, capture, count_ranks, prediction_area


def judged(own: np.ndarray, background: np.ndarray) -> Standing:
    return standing(own, count_ranks(own, [background, own]))


def drawn(seed: int, m: int = 60, cells: int = 3000, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scores of deposits and of the background, rounded to some levels."""
    rng = np.random.default_rng(seed)
    own, background = rng.normal(1, 1, m), rng.normal(0, 1, cells)
    return (own, background) if levels is None else (np.round(own * levels), np.round(background * levels))


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = len(np.unique(np.stack([a, b]), axis=1).T)
    return pairs == len(np.unique(a)) == len(np.unique(b))


def by_scipy(x: np.ndarray, y: np.ndarray, reach: float) -> np.ndarray:
    return fcluster(linkage(pdist(np.stack([x, y], axis=1)), "single"), reach, "distance")


scattered = st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), min_size=2, max_size=60)
latticed = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=2, max_size=60)
in_line = st.lists(st.integers(-30, 30).map(lambda t: (t, 2 * t + 5)), min_size=2, max_size=40)


@settings(deadline=None, max_examples=200)
@given(scattered, st.floats(1, 5e4))
def test_districts_are_single_linkage(points: list[tuple[float, float]], reach: float) -> None:
    x, y = np.array(points).T
    # A step that is the reach itself, but for rounding, may count on either side.
    steps = linkage(pdist(np.stack([x, y], axis=1)), "single")[:, 2]
    if (np.abs(steps - reach) > 1e-6).all():
        assert same_partition(districts_of(x, y, reach), by_scipy(x, y, reach))


@settings(deadline=None, max_examples=200)
@given(st.one_of(latticed, in_line), st.sampled_from([0.0, 0.5, 1.0, 1.2, 1.5, 2.1, 2.3, 4.6, 11.0]))
def test_districts_on_lattices_and_lines(points: list[tuple[int, int]], reach: float) -> None:
    """Cell centres: many points on one circle, in one line, or in one place; far from the origin, as projected."""
    x, y = 100.0 * np.array(points, float).T
    assert same_partition(districts_of(x + 5e5, y + 7e6, 100 * reach), by_scipy(x, y, 100 * reach))


@pytest.mark.parametrize("turn", [0.0, 0.3, np.pi / 2, 2.0])
@pytest.mark.parametrize("jitter", [0.0, 1e-9, 1e-3])
def test_districts_along_a_line_that_is_not_quite_straight(turn: float, jitter: float) -> None:
    rng = np.random.default_rng(14)
    along, across = rng.uniform(0, 1e5, 60), rng.normal(0, 1, 60) * jitter
    x, y = 5e5 + along * np.cos(turn) - across * np.sin(turn), 7e6 + along * np.sin(turn) + across * np.cos(turn)
    for reach in (500.0, 2000.0, 5000.0):
        assert same_partition(districts_of(x, y, reach), by_scipy(x, y, reach))


def test_districts_of_a_label_raster_need_no_pairs() -> None:
    """Two filled squares of 10,000 cells each, 10.1 km apart: 2e8 pairs."""
    cols, rows = (side.ravel() for side in np.meshgrid(np.arange(100), np.arange(100)))
    x = 100.0 * np.concatenate([cols, cols + 200])
    got = districts_of(x, 100.0 * np.concatenate([rows, rows]))
    assert np.array_equal(got, np.repeat([0, 1], 10_000))
    assert (districts_of(x, 100.0 * np.concatenate([rows, rows]), 10_100.0) == 0).all()


def test_districts_by_hand() -> None:
    x = np.array([90_000, 0, 10_000, 20_000, 35_000, 90_000, 44_999.0])
    assert districts_of(x, np.zeros(7)).tolist() == [0, 1, 1, 1, 2, 0, 2]
    assert REACH == 10_000.0
    assert districts_of(np.array([3.0]), np.array([4.0])).tolist() == [0]
    assert districts_of(np.array([1.0, 1.0, 2.0]), np.zeros(3), 0.0).tolist() == [0, 0, 1]


@pytest.mark.parametrize("levels", [None, 3, 1])
def test_figures_of_all_deposits_are_those_of_the_map(levels: int | None) -> None:
    own, background = drawn(1, levels=levels)
    of, everything = judged(own, background), np.concatenate([own, background])
    counts = count_ranks(own, [everything])
    got = dict(zip(FIGURES, of.figures(np.arange(60)), strict=True))
    assert got["auc"] == pytest.approx(roc_auc_score(np.arange(len(everything)) < 60, everything), abs=1e-12)
    assert got["auc"] == pytest.approx(auc(counts), abs=1e-12)
    assert {f"{share:g}": got[f"capture {share:g}"] for share in CAPTURE_SHARES} == pytest.approx(capture(counts))
    assert {name: got[name] for name in ("pr", "nd", "ln_nd")} == pytest.approx(
        {name: prediction_area(counts)[name] for name in ("pr", "nd", "ln_nd")}
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([None, 1, 4]), st.lists(st.integers(0, 19), min_size=1, max_size=40))
def test_figures_of_a_draw_by_brute_force(seed: int, levels: int | None, which: list[int]) -> None:
    own, background = drawn(seed, 20, 150, levels)
    got = dict(zip(FIGURES, judged(own, background).figures(np.array(which)), strict=True))
    beaten = [(background < s).mean() + 0.5 * (background == s).mean() for s in own[which]]
    assert got["auc"] == pytest.approx(np.mean(beaten), abs=1e-12)
    cells = np.concatenate([own, background])
    for share in CAPTURE_SHARES:
        inside = [
            np.clip((share * 170 - (cells > s).sum()) / (cells == s).sum(), 0, 1) for s in own[which]
        ]  # a tie at the border is cut
        assert got[f"capture {share:g}"] == pytest.approx(np.mean(inside), abs=1e-12)
    oa = 1 - got["pr"]
    inside = [np.clip((oa * 170 - (cells > s).sum()) / (cells == s).sum(), 0, 1) for s in own[which]]
    assert got["pr"] == pytest.approx(np.mean(inside), abs=1e-9)
    assert got["nd"] == pytest.approx(got["pr"] / oa)
    assert got["ln_nd"] == pytest.approx(math.log(got["nd"]))


def test_draws_take_whole_districts_as_often_as_chance() -> None:
    districts = np.array([7, 7, 2, 9, 9, 9])  # any numbers will do
    draws = list(draw_districts(districts, 4000, 3))
    for which in draws[:200]:
        times = np.bincount(which, minlength=6)
        assert times[0] == times[1]
        assert times[3] == times[4] == times[5]
        assert times[0] + times[2] + times[3] == 3
    times = np.array([np.bincount(which, minlength=6) for which in draws])
    assert times.mean(axis=0) == pytest.approx(np.ones(6), abs=0.06)
    assert (times[:, 2] == 0).mean() == pytest.approx((2 / 3) ** 3, abs=0.03)
    again = list(draw_districts(districts, 4000, 3))
    assert all(np.array_equal(a, b) for a, b in zip(draws, again, strict=True))
    assert any(len(a) != len(b) for a, b in zip(draws, draw_districts(districts, 4000, 4), strict=True))


def test_two_districts_in_closed_form() -> None:
    """A draw is both of one, one of each, or both of the other, with 1/4, 1/2, 1/4."""
    background = np.arange(100.0)
    of = judged(np.array([89.5, 89.5, 49.5]), background)
    figures = intervals(of, np.array([0, 0, 1]), 2000)["figures"]["auc"]
    assert figures == pytest.approx({"value": (0.9 + 0.9 + 0.5) / 3, "low": 0.5, "high": 0.9})
    half = intervals(of, np.array([0, 0, 1]), 2000, level=0.3)["figures"]["auc"]
    assert half == pytest.approx({"value": 2.3 / 3, "low": 2.3 / 3, "high": 2.3 / 3})


def test_single_deposits_as_scipy_does_it() -> None:
    own, background = drawn(2, 80)
    of = judged(own, background)
    got = intervals(of, np.arange(80), 4000)["figures"]["auc"]
    scipy = bootstrap(
        (of.beaten,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert (got["low"], got["high"]) == pytest.approx(tuple(scipy), abs=0.004)


def test_what_does_not_change_an_interval() -> None:
    """The order of deposits, and any monotone transform of the scores."""
    own, background = drawn(3)
    districts = np.random.default_rng(4).integers(0, 15, 60)
    base = intervals(judged(own, background), districts, 300, 6)
    order = np.random.default_rng(5).permutation(60)
    moved = intervals(judged(own[order], background), districts[order], 300, 6)
    bent = intervals(judged(np.exp(3 * own) - 7, np.exp(3 * background) - 7), districts, 300, 6)
    for name in FIGURES:
        for part in ("value", "low", "high"):
            assert moved["figures"][name][part] == pytest.approx(base["figures"][name][part], rel=1e-9)
            assert bent["figures"][name][part] == base["figures"][name][part]
    other = intervals(judged(own, background), districts, 300, 7)
    assert other["figures"]["auc"] != base["figures"]["auc"]


def test_clusters_make_intervals_wide() -> None:
    """Ten copies of each find carry no more news than the find."""
    own, background = drawn(5, 25)
    many = judged(np.repeat(own, 10), background)
    alone = intervals(many, np.arange(250), 1000)["figures"]["auc"]
    districts = intervals(many, np.repeat(np.arange(25), 10), 1000)["figures"]["auc"]
    singles = intervals(judged(own, background), np.arange(25), 1000)["figures"]["auc"]
    assert districts["high"] - districts["low"] == pytest.approx(singles["high"] - singles["low"], rel=0.1)
    assert districts["high"] - districts["low"] > 2.5 * (alone["high"] - alone["low"])


def test_records_are_plain_values() -> None:
    own, background = drawn(6)
    districts = np.arange(60) // 4
    got = intervals(judged(own, background), districts, 200, level=0.9)
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert {key: got[key] for key in ("deposits", "districts", "draws", "level")} == {
        "deposits": 60,
        "districts": 15,
        "draws": 200,
        "level": 0.9,
    }
    assert tuple(got["figures"]) == FIGURES
    assert all(f["low"] <= f["value"] <= f["high"] for f in got["figures"].values())
    both = difference(judged(own, background), judged(own**3, background**3), districts, 200)
    assert json.loads(json.dumps(both, allow_nan=False)) == both
    assert {tuple(f) for f in both["figures"].values()} == {("value", "low", "high", "below_zero")}


def test_a_score_does_not_differ_from_itself() -> None:
    own, background = drawn(7)
    both = difference(judged(own, background), judged(2 * own, 2 * background), np.arange(60) // 3, 200)
    assert all(set(f.values()) == {0.0} for f in both["figures"].values())


def test_difference_is_over_the_same_draws_and_turns_its_sign() -> None:
    own, background = drawn(8)
    rng = np.random.default_rng(9)
    districts = rng.integers(0, 20, 60)
    first = judged(own, background)
    second = judged(own + rng.normal(0, 1.5, 60), background + rng.normal(0, 1.5, 3000))
    got = difference(first, second, districts, 500, 2)["figures"]
    by_hand = np.array([first.figures(w) - second.figures(w) for w in draw_districts(districts, 500, 2)])
    for number, name in enumerate(FIGURES):
        low, high = np.quantile(by_hand[:, number], (0.025, 0.975))
        assert (got[name]["low"], got[name]["high"]) == pytest.approx((low, high), rel=1e-12)
        assert got[name]["below_zero"] == (by_hand[:, number] < 0).mean()
    back = difference(second, first, districts, 500, 2)["figures"]
    for name in FIGURES:
        assert back[name]["value"] == -got[name]["value"]
        assert (back[name]["low"], back[name]["high"]) == pytest.approx((-got[name]["high"], -got[name]["low"]))
        assert back[name]["below_zero"] + got[name]["below_zero"] <= 1.0
    assert back["auc"]["below_zero"] + got["auc"]["below_zero"] == 1.0


def test_pairing_sees_what_two_intervals_hide() -> None:
    """A score that is a little better at every deposit: the intervals overlap, the difference has no doubt."""
    own, background = drawn(10)
    better, plain = judged(own + 0.1, background), judged(own, background)
    districts = np.arange(60) // 2
    two = [intervals(of, districts, 500)["figures"]["auc"] for of in (better, plain)]
    assert two[0]["low"] < two[1]["high"]
    gain = difference(better, plain, districts, 500)["figures"]["auc"]
    assert 0 < gain["low"] < gain["value"] < gain["high"]
    assert gain["below_zero"] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(("count", "least", "most"), [(8, 0.80, 0.95), (20, 0.87, 0.97), (60, 0.91, 0.98)])
def test_intervals_hold_the_truth(count: int, least: float, most: float) -> None:
    """Clustered deposits drawn again and again from one law; drawing single deposits would promise too much."""
    truth = norm.cdf(1 / math.sqrt(1 + 0.8**2 + 0.6**2))
    inside, single, runs = 0, 0, 200
    for seed in range(runs):
        rng = np.random.default_rng([count, seed])
        districts = np.repeat(np.arange(count), rng.integers(1, 6, count))
        own = 1 + 0.8 * rng.normal(size=count)[districts] + 0.6 * rng.normal(size=len(districts))
        of = judged(own, rng.normal(size=2000))
        for labels in (districts, np.arange(len(districts))):
            found = intervals(of, labels, 300, seed)["figures"]["auc"]
            held = found["low"] <= truth <= found["high"]
            inside, single = (inside + held, single) if labels is districts else (inside, single + held)
    assert least <= inside / runs <= most
    assert single / runs < inside / runs - 0.1


@pytest.mark.slow
def test_the_difference_of_equals_is_nothing_about_as_often_as_it_says() -> None:
    """Two scores of one law; what sets them apart belongs to districts, and single deposits would make it certain."""
    apart, single, runs = 0, 0, 200
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        signal, background = rng.normal(1, 1, 30), rng.normal(size=5000)
        first, second = (
            judged(np.repeat(signal + rng.normal(0, 0.7, 30), 3), background + rng.normal(0, 0.7, 5000))
            for _ in range(2)
        )
        for labels in (np.arange(90) // 3, np.arange(90)):
            found = difference(first, second, labels, 200, seed)["figures"]["auc"]
            no = found["low"] > 0 or found["high"] < 0
            apart, single = (apart, single + no) if len(np.unique(labels)) == 90 else (apart + no, single)
    assert 0.02 <= apart / runs <= 0.13
    assert single / runs > 0.18


@pytest.mark.parametrize(
    ("districts", "draws", "level", "said"),
    [
        (np.zeros(60, int), 100, 0.95, "at least 2 of them, all 60 deposits are in one"),
        (np.arange(60), 0, 0.95, "at least one draw, got 0"),
        (np.arange(60), 100, 1.0, "level must lie between 0 and 1, got 1"),
        (np.arange(60), 100, float("nan"), "level must lie between 0 and 1"),
        (np.arange(59), 100, 0.95, "59 districts are given"),
        (np.zeros(0, int), 100, 0.95, "0 districts are given"),
    ],
)
def test_intervals_that_are_refused(districts: np.ndarray, draws: int, level: float, said: str) -> None:
    of = judged(*drawn(11))
    with pytest.raises(ValueError, match=said):
        intervals(of, districts, draws, level=level)
    with pytest.raises(ValueError, match=said):
        difference(of, of, districts, draws, level=level)


def test_deposits_that_are_refused() -> None:
    own, background = drawn(12)
    counts = count_ranks(own, [own, background])
    for wrong in (own[:-1], own + 1e-9, np.append(own[:-1], np.nan)):
        with pytest.raises(ValueError, match="60 that were counted"):
            standing(wrong, counts)
    with pytest.raises(ValueError, match="0 occurrences"):
        standing(own[:0], count_ranks(own[:0], [background]))
    with pytest.raises(ValueError, match="60 occurrences in 60 cells"):
        standing(own, count_ranks(own, [own]))
    with pytest.raises(ValueError, match=r"60 districts are given for \[60, 59\]"):
        difference(judged(own, background), judged(own[1:], background), np.arange(60))
    nothing, one, two = np.zeros(0), np.zeros(1), np.array([1.0, np.nan])
    for x, y in ((nothing, nothing), (two, np.zeros(2)), (np.zeros(2), two), (one + np.inf, one), (one, np.zeros(2))):
        with pytest.raises(ValueError, match="finite numbers"):
            districts_of(x, y)
    for reach in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="distance >= 0"):
            districts_of(np.zeros(2), np.zeros(2), reach)


def test_seeds_are_stated_and_standing_is_by_deposit() -> None:
    own, background = drawn(13, levels=2)
    of = judged(own, background)
    by_deposit = [(background < s).mean() + 0.5 * (background == s).mean() for s in own]
    assert_close(of.beaten[of.place], np.array(by_deposit), FLOAT64_SUMS)
    assert all(inspect.signature(f).parameters["seed"].default == 0 for f in (intervals, difference))
