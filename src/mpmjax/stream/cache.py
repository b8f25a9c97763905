"""Prepared files kept by content: what went into one names it, so nothing is made twice and nothing stale is used.

An entry is NAME.KEY.json, and NAME.KEY.tif where it is a raster. KEY is the checksum of the ingredients: checksums of
the sources, parameters, and the version of the code. The JSON is written last and holds the raster's checksum, which is
looked at before the raster is used; so an entry that was interrupted or damaged is one that is not there.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pyproj import datadir

from mpmjax.errors import DiskError
from mpmjax.stream.files import publish, sha256

ROOMS = ("evidence", "ops", "reference", "stream", "stages/prepare.py", "types.py")
"""Whose code makes prepared files; relative to the package."""

LIBRARIES = ("rasterio", "pyogrio", "pyproj", "shapely", "numpy", "numba", "scipy", "scikit-learn")
"""Those that prepared files come from, with the GDAL, GEOS and PROJ that they bring."""

KEY_LENGTH = 12
"""Hexadecimal digits of a key in file names; the whole of it is compared with what the JSON holds."""

OWN_NAME = re.compile(rf"(?P<stem>.+\.[0-9a-f]{{{KEY_LENGTH}}})\.(tif|json)(?P<part>\.\d+\.part)?")

Ingredients = Mapping[str, Any]
Record = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """What the cache holds for some ingredients.

    Attributes:
        record: what was noted when it was made.
        path: the raster, None for an entry without one.
        sha256: checksum of the raster, "" without one.
        reused: whether it was there already.
    """

    record: Record
    path: Path | None
    sha256: str
    reused: bool


class Cache:
    """A folder of entries. `used` collects those that were asked for, so that the others can be removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._used: set[str] = set()
        self._verified: dict[str, Entry] = {}

    def find(self, name: str, ingredients: Ingredients) -> Entry | None:
        """The entry of these ingredients, if it is there and whole."""
        stem = self._stem(name, ingredients)
        if stem not in self._verified:
            entry = self._read(stem, _plain(ingredients))
            if entry is None:
                return None
            self._verified[stem] = entry
        self._used.add(stem)
        return self._verified[stem]

    def record(self, name: str, ingredients: Ingredients, make: Callable[[], Record]) -> Entry:
        """The record of these ingredients: as it is kept, or as `make` returns it (plain values for JSON)."""
        return self.find(name, ingredients) or self._keep(name, ingredients, make(), None)

    def raster(self, name: str, ingredients: Ingredients, made: Path, make: Callable[[Path], Record]) -> Entry:
        """The raster of these ingredients: as it is kept, or as `make` writes it.

        Args:
            made: where `make` is to write: a path in a scratch folder, from where the finished file is moved.
            make: gets `made`, writes it whole, and returns the record to be kept with it.

        Raises:
            DiskError: it cannot be kept.
        """
        return self.find(name, ingredients) or self._keep(name, ingredients, make(made), made)

    def prune(self) -> None:
        """Remove every entry that was not asked for, and what an interrupted one left; nothing but those."""
        if not self.folder.is_dir():
            return
        for path in list(self.folder.iterdir()):
            own = OWN_NAME.fullmatch(path.name)
            if own is not None and (own["part"] or own["stem"] not in self._used):
                path.unlink()

    def drop_if_bare(self) -> None:
        """Remove entries and folder where no raster is among them: a look at sources is soon had again."""
        if self.folder.is_dir() and not any(self.folder.glob("*.tif")):
            self._used.clear()
            self.prune()
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _stem(self, name: str, ingredients: Ingredients) -> str:
        return f"{name}.{_digest([_plain(ingredients), code_version()])[:KEY_LENGTH]}"

    def _read(self, stem: str, ingredients: Any) -> Entry | None:
        try:
            kept = json.loads((self.folder / f"{stem}.json").read_text(encoding="utf-8"))
            if not isinstance(kept, dict):
                return None
            checksum = kept.pop("checksum")
            if checksum != _digest(kept) or kept["ingredients"] != ingredients or kept["version"] != code_version():
                return None
            path = self.folder / f"{stem}.tif" if kept["sha256"] else None
            if path is not None and sha256(path) != kept["sha256"]:
                return None
            return Entry(kept["record"], path, kept["sha256"], True)
        except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: it is made again
            return None

    def _keep(self, name: str, ingredients: Ingredients, record: Record, made: Path | None) -> Entry:
        stem = self._stem(name, ingredients)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiskError(f"{self.folder}: cannot be used to keep prepared layers: {error.strerror}.") from error
        path, digest = None, ""
        if made is not None:
            path, digest = self.folder / f"{stem}.tif", sha256(made)
            _move(made, path)
        plain = _plain(record)
        kept = {"ingredients": _plain(ingredients), "version": code_version(), "sha256": digest, "record": plain}
        text = json.dumps({**kept, "checksum": _digest(kept)}, indent=1)
        _write(self.folder / f"{stem}.json", text.encode())
        self._verified[stem] = Entry(plain, path, digest, False)
        self._used.add(stem)
        return self._verified[stem]


@cache
def code_version() -> str:
    """Checksum of the code that makes prepared files and of the libraries that it stands on."""
    package = Path(__file__).parents[1]
    rooms = [package / room for room in ROOMS]
    files = [file for room in rooms for file in (sorted(room.rglob("*.py")) if room.is_dir() else [room])]
    libraries = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    digest = hashlib.sha256(repr([libraries, _datum_grids()]).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _datum_grids() -> list[tuple[str, int]]:
    """Names and sizes of the files by which PROJ changes datums: to install a better one changes where cells lie."""
    stated = (os.environ.get(name, "") for name in ("PROJ_DATA", "PROJ_LIB", "PROJ_USER_WRITABLE_DIRECTORY"))
    own = datadir.get_user_data_dir()  # pyright: ignore[reportPrivateImportUsage] - documented as public
    places = {datadir.get_data_dir(), own, *stated} - {""}
    folders = sorted({folder for place in places for folder in place.split(os.pathsep)})
    grids = (file for folder in folders if Path(folder).is_dir() for file in sorted(Path(folder).iterdir()))
    found = [(file.name, file.stat().st_size) for file in grids if file.is_file()]
    return [*found, ("network " + os.environ.get("PROJ_NETWORK", "OFF"), 0)]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """As JSON gives it back, so that what is kept and what is asked for can be compared: NaN in words, lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value


def _beside(final: Path) -> Path:
    """A name of this process alone: others may be writing the same entry of a shared folder."""
    return final.with_name(f"{final.name}.{os.getpid()}.part")


def _write(final: Path, content: bytes) -> None:
    """As stream.files.write_file, under a name of this process alone."""
    temporary = _beside(final)
    try:
        temporary.write_bytes(content)
        publish(temporary, final)
    except OSError as error:
        raise DiskError(
            f"{final}: cannot be written: {error.strerror}. Free some disk or choose another folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _move(made: Path, final: Path) -> None:
    """A finished file under its final name, on whatever file system that lies."""
    try:
        if made.stat().st_dev == final.parent.stat().st_dev:
            publish(made, final)
            return
        temporary = _beside(final)
        try:
            shutil.copyfile(made, temporary)
            publish(temporary, final)
            made.unlink()
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(
            f"{final}: cannot be written: {error.strerror}. Free some disk or choose another folder."
        ) from error
