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
        self._unreadable: set[tuple[tuple[str, Any], ...]] = set()

    def add(self, maps: Mapping[str, np.ndarray], facts: Mapping[str, Any], weights: np.ndarray | None) -> None:
        """Count the scored cells of a tile.

        Args:
            maps: prospectivity, groups and anomaly [height, width]; a cell was scored where it has a group.
            facts: what the maps do not show: "outside", int [L + 1] as `Sampled.outside` says it of these cells, and
                "unreadable", plain records of the blocks that could not be decoded.
            weights: areas of all cells of the tile in whole units, float64 [height, width]; None for 1 each.
        """
        scored = maps["groups"] > 0
        chosen = None if weights is None else weights[scored]
        self.cells += int(scored.sum())
        self.group_areas += _sums(maps["groups"][scored], chosen, GROUPS)
        self.histogram += _sums(bin_of(maps["prospectivity"][scored]), chosen, BINS)
        self.unusual += count_unusual(maps["anomaly"][scored])
        self.outside += np.asarray(facts["outside"], np.int64)
        self._unreadable |= {tuple(block.items()) for block in facts["unreadable"]}

    @property
    def unreadable(self) -> list[dict[str, Any]]:
        """Blocks that could not be decoded, each once, in order."""
        return [dict(block) for block in sorted(self._unreadable)]

    def record(self) -> dict[str, Any]:
        """Plain values, to be kept."""
        plain = {"cells": self.cells, "unusual": self.unusual, "unreadable": self.unreadable}
        return plain | {name: getattr(self, name).tolist() for name in ("histogram", "group_areas", "outside")}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Tally:
        """The tally that gave a record."""
        tally = cls(len(record["outside"]) - 1)
        tally.cells, tally.unusual = int(record["cells"]), int(record["unusual"])
        for name in ("histogram", "group_areas", "outside"):
            setattr(tally, name, np.array(record[name], np.int64))
        tally._unreadable = {tuple(block.items()) for block in record["unreadable"]}
        return tally

    def screening(self, unit_km2: float) -> Screening:
        """The same, as the stages hand it on; `unit_km2` is the unit of the weights."""
        return Screening(
            self.cells,
            self.histogram,
            self.group_areas,
            unit_km2,
            outside=self.outside[:-1],
            cells_outside=int(self.outside[-1]),
            unusual=self.unusual,
            unreadable=tuple(self.unreadable),
        )


def _sums(places: np.ndarray, weights: np.ndarray | None, count: int) -> np.ndarray:
    """Sums of whole numbers by place, int64 [count]."""
    return np.bincount(places, weights, minlength=count).astype(np.int64)
