"""Thousands of damaged headers, and files that claim to be huge: no crash, no hang; refused, or read as GDAL reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from bombs import HANDLED, REFUSED
from headers import PATIENCE, Reader, try_all
from raster_seeds import make_seeds

pytestmark = pytest.mark.faults

CASES = 5_000


def test_thousands_of_damaged_headers(tmp_path: Path) -> None:
    """A failing case is made again by mutate(make_seeds(folder), number)."""
    tally = try_all(make_seeds(tmp_path / "seeds"), range(CASES), tmp_path)
    print(f"\n{tally}")
    assert sum(tally.kinds.values()) == CASES
    assert not tally.wrong, "\n".join(tally.wrong[:20])
    assert tally.slowest < PATIENCE
    assert min(tally.kinds["refused"], tally.kinds["read"]) > CASES // 5, "both are seen"
    assert tally.kinds["unsteady"] < CASES // 100, "where GDAL itself is of two minds"


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_bombs_are_refused(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with Reader(tmp_path) as reader:
        said = reader.ask(make(tmp_path))
    assert said["kind"] == "refused", said


@pytest.mark.parametrize("make", HANDLED.values(), ids=HANDLED.keys())
def test_bombs_that_are_sound_take_little(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with Reader(tmp_path) as reader:
        said = reader.ask(make(tmp_path))
    assert said["kind"] in ("refused", "read"), said
