"""All scores of a district's cells: ours, ours with its network replaced, and the simple methods.

The score asks the network one thing, how unusual a cell is. So what the network adds is told by asking others the same:

| name             | how unusual a cell is, in the same formula |
|------------------|---|
| prospectivity    | the ensemble of LSTM autoencoders |
| with a dense one | the residual of a dense autoencoder, the baseline of that name |
| with no network  | the Mahalanobis distance, the baseline of that name |
| no anomaly term  | nothing: the favourability alone, layers weighted as in the score |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpmjax.ops.lstm import Scorer
from mpmjax.scoring.baselines import NAMES, Baseline, fit_baselines
from mpmjax.scoring.favourability import ecdf_knots
from mpmjax.scoring.weights import favourability, trust
from mpmjax.stages.confidence import confidence
from mpmjax.stages.group import group
from mpmjax.stages.train import train
from mpmjax.types import Ensemble, FuzzySample, Screener

from .case import Case

OURS = "prospectivity"
REPLACED = {"with a dense one": "dense autoencoder", "with no network": "Mahalanobis"}
AREA_SHARE = 0.02
"""The default of [targets]."""
ABLATED = (OURS, *REPLACED, "no anomaly term")


def fitted(case: Case, workers: int | None = None) -> tuple[Ensemble, Screener]:
    """What a run of the package fits."""
    ensemble = train(case.model, case.sample, workers, case.weights)
    grouping = group(case.model, case.weights, case.sample, ensemble)
    return ensemble, confidence(case.model, case.evidence, case.forms, AREA_SHARE, case.sample, ensemble, grouping)


def scores(
    case: Case, screener: Screener, own: Sequence[str] = (OURS,), names: Sequence[str] = NAMES
) -> dict[str, np.ndarray]:
    """Scores of all cells by name, float32 or float64 [n]: ours, ablated ones, and the baselines that can be had."""
    found = Scorer(screener.arrays).score(np.ascontiguousarray(case.mu.T), np.ascontiguousarray(case.valid.T))
    rivals = fit_baselines(case.sample.mu, case.sample.valid, case.stated, case.model.seed, names)
    there = {name: rival for name, rival in rivals.items() if isinstance(rival, Baseline)}
    simple = {name: rival.score(case.mu, case.valid) for name, rival in there.items()}
    weighted = favourability(_all_cells(case), case.weights), favourability(case.sample, case.weights)
    ablated = {"no anomaly term": weighted[0]}
    for name, rival in REPLACED.items():
        if rival in there:
            of_sample = there[rival].score(case.sample.mu, case.sample.valid)
            ablated[name] = raised(*weighted, simple[rival], of_sample)
    return {name: found[name] for name in own} | ablated | simple


def raised(fav: np.ndarray, fav_sample: np.ndarray, unusual: np.ndarray, unusual_sample: np.ndarray) -> np.ndarray:
    """The formula of prospectivity with any anomaly: rank(fav) (1 + t rank(unusual)) / (1 + t), ranks of the sample."""
    t = trust(unusual_sample, fav_sample)
    ranks = [
        np.interp(values, *ecdf_knots(np.asarray(of_sample, np.float64)))
        for values, of_sample in ((fav, fav_sample), (unusual, unusual_sample))
    ]
    return ranks[0] * (1.0 + t * ranks[1]) / (1.0 + t)


def _all_cells(case: Case) -> FuzzySample:
    return FuzzySample(case.sample.memberships, case.mu, case.valid, case.rows, case.cols, ())
