"""explain: a cell or a target of a finished run -> what every layer brings to its scores, in numbers and one figure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpmjax.errors import DataError
from mpmjax.evidence.cells import AREA_CLASSES, SCORED, WGS84, Cells, cell_at, cells_within
from mpmjax.evidence.crs import way_between
from mpmjax.ops.lstm import Scorer
from mpmjax.products import CLASS_MAPS, INDEX_MAPS
from mpmjax.reference.membership import membership
from mpmjax.reporting.explanation import explanation_png, in_a_sentence
from mpmjax.reporting.vectors import read_targets
from mpmjax.scoring.explanation import (
    Score,
    block_sensitivity,
    contributions,
    member_favourability,
    residuals,
    what_if,
)
from mpmjax.stream.files import write_file
from mpmjax.stream.finished import require_whole
from mpmjax.types import Evidence, Grid, Membership, Sample, Screener

TARGETS = "targets.gpkg"
READ = (SCORED, AREA_CLASSES, TARGETS)
"""Files of the finished run that are read here."""
ORDINARY = 4000
"""Cells of the sample by which it is said what is ordinary, and how much the ensemble depends on a layer."""
MOST_CELLS = 4096
"""Cells of a target that are looked at, spread evenly over it; so many say all about means."""


@dataclass(frozen=True)
class Question:
    """What is to be explained: a cell or a target; neither, where only the sensitivity is wanted.

    Attributes:
        at: x and y in metres of the grid's CRS, or longitude and latitude in degrees (WGS 84) if `lonlat`.
        target: rank in targets.gpkg.
        sensitivity: tell besides how much the whole ensemble depends on each layer.

    Raises:
        DataError: nothing is asked, or both a place and a target.
    """

    at: tuple[float, float] | None = None
    target: int | None = None
    lonlat: bool = False
    sensitivity: bool = False

    def __post_init__(self) -> None:
        if self.at is not None and self.target is not None:
            raise DataError("A place and a target: name one of them to be explained.")
        if self.at is None and self.target is None and not self.sensitivity:
            raise DataError("Nothing to explain: name a place (X Y) or a target, or ask for the sensitivity to layers.")


def forget(output: Path) -> None:
    """Remove the figures in `output` that explain the maps of an earlier run."""
    for figure in output.glob("explain_*.png"):
        if re.fullmatch(r"explain_(target_\d+|-?\d+_-?\d+)\.png", figure.name):
            figure.unlink(missing_ok=True)


def explain(
    question: Question,
    evidence: Evidence,
    screener: Screener,
    sample: Sample,
    output: Path,
    record: Mapping[str, Any],
) -> dict[str, Any]:
    """Say why a cell or a target got its scores. A target's figures are means over its cells; values are medians.

    Args:
        evidence: the layers that the maps in `output` were made from.
        sample: of this district; its memberships by layer are what is called ordinary.
        output: folder of the finished run, which gets the figure explain_X_Y.png or explain_target_N.png.
        record: what its run.json holds.

    Returns:
        Plain values, None where there is nothing to tell.
        place, scores, layers, sentence, figure: of the cell or target, if one is asked for. A layer has name, role,
        direction, value (median; of classes the commonest), membership, above (share of the sample with a lower
        membership), median (of the sample), group (mean of its group), weight, share, drive (scoring/explanation.py),
        residual, residual_sd, missing (share of the cells), at_median and if_missing (prospectivity then).
        sensitivity: by layer, if asked for: name, prospectivity, anomaly (scoring/explanation.py).

    Raises:
        DataError: the place is outside the grid, has no score, there is no such target, or a file is damaged.
        DiskError: the figure cannot be written.
    """
    require_whole(output, record, READ)
    scorer = Scorer(screener.arrays)

    def score(mu: np.ndarray, valid: np.ndarray) -> Mapping[str, np.ndarray]:
        return scorer.score(np.ascontiguousarray(mu.T), np.ascontiguousarray(valid.T))

    drawn = _sample_memberships(sample, screener)
    found: dict[str, Any] = {}
    if question.at is not None or question.target is not None:
        found |= _why(question, evidence, screener, drawn, output, scorer, score)
    if question.sensitivity:
        found["sensitivity"] = _sensitivity(sample, drawn, screener, score)
    return found


def _why(
    question: Question,
    evidence: Evidence,
    screener: Screener,
    drawn: np.ndarray,
    output: Path,
    scorer: Scorer,
    score: Score,
) -> dict[str, Any]:
    cells = _asked_for(question, evidence, screener, output)
    hidden = scorer.reconstruct(np.ascontiguousarray(cells.mu.T), np.ascontiguousarray(cells.valid.T))
    own = score(cells.mu, cells.valid)
    scores: dict[str, Any] = {name: float(own[name].mean(dtype=np.float64)) for name in (*INDEX_MAPS, "R", "V", "M")}
    scores |= {name: _commonest(own[name]) for name in CLASS_MAPS}
    said = member_favourability(hidden["z"], screener.arrays)
    scores |= {"R_min": float(said.min()), "R_max": float(said.max()), "class": _commonest(cells.classes)}
    rows = _rows(cells, screener, drawn, hidden["e"], scores["groups"], score)
    place = _place(question, evidence.grid, cells)
    found = {"place": place, "scores": scores, "layers": rows}
    name = f"target_{place['target']}" if place["target"] is not None else f"{place['x']:.0f}_{place['y']:.0f}"
    figure = write_file(output / f"explain_{name}.png", explanation_png(found))
    return found | {"sentence": in_a_sentence(found), "figure": str(figure)}


def _asked_for(question: Question, evidence: Evidence, screener: Screener, output: Path) -> Cells:
    if question.target is None:
        x, y = question.at if question.at is not None else (math.nan, math.nan)
        return cell_at(x, y, question.lonlat, evidence, screener, output)
    path, polygons = output / TARGETS, read_targets(output / TARGETS)
    if question.target not in polygons:
        there = f"targets 1 to {len(polygons)}" if polygons else "no targets"
        raise DataError(
            f"{path}: has no target {question.target}; the run found {there}. Name one of these, or a place."
        )
    return cells_within(polygons[question.target], MOST_CELLS, evidence, screener, output)


def _rows(
    cells: Cells, screener: Screener, drawn: np.ndarray, e: np.ndarray, group: int, score: Score
) -> list[dict[str, Any]]:
    """One record a layer, as `explain` documents it."""
    weight = np.asarray(screener.arrays["weight"], np.float64)
    share, drive = contributions(cells.mu, cells.valid, screener.arrays)
    z, sd = residuals(e, cells.valid, screener.arrays)
    ordinary = np.array([np.median(column[np.isfinite(column)]) for column in drawn.T])
    at_median, if_missing = what_if(cells.mu, cells.valid, ordinary, score)
    profile = screener.diagnostics["groups"]["profile"][group - 1]
    rows = []
    for i, (layer, fitted) in enumerate(zip(screener.layers, screener.memberships, strict=True)):
        valid = cells.valid[:, i]
        known = drawn[np.isfinite(drawn[:, i]), i]
        mu = float(cells.mu[valid, i].mean(dtype=np.float64)) if valid.any() else math.nan
        told = {
            "value": _middle(cells.values[valid, i], fitted),
            "membership": mu,
            "above": float((known < np.float32(mu)).mean()) if valid.any() else math.nan,
            "median": float(ordinary[i]),
            "group": profile[i],
            "weight": float(weight[i]),
            "share": float(share[i]) if weight[i] > 0 else math.nan,
            "drive": float(drive[i]) if weight[i] > 0 else math.nan,
            "residual": float(z[i]),
            "residual_sd": float(sd[i]),
            "missing": float(1.0 - valid.mean()),
            "at_median": float(at_median[i]),
            "if_missing": float(if_missing[i]),
        }
        about = {key: layer[key] for key in ("name", "role", "direction")}
        rows.append(about | {key: None if v is None or math.isnan(v) else v for key, v in told.items()})
    return rows


def _sample_memberships(sample: Sample, screener: Screener) -> np.ndarray:
    """Memberships of the sample, float32 [n, L], NaN where missing.

    Raises:
        DataError: a layer has none in the whole sample.
    """
    columns = [
        membership(values, **fitted.arguments())
        for values, fitted in zip(sample.values.T, screener.memberships, strict=True)
    ]
    drawn = np.stack(columns, axis=1).astype(np.float32)
    empty = [name for name, column in zip(screener.layer_names, drawn.T, strict=True) if np.isnan(column).all()]
    if empty:
        raise DataError(
            f"layer {empty[0]!r}: has no membership in any of the {len(drawn)} cells sampled: it cannot be said what "
            "is ordinary. Check its nodata and the codes of its table of scores."
        )
    return drawn


def _sensitivity(sample: Sample, drawn: np.ndarray, screener: Screener, score: Score) -> list[dict[str, Any]]:
    valid = np.isfinite(drawn)
    keep = valid.mean(axis=1) >= float(screener.settings["min_coverage"])
    mu, valid = np.where(valid, drawn, np.float32(0.0))[keep], valid[keep]
    try:
        found = block_sensitivity(
            mu, valid, sample.rows[keep], sample.cols[keep], score, int(screener.settings["seed"])
        )
    except ValueError as error:
        raise DataError(
            f"The sensitivity to layers cannot be told of {len(mu)} sampled cells: {error}. The district is too small."
        ) from error
    figures = {name: [None if math.isnan(v) else float(v) for v in values] for name, values in found.items()}
    return [
        {"name": name, **{of: values[i] for of, values in figures.items()}}
        for i, name in enumerate(screener.layer_names)
    ]


def _place(question: Question, grid: Grid, cells: Cells) -> dict[str, Any]:
    """Where it is: the centre of the cell, or of the target's cells."""
    x = grid.transform.c + grid.transform.a * (float(cells.cols.mean()) + 0.5)
    y = grid.transform.f + grid.transform.e * (float(cells.rows.mean()) + 0.5)
    lon, lat = way_between(grid.crs, WGS84).transform(x, y)
    return {
        "target": question.target,
        "x": x,
        "y": y,
        "lon": float(lon),
        "lat": float(lat),
        "row": int(cells.rows[0]) if question.target is None else None,
        "col": int(cells.cols[0]) if question.target is None else None,
        "cells": cells.of,
        "cells_used": len(cells.rows),
    }


def _middle(values: np.ndarray, fitted: Membership) -> float:
    """The median; of codes the commonest, since a code between two others is not between them in kind."""
    if not values.size:
        return math.nan
    return float(_commonest(values) if fitted.kind == "category" else np.median(values))


def _commonest(values: np.ndarray) -> int | float:
    codes, counts = np.unique(values, return_counts=True)
    return codes[counts.argmax()].item()
