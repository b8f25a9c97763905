"""Files that GDAL writes through Python, so that no write that fails goes unseen: it does not tell of all of its own.

Of the calls by which GDAL 3.10 writes a COG by itself 9 in 18 can fail without an error: the pixels are right and the
georeference, the statistics or an overview are not. Bytes and time are the same either way.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rasterio._vsiopener import _opener_registration  # what rasterio.open has as `opener`, and its copy lacks

KEPT = 64 << 20
"""Bytes that are remembered of what could not be written."""


class Outlet:
    """Opens files for GDAL.

    What is raised to GDAL is lost, and where it cannot read back what it believes to have written it may crash: so from
    a failure on it is told that all is well, and finds in memory what is not on the disk.

    Attributes:
        failure: the first failure of opening for writing, of writing or of closing.
    """

    def __init__(self) -> None:
        self.failure: OSError | None = None
        self.kept: dict[str, list[tuple[int, bytes]]] = {}
        self._size = 0

    def __call__(self, path: str, mode: str = "rb", **_: Any) -> io.FileIO:
        try:
            return _File(path, mode.replace("t", ""), self)
        except OSError as error:
            if set(mode) & set("wxa+"):
                self.note(error)
            raise

    def note(self, error: OSError) -> None:
        self.failure = self.failure or error

    def keep(self, path: str, start: int, content: bytes) -> None:
        """What belongs at `start` of a file and is not there, as far as it is worth its memory."""
        self._size += len(content)
        if self._size <= KEPT:
            self.kept.setdefault(path, []).append((start, content))


class _File(io.FileIO):
    def __init__(self, path: str, mode: str, outlet: Outlet) -> None:
        super().__init__(path, mode)
        self._path, self._outlet = path, outlet

    def write(self, content: Any, /) -> int:
        left, start = memoryview(content).cast("B"), self.tell()
        size, failed = len(left), self._outlet.failure is not None
        try:
            while left and not failed:
                left = left[super().write(left) :]
        except OSError as error:
            self._outlet.note(error)
        if left:
            self._outlet.keep(self._path, start + size - len(left), bytes(left))
            self.seek(start + size)
        return size

    def read(self, size: int | None = -1, /) -> bytes:
        kept, start = self._outlet.kept.get(self._path), self.tell()
        found = super().read(-1 if size is None else size)
        if not kept or size is None or size < 0:
            return found
        length = max(0, min(size, self._end() - start))
        whole = bytearray(found.ljust(length, b"\0"))
        for place, content in kept:
            first, last = max(place, start), min(place + len(content), start + length)
            if first < last:
                whole[first - start : last - start] = content[first - place : last - place]
        self.seek(start + length)
        return bytes(whole)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_END and self._outlet.kept.get(self._path):
            return super().seek(self._end() + offset)
        return super().seek(offset, whence)

    def truncate(self, size: int | None = None, /) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self._outlet.note(error)
            return self.tell() if size is None else size

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            self._outlet.note(error)

    def _end(self) -> int:
        here = self.tell()
        end = super().seek(0, io.SEEK_END)
        super().seek(here)
        return max(end, *(place + len(content) for place, content in self._outlet.kept[self._path]))


@contextmanager
def watched(path: Path) -> Iterator[str]:
    """A name of this file for GDAL, under which it writes through Python; what it leaves beside it goes.

    Raises:
        OSError: a write failed, whatever GDAL said of it.
    """
    outlet = Outlet()
    try:
        with _opener_registration(str(path), outlet) as name:
            yield name
    except Exception:
        if outlet.failure is None:
            raise
    finally:
        path.with_name(f"{path.name}.ovr.tmp").unlink(missing_ok=True)
    if outlet.failure is not None:
        raise outlet.failure
