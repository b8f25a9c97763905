"""rivals: what simple methods say of the same district, on the sampled cells and on those of known occurrences.

They are fitted to the sample's memberships, label-free as ours; where occurrences lie only says which cells are judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mpmjax.errors import DataError
from mpmjax.ops.lstm import Scorer
from mpmjax.scoring.baseline_models import Missing
from mpmjax.scoring.baselines import Baseline, fit_baselines
from mpmjax.scoring.comparison import side_by_side, some_of, stand
from mpmjax.scoring.favourability import memberships_of
from mpmjax.scoring.intervals import districts_of
from mpmjax.scoring.weights import stated_weights
from mpmjax.stream.reader import StackReader
from mpmjax.stream.tiles import cut
from mpmjax.types import Evidence, Sample, Screener

OURS = ("prospectivity", "anomaly", "favourability", "R")
CELLS = 20_000
"""Sampled cells at most: of an AUC's standard error 0.002 come from drawing so many of the background."""

TILE = 256


def rivals(
    evidence: Evidence,
    screener: Screener,
    xy: Sequence[Sequence[float]],
    cells: int,
    draws: int,
    draw: Callable[[int], Sample],
) -> dict[str, Any]:
    """Judge prospectivity beside simple methods, all on the same cells.

    Args:
        xy: places of the occurrences in metres of the grid, one a cell, all on cells that were scored.
        cells: number of scored cells of the map.
        draws: bootstrap draws of the intervals, 0 for none.
        draw: draws a sample of at most so many cells from the same evidence.

    Returns:
        Parts of the record's "validation": ours and baselines, by name figures as of `side_by_side`, or missing, the
        reason why a baseline is not there; and compared: sampled cells (that hold no occurrence), occurrences, or
        missing, the reason why there is no comparison at all.
    """
    rows, cols = evidence.grid.rows_cols(*np.array(xy).T)
    at = some_of(len(rows))
    try:
        sample = draw(CELLS)
        drawn = memberships_of(sample.values, screener.memberships)
        # A cell that too few layers cover was not scored, and neither is it here.
        kept = np.flatnonzero(drawn[1].mean(axis=1) >= float(screener.settings["min_coverage"]))
        mu, valid = (array[kept] for array in drawn)
        fitted = fit_baselines(mu, valid, stated_weights(evidence.layers), int(screener.settings["seed"]))
    except (DataError, ValueError) as error:  # of another district a layer may have no data here, or one value
        return {"ours": {}, "baselines": {}, "compared": {"missing": str(error)}}
    width = evidence.grid.width
    bare = ~np.isin(sample.rows[kept] * width + sample.cols[kept], rows * width + cols)
    if not bare.any():
        nothing = f"all {len(kept)} sampled cells hold an occurrence: there is no other cell to compare"
        return {"ours": {}, "baselines": {}, "compared": {"missing": nothing}}
    background = mu[bare], valid[bare]
    known = memberships_of(_values_at(evidence, rows[at], cols[at]), screener.memberships)
    # How many cells of the map each occurrence and each sampled cell stand for.
    shares = len(rows) / len(at), (cells - len(rows)) / int(bare.sum())
    ours, others = _ours(screener, *background), _ours(screener, *known)
    standings = {name: stand(others[name], ours[name], shares) for name in OURS}
    for name, method in fitted.items():
        if isinstance(method, Baseline):
            standings[name] = stand(method.score(*known), method.score(*background), shares)
    x, y = np.array(xy).T
    figures = side_by_side(standings, OURS[0], districts_of(x, y)[at], draws)
    return {
        "ours": {name: figures[name] for name in OURS},
        "baselines": {
            name: {"missing": method.reason} if isinstance(method, Missing) else figures[name] | {"note": method.note}
            for name, method in fitted.items()
        },
        "compared": {"cells": int(bare.sum()), "occurrences": len(at)},
    }


def _ours(screener: Screener, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
    scores = Scorer(screener.arrays).score(np.ascontiguousarray(mu.T), np.ascontiguousarray(valid.T))
    return {name: scores[name] for name in OURS}


def _values_at(evidence: Evidence, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Values of all layers at cells, as in a Sample: float64 [m, L] in units, NaN where missing."""
    values = np.full((len(rows), len(evidence.layers)), np.nan)
    with StackReader(evidence.grid, evidence.layers, on_error=evidence.on_error) as reader:
        for tile in cut(evidence.grid.shape, TILE):
            r, c = rows - tile.row, cols - tile.col
            here = np.flatnonzero((r >= 0) & (r < tile.height) & (c >= 0) & (c < tile.width))
            if not here.size:
                continue
            slab = reader.read(tile)
            for index, layer in enumerate(evidence.layers):
                there = here[slab.valid[index][r[here], c[here]]]
                values[there, index] = layer.in_units(slab.values[index][r[there], c[there]])
    return values
