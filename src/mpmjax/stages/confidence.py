"""confidence: ranks among the sample, and how far they would move if all were fitted again -> the finished Screener."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mpmjax.ops.lstm import Scorer
from mpmjax.project_sections import ModelSection
from mpmjax.reference.lstm import ecdf
from mpmjax.scoring.anomaly import SMALLEST_SCALE
from mpmjax.scoring.favourability import ecdf_knots
from mpmjax.scoring.fractal import fractal_breaks
from mpmjax.scoring.stability import Form, cut_of, noise
from mpmjax.scoring.weights import distinctness, trust
from mpmjax.types import Ensemble, Evidence, FuzzySample, Grouping, Screener

RETURN_SHARE = 0.1
"""Share of the sample's cells that count as of high return."""
RANKED = {"fav": "favourability", "anomaly": "surprise"}
"""Frozen ranks: name of the ecdf in the Screener -> what it ranks."""


def confidence(
    model: ModelSection,
    evidence: Evidence,
    forms: Sequence[Form],
    area_share: float,
    sample: FuzzySample,
    ensemble: Ensemble,
    grouping: Grouping,
) -> Screener:
    """Score the sample and freeze the empirical CDFs, so that screening is one pass with nothing left to learn.

    Args:
        forms: how each layer's membership is fitted, to fit it again.
        area_share: of the best area, whose border the confidence index is about.
        sample: with its values.
    """
    unit = np.array([0.0, 1.0], np.float32)
    arrays = {**ensemble.arrays, **grouping.arrays}
    unranked = arrays | {f"ecdf_{name}_{axis}": unit for name in RANKED for axis in "xy"}
    unranked |= {"trust": np.zeros(1, np.float32), "cut": unit[:1], "noise": unit[::-1], "quadrant": unit}
    arrays["layer_rank"] = unranked["layer_rank"] = _layer_ranks(sample)
    scores = Scorer(unranked).score(np.ascontiguousarray(sample.mu.T), np.ascontiguousarray(sample.valid.T))
    for name, score in RANKED.items():
        x, y = ecdf_knots(scores[score].astype(np.float64))
        # Two quantiles may fall together in float32; interpolation wants them apart.
        x, keep = np.unique(x.astype(np.float32), return_index=True)
        arrays |= {f"ecdf_{name}_x": x, f"ecdf_{name}_y": y[keep].astype(np.float32)}
    arrays["trust"] = np.array([trust(scores["surprise"], scores["favourability"])], np.float32)
    arrays["quadrant"] = _quadrant(scores["R"], scores["risk"])
    arrays["cut"] = np.array([cut_of(_prospectivity(scores, arrays), area_share)], np.float32)
    moves = noise(evidence.layers, forms, sample, ensemble.surprise, area_share, model.seed)
    arrays["noise"] = moves.astype(np.float32)
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
            "area_share": area_share,
            "fractal": _breaks(evidence, sample, scores["surprise"]),
            "notes": [*sample.notes, *_noticed(evidence, ensemble)],
        },
    )


def _prospectivity(scores: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Of the sample's cells, float64 [n], as reference/lstm.py has it."""
    fav, anomaly = (ecdf(scores[score], arrays, name) for name, score in RANKED.items())
    t = float(arrays["trust"][0])
    return fav * (1.0 + t * anomaly) / (1.0 + t)


def _layer_ranks(sample: FuzzySample) -> np.ndarray:
    """Rank among the sample of memberships 0, 1/256, ... 1, layer by layer: float32 [L, 257]."""
    grid = np.linspace(0.0, 1.0, 257)
    present = (mu[there].astype(np.float64) for mu, there in zip(sample.mu.T, sample.valid.T, strict=True))
    return np.stack([np.interp(grid, *ecdf_knots(mu)) for mu in present]).astype(np.float32)


def _quadrant(r: np.ndarray, risk: np.ndarray) -> np.ndarray:
    """What parts high return from low and high risk from low, float32 [2], from R and risk of the sample's cells [n].

    High is the best tenth of R, and for risk the upper half of those: the members always disagree least where little is
    favourable, so that by the median of all cells every target would be risky.
    """
    high = np.quantile(r, 1.0 - RETURN_SHARE)
    return np.array([high, np.median(risk[r >= high])], np.float32)


def _breaks(evidence: Evidence, sample: FuzzySample, surprise: np.ndarray) -> dict[str, Any]:
    """C-A breaks of the anomaly and of the geochemistry, on the sample."""
    return {} if sample.values is None else fractal_breaks(evidence.layers, sample.values, surprise)


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
