"""targets.gpkg: the ranked targets as polygons, in a file that is the same for the same targets."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import geopandas
import pandas as pd
import pyogrio
import shapely

from mpmjax.errors import DataError
from mpmjax.stream.files import write_file
from mpmjax.types import Grid, Target

GEOPACKAGE = b"SQLite format 3\0"
FIXED_CLOCK = "2000-01-01T00:00:00.000Z"
"""GeoPackage stores when it was written; a fixed time keeps the bytes the same for the same content."""


def write_targets(targets: Sequence[Target], grid: Grid, path: Path) -> Path:
    """Write the layer `targets`, a row a target, best first.

    Columns: rank, area_km2, prospectivity, confidence, risk, group, quadrant, driver_1..3, lon, lat.

    Raises:
        DiskError: the file cannot be written.
    """
    columns = {
        "rank": pd.array([t.rank for t in targets], dtype="int32"),
        **{
            name: pd.array([round(getattr(t, name), 6) for t in targets], dtype="float64")
            for name in ("area_km2", "prospectivity", "confidence", "risk")
        },
        "group": pd.array([t.group for t in targets], dtype="int32"),
        "quadrant": pd.array([t.quadrant for t in targets], dtype="int32"),
        **{f"driver_{i + 1}": [t.drivers[i] if i < len(t.drivers) else "" for t in targets] for i in range(3)},
        "lon": pd.array([t.lon for t in targets], dtype="float64"),
        "lat": pd.array([t.lat for t in targets], dtype="float64"),
    }
    frame = geopandas.GeoDataFrame(columns, geometry=[t.geometry for t in targets], crs=grid.crs)
    content = io.BytesIO()  # GDAL does not tell of every write that fails
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": FIXED_CLOCK})
    try:
        frame.to_file(content, layer="targets", driver="GPKG", engine="pyogrio", geometry_type="MultiPolygon")
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})
    return write_file(path, content.getvalue())


def read_targets(path: Path) -> dict[int, shapely.Geometry]:
    """The targets' polygons by rank, best first, of a targets.gpkg.

    Raises:
        DataError: they cannot be read.
    """
    try:
        # GDAL goes by content: what is named .gpkg and is none could refer to other files and hosts.
        with path.open("rb") as file:
            if file.read(len(GEOPACKAGE)) != GEOPACKAGE:
                raise ValueError("it is not a GeoPackage")
        table = geopandas.read_file(path, columns=["rank"]).sort_values("rank")
    except (OSError, RuntimeError, ValueError) as error:  # pyogrio's errors derive from the latter two
        raise DataError(f"{path}: the targets cannot be read: {error}. Run the project again.") from error
    return {int(rank): polygon for rank, polygon in zip(table["rank"], table.geometry, strict=True)}
