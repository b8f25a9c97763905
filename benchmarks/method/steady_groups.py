"""Whether a district's groups are the same if all is fitted again: other cells in the sample, other members.

    python -m mpmjax.benchmarks.method.steady_groups examples/nanling_li.toml another.toml --seeds 10

A project is fitted with the seeds 0 to 9, each to a sample of its own, and every fit then groups the cells of one more
sample, the base sample, so that the same cells are compared. A row a seed:

- groups: their number, and whether the memberships lie in that many separate clouds;
- halves: the adjusted Rand index of two halves of the ensemble on the fit's own sample;
- and against seed 0, on the base sample: the adjusted Rand index; the share of cells whose group has the same number;
  and whether each group overlaps most with that of its own number, if groups are paired one to one such that most cells
  agree ("matched"). It cannot where the numbers of groups differ.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from mpmjax.ops.lstm import Scorer
from mpmjax.pipeline import prepare
from mpmjax.project import Project, load_project
from mpmjax.scoring.favourability import memberships_of
from mpmjax.scoring.groups import assigned
from mpmjax.scoring.weights import layer_weights
from mpmjax.stages.fuzzify import fuzzify
from mpmjax.stages.group import group
from mpmjax.stages.sample import sample
from mpmjax.stages.train import train
from mpmjax.types import Evidence

BASE_SEED = 12_345
"""Draws the base sample: none of the fits has it."""


@dataclass(frozen=True)
class Fit:
    """One fit's groups.

    Attributes:
        labels: int [n] of the base sample, 0..groups-1.
        groups: their number; separate: whether they are clouds, None where the project states their number.
        halves: adjusted Rand index of two halves of the members, None of one member.
    """

    seed: int
    labels: np.ndarray
    groups: int
    separate: bool | None
    halves: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("projects", nargs="+", type=Path, help="project files")
    parser.add_argument("--seeds", type=int, default=10, help="fits, with the seeds 0, 1, ...")
    parser.add_argument("--members", type=int, help="of an ensemble; default: as the project says")
    asked = parser.parse_args()
    for file in asked.projects:
        project = load_project(file)
        if asked.members:
            project = with_model(project, members=asked.members)
        print(f"### {file.stem}\n")
        print(table(fits(project, asked.seeds)), flush=True)


def fits(project: Project, seeds: int) -> list[Fit]:
    """Fit a project with each seed and group the base sample."""
    with tempfile.TemporaryDirectory() as folder:
        evidence = prepare(project, folder)
        model = project.model
        base = sample(evidence, model.sample, model.min_coverage, BASE_SEED).values
        return [fit(with_model(project, seed=seed), evidence, base) for seed in range(seeds)]


def with_model(project: Project, **changed: int) -> Project:
    """The project with other entries in [model]."""
    return project.model_copy(update={"model": project.model.model_copy(update=changed)})


def fit(project: Project, evidence: Evidence, base: np.ndarray) -> Fit:
    """Fit a project, and group the cells with values `base`, float64 [n, L], by it."""
    model = project.model
    fuzzy = fuzzify(project, evidence, sample(evidence, model.sample, model.min_coverage, model.seed))
    weights = layer_weights(evidence.layers, fuzzy)
    ensemble = train(model, fuzzy, None, weights)
    grouping = group(model, weights, fuzzy, ensemble)
    mu, valid = memberships_of(base, fuzzy.memberships)
    latents = Scorer(ensemble.arrays).reconstruct(np.ascontiguousarray(mu.T), np.ascontiguousarray(valid.T))["z"]
    told = grouping.diagnostics
    return Fit(model.seed, assigned(latents, grouping.arrays), told["k"], told["separate"], told["agreement"])


def matched(first: np.ndarray, other: np.ndarray, groups: int) -> bool:
    """Whether pairing groups one to one, such that most cells agree, pairs each with that of its own number."""
    overlap = np.zeros((groups, groups))
    np.add.at(overlap, (first, other), 1)
    return bool((linear_sum_assignment(overlap, maximize=True)[1] == np.arange(groups)).all())


def table(found: Sequence[Fit]) -> str:
    """Markdown: a row a fit, compared with the first."""
    first = found[0]
    lines = [
        "| seed | groups | separate | halves | ARI with the first | same number | matched |",
        "|---" * 7 + "|",
    ]
    for one in found:
        same = one.groups == first.groups and matched(first.labels, one.labels, one.groups)
        cells = (
            str(one.seed),
            str(one.groups),
            {True: "yes", False: "no", None: "stated"}[one.separate],
            "–" if one.halves is None else f"{one.halves:.3f}",
            f"{adjusted_rand_score(first.labels, one.labels):.3f}",
            f"{(first.labels == one.labels).mean():.3f}",
            "yes" if same else "no",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
