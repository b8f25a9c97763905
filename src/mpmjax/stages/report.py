"""report: the record of a run and the maps beside it -> one offline HTML file.

The maps are read decimated, from their overviews, so that neither time nor memory grows with the raster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
from rasterio.enums import Resampling
from rasterio.errors import RasterioError

from mpmjax.errors import DataError
from mpmjax.reporting import breaks, curves, figures, palette, view
from mpmjax.reporting.area_curves import fractal_png
from mpmjax.reporting.drawing import NARROW, WIDE
from mpmjax.reporting.html import MAPS, render
from mpmjax.stream.files import write_file
from mpmjax.stream.reader import open_raster

LONGEST_SIDE, LONGEST_SIDE_SMALL = 900, 620
"""Cells a side of the prospectivity map, and of the smaller maps: about as many as the figure has pixels."""

OUTLINED = 300
"""Targets whose outline is drawn; the others would be specks, and all are in targets.gpkg."""

GEOPACKAGE = b"SQLite format 3\0"
"""First bytes of every GeoPackage."""

MARKED = 10
"""Targets whose rank stands beside their outline."""


@dataclass(frozen=True)
class _View:
    """A decimated map: masked [height, width] and its outer edges (xmin, xmax, ymin, ymax) in km."""

    cells: np.ma.MaskedArray
    extent: figures.Extent


@dataclass(frozen=True)
class _Outlines:
    """Target outlines as [n, 2] lines, and rank labels (x, y, text), all in km."""

    lines: tuple[np.ndarray, ...] = ()
    marks: tuple[tuple[float, float, str], ...] = ()


def report(record: Mapping[str, Any], directory: Path) -> Path:
    """Draw the figures and write `directory`/report.html, whole or not at all.

    Args:
        record: the run as run.json has it; `reporting.html.render` says what may be absent. Occurrences are drawn
            where validation has "xy", [[x, y], ...] in metres of the grid's CRS.
        directory: folder of the maps (single-band GeoTIFFs) and of targets.gpkg; those that exist are shown.

    Raises:
        DataError: a map or targets.gpkg exists and cannot be read.
        DiskError: the report cannot be written.
    """
    drawn = {**_maps(record, directory), **_curves(record)}
    return write_file(directory / "report.html", render(record, drawn))


def _maps(record: Mapping[str, Any], directory: Path) -> dict[str, bytes]:
    classes = {
        "groups": palette.group_classes(view.part(record, "groups").get("favourability") or ()),
        "classes": palette.area_classes(sorted(map(float, view.part(record, "thresholds"))) or palette.SHARES),
        "quadrants": palette.quadrant_classes(),
        "driver": palette.driver_classes([str(layer.get("name")) for layer in record.get("layers") or ()]),
    }
    present = [name for name in MAPS if (directory / f"{name}.tif").exists()]
    xy = view.part(record, "validation").get("xy")
    drawn = {}
    for name in present:
        main = name == "prospectivity"
        seen = _read(directory / f"{name}.tif", LONGEST_SIDE if main else LONGEST_SIDE_SMALL)
        frame: dict[str, Any] = {"title": MAPS[name][0], "extent": seen.extent, "width": WIDE if main else NARROW}
        if name in classes:
            drawn[name] = figures.class_map_png(seen.cells, classes=classes[name], **frame)
            continue
        ramp = palette.RAMPS[name]
        extras: dict[str, Any] = {}
        if main:
            cell_km = (seen.extent[1] - seen.extent[0]) / seen.cells.shape[1]
            targets = _outlines(directory / "targets.gpkg", cell_km)
            extras = {"outlines": targets.lines, "marks": targets.marks}
            extras["points"] = np.asarray(xy, dtype=float) / 1000 if xy else None
        drawn[name] = figures.map_png(seen.cells, cmap=ramp.cmap, stops=ramp.stops, label=ramp.label, **frame, **extras)
    return drawn


def _read(path: Path, longest: int) -> _View:
    """One map, at most `longest` cells a side: means of numbers, commonest value of classes."""
    try:
        with open_raster(path) as source:
            shrink = max(1.0, max(source.height, source.width) / longest)
            shape = max(1, round(source.height / shrink)), max(1, round(source.width / shrink))
            resampling = Resampling.mode if source.dtypes[0] == "uint8" else Resampling.average
            cells = source.read(1, out_shape=shape, masked=True, resampling=resampling)
            left, bottom, right, top = source.bounds
    except RasterioError as error:
        raise DataError(
            f"{path}: this map cannot be read for the report: {error}. It was changed or damaged after it was "
            "written; run again to make it anew, or remove it to leave it out."
        ) from error
    return _View(cells, (left / 1000, right / 1000, bottom / 1000, top / 1000))


def _outlines(path: Path, cell_km: float) -> _Outlines:
    """Outlines of the best targets, simplified to the map's cells; none where there is no file."""
    if not path.exists():
        return _Outlines()
    try:
        # GDAL goes by content: what is named .gpkg and is none could refer to other files and hosts.
        with path.open("rb") as file:
            if file.read(len(GEOPACKAGE)) != GEOPACKAGE:
                raise ValueError("it is not a GeoPackage")
        table = geopandas.read_file(path, where=f"rank <= {OUTLINED}", columns=["rank"])
    except (OSError, RuntimeError, ValueError) as error:  # pyogrio's errors derive from the latter two
        raise DataError(
            f"{path}: the targets cannot be read for the report: {error}. Run again to make the file anew."
        ) from error
    lines, marks = [], []
    for rank, shape in sorted(zip(table["rank"], table.geometry, strict=True), key=lambda row: row[0]):
        if shape is None or shape.is_empty:
            continue
        # Half a displayed cell: nothing that could be seen is lost, and stair steps of fine rasters are.
        simple = shape.simplify(500 * cell_km)
        polygons = getattr(simple, "geoms", [simple])
        rings = [ring for polygon in polygons for ring in (polygon.exterior, *polygon.interiors)]
        drawn = [np.asarray(ring.coords)[:, :2] / 1000 for ring in rings]
        lines += drawn
        if rank <= MARKED:
            x, y = max(np.concatenate(drawn), key=lambda point: point[1])
            marks.append((float(x), float(y), str(rank)))
    return _Outlines(tuple(lines), tuple(marks))


def _curves(record: Mapping[str, Any]) -> dict[str, bytes]:
    drawn = {}
    model, criteria = view.part(record, "model"), view.part(view.part(record, "groups"), "criteria")
    if model.get("train_loss") or model.get("val_loss"):
        drawn["loss"] = curves.lines_png(
            model.get("train_loss") or (),
            model.get("val_loss") or (),
            model.get("val_steps") or (),
            best_step=model.get("best_step") or (),
            excluded=model.get("excluded_members") or (),
        )
    if criteria.get("k"):
        drawn["criteria"] = curves.criteria_png(criteria, view.part(record, "groups").get("k"))
    fractal = breaks.shown(record)
    if fractal:
        drawn["fractal"] = fractal_png(fractal)
    methods = view.part(view.part(record, "validation"), "methods")
    success = {
        name: {**methods[name]["success"], "auc": methods[name].get("auc"), "pa": methods[name].get("pa")}
        for name in view.ordered_methods(methods)
        if view.part(methods[name] or {}, "success").get("area")
    }
    if success:
        # The prediction-area plot beside it has the same curves on a linear axis.
        drawn["success"] = curves.success_png(success, log_x=True)
        drawn["pa"] = curves.pa_png(success)
    return drawn
