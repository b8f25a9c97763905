"""Finished runs that are read again: on one grid, and with the files that they wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from affine import Affine

from mpmjax.errors import DataError
from mpmjax.stream.files import sha256
from mpmjax.types import Grid

SAME_CELL = 1e-3
"""Share of a cell by which corners of one grid may lie apart: rounding in a file, not another place."""


def one_grid(folders: Sequence[Path], records: Sequence[Mapping[str, Any]]) -> Grid:
    """The grid of two runs.

    Args:
        folders: their output folders, for the message.
        records: what their run.json hold.

    Raises:
        DataError: they are not on one; says what differs. Or a record does not tell of a grid.
    """
    a, b = (_grid(folder, record) for folder, record in zip(folders, records, strict=True))
    unlike = []
    if a.crs != b.crs and pyproj.CRS.from_user_input(a.crs) != pyproj.CRS.from_user_input(b.crs):
        unlike.append(f"CRS {_shown_crs(a.crs)} against {_shown_crs(b.crs)}")
    if not np.allclose(a.cell_size, b.cell_size, rtol=SAME_CELL / max(a.shape), atol=0.0):
        unlike.append("cells of {:g} x {:g} m against {:g} x {:g} m".format(*a.cell_size, *b.cell_size))
    if a.shape != b.shape:
        unlike.append(f"{a.width:,} x {a.height:,} cells against {b.width:,} x {b.height:,}")
    corners = [(grid.transform.c, grid.transform.f) for grid in (a, b)]
    if not np.allclose(*corners, rtol=0.0, atol=SAME_CELL * min(a.cell_size)):
        unlike.append("upper left corner {:.3f}, {:.3f} against {:.3f}, {:.3f}".format(*corners[0], *corners[1]))
    if unlike:
        raise DataError(
            f"{folders[0]} and {folders[1]} are not on one grid: {'; '.join(unlike)}. Maps are compared cell by cell, "
            "which takes the same CRS, cell size, corner and number of cells: give both projects the same [grid] and "
            "run one of them again."
        )
    return a


def _grid(folder: Path, record: Mapping[str, Any]) -> Grid:
    try:
        stated = record["grid"]
        return Grid(str(stated["crs"]), Affine(*stated["transform"]), int(stated["width"]), int(stated["height"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder}: its run.json does not tell the grid ({error!r}). Run the project again.") from error


def _shown_crs(crs: str) -> str:
    return crs if len(crs) < 40 else pyproj.CRS.from_user_input(crs).name


def require_whole(folder: Path, record: Mapping[str, Any], names: Iterable[str]) -> None:
    """Make sure that files of a finished run are those that it wrote.

    Args:
        record: what its run.json holds.
        names: of the files in `folder`.

    Raises:
        DataError: one is not there, cannot be read, or has another checksum than in run.json.
    """
    for name in names:
        path = folder / name
        try:
            known = sha256(path) == record["outputs"].get(name)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read: {error.strerror}. It belongs to the run: run the project again."
            ) from error
        if not known:
            raise DataError(
                f"{path}: its checksum is not the one in run.json: it is damaged, or was changed after the run. Run "
                "the project again."
            )
