"""Scenarios of the synthetic district: each is measured on the layers and the deposits that it wrote."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from scipy import ndimage
from scipy.stats import rankdata, spearmanr
from sklearn.ensemble import IsolationForest

from mpmjax.errors import ProjectError
from mpmjax.project import load_project
from mpmjax.synthetic import Scenario, make_district
from mpmjax.synthetic.layers import Patch, themes
from mpmjax.synthetic.noise import Window
from mpmjax.synthetic.planted import planted_tables
from mpmjax.synthetic.recast import original, recast

SIDE, CELL, DEPOSITS = 400, 150.0, 120
"""60 km x 60 km; as many deposits as make an AUC of chance fall within 0.08 of one half."""

NAMES = [theme.name for theme in themes(7)]
EVERYTHING = Scenario(
    pair=("copper", "gravity"),
    redundant={"gold": "copper"},
    barren=6.0,
    missing={"magnetics": 0.3},
    noise={"gold": 0.7},
)


def district(folder: Path, scenario: Scenario, **more: int) -> Path:
    stated = {"width": SIDE, "height": SIDE, "layers": 7, "deposits": DEPOSITS, "seed": 11} | more
    return make_district(folder, dtype="float32", resolution=CELL, scenario=scenario, **stated).parent


def layer(folder: Path, name: str) -> np.ndarray:
    """Values float64, after their logarithm where the project takes one; NaN where missing."""
    with rasterio.open(folder / f"{name}.tif") as file:
        values = file.read(1, masked=True).astype(np.float64).filled(np.nan)
    return np.log(values) if themes(7)[NAMES.index(name)].transform == "log" else values


def cells_of(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    places = shapely.get_coordinates(shapely.from_wkb(pyogrio.raw.read(folder / "deposits.gpkg")[2]))
    with rasterio.open(folder / "copper.tif") as file:
        rows, cols = np.array([file.index(x, y) for x, y in places]).T
    return rows, cols


def favourable(folder: Path, name: str) -> np.ndarray:
    """Rank of the layer in its favourable direction, 0..1; the middle where it is missing."""
    values = layer(folder, name)
    ranks = rankdata(np.where(np.isnan(values), np.nanmedian(values), values)).reshape(values.shape) / values.size
    return 1.0 - ranks if themes(7)[NAMES.index(name)].direction == "low" else ranks


def auc(score: np.ndarray, folder: Path) -> float:
    ranks, own = rankdata(score).reshape(score.shape), cells_of(folder)
    n = len(own[0])
    return float((ranks[own].sum() - n * (n + 1) / 2) / (n * (score.size - n)))


def capture(score: np.ndarray, folder: Path, share: float = 0.02) -> float:
    return float((score[cells_of(folder)] >= np.quantile(score, 1.0 - share)).mean())


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def changed(folder: Path, other: Path) -> set[str]:
    """Layers whose files differ."""
    return {name for name in NAMES if digests(folder)[f"{name}.tif"] != digests(other)[f"{name}.tif"]}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return district(tmp_path_factory.mktemp("plain"), Scenario())


def test_deposits_of_co_favourable_layers_need_them_all(tmp_path: Path) -> None:
    shown = ("copper", "faults", "magnetics", "gravity")
    folder = district(tmp_path, Scenario(together=shown))
    single = {name: auc(favourable(folder, name), folder) for name in NAMES}
    mean = auc(np.mean([favourable(folder, name) for name in shown], axis=0), folder)
    assert len(cells_of(folder)[0]) == DEPOSITS
    for name in NAMES:
        assert (0.7 < single[name] < 0.95) if name in shown else (abs(single[name] - 0.5) < 0.08), single
    assert mean > max(single.values()) + 0.03


def test_deposits_of_a_pair_are_told_by_both_and_by_neither_alone(tmp_path: Path) -> None:
    pair = ("copper", "gravity")
    folder = district(tmp_path, Scenario(pair=pair))
    ranks = {name: favourable(folder, name) for name in NAMES}
    both = np.minimum(*(ranks[name] for name in pair))
    assert capture(both, folder) > 0.4
    assert all(capture(ranks[name], folder) < 0.6 * capture(both, folder) for name in NAMES), "stands out elsewhere too"
    assert capture(np.mean(list(ranks.values()), axis=0), folder) < 0.5 * capture(both, folder)
    assert all(abs(auc(ranks[name], folder) - 0.5) < 0.08 for name in NAMES if name not in pair)


def test_a_redundant_layer_repeats_the_other(tmp_path: Path, plain: Path) -> None:
    folder = district(tmp_path, Scenario(redundant={"gravity": "copper", "faults": "copper"}))
    assert changed(folder, plain) == {"gravity", "faults"}
    copper = favourable(folder, "copper").ravel()
    for name in ("gravity", "faults"):
        assert spearmanr(copper, favourable(folder, name).ravel()).statistic > 0.95, name
        assert abs(spearmanr(copper, favourable(plain, name).ravel()).statistic) < 0.5, name
        low, high = np.nanquantile(layer(plain, name), (0.0, 1.0))
        middle = np.nanmedian(layer(folder, name))
        assert low < middle < high, "in its own units"
        assert np.nanmin(layer(folder, name)) >= (0.0 if name == "faults" else -40.0)
        assert np.nanmax(layer(folder, name)) <= (20_000.0 if name == "faults" else 40.0)
    assert cells_of(folder)[0].tolist() == cells_of(plain)[0].tolist()


def test_barren_anomalies_are_strong_alone_and_hold_nothing(tmp_path: Path, plain: Path) -> None:
    folder = district(tmp_path, Scenario(barren=8.0))
    rise = np.stack([(layer(folder, name) - layer(plain, name)) / np.nanstd(layer(plain, name)) for name in NAMES])
    rise = np.nan_to_num(rise) * np.array([-1 if theme.direction == "low" else 1 for theme in themes(7)])[:, None, None]
    assert (rise >= -1e-5).all(), "always to the favourable side"
    tops = rise[[NAMES.index(name) for name in ("copper", "magnetics", "gravity", "gold")]] > 1.5
    found = sum(ndimage.label(top)[1] for top in tops)
    assert found == pytest.approx(8.0 * 36 * 4 / 7, rel=0.25), "in 100 km2, one layer in seven each"
    assert np.abs(rise[(slice(None), *cells_of(folder))]).max() < 1e-5
    assert ((rise > 0.5).sum(axis=0) > 1).mean() < 0.03, "seldom in two layers at once"


def test_barren_anomalies_mislead_what_looks_for_the_rare(tmp_path: Path, plain: Path) -> None:
    folder = district(tmp_path, Scenario(barren=20.0))

    def rare(where: Path) -> float:
        values = (layer(where, name).ravel() for name in NAMES)
        table = np.column_stack([np.where(np.isnan(v), np.nanmedian(v), v) for v in values])
        forest = IsolationForest(n_estimators=50, random_state=0).fit(table[::20])
        return auc(-forest.score_samples(table).reshape(SIDE, SIDE), where)

    def mean(where: Path) -> float:
        return auc(np.mean([favourable(where, name) for name in NAMES], axis=0), where)

    assert rare(folder) < rare(plain) - 0.04
    assert mean(folder) > mean(plain) - 0.02, "one layer does not lift the mean of seven far"


def test_missing_sheets(tmp_path: Path, plain: Path) -> None:
    folder = district(tmp_path, Scenario(missing={"copper": 0.3, "gravity": 0.0}))
    assert changed(folder, plain) == {"copper"}
    gone = np.isnan(layer(folder, "copper")) & ~np.isnan(layer(plain, "copper"))
    sheet = 4_000.0
    rows, cols = (((np.arange(SIDE) + 0.5) * CELL // sheet).astype(int) for _ in range(2))
    number = rows[:, None] * 15 + cols
    share = ndimage.mean(np.isnan(layer(folder, "copper")), number, np.arange(15 * 15))
    whole = ndimage.mean(gone | np.isnan(layer(plain, "copper")), number, np.arange(15 * 15)) == 1.0
    assert (share == 1.0).mean() == pytest.approx(0.3, abs=0.08)
    assert not gone[~whole[number]].any(), "whole sheets only"


def test_noise_differs_by_layer(tmp_path: Path, plain: Path) -> None:
    folder = district(tmp_path, Scenario(noise={"magnetics": 2.0, "copper": 0.5}))
    assert changed(folder, plain) == {"magnetics", "copper"}
    for name, deviation in (("magnetics", 2.0), ("copper", 0.5)):
        added = layer(folder, name) - layer(plain, name)
        assert np.nanstd(added) / np.nanstd(layer(plain, name)) == pytest.approx(deviation, rel=0.2), name
        assert np.nanmean(added) == pytest.approx(0.0, abs=0.1 * np.nanstd(added))
        assert auc(favourable(folder, name), folder) < auc(favourable(plain, name), plain)
        coarse = ndimage.uniform_filter(np.nan_to_num(added), 5)
        assert 0.4 < coarse.var() / np.nanvar(added) < 0.7, "half of it over a kilometre or two, half from cell to cell"


def test_nothing_asked_for_is_the_plain_district(tmp_path: Path, plain: Path) -> None:
    district(tmp_path / "asked", Scenario(noise={"copper": 0.0}, missing={"gold": 0.0}))
    make_district(tmp_path / "default", width=SIDE, height=SIDE, layers=7, deposits=DEPOSITS, seed=11, dtype="float32",
                  resolution=CELL)  # fmt: skip
    assert digests(tmp_path / "default") == digests(plain)
    assert (tmp_path / "asked" / "deposits.gpkg").read_bytes() == (plain / "deposits.gpkg").read_bytes()
    assert not changed(tmp_path / "asked", plain) - {"copper"}
    difference = np.abs(layer(tmp_path / "asked", "copper") - layer(plain, "copper"))
    assert np.nanmax(difference) < 1e-5, "to scores and back"


@pytest.mark.parametrize(
    "scenario", [EVERYTHING, Scenario(together=("faults", "alteration"), barren=3.0)], ids=["pair", "together"]
)
def test_same_bytes_whatever_the_tile_and_when(tmp_path: Path, scenario: Scenario) -> None:
    for name, tile in (("one", 2048), ("tiled", 512), ("again", 512)):
        make_district(tmp_path / name, width=1100, height=530, layers=7, tile=tile, scenario=scenario)
    assert digests(tmp_path / "tiled") == digests(tmp_path / "one") == digests(tmp_path / "again")


def test_any_window_alone_is_part_of_the_whole() -> None:
    chosen = themes(7)
    for scenario in (EVERYTHING, Scenario(together=("faults", "alteration"), barren=3.0)):

        def patch(window: Window, scenario: Scenario = scenario) -> Patch:
            return Patch(window, 3, np.inf, lambda bounds: planted_tables(
                bounds, seed=3, scenario=scenario, threshold=0.9, names=original(chosen, scenario)))  # fmt: skip

        whole, part = patch(Window(700, 900, 150, 180, 200.0)), patch(Window(761, 933, 57, 71, 200.0))
        for theme in recast(chosen, scenario):
            inside = theme.values(whole)[61:118, 33:104]
            np.testing.assert_array_equal(theme.values(part), inside, theme.name)
            if theme.absent is not None:
                np.testing.assert_array_equal(theme.absent(part), theme.absent(whole)[61:118, 33:104])
                assert theme.absent(whole).any()


def test_the_project_says_what_the_district_is(tmp_path: Path) -> None:
    project = load_project(make_district(tmp_path, width=64, height=64, layers=7, scenario=EVERYTHING))
    for words in ("pair copper, gravity", "redundant gold copper", "barren 6.0", "missing magnetics 0.3", "noise gold"):
        assert words in project.project.description
    assert "together" not in project.project.description


def test_common_deposits_of_a_scenario(tmp_path: Path) -> None:
    folder = make_district(tmp_path, width=SIDE, height=SIDE, resolution=CELL, layers=7, scenario=EVERYTHING).parent
    assert len(cells_of(folder)[0]) == pytest.approx(36, abs=18), "one in 100 km2"


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        (Scenario(pair=("copper", "zinc")), "pair: got 'zinc'; allowed: alteration, copper"),
        (Scenario(pair=("copper",)), "pair: .* allowed: two layers"),
        (Scenario(pair=("copper", "copper")), "pair: .* allowed: two layers"),
        (Scenario(together=("copper",)), "together: .* allowed: two layers or more"),
        (Scenario(together=("copper", "faults"), pair=("copper", "gravity")), "one of pair and together"),
        (Scenario(redundant={"copper": "faults", "faults": "gravity"}), "redundant: .*no other repeats"),
        (Scenario(redundant={"copper": "copper"}), "redundant: .*no other repeats"),
        (Scenario(redundant={"copper": "faults"}, pair=("copper", "gravity")), "redundant: .*no deposit shows in"),
        (Scenario(barren=-1.0), "barren: got -1.0; allowed: 0 to 20"),
        (Scenario(barren=float("nan")), "barren: got nan"),
        (Scenario(missing={"copper": 0.95}), "missing of copper: got 0.95; allowed: 0 to 0.9"),
        (Scenario(noise={"copper": 11.0}), "noise of copper: got 11.0; allowed: 0 to 10"),
        (Scenario(noise={"tin": 1.0}), "noise: got 'tin'"),
    ],
)
def test_what_a_district_cannot_be(tmp_path: Path, scenario: Scenario, said: str) -> None:
    with pytest.raises(ProjectError, match=said):
        make_district(tmp_path / "none", width=64, height=64, scenario=scenario)
    assert not (tmp_path / "none").exists()
