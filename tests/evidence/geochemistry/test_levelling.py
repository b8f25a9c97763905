"""Levelling by class, and what happens to classes that are small or flat."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import LOGRATIO_BY_ANOTHER, assert_close

from mpmjax.errors import DataError
from mpmjax.evidence.geochemistry.levelling import SMALLEST, level


def classes(*counts: tuple[str, int]) -> np.ndarray:
    return np.array([name for name, count in counts for _ in range(count)], object)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(-1e3, 1e3), scale=st.floats(1e-2, 1e2))
def test_each_class_has_median_0_and_mad_1_whatever_its_background(seed, shift, scale):
    names = classes(("granite", 40), ("shale", 25))
    values = np.random.default_rng(seed).normal(size=65)
    moved = np.where(names == "shale", shift + scale * values, values)
    got, notes = level(moved, names, "layer 'x'")
    assert notes == []
    for name in ("granite", "shale"):
        own = got[names == name]
        assert np.median(own) == pytest.approx(0.0, abs=1e-9)
        assert 1.4826 * np.median(np.abs(own)) == pytest.approx(1.0)
    assert_close(got, level(values, names, "layer 'x'")[0], LOGRATIO_BY_ANOTHER)


def test_small_classes_are_pooled():
    values = np.random.default_rng(1).normal(size=42)
    names = classes(("granite", 30), ("dyke", 7), ("vein", 5))
    got, notes = level(values, names, "layer 'x'")
    expected, _ = level(values, classes(("granite", 30), ("rest", 12)), "layer 'x'")
    assert_close(got, expected, LOGRATIO_BY_ANOTHER)
    assert notes == ["layer 'x': classes with fewer than 10 values ('dyke' 7, 'vein' 5) are levelled together."]


def test_a_small_pool_is_missing_and_so_is_what_has_no_class():
    values = np.random.default_rng(2).normal(size=40)
    values[0] = np.nan
    got, notes = level(values, classes(("granite", 30), ("dyke", 7), ("", 3)), "layer 'x'")
    assert np.flatnonzero(np.isnan(got)).tolist() == [0, *range(30, 40)]
    assert any("('dyke' 7) are missing" in note for note in notes)
    assert any("3 of 40 samples have no class" in note for note in notes)


def test_missing_values_do_not_count_in_the_size_of_a_class():
    values = np.random.default_rng(3).normal(size=30)
    values[20:21] = np.nan
    got, _ = level(values, classes(("granite", 20), ("dyke", SMALLEST)), "layer 'x'")
    assert np.isnan(got[20:]).all()


def test_a_flat_class_takes_the_scale_of_all():
    rng = np.random.default_rng(4)
    values = np.concatenate((rng.normal(size=40), np.full(12, 5.0), [9.0]))
    got, notes = level(values, classes(("granite", 40), ("shale", 13)), "layer 'x'")
    assert_close(got[40:52], np.zeros(12), LOGRATIO_BY_ANOTHER)
    assert got[52] > 3.0
    assert np.isfinite(got).all()
    assert any("'shale' are the same (MAD 0)" in note for note in notes)


def test_refusals():
    with pytest.raises(DataError, match="no class has 10 values"):
        level(np.arange(9.0), classes(("a", 9)), "layer 'x'")
    with pytest.raises(DataError, match="more than half of the values"):
        level(np.ones(20), classes(("a", 20)), "layer 'x'")
