"""The first look at a raster source, kept: what the file says of itself, and what its values look like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from affine import Affine
from rasterio.crs import CRS

from mpmjax.evidence.layer import raster_layer
from mpmjax.evidence.prepared.shelf import Shelf, loss_ingredients, number
from mpmjax.evidence.raster.scan import RasterFacts, scan
from mpmjax.evidence.raster.source import RasterSource, inspect_raster
from mpmjax.project_layers import LayerSection

SOURCE_KEYS = ("band", "width", "height", "dtype", "scale", "offset", "masked")
"""What of a raster source is kept as it is, besides its place and its nodata."""

READ_KEYS = ("band", "crs", "nodata", "valid_range")
"""Keys of a section that change what is read from its source."""


def look(shelf: Shelf, section: LayerSection) -> tuple[RasterSource, RasterFacts]:
    """A raster source and a first look at its values.

    Raises:
        DataError: it cannot be opened or decoded.
    """
    path = shelf.project.path(section.file)

    def make() -> dict[str, Any]:
        source = inspect_raster(path, section.name, band=section.band, crs=section.crs, nodata=section.nodata)
        facts = scan(source, raster_layer(section, source), shelf.project.stream.on_error)
        return {"source": _source_record(source), "facts": _facts_record(facts)}

    ingredients = {"step": "look", **reading(section), **loss_ingredients(shelf)}
    record = shelf.record(section.name, [section.file], ingredients, make).record
    return _source_of(record["source"], section.name, path), _facts_of(record["facts"])


def reading(section: LayerSection) -> dict[str, Any]:
    """The keys that change what is read from a source."""
    return section.model_dump(include=set(READ_KEYS))


def plain_source(source: RasterSource) -> dict[str, Any]:
    """What provenance tells of a raster source."""
    nodata = source.nodata if source.nodata is None or math.isfinite(source.nodata) else repr(source.nodata)
    cell = [math.hypot(source.transform.a, source.transform.d), math.hypot(source.transform.b, source.transform.e)]
    own = {key: getattr(source, key) for key in SOURCE_KEYS}
    return {"crs": source.crs.to_string(), "cell_size": cell, **own, "nodata": nodata}


def _source_record(source: RasterSource) -> dict[str, Any]:
    own = {key: getattr(source, key) for key in SOURCE_KEYS}
    return {**own, "crs": source.crs.to_wkt(), "transform": list(source.transform)[:6], "nodata": source.nodata}


def _source_of(record: Mapping[str, Any], name: str, path: Path) -> RasterSource:
    """A source from its record; a fresh one takes this way too, so that both are the same to the last bit."""
    own = {**record, "crs": CRS.from_wkt(record["crs"]), "transform": Affine(*record["transform"])}
    return RasterSource(name=name, path=path, **{**own, "nodata": number(record["nodata"])})


def _facts_record(facts: RasterFacts) -> dict[str, Any]:
    return {**asdict(facts), "sentinels": [[value, count] for value, count in facts.sentinels.items()]}


def _facts_of(record: Mapping[str, Any]) -> RasterFacts:
    numbers = {key: float(record[key]) for key in ("low", "high")}  # infinite where no cell has a value
    sentinels = {float(value): count for value, count in record["sentinels"]}
    return RasterFacts(**{**record, **numbers, "sentinels": sentinels})
