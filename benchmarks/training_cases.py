"""What is trained to be timed: a made-up sample of complete cells, our program, and the loop of torch.

The gate compares one loss and its gradient: ours with the definition of the network in float64, torch's with ours from
the same parameters. What follows, random draws and optimiser, differs in the order of its sums and is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mpmjax.autoencoder.network import export, masked_loss
from mpmjax.autoencoder.training import (
    EVALUATE_EVERY,
    Plan,
    TrainingConfig,
    member_arrays,
    plan_members,
    train_ensemble,
)
from mpmjax.ops.lstm import Scorer
from mpmjax.reference import lstm as definition
from mpmjax.scoring.anomaly import residual_scale, surprise
from mpmjax.scoring.latent import predicted, regress

from . import training_torch
from .baselines import with_library
from .gate import Case, Missing, Verdict, close
from .network_cases import HIDDEN, LATENT, LAYERS, products, told_cores
from .ways import Call, Tuned, cores_here, side_by_side

SIDE = 141
"""Rows and columns of the sample: about the 20,000 cells that are the default."""
BATCH = 512
"""The default of a batch."""
TOLERANCE = 1e-5
JUDGED = 256
"""Cells of the gate."""

DEADLOCK = "with two threads, XLA on a CPU waits for itself for ever in a vmapped training now and then (jax 0.10.2)"

CONFIG = TrainingConfig(
    layers=LAYERS, hidden=HIDDEN, latent=LATENT, steps=600, batch=BATCH, learning_rate=3e-3, weight_decay=1e-4,
    loss="huber", layer_dropout=0.1, patience=6,
)  # fmt: skip
"""The defaults of a project."""


def sample(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Memberships float32 [n, L] of complete cells that follow three unseen fields, and the cells' rows and columns."""
    rng = np.random.default_rng(seed)
    rows, cols = np.divmod(np.arange(SIDE * SIDE), SIDE)
    waves = [np.sin(rows / 9.0) + np.cos(cols / 13.0), np.sin((rows + cols) / 17.0), np.cos((rows - 2 * cols) / 29.0)]
    mixed = np.stack(waves, axis=1) @ rng.normal(size=(3, LAYERS)) + 0.4 * rng.normal(size=(SIDE * SIDE, LAYERS))
    return (1 / (1 + np.exp(-1.5 * mixed))).astype(np.float32), rows, cols


def training(members: int, batch: int, steps: int, seed: int, *, compiled: bool) -> Case:
    """So many members with so many steps; a unit of work is a cell in a batch."""
    mu, rows, cols = sample(seed)
    valid = np.ones(mu.shape, bool)
    config = replace(CONFIG, batch=batch, steps=steps, patience=10**9)
    plan = plan_members(rows, cols, members, LAYERS, seed)
    work = members * batch * config.rounds * EVALUATE_EVERY
    run = partial(train_ensemble, mu, valid, plan, config)
    rivals: dict[str, Call | Missing] = {"torch, the same loop": _of_torch(mu, plan, config, compiled)}
    if members > 1:
        rivals["ours, vmapped"] = partial(run, vmapped=True) if cores_here() == 1 else Missing(DEADLOCK)
    # Backward, each product is two: one for the gradient of its weights, one for that of its input.
    operations = 3 * 2 * products(LAYERS, 1, HIDDEN, LATENT)
    return Case(
        variant=f"E = {members}, batch {batch}, {config.rounds * EVALUATE_EVERY} steps, H = {HIDDEN}, d = {LATENT}, "
        f"L = {LAYERS}, {told_cores()}",
        unit="samples",
        work=work,
        bytes_moved=0,
        operations=operations * work,
        op=partial(run, vmapped=False, workers=cores_here()),
        reference=lambda: _defined(mu, plan),
        judge=lambda trained, wanted: _judge(trained, wanted, mu, plan),
        why="float32 through 16 LSTM steps and a mean",
        rivals=rivals,
    )


def _judge(trained: Any, wanted: float, mu: np.ndarray, plan: Plan) -> Verdict:
    """Of the loss before training; and that every member's loss fell below it while training."""
    if not (np.nanmin(trained.held_out_loss, axis=1) < 0.9 * wanted).all():
        return Verdict(np.inf, TOLERANCE, f"losses {np.nanmin(trained.held_out_loss, axis=1)} after {wanted:.3f}")
    loss, _ = _ours(mu, plan)
    return close(np.asarray(loss, np.float64), np.asarray(wanted), TOLERANCE)


def _params(mu: np.ndarray, plan: Plan) -> Any:
    """Parameters of the first member that are not trained yet."""
    x, valid = jnp.asarray(mu[:1, :, None]), jnp.ones((1, LAYERS), bool)
    return CONFIG.network.init(jax.random.key(int(plan.seed[0])), x, valid, valid, plan.order[0])["params"]


def _ours(mu: np.ndarray, plan: Plan) -> tuple[Any, Any]:
    """Loss and gradient of the first member's untrained parameters."""
    x, valid = jnp.asarray(mu[:JUDGED, :, None]), jnp.ones((JUDGED, LAYERS), bool)

    def loss(params: Any) -> jax.Array:
        x_hat = jnp.asarray(CONFIG.network.apply({"params": params}, x, valid, valid, plan.order[0]))
        return masked_loss(x, x_hat, valid, CONFIG.loss)

    return jax.value_and_grad(loss)(_params(mu, plan))


def _defined(mu: np.ndarray, plan: Plan) -> float:
    """The same loss by the definition, float64."""
    arrays = {"order": plan.order[:1]} | {name: a[None] for name, a in export(_params(mu, plan)).items()}
    x = mu[:JUDGED].astype(np.float64)
    _, x_hat = definition.reconstruct(x, np.ones(x.shape, bool), arrays, 0)
    error = np.abs(x - x_hat)
    return float(np.where(error <= 0.1, error**2, 0.2 * error - 0.01).mean())


def _of_torch(mu: np.ndarray, plan: Plan, config: TrainingConfig, compiled: bool) -> Call | Missing:
    def build(torch: ModuleType) -> Call | Missing:
        wrong = torch_refusal(torch, mu, plan)
        if wrong:
            return Missing(f"computes something else: {wrong}")
        return Tuned(_torch_ways(torch, mu, plan, config, compiled), len(mu))

    return with_library("torch", "torch", build)


def torch_refusal(torch: ModuleType, mu: np.ndarray, plan: Plan) -> str:
    """How torch's loss and gradient differ from ours at the same parameters; empty if they do not."""
    model = training_torch.autoencoder(torch, _params(mu, plan))
    x, order = torch.from_numpy(mu[:JUDGED].copy()), training_torch.member(torch, plan, 0).order
    value = training_torch.loss_of(torch, CONFIG.loss)(model, order, x, torch.ones_like(x, dtype=torch.bool))
    value.backward()
    loss, gradient = _ours(mu, plan)
    given = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    pairs = {
        "loss": (value.item(), float(loss)),
        "encoder": (given["encoder.weight_hh_l0"].T, gradient["encoder"]["wh"]),
        "decoder": (given["decoder.weight_hh_l0"].T, gradient["decoder"]["wh"]),
        "identity": (given["identity.weight"], gradient["identity"]),
    }
    seen = {name: close(np.asarray(theirs), np.asarray(ours), TOLERANCE) for name, (theirs, ours) in pairs.items()}
    return "; ".join(f"{name} {verdict}" for name, verdict in seen.items() if not verdict.passed)


def _torch_ways(
    torch: ModuleType, mu: np.ndarray, plan: Plan, config: TrainingConfig, compiled: bool
) -> dict[str, Callable[[int], Call]]:
    """Members one after the other on torch's threads, or one on each core; eager, or by torch.compile."""
    x, params, cores = torch.from_numpy(mu), _params(mu, plan), cores_here()
    given = [training_torch.member(torch, plan, number) for number in range(len(plan.seed))]

    def some(loss: training_torch.Loss, numbers: range) -> Callable[[], list[float]]:
        model = training_torch.autoencoder(torch, params)
        start = {name: values.clone() for name, values in model.state_dict().items()}
        return lambda: [training_torch.train(torch, model, start, loss, x, given[n], config) for n in numbers]

    def in_turn(compiled: bool, threads: int, _cells: int) -> Call:
        run = some(training_torch.loss_of(torch, config.loss, compiled), range(len(given)))

        def call() -> list[float]:
            torch.set_num_threads(threads)
            return run()

        return call

    def beside(compiled: bool, _cells: int) -> Call:
        loss = training_torch.loss_of(torch, config.loss, compiled)
        runs = [some(loss, range(first, len(given), cores)) for first in range(cores)]
        return side_by_side(runs, lambda: torch.set_num_threads(1))

    kinds = {"eager": False} | ({"torch.compile": True} if compiled else {})
    found: dict[str, Callable[[int], Call]] = {}
    for kind, asked in kinds.items():
        # One thread too: small products are often done before a second one has woken up.
        for threads in {1, cores}:
            found[kind if cores == 1 else f"{kind}, torch threads: {threads}"] = partial(in_turn, asked, threads)
        if cores > 1 and len(given) > 1:
            found[f"{kind}, {cores} Python threads"] = partial(beside, asked)
    return found


def agreement(seed: int, steps: int, members: int = 4) -> str:
    """Members trained together and one by one: weights after the first evaluation, and maps after all steps.

    To be called where JAX was not used before, on one core: see DEADLOCK.
    """
    mu, rows, cols = sample(seed)
    valid = np.ones(mu.shape, bool)
    plan = plan_members(rows, cols, members, LAYERS, seed)
    both = (False, True)
    first = replace(CONFIG, steps=EVALUATE_EVERY)
    early = [jax.tree.leaves(train_ensemble(mu, valid, plan, first, vmapped=way).params) for way in both]
    apart = max(float(np.abs(one - other).max()) for one, other in zip(*early, strict=True))
    full = replace(CONFIG, steps=steps)
    maps = [_maps(member_arrays(train_ensemble(mu, valid, plan, full, vmapped=way), plan), mu) for way in both]
    told = [f"{name} correlates at {np.corrcoef(maps[0][name], maps[1][name])[0, 1]:.6f}" for name in maps[0]]
    return (
        f"{members} members together and one by one (seed {seed}): weights differ by {apart:.1e} at most after "
        f"{EVALUATE_EVERY} steps; after {steps} steps, by cell: {', '.join(told)}."
    )


def _maps(arrays: Mapping[str, np.ndarray], mu: np.ndarray) -> dict[str, np.ndarray]:
    """R and surprise of the sample's cells, means over the members."""
    valid = np.ones(mu.T.shape, bool)
    found = Scorer(arrays).reconstruct(np.ascontiguousarray(mu.T), valid)
    unusual = surprise(found["e"], valid, *residual_scale(found["e"], valid))
    said = predicted(found["z"], *regress(found["z"], mu.mean(axis=1)))
    return {"R": said.mean(axis=0), "surprise": unusual.mean(axis=0)}
