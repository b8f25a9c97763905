"""run.json: everything that says where a result comes from, as one plain dictionary. The report is drawn from it."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mpmjax.project import Project
from mpmjax.stream.files import sha256
from mpmjax.stream.unreadable import Unreadable, told
from mpmjax.types import Evidence, Grid, Screener, Screening, Target

MOST_DRIFT = 0.05
"""Share of the scored cells that may lie outside the Screener's sample, or be unusual, before it is warned of."""
MOST_NAMED = 6

LIBRARIES = (
    "jax",
    "flax",
    "optax",
    "numpy",
    "numba",
    "scipy",
    "scikit-learn",
    "minisom",
    "rasterio",
    "geopandas",
    "shapely",
)


def build_record(
    project: Project,
    evidence: Evidence,
    screener: Screener,
    screening: Screening,
    found: Sequence[Target],
    thresholds: Mapping[str, float],
    cuts: Mapping[str, float],
    validation: Mapping[str, Any] | None,
    command: str,
    times: Mapping[str, float],
) -> dict[str, Any]:
    """The record without checksums: of inputs they are taken when those are read, of outputs when they exist."""
    grid, groups = evidence.grid, dict(screener.diagnostics["groups"])
    k = int(groups["k"])
    lost, lost_late = unreadable_blocks(evidence, screening)
    drift = drift_record(screener, screening)
    groups["share"] = (screening.group_areas[1 : k + 1] / max(int(screening.group_areas.sum()), 1)).tolist()
    return {
        "project": {"name": project.project.name, "description": project.project.description},
        "settings": project.model_dump(mode="json", by_alias=True, exclude={"folder", "file", "text"}),
        "version": importlib.metadata.version("mpmjax"),
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": screener.settings["seed"],
        "grid": {
            **grid_record(grid),
            "valid_cells": screening.valid_cells,
            "area_km2": screening.valid_area_km2,
        },
        "layers": layer_records(evidence, screener),
        "model": dict(screener.diagnostics["model"]),
        "groups": groups,
        "drift": drift,
        "thresholds": dict(thresholds),
        "cuts": {**cuts, **pa_cut(validation)},
        "fractal": dict(screener.diagnostics.get("fractal") or {}),
        "targets": [
            {k: list(v) if k == "drivers" else v for k, v in asdict(t).items() if k != "geometry"} for t in found
        ],
        "target_count": len(found),
        "validation": validation,
        "warnings": [
            *evidence.notes,
            *screener.diagnostics["notes"],
            *drift_warnings(drift, int(screener.diagnostics["model"]["sample"])),
            *told(Unreadable(**block) for block in lost_late),
        ],
        "unreadable": lost,
        "times": {stage: round(seconds, 3) for stage, seconds in times.items()},
        "versions": {"python": platform.python_version(), **{n: importlib.metadata.version(n) for n in LIBRARIES}},
    }


def layer_records(evidence: Evidence, screener: Screener) -> list[dict[str, Any]]:
    """One record a layer: what was fitted, and `counts`, what it weighs in favourability (`weight` is the project's).

    The source is what was screened: the Screener may have been fitted on other files.
    """
    counts = screener.arrays["weight"].tolist()
    columns = zip(evidence.layers, evidence.provenance, screener.layers, counts, screener.memberships, strict=True)
    return [
        {
            **fitted,
            "source": layer.source,
            "counts": count,
            "membership": m.record(),
            "provenance": dict(provenance),
        }
        for layer, provenance, fitted, count, m in columns
    ]


def unreadable_blocks(evidence: Evidence, screening: Screening) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Blocks of sources that could not be decoded and count as missing: layer, path, band, row, col, height, width.

    Returns:
        All of them, and those that were not met before the pass, of which the evidence's notes do not tell.
    """
    seen = {
        (layer.name, block["row"], block["col"]): {
            "layer": layer.name,
            "path": layer.source,
            "band": layer.band,
            **block,
        }
        for layer, about in zip(evidence.layers, evidence.provenance, strict=True)
        for block in about.get("unreadable", ())
    }
    late = [dict(b) for b in screening.unreadable if (b["layer"], b["row"], b["col"]) not in seen]
    return [*seen.values(), *late], late


def pa_cut(validation: Mapping[str, Any] | None) -> dict[str, Any]:
    """ "pa": where the prediction-area plot of prospectivity crosses, known from occurrences; empty without any."""
    if validation is None:
        return {}
    return {"pa": {**validation["methods"]["prospectivity"]["pa"], "from_labels": True}}


def drift_record(screener: Screener, screening: Screening) -> dict[str, Any]:
    """Shares of the scored cells: outside the Screener's sample by layer, in any layer, and unusual as a whole."""
    cells = max(screening.valid_cells, 1)
    shares = zip(screener.layer_names, screening.outside.tolist(), strict=True)
    return {
        "outside": {name: count / cells for name, count in shares},
        "cells_outside": screening.cells_outside / cells,
        "unusual": screening.unusual / cells,
    }


def drift_warnings(drift: Mapping[str, Any], sample: int) -> list[str]:
    """Sentences for a reader whose district is not of the kind that the Screener was fitted on; none if it is.

    Args:
        drift: as drift_record gives it.
        sample: n, number of cells that the Screener was fitted on. A cell of the same district lies outside the span
            of n others in a layer with a chance of 2 / (n + 1), so many layers and a small sample are allowed more.
    """
    notes, by_layer = [], sorted(drift["outside"].items(), key=lambda item: -item[1])
    if drift["cells_outside"] > MOST_DRIFT + 2.0 * len(by_layer) / (sample + 1):
        named = [f"{name} {share:.1%}" for name, share in by_layer[:MOST_NAMED] if share >= 0.001]
        notes.append(
            f"{drift['cells_outside']:.1%} of the scored cells have a value beyond all that the Screener was fitted on "
            f"({', '.join(named)}): memberships and network were not fitted for them, and their ranks mean little. Fit "
            "on this district, or on both together."
        )
    if drift["unusual"] > MOST_DRIFT:
        notes.append(
            f"{drift['unusual']:.1%} of the scored cells are more unusual than 99 % of those that the Screener was "
            "fitted on, where about 1 % is expected: here the layers go together in another way. Fit on this district, "
            "or on both together."
        )
    return notes


def grid_record(grid: Grid) -> dict[str, Any]:
    """A grid as run.json has it; two grids are the same where their records are."""
    return {
        "crs": grid.crs,
        "cell_size": list(grid.cell_size),
        "transform": list(grid.transform)[:6],
        "width": grid.width,
        "height": grid.height,
        "cells": grid.width * grid.height,
    }


def output_checksums(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """sha256 of the outputs, by their names in `folder`."""
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(files)}
