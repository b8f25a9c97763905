"""deliver: what a GIS opens beside the maps: targets.gpkg and a style for every map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mpmjax.products import CLASSES, PRODUCTS
from mpmjax.reporting.palette import area_classes, driver_classes, group_classes, quadrant_classes
from mpmjax.reporting.qgis import write_qml
from mpmjax.reporting.vectors import write_targets
from mpmjax.types import Grid, Screener, Target


def deliver(screener: Screener, found: Sequence[Target], grid: Grid, output: Path) -> list[Path]:
    """Write targets.gpkg and a .qml beside each map. Returns the files."""
    legends: Mapping[str, Sequence] = {
        "groups": group_classes(screener.diagnostics["groups"]["favourability"]),
        "quadrants": quadrant_classes(),
        "driver": driver_classes(screener.layer_names),
        CLASSES.name: area_classes(),
    }
    styles = [
        write_qml(output / f"{product.name}.tif", product.name, classes=legends.get(product.name))
        for product in (*PRODUCTS, CLASSES)
    ]
    return [write_targets(found, grid, output / "targets.gpkg"), *styles]
