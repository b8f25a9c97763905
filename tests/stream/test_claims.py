"""What an output folder was begun from: the same goes on, another is refused and told why, fresh begins anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mpmjax.errors import FolderError
from mpmjax.stream.manifest import Manifest, TileRow
from mpmjax.stream.tilestore import FOLDER
from mpmjax.stream.workfolder import SCRATCH, differences, work_folder

KNOWN = {"project": {"model.seed": 7, "model.name": "x" * 50}, "input": {"cu.tif": "a" * 64}}


def claimed(output: Path, fingerprint: dict[str, Any], fresh: bool = False) -> bool:
    with work_folder(output) as work:
        begun = work.claim(fingerprint, fresh)
        (output / "a.tif").write_bytes(b"x")
        work.add_files(output / "a.tif")
        return begun


def test_claimed_by_the_same_it_goes_on(tmp_path: Path) -> None:
    assert not claimed(tmp_path, KNOWN)
    with work_folder(tmp_path) as work:
        work.manifest.add_tile(TileRow(0, (0, 0, 1, 1), (1,), "", 1, (1,)))
        assert work.claim({name: dict(section) for name, section in reversed(KNOWN.items())}, False), "order is nothing"
        assert work.finished("a.tif")
        assert list(work.manifest.tiles()) == [0]


def test_claimed_by_another_it_is_refused_and_stays(tmp_path: Path) -> None:
    claimed(tmp_path, KNOWN)
    for _ in range(2):
        with pytest.raises(
            FolderError, match=r"made from something else: project: model\.seed was 7 and is 8\."
        ) as seen:
            claimed(tmp_path, {**KNOWN, "project": {**KNOWN["project"], "model.seed": 8}})
        assert "Start over with --fresh" in str(seen.value)
        assert seen.value.exit_status == 2
    with work_folder(tmp_path) as work:
        assert work.finished("a.tif")
    assert claimed(tmp_path, KNOWN), "as if the other had never come"


def test_fresh_begins_anew_and_is_then_what_counts(tmp_path: Path) -> None:
    claimed(tmp_path, KNOWN)
    other = {"project": {"model.seed": 8}}
    with work_folder(tmp_path) as work:
        (work.scratch / FOLDER).mkdir()
        (work.scratch / FOLDER / "0000000.tile").write_bytes(b"x")
        work.manifest.add_tile(TileRow(0, (0, 0, 1, 1), (1,), "", 1, (1,)))
        work.manifest.keep("cut", [1])
        assert not work.claim(other, True)
        assert (work.manifest.files(), work.manifest.tiles(), work.manifest.fact("cut")) == ({}, {}, None)
        assert not (work.scratch / FOLDER).exists()
        assert (tmp_path / "a.tif").exists(), "until its successor takes its place"
        work.add_files(tmp_path / "a.tif")
    assert claimed(tmp_path, other)


def test_a_manifest_that_lost_its_fingerprint_begins_anew(tmp_path: Path) -> None:
    """Whatever it says is finished may be of anything."""
    claimed(tmp_path, KNOWN)
    manifest = Manifest(tmp_path / SCRATCH)
    manifest.keep("fingerprint", None)
    manifest.close()
    with work_folder(tmp_path) as work:
        assert not work.claim(KNOWN, False)
        assert work.manifest.files() == {}


def test_many_differences_are_counted(tmp_path: Path) -> None:
    many = {"input": {f"{number:02}.tif": "a" for number in range(20)}}
    claimed(tmp_path, many)
    changed = {"input": dict.fromkeys(many["input"], "b")}
    with pytest.raises(FolderError, match=r"input: 00\.tif was a and is b; .*07\.tif was a and is b and 12 more\."):
        claimed(tmp_path, changed)


@pytest.mark.parametrize(
    ("known", "now", "words"),
    [
        ({"p": {"a": 1}}, {"p": {"a": 1}}, []),
        ({"p": {"a": 1}}, {"p": {"a": 2}}, ["p: a was 1 and is 2"]),
        ({"p": {"a": 1}}, {"p": {}}, ["p: a is gone"]),
        ({"p": {"a": 1}}, {}, ["p: a is gone"]),
        ({}, {"p": {"a": 1}}, ["p: a is new"]),
        ({"p": {"a": None}}, {"p": {"a": 1}}, ["p: a was None and is 1"]),
        ({"p": {"a": None}}, {"p": {}}, ["p: a is gone"]),
        ({"p": {"a": "x" * 64}}, {"p": {"a": "y"}}, ["p: a changed"]),
        ({"p": {"a": "x" * 40}}, {"p": {"a": "y"}}, [f"p: a was {'x' * 40} and is y"]),
        ({"p": {"a": [1, 2]}}, {"p": {"a": [2, 1]}}, ["p: a was [1, 2] and is [2, 1]"]),
        ({"q": {"b": 1}, "p": {"c": 1, "a": 1}}, {"p": {"c": 2, "a": 1}}, ["p: c was 1 and is 2", "q: b is gone"]),
        ({"p": {"c": 1, "a": 1}}, {"p": {"c": 2, "a": 3}}, ["p: a was 1 and is 3", "p: c was 1 and is 2"]),
    ],
)  # fmt: skip
def test_the_words_of_differences(known: dict, now: dict, words: list[str]) -> None:
    assert differences(known, now) == words
