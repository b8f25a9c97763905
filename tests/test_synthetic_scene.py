"""The synthetic scene: the same for any window, what its files say of themselves, and spectra that are such."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from tolerances import assert_same_bits

from mpmjax.errors import DiskError, ProjectError
from mpmjax.synthetic.noise import Window
from mpmjax.synthetic.scene import QUALITY, SCALES, make_scene, scene_patch
from mpmjax.synthetic.spectra import BANDS, COVERS, MINERALS, SPECTRA, THERMAL, band_values, radiance


@pytest.mark.parametrize("sensor", BANDS)
def test_a_window_is_cut_from_the_whole(sensor: str) -> None:
    whole = scene_patch(sensor, Window(0, 0, 64, 80, 30.0), 5)
    part = scene_patch(sensor, Window(17, 23, 20, 31, 30.0), 5)
    cut = np.s_[17:37, 23:54]
    for band, values in part.bands.items():
        assert_same_bits(values, whole.bands[band][cut].copy())
    for mineral, values in part.abundances.items():
        assert_same_bits(values, whole.abundances[mineral][cut].copy())
    assert_same_bits(part.shadow, whole.shadow[cut].copy())


@pytest.mark.parametrize("sensor", BANDS)
def test_shares_are_shares_and_bands_are_what_their_names_say(sensor: str) -> None:
    patch = scene_patch(sensor, Window(0, 0, 200, 200, 30.0), 1)
    assert list(patch.abundances) == list(MINERALS)
    assert all((share >= 0).all() and share.std() > 0.005 for share in patch.abundances.values())
    total = sum(patch.abundances.values()) + patch.vegetation + patch.water
    assert (total < 1).all()
    for band, (centre, _) in BANDS[sensor].items():
        values = patch.bands[band]
        if centre > THERMAL:
            assert (values > radiance(centre, np.float64(270.0)) * 0.6).all()
            assert (values < radiance(centre, np.float64(340.0))).all()
        else:
            assert (values > -0.05).all()
            assert (values < 1.2).all()
    assert (patch.cloud.max() > 0.9) == (sensor in QUALITY)


@pytest.mark.parametrize("sensor", BANDS)
def test_files_hold_the_patch_and_say_what_they_hold(sensor: str, tmp_path: Path) -> None:
    path = make_scene(tmp_path / "new", sensor=sensor, width=70, height=300, seed=3, resolution=20.0)
    patch = scene_patch(sensor, Window(0, 0, 300, 70, 20.0), 3)
    scale, offset = SCALES[sensor]
    with rasterio.open(path) as file:
        own = (QUALITY[sensor],) if sensor in QUALITY else ()
        assert file.descriptions == (*BANDS[sensor], *own)
        assert file.dtypes == ("uint16",) * file.count
        assert (file.nodata, file.res, file.shape) == (0, (20.0, 20.0), (300, 70))
        assert file.scales == (scale,) * len(BANDS[sensor]) + (1.0,) * len(own)
        for number, band in enumerate(BANDS[sensor], start=1):
            read = file.read(number).astype(np.float64) * scale + offset
            inside = patch.bands[band] > scale + offset
            assert np.abs(read - patch.bands[band])[inside].max() <= 0.5001 * scale
        quality = file.read(file.count) if own else None
    if quality is not None:
        thick = (quality == 9) | (quality == 8) if sensor == "sentinel2" else (quality >> 3) & 1 == 1
        assert np.array_equal(thick, patch.cloud > 0.3)
    with rasterio.open(path.with_name("abundance.tif")) as file:
        assert file.descriptions == MINERALS
        assert_same_bits(file.read(4), patch.abundances["ferric"].astype(np.float32))


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    one = make_scene(tmp_path / "one", sensor="aster", width=64, height=40)
    two = make_scene(tmp_path / "two", sensor="aster", width=64, height=40)
    other = make_scene(tmp_path / "other", sensor="aster", width=64, height=40, seed=1)
    assert one.read_bytes() == two.read_bytes() != other.read_bytes()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sensor": "modis"}, "sensor: got 'modis'"),
        ({"sensor": "aster", "width": 3}, "width: got 3; allowed: 16"),
        ({"sensor": "aster", "seed": -1}, "seed: got -1"),
        ({"sensor": "aster", "resolution": 0.0}, "resolution: got 0.0"),
    ],
)
def test_arguments_out_of_range(tmp_path: Path, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        make_scene(tmp_path, **wrong)  # pyright: ignore[reportArgumentType]


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("here")
    with pytest.raises(DiskError, match="could not be written"):
        make_scene(tmp_path / "taken", sensor="aster")


def test_spectra_are_reflectances_in_order_of_wavelength() -> None:
    assert set(SPECTRA) == {*MINERALS, *COVERS}
    for name, points in SPECTRA.items():
        micrometres, values = np.array(points).T
        assert (np.diff(micrometres) > 0).all(), name
        assert ((values > 0) & (values < 1)).all(), name
        for bands in BANDS.values():
            assert ((band_values(name, bands) > 0) & (band_values(name, bands) < 1)).all()


@pytest.mark.parametrize(
    ("mineral", "deepest"),
    [("argillic", "B05"), ("phyllic", "B06"), ("propylitic", "B08"), ("carbonate", "B08")],
)
def test_aster_sees_each_absorption_in_its_band(mineral: str, deepest: str) -> None:
    """Below the straight line between the neighbours, deepest of bands 5 to 8 (Mars and Rowan 2006, figure 3)."""
    values = dict(zip(BANDS["aster"], band_values(mineral, BANDS["aster"]), strict=True))
    names = ["B04", "B05", "B06", "B07", "B08", "B09"]
    depth = {b: (values[a] + values[c]) / (2 * values[b]) for a, b, c in zip(names, names[1:], names[2:], strict=False)}
    assert max(depth, key=lambda band: depth[band]) == deepest
    assert depth[deepest] > 1.1


def test_plancks_law_against_its_maximum_and_sum() -> None:
    """Wien: the maximum lies at 2897.77 µm K / T. Stefan and Boltzmann: all of it sums to sigma T^4 / pi."""
    micrometres = np.linspace(0.5, 400.0, 400_000)
    curve = radiance(micrometres, np.float64(300.0))  # pyright: ignore[reportArgumentType]
    assert micrometres[np.argmax(curve)] == pytest.approx(2897.77 / 300.0, rel=1e-3)
    assert np.trapezoid(curve, micrometres) == pytest.approx(5.670374e-8 * 300.0**4 / np.pi, rel=1e-3)
