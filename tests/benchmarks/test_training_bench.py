"""What is trained to be timed is the same network, with the same loss and gradient, in every library."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from mpmjax.autoencoder.training import Plan, plan_members
from mpmjax.benchmarks import training, training_cases, training_torch
from mpmjax.benchmarks.gate import Missing


@pytest.fixture(scope="module")
def made() -> tuple[np.ndarray, Plan]:
    mu, rows, cols = training_cases.sample(3)
    return mu, plan_members(rows, cols, 2, training_cases.LAYERS, 3)


def test_the_sample_is_complete_memberships_that_can_be_learnt(made: tuple[np.ndarray, Plan]) -> None:
    mu, _ = made
    assert mu.shape == (training_cases.SIDE**2, training_cases.LAYERS)
    assert mu.dtype == np.float32
    assert mu.min() > 0.0
    assert mu.max() < 1.0
    strongest = np.abs(np.corrcoef(mu.T) - np.eye(training_cases.LAYERS)).max()
    assert strongest > 0.5, "layers that do not hang together teach nothing"


def test_the_gate_sees_a_wrong_loss(made: tuple[np.ndarray, Plan]) -> None:
    mu, plan = made
    wanted = training_cases._defined(mu, plan)
    fell, rose = np.array([[0.5], [0.6]]) * wanted, np.array([[0.5], [1.0]]) * wanted

    class Trained:
        held_out_loss = fell

    assert training_cases._judge(Trained, wanted, mu, plan).passed
    assert not training_cases._judge(Trained, 1.01 * wanted, mu, plan).passed
    Trained.held_out_loss = rose
    assert "losses" in training_cases._judge(Trained, wanted, mu, plan).complaint


def test_torch_has_our_loss_and_gradient(made: tuple[np.ndarray, Plan]) -> None:
    torch = pytest.importorskip("torch")
    assert training_cases.torch_refusal(torch, *made) == ""


def test_torch_learns(made: tuple[np.ndarray, Plan]) -> None:
    torch = pytest.importorskip("torch")
    mu, plan = made
    model = training_torch.autoencoder(torch, training_cases._params(mu, plan))
    start = {name: values.clone() for name, values in model.state_dict().items()}
    loss, given = training_torch.loss_of(torch, "huber"), training_torch.member(torch, plan, 0)
    config = training_cases.replace(training_cases.CONFIG, steps=25, batch=64)
    reached = training_torch.train(torch, model, start, loss, torch.from_numpy(mu), given, config)
    assert reached < 0.9 * training_cases._defined(mu, plan)


@pytest.mark.parametrize(("members", "cores"), [(1, 1), (2, 1), (2, 2)])
def test_who_is_compared(members: int, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_cases, "cores_here", lambda: cores)
    case = training_cases.training(members, 64, 25, 0, compiled=False)
    assert case.work == members * 64 * 25
    assert isinstance(case.rivals["torch, the same loop"], Missing) == (importlib.util.find_spec("torch") is None)
    vmapped = case.rivals.get("ours, vmapped")
    assert (vmapped is None) == (members == 1)
    assert isinstance(vmapped, Missing) == (members > 1 and cores > 1)


@pytest.mark.parametrize("wrong", [["--batches", "0"], ["--cores", "0"], ["--steps", "-1"]])
def test_numbers_that_are_none(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        training.main(wrong)
    assert stopped.value.code == 2
