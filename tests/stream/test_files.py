"""Files under their final name are whole, and a full disk is said before the work starts."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpmjax.errors import DiskError
from mpmjax.stream.files import publish, require_disk, sha256, write_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_publish_moves_and_replaces(tmp_path: Path) -> None:
    final, temporary = tmp_path / "map.tif", tmp_path / ".map.tif.part"
    final.write_bytes(b"old")
    temporary.write_bytes(b"new")
    assert publish(temporary, final) == final
    assert final.read_bytes() == b"new"
    assert names(tmp_path) == ["map.tif"]


def test_publish_syncs_the_file_before_the_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final, temporary = tmp_path / "map.tif", tmp_path / ".map.tif.part"
    temporary.write_bytes(b"new")
    seen: list[tuple[str, bool]] = []

    def fsync(descriptor: int) -> None:
        what = os.fstat(descriptor)
        name = "folder" if what.st_ino == tmp_path.stat().st_ino else "file"
        seen.append((name, final.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    publish(temporary, final)
    assert seen == [("file", False), ("folder", True)]


def test_a_failed_sync_gives_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final, temporary = tmp_path / "map.tif", tmp_path / "unfinished"
    final.write_bytes(b"old")
    temporary.write_bytes(b"new")

    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(
        DiskError, match=r"map\.tif: cannot be written: No space left on device\. Free some disk"
    ) as seen:
        publish(temporary, final)
    assert seen.value.exit_status == 4
    assert final.read_bytes() == b"old"
    with pytest.raises(DiskError):
        write_file(final, "newer")
    assert final.read_bytes() == b"old"
    temporary.unlink()
    assert names(tmp_path) == ["map.tif"], "write_file takes its temporary file away"


def test_write_file_text_bytes_and_no_folder(tmp_path: Path) -> None:
    assert write_file(tmp_path / "a.json", "کاجان") == tmp_path / "a.json"
    assert (tmp_path / "a.json").read_bytes() == "کاجان".encode()
    write_file(tmp_path / "a.json", b"\x00\xff")
    assert (tmp_path / "a.json").read_bytes() == b"\x00\xff"
    with pytest.raises(DiskError, match=r"none/a\.json: cannot be written: No such file or directory"):
        write_file(tmp_path / "none" / "a.json", "x")
    assert names(tmp_path) == ["a.json"]


def test_a_process_that_may_write_no_more_leaves_the_old_file(tmp_path: Path) -> None:
    write_file(tmp_path / "a.bin", b"old")
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from mpmjax.errors import DiskError; from mpmjax.stream.files import write_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try: write_file(Path(sys.argv[1]), bytes(100_000))\n"
        "except DiskError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.bin")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be written: File too large" in done.stdout
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_sha256(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_disk_is_asked_for_before_the_work(tmp_path: Path) -> None:
    require_disk(tmp_path, 1, "screening")
    with pytest.raises(
        DiskError, match=r"screening needs about 1048576\.0 GiB of disk, \d+\.\d GiB are free\. Free some"
    ):
        require_disk(tmp_path, 2**50, "screening")
