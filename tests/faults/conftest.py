"""What the tests of faults share: a district, a server of forks and an undisturbed run; the same with failing calls."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty import TILE, Bench, bench

SHIM = Path(__file__).parent / "shim.c"
FEW = 2 * TILE


@pytest.fixture(scope="session")
def calm() -> Iterator[Bench]:
    with bench() as made:
        yield made


@pytest.fixture(scope="session")
def few() -> Iterator[Bench]:
    """With four tiles, so that every single step of a run can be tried."""
    with bench(side=FEW) as made:
        yield made


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """shim.c, compiled."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: the calls that fail are made by a small library")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl", "-pthread"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"the library of failing calls does not compile here: {built.stderr[:300]}")
    return library


@pytest.fixture(scope="session")
def failing(shim: Path) -> Iterator[Bench]:
    """With shim.c before the C library of all children."""
    with bench(shim) as made:
        yield made


@pytest.fixture(scope="session")
def few_failing(shim: Path) -> Iterator[Bench]:
    """The same with four tiles."""
    with bench(shim, side=FEW) as made:
        yield made


@pytest.fixture
def output(calm: Bench, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder that is not there yet, gone again after the test."""
    path = calm.folder / f"out-{request.node.name[:40].replace('/', '-')}"
    yield path
    shutil.rmtree(path, ignore_errors=True)
