"""Whatever may change a layer of samples, of a scene, a derivative or what is computed changes its key."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from districts import LEFT, TOP, corner, promise, write_raster
from kinds import INPUTS, LAYERS, SAMPLES, SCENE, SHAPE, make_kinds
from rasters import values_of
from test_ingredients import OF_OTHER_FORMS

import mpmjax
from mpmjax.project_samples import GriddingTable, SamplesSection
from mpmjax.project_scenes import InputSection, SceneSection
from mpmjax.types import Evidence

BASE: dict[str, Any] = {
    "layers": [
        {key: value for key, value in layer.items() if key not in ("weight",)}
        for layer in LAYERS
        if layer["name"] in ("alteration", "lithium", "beryllium", "iron", "ratio", "upward")
    ],
    "samples": [SAMPLES | {"level_by": "rock"}],
    "inputs": INPUTS,
    "scenes": [SCENE | {"water": 0.5}],
}
RED = np.bincount(np.rint(900 + 150 * promise(SHAPE, 3)).astype(int).ravel()).argmax()
"""The number that most cells of the scene's red band hold."""

KRIGING = {"method": "kriging", "support": 3000.0}

EDITS: list[tuple[str, int, dict[str, Any]]] = [
    ("layers", 1, {"field": "Be"}),
    ("layers", 1, {"gridding": {"method": "natural", "support": 3000.0}}),
    ("layers", 1, {"gridding": {"method": "idw", "power": 1.0, "support": 3000.0}}),
    ("layers", 1, {"gridding": {"method": "idw", "power": 2.0, "support": 300.0}}),
    ("layers", 1, {"gridding": {"method": "idw", "power": 2.0, "support": 3000.0, "radius": 500.0}}),
    ("layers", 1, {"gridding": {"method": "idw", "power": 2.0, "support": 3000.0, "neighbours": 2}}),
    ("layers", 2, {"gridding": KRIGING | {"what": "variance"}}),
    ("layers", 2, {"gridding": KRIGING | {"variogram": {"model": "gaussian"}}}),
    ("layers", 3, {"index": None, "expression": "B12 / B11"}),
    ("layers", 4, {"expression": "alteration * thorium + red"}),
    ("layers", 5, {"height": 400.0}),
    ("layers", 5, {"height": None, "derivative": "vertical"}),
    ("layers", 5, {"valid_range": [-200.0, 200.0]}),
    ("samples", 0, {"censored": "zero"}),
    ("samples", 0, {"negative": "missing"}),
    ("samples", 0, {"duplicates": "first"}),
    ("samples", 0, {"crs": "EPSG:2059"}),
    ("samples", 0, {"units": {"Li": "ppb", "Be": "ppb", "Sn": "ppm"}}),
    ("samples", 0, {"composition": ["Li", "Be"]}),
    ("samples", 0, {"level_by": None}),
    ("inputs", 0, {"band": 4}),
    ("inputs", 0, {"crs": "EPSG:2059"}),
    ("inputs", 0, {"nodata": float(RED)}),
    ("inputs", 0, {"valid_range": [800.0, 1000.0]}),
    ("inputs", 1, {"resampling": "nearest"}),
    ("inputs", 1, {"source": "u.tif"}),
    ("scenes", 0, {"bands": {"B02": 3, "B04": 1}}),
    ("scenes", 0, {"crs": "EPSG:2059"}),
    ("scenes", 0, {"nodata": float(RED)}),
    ("scenes", 0, {"offset": -0.01}),
    ("scenes", 0, {"offset": -0.01, "scale": 0.0002}),
    ("scenes", 0, {"vegetation": 0.2}),
    ("scenes", 0, {"water": -0.5}),
    ("scenes", 0, {"clouds": {"band": "SCL", "values": [5]}}),
]
"""(section, which, keys): None takes a key out."""

MODELS = {"samples": SamplesSection, "inputs": InputSection, "scenes": SceneSection}
NO_CELLS = {"name", "source", "layer", "sensor"}
"""Names of entries and files, and what only other files can hold."""


def write_more(folder: Path) -> None:
    """Another input; and samples with a class, with repeats and with negative values."""
    rng = np.random.default_rng(15)
    write_raster(folder / "u.tif", rng.normal(9, 1, (60, 70)).astype(np.float32), corner(LEFT - 300, TOP + 300, 100.0))
    header, *rows = (folder / "till.csv").read_text(encoding="utf-8").splitlines()
    rows[3] = ",".join([*rows[3].split(",")[:2], "-7", "800", "3"])
    rows += [",".join([*row.split(",")[:2], "30", "500", "2"]) for row in rows[10:14]]
    classes = (f"{row},{'granite' if number % 3 else 'schist'}" for number, row in enumerate(rows))
    (folder / "till.csv").write_text("\n".join([f"{header},rock", *classes]) + "\n", encoding="utf-8")


def edited(section: str, number: int, keys: Mapping[str, Any]) -> dict[str, Any]:
    tables = copy.deepcopy(BASE)
    table = tables[section][number]
    table.update(keys)
    for key in [key for key, value in table.items() if value is None]:
        del table[key]
    return tables


def prepared(folder: Path, tables: Mapping[str, Any], cache: str) -> Evidence:
    project = make_kinds(folder, **copy.deepcopy(dict(tables)), stream={"cache": cache})
    write_more(folder)
    return mpmjax.prepare(project, folder / "out")


def assert_same(one: Evidence, two: Evidence) -> None:
    assert one.grid == two.grid
    for first, second in zip(one.layers, two.layers, strict=True):
        np.testing.assert_array_equal(values_of(first, one.grid), values_of(second, two.grid), err_msg=first.name)
    assert one.notes == two.notes
    assert one.provenance == two.provenance


NAMES = [f"{section} {number} {'+'.join(keys)}" for section, number, keys in EDITS]


@pytest.mark.parametrize("edit", EDITS, ids=NAMES)
def test_after_an_edit_all_is_as_in_a_fresh_folder(tmp_path: Path, edit: tuple[str, int, dict[str, Any]]) -> None:
    before = prepared(tmp_path, BASE, "kept")
    kept, fresh = (prepared(tmp_path, edited(*edit), cache) for cache in ("kept", "fresh"))
    assert_same(kept, fresh)
    pairs = zip(before.layers, fresh.layers, strict=True)
    alike = [np.array_equal(values_of(a, before.grid), values_of(b, fresh.grid), equal_nan=True) for a, b in pairs]
    assert not all(alike), "else the edit proves nothing"


def test_every_key_is_tried_or_known_to_change_no_cell() -> None:
    for section, model in MODELS.items():
        tried = {key for where, _, keys in EDITS if where == section for key in keys}
        assert set(model.model_fields) <= tried | NO_CELLS, section
    assert {key for where, _, keys in EDITS if where == "layers" for key in keys} >= OF_OTHER_FORMS - {"scene"}
    gridding = [keys["gridding"] for _, _, keys in EDITS if "gridding" in keys]
    assert {key for table in gridding for key in table} == set(GriddingTable.model_fields)
