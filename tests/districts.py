"""Small made-up districts for tests: GeoTIFFs, GeoPackages and a project.toml, written in a fraction of a second.

They are made here with NumPy and SciPy, not by mpmjax.synthetic, so that the package is not judged by itself.
One smooth field says where deposits are likely; every layer is that field, more or less blurred by noise.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from scipy.ndimage import gaussian_filter

CRS = "EPSG:32639"
CELL = 60.0
LEFT, TOP = 640_000.0, 3_700_000.0
SHAPE = (260, 300)
SMALL = (60, 80)
"""Where nothing is fitted, only refused."""

MODEL: Mapping[str, Any] = {"members": 2, "hidden": 8, "steps": 50, "batch": 64, "sample": 2000, "groups": 4, "seed": 7}
"""Always the same sizes: JAX compiles a program for each, which costs seconds."""

PRODUCTS: Mapping[str, str] = {
    **dict.fromkeys(
        ("prospectivity", "favourability", "anomaly", "confidence", "risk", "spread", "coverage"), "float32"
    ),
    **dict.fromkeys(("groups", "quadrants", "classes", "driver"), "uint8"),
}
OUTPUTS = (
    *(f"{name}.tif" for name in PRODUCTS), "targets.gpkg", "report.html", "run.json", "screener.safetensors",
    "screener.json", "project.toml",
)  # fmt: skip
"""The table of outputs, as the documents have it: stated here again, so that a change there is seen."""

FILES = {*OUTPUTS, *(f"{name}.qml" for name in PRODUCTS)}
"""The table, and a style a map: all that a run may leave in its folder."""

NODATA: Mapping[str, float] = {"float32": -9999.0, "float64": np.nan, "int16": -32768, "uint8": 0}
LAYERS = (
    {"name": "alteration", "role": "index", "direction": "high"},
    {"name": "copper", "role": "geochemistry", "direction": "high", "transform": "log"},
    {"name": "faults", "role": "distance", "direction": "low"},
    {"name": "magnetics", "role": "geophysics", "direction": "high"},
)


def corner(left: float = LEFT, top: float = TOP, cell: float = CELL) -> Affine:
    return Affine(cell, 0, left, 0, -cell, top)


def smooth(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    """A smooth field of mean 0 and standard deviation 1."""
    field = gaussian_filter(rng.normal(size=shape), sigma, mode="wrap")
    return (field - field.mean()) / field.std()


def promise(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Where deposits are likely."""
    return smooth(np.random.default_rng(seed), shape, 9.0)


def layer_values(index: int, field: np.ndarray, seed: int) -> np.ndarray:
    """Values of layer `index`, all positive: indices, ppm, metres; the third (faults) is low where it is good."""
    rng = np.random.default_rng([seed, index])
    mixed = 0.8 * field + 0.6 * smooth(rng, field.shape, 2.0 + index % 3)
    if index % 4 == 1:
        return np.exp(3.0 + 0.8 * mixed)
    return 900.0 - 200.0 * np.clip(mixed, -4, 4) if index % 4 == 2 else 50.0 + 10.0 * np.clip(mixed, -4, 4)


def write_raster(path: Path, values: np.ndarray, transform: Affine | None = None, **profile: Any) -> Path:
    """One band. Keywords go to rasterio.open; `scale` is the band's, and the values are divided by it."""
    scale = profile.pop("scale", 1.0)
    stated: dict[str, Any] = {
        "driver": "GTiff", "height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": values.dtype.name,
        "crs": CRS, "transform": corner() if transform is None else transform,
    }  # fmt: skip
    with rasterio.open(path, "w", **stated | profile) as file:
        if scale != 1.0:
            file.scales = (scale,)
        file.write(values, 1)
    return path


def write_layer(path: Path, values: np.ndarray, missing: np.ndarray, dtype: str, transform: Affine) -> Path:
    """Values as `dtype` with its nodata where missing: 16 bits by a band scale, 8 bits as 1 to 255."""
    scale = {"int16": 0.1, "uint8": float(values.max()) / 254.0}.get(dtype, 1.0)
    raw = values / scale
    if dtype == "uint8":
        raw = np.clip(np.rint(raw), 1, 255)
    cells = np.where(missing, NODATA[dtype], np.rint(raw) if dtype == "int16" else raw).astype(dtype)
    return write_raster(path, cells, transform, nodata=NODATA[dtype], scale=scale)


def study_area(shape: tuple[int, int], transform: Affine) -> shapely.Polygon:
    """A district without its corners; no edge runs through the centre of a cell."""
    height, width = shape
    ring = [(0.11, 0.02), (0.93, 0.02), (0.98, 0.31), (0.98, 0.95), (0.33, 0.95), (0.02, 0.63)]
    return shapely.Polygon([transform @ (x * width + 0.137, y * height + 0.173) for x, y in ring])


def centres(shape: tuple[int, int], transform: Affine) -> tuple[np.ndarray, np.ndarray]:
    cols, rows = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    x, y = transform @ (cols, rows)
    return np.asarray(x), np.asarray(y)


def gaps(shape: tuple[int, int], index: int, layers: int) -> np.ndarray:
    """Where layer `index` has no data: a few cells of its own, and a corner that only the first layer covers."""
    missing = np.zeros(shape, bool)
    missing[(7 * index) % 40 + 60 :: 53, 11::41] = True
    if index:
        missing[shape[0] // 3 : shape[0] // 3 + 12, shape[1] // 2 : shape[1] // 2 + 15] = True
    return missing


def write_vector(path: Path, geometries: Sequence[Any], crs: str | None = CRS, **columns: Sequence[Any]) -> Path:
    geopandas.GeoDataFrame(columns, geometry=list(geometries), crs=crs).to_file(path, engine="pyogrio")
    return path


def write_occurrences(path: Path, field: np.ndarray, transform: Affine, count: int = 12) -> Path:
    """Points in cells among the best 3 % of the field, inside the study area, none twice in a cell."""
    x, y = centres(field.shape, transform)
    inside = shapely.contains_xy(study_area(field.shape, transform), x, y)
    best = np.flatnonzero(inside & (field > np.quantile(field, 0.97)))
    cells = np.random.default_rng(5).choice(best, count, replace=False)
    points = [shapely.Point(a, b) for a, b in zip(x.ravel()[cells], y.ravel()[cells], strict=True)]
    return write_vector(path, points, name=[f"P{i}" for i in range(count)])


def sections(layers: int) -> list[dict[str, Any]]:
    """[[layers]] of a raster district, in order; from the fifth on they are called by number."""
    found = []
    for index in range(layers):
        section: dict[str, Any] = dict(LAYERS[index % 4])
        section["name"] = section["name"] if index < 4 else f"{section['name']}_{index + 1}"
        found.append(section | {"source": f"{section['name']}.tif"})
    return found


def make_district(
    folder: Path,
    *,
    layers: int = 4,
    shape: tuple[int, int] = SHAPE,
    dtype: str = "float32",
    seed: int = 3,
    left: float = LEFT,
    missing_half: str | None = None,
    undirected: str | None = None,
    mask: bool = True,
    occurrences: bool = True,
    **tables: Mapping[str, Any],
) -> Path:
    """Rasters on one grid, the study area as a polygon, deposits, and the project file, whose path is returned.

    Args:
        missing_half: a layer that has no data in the western half.
        undirected: a layer whose section states no direction.
        tables: further tables of the project file, such as stream={"tile": 128}; `model` adds to MODEL.
    """
    folder.mkdir(parents=True, exist_ok=True)
    transform, field = corner(left), promise(shape, seed)
    found = sections(layers)
    for index, section in enumerate(found):
        missing = gaps(shape, index, layers)
        if section["name"] == missing_half:
            missing[:, : shape[1] // 2] = True
        if section["name"] == undirected:
            del section["direction"]
        write_layer(folder / section["source"], layer_values(index, field, seed), missing, dtype, transform)
    grid = {"like": found[0]["name"]}
    if mask:
        write_vector(folder / "sheet.gpkg", [study_area(shape, transform)])
        grid["mask"] = "sheet.gpkg"
    if occurrences:
        write_occurrences(folder / "deposits.gpkg", field, transform)
        tables = {"validate": {"occurrences": "deposits.gpkg", "bootstrap": 50}} | tables
    return write_project(folder, found, grid=grid, **tables)


def make_mixed_district(folder: Path, **tables: Mapping[str, Any]) -> Path:
    """A raster, distances to lines and to polygons (with a shoulder), and a map of rocks with a class not in its table.

    Rocks: 1, 2 and 3 have scores; 9 has none, and 0 is nodata. It is 8 columns wide at the eastern edge.
    """
    folder.mkdir(parents=True, exist_ok=True)
    transform, field = corner(), promise(SHAPE, 3)
    write_layer(folder / "alteration.tif", layer_values(0, field, 3), gaps(SHAPE, 0, 4), "float32", transform)
    x0, y0 = transform @ (40.117, 30.183)  # no vertex on the edge of a cell, where touching is a matter of rounding
    lines = [[(x0, y0), (x0 + 9000, y0 - 6000)], [(x0 + 2000, y0 - 9000), (x0 + 12_000, y0 - 8500)]]
    write_vector(folder / "faults.gpkg", [shapely.LineString(line) for line in lines])
    bodies = [shapely.Point(x0 + 5000, y0 - 4000).buffer(900), shapely.Point(x0 + 11_000, y0 - 2000).buffer(1200)]
    bodies.append(shapely.box(x0, y0 - 900, x0 + 900, y0))
    write_vector(folder / "geology.gpkg", bodies, rock=["granodiorite", "granodiorite", "tuff"])
    rocks = np.digitize(smooth(np.random.default_rng(8), SHAPE, 12.0), (-0.5, 0.6)).astype(np.uint8) + 1
    rocks[:, -8:], rocks[:3, :] = 9, 0
    write_raster(folder / "rocks.tif", rocks, transform, nodata=0)
    write_occurrences(folder / "deposits.gpkg", field, transform)
    scores = {"kind": "category", "scores": {"1": 0.9, "2": 0.4, "3": 0.1}}
    shoulder = {"kind": "shoulder", "alpha": 300.0, "beta": 1500.0, "gamma": 4000.0}
    vector = {"derive": "distance", "role": "distance"}
    granite = {"source": "geology.gpkg", "where": "rock = 'granodiorite'", "membership": shoulder}
    return write_project(
        folder,
        [
            {"name": "alteration", "source": "alteration.tif", "role": "index", "direction": "high"},
            {"name": "faults", "source": "faults.gpkg", **vector, "direction": "low"},
            {"name": "intrusions", **vector, **granite},
            {"name": "rocks", "source": "rocks.tif", "role": "category", "membership": scores},
        ],
        grid={"like": "alteration"},
        **{"validate": {"occurrences": "deposits.gpkg", "bootstrap": 50}} | tables,
    )


def write_project(folder: Path, layers: Sequence[Mapping[str, Any]], **tables: Any) -> Path:
    """project.toml; a table that is None is left out, and one that is a list comes several times."""
    stated = {"project": {"name": folder.name}, **tables, "model": {**MODEL, **(tables.get("model") or {})}}
    lines: list[str] = []
    for name, table in {**stated, "layers": layers}.items():
        several = isinstance(table, Sequence)
        for one in () if table is None else table if several else (table,):
            title = f"[[{name}]]" if several else f"[{name}]"
            lines += ["", title, *(f"{key} = {toml(value)}" for key, value in one.items())]
    path = folder / "project.toml"
    path.write_text("\n".join(lines[1:]) + "\n", encoding="utf-8")
    return path


def toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(str(key))} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value)


def edit(project: Path, old: str, new: str) -> Path:
    """Change the project file in one place."""
    text = project.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the project file"
    project.write_text(text.replace(old, new), encoding="utf-8")
    return project


@dataclass(frozen=True)
class Finished:
    """A finished run, shared by tests: look, do not touch."""

    project: Path
    output: Path

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.output / "run.json").read_text(encoding="utf-8"))

    def map(self, name: str) -> np.ndarray:
        return read(self.output / f"{name}.tif")


def finished_run(factory: pytest.TempPathFactory) -> Finished:
    """The run of the default district with the number of groups left open, made once a test process."""
    from mpmjax import pipeline

    folder = factory.getbasetemp() / "finished-run"
    done = Finished(folder / "district" / "project.toml", folder / "output")
    if not folder.exists():
        make_district(folder / "district", model={"groups": "auto"})
        pipeline.run(done.project, done.output)
    return done


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, by relative path; but for what a run notes of itself in .mpmjax."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and ".mpmjax" not in path.parts]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def outputs(folder: Path) -> dict[str, str]:
    """digests of an output folder, but for the prepared layers in it."""
    return {name: digest for name, digest in digests(folder).items() if not name.startswith("evidence/")}


def no_report(_: object, output: Path) -> Path:
    """In place of the report, which takes seconds and says nothing of how maps are made."""
    (output / "report.html").write_text("", encoding="utf-8")
    return output / "report.html"


def assert_whole(folder: Path, project: Path) -> dict[str, Any]:
    """run.json tells the truth about every file beside it and every file it was made from; returns the record."""
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    found = outputs(folder)
    assert set(found) == FILES, f"missing or left over: {set(found) ^ FILES}"
    prepared = [layer["provenance"]["prepared"] for layer in record["layers"]]
    for kept in filter(None, prepared):
        assert kept["sha256"] == digests(folder / "evidence")[kept["file"]]
    assert record["outputs"] == {name: digest for name, digest in found.items() if name != "run.json"}
    named = tomllib.loads(project.read_text(encoding="utf-8"))
    inputs = {section["source"] for section in named["layers"]} | {named["grid"]["mask"]}
    inputs |= {named["validate"]["occurrences"]} if "validate" in named else set()
    given = digests(project.parent)
    assert record["inputs"] == {name: given[name] for name in inputs}
    return record


@dataclass(frozen=True)
class Said:
    """What a command line said."""

    status: int
    out: str
    err: str


def command_line(*arguments: object) -> Said:
    """`mpmjax ...` in this process, through the entry point, as a shell would see it."""
    from mpmjax.cli import main

    out, err, before, status = io.StringIO(), io.StringIO(), sys.argv, 0
    sys.argv = ["mpmjax", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1 if end.code else 0
    finally:
        sys.argv = before
    return Said(status, out.getvalue(), err.getvalue())
