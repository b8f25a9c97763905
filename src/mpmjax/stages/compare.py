"""compare: the maps, groups, best areas and targets of two finished runs side by side, and what was fitted otherwise.

Read tile by tile and twice: once for everything that adds up, once for ranks, which need the whole map's histogram.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mpmjax.autoencoder.checkpoint import ARRAYS, REST, load_screener
from mpmjax.errors import DataError
from mpmjax.evidence.grid.area import CellArea, cell_area
from mpmjax.products import CLASSES, PRODUCTS
from mpmjax.reporting.vectors import read_targets
from mpmjax.scoring.agreement import (
    CODES,
    Moments,
    Pairs,
    adjusted_rand,
    contingency,
    overlap_of_best,
    rank_moments,
    same_code,
)
from mpmjax.scoring.fits import differences, layer_differences
from mpmjax.scoring.target_overlap import overlapping_targets
from mpmjax.scoring.thresholds import SHARES
from mpmjax.stream.finished import one_grid, require_whole
from mpmjax.stream.prefetch import ordered_map, worker_count
from mpmjax.stream.reader import StackReader
from mpmjax.stream.tiles import cut
from mpmjax.types import Grid, Layer, Screener, Slab, Tile

SCORES = ("prospectivity", "favourability", "anomaly", "confidence", "risk")
WAYS = ("entered", "left")
CODED = ("groups", "classes", "driver")
TARGETS = "targets.gpkg"
READ = (*(f"{name}.tif" for name in (*SCORES, *CODED)), TARGETS, ARRAYS, REST)
MOVED = 2
"""Number of the area class whose border is watched: the best 2 %, of which targets are by default."""
TILE = 512


class _Tally(NamedTuple):
    """What a tile has to say, and all tiles together.

    Attributes:
        scores: of each score.
        groups, classes: cells by group, and units of area by class, in A and in B.
        moved: units of area of the cells that entered the best 2 %, and left it.
        drivers: [2, 2, 256], these cells by way, run and layer number.
        sums: [2, 2, 5], their scores by way, run and score, over those with a score in both runs, `counted` [2].
    """

    scores: tuple[Pairs, ...]
    groups: np.ndarray
    classes: np.ndarray
    moved: np.ndarray
    drivers: np.ndarray
    sums: np.ndarray
    counted: np.ndarray

    def plus(self, other: _Tally) -> _Tally:
        scores = tuple(one + more for one, more in zip(self.scores, other.scores, strict=True))
        return _Tally(scores, *(one + more for one, more in zip(self[1:], other[1:], strict=True)))


def compare(
    folders: tuple[Path, Path], records: tuple[Mapping[str, Any], Mapping[str, Any]], workers: int | None = None
) -> dict[str, Any]:
    """Lay two finished runs of one grid side by side.

    Args:
        folders: output folders of the runs A and B.
        records: what their run.json hold.
        workers: threads that read; default the cores there are. Changes no figure.

    Returns:
        Plain values; shares and correlations are None where there is nothing to tell them from.
        a, b: folder, name, valid_cells, area_km2.
        maps: of each score cells (valid in both), only_a, only_b (cells valid in one alone), pearson, spearman
        (scoring/agreement.py) and mean_difference, which is of absolute differences.
        groups: cells, adjusted_rand, same_number (share of the cells), k_a, k_b.
        best: by area share a_km2, b_km2, both_km2, a_in_b, b_in_a, jaccard.
        targets: as of scoring/target_overlap.py.
        moved: share of the area; entered (in B's best 2 %, not in A's) and left, each cells, km2, drivers_a and
        drivers_b (cells by layer name, most first), mean_a and mean_b of each score over these cells.
        layers and differences: as of scoring/fits.py.

    Raises:
        DataError: the grids are not the same, or a file is not there, damaged, or not the one that run.json tells of.
        ScreenerError: a Screener cannot be read.
    """
    grid = one_grid(folders, records)
    area = cell_area(grid)
    for folder, record in zip(folders, records, strict=True):
        require_whole(folder, record, READ)
    screeners = load_screener(folders[0]), load_screener(folders[1])
    total, spearman = _both_passes(folders, grid, area, worker_count(workers))
    rows = layer_differences(*screeners)
    return {
        **{name: _about(*run) for name, run in zip("ab", zip(folders, records, strict=True), strict=True)},
        "maps": {name: _figures(of, ranks) for name, of, ranks in zip(SCORES, total.scores, spearman, strict=True)},
        "groups": {
            "cells": int(total.groups.sum()),
            "adjusted_rand": adjusted_rand(total.groups),
            "same_number": same_code(total.groups),
            **{f"k_{run}": int(s.diagnostics["groups"]["k"]) for run, s in zip("ab", screeners, strict=True)},
        },
        "best": {f"{share:g}": _best(total.classes, n, area.unit_km2) for n, share in enumerate(SHARES, 1)},
        "targets": _targets(folders, grid),
        "moved": {"share": SHARES[MOVED - 1], **_moved(total, screeners, area.unit_km2)},
        "layers": rows,
        "differences": differences(*screeners, records, rows),
    }


def _both_passes(folders: Sequence[Path], grid: Grid, area: CellArea, threads: int) -> tuple[_Tally, list[Moments]]:
    """Tallies of all cells, and the moments of the ranks of each score."""
    products = {product.name: product for product in (*PRODUCTS, CLASSES)}
    layers = {
        names: tuple(
            Layer(n, "index", folder / f"{n}.tif", 1, products[n].dtype, products[n].nodata)
            for folder in folders
            for n in names
        )
        for names in ((*SCORES, *CODED), SCORES)
    }
    tiles = cut(grid.shape, TILE)
    with StackReader(grid, layers[*SCORES, *CODED]) as reader:
        total: _Tally | None = None
        for tally in ordered_map(lambda tile: _tally(reader.read(tile), area), tiles, threads):
            total = tally if total is None else total.plus(tally)
    if total is None:
        raise DataError(f"{folders[0]}: its grid has no cell. Run the project again.")
    ranks = [pairs.ranks() for pairs in total.scores]

    def in_ranks(tile: Tile) -> list[Moments]:
        return [
            rank_moments(a[valid], b[valid], of)
            for (a, b, valid), of in zip(_scores(reader.read(tile)), ranks, strict=True)
        ]

    sums = [Moments() for _ in SCORES]
    with StackReader(grid, layers[SCORES]) as reader:
        for found in ordered_map(in_ranks, tiles, threads):
            sums = [one + more for one, more in zip(sums, found, strict=True)]
    return total, sums


def _scores(slab: Slab) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Values in A and in B of each score, and where both are valid; the slab holds no other maps."""
    for i, j in zip(range(len(SCORES)), range(len(SCORES), 2 * len(SCORES)), strict=True):
        yield slab.values[i], slab.values[j], slab.valid[i] & slab.valid[j]


def _tally(slab: Slab, area: CellArea) -> _Tally:
    maps = len(SCORES) + len(CODED)
    scores = tuple(
        Pairs.of(slab.values[i], slab.values[maps + i], slab.valid[i], slab.valid[maps + i]) for i in range(len(SCORES))
    )
    (groups_a, classes_a, driver_a), (groups_b, classes_b, driver_b) = (
        slab.values[start + len(SCORES) : start + maps] for start in (0, maps)
    )
    weights = area.weights(slab.tile)
    grouped = (groups_a > 0) & (groups_b > 0)
    best_a, best_b = ((classes > 0) & (classes <= MOVED) for classes in (classes_a, classes_b))
    moved = best_b & ~best_a, best_a & ~best_b
    scored = [cells & grouped for cells in moved]
    values = [[slab.values[start + i] for i in range(len(SCORES))] for start in (0, maps)]
    return _Tally(
        scores,
        contingency(groups_a[grouped], groups_b[grouped]),
        contingency(classes_a, classes_b, weights),
        np.array([float(cells.sum() if weights is None else weights[cells].sum()) for cells in moved]),
        np.array([[np.bincount(d[cells], minlength=CODES) for d in (driver_a, driver_b)] for cells in moved]),
        np.array([[[v[cells].sum(dtype=np.float64) for v in of_run] for of_run in values] for cells in scored]),
        np.array([np.count_nonzero(cells) for cells in scored]),
    )


def _about(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "name": record.get("project", {}).get("name"),
        "valid_cells": record["grid"].get("valid_cells"),
        "area_km2": record["grid"].get("area_km2"),
    }


def _figures(pairs: Pairs, ranks: Moments) -> dict[str, Any]:
    cells = pairs.moments.count
    return {
        "cells": cells,
        "only_a": pairs.only_a,
        "only_b": pairs.only_b,
        "spearman": ranks.correlation,
        "pearson": pairs.moments.correlation,
        "mean_difference": pairs.distance / cells if cells else None,
    }


def _best(classes: np.ndarray, number: int, unit_km2: float) -> dict[str, float | None]:
    found = overlap_of_best(classes, number)
    areas = {f"{name}_km2": (found[name] or 0.0) * unit_km2 for name in ("a", "b", "both")}
    return areas | {name: found[name] for name in ("a_in_b", "b_in_a", "jaccard")}


def _moved(total: _Tally, screeners: Sequence[Screener], unit_km2: float) -> dict[str, Any]:
    return {
        way: {
            "cells": int(counts[0].sum()),
            "km2": float(units) * unit_km2,
            **{f"drivers_{run}": _named(n, s.layer_names) for run, n, s in zip("ab", counts, screeners, strict=True)},
            **{f"mean_{run}": _means(of_run, int(scored)) for run, of_run in zip("ab", sums, strict=True)},
        }
        for way, units, counts, sums, scored in zip(WAYS, *total[3:], strict=True)
    }


def _means(sums: np.ndarray, cells: int) -> dict[str, float | None]:
    return {name: float(total) / cells if cells else None for name, total in zip(SCORES, sums, strict=True)}


def _named(counts: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    """Cells by the layer that drives them, most first; "none" where there is no score or no directed layer."""
    order = np.argsort(-counts, kind="stable")
    return {str(names[n - 1]) if n else "none": int(counts[n]) for n in map(int, order) if counts[n]}


def _targets(folders: Sequence[Path], grid: Grid) -> dict[str, Any]:
    a, b = (list(read_targets(folder / TARGETS).values()) for folder in folders)
    width, height = grid.cell_size
    return overlapping_targets(a, b, 0.5 * width * height)
