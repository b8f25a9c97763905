"""Vector files: opened without reaching a network or running anything, read into shapely geometries.

GDAL tells formats by what a file holds, not by its name. A file called `faults.json` may be a GDAL pipeline that is
carried out when it is opened (seen with GDAL 3.12), others name hosts. So only formats that hold their own geometries
are read, told by suffix and first bytes together, and GeoJSON is opened by that driver and no other.
"""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Iterator, Sequence
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

from mpmjax.errors import DataError
from mpmjax.evidence.crs import parse_crs
from mpmjax.evidence.vector.geometry import repaired, short_way, usable
from mpmjax.evidence.vector.reach import Bounds, full_turn

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
_ENCODING = "Text of its attributes is not in the encoding that its .cpg file states: correct that file, or remove it."
_FORMATS = "GeoPackage, Shapefile, GeoJSON, FlatGeobuf or file geodatabase"
_READ_ERRORS = (DataSourceError, DataLayerError, FeatureError, FieldError, ValueError, RuntimeError, OSError)


@dataclass(frozen=True)
class VectorFile:
    """One layer of a vector file, known to be readable.

    Attributes:
        label: what messages call it: the layer of the project and the path.
        source: the path as GDAL is to open it.
        layer: the one with the geometries; others and tables may lie beside it.
        crs: the file's, or the one stated in the project.
        fields: names of the attributes.
        encoding: of a shapefile that states none; None where GDAL knows.
    """

    label: str
    source: str
    layer: str
    crs: CRS
    fields: tuple[str, ...]
    encoding: str | None = None


@dataclass(frozen=True)
class Rows:
    """Features of a file, in the order of their ids.

    Attributes:
        geometries: two-dimensional, none missing or empty, all coordinates finite, object [n]; they may be invalid.
        labels: what the field holds, str [n], numbers written plainly, "" for null; None where no field was asked for.
        notes: what was left out or changed, as sentences.
        complete: whether these are all features that the filter selects and that have a geometry.
    """

    geometries: np.ndarray
    labels: np.ndarray | None
    notes: list[str]
    complete: bool


def open_vector(path: Path, who: str, *, crs: str | None = None, layer: str | None = None) -> VectorFile:
    """Look at a vector file.

    Args:
        who: the layer of the project, for messages, like "layer 'faults'".
        crs: overrides a missing or wrong CRS of the file.
        layer: which one of a file with several (GeoPackage, file geodatabase).

    Raises:
        DataError: no local file, no known format, damaged, no geometry, no such layer or several and none is named, or
            no known CRS.
    """
    label = f"{who}: {path}"
    source = _local(path, label)
    with said(label, "cannot be read", []):
        kinds = {str(name): geometry for name, geometry in pyogrio.list_layers(source)}
    chosen = _one_layer(kinds, layer, label)
    with said(label, "cannot be read", []):
        info = pyogrio.read_info(source, layer=chosen)
    fields = tuple(map(str, info["fields"]))
    return VectorFile(label, source, chosen, _crs(info["crs"], crs, label), fields, _encoding(path, info))


def _one_layer(kinds: dict[str, str | None], named: str | None, label: str) -> str:
    """The layer that is meant, of a file's layers and the types of their geometries (None for tables)."""
    layers = [name for name, kind in kinds.items() if kind is not None]
    if not layers:
        raise DataError(f"{label}: the file holds no geometries, only tables. Name one with points, lines or polygons.")
    if named is None and len(layers) > 1:
        raise DataError(
            f"{label}: the file holds {len(layers)} layers ({_list(layers)}), and it is not said which is meant: "
            'add layer = "..." (for a mask mask_layer), or save the one you need to a file of its own (in QGIS: '
            "Export > Save Features As)."
        )
    if named is not None and named not in layers:
        what = "is a table without geometries" if named in kinds else "is not in the file"
        raise DataError(f"{label}: layer = {named!r} {what}. Its layers are: {_list(layers)}.")
    return layers[0] if named is None else named


def read_rows(
    file: VectorFile, *, where: str | None = None, boxes: Sequence[Bounds] | None = None, field: str | None = None
) -> Rows:
    """Features of a vector file, in its CRS.

    Args:
        where: attribute filter, the part of an OGR SQL statement after WHERE.
        boxes: (xmin, ymin, xmax, ymax) in the file's CRS; only features that meet one; None may be left.
        field: the attribute whose values become the labels.

    Raises:
        DataError: the file is damaged or has no geometries, `where` is wrong or selects nothing, or there is no such
            field.
    """
    notes: list[str] = []
    if field is not None and field not in file.fields:
        known = f"The fields are: {_list(file.fields)}." if file.fields else "The file has no attributes."
        raise DataError(f"{file.label}: field = {field!r} is no attribute of the file. {known}")
    total = _count(file, where, notes)
    # A box leaves out silently what has no geometry at all.
    nowhere = 0 if boxes is None else total - _count(file, where, notes, _EVERYWHERE)
    geometries, labels = _read(file, where, boxes, field, notes)
    keep = usable(geometries)
    nowhere += int((~keep).sum())
    geometries, labels = geometries[keep], None if labels is None else labels[keep]
    if nowhere == total:
        raise DataError(f"{file.label}: the file holds no feature with a geometry. Name one that does.")
    if nowhere:
        notes.append(f"{file.label}: {nowhere} of {total} features have no usable geometry and were left out.")
    turn = full_turn(file.crs)
    if turn is not None:
        geometries, changed = short_way(geometries, turn, file.label)
        notes += changed
    return Rows(geometries, labels, list(dict.fromkeys(notes)), geometries.size + nowhere == total)


def read_geometries(file: VectorFile, *, where: str | None = None) -> tuple[np.ndarray, list[str]]:
    """All geometries of a vector file, two-dimensional, valid, none empty, in the CRS of the file.

    Returns:
        The geometries, object [n], and notes about what was repaired or dropped.

    Raises:
        DataError: as `read_rows`.
    """
    rows = read_rows(file, where=where)
    geometries, notes = repaired(rows.geometries, file.label)
    return geometries, [*rows.notes, *notes]


def total_bounds(file: VectorFile) -> tuple[float, float, float, float]:
    """(xmin, ymin, xmax, ymax) of all features, in the CRS of the file; NaN where it holds none.

    Raises:
        DataError: the file is damaged.
    """
    with said(file.label, "cannot be read", []):
        bounds = pyogrio.read_info(file.source, layer=file.layer, force_total_bounds=True)["total_bounds"]
    xmin, ymin, xmax, ymax = (np.nan,) * 4 if bounds is None else bounds
    return xmin, ymin, xmax, ymax


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
    unsaved = path.with_name(f"{path.name}-wal")
    if unsaved.is_file() and unsaved.stat().st_size:
        # To read it SQLite would write these changes into the file.
        raise DataError(
            f"{label}: has unsaved changes in {unsaved.name}: it is open for editing, or a program that edited it was "
            "stopped. Close it there, or open it once in QGIS and close it."
        )
    return f"GeoJSON:{path.absolute()}" if MAGIC[suffix] == b"{" else str(path.absolute())


def _crs(found: str | None, stated: str | None, label: str) -> CRS:
    crs = parse_crs(stated, label) if stated is not None else None if found is None else parse_crs(found, label)
    if crs is None or not (crs.is_geographic or crs.is_projected):
        raise DataError(
            f'{label}: the file states no CRS. If you know it, add crs = "EPSG:..." beside its path '
            "(mask_crs for the mask)."
        )
    return crs


def _encoding(path: Path, info: dict[str, Any]) -> str | None:
    """The encoding of a shapefile that does not state one GDAL knows: UTF-8 if its text can be that, else Latin-1.

    It must be named when the file is read, or a filter by a word like 'grün' selects nothing.
    """
    tables = [table for suffix in (".dbf", ".DBF") if (table := path.with_suffix(suffix)).is_file()]
    if path.suffix.lower() != ".shp" or info["encoding"] == "UTF-8" or not tables:
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    with tables[0].open("rb") as file:
        file.seek(int.from_bytes(file.read(10)[8:], "little"))  # where the header says that the records start
        try:
            while block := file.read(2**20):
                decoder.decode(block)
        except UnicodeDecodeError:
            return "ISO-8859-1"
    return "UTF-8"


def fields_named(file: VectorFile, where: str | None) -> list[str]:
    """The fields that a filter names: several drivers filter only by fields that are read as well."""
    return [] if where is None else [name for name in file.fields if name.lower() in where.lower()]


def _read(
    file: VectorFile, where: str | None, boxes: Sequence[Bounds] | None, field: str | None, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Geometries and labels of the features that meet a box, each once, in the order of their ids."""
    columns = list(dict.fromkeys([*fields_named(file, where), *([] if field is None else [field])]))
    ids, geometries, labels = [], [], []
    for box in [None] if boxes is None else boxes:
        with said(file.label, "cannot be read", notes):
            meta, fids, wkb, values = raw.read(
                file.source,
                layer=file.layer,
                columns=columns,
                where=where,
                bbox=box,
                force_2d=True,
                return_fids=True,
                encoding=file.encoding,
            )
            with np.errstate(invalid="ignore"):  # coordinates that are no numbers are dealt with later
                geometries.append(shapely.from_wkb(wkb, on_invalid="fix"))
        ids.append(fids)
        if field is not None:
            labels.append(_plainly(values[list(meta["fields"]).index(field)]))
    _, first = np.unique(np.concatenate(ids), return_index=True)
    return np.concatenate(geometries)[first], np.concatenate(labels)[first] if labels else None


def _plainly(values: np.ndarray) -> np.ndarray:
    """Values of an attribute as text, str [n]: 3.0 is "3", yes and no are "1" and "0", null is ""."""
    if values.dtype.kind == "f":
        text = ["" if np.isnan(value) else np.format_float_positional(value, trim="-") for value in values]
    elif values.dtype.kind == "b":
        text = ["1" if value else "0" for value in values]
    else:
        # Names in a project file are stripped too; spaces at the ends are traces of fixed-width tables.
        text = ["" if value is None or value != value else str(value).strip() for value in values]
    return np.array(text, str)


def _count(
    file: VectorFile, where: str | None, notes: list[str], bbox: tuple[float, float, float, float] | None = None
) -> int:
    """How many features a filter and a box select; refuses a filter that cannot be carried out or selects nothing."""
    fields = f"The fields are: {_list(file.fields)}." if file.fields else "The file has no attributes to choose by."
    what = "cannot be read" if where is None else f"where = {where!r} cannot be used"
    advice = _DAMAGED if where is None else f"{fields} Write it like rock = 'granodiorite'."
    with said(file.label, what, notes, advice):
        _, fids, _, _ = raw.read(
            file.source,
            layer=file.layer,
            columns=fields_named(file, where),
            where=where,
            bbox=bbox,
            read_geometry=False,
            return_fids=True,
            encoding=file.encoding,
        )
    if where is not None and bbox is None and not len(fids):
        raise DataError(f"{file.label}: where = {where!r} selects no feature. {fields}")
    return len(fids)


@contextmanager
def said(label: str, what: str, notes: list[str], advice: str = _DAMAGED) -> Iterator[None]:
    """Turn what GDAL raises into a sentence, and what it warns of into notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except UnicodeDecodeError as error:
            raise DataError(f"{label}: {what} ({_one_line(error)}). {_ENCODING}") from error
        except _READ_ERRORS as error:
            raise DataError(f"{label}: {what} ({_one_line(error)}). {advice}") from error
    # Measures along lines are not used, so it is no news that they are dropped.
    said = [_one_line(warning.message) for warning in caught]
    notes += [f"{label}: {text}" for text in said if not text.startswith("Measured (M) geometry types")]


def _one_line(problem: Any) -> str:
    """A message of GDAL without line breaks, advice on its command line, and the b'' of byte strings."""
    text = " ".join(str(problem).split("; It might help")[0].split())
    return re.sub(r"'b'(.*?)''", r"'\1'", text).rstrip(".")


def _list(names: Any, most: int = 20) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
