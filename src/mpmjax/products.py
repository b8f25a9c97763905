"""The output maps: their names, types, nodata and what QGIS shows as their description."""

from __future__ import annotations

from dataclasses import dataclass

MAP_NODATA = -9999.0
"""Nodata of every float product; uint8 products use 0."""


@dataclass(frozen=True)
class Product:
    """One single-band output map: its file is `name`.tif."""

    name: str
    dtype: str
    description: str

    @property
    def nodata(self) -> float:
        return MAP_NODATA if self.dtype == "float32" else 0


PRODUCTS = (
    Product("prospectivity", "float32", "Prospectivity, rank-like score 0..1 (1 = most favourable)"),
    Product("favourability", "float32", "Favourability, weighted mean membership of the directed layers 0..1"),
    Product("anomaly", "float32", "Anomaly of the reconstruction, rank 0..1 (1 = rarest)"),
    Product("confidence", "float32", "Confidence, probability to stay in or out of the best area if fitted again"),
    Product("risk", "float32", "Risk, standard deviation of the members' favourability"),
    Product("spread", "float32", "Spread, standard deviation of the members' own prospectivities"),
    Product("coverage", "float32", "Coverage, share of layers with data 0..1"),
    Product("groups", "uint8", "Group, 1 = highest mean favourability"),
    Product("quadrants", "uint8", "Return and risk: 1 high R low risk, 2 both high, 3 both low, 4 low R high risk"),
    Product("driver", "uint8", "Driver, number of the layer that says most for the cell"),
)
"""What the screening pass writes; `CLASSES` follows once the thresholds of the whole area are known."""

INDEX_MAPS = tuple(product.name for product in PRODUCTS if product.dtype == "float32")
CLASS_MAPS = tuple(product.name for product in PRODUCTS if product.dtype == "uint8")
"""The same, by kind: ops/cpu/scores.py and kernels/lstm_score.cu write them in this order."""

CLASSES = Product(
    "classes", "uint8", "Area classes of prospectivity: 1 = best 1 %, 2 = best 2 %, 3 = best 5 %, 4 = rest"
)
