"""Sources read at the same places, against rasterio's own sampling and SciPy; twins found and only twins."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from districts import smooth, write_raster
from hypothesis import given
from hypothesis import strategies as st
from rasters import LEFT, TOP, UTM, cell_centres, make_grid, open_layer, write_on
from scipy import stats
from tolerances import FLOAT64_SUMS, assert_close

from mpmjax.errors import DataError
from mpmjax.evidence.checks import twins as comparing
from mpmjax.evidence.checks.twins import choose_places, correlations, remarks_on_gaps, see, twins
from mpmjax.evidence.remarks import several, together

GRID = make_grid(60, 50)
RNG = np.random.default_rng(5)


@pytest.mark.parametrize("shape", [(1, 1), (50, 60), (320, 320), (645, 556), (5, 70_000), (70_000, 5), (4000, 9000)])
def test_places_are_cells_of_the_grid_none_twice_and_spread(shape: tuple[int, int]) -> None:
    grid = make_grid(shape[1], shape[0])
    places = choose_places(grid)
    cells = np.unique(places.rows * grid.width + places.cols)
    assert cells.size == places.rows.size <= 102_400
    if shape[0] * shape[1] <= 100_000 and min(shape) > 20:
        assert cells.size == shape[0] * shape[1], "a small grid is looked at whole"
    assert 0 <= places.rows.min() <= places.rows.max() < grid.height
    for axis, size in ((places.rows, grid.height), (places.cols, grid.width)):
        assert abs((axis.mean() + 0.5) / size - 0.5) < 0.05
    assert sum(block.stop - block.start for block in places.blocks) == cells.size


def test_values_are_those_that_rasterio_samples(tmp_path: Path) -> None:
    values = RNG.normal(size=(150, 170)).astype(np.float32)
    values[20:40] = -9999
    rotated = Affine.translation(LEFT - 500, TOP + 500) @ Affine.rotation(-20) @ Affine.scale(37, -31)
    path = write_raster(tmp_path / "a.tif", values, rotated, crs=UTM, nodata=-9999)
    source, layer = open_layer(path)
    places = choose_places(GRID)
    x, y = (axis[places.rows, places.cols] for axis in cell_centres(GRID))
    with rasterio.open(path) as file:
        expected = np.ma.stack(list(file.sample(zip(x, y, strict=True), masked=True)))[:, 0]
    seen = see(places, GRID, source, layer)
    assert seen.looked.all()
    assert_close(seen.values, expected.astype(np.float64).filled(np.nan), FLOAT64_SUMS)
    assert seen.missing(np.ones(places.rows.size, bool)) == pytest.approx(np.ma.getmaskarray(expected).mean())


def test_a_source_far_finer_than_the_grid_is_read_cell_by_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "WINDOW", 100)
    monkeypatch.setattr(comparing, "SINGLES", 1000)
    values = RNG.normal(size=(500, 600)).astype(np.float32)
    values[:, :300] = np.nan
    places = choose_places(GRID)
    source, layer = open_layer(write_on(tmp_path / "a.tif", make_grid(600, 500, 6.0), values))
    seen = see(places, GRID, source, layer)
    assert seen.looked.sum() == 1000
    at = seen.looked
    assert_close(seen.values[at], values[places.rows * 10 + 5, places.cols * 10 + 5][at], FLOAT64_SUMS)
    assert seen.missing(np.ones(at.size, bool)) == pytest.approx(0.5, abs=0.05)


def test_a_source_elsewhere_has_no_values(tmp_path: Path) -> None:
    source, layer = open_layer(
        write_on(tmp_path / "a.tif", make_grid(10, 10, 60.0, LEFT + 3000, TOP), np.ones((10, 10)))
    )
    seen = see(choose_places(GRID), GRID, source, layer)
    assert np.isfinite(seen.values).sum() == 100
    (remark,) = remarks_on_gaps("layer 'x'", seen, np.ones(3000, bool))
    assert remark.detail == "97% missing"
    assert not remarks_on_gaps("layer 'x'", seen, np.isfinite(seen.values)), "the study area is covered"
    assert not remarks_on_gaps("layer 'x'", seen, np.zeros(3000, bool))


@given(seed=st.integers(0, 1000), gaps=st.floats(0, 0.6), offset=st.floats(-1e3, 1e3), power=st.integers(-6, 6))
def test_correlations_are_those_of_scipy(seed: int, gaps: float, offset: float, power: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=300)
    layers = [base, base + rng.normal(size=300), rng.exponential(size=300), -base, np.ones(300), np.full(300, np.nan)]
    layers[2] = (layers[2] + offset) * 10.0**power
    for layer in layers:
        layer[rng.random(300) < gaps] = np.nan
    found = correlations(layers)
    for i, one in enumerate(layers):
        for j, other in enumerate(layers):
            both = np.isfinite(one) & np.isfinite(other)
            constant = i >= 4 or j >= 4
            expected = 0.0 if constant else stats.pearsonr(one[both], other[both])[0]
            assert found[i, j] == pytest.approx(expected, abs=1e-9)


def files(*names: str) -> dict[str, tuple[Path, int]]:
    return {name: (Path(f"{name}.tif"), 1) for name in names}


def test_twins_are_found_and_only_twins() -> None:
    a = smooth(RNG, (50, 60), 3.0).ravel()
    b = a + 0.05 * RNG.normal(size=a.size)
    values = {"a": a, "near": b, "line": 5.0 - 3.0 * a, "copy": a.copy(), "other": RNG.normal(size=a.size)}
    values["copy"][:100] = np.nan
    told = twins(values, files(*values))
    assert len(told) == 2
    assert told[0].startswith("layers 'a' and 'line': one is a straight line of the other (|r| = 1.000000)")
    assert told[1].startswith("layers 'a' and 'copy': one is a straight line")
    exact = twins({"a": a, "b": a.copy()}, files("a", "b"))
    assert exact == [
        "layers 'a' and 'b': they hold the same values, so that this evidence counts twice. Leave one out."
    ]


def test_nothing_in_common_is_no_likeness() -> None:
    one, other = np.zeros(3000), np.zeros(3000)
    one[5], other[5] = 1.0, 4.0
    assert correlations([one, other])[0, 1] == pytest.approx(1.0)
    assert twins({"a": one, "b": other}, files("a", "b")) == []
    left, right = np.full(100, np.nan), np.full(100, np.nan)
    left[:50], right[50:] = RNG.normal(size=50), RNG.normal(size=50)
    assert twins({"a": left, "b": right}, files("a", "b")) == []
    assert twins({}, {}) == []


def test_one_band_named_twice_and_two_bands_of_a_file() -> None:
    values = {"a": RNG.normal(size=99), "b": np.full(99, np.nan), "c": RNG.normal(size=99)}
    named = {"a": (Path("x/../f.tif"), 1), "b": (Path("f.tif"), 1), "c": (Path("f.tif"), 2)}
    (told,) = twins(values, named)
    assert "layers 'a' and 'b': both are band 1 of x/../f.tif" in told


def test_a_huge_file_is_read_in_few_places(tmp_path: Path) -> None:
    path = tmp_path / "huge.tif"
    with rasterio.open(
        path, "w", "GTiff", 100_000, 100_000, 1, UTM, GRID.transform, "int16", tiled=True, sparse_ok=True,
        bigtiff="yes", blockxsize=512, blockysize=512, compress="zstd",
    ) as file:  # fmt: skip
        file.write(np.ones((10, 10), np.int16), 1, window=rasterio.windows.Window(0, 0, 10, 10))
    source, layer = open_layer(path)
    start = time.perf_counter()
    for grid in (make_grid(100_000, 100_000), make_grid(60, 60, 100_000.0)):
        assert np.isfinite(see(choose_places(grid), grid, source, layer).values).sum() >= 3600
    assert time.perf_counter() - start < 10.0


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    path = write_on(tmp_path / "a.tif", GRID, RNG.normal(size=GRID.shape), compress="lzw")
    with rasterio.open(path) as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", 1))
    source, layer = open_layer(path)
    content = bytearray(path.read_bytes())
    content[start : start + 300] = b"\xff" * 300
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"layer 'x': .*a\.tif, band 1, rows 0-19.*: cannot be decoded"):
        see(choose_places(GRID), GRID, source, layer)


def test_names_in_a_sentence() -> None:
    assert together(["layer 'a'"]) == "layer 'a'"
    assert together(["layer 'a'", "mask", "layer 'b'"]) == "layers 'a', 'b' and mask"
    assert together(["occurrences"]) == "occurrences"
    assert several(list("abcdefg")) == "a, b, c, d, e, f, g"
    assert several(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"
