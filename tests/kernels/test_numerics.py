"""The arithmetic of the CUDA headers, compiled for the CPU, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import MEMBERSHIP_FLOAT64_INSIDE, assert_close, assert_same_bits

from mpmjax.ops.plan import RECORD


def test_the_struct_is_the_record(scalars):
    offsets = {name: field[1] for name, field in (RECORD.fields or {}).items()}
    assert len(offsets) == 22
    assert scalars.layout() == [RECORD.itemsize, *offsets.values()]


def test_exp2_is_within_what_it_promises(scalars):
    t = np.concatenate([np.linspace(-1021.0, 1023.0, 200_001), np.linspace(-2.0, 2.0, 20_001), [0.0, -0.0, 1e-300]])
    np.testing.assert_allclose(scalars.map("exp2", t), np.exp2(t), rtol=2.3e-12)


def test_exp2_is_exact_at_integers(scalars):
    t = np.arange(-1022.0, 1024.0)
    assert_same_bits(scalars.map("exp2", t), np.exp2(t))


def test_exp2_is_held_to_its_ends(scalars):
    beyond = np.array([1023.0, 1023.0001, 1024.0, 1e300, np.inf])
    assert (scalars.map("exp2", beyond) >= 2.0**1023).all()
    assert np.isfinite(scalars.map("exp2", beyond)).all()
    below = scalars.map("exp2", np.array([-1022.0, -1022.0001, -1022.6, -1075.0, -1e300, -np.inf]))
    assert ((below >= 0.0) & (below <= 2.0**-1021)).all()


def test_log2_is_within_what_it_promises(scalars):
    x = np.concatenate([np.geomspace(5e-324, 1.7e308, 200_001), 1.0 + np.linspace(-1e-3, 1e-3, 20_001), [5e-324]])
    error = np.abs(scalars.map("log2", x) - np.log2(x)) / np.maximum(1.0, np.abs(np.log2(x)))
    assert error.max() < 1e-15


def test_log2_is_exact_at_powers_of_two_and_ends(scalars):
    powers = np.arange(-1074.0, 1024.0)
    assert_same_bits(scalars.map("log2", np.exp2(powers)), powers)
    ends = scalars.map("log2", np.array([0.0, -0.0, -5e-324, -1.0, -np.inf, np.inf]))
    assert ends.tolist() == [-np.inf] * 5 + [1024.0]


def test_reciprocals_come_from_the_upper_halves(scalars):
    rng = np.random.default_rng(1)
    x = np.concatenate([2.0 ** rng.uniform(-1021.0, 1021.9, 100_000), rng.uniform(1.0, 3.0, 100_000), [1.0]])
    assert (np.abs(scalars.map("reciprocal", x) * x - 1.0) < 5e-16).all()
    assert scalars.map("reciprocal", np.array([1.0]))[0] == 1.0


@pytest.mark.parametrize("off", [-(2.0**-18), -(2.0**-20), 2.0**-23, 2.0**-18])
def test_reciprocals_forgive_what_a_guess_may_be_off(scalars, off):
    """The card's own guess may have other last bits than the one the CPU makes."""
    x = np.concatenate([np.random.default_rng(2).uniform(1.0, 2.0**60, 100_000), [1.0]])
    refined = scalars.map("refined", x, (1.0 + off) / x)
    assert (np.abs(refined * x - 1.0) < 5e-16).all()
    assert refined[-1] == 1.0


def test_reciprocals_of_the_largest_are_zero(scalars):
    """1 + exp2(1023) is the largest that a sigmoid asks for; its inverse is subnormal, which the card flushes."""
    x = np.array([2.0**1022 * 1.01, 1.0 + 2.0**1023, 1.7e308])
    assert scalars.map("reciprocal", x).tolist() == [0.0] * 3


def test_quotients_are_those_of_division(scalars):
    rng = np.random.default_rng(2)
    a = 2.0 ** rng.uniform(-399.0, 399.0, 100_000)
    b = a * (1.0 + 10.0 ** rng.uniform(-18.0, 30.0, a.size))
    got, expected = scalars.map("quotient", a, b), a / b
    assert (np.abs(got.view(np.int64) - expected.view(np.int64)) <= 1).all()
    assert (got != expected).mean() < 1e-3
    assert (scalars.map("quotient", a, a) == 1.0).all()
    largest = np.array([2.0**1022, 1.7e308, np.inf])
    assert scalars.map("quotient", np.full(3, 2.0**399), largest).tolist() == [0.0] * 3


@pytest.mark.parametrize("exponents", [(-3.0, 3.0), (-399.0, 399.0), (-1060.0, -500.0), (500.0, 1000.0)])
def test_ratios_are_those_of_division(scalars, exponents):
    rng = np.random.default_rng(3)
    width = rng.choice([-1.0, 1.0], 50_000) * 2.0 ** rng.uniform(exponents[0], exponents[1], 50_000)
    d = width * rng.uniform(-1.9, 1.9, width.size)
    assert_same_bits(scalars.map("ratio", d, width), d / width)


def test_ratios_far_outside_stay_on_their_side(scalars):
    d = np.array([1.7e308, -1.7e308, np.inf, -np.inf, 1e200, -1e200, 5.0, -5.0])
    for width in (1e-100, 1.0, 1e100):
        got = scalars.map("ratio", d, np.full(d.size, width))
        assert not np.isnan(got).any()
        with np.errstate(over="ignore"):
            expected = d / width
        assert np.array_equal(np.clip(got, -1.0, 1.0), np.clip(expected, -1.0, 1.0))


def test_ordered_integers_sort_as_numbers_do(scalars):
    rng = np.random.default_rng(4)
    x = rng.integers(-(2**63), 2**63 - 1, 100_000).view(np.float64)
    x = np.concatenate([x[~np.isnan(x)], [0.0, -0.0, np.inf, -np.inf, 5e-324, -5e-324]])
    keys = scalars.map("ordered", x, dtype=np.int64)
    assert (np.diff(x[np.argsort(keys)]) >= 0.0).all()
    assert scalars.map("ordered", np.array([0.0, -0.0]), dtype=np.int64).tolist() == [0, -1]


def test_float16_is_that_of_numpy_on_both_sides_of_every_tie(scalars):
    halves = np.arange(0, 0x3C01, dtype=np.uint16).view(np.float16).astype(np.float32)
    ties = (halves[1:] + halves[:-1]) / 2
    x = np.concatenate([halves, ties, np.nextafter(ties, np.float32(2)), np.nextafter(ties, np.float32(-1))])
    x = np.concatenate([x, np.random.default_rng(5).random(100_000, np.float32)])
    assert_same_bits(scalars.map("half", x, dtype=np.uint16).view(np.float16), x.astype(np.float16))
    assert_close(scalars.map("half", halves, dtype=np.uint16).view(np.float16), halves, MEMBERSHIP_FLOAT64_INSIDE)
