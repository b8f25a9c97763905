"""Growth: the line through the sizes, and what a table says of it."""

from __future__ import annotations

import pytest

from mpmjax.benchmarks import growth
from mpmjax.benchmarks.streaming import Size


def test_the_line_through_exact_points() -> None:
    assert growth.line([4, 16, 64], [0.5 + 0.1 * x for x in (4, 16, 64)]) == pytest.approx((0.5, 0.1))


def test_every_size_counts_alike() -> None:
    """By relative errors: a large size that is off by a tenth pulls no more than a small one."""
    start, slope = growth.line([1, 1000], [1.0, 1000.0])
    assert (start, slope) == pytest.approx((0.0, 1.0), abs=1e-9)
    assert growth.line([1, 10, 1000], [1.1, 10.0, 1000.0])[1] == pytest.approx(1.0, rel=0.02)


def test_the_table_tells_what_is_off_and_the_memory() -> None:
    rows = [(Size(10), 1.0, 100.0), (Size(20), 2.0, 104.0), (Size(40), 4.4, 110.0)]
    text = growth.table("million cells", [1, 2, 4], rows)
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 4
    assert "10.0% above the least" in text
    assert "1 to 1.1" in text


def test_screeners_of_other_sizes_have_other_folders() -> None:
    folders = {Size(100, layers, members).fit for layers in (2, 4) for members in (1, 2)}
    assert len(folders) == 4
    assert Size(100).fit == Size(4096).fit
