"""validate: known occurrences against the finished maps, and against what simple methods would have said.

Labels enter here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mpmjax.errors import DataError
from mpmjax.ops.membership import membership, plan_memberships
from mpmjax.ops.overlay import overlay
from mpmjax.products import MAP_NODATA
from mpmjax.scoring.metrics import RankCounts, count_ranks, judge
from mpmjax.stream.prefetch import ordered_map, worker_count
from mpmjax.stream.reader import StackReader, open_raster
from mpmjax.stream.tiles import cut, strips
from mpmjax.types import Evidence, Layer, Occurrences, Screener, Tile

JUDGED = ("prospectivity", "anomaly", "favourability")
GAMMA = 0.9
TILE = 512


def validate(
    evidence: Evidence, screener: Screener, output: Path, draws: int, workers: int | None = None
) -> dict[str, Any]:
    """Judge the maps in `output`, and the classical gamma overlay of the same memberships, by known occurrences.

    Args:
        evidence: with its occurrences read.
        draws: bootstrap draws of the intervals, 0 for none.

    Returns:
        The record's "validation": source, points, occurrences, xy, and figures by method.

    Raises:
        DataError: no occurrence lies on a cell that was scored.
    """
    known = evidence.occurrences
    if known is None:
        raise DataError('No occurrences: add [validate] with occurrences = "file" to the project file.')
    scored = _values(output / "prospectivity.tif", known) >= 0
    if not scored.any():
        raise DataError(
            f"{known.source}: none of the {len(known.rows)} occurrence cells was scored: all lie outside the study "
            "area or where too few layers have data."
        )
    known = replace(known, rows=known.rows[scored], cols=known.cols[scored])
    methods: dict[str, Any] = {}
    for name in JUDGED:
        path = output / f"{name}.tif"
        methods[name] = judge(count_ranks(_values(path, known), _valid_cells(path, evidence)), draws)
    methods["gamma"] = judge(_gamma_ranks(evidence, screener, known, output, workers), draws)
    place = evidence.grid.transform  # north-up: columns give x alone, rows y
    x, y = place.c + place.a * (known.cols + 0.5), place.f + place.e * (known.rows + 0.5)
    return {
        "source": known.source,
        "points": known.points,
        "occurrences": len(known.rows),
        "xy": [[float(a), float(b)] for a, b in zip(x, y, strict=True)],
        "methods": methods,
    }


def _values(path: Path, known: Occurrences) -> np.ndarray:
    """A map's values at the occurrence cells, float32 [m]."""
    with open_raster(path) as dataset:
        cells = zip(known.rows.tolist(), known.cols.tolist(), strict=True)
        return np.array([dataset.read(1, window=((r, r + 1), (c, c + 1)))[0, 0] for r, c in cells])


def _valid_cells(path: Path, evidence: Evidence) -> Iterator[np.ndarray]:
    with open_raster(path) as dataset:
        for strip in strips(evidence.grid):
            values = dataset.read(1, window=((strip.row, strip.row + strip.height), (0, strip.width)))
            yield values[values >= 0]


def _gamma_ranks(
    evidence: Evidence, screener: Screener, known: Occurrences, output: Path, workers: int | None
) -> RankCounts:
    """Ranks under the fuzzy gamma overlay of the directed layers, a pass over the evidence of its own.

    gamma is a rival, no product: it costs a small part of a screening, and only where there are labels.
    """
    plan = plan_memberships(evidence.layers, screener.memberships)
    directed = np.asarray(screener.arrays["weight"]) > 0
    finished = Layer("prospectivity", "index", output / "prospectivity.tif", 1, "float32", MAP_NODATA)
    with StackReader(evidence.grid, (*evidence.layers, finished)) as reader:

        def gamma(tile: Tile) -> np.ndarray:
            slab = reader.read(tile)
            scored = slab.valid[-1]
            mu, valid = membership([v[scored] for v in slab.values[:-1]], slab.valid[:-1, scored], plan)
            values = overlay(mu[directed], valid[directed], "gamma", GAMMA)
            # Where no directed layer has data there is no overlay: the middle, as in favourability.
            return np.where(np.isfinite(values), values, np.float32(0.5))

        places = zip(known.rows.tolist(), known.cols.tolist(), strict=True)
        own = np.concatenate([gamma(Tile(0, row, col, 1, 1)) for row, col in places])
        tiles = cut(evidence.grid.shape, TILE)
        return count_ranks(own, ordered_map(gamma, tiles, worker_count(workers)))
