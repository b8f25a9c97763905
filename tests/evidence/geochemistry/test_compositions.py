"""Closure, the zero rule and the columns of a composition, against formulas written out row by row."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import LOGRATIO, LOGRATIO_BY_ANOTHER, assert_close

from mpmjax.errors import DataError
from mpmjax.evidence.geochemistry.compositions import SHARE, closure, compose, pivot_basis, table
from mpmjax.reference.logratio import logratio

PARTS = ("Li", "Be", "Sn", "SiO2", "W")


def drawn(seed: int, rows: int = 60, zeros: float = 0.1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = {part: rng.lognormal(k, 1.0, rows) for k, part in enumerate(PARTS)}
    for column in values.values():
        column[rng.random(rows) < zeros] = 0.0
    return values


def test_closure_by_hand_and_by_another():
    got = closure(np.array([[1.0, 3.0], [0.0, 0.0], [np.nan, 1.0], [0.0, 5.0]]), 100.0)
    assert_close(got, np.array([[25.0, 75.0], [np.nan, np.nan], [np.nan, np.nan], [0.0, 100.0]]), LOGRATIO)
    other = pytest.importorskip("composition_stats", reason="composition_stats is not installed")
    parts = np.random.default_rng(1).lognormal(0.0, 3.0, (100, 7))
    assert_close(closure(parts), other.closure(parts), LOGRATIO_BY_ANOTHER)


def test_closure_refuses():
    with pytest.raises(ValueError, match="negative"):
        closure(np.array([[1.0, -1.0]]))
    with pytest.raises(ValueError, match="total > 0"):
        closure(np.ones((2, 2)), 0.0)


@pytest.mark.parametrize("count", [2, 3, 12])
def test_the_pivot_basis_is_orthonormal_and_turns_clr_into_ilr(count):
    basis = pivot_basis(count)
    assert_close(basis @ basis.T, np.eye(count - 1), LOGRATIO)
    assert_close(basis.sum(axis=1), np.zeros(count - 1), LOGRATIO)
    parts = np.random.default_rng(2).lognormal(size=(20, count))
    assert_close(logratio(parts, "clr") @ basis.T, logratio(parts, "ilr"), LOGRATIO)
    assert_close(logratio(parts, "ilr") @ basis, logratio(parts, "clr"), LOGRATIO)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), zeros=st.sampled_from([0.0, 0.05, 0.5]), stated=st.booleans())
def test_columns_are_those_of_the_table(seed, zeros, stated):
    values = drawn(seed, zeros=zeros)
    values["Be"][3] = np.nan
    limits = dict.fromkeys(PARTS, 0.01) if stated else None
    composition = compose(values, PARTS, "layer 'x'", limits)
    parts, deltas = table(composition)
    expected = logratio(parts, "clr", deltas=deltas)
    mean = composition.mean_log(PARTS)
    for j, part in enumerate(PARTS):
        assert_close(composition.log(part) - mean, expected[:, j], LOGRATIO)


def test_the_rule_for_zeros():
    """Row 1: sum 9, the zero of Be becomes 0.65 x 2 = 1.3, Li and Sn keep 7.7 / 9 of theirs."""
    values = {"Li": np.array([4.0, 1.0]), "Be": np.array([0.0, 2.0]), "Sn": np.array([5.0, 3.0])}
    composition = compose(values, ("Li", "Be", "Sn"), "layer 'x'")
    got = [math.exp(composition.log(part)[0]) for part in ("Li", "Be", "Sn")]
    assert got == pytest.approx([4 * 7.7 / 9, 1.3, 5 * 7.7 / 9], rel=1e-12)
    (note,) = composition.notes
    assert "0.65 of the detection limit" in note
    assert "Be 1 by 1.3" in note
    stated = compose(values, ("Li", "Be", "Sn"), "layer 'x'", {"Be": 0.1})
    assert math.exp(stated.log("Be")[0]) == pytest.approx(SHARE * 0.1)


def test_missing_rows_are_told_with_the_reason():
    values = {
        "Li": np.array([1.0, np.nan, -1.0, 0.0, 2.0]),
        "Be": np.array([1.0, 1.0, 1.0, 0.0, 1.0]),
    }
    composition = compose(values, ("Li", "Be"), "layer 'x'")
    assert np.isnan(composition.log("Be")).tolist() == [False, True, True, True, False]
    told = " ".join(composition.notes)
    assert "1 of 5 samples, where one of the parts is missing" in told
    assert "1 of 5 samples, where one of the parts is negative" in told
    assert "as much as all that was measured" in told


def test_refusals_name_the_part():
    with pytest.raises(DataError, match=r"layer 'x': the part 'Be' has no value above 0"):
        compose({"Li": np.ones(3), "Be": np.zeros(3)}, ("Li", "Be"), "layer 'x'")
    with pytest.raises(DataError, match="no sample has a value"):
        compose({"Li": np.array([1.0, np.nan]), "Be": np.array([np.nan, 1.0])}, ("Li", "Be"), "layer 'x'")
