"""The first look at values: undeclared sentinels found and real values left alone; empty, constant, infinite."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from districts import write_raster
from rasters import UTM, open_layer

from mpmjax.errors import DataError
from mpmjax.evidence.raster import scan as scanning
from mpmjax.evidence.raster.scan import RasterFacts, judge, scan


def look(path: Path, **stated: Any) -> tuple[RasterFacts, list[str]]:
    """What is seen in a file and what is said of it."""
    source, layer = open_layer(path, **stated)
    facts = scan(source, layer)
    return facts, judge(source, facts)


def measurements(low: float, high: float, dtype: str, shape: tuple[int, int] = (60, 70)) -> np.ndarray:
    """Values that fill [low, high], both ends included."""
    values = np.random.default_rng(2).uniform(low, high, shape)
    values[0, :2] = low, high
    return values.astype(dtype)


def save(folder: Path, values: np.ndarray, **profile: Any) -> Path:
    return write_raster(folder / "a.tif", values, crs=UTM, **profile)


SENTINELS = {
    "-9999 in int16 of 0 to 3000": ("int16", 0, 3000, -9999),
    "-9999 in reflectances of 0 to 10000": ("int16", 0, 10_000, -9999),
    "-32768 in int16": ("int16", -200, 4000, -32768),
    "32767 in int16": ("int16", 0, 4000, 32767),
    "65535 in uint16": ("uint16", 0, 4000, 65535),
    "-2147483648 in int32": ("int32", 0, 900_000, -2147483648),
    "-999 in float32 of 0 to 1": ("float32", 0, 1, -999),
    "-9999 in a magnetic map": ("float32", -800, 900, -9999),
    "-99999 in elevations": ("float64", -400, 8848, -99999),
    "float32 lowest": ("float32", 0, 50, -3.4028234663852886e38),
    "float32 lowest kept in float64": ("float64", 0, 50, -3.4028234663852886e38),
    "-3.4e38": ("float32", 0, 50, -3.4e38),
    "Surfer": ("float64", 0, 50, 1.70141e38),
    "Surfer kept as float32": ("float32", 0, 50, 1.70141e38),
    "Geosoft": ("float32", 48_000, 62_000, -1e32),
    "1e30 through float32": ("float64", 0, 50, float(np.float32(1e30))),
    "netCDF": ("float32", 270, 310, 9.969209968386869e36),
    "float64 lowest": ("float64", 0, 50, -1.7976931348623157e308),
}


@pytest.mark.parametrize("case", SENTINELS)
def test_an_undeclared_sentinel_is_refused_and_the_advice_works(tmp_path: Path, case: str) -> None:
    dtype, low, high, sentinel = SENTINELS[case]
    values = measurements(low, high, dtype)
    values[20:24, 10:30] = sentinel
    path = save(tmp_path, values)
    with pytest.raises(
        DataError, match=r"layer 'x': .*a\.tif, band 1: 80 of 4200 cells hold .*undeclared nodata"
    ) as seen:
        look(path)
    advice = re.search(r"Add nodata = (\S+) to this layer", str(seen.value))
    assert advice, str(seen.value)
    facts, notes = look(path, nodata=float(advice[1]))
    assert facts.missing == 80
    assert (facts.low, facts.high) == (low, high)
    assert not notes


@pytest.mark.parametrize("share", ["one cell", "half", "nearly all"])
def test_however_many_cells_hold_it(tmp_path: Path, share: str) -> None:
    values = measurements(0, 3000, "int16")
    values.flat[2 : {"one cell": 3, "half": 2100, "nearly all": 4190}[share]] = -9999
    with pytest.raises(DataError, match=r"cells hold -9999\.0"):
        look(save(tmp_path, values))


def test_two_sentinels_at_once_need_a_range(tmp_path: Path) -> None:
    values = measurements(0, 50, "float32")
    values[3], values[5] = -9999.0, -3.4028234663852886e38
    path = save(tmp_path, values)
    with pytest.raises(DataError, match=r"140 of 4200 cells hold -9999\.0 and -3\.4028234663852886e\+38.* valid_range"):
        look(path)
    with pytest.raises(DataError, match=r"70 of 4200 cells hold -3\.40"):
        look(path, nodata=-9999.0)
    assert look(path, valid_range=(0.0, 50.0))[0].missing == 140


REAL = {
    "magnetics of -12000 to 12000 with a -9999": ("int16", -12_000, 12_000, -9999),
    "magnetics that end just above -9999": ("float32", -9950, 7000, -9999),
    "elevations below -999": ("float32", -1100, 500, -999),
    "full int16": ("int16", -32768, 32767, -9999),
    "saturated at 32767": ("int16", 0, 32_700, 32767),
    "saturated at 65535": ("uint16", 0, 65_000, 65535),
    "bytes": ("uint8", 0, 255, 254),
}


@pytest.mark.parametrize("case", REAL)
def test_real_values_that_look_like_one_are_left_alone(tmp_path: Path, case: str) -> None:
    dtype, low, high, value = REAL[case]
    values = measurements(low, high, dtype)
    values[20:24, 10:30] = value
    facts, notes = look(save(tmp_path, values))
    assert not facts.missing
    assert not notes


def test_a_real_value_far_off_is_kept_by_a_range(tmp_path: Path) -> None:
    values = measurements(0, 50, "float32")
    values[3, 4] = -9999.0
    facts, _ = look(save(tmp_path, values), valid_range=(-20_000.0, 100.0))
    assert (facts.low, facts.missing) == (-9999.0, 0)


def test_a_declared_nodata_is_no_sentinel(tmp_path: Path) -> None:
    values = measurements(0, 3000, "int16")
    values[3] = -9999
    facts, _ = look(save(tmp_path, values, nodata=-9999))
    assert (facts.missing, facts.low, facts.cells) == (70, 0, 4200)


def test_hidden_by_a_mask_it_is_none_either(tmp_path: Path) -> None:
    values = measurements(0, 3000, "int16")
    values[3] = -9999
    path = save(tmp_path, values)
    with rasterio.open(path, "r+") as file:
        file.write_mask(values >= 0)
    assert look(path)[0].missing == 70


def test_nothing_but_a_sentinel(tmp_path: Path) -> None:
    path = save(tmp_path, np.full((60, 70), -9999.0, np.float32))
    with pytest.raises(DataError, match=r"4200 of 4200 cells hold -9999\.0.*undeclared nodata") as seen:
        look(path)
    assert "inf" not in str(seen.value)
    with pytest.raises(DataError, match="all 4200 cells are nodata"):
        look(path, nodata=-9999.0)
    halves = np.full((60, 70), -9999.0, np.float32)
    halves[30:] = -3.4028234663852886e38
    with pytest.raises(DataError, match="4200 of 4200 cells hold"):
        look(save(tmp_path, halves))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinite_cells_are_counted_and_missing(tmp_path: Path, dtype: str) -> None:
    values = measurements(0, 50, dtype)
    values[3, :5], values[4, :3], values[5, :7] = np.inf, -np.inf, np.nan
    facts, notes = look(save(tmp_path, values))
    assert (facts.infinite, facts.missing) == (8, 15)
    assert (facts.low, facts.high) == (0, 50)
    assert len(notes) == 1
    assert re.search(r"layer 'x': .*a\.tif, band 1: 8 infinite cells", notes[0])


@pytest.mark.parametrize("value", [0.0, -7.25, 3.0])
def test_a_constant(tmp_path: Path, value: float) -> None:
    values = np.full((60, 70), value, np.float32)
    values[10:20] = np.nan
    with pytest.raises(DataError, match=rf"a\.tif, band 1: constant, every cell is {value:g}: it tells nothing"):
        look(save(tmp_path, values))


def test_counts_over_several_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "WINDOW", 16)
    values = measurements(0, 3000, "int16")
    values[::7] = -9999
    values[1::7] = -1
    facts = scan(*open_layer(save(tmp_path, values, nodata=-1)))
    assert facts.sentinels == {-9999.0: int((values == -9999).sum())}
    assert (facts.cells, facts.missing, facts.low) == (4200, int((values == -1).sum()), 0)
    assert facts.whole


def test_a_large_file_is_looked_at_in_windows_spread_over_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "WINDOW", 16)
    path = save(tmp_path, np.full((320, 320), 7, np.int16))
    facts, notes = look(path)
    assert not facts.whole
    assert facts.cells == 64 * 16 * 16
    assert not notes, "what was not looked at may hold other values: constant is not said of a part"
    with rasterio.open(path, "r+") as file:  # only where a look at the first or the last windows would not see it
        file.write(np.full((160, 320), -9999, np.int16), 1, window=rasterio.windows.Window(0, 80, 320, 160))
    with pytest.raises(DataError, match=r"cells hold -9999\.0"):
        look(path)


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    path = save(
        tmp_path, measurements(0, 9, "float32", (300, 300)), tiled=True, blockxsize=128, blockysize=128, compress="lzw"
    )
    with rasterio.open(path) as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", 1))
    content = bytearray(path.read_bytes())
    content[start : start + 200] = b"\xff" * 200
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"layer 'x': .*a\.tif, band 1, rows 0-299, columns 0-299: cannot be decoded"):
        look(path)


def test_facts_survive_json(tmp_path: Path) -> None:
    """They are kept between runs: plain fields, and none of those that describe the pattern infinite."""
    values = measurements(0, 50, "float64")
    values[3], values[4, :9] = 1.7e308, -1.7e308
    for path in (save(tmp_path, values), save(tmp_path, np.full((9, 9), np.nan))):
        facts = scan(*open_layer(path))
        record = asdict(facts)
        sentinels = {float(value): count for value, count in record.pop("sentinels").items()}
        assert RasterFacts(**json.loads(json.dumps(record)), sentinels=sentinels) == facts
        pattern = (facts.common, facts.common_share, facts.patches, facts.jump, facts.steps)
        assert np.isfinite(pattern).all()


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_how_values_lie_beside_each_other(tmp_path: Path, dtype: str) -> None:
    """Against counts over all cells, one by one."""
    rng = np.random.default_rng(9)
    values = np.repeat(rng.integers(1, 12, (60, 20)), 4, axis=1).astype(dtype)
    values[5:9, 7:50] = 99
    facts, _ = look(save(tmp_path, values, nodata=99))
    rows = [[None if v == 99 else float(v) for v in row] for row in values]
    present = [v for row in rows for v in row if v is not None]
    common = max(set(present), key=present.count)
    pairs = [(a, b) for row in rows for a, b in itertools.pairwise(row) if a is not None and b is not None]
    told = [(a, b) for a, b in pairs if (a, b) != (common, common)]
    unequal = [(a, b) for a, b in pairs if a != b]
    assert (facts.common, facts.distinct, facts.whole_numbers) == (common, 11, True)
    assert facts.common_share == pytest.approx(present.count(common) / len(present))
    assert facts.patches == pytest.approx(sum(a == b for a, b in told) / len(told))
    assert facts.steps == pytest.approx(sum(abs(a - b) == 1 for a, b in unequal) / len(unequal))
    any_two = [abs(a - b) for a in set(present) for b in set(present) if a != b]
    expected = np.mean([abs(a - b) for a, b in unequal]) / np.mean(any_two)
    assert facts.jump == pytest.approx(expected, rel=0.1), "random pairs: a tenth"


def test_pattern_of_a_large_file_is_that_of_its_cells(tmp_path: Path) -> None:
    """Told from a lattice of cells, in windows: as from all of them to a few percent, whatever the lattice."""
    rng = np.random.default_rng(9)
    values = np.kron(rng.integers(1, 60, (60, 70)), np.ones((20, 20), int)).astype(np.int16)
    values[rng.random(values.shape) < 0.2] = 1
    facts, _ = look(save(tmp_path, values))
    pairs = values[:, :-1], values[:, 1:]
    told = (pairs[0] != 1) | (pairs[1] != 1)
    assert facts.common_share == pytest.approx((values == 1).mean(), abs=0.01)
    assert facts.patches == pytest.approx((pairs[0] == pairs[1])[told].mean(), abs=0.02)


@pytest.mark.parametrize(("scale", "counts"), [(1.0, (30, 40, 4150)), (-0.001, (4160, 4170, 0))])
def test_values_beyond_0_and_1_are_counted_as_scaled(
    tmp_path: Path, scale: float, counts: tuple[int, int, int]
) -> None:
    values = measurements(2, 900, "int16")
    values.flat[:30], values.flat[30:40], values.flat[40:50] = -5, 0, 1
    facts, _ = look(save(tmp_path, values, scale=1.0 if scale == 1.0 else scale))
    assert (facts.negative, facts.not_positive, facts.above_one) == counts


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (1, 2)])
def test_one_row_or_one_column(tmp_path: Path, shape: tuple[int, int]) -> None:
    values = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    facts, notes = look(save(tmp_path, values))
    assert (facts.cells, facts.low, facts.high, notes) == (values.size, 0, values.size - 1, [])


def test_headers_with_random_bytes_end_in_a_sentence_or_a_look(tmp_path: Path) -> None:
    values = measurements(0, 255, "uint8", (20, 20))
    whole = write_raster(tmp_path / "whole.tif", values, crs=UTM, tiled=True, blockxsize=16, blockysize=16).read_bytes()
    generator, path = np.random.default_rng(4), tmp_path / "a.tif"
    refusals = []
    for _ in range(150):
        content = bytearray(whole)
        for place in generator.integers(4, 500, 5):
            content[place] = generator.integers(256)
        path.write_bytes(content)
        try:
            scan(*open_layer(path))
        except DataError as error:
            refusals.append(str(error))
    assert 10 < len(refusals) < 140
    assert all("a.tif" in refusal for refusal in refusals)
