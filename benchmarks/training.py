"""Whether it matters how members are trained, together or one by one: python -m mpmjax.benchmarks.training.

How far members that are vmapped and the same ones trained one by one differ, in their weights after 25 steps and in the
maps after all. How fast they are trained is the case `train` of mpmjax.benchmarks.run. One core: see DEADLOCK there.

Exit status: 0 it was told, 2 usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import jax
import numpy as np

from mpmjax.autoencoder.training import EVALUATE_EVERY, member_arrays, plan_members, train_ensemble
from mpmjax.ops.lstm import Scorer
from mpmjax.scoring.anomaly import residual_scale, surprise
from mpmjax.scoring.latent import predicted, regress

from . import machine
from .network_cases import LAYERS
from .training_cases import CONFIG, sample


def main(argv: Sequence[str] | None = None) -> int:
    """Compare what a command line asks for; returns the exit status."""
    options = _options(argv)
    with machine.on_cores(1):
        print(agreement(options.seed, options.steps, options.members))
    return 0


def agreement(seed: int, steps: int, members: int) -> str:
    """Members trained together and one by one: weights after the first evaluation, and maps after all steps.

    To be called where JAX was not used before, on one core.
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


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m mpmjax.benchmarks.training", description="Members trained together and one by one."
    )
    parser.add_argument("--steps", type=int, default=600, help="of the maps that are compared (600)")
    parser.add_argument("--members", type=int, default=4, help="of the ensemble (4)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    if min(options.steps, options.members) < 1:
        parser.error("numbers must be at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
