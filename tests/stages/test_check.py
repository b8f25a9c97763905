"""check: one call tells everything that a run would refuse, and says what it will do where all is well."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from districts import write_raster, write_vector
from rasters import LEFT, TOP, UTM, make_grid, write_on
from small_projects import make, raster, vector

from mpmjax.errors import MpmError
from mpmjax.project import Project
from mpmjax.stages.check import Findings, check
from mpmjax.stages.prepare import prepare
from mpmjax.stream.cache import Cache

GRID = make_grid(60, 50)


def values(seed: int, shape: tuple[int, int] = GRID.shape) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 10, shape).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two rasters on the grid, one elsewhere, faults, a study area and deposits."""
    write_on(tmp_path / "a.tif", GRID, values(0))
    write_on(tmp_path / "b.tif", GRID, values(1))
    write_on(tmp_path / "c.tif", make_grid(400, 400, 20.0, LEFT - 500, TOP + 500), values(2, (400, 400)))
    write_vector(tmp_path / "faults.gpkg", [shapely.LineString([(LEFT + 90, TOP - 90), (LEFT + 3000, TOP - 2500)])])
    write_vector(tmp_path / "area.gpkg", [shapely.box(LEFT + 301, TOP - 2001, LEFT + 2401, TOP - 301)])
    write_vector(
        tmp_path / "deposits.gpkg", [shapely.Point(LEFT + 1000, TOP - 1000), shapely.Point(LEFT + 3500, TOP - 99)]
    )
    return tmp_path


def run_refuses(project: Project, folder: Path) -> bool:
    """Whether the run itself refuses the data."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    try:
        prepare(project, scratch, Cache(folder / "cache"))
    except MpmError:
        return True
    return False


def test_all_is_well(folder: Path) -> None:
    project = make(
        folder,
        [raster("a"), raster("b"), raster("c"), vector("faults")],
        grid={"mask": "area.gpkg"},
        validate={"occurrences": "deposits.gpkg"},
    )
    found = check(project)
    assert not found.errors
    (warning,) = found.warnings
    assert warning.startswith("The rasters have 2 cell sizes: 60 x 60 m (a, b); 20 x 20 m (c). The grid has 60 x 60 m")
    table = [re.split(r"  +", line) for line in found.lines[:5]]
    assert table[0] == [
        *("layer", "role", "source", "CRS", "cell size", "covers", "shift"),
        *("empty", "missing", "values", "becomes"),
    ], "no layer has a nodata value, so there is no column for it"
    assert table[1][:9] == [
        *("a", "index", "60 x 50 float32", "EPSG:32639", "60 x 60 m", "100%", "none", "0%", "0%")
    ]  # fmt: skip
    assert re.fullmatch(r"[\d.]+ to [\d.]+", table[1][9])
    assert [row[-1] for row in table[1:]] == ["as it is", "as it is", "average", "distance"]
    assert table[3][5:7] == ["100%", "-"]
    assert table[4] == ["faults", "distance", "1 line", "EPSG:32639", *["-"] * 6, "distance"]
    assert len({line.index("EPSG") for line in found.lines[1:5]}) == 1, "columns are aligned"
    assert found.lines[5].startswith("grid: 60 x 50 cells of 60 x 60 m, EPSG:32639, 11 km2")
    assert "mask: 980 of 3,000 cells of the grid lie inside" in found.lines
    assert "occurrences: 2 points, 1 cells of the grid" in found.lines, "one lies outside the study area"
    assert not run_refuses(project, folder)


def test_nothing_is_written(folder: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    check(make(folder, [raster("a"), raster("c"), vector("faults")], grid={"mask": "area.gpkg"}))
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_one_call_tells_all_mistakes(folder: Path) -> None:
    sentinel = values(3)
    sentinel[5:9] = -9999.0
    write_on(folder / "sentinel.tif", GRID, sentinel)
    write_on(folder / "constant.tif", GRID, np.ones(GRID.shape, np.float32))
    write_raster(folder / "plain.tif", values(4), crs=None)
    (folder / "text.tif").write_text("no raster")
    layers = [raster(name) for name in ("a", "sentinel", "constant", "plain", "text", "gone")]
    grid = {"crs": UTM, "resolution": 60.0, "bounds": [LEFT, TOP - 3000, LEFT + 3600, TOP], "mask": "no_area.gpkg"}
    project = make(
        folder,
        [*layers, vector("faults", where="colour = 'red'"), vector("rivers")],
        grid=grid,
        validate={"occurrences": "no_deposits.gpkg"},
    )
    found = check(project)
    told = [
        r"'sentinel': .*sentinel\.tif, band 1: 240 of 3000 cells hold -9999\.0",
        r"'constant': .*constant\.tif, band 1: constant",
        r"'plain': .*plain\.tif: the file states no CRS",
        r"text\.tif: not a readable GTiff raster",
        r"gone\.tif: no such file",
        r"no_area\.gpkg",
        r"faults\.gpkg.*colour",
        r"rivers\.gpkg",
        r"no_deposits\.gpkg",
    ]
    for words in told:
        assert sum(bool(re.search(words, error)) for error in found.errors) == 1, f"{words} in {found.errors}"
    assert len(found.errors) == len(told)
    assert run_refuses(project, folder)


def test_values_of_one_layer_do_not_hide_what_is_wrong_with_the_others(folder: Path) -> None:
    sentinel = values(3)
    sentinel[5:9] = -9999.0
    write_on(folder / "a.tif", GRID, sentinel)
    found = check(make(folder, [raster("a"), raster("b"), vector("rivers")], grid={"mask": "no_area.tif"}))
    assert [bool(re.search(words, error)) for words, error in zip(
        (r"-9999\.0", r"no_area\.tif: no such file", r"rivers\.gpkg"), found.errors, strict=True
    )] == [True] * 3  # fmt: skip


def test_without_all_rasters_a_grid_that_hangs_on_them_is_not_guessed(folder: Path) -> None:
    found = check(make(folder, [raster("gone"), raster("b"), vector("rivers")]))
    assert len(found.errors) == 1
    assert not [line for line in found.lines if line.startswith("grid")]


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"crs": "EPSG:4326", "resolution": 0.01}, r"\[grid\] crs is geographic"),
        ({"crs": "EPSG:99999", "resolution": 60.0}, r"no known CRS"),
        ({"crs": UTM, "resolution": 60.0, "bounds": [0.0, 0.0, 600.0, 600.0]}, "do not overlap"),
        ({"mask": "${NO_SUCH_FOLDER}/area.gpkg"}, r"the environment variable NO_SUCH_FOLDER is not set"),
        ({"mask": "far.gpkg"}, r"far\.gpkg"),
    ],
)
def test_what_is_wrong_with_the_grid(folder: Path, grid: dict[str, Any], words: str) -> None:
    write_vector(folder / "far.gpkg", [shapely.box(0, 0, 100, 100)])
    project = make(folder, [raster("a"), raster("b")], grid=grid)
    found = check(project)
    assert len(found.errors) == (2 if words == "do not overlap" else 1)
    assert re.search(words, found.errors[0])
    assert run_refuses(project, folder)


def test_an_environment_variable_that_is_not_set(folder: Path) -> None:
    no = "${NO_SUCH_FOLDER}"
    layers = [raster("a", source=f"{no}/a.tif"), raster("b"), vector("faults", source=f"{no}/f.shp")]
    grid = {"crs": UTM, "resolution": 60.0, "bounds": [LEFT, TOP - 3000, LEFT + 3600, TOP]}
    found = check(make(folder, layers, grid=grid, validate={"occurrences": f"{no}/d.gpkg"}))
    assert len(found.errors) == 3
    assert all("the environment variable NO_SUCH_FOLDER is not set" in error for error in found.errors)


def test_deposits_outside_the_study_area_are_found_before_the_run(folder: Path) -> None:
    write_vector(folder / "deposits.gpkg", [shapely.Point(LEFT + 3500, TOP - 99)])
    sections = {"grid": {"mask": "area.gpkg"}, "validate": {"occurrences": "deposits.gpkg"}}
    project = make(folder, [raster("a"), raster("b")], **sections)
    found = check(project)
    assert bool(found.errors) == run_refuses(project, folder)


def test_infinite_cells_are_a_warning(folder: Path) -> None:
    strange = values(3)
    strange[5, :7] = np.inf
    write_on(folder / "a.tif", GRID, strange)
    found = check(make(folder, [raster("a"), raster("b")]))
    assert not found.errors
    assert len(found.warnings) == 1
    assert re.search(r"layer 'a': .*7 infinite cells are treated as missing", found.warnings[0])


def test_a_file_of_nodata_has_no_range_of_values(folder: Path) -> None:
    write_on(folder / "a.tif", GRID, np.full(GRID.shape, -1, np.int16), nodata=-1)
    found = check(make(folder, [raster("a"), raster("b")]))
    assert "all 3000 cells are nodata" in found.errors[0]
    assert "inf" not in "\n".join(found.lines)


def test_a_grid_larger_than_what_is_looked_at_is_said_to_be_sampled(folder: Path) -> None:
    with rasterio.open(
        folder / "a.tif", "w", "GTiff", 40_000, 40_000, 1, UTM, GRID.transform, "uint8", tiled=True, sparse_ok=True,
        blockxsize=1024, blockysize=1024, compress="zstd",
    ) as file:  # fmt: skip
        file.write(np.arange(100, dtype=np.uint8).reshape(10, 10), 1, window=rasterio.windows.Window(0, 0, 10, 10))
    found = check(make(folder, [raster("a"), raster("b")]))
    assert isinstance(found, Findings)
    assert re.search(r"^a +index +40000 x 40000 uint8 .* ~0% ", found.lines[1])


def test_one_stray_layer_does_not_hide_the_others(folder: Path) -> None:
    write_on(folder / "far.tif", make_grid(60, 50, 60.0, LEFT + 1e6, TOP), values(5))
    write_on(folder / "shifted.tif", make_grid(60, 50, 60.0, LEFT + 30, TOP - 30), values(6))
    found = check(make(folder, [raster("a"), raster("far"), raster("shifted"), vector("rivers")]))
    assert [bool(re.search(words, error)) for words, error in zip(
        (r"layer 'far' .* do not overlap|do not overlap(?s:.*)'far'", r"rivers\.gpkg"), found.errors, strict=True
    )] == [True] * 2  # fmt: skip
    assert "shifted by 0.50 cell (30 m) east and 0.50 cell (30 m) south" in found.warnings[-1]


def test_shifts_of_the_mask_and_of_occurrences(folder: Path) -> None:
    half = make_grid(60, 50, 60.0, LEFT + 30, TOP + 30)
    write_on(folder / "area.tif", half, np.ones(GRID.shape, np.uint8))
    labels = np.zeros(GRID.shape, np.uint8)
    labels[20, 30] = 1
    write_on(folder / "labels.tif", half, labels)
    sections = {"grid": {"like": "a", "mask": "area.tif"}, "validate": {"occurrences": "labels.tif"}}
    found = check(make(folder, [raster("a"), raster("b")], **sections))
    assert len(found.warnings) == 2
    for who, warning in zip(("mask", "occurrences"), found.warnings, strict=True):
        assert warning.startswith(f"{who}: cells as those of the grid (60 x 60 m) but shifted by 0.50 cell (30 m) east")


def test_a_layer_without_values_in_the_study_area(folder: Path) -> None:
    half = values(3)
    half[:, :31] = np.nan
    write_on(folder / "half.tif", GRID, half)
    (warning,) = check(make(folder, [raster("a"), raster("half")])).warnings
    assert warning.startswith("layer 'half' (52% missing): no value in more than half of the study area")
    write_vector(folder / "east.gpkg", [shapely.box(LEFT + 1860, TOP - 3000, LEFT + 3600, TOP)])
    assert check(make(folder, [raster("a"), raster("half")], grid={"mask": "east.gpkg"})).warnings == []


def test_names_of_classes(folder: Path) -> None:
    write_on(folder / "rocks.tif", GRID, np.random.default_rng(0).integers(1, 4, GRID.shape).astype(np.uint8))
    (folder / "rocks.csv").write_text("value,rock\n1,granite\n2,tuff\n3,shale\n", encoding="utf-8")
    for scores, field, words in (
        ({"granite": 0.9, "tuff": 0.1}, "rock", None),
        (
            {"granite": 0.9, "Tuf": 0.1},
            "rock",
            r"'rocks'.* scores name 'Tuf', .* classes are 'granite', 'tuff', 'shale'",
        ),
        ({"granite": 0.9}, "name", r"'rocks': .*rocks\.csv.*name"),
    ):
        named = {"value_table": "rocks.csv", "field": field, "direction": None, "role": "category"}
        table = {"kind": "category", "scores": scores}
        found = check(make(folder, [raster("a"), raster("rocks", membership=table, **named)]))
        assert found.warnings == []
        assert len(found.errors) == (words is not None)
        assert words is None or re.search(words, found.errors[0])


def test_another_datum(folder: Path) -> None:
    """ED50 of Iran, told by the CRS of faults: a line of facts."""
    far = [shapely.LineString([(LEFT + 90, TOP - 90), (LEFT + 3000, TOP - 2500)])]
    write_vector(folder / "faults.gpkg", far, crs="EPSG:2059")  # ED50(ED77) / UTM zone 39N
    found = check(make(folder, [raster("a"), raster("b"), vector("faults")]))
    assert not found.errors
    assert [line for line in found.lines if line.startswith("datum")] == [
        "datum: ED50(ED77) to WGS 84 by 'ED50(ED77) to WGS 84 (1)', good to 1 m: layer 'faults'"
    ]
    assert found.warnings == []


def test_many_layers_share_a_sentence(folder: Path) -> None:
    coarse = make_grid(20, 20, 240.0, LEFT - 300, TOP + 300)
    names = [f"element_{i}" for i in range(39)]
    for i, name in enumerate(names):
        write_on(folder / f"{name}.tif", coarse, values(i, (20, 20)))
    found = check(make(folder, [raster("a"), *map(raster, names)]))
    assert len(found.warnings) == 2
    assert (
        "'element_0', 'element_1', 'element_2', 'element_3', 'element_4', 'element_5' and 33 more: coarser"
        in (found.warnings[1])
    )
    assert max(len(line) for line in found.lines) < 160
