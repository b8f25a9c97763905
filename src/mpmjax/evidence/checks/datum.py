"""Geodetic datums: how PROJ goes from that of a source to that of the grid, and how far that may be off."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pyproj import CRS
from pyproj.exceptions import ProjError
from pyproj.transformer import AreaOfInterest, TransformerGroup

from mpmjax.errors import DataError
from mpmjax.evidence.crs import bounds_between
from mpmjax.evidence.remarks import Remark, together
from mpmjax.types import Grid

POOR = 0.5
"""Half a cell: from this on a shift moves values into the next cell."""

FINE = 0.1
"""A tenth of a cell: below it a grid file that would do better is not worth the trouble."""


@dataclass(frozen=True)
class DatumChange:
    """From one datum to another.

    Attributes:
        source, target: names of the datums' geographic CRS, like "GDA94".
        operation: PROJ's name of what it does, like "GDA94 to WGS 84 (1)".
        accuracy: metres; None where PROJ knows none.
        ballpark: PROJ knows no operation and takes the coordinates of one datum for those of the other.
        better: a more accurate operation that cannot be had here, "" if there is none.
        files: the grid files that it needs.
        better_accuracy: metres; None without one.
    """

    source: str
    target: str
    operation: str
    accuracy: float | None
    ballpark: bool
    better: str = ""
    files: tuple[str, ...] = ()
    better_accuracy: float | None = None


def datum_change(crs: str, grid: Grid) -> DatumChange | None:
    """What PROJ does between the datum of a CRS and that of the grid, on the grid; None where they are the same.

    Raises:
        DataError: no way is known at all.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pyproj warns of what `better` says
        try:
            ways = TransformerGroup(crs, grid.crs, always_xy=True, area_of_interest=_area(grid))
        except ProjError as error:
            raise DataError(f"No way is known from the CRS {crs[:60]} to the grid's: {error}.") from error
    if not ways.transformers:
        raise DataError(f"No way is known from the CRS {crs[:60]} to the grid's. State another CRS for the grid.")
    chosen = ways.transformers[0]
    steps = [step.name for step in chosen.operations or () if "Transformation" in step.type_name]
    if not steps:
        return None
    accuracy = chosen.accuracy if chosen.accuracy >= 0 else None
    change = DatumChange(
        _datum(crs), _datum(grid.crs), ", then ".join(steps), accuracy, any("Ballpark" in step for step in steps)
    )
    worse_than = np.inf if accuracy is None else accuracy
    # In the order of PROJ, those that fit the area best first.
    best = next((way for way in ways.unavailable_operations if 0 <= way.accuracy < worse_than), None)
    if best is None:
        return change
    files = tuple(dict.fromkeys(grid.short_name for grid in best.grids if not grid.available))
    name = best.name.split(" + ")[0]
    return DatumChange(**{**vars(change), "better": name, "files": files, "better_accuracy": best.accuracy})


def _area(grid: Grid) -> AreaOfInterest | None:
    """The grid in degrees; None where it has no place in them."""
    box = bounds_between(grid.crs, "EPSG:4326", grid.bounds)
    return AreaOfInterest(*box) if np.isfinite(box).all() else None


def crs_words(crs: str) -> str:
    """A CRS as people call it: its authority's code, else its name."""
    parsed = CRS.from_user_input(crs)
    authority = parsed.to_authority()
    return ":".join(authority) if authority else parsed.name


def _datum(crs: str) -> str:
    parsed = CRS.from_user_input(crs)
    geographic = parsed.geodetic_crs
    return parsed.name if geographic is None else geographic.name


def datum_findings(systems: Mapping[str, str], grid: Grid) -> tuple[list[str], list[Remark]]:
    """Which sources have another datum and what becomes of them, as lines; and where that may go wrong.

    Args:
        systems: CRS of every source, by what messages call it, like "layer 'Li'".

    Raises:
        DataError: no way to the grid is known for one of them.
    """
    changes = {crs: datum_change(crs, grid) for crs in dict.fromkeys(systems.values())}
    lines, remarks = [], []
    for crs, change in changes.items():
        who = [name for name, own in systems.items() if own == crs]
        if change is not None:
            lines.append(_line(who, change))
            remarks += [Remark(name, text) for name in who for text in _worries(change, min(grid.cell_size))]
    return lines, remarks


def _line(who: list[str], change: DatumChange) -> str:
    good = "of unknown accuracy" if change.accuracy is None else f"good to {change.accuracy:g} m"
    better = "" if change.better_accuracy is None else f" ({change.better_accuracy:g} m with {', '.join(change.files)})"
    return f"datum: {change.source} to {change.target} by {change.operation!r}, {good}{better}: {together(who)}"


def _worries(change: DatumChange, cell: float) -> list[str]:
    both = f"{change.source} to {change.target}"
    install = ""
    if change.better_accuracy is not None:
        install = (
            f"Install {' and '.join(change.files)} (projsync, or from cdn.proj.org), with which {change.better!r} is "
            f"good to {change.better_accuracy:g} m"
        )
    other = "transform the source with a program that knows the datum, or state by crs the datum that it really has"
    if change.ballpark:
        advice = f"{install}, or {other}." if install else f"{other[0].upper()}{other[1:]}."
        text = f"PROJ knows no operation from {both} here and takes the coordinates for the same:"
        return [f"{text} places may be off by ten to several hundred metres. {advice}"]
    poor = change.accuracy is None or change.accuracy > POOR * cell
    if poor or (install and change.accuracy is not None and change.accuracy > FINE * cell):
        good = "of unknown accuracy" if change.accuracy is None else f"good to {change.accuracy:g} m only"
        advice = f"{install}." if install else f"Choose larger cells, or {other}."
        return [f"from {both} by {change.operation!r}, {good}, with cells of {cell:g} m. {advice}"]
    return []
