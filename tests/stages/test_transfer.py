"""A Screener used elsewhere: on a district of its kind it does as well as a fit there, on another kind it says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mpmjax import pipeline
from mpmjax.synthetic import Scenario, make_district

KEPT = 0.01
"""AUC that screening a like district may cost against a fit of its own."""

NOISY = Scenario(noise={"copper": 2.0, "magnetics": 2.0, "alteration": 2.0})


def district(folder: Path, seed: int, scenario: Scenario | None = None) -> Path:
    """45 km x 45 km with 60 deposits."""
    stated: dict[str, Any] = {"width": 300, "height": 300, "layers": 6, "resolution": 150.0, "deposits": 60}
    return make_district(folder, dtype="float32", seed=seed, scenario=scenario or Scenario(), **stated)


def auc(record: dict[str, Any]) -> float:
    return record["validation"]["methods"]["prospectivity"]["auc"]


def warned(record: dict[str, Any]) -> list[str]:
    return [warning for warning in record["warnings"] if "the Screener was fitted on" in warning]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_screener_elsewhere(tmp_path: Path, seed: int) -> None:
    pipeline.run(district(tmp_path / "here", seed), tmp_path / "fitted")
    there = district(tmp_path / "there", seed + 100)
    own = pipeline.run(there, tmp_path / "own")
    screened = pipeline.screen(there, tmp_path / "fitted", tmp_path / "screened")
    other = district(tmp_path / "other", seed + 200, NOISY)
    noisy = pipeline.screen(other, tmp_path / "fitted", tmp_path / "noisy")
    for name, record in (("a fit of its own", own), ("screened", screened), ("another kind", noisy)):
        drift = record["drift"]
        print(f"seed {seed}, {name}: AUC {auc(record):.3f}, {drift['cells_outside']:.2%} of the cells outside, "
              f"{drift['unusual']:.2%} unusual")  # fmt: skip
    assert auc(screened) >= auc(own) - KEPT
    assert warned(own) == warned(screened) == []
    assert len(warned(noisy)) == 2
