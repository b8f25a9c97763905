"""The case of the whole scorer: eight members, all maps, with the bare network of one member beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from mpmjax.ops.lstm import Scorer
from mpmjax.reference.lstm import score as definition

from . import inputs, scorer_baselines
from .fuzzy_cases import MISSING
from .gate import Case, Verdict, close
from .network_cases import HIDDEN, LATENT, LAYERS, Output, in_jax, joined, operations, ours, told_cores
from .ways import Tuned

MEMBERS = 8
NETWORK = "network of one member"


def scorer(rng: np.random.Generator, side: int) -> Iterator[Case]:
    """Complete cells and cells with holes; a 64th of the raster, as for the network alone."""
    cells = max(1, side * side // 64)
    arrays = inputs.screener(rng, MEMBERS, LAYERS, HIDDEN, LATENT)
    mu = rng.random((LAYERS, cells), np.float32)
    complete = np.ones((LAYERS, cells), bool)
    holed = inputs.presence(rng, LAYERS, cells, MISSING)
    holed[0] |= ~holed.any(axis=0)
    members = ("order", "enc_", "dec_", "lat_", "out_")
    alone = Scorer({name: a[:1] for name, a in arrays.items() if name.startswith(members)}, "cpu")
    network = ours(alone.reconstruct, mu, complete)
    for variant, valid in (("complete", complete), ("with holes", holed)):
        yield Case(
            variant=f"{variant}, {cells} cells, E = {MEMBERS}, H = {HIDDEN}, d = {LATENT}, L = {LAYERS}, F = 1, "
            f"{told_cores()}",
            unit="px",
            work=MEMBERS * cells,
            bytes_moved=cells * (LAYERS * 5 + 26),
            operations=operations(arrays) * MEMBERS * cells,
            op=ours(Scorer(arrays, "cpu").score, mu, valid),
            reference=lambda valid=valid: definition(mu.T, valid.T, arrays),
            judge=_judge_scores,
            why="float32 through 16 LSTM steps; ranks stretch an error by the density of the sample",
            rivals={
                "NumPy float32, chunks": scorer_baselines.numpy_scores(mu, valid, arrays),
                "torch.nn.LSTM": scorer_baselines.torch_scores(mu, valid, arrays),
                "ours in JAX": Tuned(in_jax(Scorer(arrays, "jax").score, mu, valid), cells),
            },
            parts={NETWORK: (network, cells)},
            clock_reference=cells <= REFERENCE_CELLS,
            spot=lambda valid=valid: _spot(Scorer(arrays, "cpu"), mu, valid, arrays),
        )


REFERENCE_CELLS = 2048
"""Beyond it the definition, float64 NumPy, is not timed, and judges this many cells of the large input."""


def _spot(op: Scorer, mu: np.ndarray, valid: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Verdict:
    """All cells go through the op; some, the first and the last among them, through the definition."""
    at = np.unique(np.linspace(0, mu.shape[1] - 1, REFERENCE_CELLS).astype(np.int64))
    got = {name: values[at] for name, values in op.score(mu, valid).items()}
    return _judge_scores(got, definition(mu[:, at].T, valid[:, at].T, arrays))


INDEX_TOLERANCE = 2e-4
STEP_SHARE = 1e-3
"""Share of cells whose group, driver or vote may fall the other way: ties within the index tolerance."""


def _judge_scores(output: Output, wanted: Mapping[str, np.ndarray]) -> Verdict:
    """Largest error of the maps that are continuous; those that step are allowed a few cells."""
    got = joined(output)
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
