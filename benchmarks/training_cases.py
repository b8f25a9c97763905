"""The cases of training: some steps of one member, and an epoch, against the same loop elsewhere.

What is timed is `train_ensemble` as it is called, with its looks at the cells held out, on a made-up sample of complete
cells. Everybody starts from the same parameters and takes the same batches, so that the gate can compare the weights
after all steps, with those of a loop in float64 (training_numpy.py). Rivals are given the batches, ours draws them.

Layer dropout is off: nn.LSTM and flax's cell cannot carry a state over a hidden layer. Ours draws its masks none the
less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mpmjax.autoencoder.training import EVALUATE_EVERY, Plan, Trained, TrainingConfig, plan_members, train_ensemble

from . import training_flax, training_torch
from .baselines import with_library
from .gate import Case, Missing, Verdict
from .network_cases import HIDDEN, LATENT, LAYERS, products, told_cores
from .training_numpy import Draws, Weights
from .training_numpy import train as in_numpy
from .ways import Call, Compiled, Tuned, cores_here, parts, side_by_side

SIDE = 157
"""Rows and columns of the sample at most, as many as the gate's: JAX compiles once. 50 batches of 512 are its cells
once, and 4 % of them twice."""
BATCH = 512
"""The default of a project."""
STEP_BATCHES = (256, 1024)
"""Of the rows that tell a step; the epochs tell that of 512."""
TOLERANCE = 1e-5
RIVALS = 1e-4

DEADLOCK = "with two threads, XLA on a CPU waits for itself for ever in a vmapped training now and then (jax 0.10.2)"
OTHER_BATCH = f"compiled for batches of {BATCH} only, the rows of an epoch: each size takes it half a minute or more"

CONFIG = TrainingConfig(
    layers=LAYERS, hidden=HIDDEN, latent=LATENT, steps=600, batch=BATCH, learning_rate=3e-3, weight_decay=1e-4,
    loss="huber", layer_dropout=0.1, patience=6,
)  # fmt: skip
"""The defaults of a project."""

Given = tuple[Weights, Draws]
"""What a member starts from and trains on."""


def train(rng: np.random.Generator, side: int) -> Iterator[Case]:
    """25 steps of one member with small and with large batches, and an epoch of as many members as there are cores."""
    seed, side = int(rng.integers(2**31)), min(side, SIDE)
    for batch in STEP_BATCHES:
        yield case("step", 1, batch, EVALUATE_EVERY, seed, side)
    yield case("epoch", cores_here(), BATCH, -(-side * side // BATCH), seed, side)


def case(name: str, members: int, batch: int, steps: int, seed: int, side: int) -> Case:
    """So many members with so many steps, rounded up to whole rounds; a unit of work is a cell in a batch."""
    mu, rows, cols = sample(seed, side)
    config = replace(CONFIG, batch=batch, steps=steps, patience=10**9, layer_dropout=0.0)
    config = replace(config, steps=config.rounds * EVALUATE_EVERY)
    plan = plan_members(rows, cols, members, LAYERS, seed)
    work = members * batch * config.steps
    run = partial(train_ensemble, mu, np.ones(mu.shape, bool), plan, config)
    op = partial(run, vmapped=False, workers=cores_here())
    given = [(start_of(plan, member), draws_of(plan, member, config)) for member in range(members)]
    rivals = _rivals(mu, given, config)
    if members > 1:
        rivals["ours, vmapped"] = partial(run, vmapped=True) if cores_here() == 1 else Missing(DEADLOCK)

    def defined() -> list[Weights]:
        return [in_numpy(mu, start, draws, config, np.float64) for start, draws in given]

    return Case(
        variant=f"{name}, E = {members}, {config.steps} steps of {batch}, H = {HIDDEN}, d = {LATENT}, L = {LAYERS}, "
        f"{told_cores()}",
        unit="samples",
        work=work,
        bytes_moved=0,
        # Backward, each product is two: one for the gradient of its weights, one for that of its input.
        operations=3 * 2 * products(LAYERS, 1, HIDDEN, LATENT) * work,
        op=op,
        reference=defined,
        judge=judge,
        why=f"weights after {config.steps} steps in float32, each a sum over the batch; a hundred times less than they "
        "move in as many steps",
        rivals=rivals,
        rival_tolerance=RIVALS,
        clock_reference=False,
        spot=lambda: judge(op(), defined()),
    )


def sample(seed: int, side: int = SIDE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Memberships float32 [n, L] of complete cells that follow three unseen fields, and the cells' rows and columns."""
    rng = np.random.default_rng(seed)
    rows, cols = np.divmod(np.arange(side * side), side)
    waves = [np.sin(rows / 9.0) + np.cos(cols / 13.0), np.sin((rows + cols) / 17.0), np.cos((rows - 2 * cols) / 29.0)]
    mixed = np.stack(waves, axis=1) @ rng.normal(size=(3, LAYERS)) + 0.4 * rng.normal(size=(side * side, LAYERS))
    return (1 / (1 + np.exp(-1.5 * mixed))).astype(np.float32), rows, cols


def start_of(plan: Plan, member: int) -> Weights:
    """A member's parameters before training, as train_ensemble makes them of its seed."""
    key, _ = jax.random.split(jax.random.key(plan.seed[member]))
    x, there = jnp.zeros((1, LAYERS, 1)), jnp.ones((1, LAYERS), bool)
    return flat(CONFIG.network.init(key, x, there, there, plan.order[member])["params"])


def draws_of(plan: Plan, member: int, config: TrainingConfig) -> Draws:
    """The batches that train_ensemble draws for a member."""
    _, key = jax.random.split(jax.random.key(plan.seed[member]))
    train = plan.train[member]

    @jax.jit
    def places(number: jax.Array) -> jax.Array:
        key_rows, _ = jax.random.split(jax.random.fold_in(key, number))
        return jax.random.randint(key_rows, (config.batch,), 0, len(train))

    batches = np.stack([train[np.asarray(places(jnp.array(number)))] for number in range(config.steps)])
    return Draws(plan.order[member], batches, plan.held_out[member])


def flat(params: Mapping[str, Any], prefix: str = "") -> Weights:
    """Parameters by the path of their names."""
    found: Weights = {}
    for name, value in params.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: np.asarray(value)}
    return found


def judge(got: Any, wanted: list[Weights]) -> Verdict:
    """The largest difference of any weight of any member; `got` is what train_ensemble gives, or a rival's list."""
    found = members_of(got) if isinstance(got, Trained) else list(got)
    names = [sorted(member) for member in (*found, *wanted)]
    if len(found) != len(wanted) or names.count(names[0]) != len(names):
        return Verdict(np.inf, TOLERANCE, f"{len(found)} members of {names[0]}, not {len(wanted)} of {names[-1]}")
    apart = [
        np.abs(np.asarray(one[name], np.float64) - other[name]).max()
        for one, other in zip(found, wanted, strict=True)
        for name in names[0]
    ]
    return Verdict(float(np.max(apart)), TOLERANCE)


def members_of(trained: Trained) -> list[Weights]:
    """The weights of each member."""
    whole = flat(trained.params)
    return [{name: values[member] for name, values in whole.items()} for member in range(len(trained.best_round))]


def _rivals(mu: np.ndarray, given: list[Given], config: TrainingConfig) -> dict[str, Call | Missing]:
    numpy = [partial(in_numpy, mu, start, draws, config, np.float32) for start, draws in given]
    flax = [training_flax.member(mu, start, draws, config) for start, draws in given]
    compiled = Missing(OTHER_BATCH) if config.batch != BATCH else _of_torch(mu, given, config, compiled=True)
    return {
        "NumPy float32, gradients by hand": Tuned(_ways(numpy, [1]), len(mu)),
        "torch.nn.LSTM, eager": _of_torch(mu, given, config, compiled=False),
        "torch.nn.LSTM, torch.compile": compiled,
        "flax nnx.RNN, a jitted step": Tuned(_ways(flax, [cores_here()]), len(mu)),
    }


def _of_torch(mu: np.ndarray, given: list[Given], config: TrainingConfig, *, compiled: bool) -> Call | Missing:
    def build(torch: ModuleType) -> Call | Missing:
        loss = training_torch.compiled_loss(torch) if compiled else training_torch.loss_of(torch)
        members = [training_torch.member(torch, mu, start, draws, config, loss) for start, draws in given]
        # One thread too: small products are often done before a second one has woken up.
        call = Tuned(_ways(members, sorted({1, cores_here()}), torch.set_num_threads), len(mu))
        if not compiled:
            return call
        return Compiled(call, training_torch.once(torch, mu, *given[0], config, loss))

    return with_library("torch", "torch", build)


def _ways(
    members: list[Call], threads: list[int], tell: Callable[[int], Any] = lambda _count: None
) -> dict[str, Callable[[int], Call]]:
    """Members one after the other with so many threads of the library, or some on each core."""

    def in_turn(count: int, _cells: int) -> Call:
        def call() -> list[Weights]:
            tell(count)
            return [member() for member in members]

        return call

    def beside(_cells: int) -> Call:
        each = parts(len(members), cores_here())
        together = side_by_side([lambda own=own: [one() for one in members[own]] for own in each], lambda: tell(1))

        def call() -> list[Weights]:
            tell(1)
            return [weights for some in together() for weights in some]

        return call

    found: dict[str, Callable[[int], Call]] = {f"threads: {count}": partial(in_turn, count) for count in threads}
    if min(cores_here(), len(members)) > 1:
        found[f"{cores_here()} Python threads"] = beside
    return found
