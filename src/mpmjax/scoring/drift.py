"""How far a district is from the sample that a Screener was fitted on: values it never held, and unusual cells.

Two kinds of drift are counted. A value beyond all that the sample held is seen layer by layer. Values that are each
ordinary, but never went together, are seen by the network alone: about one cell in a hundred ranks above 99 % of the
sample by its anomaly where the district is of the kind that was fitted, and more where it is not. All counts are whole
numbers of scored cells, which add up over tiles.

One side of one role is let pass: farther from what is favourable than any cell of the sample. How far the farthest cell
lies is a matter of where a district's edges run, and its membership is what it is for the farthest of the sample: of
five pairs of synthetic districts of one kind two would be warned of for that alone, and both rank as well as any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mpmjax.errors import ScreenerError
from mpmjax.types import Layer, Screener, Slab

UNUSUAL = 0.99
"""Rank of the anomaly among the sample above which a cell is unusual."""


class Sampled:
    """What the Screener's sample held: the span of each layer's values, or the classes of a category.

    Args:
        layers: L, those of the district that is screened.

    Raises:
        ScreenerError: the Screener does not say.
    """

    def __init__(self, screener: Screener, layers: Sequence[Layer]) -> None:
        self._layers = layers
        try:
            self._spans = [_span(record) for record in screener.layers]
        except KeyError as error:
            raise ScreenerError(
                f"The Screener does not say which values it was fitted on ({error.args[0]!r} is missing in its "
                "layers). Fit again."
            ) from error
        self._classes = [record.get("classes") for record in screener.layers]

    def outside(self, slab: Slab, scored: np.ndarray) -> np.ndarray:
        """Count cells with a value below the smallest or above the largest of the sample, or of a class not in it.

        Distances that are low where it is favourable are counted on their low side only.

        Args:
            slab: raw values and masks of a tile.
            scored: bool [height, width], the cells to count.

        Returns:
            int64 [L + 1]: cells by layer, and cells for which it holds in any layer.
        """
        counts = np.zeros(len(self._layers) + 1, np.int64)
        anywhere = np.zeros(np.count_nonzero(scored), bool)
        for index, layer in enumerate(self._layers):
            # In the sample's own arithmetic a value that was sampled is never outside by a rounding.
            strange = self._strange(index, layer.in_units(slab.values[index][scored])) & slab.valid[index][scored]
            counts[index] = np.count_nonzero(strange)
            anywhere |= strange
        counts[-1] = np.count_nonzero(anywhere)
        return counts

    def _strange(self, index: int, values: np.ndarray) -> np.ndarray:
        (low, high), classes = self._spans[index], self._classes[index]
        return (values < low) | (values > high) if classes is None else ~np.isin(values, classes)


def _span(record: Mapping[str, Any]) -> tuple[float, float]:
    far = record["role"] == "distance" and record["direction"] < 0
    return float(record["min"]), np.inf if far else float(record["max"])


def count_unusual(anomaly: np.ndarray) -> int:
    """How many of the anomaly's ranks, float [n] in 0..1, are unusual."""
    return int(np.count_nonzero(anomaly > UNUSUAL))
