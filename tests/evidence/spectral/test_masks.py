"""Cells that show no ground: by thresholds, by the codes of quality bands, and where it cannot be judged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpmjax.evidence.spectral.bands import SceneError
from mpmjax.evidence.spectral.masks import CLASSES, Clouds, mask_bands, normalised_difference, usable

SCL = Clouds("SCL", values=(3, 8, 9, 10))
QA = Clouds("QA_PIXEL", bits=(1, 3, 4))


def test_needs_only_what_it_masks_by() -> None:
    assert mask_bands("sentinel2") == ()
    assert mask_bands("sentinel2", 0.4, None, None) == ("B08", "B04")
    assert mask_bands("sentinel2", None, 0.0, SCL) == ("B03", "B11", "SCL")
    assert mask_bands("landsat8", 0.4, 0.0, QA) == ("B5", "B4", "B3", "B6", "QA_PIXEL")
    assert mask_bands("aster", 0.4, 0.0) == ("B3N", "B02", "B01")
    assert usable({}, "aster").item() is True


def test_plants_and_water_are_above_their_thresholds() -> None:
    bands = {
        "B08": np.array([0.45, 0.30, 0.01, np.nan, 0.0, 0.35]),
        "B04": np.array([0.04, 0.25, 0.03, 0.20, 0.0, 0.15]),
        "B03": np.array([0.09, 0.20, 0.05, 0.20, 0.1, 0.12]),
        "B11": np.array([0.20, 0.40, 0.01, 0.30, 0.2, 0.30]),
    }
    assert usable(bands, "sentinel2", vegetation=0.4).tolist() == [False, True, True, False, False, True]
    assert usable(bands, "sentinel2", water=0.0).tolist() == [True, True, False, True, True, True]
    assert usable(bands, "sentinel2", vegetation=0.4, water=0.0).tolist() == [False, True, False, False, False, True]
    # At the threshold itself a cell stays: (0.35 - 0.15) / 0.5.
    assert usable(bands, "sentinel2", vegetation=0.4)[5]


def test_water_over_aster_needs_no_short_wave_infrared() -> None:
    bands = {"B01": np.array([0.05, 0.2]), "B3N": np.array([0.005, 0.3])}
    assert usable(bands, "aster", water=0.0).tolist() == [False, True]


def test_classes_of_sentinel2() -> None:
    codes = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, np.nan, -1.0, np.inf])
    expected = [False, True, True, False, *[True] * 4, *[False] * 3, True, False, False, False]
    assert usable({"SCL": codes}, "sentinel2", clouds=SCL).tolist() == expected
    assert usable({"SCL": codes[:12].astype(np.uint8)}, "sentinel2", clouds=SCL).tolist() == expected[:12]


@given(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=20), st.sets(st.integers(0, 15), min_size=1))
def test_bits_of_landsat(codes: list[int], bits: set[int]) -> None:
    clouds = Clouds("QA_PIXEL", bits=tuple(bits))
    expected = [not any(f"{code:016b}"[15 - bit] == "1" for bit in {0, *bits}) for code in codes]
    assert usable({"QA_PIXEL": np.array(codes)}, "landsat8", clouds=clouds).tolist() == expected
    assert usable({"QA_PIXEL": np.array(codes, np.float32)}, "landsat8", clouds=clouds).tolist() == expected


def test_known_codes_of_landsat() -> None:
    """USGS's table of frequent values: clear, water, cloud, dilated cloud over land, shadow, cirrus, fill."""
    codes = np.array([21824, 21952, 22280, 21826, 23888, 54596, 1])
    assert usable({"QA_PIXEL": codes}, "landsat8", clouds=QA).tolist() == [True, True, *[False] * 3, True, False]
    more = Clouds("qa_pixel", bits=(1, 2, 3, 4))
    assert not usable({"QA_PIXEL": codes}, "landsat8", clouds=more)[5]


@pytest.mark.parametrize(
    ("sensor", "clouds", "hint"),
    [
        ("aster", SCL, "aster scenes come without a band of clouds. Take a cloudless scene"),
        ("sentinel2", QA, "SCL"),
        ("landsat8", Clouds("SCL", values=(3,)), "QA_PIXEL"),
        ("sentinel2", Clouds("SCL"), "as in clouds = { band = \"SCL\", values = [3, 8, 9, 10] }"),
        ("sentinel2", Clouds("SCL", bits=(3,)), "SCL is read by values"),
        ("sentinel2", Clouds("SCL", values=(3,), bits=(3,)), "SCL is read by values"),
        ("landsat8", Clouds("QA_PIXEL", values=(22280,)), "QA_PIXEL is read by bits"),
        ("sentinel2", Clouds("SCL", values=(12,)), f"SCL has values 0 to {CLASSES}, got 12"),
        ("landsat8", Clouds("QA_PIXEL", bits=(16,)), "QA_PIXEL has bits 0 to 15, got 16"),
        ("landsat8", Clouds("QA_PIXEL", bits=(-1,)), "got -1"),
        ("sentinel2", Clouds("B04", values=(3,)), "clouds.band: got 'B04'; allowed: SCL"),
        ("sentinel2", Clouds("SLC", values=(3,)), "SCL"),
    ],
)  # fmt: skip
def test_clouds_that_cannot_be(sensor: str, clouds: Clouds, hint: str) -> None:
    with pytest.raises(SceneError) as seen:
        mask_bands(sensor, None, None, clouds)
    assert hint in str(seen.value), str(seen.value)
    with pytest.raises(SceneError):
        usable({}, sensor, clouds=clouds)


def test_codes_that_were_averaged_are_refused() -> None:
    with pytest.raises(SceneError, match=r"SCL holds 4.5, and its codes are whole numbers.*nearest neighbour"):
        usable({"SCL": np.array([4.0, 4.5])}, "sentinel2", clouds=SCL)


@pytest.mark.parametrize("key", ["vegetation", "water"])
@pytest.mark.parametrize("value", [1.5, -2.0, 40.0, float("nan")])
def test_thresholds_beyond_what_an_index_can_be(key: str, value: float) -> None:
    bands = dict.fromkeys(("B3N", "B02", "B01"), np.ones(2))
    with pytest.raises(SceneError, match=f"{key}: a normalised difference lies from -1 to 1"):
        usable(bands, "aster", **{key: value})


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=30))
def test_normalised_difference_lies_between_minus_one_and_one(pairs: list[tuple[float, float]]) -> None:
    one, other = np.array(pairs).T
    found = normalised_difference(one, other)
    assert np.array_equal(np.isnan(found), one + other == 0)
    there = found[~np.isnan(found)]
    assert ((there >= -1) & (there <= 1)).all()
    assert np.array_equal(normalised_difference(other, one)[~np.isnan(found)], -there)


def test_sums_that_are_not_above_zero_cannot_be_judged() -> None:
    found = normalised_difference(np.array([0.1, -0.3, np.inf, np.nan]), np.array([-0.1, 0.1, 0.2, 0.2]))
    assert np.isnan(found).all()
