"""What a screening pass takes and counts: layers that mean what they meant in the fit, and areas on the ground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
from affine import Affine
from districts import finished_run, make_district, read
from tolerances import CELL_AREA

from mpmjax import pipeline, pipeline_steps
from mpmjax.errors import ScreenerError
from mpmjax.scoring.suited import require_layers
from mpmjax.scoring.thresholds import BINS
from mpmjax.stages.screen import screen
from mpmjax.types import Evidence, Grid, Layer, Membership, Screener, Screening

FITTED: dict[str, Any] = {"derive": "density", "radius": 10_000.0, "kernel": "quartic"}


@pytest.mark.parametrize(
    ("derivation", "codes", "words"),
    [
        (FITTED, {"granite": (1.0,)}, None),
        (FITTED | {"radius": 20_000.0}, {"granite": (1.0,)}, "derivation .*10000.* the project says .*20000"),
        (FITTED | {"azimuth": [30.0, 60.0]}, {"granite": (1.0,)}, "derivation .* the project says .*azimuth"),
        (FITTED, {"granite": (2.0,)}, "codes .* the project says"),
        ({}, {}, "was fitted with derivation"),
    ],
)
def test_a_layer_that_means_something_else_is_refused(
    derivation: dict[str, Any], codes: dict[str, tuple[float, ...]], words: str | None
) -> None:
    record = {"name": "faults", "role": "density", "direction": 1, "weight": None, "min": 0.0, "max": 1.0}
    record |= {"derivation": FITTED, "codes": {"granite": [1.0]}}
    screener = Screener((record,), (Membership("sigmoid"),), {}, {})
    layer = Layer("faults", "density", Path("f.tif"), 1, "float32", direction=1, codes=codes, derivation=derivation)
    evidence = Evidence(Grid("EPSG:32639", Affine.identity(), 1, 1), (layer,))
    if words is None:
        require_layers(screener, evidence, ["none"])
    else:
        with pytest.raises(ScreenerError, match=words):
            require_layers(screener, evidence, ["none"])


@pytest.mark.slow
def test_a_pass_counts_the_area_on_the_ground(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against PROJ's factors at every cell of the maps."""
    passes: list[tuple[Grid, Screening]] = []

    def watched(screener: Screener, evidence: Evidence, *rest: Any) -> Screening:
        passes.append((evidence.grid, screen(screener, evidence, *rest)))
        return passes[-1][1]

    done = finished_run(tmp_path_factory)
    monkeypatch.setattr(pipeline_steps, "screen_tiles", watched)
    output = tmp_path / "output"
    pipeline.screen(make_district(tmp_path / "district", model={"groups": "auto"}), done.output, output)
    ((grid, found),) = passes
    prospectivity, groups = read(output / "prospectivity.tif"), read(output / "groups.tif")
    rows, cols = np.nonzero(prospectivity >= 0)
    projection = pyproj.Proj(grid.crs)
    lon, lat = projection(*(grid.transform @ (cols + 0.5, rows + 0.5)), inverse=True)
    areas = grid.cell_area_km2 / np.asarray(projection.get_factors(lon, lat).areal_scale)
    assert found.valid_cells == len(rows)
    assert found.valid_area_km2 == pytest.approx(areas.sum(), rel=CELL_AREA.relative)
    assert found.valid_area_km2 != pytest.approx(len(rows) * grid.cell_area_km2, rel=CELL_AREA.relative)
    by_group = np.bincount(groups[rows, cols], areas, minlength=256)
    assert found.group_areas * found.unit_km2 == pytest.approx(by_group, rel=CELL_AREA.relative)
    best = prospectivity[rows, cols] >= 0.75
    top = found.histogram[int(0.75 * BINS) :].sum() * found.unit_km2
    assert top == pytest.approx(areas[best].sum(), rel=CELL_AREA.relative)
