"""A file under its final name is whole: temporary name in the same folder -> fsync -> rename -> fsync of the folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from mpmjax.errors import DiskError


def publish(temporary: Path, final: Path) -> Path:
    """Move a finished file under its final name so that it survives a crash. Both lie on one file system.

    Raises:
        DiskError: the file cannot be synced or renamed (disk full, no permission).
    """
    try:
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(final)
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise DiskError(
            f"{final}: cannot be written: {error.strerror}. Free some disk or choose another folder."
        ) from error
    return final


def write_file(path: Path, content: str | bytes) -> Path:
    """Write text (UTF-8) or bytes whole, or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        return publish(temporary, path)
    except OSError as error:
        raise DiskError(
            f"{path}: cannot be written: {error.strerror}. Free some disk or choose another folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_disk(folder: Path, needed: int, what: str) -> None:
    """Refuse to start work that the disk cannot hold.

    Raises:
        DiskError: less than `needed` bytes are free below `folder`.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskError(
            f"{folder}: {what} needs about {needed / 2**30:.1f} GiB of disk, {free / 2**30:.1f} GiB are free. "
            "Free some or choose another --output folder."
        )
