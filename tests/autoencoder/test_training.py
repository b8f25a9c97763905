"""Training: members alone and together, what they hold back, when they stop, and what happens to those that diverge."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from tolerances import VMAPPED_WEIGHTS, assert_close, assert_same_bits

from mpmjax.autoencoder.training import (
    EVALUATE_EVERY,
    Plan,
    Trained,
    TrainingConfig,
    member_arrays,
    plan_members,
    train_ensemble,
)
from mpmjax.reference.lstm import reconstruct

SIDE = 25
CELLS = SIDE * SIDE
MEMBERS = 3
MAIN = TrainingConfig(
    layers=4, hidden=12, latent=2, steps=150, batch=64, learning_rate=2e-2, weight_decay=1e-4, loss="huber",
    layer_dropout=0.1, patience=3,
)  # fmt: skip
"""Each other configuration is another program to compile, which takes longer than running it."""
ROWS, COLS = np.divmod(np.arange(CELLS), SIDE)


def district(layers: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Memberships float32 [n, L] that hang together through one unseen cause, a tenth of them missing."""
    rng = np.random.default_rng(seed)
    cause = np.sin(ROWS / 4.0) + np.cos(COLS / 5.0)
    mu = 1 / (1 + np.exp(-2.0 * cause[:, None] * rng.choice([-1, 1], layers) - 0.3 * rng.normal(size=(CELLS, layers))))
    valid = rng.uniform(size=mu.shape) < 0.9
    valid[np.arange(CELLS), rng.integers(0, layers, CELLS)] = True
    return mu.astype(np.float32), valid


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_members(ROWS, COLS, MEMBERS, MAIN.layers, seed=1)


@pytest.fixture(scope="module")
def trained(plan: Plan) -> Trained:
    return train_ensemble(*district(MAIN.layers), plan, MAIN, vmapped=False)


def huber(error: np.ndarray) -> np.ndarray:
    error = np.abs(error)
    return np.where(error <= 0.1, error**2, 0.2 * error - 0.01)


def test_vmapped_and_one_by_one_give_the_same_weights(plan: Plan, trained: Trained) -> None:
    together = train_ensemble(*district(MAIN.layers), plan, MAIN, vmapped=True)
    for one, both in zip(jax.tree.leaves(trained.params), jax.tree.leaves(together.params), strict=True):
        assert_close(both, one, VMAPPED_WEIGHTS)
    assert_close(together.held_out_loss, trained.held_out_loss, VMAPPED_WEIGHTS)
    assert np.array_equal(together.best_round, trained.best_round)


def test_the_same_seed_gives_the_same_bits(plan: Plan, trained: Trained) -> None:
    """Whoever trains beside them, and on however many threads."""
    alone = Plan(*(column[1:2] for column in plan))
    again = train_ensemble(*district(MAIN.layers), alone, MAIN, vmapped=False, workers=1)
    for first, second in zip(jax.tree.leaves(trained), jax.tree.leaves(again), strict=True):
        assert_same_bits(np.asarray(second[0]), np.asarray(first[1]))


def test_members_differ(plan: Plan, trained: Trained) -> None:
    weights = trained.params["encoder"]["wh"]
    assert np.abs(weights[0] - weights[1]).max() > 0.05
    assert np.abs(weights[1] - weights[2]).max() > 0.05
    assert np.array_equal(plan.order[0], np.arange(MAIN.layers))  # one member has the order of the project


def test_loss_falls_below_that_of_predicting_the_mean(plan: Plan, trained: Trained) -> None:
    """On cells the member was not trained on, by the exported arrays and the definition, not by the trainer's words."""
    mu, valid = district(MAIN.layers)
    arrays = member_arrays(trained, plan)
    for m in range(MEMBERS):
        rows = plan.held_out[m]
        x_hat = reconstruct(mu[rows], valid[rows], arrays, m)[1]
        loss = huber(x_hat - mu[rows])[valid[rows]].mean()
        mean = np.array([mu[plan.train[m]][valid[plan.train[m], layer], layer].mean() for layer in range(MAIN.layers)])
        assert loss < 0.5 * huber(mean - mu[rows])[valid[rows]].mean()
        assert loss == pytest.approx(trained.held_out_loss[m, trained.best_round[m]], rel=1e-3)
        assert trained.train_loss[m, -1] < 0.3 * trained.train_loss[m, 0]


def test_best_round_is_the_lowest_loss_held_out(trained: Trained) -> None:
    assert trained.held_out_loss.shape == trained.train_loss.shape == (MEMBERS, MAIN.rounds) == (3, 6)
    assert np.array_equal(np.argmin(trained.held_out_loss, axis=1), trained.best_round)
    assert np.isfinite(trained.held_out_loss).all()


def test_what_is_trimmed_is_not_learnt(plan: Plan) -> None:
    """8 % of the cells share a combination that no other has: learnt, they are ordinary; trimmed, they stay odd."""
    mu, valid = district(MAIN.layers)
    corners = np.array(np.meshgrid(*[[0.05, 0.95]] * MAIN.layers)).reshape(MAIN.layers, -1).T
    rare = corners[np.argmax([np.abs(mu - corner).mean(axis=1).min() for corner in corners])]
    odd = np.zeros(CELLS, bool)
    odd[np.random.default_rng(7).choice(CELLS, CELLS * 8 // 100, replace=False)] = True
    mu[odd], valid[odd] = rare, True

    def errors(trim: float) -> tuple[np.ndarray, np.ndarray]:
        """Of each member: the median error of the odd cells, and the 95th percentile of the others'."""
        config = dataclasses.replace(MAIN, trim=trim, loss="mse")  # which runs after the odd more than Huber
        arrays = member_arrays(train_ensemble(mu, valid, plan, config, vmapped=False), plan)
        all_errors = [
            np.where(valid, np.abs(reconstruct(mu, valid, arrays, m)[1] - mu), 0.0).sum(axis=1) / valid.sum(axis=1)
            for m in range(MEMBERS)
        ]
        return np.median(np.array(all_errors)[:, odd], axis=1), np.percentile(np.array(all_errors)[:, ~odd], 95, axis=1)

    (learnt, usual), (kept_out, usual_trimmed) = errors(0.0), errors(0.1)
    assert (kept_out > 1.08 * learnt).all()
    assert kept_out.mean() > 1.2 * learnt.mean()
    assert (kept_out / usual_trimmed).mean() > 1.3 * (learnt / usual).mean()


def test_the_held_out_loss_is_trimmed_alike(plan: Plan) -> None:
    """By the exported arrays and the definition: the mean over what the worst tenth of the cells leaves."""
    mu, valid = district(MAIN.layers)
    got = train_ensemble(mu, valid, plan, dataclasses.replace(MAIN, trim=0.1), vmapped=False)
    arrays = member_arrays(got, plan)
    for m in range(MEMBERS):
        rows = plan.held_out[m]
        loss = np.where(valid[rows], huber(reconstruct(mu[rows], valid[rows], arrays, m)[1] - mu[rows]), 0.0)
        kept = np.argsort(loss.sum(axis=1) / valid[rows].sum(axis=1))[: len(rows) - int(0.1 * len(rows))]
        expected = loss[kept].sum() / valid[rows[kept]].sum()
        assert got.held_out_loss[m, got.best_round[m]] == pytest.approx(expected, rel=1e-3)
        assert expected < 0.9 * loss.sum() / valid[rows].sum()


def test_early_stop() -> None:
    """Weights that hardly move never get better after the first look: the member stops after `patience` more."""
    config = TrainingConfig(
        layers=3, hidden=4, latent=1, steps=8 * EVALUATE_EVERY, batch=16, learning_rate=1e-30, weight_decay=0.0,
        loss="mse", layer_dropout=0.0, patience=2,
    )  # fmt: skip
    plan = plan_members(ROWS, COLS, 1, 3, seed=2)
    got = train_ensemble(*district(3), plan, config)
    seen = np.isfinite(got.held_out_loss[0])
    assert seen.tolist() == [True] * 3 + [False] * 5
    assert np.array_equal(np.isfinite(got.train_loss[0]), seen)
    assert np.unique(got.held_out_loss[0][seen]).size == 1
    assert got.best_round.tolist() == [0]


def test_two_layers() -> None:
    """The fewest there can be, in one latent number: the loss halves, and is the one of the exported arrays."""
    config = TrainingConfig(
        layers=2, hidden=4, latent=1, steps=200, batch=32, learning_rate=3e-2, weight_decay=0.0, loss="mse",
        layer_dropout=0.0, patience=20,
    )  # fmt: skip
    plan = plan_members(ROWS, COLS, 2, 2, seed=2)
    mu, valid = district(2)
    got = train_ensemble(mu, valid, plan, config)
    arrays = member_arrays(got, plan)
    for m in range(2):
        rows = plan.held_out[m]
        x_hat = reconstruct(mu[rows], valid[rows], arrays, m)[1]
        best = got.held_out_loss[m].min()
        assert ((x_hat - mu[rows])[valid[rows]] ** 2).mean() == pytest.approx(best, rel=1e-3)
        assert best < 0.5 * np.var(mu[rows][valid[rows]])


def test_a_member_that_diverges_is_left_out(plan: Plan, trained: Trained) -> None:
    """Member 1 trains on broken cells, member 2 only looks at one; member 0 does not know."""
    mu, valid = district(MAIN.layers)
    sound = np.concatenate([plan.train[0], plan.held_out[0], plan.train[2]])
    broken = np.setdiff1d(np.union1d(plan.train[1], plan.held_out[2]), sound)
    assert np.intersect1d(broken, plan.train[1]).size
    assert np.intersect1d(broken, plan.held_out[2]).size
    mu[broken], valid[broken] = np.nan, True
    got = train_ensemble(mu, valid, plan, MAIN, vmapped=False)
    assert got.best_round[1:].tolist() == [-1, -1]
    for leaf, before in zip(jax.tree.leaves(got), jax.tree.leaves(trained), strict=True):
        assert_same_bits(np.asarray(leaf)[0], np.asarray(before)[0])
    arrays = member_arrays(got, plan)
    expected = member_arrays(trained, plan)
    for name, values in arrays.items():
        assert_same_bits(values, expected[name][:1])
    assert not np.isfinite(got.train_loss[1]).any()
    # Member 2 learns well, but nothing it could stop by ever gets better than NaN: it goes on as long as `patience`.
    assert np.isfinite(got.train_loss[2]).tolist() == [True] * 3 + [False] * 3


def test_no_member_left(plan: Plan) -> None:
    mu, valid = district(MAIN.layers)
    got = train_ensemble(np.full_like(mu, np.nan), np.ones_like(valid), plan, MAIN, vmapped=False)
    assert (got.best_round == -1).all()
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        member_arrays(got, plan)


def test_a_learning_rate_that_is_no_number() -> None:
    config = TrainingConfig(
        layers=2, hidden=4, latent=1, steps=10, batch=16, learning_rate=float("nan"), weight_decay=0.0, loss="mse",
        layer_dropout=0.0, patience=1,
    )  # fmt: skip
    plan = plan_members(ROWS, COLS, 2, 2, seed=3)
    got = train_ensemble(*district(2), plan, config)
    assert got.best_round.tolist() == [-1, -1]
    with pytest.raises(FloatingPointError):
        member_arrays(got, plan)


def block_of(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    side = max(1, int(np.ceil(max(np.ptp(rows), np.ptp(cols)) / 10)))
    return (rows // side) * 1_000_000 + cols // side


@pytest.mark.parametrize("seed", range(3))
def test_held_out_blocks_are_not_trained_on(seed: int) -> None:
    """On a ragged sample of a large grid: disjoint by block, about 15 % held back, a bootstrap of the others."""
    rng = np.random.default_rng(seed)
    rows, cols = rng.integers(300, 1300, 3000), rng.integers(20, 900, 3000)
    inside = (rows - 800) ** 2 + (cols - 400) ** 2 < 400**2
    rows, cols = rows[inside], cols[inside]
    block = block_of(rows, cols)
    plan = plan_members(rows, cols, 6, 5, seed)
    for m in range(6):
        trained_on, kept_back = np.unique(block[plan.train[m]]), np.unique(block[plan.held_out[m]])
        assert not np.intersect1d(trained_on, kept_back).size
        assert 0.1 < kept_back.size / np.unique(block).size < 0.2
        # Blocks are drawn with replacement: about 1 / e of those left stay out.
        left = np.unique(block).size - kept_back.size
        assert 0.45 < trained_on.size / left < 0.8
        assert sorted(plan.order[m]) == list(range(5))
    assert plan.train.shape == (6, len(rows))
    assert np.unique(plan.seed).size == 6
    assert np.unique(plan.order, axis=0).shape[0] > 1
    assert len({tuple(np.unique(block[plan.held_out[m]])) for m in range(6)}) == 6


@pytest.mark.parametrize("cells", [2, 3, 5, 50])
@pytest.mark.parametrize("apart", [True, False], ids=["a block each", "one block"])
def test_plans_of_tiny_samples(cells: int, apart: bool) -> None:
    """No crash, nothing trained on that is held out, and something on both sides."""
    rows = np.arange(cells) * 100 if apart else np.zeros(cells, int)
    plan = plan_members(rows, rows, 4, 3, seed=4)
    for m in range(4):
        assert not np.intersect1d(plan.train[m], plan.held_out[m]).size
        assert plan.train[m].size == cells
        assert plan.held_out[m].size


def test_a_plan_does_not_depend_on_the_number_of_members() -> None:
    few, many = (plan_members(ROWS, COLS, members, 4, seed=5) for members in (2, 5))
    for a, b in zip(few, many, strict=True):
        assert_same_bits(a, b[:2])
    for a, b in zip(plan_members(ROWS, COLS, 3, 4, seed=5, first=2), many, strict=True):
        assert_same_bits(a, b[2:])
    other = plan_members(ROWS, COLS, 2, 4, seed=6)
    assert not np.array_equal(other.train, few.train)
