"""QGIS styles: well-formed, exactly the stops and classes of the palette, and the palette itself in order."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from mpmjax.products import CLASSES, PRODUCTS
from mpmjax.reporting import palette
from mpmjax.reporting.qgis import write_qml

FLOATS = [product.name for product in PRODUCTS if product.dtype == "float32"]


def style(path: Path) -> ET.Element:
    return ET.fromstring(path.read_bytes())  # noqa: S314  (our own file)


def test_every_product_has_colours() -> None:
    assert set(palette.RAMPS) == set(FLOATS)
    assert set(palette.CLASS_TITLES) == {p.name for p in (*PRODUCTS, CLASSES)} - set(FLOATS)


@pytest.mark.parametrize("product", FLOATS)
def test_a_float_map_gets_its_exact_ramp(tmp_path: Path, product: str) -> None:
    written = write_qml(tmp_path / f"{product}.tif", product)
    assert written == tmp_path / f"{product}.qml"
    root, ramp = style(written), palette.RAMPS[product]
    renderer = root.find("pipe/rasterrenderer")
    assert renderer is not None
    assert renderer.get("type") == "singlebandpseudocolor"
    assert renderer.get("band") == "1"
    assert renderer.findtext("minMaxOrigin/limits") == "None", "QGIS is not to estimate a stretch"
    shader = renderer.find("rastershader/colorrampshader")
    assert shader is not None
    assert shader.get("colorRampType") == "INTERPOLATED"
    items = [(float(i.get("value", "")), i.get("color"), i.get("alpha")) for i in shader.findall("item")]
    assert items == [(s, c, "255") for s, c in zip(ramp.stops, ramp.colours, strict=True)]
    assert float(shader.get("minimumValue", "")) == float(renderer.get("classificationMin", "")) == ramp.stops[0]
    assert float(shader.get("maximumValue", "")) == float(renderer.get("classificationMax", "")) == ramp.stops[-1]


def test_the_gradient_repeats_the_stops(tmp_path: Path) -> None:
    """QGIS draws its legend from the gradient, and goes back to it when a user classifies anew."""
    root, ramp = style(write_qml(tmp_path / "risk.tif", "risk")), palette.RAMPS["risk"]
    options = {o.get("name"): o.get("value", "") for o in root.iter("Option") if o.get("name")}
    inner = [stop.split(";") for stop in options["stops"].split(":")]
    assert [float(place) * ramp.stops[-1] for place, _ in inner] == pytest.approx(ramp.stops[1:-1])
    assert options["color1"] == "0,0,4,255"
    assert [tuple(int(n) for n in colour.split(",")[:3]) for _, colour in inner] == [
        tuple(bytes.fromhex(colour[1:])) for colour in ramp.colours[1:-1]
    ]


def test_classes_are_exactly_those_given(tmp_path: Path) -> None:
    root = style(write_qml(tmp_path / "classes.tif", "classes", classes=palette.area_classes()))
    renderer = root.find("pipe/rasterrenderer")
    assert renderer is not None
    assert renderer.get("type") == "paletted"
    entries = [(int(e.get("value", "")), e.get("label"), e.get("color")) for e in renderer.iter("paletteEntry")]
    assert entries == list(palette.area_classes())
    assert [label for _, label, _ in entries] == [
        "best 1 % of area", "best 2 % of area", "best 5 % of area", "the rest",
    ]  # fmt: skip


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    names = ['<script>alert("x")</script>', "a & b", "铜", "nul\x00\x0b bell\x07", "half \ud800", "two\nlines"]
    path = write_qml(tmp_path / "driver.tif", "driver", classes=palette.driver_classes(names))
    labels = [entry.get("label") for entry in style(path).iter("paletteEntry")]
    assert labels[:3] == ['1 <script>alert("x")</script>', "2 a & b", "3 铜"]
    assert labels[3:] == ["4 nul\ufffd bell\ufffd", "5 half \ufffd", "6 two lines"]


def test_equal_input_gives_equal_bytes_and_no_leftovers(tmp_path: Path) -> None:
    first = write_qml(tmp_path / "anomaly.tif", "anomaly").read_bytes()
    assert write_qml(tmp_path / "anomaly.tif", "anomaly").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["anomaly.qml"]


@pytest.mark.parametrize("values", [[], [0, 1], [1, 256], [2, 2]])
def test_impossible_classes_are_refused(tmp_path: Path, values: list[int]) -> None:
    with pytest.raises(ValueError, match=r"in 1\.\.255"):
        write_qml(tmp_path / "groups.tif", "groups", classes=[(value, "x", "#000000") for value in values])
    assert not list(tmp_path.iterdir())


def test_classes_without_their_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="groups: give the classes"):
        write_qml(tmp_path / "groups.tif", "groups")


@pytest.mark.parametrize("name", palette.COLOURS)
def test_ramps_grow_lighter(name: str) -> None:
    """Luminance rises all the way, so that a map reads in grey and for every colour vision."""
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (bytes.fromhex(c[1:]) for c in palette.COLOURS[name])]
    assert light == sorted(light)
    assert light[-1] - light[0] > 150


@pytest.mark.parametrize("ramp", palette.RAMPS.values(), ids=palette.RAMPS)
def test_stops_ascend_within_zero_and_one(ramp: palette.Ramp) -> None:
    assert len(ramp.stops) == len(ramp.colours)
    assert list(ramp.stops) == sorted(set(ramp.stops))
    assert ramp.stops[0] == (0.5 if ramp is palette.RAMPS["confidence"] else 0.0)
    assert ramp.stops[-1] <= 1.0


def test_groups_run_from_bright_to_dark() -> None:
    classes = palette.group_classes([0.8, None, 0.2])
    assert [value for value, _, _ in classes] == [1, 2, 3]
    assert [label for _, label, _ in classes] == [
        "group 1 (favourability 0.80)",
        "group 2",
        "group 3 (favourability 0.20)",
    ]
    assert classes[0][2] == palette.COLOURS["viridis"][-1]
    assert classes[-1][2] == palette.COLOURS["viridis"][0]
    assert palette.group_classes([0.5])[0][2] == palette.COLOURS["viridis"][-1]
    assert palette.group_classes([]) == ()


def test_forty_five_layers_have_forty_five_colours() -> None:
    colours = [colour for _, _, colour in palette.driver_classes([str(n) for n in range(60)])]
    assert len(set(colours[:45])) == 45
    assert colours[45:] == colours[:15]
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


def test_area_classes_follow_the_shares() -> None:
    labels = [label for _, label, _ in palette.area_classes([0.005, 0.1])]
    assert labels == ["best 0.5 % of area", "best 10 % of area", "the rest"]
