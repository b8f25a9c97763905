"""The cache of prepared files: what is asked for twice is made once, and nothing stale, cut or damaged is ever used."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpmjax.errors import DiskError
from mpmjax.stream import cache as module
from mpmjax.stream.cache import KEY_LENGTH, Cache, Entry, code_version

GIVEN = {"step": "warp", "files": {"a.tif": "12ab"}, "nodata": math.nan, "grid": [1.5, 0, "EPSG:32639"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


def keep(folder: Path, text: str = "cells", **changed: object) -> tuple[Entry, int]:
    """An entry asked for from a new cache, as a new process would; and how often it was made."""
    calls = 0

    def make(out: Path) -> dict[str, object]:
        nonlocal calls
        calls += 1
        out.write_text(text)
        return {"dtype": "float32", "low": -math.inf}

    entry = Cache(folder).raster("faults", GIVEN | changed, folder.parent / "faults.tif", make)
    return entry, calls


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_made_once_and_found_again(folder: Path) -> None:
    first, made = keep(folder)
    again, twice = keep(folder, "other cells")
    assert (made, twice) == (1, 0)
    assert (first.reused, again.reused) == (False, True)
    assert first.path == again.path
    assert again.path is not None
    assert again.path.read_text() == "cells"
    assert again.sha256 == first.sha256
    assert first.record == again.record == {"dtype": "float32", "low": "-inf"}, "the fresh one as the kept one"
    assert not (folder.parent / "faults.tif").exists(), "moved, not copied"
    assert names(folder) == [f"{again.path.stem}.json", f"{again.path.stem}.tif"]


@pytest.mark.parametrize(
    "changed",
    [
        {"files": {"a.tif": "12ac"}},
        {"files": {"b.tif": "12ab"}},
        {"nodata": 0.0},
        {"nodata": None},
        {"grid": [1.5, 1, "EPSG:32639"]},
        {"more": None},
    ],
)
def test_another_ingredient_is_another_entry(folder: Path, changed: dict[str, object]) -> None:
    keep(folder)
    entry, made = keep(folder, "other", **changed)
    assert made == 1
    assert entry.path is not None
    assert entry.path.read_text() == "other"
    assert len(names(folder)) == 4


def test_other_code_is_another_entry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(folder)
    monkeypatch.setattr(module, "code_version", lambda: "changed")
    assert keep(folder, "other")[1] == 1


def test_the_version_is_that_of_the_code_that_makes_layers() -> None:
    assert len(code_version()) == 64
    package = Path(module.__file__).parents[1]
    assert all((package / room).exists() for room in module.ROOMS)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [_cut, _flip, Path.unlink], ids=["cut", "one bit", "gone"])
@pytest.mark.parametrize("suffix", ["tif", "json"])
def test_what_is_not_whole_is_made_again(folder: Path, suffix: str, harm: object) -> None:
    entry, _ = keep(folder)
    assert entry.path is not None
    harm(entry.path.with_suffix(f".{suffix}"))  # pyright: ignore[reportCallIssue]
    again, made = keep(folder, "cells")
    assert made == 1
    assert again.path == entry.path
    assert again.path is not None
    assert again.path.read_text() == "cells"


def test_a_record_that_was_edited_is_not_believed(folder: Path) -> None:
    entry, _ = keep(folder)
    assert entry.path is not None
    beside = entry.path.with_suffix(".json")
    kept = json.loads(beside.read_text())
    beside.write_text(json.dumps(kept | {"record": {"dtype": "uint8"}}))
    assert keep(folder)[0].record["dtype"] == "float32"


def test_a_record_without_a_raster(folder: Path) -> None:
    calls: list[int] = []

    def make() -> dict[str, object]:
        calls.append(1)
        return {"rows": [1, 2], "low": math.nan, "name": "é"}

    first = Cache(folder).record("occurrences", GIVEN, make)
    again = Cache(folder).record("occurrences", GIVEN, make)
    assert len(calls) == 1
    assert again.record == first.record == {"rows": [1, 2], "low": "nan", "name": "é"}
    assert again.path is None
    assert again.sha256 == ""


def test_a_failure_leaves_nothing(folder: Path) -> None:
    def make(out: Path) -> dict[str, object]:
        out.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cache(folder).raster("faults", GIVEN, folder.parent / "faults.tif", make)
    assert not folder.exists()
    assert keep(folder)[1] == 1


def test_prune_removes_what_was_not_asked_for_and_nothing_else(folder: Path) -> None:
    keep(folder)
    keep(folder, nodata=1.0)
    used = Cache(folder)
    entry = used.find("faults", GIVEN)
    assert entry is not None
    assert entry.path is not None
    (folder / "of a user.tif").write_text("mine")
    (folder / "notes.json").write_text("mine")
    (folder / f"{entry.path.name}.4711.part").write_text("killed")
    (folder / f"{entry.path.stem}.json.4711.part").write_text("killed")
    used.prune()
    assert names(folder) == sorted([entry.path.name, f"{entry.path.stem}.json", "of a user.tif", "notes.json"])
    Cache(folder.parent / "nowhere").prune()


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("a file")
    with pytest.raises(DiskError, match="cannot be used to keep prepared layers"):
        keep(tmp_path / "evidence")


def test_on_another_file_system(folder: Path) -> None:
    """As a shared cache may lie: moved by a copy, under its name only when whole."""
    shared = Path("/dev/shm")  # noqa: S108
    if not shared.is_dir() or shared.stat().st_dev == folder.parent.stat().st_dev:
        pytest.skip("there is no second file system to try it on")
    elsewhere = shared / f"mpmjax-test-{folder.parent.name}"
    try:

        def make(out: Path) -> dict[str, object]:
            out.write_text("cells")
            return {}

        entry = Cache(elsewhere).raster("faults", GIVEN, folder.parent / "faults.tif", make)
        assert entry.path is not None
        assert entry.path.read_text() == "cells"
        assert not (folder.parent / "faults.tif").exists()
        assert len(names(elsewhere)) == 2
    finally:
        for path in elsewhere.glob("*"):
            path.unlink()
        elsewhere.rmdir()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(first=st.dictionaries(st.text(max_size=3), PLAIN, max_size=3), order=st.randoms())
def test_a_key_depends_on_content_not_on_order(first: dict[str, object], order: object) -> None:
    keys = list(first)
    order.shuffle(keys)  # pyright: ignore[reportAttributeAccessIssue]
    cache = Cache(Path("unused"))
    one, two = (cache._stem("x", made) for made in (first, {key: first[key] for key in keys}))
    assert one == two
    assert len(one) == len("x.") + KEY_LENGTH
    assert cache._stem("x", {**first, "one more": np.pi}) != one
