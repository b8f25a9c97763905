"""Samples at one place, against pandas, which groups and counts in another way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import LOGRATIO, assert_close

from mpmjax.errors import DataError
from mpmjax.evidence.samples.places import find_places, merge_flags, merge_labels, merge_values, refuse_repeats


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 200), places=st.integers(1, 50))
@pytest.mark.parametrize("how", ["median", "mean", "first"])
def test_merging_agrees_with_pandas(how, seed, rows, places):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, places, rows) * 0.1, rng.integers(0, 2, rows) * 1.0
    values = np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows))
    flags = rng.random(rows) < 0.2
    labels = rng.choice(["", "granite", "shale"], rows).astype(object)
    found = find_places(x, y)
    frame = pd.DataFrame({"x": x, "y": y, "v": values, "f": flags, "l": np.where(labels == "", None, labels)})
    groups = frame.groupby(["x", "y"], sort=False)
    assert_close(merge_values(values, found, how), getattr(groups["v"], how)().to_numpy(), LOGRATIO)
    assert merge_flags(flags, found).tolist() == groups["f"].any().tolist()
    merged, several = merge_labels(labels, found)
    assert merged.tolist() == groups["l"].first().where(groups["l"].first().notna(), "").tolist()
    assert several == (groups["l"].nunique() > 1).sum()
    assert_close(x[found.first], groups["x"].first().to_numpy(), LOGRATIO)
    assert found.repeated == rows - groups.ngroups


def test_zero_and_minus_zero_are_one_place():
    assert find_places(np.array([0.0, -0.0]), np.array([-0.0, 0.0])).repeated == 1


def test_a_refusal_says_where():
    x, y = np.array([1.0, 500000.25, 1.0, 500000.25]), np.array([2.0, 3.0, 5.0, 3.0])
    with pytest.raises(DataError, match=r"^till.csv: 1 of 4 samples lie where another one lies, .* at 500000\.25, 3\."):
        refuse_repeats(find_places(x, y), x, y, "till.csv")
