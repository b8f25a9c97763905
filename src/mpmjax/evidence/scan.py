"""A first look at the values of a raster source: what is missing, infinite, constant, or an undeclared sentinel.

At most 64 windows of 1,024 x 1,024 cells are decoded, spread evenly; a smaller file is looked at whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mpmjax.errors import DataError
from mpmjax.evidence.raster import RasterSource, decode, decode_mask
from mpmjax.stream.reader import open_raster, valid_cells
from mpmjax.stream.tiles import cut
from mpmjax.types import Layer

WINDOW = 1024
WINDOWS = 64

_HUGE = (-3.4e38, -3.4028234663852886e38, 1.70141e38, -1e32, 1e32, -1e30, 1e30)
SENTINELS = (-9999.0, -99999.0, -999.0, -32768.0, 32767.0, *_HUGE, *(float(np.float32(value)) for value in _HUGE))
"""Values that programs write for "no data": GIS habits, int16 limits, float32 limits, Surfer, Geosoft."""


@dataclass
class RasterFacts:
    """What was seen in a source. Counts are cells; `low` and `high` leave sentinels and missing cells out."""

    cells: int = 0
    missing: int = 0
    infinite: int = 0
    low: float = math.inf
    high: float = -math.inf
    sentinels: dict[float, int] = field(default_factory=dict)
    whole: bool = True

    @property
    def suspects(self) -> list[float]:
        """Sentinel values farther from all other values than those are from each other."""
        if self.low > self.high:
            return [value for value, count in self.sentinels.items() if count == self.cells - self.missing]
        spread = self.high - self.low
        return [v for v in self.sentinels if max(self.low - v, v - self.high) > max(spread, 1e-300)]


def scan(source: RasterSource, layer: Layer) -> RasterFacts:
    """Look at the values of a source.

    Raises:
        DataError: a block cannot be decoded; names layer, file, band and window.
    """
    facts = RasterFacts()
    with open_raster(source.path) as dataset:
        tiles = cut((source.height, source.width), WINDOW)
        step = len(tiles) / WINDOWS
        if step > 1:
            facts.whole, tiles = False, [tiles[int(i * step)] for i in range(WINDOWS)]
        for tile in tiles:
            raw = decode(dataset, source.band, tile, source)
            _add(facts, raw, valid_cells(raw, layer) & decode_mask(dataset, tile, source))
    return facts


def _add(facts: RasterFacts, raw: np.ndarray, valid: np.ndarray) -> None:
    facts.cells += raw.size
    facts.infinite += int(np.isinf(raw).sum()) if raw.dtype.kind == "f" else 0
    values = raw[valid]
    facts.missing += raw.size - values.size
    for sentinel in SENTINELS:
        if not values.size or not float(values.min()) <= sentinel <= float(values.max()):
            continue
        where = values == sentinel
        if where.any():
            facts.sentinels[sentinel] = facts.sentinels.get(sentinel, 0) + int(where.sum())
            values = values[~where]
    if values.size:
        facts.low, facts.high = min(facts.low, float(values.min())), max(facts.high, float(values.max()))


def judge(source: RasterSource, facts: RasterFacts) -> list[str]:
    """What the values of a source say: remarks are returned.

    Raises:
        DataError: a suspected undeclared nodata, nothing but nodata, or a constant.
    """
    where = f"layer {source.name!r}: {source.path}, band {source.band}"
    if facts.suspects:
        values = ", ".join(f"{value:g}" for value in facts.suspects)
        count = sum(facts.sentinels[value] for value in facts.suspects)
        raise DataError(
            f"{where}: {count} of {facts.cells} cells hold {values}, far from all other values "
            f"({facts.low:g} to {facts.high:g}): probably an undeclared nodata. "
            f"Add nodata = {facts.suspects[0]:g} to this layer; if the value is real, say so with "
            f"nodata set to a value that does not occur."
        )
    if facts.whole and facts.missing == facts.cells:
        raise DataError(f"{where}: all {facts.cells} cells are nodata. Leave the layer out, or check its nodata value.")
    if facts.whole and facts.low == facts.high:
        raise DataError(f"{where}: constant, every cell is {facts.low:g}: it tells nothing. Leave the layer out.")
    if facts.infinite:
        return [f"{where}: {facts.infinite} infinite cells are treated as missing."]
    return []
