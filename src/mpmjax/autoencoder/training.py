"""Training of the ensemble: each member one jitted program, a scan over steps inside a loop over evaluations.

Members differ by seed, by the order of layers and by a bootstrap of spatial blocks; blocks held out by a member tell
it when to stop. On a GPU the members are vmapped; on a CPU the same program runs for each member, a few side by side,
which is quicker there. Both give the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from mpmjax.autoencoder.network import Autoencoder, export, latent_size, masked_loss
from mpmjax.project_sections import ModelSection
from mpmjax.stream.prefetch import ordered_map, worker_count

EVALUATE_EVERY = 25
"""Steps between two looks at the held-out blocks."""


@dataclass(frozen=True)
class TrainingConfig:
    """Sizes and rates; hashable, so that it is a constant of the compiled program."""

    layers: int
    hidden: int
    latent: int
    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    loss: str
    layer_dropout: float
    patience: int
    trim: float = 0.0
    """Share of the cells of a batch, and of those held out, that are left out of the loss as the worst; in [0, 0.5)."""

    @property
    def rounds(self) -> int:
        return max(1, -(-self.steps // EVALUATE_EVERY))

    @property
    def network(self) -> Autoencoder:
        return Autoencoder(self.layers, self.hidden, self.latent)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        schedule = optax.cosine_decay_schedule(self.learning_rate, self.rounds * EVALUATE_EVERY, 0.05)
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=self.weight_decay))


def training_config(model: ModelSection, layers: int) -> TrainingConfig:
    """What [model] says of training, for so many layers."""
    return TrainingConfig(
        layers=layers,
        hidden=model.hidden,
        latent=latent_size(model.latent, layers),
        steps=model.steps,
        batch=model.batch,
        learning_rate=model.learning_rate,
        weight_decay=model.weight_decay,
        loss=model.loss,
        layer_dropout=model.layer_dropout if layers > 2 else 0.0,  # of two layers none can be spared
        patience=model.patience,
        trim=model.trim,
    )


class Plan(NamedTuple):
    """What makes a member itself: seed, order of layers [L], sample rows to train on [n] and to stop by [v]."""

    seed: Any
    order: Any
    train: Any
    held_out: Any


class Trained(NamedTuple):
    """Parameters of the best evaluation, and the course of the loss (NaN after the stop), [rounds] each."""

    params: Any
    train_loss: Any
    held_out_loss: Any
    best_round: Any


class _Progress(NamedTuple):
    params: Any
    optimiser: Any
    best: Any
    best_loss: jax.Array
    best_round: jax.Array
    round: jax.Array
    train_loss: jax.Array
    held_out_loss: jax.Array


def plan_members(
    rows: np.ndarray, cols: np.ndarray, members: int, layers: int, seed: int, held_out: int = 2048, first: int = 0
) -> Plan:
    """Seeds, orders and spatial block bootstraps of E members, which do not depend on how many there are.

    The sample is cut into about 10 x 10 blocks. Each member holds out 15 % of the occupied blocks and trains on
    cells drawn from a bootstrap of the others (blocks with replacement), so that neighbours, which know each other's
    values, are not on both sides.

    Args:
        rows, cols: int [n], the sample's places on the grid.
        members: E.
        held_out: v, cells drawn from the blocks held out.
        first: number of the first of them; member 0 has the order of the project.

    Returns:
        Plan with leading axis E.
    """
    n = len(rows)
    side = max(1, int(np.ceil(max(np.ptp(rows), np.ptp(cols)) / 10)))
    _, block = np.unique(np.stack([rows // side, cols // side]), axis=1, return_inverse=True)
    block = block.ravel()
    parts = []
    for member in range(first, first + members):
        rng = np.random.default_rng([seed, member])
        blocks = rng.permutation(block.max() + 1)
        kept_back = blocks[: max(1, round(0.15 * len(blocks)))] if len(blocks) > 1 else blocks[:0]
        outside = np.isin(block, kept_back) if len(kept_back) else rng.uniform(size=n) < 0.15
        if outside.all() or not outside.any():
            outside = np.arange(n) % 7 == 0
        inside_blocks = np.unique(block[~outside])
        drawn = np.bincount(rng.choice(inside_blocks, len(inside_blocks)), minlength=block.max() + 1)[block]
        share = np.where(outside, 0.0, drawn)
        order = np.arange(layers) if member == 0 else rng.permutation(layers)
        parts.append(
            Plan(
                rng.integers(2**31),
                order.astype(np.int32),
                rng.choice(n, n, p=share / share.sum()).astype(np.int32),
                rng.choice(np.flatnonzero(outside), held_out).astype(np.int32),
            )
        )
    return Plan(*(np.stack(column) for column in zip(*parts, strict=True)))


def train_ensemble(
    mu: np.ndarray,
    valid: np.ndarray,
    plan: Plan,
    config: TrainingConfig,
    *,
    vmapped: bool | None = None,
    workers: int | None = None,
) -> Trained:
    """Train all members.

    Args:
        mu: float32 memberships [n, L]; valid: bool [n, L].
        plan: E members.
        vmapped: all members in one program; default: on a GPU only.
        workers: members trained side by side where not vmapped; default: the cores. XLA uses the cores of a small
            program badly: four members took 12.6 s one by one and 4.9 s on two threads of two cores.

    Returns:
        Trained with leading axis E (NumPy arrays). A member whose loss was never finite has best_round -1.
    """
    data = jnp.asarray(np.where(valid, mu, 0.0)[..., None], jnp.float32), jnp.asarray(valid)
    if vmapped is None:
        vmapped = jax.default_backend() != "cpu"
    if vmapped:
        return jax.tree.map(np.asarray, _train_all(plan, data, config))

    def one(member: int) -> Trained:
        return jax.tree.map(np.asarray, _train_one(jax.tree.map(lambda a: a[member], plan), data, config))

    members = list(ordered_map(one, range(len(plan.seed)), worker_count(workers)))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *members)


def member_arrays(trained: Trained, plan: Plan) -> dict[str, np.ndarray]:
    """The network's arrays of the scorer (reference/lstm.py), members without a finite loss left out.

    Raises:
        FloatingPointError: no member has a finite loss.
    """
    good = np.flatnonzero(trained.best_round >= 0)
    if not len(good):
        raise FloatingPointError("every member's loss was infinite or NaN from the start; lower the learning rate")
    exported = [export(jax.tree.map(lambda a: a[m], trained.params)) for m in good]  # noqa: B023 - run at once
    stacked: Mapping[str, np.ndarray] = jax.tree.map(lambda *leaves: np.stack(leaves), *exported)
    return {"order": plan.order[good], **stacked}


def _train(plan: Plan, data: tuple[jax.Array, jax.Array], config: TrainingConfig) -> Trained:
    network, optimiser = config.network, config.optimiser
    x, valid = data
    key_init, key_steps = jax.random.split(jax.random.key(plan.seed))
    params = network.init(key_init, x[:1], valid[:1], valid[:1], plan.order)["params"]

    def loss(params, rows, seen_share):
        batch, present = x[rows], valid[rows]
        seen = present & seen_share(present)
        x_hat = jnp.asarray(network.apply({"params": params}, batch, present, seen, plan.order))
        # Judged by the layers that were shown: that a hidden one is not guessed makes no cell unusual.
        return masked_loss(batch, x_hat, present, config.loss, trim=config.trim, judged=seen)

    def step(carry, number):
        params, state = carry
        key_rows, key_drop = jax.random.split(jax.random.fold_in(key_steps, number))
        rows = plan.train[jax.random.randint(key_rows, (config.batch,), 0, len(plan.train))]
        keep = partial(_keep, key_drop, config.layer_dropout)
        value, gradient = jax.value_and_grad(loss)(params, rows, keep)
        update, state = optimiser.update(gradient, state, params)
        return (optax.apply_updates(params, update), state), value

    def evaluation(p: _Progress) -> _Progress:
        numbers = p.round * EVALUATE_EVERY + jnp.arange(EVALUATE_EVERY)
        (params, state), values = lax.scan(step, (p.params, p.optimiser), numbers)
        held_out = loss(params, plan.held_out, jnp.ones_like)
        better = held_out < p.best_loss  # False for NaN
        best = jax.tree.map(partial(jnp.where, better), params, p.best)
        return _Progress(
            params,
            state,
            best,
            jnp.where(better, held_out, p.best_loss),
            jnp.where(better, p.round, p.best_round),
            p.round + 1,
            p.train_loss.at[p.round].set(values.mean()),
            p.held_out_loss.at[p.round].set(held_out),
        )

    def unfinished(p: _Progress) -> jax.Array:
        return (p.round < config.rounds) & (p.round - p.best_round <= config.patience)

    course = jnp.full(config.rounds, jnp.nan)
    start = _Progress(
        params, optimiser.init(params), params, jnp.array(jnp.inf), jnp.array(-1), jnp.array(0), course, course
    )
    end = lax.while_loop(unfinished, evaluation, start)
    return Trained(end.best, end.train_loss, end.held_out_loss, end.best_round)


def _keep(key: jax.Array, dropout: float, present: jax.Array) -> jax.Array:
    """Layers the encoder is shown; a cell keeps at least its first drawn one by keeping all where none is left."""
    keep = jax.random.uniform(key, present.shape) >= dropout
    return jnp.where((keep & present).any(axis=1, keepdims=True), keep, True)


_train_one = jax.jit(_train, static_argnums=2)
_train_all = jax.jit(jax.vmap(_train, in_axes=(0, None, None)), static_argnums=2)
