"""The judge of drivers: its truth is that of the files, its counts are right by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from mpmjax.benchmarks.method import drivers
from mpmjax.benchmarks.method.case import Case
from mpmjax.benchmarks.method.drivers import DEPOSITS, LAYERS, RESOLUTION, SCENARIOS, Planted
from mpmjax.project_sections import ModelSection
from mpmjax.synthetic.district import make_district
from mpmjax.synthetic.layers import themes
from mpmjax.types import Evidence, FuzzySample, Grid, Layer

SIDE = 160
"""Of the synthetic district: 14 km, with room for the deposits."""


def test_what_is_planted_is_what_the_files_differ_in(tmp_path: Path) -> None:
    scenario, seed = SCENARIOS["together"], 3
    truth = drivers.planted(scenario, seed, SIDE)
    for name, made in {"with": scenario, "without": replace(scenario, barren=0.0)}.items():
        make_district(
            tmp_path / name, width=SIDE, height=SIDE, layers=LAYERS, seed=seed, resolution=RESOLUTION,
            deposits=DEPOSITS, scenario=made, dtype="float32",
        )  # fmt: skip
    assert truth.barren.max() > 2.0
    for column, theme in enumerate(themes(LAYERS)):
        values = []
        for name in ("with", "without"):
            with rasterio.open(tmp_path / name / f"{theme.name}.tif") as file:
                values.append(file.read(1, masked=True).ravel())
        known = ~(np.ma.getmaskarray(values[0]) | np.ma.getmaskarray(values[1]))
        apart = np.abs(values[0].data - values[1].data) / np.ma.std(values[1])
        by = truth.barren[:, column]
        assert (apart[known & (by >= 1.0)] > 0.05).all(), theme.name
        assert (apart[known & (by < 1e-9)] < 1e-3).all(), theme.name


def test_deposits_show_in_the_layers_of_their_scenario() -> None:
    raised = drivers.planted(SCENARIOS["pair"], 3, SIDE).deposits.max(axis=0)
    shown = [theme.name in SCENARIOS["pair"].pair for theme in themes(LAYERS)]
    assert (raised[shown] > 2.0).all()
    assert (raised[~np.array(shown)] < 1e-9).all()


def case_by_hand() -> Case:
    """A hundred cells in three layers; the membership of the second, a control, grows from cell to cell."""
    mu = np.tile(np.linspace(0.0, 1.0, 100, dtype=np.float32)[:, None], 3)
    valid = np.ones(mu.shape, bool)
    rows, cols = np.divmod(np.arange(100), 10)
    layers = tuple(Layer(name, "index", Path(name), 1, "float32") for name in ("alteration", "faults", "gold"))
    evidence = Evidence(Grid("EPSG:32639", Affine(90.0, 0.0, 0.0, 0.0, -90.0, 0.0), 10, 10), layers)
    sample = FuzzySample((), mu, valid, rows, cols, ())
    known = np.zeros(100, bool)
    return Case("hand", evidence, (), ModelSection(), sample, np.ones(3), mu, valid, rows, cols, known)


def test_right_drivers_are_counted_by_hand() -> None:
    """Targets are 98, whose driver is the planted layer, and 99, whose driver is a control in place of it; of the two
    barren cells one has the anomaly's layer for its driver, the other none at all."""
    deposits, barren = np.zeros((100, 3)), np.zeros((100, 3))
    deposits[98, 0], deposits[99, 2], deposits[40, 0] = 1.2, 1.0, 3.0
    barren[5, 2], barren[6, 0], barren[7, 1] = 3.0, 2.5, 1.9
    driver = np.zeros(100, np.int64)
    driver[[99, 5, 6]] = 1, 2, -1
    case, truth = case_by_hand(), Planted(deposits, barren)
    told = [
        drivers.count(name, 1, case, np.arange(100.0), {"driver": driver, "signed residual": driver}, truth)
        for name in ("plain", "pair")
    ]
    assert [(one.targets, one.barren) for one in told] == [(2, 2)] * 2
    assert told[0].right["driver"] == {"planted": 0.5, "planted or its control": 1.0, "barren": 0.5}
    assert told[1].right["driver"] == {"planted": 0.5, "planted or its control": 0.5, "barren": 0.5}
    lines = drivers.table(told).splitlines()
    assert lines[2] == "| plain | 1 | 2 | 0.500 | 0.500 | 1.000 | 1.000 | 0.500 | 0.500 | 2 |"
    assert lines[3] == "| pair | 1 | 2 | 0.500 | 0.500 | – | – | 0.500 | 0.500 | 2 |"
