"""The functions of the scorer's headers, one number at a time, against NumPy; and the layout that Python writes."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from ops.screener_arrays import random_arrays
from tolerances import FUSED_SCALARS, TANH_11_BITS, assert_close, assert_same_bits
from warp_emulator import address, emulator

from mpmjax.ops.gpu import ensemble, fragments
from mpmjax.reference.lstm import DRIVE_END, confidence


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return emulator().library


def mapped(library: ctypes.CDLL, name: str, values: np.ndarray, *between: Any, dtype: Any = np.float32) -> np.ndarray:
    out = np.empty(len(values), dtype)
    getattr(library, f"{name}_many")(address(values), *between, ctypes.c_longlong(len(values)), address(out))
    return out


def test_header_and_stages_are_laid_out_as_written(library: ctypes.CDLL) -> None:
    numbers = np.empty(11, np.int64)
    library.lstm_layout(address(numbers))
    assert fragments.HEADER.fields is not None
    offsets = [fragments.HEADER.fields[name][1] for name in ("members", "trust", "at_weight", "at_group")]
    assert numbers[0] == -(-fragments.HEADER.itemsize // 16) * 16
    assert numbers[1:5].tolist() == offsets
    stages = []
    for hidden in ensemble.HIDDEN:
        for latent in (2, 12):
            arrays = random_arrays(1, 3, hidden, latent, 2)
            header = np.frombuffer(fragments.packed(arrays)[: fragments.HEADER.itemsize], fragments.HEADER)[0]
            stages.append(16 * (header["at_decoder"] - header["at_encoder"]))
    assert numbers[5:].tolist() == stages


def test_frozen_rank_is_interp(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(0)
    for knots in (1, 2, 3, 100, 1024):
        for step in (0.1, 1e-7):
            x = np.sort(np.round(rng.uniform(0, 1, knots) / step) * step).astype(np.float32)  # with ties
            y = np.linspace(0, 1, knots, dtype=np.float32)
            values = np.concatenate([x, rng.uniform(-0.1, 1.1, 500).astype(np.float32)])
            table = fragments._frozen(x, y)
            got = mapped(library, "frozen_rank", values, address(table), ctypes.c_int(knots))
            assert_close(got, np.interp(values, x, y), FUSED_SCALARS)
    x = np.array([0.0, 1e-45, 0.5], np.float32)  # a slope beyond float32
    table = fragments._frozen(x, np.array([0.0, 0.5, 1.0]))
    got = mapped(library, "frozen_rank", x, address(table), ctypes.c_int(3))
    assert got.tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("knots", [2, 257])
def test_layer_rank_is_interp(library: ctypes.CDLL, knots: int) -> None:
    rng = np.random.default_rng(1)
    ranks = np.sort(rng.uniform(0, 1, knots)).astype(np.float32)
    grid = np.linspace(0.0, 1.0, knots)
    values = np.concatenate([grid, rng.uniform(0, 1, 500)]).astype(np.float32)
    got = mapped(library, "layer_rank", values, address(ranks), ctypes.c_int(knots))
    assert_close(got, np.interp(values, grid, ranks), FUSED_SCALARS)


def test_confidence_is_the_definition(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(2)
    numbers = rng.uniform(size=(500, 5)).astype(np.float32) * np.array([1, 0.1, 1, 1e-3, 0.3], np.float32)
    numbers[:50, 3] = 0.0
    numbers[:25, 1] = 0.0  # nothing moves it
    got = mapped(library, "stays", numbers)
    for one, (rank, spread, cut, base, grows) in zip(got, numbers.astype(float), strict=True):
        with np.errstate(divide="ignore"):
            noise = {"noise": np.array([base, grows]), "cut": np.array([cut])}
            expected = confidence(np.array([rank]), np.array([spread]), noise)
        assert_close(one, expected[0], FUSED_SCALARS)


def test_the_driver_is_the_first_of_the_largest(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        layers = int(rng.integers(1, 9))
        weights = rng.choice([0.0, 0.5, 1.0, 2.0], layers).astype(np.float32)
        ranks = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0], layers).astype(np.float32)
        drive = np.where(weights > 0, -weights * np.log(np.float32(DRIVE_END) - ranks), -np.inf)
        expected = drive.argmax() + 1 if np.isfinite(drive).any() else 0
        assert library.driver_of(address(weights), address(ranks), ctypes.c_int(layers)) == expected


def test_mean_and_deviation(library: ctypes.CDLL) -> None:
    rng, out = np.random.default_rng(4), np.empty(2, np.float32)
    for count in (1, 2, 8, 100):
        values = (0.7 + rng.normal(0, 1e-3, count)).astype(np.float32)
        library.spread_of(address(values), ctypes.c_int(count), address(out))
        assert_close(out, np.array([values.mean(dtype=float), values.std(dtype=float)]), FUSED_SCALARS)
        values[:] = 0.3
        library.spread_of(address(values), ctypes.c_int(count), address(out))
        assert_same_bits(out, np.array([0.3, 0.0], np.float32))


def test_halves_are_those_of_numpy(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(5)
    every = np.arange(1 << 16, dtype=np.uint16)
    every = every[np.isfinite(every.view(np.float16))]
    assert_same_bits(mapped(library, "float_of_half", every), every.view(np.float16).astype(np.float32))
    values = np.concatenate(
        [rng.normal(0, 10.0**e, 2000) for e in range(-8, 5)] + [[0.0, -0.0, 65504.0, 6e-8, 3e-8, 0]]
    )
    values = values[np.abs(values) <= 65504].astype(np.float32)
    values = values[: len(values) // 2 * 2]
    out = np.empty(len(values) // 2, np.uint32)
    library.halves_of_many(address(values), ctypes.c_longlong(len(out)), address(out))
    assert_same_bits(out.view(np.uint16), values.astype(np.float16).view(np.uint16))


def test_tanh_is_as_rough_as_on_a_card(library: ctypes.CDLL) -> None:
    x = np.concatenate([np.linspace(-12, 12, 5001), np.geomspace(1e-30, 1, 500)]).astype(np.float32)
    got = mapped(library, "quick_tanh", x)
    assert_close(got, np.tanh(x.astype(float)), TANH_11_BITS)
    assert (np.abs(got) <= 1.0).all()
    with pytest.raises(AssertionError):  # or errors on a card would be larger than here
        assert_close(got, np.tanh(x.astype(float)), type(TANH_11_BITS)(0.0, TANH_11_BITS.relative / 2, "half of that"))


def test_a_unit_is_that_of_an_lstm(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(6)
    gates = rng.normal(0, 2, (1000, 4)).astype(np.float32)
    c = rng.normal(0, 1, 1000).astype(np.float32)
    i, f, g, o = gates.astype(float).T
    expected = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
    halved = (gates * np.array([0.5, 0.5, 1.0, 0.5], np.float32)).astype(np.float32)
    got, doubled = c.copy(), np.empty_like(c)
    library.lstm_unit_many(address(halved), ctypes.c_longlong(1000), address(got), address(doubled))
    # Each of four factors is 2^-11 off, and up to 5 c.
    np.testing.assert_allclose(got, expected, atol=2**-10 * (1 + np.abs(c).max()))
    np.testing.assert_allclose(doubled / 2, np.tanh(expected) / (1 + np.exp(-o)), atol=2**-9)
