"""What a pass needs is known before it starts: fewer workers, then smaller tiles, then a sentence with the figure."""

from __future__ import annotations

import re
import resource
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rasters import make_grid, write_on

from mpmjax.errors import DiskError, MemoryLimitError
from mpmjax.products import PRODUCTS
from mpmjax.project_sections import StreamSection
from mpmjax.stream import room as rooms
from mpmjax.stream.engine import Threads
from mpmjax.stream.ring import Ring
from mpmjax.stream.room import (
    BASE_MEMORY,
    MAP_BYTES,
    RESERVE,
    SMALLEST_TILE,
    DiskWatch,
    Room,
    memory_needed,
    plan_room,
    require_space,
)
from mpmjax.stream.tiles import cut, plan_tiles
from mpmjax.stream.workfolder import work_folder
from mpmjax.types import Evidence, Layer

GRID = make_grid(4000, 3000)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Three layers in blocks of 256; only the headers of the files are of any use."""
    folder, layers = tmp_path_factory.mktemp("layers"), []
    for name, dtype in (("a", "float32"), ("b", "int16"), ("c", "uint8")):
        path = folder / f"{name}.tif"
        write_on(
            path, GRID, np.zeros(GRID.shape, dtype), tiled=True, blockxsize=256, blockysize=256, compress="deflate",
            sparse_ok=True,
        )  # fmt: skip
        layers.append(Layer(name, "index", path, 1, dtype))
    return Evidence(GRID, tuple(layers))


def planned(evidence: Evidence, **stated: object) -> Room:
    return plan_room(evidence, StreamSection.model_validate(stated))


def needed(evidence: Evidence, tile: int, workers: int) -> int:
    return memory_needed(evidence, Room(cut(GRID.shape, tile), Threads(workers, workers + 1, workers)))


# -- memory


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_what_fits_is_as_it_was_asked_for(evidence: Evidence, workers: int) -> None:
    room = planned(evidence, tile=512, workers=workers, max_memory="8GiB")
    assert room.threads == Threads(workers, workers + 1, workers)
    assert room.most_cells == 512 * 512
    assert room.notes == ()


def test_workers_go_before_tiles_get_smaller(evidence: Evidence) -> None:
    allowed = needed(evidence, 512, 3)
    room = planned(evidence, tile=512, workers=8, max_memory=f"{allowed}B")
    assert room.threads.readers == 3
    assert room.most_cells == 512 * 512
    assert room.notes == (f"[stream] max_memory = {allowed}B: 3 workers instead of 8.",)
    room = planned(evidence, tile=512, workers=8, max_memory=f"{allowed - 1}B")
    assert room.threads.readers == 2, "to the byte"


def test_then_tiles_get_smaller(evidence: Evidence) -> None:
    allowed = needed(evidence, 512, 1) - 1
    room = planned(evidence, tile=512, workers=2, max_memory=f"{allowed}B")
    assert room.most_cells == 256 * 256
    assert room.threads.readers == 2, "as many workers as then fit again"
    assert room.notes == (f"[stream] max_memory = {allowed}B: tiles of 256 instead of 512.",)
    room = planned(evidence, tile=512, workers=60, max_memory=f"{allowed}B")
    assert 2 < room.threads.readers < 60
    assert f"tiles of 256 instead of 512 and {room.threads.readers} workers instead of 60." in room.notes[0]


def test_workers_that_nobody_asked_for_are_not_told_of(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "worker_count", lambda asked: asked or 16)
    room = planned(evidence, tile=512, max_memory=f"{needed(evidence, 512, 3)}B")
    assert (room.threads.readers, room.notes) == (3, ())


@given(st.sampled_from([16, 64, 100, 128, 512, 2048]), st.integers(1, 20), st.floats(0.0, 1.2))
@example(16, 1, 0.001)
@example(64, 3, 0.002)
@settings(deadline=None, max_examples=40)
def test_what_is_planned_fits(evidence: Evidence, tile: int, workers: int, share: float) -> None:
    allowed = BASE_MEMORY + int(share * (needed(evidence, 2048, 4) - BASE_MEMORY))
    try:
        room = planned(evidence, tile=tile, workers=workers, max_memory=f"{allowed}B")
    except MemoryLimitError:
        smallest = plan_tiles(GRID.shape, min(tile, SMALLEST_TILE), [(256, 256)] * 3)
        assert memory_needed(evidence, Room(smallest, Threads(1, 2, 1))) > allowed
        return
    assert memory_needed(evidence, room) <= allowed
    covered = sum(t.height * t.width for t in room.tiles)
    assert covered == GRID.width * GRID.height


@pytest.mark.parametrize("tile", [16, 64, 512, 3000])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("base", [BASE_MEMORY, BASE_MEMORY + 3_333_333, 7 << 20])
def test_the_figure_that_is_named_is_enough(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch, tile: int, layers: int, base: int
) -> None:
    monkeypatch.setattr(rooms, "BASE_MEMORY", base)
    fewer = Evidence(GRID, evidence.layers[:layers])
    with pytest.raises(MemoryLimitError, match=rf"max_memory = 1MiB: screening {layers} layers needs about") as seen:
        planned(fewer, tile=tile, workers=4, max_memory="1MiB")
    assert seen.value.exit_status == 5
    figure = re.findall(r"([\d.]+) GiB", str(seen.value))[0]
    assert planned(fewer, tile=tile, workers=4, max_memory=f"{figure}GiB").threads.readers >= 1
    assert f"one worker and tiles of {min(tile, SMALLEST_TILE)}. Allow more." in str(seen.value)


def test_the_estimate_holds_all_that_is_held(evidence: Evidence) -> None:
    """Slots as they are allocated, and every result that the engine lets live."""
    threads, cells = Threads(2, 2, 2), 512 * 512
    ring = Ring(threads.slots, evidence.layers, cells)
    slots = sum(part.nbytes for slot in ring.slots for part in slot._parts)
    assert needed(evidence, 512, 2) >= BASE_MEMORY + slots + threads.results * MAP_BYTES * cells
    assert sum(np.dtype(product.dtype).itemsize for product in PRODUCTS) == MAP_BYTES
    more = [needed(evidence, 512, workers) for workers in range(1, 9)]
    assert more == sorted(set(more))
    assert needed(evidence, 1024, 1) - BASE_MEMORY == pytest.approx(4 * (needed(evidence, 512, 1) - BASE_MEMORY), 0.01)


def test_tiles_of_the_plan_are_those_that_spare_decoding(evidence: Evidence) -> None:
    room = planned(evidence, tile=300, workers=1)
    assert {tile.row % 256 for tile in room.tiles} == {tile.col % 256 for tile in room.tiles} == {0}


# -- open files


def limited(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda what: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: made.append(limits))
    return made


def test_the_soft_limit_of_open_files_is_raised_as_far_as_needed(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = (3 + 1) * 5 + rooms.OPEN_FILES
    made = limited(monkeypatch, most - 1, 100_000)
    planned(evidence, workers=5)
    assert made == [(most, 100_000)]
    for soft, hard in ((most, most), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)):
        made = limited(monkeypatch, soft, hard)
        planned(evidence, workers=5)
        assert made == [], "enough as it is"
    made = limited(monkeypatch, 10, resource.RLIM_INFINITY)
    planned(evidence, workers=5)
    assert made == [(most, resource.RLIM_INFINITY)]


def test_too_few_open_files(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    most = (3 + 1) * 5 + rooms.OPEN_FILES
    limited(monkeypatch, 64, most - 1)
    with pytest.raises(
        MemoryLimitError, match=rf"{most} files must be open at a time \(5 readers of 3 layers\)"
    ) as seen:
        planned(evidence, workers=5)
    assert f"allows {most - 1}. Allow more (ulimit -n), or state fewer [stream] workers." in str(seen.value)
    planned(evidence, workers=4)


def test_bands_of_one_file_are_one_open_file(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    same = Evidence(GRID, tuple(evidence.layers[:1]) * 50)
    limited(monkeypatch, 64, (1 + 1) * 5 + rooms.OPEN_FILES)
    planned(same, workers=5, max_memory="64GiB")


# -- disk


def free(monkeypatch: pytest.MonkeyPatch, *left: int) -> None:
    """What the disk has free, one figure a look; the last one stays."""
    figures = list(left)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: Usage(0, 0, figures.pop(0) if len(figures) > 1 else figures[0])
    )


def test_room_on_the_disk_is_asked_for_before_the_work(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = int(GRID.width * GRID.height * MAP_BYTES * rooms.ON_DISK)
    with work_folder(tmp_path) as work:
        free(monkeypatch, needed)
        require_space(evidence, work)
        free(monkeypatch, needed - 1)
        with pytest.raises(DiskError, match=r"screening needs about 0\.5 GiB of disk, 0\.5 GiB are free"):
            require_space(evidence, work)
        free(monkeypatch, needed - 1500)
        (work.scratch / "tiles").mkdir()
        (work.scratch / "tiles" / "0000000.tile").write_bytes(bytes(1000))
        (tmp_path / "risk.tif").write_bytes(bytes(499))
        (tmp_path / "notes.txt").write_bytes(bytes(9999))
        with pytest.raises(DiskError):
            require_space(evidence, work)
        (tmp_path / "risk.tif").write_bytes(bytes(500))
        require_space(evidence, work)  # what stands there needs no room


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(rooms.time, "monotonic", lambda: self.now)


def test_the_disk_is_watched_and_a_warning_comes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Clock(monkeypatch), []
    watch = DiskWatch(tmp_path, said.append)
    free(monkeypatch, 1 << 40)
    watch.wrote(1000, 99)
    assert said == []
    free(monkeypatch, RESERVE + 100)
    watch.wrote(1 << 20, 98)
    assert said == [], "not twice within a second"
    clock.now += 1.5
    watch.wrote(1 << 20, 97)
    assert len(said) == 1
    assert re.search(
        r"what is left to write takes about 0\.\d GiB, 0\.1 GiB of disk are free\. If it runs full", said[0]
    )
    for _ in range(5):
        clock.now += 1.5
        watch.wrote(1 << 20, 90)
    assert len(said) == 1


def test_what_is_to_come_is_judged_by_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 1 MiB: 9 to come, and the COGs of all 10, half as large again at most."""
    for left, warned in ((40 << 20, False), (9 << 20, True)):
        Clock(monkeypatch)
        said: list[str] = []
        free(monkeypatch, RESERVE + left)
        monkeypatch.setattr(rooms, "RESERVE", 0)
        free(monkeypatch, left)
        DiskWatch(tmp_path, said.append).wrote(1 << 20, 9)
        assert bool(said) == warned


def test_the_pass_stops_while_the_manifest_still_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    free(monkeypatch, RESERVE)
    DiskWatch(tmp_path, lambda line: None).wrote(1, 5)
    free(monkeypatch, RESERVE - 1)
    with pytest.raises(
        DiskError, match=r"63 MiB of disk are left\. Free some; .* goes on with the 1,234 tiles"
    ) as seen:
        DiskWatch(tmp_path, lambda line: None).wrote(1, 1234)
    assert seen.value.exit_status == 4
