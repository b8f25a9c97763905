"""The rivals of the network compute what they are compared by, and run in the fastest of their ways."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from mpmjax.benchmarks import ceilings, inputs, network_cases, network_rivals, run, ways
from mpmjax.benchmarks.gate import Missing
from mpmjax.benchmarks.network_baselines import numpy_network, weights_of, with_features
from mpmjax.benchmarks.network_compiled import flax_network

LAYERS, HIDDEN, LATENT, CELLS = 5, 6, 3, 37


def by_hand(mu: np.ndarray, w: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """z [d] and x_hat [L] of one complete cell mu [L, F], step by step in float64."""

    def step(gates: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        i, f, g, o = gates.reshape(4, -1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        return np.tanh(c) / (1 + np.exp(-o)), c

    h, c = np.zeros((2, HIDDEN))
    for layer in w["order"]:
        h, c = step(mu[layer] @ w["enc_wx"] + h @ w["enc_wh"] + w["enc_b"][layer], c)
    z = h @ w["lat_w"] + w["lat_b"]
    h, c = np.zeros((2, HIDDEN))
    x_hat = np.empty(LAYERS)
    for layer in reversed(w["order"]):
        h, c = step(z @ w["dec_wz"] + h @ w["dec_wh"] + w["dec_b"][layer], c)
        x_hat[layer] = h @ w["out_w"][:, 0] + w["out_b"][0]
    return z, x_hat


def member(features: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """mu [L, F, n] and weights."""
    rng = np.random.default_rng(features)
    w = dict(weights_of(inputs.network(rng, 1, LAYERS, HIDDEN, LATENT, features), 0))
    return rng.random((LAYERS, features, CELLS), np.float32), w


def compared(output: object, mu: np.ndarray, w: dict[str, np.ndarray], tolerance: float = 1e-5) -> None:
    whole = network_cases.joined(output)
    exact = {name: values.astype(np.float64) if name != "order" else values for name, values in w.items()}
    for cell in (0, 17, CELLS - 1):
        z, x_hat = by_hand(mu[:, :, cell].astype(np.float64), exact)
        np.testing.assert_allclose(whole["z"][0, :, cell], z, rtol=0, atol=tolerance)
        np.testing.assert_allclose(whole["e"][0, :, cell], mu[:, 0, cell] - x_hat, rtol=0, atol=tolerance)


@pytest.mark.parametrize("features", [1, 5])
@pytest.mark.parametrize("library", ["numpy", "flax"])
def test_what_needs_nothing_installed_is_the_network(library: str, features: int) -> None:
    mu, w = member(features)
    network = numpy_network(w) if library == "numpy" else flax_network(w, chunk=16, unroll=1)
    compared(network_rivals.over_chunks(network, mu, np.ones((LAYERS, CELLS), bool), 16)(), mu, w)


@pytest.mark.parametrize("features", [1, 5])
@pytest.mark.parametrize("name", ["torch.nn.LSTM float32", "torch.nn.LSTM bfloat16", "ONNX Runtime"])
def test_what_is_installed_is_the_network(name: str, features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mu, w = member(features)
    rival = network_rivals.rivals(mu, np.ones((LAYERS, CELLS), bool), w)[name]
    if isinstance(rival, Missing):
        assert "not installed" in rival.reason
        pytest.skip(rival.reason)
    compared(rival(), mu, w, 0.05 if "bfloat16" in name else 1e-5)


def test_a_rival_without_its_library_says_so() -> None:
    mu, w = member(1)
    found = network_rivals.rivals(mu, np.ones((LAYERS, CELLS), bool), w)
    for name, library in (("torch.nn.LSTM float32", "torch"), ("ONNX Runtime", "onnxruntime")):
        assert isinstance(found[name], Missing) == (importlib.util.find_spec(library) is None)


@pytest.mark.parametrize(
    ("cores", "inside", "names"),
    [
        (1, "BLAS threads", ["chunks of 8", "chunks of 16"]),
        (
            2,
            "BLAS threads",
            ["chunks of 8, 2 BLAS threads", "chunks of 8, 2 Python threads", "chunks of 16, 2 BLAS threads",
             "chunks of 16, 2 Python threads"],
        ),
        (2, "", ["chunks of 8, 2 Python threads", "chunks of 16, 2 Python threads"]),
    ],
)  # fmt: skip
def test_every_way_gives_all_cells(cores: int, inside: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_rivals, "cores_here", lambda: cores)
    mu, w = member(1)
    told: list[int] = []
    library = network_rivals.Library(lambda _chunk, _threads: numpy_network(w), told.append, inside)
    valid = np.ones((LAYERS, CELLS), bool)
    found = dict(network_rivals.ways(mu, valid, library, (8, 16)))
    assert list(found) == names
    for build in found.values():
        compared(build(CELLS)(), mu, w)
    assert set(told) == ({1, 2} if cores > 1 and inside else {1})


def test_chunks_that_hold_all_cells_are_tried_once() -> None:
    mu, w = member(1)
    library = network_rivals.Library(lambda _chunk, _threads: numpy_network(w), lambda _threads: None, "")
    every = network_rivals.ways(mu[..., :6], np.ones((LAYERS, 6), bool), library, (4, 8, 16, 32))
    assert {name.split(",")[0] for name, _ in every} <= {"chunks of 4", "chunks of 8"}


def test_the_fastest_way_is_taken_and_told() -> None:
    built: list[tuple[str, int]] = []

    def way(name: str, seconds: float) -> Callable[[int], ways.Call]:
        def build(cells: int) -> ways.Call:
            built.append((name, cells))
            return lambda: time.sleep(seconds) or name

        return build

    tuned = ways.Tuned({"slow": way("slow", 0.05), "fast": way("fast", 0.0)}, cells=10**9)
    assert tuned.how == ""
    assert tuned() == tuned() == "fast"
    assert tuned.how == "fast"
    assert built[2:] == [("fast", 10**9)], "the whole input is prepared for the chosen way only"
    assert all(cells < 10**6 for _, cells in built[:2])


def test_parts_are_all_cells() -> None:
    for cells, count in ((10, 3), (2, 5), (7, 1)):
        covered = [at for piece in ways.parts(cells, count) for at in range(cells)[piece]]
        assert covered == list(range(cells))


def test_operations_by_hand() -> None:
    arrays = inputs.network(np.random.default_rng(0), 1, 8, 32, 8)
    products = 8 * 128 + 7 * 32 * 128 + 32 * 8 + 8 * 128 + 7 * 32 * 128 + 8 * 32
    assert network_cases.operations(arrays) == 2 * products + 2 * 42 * 2 * 8 * 32
    assert 2 * products == pytest.approx(120e3, rel=0.01)


def test_memberships_of_one_feature_may_come_without_it() -> None:
    assert with_features(np.zeros((3, 4))).shape == (3, 1, 4)
    assert with_features(np.zeros((3, 2, 4))).shape == (3, 2, 4)


def test_ceilings_are_of_all_cores() -> None:
    assert ceilings.multiply_add_rate(1, repeats=1) > 1e9
    assert ceilings.product_rate(2, side=64, repeats=1) > 1e8


def test_each_number_of_cores_is_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def started(command: list[str], check: bool) -> SimpleNamespace:
        commands.append(command[2:])
        return SimpleNamespace(returncode=len(commands) - 1)

    monkeypatch.setattr(ways.subprocess, "run", started)
    assert run.main(["--case", "lstm", "--cores", "1", "2"]) == 1, "the worst of both"
    assert [command[-2:] for command in commands] == [["--cores", "1"], ["--cores", "2"]]
    assert all(command[1:3] == ["--case", "lstm"] for command in commands)


def test_other_cases_have_one_core(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["--case", "label", "--cores", "2"])
    assert "of the others one core is timed" in capsys.readouterr().err
