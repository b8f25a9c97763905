"""The synthetic district: same bytes from the same seed, seamless tiles, deposits that several layers together tell."""

from __future__ import annotations

import hashlib
import resource
import tomllib
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from scipy.stats import rankdata
from sklearn.ensemble import IsolationForest

from mpmjax.errors import DiskError, ProjectError
from mpmjax.project import Project, load_project
from mpmjax.synthetic import make_district, make_kajan_like
from mpmjax.synthetic.layers import themes

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def read(path: Path) -> tuple[np.ma.MaskedArray, rasterio.DatasetReader]:
    """Scaled values, masked where nodata, and the closed dataset for its profile."""
    with rasterio.open(path) as file:
        return file.read(1, masked=True) * file.scales[0], file


def points(path: Path) -> np.ndarray:
    return shapely.get_coordinates(shapely.from_wkb(pyogrio.raw.read(path)[2]))


def auc(score: np.ndarray, deposit: np.ndarray) -> float:
    ranks, n = rankdata(score), int(deposit.sum())
    return float((ranks[deposit].sum() - n * (n + 1) / 2) / (n * (deposit.size - n)))


@pytest.fixture(scope="module")
def kajan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_kajan_like(tmp_path_factory.mktemp("kajan")).parent


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """75 km x 75 km, four layers."""
    folder = tmp_path_factory.mktemp("district")
    return make_district(folder, width=500, height=500, layers=4, resolution=150.0).parent


def test_kajan_has_the_four_themes(kajan: Path) -> None:
    project = load_project(kajan / "project.toml")
    assert [layer.name for layer in project.layers] == ["alteration", "copper", "faults", "intrusions"]
    assert all(project.path(layer.source).is_file() for layer in project.layers)
    assert (kajan / "project.toml").read_bytes() == (EXAMPLES / "kajan_like.toml").read_bytes()
    for name, low, high in (("alteration.tif", 0.05, 5.0), ("cu.tif", 0.5, 20_000.0)):
        values, file = read(kajan / name)
        assert (file.crs.to_epsg(), file.res, file.shape) == (32639, (60.0, 60.0), (938, 793))
        assert (file.dtypes[0], file.nodata) == ("float32", -9999.0)
        assert 0.0 < np.ma.getmaskarray(values).mean() < 0.02, "a small gap"
        assert low < values.min()
        assert values.max() < high


def test_kajan_geology_is_a_map(kajan: Path) -> None:
    meta, _, wkb, columns = pyogrio.raw.read(kajan / "geology.gpkg")
    rocks = columns[list(meta["fields"]).index("rock")]
    polygons = shapely.from_wkb(wkb)
    assert "granodiorite" in rocks
    assert len(set(rocks)) >= 6
    assert shapely.is_valid(polygons).all()
    sheet = shapely.box(*read(kajan / "alteration.tif")[1].bounds)
    assert shapely.area(polygons).sum() == pytest.approx(sheet.area), "no overlap"
    assert shapely.unary_union(polygons).area == pytest.approx(sheet.area), "no hole"
    faults = shapely.from_wkb(pyogrio.raw.read(kajan / "faults.gpkg")[2])
    assert len(faults) > 40
    assert set(shapely.get_type_id(faults)) == {shapely.GeometryType.LINESTRING}
    assert shapely.covered_by(faults, sheet.buffer(0.01)).all()


def test_kajan_deposits(kajan: Path) -> None:
    info = pyogrio.read_info(kajan / "deposits.gpkg")
    assert list(info["fields"]) == ["name", "commodity"]
    places = points(kajan / "deposits.gpkg")
    left, bottom, right, top = read(kajan / "cu.tif")[1].bounds
    assert 25 <= len(places) <= 40
    assert ((places > (left, bottom)) & (places < (right, top))).all()


def test_same_seed_same_bytes_another_seed_others(kajan: Path, tmp_path: Path) -> None:
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    make_kajan_like(tmp_path / "again")
    make_kajan_like(tmp_path / "other", seed=8)
    assert digests(tmp_path / "again") == digests(kajan)
    same = {name for name, digest in digests(tmp_path / "other").items() if digests(kajan)[name] == digest}
    assert same == {"project.toml"}
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") == before


@pytest.mark.parametrize("tile", [1024, 600, 100])
def test_tile_size_does_not_show(tmp_path: Path, tile: int) -> None:
    for name, columns in (("one", 2048), ("tiled", tile)):
        make_district(tmp_path / name, width=1100, height=530, layers=9, tile=columns)
    assert digests(tmp_path / "tiled") == digests(tmp_path / "one")


def test_a_larger_district_continues_a_smaller_one(tmp_path: Path) -> None:
    for name, size in (("small", 150), ("large", 260)):
        make_district(tmp_path / name, width=size, height=size - 30, resolution=300.0)
    for theme in themes(6):
        small, _ = read(tmp_path / "small" / f"{theme.name}.tif")
        large, _ = read(tmp_path / "large" / f"{theme.name}.tif")
        np.testing.assert_array_equal(small.filled(np.nan), large.filled(np.nan)[:120, :150])
    assert set(map(tuple, points(tmp_path / "small" / "deposits.gpkg"))) < set(
        map(tuple, points(tmp_path / "large" / "deposits.gpkg"))
    )


def test_files_of_a_district(tmp_path: Path) -> None:
    project = load_project(make_district(tmp_path, width=100, height=60, layers=64, seed=1))
    assert len(project.layers) == 64
    assert project.grid.like == "alteration"
    assert sum(layer.direction is None for layer in project.layers) > 20, "irrelevant channels claim no direction"
    for theme, layer in zip(themes(64), project.layers, strict=True):
        with rasterio.open(project.path(layer.source)) as file:
            assert (file.width, file.height, file.crs.to_epsg(), file.res) == (100, 60, 32639, (60.0, 60.0))
            assert (file.dtypes[0], file.nodata, file.scales[0]) == ("int16", -32768.0, theme.step)
            assert (file.block_shapes[0], file.compression.name) == ((512, 512), "deflate")
            assert (file.descriptions[0], file.units[0] or "") == (theme.name, theme.unit)


def test_int16_is_float32_in_steps(tmp_path: Path) -> None:
    for dtype in ("int16", "float32"):
        make_district(tmp_path / dtype, width=300, height=300, layers=8, dtype=dtype, resolution=120.0)
    for theme in themes(8):
        steps, _ = read(tmp_path / "int16" / f"{theme.name}.tif")
        exact, file = read(tmp_path / "float32" / f"{theme.name}.tif")
        assert file.nodata == -9999.0
        np.testing.assert_array_equal(np.ma.getmaskarray(steps), np.ma.getmaskarray(exact))
        assert np.abs(steps - exact).max() <= theme.step * 0.501
        assert (np.ma.getmaskarray(steps).mean() > 0.0) == (theme.survey is not None)


def test_missing_half(tmp_path: Path) -> None:
    make_district(tmp_path, width=101, height=40, missing_half="copper", tile=30)
    for theme in themes(6):
        missing = np.ma.getmaskarray(read(tmp_path / f"{theme.name}.tif")[0])
        assert missing[:, :50].all() == (theme.name == "copper")
        assert missing[:, 50:].mean() < 0.1


@pytest.mark.parametrize("count", [1, 17])
def test_number_of_deposits(tmp_path: Path, count: int) -> None:
    make_district(tmp_path, width=200, height=120, layers=2, deposits=count)
    places = points(tmp_path / "deposits.gpkg")
    left, bottom, right, top = read(tmp_path / "copper.tif")[1].bounds
    assert len(places) == count
    assert ((places >= (left, bottom)) & (places <= (right, top))).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"width": 3}, "width: got 3; allowed: 16 to"),
        ({"layers": 65}, "layers: got 65; allowed: 2 to 64"),
        ({"dtype": "uint8"}, "dtype: got 'uint8'"),
        ({"seed": -1}, "seed: got -1"),
        ({"resolution": float("nan")}, "resolution: got nan"),
        ({"missing_half": "zinc"}, "missing_half: got 'zinc'; allowed: alteration, copper"),
        ({"deposits": 0}, "deposits: 0 are asked for"),
        ({"deposits": 5000}, "has room for"),
    ],
)
def test_wrong_arguments_name_what_is_allowed(tmp_path: Path, wrong: dict[str, object], said: str) -> None:
    arguments: dict[str, object] = {"width": 64, "height": 64} | wrong
    with pytest.raises(ProjectError, match=said):
        make_district(tmp_path / "none", **arguments)
    assert not (tmp_path / "none").exists()


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here first", encoding="utf-8")
    with pytest.raises(DiskError, match="cannot be used as a directory"):
        make_district(tmp_path / "file", width=64, height=64)


@pytest.mark.parametrize("room", [2_000, 11_000, 70_000], ids=["rasters", "end of a raster", "vectors"])
def test_a_full_disk_is_never_silent(tmp_path: Path, room: int) -> None:
    """No file may grow beyond `room` bytes: the last writes fail, some of them only when the file is closed."""
    make_district(tmp_path, width=80, height=80)
    assert all(path.stat().st_size > room for path in tmp_path.glob("alteration.tif" if room < 20_000 else "*.gpkg"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(DiskError, match=r"could not be written|does not hold"):
            make_district(tmp_path, width=80, height=80)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "project.toml").exists()
    make_district(tmp_path, width=80, height=80)  # what is left of the failure is in nobody's way


def test_deposits_are_told_by_the_layers_together(district: Path) -> None:
    deposit = np.zeros((500, 500), dtype=bool)
    values, memberships = [], []
    for theme in themes(4):
        layer, file = read(district / f"{theme.name}.tif")
        filled = layer.filled(np.ma.median(layer)).astype(np.float64)
        filled = np.log10(filled) if theme.transform == "log" else filled
        values.append(filled.ravel())
        rank = rankdata(filled) / filled.size
        memberships.append(rank if theme.direction == "high" else 1.0 - rank)
    places = points(district / "deposits.gpkg")
    deposit[tuple(np.array([file.index(x, y) for x, y in places]).T)] = True
    kept = np.union1d(np.arange(0, 250_000, 12), np.flatnonzero(deposit))
    truth = deposit.ravel()[kept]
    single = [auc(membership[kept], truth) for membership in memberships]
    together = auc(np.mean(memberships, axis=0)[kept], truth)
    table = np.column_stack(values)[kept]
    forest = IsolationForest(n_estimators=100, random_state=0).fit(table)
    rare = auc(-forest.score_samples(table), truth)
    assert all(0.65 < score < 0.95 for score in single), single
    assert max(single) + 0.02 < together < 0.99
    assert 0.5 < rare < together - 0.1, "rare is not favourable"


@pytest.mark.parametrize(
    ("name", "layers", "undirected"),
    [("kajan_like", 4, 0), ("nanling_li", 11, 0), ("cloncurry_iocg", 3, 0), ("missouri_ni", 5, 1)],
)
def test_example_projects(name: str, layers: int, undirected: int) -> None:
    project: Project = load_project(EXAMPLES / f"{name}.toml")
    assert len(project.layers) == layers
    assert sum(layer.direction is None for layer in project.layers) == undirected
    assert project.validate_ is not None
    assert project.targets.area_share == 0.02
    text = (EXAMPLES / f"{name}.toml").read_text(encoding="utf-8")
    sources = [layer["source"] for layer in tomllib.loads(text)["layers"]]
    assert name == "kajan_like" or all(source.startswith(f"${{MPMJAX_DATA}}/{name}/") for source in sources)
