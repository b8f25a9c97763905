"""validate: known occurrences against every cell of the finished maps, and whether the figures are a matter of place.

Labels enter here and in stages/rivals.py, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mpmjax.errors import DataError
from mpmjax.ops.membership import membership
from mpmjax.ops.plan import Overlay, plan_memberships
from mpmjax.products import MAP_NODATA
from mpmjax.scoring.comparison import limits, remarks, some_of, with_interval
from mpmjax.scoring.intervals import districts_of, standing
from mpmjax.scoring.metrics import RankCounter, judge
from mpmjax.scoring.spatial import Parts, block_figures, toroidal_null
from mpmjax.stream.prefetch import ordered_map, worker_count
from mpmjax.stream.reader import StackReader
from mpmjax.stream.tiles import cut
from mpmjax.types import Evidence, Layer, Occurrences, Screener, Slab, Tile

JUDGED = ("prospectivity", "anomaly", "favourability")
GAMMA = 0.9
TILE = 512
BLOCKS = 4
"""Blocks a side of the map in which prospectivity is judged by itself."""
SHIFTS, FEWEST_SHIFTS, LANDINGS = 999, 99, 200_000
"""Shifts of the occurrences over the map; fewer where these are so many that counting would take minutes."""

Judge = Callable[[Slab, np.ndarray], dict[str, np.ndarray]]
"""Values of every judged score at chosen cells (bool [height, width]) of a slab, by method: float32 [cells] each."""


def validate(
    evidence: Evidence, screener: Screener, output: Path, draws: int, workers: int | None = None
) -> dict[str, Any]:
    """Judge the maps in `output`, and the classical gamma overlay of the same memberships, by known occurrences.

    gamma is a rival, no product: it is computed here, in the one pass that counts, and only where there are labels.

    Args:
        evidence: with its occurrences read.
        draws: bootstrap draws of the intervals, which are over districts of occurrences; 0 for none.

    Returns:
        The record's "validation": source, points, occurrences, xy, districts, notes; methods, figures by name over all
        cells; null (scoring/spatial.py, or missing: why there is none) and blocks, both of prospectivity.

    Raises:
        DataError: no occurrence lies on a cell that was scored, or one on every such cell.
    """
    known = evidence.occurrences
    if known is None:
        raise DataError('No occurrences: add [validate] with occurrences = "file" to the project file.')
    finished = tuple(Layer(n, "index", output / f"{n}.tif", 1, "float32", MAP_NODATA) for n in JUDGED)
    scores = _scores(evidence, screener)
    tiles, threads = cut(evidence.grid.shape, TILE), worker_count(workers)
    with StackReader(evidence.grid, (*evidence.layers, *finished), on_error=evidence.on_error) as reader:
        known, own = _at_occurrences(reader, tiles, scores, known)
        counters = {name: RankCounter(values) for name, values in own.items()}

        def everywhere(tile: Tile) -> dict[str, np.ndarray]:
            slab = reader.read(tile)
            return scores(slab, slab.valid[-1])

        for values in ordered_map(everywhere, tiles, threads):
            for name, counter in counters.items():
                counter.add(values[name])
    if len(known.rows) == counters[JUDGED[0]].counts.cells:
        raise DataError(f"{known.source}: all scored cells hold an occurrence: there is no other cell to compare.")
    place = evidence.grid.transform  # north-up: columns give x alone, rows y
    x, y = place.c + place.a * (known.cols + 0.5), place.f + place.e * (known.rows + 0.5)
    found: dict[str, Any] = {
        "source": known.source,
        "points": known.points,
        "occurrences": len(known.rows),
        "xy": [[float(a), float(b)] for a, b in zip(x, y, strict=True)],
    }
    with StackReader(evidence.grid, finished[:1]) as reader:
        where = _where(_parts(reader, tiles, threads), evidence.grid.shape, known)
    return found | _methods(own, counters, x, y, draws) | where


def _methods(
    own: Mapping[str, np.ndarray], counters: Mapping[str, RankCounter], x: np.ndarray, y: np.ndarray, draws: int
) -> dict[str, Any]:
    """Exact figures of each score, with intervals over districts; the number of these, and what to know of both."""
    some, methods = some_of(len(x)), {}
    district = districts_of(x, y)
    for name, counter in counters.items():
        whole = standing(own[name], counter.counts)
        found = with_interval(replace(whole, place=whole.place[some]), district[some], draws)
        ends = {"auc_low": found["auc"]["low"], "auc_high": found["auc"]["high"], "limits": limits(found)}
        methods[name] = judge(counter.counts) | ends
    districts, first = int(district.max()) + 1, methods[JUDGED[0]]
    notes = remarks(len(x), districts, first["auc_low"], first["auc_high"])
    return {"methods": methods, "districts": districts, "notes": notes}


def _where(parts: Parts, shape: tuple[int, int], known: Occurrences) -> dict[str, Any]:
    """The null of shifted occurrences, and the figures block by block."""
    some = some_of(len(known.rows))
    shifts = min(SHIFTS, max(FEWEST_SHIFTS, LANDINGS // len(some)))
    try:
        null = toroidal_null(parts, shape, known.rows[some], known.cols[some], shifts)
    except ValueError as error:  # the study area fills too little of the grid
        null = {"missing": str(error)}
    blocks = min(BLOCKS, shape[0]), min(BLOCKS, shape[1])
    return {"null": null, "blocks": block_figures(parts, shape, known.rows, known.cols, blocks)}


def _parts(reader: StackReader, tiles: Sequence[Tile], threads: int) -> Parts:
    """The first map of a reader, tile by tile, NaN where it has no score."""

    def one(tile: Tile) -> tuple[Tile, np.ndarray]:
        slab = reader.read(tile)
        return tile, np.where(slab.valid[0], slab.values[0], np.float32(np.nan))

    return lambda: ordered_map(one, tiles, threads)


def _scores(evidence: Evidence, screener: Screener) -> Judge:
    layers = len(evidence.layers)
    directed = [index for index, weight in enumerate(screener.arrays["weight"]) if weight > 0]
    plan = plan_memberships([evidence.layers[i] for i in directed], [screener.memberships[i] for i in directed])

    def scores(slab: Slab, chosen: np.ndarray) -> dict[str, np.ndarray]:
        values = {name: slab.values[layers + i][chosen] for i, name in enumerate(JUDGED)}
        raw, masks = [slab.values[i][chosen] for i in directed], [slab.valid[i][chosen] for i in directed]
        gamma = membership(raw, plan, masks, overlay=Overlay("gamma", GAMMA), memberships=False, backend="cpu").overlay
        # Where no directed layer has data there is no overlay: the middle, as in favourability.
        return values | {"gamma": np.where(np.isfinite(gamma), gamma, np.float32(0.5))}

    return scores


def _at_occurrences(
    reader: StackReader, tiles: Sequence[Tile], scores: Judge, known: Occurrences
) -> tuple[Occurrences, dict[str, np.ndarray]]:
    """The occurrences whose cell was scored, tile by tile, and every score there.

    Raises:
        DataError: there is none.
    """
    rows, cols, parts = [], [], []
    for tile in tiles:
        r, c = known.rows - tile.row, known.cols - tile.col
        here = (r >= 0) & (r < tile.height) & (c >= 0) & (c < tile.width)
        if not here.any():
            continue
        slab = reader.read(tile)
        chosen = np.zeros((tile.height, tile.width), bool)
        chosen[r[here], c[here]] = True
        chosen &= slab.valid[-1]
        at = np.nonzero(chosen)
        rows.append(at[0] + tile.row)
        cols.append(at[1] + tile.col)
        parts.append(scores(slab, chosen))
    if not sum(map(len, rows)):
        raise DataError(
            f"{known.source}: none of the {len(known.rows)} occurrence cells was scored: all lie outside the study "
            "area or where too few layers have data."
        )
    row, col = np.concatenate(rows), np.concatenate(cols)
    # Row by row whatever the tiles: what is drawn from the occurrences must not depend on how the map is read.
    order = np.lexsort((col, row))
    own = {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
    return replace(known, rows=row[order], cols=col[order]), own
