"""Value tables: which code of a category raster means which class, as a CSV or as the .vat.dbf of ArcGIS."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pyogrio import raw
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

from mpmjax.errors import DataError
from mpmjax.evidence.csvfile import CSV_SUFFIXES, read_table

CODES = ("value", "code", "class")
"""Columns that hold the codes, in any case; the first that is there is taken."""

DBF_VERSIONS = frozenset(b"\x03\x04\x05\x83\x8b\xf5")
"""First bytes of a .dbf. GDAL goes by content: text under this name might be a description of other files and hosts."""

_LANGUAGE = 29
_COLUMNS_SHOWN = 20


def read_value_table(path: Path, field: str, label: str) -> Mapping[str, tuple[float, ...]]:
    """Names of classes and the raw values that mean them. Rows without a name are left out.

    Args:
        path: CSV (comma, semicolon or tab; UTF-8), or DBF.
        field: the column of names; several codes may share one.
        label: what messages call the file.

    Returns:
        Name -> its codes, ascending; names in the order in which the table first has them.

    Raises:
        DataError: missing or unreadable file, no such column, no column of codes, a code that is no number or has two
            names, or no class at all.
    """
    header, rows = _dbf(path, label) if path.suffix.lower() == ".dbf" else _csv(path, label)
    of_names, of_codes = _columns(header, field, label)
    name_of: dict[float, str] = {}
    for line, row in rows:
        text, name = (row[column].strip() if column < len(row) else "" for column in (of_codes, of_names))
        if not name:
            continue
        code = _code(text, header[of_codes], f"{label}, {line}")
        if name_of.setdefault(code, name) != name:
            raise DataError(
                f"{label}, {line}: the code {text} is named {name!r} here and {name_of[code]!r} before. A code means "
                "one class: correct the table."
            )
    if not name_of:
        raise DataError(f"{label}: the column {field!r} names no class, it is empty.")
    codes: dict[str, list[float]] = {}
    for code, name in name_of.items():
        codes.setdefault(name, []).append(code)
    return {name: tuple(sorted(own)) for name, own in codes.items()}


def _columns(header: Sequence[str], field: str, label: str) -> tuple[int, int]:
    """Which columns hold the names and the codes."""
    shown = ", ".join(header[:_COLUMNS_SHOWN])
    if field not in header:
        raise DataError(f"{label}: no column {field!r}; the columns are: {shown}.")
    of_names, lower = header.index(field), [name.lower() for name in header]
    for wanted in CODES:
        for column, name in enumerate(lower):
            if name == wanted and column != of_names:
                return of_names, column
    raise DataError(
        f"{label}: no column of codes besides that of the names; it is named {', '.join(CODES[:-1])} or {CODES[-1]}. "
        f"The columns are: {shown}. Rename the one that holds the raster's codes."
    )


def _code(text: str, column: str, where: str) -> float:
    try:
        code = float(text)
    except ValueError:
        code = math.nan
    if not math.isfinite(code):
        raise DataError(f"{where}: the code in {column!r} is {text!r}, which is no number.")
    return code


def _csv(path: Path, label: str) -> tuple[list[str], list[tuple[str, list[str]]]]:
    if path.suffix.lower() not in CSV_SUFFIXES:
        raise DataError(f"{label}: not a table that is read. Save it as CSV (UTF-8), or name the .dbf.")
    header, rows = read_table(path, label)
    return header, [(f"line {line}", row) for line, row in rows]


def _dbf(path: Path, label: str) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Column names and rows as text, each row with its number."""
    if not path.is_file():
        raise DataError(f"{label}: no such file. Check the path; relative ones start at the project file.")
    try:
        content = path.read_bytes()
        if not content or content[0] not in DBF_VERSIONS:
            raise DataError(f"{label}: not a dBASE table. Save it as CSV (UTF-8), or fetch it again.")
        found, _, _, columns = raw.read(path.absolute(), read_geometry=False, encoding=_encoding(path, content))
    except OSError as error:
        raise DataError(f"{label}: cannot be read: {error.strerror}.") from error
    except (DataSourceError, DataLayerError, FeatureError, ValueError) as error:
        raise DataError(f"{label}: cannot be read ({error}). Save it as CSV (UTF-8), or fetch it again.") from error
    rows = [[_text(value) for value in row] for row in zip(*columns, strict=True)]
    if not rows:
        raise DataError(f"{label}: the table has no rows.")
    return [str(name) for name in found["fields"]], [(f"row {i}", row) for i, row in enumerate(rows, start=1)]


def _encoding(path: Path, content: bytes) -> str | None:
    """UTF-8 where the file states nothing and its text can be that; else GDAL decides."""
    stated = len(content) > _LANGUAGE and content[_LANGUAGE] != 0
    if stated or any(path.with_suffix(suffix).exists() for suffix in (".cpg", ".CPG")):
        return None
    try:
        content[_LANGUAGE + 3 :].decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "UTF-8"


def _text(value: Any) -> str:
    """A cell as text: nothing for null, whole numbers without a point."""
    if value is None or value != value:
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
