"""fuzzify: breakpoints from the sample -> memberships in 0..1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mpmjax.errors import DataError
from mpmjax.project import Project
from mpmjax.reference.membership import membership
from mpmjax.scoring.favourability import fit_membership
from mpmjax.types import Evidence, FuzzySample, Layer, Membership, Sample

FEWEST_CELLS = 50
"""Ten groups of five cells, and enough for blocks to hold out; far below what a useful result takes."""


def fuzzify(project: Project, evidence: Evidence, sample: Sample) -> FuzzySample:
    """Fit every layer's membership to the sample and apply it there.

    Cells whose coverage falls below `min_coverage` because a class is not in a category's table are dropped.

    Raises:
        DataError: a membership cannot be fitted, a layer has none in any cell, or too few cells are left.
    """
    _refuse_few(len(sample.values))  # before a layer of two cells is called constant
    fitted = tuple(
        fit_membership(sample.values[:, index], layer, section.membership, section.transform)
        for index, (layer, section) in enumerate(zip(evidence.layers, project.layers, strict=True))
    )
    # The definition itself: a sample is small, and the fast forms are judged by it.
    columns = [
        _apply(values, m, layer) for values, m, layer in zip(sample.values.T, fitted, evidence.layers, strict=True)
    ]
    mu = np.stack(columns, axis=1)
    valid = np.isfinite(mu)
    keep = valid.mean(axis=1) >= project.model.min_coverage
    _refuse_few(int(keep.sum()))
    _refuse_alike(np.where(valid, mu, -1.0)[keep])
    return FuzzySample(
        fitted,
        np.where(valid, mu, 0.0).astype(np.float32)[keep],
        valid[keep],
        sample.rows[keep],
        sample.cols[keep],
        tuple(_statistics(column, m) for column, m in zip(sample.values.T, fitted, strict=True)),
        tuple(
            note
            for index, (layer, m) in enumerate(zip(evidence.layers, fitted, strict=True))
            for note in _bent(sample.values[:, index], layer, m)
        ),
        sample.values[keep],
        sample.cells_seen,
    )


def _bent(values: np.ndarray, layer: Layer, m: Membership) -> list[str]:
    """Values outside the domain of their formula: counted, because they are raised to its edge without a trace."""
    present = values[np.isfinite(values)]
    if m.kind == "category":
        return _unlisted(present, layer, m)
    edge, what = 0.0, "negative"
    if m.transform == "log":
        edge, what = m.floor, f"below {m.floor:g}, half the smallest positive value,"
    elif m.kind not in ("large", "small") and m.transform != "sqrt":
        return []
    count = int((present < edge).sum())
    if not count:
        return []
    return [f"layer {layer.name!r}: {count} of {present.size} sampled cells are {what} and count as {edge:g}."]


def _unlisted(present: np.ndarray, layer: Layer, m: Membership) -> list[str]:
    """Classes of the sample without a score, and scores without a class."""
    listed = np.zeros(0) if m.knots_x is None else m.knots_x
    codes, counts = np.unique(present, return_counts=True)
    strange = ~np.isin(codes, listed)
    notes = []
    if strange.any():
        fate = f"count as {m.params['default']:g}" if "default" in m.params else "are missing"
        most = codes[strange][np.argsort(-counts[strange], kind="stable")]
        notes.append(
            f"layer {layer.name!r}: {int(counts[strange].sum())} of {present.size} sampled cells are of classes "
            f"without a score ({_few(most)}) and {fate}."
        )
    idle = listed[~np.isin(listed, codes)]
    if idle.size:
        notes.append(f"layer {layer.name!r}: no sampled cell is of the classes {_few(idle)}, which have a score.")
    return notes


def _few(codes: np.ndarray, most: int = 10) -> str:
    more = f" and {codes.size - most} more" if codes.size > most else ""
    return ", ".join(f"{code:g}" for code in codes[:most]) + more


def _apply(values: np.ndarray, fitted: Membership, layer: Layer) -> np.ndarray:
    """Memberships float64 [n], NaN where missing."""
    try:
        mu = membership(values, **fitted.arguments())
    except ValueError as error:
        raise DataError(
            f"layer {layer.name!r} ({layer.source}): its membership cannot be computed: {error}."
        ) from error
    if np.isnan(mu).all():
        raise DataError(
            f"layer {layer.name!r} ({layer.source}): none of the sample's classes is in its table of scores, for "
            f"example not {values[np.isfinite(values)][0]:g}. Check the class codes."
        )
    return mu


def _refuse_few(cells: int) -> None:
    if cells < FEWEST_CELLS:
        raise DataError(
            f"{cells} sampled cells have memberships in enough layers, at least {FEWEST_CELLS} are needed to learn "
            "what is ordinary. Check the extents, the mask and the codes of category tables, or use a finer grid."
        )


def _refuse_alike(mu: np.ndarray) -> None:
    if (mu == mu[0]).all():
        raise DataError("All sampled cells have the same memberships: there is nothing to tell apart.")


def _statistics(values: np.ndarray, m: Membership) -> Mapping[str, Any]:
    """What the sample held, for the report, and to tell in another district what it did not hold."""
    present = values[np.isfinite(values)]
    low, p1, median, p99, high = (float(p) for p in np.percentile(present, (0, 1, 50, 99, 100)))
    found = {"missing_share": 1.0 - present.size / values.size, "min": low, "p1": p1, "median": median, "p99": p99}
    # A class between two others is not between them in kind.
    classes = {"classes": np.unique(present).tolist()} if m.kind == "category" else {}
    return found | {"max": high} | classes
