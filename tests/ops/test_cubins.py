"""Compiled kernels on disk: whose folder it is, what a key depends on, and what a damaged entry does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpmjax.errors import MpmError
from mpmjax.ops import _cubins

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
KEY = "ab" * 32
CODE = b"\x7fELF machine code"


class Compiler:
    """Counts how often it is asked."""

    def __init__(self, code: bytes = CODE) -> None:
        self.code, self.calls = code, 0

    def __call__(self) -> bytes:
        self.calls += 1
        return self.code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mpmjax" / "kernels"


def entry(folder: Path) -> Path:
    return folder / f"{KEY}.cubin"


def test_sources_are_those_of_the_repository():
    texts = _cubins.sources("membership")
    assert next(iter(texts)) == "membership.cu"
    assert set(texts) == {"membership.cu"} | {path.name for path in KERNELS.glob("*.cuh")}
    for name, text in texts.items():
        assert text == (KERNELS / name).read_text(encoding="utf-8")


def test_a_kernel_that_was_not_installed_is_named():
    with pytest.raises(MpmError, match=r"telepathy\.cu is not in the installed package .* Install mpmjax again"):
        _cubins.sources("telepathy")


def test_a_key_changes_with_every_part():
    texts = {"a.cu": "one", "b.cuh": "two"}
    parts = {"flags": ("--fmad=false",), "arch": "sm_90", "device": "H100", "nvrtc": "13.0", "cupy": "14.1"}
    others = [(texts | {name: "other"}, parts) for name in texts]
    others += [(texts, parts | {name: "other"}) for name in parts]
    # The same characters, cut elsewhere.
    others += [({"a.cu": "onet", "b.cuh": "wo"}, parts), ({"a.cu": "one", "c.cuh": "two"}, parts)]
    keys = {_cubins.key_of(*pair) for pair in [(texts, parts), *others]}
    assert len(keys) == 1 + len(others)
    assert _cubins.key_of(dict(reversed(texts.items())), dict(reversed(parts.items()))) in keys


@pytest.mark.parametrize(
    ("stated", "expected"),
    [("/somewhere/cache", "/somewhere/cache"), ("", "/home/of/mine/.cache"), ("relative", "/home/of/mine/.cache")],
)
def test_where_the_folder_is(monkeypatch: pytest.MonkeyPatch, stated: str, expected: str):
    monkeypatch.setenv("HOME", "/home/of/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", stated)
    assert _cubins.cache_folder() == Path(expected) / "mpmjax" / "kernels"


def test_compiled_once_and_closed_to_others(folder: Path):
    compiler = Compiler()
    before = os.umask(0)
    try:
        assert _cubins.cubin(KEY, compiler, folder) == CODE
    finally:
        os.umask(before)
    assert _cubins.cubin(KEY, compiler, folder) == CODE
    assert compiler.calls == 1
    assert [path.stat().st_mode & 0o777 for path in (folder.parent, folder, entry(folder))] == [0o700, 0o700, 0o600]
    assert list(folder.iterdir()) == [entry(folder)]


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_refused(folder: Path, mode: int):
    _cubins.cubin(KEY, Compiler(), folder)
    folder.chmod(mode)
    compiler = Compiler()
    with pytest.raises(MpmError, match=rf"can be written by others \(mode {mode:o}\).*chmod 700"):
        _cubins.cubin(KEY, compiler, folder)
    assert compiler.calls == 0


def test_a_folder_of_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    _cubins.cubin(KEY, Compiler(), folder)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(MpmError, match=r"belongs to user \d+, not to you .*XDG_CACHE_HOME"):
        _cubins.cubin(KEY, Compiler(), folder)


def spoil_content(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def let_others_write(path: Path) -> None:
    path.chmod(0o666)


def put_another_entry_in_its_place(path: Path) -> None:
    _cubins.cubin("cd" * 32, Compiler(b"another kernel"), path.parent)
    (path.parent / f"{'cd' * 32}.cubin").replace(path)


def make_it_a_link(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    path.replace(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(
    "damage", [spoil_content, cut_short, empty, let_others_write, put_another_entry_in_its_place, make_it_a_link]
)
def test_a_damaged_entry_is_compiled_again(folder: Path, damage):
    _cubins.cubin(KEY, Compiler(), folder)
    damage(entry(folder))
    compiler = Compiler(b"compiled again")
    assert _cubins.cubin(KEY, compiler, folder) == b"compiled again"
    assert _cubins.cubin(KEY, compiler, folder) == b"compiled again"
    assert compiler.calls == 1


def test_a_disk_that_fails_costs_a_warning_not_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    compiler = Compiler()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.warns(RuntimeWarning, match=r"could not be kept in .*No space left.*every process compiles"):
            assert _cubins.cubin(KEY, compiler, folder) == CODE
    assert compiler.calls == 1
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_costs_a_warning(folder: Path):
    folder.parent.write_text("a file stands where the folder should be", encoding="utf-8")
    compiler = Compiler()
    with pytest.warns(RuntimeWarning, match="could not be kept"):
        assert _cubins.cubin(KEY, compiler, folder) == CODE
    assert compiler.calls == 1


def test_the_compilers_own_failure_is_not_taken_for_the_disks(folder: Path):
    def fails() -> bytes:
        raise OSError("the compiler is gone")

    with pytest.raises(OSError, match="the compiler is gone"):
        _cubins.cubin(KEY, fails, folder)
    assert list(folder.iterdir()) == []


TWO = """
import sys, time
from pathlib import Path
from mpmjax.ops import _cubins

mine, other, folder = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])

def build():
    mine.touch()  # and go on only when the other process is here too
    until = time.monotonic() + 60
    while not other.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    return b"code" * 100_000

assert _cubins.cubin(sys.argv[4], build, folder) == b"code" * 100_000
"""


def test_two_processes_compile_at_once(folder: Path, tmp_path: Path):
    names = [str(tmp_path / "one"), str(tmp_path / "two")]
    both = [
        subprocess.Popen([sys.executable, "-c", TWO, *order, str(folder), KEY], stderr=subprocess.PIPE, text=True)
        for order in (names, names[::-1])
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    compiler = Compiler()
    assert _cubins.cubin(KEY, compiler, folder) == b"code" * 100_000
    assert compiler.calls == 0
    assert list(folder.iterdir()) == [entry(folder)]
