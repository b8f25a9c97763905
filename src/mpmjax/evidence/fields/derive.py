"""A magnetic or gravity raster -> one of its derivatives, as a raster on the same cells."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpmjax.errors import DataError, MemoryLimitError
from mpmjax.evidence.fields.cellsize import CellSize, cell_size
from mpmjax.evidence.fields.derivatives import amplitude, tilt
from mpmjax.evidence.fields.filters import Read, filtered, memory_needed, strips_of, upward, vertical
from mpmjax.evidence.fields.gradient import horizontal_gradient
from mpmjax.evidence.raster.source import RasterSource, cells_of_source, open_source, read_valid, unreadable_blocks
from mpmjax.evidence.remarks import Fact
from mpmjax.stream.layerfile import Write, write_layer
from mpmjax.stream.prefetch import worker_count
from mpmjax.stream.reopen import Reopening
from mpmjax.stream.unreadable import Bad, forgiving, told, windows
from mpmjax.types import Layer, Tile

KINDS = {
    "horizontal": "total horizontal derivative, in units of the source per metre",
    "vertical": "first vertical derivative (downwards), in units of the source per metre",
    "analytic_signal": "amplitude of the analytic signal, in units of the source per metre",
    "tilt": "tilt angle, in radians, between -pi/2 and pi/2",
    "upward": "upward continuation, in units of the source",
}
"""What each kind is, and its unit: nT/m of a magnetic map in nT, mGal/m of a gravity map in mGal."""

REACH = 2
"""Cells to each side that a horizontal derivative takes."""

LEAST = 4
"""Rows and columns that a grid must have."""

UNSURE = 10
"""Cells from an edge or a gap within which a vertical derivative is less certain: what lies beyond is not known. On
fields of random prisms, some of which the edge cuts, it is off by up to 8 to 26 % of its range in cells at the edge,
3 to 7 % three to five cells in, 1 to 3 % from ten on (magnetic); 22 to 33, 10 to 13 and 6 to 7 % (gravity, whose
long waves come from bodies farther away)."""

_ALONE = "A cell without a neighbour in its row or in its column has no gradient and is missing."


@dataclass(frozen=True)
class _Field:
    """A source that is read in rows: values in its units, NaN where it is missing."""

    source: RasterSource
    layer: Layer
    file: Reopening
    bad: Bad | None

    def rows(self, row: int, count: int) -> np.ndarray:
        tile = Tile(0, row, 0, count, self.source.width)
        raw, valid = read_valid(self.file, tile, self.source, self.layer, self.bad)
        return np.where(valid, self.layer.in_units(raw), np.nan)

    def around(self, row: int, count: int) -> np.ndarray:
        """Rows with REACH more to each side, missing beyond the grid."""
        first, last = max(row - REACH, 0), min(row + count + REACH, self.source.height)
        missing = (first - row + REACH, row + count + REACH - last)
        return np.pad(self.rows(first, last - first), (missing, (0, 0)), constant_values=np.nan)


def write_derivative(
    source: RasterSource,
    out: Path,
    kind: str,
    *,
    height: float | None,
    label: str,
    max_memory: int,
    on_error: str = "stop",
    valid_range: tuple[float, float] | None = None,
) -> list[str]:
    """Write a derivative of a potential field as a float32 GeoTIFF on the source's own cells, NaN where it is missing.

    The bytes of the file depend on the source, the range, the kind and the height only. Where the spectrum of the grid
    (about 16 bytes a cell) does not fit into `max_memory`, it is kept in a file beside `out` while it is needed.

    Args:
        kind: one of KINDS.
        height: in metres above the grid, above 0; for "upward" only.
        label: of the layer and its file, for messages.
        max_memory: bytes.
        on_error: "nodata" counts blocks that cannot be decoded as missing.
        valid_range: in units of the source; what lies outside counts as missing.

    Returns:
        Notes, as sentences: the unit, what was approximated, what is less certain, blocks that were lost.

    Raises:
        ValueError: no such kind, or a height where none belongs or none that is above 0.
        DataError: a rotated or a too small grid, one in degrees that is no plane, no data, or a block that cannot be
            decoded.
        MemoryLimitError: the work does not fit into max_memory.
        DiskError: a file cannot be written.
    """
    if kind not in KINDS:
        raise ValueError(f"derivative = {kind!r}: it can be {', '.join(KINDS)}")
    if (kind == "upward") != (height is not None) or not (height is None or (math.isfinite(height) and height > 0.0)):
        raise ValueError(f'{kind} with height = {height}: "upward", and it alone, needs a height above 0 metres')
    if min(source.width, source.height) < LEAST:
        raise DataError(
            f"{label}: {source.width} x {source.height} cells are too few for derivatives; at least {LEAST} x {LEAST} "
            "are needed."
        )
    cells = cell_size(source, label)
    in_file = _in_file(source, kind, label, max_memory)
    bad = forgiving(on_error)
    with open_source(source) as file:
        field = _Field(source, _layer(source, valid_range), file, bad)

        def make(write: Write) -> None:
            found = 0
            for row, block in _strips(field, cells, kind, height, out.parent if in_file else None):
                found += np.count_nonzero(~np.isnan(block))
                write(row, block)
            if not found:
                raise DataError(f"{label}: no cell holds data. Leave the layer out, or check its nodata value.")

        write_layer(out, cells_of_source(source), "float32", make)
    return [*_notes(kind, height, label), *cells.notes, *told(unreadable_blocks(source, windows(bad)))]


def _layer(source: RasterSource, valid_range: tuple[float, float] | None) -> Layer:
    return Layer(
        source.name,
        "geophysics",
        source.path,
        source.band,
        source.dtype,
        nodata=source.nodata,
        scale=source.scale,
        offset=source.offset,
        valid_range=valid_range,
        masked=source.masked,
    )


def _in_file(source: RasterSource, kind: str, label: str, max_memory: int) -> bool:
    """Whether the spectrum goes to a file."""
    shape, mebi = (source.height, source.width), 2**20
    needs = [_strip_memory(source) + _filter_memory(shape, kind, in_file) for in_file in (False, True)]
    if needs[0] <= max_memory:
        return False
    if needs[1] <= max_memory:
        return True
    raise MemoryLimitError(
        f'{label}: derivative = "{kind}" of {source.width} x {source.height} cells needs {-(-needs[1] // mebi)} MiB; '
        f"[stream] max_memory allows {max_memory // mebi}. Allow more, or cut the grid to the area."
    )


def _strip_memory(source: RasterSource) -> int:
    """Bytes of the strips that are read, differentiated and written: 16 arrays of float64."""
    return (strips_of(source.height)[0][1] + 2 * REACH) * source.width * 8 * 16


def _filter_memory(shape: tuple[int, int], kind: str, in_file: bool) -> int:
    return 0 if kind == "horizontal" else memory_needed(shape, in_file=in_file)


def _strips(
    field: _Field, cells: CellSize, kind: str, height: float | None, folder: Path | None
) -> Iterator[tuple[int, np.ndarray]]:
    """First row and float32 [rows, width] of the derivative."""
    shape = field.source.height, field.source.width
    if kind == "horizontal":
        for row, count in strips_of(shape[0]):
            yield row, np.hypot(*_horizontal(field, cells, row, count)).astype(np.float32)
        return
    read: Read = field.rows
    response = vertical if height is None else upward(height)
    blocks = filtered(
        read,
        shape,
        cells.across,
        cells.down,
        response,
        keep_trend=height is not None,
        folder=folder,
        workers=worker_count(None),
    )
    for row, block in blocks:
        yield row, _combined(field, cells, kind, row, block).astype(np.float32)


def _combined(field: _Field, cells: CellSize, kind: str, row: int, block: np.ndarray) -> np.ndarray:
    """The derivative from filtered rows; NaN where the source is missing."""
    if kind in ("vertical", "upward"):
        return np.where(np.isnan(field.rows(row, len(block))), np.nan, block)
    east, north = _horizontal(field, cells, row, len(block))
    return (tilt if kind == "tilt" else amplitude)(east, north, block)


def _horizontal(field: _Field, cells: CellSize, row: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    inside = slice(REACH, REACH + count)
    across = np.pad(cells.across, REACH, mode="edge")[row : row + count + 2 * REACH]
    east, north = horizontal_gradient(field.around(row, count), across, cells.down)
    return east[inside], north[inside]


def _notes(kind: str, height: float | None, label: str) -> list[str]:
    what = KINDS[kind] if height is None else f"{KINDS[kind]}, {height:g} m above the grid"
    if kind == "horizontal":
        return [Fact(f"{label}: {what}, by differences; one-sided ones beside gaps and edges. {_ALONE}")]
    note = (
        f"{label}: {what}. Gaps and the margin were filled smoothly for the Fourier transform and are missing again; "
        f"cells less than {UNSURE} from an edge or a gap are kept and are less certain."
    )
    return [Fact(note if kind in ("vertical", "upward") else f"{note} {_ALONE}")]
