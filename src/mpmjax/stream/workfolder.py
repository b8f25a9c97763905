"""An output folder while something works in it: locked, with a folder for what is not finished, and a manifest.

`.mpmjax` in the output folder holds the lock, the manifest, finished tiles, and scratch files. A run that ends early
leaves manifest and tiles, from which the next one goes on; one that finishes leaves the manifest, by which `verify` and
repairs go, and the log.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpmjax.errors import DiskError, FolderError
from mpmjax.stream.files import sha256
from mpmjax.stream.manifest import NAME, Manifest
from mpmjax.stream.tilestore import FOLDER

SCRATCH = ".mpmjax"
"""Folder inside an output folder for everything that is not finished, and for what knows what is."""

LOCK, LOG = "lock", "log.jsonl"
KEPT = (LOCK, LOG, NAME, f"{NAME}-journal", FOLDER)
"""What in it outlives the work."""

FINGERPRINT = "fingerprint"
ATTEMPTS = 100
"""To lock a folder that others, when they leave it, remove."""

TROUBLES = tuple(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EFBIG", "EMFILE", "ENFILE", "ESTALE")
    if hasattr(errno, name)
)
"""What a disk, or the system under it, may answer to any call at any time."""


@dataclass(frozen=True)
class WorkFolder:
    """An output folder that this process holds.

    Attributes:
        output: the folder; scratch: for what is not finished, on the same disk.
    """

    output: Path
    scratch: Path
    manifest: Manifest

    @property
    def begun(self) -> str:
        """Checksum of the fingerprint of what was begun here."""
        return hashlib.sha256(json.dumps(self.manifest.fact(FINGERPRINT), sort_keys=True).encode()).hexdigest()

    def finished(self, name: str) -> bool:
        """Whether a file stands in the output folder as it was finished: with its checksum."""
        known = self.manifest.files().get(name)
        return known is not None and whole(self.output / name, known)

    def add_files(self, *paths: Path) -> None:
        """Note that files of the output folder are finished."""
        for path in paths:
            self.manifest.add_file(path.name, sha256(path))

    def start_over(self) -> None:
        """Nothing is finished any more; files under final names stay until they are replaced."""
        self.manifest.clear()
        shutil.rmtree(self.scratch / FOLDER, ignore_errors=True)

    def claim(self, fingerprint: Mapping[str, Mapping[str, Any]], fresh: bool) -> bool:
        """Go on with what was begun here from the same things, or begin.

        Args:
            fingerprint: everything that the outputs follow from, plain values by section and name.
            fresh: begin, whatever was begun here.

        Returns:
            Whether something of the same fingerprint had been begun.

        Raises:
            FolderError: it was begun from other things; says which.
        """
        known = None if fresh else self.manifest.fact(FINGERPRINT)
        if known is None:
            self.start_over()
            self.manifest.keep(FINGERPRINT, fingerprint)
            return False
        changed = differences(known, fingerprint)
        if changed:
            more = f" and {len(changed) - 8} more" if len(changed) > 8 else ""
            raise FolderError(
                f"{self.output}: what stands here was made from something else: {'; '.join(changed[:8])}{more}. "
                "Start over with --fresh, which replaces it, or choose another --output."
            )
        return True


def whole(path: Path, digest: str) -> bool:
    """Whether a file has this sha256; a file that is not there or cannot be read has none."""
    try:
        return sha256(path) == digest
    except OSError:
        return False


def differences(known: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What differs between two fingerprints, in words: "model.seed was 7 and is 8", "cu.tif changed"."""
    found = []
    for section in sorted({*known, *now}):
        old, new = known.get(section, {}), now.get(section, {})
        for name in sorted({*old, *new}):
            if name not in new:
                found.append(f"{section}: {name} is gone")
            elif name not in old:
                found.append(f"{section}: {name} is new")
            elif old[name] != new[name]:
                found.append(f"{section}: {name} {_change(old[name], new[name])}")
    return found


def _change(old: Any, new: Any) -> str:
    shown = [str(value) for value in (old, new)]
    return "changed" if max(map(len, shown)) > 40 else f"was {shown[0]} and is {shown[1]}"


@contextmanager
def work_folder(output: Path) -> Iterator[WorkFolder]:
    """Hold an output folder; made if it is not there, and removed again if nothing came to stand in it.

    Raises:
        DiskError: it cannot be made or written to.
        FolderError: another process works in it.
    """
    scratch = output / SCRATCH
    try:
        made = not output.exists()
        lock = _lock(scratch / LOCK, output)
    except OSError as error:
        raise DiskError(f"{output}: cannot be used as output folder: {error.strerror}.") from error
    manifest = Manifest(scratch)
    try:
        _sweep(scratch)
        yield WorkFolder(output, scratch, manifest)
        _leave(scratch, manifest)
    except BaseException as error:
        with suppress(OSError, DiskError):  # the failure is what must be seen
            _leave(scratch, manifest)
        if isinstance(error, OSError) and error.errno in TROUBLES:
            where = error.filename or output
            raise DiskError(
                f"{where}: {error.strerror}. Free some disk, or choose another folder; the same command then goes on "
                "where this one stopped."
            ) from error
        raise
    finally:
        manifest.close()
        os.close(lock)
        if made:
            with suppress(OSError):  # something stands in it
                output.rmdir()


def _leave(scratch: Path, manifest: Manifest) -> None:
    """Nothing unfinished stays, and nothing at all where nothing was finished."""
    _sweep(scratch)
    if not (scratch / NAME).exists() or not (manifest.tiles() or manifest.files()):
        manifest.close()
        _remove(path for path in scratch.iterdir() if path.name != LOCK)
        (scratch / LOCK).unlink(missing_ok=True)  # last: from then on another process may hold the folder
        with suppress(OSError):
            scratch.rmdir()


def _sweep(scratch: Path) -> None:
    """Remove scratch files of this or an interrupted run."""
    _remove(path for path in scratch.iterdir() if path.name not in KEPT)


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _lock(path: Path, output: Path) -> int:
    """An open, locked file; the system lets go of it with the process, however that ends."""
    for attempt in range(ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except (FileExistsError, FileNotFoundError):
            if attempt == ATTEMPTS - 1:
                raise
            continue  # its last holder removed the folder just now
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(file, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(file)
            raise FolderError(
                f"{output}: {holder} is at work in this folder. Wait for it, or choose another --output."
            ) from error
        if _is_at(file, path):
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            return file
        os.close(file)  # its last holder removed it just now
    raise FolderError(f"{output}: others come and go in this folder all the time. Wait, or choose another --output.")


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file still is the one under this name."""
    try:
        return os.fstat(file).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
