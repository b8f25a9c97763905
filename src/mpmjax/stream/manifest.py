"""What a run has finished: one row a tile, one a file, in a small SQLite file that one thread writes.

A row is written when what it tells of is on the disk under its final name, so a row that is there can be relied on, and
one that was lost only means that a tile is made again. Every row carries a checksum of itself: SQLite finds a damaged
page, but not a bit that flipped inside a value.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mpmjax.errors import DiskError

NAME = "manifest.sqlite"
FORMAT = 1
"""Of the tables and of the tile files. A manifest of another format is one that is not there."""

TABLE = """
create table rows (kind text, name text, value text not null, checksum text not null, primary key (kind, name))
without rowid
"""
FACT, TILE, FILE = "fact", "tile", "file"
"""Kinds of rows."""


@dataclass(frozen=True)
class TileRow:
    """A finished tile.

    Attributes:
        index: Tile.index; window: its first row and column, height and width.
        sizes: bytes of the parts of its file, in their order.
        sha256: of its file.
        cells: number of cells that were scored.
        crcs: CRC-32 of the pixels of each product, row by row in the product's dtype.
        facts: plain values that the pass counts and cannot see in the maps.
    """

    index: int
    window: tuple[int, int, int, int]
    sizes: tuple[int, ...]
    sha256: str
    cells: int
    crcs: tuple[int, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Manifest:
    """The manifest of one output folder. Opened when first used, by the thread that then owns it.

    Args:
        folder: where it lies; exists.

    Attributes:
        replaced: it was damaged when it was opened, and what it knew is lost.

    Raises (all methods):
        DiskError: it cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self.replaced = folder / NAME, False
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def fact(self, name: str) -> Any:
        """A plain value that was kept under this name, None where there is none or it is damaged."""
        return dict(self._rows(FACT)).get(name)

    def keep(self, name: str, value: Any) -> None:
        """Keep a plain value (for JSON) under a name."""
        self._put(FACT, name, value)

    def tiles(self) -> dict[int, TileRow]:
        """All finished tiles by index, in its order; rows that are damaged are left out."""
        found = {}
        for name, value in self._rows(TILE):
            lists = {name: tuple(value[name]) for name in ("window", "sizes", "crcs")}
            found[int(name)] = TileRow(**{**value, **lists})
        return dict(sorted(found.items()))

    def add_tile(self, row: TileRow) -> None:
        """A tile is finished: its file is on the disk."""
        self._put(TILE, str(row.index), asdict(row))

    def forget_tiles(self) -> None:
        """No tile is finished."""
        self._change("delete from rows where kind = ?", (TILE,))

    def files(self) -> dict[str, str]:
        """sha256 of finished files by name."""
        return dict(self._rows(FILE))

    def add_file(self, name: str, sha256: str) -> None:
        """A file is finished: it stands under its name."""
        self._put(FILE, name, sha256)

    def clear(self) -> None:
        """Nothing is finished."""
        self._change("delete from rows", ())

    def _rows(self, kind: str) -> Iterator[tuple[str, Any]]:
        with self._ready() as connection:
            found = connection.execute("select name, value, checksum from rows where kind = ?", (kind,)).fetchall()
        for name, value, checksum in found:
            if checksum == _checksum(kind, name, value):
                yield name, json.loads(value)

    def _put(self, kind: str, name: str, value: Any) -> None:
        text = json.dumps(value, allow_nan=False)
        self._change("insert or replace into rows values (?, ?, ?, ?)", (kind, name, text, _checksum(kind, name, text)))

    def _change(self, statement: str, values: tuple[str, ...]) -> None:
        with self._ready() as connection, connection:
            connection.execute(statement, values)

    @contextmanager
    def _ready(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._connection is None:
                self._connection = self._open()
            yield self._connection
        except sqlite3.Error as error:
            raise DiskError(
                f"{self.path}: cannot be written or read ({error}). Free some disk, or choose another folder; the same "
                "command then goes on where this one stopped."
            ) from error

    def _open(self) -> sqlite3.Connection:
        """A manifest that cannot be read is made anew: what it knew is then found out, or done, again."""
        self.replaced = self.path.exists() and self.path.stat().st_size > 0
        connection = sqlite3.connect(self.path, isolation_level="IMMEDIATE", check_same_thread=False)
        try:
            _steady(connection)
            if _is_ours(connection) and connection.execute("pragma quick_check").fetchone()[0] == "ok":
                self.replaced = False
                return connection
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                connection.close()
                raise
        connection.close()
        for path in (self.path, self.path.with_name(f"{NAME}-journal")):
            path.unlink(missing_ok=True)
        connection = sqlite3.connect(self.path, isolation_level="IMMEDIATE", check_same_thread=False)
        _steady(connection)
        connection.executescript(f"begin; {TABLE}; pragma user_version = {FORMAT}; commit;")
        return connection


def _steady(connection: sqlite3.Connection) -> None:
    # Of a bit that flipped inside a text the row's checksum tells; it must not keep the other rows from being read.
    connection.text_factory = lambda text: text.decode(errors="replace")
    # A tile's row may be lost in a power cut, but may not damage others. Truncating the journal is quicker than
    # deleting it, and unlike a write-ahead log works on network drives.
    connection.text_factory = _decoded
    connection.execute("pragma journal_mode = truncate")
    connection.execute("pragma synchronous = normal")


def _decoded(text: bytes) -> str:
    """Text of which a byte was lost is other text, which its checksum tells, and no error."""
    return text.decode(errors="replace")


def _is_ours(connection: sqlite3.Connection) -> bool:
    connection.execute("select kind, name, value, checksum from rows limit 0")
    return connection.execute("pragma user_version").fetchone()[0] == FORMAT


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Not a full disk or a missing permission, which another manifest would meet again. ERROR is a table not there."""
    found = getattr(error, "sqlite_errorname", "")
    known = found in ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")
    return known or not isinstance(error, sqlite3.OperationalError)


def _checksum(kind: str, name: str, value: str) -> str:
    return hashlib.sha256(f"{kind}\0{name}\0{value}".encode()).hexdigest()
