"""QGIS styles: a `.qml` beside each COG, so that a map opens with the report's colours and an exact legend.

Without one, QGIS 3.22 estimates a stretch for float maps and lists 256 rows for uint8 classes.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from mpmjax.reporting.palette import RAMPS, ClassColour, Ramp
from mpmjax.reporting.words import printable
from mpmjax.stream.files import write_file

QGIS_VERSION = "3.22.0"
"""The oldest QGIS the style is written for; newer ones read it."""


def write_qml(tif: Path, product: str, *, classes: Sequence[ClassColour] | None = None) -> Path:
    """Write the style of `tif` beside it, as `<stem>.qml`, whole or not at all; equal input gives equal bytes.

    Args:
        tif: the single-band GeoTIFF; it is not opened.
        product: name of the product. With `classes` None it must be a float product: a pseudocolour ramp with the
            exact stops of `palette.RAMPS`.
        classes: (value 1..255, label, #rrggbb) for a uint8 product: a paletted renderer with exactly these rows.

    Raises:
        ValueError: `product` has no ramp and no classes were given, or the classes are empty, repeated or out of range.
        DiskError: the file cannot be written.
    """
    if classes is None and product not in RAMPS:
        raise ValueError(f"{product}: give the classes of this product, or one of {', '.join(RAMPS)}")
    renderer = _pseudocolour(RAMPS[product]) if classes is None else _paletted(product, classes)
    root = ET.Element("qgis", version=QGIS_VERSION, styleCategories="Symbology", hasScaleBasedVisibilityFlag="0")
    pipe = ET.SubElement(root, "pipe")
    pipe.append(renderer)
    ET.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    ET.SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0", colorizeOn="0")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    ET.SubElement(root, "blendMode").text = "0"
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return write_file(tif.with_suffix(".qml"), content + b"\n")


def _renderer(kind: str, **attributes: str) -> ET.Element:
    common = {"type": kind, "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    element = ET.Element("rasterrenderer", {**common, **attributes})
    ET.SubElement(element, "rasterTransparency")
    origin = ET.SubElement(element, "minMaxOrigin")
    # "None" keeps QGIS from replacing the stops by an estimate from the data.
    for tag, text in (("limits", "None"), ("extent", "WholeRaster"), ("statAccuracy", "Exact")):
        ET.SubElement(origin, tag).text = text
    return element


def _pseudocolour(ramp: Ramp) -> ET.Element:
    low, high = ramp.stops[0], ramp.stops[-1]
    renderer = _renderer("singlebandpseudocolor", classificationMin=f"{low:g}", classificationMax=f"{high:g}")
    shader = ET.SubElement(
        ET.SubElement(renderer, "rastershader"),
        "colorrampshader",
        colorRampType="INTERPOLATED",
        classificationMode="1",  # continuous: "Classify" in QGIS restores these very stops from the ramp below
        clip="0",
        minimumValue=f"{low:g}",
        maximumValue=f"{high:g}",
        labelPrecision="3",
    )
    options = ET.SubElement(ET.SubElement(shader, "colorramp", type="gradient", name="[source]"), "Option", type="Map")
    inner = zip(ramp.stops[1:-1], ramp.colours[1:-1], strict=True)
    stops = ":".join(f"{(stop - low) / (high - low):.10g};{_rgba(colour)}" for stop, colour in inner)
    gradient = {"color1": _rgba(ramp.colours[0]), "color2": _rgba(ramp.colours[-1]), "discrete": "0",
                "rampType": "gradient", "stops": stops}  # fmt: skip
    for name, value in gradient.items():
        ET.SubElement(options, "Option", name=name, type="QString", value=value)
    for stop, colour in zip(ramp.stops, ramp.colours, strict=True):
        ET.SubElement(shader, "item", value=f"{stop:g}", label=f"{stop:g}", color=colour, alpha="255")
    return renderer


def _paletted(product: str, classes: Sequence[ClassColour]) -> ET.Element:
    values = [value for value, _, _ in classes]
    if not values or len(set(values)) < len(values) or min(values) < 1 or max(values) > 255:
        raise ValueError(f"{product}: class values {values} must be one or more different numbers in 1..255")
    renderer = _renderer("paletted")
    palette = ET.SubElement(renderer, "colorPalette")
    for value, label, colour in classes:
        ET.SubElement(palette, "paletteEntry", value=str(value), label=printable(label), color=colour, alpha="255")
    return renderer


def _rgba(colour: str) -> str:
    """#rrggbb as the "r,g,b,a" of a QGIS colour ramp."""
    return ",".join(str(channel) for channel in (*bytes.fromhex(colour[1:]), 255))
