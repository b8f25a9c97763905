"""Vector files: opened without reaching a network or running anything, read into shapely geometries.

GDAL tells formats by what a file holds, not by its name. A file called `faults.json` may be a GDAL pipeline that is
carried out when it is opened (seen with GDAL 3.12), others name hosts. So only formats that hold their own geometries
are read, told by suffix and first bytes together, and GeoJSON is opened by that driver and no other.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from pyogrio import raw
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError
from pyproj import CRS
from pyproj.exceptions import CRSError

from mpmjax.errors import DataError

MAGIC = {
    ".gpkg": b"SQLite format 3\0",
    ".shp": b"\x00\x00\x27\x0a",
    ".fgb": b"fgb",
    ".geojson": b"{",
    ".json": b"{",
}
"""Suffix -> first bytes. A file geodatabase (.gdb) is a folder and is read as well."""

_EVERYWHERE = (-1e30, -1e30, 1e30, 1e30)
_DAMAGED = "Look at it with QGIS, or fetch it again."
_FORMATS = "GeoPackage, Shapefile, GeoJSON, FlatGeobuf or file geodatabase"
_READ_ERRORS = (DataSourceError, DataLayerError, FeatureError, FieldError, ValueError, RuntimeError, OSError)


@dataclass(frozen=True)
class VectorFile:
    """One vector file of one layer, known to be readable.

    Attributes:
        label: what messages call it: the layer of the project and the path.
        source: the path as GDAL is to open it.
        layer: the only layer with geometries; tables may lie beside it.
        crs: the file's, or the one stated in the project.
        fields: names of the attributes.
    """

    label: str
    source: str
    layer: str
    crs: CRS
    fields: tuple[str, ...]


def open_vector(path: Path, who: str, *, crs: str | None = None) -> VectorFile:
    """Look at a vector file.

    Args:
        who: the layer, for messages, like "layer 'faults'".
        crs: overrides a missing or wrong CRS of the file.

    Raises:
        DataError: no local file, no known format, damaged, no geometry, several layers, or no known CRS.
    """
    label = f"{who}: {path}"
    source = _local(path, label)
    with _said(label, "cannot be read", []):
        layers = [str(name) for name, geometry in pyogrio.list_layers(source) if geometry is not None]
        info = pyogrio.read_info(source, layer=layers[0]) if len(layers) == 1 else {}
    if not layers:
        raise DataError(f"{label}: the file holds no geometries, only tables. Name one with points, lines or polygons.")
    if len(layers) > 1:
        raise DataError(
            f"{label}: the file holds {len(layers)} layers ({_list(layers)}), and it is not said which is meant. "
            "Save the one you need to a file of its own (in QGIS: Export > Save Features As)."
        )
    return VectorFile(label, source, layers[0], _crs(info["crs"], crs, label), tuple(map(str, info["fields"])))


def read_geometries(
    file: VectorFile, *, where: str | None = None, bbox: tuple[float, float, float, float] | None = None
) -> tuple[np.ndarray, list[str]]:
    """Geometries of a vector file, two-dimensional, valid, none empty, in the CRS of the file.

    Args:
        where: attribute filter, the part of an OGR SQL statement after WHERE.
        bbox: (xmin, ymin, xmax, ymax) in the file's CRS; only geometries that meet it.

    Returns:
        The geometries, object [n], and notes about what was repaired or dropped. None may be left by `bbox`.

    Raises:
        DataError: the file is damaged or has no geometries, or `where` is wrong or selects nothing.
    """
    notes: list[str] = []
    total = _count(file, where, notes)
    # A box leaves out silently what has no geometry at all.
    nowhere = 0 if bbox is None else total - _count(file, where, notes, _EVERYWHERE)
    with _said(file.label, "cannot be read", notes):
        _, _, wkb, _ = raw.read(
            file.source, layer=file.layer, columns=_named(file, where), where=where, bbox=bbox, force_2d=True
        )
    geometries = shapely.from_wkb(wkb, on_invalid="fix")
    usable = geometries[~(shapely.is_missing(geometries) | shapely.is_empty(geometries))]
    usable = usable[are_finite(usable)]
    nowhere += geometries.size - usable.size
    if nowhere == total:
        raise DataError(f"{file.label}: the file holds no feature with a geometry. Name one that does.")
    if nowhere:
        notes.append(f"{file.label}: {nowhere} of {total} features have no usable geometry and were left out.")
    geometries = usable
    invalid = ~shapely.is_valid(geometries)
    if invalid.any():
        geometries[invalid] = shapely.make_valid(geometries[invalid])
        notes.append(f"{file.label}: {int(invalid.sum())} of {geometries.size} geometries were invalid: repaired.")
    return geometries, list(dict.fromkeys(notes))


def are_finite(geometries: np.ndarray) -> np.ndarray:
    """bool [n]: whether all coordinates of a geometry are finite numbers."""
    coordinates, index = shapely.get_coordinates(geometries, return_index=True)
    finite = np.ones(geometries.size, bool)
    finite[index[~np.isfinite(coordinates).all(axis=1)]] = False
    return finite


def total_bounds(file: VectorFile) -> tuple[float, float, float, float]:
    """(xmin, ymin, xmax, ymax) of all features, in the CRS of the file.

    Raises:
        DataError: the file is damaged.
    """
    with _said(file.label, "cannot be read", []):
        info = pyogrio.read_info(file.source, layer=file.layer, force_total_bounds=True)
    xmin, ymin, xmax, ymax = info["total_bounds"]
    return xmin, ymin, xmax, ymax


def parse_crs(text: str, label: str) -> CRS:
    """A CRS from 'EPSG:...', WKT or PROJ text.

    Raises:
        DataError: it is none that PROJ knows.
    """
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise DataError(f'{label}: crs = "{text}" is no known CRS; write it like "EPSG:32639".') from error


def _local(path: Path, label: str) -> str:
    """The path for GDAL, after a look at what lies there."""
    text = str(path)
    # pathlib writes "https://host" as "https:/host".
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text) or "://" in text or text.startswith("/vsi"):
        raise DataError(f"{label}: only local files are read. Copy the file here and name its path.")
    if not path.exists():
        raise DataError(f"{label}: no such file. Check the path; relative ones start at the project file.")
    suffix = path.suffix.lower()
    if suffix == ".gdb" and path.is_dir():
        return str(path.absolute())
    if suffix not in MAGIC:
        raise DataError(f"{label}: not a vector format that is read. Save it as {_FORMATS}, for example with QGIS.")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise DataError(f"{label}: cannot be read: {error.strerror}.") from error
    if suffix in (".geojson", ".json"):
        head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head.startswith(MAGIC[suffix]):
        raise DataError(f"{label}: not what its suffix {suffix} says. Save it again as {_FORMATS}.")
    return f"GeoJSON:{path.absolute()}" if MAGIC[suffix] == b"{" else str(path.absolute())


def _crs(found: str | None, stated: str | None, label: str) -> CRS:
    crs = parse_crs(stated, label) if stated is not None else None if found is None else parse_crs(found, label)
    if crs is None or not (crs.is_geographic or crs.is_projected):
        raise DataError(f'{label}: the file states no CRS. If you know it, add crs = "EPSG:..." beside its path.')
    return crs


def _named(file: VectorFile, where: str | None) -> list[str]:
    """The fields that a filter names: several drivers filter only by fields that are read as well."""
    return [] if where is None else [name for name in file.fields if name.lower() in where.lower()]


def _count(
    file: VectorFile, where: str | None, notes: list[str], bbox: tuple[float, float, float, float] | None = None
) -> int:
    """How many features a filter and a box select; refuses a filter that cannot be carried out or selects nothing."""
    fields = f"The fields are: {_list(file.fields)}." if file.fields else "The file has no attributes to choose by."
    what = "cannot be read" if where is None else f"where = {where!r} cannot be used"
    advice = _DAMAGED if where is None else f"{fields} Write it like rock = 'granodiorite'."
    with _said(file.label, what, notes, advice):
        _, fids, _, _ = raw.read(
            file.source,
            layer=file.layer,
            columns=_named(file, where),
            where=where,
            bbox=bbox,
            read_geometry=False,
            return_fids=True,
        )
    if where is not None and bbox is None and not len(fids):
        raise DataError(f"{file.label}: where = {where!r} selects no feature. {fields}")
    return len(fids)


@contextmanager
def _said(label: str, what: str, notes: list[str], advice: str = _DAMAGED) -> Iterator[None]:
    """Turn what GDAL raises into a sentence, and what it warns of into notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except _READ_ERRORS as error:
            raise DataError(f"{label}: {what} ({_one_line(error)}). {advice}") from error
    notes += [f"{label}: {_one_line(warning.message)}" for warning in caught]


def _one_line(problem: Any) -> str:
    """A message of GDAL without line breaks, advice on its command line, and the b'' of byte strings."""
    text = " ".join(str(problem).split("; It might help")[0].split())
    return re.sub(r"'b'(.*?)''", r"'\1'", text).rstrip(".")


def _list(names: Any, most: int = 20) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
