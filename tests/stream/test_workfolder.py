"""Output folders in which something works: one process at a time, claimed by what made them, and clean when left."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mpmjax.errors import DiskError, FolderError
from mpmjax.stream.files import sha256
from mpmjax.stream.manifest import NAME, TileRow
from mpmjax.stream.tilestore import FOLDER
from mpmjax.stream.workfolder import KEPT, LOCK, LOG, SCRATCH, whole, work_folder

HOLD = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from mpmjax.stream.workfolder import work_folder
    with work_folder(Path(sys.argv[1])) as work:
        work.manifest.add_file("a.tif", "x")
        print("held", flush=True)
        sys.stdin.read()
    """
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def finish_something(output: Path) -> None:
    with work_folder(output) as work:
        (output / "a.tif").write_bytes(b"x")
        work.add_files(output / "a.tif")


class Holder:
    """Another process that works in a folder."""

    def __init__(self, output: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(output)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def end(self) -> None:
        self.process.communicate("")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


# -- made, swept, removed


def test_made_with_its_parents_and_nothing_unfinished_left(tmp_path: Path) -> None:
    output = tmp_path / "a" / "b"
    with work_folder(output) as work:
        assert (work.output, work.scratch) == (output, output / SCRATCH)
        (work.scratch / "deep" / "er").mkdir(parents=True)
        (work.scratch / "deep" / "er" / "x.tif").write_bytes(b"x")
        (work.scratch / "y.tif").write_bytes(b"x")
        (output / "map.tif").write_bytes(b"x")
    assert names(output) == ["map.tif"], "nothing was noted as finished: no trace of the work"


def test_what_was_finished_keeps_its_manifest_and_log(tmp_path: Path) -> None:
    with work_folder(tmp_path) as work:
        (tmp_path / "a.tif").write_bytes(b"x")
        work.add_files(tmp_path / "a.tif")
        (work.scratch / LOG).write_text("{}\n")
        (work.scratch / "half.tif").write_bytes(b"x")
        (work.scratch / ".x.part").write_bytes(b"x")
    assert names(tmp_path / SCRATCH) == sorted([LOCK, LOG, NAME, f"{NAME}-journal"])
    with work_folder(tmp_path) as work:
        assert work.finished("a.tif")


def test_tiles_outlive_the_work(tmp_path: Path) -> None:
    with work_folder(tmp_path) as work:
        (work.scratch / FOLDER).mkdir()
        (work.scratch / FOLDER / "0000000.tile").write_bytes(b"x")
        work.manifest.add_tile(TileRow(0, (0, 0, 1, 1), (1,), "", 1, (1,)))
    with work_folder(tmp_path) as work:
        assert (work.scratch / FOLDER / "0000000.tile").read_bytes() == b"x"
        assert list(work.manifest.tiles()) == [0]


def test_facts_alone_are_nothing_finished(tmp_path: Path) -> None:
    with work_folder(tmp_path) as work:
        work.claim({"project": {"a": 1}}, False)
        (work.scratch / FOLDER).mkdir()
        (work.scratch / LOG).write_text("{}\n")
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_after_an_exception(tmp_path: Path, error: type[BaseException]) -> None:
    new, old, empty = tmp_path / "new", tmp_path / "old", tmp_path / "empty"
    old.mkdir()
    (old / "kept.tif").write_bytes(b"x")
    empty.mkdir()
    for output in (new, old, empty):
        with pytest.raises(error), work_folder(output) as work:  # noqa: PT012  (the body is what fails)
            (work.scratch / "x.tif").write_bytes(b"x")
            raise error
    assert names(tmp_path) == ["empty", "old"], "what was made for nothing goes, what was there not"
    assert names(old) == ["kept.tif"]
    with work_folder(old):
        pass  # the lock was let go


def test_an_exception_keeps_what_was_finished_before_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x"), work_folder(tmp_path / "out") as work:  # noqa: PT012
        (work.output / "a.tif").write_bytes(b"x")
        work.add_files(work.output / "a.tif")
        raise ValueError("x")
    with work_folder(tmp_path / "out") as work:
        assert work.finished("a.tif")


def test_what_a_killed_run_left_is_swept_at_the_start(tmp_path: Path) -> None:
    scratch = tmp_path / SCRATCH
    (scratch / "layers").mkdir(parents=True)
    (scratch / "layers" / "old.tif").write_bytes(b"x")
    (scratch / "mask.tif").write_bytes(b"x")
    (scratch / "link").symlink_to(tmp_path / "map.tif")
    (scratch / "link-to-folder").symlink_to(tmp_path)
    (tmp_path / "map.tif").write_bytes(b"x")
    for name in KEPT:
        if name not in (FOLDER, LOCK, NAME, f"{NAME}-journal"):
            (scratch / name).write_bytes(b"")
    with work_folder(tmp_path):
        assert set(names(scratch)) <= set(KEPT)
    assert (tmp_path / "map.tif").read_bytes() == b"x"


@pytest.mark.parametrize("where", ["file", "file/deeper", "filed", "dangling-file"])
def test_a_folder_that_cannot_be_one(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "filed").mkdir()
    (tmp_path / "filed" / SCRATCH).write_bytes(b"x")
    (tmp_path / "dangling-file").symlink_to(tmp_path / "nowhere")
    said = pytest.raises(DiskError, match=r"file.*: cannot be used as output folder: .*")
    with said as seen, work_folder(tmp_path / where):
        pytest.fail("never gets here")
    assert seen.value.exit_status == 4
    assert (tmp_path / "file").read_bytes() == b"x"


# -- one at a time


def test_another_process_is_told_of(tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    try:
        said = pytest.raises(FolderError, match=r"process (\d+) on \S+ is at work in this folder\. Wait")
        with said as seen, work_folder(tmp_path):
            pytest.fail("never gets here")
        assert f"process {holder.process.pid} on" in str(seen.value)
        assert seen.value.exit_status == 2
        assert {LOCK, NAME} <= set(names(tmp_path / SCRATCH)), "what the other needs is not swept"
    finally:
        holder.end()
    with work_folder(tmp_path) as work:
        assert work.manifest.files() == {"a.tif": "x"}


def test_the_same_process_twice(tmp_path: Path) -> None:
    with work_folder(tmp_path), pytest.raises(FolderError, match=f"process {os.getpid()} on"), work_folder(tmp_path):
        pytest.fail("never gets here")


def test_a_process_that_dies_lets_go(tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    holder.kill()
    assert holder.process.returncode == -signal.SIGKILL
    with work_folder(tmp_path) as work:
        assert work.manifest.files() == {"a.tif": "x"}
        lock = (work.scratch / LOCK).read_text()
        assert lock.startswith(f"process {os.getpid()} on"), "the next one names itself"


def test_children_do_not_hold_the_lock(tmp_path: Path) -> None:
    """One that outlives the run would keep the folder locked."""
    with work_folder(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        with work_folder(tmp_path):
            pass
    finally:
        child.communicate(b"")


def test_a_shorter_name_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    finish_something(tmp_path)
    (tmp_path / SCRATCH / LOCK).write_text("process 99999999 on a-machine-with-a-very-long-name.example.org" * 3)
    with work_folder(tmp_path):
        assert "example.org" not in (tmp_path / SCRATCH / LOCK).read_text()


def test_a_lock_file_that_is_removed_while_it_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking it: the lock of a file that nobody else will find locks nothing."""
    real, seen = fcntl.flock, []

    def flock(file: int, how: int) -> None:
        real(file, how)
        if not seen:
            (tmp_path / SCRATCH / LOCK).unlink()
        seen.append(file)

    monkeypatch.setattr(fcntl, "flock", flock)
    with work_folder(tmp_path):
        assert len(seen) == 2
        monkeypatch.undo()
        with pytest.raises(FolderError), work_folder(tmp_path):
            pytest.fail("never gets here")


@pytest.mark.parametrize("when", ["before it is opened", "before it is locked"])
def test_a_folder_that_its_last_holder_removes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    real_open, real_flock, seen = os.open, fcntl.flock, []

    def remove() -> None:
        if not seen:
            seen.append(1)
            (tmp_path / SCRATCH / LOCK).unlink(missing_ok=True)
            (tmp_path / SCRATCH).rmdir()

    def opened(path: Any, *rest: Any) -> int:
        if when == "before it is opened" and str(path).endswith(LOCK):
            remove()
        return real_open(path, *rest)

    def flock(file: int, how: int) -> None:
        if when == "before it is locked":
            remove()
        real_flock(file, how)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(fcntl, "flock", flock)
    with work_folder(tmp_path) as work:
        monkeypatch.undo()
        assert seen
        assert (work.scratch / LOCK).exists()
        with pytest.raises(FolderError), work_folder(tmp_path):
            pytest.fail("never gets here")


def test_many_who_come_and_go(tmp_path: Path) -> None:
    """Never two at work; whoever is refused is told so, and nothing else goes wrong. Leaving removes it."""
    at_work, lock, most, entered = [], threading.Lock(), [0], [0]

    def come_and_go(number: int) -> None:
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            try:
                with work_folder(tmp_path / "out"):
                    with lock:
                        at_work.append(number)
                        most[0], entered[0] = max(most[0], len(at_work)), entered[0] + 1
                    with lock:
                        at_work.remove(number)
            except FolderError:
                continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert most == [1]
    assert entered[0] > 20
    assert not (tmp_path / "out").exists() or not names(tmp_path / "out"), "who found it does not remove it"


# -- what is finished


def test_finished_is_there_with_its_checksum(tmp_path: Path) -> None:
    finish_something(tmp_path)
    with work_folder(tmp_path) as work:
        assert work.manifest.files() == {"a.tif": sha256(tmp_path / "a.tif")}
        assert work.finished("a.tif")
        assert not work.finished("b.tif")
        (tmp_path / "b.tif").write_bytes(b"x")
        assert not work.finished("b.tif"), "of the same content, but never noted"
        (tmp_path / "a.tif").write_bytes(b"y")
        assert not work.finished("a.tif")
        (tmp_path / "a.tif").unlink()
        assert not work.finished("a.tif")
        (tmp_path / "a.tif").mkdir()
        assert not work.finished("a.tif")


def test_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    digest = sha256(tmp_path / "a")
    assert whole(tmp_path / "a", digest)
    assert not whole(tmp_path / "a", digest.upper())
    assert not whole(tmp_path / "b", digest)
    assert not whole(tmp_path, digest)
