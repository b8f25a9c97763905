"""Errors are measured against the definition, of each map and each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpmjax.benchmarks import inputs, scorer_accuracy

ARRAYS = inputs.screener(np.random.default_rng(5), 2, 3, 8, 2)


def test_the_definition_is_off_by_its_rounding_alone() -> None:
    mu, valid = scorer_accuracy.cells_of(np.random.default_rng(0), 3, 200)
    assert valid.any(axis=0).all()
    assert not valid.all()
    found = scorer_accuracy.errors(ARRAYS, mu, valid, ["numpy"])
    assert set(found) == {*scorer_accuracy.MAPS, *scorer_accuracy.CLASSES, "latent", "residuals"}
    for name in scorer_accuracy.CLASSES:
        assert found[name]["numpy"] == "0.0e+00 of cells"
    for name in ("prospectivity", "latent", "residuals"):
        assert float(found[name]["numpy"].split()[0]) < 1e-6


def test_an_error_shows() -> None:
    exact = np.zeros(4)
    assert scorer_accuracy.off(np.array([0.0, 0.0, 0.0, -0.2], np.float32), exact) == "2.0e-01 / 1.0e-01"
    assert "nan" in scorer_accuracy.off(np.array([0.0, np.nan, 0.0, 0.0], np.float32), exact)


def test_only_the_lstms_are_scaled() -> None:
    found = scorer_accuracy.scaled(ARRAYS, 3.0)
    for name, values in ARRAYS.items():
        factor = 3.0 if name in ("enc_wx", "enc_wh", "enc_b", "dec_wz", "dec_wh", "dec_b") else 1.0
        np.testing.assert_array_equal(found[name], values * np.float32(factor) if factor > 1 else values)


def test_a_table_has_a_column_for_each_form() -> None:
    text = scorer_accuracy.table({"risk": {"jax": "1 / 1", "cpu": "2 / 2"}})
    assert text.splitlines() == ["| worst / rms error | jax | cpu |", "|---|---|---|", "| risk | 1 / 1 | 2 / 2 |"]


def test_a_folder_without_a_screener(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scorer_accuracy.main([str(tmp_path)]) == 2
    assert "screener" in capsys.readouterr().err
