"""Tables of points: CSV files with two columns of coordinates.

The header names them, in upper or lower case: lon,lat (longitude,latitude) in degrees, or x,y (easting,northing).
Columns are separated by comma, semicolon or tab, numbers written with a point, the text is UTF-8.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pyproj import CRS

from mpmjax.errors import DataError
from mpmjax.evidence.crs import parse_crs

CSV_SUFFIXES = {".csv", ".txt", ".tsv"}
LON_LAT = (("lon", "lat"), ("longitude", "latitude"), ("long", "lat"))
X_Y = (("x", "y"), ("easting", "northing"))


def read_coordinates(
    path: Path, label: str, *, crs: str | None, planar_crs: str
) -> tuple[np.ndarray, np.ndarray, CRS, list[str]]:
    """Points of a CSV and their CRS. Rows without coordinates are left out, with a note.

    Args:
        label: what messages call the file.
        crs: of x,y; or, if it is geographic, of lon,lat in place of EPSG:4326.
        planar_crs: of x,y where `crs` is None.

    Returns:
        x and y (lon and lat), float64 [n], their CRS, and notes. With both pairs of columns lon,lat are used, because
        what they mean needs no `crs`; x,y are if `crs` is projected.

    Raises:
        DataError: missing or unreadable file, no rows, no such columns, a cell that is no number, or an unknown CRS.
    """
    header, rows = read_table(path, label)
    columns, own = coordinate_columns(header, label, crs=crs, planar_crs=planar_crs)
    lines, x, y = _coordinates(rows, header, columns, label)
    require_on_earth(lines, x, y, own, label)
    blank = len(rows) - len(lines)
    return x, y, own, [f"{label}: {blank} of {len(rows)} rows have no coordinates."] if blank else []


def coordinate_columns(
    header: Sequence[str], label: str, *, crs: str | None, planar_crs: str
) -> tuple[tuple[int, int], CRS]:
    """Which columns hold the coordinates, and their CRS; see `read_coordinates`.

    Raises:
        DataError: no such columns, or an unknown CRS.
    """
    stated = None if crs is None else parse_crs(crs, label)
    lon_lat, x_y = _columns(header, LON_LAT), _columns(header, X_Y)
    if lon_lat is not None and (stated is None or stated.is_geographic or x_y is None):
        return lon_lat, stated if stated is not None and stated.is_geographic else CRS.from_epsg(4326)
    if x_y is not None:
        return x_y, CRS.from_user_input(planar_crs) if stated is None else stated
    raise DataError(
        f"{label}: no columns named lon,lat (longitude,latitude) or x,y (easting,northing); the header is: "
        f"{', '.join(header[:20])}. Rename the columns that hold the coordinates."
    )


def require_on_earth(lines: Sequence[int], x: np.ndarray, y: np.ndarray, crs: CRS, label: str) -> None:
    """Refuse degrees beyond 360 and 90; of other units nothing is known.

    Raises:
        DataError: names the first such line.
    """
    wrong = np.flatnonzero((np.abs(y) > 90) | (np.abs(x) > 360)) if crs.is_geographic else []
    if len(wrong):
        i = wrong[0]
        raise DataError(
            f"{label}, line {lines[i]}: longitude {x[i]:g}, latitude {y[i]:g} lie beyond 360 and 90 degrees. Are the "
            "columns exchanged, or in metres? Coordinates in metres are named x,y and need their crs."
        )


def read_table(
    path: Path, label: str, *, pick: Callable[[list[str]], Sequence[int]] | None = None
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header and rows of a CSV; a row comes with its line number, and may be shorter than the header.

    Args:
        pick: from the header, the columns that are wanted, by number: rows then hold these alone, in this order and all
            of them. Tables of thousands of columns need no memory for the others.

    Raises:
        DataError: missing or unreadable file, no text in UTF-8, or no rows.
    """
    if not path.is_file():
        raise DataError(f"{label}: no such file. Check the path; relative ones start at the project file.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            delimiter = max(",;\t", key=first.count)
            header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
            wanted = None if pick is None else pick(header)
            reader = csv.reader(file, delimiter=delimiter)
            rows = [
                (reader.line_num + 1, row if wanted is None else [row[i] if i < len(row) else "" for i in wanted])
                for row in reader
                if any(cell.strip() for cell in row)
            ]
    except OSError as error:
        raise DataError(f"{label}: cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{label}: no CSV in UTF-8 ({error}). Save it again as CSV UTF-8.") from error
    if not rows:
        raise DataError(f"{label}: the table has no rows.")
    return header, rows


def _columns(header: Sequence[str], names: Sequence[tuple[str, str]]) -> tuple[int, int] | None:
    lower = [name.lower() for name in header]
    for first, second in names:
        if first in lower and second in lower:
            return lower.index(first), lower.index(second)
    return None


def _coordinates(
    rows: list[tuple[int, list[str]]], header: Sequence[str], columns: tuple[int, int], label: str
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Line numbers and the two columns, float64 [n]; rows where both are blank are left out."""
    lines, pairs = [], []
    for line, row in rows:
        texts = [row[column].strip() if column < len(row) else "" for column in columns]
        if not any(texts):
            continue
        try:
            pairs.append((float(texts[0]), float(texts[1])))
        except ValueError as error:
            names = " and ".join(repr(header[column]) for column in columns)
            raise DataError(
                f"{label}, line {line}: {names} hold {texts[0]!r} and {texts[1]!r}, which are not two numbers. "
                "Write decimal degrees or metres, with a point."
            ) from error
        lines.append(line)
    x, y = np.asarray(pairs, np.float64).reshape(-1, 2).T
    return lines, x, y
