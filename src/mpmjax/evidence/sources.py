"""The files that a project names, and their checksums: taken before they are read, and held against them afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mpmjax.errors import DataError
from mpmjax.project import Project
from mpmjax.stream.files import sha256
from mpmjax.stream.prefetch import ordered_map

SIDECARS = frozenset(
    (".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx", ".hdr", ".stx", ".ige", ".aux", ".tfw", ".tifw", ".wld")
)
"""Suffixes of files of the same stem that GDAL reads with a source, in upper or lower case."""

BESIDE = frozenset((".aux.xml", ".msk", ".ovr", "-wal"))
"""What GDAL and SQLite read from beside a source, after its whole name."""


@dataclass(frozen=True)
class SourceFiles:
    """Checksums of all files that a project reads.

    Attributes:
        sums: sha256 by name, as the project names it; companions (.dbf, .aux.xml ...) and a geodatabase's files too.
        of: for every path that the project names, its own part of `sums`, by names relative to its folder.
        stamps: size and time of change of every file when its checksum was taken.
    """

    sums: Mapping[str, str]
    of: Mapping[Path, Mapping[str, str]]
    stamps: Mapping[Path, tuple[int, int]]

    def require_unchanged(self) -> None:
        """What was read must be what the checksums are of.

        Raises:
            DataError: a file was changed or removed since.
        """
        for file, stamp in self.stamps.items():
            if not file.is_file() or _stamp(file) != stamp:
                raise DataError(f"{file}: was changed while it was read. Start again when nothing writes to it.")


def source_files(project: Project, named: Iterable[Path], workers: int = 1) -> SourceFiles:
    """Checksums of the files that `named` paths of a project mean, taken by threads.

    A missing file has none; who opens it says so.

    Raises:
        DataError: a file cannot be read.
    """
    members = {name: _with_companions(project.path(name)) for name in named}
    files = list(dict.fromkeys(file for own in members.values() for file in own))
    stamps = {file: _stamp(file) for file in files}
    known = dict(zip(files, ordered_map(_checksum, files, workers), strict=True))
    of = {
        name: {str(file.relative_to(project.path(name).parent)): known[file] for file in own}
        for name, own in members.items()
    }
    sums = {str(name.parent / relative): digest for name, own in of.items() for relative, digest in own.items()}
    return SourceFiles(dict(sorted(sums.items())), of, stamps)


def _checksum(file: Path) -> str:
    try:
        return sha256(file)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}.") from error


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _with_companions(path: Path) -> list[Path]:
    """A file and what is read with it; the files of a folder (a geodatabase). Nothing where there is none."""
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file())
    if not path.is_file():
        return []
    name, stem = path.name.lower(), path.stem.lower()

    def belongs(other: Path) -> bool:
        own = other.name.lower()
        return own.removeprefix(name) in BESIDE or (other.stem.lower() == stem and other.suffix.lower() in SIDECARS)

    return [path, *sorted(p for p in path.parent.iterdir() if p != path and belongs(p) and p.is_file())]
