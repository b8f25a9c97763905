"""Every mistake in a project file is one sentence: the field, the value got, what is allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mpmjax.errors import ProjectError
from mpmjax.project import Project, load_project

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.toml"))

HEAD = """
[project]
name = "kajan"
"""
LAYER_A = """
[[layers]]
name = "alteration"
source = "a.tif"
role = "index"
direction = "high"
"""
LAYER_B = """
[[layers]]
name = "copper"
source = "b.tif"
role = "geochemistry"
"""
CATEGORY = """
[[layers]]
name = "rock"
source = "r.tif"
role = "category"
"""
FAULTS = """
[[layers]]
name = "faults"
source = "f.gpkg"
derive = "distance"
role = "distance"
direction = "low"
"""
GOOD = HEAD + LAYER_A + LAYER_B
"""The last table is that of 'copper': lines that are put behind it belong to it."""


def load(folder: Path, text: str) -> Project:
    path = folder / "project.toml"
    path.write_text(text, encoding="utf-8")
    return load_project(path)


def mistakes(folder: Path, text: str) -> list[str]:
    """The sentences of the one message about a project file."""
    with pytest.raises(ProjectError) as seen:
        load(folder, text)
    first, *lines = str(seen.value).split("\n")
    count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    assert first == f"{folder / 'project.toml'}: {count} in the project file."
    for line in lines:
        assert re.fullmatch(r"  \S.*[.?]", line), f"a sentence: {line}"
        assert not re.search(r"pydantic|Input|tuple|dict|instance|<class|None|datetime|True", line), "words of Python"
    return [line.strip() for line in lines]


# -- one mistake, one sentence

COPPER = "layers[2] 'copper'"
KINDS = "linear, power, large, small, gaussian, near, ms_large, ms_small, sigmoid, shoulder, category, ecdf"
LAYER_KEYS = (
    "azimuth, band, classes, crs, derivative, derive, direction, expression, features, field, gridding, height, index, "
    "kernel, layer, max_distance, membership, name, nodata, radius, resampling, role, scene, search_distance, source, "
    "transform, valid_range, value_table, weight, where"
)
VECTORS = 'for vector sources: add derive = "distance" or the like, or remove it'

LAYER_MISTAKES = {
    'direction = "up"': ".direction: got 'up'; allowed: 'high', 'low' or 'none'.",
    'transform = "ln"': ".transform: got 'ln'; allowed: 'none', 'log' or 'sqrt'.",
    'resampling = "cubic"': ".resampling: got 'cubic'; allowed: 'nearest', 'bilinear', 'average' or 'mode'.",
    'derive = "dist"': (
        ".derive: got 'dist'; allowed: 'distance', 'density', 'presence', 'buffer', 'proximity', 'class' or 'gridding'."
    ),
    "weight = 0": ".weight: got 0; input should be greater than 0.",
    "weight = -1.5": ".weight: got -1.5; input should be greater than 0.",
    "weight = inf": ".weight: got inf; a finite number is needed.",
    'weight = "2"': ".weight: got '2'; a number is needed.",
    "weight = true": ".weight: got true; a number is needed.",
    "band = 0": ".band: got 0; input should be greater than or equal to 1.",
    "band = 1.0": ".band: got 1.0; a whole number is needed.",
    'band = "1"': ".band: got '1'; a whole number is needed.",
    "band = true": ".band: got true; a whole number is needed.",
    'nodata = "none"': ".nodata: got 'none'; a number is needed.",
    "nodata = inf": ".nodata: got inf; a finite number is needed.",
    "crs = 32639": ".crs: got 32639; a text in quotes is needed.",
    "valid_range = [3, 1]": ": valid_range is [lowest, highest] with lowest < highest, got [3.0, 1.0].",
    "valid_range = [1, 1]": ": valid_range is [lowest, highest] with lowest < highest, got [1.0, 1.0].",
    "valid_range = [1]": ".valid_range[2]: required, but not given.",
    "valid_range = 7": ".valid_range: got 7; a list in square brackets is needed.",
    "valid_range = [0, inf]": ".valid_range[2]: got inf; a finite number is needed.",
    'valid_range = ["0", 1]': ".valid_range[1]: got '0'; a number is needed.",
    "where = \"rock = 'a'\"": f": 'where' is {VECTORS}.",
    "search_distance = 100.0": f": 'search_distance' is {VECTORS}.",
    "radius = 100.0": f": 'radius' is {VECTORS}.",
    'field = "rock"': (": 'value_table' and 'field' go together: the file, and its column that names the codes."),
    'field = "rock"\nvalue_table = "t.csv"': (
        ": 'value_table' names the codes of classes: role must be \"category\", or remove it."
    ),
    'resampling = "mode"': ': resampling = "mode" is for role "category"; values are averaged or interpolated.',
    "search_distance = -1": ".search_distance: got -1; input should be greater than or equal to 0.",
    "directon = 1": ".directon: unknown key; did you mean 'direction'?",
    "no_data = 1": ".no_data: unknown key; did you mean 'nodata'?",
    "colour = 1": f".colour: unknown key; allowed: {LAYER_KEYS}.",
    'membership = "linear"': ".membership: got 'linear'; a table in braces is needed.",
    "membership = { lo = 1 }": ".membership: needs a kind, for example { kind = \"sigmoid\" }; got {'lo': 1}.",
    'membership = { kind = "lineer" }': f".membership.kind: got 'lineer'; allowed: {KINDS}.",
    'membership = { kind = "linear", low = 1 }': ".membership.low: unknown key; did you mean 'lo'?",
    'membership = { kind = "sigmoid", lo = 1 }': (
        ".membership.lo: unknown key; allowed: decreasing, hedge, kind, midpoint, slope."
    ),
    'membership = { kind = "linear", lo = 5, hi = 5.0 }': (
        ".membership: lo and hi must differ, both are 5: lo is where membership is 0, hi where it is 1."
    ),
    'membership = { kind = "power", lo = 5, hi = 5 }': (
        ".membership: lo and hi must differ, both are 5: lo is where membership is 0, hi where it is 1."
    ),
    'membership = { kind = "power", exponent = 0 }': ".membership.exponent: got 0; input should be greater than 0.",
    'membership = { kind = "linear", lo = nan }': ".membership.lo: got nan; a finite number is needed.",
    'membership = { kind = "linear", hedge = "extremely" }': (
        ".membership.hedge: got 'extremely'; allowed: 'none', 'very' or 'somewhat'."
    ),
    'membership = { kind = "large", midpoint = -1 }': ".membership.midpoint: got -1; input should be greater than 0.",
    'membership = { kind = "small", spread = "5" }': ".membership.spread: got '5'; a number is needed.",
    'membership = { kind = "gaussian", half_width = 2 }': ".membership.midpoint: required, but not given.",
    'membership = { kind = "gaussian", midpoint = 1 }': (
        ".membership: give half_width (in the layer's units) or spread (1 / units squared), exactly one of them."
    ),
    'membership = { kind = "near", midpoint = 1, half_width = 2, spread = 3 }': (
        ".membership: give half_width (in the layer's units) or spread (1 / units squared), exactly one of them."
    ),
    'membership = { kind = "near", midpoint = 1, half_width = 0 }': (
        ".membership.half_width: got 0; input should be greater than 0."
    ),
    'membership = { kind = "shoulder", alpha = 3, beta = 2, gamma = 5 }': (
        ".membership: needs alpha <= beta <= gamma and alpha < gamma, got alpha = 3, beta = 2, gamma = 5."
    ),
    'membership = { kind = "shoulder", alpha = 1, beta = 6, gamma = 5 }': (
        ".membership: needs alpha <= beta <= gamma and alpha < gamma, got alpha = 1, beta = 6, gamma = 5."
    ),
    'membership = { kind = "shoulder", alpha = 3, beta = 3, gamma = 3 }': (
        ".membership: needs alpha <= beta <= gamma and alpha < gamma, got alpha = 3, beta = 3, gamma = 3."
    ),
    'membership = { kind = "shoulder", alpha = 3, gamma = 5 }': ".membership.beta: required, but not given.",
    'membership = { kind = "ms_large", a = 0 }': ".membership.a: got 0; input should be greater than 0.",
    'membership = { kind = "ms_small", esri_compat = 1 }': ".membership.esri_compat: got 1; true or false is needed.",
    'membership = { kind = "category", scores = { 1 = 0.5 } }': (
        ': membership kind "category" goes with role "category", and only with it.'
    ),
}


@pytest.mark.parametrize("line", LAYER_MISTAKES)
def test_a_mistake_in_a_layer(tmp_path: Path, line: str) -> None:
    assert mistakes(tmp_path, GOOD + line) == [COPPER + LAYER_MISTAKES[line]]


NAMED = 'names of classes need value_table and field, or a vector source with derive = "class"'

CATEGORY_MISTAKES = {
    "": ': role "category" needs a table: membership = { kind = "category", scores = { "1" = 0.8 } }.',
    'membership = { kind = "linear" }': ': membership kind "category" goes with role "category", and only with it.',
    'membership = { kind = "category" }': ".membership.scores: required, but not given.",
    'membership = { kind = "category", scores = {} }': ".membership.scores: got {}; it must not be empty.",
    'membership = { kind = "category", scores = [0.1] }': ".membership.scores: got [0.1]; a table in braces is needed.",
    'membership = { kind = "category", scores = { 1 = 1.5 } }': (
        ".membership.scores.1: got 1.5; input should be less than or equal to 1."
    ),
    'membership = { kind = "category", scores = { 1 = "high" } }': (
        ".membership.scores.1: got 'high'; a number is needed."
    ),
    'membership = { kind = "category", scores = { granite = 0.5 } }': (
        f": the keys of scores are the raster's class codes (numbers), got 'granite'; {NAMED}."
    ),
    'membership = { kind = "category", scores = { nan = 0.5 } }': (
        f": the keys of scores are the raster's class codes (numbers), got 'nan'; {NAMED}."
    ),
    'membership = { kind = "category", scores = { 1 = 0.5, "1.0" = 0.7 } }': (
        ".membership.scores: '1' and '1.0' are the same class code: keep one of them."
    ),
    'membership = { kind = "category", scores = { 1 = 0.5 }, default = 2 }': (
        ".membership.default: got 2; input should be less than or equal to 1."
    ),
    'transform = "log"\nmembership = { kind = "category", scores = { 1 = 0.5 } }': (
        ": a category layer takes no transform, and no resampling but nearest and mode: its codes are names."
    ),
    'resampling = "bilinear"\nmembership = { kind = "category", scores = { 1 = 0.5 } }': (
        ": a category layer takes no transform, and no resampling but nearest and mode: its codes are names."
    ),
}


@pytest.mark.parametrize("lines", CATEGORY_MISTAKES)
def test_a_mistake_in_a_category_layer(tmp_path: Path, lines: str) -> None:
    assert mistakes(tmp_path, GOOD + CATEGORY + lines) == ["layers[3] 'rock'" + CATEGORY_MISTAKES[lines]]


VECTOR_MISTAKES = {
    "nodata = 0": ": 'nodata' is for raster sources: remove it from this vector layer.",
    "valid_range = [0, 1]": ": 'valid_range' is for raster sources: remove it from this vector layer.",
    'resampling = "nearest"': ": 'resampling' is for raster sources: remove it from this vector layer.",
    "band = 2": ": 'band' is for raster sources: remove it from this vector layer.",
}


@pytest.mark.parametrize("line", VECTOR_MISTAKES)
def test_a_mistake_in_a_vector_layer(tmp_path: Path, line: str) -> None:
    assert mistakes(tmp_path, GOOD + FAULTS + line) == ["layers[3] 'faults'" + VECTOR_MISTAKES[line]]


DERIVED_MISTAKES = {
    ("distance", "density", ""): 'derive = "distance" makes a layer whose role must be "distance", got "density".',
    ("density", "density", ""): "derive = \"density\" needs 'radius' (metres).",
    ("density", "distance", "radius = 5"): (
        'derive = "density" makes a layer whose role must be "density", got "distance".'
    ),
    ("distance", "distance", "radius = 5"): (
        "'radius' is no key of derive = \"distance\" (its own are: search_distance): remove it."
    ),
    ("presence", "membership", "radius = 5"): (
        "'radius' is no key of derive = \"presence\" (its own are: none): remove it."
    ),
    ("buffer", "membership", ""): "derive = \"buffer\" needs 'radius' (metres).",
    ("buffer", "distance", "radius = 5"): (
        'derive = "buffer" makes a layer whose role must be "membership" or "index", got "distance".'
    ),
    ("proximity", "index", ""): "derive = \"proximity\" needs 'max_distance' (metres).",
    ("proximity", "index", 'max_distance = 9\nfield = "age"'): (
        "'field' and 'classes' go together, as in field = \"age\", classes = { \"Archaean\" = 1.0 }."
    ),
    ("proximity", "index", 'max_distance = 9\nfield = "age"\nclasses = { old = 0 }'): (
        "'classes' needs a class with a score above 0: else the layer is 0 everywhere."
    ),
    ("proximity", "index", 'max_distance = 9\nfield = "age"\nclasses = { old = 1 }\nfeatures = "intersections"'): (
        "an intersection belongs to several lines and has no class: drop 'features' or 'field'."
    ),
    ("class", "category", ""): "derive = \"class\" needs 'field' (the attribute that names the class).",
}


@pytest.mark.parametrize(("derive", "role", "line"), DERIVED_MISTAKES)
def test_a_mistake_in_a_derived_layer(tmp_path: Path, derive: str, role: str, line: str) -> None:
    text = FAULTS.replace('"distance"', f'"{role}"').replace(f'derive = "{role}"', f'derive = "{derive}"')
    assert mistakes(tmp_path, GOOD + text + line) == ["layers[3] 'faults': " + DERIVED_MISTAKES[derive, role, line]]


def test_a_source_of_the_other_kind(tmp_path: Path) -> None:
    assert mistakes(tmp_path, GOOD.replace("b.tif", "b.SHP")) == [
        COPPER + ': b.SHP is a vector file: add derive = "distance" or the like.'
    ]
    assert mistakes(tmp_path, GOOD + FAULTS.replace("f.gpkg", "f.tif")) == [
        "layers[3] 'faults': 'derive' is for vector sources, and f.tif is a raster: remove it."
    ]


BOTH = 'crs = "EPSG:32639"\nresolution = '
METRES = "a number of metres above 0 or [width, height] is needed."

SECTION_MISTAKES = {
    '[grid]\ncrs = "EPSG:32639"': "grid: 'crs' needs 'resolution' in metres (for example resolution = 60.0).",
    "[grid]\nresolution = 60": "grid: 'resolution' needs 'crs' (for example crs = \"EPSG:32639\"), or use 'like'.",
    f"[grid]\n{BOTH}-1": f"grid.resolution: got -1; {METRES}",
    f"[grid]\n{BOTH}inf": f"grid.resolution: got inf; {METRES}",
    f'[grid]\n{BOTH}"60"': f"grid.resolution: got '60'; {METRES}",
    f"[grid]\n{BOTH}true": f"grid.resolution: got true; {METRES}",
    f"[grid]\n{BOTH}[60]": f"grid.resolution: got [60]; {METRES}",
    f"[grid]\n{BOTH}[60, 0]": f"grid.resolution: got [60, 0]; {METRES}",
    "[grid]\ncrs = 32639\nresolution = 60": "grid.crs: got 32639; a text in quotes is needed.",
    "[grid]\nbounds = [0, 0, 1, 1]": "grid: 'bounds' needs 'crs' and 'resolution'.",
    f"[grid]\n{BOTH}60\nbounds = [0, 0, 1]": "grid.bounds[4]: required, but not given.",
    f"[grid]\n{BOTH}60\nbounds = [1, 0, 0, 1]": (
        "grid: bounds are [xmin, ymin, xmax, ymax] in grid metres with xmin < xmax and ymin < ymax, "
        "got [1.0, 0.0, 0.0, 1.0]."
    ),
    f'[grid]\n{BOTH}60\nbounds = [44, 36, 48, 33]\nbounds_crs = "EPSG:4326"': (
        "grid: bounds are [xmin, ymin, xmax, ymax] in bounds_crs with xmin < xmax and ymin < ymax, "
        "got [44.0, 36.0, 48.0, 33.0]."
    ),
    f'[grid]\n{BOTH}60\nbounds_crs = "EPSG:4326"': (
        "grid: 'bounds_crs' says what 'bounds' are in: give 'bounds' too, or leave it out."
    ),
    f'[grid]\n{BOTH}60\nlike = "copper"': (
        "grid: 'like' already fixes crs, resolution and bounds: give 'like' or those, not both."
    ),
    '[grid]\nlike = "gold"': "project file: grid.like = 'gold' is no raster layer; these are: alteration, copper.",
    "[grid]\nmask = 3": "grid.mask: got 3; a path in quotes is needed.",
    '[[grid]]\nlike = "copper"': "grid: write [grid], in single brackets.",
    '[gird]\nlike = "copper"': "gird: unknown key; did you mean 'grid'?",
    "[model]\nmembers = 0": (
        "model.members: got 0; input should be greater than or equal to 1; or got 0; allowed: 'auto'."
    ),
    "[model]\nmembers = 65": (
        "model.members: got 65; input should be less than or equal to 64; or got 65; allowed: 'auto'."
    ),
    '[model]\nmembers = "8"': "model.members: got '8'; a whole number is needed; or got '8'; allowed: 'auto'.",
    "[model]\nmembers = 8.0": "model.members: got 8.0; a whole number is needed; or got 8.0; allowed: 'auto'.",
    "[model]\nmembers = true": "model.members: got true; a whole number is needed; or got true; allowed: 'auto'.",
    "[model]\nseed = -1": "model.seed: got -1; input should be greater than or equal to 0.",
    "[model]\nseed = 99999999999999999999": (
        "model.seed: got 99999999999999999999; input should be less than or equal to 2147483647."
    ),
    "[model]\ngroups = 1": (
        "model.groups: got 1; input should be greater than or equal to 2; or got 1; allowed: 'auto'."
    ),
    '[model]\ngroups = "many"': "model.groups: got 'many'; a whole number is needed; or got 'many'; allowed: 'auto'.",
    '[model]\nloss = "l1"': "model.loss: got 'l1'; allowed: 'huber' or 'mse'.",
    "[model]\nmin_coverage = 0": "model.min_coverage: got 0; input should be greater than 0.",
    "[model]\nlayer_dropout = 0.9": "model.layer_dropout: got 0.9; input should be less than 0.9.",
    "[model]\nlearning_rate = nan": "model.learning_rate: got nan; a finite number is needed.",
    "[model]\nmember = 3": "model.member: unknown key; did you mean 'members'?",
    "[stream]\ntile = 15": "stream.tile: got 15; input should be greater than or equal to 16.",
    "[stream]\nworkers = 0": "stream.workers: got 0; input should be greater than or equal to 1.",
    '[stream]\nmax_memory = "4GB"': (
        "stream.max_memory: a size is a number with B, KiB, MiB, GiB or TiB, for example '4GiB'; got '4GB'."
    ),
    "[stream]\nmax_memory = 4": "stream.max_memory: got 4; a text in quotes is needed.",
    "[targets]\narea_share = 1": "targets.area_share: got 1; input should be less than 1.",
    "[targets]\nmin_area = -1": "targets.min_area: got -1; input should be greater than or equal to 0.",
    "[validate]\nbootstrap = 3": "validate.occurrences: required, but not given.",
    '[validation]\noccurrences = "d.gpkg"': "validation: unknown key; did you mean 'validate'?",
    '[validate_]\noccurrences = "d.gpkg"': "validate_: unknown key; did you mean 'validate'?",
}


@pytest.mark.parametrize("lines", SECTION_MISTAKES)
def test_a_mistake_in_a_section(tmp_path: Path, lines: str) -> None:
    assert mistakes(tmp_path, GOOD + lines) == [SECTION_MISTAKES[lines]]


WHOLE_FILES = {
    "": ["project: required, but not given.", "layers: required, but not given."],
    LAYER_A + LAYER_B: ["project: required, but not given."],
    HEAD: ["layers: required, but not given."],
    HEAD + LAYER_A: ["project file: 2 to 64 [[layers]] are needed, got 1."],
    HEAD + LAYER_A.replace("[[layers]]", "[layers]"): [
        "layers: write [[layers]], in double brackets, before every layer."
    ],
    "layers = [1, 2]" + HEAD: ["layers[1]: got 1; a table is needed.", "layers[2]: got 2; a table is needed."],
    HEAD + LAYER_A + LAYER_A: ["project file: layer names must differ, 'alteration' stands 2 times."],
    HEAD + LAYER_B + LAYER_B.replace("copper", "gold"): [
        'project file: no layer has a direction: add direction = "high" or "low" to those that you can judge.'
    ],
    HEAD + FAULTS + FAULTS.replace("faults", "dykes"): [
        "project file: without raster layers [grid] needs crs and resolution, and bounds or a mask."
    ],
    GOOD.replace('source = "b.tif"\n', ""): ["layers[2] 'copper'.source: required, but not given."],
    GOOD.replace('"b.tif"', "5"): ["layers[2] 'copper'.source: got 5; a path in quotes is needed."],
    GOOD.replace('name = "copper"\n', ""): ["layers[2].name: required, but not given."],
    GOOD.replace('"copper"', '"cu/mo"'): [
        "layers[2] 'cu/mo'.name: got 'cu/mo'; slashes, backslashes and control characters are not allowed."
    ],
    GOOD.replace('"kajan"', '" "'): ["project.name: got ' '; it must not be empty."],
    GOOD.replace('"kajan"', "2026-11-23"): ["project.name: got 2026-11-23; a text in quotes is needed."],
    'folder = "x"' + GOOD: ["folder: unknown key."],
    'file = "x"' + GOOD: ["file: unknown key."],
    "[model]\nsteps_ = 3\n[stream]\ntiles = 4" + GOOD.replace('"high"', '"up"'): [
        "layers[1] 'alteration'.direction: got 'up'; allowed: 'high', 'low' or 'none'.",
        "model.steps_: unknown key; did you mean 'steps'?",
        "stream.tiles: unknown key; did you mean 'tile'?",
    ],
}


@pytest.mark.parametrize("number", range(len(WHOLE_FILES)))
def test_all_mistakes_of_a_file_stand_in_one_message(tmp_path: Path, number: int) -> None:
    text, expected = list(WHOLE_FILES.items())[number]
    assert mistakes(tmp_path, text) == expected


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, GOOD + f'direction = "{"x" * 5000}"')
    assert len(line) < 200
