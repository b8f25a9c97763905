"""A look at samples before they are gridded: how many, how far apart, how much of them is below a detection limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from mpmjax.evidence.geochemistry.field import Field
from mpmjax.evidence.prepared.samples import read_layer_samples
from mpmjax.evidence.remarks import doubts
from mpmjax.evidence.samples.table import Samples
from mpmjax.project import Project
from mpmjax.project_layers import LayerSection
from mpmjax.types import Grid

HALF = 0.5
"""From this share of censored values on, a column is mapped more by what stands for them than by what was measured."""

WIDE = 10.0
"""From this ratio of the samples' spacing to a cell on, a finer grid says nothing more."""


@dataclass(frozen=True)
class SamplesSeen:
    """What was seen.

    Attributes:
        samples, there: how many there are, one a place, and how many have a value of the layer's field.
        low, high: of these values.
        line: for people: count, spacing, share of censored values by column.
    """

    samples: int
    there: int
    low: float
    high: float
    line: str
    notes: tuple[str, ...]


def look_at_samples(project: Project, section: LayerSection, field: Field, grid: Grid) -> SamplesSeen:
    """Read the samples of a layer and compute its field, as a run does before it grids them.

    Raises:
        DataError: the file cannot be used, or no sample has a value.
    """
    found = read_layer_samples(project, section, field, grid)
    samples, values = found.samples, found.values
    there = np.isfinite(values)
    spacing = _spacing(samples.x[there], samples.y[there])
    shares = {name: _censored(samples, name) for name in samples.values}
    below = [f"{share:.0%} of {name}" for name, share in shares.items() if share > 0.0]
    line = f"layer {section.name!r}: {int(there.sum()):,} samples with a value of {section.field}"
    line += f", {spacing:,.0f} m apart in the median" if np.isfinite(spacing) else ""
    line += f"; below their detection limits {', '.join(below)}" if below else ""
    told = [*doubts(found.notes), *_remarks(found.label, shares, spacing, grid)]
    low, high = float(values[there].min()), float(values[there].max())
    return SamplesSeen(there.size, int(there.sum()), low, high, line, tuple(told))


def _spacing(x: np.ndarray, y: np.ndarray) -> float:
    """Median distance of a sample to its nearest neighbour in metres; NaN of a single one."""
    if x.size < 2:
        return float("nan")
    places = np.column_stack([x, y])
    return float(np.median(KDTree(places).query(places, k=2)[0][:, 1]))


def _censored(samples: Samples, name: str) -> float:
    """Share of a column's values that stand for one below its detection limit, 0..1."""
    marked = samples.censored.get(name)
    known = np.isfinite(samples.values[name]) if marked is None else np.isfinite(samples.values[name]) | marked
    return 0.0 if marked is None or not known.any() else float(marked.sum() / known.sum())


def _remarks(label: str, shares: dict[str, float], spacing: float, grid: Grid) -> list[str]:
    remarks = []
    for name, share in shares.items():
        if share > HALF:
            remarks.append(
                f"{label}: {share:.0%} of the values of {name} are below a detection limit: what is mapped there is "
                "what stands for them. Choose another element, or read the layer as high or not."
            )
    cell = max(grid.cell_size)
    if spacing > WIDE * cell:
        remarks.append(
            f"{label}: samples lie {spacing:,.0f} m apart, and a cell is {cell:g} m wide: between samples the layer is "
            "smooth, whatever the ground is."
        )
    return remarks
