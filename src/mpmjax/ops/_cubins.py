"""Compiled kernels kept on disk, so that a second process need not compile them again. No CuPy here.

Machine code that is loaded is code that is run. So the folder must be the user's own and closed to writing by others,
and an entry is named by everything it was made from, carries the SHA-256 of its name and content, and appears under
its name only when it is whole: temporary name -> fsync -> rename -> fsync of the folder. Processes that compile the
same kernel at once each do so, and the last rename wins: all of them wrote the same.

Nothing is ever removed from the folder. It may be emptied or deleted at any time: what is missing is compiled again.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

from mpmjax.errors import MpmError

_FORMAT = 1
"""Part of every key: a change of what an entry looks like leaves the old ones alone."""

_DIGEST = hashlib.sha256().digest_size


def sources(op: str) -> dict[str, str]:
    """File name -> text: kernels/<op>.cu, which comes first, and all headers, as they were installed.

    Raises:
        MpmError: the installation has no such kernel.
    """
    folder = resources.files("mpmjax.kernels")
    main = folder / f"{op}.cu"
    if not main.is_file():
        raise MpmError(
            f"The kernel {op}.cu is not in the installed package ({folder}): the installation is incomplete. "
            "Install mpmjax again from its wheel or source."
        )
    headers = sorted((item for item in folder.iterdir() if item.name.endswith(".cuh")), key=lambda item: item.name)
    return {item.name: item.read_text(encoding="utf-8") for item in (main, *headers)}


def key_of(texts: Mapping[str, str], parts: Mapping[str, object]) -> str:
    """SHA-256, in hexadecimal, of all that compiled code depends on: sources by name, and whatever `parts` name."""
    # JSON with sorted keys quotes every text, so that no two different collections are written alike.
    whole = json.dumps([_FORMAT, dict(texts), dict(parts)], sort_keys=True)
    return hashlib.sha256(whole.encode("utf-8")).hexdigest()


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/mpmjax/kernels, or ~/.cache/mpmjax/kernels where that is unset or not absolute."""
    stated = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored: they would scatter folders over working directories.
    base = Path(stated) if Path(stated).is_absolute() else Path.home() / ".cache"
    return base / "mpmjax" / "kernels"


def cubin(key: str, build: Callable[[], bytes], folder: Path | None = None) -> bytes:
    """The compiled code of a key, from disk if it is there and whole, else built and kept.

    A folder that cannot be used for want of space or rights costs a warning and the time of a compilation.

    Args:
        key: from `key_of`.
        build: compiles; called at most once.
        folder: `cache_folder()` by default.

    Raises:
        MpmError: the folder is not the user's own, or others may write to it.
    """
    folder = folder or cache_folder()
    code: bytes | None = None
    try:
        with _opened(folder) as handle:
            code = _read(handle, key)
            if code is None:
                code = build()
                _write(handle, key, code)
    except _CacheError as error:
        warnings.warn(
            f"The compiled kernel could not be kept in {folder} ({error}), so every process compiles it again, which "
            "takes some seconds. Free some space or make the folder writable, or set XDG_CACHE_HOME to another one.",
            RuntimeWarning,
            stacklevel=2,
        )
    return build() if code is None else code


class _CacheError(Exception):
    """The disk failed; told apart from an OSError of the caller's own `build`."""


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A file descriptor of the folder, made if absent and found safe.

    What is checked is what is used: later steps go by the descriptor, so the folder cannot be exchanged in between.
    """
    try:
        for path in (folder.parent.parent, folder.parent, folder):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _CacheError(error) from error
    try:
        _require_own(folder, os.fstat(handle))
        yield handle
    finally:
        os.close(handle)


def _require_own(folder: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise MpmError(
            f"The folder of compiled kernels {folder} belongs to user {status.st_uid}, not to you "
            f"({os.geteuid()}). Code that others can exchange is not loaded: set XDG_CACHE_HOME to a folder of yours."
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise MpmError(
            f"The folder of compiled kernels {folder} can be written by others (mode {stat.S_IMODE(status.st_mode):o})."
            " Code that others can exchange is not loaded: delete the folder, or empty it and chmod 700 it."
        )


def _read(folder: int, key: str) -> bytes | None:
    """The code of a key; None if there is none, or if it is damaged or not the user's own."""
    try:
        file = os.open(_name(key), os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    except OSError:
        # Absent, or something that cannot be read: the entry is written anew, and that step says what is wrong.
        return None
    try:
        with os.fdopen(file, "rb") as entry:
            status = os.fstat(entry.fileno())
            foreign = status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            data = b"" if foreign else entry.read()
    except OSError:
        return None
    code = data[_DIGEST:]
    return code if code and data[:_DIGEST] == _digest(key, code) else None


def _write(folder: int, key: str, code: bytes) -> None:
    temporary = f".{key}.{os.getpid()}.{secrets.token_hex(8)}"
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        try:
            with os.fdopen(file, "wb") as entry:
                entry.write(_digest(key, code) + code)
                entry.flush()
                os.fsync(entry.fileno())
            os.replace(temporary, _name(key), src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)
    except OSError as error:
        raise _CacheError(error) from error


def _digest(key: str, code: bytes) -> bytes:
    """Over the name too, so that an entry under another's name is not taken for it."""
    return hashlib.sha256(key.encode("ascii") + code).digest()


def _name(key: str) -> str:
    return f"{key}.cubin"
