"""How much the maps of a district move by the order of layers alone, and by the seed alone.

The order in which an LSTM reads the layers of a cell is arbitrary. So every member of the ensemble reads them in its
own, and this tells what that costs or gives beside the other things that tell members apart:

    order   the same seed, the same cells, another order of layers
    seed    the same order, the same cells, another seed: other first weights, other batches
    cells   the same order and seed, another bootstrap of spatial blocks
    all     all three, as in the ensemble of a run

Each row trains members that differ in nothing else and says, in Spearman's correlation over the cells of the sample,
how alike the maps of two of them are (mean and least of all pairs), and those of two halves of them (even and odd).
R is what a member's latent says of favourability, anomaly its surprise. No label is looked at.

    python -m mpmjax.benchmarks.method.ensemble_noise examples/cloncurry_iocg.toml another.toml --members 8
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import permutations
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from mpmjax.autoencoder.training import Plan, member_arrays, plan_members, train_ensemble
from mpmjax.ops.lstm import Scorer
from mpmjax.pipeline import prepare
from mpmjax.project import load_project
from mpmjax.project_sections import ModelSection
from mpmjax.scoring.anomaly import residual_scale, surprise
from mpmjax.scoring.latent import predicted, regress, split_half
from mpmjax.scoring.weights import favourability, layer_weights
from mpmjax.stages.fuzzify import fuzzify
from mpmjax.stages.sample import sample
from mpmjax.stages.train import training_config
from mpmjax.types import FuzzySample

VARIED = ("order", "seed", "cells", "all")
HEADER = (
    f"{'district':<16} {'varied':<7} {'members':>7}   {'R: pairs':>8} {'least':>6} {'halves':>6}"
    f"   {'anomaly: pairs':>14} {'least':>6} {'halves':>6}   {'loss held out':>13}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("projects", nargs="+", type=Path, help="project files")
    parser.add_argument("--members", type=int, default=8, help="members a row (2 or more)")
    parser.add_argument("--workers", type=int, default=None, help="members trained side by side; default: the cores")
    asked = parser.parse_args()
    print(HEADER)
    for file in asked.projects:
        model, fuzzy, weights = fuzzy_sample(file)
        for varied in VARIED:
            plan = plan_of(varied, model, fuzzy, asked.members)
            print(f"{file.stem:<16.16} {varied:<7} " + row(model, fuzzy, weights, plan, asked.workers), flush=True)


def fuzzy_sample(file: Path) -> tuple[ModelSection, FuzzySample, np.ndarray]:
    """[model] of a project, its sample in memberships, and the weights of its layers: as a run has them."""
    project = load_project(file)
    model, workers = project.model, project.stream.workers
    with tempfile.TemporaryDirectory() as folder:
        evidence = prepare(project, folder)
        drawn = sample(evidence, model.sample, model.min_coverage, model.seed, workers)
        fuzzy = fuzzify(project, evidence, drawn)
    return model, fuzzy, layer_weights(evidence.layers, fuzzy)


def plan_of(varied: str, model: ModelSection, fuzzy: FuzzySample, members: int) -> Plan:
    """Members of a run, made equal in all but what is varied. Orders are drawn without repeats as long as they last.

    Raises:
        ValueError: fewer than two members.
    """
    if members < 2:
        raise ValueError(f"two members at least are compared, got {members}")
    layers = fuzzy.mu.shape[1]
    plan = plan_members(fuzzy.rows, fuzzy.cols, members, layers, model.seed)
    if varied == "all":
        return plan
    first = Plan(*(np.broadcast_to(column[:1], column.shape).copy() for column in plan))
    if varied == "order":
        return first._replace(order=different_orders(layers, members, model.seed))
    if varied == "seed":
        return first._replace(seed=plan.seed)
    return first._replace(train=plan.train, held_out=plan.held_out)


def different_orders(layers: int, members: int, seed: int) -> np.ndarray:
    """Orders int32 [E, L], the project's first, no two the same where there are as many."""
    rng = np.random.default_rng(seed)
    if layers <= 5:  # at most 120: all of them, shuffled
        rest = rng.permutation(list(permutations(range(layers)))[1:])
        return np.resize(np.concatenate([[np.arange(layers)], rest]), (members, layers)).astype(np.int32)
    drawn = {tuple(range(layers)): None}
    while len(drawn) < members:
        drawn[tuple(int(layer) for layer in rng.permutation(layers))] = None
    return np.array(list(drawn), np.int32)


def row(model: ModelSection, fuzzy: FuzzySample, weights: np.ndarray, plan: Plan, workers: int | None) -> str:
    """Train the members of a plan and say how alike they are."""
    mu, valid = np.ascontiguousarray(fuzzy.mu.T), np.ascontiguousarray(fuzzy.valid.T)
    trained = train_ensemble(fuzzy.mu, fuzzy.valid, plan, training_config(model, len(mu)), workers=workers)
    found = Scorer(member_arrays(trained, plan)).reconstruct(mu, valid)
    unusual = surprise(found["e"], valid, *residual_scale(found["e"], valid))
    loss = np.nanmin(trained.held_out_loss, axis=1).mean()
    r = alike(predicted(found["z"], *regress(found["z"], favourability(fuzzy, weights))))
    anomaly = alike(unusual)
    return (
        f"{len(unusual):>7}   {r[0]:>8.3f} {r[1]:>6.3f} {r[2]:>6.3f}"
        f"   {anomaly[0]:>14.3f} {anomaly[1]:>6.3f} {anomaly[2]:>6.3f}   {loss:>13.5f}"
    )


def alike(maps: np.ndarray) -> tuple[float, float, float]:
    """Spearman's correlations of maps [E, n]: mean and least over all pairs, and that of the halves' means."""
    pairs = np.corrcoef(rankdata(maps, axis=1))[np.triu_indices(len(maps), 1)]
    return float(pairs.mean()), float(pairs.min()), split_half(maps)


if __name__ == "__main__":
    main()
