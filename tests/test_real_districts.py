"""Three real districts: the planted world of the other tests is ours, these are not.

They need the data that the examples name; MPMJAX_DATA says where it lies.
"""

from __future__ import annotations

import os
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from districts import Said, command_line, digests, read

from mpmjax import pipeline

DATA = os.environ.get("MPMJAX_DATA")
needs_data = pytest.mark.skipif(
    not DATA, reason="MPMJAX_DATA is not set: the folder of nanling_li/, cloncurry_iocg/ ..."
)

LEAST = {"nanling_li": 0.92, "cloncurry_iocg": 0.67, "missouri_ni": 0.84, "nanling_li_all": 0.92,
         "missouri_ni_all": 0.84}  # fmt: skip
"""AUC of prospectivity. A plain mean of typed memberships has about .94, .70 and .88; gamma .90, .70 and .89."""
OCCURRENCES = {"nanling_li": 23, "cloncurry_iocg": 252, "missouri_ni": 42, "nanling_li_all": 23, "missouri_ni_all": 42}
NOTICED = {"nanling_li_all": "half the smallest positive value", "missouri_ni_all": "almost without error (MAD = 0)"}
"""The only warnings that there may be: of elements at their detection limit, of layers that are one constant nearly."""
SLACK = 0.03
"""By so much prospectivity may lie below favourability alone: what the network adds must not cost what was known."""


def example(name: str, folder: Path, **changes: str) -> Path:
    text = resources.files("mpmjax.examples").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    for old, new in changes.items():
        key = f"\n{old} = "
        assert text.count(key) == 1
        start = text.index(key) + 1
        text = text[:start] + new + text[text.index("\n", start) :]
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder / f"{name}.toml"


def assert_finds_deposits(record: dict, least: float, occurrences: int, noticed: str | None = None) -> None:
    methods = record["validation"]["methods"]
    assert record["validation"]["occurrences"] == occurrences
    assert methods["prospectivity"]["auc"] >= least
    assert methods["prospectivity"]["auc"] >= methods["favourability"]["auc"] - SLACK
    assert record["target_count"] > 3
    assert [said for said in record["warnings"] if noticed is None or noticed not in said] == []


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", LEAST)
def test_district(tmp_path: Path, name: str) -> None:
    record = pipeline.run(example(name, tmp_path), tmp_path / "out")
    assert_finds_deposits(record, LEAST[name], OCCURRENCES[name], NOTICED.get(name))


@needs_data
def test_missouri_with_two_members(tmp_path: Path) -> None:
    """Degrees put on a metric grid, 7,403 cells, a layer without direction; the ensemble as small as it goes."""
    project = example("missouri_ni", tmp_path, members="members = 2\nsteps = 50", hidden="hidden = 8")
    record = pipeline.run(project, tmp_path / "out")
    assert_finds_deposits(record, 0.84, 42)
    assert record["grid"]["cell_size"] == [5000.0, 5000.0]
    assert [layer["direction"] for layer in record["layers"]] == [1, 1, 1, 1, 0]
    assert not np.isin(read(tmp_path / "out" / "driver.tif"), (5,)).any(), "the tilt has no favourable side"
    assert set(record["inputs"]) == {
        *(f"${{MPMJAX_DATA}}/missouri_ni/{layer['name']}.tif" for layer in record["layers"]),
        "${MPMJAX_DATA}/missouri_ni/LABEL_ni.tif",
    }
    assert digests(tmp_path / "out")["project.toml"] == digests(tmp_path)["missouri_ni.toml"]


HEADER = (
    '"","CLASS","CLASS_AREA","NO_POINTS","WPLUS","WMINUS","CONTRAST","WEIGHT"\n"1",585,997.14,16,0.67,-0.03,0.71,0.67\n'
)


def weights_table(folder: Path) -> Path:
    """Weights of evidence, made from the deposits: the upstream file where it is, else its like."""
    upstream = Path(DATA or "") / "cloncurry_iocg" / "StratNo_CT.csv"
    if DATA and upstream.exists():
        return Path(shutil.copy(upstream, folder))
    (folder / "StratNo_CT.csv").write_text(HEADER, encoding="utf-8")
    return folder / "StratNo_CT.csv"


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ('role = "index"\ndirection = "high"', "is a table of samples"),
        ('role = "distance"\nderive = "distance"\ndirection = "low"', "format that is read"),
        ('role = "index"\nderive = "gridding"\nfield = "CONTRAST"\ndirection = "high"', "no columns named lon,lat"),
    ],
    ids=["raster", "vector", "samples"],
)
def test_a_table_made_from_the_labels_is_no_evidence(tmp_path: Path, layer: str, reason: str) -> None:
    """Whoever lets it in judges the deposits by the deposits."""
    table = weights_table(tmp_path).name
    lines = ["[project]", 'name = "leak"', "[grid]", 'crs = "EPSG:7845"', "resolution = 1000.0"]
    lines += ["bounds = [650000.0, -2440000.0, 740000.0, -2350000.0]"]
    lines += ["[[layers]]", 'name = "weights"', f'source = "{table}"', layer]
    lines += ["[[layers]]", 'name = "again"', f'source = "{table}"', layer]
    (tmp_path / "project.toml").write_text("\n".join(lines), encoding="utf-8")
    said: Said = command_line("run", tmp_path / "project.toml", "-o", tmp_path / "out")
    assert said.status == 2
    assert "StratNo_CT.csv" in said.err
    assert reason in said.err
    assert not (tmp_path / "out").exists()
