"""Points of a vector file with their attributes, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from pyogrio import raw

from mpmjax.errors import DataError
from mpmjax.evidence.vector.file import VectorFile, fields_named, said
from mpmjax.evidence.vector.geometry import usable

_POINT_TYPES = (0, 4)  # shapely's numbers of Point and MultiPoint


@dataclass(frozen=True)
class PointTable:
    """Points of a file, in the order of its features; several points of one feature share its attributes.

    Attributes:
        x, y: float64 [n], in the CRS of the file.
        rows: int64 [n], the number of each point's feature, counted from 1.
        columns: attribute -> [n], as the file has it: numbers, or objects (text and None).
        notes: what was left out, as sentences.
    """

    x: np.ndarray
    y: np.ndarray
    rows: np.ndarray
    columns: Mapping[str, np.ndarray]
    notes: list[str]


def read_points(file: VectorFile, columns: Sequence[str], *, where: str | None = None) -> PointTable:
    """Points of a vector file and some of its attributes.

    Args:
        columns: attributes that the file has.
        where: attribute filter, the part of an OGR SQL statement after WHERE.

    Raises:
        DataError: the file is damaged, `where` is wrong or selects nothing, or a feature is no point.
    """
    notes: list[str] = []
    with said(file.label, "cannot be read" if where is None else f"where = {where!r} cannot be used", notes):
        meta, _, wkb, values = raw.read(
            file.source,
            layer=file.layer,
            columns=list(dict.fromkeys([*columns, *fields_named(file, where)])),
            where=where,
            force_2d=True,
            encoding=file.encoding,
        )
        with np.errstate(invalid="ignore"):  # coordinates that are no numbers are left out below
            geometries = shapely.from_wkb(wkb)
    if not len(geometries):
        raise DataError(f"{file.label}: no feature is there" + (f" where {where}." if where is not None else "."))
    keep = usable(geometries)
    points = np.isin(shapely.get_type_id(geometries), _POINT_TYPES)
    if (keep & ~points).any():
        at = int(np.flatnonzero(keep & ~points)[0])
        raise DataError(
            f"{file.label}: feature {at + 1} is a {geometries[at].geom_type}, "
            "and samples are points. Name a file or a layer of points."
        )
    if not keep.all():
        notes.append(f"{file.label}: {(~keep).sum()} of {len(keep)} features have no usable point and were left out.")
    single, owner = shapely.get_parts(geometries[keep], return_index=True)
    rows = np.flatnonzero(keep)[owner]
    found = dict(zip(map(str, meta["fields"]), values, strict=True))
    taken = {column: found[column][rows] for column in columns}
    return PointTable(shapely.get_x(single), shapely.get_y(single), rows + 1, taken, notes)
