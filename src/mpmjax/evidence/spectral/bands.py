"""Which band of a file is which band of its sensor: by what the bands are described as, or as the project states it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mpmjax.errors import DataError
from mpmjax.evidence.expression import Expression, ExpressionError, parse
from mpmjax.evidence.nearest import nearest

COMMON: Mapping[str, Mapping[str, str]] = {
    "sentinel2": {
        "coastal": "B01", "coastalaerosol": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05",
        "rededge2": "B06", "rededge3": "B07", "nir": "B08", "nir08": "B8A", "nirnarrow": "B8A", "narrownir": "B8A",
        "rededge4": "B8A", "nir09": "B09", "watervapour": "B09", "watervapor": "B09", "cirrus": "B10", "swir1": "B11",
        "swir16": "B11", "swir2": "B12", "swir22": "B12", "scl": "SCL", "sceneclassification": "SCL",
    },
    "landsat8": {
        "coastal": "B1", "coastalaerosol": "B1", "blue": "B2", "green": "B3", "red": "B4", "nir": "B5", "nir08": "B5",
        "swir1": "B6", "swir16": "B6", "swir2": "B7", "swir22": "B7", "pan": "B8", "panchromatic": "B8", "cirrus": "B9",
        "lwir11": "B10", "tirs1": "B10", "lwir12": "B11", "tirs2": "B11", "qapixel": "QA_PIXEL", "pixelqa": "QA_PIXEL",
    },
    "aster": {"green": "B01", "red": "B02", "nir": "B3N", "nirnadir": "B3N", "nirbackward": "B3B"},
}  # fmt: skip
"""Sensor -> common names, in small letters and without blanks, dashes and underscores -> canonical name.

landsat8 is Landsat 8 and 9. swir1 means nothing for aster, whose six bands there are numbered in several ways."""

BANDS: Mapping[str, tuple[str, ...]] = {
    "sentinel2": ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12", "SCL"),
    "landsat8": ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "B10", "B11", "QA_PIXEL"),
    "aster": ("B01", "B02", "B3N", "B3B", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B13", "B14"),
}  # fmt: skip
"""Sensor -> canonical names of its bands."""

_NUMBERED = re.compile(
    r"(?<![a-z0-9])(?:sr_?|st_?|toa_?)?(?:band|b|imagedata)[ _-]?0{0,2}([0-9]{1,2})([abn]?)(?![a-z0-9])"
)
_BY_PLACE = re.compile(r"band[ _-]?0*([0-9]{1,4})")
_SHOWN = 20


class SceneError(DataError, ValueError):
    """A sensor, band, index or mask that cannot be; also a ValueError, for the validators of a project file."""


def sensor_bands(sensor: str) -> tuple[str, ...]:
    """Canonical names of a sensor's bands. Raises SceneError for another sensor, with the nearest right one."""
    if sensor not in BANDS:
        raise SceneError(f"unknown sensor {sensor!r:.60}; {nearest(sensor, BANDS)}")
    return BANDS[sensor]


def canonical_band(sensor: str, name: str) -> str:
    """The canonical name of a band that may be written as B4, b04, SR_B4, "Band 4" or red.

    Raises:
        SceneError: no such sensor, or no such band of it; with the nearest right one.
    """
    bands, found = sensor_bands(sensor), _read(sensor, name)
    if found is None:
        what = f"{sensor} has no band {name!r:.60}"
        raise SceneError(f"{what}; {nearest(name, [*bands, *_words(sensor)])}")
    return found


def find_bands(
    sensor: str,
    descriptions: Sequence[str | None],
    stated: Mapping[str, int] | None,
    wanted: Sequence[str],
    label: str,
) -> dict[str, int]:
    """The number, from 1, of each wanted band in a file.

    What is stated comes first; what is not is looked for among the descriptions. Descriptions that only count the
    file's bands ("Band 1", "Band 2", ... each in its own place) say nothing about the sensor and are not believed.

    Args:
        descriptions: of the file's bands, in their order; None where there is none.
        stated: band -> number; the bands in any way that `canonical_band` reads.
        wanted: bands, in any such way.
        label: what messages call the file.

    Returns:
        Canonical name -> number, in the order of `wanted`.

    Raises:
        SceneError: an unknown sensor or band, a number beyond the file, a band stated or described twice, or one that
            is neither stated nor described; with the nearest right one and what to write.
    """
    given = _stated(sensor, stated or {}, len(descriptions), label)
    names = [canonical_band(sensor, name) for name in wanted]
    missing = [name for name in names if name not in given]
    if missing and _counts_only(descriptions):
        raise SceneError(
            f"{label}: the bands are described by their place in the file alone (Band 1 to Band {len(descriptions)}), "
            f"which need not be the sensor's numbers. State them: bands = {{ {missing[0]} = 1 }} and so on."
        )
    described: dict[str, list[int]] = {}
    for number, text in enumerate(descriptions, start=1):
        name = None if text is None or number in given.values() else _read(sensor, text)
        if name is not None:
            described.setdefault(name, []).append(number)
    for name in missing:
        found = described.get(name, [])
        if len(found) > 1:
            places = " and ".join(f"{number} ({descriptions[number - 1]!r})" for number in found[:4])
            raise SceneError(
                f"{label}: bands {places} are both described as {name}. State which: bands = {{ {name} = {found[0]} }}."
            )
        if not found:
            raise SceneError(_not_found(sensor, name, descriptions, label))
        given[name] = found[0]
    return {name: given[name] for name in names}


def scene_expression(sensor: str, text: str) -> Expression:
    """An expression over a scene's bands, which may be written in any way that is a bare name (B4, red, swir1).

    Returns:
        The expression over canonical names.

    Raises:
        ExpressionError: it cannot be read, or names no band of the sensor.
    """
    bands = sensor_bands(sensor)
    loose = parse(text)
    canonical = {name: _read(sensor, name) for name in loose.names}
    if None in canonical.values():
        known = [*bands, *_words(sensor), *(name for name, band in canonical.items() if band is not None)]
        parse(text, known)  # points at the unknown one
        raise ExpressionError("names no band of the sensor", text, 0)
    return loose.renamed({name: band for name, band in canonical.items() if band is not None})


def _words(sensor: str) -> list[str]:
    """Common names that messages offer; a quality band has its own."""
    return [common for common, band in COMMON[sensor].items() if band.startswith("B")]


def _read(sensor: str, text: str) -> str | None:
    """The canonical band that a description or a name means; None if none, or more than one."""
    words = re.split(r"[,;:(]", text.strip().lower(), maxsplit=1)[0]
    if common := COMMON[sensor].get(re.sub(r"[ _-]", "", words.removesuffix(" band"))):
        return common
    found = {_numbered(sensor, int(number), letter) for number, letter in _NUMBERED.findall(text.lower())}
    return found.pop() if len(found) == 1 else None


def _numbered(sensor: str, number: int, letter: str) -> str | None:
    if sensor == "landsat8" or letter:
        name = f"B{number}{letter.upper()}"
    else:
        name = "B3N" if (sensor, number) == ("aster", 3) else f"B{number:02d}"
    return name if name in BANDS[sensor] else None


def _stated(sensor: str, stated: Mapping[str, int], count: int, label: str) -> dict[str, int]:
    given: dict[str, int] = {}
    for name, number in stated.items():
        band = canonical_band(sensor, name)
        if not 1 <= number <= count:
            raise SceneError(f"{label}: bands.{name} is {number}, and the file has the bands 1 to {count}.")
        if band in given:
            raise SceneError(f"{label}: bands states {band} twice, as {given[band]} and, by {name!r}, as {number}.")
        if number in given.values():
            other = next(key for key, value in given.items() if value == number)
            raise SceneError(f"{label}: bands states band {number} of the file as {other} and as {band}.")
        given[band] = number
    return given


def _counts_only(descriptions: Sequence[str | None]) -> bool:
    found = [_BY_PLACE.fullmatch((text or "").strip().lower()) for text in descriptions]
    return bool(found) and all(match and int(match[1]) == place for place, match in enumerate(found, start=1))


def _not_found(sensor: str, name: str, descriptions: Sequence[str | None], label: str) -> str:
    also = [common for common in _words(sensor) if COMMON[sensor][common] == name]
    called = f"{name} ({also[0]})" if also else name
    shown = ", ".join(f"{i} {text!r:.40}" for i, text in enumerate(descriptions[:_SHOWN], start=1) if text)
    listed = f"the bands are {shown}" if shown else f"none of its {len(descriptions)} bands has a description"
    unread = [text for text in descriptions if text and _read(sensor, text) is None]
    close = [text for text in unread if nearest(text, [name, *also]).startswith("did you mean")]
    hint = f" Is it {close[0]!r:.40}?" if close else ""
    return f"{label}: no band is described as {called}; {listed}.{hint} State its number: bands = {{ {name} = 1 }}."
