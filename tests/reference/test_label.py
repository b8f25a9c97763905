"""The definition of connected components, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mpmjax.reference.label import label


def test_the_example_of_the_docstring() -> None:
    mask = np.array([[1, 0, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0]], bool)
    assert label(mask).tolist() == [[1, 0, 2, 0], [0, 0, 0, 2], [3, 3, 0, 0]]
    assert label(mask).dtype == np.int32


def test_numbers_follow_the_first_cells() -> None:
    # The right arm is met first, the left one joins it two rows below.
    mask = np.array([[0, 0, 1, 0, 1], [1, 0, 1, 0, 0], [0, 1, 0, 0, 1]], bool)
    assert label(mask).tolist() == [[0, 0, 1, 0, 2], [1, 0, 1, 0, 0], [0, 1, 0, 0, 3]]


def test_empty_and_full() -> None:
    assert label(np.zeros((2, 3), bool)).max() == 0
    assert label(np.ones((2, 3), bool)).min() == label(np.ones((2, 3), bool)).max() == 1
    with pytest.raises(ValueError, match="two axes"):
        label(np.ones(3, bool))


def test_small_components_are_background() -> None:
    mask = np.array([[1, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]], bool)
    assert label(mask, 2).tolist() == [[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
