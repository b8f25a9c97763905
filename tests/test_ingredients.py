"""Whatever may change a prepared layer changes its key: after every edit what is kept is as in a fresh folder."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from architecture import imports_of, source_files
from districts import LEFT, TOP, corner, write_project, write_raster, write_vector
from rasters import values_of

import mpmjax
from mpmjax.project_layers import LayerSection
from mpmjax.project_sections import GridSection, ValidateSection
from mpmjax.stream import cache
from mpmjax.types import Evidence

CRS, OTHER_CRS = "EPSG:32639", "EPSG:2059"
"""Two datums: some hundred metres apart."""

FAULTS = {"source": "faults.gpkg", "layer": "faults", "direction": "high"}
ROCKS = {"kind": "category", "scores": {"1": 0.5}}
LAYERS: list[dict[str, Any]] = [
    {"name": "copper", "source": "copper.tif", "role": "geochemistry", "direction": "high"},
    {"name": "rock", "source": "rock.tif", "role": "category", "membership": ROCKS},
    {"name": "near", "derive": "distance", "role": "distance", **FAULTS},
    {"name": "dense", "derive": "density", "radius": 500.0, "role": "density", **FAULTS},
    {"name": "close", "derive": "proximity", "max_distance": 600.0, "role": "index", "field": "age",
     "classes": {"old": 1.0, "young": 0.5}, **FAULTS},
    {"name": "geology", "source": "geology.gpkg", "derive": "class", "field": "rock", "role": "category",
     "membership": {"kind": "category", "scores": {"granite": 0.9, "basalt": 0.4}}},
]  # fmt: skip
BASE: dict[str, Any] = {
    "layers": LAYERS,
    "grid": {
        "crs": CRS, "resolution": 100.0, "bounds": [LEFT, TOP - 3000, LEFT + 4000, TOP],
        "mask": "sheet.gpkg", "mask_layer": "sheet",
    },
    "validate": {"occurrences": "deposits.gpkg", "layer": "deposits"},
}  # fmt: skip

EDITS: list[tuple[str | int, dict[str, Any]]] = [
    (0, {"band": 2}),
    (0, {"crs": OTHER_CRS}),
    (0, {"nodata": 10.0}),
    (0, {"valid_range": [9.0, 20.0]}),
    (0, {"resampling": "nearest"}),
    (1, {"resampling": "mode"}),
    (2, {"where": "age = 'old'"}),
    (2, {"crs": OTHER_CRS}),
    (2, {"layer": "dykes"}),
    (2, {"features": "intersections"}),
    (2, {"azimuth": [0.0, 90.0]}),
    (2, {"search_distance": 0.0}),
    (2, {"derive": "density", "role": "density", "radius": 900.0}),
    (3, {"radius": 900.0}),
    (3, {"kernel": "quartic"}),
    (4, {"max_distance": 300.0}),
    (4, {"field": "note"}),
    (4, {"classes": {"old": 0.2, "young": 0.5}}),
    (4, {"classes": None, "field": None}),
    (5, {"membership": {"kind": "category", "scores": {"granite": 0.9, "shale": 0.4}}}),
    (5, {"field": "unit", "membership": {"kind": "category", "scores": {"basalt": 0.9, "granite": 0.4}}}),
    ("grid", {"crs": OTHER_CRS}),
    ("grid", {"resolution": 50.0}),
    ("grid", {"bounds": [LEFT, TOP - 2500, LEFT + 4000, TOP]}),
    ("grid", {"bounds_crs": OTHER_CRS}),
    ("grid", {"bounds": None}),
    ("grid", {"mask": "other.gpkg", "mask_layer": None}),
    ("grid", {"mask_layer": "north"}),
    ("grid", {"mask_crs": OTHER_CRS}),
    ("grid", {"like": "copper", "crs": None, "resolution": None, "bounds": None}),
    ("validate", {"where": "name = 'P'"}),
    ("validate", {"crs": OTHER_CRS}),
    ("validate", {"layer": "mines"}),
    ("validate", {"occurrences": "other points.gpkg", "layer": None}),
]
"""(layer by number or section, keys): None takes a key out."""

NO_CELLS = {
    LayerSection: {"name", "source", "role", "direction", "weight", "transform", "membership", "value_table"},
    GridSection: {"like"},
    ValidateSection: {"bootstrap", "baselines"},
}
"""Keys that change no cell, or only through what is tested otherwise: checksums of files, names of entries."""


def write_sources(folder: Path) -> None:
    rng = np.random.default_rng(4)
    with rasterio.open(
        folder / "copper.tif", "w", driver="GTiff", width=80, height=60, count=2, dtype="float32", crs=CRS,
        transform=corner(LEFT - 17, TOP + 23), nodata=-9999.0,
    ) as file:  # fmt: skip
        file.write(np.rint(rng.normal(10, 2, (2, 60, 80))).astype(np.float32))
    write_raster(folder / "rock.tif", rng.integers(1, 4, (120, 160)).astype(np.uint8), corner(cell=30.0), nodata=0)
    faults = [
        shapely.LineString([(LEFT + 300, TOP - 2500), (LEFT + 3500, TOP - 200)]),
        shapely.LineString([(LEFT + 300, TOP - 400), (LEFT + 3500, TOP - 2900)]),
        shapely.LineString([(LEFT - 300, TOP + 300), (LEFT - 100, TOP - 3900)]),
    ]
    write(folder / "faults.gpkg", "faults", faults, age=["old", "young", "old"], note=["young", "old", "old"])
    write(folder / "faults.gpkg", "dykes", faults[1:2], age=["old"], note=["young"])
    halves = [shapely.box(LEFT, TOP - 3000, LEFT + 2000, TOP), shapely.box(LEFT + 2000, TOP - 3000, LEFT + 4000, TOP)]
    rocks = {"rock": ["granite", "basalt"], "unit": ["basalt", "granite"]}
    third = shapely.box(LEFT + 1000, TOP - 900, LEFT + 1500, TOP - 400)
    write_vector(folder / "geology.gpkg", [*halves, third], **{name: [*v, "shale"] for name, v in rocks.items()})
    write(folder / "sheet.gpkg", "sheet", [shapely.box(LEFT + 210, TOP - 2700, LEFT + 3900, TOP - 180)])
    write(folder / "sheet.gpkg", "north", [shapely.box(LEFT + 210, TOP - 1700, LEFT + 3900, TOP - 180)])
    write_vector(folder / "other.gpkg", [shapely.box(LEFT + 210, TOP - 2200, LEFT + 3000, TOP - 180)])
    points = [shapely.Point(LEFT + 1000, TOP - 1000), shapely.Point(LEFT + 3000, TOP - 1200)]
    write(folder / "deposits.gpkg", "deposits", points, name=["P", "Q"])
    write(folder / "deposits.gpkg", "mines", points[1:], name=["Q"])
    write_vector(folder / "other points.gpkg", [shapely.Point(LEFT + 2000, TOP - 1500)], name=["R"])


def write(path: Path, layer: str, geometries: list[Any], **columns: list[Any]) -> None:
    geopandas.GeoDataFrame(columns, geometry=geometries, crs=CRS).to_file(path, layer=layer, engine="pyogrio")


def edited(where: str | int, keys: Mapping[str, Any]) -> dict[str, Any]:
    tables = copy.deepcopy(BASE)
    table = tables["layers"][where] if isinstance(where, int) else tables[where]
    table.update(keys)
    for key in [key for key, value in table.items() if value is None]:
        del table[key]
    return tables


def prepared(folder: Path, tables: Mapping[str, Any], cache: str) -> Evidence:
    """A shared folder keeps what an earlier prepare made, so that it can be compared."""
    own = {name: tables[name] for name in ("grid", "validate")}
    project = write_project(folder, tables["layers"], **own, stream={"cache": cache})
    return mpmjax.prepare(project, folder / "out")


def assert_same(one: Evidence, two: Evidence) -> None:
    assert one.grid == two.grid
    for first, second in zip(one.layers, two.layers, strict=True):
        np.testing.assert_array_equal(values_of(first, one.grid), values_of(second, two.grid), err_msg=first.name)
        assert first.codes == second.codes
    assert one.mask is not None
    assert two.mask is not None
    assert one.mask.read_bytes() == two.mask.read_bytes()
    assert one.occurrences is not None
    assert two.occurrences is not None
    assert np.array_equal(one.occurrences.rows, two.occurrences.rows)
    assert np.array_equal(one.occurrences.cols, two.occurrences.cols)
    assert one.notes == two.notes


@pytest.mark.parametrize(("where", "keys"), EDITS, ids=[f"{where} {'+'.join(keys)}" for where, keys in EDITS])
def test_after_an_edit_all_is_as_in_a_fresh_folder(tmp_path: Path, where: str | int, keys: dict[str, Any]) -> None:
    write_sources(tmp_path)
    before = prepared(tmp_path, BASE, "kept")
    kept, fresh = (prepared(tmp_path, edited(where, keys), cache) for cache in ("kept", "fresh"))
    assert_same(kept, fresh)
    with pytest.raises(AssertionError):
        assert_same(before, fresh)  # else the edit proves nothing


OF_OTHER_FORMS = {"derivative", "height", "expression", "scene", "index", "gridding"}
"""Keys of layers that test_ingredients_kinds.py tries."""


def test_every_key_is_tried_or_known_to_change_no_cell() -> None:
    tried = {
        LayerSection: {key for where, keys in EDITS if isinstance(where, int) for key in keys},
        GridSection: {key for where, keys in EDITS if where == "grid" for key in keys},
        ValidateSection: {key for where, keys in EDITS if where == "validate" for key in keys},
    }
    for section, no_cells in NO_CELLS.items():
        assert set(section.model_fields) <= tried[section] | no_cells | OF_OTHER_FORMS, section


def test_the_same_files_under_other_names_are_another_grid(tmp_path: Path) -> None:
    write_raster(tmp_path / "fine.tif", np.random.default_rng(0).normal(size=(60, 80)), corner())
    write_raster(tmp_path / "coarse.tif", np.random.default_rng(1).normal(size=(30, 40)), corner(cell=120.0))
    for source, other, cell in (("fine", "coarse", 60.0), ("coarse", "fine", 120.0)):
        layers = [
            {"name": "A", "source": f"{source}.tif", "role": "index", "direction": "high"},
            {"name": "B", "source": f"{other}.tif", "role": "index", "direction": "high"},
        ]
        project = write_project(tmp_path, layers, grid={"like": "A"})
        assert mpmjax.prepare(project, tmp_path / "out").grid.cell_size == (cell, cell)


def test_the_version_covers_all_code_that_prepares() -> None:
    """Every module that stages/prepare.py stands on is in a room of the version, or is known to change no cell."""
    modules = source_files(Path(__file__).parents[1])
    seen, ahead = set[str](), ["mpmjax.stages.prepare"]
    while ahead:
        module = ahead.pop()
        if module in modules and module not in seen:
            seen.add(module)
            ahead += [item.target for item in imports_of(modules[module], module, modules)]
    package = modules["mpmjax"].parent
    rooms = [package / room for room in cache.ROOMS]
    outside = {m for m in seen if not any(modules[m] == room or room in modules[m].parents for room in rooms)}
    plain = {"mpmjax", "mpmjax.errors", "mpmjax.products"}
    sections = {name for name in outside if name.startswith("mpmjax.project")}  # their values are ingredients
    assert outside <= plain | sections
