"""confidence: favourability, agreement and margin, ranked against the sample -> the finished Screener."""

from __future__ import annotations

import numpy as np

from mpmjax.ops.lstm import Scorer
from mpmjax.project_sections import ModelSection
from mpmjax.scoring.anomaly import SMALLEST_SCALE
from mpmjax.scoring.favourability import ecdf_knots
from mpmjax.scoring.fractal import fractal_breaks
from mpmjax.scoring.weights import distinctness, trust
from mpmjax.types import Ensemble, Evidence, FuzzySample, Grouping, Screener

RANKED = {"fav": "favourability", "anomaly": "surprise"}
"""Frozen ranks: name of the ecdf in the Screener -> what it ranks."""


def confidence(
    model: ModelSection,
    evidence: Evidence,
    sample: FuzzySample,
    ensemble: Ensemble,
    grouping: Grouping,
    values: np.ndarray | None = None,
) -> Screener:
    """Score the sample and freeze the empirical CDFs, so that screening is one pass with nothing left to learn.

    Args:
        values: float64 [n, L], the sample's cells in the layers' units, NaN where missing, for the C-A breaks of the
            diagnostics; None leaves these out.
    """
    unit = np.array([0.0, 1.0], np.float32)
    arrays = {**ensemble.arrays, **grouping.arrays}
    unranked = arrays | {f"ecdf_{name}_{axis}": unit for name in RANKED for axis in "xy"}
    unranked["trust"] = np.zeros(1, np.float32)
    scores = Scorer(unranked).score(np.ascontiguousarray(sample.mu.T), np.ascontiguousarray(sample.valid.T))
    for name, score in RANKED.items():
        x, y = ecdf_knots(scores[score].astype(np.float64))
        # Two quantiles may fall together in float32; interpolation wants them apart.
        x, keep = np.unique(x.astype(np.float32), return_index=True)
        arrays |= {f"ecdf_{name}_x": x, f"ecdf_{name}_y": y[keep].astype(np.float32)}
    arrays["trust"] = np.array([trust(scores["surprise"], scores["favourability"])], np.float32)
    apart = distinctness(sample.mu, sample.valid)
    return Screener(
        layers=tuple(
            {
                "name": layer.name,
                "role": layer.role,
                "direction": layer.direction,
                "weight": layer.weight,
                "distinctness": float(share),
                "codes": {name: list(values) for name, values in layer.codes.items()},
                "derivation": dict(layer.derivation),
                "source": layer.source,
                **statistics,
            }
            for layer, share, statistics in zip(evidence.layers, apart, sample.statistics, strict=True)
        ),
        memberships=sample.memberships,
        arrays=arrays,
        settings={"min_coverage": model.min_coverage, "seed": model.seed},
        diagnostics={
            "model": dict(ensemble.diagnostics),
            "groups": dict(grouping.diagnostics),
            "trust": float(arrays["trust"][0]),
            "fractal": {} if values is None else fractal_breaks(evidence.layers, values, scores["surprise"]),
            "notes": [*sample.notes, *_noticed(evidence, ensemble)],
        },
    )


def _noticed(evidence: Evidence, ensemble: Ensemble) -> list[str]:
    """What went on in training that a reader of the maps should know."""
    notes = []
    for layer, scale in zip(evidence.layers, ensemble.arrays["res_scale"].T, strict=True):
        still = int((scale <= SMALLEST_SCALE).sum())
        if still:
            notes.append(
                f"layer {layer.name!r}: {still} of {len(scale)} members reconstruct it almost without error (MAD = 0): "
                "its residuals are measured in units of 0.001."
            )
    excluded = ensemble.diagnostics["excluded_members"]
    if excluded:
        notes.append(
            f"{len(excluded)} of {ensemble.diagnostics['members']} members had no finite loss and were left out."
        )
    return notes
