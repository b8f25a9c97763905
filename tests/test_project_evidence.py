"""Samples, inputs, scenes and computed layers in a project file: what may stand together, and a sentence where not."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_project_mistakes import HEAD, LAYER_A, mistakes

from mpmjax.project import Project, load_project

GRID = '[grid]\ncrs = "EPSG:32650"\nresolution = 100.0\nbounds = [0, 0, 1000, 1000]\n'
SAMPLES = """
[[samples]]
source = "till.csv"
crs = "EPSG:32650"
units = { Li = "ppm", Be = "ppm" }
composition = ["Li", "Be"]
"""
LITHIUM = """
[[layers]]
name = "lithium"
source = "till.csv"
derive = "gridding"
field = "Li"
role = "geochemistry"
direction = "high"
"""
INPUT = """
[[inputs]]
name = "red"
source = "scene.tif"
band = 4
"""
SCENE = """
[[scenes]]
name = "s2"
sensor = "sentinel2"
source = "scene.tif"
vegetation = 0.4
"""
IRON = """
[[layers]]
name = "iron"
scene = "s2"
index = "iron_oxide"
role = "index"
"""
RATIO = """
[[layers]]
name = "ratio"
expression = "alteration / red"
role = "index"
"""
TILT = """
[[layers]]
name = "tilt"
source = "mag.tif"
derivative = "tilt"
role = "geophysics"
"""
WHOLE = HEAD + SAMPLES + INPUT + SCENE + LAYER_A + LITHIUM + IRON + RATIO + TILT


def load(folder: Path, text: str) -> Project:
    path = folder / "project.toml"
    path.write_text(text, encoding="utf-8")
    return load_project(path)


def test_every_form_of_layer_is_known(tmp_path: Path) -> None:
    project = load(tmp_path, WHOLE)
    forms = {layer.name: layer.form for layer in project.layers}
    assert forms == {
        "alteration": "raster", "lithium": "samples", "iron": "scene", "ratio": "expression", "tilt": "derivative",
    }  # fmt: skip
    assert {path.name for path in project.files} == {"a.tif", "till.csv", "scene.tif", "mag.tif"}
    assert [who for who, path in project.sources if path.name == "scene.tif"] == ["input 'red'", "scene 's2'"]
    assert project.samples_of(Path("till.csv")).composition == ("Li", "Be")
    assert project.samples_of(Path("soil.csv")).censored == "half", "a file without rules has the usual ones"


def test_a_scene_of_files_names_them_all(tmp_path: Path) -> None:
    bands = 'bands = { B02 = 1, B04 = "b04.tif", B11 = "b11.tif" }\n'
    project = load(tmp_path, HEAD + LAYER_A + IRON + SCENE + bands)
    assert [path.name for path in project.scenes[0].files] == ["scene.tif", "b04.tif", "b11.tif"]


SECOND = HEAD + LAYER_A + "{}"
MISTAKES = {
    # layers of samples
    LITHIUM.replace('field = "Li"\n', ""): "needs 'field' (a column, or a formula like clr(Li))",
    LITHIUM + 'crs = "EPSG:4326"\n': "'crs' is a rule of the whole file: state it in its [[samples]]",
    LITHIUM + 'layer = "x"\n': "'layer' is a rule of the whole file: state it in its [[samples]]",
    LITHIUM + "nodata = 0\n": "'nodata' is for raster sources: remove it from this layer of samples",
    LITHIUM + "band = 2\n": "'band' is for raster sources: remove it from this layer of samples",
    LITHIUM + "radius = 5.0\n": "'radius' is of the gridding: write gridding = { radius = ... }",
    LITHIUM + 'features = "intersections"\n': "'features' is for features: remove it from this layer of samples",
    LITHIUM.replace("till.csv", "till.tif"): "derive = \"gridding\" is for samples, and till.tif is a raster",
    LITHIUM.replace('"geochemistry"', '"distance"'): 'must be "geochemistry" or "geophysics" or "index" or',
    LITHIUM + 'gridding = { method = "idw", variogram = { model = "gaussian" } }\n': (
        "gridding: 'variogram' is for method \"kriging\", and this one is \"idw\": remove it"
    ),
    LITHIUM + 'gridding = { method = "linear", power = 2.0 }\n': "'power' is for method \"idw\", and this one is",
    LITHIUM + 'gridding = { what = "variance" }\n': 'what = "variance" is known by method "kriging" alone, got "idw"',
    LITHIUM + 'gridding = { method = "rbf", neighbours = 2 }\n': "3 neighbours or more, got 2",
    LITHIUM + 'gridding = { method = "kriging", variogram = { model = "gaussian", sill = 2 } }\n': (
        "variogram: give nugget, sill and range, or the model alone"
    ),
    LITHIUM + 'gridding = { method = "spline" }\n': "gridding.method: got 'spline'; allowed: 'idw', 'linear'",
    LITHIUM.replace('derive = "gridding"\n', ""): "till.csv is a table of samples: add derive = \"gridding\"",
    # rules of samples
    SAMPLES + RATIO.replace("red", "alteration"): (
        "samples: 'till.csv' is used by no layer: add one with the same source and derive = \"gridding\", or remove it"
    ),
    SAMPLES + SAMPLES + LITHIUM: "samples: 'till.csv' has its rules 2 times: keep one of them",
    SAMPLES + 'censored = "third"\n' + LITHIUM: "samples[1] 'till.csv'.censored: got 'third'; allowed: 'half', 'sqrt2'",
    SAMPLES.replace(', Be = "ppm"', "") + LITHIUM: "'units' names none for 'Be', a part of 'composition'",
    SAMPLES.replace('["Li", "Be"]', '["Li"]') + LITHIUM: "'Li' alone is no composition: two or more columns are needed",
    SAMPLES.replace('["Li", "Be"]', '["Li", "Li"]') + LITHIUM: "'Li' stands 2 times: a part is named once",
    SAMPLES.replace("[[samples]]", "[samples]") + LITHIUM: "write [[samples]], in double brackets, before every file",
    # inputs
    TILT + INPUT: "input 'red' is used by no layer: add one with an expression that names it, or remove it",
    INPUT + INPUT + RATIO: "input names must differ, 'red' stands 2 times",
    INPUT.replace('"red"', '"alteration"') + RATIO: "'alteration' is an input and a layer: an expression could mean",
    INPUT + "valid_range = [3, 1]\n" + RATIO: "valid_range is [lowest, highest] with lowest < highest, got [3.0, 1.0]",
    INPUT + 'role = "index"\n' + RATIO: "inputs[1] 'red'.role: unknown key",
    # scenes
    TILT + SCENE: "scene 's2' is used by no layer: add one with scene = 's2' and an index, or remove it",
    IRON: "layer 'iron': scene = 's2' is no [[scenes]]; add a [[scenes]] of that name",
    SCENE + IRON.replace('"s2"', '"s3"'): "layer 'iron': scene = 's3' is no [[scenes]]; these are: s2",
    SCENE + SCENE + IRON: "scene names must differ, 's2' stands 2 times",
    SCENE.replace("sentinel2", "sentinel3") + IRON: "sensor: got 'sentinel3'; allowed: 'sentinel2', 'landsat8' or",
    SCENE.replace('source = "scene.tif"\n', "") + IRON: "give 'source', the file of all bands, or bands = { B04 =",
    SCENE.replace('source = "scene.tif"', "bands = { B04 = 3 }") + IRON: "bands: B04 = 3 is a number in 'source'",
    SCENE + "water = 2\n" + IRON: "water: got 2; input should be less than or equal",
    SCENE + 'clouds = { band = "SCL" }\n' + IRON: "give values, as in { band = \"SCL\", values = [3, 8, 9, 10] }, or",
    # layers of scenes
    SCENE + IRON.replace('index = "iron_oxide"\n', ""): "needs 'index' or 'expression' (over its bands), exactly one",
    SCENE + IRON + 'expression = "B11 / B12"\n': "needs 'index' or 'expression' (over its bands), exactly one of them",
    SCENE + IRON + 'source = "b.tif"\n': "'source' does not belong here: a layer of a scene is computed from bands",
    SCENE + IRON.replace('"index"\n', '"geochemistry"\n'): 'a layer of a scene must have the role "index" or',
    SCENE + IRON.replace('scene = "s2"\n', ""): "'index' is one of a scene: add scene = \"...\"",
    # expressions
    INPUT + RATIO + 'source = "b.tif"\n': "'source' does not belong here: an expression is computed from inputs",
    INPUT + RATIO + "nodata = 0\n": "'nodata' does not belong here",
    INPUT + RATIO + "radius = 5.0\n": "'radius' does not belong here",
    # derivatives
    TILT.replace('"tilt"\nrole', '"slope"\nrole'): "derivative: got 'slope'; allowed: 'horizontal', 'vertical'",
    TILT.replace('derivative = "tilt"', 'derivative = "upward"'): "derivative = \"upward\" needs 'height' (metres)",
    TILT + "height = 100.0\n": "'height' is for derivative = \"upward\", and this one is \"tilt\": remove it",
    TILT.replace("mag.tif", "mag.gpkg"): "'derivative' is of a raster, and mag.gpkg is none: name the grid of the",
    TILT.replace('"geophysics"', '"category"'): 'must be "geophysics" or "index", got "category"',
    TILT.replace('derivative = "tilt"\n', "height = 100.0\n"): "'height' is for derivative = \"upward\": add that, or",
    TILT + "radius = 5.0\n": "'radius' is for vector sources",
}  # fmt: skip


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_a_key_that_does_not_belong_is_refused_in_a_sentence(tmp_path: Path, number: int) -> None:
    text, words = list(MISTAKES.items())[number]
    (told,) = mistakes(tmp_path, SECOND.format(text))
    assert words in told


def test_without_raster_layers_the_grid_is_that_of_an_input_or_must_be_stated(tmp_path: Path) -> None:
    both = LITHIUM + LITHIUM.replace("lithium", "other")
    (told,) = mistakes(tmp_path, HEAD + both)
    assert told.startswith("project file: without raster layers [grid] needs crs and resolution")
    load(tmp_path, HEAD + GRID + both)
    load(tmp_path, HEAD + LITHIUM + SCENE + IRON)
    load(tmp_path, HEAD + LITHIUM + INPUT + RATIO + '[grid]\nlike = "red"\n')
    (told,) = mistakes(tmp_path, HEAD + LITHIUM + INPUT + RATIO + '[grid]\nlike = "lithium"\n')
    assert "grid.like = 'lithium' is no raster layer; these are: red" in told
