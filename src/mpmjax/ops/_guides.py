"""Where to begin looking for a value among the knots of an ecdf: a table over equal bins of its range.

A search by halving looks at the knots 10 times for 1,024 of them. Two values in one bin differ in the few knots that
lie in that bin alone: the table says before which knot these begin, and as many halvings are left as the fullest bin
needs, 1 or 2 for the quantiles of a distance. The bin of a value grows with it (each step of its arithmetic does, after
rounding), so that knots in earlier bins are below it and knots in later ones above it, to the bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BINS = 4096


class Guides(NamedTuple):
    """The tables of a stack of layers.

    Attributes:
        inverse: float64 [L], bins per unit; the bin of x is trunc(clip((x - first knot) * inverse, 0, BINS - 1)).
        reach: int64 [L], how many knots from the one in the table on can be the answer, at least 1.
        first: int64 [L], where a layer's table begins.
        table: uint16 [layers with knots, BINS] in one row: the last knot of all earlier bins, 0 if there is none.
    """

    inverse: np.ndarray
    reach: np.ndarray
    first: np.ndarray
    table: np.ndarray


def make_guides(knots: list[np.ndarray]) -> Guides:
    """Tables for the ascending knots of L layers, float64 [n] each; empty where a layer has none."""
    layers = len(knots)
    guides = Guides(np.zeros(layers), np.ones(layers, np.int64), np.zeros(layers, np.int64), np.empty(0, np.uint16))
    tables = []
    for layer, x in enumerate(knots):
        if not x.size:
            continue
        with np.errstate(over="ignore", divide="ignore"):
            span = x[-1] - x[0]
            inverse = BINS / span
        # One bin, so that all knots are searched, for no range, one too large, and more knots than the table can name.
        usable = np.isfinite(inverse) and np.isfinite(span) and x.size <= np.iinfo(np.uint16).max
        guides.inverse[layer] = inverse if usable else 0.0
        bins = np.zeros(x.size, np.int64)
        if guides.inverse[layer] > 0.0:
            bins = np.minimum((x - x[0]) * guides.inverse[layer], BINS - 1).astype(np.int64)
        counts = np.bincount(bins, minlength=BINS)
        guides.reach[layer] = counts.max() + 1
        guides.first[layer] = BINS * len(tables)
        tables.append(np.maximum(np.cumsum(counts) - counts - 1, 0).astype(np.uint16))
    return guides._replace(table=np.concatenate(tables) if tables else guides.table)
