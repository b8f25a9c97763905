"""Files of samples -> places in their own CRS, columns of cells, labels."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyproj import CRS

from mpmjax.errors import DataError
from mpmjax.evidence.csvfile import coordinate_columns, read_table, require_on_earth
from mpmjax.evidence.samples.cells import MEASURED, MISSING, Cells, has_decimal_commas, numeric_cells, parse_cells
from mpmjax.evidence.vector.attributes import read_points
from mpmjax.evidence.vector.file import open_vector

_COLUMNS_SHOWN = 20


@dataclass(frozen=True)
class Read:
    """What a file holds: places in its own CRS, columns of cells, labels, the numbers of its lines, and notes."""

    x: np.ndarray
    y: np.ndarray
    crs: CRS
    cells: Mapping[str, Cells]
    labels: Mapping[str, np.ndarray]
    notes: list[str]


def read_csv(
    path: Path, label: str, grid_crs: str, columns: Sequence[str], labels: Sequence[str], crs: str | None
) -> Read:
    """Samples of a CSV; see `mpmjax.evidence.samples.table.read_samples`."""
    wanted = list(dict.fromkeys([*columns, *labels]))
    own: list[CRS] = []
    names: list[str] = []

    def pick(header: list[str]) -> list[int]:
        pair, found = coordinate_columns(header, label, crs=crs, planar_crs=grid_crs)
        own.append(found)
        names.extend(header[i] for i in pair)
        return [*pair, *(_place_of(name, header, label) for name in wanted)]

    _, rows = read_table(path, label, pick=pick)
    placed = [(line, row) for line, row in rows if row[0].strip() or row[1].strip()]
    if not placed:
        raise DataError(f"{label}: no row has coordinates. Fill them in, or name another file.")
    lines = [line for line, _ in placed]
    texts = dict(zip(["\0x", "\0y", *wanted], zip(*(row for _, row in placed), strict=True), strict=True))
    shown = {"\0x": names[0], "\0y": names[1]}
    numbers = {name: texts[name] for name in ("\0x", "\0y", *columns)}
    comma = has_decimal_commas({shown.get(name, name): cells for name, cells in numbers.items()}, label)
    cells = {
        name: parse_cells(column, lines, shown.get(name, name), label, decimal_comma=comma)
        for name, column in numbers.items()
    }
    x, y = _places(cells["\0x"], cells["\0y"], placed, names, label)
    there = ~np.isnan(x)
    require_on_earth(lines, np.nan_to_num(x), np.nan_to_num(y), own[0], label)
    blank = len(rows) - int(there.sum())
    notes = [f"{label}: {blank} of {len(rows)} rows have no coordinates and were left out."] if blank else []
    if comma:
        notes.append(f"{label}: numbers are written with decimal commas.")
    return Read(
        x[there],
        y[there],
        own[0],
        {name: Cells(cells[name].numbers[there], cells[name].kinds[there]) for name in columns},
        {name: np.array([text.strip() for text in texts[name]], object)[there] for name in labels},
        notes,
    )


def _places(
    x: Cells, y: Cells, rows: Sequence[tuple[int, list[str]]], names: Sequence[str], label: str
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates float64 [n], NaN in both where both are missing."""
    plain = np.isin(x.kinds, (MEASURED, MISSING)) & np.isin(y.kinds, (MEASURED, MISSING))
    wrong = np.flatnonzero(~plain | (np.isnan(x.numbers) != np.isnan(y.numbers)))
    if wrong.size:
        line, row = rows[wrong[0]]
        raise DataError(
            f"{label}, line {line}: {names[0]!r} and {names[1]!r} hold {row[0]!r} and {row[1]!r}, which are not two "
            "numbers. Write decimal degrees or metres in both, or leave both blank."
        )
    return x.numbers, y.numbers


def read_vector(
    path: Path,
    label: str,
    columns: Sequence[str],
    labels: Sequence[str],
    crs: str | None,
    layer: str | None,
    where: str | None,
) -> Read:
    """Samples of a vector file of points; see `mpmjax.evidence.samples.table.read_samples`."""
    file = open_vector(path, label.removesuffix(f": {path}"), crs=crs, layer=layer)
    wanted = list(dict.fromkeys([*columns, *labels]))
    for name in wanted:
        _place_of(name, file.fields, label)
    table = read_points(file, wanted, where=where)
    texts = {name: _texts(table.columns[name]) for name in columns if table.columns[name].dtype.kind == "O"}
    comma = has_decimal_commas(texts, label)
    cells = {
        name: parse_cells(texts[name], table.rows.tolist(), name, label, decimal_comma=comma)
        if name in texts
        else numeric_cells(_numbers(table.columns[name], name, label))
        for name in columns
    }
    tags = {name: np.array([text.strip() for text in _texts(table.columns[name])], object) for name in labels}
    return Read(table.x, table.y, file.crs, cells, tags, table.notes)


def _numbers(values: np.ndarray, name: str, label: str) -> np.ndarray:
    if values.dtype.kind not in "iufb":
        raise DataError(f"{label}: the column {name!r} holds {values.dtype.name}, not numbers. Name another column.")
    return values.astype(np.float64)


def _texts(values: np.ndarray) -> list[str]:
    """Values of an attribute as text, "" for null; whole numbers without a point."""
    return [
        ""
        if value is None or value != value
        else str(int(value))
        if isinstance(value, float | np.floating) and float(value).is_integer()
        else str(value)
        for value in values
    ]


def _place_of(name: str, header: Sequence[str], label: str) -> int:
    """The number of a column; refuses one that is not there with the nearest that is."""
    count = list(header).count(name)
    if count == 1:
        return list(header).index(name)
    if count:
        raise DataError(f"{label}: {count} columns are named {name!r}. Rename those that are not meant.")
    alike = [other for other in header if other.strip().lower() == name.strip().lower()]
    close = alike or difflib.get_close_matches(name, list(header), 1, cutoff=0.5)
    shown = ", ".join(header[:_COLUMNS_SHOWN]) + (" ..." if len(header) > _COLUMNS_SHOWN else "")
    raise DataError(
        f"{label}: no column {name!r}" + (f"; did you mean {close[0]!r}?" if close else ".") + f" The columns: {shown}."
    )
