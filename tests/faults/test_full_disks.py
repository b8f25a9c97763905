"""Disks that fill up, fail, or may not be written to: status 4 or the right bytes, and the same bytes later."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from districts import write_raster
from faulty import Bench, Ended, sha256

SIZES = 40
SPREAD = 12
"""Calls that are tried of those that are all alike: on tiles, mosaics, the manifest."""

DISK = 4

SOME = (".tile", ".vrt", "manifest.sqlite", ".qml", "")
"""Of files with this in their path, and of all calls together, some calls are made to fail in a run of 64 tiles."""

PARTS = 4
"""In so many tests every call of a run of four tiles is made to fail, so that cores can share them."""


class Tally:
    """What came of the faults. All are tried; those that were not met as promised are told at the end."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.tried = 0

    def judge(self, ended: Ended, output: Path, what: str) -> None:
        """A run that met a fault: it says so with status 4, or its bytes are right."""
        self.tried += 1
        if ended.status == 0:
            try:
                self.bench.require_same(output, what)
                self.ends["status 0 and the right bytes"] += 1
            except AssertionError as error:
                self.wrong.append(f"SILENT {what}: {error}")
        elif ended.status == DISK and "Error: " in ended.said and "Traceback" not in ended.said:
            self.ends["status 4"] += 1
            self.bench.require_whole_names(output)
        else:
            self.wrong.append(f"{what}: status {ended.status}: {ended.said[-1500:]}")

    def resume(self, output: Path, what: str) -> None:
        """The same command, with the fault gone."""
        ended = self.bench.try_to(output)
        try:
            assert ended.status == 0, ended
            self.bench.require_same(output, what)
        except AssertionError as error:
            self.wrong.append(f"not resumed, {what}: {error}")

    def show(self, what: str) -> None:
        print(f"{what}: {dict(self.ends)}; silent: {sum(text.startswith('SILENT') for text in self.wrong)}")
        assert not self.wrong, f"{len(self.wrong)} were not met as promised:\n" + "\n".join(self.wrong[:12])


@contextmanager
def small_disk(path: Path, kib: int) -> Iterator[Path]:
    """A file system of its own, of this size."""
    path.mkdir()
    if os.geteuid() or _mount("-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", path):
        pytest.skip("a small file system cannot be mounted here: that takes root")
    try:
        yield path
    finally:
        _system("umount", path)
        path.rmdir()


def _mount(*arguments: object) -> int:
    return _system("mount", *arguments)


def _system(name: str, *arguments: object) -> int:
    """Run a program of the system; its exit status."""
    program = shutil.which(name)
    if program is None:
        return 127
    return subprocess.run([program, *map(str, arguments)], check=False, capture_output=True).returncode


def peak_kib(bench: Bench) -> int:
    """About what a run takes at most: its tiles and its maps, in pages."""
    folders = (bench.tiled("peak"), bench.folder / "whole")
    sizes = [path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file()]
    shutil.rmtree(folders[0])
    return sum(-(-size // 4096) * 4 for size in sizes)


@pytest.mark.faults
def test_full_disks_of_forty_sizes(calm: Bench) -> None:
    """What looks ahead is blindfolded, so that writing meets the full disk itself, wherever it happens to be."""
    tally, most = Tally(calm), peak_kib(calm)
    for kib in np.linspace(8, most, SIZES).astype(int).tolist():
        with small_disk(calm.folder / "disk", kib) as disk:
            output = disk / "out"
            tally.judge(calm.try_to(output, room=True), output, f"{kib} KiB")
            assert _mount("-o", "remount,size=128m", disk) == 0
            tally.resume(output, f"{kib} KiB")
    tally.show(f"{SIZES} disks of 8 to {most} KiB")
    assert tally.ends["status 4"] > SIZES / 2


@pytest.mark.faults
def test_a_disk_that_is_too_small_is_refused_before_the_work(calm: Bench) -> None:
    for kib in (100, 700):
        with small_disk(calm.folder / "disk", kib) as disk:
            ended = calm.try_to(disk / "out")
            assert (ended.status, "needs about" in ended.said) == (DISK, True), ended
            assert "screen  " not in ended.said
            assert _mount("-o", "remount,size=128m", disk) == 0
            calm.screen(disk / "out")
            calm.require_same(disk / "out")


@pytest.mark.faults
def test_files_that_may_not_grow(calm: Bench) -> None:
    """ulimit -f: writing fails with EFBIG from some size on, in whatever file reaches it."""
    tally = Tally(calm)
    sizes = [200, 1000, 3000, 5000, 8000, 13_000, 20_000, 30_000, 40_000, 60_000, 90_000, 150_000, 1_000_000]
    for size in sizes:
        output = calm.folder / "limited"
        tally.judge(calm.try_to(output, limits={"RLIMIT_FSIZE": size}, room=True), output, f"files of {size} bytes")
        tally.resume(output, f"files of {size} bytes")
        shutil.rmtree(output)
    tally.show(f"{len(sizes)} limits of a file's size")


@pytest.mark.faults
def test_few_file_handles(calm: Bench) -> None:
    """A limit that is too low is told, and a run that meets it where nobody looked is no wrong result."""
    said = Counter[int]()
    for most in (8, 10, 12, 14, 16, 20, 24, 32, 48, 64, 128, 169):
        output = calm.folder / "few"
        ended = calm.try_to(output, limits={"RLIMIT_NOFILE": most})
        assert ended.status in (2, 4, 5), f"{most} handles: {ended}"
        assert "Traceback" not in ended.said, f"{most} handles: {ended}"
        said[ended.status] += 1
        calm.screen(output)
        calm.require_same(output, f"{most} handles")
        shutil.rmtree(output)
    print(f"with too few file handles: {dict(said)} by exit status, and the same bytes with enough")


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    if os.geteuid() or _mount("--bind", path, path) or _mount("-o", "remount,ro,bind", path):
        pytest.skip("a folder cannot be mounted read-only here: that takes root")
    try:
        yield
    finally:
        _system("umount", path)


@pytest.mark.faults
def test_read_only_folders(calm: Bench) -> None:
    """New, with all tiles, and finished but damaged: told, and nothing lost."""
    (calm.folder / "empty").mkdir()
    shutil.copytree(calm.folder / "whole", calm.folder / "damaged")
    (calm.folder / "damaged" / "risk.tif").write_bytes(b"")
    for output in (calm.folder / "empty", calm.tiled("read-only"), calm.folder / "damaged"):
        with read_only(output):
            ended = calm.try_to(output)
            assert (ended.status, "Traceback" in ended.said) == (DISK, False), ended
        calm.screen(output)
        calm.require_same(output)
        shutil.rmtree(output)


def written(bench: Bench, output: Path) -> list[str]:
    """Paths, below the output folder, of all calls of a run that write, in their order."""
    count = bench.folder / "calls.txt"
    count.unlink(missing_ok=True)
    bench.screen(output, shim=["", 0, errno.EIO, True], count=str(count))
    bench.require_same(output)
    shutil.rmtree(output)
    lines = count.read_text().splitlines()
    print(f"a run makes {len(lines)} calls that write")
    return [line.split(" ", 1)[1] for line in lines]


def numbers(calls: int, most: int) -> list[int]:
    return sorted({1 + round(at * (calls - 1) / max(1, most - 1)) for at in range(min(most, calls))}) if calls else []


def fail(tally: Tally, phase: str, match: str, number: int, error: int, once: bool) -> None:
    """A run whose n-th call on files with `match` in their path fails; then the same command without."""
    bench = tally.bench
    output = bench.begin(phase, "eio")
    how = errno.errorcode[error] if once else f"{errno.errorcode[error]} from there on"
    what = f"{how}, call {number} on {match or 'any file'!r} from the {phase} on"
    ended = bench.try_to(output, shim=[match, number, error, once], room=not once)
    tally.judge(ended, output, what)
    tally.resume(output, what)
    shutil.rmtree(output)


@pytest.mark.faults
@pytest.mark.parametrize("part", range(PARTS))
def test_every_call_that_writes_fails(few_failing: Bench, part: int) -> None:
    """EIO, once, at the n-th call of a run, for every n until it succeeds."""
    tally = Tally(few_failing)
    calls = len(written(few_failing, few_failing.folder / "counted"))
    for number in range(1 + part, calls + 1, PARTS):
        fail(tally, "tiles", "", number, errno.EIO, once=True)
    tally.show(f"EIO at {tally.tried} of {calls} calls")


@pytest.mark.faults
def test_some_calls_of_those_that_are_many_fail(failing: Bench) -> None:
    """EIO once, and a disk that is full from there on, at calls spread over a run."""
    tally, calls = Tally(failing), written(failing, failing.folder / "counted")
    for match in SOME:
        for number in numbers(sum(match in path for path in calls), SPREAD if match else 3 * SPREAD):
            fail(tally, "tiles", match, number, errno.EIO, once=True)
            fail(tally, "tiles", match, number, errno.ENOSPC, once=False)
    tally.show(f"EIO and ENOSPC at {tally.tried} calls spread over a run")
    assert len({re.sub(r"\d+", "#", path) for path in calls}) > 100, "the library of failing calls sees what is written"


@pytest.mark.faults
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_each_call_on_a_map_with_overviews_fails(failing: Bench, dtype: str) -> None:
    """GDAL does not always tell: what it wrote must then not get its name, or be what was to be written."""
    source, folder = failing.folder / f"{dtype}.tif", failing.folder / "cog"
    cells = np.random.default_rng(1).integers(1, 9, (1100, 1300)).astype(dtype)
    write_raster(source, cells, nodata=0, tiled=True, compress="zstd")

    def make(**faults: Any) -> Ended:
        folder.mkdir()
        failing.server.start([], folder, cog=str(source), **faults)
        return failing.server.ended()

    count = failing.folder / "calls.txt"
    count.unlink(missing_ok=True)
    assert make(shim=["", 0, errno.EIO, True], count=str(count)).status == 0
    expected, ends, silent = sha256(folder / "map.tif"), Counter[int](), list[str]()
    shutil.rmtree(folder)
    calls = len(count.read_text().splitlines())
    for once in (True, False):
        for number in range(1, calls + 1):
            ended = make(shim=["", number, errno.EIO if once else errno.ENOSPC, once])
            ends[ended.status] += 1
            final = folder / "map.tif"
            if (ended.status == 0 or final.exists()) and sha256(final) != expected:
                silent.append(f"call {number}, {once=}: {ended}")
            shutil.rmtree(folder)
    print(
        f"{2 * calls} of {2 * calls} calls on a {dtype} map with overviews failed: {dict(ends)} by exit status; silent:"
    )
    print(f"{len(silent)}")
    assert not silent, silent[:5]
    assert set(ends) <= {0, DISK}
