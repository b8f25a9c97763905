"""fuzzify: breakpoints from the sample -> memberships in 0..1."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mpmjax.errors import DataError
from mpmjax.project import Project
from mpmjax.reference.membership import membership
from mpmjax.scoring.favourability import fit_membership
from mpmjax.types import Evidence, FuzzySample, Sample


def fuzzify(project: Project, evidence: Evidence, sample: Sample) -> FuzzySample:
    """Fit every layer's membership to the sample and apply it there.

    Cells whose coverage falls below `min_coverage` because a class is not in a category's table are dropped.

    Raises:
        DataError: a membership cannot be fitted, or no cell is left.
    """
    fitted = tuple(
        fit_membership(sample.values[:, index], layer, section.membership, section.transform)
        for index, (layer, section) in enumerate(zip(evidence.layers, project.layers, strict=True))
    )
    # The definition itself: a sample is small, and the fast forms are judged by it.
    mu = np.stack(
        [
            membership(
                sample.values[:, index],
                m.kind,
                m.params,
                transform=m.transform,
                floor=m.floor,
                complement=m.complement,
                hedge=m.hedge,
                knots_x=m.knots_x,
                knots_y=m.knots_y,
            )
            for index, m in enumerate(fitted)
        ],
        axis=1,
    )
    valid = np.isfinite(mu)
    keep = valid.mean(axis=1) >= project.model.min_coverage
    if not keep.any():
        raise DataError("No sampled cell has memberships in enough layers; check the category tables' class codes.")
    return FuzzySample(
        fitted,
        np.where(valid, mu, 0.0).astype(np.float32)[keep],
        valid[keep],
        sample.rows[keep],
        sample.cols[keep],
        tuple(_statistics(sample.values[:, index]) for index in range(len(fitted))),
    )


def _statistics(values: np.ndarray) -> Mapping[str, float]:
    present = values[np.isfinite(values)]
    p1, median, p99 = (float(p) for p in np.percentile(present, (1, 50, 99)))
    return {"missing_share": 1.0 - present.size / values.size, "p1": p1, "median": median, "p99": p99}
