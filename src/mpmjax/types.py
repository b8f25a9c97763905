"""What the stages hand on to each other: small immutable values, no behaviour beyond arithmetic on themselves.

Axis letters used in all docstrings: E members, L layers, F features of a step, H hidden units, d latent size,
K groups, n cells, Q quantiles of a frozen ecdf (1,024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine


@dataclass(frozen=True)
class Grid:
    """One snapped, north-up, metric grid.

    Attributes:
        crs: authority string ("EPSG:32639") or WKT of a projected CRS in metres.
        transform: affine from (column, row) of a cell's upper left corner to (x, y) in metres.
        width, height: size in cells.
    """

    crs: str
    transform: Affine
    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def cell_size(self) -> tuple[float, float]:
        """(width, height) of a cell in metres, both positive."""
        return self.transform.a, -self.transform.e

    @property
    def cell_area_km2(self) -> float:
        width, height = self.cell_size
        return width * height / 1e6

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(xmin, ymin, xmax, ymax) in metres."""
        xmin, ymax = self.transform.c, self.transform.f
        return xmin, ymax + self.height * self.transform.e, xmin + self.width * self.transform.a, ymax

    def rows_cols(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column (int64) of points in grid coordinates; may lie outside the grid."""
        cols = np.floor((np.asarray(x) - self.transform.c) / self.transform.a)
        rows = np.floor((np.asarray(y) - self.transform.f) / self.transform.e)
        return rows.astype(np.int64), cols.astype(np.int64)


@dataclass(frozen=True)
class Tile:
    """A window of the grid: first row and column, height and width in cells, and its place in the row-major order."""

    index: int
    row: int
    col: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)


@dataclass(frozen=True)
class Layer:
    """One evidence layer that lies on the grid, cell for cell, in one band of one file.

    A cell's value is `raw * scale + offset`; it is missing where raw equals `nodata`, is NaN or infinite, lies
    outside `valid_range` (in scaled units), or where the file's own mask says so (`masked`).
    `direction` is +1 (high is favourable), -1 (low is) or 0 (none stated).
    """

    name: str
    role: str
    path: Path
    band: int
    dtype: str
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    valid_range: tuple[float, float] | None = None
    masked: bool = False
    direction: int = 0
    weight: float | None = None
    """In favourability, as the project states it; None leaves it to the sample (scoring/weights.py)."""
    source: str = ""
    """What the user named, for messages and provenance; `path` may be a prepared file."""
    codes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Names of classes and the raw values that mean them; empty where classes are named by their codes."""
    derivation: Mapping[str, Any] = field(default_factory=dict)
    """How features became values (derive, radius ...), as the project states it; empty for rasters."""

    def in_units(self, raw: np.ndarray) -> np.ndarray:
        """Raw values as float64 in units; what overflows is infinite, which is missing."""
        with np.errstate(over="ignore", invalid="ignore"):
            return raw * np.float64(self.scale) + self.offset


@dataclass(frozen=True)
class Occurrences:
    """Known mineral occurrences as grid cells, one a cell, inside the grid. Used by validation only.

    Attributes:
        rows, cols: int64 [n].
        points: how many points the file holds; `len(rows)` is smaller where some lie outside or share a cell.
    """

    rows: np.ndarray
    cols: np.ndarray
    points: int
    source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """The evidence stack: layers on one grid, the mask of the study area, and what was noticed on the way.

    `provenance` has a record a layer: checksums and cells of its source, method and parameters; `inputs` the checksums
    of all files that were read, by name; both are plain values for run.json. `stamps` are sizes and times of change of
    these files when they were read, by path. `on_error` is the project's, for whoever reads the layers.
    """

    grid: Grid
    layers: tuple[Layer, ...]
    mask: Path | None = None
    occurrences: Occurrences | None = None
    notes: tuple[str, ...] = ()
    provenance: tuple[Mapping[str, Any], ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    stamps: Mapping[Path, tuple[int, int]] = field(default_factory=dict)
    on_error: str = "stop"


@dataclass(frozen=True)
class Slab:
    """All layers of one tile as they were read: array and mask travel together.

    Attributes:
        tile: the window.
        values: L arrays [height, width] in the dtype of their file.
        valid: bool [L, height, width]; False where the layer is missing.
        inside: bool [height, width]; the study area.
        unreadable: blocks that the tile touches and that could not be decoded (stream/unreadable.py).
    """

    tile: Tile
    values: tuple[np.ndarray, ...]
    valid: np.ndarray
    inside: np.ndarray
    unreadable: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Sample:
    """Cells drawn from the study area, on which everything is fitted.

    Attributes:
        values: float64 [n, L], scaled units, NaN where missing.
        rows, cols: int64 [n].
        cells_seen: valid cells met while drawing (all of them, or those of the blocks that were read).
        unreadable: as in Slab, of the blocks that were read.
    """

    values: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    cells_seen: int
    unreadable: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Membership:
    """A fitted membership: plain numbers, nothing left to learn. Formulas: reference/membership.py.

    Attributes:
        kind: linear, power, large, small, gaussian, near, ms_large, ms_small, sigmoid, shoulder, category or ecdf.
        params: the numbers of the formula, in transformed units.
        transform: none, log (base 10) or sqrt; applied to the value before the formula.
        floor: smallest value let into the logarithm (values below are raised to it).
        complement: use 1 - mu (direction low on a typed default).
        hedge: none, very (mu^2) or somewhat (sqrt(mu)); applied last.
        knots_x, knots_y: float64 tables: quantiles and levels of an ecdf, codes and scores of a category.
    """

    kind: str
    params: Mapping[str, float] = field(default_factory=dict)
    transform: str = "none"
    floor: float = 0.0
    complement: bool = False
    hedge: str = "none"
    knots_x: np.ndarray | None = None
    knots_y: np.ndarray | None = None

    def arguments(self) -> dict[str, Any]:
        """Everything, as the keyword arguments of the definition."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def record(self) -> dict[str, Any]:
        """Everything but the tables, as plain values for JSON and the report."""
        plain = ("kind", "transform", "floor", "complement", "hedge")
        return {name: getattr(self, name) for name in plain} | {"params": dict(self.params)}


@dataclass(frozen=True)
class FuzzySample:
    """The sample in memberships.

    Attributes:
        memberships: L fitted memberships.
        mu: float32 [n, L] in 0..1, 0 where missing; valid: bool [n, L].
        rows, cols: int64 [n], the cells' places.
        statistics: one record a layer: missing_share, min, p1, median, p99, max of the values; classes of a category.
        notes: what a formula met that it had to bend, as sentences.
        values: float64 [n, L] in units, NaN where missing; None where only memberships are known.
        cells_seen: valid cells that the sample was drawn from.
    """

    memberships: tuple[Membership, ...]
    mu: np.ndarray
    valid: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    statistics: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()
    values: np.ndarray | None = None
    cells_seen: int = 0


@dataclass(frozen=True)
class Ensemble:
    """Trained members.

    Attributes:
        arrays: the network and residual arrays of reference/lstm.py.
        latents: float32 [E, d, n] of the sample.
        surprise: [E, n] of the sample, each member's mean squared standardised residual.
        diagnostics: loss curves, best steps, members left out.
    """

    arrays: Mapping[str, np.ndarray]
    latents: np.ndarray
    surprise: np.ndarray
    diagnostics: Mapping[str, Any]


@dataclass(frozen=True)
class Grouping:
    """Groups of the sample: the group arrays of reference/lstm.py, and what chose their number."""

    arrays: Mapping[str, np.ndarray]
    diagnostics: Mapping[str, Any]


@dataclass(frozen=True)
class Screening:
    """What one pass over all cells leaves besides its maps.

    Attributes:
        valid_cells: number of cells scored.
        histogram: int64 [65,536], true area in units by prospectivity in equal bins of 0..1.
        group_areas: int64 [256], true area in units by group number.
        unit_km2: the unit of areas in km2, as in CellArea; where all cells are alike it is a cell.
        outside: int64 [L], scored cells whose value in the layer lies outside what the Screener's sample held
            (scoring/drift.py).
        cells_outside: number of cells that are outside in some layer.
        unusual: number of cells whose anomaly ranks above 99 % of the Screener's sample.
        unreadable: blocks of layers that could not be decoded and count as missing: plain records, in order.
    """

    valid_cells: int
    histogram: np.ndarray
    group_areas: np.ndarray
    unit_km2: float
    outside: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    cells_outside: int = 0
    unusual: int = 0
    unreadable: tuple[Mapping[str, Any], ...] = ()

    @property
    def valid_area_km2(self) -> float:
        """True area of the cells that were scored."""
        return int(self.histogram.sum()) * self.unit_km2


@dataclass(frozen=True)
class Screener:
    """Everything that screening needs: memberships and the arrays of reference/lstm.py.

    Attributes:
        layers: one record a layer: name, role, direction, weight; memberships: L fitted ones, same order.
        arrays: float32/int32 by name, as in reference/lstm.py; settings: min_coverage and seed.
        diagnostics: loss curves, criteria of the number of groups, sample size; for the report only.
    """

    layers: tuple[Mapping[str, Any], ...]
    memberships: tuple[Membership, ...]
    arrays: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]
    diagnostics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def layer_names(self) -> tuple[str, ...]:
        return tuple(str(layer["name"]) for layer in self.layers)

    @property
    def members(self) -> int:
        return int(self.arrays["order"].shape[0])


@dataclass(frozen=True)
class Target:
    """One ranked target: connected cells of the best area share.

    `geometry` is a shapely (Multi)Polygon in grid coordinates, `drivers` up to three layer names, strongest first.
    """

    rank: int
    area_km2: float
    prospectivity: float
    confidence: float
    risk: float
    group: int
    quadrant: int
    drivers: tuple[str, ...]
    lon: float
    lat: float
    geometry: Any
