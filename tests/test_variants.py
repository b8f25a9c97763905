"""Districts of every kind run end to end, and their favourability is what the definition says of the raw files."""

from __future__ import annotations

import dataclasses
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from districts import (
    CELL,
    LEFT,
    SHAPE,
    TOP,
    Finished,
    centres,
    corner,
    digests,
    edit,
    finished_run,
    make_district,
    make_mixed_district,
    outputs,
    read,
    smooth,
    study_area,
    write_project,
    write_raster,
    write_vector,
)
from scipy import ndimage
from tolerances import OVERLAY, assert_close

from mpmjax import load_screener, pipeline, pipeline_steps
from mpmjax.errors import DataError
from mpmjax.reference.membership import membership


def raw_values(project: Path, made: Mapping[str, np.ndarray] | None = None) -> list[np.ndarray]:
    """Values of the layers as a GIS shows them, NaN where there are none; those in `made` are not read."""
    found = []
    for section in tomllib.loads(project.read_text(encoding="utf-8"))["layers"]:
        if section["name"] in (made or {}):
            found.append((made or {})[section["name"]])
            continue
        with rasterio.open(project.parent / section["source"]) as file:
            scaled = file.read(1).astype(float) * file.scales[0] + file.offsets[0]
            found.append(np.where(file.read_masks(1) > 0, scaled, np.nan))
    return found


def assert_as_defined(output: Path, values: list[np.ndarray], inside: np.ndarray) -> None:
    """Coverage and favourability of every cell, from the definitions and the Screener's fitted memberships."""
    screener = load_screener(output)
    options = [{field.name: getattr(m, field.name) for field in dataclasses.fields(m)} for m in screener.memberships]
    mu = np.stack([membership(layer, **option) for layer, option in zip(values, options, strict=True)])
    valid = np.isfinite(mu)
    coverage = valid.mean(axis=0)
    scored = inside & (coverage >= 0.5)
    assert scored.any()
    weight = valid * screener.arrays["weight"][:, None, None]
    total = weight.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(total > 0, (weight * np.nan_to_num(mu)).sum(axis=0) / total, 0.5)
    assert np.array_equal(read(output / "prospectivity.tif") >= 0, scored)
    assert_close(read(output / "coverage.tif")[scored], coverage[scored], OVERLAY)
    assert_close(read(output / "favourability.tif")[scored], mean[scored], OVERLAY)
    driver = read(output / "driver.tif")
    for number in np.unique(driver[scored]):
        cells = scored & (driver == number)
        assert (weight[number - 1][cells] > 0).all() if number else (total[cells] == 0).all(), "driven by what it has"


def inside_sheet(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return shapely.contains_xy(study_area(shape, corner()), *centres(shape, corner()))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finished_run(tmp_path_factory)


def test_four_layers(done: Finished) -> None:
    assert_as_defined(done.output, raw_values(done.project), inside_sheet())


@pytest.mark.parametrize(
    ("layers", "dtype", "undirected"),
    [(2, "int16", None), (3, "uint8", "copper")],
    ids=["two of scaled 16 bits", "three of 8 bits with nodata 0, one without direction"],
)
def test_few_layers(tmp_path: Path, layers: int, dtype: str, undirected: str | None) -> None:
    project = make_district(tmp_path / "district", layers=layers, dtype=dtype, undirected=undirected)
    record = pipeline.run(project, tmp_path / "out")
    assert [layer["direction"] == 0 for layer in record["layers"]] == [
        layer["name"] == undirected for layer in record["layers"]
    ]
    assert record["validation"]["methods"]["prospectivity"]["auc"] > 0.85
    assert_as_defined(tmp_path / "out", raw_values(project), inside_sheet())


def test_two_maps_of_classes_and_nothing_else(tmp_path: Path) -> None:
    """Four kinds of cells: groups of identical points, ranks of ties, and a best 2 % that is one plateau."""
    rng = np.random.default_rng(0)
    table = {"kind": "category", "scores": {"1": 0.2, "2": 0.9}}
    sections = []
    for name in ("rocks", "ages"):
        write_raster(tmp_path / f"{name}.tif", (smooth(rng, SHAPE, 10.0) > 0).astype(np.uint8) + 1, nodata=0)
        sections.append({"name": name, "source": f"{name}.tif", "role": "category", "membership": table})
    project = write_project(tmp_path, sections, grid={"like": "rocks"}, model={"groups": "auto"})
    record = pipeline.run(project, tmp_path / "out")
    assert_as_defined(tmp_path / "out", raw_values(project), np.ones(SHAPE, bool))
    rocks, ages, classes = (read(tmp_path / f"{name}.tif") for name in ("rocks", "ages", "out/classes"))
    assert np.array_equal(classes == 1, (rocks == 2) & (ages == 2)), "a plateau is best as a whole or not at all"
    assert record["target_count"] > 0
    for name in ("prospectivity", "anomaly", "confidence", "risk"):
        values = read(tmp_path / "out" / f"{name}.tif")
        assert 0 <= values.min() <= values.max() <= 1


def test_42_layers(tmp_path: Path) -> None:
    """On fewer cells than the sample asks for, and without known deposits."""
    shape = (40, 45)
    project = make_district(tmp_path / "district", layers=42, shape=shape, occurrences=False)
    record = pipeline.run(project, tmp_path / "out")
    assert len(record["layers"]) == 42
    assert record["model"]["sample"] == record["grid"]["valid_cells"] < 1800
    assert record["validation"] is None
    assert record["model"]["latent"] == 8
    assert_as_defined(tmp_path / "out", raw_values(project), inside_sheet(shape))


def test_a_layer_missing_in_half_of_the_area(tmp_path: Path) -> None:
    project = make_district(tmp_path / "district", dtype="float64", missing_half="copper")
    record = pipeline.run(project, tmp_path / "out")
    assert record["layers"][1]["missing_share"] == pytest.approx(0.5, abs=0.08)
    assert_as_defined(tmp_path / "out", raw_values(project), inside_sheet())
    p, middle = read(tmp_path / "out" / "prospectivity.tif"), SHAPE[1] // 2
    west, east = (half[half >= 0].mean() for half in (p[:, :middle], p[:, middle:]))
    assert abs(west - east) < 0.2, "the missing layer is neither good nor bad"
    assert record["validation"]["methods"]["prospectivity"]["auc"] > 0.85


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("mixed")
    project = make_mixed_district(folder / "district")
    pipeline.run(project, folder / "out")
    return Finished(project, folder / "out")


def exact_distance(path: Path, where: str | None = None) -> np.ndarray:
    """Metres between the centres of cells, to the nearest cell that a feature touches; float32 as in a prepared layer,
    because a rank of tied values is only theirs where they tie exactly."""
    features = geopandas.read_file(path, where=where).geometry
    burnt = rasterio.features.rasterize(features, SHAPE, transform=corner(), all_touched=True)
    return ndimage.distance_transform_edt(burnt == 0, CELL).astype(np.float32).astype(float)


def test_vectors_and_categories(mixed: Finished) -> None:
    folder = mixed.project.parent
    made = {
        "faults": exact_distance(folder / "faults.gpkg"),
        "intrusions": exact_distance(folder / "geology.gpkg", "rock = 'granodiorite'"),
    }
    assert_as_defined(mixed.output, raw_values(mixed.project, made), np.ones(SHAPE, bool))
    codes, coverage = read(folder / "rocks.tif"), mixed.map("coverage")
    with rasterio.open(folder / "alteration.tif") as file:
        altered = file.read_masks(1) > 0
    assert np.array_equal(coverage, 0.5 + 0.25 * altered + 0.25 * np.isin(codes, (1, 2, 3))), "class 9 is missing"
    fitted = load_screener(mixed.output).memberships
    assert [m.kind for m in fitted] == ["sigmoid", "ecdf", "shoulder", "category"]
    assert fitted[2].params == {"alpha": 300.0, "beta": 1500.0, "gamma": 4000.0}
    assert [layer["direction"] for layer in mixed.record["layers"]] == [1, -1, -1, 1], "a shoulder falls"


def test_an_unlisted_class_with_a_default(mixed: Finished, tmp_path: Path) -> None:
    shutil.copytree(mixed.project.parent, tmp_path / "district")
    project = edit(tmp_path / "district" / "project.toml", '"3" = 0.1 }', '"3" = 0.1 }, "default" = 0.3')
    pipeline.run(project, tmp_path / "out")
    codes = read(project.parent / "rocks.tif")
    filled = np.where(codes == 0, np.nan, np.select([codes == 1, codes == 2, codes == 3], [0.9, 0.4, 0.1], 0.3))
    coverage = read(tmp_path / "out" / "coverage.tif")
    assert (coverage[:, -8:][filled[:, -8:] == 0.3] >= 0.75).all()


def test_files_that_are_folders_or_families(mixed: Finished, tmp_path: Path) -> None:
    """A file geodatabase and a shapefile give the same maps as GeoPackages, and all of their files have a checksum."""
    shutil.copytree(mixed.project.parent, tmp_path / "district")
    folder = tmp_path / "district"
    geopandas.read_file(folder / "faults.gpkg").to_file(folder / "faults.gdb", driver="OpenFileGDB", layer="faults")
    geopandas.read_file(folder / "geology.gpkg").to_file(folder / "geology.shp")
    text = (folder / "project.toml").read_text(encoding="utf-8")
    text = text.replace("faults.gpkg", "faults.gdb").replace("geology.gpkg", "geology.shp")
    (folder / "project.toml").write_text(text, encoding="utf-8")
    record = pipeline.run(folder / "project.toml", tmp_path / "out")
    for name in ("prospectivity", "anomaly", "driver"):
        assert np.array_equal(read(tmp_path / "out" / f"{name}.tif"), mixed.map(name)), name
    found = digests(folder)
    wanted = {name for name in found if name.startswith(("faults.gdb/", "geology.sh", "geology.dbf", "geology.prj"))}
    assert len(wanted) > 6
    assert {name: digest for name, digest in record["inputs"].items() if name in wanted} == {
        name: found[name] for name in wanted
    }


def shifted_layers(folder: Path, names: tuple[str, ...]) -> Path:
    """The district's layers in other cells (each must be warped), under other names, on a stated grid."""
    project = make_district(folder)
    document = tomllib.loads(project.read_text(encoding="utf-8"))
    for section, name in zip(document["layers"], names, strict=True):
        path = folder / section["source"]
        with rasterio.open(path) as file:
            values, nodata = file.read(1), file.nodata
        write_raster(path, values, corner(LEFT - 20.0, TOP + 20.0), nodata=nodata)
        section |= {"name": name, "valid_range": [-1e6, 1e6]}
    bounds = [LEFT + 600, TOP - 15_000, LEFT + 17_400, TOP - 600]
    grid = {"crs": "EPSG:32639", "resolution": CELL, "bounds": bounds, "mask": "sheet.gpkg"}
    tables: dict[str, Any] = {name: document[name] for name in ("model", "validate")}
    return write_project(folder, document["layers"], grid=grid, **tables)


def test_layers_named_as_files_of_the_run(tmp_path: Path) -> None:
    """Names are the user's: a layer called like the mask or like a product overwrites neither."""
    plain = shifted_layers(tmp_path / "plain", ("alteration", "copper", "faults", "magnetics"))
    odd = shifted_layers(tmp_path / "odd", ("mask", "prospectivity", "mask.valid", "mask.warped"))
    first = pipeline.run(plain, tmp_path / "one")
    second = pipeline.run(odd, tmp_path / "two")
    assert second["validation"]["methods"] == first["validation"]["methods"]
    for name in ("prospectivity", "favourability", "anomaly", "groups", "classes", "driver"):
        assert first["outputs"][f"{name}.tif"] == second["outputs"][f"{name}.tif"], name
    assert_warped_once(tmp_path / "one")


def assert_warped_once(output: Path) -> None:
    with rasterio.open(output / "coverage.tif") as file:
        assert file.bounds.left % CELL == 0
        assert file.shape == (241, 281), "snapped outward: the bounds lie between multiples of the resolution"
        assert file.read_masks(1).any()


def test_occurrences_where_no_cell_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside the sheet, but where one layer of four has data: said before the fit, not at its end."""
    project = make_district(tmp_path / "district")
    row, col = SHAPE[0] // 3 + 5, SHAPE[1] // 2 + 5
    point = shapely.Point(LEFT + CELL * col + 5, TOP - CELL * row - 5)
    write_vector(project.parent / "deposits.gpkg", [point], name=["lone"])
    monkeypatch.setattr(pipeline_steps, "sample", lambda *_: pytest.fail("the fit began"))
    with pytest.raises(DataError, match=r"deposits\.gpkg"):
        pipeline.run(project, tmp_path / "out")
    assert not outputs(tmp_path / "out")


def test_every_cell_is_an_occurrence(done: Finished, tmp_path: Path) -> None:
    """A raster of labels whose background is not 0: a sentence, no traceback."""
    shutil.copytree(done.project.parent, tmp_path / "district")
    project = edit(tmp_path / "district" / "project.toml", "deposits.gpkg", "labels.tif")
    write_raster(project.parent / "labels.tif", np.full(SHAPE, 2, np.uint8))
    with pytest.raises(DataError, match=r"labels\.tif"):
        pipeline.screen(project, done.output, tmp_path / "out")


def test_rows_without_coordinates_are_a_warning(done: Finished, tmp_path: Path) -> None:
    shutil.copytree(done.project.parent, tmp_path / "district")
    project = edit(tmp_path / "district" / "project.toml", "deposits.gpkg", "deposits.csv")
    points = geopandas.read_file(project.parent / "deposits.gpkg").geometry
    rows = [f"{p.x:.1f},{p.y:.1f},known" for p in points]
    (project.parent / "deposits.csv").write_text("\n".join(["x,y,name", *rows, ",,lost"]), encoding="utf-8")
    record = pipeline.screen(project, done.output, tmp_path / "out")
    assert record["validation"]["occurrences"] == len(points)
    (note,) = record["warnings"]
    assert "deposits.csv" in note
    assert "1 of 13 rows" in note
