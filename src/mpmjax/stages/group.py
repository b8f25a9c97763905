"""group: latents -> groups of cells, their number chosen by criteria."""

from __future__ import annotations

import numpy as np

from mpmjax.project_sections import ModelSection
from mpmjax.scoring.groups import find_groups, gaussians
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
    found = find_groups(ensemble.latents, fav, k, model.seed)
    groups = len(found.favourability)
    fav_w, fav_b = regress(ensemble.latents, fav)
    return Grouping(
        gaussians(ensemble.latents, found.labels, groups)
        | {"fav_w": fav_w, "fav_b": fav_b, "weight": weights.astype(np.float32)},
        {
            "k": groups,
            "criteria": dict(found.criteria),
            "favourability": [float(f) for f in found.favourability],
            "sample_share": [float(s) for s in np.bincount(found.labels, minlength=groups) / len(found.labels)],
        },
    )
