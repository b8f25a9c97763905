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
    (".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx", ".hdr", ".stx", ".clr", ".ige", ".rrd", ".aux", ".tab")
)
"""Suffixes of files of the same stem that GDAL reads with a source, in upper or lower case, besides world files."""

BESIDE = frozenset((".aux.xml", ".msk", ".ovr", "-wal"))
"""What GDAL and SQLite read from beside a source, after its whole name."""

Stamps = Mapping[Path, tuple[int, int]]
"""Size and time of change of files."""


def require_unchanged(stamps: Stamps) -> None:
    """What is read must be what the checksums are of, which were taken with these stamps.

    Raises:
        DataError: a file was changed or removed since.
    """
    for file, stamp in stamps.items():
        if _stamp(file) != stamp:
            raise DataError(f"{file}: was changed while it was read. Start again when nothing writes to it.")


@dataclass(frozen=True)
class SourceFiles:
    """Checksums of all files that a project reads.

    Attributes:
        sums: sha256 by name, as the project names it; companions (.dbf, .aux.xml ...) and a geodatabase's files too.
        of: for every path that the project names, its own part of `sums`, by names relative to its folder.
        stamps: of every file, by the path that the project names, taken with its checksum.
    """

    sums: Mapping[str, str]
    of: Mapping[Path, Mapping[str, str]]
    stamps: Mapping[Path, Stamps]

    @property
    def all_stamps(self) -> dict[Path, tuple[int, int]]:
        return {file: stamp for own in self.stamps.values() for file, stamp in own.items()}


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
    own_stamps = {name: {file: stamps[file] for file in own} for name, own in members.items()}
    return SourceFiles(dict(sorted(sums.items())), of, own_stamps)


def circular(project: Project) -> list[str]:
    """Notes where evidence is made from the known occurrences that are to judge it."""
    known = project.validate_
    if known is None:
        return []
    labels = project.path(known.occurrences)
    return [
        f"{who}: is made from {labels.name}, the known occurrences: they would be judged by themselves, "
        "and every figure of the validation is flattered. Leave one of them out."
        for who, path in project.sources
        if _same_file(labels, project.path(path))
    ]


def _same_file(one: Path, other: Path) -> bool:
    if not (one.exists() and other.exists()):
        return False
    if one.samefile(other):
        return True
    alike = one.is_file() and other.is_file() and one.stat().st_size == other.stat().st_size
    return alike and sha256(one) == sha256(other)


def _checksum(file: Path) -> str:
    try:
        return sha256(file)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}.") from error


def _stamp(file: Path) -> tuple[int, int]:
    """(-1, -1) for a file that is gone."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _world_files(suffix: str) -> tuple[str, ...]:
    """As GDAL looks for them: .tfw, .tifw and .wld for .tif."""
    return f".{suffix[1:2]}{suffix[-1:]}w", f"{suffix}w", ".wld"


def _with_companions(path: Path) -> list[Path]:
    """A file and what is read with it; the files of a geodatabase. Nothing where there is none."""
    if path.suffix.lower() == ".gdb" and path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() != ".lock")
    if not path.is_file():
        return []
    name, stem = path.name.lower(), path.stem.lower()
    suffixes = {*SIDECARS, *_world_files(path.suffix.lower())}

    def belongs(other: Path) -> bool:
        own = other.name.lower()
        return own.removeprefix(name) in BESIDE or (other.stem.lower() == stem and other.suffix.lower() in suffixes)

    return [path, *sorted(p for p in path.parent.iterdir() if p != path and belongs(p) and p.is_file())]
