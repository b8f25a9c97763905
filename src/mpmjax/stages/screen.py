"""screen: one streaming pass over every cell: read -> fuzzify -> encode, decode -> score -> write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mpmjax.errors import DataError, MemoryLimitError, ScreenerError, TileError
from mpmjax.evidence.grid.area import cell_area
from mpmjax.ops.lstm import Scorer
from mpmjax.ops.membership import Memberships, membership
from mpmjax.ops.plan import MembershipPlan, plan_memberships
from mpmjax.products import PRODUCTS
from mpmjax.project_sections import StreamSection
from mpmjax.scoring.drift import Sampled, count_unusual
from mpmjax.scoring.thresholds import BINS, bin_of
from mpmjax.stream.files import require_disk
from mpmjax.stream.prefetch import ordered_map, worker_count
from mpmjax.stream.reader import StackReader
from mpmjax.stream.store import MapStore, build_cogs
from mpmjax.stream.tiles import cut
from mpmjax.types import Evidence, Screener, Screening, Slab, Tile

BASE_MEMORY = 1 << 30
"""What Python, XLA, GDAL and their caches take before the first tile; 0.6 to 0.9 GiB were measured."""


def screen(
    screener: Screener,
    evidence: Evidence,
    stream: StreamSection,
    output: Path,
    scratch: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Screening:
    """Score every cell of the study area and write the maps of products.PRODUCTS to `output` as COGs.

    Args:
        progress: called with (tiles done, tiles in all).

    Raises:
        MemoryLimitError, DiskError: the work does not fit; said before it starts.
        TileError: a tile cannot be read.
        ScreenerError: the Screener does not say which values it was fitted on.
        DataError: no cell could be scored.
    """
    workers = require_room(evidence, stream, scratch)
    fuzzify = TileMemberships(plan_memberships(evidence.layers, screener.memberships), stream.backend)
    scorer, coverage = Scorer(screener.arrays), float(screener.settings["min_coverage"])
    sampled = Sampled(screener, evidence.layers)
    tiles = cut(evidence.grid.shape, stream.tile)
    area, tally = cell_area(evidence.grid), Tally(len(evidence.layers))
    with (
        StackReader(evidence.grid, evidence.layers, evidence.mask) as reader,
        MapStore(scratch, evidence.grid, PRODUCTS) as store,
    ):

        def work(tile: Tile) -> tuple[Tile, np.ndarray, np.ndarray | None, Mapping[str, np.ndarray], np.ndarray]:
            try:
                slab = reader.read(tile)
            except DataError as error:
                raise TileError(f"{error}\nThe pass stopped at tile {tile.index + 1}; no map was written.") from error
            scored, maps = score_slab(slab, fuzzify, scorer, coverage)
            weights = area.weights(tile)
            return tile, scored, None if weights is None else weights[scored], maps, sampled.outside(slab, scored)

        for done, (tile, scored, weights, maps, outside) in enumerate(ordered_map(work, tiles, workers), 1):
            store.write(tile, maps)
            tally.add(maps["prospectivity"][scored], maps["groups"][scored], weights)
            tally.add_drift(maps["anomaly"][scored], outside)
            progress(done, len(tiles))
    if not tally.cells:
        raise DataError(
            f"No cell of the district has data in at least {coverage:.0%} of the {len(evidence.layers)} layers inside "
            "the study area; nothing was scored. Check the layers' extents and nodata, and the mask."
        )
    build_cogs(store, output, PRODUCTS, workers)
    layers, cells = tally.outside[:-1], int(tally.outside[-1])
    return Screening(tally.cells, tally.histogram, tally.group_areas, area.unit_km2, layers, cells, tally.unusual)


class TileMemberships:
    """Memberships of slabs by one plan, from many threads.

    On the CPU a thread writes into the arrays of its last tile again, if that had the same shape: on fresh ones the
    page faults take longer than the memberships.

    Args:
        backend: by the names of ops/backend.py.
    """

    def __init__(self, plan: MembershipPlan, backend: str) -> None:
        self._plan, self._backend = plan, backend
        self._last = threading.local()

    def __call__(self, slab: Slab) -> Memberships:
        """As ops/membership.py gives them, as NumPy arrays; good until the thread's next tile."""
        last: Memberships | None = getattr(self._last, "memberships", None)
        again = last is not None and last.valid.shape == slab.valid.shape
        found = membership(slab.values, self._plan, slab.valid, backend=self._backend, out=last if again else None)
        if self._backend in ("auto", "cpu"):
            self._last.memberships = found
        return found.on_host()


class Tally:
    """Counts over the tiles of a pass, in whole numbers: the order of tiles does not matter. As in Screening.

    Args:
        layers: L.
    """

    def __init__(self, layers: int) -> None:
        self.cells = self.unusual = 0
        self.histogram = np.zeros(BINS, np.int64)
        self.group_areas = np.zeros(256, np.int64)
        self.outside = np.zeros(layers + 1, np.int64)

    def add(self, prospectivity: np.ndarray, groups: np.ndarray, weights: np.ndarray | None) -> None:
        """Count scored cells, [n] each; `weights` are their areas in whole units, None for 1 each."""
        self.cells += len(groups)
        self.group_areas += _sums(groups, weights, 256)
        self.histogram += _sums(bin_of(prospectivity), weights, BINS)

    def add_drift(self, anomaly: np.ndarray, outside: np.ndarray) -> None:
        """Count scored cells, [n], by their anomaly's rank; `outside` is what Sampled says of the same cells."""
        self.unusual += count_unusual(anomaly)
        self.outside += outside


def _sums(places: np.ndarray, weights: np.ndarray | None, count: int) -> np.ndarray:
    """Sums of whole numbers by place, int64 [count]."""
    return np.bincount(places, weights, minlength=count).astype(np.int64)


def score_slab(
    slab: Slab, fuzzify: TileMemberships, scorer: Scorer, min_coverage: float
) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Maps of one tile.

    Returns:
        Where a cell was scored, bool [height, width], and the maps [height, width] in their products' dtype.
    """
    scored = slab.inside & (slab.valid.mean(axis=0) >= min_coverage)
    maps = {p.name: np.full(scored.shape, p.nodata, p.dtype) for p in PRODUCTS}
    if not scored.any():
        return scored, maps
    mu, valid, _ = fuzzify(slab)
    scored &= valid.mean(axis=0) >= min_coverage  # a class that is not in a category's table is missing too
    scores = scorer.score(mu[:, scored], valid[:, scored])
    for name, values in maps.items():
        values[scored] = scores[name]
    return scored, maps


def require_layers(screener: Screener, evidence: Evidence, transforms: Sequence[str]) -> None:
    """Refuse layers that are not those that the Screener was fitted on, or are meant otherwise.

    Args:
        transforms: the project's, a layer each.

    Raises:
        ScreenerError: names the layer, and what the fit and the project say.
    """
    if screener.layer_names != tuple(layer.name for layer in evidence.layers):
        raise ScreenerError(
            f"The Screener was fitted on the layers {', '.join(screener.layer_names)}; the project has "
            f"{', '.join(layer.name for layer in evidence.layers)}. Names and order must be the same."
        )
    # A membership in values themselves (large, small, category) carries no transform, whatever the project says.
    fitted = (m.transform for m in screener.memberships)
    for layer, record, stated, own in zip(evidence.layers, screener.layers, transforms, fitted, strict=True):
        here = {"role": layer.role, "direction": layer.direction, "weight": layer.weight}
        there = {key: record[key] for key in here}
        # A name means what it meant in the fit only if it stands for the same values.
        here["derivation"], there["derivation"] = dict(layer.derivation), record["derivation"]
        here["codes"], there["codes"] = _codes(layer.codes), _codes(record["codes"])
        if own != "none":
            here["transform"], there["transform"] = stated, own
        for key, value in here.items():
            if value != there[key]:
                raise ScreenerError(
                    f"layer {layer.name!r}: the Screener was fitted with {key} {there[key]!r}, the project says "
                    f"{value!r}. A Screener is used as it was fitted: make the project agree, or fit again."
                )
    Sampled(screener, evidence.layers)  # refuses a Screener that cannot tell what it was fitted on


def _codes(codes: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    return {name: [float(value) for value in values] for name, values in sorted(codes.items())}


def require_room(evidence: Evidence, stream: StreamSection, scratch: Path) -> int:
    """Estimate the memory and disk of a screening pass; to be asked before a long fit, not after it.

    Returns:
        The number of workers: as stated, else as many as there are cores and fit into [stream] max_memory.

    Raises:
        MemoryLimitError: the tiles that the workers hold do not fit into [stream] max_memory.
        DiskError: the maps do not fit on the disk of `scratch`.
    """
    cells = evidence.grid.width * evidence.grid.height
    require_disk(scratch, cells * sum(4 if p.dtype == "float32" else 1 for p in PRODUCTS), "screening")
    layers = len(evidence.layers)
    raw = sum(np.dtype(layer.dtype).itemsize for layer in evidence.layers)
    # Raw values and masks, memberships and theirs twice (tile and compacted), maps and scores twice.
    cell = raw + layers + 2 * 5 * layers + 2 * (sum(np.dtype(p.dtype).itemsize for p in PRODUCTS) + 16)
    side = min(stream.tile, max(evidence.grid.shape))
    slots = (stream.max_memory_bytes - BASE_MEMORY) // (cell * side * side)  # one is that of the writer
    workers = stream.workers or max(1, min(worker_count(None), slots - 1))
    if slots < workers + 1:
        needed = BASE_MEMORY + cell * side * side * (workers + 1)
        raise MemoryLimitError(
            f"[stream] tile = {stream.tile} with {layers} layers and {workers} workers needs about "
            f"{needed / 2**30:.1f} GiB, max_memory is {stream.max_memory}. "
            "Use a smaller tile or fewer workers, or allow more."
        )
    return workers
