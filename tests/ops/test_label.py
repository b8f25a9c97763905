"""Components over strips: against the definition, against scipy, and against itself in other strips."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mpmjax.ops.label import Components, label
from mpmjax.reference.label import label as reference

EIGHT = np.ones((3, 3))


def cut(mask: np.ndarray, edges: list[int]) -> list[np.ndarray]:
    """Strips of a mask; equal edges make an empty strip, which is allowed."""
    return [mask[start:end] for start, end in itertools.pairwise([0, *sorted(edges), len(mask)])]


def whole(components: Components, strips: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([components.relabel(index, strip) for index, strip in enumerate(strips)])


def spiral(side: int) -> np.ndarray:
    """One arm, one cell wide, winding inward with a gap of one: every strip sees many pieces of it."""
    from_edge = np.minimum(np.arange(side), np.arange(side)[::-1])
    mask = np.minimum.outer(from_edge, from_edge) % 2 == 0  # rings
    for ring in range(0, side // 2 - 2, 2):
        mask[ring + 1, ring] = False  # opened
        mask[ring + 2, ring + 1] = True  # and led on to the next
    return mask


@st.composite
def masks(draw: st.DrawFn, side: int = 30) -> np.ndarray:
    height, width = draw(st.integers(1, side)), draw(st.integers(1, side))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([0.0, 0.1, 0.3, 0.45, 0.6, 1.0]))
    return rng.random((height, width)) < density


@given(masks(), st.lists(st.integers(0, 30), max_size=6), st.integers(1, 12))
@settings(max_examples=400, deadline=None)
def test_against_the_definition_in_any_strips(mask: np.ndarray, edges: list[int], smallest: int) -> None:
    strips = cut(mask, [min(edge, len(mask)) for edge in edges])
    expected = reference(mask, smallest)
    components = label(strips, smallest)
    result = whole(components, strips)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, expected)
    assert components.count == expected.max()
    assert components.sizes.dtype == np.int64
    np.testing.assert_array_equal(components.sizes, np.bincount(expected.ravel(), minlength=1)[1:])


def test_small_ones_are_forgotten_with_their_strip() -> None:
    """What a run keeps of a speckled map is what touches a seam, and what is large enough."""
    mask = np.random.default_rng(3).random((2000, 500)) < 0.02
    strips = cut(mask, list(range(200, 2000, 200)))
    every, large = label(strips), label(strips, 9)
    assert every.numbers.size > 15_000
    assert large.numbers.size < every.numbers.size / 40
    assert large.count == (every.sizes >= 9).sum()


@given(masks(side=120), st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_against_scipy(mask: np.ndarray, rows: int) -> None:
    expected, count = ndimage.label(mask, EIGHT)
    strips = cut(mask, list(range(rows, len(mask), rows)))
    components = label(strips)
    pairs = np.unique(np.stack((whole(components, strips).ravel(), expected.ravel())), axis=1)
    assert components.count == count
    assert pairs.shape[1] == len(np.unique(expected)), "the two do not name the same sets of cells"


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 64, 200])
@pytest.mark.parametrize("turned", range(4))
def test_a_spiral_is_one(rows: int, turned: int) -> None:
    mask = np.rot90(spiral(100), turned)
    assert ndimage.label(mask, EIGHT)[1] == 1
    strips = cut(mask, list(range(rows, 100, rows)))
    components = label(strips)
    assert components.count == 1
    assert components.sizes.tolist() == [mask.sum()]
    np.testing.assert_array_equal(whole(components, strips), mask)


def test_teeth_that_meet_in_the_last_row() -> None:
    mask = np.zeros((50, 99), bool)
    mask[:, ::2] = True
    assert label(cut(mask, list(range(1, 50)))).count == 50
    mask[-1] = True
    assert label(cut(mask, list(range(1, 50)))).count == 1


def test_corners_touch_across_a_seam() -> None:
    mask = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]], bool)
    assert label([mask[:1], mask[1:2], mask[2:]]).count == 1


def test_isolated_cells_are_as_many_as_there_can_be() -> None:
    mask = np.zeros((201, 151), bool)
    mask[::2, ::2] = True
    strips = cut(mask, [1, 2, 50, 51, 120])
    components = label(strips)
    assert components.count == 101 * 76
    assert set(components.sizes.tolist()) == {1}
    assert (np.diff(whole(components, strips)[mask]) == 1).all()


def test_empty_full_and_nothing() -> None:
    none, full = np.zeros((4, 6), bool), np.ones((4, 6), bool)
    assert (label([none, none]).count, label([none, none]).sizes.size) == (0, 0)
    assert label([none, none]).relabel(1, none).tolist() == none.tolist()
    assert label([full, full]).sizes.tolist() == [48]
    assert label([full, none, full]).sizes.tolist() == [24, 24]
    assert label([]).count == 0
    assert label([none[:0], full, full[:0], full]).sizes.tolist() == [48]


def test_one_pass_holds_one_strip() -> None:
    """The strips may be made as they are asked for, and read-only or of numbers."""

    def strips() -> Iterator[np.ndarray]:
        for row in range(5):
            strip = np.full((1, 3), row % 2, np.uint8)
            strip.setflags(write=False)
            yield strip

    assert label(strips()).sizes.tolist() == [3, 3]


def test_what_is_refused() -> None:
    mask = np.eye(4, dtype=bool)
    components = label([mask])
    with pytest.raises(ValueError, match="cells wide"):
        label([mask, mask[:, :3]])
    with pytest.raises(ValueError, match="two axes"):
        label([mask[0]])
    with pytest.raises(ValueError, match="had 1 components in the pass and has 2 now"):
        components.relabel(0, mask & (np.arange(4) != 1))
    with pytest.raises(IndexError, match="strip 1 of 1"):
        components.relabel(1, mask)
