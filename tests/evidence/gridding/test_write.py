"""Samples as a layer on the grid: its values, its support, its bytes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy.spatial import KDTree
from tolerances import IDW, KRIGING, assert_close

from mpmjax.errors import DataError, MemoryLimitError
from mpmjax.evidence.gridding import write as module
from mpmjax.evidence.gridding.methods import METHODS, Gridding, Variogram
from mpmjax.evidence.gridding.write import SPACINGS, write_gridded
from mpmjax.reference import gridding as reference
from mpmjax.types import Grid

GRID = Grid("EPSG:32650", Affine(60.0, 0.0, 400_000.0, 0.0, -40.0, 3_000_000.0), 300, 290)
"""18 km x 11.6 km: two strips and two windows a strip, cells not square."""

MEMORY = 1 << 30
GRIDDINGS = [*(Gridding(method) for method in METHODS), Gridding("kriging", what="variance")]
NAMES = [f"{gridding.method} {gridding.what}" for gridding in GRIDDINGS]


def samples(count: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples in and around the western two thirds of the grid."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(399_000, 412_000, count), rng.uniform(2_987_000, 3_001_000, count)
    return x, y, np.exp(np.sin(x / 2e3) + np.cos(y / 3e3) + rng.normal(0, 0.2, count))


def centres() -> np.ndarray:
    rows, cols = np.mgrid[0 : GRID.height, 0 : GRID.width]
    return np.stack((400_000 + (cols + 0.5) * 60.0, 3_000_000 - (rows + 0.5) * 40.0), axis=-1).reshape(-1, 2)


def written(folder: Path, arrays: tuple, gridding: Gridding, **options: int) -> tuple[np.ndarray, list[str]]:
    out = folder / "x.tif"
    notes = write_gridded(*arrays, GRID, out, gridding, "layer 'x'", **{"max_memory": MEMORY, **options})
    with rasterio.open(out) as file:
        assert file.dtypes == ("float32",)
        assert np.isnan(file.nodata)
        assert (file.transform, file.shape, file.crs) == (
            GRID.transform,
            GRID.shape,
            rasterio.CRS.from_string(GRID.crs),
        )
        assert file.block_shapes == [(256, 256)]
        return file.read(1), notes


def test_inverse_distances_in_metres_of_the_grid(tmp_path: Path) -> None:
    """By scipy's tree in the grid's own coordinates."""
    x, y, values = samples()
    layer, notes = written(tmp_path, (x, y, values), Gridding("idw", neighbours=8, power=3.0, support=2_000.0))
    away, which = KDTree(np.stack((x, y), axis=1)).query(centres(), k=8)
    expected = (values[which] / away**3).sum(axis=1) / (1.0 / away**3).sum(axis=1)
    expected[away[:, 0] > 2_000.0] = np.nan
    assert_close(layer.ravel(), expected, IDW)
    share = 100.0 * np.mean(~np.isnan(expected))
    told = (
        "layer 'x': gridded by inverse distances from 300 samples; cells farther than 2000 m from the nearest one are "
        f"missing (support); {share:.3g} % of the cells have a value."
    )
    assert notes == [told]


def test_kriging_with_a_stated_variogram(tmp_path: Path) -> None:
    x, y, values = samples()
    stated = Variogram("exponential", 0.05, 0.9, 5_000.0)
    places = centres()[::997]
    wanted = reference.kriging(
        x, y, values, places, neighbours=16, model="exponential", nugget=0.05, sill=0.9, reach=5_000.0, support=2_000.0
    )
    for what, expected in zip(("value", "variance"), wanted, strict=True):
        gridding = Gridding("kriging", neighbours=16, what=what, variogram=stated, support=2_000.0)
        layer, notes = written(tmp_path, (x, y, values), gridding)
        assert_close(layer.ravel()[::997], expected, KRIGING)
        assert len(notes) == 1, "nothing was fitted"


@pytest.mark.parametrize("gridding", GRIDDINGS, ids=NAMES)
def test_no_cell_is_farther_from_a_sample_than_the_support(tmp_path: Path, gridding: Gridding) -> None:
    """Stated, or four times the median distance between neighbours; distances by scipy."""
    x, y, values = samples()
    tree = KDTree(np.stack((x, y), axis=1))
    away, spacing = tree.query(centres())[0], np.median(tree.query(tree.data, k=2)[0][:, 1])
    for support in (None, 700.0):
        settings = {**vars(gridding), "support": support}
        layer, notes = written(tmp_path, (x, y, values), Gridding(**settings))
        reach = SPACINGS * spacing if support is None else support
        there = ~np.isnan(layer.ravel())
        assert f"farther than {reach:.6g} m from the nearest one" in notes[-1]
        assert ("since no support is stated" in notes[-1]) == (support is None)
        assert there.any()
        assert not there[away > reach].any()
        if gridding.method not in ("linear", "natural"):
            assert there[away < reach * (1 - 1e-9)].all()


def test_the_radius_is_the_support_where_none_is_stated(tmp_path: Path) -> None:
    arrays = samples()
    layer, notes = written(tmp_path, arrays, Gridding("idw", radius=900.0))
    away = KDTree(np.stack(arrays[:2], axis=1)).query(centres())[0]
    assert np.array_equal(~np.isnan(layer.ravel()), away <= 900.0)
    assert "900 m from the nearest one are missing (the radius, since no support is stated)" in notes[-1]


@pytest.mark.parametrize("gridding", GRIDDINGS, ids=NAMES)
def test_bytes_depend_on_the_samples_only(tmp_path: Path, gridding: Gridding, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on their order, on strips and windows, or on the workers."""
    arrays = samples()
    written(tmp_path, arrays, gridding)
    first = (tmp_path / "x.tif").read_bytes()
    order = np.random.default_rng(1).permutation(arrays[0].size)
    written(tmp_path, tuple(array[order] for array in arrays), gridding)
    assert (tmp_path / "x.tif").read_bytes() == first
    monkeypatch.setattr(module, "STRIP_ROWS", 512)
    monkeypatch.setattr(module, "TILE", 77)
    monkeypatch.setattr(module, "worker_count", lambda _: 1)
    written(tmp_path, arrays, gridding)
    assert (tmp_path / "x.tif").read_bytes() == first


def test_missing_values_are_left_out_and_told(tmp_path: Path) -> None:
    x, y, values = samples()
    holes = values.copy()
    holes[::3] = np.nan
    layer, notes = written(tmp_path, (x, y, holes), Gridding("idw", support=1e5))
    kept = np.isfinite(holes)
    assert notes[0] == "layer 'x': 100 of 300 samples have no value and were left out."
    again, _ = written(tmp_path, (x[kept], y[kept], values[kept]), Gridding("idw", support=1e5))
    assert np.array_equal(layer, again)


def test_a_fitted_variogram_is_told(tmp_path: Path) -> None:
    _, notes = written(tmp_path, samples(), Gridding("kriging"))
    assert " variogram fitted to " in notes[0]
    _, notes = written(tmp_path, samples(), Gridding("kriging", variogram=Variogram("exponential")))
    assert notes[0].startswith("layer 'x': exponential variogram fitted to ")


def test_inverse_distances_take_the_mean_of_one_place(tmp_path: Path) -> None:
    place = np.array([400_030.0]), np.array([2_999_980.0])
    arrays = np.repeat(place[0], 2), np.repeat(place[1], 2), np.array([1.0, 4.0])
    layer, notes = written(tmp_path, arrays, Gridding("idw", support=500.0))
    assert np.nanmin(layer) == np.nanmax(layer) == 2.5
    assert "2 samples lie at a place with another one" in notes[0]


@pytest.mark.parametrize("method", ["linear", "natural", "rbf", "kriging"])
def test_two_samples_at_one_place_are_refused(tmp_path: Path, method: str) -> None:
    x, y, values = (np.append(array, array[7]) for array in samples())
    with pytest.raises(DataError, match=r"2 samples lie at a place with another one, first at .*duplicates"):
        written(tmp_path, (x, y, values), Gridding(method))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("method", "count", "said"),
    [
        ("idw", 0, "0 of 0 samples have a value; inverse distances take 1 at least"),
        ("linear", 2, "2 of 2 samples have a value"),
        ("natural", 2, "take 3 at least"),
        ("rbf", 2, "take 3 at least"),
        ("kriging", 1, "takes 2 at least"),
        ("kriging", 9, "cannot be fitted to 9 samples"),
    ],
)
def test_too_few_samples(tmp_path: Path, method: str, count: int, said: str) -> None:
    with pytest.raises(DataError, match=said):
        written(tmp_path, tuple(array[:count] for array in samples()), Gridding(method, support=5_000.0))


@pytest.mark.parametrize("method", ["linear", "natural", "rbf"])
def test_samples_on_a_line_are_refused(tmp_path: Path, method: str) -> None:
    steps = np.arange(30.0)
    line = 401_000 + 300.0 * steps, 2_999_000 - 100.0 * steps, steps
    with pytest.raises(DataError, match=r'lie on one line.*method = "idw"'):
        written(tmp_path, line, Gridding(method, support=5_000.0))
    assert not list(tmp_path.iterdir())


def test_other_refusals(tmp_path: Path) -> None:
    x, y, values = samples()
    with pytest.raises(DataError, match=r"none of the 300 samples lies within 500 m of the grid: they lie at .*CRS"):
        written(tmp_path, (x + 1e6, y, values), Gridding("idw", support=500.0))
    with pytest.raises(DataError, match=r"no cell of the grid has its centre within 0\.1 m"):
        written(tmp_path, (x, y, values), Gridding("idw", support=0.1))
    with pytest.raises(DataError, match="1 samples have a value and no place"):
        written(tmp_path, (np.append(x[1:], np.nan), y, values), Gridding("idw"))
    with pytest.raises(DataError, match="how far its value reaches must be said by support"):
        written(tmp_path, (x[:1], y[:1], values[:1]), Gridding("idw"))
    with pytest.raises(DataError, match="all 300 samples have the value 7"):
        written(tmp_path, (x, y, np.full(300, 7.0)), Gridding("kriging"))
    smooth = Variogram("gaussian", 0.0, 1.0, 1e6)
    with pytest.raises(DataError, match=r"no stable solution.*larger nugget"):
        written(tmp_path, (x, y, values), Gridding("kriging", variogram=smooth))
    with pytest.raises(MemoryLimitError, match="Raise max_memory"):
        written(tmp_path, (x, y, values), Gridding("idw"), max_memory=1 << 20)
    assert not list(tmp_path.iterdir())
