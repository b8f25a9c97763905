"""drift: what lies outside a Screener's sample, counted against the definition, and when it is warned of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmjax.errors import ScreenerError
from mpmjax.reporting.record import MOST_DRIFT, drift_warnings
from mpmjax.scoring.drift import UNUSUAL, Sampled, count_unusual
from mpmjax.types import Layer, Membership, Screener, Slab, Tile

ROLES = {"copper": ("geochemistry", 1), "faults": ("distance", -1), "far": ("distance", 1), "rock": ("category", 1)}
LAYERS = tuple(
    Layer(name, role, Path(name), 1, "int16", direction=direction, scale=0.5, offset=1.0)
    for name, (role, direction) in ROLES.items()
)


def screener(**without: Any) -> Screener:
    """Fitted on values of 2 to 6 in every layer; on the classes 2, 3 and 6 of the rock."""
    records = []
    for name, (role, direction) in ROLES.items():
        record = {"name": name, "role": role, "direction": direction, "min": 2.0, "max": 6.0}
        records.append(record | ({"classes": [2.0, 3.0, 6.0]} if role == "category" else {}))
    for key in without:
        del records[1][key]
    return Screener(tuple(records), (Membership("sigmoid"),) * 4, {}, {})


def slab(raw: np.ndarray, valid: np.ndarray) -> Slab:
    _, height, width = raw.shape
    return Slab(Tile(0, 0, 0, height, width), tuple(raw), valid, np.ones((height, width), bool))


def test_values_beyond_the_sample_by_hand() -> None:
    """In units 0.5 raw + 1: raw 2 is 2.0, raw 10 is 6.0. Each layer has the same six cells."""
    raw = np.tile(np.array([1, 2, 10, 11, 4, 6], np.int16), (4, 1)).reshape(4, 2, 3)
    got = Sampled(screener(), LAYERS).outside(slab(raw, np.ones((4, 2, 3), bool)), np.ones((2, 3), bool))
    # Far from a fault is let pass where near is favourable; the class 4.0 lies between others and is none of them.
    assert got.tolist() == [2, 1, 2, 3, 3]
    raw[3, 1, 2] = 4
    got = Sampled(screener(), LAYERS).outside(slab(raw, np.ones((4, 2, 3), bool)), np.ones((2, 3), bool))
    assert got.tolist() == [2, 1, 2, 2, 2]


def test_missing_values_and_cells_that_are_not_scored_do_not_count() -> None:
    raw = np.full((4, 1, 4), 30_000, np.int16)
    valid = np.ones((4, 1, 4), bool)
    valid[:, 0, 0] = False
    valid[0, 0, 1] = False
    scored = np.array([[True, True, True, False]])
    assert Sampled(screener(), LAYERS).outside(slab(raw, valid), scored).tolist() == [1, 0, 2, 2, 2]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 7))
def test_counts_are_those_of_the_definition_and_add_up(seed: int, parts: int) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.integers(-2, 16, (4, 5, 8)).astype(np.int16)
    valid, scored = rng.random((4, 5, 8)) < 0.8, rng.random((5, 8)) < 0.7
    values = raw * 0.5 + 1.0
    strange = (values < 2.0) | (values > 6.0)
    strange[1] = values[1] < 2.0
    strange[3] = ~np.isin(values[3], (2.0, 3.0, 6.0))
    strange &= valid & scored
    expected = [*strange.sum((1, 2)), strange.any(axis=0).sum()]
    sampled = Sampled(screener(), LAYERS)
    assert sampled.outside(slab(raw, valid), scored).tolist() == expected
    cuts = [part for part in np.array_split(np.arange(8), parts) if part.size]
    pieces = [sampled.outside(slab(raw[..., cut], valid[..., cut]), scored[:, cut]) for cut in cuts]
    assert np.sum(pieces, axis=0).tolist() == expected


def test_a_screener_that_does_not_say_is_refused() -> None:
    with pytest.raises(ScreenerError, match="'min' is missing"):
        Sampled(screener(min=None), LAYERS)


def test_unusual_cells_are_those_above_the_rank() -> None:
    assert count_unusual(np.array([0.0, UNUSUAL, UNUSUAL + 1e-6, 1.0])) == 2


def drift(outside: float = 0.0, unusual: float = 0.01, **by_layer: float) -> dict[str, Any]:
    return {"outside": {"copper": outside, "faults": 0.0} | by_layer, "cells_outside": outside, "unusual": unusual}


def test_what_is_warned_of() -> None:
    assert drift_warnings(drift(), 20_000) == []
    assert drift_warnings(drift(MOST_DRIFT, MOST_DRIFT), 20_000) == []
    (said,) = drift_warnings(drift(0.2, gold=0.01, lead=0.0009), 20_000)
    assert said.startswith("20.0% of the scored cells have a value beyond all that the Screener was fitted on (copper")
    assert "copper 20.0%, gold 1.0%)" in said
    assert "Fit on this district, or on both together." in said
    (said,) = drift_warnings(drift(0.0, 0.3), 20_000)
    assert said.startswith("30.0% of the scored cells are more unusual than 99 %")
    assert len(drift_warnings(drift(0.2, 0.3), 20_000)) == 2


def test_a_small_sample_of_many_layers_is_allowed_more() -> None:
    """Of 40 layers and 100 cells, four cells in five have some value beyond the sample's without any drift."""
    many = drift(0.6, **{f"layer{n}": 0.02 for n in range(40)})
    assert drift_warnings(many, 100) == []
    assert drift_warnings(many, 20_000) != []
