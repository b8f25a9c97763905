"""What is trained to be timed reaches the same weights in every library, and the definition has the right gradient."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mpmjax.autoencoder.network import masked_loss
from mpmjax.autoencoder.training import Plan, TrainingConfig, plan_members, train_ensemble
from mpmjax.benchmarks import training, training_cases, training_flax, training_numpy, training_torch
from mpmjax.benchmarks.gate import Missing
from mpmjax.benchmarks.training_numpy import Draws, Weights

SIDE = 24
CONFIG = replace(training_cases.CONFIG, steps=50, batch=64, layer_dropout=0.0, patience=10**9)


@pytest.fixture(scope="module")
def made() -> tuple[np.ndarray, Plan]:
    mu, rows, cols = training_cases.sample(3, SIDE)
    return mu, plan_members(rows, cols, 2, training_cases.LAYERS, 3)


def given(plan: Plan, member: int, config: TrainingConfig = CONFIG) -> tuple[Weights, Draws]:
    return training_cases.start_of(plan, member), training_cases.draws_of(plan, member, config)


def test_the_sample_is_complete_memberships_that_can_be_learnt() -> None:
    mu, _, _ = training_cases.sample(3)
    assert mu.shape == (training_cases.SIDE**2, training_cases.LAYERS)
    assert mu.dtype == np.float32
    assert mu.min() > 0.0
    assert mu.max() < 1.0
    strongest = np.abs(np.corrcoef(mu.T) - np.eye(training_cases.LAYERS)).max()
    assert strongest > 0.5, "layers that do not hang together teach nothing"


def test_the_definition_has_the_gradient_of_differences(made: tuple[np.ndarray, Plan]) -> None:
    mu, plan = made
    start, draws = given(plan, 1)
    w, x = {name: np.array(values, np.float64) for name, values in start.items()}, mu[:20].astype(np.float64)
    value, gradient = training_numpy.loss_and_gradient(w, x, draws.order)
    assert value == pytest.approx(training_numpy.loss(w, x, draws.order), rel=1e-12)
    rng = np.random.default_rng(0)
    for name, values in w.items():
        at, step = tuple(int(rng.integers(size)) for size in values.shape), 1e-6
        losses = []
        for sign in (1, -1):
            values[at] += sign * step
            losses.append(training_numpy.loss(w, x, draws.order))
            values[at] -= sign * step
        assert gradient[name][at] == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-4, abs=1e-9), name


def test_the_definition_has_the_loss_of_the_package(made: tuple[np.ndarray, Plan]) -> None:
    mu, plan = made
    start, draws = given(plan, 0)
    x, there = jnp.asarray(mu[:, :, None]), jnp.ones(mu.shape, bool)
    key, _ = jax.random.split(jax.random.key(plan.seed[0]))
    params = CONFIG.network.init(key, x, there, there, plan.order[0])
    ours = masked_loss(x, jnp.asarray(CONFIG.network.apply(params, x, there, there, plan.order[0])), there, "huber")
    wide = {name: np.array(values, np.float64) for name, values in start.items()}
    assert training_numpy.loss(wide, mu.astype(np.float64), draws.order) == pytest.approx(float(ours), rel=1e-5)


def test_weights_after_all_steps_agree_and_have_moved(made: tuple[np.ndarray, Plan]) -> None:
    mu, plan = made
    wanted = [training_numpy.train(mu, *given(plan, member), CONFIG, np.float64) for member in (0, 1)]
    trained = train_ensemble(mu, np.ones(mu.shape, bool), plan, CONFIG, vmapped=False)
    verdict = training_cases.judge(trained, wanted)
    assert verdict.passed, str(verdict)
    start, _ = given(plan, 0)
    assert max(np.abs(start[name] - wanted[0][name]).max() for name in start) > 1000 * training_cases.TOLERANCE


def test_the_gate_sees_another_batch_another_rate_and_a_step_too_few(made: tuple[np.ndarray, Plan]) -> None:
    mu, plan = made
    start, draws = given(plan, 0)
    wanted = [training_numpy.train(mu, start, draws, CONFIG, np.float64)]
    one_other = draws.batches.copy()
    one_other[3] = one_other[4]
    wrong: list[tuple[Draws, TrainingConfig]] = [
        (draws._replace(batches=one_other), CONFIG),
        (draws, replace(CONFIG, learning_rate=1.01 * CONFIG.learning_rate)),
        (draws, replace(CONFIG, weight_decay=0.0)),
        (draws._replace(batches=draws.batches[:-1]), CONFIG),
    ]
    for other, config in wrong:
        assert not training_cases.judge([training_numpy.train(mu, start, other, config, np.float64)], wanted).passed


def test_the_gate_sees_what_is_no_number_and_what_is_not_there() -> None:
    wanted = [{"a": np.zeros(2), "b": np.zeros(1)}]
    assert training_cases.judge([{"a": np.zeros(2), "b": np.zeros(1)}], wanted).passed
    assert not training_cases.judge([{"a": np.array([0.0, np.nan]), "b": np.zeros(1)}], wanted).passed
    assert training_cases.judge([{"a": np.zeros(2)}], wanted).complaint
    assert training_cases.judge([], wanted).complaint


def test_float32_numpy_and_flax_reach_the_same_weights(made: tuple[np.ndarray, Plan]) -> None:
    mu, plan = made
    start, draws = given(plan, 1)
    wanted = [training_numpy.train(mu, start, draws, CONFIG, np.float64)]
    in_numpy = training_numpy.train(mu, start, draws, CONFIG, np.float32)
    assert {values.dtype for values in in_numpy.values()} == {np.dtype(np.float32)}, "a rival in float32 is not slowed"
    in_flax = training_flax.member(mu, start, draws, CONFIG)
    for found in (in_numpy, in_flax(), in_flax()):
        assert training_cases.judge([found], wanted).error < training_cases.RIVALS


def test_torch_reaches_the_same_weights_every_time(made: tuple[np.ndarray, Plan]) -> None:
    torch = pytest.importorskip("torch")
    mu, plan = made
    start, draws = given(plan, 1)
    wanted = [training_numpy.train(mu, start, draws, CONFIG, np.float64)]
    call = training_torch.member(torch, mu, start, draws, CONFIG, training_torch.loss_of(torch))
    for found in (call(), call()):
        assert training_cases.judge([found], wanted).error < training_cases.RIVALS


@pytest.mark.parametrize(("members", "cores"), [(1, 1), (2, 1), (2, 2)])
def test_who_is_compared(members: int, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_cases, "cores_here", lambda: cores)
    case = training_cases.case("step", members, 64, 20, 0, SIDE)
    assert case.work == members * 64 * 25, "steps are whole rounds"
    assert isinstance(case.rivals["torch.nn.LSTM, eager"], Missing) == (importlib.util.find_spec("torch") is None)
    told: Any = case.rivals["torch.nn.LSTM, torch.compile"]
    assert isinstance(told, Missing)
    vmapped = case.rivals.get("ours, vmapped")
    assert (vmapped is None) == (members == 1)
    assert isinstance(vmapped, Missing) == (members > 1 and cores > 1)


@pytest.mark.parametrize("cores", [1, 2])
def test_every_way_gives_all_members_in_order(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_cases, "cores_here", lambda: cores)
    told: list[int] = []
    members = [partial(int, number) for number in range(3)]
    ways = training_cases._ways(members, [1, 2], told.append)
    assert len(ways) == 2 + (cores > 1)
    for build in ways.values():
        assert build(0)() == [0, 1, 2]
    assert set(told) == {1, 2}


@pytest.mark.parametrize("wrong", [["--members", "0"], ["--steps", "-1"]])
def test_numbers_that_are_none(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        training.main(wrong)
    assert stopped.value.code == 2
