"""The blind districts: what every district keeps to, and what its scenario promises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from mpmjax.benchmarks.method import blind_districts
from mpmjax.benchmarks.method.blind_districts import FEWEST, MOST, SCENARIOS, SEEDS, District, district, wrong_direction
from mpmjax.benchmarks.method.blind_geology import (
    LARGEST,
    SMALLEST,
    Field,
    Ground,
    cells_to,
    gaussian_field,
    make_ground,
    normal_scores,
)
from mpmjax.benchmarks.method.blind_scenarios import NUISANCES, ORE, PLANS, black_shale, laterite, plume
from mpmjax.benchmarks.method.blind_surveys import KINDS, Kind, observe

ROLES = {"distance", "geochemistry", "geophysics", "index", "density"}
THEME = {kind.name: theme for theme, kinds in KINDS.items() for kind in kinds}


@pytest.fixture(scope="module")
def one_each() -> dict[str, District]:
    """The first district of every scenario."""
    return {scenario: district(scenario, SEEDS[scenario][0]) for scenario in SCENARIOS}


def keeps_to_its_word(made: District) -> None:
    """What holds for every district."""
    count, height, width = made.layers.shape
    assert made.layers.dtype == np.float32
    assert 4 <= count <= 14
    assert SMALLEST <= height <= LARGEST
    assert SMALLEST <= width <= LARGEST
    assert len(made.roles) == len(made.directions) == len(made.names) == len(set(made.names)) == count
    assert set(made.roles) <= ROLES
    assert set(made.directions) <= {-1, 0, 1}
    assert np.count_nonzero(made.directions) >= 2
    assert not np.isinf(made.layers).any()
    for layer, role in zip(made.layers, made.roles, strict=True):
        assert np.nanstd(layer) > 0
        assert role not in ("distance", "density") or np.nanmin(layer) >= 0
        assert role != "geochemistry" or np.nanmin(layer) > 0
    assert np.array_equal(made.valid, np.isfinite(made.layers).any(axis=0)), "no cell has only one layer"
    assert made.valid.mean() > 0.8
    rows, columns = made.deposits.T
    assert np.issubdtype(made.deposits.dtype, np.integer)
    assert FEWEST <= len(made.deposits) <= MOST
    assert len(np.unique(made.deposits, axis=0)) == len(made.deposits)
    assert made.deposits.min() >= 0
    assert rows.max() < height
    assert columns.max() < width
    assert made.valid[rows, columns].all()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_district_keeps_to_its_word(one_each: dict[str, District], scenario: str) -> None:
    keeps_to_its_word(one_each[scenario])


@pytest.mark.slow
def test_all_forty_keep_to_their_word() -> None:
    made = list(blind_districts.districts())
    assert [one.scenario for one in made] == [scenario for scenario in SCENARIOS for _ in range(8)]
    for one in made:
        keeps_to_its_word(one)


def test_eight_districts_a_scenario_each_from_its_own_seed(
    monkeypatch: pytest.MonkeyPatch, one_each: dict[str, District]
) -> None:
    made: list[tuple[str, int]] = []

    def only_noted(scenario: str, seed: int) -> District:
        made.append((scenario, seed))
        return one_each[scenario]

    monkeypatch.setattr(blind_districts, "district", only_noted)
    assert [one.scenario for one in blind_districts.districts()] == [name for name in SCENARIOS for _ in range(8)]
    assert [scenario for scenario, _ in made] == [name for name in SCENARIOS for _ in range(8)]
    assert len({seed for _, seed in made}) == 40
    assert sum(wrong_direction(seed) for _, seed in made) == 8
    assert tuple(PLANS) == SCENARIOS


def test_a_seed_makes_one_district(one_each: dict[str, District]) -> None:
    first = one_each[SCENARIOS[3]]
    again = district(first.scenario, first.seed)
    other = district(first.scenario, first.seed + 1)
    assert np.array_equal(first.layers, again.layers, equal_nan=True)
    assert np.array_equal(first.deposits, again.deposits)
    assert (first.names, first.roles, first.directions) == (again.names, again.roles, again.directions)
    assert not np.array_equal(first.deposits, other.deposits)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_directions_are_wrong_where_they_are_said_to_be_and_nowhere_else(scenario: str) -> None:
    signs = {kind.name: kind.sign for kinds in KINDS.values() for kind in kinds}
    mistaken = next(seed for seed in SEEDS[scenario] if wrong_direction(seed))
    right = next(seed for seed in SEEDS[scenario] if not wrong_direction(seed))
    for seed, expected in ((mistaken, 1), (right, 0)):
        made = district(scenario, seed)
        pairs = zip(made.names, made.directions, strict=True)
        wrong = [name for name, direction in pairs if direction == -signs[name]]
        assert len(wrong) == expected
        assert all(THEME[name] in ORE for name in wrong)


def test_only_missing_layers_have_gaps_inside_the_study_area(one_each: dict[str, District]) -> None:
    for scenario, made in one_each.items():
        gaps = np.isnan(made.layers[:, made.valid]).mean()
        assert (gaps > 0.05) == (scenario == "missing layers"), scenario


def test_redundant_layers_are_near_copies(one_each: dict[str, District]) -> None:
    made = one_each["redundant layers"]
    copies = [number for number, name in enumerate(made.names) if THEME[name] in NUISANCES]
    ranks = np.corrcoef(stats.rankdata(made.layers[copies][:, made.valid], axis=1))
    assert 4 <= len(copies) <= 6
    assert np.median(np.abs(ranks)[np.triu_indices(len(copies), 1)]) > 0.75


def test_deposits_follow_the_intensity(one_each: dict[str, District]) -> None:
    for scenario, made in one_each.items():
        ground_rng, plan_rng, _, _ = np.random.default_rng([blind_districts.STREAM, made.seed]).spawn(4)
        ground = make_ground(ground_rng)
        intensity = normal_scores(PLANS[scenario](plan_rng, ground).intensity, ground.inside)
        assert intensity[tuple(made.deposits.T)].mean() > 0.8, scenario


@pytest.mark.parametrize("cause", [black_shale, plume, laterite])
def test_a_barren_anomaly_is_strong_in_a_small_part(cause: Callable[[np.random.Generator, Ground], Field]) -> None:
    rng = np.random.default_rng(3)
    anomaly = cause(rng, make_ground(rng))
    assert anomaly.min() >= 0
    assert 0.5 < anomaly.max() <= 1
    assert 0.001 < (anomaly > 0.5).mean() < 0.25


def test_a_distance_needs_objects() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match="no objects"):
        observe(rng, Kind("distance to nothing", "distance", -1), np.zeros((20, 30)), None)
    with pytest.raises(ValueError, match="no object to measure"):
        cells_to(np.zeros((20, 30), bool))


def test_fields_have_unit_variance_and_the_reach_asked_for() -> None:
    rng = np.random.default_rng(2)
    near, far = (gaussian_field(rng, (200, 180), reach) for reach in (4.0, 20.0))
    for field in (near, far):
        assert field.shape == (200, 180)
        assert 0.5 < field.std() < 1.5

    def correlation(field: np.ndarray, lag: int) -> float:
        return float(np.corrcoef(field[:, :-lag].ravel(), field[:, lag:].ravel())[0, 1])

    assert correlation(near, 2) > 0.7
    assert abs(correlation(near, 20)) < 0.2
    assert correlation(far, 10) > 0.6
