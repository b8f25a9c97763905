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

FLOAT_LIMITS = (-3.4e38, -3.4028234663852886e38, 1.70141e38, 9.969209968386869e36, 1e32, 1e30, 1e20)
SENTINELS = (
    *(-999.0, -9999.0, -99999.0, -32768.0, 32767.0, 65535.0, -2147483648.0, 2147483647.0, 4294967295.0),
    *(sign * value for value in FLOAT_LIMITS for sign in (1.0, -1.0)),
    *(sign * float(np.float32(value)) for value in FLOAT_LIMITS for sign in (1.0, -1.0)),
    *(-1.7976931348623157e308, 1.7976931348623157e308),
)
"""Values that programs write for "no data": GIS habits, integer and float limits, Surfer, netCDF, Geosoft."""

APART = 0.1
"""A value that lies farther outside all others than this share of their spread is no measurement. Reflectances of 0 to
10,000 with -9999 are such; a magnetic map of -12,000 to 12,000 nT that holds a -9999 is not, nor one that ends at
-9,950."""


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
        """Sentinel values far outside all others."""
        if self.low > self.high:
            return list(self.sentinels)
        spread = self.high - self.low
        return [v for v in self.sentinels if max(self.low - v, v - self.high) > max(APART * spread, 1e-300)]


def scan(source: RasterSource, layer: Layer) -> RasterFacts:
    """Look at the values of a source.

    Raises:
        DataError: a block cannot be decoded; names layer, file, band and window.
    """
    facts = RasterFacts()
    # What lies inside a stated range is meant, whatever it looks like.
    sentinels = SENTINELS if layer.valid_range is None else ()
    with open_raster(source.path) as dataset:
        tiles = cut((source.height, source.width), WINDOW)
        step = len(tiles) / WINDOWS
        if step > 1:
            facts.whole, tiles = False, [tiles[int(i * step)] for i in range(WINDOWS)]
        for tile in tiles:
            raw = decode(dataset, source.band, tile, source)
            _add(facts, raw, valid_cells(raw, layer) & decode_mask(dataset, tile, source), sentinels)
    return facts


def _add(facts: RasterFacts, raw: np.ndarray, valid: np.ndarray, sentinels: tuple[float, ...]) -> None:
    facts.cells += raw.size
    facts.infinite += int(np.isinf(raw).sum()) if raw.dtype.kind == "f" else 0
    values = raw[valid]
    facts.missing += raw.size - values.size
    for sentinel in sentinels:
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
        # In full, by repr: what is written here will be copied into the project file and compared with the cells.
        values = " and ".join(map(repr, facts.suspects))
        count = sum(facts.sentinels[value] for value in facts.suspects)
        others = f"the others {facts.low:g} to {facts.high:g}" if facts.low <= facts.high else "and nothing else"
        one = f"Add nodata = {facts.suspects[0]!r} to this layer; if the value is real, say so by a"
        raise DataError(
            f"{where}: {count} of {facts.cells} cells hold {values}, {others}: probably an undeclared nodata. "
            f"{one if len(facts.suspects) == 1 else 'Give this layer a'} valid_range = [lowest, highest]."
        )
    if facts.whole and facts.missing == facts.cells:
        raise DataError(f"{where}: all {facts.cells} cells are nodata. Leave the layer out, or check its nodata value.")
    if facts.whole and facts.low == facts.high:
        raise DataError(f"{where}: constant, every cell is {facts.low:g}: it tells nothing. Leave the layer out.")
    if facts.infinite:
        return [f"{where}: {facts.infinite} infinite cells are treated as missing."]
    return []
