"""verify: every file of a run, finished or not, against the checksum that was taken when it was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpmjax.errors import DataError
from mpmjax.products import PRODUCTS
from mpmjax.stream.mosaic import damaged_tiles
from mpmjax.stream.tilestore import FOLDER
from mpmjax.stream.workfolder import FINGERPRINT, WorkFolder, whole
from mpmjax.types import Tile

MOST_NAMED = 8
"""Windows of a damaged map that are named in a sentence."""


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        checked: number of files and tiles that were looked at.
        damaged: a sentence for each that is not what was written.
    """

    checked: int
    damaged: tuple[str, ...]


def verify(work: WorkFolder, record: Mapping[str, Any] | None) -> Verified:
    """Look at everything that the manifest and run.json name.

    Args:
        record: what run.json holds, None where the run is not finished or run.json is damaged.

    Raises:
        DataError: the folder holds no run.
    """
    known = {**(record["outputs"] if record is not None else {}), **work.manifest.files()}
    rows = work.manifest.tiles()
    if not known and work.manifest.fact(FINGERPRINT) is None and not work.manifest.replaced:
        raise DataError(f"{work.output}: holds no run. Name the output folder of one.")
    damaged = [_say(work, name) for name, digest in sorted(known.items()) if not whole(work.output / name, digest)]
    if work.manifest.replaced:
        damaged.insert(0, f"{work.manifest.path}: was damaged, and what it knew is lost. Run the project again.")
    # Tiles are gone once their maps stand; what is left of them belongs to a run that is not finished.
    tiles = [row for row in rows.values() if (work.scratch / FOLDER / f"{row.index:07d}.tile").exists()]
    damaged += [
        f"tile {row.index + 1} (rows {row.window[0]}-{row.window[0] + row.window[2] - 1}, columns {row.window[1]}-"
        f"{row.window[1] + row.window[3] - 1}): its file is damaged. Run the project again: it is made anew."
        for row in tiles
        if not whole(work.scratch / FOLDER / f"{row.index:07d}.tile", row.sha256)
    ]
    layers = list(_layers(work, record))
    damaged += [
        f"{path}: a prepared layer, is damaged. Run the project again: it is made anew."
        for path, digest in layers
        if not whole(path, digest)
    ]
    return Verified(len(known) + len(tiles) + len(layers), tuple(damaged))


def _layers(work: WorkFolder, record: Mapping[str, Any] | None) -> Iterator[tuple[Path, str]]:
    """Prepared layers that lie in the output folder; those of a shared folder are looked at when they are used."""
    if record is None or record["settings"]["stream"].get("cache"):
        return
    named = {
        prepared["file"]: prepared["sha256"]
        for layer in record["layers"]
        for about in _and_operands(layer["provenance"])
        if (prepared := about.get("prepared"))
    }
    for name, digest in named.items():
        yield work.output / "evidence" / name, digest


def _and_operands(provenance: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The provenance of a layer, and of all that it is computed from."""
    yield provenance
    for about in (provenance.get("source") or {}).get("of", {}).values():
        yield from _and_operands(about)


def _say(work: WorkFolder, name: str) -> str:
    path = work.output / name
    if not path.exists():
        return f"{path}: is gone. Run the project again: what is missing is made anew."
    places = [product.name for product in PRODUCTS if name == f"{product.name}.tif"]
    where = ""
    if places:
        number = [product.name for product in PRODUCTS].index(places[0])
        rows = list(work.manifest.tiles().values())
        bad = damaged_tiles(path, [Tile(row.index, *row.window) for row in rows], [row.crcs[number] for row in rows])
        shown = ", ".join(
            f"rows {tile.row}-{tile.row + tile.height - 1} columns {tile.col}-{tile.col + tile.width - 1}"
            for tile in bad[:MOST_NAMED]
        )
        more = f" and {len(bad) - MOST_NAMED} more windows" if len(bad) > MOST_NAMED else ""
        where = f" in {shown}{more}" if bad else " outside its cells (overviews, or what describes it)"
    return f"{path}: is damaged{where}: its checksum is not the one of the run. Run the project again: it is repaired."
