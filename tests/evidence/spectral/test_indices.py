"""Indices against scenes whose minerals are known, and as formulas: what they name, and what changes them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scenes import CLOUDS, INDICES_BANDS, OF, as_text, index_table
from tolerances import FLOAT64_SUMS, assert_close

from mpmjax.evidence.spectral.bands import BANDS, SceneError
from mpmjax.evidence.spectral.indices import INDICES, index_expression
from mpmjax.evidence.spectral.masks import mask_bands
from mpmjax.evidence.spectral.reflectance import CALIBRATIONS, not_reflectance, to_reflectance
from mpmjax.synthetic.scene import make_scene

FLOOR = 0.5
"""Spearman's rank correlation of a masked index with its mineral, on ground of seven groups mixed in every cell."""

WEAK = {"gossan": 0.25, "mafic": 0.25, "laterite": 0.4}
"""Indices that do not keep to their mineral: soil rises as a gossan does, quartz lowers the mafic index more than mafic
rock raises it, and laterite's one broad band over Sentinel-2 is that of all clay and mica."""

ALL = [(sensor, index) for sensor, indices in INDICES.items() for index in indices]


@pytest.mark.parametrize("sensor", INDICES)
@pytest.mark.parametrize("seed", [0, 1])
def test_each_index_ranks_its_mineral(sensor: str, seed: int, tmp_path: Path) -> None:
    rows = index_table(make_scene(tmp_path, sensor=sensor, seed=seed), sensor)
    print(as_text(rows))
    assert [row.index for row in rows] == list(INDICES[sensor])
    low = [row for row in rows if not row.masked >= WEAK.get(row.index, FLOOR)]
    assert not low, as_text(low)
    assert all(0.4 < row.usable < 0.95 for row in rows), as_text(rows)


@pytest.mark.parametrize("sensor", ["sentinel2", "landsat8"])
def test_clouds_water_and_plants_would_spoil_it(sensor: str, tmp_path: Path) -> None:
    rows = index_table(make_scene(tmp_path, sensor=sensor), sensor)
    assert all(row.masked > row.unmasked for row in rows), as_text(rows)
    assert np.mean([row.masked - row.unmasked for row in rows]) > 0.1, as_text(rows)


@pytest.mark.parametrize("sensor", ["sentinel2", "landsat8"])
def test_an_offset_left_out_costs_rank(sensor: str, tmp_path: Path) -> None:
    path = make_scene(tmp_path, sensor=sensor)
    with_it, without = index_table(path, sensor), index_table(path, sensor, declared=False)
    lost = [a.masked - b.masked for a, b in zip(with_it, without, strict=True)]
    assert max(lost) > 0.1, f"{as_text(with_it)}\n{as_text(without)}"
    with rasterio.open(path) as file:
        largest = float(file.read(1).max())
    sentence = not_reflectance(sensor, largest)
    assert all(f"offset = {one.offset:g}" in sentence for one in CALIBRATIONS[sensor])
    assert f"numbers up to {largest:g} are no reflectance" in sentence


def test_what_may_be_reflectance_is_not_remarked() -> None:
    assert not_reflectance("aster", 1.4) == ""
    assert not_reflectance("aster", float("nan")) == ""


@pytest.mark.parametrize(("sensor", "index"), ALL)
def test_a_scale_leaves_it_and_an_offset_does_not(sensor: str, index: str) -> None:
    found = index_expression(sensor, index)
    draw = np.random.default_rng(3)
    bands = {name: draw.uniform(0.05, 0.6, 200) for name in found.names}
    expected = found.evaluate(bands)
    assert np.isfinite(expected).all()
    assert_close(found.evaluate({name: 1e4 * values for name, values in bands.items()}), expected, FLOAT64_SUMS)
    assert_close(found.evaluate({name: 2.75e-5 * values for name, values in bands.items()}), expected, FLOAT64_SUMS)
    moved = found.evaluate({name: values + 0.2 for name, values in bands.items()})
    assert np.median(np.abs(moved / expected - 1)) > 0.02


@pytest.mark.parametrize(("sensor", "index"), ALL)
def test_it_says_what_and_who_and_what_disturbs(sensor: str, index: str) -> None:
    spec = INDICES[sensor][index]
    assert re.search(r"\b(19|20)\d\d\b", spec.source), spec.source
    assert len(spec.mineral) > 5
    assert len(spec.note) > 10
    assert index in OF
    assert set(index_expression(sensor, index).names) <= set(BANDS[sensor]) - {"SCL", "QA_PIXEL", "B3B"}
    assert re.fullmatch(r"[a-z][a-z_]*", index)


def by_hand(b: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Some of them once more, in NumPy, from the papers' own writing (ASTER bands 1 to 14)."""
    n = {int(re.sub(r"\D", "", name)): values for name, values in b.items()}
    return {
        "argillic": (n[4] + n[6]) / n[5],
        "phyllic": (n[5] + n[7]) / n[6],
        "propylitic": (n[7] + n[9]) / n[8],
        "hydroxyl": (n[7] / n[6]) * (n[4] / n[6]),
        "kaolinite": (n[4] / n[5]) * (n[8] / n[6]),
        "alunite": (n[7] / n[5]) * (n[7] / n[8]),
        "ferric_iron": n[2] / n[1],
        "ferrous_iron": n[5] / n[3] + n[1] / n[2],
        "quartz": n[11] ** 2 / (n[10] * n[12]),
        "carbonate": n[13] / n[14],
        "mafic": n[12] / n[13] * (n[14] / n[13]) ** 3,
    }


def test_formulas_of_aster_are_those_of_the_papers() -> None:
    draw = np.random.default_rng(9)
    bands = {name: draw.uniform(0.1, 0.9, 50) for name in BANDS["aster"] if name != "B3B"}
    for index, expected in by_hand(bands).items():
        assert_close(index_expression("aster", index).evaluate(bands), expected, FLOAT64_SUMS)


def test_a_wrong_index_or_sensor_names_the_nearest() -> None:
    for sensor, index, hint in (
        ("aster", "argilic", "did you mean 'argillic'?"),
        ("aster", "iron_oxide", "(sentinel2 and landsat8 have it)"),
        ("sentinel2", "iron-oxide", "did you mean 'iron_oxide'?"),
        ("sentinel-2", "clay", "unknown sensor 'sentinel-2'; did you mean 'sentinel2'?"),
        ("modis", "clay", "allowed: sentinel2, landsat8, aster"),
        ("landsat8", "gold", "allowed: iron_oxide, ferric_iron"),
    ):
        with pytest.raises(SceneError) as seen:
            index_expression(sensor, index)
        assert hint in str(seen.value), str(seen.value)
        assert isinstance(seen.value, ValueError)


def test_reflectance_is_above_nothing() -> None:
    stored = np.array([np.nan, 0.0, 999.0, 1000.0, 1001.0, 4000.0, np.inf])
    actual = to_reflectance(stored, 1e-4, -0.1)
    assert np.isnan(actual).tolist() == [True, True, True, True, False, False, True]
    assert actual[5] == pytest.approx(0.3)
    assert to_reflectance(np.array([0.25], np.float32)).tolist() == [0.25]


def test_the_scene_has_what_indices_and_masks_need() -> None:
    from mpmjax.synthetic.spectra import BANDS as SEEN

    for sensor in INDICES:
        needed = {*INDICES_BANDS[sensor], *mask_bands(sensor, 0.4, 0.0, CLOUDS[sensor])}
        assert needed <= {*SEEN[sensor], "SCL", "QA_PIXEL"}
        assert set(SEEN[sensor]) <= set(BANDS[sensor])
