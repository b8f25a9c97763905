"""The definition of the distance, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mpmjax.reference.distance import distance


def test_the_example_of_the_docstring() -> None:
    features = np.array([[True, False, False], [False, False, False]])
    expected = [[0.0, 10.0, 20.0], [20.0, np.hypot(10, 20), np.hypot(20, 20)]]
    np.testing.assert_allclose(distance(features, (10.0, 20.0)), expected, rtol=1e-15)


def test_the_nearest_of_several_counts() -> None:
    features = np.zeros((1, 10), bool)
    features[0, [0, 7]] = True
    assert distance(features, (2.0, 1.0))[0].tolist() == [0.0, 2.0, 4.0, 6.0, 6.0, 4.0, 2.0, 0.0, 2.0, 4.0]


def test_chunks_do_not_show() -> None:
    features = np.random.default_rng(1).random((70, 60)) < 0.6  # 4,200 cells x 2,500 features: three chunks
    whole = distance(features, (3.0, 4.0))
    assert whole[features].max() == 0.0
    cell = (35, 11)
    rows, cols = np.nonzero(features)
    assert whole[cell] == np.sqrt(((rows - cell[0]) * 4.0) ** 2 + ((cols - cell[1]) * 3.0) ** 2).min()


def test_what_is_not_defined() -> None:
    with pytest.raises(ValueError, match="no cell is a feature"):
        distance(np.zeros((3, 3), bool), (1.0, 1.0))
    with pytest.raises(ValueError, match="positive"):
        distance(np.ones((3, 3), bool), (1.0, -1.0))
