"""Residuals' centre and spread against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import median_abs_deviation
from tolerances import RESIDUAL_SCALE, assert_close

from mpmjax.scoring.anomaly import SMALLEST_SCALE, residual_scale


@pytest.mark.parametrize("cells", [1, 2, 501, 502])
def test_against_scipy(cells: int) -> None:
    rng = np.random.default_rng(cells)
    residual = rng.standard_t(2, (3, 5, cells)).astype(np.float32) * 0.2
    valid = rng.uniform(size=(5, cells)) < 0.7
    valid[:, 0] = True
    residual[:, ~valid] = np.nan  # what is missing must not be looked at
    median, scale = residual_scale(residual, valid)
    assert median.shape == scale.shape == (3, 5)
    assert median.dtype == scale.dtype == np.float32
    for m in range(3):
        for layer in range(5):
            present = residual[m, layer, valid[layer]].astype(np.float64)
            mad = 1.4826 * median_abs_deviation(present)
            assert_close(median[m, layer], np.median(present), RESIDUAL_SCALE)
            assert_close(scale[m, layer], np.maximum(mad, SMALLEST_SCALE), RESIDUAL_SCALE)


def test_of_a_normal_law_it_is_the_standard_deviation() -> None:
    residual = np.random.default_rng(0).normal(0.1, 0.05, (1, 1, 100_000)).astype(np.float32)
    median, scale = residual_scale(residual, np.ones((1, 100_000), bool))
    assert median[0, 0] == pytest.approx(0.1, abs=1e-3)
    assert scale[0, 0] == pytest.approx(0.05, rel=0.01)


def test_noise_of_a_layer_that_is_reconstructed_exactly_is_no_anomaly() -> None:
    residual = np.zeros((2, 2, 100), np.float32)
    residual[0, 0] = np.random.default_rng(1).normal(0, 1e-6, 100)
    residual[0, 1, :40] = 1.0  # more than half the same: MAD is 0 though the values differ
    median, scale = residual_scale(residual, np.ones((2, 100), bool))
    assert (scale == np.float32(SMALLEST_SCALE)).all()
    assert np.abs(median).max() < 1e-6


def test_a_layer_without_valid_cells() -> None:
    valid = np.ones((3, 50), bool)
    valid[1] = False
    median, scale = residual_scale(np.full((2, 3, 50), 0.3, np.float32), valid)
    assert (median[:, 1] == 0).all()
    assert (scale[:, 1] == 1).all()
    assert median[:, [0, 2]] == pytest.approx(0.3)


def test_one_member_and_one_layer_do_not_share() -> None:
    """Broken residuals of one layer of one member leave the others as they were."""
    rng = np.random.default_rng(2)
    residual, valid = rng.normal(size=(3, 4, 200)).astype(np.float32), np.ones((4, 200), bool)
    before = residual_scale(residual, valid)
    residual[1, 2] *= 1e6
    after = residual_scale(residual, valid)
    for a, b in zip(before, after, strict=True):
        differ = a != b
        assert differ[1, 2]
        assert differ.sum() == 1
