"""What a pass over the tiles needs of the machine: memory, disk and open files, estimated before it starts."""

from __future__ import annotations

import math
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mpmjax.errors import DiskError, MemoryLimitError
from mpmjax.products import PRODUCTS
from mpmjax.project_sections import StreamSection
from mpmjax.stream.engine import Threads
from mpmjax.stream.files import require_disk
from mpmjax.stream.prefetch import worker_count
from mpmjax.stream.reader import GDAL_POOL, block_shapes
from mpmjax.stream.ring import slot_bytes
from mpmjax.stream.tiles import plan_tiles
from mpmjax.stream.tilestore import FOLDER
from mpmjax.stream.workfolder import WorkFolder
from mpmjax.types import Evidence, Tile

BASE_MEMORY = 1 << 30
"""What Python, XLA, GDAL and their caches take before the first tile; 0.6 to 0.9 GiB were measured."""

SMALLEST_TILE = 64
"""Side in cells below which tiles are not made smaller to save memory: opening and closing then takes the time."""

MAP_BYTES = sum(np.dtype(product.dtype).itemsize for product in PRODUCTS)
"""Of one cell in all maps of the pass."""

ON_DISK = 1.4
"""Tiles (61 % of MAP_BYTES) and COGs with overviews (80 %) of a demo district, which stand side by side for a time."""

OPEN_FILES = GDAL_POOL + 96
"""Tiles that GDAL holds open while it joins them, and what Python and its libraries have open."""

LANES = 2
"""Threads that feed a card: one copies while the other's batch is scored. Cores do nothing for it."""

RESERVE = 64 << 20
"""Free bytes below which a pass stops by itself: the manifest must still find room."""


@dataclass(frozen=True)
class Room:
    """How a pass is cut so that it fits.

    Attributes:
        notes: what was made smaller than asked for, and why.
    """

    tiles: Sequence[Tile]
    threads: Threads
    notes: tuple[str, ...] = ()

    @property
    def most_cells(self) -> int:
        return max(tile.height * tile.width for tile in self.tiles)


def plan_room(evidence: Evidence, stream: StreamSection) -> Room:
    """Tiles and threads that fit into [stream] max_memory: fewer workers than asked for, then smaller tiles.

    Raises:
        MemoryLimitError: not even one worker with the smallest tiles fits, or too few files may be open; says how much
            is needed.
    """
    blocks = block_shapes(evidence.layers, evidence.mask)
    wanted = worker_count(stream.workers)
    size, allowed = stream.tile, stream.max_memory_bytes
    while True:
        tiles = plan_tiles(evidence.grid.shape, size, blocks)
        lanes = LANES if stream.backend == "cuda" else None
        rooms = [Room(tiles, Threads(n, lanes or n + 1, n)) for n in range(wanted, 0, -1)]
        fitting = next((room for room in rooms if memory_needed(evidence, room) <= allowed), None)
        if fitting is not None:
            break
        if size <= SMALLEST_TILE:
            needed = math.ceil(memory_needed(evidence, rooms[-1]) / 2**30 * 100) / 100  # the figure shown is enough
            raise MemoryLimitError(
                f"[stream] max_memory = {stream.max_memory}: screening {len(evidence.layers)} layers needs about "
                f"{needed:.2f} GiB with one worker and tiles of {size}. Allow more."
            )
        size = max(size // 2, SMALLEST_TILE)
    _require_files(evidence, fitting.threads)
    made = [] if size == stream.tile else [f"tiles of {size} instead of {stream.tile}"]
    if fitting.threads.readers < wanted and (stream.workers or made):
        made.append(f"{fitting.threads.readers} workers instead of {wanted}")
    notes = (f"[stream] max_memory = {stream.max_memory}: {' and '.join(made)}.",) if made else ()
    return replace(fitting, notes=notes)


def memory_needed(evidence: Evidence, room: Room) -> int:
    """Bytes of a pass: slots, what is computed at a time, and results on their way to the disk."""
    threads, cells, layers = room.threads, room.most_cells, len(evidence.layers)
    # Memberships (float32 and bool a layer) of the tile and of its scored cells, scores, and the maps they go into.
    computed = 2 * 5 * layers + 2 * (MAP_BYTES + 16)
    results = MAP_BYTES * threads.results + 2 * MAP_BYTES * threads.writers  # as encoded bytes, too
    slots = slot_bytes(evidence.layers, cells) * threads.slots
    return BASE_MEMORY + slots + cells * (computed * threads.compute + results)


def require_space(evidence: Evidence, work: WorkFolder) -> None:
    """Refuse a pass whose tiles and maps do not fit on the disk; those that stand there already need no room.

    Raises:
        DiskError: says how much is needed.
    """
    cells = evidence.grid.width * evidence.grid.height
    files = [*(work.scratch / FOLDER).glob("*.tile"), *(work.output / f"{product.name}.tif" for product in PRODUCTS)]
    there = sum(file.stat().st_size for file in files if file.exists())
    require_disk(work.scratch, max(int(cells * MAP_BYTES * ON_DISK) - there, 0), "screening")


def _require_files(evidence: Evidence, threads: Threads) -> None:
    """Raise the soft limit of open files where that is needed and allowed."""
    needed = (len({layer.path for layer in evidence.layers}) + 1) * threads.readers + OPEN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise MemoryLimitError(
            f"{needed} files must be open at a time ({threads.readers} readers of {len(evidence.layers)} layers), and "
            f"this system allows {hard}. Allow more (ulimit -n), or state fewer [stream] workers."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class DiskWatch:
    """Looks at the free disk while a pass goes on, at most once a second.

    Args:
        folder: on the disk that is written.
        say: gets a sentence, once, when what is left to do will not fit.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        self._next, self._warned = 0.0, False
        self._bytes = self._tiles = 0

    def wrote(self, size: int, left: int) -> None:
        """A tile of `size` bytes was written and `left` tiles are to follow.

        Raises:
            DiskError: almost nothing is free.
        """
        self._bytes, self._tiles = self._bytes + size, self._tiles + 1
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 1.0
        free = shutil.disk_usage(self._folder).free
        if free < RESERVE:
            raise DiskError(
                f"{self._folder}: {free >> 20} MiB of disk are left. Free some; the same command then goes on with the "
                f"{left:,} tiles that are missing."
            )
        mean = self._bytes / self._tiles
        expected = mean * left + 1.3 * mean * (left + self._tiles)  # the tiles to come, and the COGs of all
        if expected > free and not self._warned:
            self._warned = True
            self._say(
                f"{self._folder}: what is left to write takes about {expected / 2**30:.1f} GiB, {free / 2**30:.1f} GiB "
                "of disk are free. If it runs full the run stops, and the same command goes on when there is room."
            )
