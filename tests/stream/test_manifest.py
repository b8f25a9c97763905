"""The manifest: what is in it can be relied on, and what cannot be relied on is not in it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmjax.errors import DiskError
from mpmjax.stream.manifest import FORMAT, NAME, Manifest, TileRow

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
whole = st.integers(0, 2**40)
rows = st.builds(
    TileRow, st.integers(0, 10**7), st.tuples(whole, whole, whole, whole), st.lists(whole, max_size=3).map(tuple),
    st.text("0123456789abcdef", min_size=64, max_size=64), whole, st.lists(whole, max_size=12).map(tuple),
    st.dictionaries(st.text(), plain, max_size=3),
)  # fmt: skip


def row_of(index: int, **changed: Any) -> TileRow:
    stated = {"window": (0, index * 8, 8, 8), "sizes": (100, 7), "sha256": "a" * 64, "cells": 64, "crcs": (1, 2)}
    return TileRow(index, **{**stated, "facts": {"outside": [1, 2]}, **changed})


def filled(folder: Path) -> Manifest:
    manifest = Manifest(folder)
    manifest.keep("cut", [1, 2])
    for index in (2, 0, 11):
        manifest.add_tile(row_of(index))
    manifest.add_file("a.tif", "b" * 64)
    return manifest


def assert_empty(folder: Path) -> None:
    manifest = Manifest(folder)
    assert (manifest.tiles(), manifest.files(), manifest.fact("cut")) == ({}, {}, None)
    manifest.add_tile(row_of(5))
    manifest.close()
    assert list(Manifest(folder).tiles()) == [5], "and it is one that works"


def direct(folder: Path, statement: str, *values: Any) -> list[Any]:
    with sqlite3.connect(folder / NAME) as connection:
        found = connection.execute(statement, values).fetchall()
    connection.close()
    return found


# -- what is kept


def test_what_was_added_is_there_after_reopening(tmp_path: Path) -> None:
    filled(tmp_path).close()
    again = Manifest(tmp_path)
    assert again.fact("cut") == [1, 2]
    assert again.tiles() == {index: row_of(index) for index in (0, 2, 11)}
    assert list(again.tiles()) == [0, 2, 11], "in order of index, which is not that of text"
    assert again.files() == {"a.tif": "b" * 64}
    assert again.fact("nothing") is None
    again.close()


def test_what_was_added_is_there_though_nobody_closed(tmp_path: Path) -> None:
    """Each row is on its own: a process that is killed right after has lost none."""
    code = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from mpmjax.stream.manifest import Manifest, TileRow
        manifest = Manifest(Path(sys.argv[1]))
        for index in range(5):
            manifest.add_tile(TileRow(index, (0, 0, 1, 1), (1,), "", 1, (1,)))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(Manifest(tmp_path).tiles()) == [0, 1, 2, 3, 4]


@given(found=st.lists(rows, max_size=5, unique_by=lambda row: row.index), name=st.text(), value=plain)
@settings(deadline=None, max_examples=20)
def test_rows_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, found: list[TileRow], name: str, value: Any
) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    folder = tmp_path_factory.mktemp("manifest")
    manifest = Manifest(folder)
    for row in found:
        manifest.add_tile(row)
    manifest.keep(name, value)
    manifest.close()
    again = Manifest(folder)
    assert list(again.tiles().values()) == sorted(found, key=lambda row: row.index)
    assert again.fact(name) == value
    again.close()


def test_the_last_one_under_a_name_counts(tmp_path: Path) -> None:
    manifest = filled(tmp_path)
    manifest.add_tile(row_of(2, cells=5))
    manifest.keep("cut", None)
    manifest.add_file("a.tif", "c" * 64)
    assert manifest.tiles()[2].cells == 5
    assert len(manifest.tiles()) == 3
    assert manifest.fact("cut") is None
    assert manifest.files() == {"a.tif": "c" * 64}


def test_kinds_of_rows_do_not_mix(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.keep("7", "fact")
    manifest.add_file("7", "file")
    manifest.add_tile(row_of(7))
    assert (manifest.fact("7"), manifest.files(), list(manifest.tiles())) == ("fact", {"7": "file"}, [7])
    manifest.forget_tiles()
    assert (manifest.fact("7"), manifest.files(), manifest.tiles()) == ("fact", {"7": "file"}, {})
    manifest.clear()
    assert (manifest.fact("7"), manifest.files()) == (None, {})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x"])
def test_what_is_no_plain_value_is_refused(tmp_path: Path, value: Any) -> None:
    manifest = filled(tmp_path)
    with pytest.raises((ValueError, TypeError)):
        manifest.keep("cut", value)
    assert manifest.fact("cut") == [1, 2]


def test_two_manifests_see_one_another(tmp_path: Path) -> None:
    first, second = Manifest(tmp_path), Manifest(tmp_path)
    first.keep("a", 1)
    second.keep("b", 2)
    assert (first.fact("b"), second.fact("a")) == (2, 1)


def test_no_file_before_it_is_used(tmp_path: Path) -> None:
    Manifest(tmp_path).close()
    assert not list(tmp_path.iterdir())


# -- what is damaged


@pytest.mark.parametrize("column", ["kind", "name", "value", "checksum"])
def test_a_row_that_was_changed_is_left_out(tmp_path: Path, column: str) -> None:
    """By one letter, such that it would still be read: the checksum is of all that a row says."""
    filled(tmp_path).close()
    change = {
        "kind": "update rows set kind = 'fact' where kind = 'tile' and name = '2'",
        "name": "update rows set name = '3' where kind = 'tile' and name = '2'",
        "value": "update rows set value = replace(value, '64', '65') where kind = 'tile' and name = '2'",
        "checksum": "update rows set checksum = upper(checksum) || 'x' where kind = 'tile' and name = '2'",
    }
    direct(tmp_path, change[column])
    again = Manifest(tmp_path)
    assert list(again.tiles()) == [0, 11]
    assert again.fact("2") is None
    assert again.files() == {"a.tif": "b" * 64}
    again.close()


def test_the_checksum_of_one_row_is_not_that_of_another(tmp_path: Path) -> None:
    """A row that came to stand under another's name with its checksum is a damaged one."""
    filled(tmp_path).close()
    ((value, checksum),) = direct(tmp_path, "select value, checksum from rows where kind = 'tile' and name = '0'")
    direct(tmp_path, "update rows set value = ?, checksum = ? where kind = 'tile' and name = '2'", value, checksum)
    assert list(Manifest(tmp_path).tiles()) == [0, 11]


def test_a_damaged_fact_is_none(tmp_path: Path) -> None:
    filled(tmp_path).close()
    direct(tmp_path, "update rows set value = '[1, 3]' where kind = 'fact'")
    assert Manifest(tmp_path).fact("cut") is None


@pytest.mark.parametrize("harm", ["empty", "text", "zeros", "half", "header", "another format", "no table", "column"])
def test_a_file_that_is_no_manifest_of_this_format_is_made_anew(tmp_path: Path, harm: str) -> None:
    filled(tmp_path).close()
    path = tmp_path / NAME
    content = path.read_bytes()
    assert direct(tmp_path, "pragma user_version") == [(FORMAT,)]
    if harm == "another format":
        direct(tmp_path, f"pragma user_version = {FORMAT + 1}")
    elif harm == "no table":
        direct(tmp_path, "drop table rows")
    elif harm == "column":
        direct(tmp_path, "alter table rows rename column value to valus")
    else:
        changed = {
            "empty": b"", "text": b"not a database " * 400, "zeros": bytes(len(content)),
            "half": content[: len(content) // 2], "header": b"SQLite format 4" + content[15:],
        }  # fmt: skip
        path.write_bytes(changed[harm])
    assert_empty(tmp_path)


def test_a_damaged_page_gives_a_fresh_manifest_or_none_of_its_rows(tmp_path: Path) -> None:
    """Whatever 64 bytes are lost: no row is changed, and no other error comes."""
    manifest = Manifest(tmp_path)
    for index in range(150):
        manifest.add_tile(row_of(index))
    manifest.close()
    content = (tmp_path / NAME).read_bytes()
    for number, start in enumerate(range(0, len(content), len(content) // 40)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / NAME).write_bytes(content[:start] + b"\xa5" * 64 + content[start + 64 :])
        again = Manifest(folder)
        found = again.tiles()
        assert all(row == row_of(index) for index, row in found.items())
        again.add_tile(row_of(500))
        assert again.tiles()[500] == row_of(500)
        again.close()


# -- where it cannot be written


def test_locked_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = filled(tmp_path)
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: real(*a, **{**k, "timeout": 0.1}))
    manifest.close()
    other = real(tmp_path / NAME, isolation_level=None)
    other.execute("begin exclusive")
    with pytest.raises(DiskError, match=r"manifest\.sqlite: cannot be written or read \(database is locked\)") as seen:
        manifest.add_tile(row_of(3))
    assert seen.value.exit_status == 4
    with pytest.raises(DiskError, match="locked"):
        Manifest(tmp_path).tiles()
    other.execute("rollback")
    other.close()
    assert list(Manifest(tmp_path).tiles()) == [0, 2, 11], "a locked manifest is not thrown away"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_read_only(tmp_path: Path, what: str) -> None:
    if what == "file":
        filled(tmp_path).close()
    path = tmp_path if what == "folder" else tmp_path / NAME
    path.chmod(0o555 if what == "folder" else 0o444)
    try:
        with pytest.raises(DiskError, match=r"manifest\.sqlite: cannot be written or read"):
            Manifest(tmp_path).add_tile(row_of(3))
    finally:
        path.chmod(0o755)
    if what == "file":
        assert list(Manifest(tmp_path).tiles()) == [0, 2, 11]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="unable to open database file"):
        Manifest(tmp_path / "none").keep("a", 1)


def test_a_full_disk(tmp_path: Path) -> None:
    """The system cuts the files of a process at a size: rows that were kept stay, the next one is refused, in words."""
    filled(tmp_path).close()
    code = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from mpmjax.errors import DiskError
        from mpmjax.stream.manifest import Manifest, TileRow
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        manifest, added = Manifest(Path(sys.argv[1])), 0
        try:
            for index in range(100, 5000):
                manifest.add_tile(TileRow(index, (0, 0, 1, 1), (1,), "", 1, (1,)))
                added = index
        except DiskError as error:
            print(added, error)
        print(len(manifest.tiles()))
        """
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    said, count = done.stdout.splitlines()
    added = int(said.split()[0])
    assert "manifest.sqlite: cannot be written or read (" in said
    assert "Free some disk" in said
    assert int(count) == 3 + added - 99 > 3
    assert list(Manifest(tmp_path).tiles()) == [0, 2, 11, *range(100, added + 1)]


def test_the_value_of_a_tile_row_is_plain_json(tmp_path: Path) -> None:
    """Other tools may read it."""
    filled(tmp_path).close()
    ((value,),) = direct(tmp_path, "select value from rows where kind = 'tile' and name = '11'")
    assert json.loads(value) == {
        "index": 11, "window": [0, 88, 8, 8], "sizes": [100, 7], "sha256": "a" * 64, "cells": 64, "crcs": [1, 2],
        "facts": {"outside": [1, 2]},
    }  # fmt: skip
