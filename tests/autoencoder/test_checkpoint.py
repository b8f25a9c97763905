"""A Screener on disk: what is read is what was written, or nothing is read."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ops.screener_arrays import random_arrays
from tolerances import assert_same_bits

from mpmjax.autoencoder import checkpoint
from mpmjax.autoencoder.checkpoint import ARRAYS, REST, load_screener, save_screener
from mpmjax.errors import DiskError, ScreenerError
from mpmjax.types import Membership, Screener


def made(seed: int = 0) -> Screener:
    """Every kind of field: tables, none, names that JSON escapes, numbers that decimals cannot hold."""
    third = 1.0 / 3.0
    return Screener(
        layers=(
            {"name": 'Kupfer (µg/g) "fein"', "role": "geochemistry", "direction": 1, "weight": third, "p99": 1e-300},
            {"name": "断层", "role": "distance", "direction": -1, "weight": 1.0, "p99": 5e4},
            {"name": "rock", "role": "category", "direction": 1, "weight": 2.0, "p99": 7.0},
        ),
        memberships=(
            Membership("sigmoid", {"midpoint": 0.1 + 0.2, "slope": 9.2 / 7}, "log", 1e-9 / 3, hedge="very"),
            Membership(
                "ecdf", {}, complement=True, knots_x=np.sort(np.random.default_rng(seed).normal(size=1024)),
                knots_y=np.linspace(0, 1, 1024),
            ),
            Membership("category", {"default": 0.25}, knots_x=np.array([1.0, 2, 7]), knots_y=np.array([0, 1, third])),
        ),
        arrays=random_arrays(2, 3, 4, 1, 2, seed=seed),
        settings={"min_coverage": 0.1 + 0.4, "seed": 2**31 - 1},
        diagnostics={"groups": {"k": 2, "criteria": {}}, "model": {"val_loss": [[0.1, None], [third, 0.2]]}},
    )  # fmt: skip


def assert_same(got: Screener, expected: Screener) -> None:
    """Equal in every bit of every array and in every value; JSON has lists where Python had tuples."""
    assert got.layers == expected.layers
    assert got.settings == expected.settings
    assert got.diagnostics == expected.diagnostics
    assert got.arrays.keys() == expected.arrays.keys()
    for name, values in expected.arrays.items():
        assert_same_bits(np.asarray(got.arrays[name]), np.ascontiguousarray(values))
    assert len(got.memberships) == len(expected.memberships)
    for a, b in zip(got.memberships, expected.memberships, strict=True):
        assert dataclasses.replace(a, knots_x=None, knots_y=None) == dataclasses.replace(b, knots_x=None, knots_y=None)
        for x, y in ((a.knots_x, b.knots_x), (a.knots_y, b.knots_y)):
            assert (x is None) == (y is None)
            if x is not None and y is not None:
                assert_same_bits(x, y)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_screener(made(), tmp_path)
    return tmp_path


def refused(path: Path, *words: str) -> str:
    with pytest.raises(ScreenerError) as caught:
        load_screener(path)
    message = str(caught.value)
    for word in words:
        assert word in message, message
    return message


@pytest.mark.parametrize("name", ["", ARRAYS, REST])
def test_round_trip_is_exact(folder: Path, name: str) -> None:
    """By the folder or either file."""
    assert_same(load_screener(folder / name), made())
    assert_same(load_screener(str(folder / name)), made())


def test_the_paths_of_both_files_are_returned(tmp_path: Path) -> None:
    assert save_screener(made(), tmp_path) == (tmp_path / ARRAYS, tmp_path / REST)
    assert {path.name for path in tmp_path.iterdir()} == {ARRAYS, REST}


def test_the_same_screener_gives_the_same_bytes(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the order its arrays came in, how they lie in memory, and whether it was itself read from a file."""
    expected = [(folder / name).read_bytes() for name in (ARRAYS, REST)]
    one = made()
    shuffled = {name: np.asfortranarray(one.arrays[name]) for name in sorted(one.arrays, reverse=True)}
    for number, screener in enumerate((one, dataclasses.replace(one, arrays=shuffled), load_screener(folder))):
        other = tmp_path_factory.mktemp(f"other{number}")
        save_screener(screener, other)
        assert [(other / name).read_bytes() for name in (ARRAYS, REST)] == expected


def test_any_damaged_byte_of_the_arrays_is_refused(folder: Path) -> None:
    path = folder / ARRAYS
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    places = {*range(64), *rng.integers(0, len(whole), 200).tolist(), len(whole) - 1}
    for place in places:
        bad = bytearray(whole)
        bad[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bad)
        refused(folder, ARRAYS, "checksum")


def test_any_damaged_byte_of_the_rest_is_refused_or_means_the_same(folder: Path) -> None:
    """A digit of a midpoint that becomes another digit is as bad as a damaged weight, and is still valid JSON."""
    path = folder / REST
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    survived = 0
    for place in range(len(whole)):
        for bit in {0, int(rng.integers(1, 8))}:  # the lowest bit turns digits into digits
            bad = bytearray(whole)
            bad[place] ^= 1 << bit
            path.write_bytes(bad)
            with contextlib.suppress(ScreenerError):
                assert_same(load_screener(folder), made())
                survived += 1
    assert survived < 0.01 * len(whole)


def test_every_other_value_in_place_of_a_number_is_refused(folder: Path) -> None:
    """By hand, keeping the JSON whole: the numbers that the maps depend on."""
    text = (folder / REST).read_text()
    for old, new in (
        ('"min_coverage": 0.5', '"min_coverage": 0.4'),
        ('"complement": true', '"complement": false'),
        ('"direction": -1', '"direction": 1'),
        ('"transform": "log"', '"transform": "none"'),
        ('"default": 0.25', '"default": NaN'),
        ('"default": 0.25', '"default": 0.25, "default": 0.75'),
        ('"seed": 2147483647', '"seed": 2147483647, "extra": 1'),
    ):
        assert text.count(old) == 1, old
        (folder / REST).write_text(text.replace(old, new))
        refused(folder, REST, "checksum")
    reformatted = json.dumps(json.loads(text), indent=4)
    (folder / REST).write_text(reformatted)
    assert_same(load_screener(folder), made())


@pytest.mark.parametrize("name", [ARRAYS, REST])
@pytest.mark.parametrize("keep", [0, 1, 9, 0.5, -1])
def test_a_file_cut_short_is_refused(folder: Path, name: str, keep: float) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(keep * len(whole)) if keep == 0.5 else int(keep)])
    refused(folder, name)


def test_files_of_two_fits_do_not_go_together(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    save_screener(made(seed=1), other)
    (folder / ARRAYS).write_bytes((other / ARRAYS).read_bytes())
    refused(folder, "different fits", "fit again")


@pytest.mark.parametrize("name", [ARRAYS, REST])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refused(folder, str(folder / name), "No such file")


def test_a_path_that_is_nothing(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", REST)
    refused(tmp_path, REST)
    (tmp_path / REST).mkdir()
    refused(tmp_path, REST)


@pytest.mark.parametrize("found", ["mpmjax-screener-1", None, 2, ["mpmjax-screener-2"]])
def test_another_format_is_refused(folder: Path, found: Any) -> None:
    rest = json.loads((folder / REST).read_text())
    (folder / REST).write_text(json.dumps({**rest, "format": found}))
    refused(folder, repr(found), checkpoint.FORMAT, "Fit again")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3", '"text"', "\ufeff{}", "{}"])
def test_other_json_is_refused(folder: Path, content: str) -> None:
    (folder / REST).write_text(content, encoding="utf-8")
    refused(folder, REST)


@pytest.mark.parametrize("content", [b"\xff\xfe{}", b"\x80\x04\x95", b"\x00" * 100], ids=["utf-16", "pickle", "zeros"])
def test_other_bytes_are_refused(folder: Path, content: bytes) -> None:
    (folder / REST).write_bytes(content)
    refused(folder, REST)


@pytest.mark.parametrize("absent", ["layers", "memberships", "settings", "diagnostics"])
def test_an_incomplete_screener_is_refused(folder: Path, absent: str) -> None:
    """As a later version might write one: whole, with the right checksum, but not what this one reads."""
    rest = json.loads((folder / REST).read_text())
    del rest[absent]
    rest["checksum"] = checkpoint._checksum(rest)
    (folder / REST).write_text(json.dumps(rest))
    refused(folder, "not a complete Screener", absent)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", [ARRAYS, REST])
def test_nothing_is_unpickled(folder: Path, name: str) -> None:
    """A pickle in the place of either file runs no code, even where its checksum is right."""
    trace = folder / "ran"
    content = pickle.dumps(Bomb(trace))
    (folder / name).write_bytes(content)
    if name == ARRAYS:
        rest = json.loads((folder / REST).read_text())
        rest["sha256"] = checkpoint.hashlib.sha256(content).hexdigest()
        rest["checksum"] = checkpoint._checksum(rest)
        (folder / REST).write_text(json.dumps(rest))
    refused(folder)
    assert not trace.exists()


def test_numbers_that_json_does_not_know_are_not_written(tmp_path: Path) -> None:
    """NaN is no JSON: better no file than one that other readers refuse."""
    broken = dataclasses.replace(made(), settings={"min_coverage": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        save_screener(broken, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="cannot be written"):
        save_screener(made(), tmp_path / "nowhere")


def test_a_save_that_fails_half_way_leaves_no_pair(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New arrays beside the old JSON: the checksum in it says so."""

    def full(path: Path, content: str | bytes) -> Path:
        if path.name == REST:
            raise DiskError("disk full")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    monkeypatch.setattr(checkpoint, "write_file", full)
    with pytest.raises(DiskError):
        save_screener(made(seed=1), folder)
    refused(folder, "different fits")
