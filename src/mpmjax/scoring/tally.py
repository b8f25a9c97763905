"""What a pass counts over its tiles, in whole numbers: neither the order of tiles nor how they are cut matters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mpmjax.scoring.drift import count_unusual
from mpmjax.scoring.thresholds import BINS, bin_of
from mpmjax.types import Screening

GROUPS = 256


class Tally:
    """Counts, as in Screening.

    Args:
        layers: L.
    """

    def __init__(self, layers: int) -> None:
        self.cells = self.unusual = 0
        self.histogram = np.zeros(BINS, np.int64)
        self.group_areas = np.zeros(GROUPS, np.int64)
        self.outside = np.zeros(layers + 1, np.int64)

    def add(self, maps: Mapping[str, np.ndarray], outside: np.ndarray, weights: np.ndarray | None) -> None:
        """Count the scored cells of a tile.

        Args:
            maps: prospectivity, groups and anomaly [height, width]; a cell was scored where it has a group.
            outside: int [L + 1], what `Sampled.outside` says of them.
            weights: areas of all cells of the tile in whole units, float64 [height, width]; None for 1 each.
        """
        scored = maps["groups"] > 0
        chosen = None if weights is None else weights[scored]
        self.cells += int(scored.sum())
        self.group_areas += _sums(maps["groups"][scored], chosen, GROUPS)
        self.histogram += _sums(bin_of(maps["prospectivity"][scored]), chosen, BINS)
        self.unusual += count_unusual(maps["anomaly"][scored])
        self.outside += np.asarray(outside, np.int64)

    def record(self) -> dict[str, Any]:
        """Plain values, to be kept."""
        plain = {"cells": self.cells, "unusual": self.unusual}
        return plain | {name: getattr(self, name).tolist() for name in ("histogram", "group_areas", "outside")}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Tally:
        """The tally that gave a record."""
        tally = cls(len(record["outside"]) - 1)
        tally.cells, tally.unusual = int(record["cells"]), int(record["unusual"])
        for name in ("histogram", "group_areas", "outside"):
            setattr(tally, name, np.array(record[name], np.int64))
        return tally

    def screening(self, unit_km2: float) -> Screening:
        """The same, as the stages hand it on; `unit_km2` is the unit of the weights."""
        layers, cells = self.outside[:-1], int(self.outside[-1])
        return Screening(self.cells, self.histogram, self.group_areas, unit_km2, layers, cells, self.unusual)


def _sums(places: np.ndarray, weights: np.ndarray | None, count: int) -> np.ndarray:
    """Sums of whole numbers by place, int64 [count]."""
    return np.bincount(places, weights, minlength=count).astype(np.int64)
