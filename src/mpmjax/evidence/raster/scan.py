"""A first look at the values of a raster source: what is missing, infinite, constant, or an undeclared sentinel.

At most 64 windows of 1,024 x 1,024 cells are decoded, spread evenly; a smaller file is looked at whole. How the values
lie beside each other (RasterFacts.common and what follows it) is told from about 65,000 of those cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mpmjax.errors import DataError
from mpmjax.evidence.raster.source import RasterSource, open_source, read_valid
from mpmjax.stream.tiles import cut
from mpmjax.stream.unreadable import forgiving, windows
from mpmjax.types import Layer, Tile

WINDOW = 1024
WINDOWS = 64
DECODED = 4 << 30
"""Bytes of blocks to decode, about, at most: fewer windows are looked at where blocks are larger than 64 MiB."""

CELLS = 65_536
"""About how many cells are kept, with their right neighbours, to tell names from numbers."""

ROUNDING = 1e-6
"""By so much a value may miss the range that it should keep, as where a membership is fitted."""

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
    """What was seen in a source. Counts are cells; `low` and `high` leave sentinels and missing cells out.

    Attributes:
        low, high: raw values; infinite, and low above high, where there are none.
        negative, not_positive, above_one: values (scaled) below 0, at most 0, above 1; to 1e-6, but for the second.
        common, common_share: the most frequent value (scaled) and its share of the values, 0..1.
        distinct: how many different values were seen among about 65,000.
        whole_numbers: whether all of those are integers.
        patches: share of equal cells among neighbours that do not both hold the most frequent value, 0..1.
        jump: mean difference of unequal neighbours, over that of unequal cells drawn at random; 0 without any.
        steps: share of unequal neighbours with no value between theirs, 0..1.
        unreadable: row, column, height and width of blocks that cannot be decoded; their cells count as missing.
    """

    cells: int = 0
    missing: int = 0
    infinite: int = 0
    low: float = math.inf
    high: float = -math.inf
    sentinels: dict[float, int] = field(default_factory=dict)
    whole: bool = True
    negative: int = 0
    not_positive: int = 0
    above_one: int = 0
    common: float = 0.0
    common_share: float = 0.0
    distinct: int = 0
    whole_numbers: bool = False
    patches: float = 0.0
    jump: float = 0.0
    steps: float = 0.0
    unreadable: list[list[int]] = field(default_factory=list)

    @property
    def suspects(self) -> list[float]:
        """Sentinel values far outside all others."""
        if self.low > self.high:
            return list(self.sentinels)
        spread = self.high - self.low
        return [v for v in self.sentinels if max(self.low - v, v - self.high) > max(APART * spread, 1e-300)]


def scan(source: RasterSource, layer: Layer, on_error: str = "stop") -> RasterFacts:
    """Look at the values of a source.

    Args:
        on_error: as [stream] states it.

    Raises:
        DataError: a block cannot be decoded, and on_error is "stop"; names layer, file, band and window.
    """
    facts, neighbours, bad = RasterFacts(), [], forgiving(on_error)
    # What lies inside a stated range is meant, whatever it looks like.
    sentinels = SENTINELS if layer.valid_range is None else ()
    with open_source(source) as file:
        facts.whole, tiles = _windows(source, max(1, min(WINDOWS, DECODED // file.block_size)))
        every = max(1, math.ceil(math.sqrt(sum(tile.height * tile.width for tile in tiles) / CELLS)))
        for tile in tiles:
            raw, valid = read_valid(file, tile, source, layer, bad)
            _add(facts, raw, valid, sentinels, layer)
            neighbours.append(_neighbours(raw, valid, every))
    facts.unreadable = windows(bad)
    pairs = np.concatenate(neighbours)
    pairs[np.isin(pairs, facts.suspects)] = np.nan
    with np.errstate(over="ignore", invalid="ignore"):  # values near the limit of float64
        _describe(facts, pairs * layer.scale + layer.offset)
    return facts


def _windows(source: RasterSource, most: int) -> tuple[bool, list[Tile]]:
    """Whether they are the whole source, and the windows; a header may claim more of them than there is memory for."""
    across, down = -(-source.width // WINDOW), -(-source.height // WINDOW)
    step = across * down / most
    if step <= 1:
        return True, cut((source.height, source.width), WINDOW)
    places = [divmod(int(i * step), across) for i in range(most)]
    return False, [
        Tile(
            index,
            y * WINDOW,
            x * WINDOW,
            min(WINDOW, source.height - y * WINDOW),
            min(WINDOW, source.width - x * WINDOW),
        )
        for index, (y, x) in enumerate(places)
    ]


def _add(facts: RasterFacts, raw: np.ndarray, valid: np.ndarray, sentinels: tuple[float, ...], layer: Layer) -> None:
    facts.cells += raw.size
    facts.infinite += int(np.isinf(raw).sum()) if raw.dtype.kind == "f" else 0
    values = raw[valid]
    facts.missing += raw.size - values.size
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    for sentinel in sentinels:
        if not low <= sentinel <= high:
            continue
        where = values == sentinel
        if where.any():
            facts.sentinels[sentinel] = facts.sentinels.get(sentinel, 0) + int(where.sum())
            values = values[~where]
            if not values.size:
                return
            low, high = float(values.min()), float(values.max())
    facts.low, facts.high = min(facts.low, low), max(facts.high, high)
    ends = (low * layer.scale + layer.offset, high * layer.scale + layer.offset)
    if min(ends) <= 0.0 or max(ends) > 1.0:
        scaled = values * np.float64(layer.scale) + layer.offset
        facts.negative += int((scaled < -ROUNDING).sum())
        facts.not_positive += int((scaled <= 0.0).sum())
        facts.above_one += int((scaled > 1.0 + ROUNDING).sum())


def _neighbours(raw: np.ndarray, valid: np.ndarray, every: int) -> np.ndarray:
    """float64 [n, 2]: one cell in `every` rows and columns and its right neighbour, raw, NaN where there is none.

    Which one of them is drawn, always the same way: a fixed step might never meet the edges of fields of its multiple.
    """
    draw = np.random.default_rng(0)
    rows, columns = (
        np.minimum(np.arange(0, size, every) + draw.integers(0, every, -(-size // every)), size - 1)
        for size in raw.shape
    )
    right = np.minimum(columns + 1, raw.shape[1] - 1)
    raw, valid = raw[rows], valid[rows]
    with np.errstate(invalid="ignore"):  # signalling NaN
        here, there = (np.where(valid[:, at], raw[:, at].astype(np.float64), np.nan) for at in (columns, right))
    there[:, columns == right] = np.nan
    return np.stack((here.ravel(), there.ravel()), axis=1)


def _describe(facts: RasterFacts, pairs: np.ndarray) -> None:
    """How values lie beside each other, from pairs of neighbours [n, 2], NaN where missing."""
    values = pairs[np.isfinite(pairs[:, 0]), 0]
    if not values.size:
        return
    seen, counts = np.unique(values, return_counts=True)
    most = int(counts.argmax())
    facts.common, facts.common_share = float(seen[most]), float(counts[most] / values.size)
    facts.distinct, facts.whole_numbers = int(seen.size), bool((seen == np.floor(seen)).all())
    here, there = pairs[np.isfinite(pairs).all(axis=1)].T
    told = (here != facts.common) | (there != facts.common)
    unequal = here != there
    if not unequal.any():
        return
    facts.patches = float((~unequal[told]).mean())
    ranks = (np.searchsorted(seen, side[unequal]) for side in (here, there))
    facts.steps = float((np.abs(np.subtract(*ranks)) <= 1).mean())
    apart = np.abs(values - np.random.default_rng(0).permutation(values))
    usual = apart[apart > 0.0].mean() if apart.any() else np.inf
    facts.jump = float(np.nan_to_num(np.abs(here - there)[unequal].mean() / usual))


def judge(source: RasterSource, facts: RasterFacts, is_evidence: bool = True) -> list[str]:
    """What the values of a source say: remarks are returned.

    Args:
        is_evidence: whether it becomes a layer as it is; what layers are computed from may be constant.

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
    if is_evidence and facts.whole and facts.low == facts.high:
        raise DataError(f"{where}: constant, every cell is {facts.low:g}: it tells nothing. Leave the layer out.")
    if facts.infinite:
        return [f"{where}: {facts.infinite} infinite cells are treated as missing."]
    return []
