"""group: memberships and latents -> groups of cells, their number chosen by criteria."""

from __future__ import annotations

import numpy as np

from mpmjax.project_sections import ModelSection
from mpmjax.scoring.groups import find_groups
from mpmjax.scoring.latent import regress
from mpmjax.scoring.weights import favourability
from mpmjax.types import Ensemble, FuzzySample, Grouping


def group(model: ModelSection, weights: np.ndarray, sample: FuzzySample, ensemble: Ensemble) -> Grouping:
    """Consensus groups on the sample, one Gaussian a group in every member's latent, and what it says of favourability.

    Args:
        weights: float [L], the layers' weights in favourability, 0 for those without a direction.
    """
    fav = favourability(sample, weights)
    k = None if model.groups == "auto" else model.groups
    found = find_groups(sample.mu, sample.valid, ensemble.latents, fav, k, model.seed)
    groups = len(found.favourability)
    fav_w, fav_b = regress(ensemble.latents, fav)
    return Grouping(
        {**found.arrays, "fav_w": fav_w, "fav_b": fav_b, "weight": weights.astype(np.float32)},
        {
            "k": groups,
            "separate": found.separate,
            "agreement": found.agreement,
            "criteria": dict(found.criteria),
            "favourability": [float(f) for f in found.favourability],
            "profile": profile(sample, found.labels, groups),
            "sample_share": [float(s) for s in np.bincount(found.labels, minlength=groups) / len(found.labels)],
        },
    )


def profile(sample: FuzzySample, labels: np.ndarray, groups: int) -> list[list[float | None]]:
    """Mean membership of each group's cells in each layer, K lists of L; None where the layer has no data there."""
    means = []
    for k in range(groups):
        valid = sample.valid[labels == k]
        total = np.where(valid, sample.mu[labels == k], 0.0).sum(axis=0, dtype=np.float64)
        means.append([float(t / n) if n else None for t, n in zip(total, valid.sum(axis=0), strict=True)])
    return means
