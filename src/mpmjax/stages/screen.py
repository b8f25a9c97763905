"""screen: one streaming pass over every cell: read -> fuzzify -> encode, decode -> score -> write -> maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mpmjax.errors import DataError, TileError
from mpmjax.evidence.grid.area import CellArea, cell_area
from mpmjax.ops.cpu.lanes import FusedLanes, HostLanes, Lanes, Placed, TileMemberships
from mpmjax.ops.lstm import Scorer
from mpmjax.ops.plan import plan_memberships
from mpmjax.products import PRODUCTS
from mpmjax.project_sections import StreamSection
from mpmjax.scoring.drift import Sampled
from mpmjax.scoring.tally import Tally
from mpmjax.stream.engine import Pass
from mpmjax.stream.manifest import TileRow
from mpmjax.stream.progress import Progress
from mpmjax.stream.reader import StackReader
from mpmjax.stream.ring import Ring, Slot
from mpmjax.stream.room import DiskWatch, Room, plan_room
from mpmjax.stream.tiledmaps import TiledMaps
from mpmjax.stream.tilestore import TileStore
from mpmjax.stream.workfolder import WorkFolder
from mpmjax.types import Evidence, Screener, Screening, Slab, Tile

COUNTED = "screening"
"""Name of the fact in the manifest that holds what a finished pass counted."""


@dataclass(frozen=True)
class Scored:
    """One tile, computed: maps [height, width] in their products' dtypes, and what is counted of it."""

    tile: Tile
    maps: Mapping[str, np.ndarray]
    cells: int
    facts: Mapping[str, Any]


def screen(
    screener: Screener,
    evidence: Evidence,
    stream: StreamSection,
    work: WorkFolder,
    progress: Progress,
) -> Screening:
    """Score every cell of the study area and write the maps of products.PRODUCTS to the output folder as COGs.

    What an earlier run finished here is not done again: tiles of an interrupted one, and of a finished one all that is
    whole.

    Raises:
        MemoryLimitError, DiskError: the work does not fit; said before it starts.
        TileError: a tile cannot be read.
        ScreenerError: the Screener does not say which values it was fitted on.
        DataError: no cell could be scored.
    """
    room, area = plan_room(evidence, stream), cell_area(evidence.grid)
    counted = work.manifest.fact(COUNTED)
    if counted is None or not all(work.finished(f"{product.name}.tif") for product in PRODUCTS):
        for note in room.notes:
            progress.say(f"  note: {note}")
        maps = TiledMaps(work, evidence.grid, PRODUCTS, room.tiles)
        scoring = _Work(screener, evidence, stream, area, progress.say)
        tally = _score_tiles(scoring, room, maps, work, progress)
        if not tally.cells:
            work.start_over()  # there is nothing to go on from
            raise DataError(
                f"No cell of the district has data in at least {screener.settings['min_coverage']:.0%} of the "
                f"{len(evidence.layers)} layers inside the study area; nothing was scored. Check the layers' extents "
                "and nodata, and the mask."
            )
        counted = tally.record()
        work.manifest.keep(COUNTED, counted)
        maps.publish(maps.unfinished(), room.threads.writers)
    TileStore(work.scratch, PRODUCTS).remove()  # left where a run was killed between its last map and this
    return Tally.of_record(counted).screening(area.unit_km2)


def _score_tiles(scoring: _Work, room: Room, maps: TiledMaps, work: WorkFolder, progress: Progress) -> Tally:
    """Make the tiles that are missing; what was counted of all."""
    tally, evidence = Tally(len(scoring.evidence.layers)), scoring.evidence
    watch, lanes = DiskWatch(work.scratch, progress.say), scoring.lanes
    lanes.prepare(room.threads.compute, room.most_cells)
    ring = Ring(room.threads.slots, evidence.layers, room.most_cells, lanes.allocate)
    with (
        progress.tiles(len(room.tiles), evidence.grid.width * evidence.grid.height) as told,
        StackReader(evidence.grid, evidence.layers, evidence.mask, evidence.on_error) as reader,
    ):
        for tile, row, found in maps.kept(room.threads.readers):
            tally.add(found, row.facts, scoring.area.weights(tile))
            told.skipped(1, tile.height * tile.width)

        def read(tile: Tile, slot: Slot) -> Slab:
            try:
                return reader.read(tile, slot)
            except DataError as error:
                raise TileError(
                    f"{error}\nThe pass stopped at tile {tile.index + 1}; what is finished stays, and the same command "
                    "goes on from there."
                ) from error

        def write(scored: Scored) -> tuple[TileRow, Scored]:
            return maps.store.write(scored.tile, scored.maps, scored.cells, scored.facts), scored

        left, retries = maps.missing, 0
        for number, (row, scored) in enumerate(Pass(room.threads, ring, read, scoring, write)(left), 1):
            maps.add(row)
            tally.add(scored.maps, row.facts, scoring.area.weights(scored.tile))
            watch.wrote(sum(row.sizes), len(left) - number)
            cells = scored.tile.height * scored.tile.width
            told.done(cells, cells * scoring.cell_bytes, reader.retries - retries)
            retries = reader.retries
    return tally


class _Work:
    """From a slab to maps, for many threads at once."""

    def __init__(
        self,
        screener: Screener,
        evidence: Evidence,
        stream: StreamSection,
        area: CellArea,
        say: Callable[[str], None],
    ) -> None:
        self.evidence, self.area = evidence, area
        self.cell_bytes = sum(np.dtype(layer.dtype).itemsize for layer in evidence.layers)
        self._coverage = float(screener.settings["min_coverage"])
        plan = plan_memberships(evidence.layers, screener.memberships)
        self.lanes: Lanes
        if stream.backend == "cuda":
            from mpmjax.ops.gpu.lanes import Lanes as CardLanes

            self.lanes = Placed(CardLanes(plan, screener.arrays, self._coverage, say), self._coverage)
        elif stream.backend in ("auto", "cpu"):
            self.lanes = FusedLanes(plan, screener.arrays, self._coverage)
        else:
            scorer = Scorer(screener.arrays, stream.backend)
            lanes = HostLanes(TileMemberships(plan, stream.backend), scorer, self._coverage)
            self.lanes = Placed(lanes, self._coverage)
        self._sampled = Sampled(screener, evidence.layers)

    def __call__(self, slab: Slab) -> Scored:
        scored, maps = score_slab(slab, self.lanes)
        facts = {
            "outside": self._sampled.outside(slab, scored).tolist(),
            "unreadable": [asdict(block) for block in slab.unreadable],
        }
        return Scored(slab.tile, maps, int(scored.sum()), facts)


def score_slab(slab: Slab, lanes: Lanes) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Maps of one tile.

    Returns:
        Where a cell was scored, bool [height, width], and the maps [height, width] in their products' dtype.
    """
    maps = {p.name: np.full(slab.inside.shape, p.nodata, p.dtype) for p in PRODUCTS}
    if not slab.inside.any():
        return np.zeros(slab.inside.shape, np.bool_), maps
    return lanes.compute(slab, maps), maps
