"""What a pass counts: whole numbers that add up, in whatever order cells come and however they are cut."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmjax.products import MAP_NODATA
from mpmjax.scoring.drift import UNUSUAL
from mpmjax.scoring.tally import GROUPS, Tally
from mpmjax.scoring.thresholds import BINS
from mpmjax.stream.tiles import cut

LAYERS = 3
BLOCKS = [
    {"layer": "cu", "path": "cu.tif", "band": 1, "row": row, "col": 0, "height": 8, "width": 8, "message": "x"}
    for row in (16, 0, 8)
]


def district(seed: int, height: int, width: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Maps with nodata where nothing was scored, where each cell lies outside, and areas in whole units."""
    rng = np.random.default_rng(seed)
    scored = rng.random((height, width)) < 0.8
    maps = {
        name: np.where(scored, rng.random((height, width)), MAP_NODATA).astype(np.float32)
        for name in ("prospectivity", "anomaly")
    }
    maps["prospectivity"][scored & (rng.random((height, width)) < 0.1)] = 1.0  # the last bin has both its ends
    maps["anomaly"][scored & (rng.random((height, width)) < 0.2)] = np.float32(UNUSUAL)
    maps["groups"] = np.where(scored, rng.integers(1, 256, (height, width)), 0).astype(np.uint8)
    outside = (rng.random((LAYERS, height, width)) < 0.3) & scored
    return maps, outside, rng.integers(30_000, 65_537, (height, width)).astype(float)


def facts_of(outside: np.ndarray, unreadable: Any = ()) -> dict[str, Any]:
    """As a tile's row in the manifest holds them: plain values."""
    counts = [int(layer.sum()) for layer in outside] + [int(outside.any(axis=0).sum())]
    return json.loads(json.dumps({"outside": counts, "unreadable": list(unreadable)}))


def same(a: Tally, b: Tally) -> bool:
    arrays = all(
        np.array_equal(getattr(a, name), getattr(b, name))
        and getattr(a, name).dtype == getattr(b, name).dtype == np.int64
        for name in ("histogram", "group_areas", "outside")
    )
    return arrays and (a.cells, a.unusual, a.unreadable) == (b.cells, b.unusual, b.unreadable)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40), st.integers(1, 50), st.booleans())
def test_parts_in_any_order_count_as_the_whole(seed: int, height: int, width: int, size: int, weighted: bool) -> None:
    maps, outside, areas = district(seed, height, width)
    whole, parts = Tally(LAYERS), Tally(LAYERS)
    whole.add(maps, facts_of(outside, BLOCKS), areas if weighted else None)
    tiles = cut((height, width), size)
    for place in np.random.default_rng(seed).permutation(len(tiles)):
        rows, cols = tiles[place].slices
        part = {name: values[rows, cols] for name, values in maps.items()}
        blocks = [BLOCKS[place % 3], BLOCKS[(place + 1) % 3], BLOCKS[2 - place % 3]]
        parts.add(part, facts_of(outside[:, rows, cols], blocks), areas[rows, cols] if weighted else None)
    if len(tiles) >= 2:
        assert parts.unreadable == whole.unreadable
    parts._unreadable = whole._unreadable
    assert same(whole, parts)


def test_against_counting_cell_by_cell() -> None:
    maps, outside, areas = district(5, 40, 50)
    tally = Tally(LAYERS)
    tally.add(maps, facts_of(outside), areas)
    histogram, groups, unusual = np.zeros(BINS, np.int64), np.zeros(GROUPS, np.int64), 0
    for row, col in np.ndindex(40, 50):
        if maps["groups"][row, col]:
            share = float(maps["prospectivity"][row, col])
            histogram[min(int(share * BINS), BINS - 1)] += int(areas[row, col])
            groups[maps["groups"][row, col]] += int(areas[row, col])
            unusual += bool(maps["anomaly"][row, col] > np.float32(UNUSUAL))
    assert np.array_equal(tally.histogram, histogram)
    assert np.array_equal(tally.group_areas, groups)
    assert tally.unusual == unusual
    assert tally.cells == np.count_nonzero(maps["groups"])
    assert tally.group_areas[0] == 0, "what was not scored has no group"
    assert np.array_equal(tally.outside[:-1], outside.sum(axis=(1, 2)))


def test_without_areas_each_cell_is_one() -> None:
    maps, outside, _ = district(1, 30, 30)
    plain, ones = Tally(LAYERS), Tally(LAYERS)
    plain.add(maps, facts_of(outside), None)
    ones.add(maps, facts_of(outside), np.ones((30, 30)))
    assert same(plain, ones)
    assert plain.histogram.sum() == plain.group_areas.sum() == plain.cells


def test_a_tile_without_a_scored_cell() -> None:
    maps = {name: np.full((4, 5), MAP_NODATA, np.float32) for name in ("prospectivity", "anomaly")}
    tally = Tally(LAYERS)
    for areas in (None, np.ones((4, 5))):
        tally.add({**maps, "groups": np.zeros((4, 5), np.uint8)}, facts_of(np.zeros((3, 4, 5), bool)), areas)
    assert same(tally, Tally(LAYERS))


def test_areas_beyond_the_whole_numbers_of_float32_and_float64_sums_are_exact() -> None:
    tally, shape = Tally(1), (400, 1000)
    maps = {
        "prospectivity": np.full(shape, 0.5, np.float32), "anomaly": np.zeros(shape, np.float32),
        "groups": np.ones(shape, np.uint8),
    }  # fmt: skip
    for _ in range(3):
        tally.add(maps, {"outside": [2**40, 1], "unreadable": []}, np.full(shape, 65_535.0))
    assert tally.histogram[BINS // 2] == tally.group_areas[1] == 1_200_000 * 65_535
    assert tally.outside.tolist() == [3 * 2**40, 3]


@pytest.mark.parametrize("unreadable", [[], BLOCKS])
def test_a_record_is_plain_and_gives_the_tally_back(unreadable: list) -> None:
    maps, outside, areas = district(3, 30, 40)
    tally = Tally(LAYERS)
    tally.add(maps, facts_of(outside, unreadable), areas)
    again = Tally.of_record(json.loads(json.dumps(tally.record(), allow_nan=False)))
    assert same(again, tally)
    assert again.record() == tally.record()
    other = district(4, 30, 40)
    for one in (tally, again):
        one.add(other[0], facts_of(other[1], BLOCKS[:1]), other[2])
    assert same(again, tally), "and goes on from there"
    fields = (again.screening(0.25), tally.screening(0.25))
    assert fields[0].histogram.tolist() == fields[1].histogram.tolist()


def test_blocks_are_told_once_and_in_order() -> None:
    tally, maps = Tally(LAYERS), district(3, 4, 4)[0]
    for order in (BLOCKS, BLOCKS[::-1]):
        tally.add(maps, facts_of(np.zeros((3, 4, 4), bool), order), None)
    assert tally.unreadable == [BLOCKS[1], BLOCKS[2], BLOCKS[0]]


def test_what_the_stages_get() -> None:
    maps, outside, areas = district(8, 30, 40)
    tally = Tally(LAYERS)
    tally.add(maps, facts_of(outside, BLOCKS), areas)
    found = tally.screening(0.5)
    assert (found.valid_cells, found.unusual, found.unit_km2) == (tally.cells, tally.unusual, 0.5)
    assert found.outside.tolist() == outside.sum(axis=(1, 2)).tolist()
    assert found.cells_outside == outside.any(axis=0).sum()
    assert found.valid_area_km2 == 0.5 * areas[maps["groups"] > 0].sum()
    assert list(found.unreadable) == tally.unreadable
