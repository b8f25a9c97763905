"""The definition of the density, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mpmjax.reference.density import density

ONE = np.zeros((11, 11))
ONE[5, 5] = 1.0


def test_the_example_of_the_docstring() -> None:
    amounts = np.zeros((3, 4))
    amounts[1, 1] = 1.0
    expected = np.array([[0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 0]]) / 5
    np.testing.assert_allclose(density(amounts, (1.0, 1.0), 1.0, "uniform"), expected, rtol=1e-15)


def test_a_kernel_by_hand() -> None:
    """Cells of 2 m x 1 m, radius 2 m: three columns and five rows, and the quartic kernel is 0 at both ends."""
    uniform = density(ONE, (2.0, 1.0), 2.0, "uniform")
    assert [tuple(cell) for cell in np.argwhere(uniform)] == [(3, 5), (4, 5), (5, 4), (5, 5), (5, 6), (6, 5), (7, 5)]
    assert uniform[5, 5] == pytest.approx(1 / 14, rel=1e-15)
    quartic = density(ONE, (2.0, 1.0), 2.0, "quartic")
    column = np.array([0.0, 0.75**2, 1.0, 0.75**2, 0.0])
    np.testing.assert_allclose(quartic[3:8, 5], column / (2 * column.sum()), rtol=1e-15)
    assert np.count_nonzero(quartic) == 3


@pytest.mark.parametrize("radius", [math.sqrt(2.0), math.sqrt(5.0), 3 * math.sqrt(2.0), 5.0])
def test_a_centre_on_the_circle_is_inside(radius: float) -> None:
    """Radii at which rounding alone would decide."""
    squared = ((np.indices(ONE.shape) - 5) ** 2).sum(axis=0)
    inside = density(ONE, (1.0, 1.0), radius, "uniform") > 0
    assert np.array_equal(inside, squared <= round(radius**2))
    assert np.array_equal(density(ONE, (1.0, 1.0), radius, "quartic") > 0, squared < round(radius**2))


@pytest.mark.parametrize("radius", [3.0, 7.1, 40.0])
def test_the_divisors_tend_to_those_of_the_plane(radius: float) -> None:
    """1 / (pi r^2) and 3 / (pi r^2) in the middle, as cells of 1 m get small beside the radius."""
    for kernel, factor in (("uniform", 1.0), ("quartic", 3.0)):
        middle = density(ONE, (1.0, 1.0), radius, kernel)[5, 5]
        assert middle == pytest.approx(factor / (math.pi * radius**2), rel=1.0 / radius**1.5)


@pytest.mark.parametrize("kernel", ["uniform", "quartic"])
def test_nothing_is_made_or_lost_and_shares_end_at_one(kernel: str) -> None:
    amounts = np.zeros((30, 40))
    amounts[10:20, 12:24] = np.random.default_rng(3).random((10, 12))
    spread = density(amounts, (30.0, 20.0), 155.0, kernel)
    assert spread.sum() * 600.0 == pytest.approx(amounts.sum(), rel=1e-13)
    covered = density(np.ones((30, 40)), (30.0, 20.0), 155.0, kernel) * 600.0
    np.testing.assert_allclose(covered[8:-8, 6:-6], 1.0, rtol=1e-13)


@pytest.mark.parametrize(
    ("amount", "cell_size", "radius", "kernel"),
    [
        (1.0, (1.0, 2.0), 1.9, "uniform"),
        (1.0, (0.0, 1.0), 2.0, "uniform"),
        (1.0, (1.0, 1.0), np.inf, "uniform"),
        (1.0, (1.0, 1.0), 2.0, "gaussian"),
        (-1.0, (1.0, 1.0), 2.0, "uniform"),
        (np.nan, (1.0, 1.0), 2.0, "uniform"),
    ],
)
def test_what_is_not_defined(amount: float, cell_size: tuple[float, float], radius: float, kernel: str) -> None:
    with pytest.raises(ValueError, match=r"got cell_size|must be finite"):
        density(np.full((3, 3), amount), cell_size, radius, kernel)
