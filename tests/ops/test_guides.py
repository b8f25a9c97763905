"""Guides: the answer of a search lies among the few knots that the table says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmjax.ops._guides import BINS, make_guides
from mpmjax.ops.membership import membership
from mpmjax.ops.plan import plan_memberships
from mpmjax.types import Layer, Membership

NUMBERS = st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float) | st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=300)
@given(knots=st.lists(NUMBERS, min_size=1, max_size=40), others=st.lists(NUMBERS, max_size=20))
def test_the_answer_is_within_reach(knots: list[float], others: list[float]) -> None:
    x = np.sort(np.array(knots))
    guides = make_guides([x])
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        values = np.concatenate([x, np.nextafter(x, -np.inf), np.nextafter(x, np.inf), others])
        place = np.nan_to_num((values - x[0]) * guides.inverse[0], nan=0.0)
    start = guides.table[np.clip(place, 0, BINS - 1).astype(np.int64)].astype(np.int64)
    answer = np.maximum(np.searchsorted(x, values, side="right") - 1, 0)
    assert (start <= answer).all()
    assert (answer < start + guides.reach[0]).all()


def test_quantiles_of_a_distance_need_a_halving_or_two() -> None:
    sample = np.random.default_rng(1).rayleigh(4000.0, 20_000)
    guides = make_guides([np.quantile(sample, np.linspace(0.0, 1.0, 1024))])
    assert guides.reach[0] <= 8


def test_layers_without_knots_have_no_table() -> None:
    guides = make_guides([np.empty(0), np.array([1.0, 2.0]), np.empty(0), np.array([5.0])])
    assert guides.first.tolist() == [0, 0, 0, BINS]
    assert guides.table.size == 2 * BINS
    assert guides.reach.tolist()[::2] == [1, 1]


@pytest.mark.parametrize("knots", [[0.0, 0.0, 0.0], [-1.7e308, 1.7e308], [1.0, 1.0 + 2.0**-52]])
def test_no_range_or_one_too_large_leaves_all_knots_to_the_search(knots: list[float]) -> None:
    guides = make_guides([np.array(knots)])
    assert np.isfinite(guides.inverse).all()
    assert guides.reach[0] <= len(knots) + 1


def test_more_knots_than_the_table_can_name() -> None:
    codes = np.arange(70_000)
    layer = Layer("rocks", "category", Path("rocks.tif"), 1, "int32")
    fitted = Membership("category", knots_x=codes.astype(float), knots_y=codes / codes.size)
    mu, valid, _ = membership([codes[::-7].astype(np.int32)], plan_memberships([layer], [fitted]))
    assert valid.all()
    assert np.array_equal(mu[0], (codes[::-7] / codes.size).astype(np.float32))
