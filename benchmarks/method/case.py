"""A district as arrays in memory, real or made: memberships of every cell, what a fit starts from, and known deposits.

Real districts come from their project files through the package's own stages; made ones (blind_districts.py) are taken
as a project file would send them: typed default memberships, geochemistry by its logarithm.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from affine import Affine

from mpmjax.pipeline import prepare
from mpmjax.project import load_project
from mpmjax.project_sections import ModelSection
from mpmjax.scoring.favourability import fit_membership, memberships_of
from mpmjax.scoring.stability import Form
from mpmjax.scoring.weights import layer_weights, stated_weights
from mpmjax.stages.fuzzify import fuzzify
from mpmjax.stages.sample import sample
from mpmjax.stream.reader import StackReader
from mpmjax.types import Evidence, FuzzySample, Grid, Layer, Tile

from .blind_districts import District

SAMPLE = 20_000
"""Cells that a made district is fitted on."""
COVERAGE = 0.5
CELL = 30.0


@dataclass(frozen=True)
class Case:
    """What is fitted, and what is scored.

    Attributes:
        name: of the district.
        evidence: its layers and grid; their files need not be there any more.
        forms: how its memberships are fitted, a layer each.
        model: [model] of its project file.
        sample, weights: what a fit starts from, as mpmjax.stages.train takes them.
        mu, valid: float32 and bool [n, L], memberships of every cell that a map would score, 0 where missing.
        rows, cols: int64 [n], their places.
        known: bool [n], those that hold a deposit.
    """

    name: str
    evidence: Evidence
    forms: Sequence[Form]
    model: ModelSection
    sample: FuzzySample
    weights: np.ndarray
    mu: np.ndarray
    valid: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    known: np.ndarray

    @property
    def stated(self) -> np.ndarray:
        """How an overlay counts the layers, float64 [L]."""
        return stated_weights(self.evidence.layers)


def of_project(file: Path) -> Case:
    """The district of a project file, read whole.

    Raises:
        ValueError: the project names no occurrences.
    """
    project = load_project(file)
    with tempfile.TemporaryDirectory() as folder:
        evidence = prepare(project, folder)
        drawn = sample(evidence, project.model.sample, project.model.min_coverage, project.model.seed)
        fuzzy = fuzzify(project, evidence, drawn)
        height, width = evidence.grid.shape
        with StackReader(evidence.grid, evidence.layers, evidence.mask) as reader:
            slab = reader.read(Tile(0, 0, 0, height, width))
    if evidence.occurrences is None:
        raise ValueError(f"{file}: the project names no occurrences, nothing can be judged")
    scored = slab.inside & (slab.valid.mean(axis=0) >= project.model.min_coverage)
    values = np.stack(
        [
            np.where(there[scored], layer.in_units(raw[scored]), np.nan)
            for raw, there, layer in zip(slab.values, slab.valid, evidence.layers, strict=True)
        ],
        axis=1,
    )
    labels = np.zeros(evidence.grid.shape, bool)
    labels[evidence.occurrences.rows, evidence.occurrences.cols] = True
    mu, valid = memberships_of(values, fuzzy.memberships)
    rows, cols = np.nonzero(scored)
    weights = layer_weights(evidence.layers, fuzzy)
    forms = [(section.membership, section.transform) for section in project.layers]
    return Case(file.stem, evidence, forms, project.model, fuzzy, weights, mu, valid, rows, cols, labels[scored])


def of_made(made: District, members: int, seed: int | None = None, size: int = SAMPLE) -> Case:
    """A made district, with so many members of the ensemble and cells in the sample.

    Args:
        seed: of the sample and the members; default: the district's.
    """
    seed = made.seed if seed is None else seed
    scored = np.isfinite(made.layers).mean(axis=0) >= COVERAGE
    rows, cols = np.nonzero(scored)
    values = made.layers[:, rows, cols].astype(np.float64).T
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:size])
    layers = tuple(
        Layer(name, role, Path(name), 1, "float32", direction=direction, source=name)
        for name, role, direction in zip(made.names, made.roles, made.directions, strict=True)
    )
    forms: list[Form] = [(None, "log" if layer.role == "geochemistry" else "none") for layer in layers]
    fitted = tuple(fit_membership(values[chosen, i], layer, *forms[i]) for i, layer in enumerate(layers))
    mu, valid = memberships_of(values, fitted)
    fuzzy = FuzzySample(fitted, mu[chosen], valid[chosen], rows[chosen], cols[chosen], tuple({} for _ in layers))
    fuzzy = replace(fuzzy, values=values[chosen], cells_seen=len(values))
    _, height, width = made.layers.shape
    grid = Grid("EPSG:32639", Affine(CELL, 0.0, 0.0, 0.0, -CELL, 0.0), width, height)
    labels = np.zeros(grid.shape, bool)
    labels[tuple(made.deposits.T)] = True
    model = ModelSection(members=members, seed=seed)
    name, weights = f"{made.scenario}, seed {made.seed}", layer_weights(layers, fuzzy)
    return Case(name, Evidence(grid, layers), forms, model, fuzzy, weights, mu, valid, rows, cols, labels[scored])
