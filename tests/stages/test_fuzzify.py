"""fuzzify: every layer's membership fitted and applied on the sample; what cannot be fitted is said, by its layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tolerances import MEMBERSHIP, assert_close

from mpmjax.errors import DataError
from mpmjax.ops.membership import membership as fast
from mpmjax.ops.plan import plan_memberships
from mpmjax.project import Project
from mpmjax.reference.membership import membership
from mpmjax.stages.fuzzify import FEWEST_CELLS, fuzzify
from mpmjax.types import Evidence, FuzzySample, Grid, Layer, Membership, Sample

DIRECTIONS = {"high": 1, "low": -1, None: 0}
ROCKS = {"kind": "category", "scores": {"1": 0.9, "2": 0.4}}
SECTIONS: tuple[dict[str, Any], ...] = (
    {"name": "copper", "role": "geochemistry", "direction": "high", "transform": "log"},
    {"name": "faults", "role": "distance", "direction": "low"},
    {"name": "rocks", "role": "category", "membership": ROCKS},
    {"name": "gravity", "role": "geophysics"},
)


def values_of(n: int = 2000, seed: int = 0) -> np.ndarray:
    """The layers of SECTIONS, float64 [n, L], a tenth of each missing; one rock in four is in no table."""
    rng = np.random.default_rng(seed)
    columns = (
        np.exp(rng.normal(3, 1, n)),
        rng.gamma(1.0, 900.0, n) * (rng.uniform(size=n) > 0.2),
        rng.choice([1.0, 2.0, 7.0], n, p=[0.5, 0.25, 0.25]),
        rng.normal(-40, 5, n),
    )
    missing = rng.uniform(size=(n, 4)) < 0.1
    missing[:, 3] &= ~missing[:, 0]  # one of the two is there, so that every cell has a layer
    return np.where(missing, np.nan, np.stack(columns, axis=1))


def run(values: np.ndarray, sections: tuple[dict[str, Any], ...] = SECTIONS, **model: Any) -> FuzzySample:
    project = Project(
        project={"name": "test"},
        layers=[section | {"source": f"{section['name']}.tif"} for section in sections],
        model=model,
    )
    layers = tuple(
        Layer(s["name"], s["role"], Path(f"{s['name']}.tif"), 1, "float64", direction=DIRECTIONS[s.get("direction")],
              source=f"{s['name']}.tif")
        for s in sections
    )  # fmt: skip
    cells = np.arange(len(values))
    sample = Sample(np.asarray(values, np.float64), cells // 50, cells % 50, len(values))
    return fuzzify(project, Evidence(Grid("EPSG:32639", None, 50, 50), layers), sample)


def apply(fitted: Membership, values: np.ndarray) -> np.ndarray:
    return membership(values, **fitted.arguments())


def test_memberships_are_those_of_the_definition() -> None:
    values = values_of()
    got = run(values, min_coverage=0.01)
    assert got.mu.dtype == np.float32
    assert got.mu.shape == got.valid.shape == (2000, 4)
    assert [m.kind for m in got.memberships] == ["sigmoid", "ecdf", "category", "sigmoid"]
    assert [m.complement for m in got.memberships] == [False, True, False, False]
    for index, fitted in enumerate(got.memberships):
        expected = apply(fitted, values[:, index])
        assert np.array_equal(got.valid[:, index], np.isfinite(expected))
        assert np.array_equal(got.mu[:, index], np.nan_to_num(expected).astype(np.float32))
    assert not got.mu[~got.valid].any()
    assert np.array_equal(np.isnan(values[:, 2]) | (values[:, 2] == 7), ~got.valid[:, 2])


def test_screening_will_see_the_same_memberships() -> None:
    """What the network is trained on is what the fast form gives to every cell later."""
    values = values_of()
    got = run(values, min_coverage=0.01)
    layers = [Layer(s["name"], s["role"], Path("x.tif"), 1, "float64") for s in SECTIONS]
    mu, valid, _ = fast(list(values.T), plan_memberships(layers, got.memberships))
    assert np.array_equal(valid, got.valid.T)
    assert_close(mu, got.mu.T, MEMBERSHIP)


def test_cells_that_lose_too_many_layers_are_dropped_with_their_places() -> None:
    """A rock in no table is a missing layer: with min_coverage 1 only whole cells stay, in their order."""
    values = values_of()
    whole = np.isfinite(values).all(axis=1) & (values[:, 2] != 7)
    got = run(values, min_coverage=1.0)
    assert got.valid.all()
    assert np.array_equal(got.rows * 50 + got.cols, np.flatnonzero(whole))
    everything = run(values, min_coverage=0.01)
    assert np.array_equal(got.mu, everything.mu[whole])
    three_of_four = run(values, min_coverage=0.75)
    counted = np.isfinite(values).sum(axis=1) - (values[:, 2] == 7)
    assert len(three_of_four.mu) == (counted >= 3).sum()


def test_statistics_are_those_of_the_values() -> None:
    values = values_of()
    for index, found in enumerate(run(values).statistics):
        present = values[np.isfinite(values[:, index]), index]
        assert found["missing_share"] == pytest.approx(np.isnan(values[:, index]).mean())
        assert [found[key] for key in ("p1", "median", "p99")] == pytest.approx(np.percentile(present, [1, 50, 99]))


def test_values_that_a_formula_bends_are_counted() -> None:
    values = values_of()
    values[:7, 0] = -1.0
    values[7:10, 0] = 0.0
    (note,) = (note for note in run(values).notes if "'copper'" in note)
    assert "10 of" in note
    assert not [note for note in run(values_of()).notes if "'copper'" in note]


def test_classes_without_a_score_and_scores_without_a_class_are_told() -> None:
    """A typing error in a table would else be a layer that is silently missing."""
    values = values_of()
    told = [note for note in run(values).notes if "without a score" in note]
    strange = int((values[:, 2] == 7).sum())
    assert len(told) == (strange > 0)
    assert f"{strange} of {np.isfinite(values[:, 2]).sum()} sampled cells are of classes without a score (7)" in told[0]
    values[values[:, 2] == 2, 2] = 3
    assert any("no sampled cell is of the classes 2," in note for note in run(values).notes)


def test_the_same_sample_gives_the_same_memberships() -> None:
    first, second = run(values_of()), run(values_of())
    assert np.array_equal(first.mu, second.mu)
    assert first.statistics == second.statistics


def test_too_few_cells() -> None:
    run(values_of(FEWEST_CELLS), min_coverage=0.01)
    for cells in (1, FEWEST_CELLS - 1):
        with pytest.raises(DataError, match=f"^{cells} sampled cells.*{FEWEST_CELLS}"):
            run(values_of(cells), min_coverage=0.01)
    with pytest.raises(DataError, match=r"^0 sampled cells"):
        run(np.where(np.arange(4) == np.arange(2000)[:, None] % 4, values_of(), np.nan), min_coverage=0.5)


def test_a_table_that_names_no_class_of_the_sample() -> None:
    values = values_of()
    values[:, 2] = 7.0
    with pytest.raises(DataError, match=r"'rocks' \(rocks.tif\).*table of scores.*7"):
        run(values)


def test_cells_that_are_all_alike() -> None:
    """Two maps of rocks with one rock each: categories may be constant, but not all of them."""
    rocks = tuple(SECTIONS[2] | {"name": name} for name in ("rocks", "cover"))
    with pytest.raises(DataError, match="nothing to tell apart"):
        run(np.ones((200, 2)), rocks)
    values = np.ones((200, 2))
    values[0, 1] = 2.0
    run(values, rocks)


@pytest.mark.parametrize(
    ("index", "change", "column", "said"),
    [
        (0, {}, np.full(2000, -1.0), "positive"),
        (3, {}, np.full(2000, 5.0), "P1 = P99"),
        (3, {"membership": {"kind": "ms_large"}}, np.full(2000, 5.0), "differ"),
        (0, {"role": "membership", "transform": "none"}, np.linspace(0, 30, 2000), "0..1"),
        (3, {}, np.full(2000, np.nan), "no data"),
        (3, {"membership": {"kind": "linear", "lo": -1e308, "hi": 1e308}}, np.arange(2000), "cannot be computed"),
    ],
)
def test_what_cannot_be_fitted_names_its_layer(
    index: int, change: dict[str, Any], column: np.ndarray, said: str
) -> None:
    values, sections = values_of(), list(SECTIONS)
    sections[index] = sections[index] | change
    values[:, index] = column
    with pytest.raises(DataError) as caught:
        run(values, tuple(sections))
    message = str(caught.value)
    assert repr(sections[index]["name"]) in message
    assert said in message
