"""check on the real districts: all that it says of each, no more and no less."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from small_projects import make, raster, vector

from mpmjax.project import load_project
from mpmjax.stages.check import Findings, check

DATA = os.environ.get("MPMJAX_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="MPMJAX_DATA is not set: the folder of nanling_li/ ...")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

SAID = {
    "nanling_li": [
        r"The rasters have 2 cell sizes: 4243\.9 x 4178\.9 m \(Li, Be, .*\); 1000 x 1000 m \(faults, granite, strata\)",
        r"layers 'Li', 'Be', 'Sn', 'W', 'F', 'Nb' and 2 more: no square cells",
        r"layers 'Li', 'Be', 'Sn', 'W', 'F', 'Nb' and 2 more: coarser than the grid: .* covers 17\.7 cells",
    ],
    "cloncurry_iocg": [
        r"The rasters have 2 cell sizes: 100 x 100 m \(breccia, fault_density\); 199\.8 x 199\.9 m \(fault\)",
        r"layer 'fault': coarser than the grid: a cell of the source covers 4 cells",
    ],
    "missouri_ni": [],
    "gawler": [r"layer 'dolerite': .* 1 of \d+ geometries were invalid"],
}
"""All that is said of the examples, no more and no less."""


def assert_said(found: Findings, expected: list[str]) -> None:
    assert len(found.warnings) == len(expected), "\n".join(found.warnings)
    for words, warning in zip(expected, found.warnings, strict=True):
        assert re.search(words, warning), f"{words}: {warning}"


@needs_data
@pytest.mark.parametrize("name", SAID)
def test_examples(name: str) -> None:
    found = check(load_project(EXAMPLES / f"{name}.toml"))
    assert not found.errors
    assert_said(found, SAID[name])
    uneven = [line for line in found.lines if "equal-area CRS" in line]
    assert len(uneven) == (name in ("nanling_li", "missouri_ni")), "those that lie in several UTM zones"


@needs_data
def test_nanling_with_deposits_half_a_cell_off(tmp_path: Path) -> None:
    text = (EXAMPLES / "nanling_li.toml").read_text(encoding="utf-8")
    (tmp_path / "p.toml").write_text(text.replace("li_deposits.csv", "Li_deposits0.tif"), encoding="utf-8")
    shifted = r"occurrences: .* shifted by 0\.50 cell \(500 m\) east and 0\.50 cell \(500 m\) south"
    assert_said(check(load_project(tmp_path / "p.toml")), [*SAID["nanling_li"], shifted])


@needs_data
def test_all_of_missouri(tmp_path: Path) -> None:
    """31 layers: geochemistry and rare rocks are nearly constant, two of the rocks are nowhere (an error)."""
    data = Path(str(DATA)) / "missouri_ni"
    layers = [
        raster(path.stem, source=path) for path in sorted(data.glob("*.tif")) if not path.stem.startswith("LABEL")
    ]
    found = check(make(tmp_path, layers, grid={"crs": "EPSG:26915", "resolution": 5000.0}))
    assert len(layers) == 31
    assert [re.findall(r"'(\w+)'.*constant", error) for error in found.errors] == [
        ["geo_F_Glacial_Drift_dup"],
        ["geo_G_Glacial_Drift_dup"],
    ]
    nearly = r"layers 'CO_med' \(95\.2% are 0\), 'CO_p90' .* 'LI_p90' \(94\.5% are 0\) and 9 more: nearly constant"
    still = r"layer 'geo_OTHER' \(99\.2% are 0\): so nearly constant that P1 = P99"
    assert_said(found, [*SAID["missouri_ni"], nearly, still])
    lines = [line for line in found.lines if line.startswith("datum")]
    assert len(lines) == 1
    assert "WGS 84 to NAD83 by 'Inverse of NAD83 to WGS 84 (1)', good to 4 m" in lines[0]


@needs_data
def test_all_of_nanling(tmp_path: Path) -> None:
    """42 layers and no two alike; coordinates written as rasters are none either."""
    data = Path(str(DATA)) / "nanling_li"
    elements = [
        raster(path.stem, source=path, role="geochemistry")
        for path in sorted(data.glob("Idw_*.tif"))
        if path.stem not in ("Idw_xx", "Idw_yy")
    ]
    others = [raster(name, source=data / f"{name}.tif", nodata=0.0) for name in ("Faults", "Granite", "Strata")]
    sections = {"grid": {"like": "Granite", "mask": data / "study_area.tif"}}
    found = check(make(tmp_path, [*elements, *others], **sections))
    assert not found.errors
    assert len(found.warnings) == 3
    assert "'Idw_B', 'Idw_Ba' and 33 more: coarser" in found.warnings[2]
    unmasked = check(make(tmp_path, [*elements[:1], *others], grid={"like": "Granite"}))
    gaps = [text for text in unmasked.warnings if "no value in more than half" in text]
    assert len(gaps) == 1
    assert "'Faults' (66% missing), 'Granite' (66% missing), 'Strata' (66% missing)" in gaps[0]


@needs_data
def test_mistakes_in_cloncurry(tmp_path: Path) -> None:
    data = Path(str(DATA)) / "cloncurry_iocg"
    layers = [
        raster("breccia", source=data / "Dist2Breccia.tif", role="distance", direction="low"),
        raster("strata", source=data / "StratNo.tif"),
        raster("density", source=data / "FaultDensity.tif", role="membership"),
        raster("again", source=data / "FaultDensity.tif", role="density"),
    ]
    expected = [
        r"layers 'density' and 'again': both are band 1 of .*FaultDensity\.tif",
        r"layer 'strata' \(87 different values, has a value table, StratNo\.tif\.vat\.dbf\): .* codes",
    ]
    found = check(make(tmp_path, layers))
    assert_said(found, expected)
    (error,) = found.errors
    assert "layer 'density': 2,913,565 of 3,131,133 values outside 0..1" in error


@needs_data
def test_gawler_on_another_datum(tmp_path: Path) -> None:
    """GDA94 onto a grid of WGS 84: 3 m, a fact at 250 m and a warning at 5 m."""
    data = Path(str(DATA)) / "gawler_vectors"
    layers = [vector(name, source=data / f"{name}.shp") for name in ("faults_neoproterozoic_ordovician",)]
    layers.append(vector("dolerite", source=data / "gairdner_dolerite.shp"))
    for cell, warned in ((250.0, 0), (5.0, 1)):
        grid = {"crs": "EPSG:32753", "resolution": cell, "bounds": [600_000.0, 6_600_000.0, 700_000.0, 6_700_000.0]}
        found = check(make(tmp_path, layers, grid=grid))
        assert not found.errors
        assert [line[:60] for line in found.lines if line.startswith("datum")] == [
            "datum: GDA94 to WGS 84 by 'GDA94 to WGS 84 (1)', good to 3 m"
        ]
        assert sum("good to 3 m only" in text for text in found.warnings) == warned
