"""The table of layers that `mpmjax check` prints: one row a layer, columns aligned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from mpmjax.evidence.checks.compare import cells_of, overlap, shift, size_words
from mpmjax.evidence.checks.datum import crs_words
from mpmjax.evidence.checks.samples import SamplesSeen
from mpmjax.evidence.raster.scan import RasterFacts
from mpmjax.evidence.raster.source import RasterSource
from mpmjax.evidence.raster.warp import choose_resampling
from mpmjax.evidence.vector.features import Features
from mpmjax.project_layers import LayerSection
from mpmjax.project_samples import GriddingTable
from mpmjax.types import Grid

COLUMNS = (
    *("layer", "role", "source", "CRS", "cell size", "covers", "shift"),
    *("nodata", "empty", "missing", "values", "becomes"),
)
"""covers: share of the grid's area within the source's extent. shift: against the grid, in cells. nodata: declared or
stated. empty: share of the file's cells without a value (~ of those looked at); missing: share of the study area's.
becomes: what is done to lay it on the grid."""

LONGEST = 24
"""Characters of an entry in the table; longer names are cut."""

Row = tuple[str, ...]


def raster_row(
    section: LayerSection,
    source: RasterSource,
    facts: RasterFacts | None,
    grid: Grid | None,
    missing: float | None,
    role: str | None = None,
) -> Row:
    """The row of a raster layer; what is not known is told by "-". `role` in place of that of what is no evidence."""
    cells = cells_of(source)
    covers = moved = laid = "-"
    if grid is not None:
        covers = share(overlap(cells, grid))
        found = shift(cells, cells_of(grid))
        moved = "-" if found is None else found.short
        how = choose_resampling(source, grid, section.role, section.resampling)
        laid = "as it is" if source.lies_on(grid) else how
        if section.derivative is not None:
            laid = section.derivative if source.lies_on(grid) else f"{section.derivative}, {how}"
    nodata = "its mask" if source.masked else "-" if source.nodata is None else f"{source.nodata:.6g}"
    empty = values = "-"
    if facts is not None:
        empty = ("" if facts.whole else "~") + share(facts.missing / max(facts.cells, 1))
        if facts.low <= facts.high:
            values = f"{facts.low:.4g} to {facts.high:.4g}"
    told = "-" if missing is None else share(missing)
    crs = crs_words(source.crs.to_wkt())
    kind = f"{source.width} x {source.height} {source.dtype}"
    place = (crs, size_words(cells), covers, moved)
    return (section.name, role or section.role, kind, *place, nodata, empty, told, values, laid)


def vector_row(section: LayerSection, features: Features, crs: str) -> Row:
    """The row of a layer derived from features."""
    kinds = features_words(features.geometries)
    return (section.name, section.role, kinds, crs_words(crs), *("-",) * 7, str(section.derive))


def samples_row(section: LayerSection, seen: SamplesSeen, crs: str) -> Row:
    """The row of a layer of samples; empty is the share of samples without a value."""
    kind, laid = f"{seen.samples:,} samples", section.gridding or GriddingTable()
    empty = share(1 - seen.there / max(seen.samples, 1))
    becomes = laid.method if laid.what == "value" else f"{laid.method} {laid.what}"
    values = f"{seen.low:.4g} to {seen.high:.4g}"
    return (section.name, section.role, kind, crs_words(crs), *("-",) * 4, empty, "-", values, becomes)


def computed_row(section: LayerSection) -> Row:
    """The row of a layer that is computed from others."""
    kind = "an expression" if section.scene is None else f"scene {section.scene}"
    return (section.name, section.role, kind, *("-",) * 8, section.index or "computed")


def features_words(geometries: np.ndarray) -> str:
    """Like "2 lines and 1 polygon"; a geometry of several parts counts as one."""
    names = ("point", "line", "line", "polygon", "point", "line", "polygon", "collection")
    types = shapely.get_type_id(geometries)
    counts = dict.fromkeys(names, 0)
    for number, name in enumerate(names):
        counts[name] += int((types == number).sum())
    return " and ".join(f"{count:,} {name}{'s' * (count != 1)}" for name, count in counts.items() if count)


def share(part: float) -> str:
    """A share 0..1 in percent; only nothing is 0% and only all is 100%."""
    if 0.0 < part < 0.0005:
        return "<0.1%"
    if 0.995 <= part < 1.0:
        return ">99%"
    return f"{part:.0%}" if part >= 0.0995 or part == 0.0 else f"{part:.1%}"


def aligned(rows: Sequence[Row]) -> list[str]:
    """Lines of a table with its heading. Columns in which no row has anything are left out."""
    table = [COLUMNS, *([_short(entry) for entry in row] for row in rows)]
    columns = [column for column in zip(*table, strict=True) if any(entry != "-" for entry in column[1:])]
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(entry.ljust(width) for entry, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]


def _short(entry: str) -> str:
    return entry if len(entry) <= LONGEST else f"{entry[: LONGEST - 1]}~"
