"""The judges of what stays if all is fitted again: groups, and the confidence index."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mpmjax.benchmarks.method import calibration, steady_groups
from mpmjax.benchmarks.method.blind_districts import SCENARIOS, SEEDS, District, district
from mpmjax.benchmarks.method.calibration import BINS, Fit
from mpmjax.benchmarks.method.case import Case, of_made

FACTORS = np.array([0.2, 0.7, 0.1])


def simulated(seed: int, fits: int = 8, cells: int = 15_000, others: int = 4) -> list[Fit]:
    """Cells that survive in each of `others` fits with the probability of the index with FACTORS.

    Districts differ in which of the three variances is large, or the factors could not be told apart.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(fits):
        moved = (float(np.exp(rng.uniform(-15, -10))), float(np.exp(rng.uniform(-15, -10))))
        away, spread = rng.exponential(0.08, cells), rng.exponential(np.exp(rng.uniform(-14, -10)), cells)
        scale = np.sqrt(FACTORS[0] * moved[0] + FACTORS[1] * moved[1] + FACTORS[2] * spread)
        stays = rng.binomial(others, 1.0 / (1.0 + np.exp(-away / scale))) / others
        found.append(Fit(away, spread, stays, moved))
    return found


def test_known_factors_are_found_again() -> None:
    assert calibration.fit_factors(simulated(1)) == pytest.approx(FACTORS, rel=0.15)


def test_true_factors_are_calibrated_and_false_ones_are_not() -> None:
    fits = simulated(2)
    true, false = (calibration.judge(fits, factors) for factors in (FACTORS, 9 * FACTORS))
    assert len(true) == 2
    for cells, one in true.items():
        assert np.abs(one.foretold - one.survived).max() < 0.03, cells
        assert np.abs(false[cells].foretold - false[cells].survived).max() > 0.05, cells
        assert one.brier < false[cells].brier, cells
    near = true["the 5% nearest to the cut"]
    assert near.base < true["all cells"].base


def test_brier_score_and_skill_by_hand() -> None:
    """Two outcomes each: 1 and 1, 1 and 0, foretold 0.9 (bins of one cell) and 0.6."""
    one = calibration._judged(np.array([0.9, 0.6] * 5), np.array([1.0, 0.5] * 5))
    brier = (0.1**2 + ((1 - 0.6) ** 2 + 0.6**2) / 2) / 2
    of_base = 0.75 * 0.25
    assert one.base == 0.75
    assert one.brier == pytest.approx(brier)
    assert one.skill == pytest.approx(1 - brier / of_base)
    assert one.foretold.tolist() == [0.6] * 5 + [0.9] * 5
    assert one.survived.tolist() == [0.5] * 5 + [1.0] * 5


def test_survivals_by_hand() -> None:
    inside = np.array([[True, False, True], [True, False, False], [True, True, False]])
    expected = [[1.0, 0.5, 0.0], [1.0, 0.5, 0.5], [1.0, 0.0, 0.5]]
    assert calibration.survivals(inside).tolist() == expected


def test_the_table_has_both_choices_and_their_bins() -> None:
    lines = calibration.table(calibration.judge(simulated(3, fits=2, cells=500), FACTORS)).splitlines()
    cells = ["all cells", "the 5% nearest to the cut"]
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:4]] == cells
    names = [f"{name}: {said}" for name in cells for said in ("foretold", "stayed")]
    assert [line.split(" | ")[0].strip("| ") for line in lines[7:]] == names
    assert all(line.count("|") == BINS + 2 for line in lines[5:])


def test_seeds_are_not_those_of_the_judged_districts() -> None:
    fresh = calibration.fresh_seeds(40)
    assert len(set(fresh)) == 40
    assert not {seed for seeds in SEEDS.values() for seed in seeds} & set(fresh)


def test_a_district_is_fitted_again_with_other_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    cases: list[Case] = []

    def small(made: District, members: int, seed: int, size: int) -> Case:
        case = of_made(made, members, seed, size)
        model = case.model.model_copy(update={"hidden": 8, "steps": 50, "groups": 2})
        cases.append(dataclasses.replace(case, model=model))
        return cases[-1]

    monkeypatch.setattr(calibration, "of_made", small)
    made = district(SCENARIOS[0], calibration.FIRST_SEED)
    few = {name: getattr(made, name)[:4] for name in ("layers", "roles", "directions", "names")}
    fits = calibration.refitted(dataclasses.replace(made, **few), 2, 2, 1_500)
    assert [case.sample.mu.shape[0] for case in cases] == [1_500, 1_500]
    assert not np.array_equal(cases[0].sample.rows, cases[1].sample.rows)
    for fit in fits:
        assert fit.away.shape == fit.spread.shape == fit.survived.shape == (len(cases[0].mu),)
        assert set(np.unique(fit.survived)) == {0.0, 1.0}, "with one other fit a cell stays or does not"
        assert fit.survived.mean() > 0.9
        assert fit.survived[np.argsort(fit.away)[:500]].mean() < fit.survived.mean(), "near the cut fewer stay"
        assert fit.moved[0] > 0.0, "the sample is a part of the cells"
    assert np.array_equal(fits[0].survived, fits[1].survived), "of two fits each is the other's"


def test_groups_are_matched_by_overlap() -> None:
    first = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    assert steady_groups.matched(first, np.array([0, 0, 1, 1, 1, 2, 2, 2]), 3)
    assert not steady_groups.matched(first, np.array([1, 1, 0, 0, 0, 0, 2, 2]), 3)


def test_the_table_of_groups_by_hand() -> None:
    labels = np.array([0, 0, 1, 1])
    fits = [
        steady_groups.Fit(0, labels, 2, False, 0.9),
        steady_groups.Fit(1, 1 - labels, 2, True, None),
        steady_groups.Fit(2, np.array([0, 0, 1, 2]), 3, None, 0.5),
    ]
    lines = steady_groups.table(fits).splitlines()
    assert lines[2] == "| 0 | 2 | no | 0.900 | 1.000 | 1.000 | yes |"
    assert lines[3] == "| 1 | 2 | yes | – | 1.000 | 0.000 | no |"
    assert lines[4].startswith("| 2 | 3 | stated | 0.500 | 0.5")
    assert lines[4].endswith("| 0.750 | no |")
