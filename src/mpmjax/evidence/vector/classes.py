"""Layers of cells that features lie on: presence (touched at all) and class (which polygon covers the centre)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mpmjax.errors import DataError
from mpmjax.evidence.remarks import several
from mpmjax.evidence.vector.burn import Parts, covered, take_apart, touched
from mpmjax.evidence.vector.features import Features
from mpmjax.stream.layerfile import STRIP_ROWS, Write, write_layer
from mpmjax.stream.tiles import strips
from mpmjax.types import Grid


def write_presence(features: Features, grid: Grid, out: Path, *, label: str) -> None:
    """Which cells a feature touches: uint8, 1 where one does and 0 elsewhere, no nodata.

    Args:
        label: the layer and its file, for messages.

    Raises:
        DataError: no feature touches a cell.
        DiskError: the file cannot be written.
    """
    parts, cells = take_apart(features.geometries, grid), 0

    def make(write: Write) -> None:
        nonlocal cells
        for strip in strips(grid, STRIP_ROWS):
            here = touched(parts, strip.row, 0, (strip.height, grid.width))
            cells += int(here.sum())
            write(strip.row, here.view(np.uint8))
        if not cells:
            raise DataError(f"{label}: no feature touches a cell of the grid: the layer would be 0 everywhere.")

    write_layer(out, grid, "uint8", make, nodata=None)


def class_codes(names: Sequence[str]) -> dict[str, int]:
    """The code of each class of a project's table: 1..n in the order of the names, whatever a file holds."""
    return {name: code for code, name in enumerate(sorted(names), start=1)}


def code_type(classes: int) -> str:
    """The smallest unsigned type that holds the codes of n classes, and n + 1 for those not in the table."""
    return "uint8" if classes + 1 <= np.iinfo(np.uint8).max else "uint16"


def write_classes(features: Features, grid: Grid, out: Path, *, names: Sequence[str], label: str) -> list[str]:
    """The class of the polygon that covers each cell's centre, as a code.

    Codes are `class_codes(names)`; n + 1 means a class that is not among the n names, 0 (nodata) that no polygon is
    there. Where polygons overlap, the one of the smallest area counts (as a lens lies in its host), of equal ones the
    first in the file.

    Args:
        features: with labels; of several parts, each is a polygon of its own.
        out: the file to write: of `code_type(n)`, nodata 0.

    Returns:
        Notes: what was left out, how many cells lie in polygons of several classes, and classes without a code.

    Raises:
        DataError: there are no polygons, none covers the centre of a cell, or there are more than 65,534 names.
        DiskError: the file cannot be written.
    """
    codes, dtype = class_codes(names), code_type(len(names))
    if len(names) >= np.iinfo(dtype).max:
        raise DataError(f"{label}: {len(names)} classes in the table, at most {np.iinfo(dtype).max - 1} are possible.")
    labels = np.zeros(0, str) if features.labels is None else features.labels
    parts, notes = polygons_of(features, grid, label)
    notes += _unlisted(labels, codes, label)
    code = np.array([codes.get(str(name), len(codes) + 1) for name in labels], dtype)[parts.owner]
    contested, cells = 0, 0

    def make(write: Write) -> None:
        nonlocal contested, cells
        for strip in strips(grid, STRIP_ROWS):
            block, several = covered(parts, _upwards(parts), code, strip.row, (strip.height, grid.width))
            contested, cells = contested + int(several.sum()), cells + int((block > 0).sum())
            write(strip.row, block)
        if not cells:
            raise DataError(f"{label}: no polygon covers the centre of a cell of the grid: no cell would have a class.")

    write_layer(out, grid, dtype, make, nodata=0)
    if contested:
        notes.append(
            f"{label}: the centres of {contested} of {grid.height * grid.width} cells lie in overlapping polygons of "
            "different classes: the polygon with the smallest area counts there."
        )
    return notes


def _upwards(parts: Parts) -> np.ndarray:
    """int64: the polygons in the order in which they are drawn, the one that counts last."""
    order = np.lexsort((-np.arange(len(parts.area)), -parts.area))
    return order[parts.filled[order]]


def polygons_of(features: Features, grid: Grid, label: str) -> tuple[Parts, list[str]]:
    """The parts of features, and a note on those that are no polygons. Polygons without area go silently.

    Raises:
        DataError: none is a polygon.
    """
    parts = take_apart(features.geometries, grid)
    count = len(features.geometries)
    other = np.ones(count, bool) if features.collapsed is None else ~features.collapsed
    other[parts.owner[parts.filled]] = False
    if not parts.filled.any():
        raise DataError(
            f'{label}: derive = "class" needs polygons, and none of the {count} features on the grid is one. Name a '
            'file of polygons, or take derive = "proximity" for lines and points.'
        )
    notes = []
    if other.any():
        notes.append(f"{label}: {int(other.sum())} of {count} features on the grid are no polygons and were left out.")
    return parts, notes


def _unlisted(labels: np.ndarray, codes: dict[str, int], label: str) -> list[str]:
    strange = [name for name in labels.tolist() if name not in codes]
    if not strange:
        return []
    names = several([f"'{name}'" if name else "none stated" for name in sorted(set(strange))], 20)
    note = (
        f"{label}: {len(strange)} of {len(labels)} features on the grid are of classes without a score ({names}): "
        "their cells take the default of scores, or are missing if there is none."
    )
    return [note]
