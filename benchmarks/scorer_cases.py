"""The cases of the scorer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks import inputs, scorer_baselines
from benchmarks.fuzzy_cases import LAYERS, MISSING
from benchmarks.gate import Case, Verdict, close
from mpmjax.ops.lstm import Scorer
from mpmjax.reference.lstm import score as reference_score


def lstm(rng: np.random.Generator, side: int) -> tuple[Case, ...]:
    """The scorer on complete cells and on cells with holes; a 64th of the raster, since a cell costs so much more."""
    cells = max(1, side * side // 64)
    members, hidden = 4, 32
    arrays = inputs.screener(rng, members, LAYERS, hidden)
    mu = rng.random((LAYERS, cells), np.float32)
    complete = np.ones((LAYERS, cells), bool)
    holed = inputs.presence(rng, LAYERS, cells, MISSING)
    holed[0] |= ~holed.any(axis=0)
    latent = arrays["lat_w"].shape[2]
    products = LAYERS * 8 * hidden * hidden + 5 * latent * hidden + LAYERS * 5 * hidden

    def case(variant: str, valid: np.ndarray) -> Case:
        scorer = Scorer(arrays)
        return Case(
            variant=f"{variant}, {cells} cells, E = {members}, H = {hidden}, d = {latent}, L = {LAYERS}, F = 1",
            unit="px",
            work=members * cells,
            bytes_moved=cells * (LAYERS * 5 + 26),
            operations=2 * products * members * cells,
            op=lambda: scorer.score(mu, valid),
            reference=lambda: reference_score(mu.T, valid.T, arrays),
            judge=_judge_scores,
            why="float32 through 16 LSTM steps; ranks stretch an error by the density of the sample",
            rivals={
                "NumPy float32, chunked": lambda: scorer_baselines.numpy_scores(mu, valid, arrays),
                "torch.nn.LSTM": scorer_baselines.torch_scores(mu, valid, arrays),
            },
        )

    return case("complete", complete), case("with holes", holed)


INDEX_TOLERANCE = 2e-4
STEP_SHARE = 1e-3
"""Share of cells whose group, driver or vote may fall the other way: ties within the index tolerance."""


def _judge_scores(got: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> Verdict:
    """Largest error of the maps that are continuous; those that step are allowed a few cells."""
    smooth = [
        close(got[name], wanted[name], INDEX_TOLERANCE)
        for name in ("prospectivity", "favourability", "anomaly", "risk", "coverage")
    ]
    confidence = np.abs(np.asarray(got["confidence"], np.float64) - wanted["confidence"]) <= INDEX_TOLERANCE
    steps = {name: np.asarray(got[name]) == wanted[name] for name in ("groups", "driver")} | {"confidence": confidence}
    for name, same in steps.items():
        if not same.mean() >= 1.0 - STEP_SHARE:
            return Verdict(np.inf, INDEX_TOLERANCE, f"{name} differs at {np.sum(~same)} of {same.size} cells")
    return max(smooth, key=lambda seen: (not seen.passed, seen.error))
