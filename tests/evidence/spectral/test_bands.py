"""Which band is which: descriptions as programs write them, what is stated, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmjax.evidence.expression import ExpressionError
from mpmjax.evidence.spectral.bands import BANDS, COMMON, SceneError, canonical_band, find_bands, scene_expression

LABEL = "scene 's2': scene.tif"


def refused(sensor: str, descriptions: list[str | None], stated: dict[str, int] | None, wanted: list[str]) -> str:
    with pytest.raises(SceneError) as seen:
        find_bands(sensor, descriptions, stated, wanted, LABEL)
    assert isinstance(seen.value, ValueError)
    return str(seen.value)


@pytest.mark.parametrize(
    ("sensor", "name", "band"),
    [
        *[("sentinel2", text, "B04") for text in (
            "B4", "B04", "b04", "band 4", "Band 4", "Band_4", "BAND-04", "red", "Red", "RED", "red band", "SR_B4",
            "B4, central wavelength 665 nm", "Red (665 nm)", "T39RUQ_20230101T071211_B04_10m", "Band 4 (0.665)",
        )],
        *[("sentinel2", text, "B8A") for text in ("B8A", "b8a", "Band 8A", "nir08", "narrow_nir", "NIR narrow",
                                                  "B8A, central wavelength 865 nm", "x_B8A_20m")],
        *[("sentinel2", text, "B11") for text in ("B11", "swir1", "SWIR 1", "swir_1", "SWIR-1", "swir16")],
        *[("sentinel2", text, "SCL") for text in ("SCL", "scl", "Scene classification", "scene_classification")],
        ("sentinel2", "red edge 2", "B06"),
        ("sentinel2", "vegetation", None),
        ("sentinel2", "B13", None),
        ("sentinel2", "B8N", None),
        ("sentinel2", "rededge", None),
        ("sentinel2", "B4 B8", None),
        ("sentinel2", "B4/B2", None),
        ("sentinel2", "rgb4", None),
        ("sentinel2", "B444", None),
        ("sentinel2", "2", None),
        ("sentinel2", "", None),
        *[("landsat8", text, "B4") for text in ("SR_B4", "B4", "B04", "sr_band4", "red", "TOA_B4",
                                                "LC09_L2SP_160037_20230101_20230103_02_T1_SR_B4")],
        *[("landsat8", text, "B10") for text in ("ST_B10", "lwir11", "B10", "tirs1")],
        *[("landsat8", text, "QA_PIXEL") for text in ("QA_PIXEL", "qa_pixel", "pixel_qa", "QA Pixel")],
        ("landsat8", "nir08", "B5"),
        ("landsat8", "B8A", None),
        ("landsat8", "B12", None),
        *[("aster", text, "B3N") for text in ("B3N", "B03N", "b3n", "B3", "Band 3N", "VNIR_Band3N", "ImageData3N",
                                              "nir")],
        *[("aster", text, "B3B") for text in ("B3B", "ImageData3B", "VNIR_Band3B")],
        *[("aster", text, "B06") for text in ("B06", "B6", "SWIR_Band6", "ImageData6", "Band 6")],
        ("aster", "TIR_Band14", "B14"),
        ("aster", "swir1", None),
        ("aster", "blue", None),
    ],
)  # fmt: skip
def test_reads_names_as_they_come(sensor: str, name: str, band: str | None) -> None:
    if band is not None:
        assert canonical_band(sensor, name) == band
        assert find_bands(sensor, [None, name], None, [band], LABEL) == {band: 2}
    else:
        with pytest.raises(SceneError, match="has no band"):
            canonical_band(sensor, name)


def test_every_canonical_and_common_name_reads_as_itself() -> None:
    for sensor, bands in BANDS.items():
        assert [canonical_band(sensor, band) for band in bands] == list(bands)
        assert [canonical_band(sensor, band.lower()) for band in bands] == list(bands)
        assert {canonical_band(sensor, name) for name in COMMON[sensor]} <= set(bands)


def test_what_is_stated_comes_before_what_is_described() -> None:
    descriptions = ["B02", "B03", "B04", None]
    assert find_bands("sentinel2", descriptions, None, ["B04", "B02"], LABEL) == {"B04": 3, "B02": 1}
    assert find_bands("sentinel2", descriptions, {"red": 4}, ["B04", "blue"], LABEL) == {"B04": 4, "B02": 1}
    assert list(find_bands("sentinel2", descriptions, {"B8": 4}, ["nir", "B4"], LABEL)) == ["B08", "B04"]
    # A band that is stated to be another one is no longer what it is described as.
    message = refused("sentinel2", descriptions, {"B08": 3}, ["B04"])
    assert "no band is described as B04 (red)" in message


def test_counts_alone_say_nothing_of_the_sensor() -> None:
    counted = [f"Band {number}" for number in range(1, 5)]
    message = refused("sentinel2", counted, None, ["B04"])
    assert "Band 1 to Band 4" in message
    assert "bands = { B04 = 1 }" in message
    assert find_bands("sentinel2", counted, {"B04": 3}, ["B04"], LABEL) == {"B04": 3}
    # In another order, or among others, they are names.
    assert find_bands("sentinel2", ["Band 4", "Band 3"], None, ["B04"], LABEL) == {"B04": 1}
    assert find_bands("landsat8", ["Band 1", "Band 2", "SR_B4"], None, ["B2"], LABEL) == {"B2": 2}


def test_refusals_name_the_nearest_and_what_to_write() -> None:
    assert "did you mean 'swir1'?" in refused("sentinel2", [], None, ["swri1"])
    assert "sentinel2 has no band 'B13'; did you mean" in refused("sentinel2", ["B1"], {"B13": 1}, [])
    assert "did you mean 'QA_PIXEL'?" in refused("landsat8", ["B1"], {"QAPIXELS": 1}, [])
    message = refused("sentinel2", ["B02", "B03", "Bl1"], None, ["B11"])
    assert "no band is described as B11 (swir1); the bands are 1 'B02', 2 'B03', 3 'Bl1'. Is it 'Bl1'?" in message
    assert message.startswith(LABEL)
    assert "none of its 2 bands has a description" in refused("landsat8", [None, None], None, ["red"])
    assert "bands.B4 is 5, and the file has the bands 1 to 3" in refused("landsat8", [None] * 3, {"B4": 5}, [])
    assert "bands.B4 is 0" in refused("landsat8", [None] * 3, {"B4": 0}, [])
    assert "states B4 twice" in refused("landsat8", [None] * 3, {"B4": 1, "red": 2}, [])
    assert "states band 1 of the file as B4 and as B5" in refused("landsat8", [None] * 3, {"B4": 1, "nir": 1}, [])
    assert "bands 1 ('B4') and 3 ('red') are both described as B04" in refused(
        "sentinel2", ["B4", "B3", "red"], None, ["B04"]
    )
    # Only what is wanted has to be clear.
    assert find_bands("sentinel2", ["B4", "B3", "red"], None, ["B03"], LABEL) == {"B03": 2}


def test_expressions_over_a_scene_take_any_bare_name() -> None:
    assert str(scene_expression("sentinel2", "B11 / B12")) == "B11 / B12"
    assert str(scene_expression("sentinel2", "(nir - red) / (B8 + b4)")) == "(B08 - B04) / (B08 + B04)"
    assert str(scene_expression("landsat8", "SR_B4 / blue")) == "B4 / B2"
    assert scene_expression("aster", "B3 * B3N").names == ("B3N",)
    with pytest.raises(ExpressionError, match=r"at column 7, 'copper': unknown name 'copper'; allowed: B01"):
        scene_expression("sentinel2", "red / copper")
    with pytest.raises(ExpressionError, match=r"unknown name 'swir3'; did you mean 'swir"):
        scene_expression("sentinel2", "swir3 / swir1")
    with pytest.raises(SceneError, match="unknown sensor"):
        scene_expression("spot", "B1")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.none() | st.text(max_size=12) | st.sampled_from(["B4", "red", "Band 1", "SCL"]), max_size=6))
def test_any_descriptions_are_found_or_refused(descriptions: list[str | None]) -> None:
    for sensor, bands in BANDS.items():
        for band in bands[:4]:
            try:
                found = find_bands(sensor, descriptions, None, [band], LABEL)
            except SceneError as error:
                message = str(error)
                assert band in message
            else:
                assert 1 <= found[band] <= len(descriptions)
